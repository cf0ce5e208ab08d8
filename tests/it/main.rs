//! The operator against a real API server and the simulated cloud, in one binary so that one control plane
//! serves all tests; each test has a namespace, an account and a simulator of its own.

#![expect(
    clippy::unwrap_used,
    reason = "tests may unwrap, and helpers count as tests"
)]

mod attachment;
mod membership;
mod ownership;
mod removal;
mod stage;
mod unsettled;
