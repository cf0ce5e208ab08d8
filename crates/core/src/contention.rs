//! Entries that come back after they were removed, and strangers that have to be seen twice (S7, S8).
//!
//! Times are durations since one moment that the caller chose; only differences count.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{parking::RETURNS_MAX, view::View};

/// The waits by which a return is told from a lagging list.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// How long a list may show an entry that was removed already.
    pub listing_lag: Duration,
    /// How long after a removal a return counts.
    pub return_window: Duration,
}

/// An entry that was removed, as a view shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is wanted again, so its removal is history.
    Wanted,
    /// It is not there.
    Absent,
    /// It is there.
    Present,
}

impl Presence {
    /// The presence of an entry that is `wanted` by the object, or `present` in the cloud.
    #[must_use]
    pub const fn of(wanted: bool, present: bool) -> Self {
        match (wanted, present) {
            (true, _) => Self::Wanted,
            (false, true) => Self::Present,
            (false, false) => Self::Absent,
        }
    }
}

/// All removed entries, as one view shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned<K> {
    /// Entries that came back so often that they are left to whoever brings them.
    pub contended: BTreeSet<K>,
    /// Entries that are still there so soon after their removal that the list may lag.
    pub lagging: BTreeSet<K>,
    /// When a view decides about the next lagging entry.
    pub due: Option<Duration>,
}

/// Entries that were removed lately, and how often each came back.
#[derive(Clone, Debug)]
pub struct Returns<K>(BTreeMap<K, Removed>);

/// An entry that was removed.
#[derive(Clone, Copy, Debug)]
struct Removed {
    /// When the removal was accepted last.
    at: Duration,
    /// Whether it was seen absent since.
    gone: bool,
    /// Whether its return since was counted.
    counted: bool,
    /// How often it came back.
    returns: u32,
}

impl<K> Default for Returns<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Returns<K> {
    /// Notes that the cloud agreed to remove `keys`.
    pub fn removed(&mut self, keys: &[K], now: Duration) {
        for key in keys {
            let removed = self.0.entry(key.clone()).or_insert(Removed {
                at: now,
                gone: false,
                counted: false,
                returns: 0,
            });
            (removed.at, removed.gone, removed.counted) = (now, false, false);
        }
    }

    /// Notes that a removal of `keys` was accepted and has failed: their presence is no return.
    pub fn stayed(&mut self, keys: &BTreeSet<K>) {
        for key in keys {
            if let Some(removed) = self.0.get_mut(key) {
                removed.counted = true;
            }
        }
    }

    /// Takes in one view.
    ///
    /// An entry that is there for longer than lists lag counts as returned, though no view saw it absent.
    pub fn look(
        &mut self,
        view: View,
        waits: Waits,
        presence: impl Fn(&K) -> Presence,
    ) -> Returned<K> {
        let (mut contended, mut lagging, mut due) = (BTreeSet::new(), BTreeSet::new(), None);
        self.0.retain(|key, removed| {
            let recent = view.now < removed.at + waits.return_window;
            let shown_by = removed.at + waits.listing_lag;
            match presence(key) {
                Presence::Wanted => return false,
                Presence::Absent => (removed.gone, removed.counted) = (true, false),
                Presence::Present if removed.counted || !recent => {}
                Presence::Present if removed.gone || (view.idle && view.begun >= shown_by) => {
                    removed.counted = true;
                    removed.returns += 1;
                }
                Presence::Present => {
                    lagging.insert(key.clone());
                    let later = Some(shown_by).filter(|at| *at > view.now);
                    due = due.into_iter().chain(later).min();
                }
            }
            if removed.returns >= RETURNS_MAX {
                contended.insert(key.clone());
            }
            recent || removed.returns >= RETURNS_MAX
        });
        Returned {
            contended,
            lagging,
            due,
        }
    }

    /// Starts anew.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The strangers, and since when each has been one.
#[derive(Clone, Debug)]
pub struct Strangers<K>(BTreeMap<K, Duration>);

impl<K> Default for Strangers<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Strangers<K> {
    /// Takes in the `strangers` of the view that was asked for at `begun`. Returns those that have been strangers ever
    /// since one `gap` earlier, and when the next one will have been.
    ///
    /// `shown_from` tells from when on lists show what became of the last removal of one to which the cloud agreed, whoever
    /// asked for that: one that is back, however soon, is another stranger, and a view from before tells nothing of it.
    pub fn look(
        &mut self,
        strangers: &BTreeSet<K>,
        shown_from: impl Fn(&K) -> Option<Duration>,
        begun: Duration,
        now: Duration,
        gap: Duration,
    ) -> (BTreeSet<K>, Option<Duration>) {
        self.0.retain(|key, _| strangers.contains(key));
        let (mut confirmed, mut due) = (BTreeSet::new(), None);
        for key in strangers {
            let since = self.0.entry(key.clone()).or_insert(begun);
            if shown_from(key).is_some_and(|from| *since < from) {
                *since = begun;
            }
            let since = *since;
            if begun >= since + gap {
                confirmed.insert(key.clone());
            } else {
                let later = Some(since + gap).filter(|at| *at > now);
                due = due.into_iter().chain(later).min();
            }
        }
        (confirmed, due)
    }

