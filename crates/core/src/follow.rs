//! When a change that a job or scaling activity carries out is over (S6).
//!
//! Times are durations since one moment that the caller chose; only differences count.

use std::time::Duration;

/// The waits used in following a job or activity.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long after the answer a list may not show the job or activity yet.
    pub until_listed: Duration,
    /// How long a job or activity may take before it is reported as not ending.
    pub until_told: Duration,
}

/// A job or activity as a list shows it.
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

/// The kind of task by which the cloud carries a change out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A job of ALB or NLB. A job that does not end is given up: the group's own state shows whether it is busy.
    Job,
    /// A scaling activity. An activity that does not end is reported, and followed all the same: its instances are on
    /// the move as long as it says so, and no other state shows that.
    Activity,
}

/// How a job or scaling activity stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It runs.
    Running,
    /// It is in a state that this version does not know.
    Unclear,
    /// The list does not show it: not yet, or no more.
    NotListed,
    /// It ended, well as far as is known.
    Ended,
    /// It ended, and something is to be said about it.
    Warned(String),
    /// It ended badly, in the cloud's words.
    Failed(String),
}

impl Progress {
    /// The part of the progress that decides whether the change is over.
    #[must_use]
    pub const fn shown(&self) -> Shown {
        match self {
            Self::Running => Shown::Running,
            Self::Unclear => Shown::Unclear,
            Self::NotListed => Shown::Nothing,
            Self::Ended | Self::Warned(_) | Self::Failed(_) => Shown::Over,
        }
    }
}

/// The conclusion from how a job or scaling activity stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// It is waited for.
    Runs,
    /// It is waited for, though it should have ended long ago.
    Endless,
    /// It is over, well as far as is known.
    Done,
    /// It is over, and this is to be said about it.
    Warned(String),
    /// It failed, with this to be said about it.
    Failed(String),
}

/// A change that was accepted, and is carried out by something that a list shows.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    since: Duration,
    seen: bool,
}

impl Followed {
    /// A change whose call was answered, or found answered at a takeover, at `since`.
    #[must_use]
    pub const fn new(since: Duration) -> Self {
        Self { since, seen: false }
    }

    /// Takes in what a look at `now` shows, and returns whether the change is over.
    ///
    /// A job or activity that is not listed has not ended, unless it was listed before or has had the time to be
    /// listed. An unknown state is not waited for without end: it may be one of the end states.
    pub fn look(&mut self, shown: Shown, now: Duration, patience: Patience) -> bool {
        self.seen |= matches!(shown, Shown::Running | Shown::Unclear);
        match shown {
            Shown::Running => false,
            Shown::Unclear => self.takes_too_long(now, patience),
            Shown::Nothing => self.seen || now >= self.since + patience.until_listed,
            Shown::Over => true,
        }
    }

    /// Takes in the progress at `now`, and returns the conclusion.
    pub fn course(
        &mut self,
        carrier: Carrier,
        progress: Progress,
        now: Duration,
        patience: Patience,
    ) -> Course {
        let over = self.look(progress.shown(), now, patience);
        let too_long = self.takes_too_long(now, patience);
        match (progress, carrier) {
            (Progress::Failed(words), _) => Course::Failed(words),
            (Progress::Warned(words), _) => Course::Warned(words),
            (Progress::Unclear, _) if over => {
                Course::Warned("it stays in a state that is not known".to_owned())
            }
            _ if over => Course::Done,
            (_, Carrier::Job) if too_long => Course::Failed("it does not end".to_owned()),
            (_, Carrier::Activity) if too_long => Course::Endless,
            _ => Course::Runs,
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

    /// How something stands so many seconds after the answer, and what follows.
    fn follows(carrier: Carrier, after: u64, progress: Progress) -> Course {
        let mut followed = Followed::new(Duration::from_secs(100));
        followed.course(
            carrier,
            progress,
            Duration::from_secs(100 + after),
            PATIENCE,
        )
    }

    #[test]
    fn an_end_is_an_end_whenever_it_comes() {
        for carrier in [Carrier::Job, Carrier::Activity] {
            for after in [0, 901] {
                let course = |progress| follows(carrier, after, progress);
                assert_eq!(course(Progress::Ended), Course::Done);
                let words = || "no stock".to_owned();
                assert_eq!(course(Progress::Warned(words())), Course::Warned(words()));
                assert_eq!(course(Progress::Failed(words())), Course::Failed(words()));
            }
            assert_eq!(follows(carrier, 4, Progress::NotListed), Course::Runs);
            assert_eq!(follows(carrier, 5, Progress::NotListed), Course::Done);
        }
    }

    #[test]
    fn a_job_that_does_not_end_is_given_up_and_an_activity_is_waited_for() {
        let running = |carrier, after| follows(carrier, after, Progress::Running);
        assert_eq!(running(Carrier::Job, 900), Course::Runs);
        assert_eq!(running(Carrier::Activity, 900), Course::Runs);
        let given_up = Course::Failed("it does not end".to_owned());
        assert_eq!(running(Carrier::Job, 901), given_up);
        assert_eq!(running(Carrier::Activity, 901), Course::Endless);
    }

    #[test]
    fn a_state_that_nobody_knows_is_told_when_it_is_taken_for_an_end() {
        for carrier in [Carrier::Job, Carrier::Activity] {
            let unclear = |after| follows(carrier, after, Progress::Unclear);
            assert_eq!(unclear(900), Course::Runs);
            assert!(matches!(unclear(901), Course::Warned(_)));
        }
    }
}
