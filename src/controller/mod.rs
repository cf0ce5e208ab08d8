//! One pass over one object, and what brings it back.
//!
//! `parse → authorize → observe → plan → claim → apply → verify → report`: [`converge`] is that pipeline, [`membership`] and
//! [`attachment`] are its steps for the two kinds, [`pass`] is what they share, and `server_group_core` decides.
//! Why a pass was triggered is never looked at.

pub mod account_status;
pub mod accounts;
pub mod announce;
pub mod apply;
pub mod attachment;
pub mod authorize;
pub mod blocking;
pub mod book;
pub mod carry_out;
pub mod change;
pub mod claims;
pub mod contention;
pub mod context;
pub mod converge;
pub mod dispatch;
pub mod ended;
pub mod events;
pub mod fight;
pub mod following;
pub mod fresh;
pub mod freshness;
pub mod identity;
pub mod joined;
pub mod known;
pub mod lag;
pub mod late_moves;
pub mod left;
pub mod managed;
pub mod membership;
pub mod memory;
pub mod news;
pub mod object;
pub mod open;
pub mod operation;
pub mod pace;
pub mod parking;
#[cfg(test)]
mod parses;
pub mod pass;
pub mod queue;
pub mod reconcile;
pub mod record;
pub mod registry;
pub mod report;
pub mod scaling_activity;
pub mod scope;
pub mod settling;
pub mod shown_plan;
pub mod sight;
pub mod signals;
pub mod sources;
pub mod stands;
pub mod stop;
pub mod take_over;
pub mod turns;
pub mod unreadable;
pub mod upkeep;
pub mod version;
pub mod waiting;
pub mod watch;
pub mod watches;
pub mod writes;

pub use context::{Context, KUBERNETES_REQUESTS_MAX};
