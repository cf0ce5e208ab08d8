//! Which watches fail, and for how long.
//!
//! A watch that is silent works, unless it failed a moment ago: one that goes on after a failure has nothing to tell until
//! somebody changes an object. As it tries again every half minute at the latest, two rounds without a failure count as a
//! success.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::timing::Timing;

/// The watches of one operator; clones are one.
#[derive(Clone, Debug)]
pub struct Watches {
    known: Arc<Mutex<BTreeMap<&'static str, Option<Failing>>>>,
    /// How long a failure counts.
    counts: Duration,
    /// From when on it is serious.
    serious: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    told: bool,
}

impl Watches {
    /// None yet.
    #[must_use]
    pub fn new(timing: &Timing) -> Self {
        Self {
            known: Arc::default(),
            counts: 2 * (timing.quick_beat_max + timing.kubernetes_deadline),
            serious: timing.watch_failing_max,
        }
    }

    /// The watch of a kind showed something. Returns for how long it had failed, if that was told.
    pub fn works(&self, kind: &'static str) -> Option<Duration> {
        let before = self.known.lock().insert(kind, None).flatten();
        let failed = before.filter(|failing| failing.told)?;
        Some(failed.since.elapsed())
    }

    /// The watch of a kind failed. Returns for how long it has, when that is to be told: once, as soon as it is serious.
    pub fn fails(&self, kind: &'static str) -> Option<Duration> {
        let now = Instant::now();
        let mut known = self.known.lock();
        let known = known.entry(kind).or_default();
        let before = known.filter(|failing| now < failing.last + self.counts);
        let mut failing = before.unwrap_or(Failing {
            since: now,
            last: now,
            told: false,
        });
        failing.last = now;
        let time = now - failing.since;
        let tell = time >= self.serious && !failing.told;
        failing.told |= tell;
        *known = Some(failing);
        tell.then_some(time)
    }

    /// For how long each has failed; none, for one that works.
    #[must_use]
    pub fn failing(&self) -> Vec<(&'static str, Duration)> {
        let now = Instant::now();
        let known = self.known.lock();
        let failing = known.iter().map(|(kind, failing)| {
            let failing = failing.filter(|failing| now < failing.last + self.counts);
            let time = failing.map_or(Duration::ZERO, |failing| now - failing.since);
            (*kind, time)
        });
        failing.collect()
    }

    /// Those that have failed for so long that the replica is of no use.
    #[must_use]
    pub fn seriously_failing(&self) -> Vec<(&'static str, Duration)> {
        let mut failing = self.failing();
        failing.retain(|(_, time)| *time >= self.serious);
        failing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "ServerGroupMembership";

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_has_failed_for_a_minute_is_serious_and_told_once_until_it_works() {
        let watches = Watches::new(&Timing::production());
        assert_eq!(watches.fails(KIND), None);
        tokio::time::advance(seconds(59)).await;
        assert_eq!(watches.fails(KIND), None);
        assert!(watches.seriously_failing().is_empty());
        tokio::time::advance(seconds(1)).await;
        assert_eq!(watches.seriously_failing(), [(KIND, seconds(60))]);
        assert_eq!(watches.fails(KIND), Some(seconds(60)));
        assert_eq!(watches.fails(KIND), None);
        assert_eq!(watches.works(KIND), Some(seconds(60)));
        assert_eq!(watches.failing(), [(KIND, Duration::ZERO)]);
        assert_eq!(watches.works(KIND), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_goes_on_in_silence_works() {
        let watches = Watches::new(&Timing::production());
        watches.fails(KIND);
        tokio::time::advance(seconds(79)).await;
        assert_eq!(watches.seriously_failing(), [(KIND, seconds(79))]);
        tokio::time::advance(seconds(1)).await;
        assert_eq!(watches.failing(), [(KIND, Duration::ZERO)]);
        // Another failure is the first of a new row.
        watches.fails(KIND);
        assert_eq!(watches.failing(), [(KIND, Duration::ZERO)]);
    }
}
