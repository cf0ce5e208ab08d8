//! When a group is gone for sure: its own call has said so twice, far enough apart.
//!
//! Times are durations since one moment that the caller chose; only differences count.

use std::time::Duration;

/// Since when a group's own call says that it does not exist, if it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing(Option<Duration>);

impl Missing {
    /// Takes in that the call says so at `now`. Returns whether that proves the group gone, because the call said so
    /// `gap` earlier too, and the moment from which on it would.
    pub fn said(&mut self, now: Duration, gap: Duration) -> (bool, Duration) {
        let proven = *self.0.get_or_insert(now) + gap;
        (now >= proven, proven)
    }

    /// Takes in that the call found the group.
    pub fn found(&mut self) {
        self.0 = None;
    }

    /// Until when another answer would prove nothing, if the call has said so and that is not over at `now`.
    #[must_use]
    pub fn undecided(&self, now: Duration, gap: Duration) -> Option<Duration> {
        let proven = self.0.map(|since| since + gap);
        proven.filter(|at| now < *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_group_is_gone_when_its_call_has_said_so_twice_far_enough_apart() {
        let mut missing = Missing::default();
        assert_eq!(missing.said(at(100), GAP), (false, at(130)));
        assert_eq!(missing.said(at(129), GAP), (false, at(130)));
        assert_eq!(missing.said(at(130), GAP), (true, at(130)));
        assert_eq!(missing.said(at(500), GAP), (true, at(130)));
    }

    #[test]
    fn a_group_that_is_found_in_between_is_not_gone() {
        let mut missing = Missing::default();
        missing.said(at(100), GAP);
        missing.found();
        assert_eq!(missing.said(at(130), GAP), (false, at(160)));
    }

    #[test]
    fn an_answer_is_worth_nothing_more_until_the_second_one_would_count() {
        let mut missing = Missing::default();
        assert_eq!(missing.undecided(at(100), GAP), None, "nobody has said so");
        missing.said(at(100), GAP);
        assert_eq!(missing.undecided(at(129), GAP), Some(at(130)));
        assert_eq!(missing.undecided(at(130), GAP), None);
    }
}
