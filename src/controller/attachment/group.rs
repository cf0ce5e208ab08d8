//! The scaling group that a pass is about.

use crate::cloud::Cloud;

/// A scaling group, and as whom it is changed.
pub struct Group {
    /// The client.
    pub cloud: Cloud,
    /// Its id.
    pub id: String,
}
