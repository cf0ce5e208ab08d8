//! What tells the simulator the time.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

/// How long the simulator has run, and the machine's wall clock.
#[derive(Clone)]
pub struct Clock {
    elapsed: Arc<dyn Fn() -> Duration + Send + Sync>,
    wall: Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>,
}

impl Clock {
    /// A clock that somebody hands in.
    #[must_use]
    pub fn new(
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
        wall: impl Fn() -> jiff::Timestamp + Send + Sync + 'static,
    ) -> Self {
        Self {
            elapsed: Arc::new(elapsed),
            wall: Arc::new(wall),
        }
    }

    /// The machine's, from now on.
    #[must_use]
    pub fn of_machine() -> Self {
        let started = Instant::now();
        Self::new(move || started.elapsed(), jiff::Timestamp::now)
    }

    /// How long the simulator has run.
    pub(crate) fn elapsed(&self) -> Duration {
        (self.elapsed)()
    }

    /// Seconds of the wall clock since 1970.
    pub(crate) fn second(&self) -> i64 {
        (self.wall)().as_second()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
