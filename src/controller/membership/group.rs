//! The server group that a pass is about.

use server_group_core::product::Product;

use crate::cloud::Cloud;

/// A server group, and as whom it is changed.
pub struct Group {
    /// The client.
    pub cloud: Cloud,
    /// The product that the group belongs to.
    pub product: Product,
    /// Its id.
    pub id: String,
    /// Whether a job of another object ran on it when the pass began.
    pub another_job_runs: bool,
}
