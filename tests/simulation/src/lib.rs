//! Runs the whole operator, unmodified, in virtual time, over a Kubernetes in memory and the simulated cloud, in orders and with
//! troubles that a seed decides; and judges what happened by the rules that are never broken.
//!
//! ```text
//!  seed ──▶ workload + troubles ──▶ lab ──▶ agenda: what arrives, is answered, is shown, goes wrong, when
//!                                    │            │                    ▲
//!                                    │            ▼                    │ asks
//!                                    │   Kubernetes, cloud ──────▶ replicas (the operator, one runtime each)
//!                                    ▼
//!                                 oracles ──▶ the first broken rule, and the plan that leads there
//! ```
#![allow(
    clippy::needless_pass_by_value,
    reason = "objects are written as JSON where they are handed over"
)]
#![allow(
    clippy::struct_excessive_bools,
    reason = "what is known of a world is many small facts"
)]
#![allow(
    clippy::duration_suboptimal_units,
    reason = "one unit for all that is compared with each other"
)]

pub mod clock;
pub mod cluster_edits;
pub mod dice;
pub mod effect;
pub mod gate;
pub mod kubernetes;
pub mod lab;
pub mod oracle;
pub mod panics;
pub mod plan;
pub mod replica;
pub mod schedule;
pub mod search;
pub mod trouble;
pub mod workload;
