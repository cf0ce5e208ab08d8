//! What the simulator promises, asked over the wire by a client that shares no code with it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests may")]

mod admin;
mod clb;
mod client;
mod cloud;
mod declared;
mod ess;
mod faults;
mod fields;
mod gwlb;
mod health;
mod identity;
mod jobs;
mod old_ids;
mod programs;
mod recorded;
mod signatures;
mod surroundings;
