//! An HTTP server that imitates the cloud APIs; development and tests only.
//!
//! It behaves as the published documentation says, shares no code with the client it is used to test, and
//! is strict: a parameter that the documentation does not know is refused. Where the documentation is
//! silent it takes the answer that is harder for a client; `docs/simulator.md` lists those places.
//!
//! ```text
//!  request ──▶ signature ──▶ fault? ──▶ action on the world ──▶ audit ──▶ answer
//!                                          ▲
//!                        time passes: states, draining, activities, calls that land late
//! ```
//!
//! Tests start it in their own process with [`Simulator::start`] and reach into it with [`Simulator::world`];
//! scripts use the same by HTTP under `/_sim/`.

mod admin;
pub mod audit;
mod ess;
pub mod fault;
mod http;
mod members;
mod params;
mod refusal;
mod signature;
mod slb;
mod sts;
pub mod world;

pub use http::{Held, Options, Simulator, When};
