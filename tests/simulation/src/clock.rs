//! Virtual time: it passes when the simulation says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

/// Time since the beginning of a schedule. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// How long the schedule has lasted.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// Goes on to `then`, never back.
    pub fn reach(&self, then: Duration) {
        let micros = u64::try_from(then.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_max(micros, Ordering::Relaxed);
    }

    /// The same as a date.
    #[must_use]
    pub fn date(&self) -> Timestamp {
        date(self.now())
    }
}

/// What a correct wall clock shows at a moment of a schedule.
#[must_use]
pub fn date(at: Duration) -> Timestamp {
    let begun = Timestamp::from_second(1_767_225_600).expect("2026 has begun");
    let passed = SignedDuration::try_from(at).expect("schedules last hours");
    begun.checked_add(passed).expect("schedules last hours")
}
