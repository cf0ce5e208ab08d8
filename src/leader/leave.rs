//! Leave to send one changing call: a value with an end that goes with the call as far as the wire (S9).
//!
//! Between the question whether this replica leads and the first byte, keys are fetched and the call is signed. A process
//! that is stopped in between signs with the clock of the moment at which it wakes up, so that the cloud would take a call
//! that nobody reckons with any more. The end is the same for both clocks, and whichever reaches it first decides.

use std::time::Duration;

use tokio::time::Instant;

use crate::timing::Timing;

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub(super) monotonic: Instant,
    wall: jiff::Timestamp,
}

impl Moment {
    pub(super) fn by(timing: &Timing) -> Self {
        Self {
            monotonic: Instant::now(),
            wall: timing.wall_now(),
        }
    }

    /// The larger of the times by both clocks, so that neither a suspended machine nor a jump of the clock extends
    /// anything.
    #[must_use]
    pub fn elapsed(self, timing: &Timing) -> Duration {
        let wall = timing.wall_now().duration_since(self.wall);
        let wall = Duration::try_from(wall).unwrap_or(Duration::ZERO);
        self.monotonic.elapsed().max(wall)
    }
}

/// Leave to send one changing call, and to wait for its answer, until it ends.
#[derive(Clone, Copy, Debug)]
pub struct Leave {
    epoch: i64,
    given: Moment,
    lasts: Duration,
}

impl Leave {
    pub(super) const fn new(epoch: i64, given: Moment, lasts: Duration) -> Self {
        Self {
            epoch,
            given,
            lasts,
        }
    }

    /// The epoch that it belongs to.
    #[must_use]
    pub const fn epoch(&self) -> i64 {
        self.epoch
    }

    /// When it ends, as far as the monotonic clock can say.
    #[must_use]
    pub fn end(&self) -> Instant {
        self.given.monotonic + self.lasts
    }

    /// How long ago it was given.
    #[must_use]
    pub fn age(&self, timing: &Timing) -> Duration {
        self.given.elapsed(timing)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self, timing: &Timing) -> bool {
        self.age(timing) >= self.lasts
    }
}
