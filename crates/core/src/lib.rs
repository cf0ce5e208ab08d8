//! Decides what to change in a server group or a scaling group.
//!
//! Everything a decision depends on arrives as a [`membership::World`] or an [`attachment::World`]; the
//! answer is a plan. Nothing here waits, reads a clock, or talks to anybody: the manifest has no
//! dependency to do it with, and `clippy.toml` bans what the standard library offers.
//!
//! The rules carry the names S1 to S12 that docs/architecture.md explains.

pub mod amount;
pub mod arrivals;
pub mod attachment;
pub mod blocked;
pub mod carry;
pub mod claim;
pub mod contention;
pub mod follow;
pub mod freshness;
pub mod gone;
pub mod grant;
mod guard;
pub mod ledger;
pub mod losses;
pub mod membership;
pub mod parking;
pub mod product;
pub mod purpose;
pub mod reason;
pub mod refusal;
pub mod server;
pub mod serving;
pub mod settle;
pub mod verdict;
pub mod view;
pub mod waiting;
