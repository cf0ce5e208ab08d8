//! When a change that a job or scaling activity carries out is over (S6).
//!
//! Times are durations since one moment that the caller chose; only differences count.

use std::time::Duration;

/// The waits that following is made of.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long after the answer a list may not show yet what it began.
    pub until_listed: Duration,
    /// How long anything may take before it is said that it does not end.
    pub until_told: Duration,
}

/// What a list shows of a job or activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It runs.
    Running,
    /// It is in a state that this version does not know.
    Unclear,
    /// Nothing: it has not come into the list yet, or has left it.
    Nothing,
    /// It ended, or what it ran in is gone.
    Over,
}

/// A change that was accepted, and is carried out by something that a list shows.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    since: Duration,
    seen: bool,
}

impl Followed {
    /// The call was answered, or found so at a takeover, at `since`.
    #[must_use]
    pub const fn new(since: Duration) -> Self {
        Self { since, seen: false }
    }

    /// Takes in what a look at `now` shows, and returns whether the change is over.
    ///
    /// What is not listed has not ended, unless it was listed before or had the time to be. A state that nobody knows is
    /// not waited for without end: it may be one of the ends.
    pub fn look(&mut self, shown: Shown, now: Duration, patience: Patience) -> bool {
        self.seen |= matches!(shown, Shown::Running | Shown::Unclear);
        match shown {
            Shown::Running => false,
            Shown::Unclear => self.takes_too_long(now, patience),
            Shown::Nothing => self.seen || now >= self.since + patience.until_listed,
            Shown::Over => true,
        }
    }

    /// Whether it has been followed for longer than anything should take.
    #[must_use]
    pub fn takes_too_long(&self, now: Duration, patience: Patience) -> bool {
        now > self.since + patience.until_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        until_listed: Duration::from_secs(5),
        until_told: Duration::from_mins(15),
    };

    /// Looks one after the other, in seconds after the answer, and whether each shows that it is over.
    fn check(looks: &[(u64, Shown, bool)]) {
        let mut followed = Followed::new(Duration::from_secs(100));
        for (after, shown, over) in looks {
            let now = Duration::from_secs(100 + after);
            assert_eq!(
                followed.look(*shown, now, PATIENCE),
                *over,
                "{shown:?} after {after} s of {looks:?}"
            );
        }
    }

    #[test]
    fn an_activity_that_is_not_listed_yet_has_not_ended() {
        let (running, nothing) = (Shown::Running, Shown::Nothing);
        check(&[(1, nothing, false), (4, nothing, false), (5, nothing, true)]);
        check(&[(1, nothing, false), (2, running, false), (3, nothing, true)]);
        check(&[(0, Shown::Over, true)]);
    }

    #[test]
    fn an_activity_in_an_unknown_state_is_not_followed_for_ever() {
        let unclear = Shown::Unclear;
        check(&[
            (6, unclear, false),
            (900, unclear, false),
            (901, unclear, true),
        ]);
        check(&[
            (901, Shown::Running, false),
            (90_000, Shown::Running, false),
        ]);
    }
}
