//! Keeps Alibaba Cloud server groups and ESS attachments as declared in Kubernetes.
//!
//! ```text
//!  spec ───parse──▶ desired  ┐
//!  cloud ──observe▶ observed ├─ World ──plan──▶ Plan ──claim──▶ apply ──▶ Verdict ──report──▶ status, event
//!  status ────────▶ owned    ┘        (pure)         (write     (cloud     (pure)            requeue
//!                                                     first)     calls)
//! ```
//!
//! Deciding is arithmetic and lives in `server_group_core`; doing is plumbing and lives here.

#[allow(
    unreachable_pub,
    reason = "the derive for schemas repeats each struct inside a function"
)]
#[allow(
    clippy::duplicated_attributes,
    reason = "each printer column repeats `type_`"
)]
pub mod api;
pub mod chance;
pub mod cli;
pub mod cloud;
pub mod controller;
pub mod leader;
pub mod metrics;
pub mod permissions;
pub mod probes;
pub mod run;
pub mod telemetry;
pub mod timing;