    /// Starts anew.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: Waits = Waits {
        listing_lag: Duration::from_secs(30),
        return_window: Duration::from_hours(1),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn view(seconds: u64) -> View {
        View {
            begun: at(seconds),
            now: at(seconds),
            idle: true,
        }
    }

    /// Takes in a view of entry 1, and tells whether it is contended and whether the list may lag.
    fn shows(returns: &mut Returns<u8>, view: View, presence: Presence) -> (bool, bool) {
        let returned = returns.look(view, WAITS, |_| presence);
        (!returned.contended.is_empty(), !returned.lagging.is_empty())
    }

    #[test]
    fn what_comes_back_three_times_is_contended_and_stays_so() {
        let mut returns = Returns::default();
        for (round, contended) in [(0, false), (100, false), (200, true)] {
            returns.removed(&[1], at(round));
            assert!(!shows(&mut returns, view(round + 1), Presence::Absent).0 || contended);
            let back = shows(&mut returns, view(round + 2), Presence::Present);
            assert_eq!(back, (contended, false), "removed at {round}");
        }
        assert!(shows(&mut returns, view(9000), Presence::Absent).0);
        assert!(!shows(&mut returns, view(9001), Presence::Wanted).0);
        assert!(!shows(&mut returns, view(9002), Presence::Present).0);
    }

    #[test]
    fn one_return_that_is_seen_twice_is_one_return() {
        let mut returns = Returns::default();
        returns.removed(&[1], at(0));
        shows(&mut returns, view(1), Presence::Absent);
        for second in 2..9 {
            assert!(!shows(&mut returns, view(second), Presence::Present).0);
        }
    }

    #[test]
    fn what_is_still_listed_right_after_its_removal_has_not_come_back() {
        let mut returns = Returns::default();
        for round in [0, 100, 200, 300] {
            returns.removed(&[1], at(round));
            let seen = returns.look(view(round + 29), WAITS, |_| Presence::Present);
            assert!(seen.contended.is_empty());
            assert_eq!((seen.lagging.len(), seen.due), (1, Some(at(round + 30))));
        }
    }

    #[test]
    fn what_is_there_for_longer_than_lists_lag_came_back_though_nobody_saw_it_absent() {
        let mut returns = Returns::default();
        for (round, contended) in [(0, false), (100, false), (200, true)] {
            returns.removed(&[1], at(round));
            // The view has to be newer than that, not only the moment at which it is taken in; and the group idle.
            let old = View {
                begun: at(round + 29),
                ..view(round + 31)
            };
            assert_eq!(shows(&mut returns, old, Presence::Present), (false, true));
            let busy = View {
                idle: false,
                ..view(round + 31)
            };
            assert_eq!(shows(&mut returns, busy, Presence::Present), (false, true));
            let seen = shows(&mut returns, view(round + 31), Presence::Present);
            assert_eq!(seen, (contended, false));
        }
    }

    #[test]
    fn a_removal_that_failed_and_one_of_long_ago_are_no_returns() {
        let mut returns = Returns::default();
        for round in [0, 100, 200, 300] {
            returns.removed(&[1], at(round));
            returns.stayed(&BTreeSet::from([1]));
            let seen = shows(&mut returns, view(round + 40), Presence::Present);
            assert_eq!(seen, (false, false));
        }
        let mut returns = Returns::default();
        for round in [0, 10_000, 20_000, 30_000] {
            returns.removed(&[1], at(round));
            shows(&mut returns, view(round + 1), Presence::Absent);
            let seen = shows(&mut returns, view(round + 3600), Presence::Present);
            assert_eq!(seen, (false, false), "an hour later");
        }
    }

    #[test]
    fn a_stranger_is_one_that_two_views_far_enough_apart_show_and_all_between_them() {
        let (mut strangers, gap) = (Strangers::default(), at(60));
        let one = BTreeSet::from([1]);
        let nobody = |_: &u8| None;
        let mut look =
            |who: &BTreeSet<u8>, begun| strangers.look(who, nobody, at(begun), at(begun), gap);
        assert_eq!(look(&one, 0), (BTreeSet::new(), Some(at(60))));
        assert_eq!(look(&one, 59), (BTreeSet::new(), Some(at(60))));
        assert_eq!(look(&one, 60), (one.clone(), None));
        look(&BTreeSet::new(), 61);
        assert_eq!(look(&one, 62), (BTreeSet::new(), Some(at(122))));
        assert_eq!(look(&one, 121).0, BTreeSet::new());
        assert_eq!(look(&one, 122).0, one);
    }

    /// Another object had just removed it, and it was put back before anybody looked.
    #[test]
    fn a_stranger_that_comes_back_between_two_views_is_another_one() {
        let (mut strangers, gap) = (Strangers::default(), at(60));
        let one = BTreeSet::from([1]);
        let removed = |_: &u8| Some(at(91));
        strangers.look(&one, |_| None, at(0), at(0), gap);
        let mut look = |begun| strangers.look(&one, removed, at(begun), at(begun), gap);
        assert_eq!(look(62), (BTreeSet::new(), Some(at(122))));
        assert_eq!(
            look(130).0,
            BTreeSet::new(),
            "the list may have lagged then"
        );
        assert_eq!(look(190).0, one);
    }
}
