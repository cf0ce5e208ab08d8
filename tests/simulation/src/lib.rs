//! The operator in paused time, over Kubernetes in memory and the simulated cloud.

pub mod kubernetes;
