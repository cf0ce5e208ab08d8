//! The operator against a real API server and the simulated cloud, in one binary so that one control plane
//! serves all tests; each test has a namespace, an account and a simulator of its own.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]
#![expect(
    clippy::unwrap_used,
    reason = "tests may unwrap, and helpers count as tests"
)]

mod accounts;
mod admission;
mod asked;
mod attachment;
mod claims;
mod counts;
mod crash;
mod credentials;
mod draining;
mod events;
mod exclusive;
mod families;
mod figures;
mod forced;
mod generated;
mod handover;
mod identity;
mod idle;
mod instances;
mod kinds;
mod lagging;
mod last_wishes;
mod leader;
mod membership;
mod monitoring;
mod namespaces;
mod observed;
mod old_ids;
mod orphans;
mod ownership;
mod parking;
mod peers;
mod plan_mode;
mod products;
mod program;
mod read_only;
mod removal;
mod replacement;
mod restored;
mod rig;
mod stage;
mod stale;
mod stalls;
mod table;
mod telling;
mod troubles;
mod unreadable;
mod unsettled;
mod views;
mod wide;
mod wire;
mod writes;
