//! How long a test waits for a real server: for as long as anything moves.
//!
//! A deadline for the whole of a wait measures the machine: the same wait takes four times as long when others are busy
//! on it. What is wrong is that nothing moves any more, so that is what ends a wait.

use std::{collections::HashSet, hash::Hash, time::Duration};

use tokio::time::{Instant, sleep};

/// How long nothing may move before a test fails. A failure costs this long, success does not.
const STILL_MAX: Duration = Duration::from_mins(1);

/// What moves for ever ends a test too.
const WAIT_MAX: Duration = Duration::from_mins(15);

/// The most that one look adds to a standstill. A longer one was kept waiting by the machine, and so was everybody who
/// should have moved.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Between two looks at least.
const PAUSE: Duration = Duration::from_millis(20);

/// One wait. `S` is what moves, as a look sees it.
///
/// It moves when it is as it never was before in this wait: whoever is stuck comes and goes between a few states for ever.
/// It must not contain what is always new, such as a clock, or how many calls were refused.
#[derive(Debug)]
pub struct Patience<S> {
    begun: Instant,
    /// When the last look was over, and for how long the next one was put off.
    looked: Instant,
    pause: Duration,
    still: Duration,
    seen: HashSet<S>,
}

impl<S> Default for Patience<S> {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            looked: now,
            pause: Duration::ZERO,
            still: Duration::ZERO,
            seen: HashSet::new(),
        }
    }
}

impl<S: Eq + Hash> Patience<S> {
    /// Takes in what a look saw that did not see what is waited for, and pauses until the next one.
    ///
    /// # Errors
    ///
    /// Why there is no next one, for people.
    pub async fn pause(&mut self, seen: S) -> Result<(), String> {
        sleep(self.look(seen)?).await;
        Ok(())
    }

    /// As [`Self::pause`], and returns how long to pause.
    ///
    /// # Errors
    ///
    /// As [`Self::pause`].
    pub fn look(&mut self, seen: S) -> Result<Duration, String> {
        let now = Instant::now();
        let since = now - self.looked;
        if self.seen.insert(seen) {
            self.still = Duration::ZERO;
        } else {
            self.still += since.min(LOOK_MAX);
        }
        let waited = now - self.begun;
        if self.still >= STILL_MAX {
            let (still, waited) = (self.still.as_secs(), waited.as_secs());
            return Err(format!("nothing has moved for {still} s, after {waited} s"));
        }
        if waited >= WAIT_MAX {
            let waited = waited.as_secs();
            return Err(format!("not in time, though things move: {waited} s"));
        }
        // Who waits leaves the machine to those who move: no look takes more than half of it.
        let took = since.saturating_sub(self.pause);
        (self.looked, self.pause) = (now, took.max(PAUSE));
        Ok(self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks that take so long each, until there is none any more: when, and why. Each sees what `seen` says of its second.
    async fn ended(look: Duration, seen: impl Fn(u64) -> u64) -> (u64, String) {
        let mut patience = Patience::default();
        loop {
            sleep(look).await;
            let second = patience.begun.elapsed().as_secs();
            if let Err(why) = patience.pause(seen(second)).await {
                return (second, why);
            }
        }
    }

    const QUICK: Duration = Duration::from_millis(5);

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_a_minute_after_the_last_movement() {
        let (second, why) = ended(QUICK, |_| 0).await;
        assert!(why.starts_with("nothing has moved"), "{why}");
        assert_eq!(second, 60);
        // It moves every 50 seconds until 500 are over.
        let (second, why) = ended(QUICK, |second| second.min(500) / 50).await;
        assert!(why.starts_with("nothing has moved"), "{why}");
        assert_eq!(second, 560);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_at_a_beat_is_no_movement() {
        let (second, why) = ended(QUICK, |second| second / 3 % 2).await;
        assert!(why.starts_with("nothing has moved"), "{why}");
        assert_eq!(second, 63);
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_for_ever_ends_a_wait_too() {
        let (second, why) = ended(QUICK, |second| second).await;
        assert!(why.starts_with("not in time"), "{why}");
        assert_eq!(second, 900);
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_stands_still_itself_is_no_standstill() {
        let (second, why) = ended(Duration::from_secs(20), |_| 0).await;
        assert!(why.starts_with("not in time"), "{second}: {why}");
    }
}
