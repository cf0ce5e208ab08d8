//! What a schedule begins with, what people may do in it, and what may go wrong.

mod all;
pub mod builders;

use std::time::Duration;

pub use self::all::all;
use crate::{lab::Lab, plan::Deed};

/// What may go wrong in a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Requests, or answers, are lost.
    Lost,
    /// Requests land long after they were sent.
    Late,
    /// Replicas crash.
    Crash,
    /// Replicas stand still.
    Pause,
    /// Watches stall, or end.
    Lag,
    /// Kubernetes refuses single requests.
    Refusals,
    /// The cloud refuses calls as too many.
    Throttle,
    /// The cloud fails for a while, whatever is asked.
    Outage,
    /// Jobs and activities fail.
    Failures,
    /// Activities are listed late.
    Unlisted,
    /// Lists are stale or torn.
    Lists,
    /// Lists of members show late what was changed.
    Trail,
    /// Wall clocks jump.
    Clocks,
    /// Somebody touches objects in the middle of everything.
    Labels,
}

/// A workload.
#[derive(Clone, Copy)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// How many replicas there are; with more than one they elect a leader.
    pub replicas: usize,
    /// Makes the world.
    pub setup: fn(&mut Lab),
    /// Draws what somebody does.
    pub deed: fn(&mut fastrand::Rng) -> Deed,
    /// How many deeds there are at most.
    pub deeds: usize,
    /// What may go wrong.
    pub troubles: &'static [Trouble],
    /// How many things go wrong at most.
    pub most: usize,
    /// How long it is quiet at the end if every call was answered; else it takes the time in which one may land, too.
    pub calm: Duration,
}

impl Workload {
    /// The workload that is called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        all().into_iter().find(|workload| workload.name == name)
    }
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
