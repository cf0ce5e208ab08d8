//! An HTTP server that imitates the cloud APIs; development and tests only.
//!
//! It behaves as the published documentation says, and shares no code with the client it is used to test. A parameter
//! that the documentation does not know is passed over, as the cloud does, and [noted](audit::Entry::notes): tests of a client
//! that has no such excuse look at the notes. Where the documentation is silent it takes the answer that is harder for a client;
//! `docs/simulator.md` lists those places.
//!
//! ```text
//!  request ──▶ signature ──▶ fault? ──▶ quota ──▶ token ──▶ action on the world ──▶ audit ──▶ answer
//!                                                              ▲
//!                  time passes: states, draining, jobs, activities, calls that land late
//! ```
//!
//! Tests start it in their own process with [`Simulator::start`] and reach into it:
//!
//! - [`Simulator::world`] is everything there is, at the present moment: groups, scaling groups, keys, quotas,
//!   durations, scripted [faults](fault::Fault), and the [audit log](audit::Entry) of every call with the number of members that
//!   served before and after it. Whatever is public there may be changed behind the client's back.
//! - [`Simulator::hold`] stops a call before it is carried out or before it is answered, for tests that crash the
//!   client there. A call whose client has gone is carried out nevertheless once it is released.
//!
//! [`Offline`] is the same without a socket, by a clock that is handed in: for simulations in which no real time passes.
//!
//! Scripts use the same by HTTP under `/_sim/`. All durations are in the simulator's own seconds, of which
//! [`Options::speed`] pass in one; only signatures, nonces and temporary keys go by the machine's clock.

mod action;
mod admin;
mod attach;
pub mod audit;
mod backend_list;
mod balancer;
mod carry_out;
mod clock;
mod ecs;
mod ess;
mod falsify;
pub mod fault;
mod group;
mod health;
mod hold;
mod http;
mod listing;
mod members;
mod metadata;
mod named;
mod offline;
mod options;
mod outcome;
mod params;
mod passing;
pub mod rate;
mod refusal;
mod scaling;
mod seconds;
mod shared;
mod signature;
mod simulator;
mod slb;
mod sts;
mod surroundings;
pub mod world;

pub use clock::Clock;
pub use hold::{Held, When};
pub use offline::Offline;
pub use options::Options;
pub use simulator::Simulator;
