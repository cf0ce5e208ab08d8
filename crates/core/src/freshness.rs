//! How old the look that a pass begins with may be (S5).
//!
//! Times are durations since one moment that the caller chose; only differences count.

use std::time::Duration;

/// The facts that the age of a look depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// Whether the spec changed, or a person asked for a look.
    pub asked: bool,
    /// Whether the last pass failed.
    pub failing: bool,
    /// How soon the group is looked at again while anything moves.
    pub quick_beat: Option<Duration>,
    /// How often the group is looked at otherwise.
    pub interval: Duration,
    /// How old a view that permits removals may be.
    pub view_age_max: Duration,
    /// When the thing that the last pass waited for was due.
    pub due: Option<Duration>,
    /// When the look was made that the pass goes on from, after it waited until a call may leave.
    pub resumes_from: Option<Duration>,
    /// When the group was changed last.
    pub changed_at: Option<Duration>,
}

/// How old a look may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The earliest moment at which the look may have been asked for.
    pub since: Duration,
    /// How long the next look may be kept for whoever asks then.
    pub keep: Duration,
}

impl Situation {
    /// How old the look that a pass begins with at `now` may be, so that objects can share it.
    ///
    /// While anything moves, it may be as old as the object's own last look would be by now; else a tenth of the
    /// interval. It is never from before a change to the group, nor from before something that was waited for.
    #[must_use]
    pub fn freshness(&self, now: Duration) -> Freshness {
        let keep = if self.asked || self.failing {
            Duration::ZERO
        } else {
            let slow = self.interval / 10;
            self.quick_beat.unwrap_or(slow).min(self.view_age_max)
        };
        let due = self.due.filter(|due| *due <= now);
        let kept = now.saturating_sub(keep);
        // A pass that waited until a call may leave goes on from the look that it has.
        let oldest = self.resumes_from.map_or(kept, |look| look.min(kept));
        let since = [Some(oldest), due, self.changed_at];
        Freshness {
            since: since.into_iter().flatten().max().unwrap_or(now),
            keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Situation = Situation {
        asked: false,
        failing: false,
        quick_beat: None,
        interval: Duration::from_mins(5),
        view_age_max: Duration::from_mins(1),
        due: None,
        resumes_from: None,
        changed_at: None,
    };

    /// A pass at 1000 s may begin with a look that was asked for since then.
    fn check(situation: Situation, since: u64) {
        let fresh = situation.freshness(at(1000));
        assert_eq!(fresh.since, at(since), "{situation:?}");
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_look_is_shared_for_a_tenth_of_the_interval_and_never_longer_than_a_view_may_be_old() {
        check(REST, 970);
        let interval = Duration::from_hours(1);
        check(Situation { interval, ..REST }, 940);
        let quick_beat = Some(at(2));
        check(Situation { quick_beat, ..REST }, 998);
        let fresh = Situation { quick_beat, ..REST }.freshness(at(1000));
        assert_eq!(fresh.keep, at(2));
    }

    #[test]
    fn who_asks_or_fails_looks_anew() {
        let asked = true;
        check(Situation { asked, ..REST }, 1000);
        let failing = true;
        check(Situation { failing, ..REST }, 1000);
    }

    #[test]
    fn no_look_counts_from_before_a_change_or_from_before_what_was_waited_for() {
        let changed_at = Some(at(980));
        check(Situation { changed_at, ..REST }, 980);
        let due = Some(at(990));
        let waited = Situation {
            due,
            changed_at,
            ..REST
        };
        check(waited, 990);
        let due = Some(at(1001));
        check(Situation { due, ..REST }, 970);
    }

    #[test]
    fn who_waited_until_a_call_may_leave_goes_on_from_its_look_unless_the_group_was_changed() {
        let resumes_from = Some(at(800));
        let resumed = Situation {
            resumes_from,
            ..REST
        };
        check(resumed, 800);
        let changed_at = Some(at(900));
        check(
            Situation {
                changed_at,
                ..resumed
            },
            900,
        );
        let resumes_from = Some(at(999));
        check(
            Situation {
                resumes_from,
                ..REST
            },
            970,
        );
    }
}
