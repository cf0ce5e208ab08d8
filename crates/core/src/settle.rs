//! When a change with an unknown outcome may be taken as over (S6), and when a ledger entry may leave (S2).
//!
//! Times are durations since one moment that the caller chose; only differences count.

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

use crate::{
    server::{ServerKey, State, Weight},
    view::View,
};

/// The waits used in settling.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// From sending (after a takeover: from the takeover) to the first view that counts.
    pub after_sending: Duration,
    /// Between the two views that have to agree.
    pub between_views: Duration,
    /// How long the names of a call stay in the ledger: a signed call can still land within that time.
    pub linger: Duration,
}

/// One name of a call, as a view shows it. Two views agree about a name if they show the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It is not there.
    Absent,
    /// The group that it would be in is not listed.
    GroupUnlisted,
    /// A member.
    Member(State, Option<Weight>),
    /// An attachment.
    Attached(Option<Weight>),
    /// All members of the group: instances come or go with the call.
    Everybody(BTreeSet<ServerKey>),
}

/// An operation whose outcome is unknown. `S` is the state in which a view shows the members it names.
#[derive(Clone, Debug)]
pub struct Settling<S> {
    since: Duration,
    first: Option<(Duration, S)>,
}

impl<S: PartialEq> Settling<S> {
    /// An operation whose call was sent, or found open at a takeover, at `since`.
    #[must_use]
    pub fn new(since: Duration) -> Self {
        Self { since, first: None }
    }

    /// Takes in a whole view that was asked for at `begun`; `idle` says that nothing runs on the group.
    ///
    /// Returns whether two views have agreed, far enough from the sending and from each other.
    pub fn look(&mut self, begun: Duration, shown: S, idle: bool, waits: Waits) -> bool {
        if !idle || begun < self.since + waits.after_sending {
            return false;
        }
        match &self.first {
            Some((at, before)) if *before == shown => begun >= *at + waits.between_views,
            _ => {
                self.first = Some((begun, shown));
                false
            }
        }
    }

    /// When the next view is worth asking for.
    #[must_use]
    pub fn next_look(&self, waits: Waits) -> Duration {
        match &self.first {
            Some((at, _)) => *at + waits.between_views,
            None => self.since + waits.after_sending,
        }
    }
}

/// A call whose outcome is unknown.
#[derive(Clone, Debug)]
pub struct Call {
    /// The API action.
    pub action: String,
    /// The members or attachments that it names, as they are written in status.
    pub names: BTreeSet<String>,
    settling: Settling<BTreeMap<String, Sighting>>,
}

impl Call {
    /// A call that was sent, or found open at a takeover, at `since`.
    #[must_use]
    pub fn new(action: String, names: BTreeSet<String>, since: Duration) -> Self {
        Self {
            action,
            names,
            settling: Settling::new(since),
        }
    }
}

/// The calls to a group whose outcome is unknown, by the id of their operation.
#[derive(Debug)]
pub struct Unsettled<I>(BTreeMap<I, Call>);

impl<I> Default for Unsettled<I> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<I: Ord + Clone> Unsettled<I> {
    /// Takes in a call that was sent and not answered.
    pub fn sent(&mut self, id: I, call: Call) {
        self.0.insert(id, call);
    }

    /// Takes in a call that somebody speaks of, unless it is known already.
    pub fn told(&mut self, id: I, call: impl FnOnce() -> Call) {
        self.0.entry(id).or_insert_with(call);
    }

    /// Keeps the calls that `stays` selects, and forgets those that are over for another reason.
    pub fn keep(&mut self, stays: impl Fn(&I) -> bool) {
        self.0.retain(|id, _| stays(id));
    }

    /// Whether the outcome of everything is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids of the operations, in order.
    pub fn ids(&self) -> impl Iterator<Item = &I> {
        self.0.keys()
    }

    /// The members or attachments that the calls name.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let names = self.0.values().flat_map(|call| &call.names);
        names.cloned().collect()
    }

    /// Lets a view count towards every call; `show` returns the state in which it shows one name. Returns the calls
    /// that have settled, in order, and forgets them. Also returns when the next view is worth asking for.
    pub fn look(
        &mut self,
        view: View,
        waits: Waits,
        show: impl Fn(&str) -> Sighting,
    ) -> (Vec<(I, Call)>, Option<Duration>) {
        let mut due = None;
        let settles = |_: &I, call: &mut Call| {
            let names = call.names.iter();
            let shown = names.map(|name| (name.clone(), show(name))).collect();
            let settled = call.settling.look(view.begun, shown, view.idle, waits);
            if !settled {
                let next = Some(call.settling.next_look(waits)).filter(|at| *at > view.now);
                due = due.into_iter().chain(next).min();
            }
            settled
        };
        let settled = self.0.extract_if(.., settles).collect();
        (settled, due)
    }
}

/// Ledger entries that are neither listed nor present, and for how many whole views.
#[derive(Clone, Debug)]
pub struct Absences<K> {
    views: BTreeMap<K, u32>,
    stay_until: BTreeMap<K, Duration>,
    /// When the last view was asked for: the same one is not taken in twice.
    looked: Option<Duration>,
}

impl<K> Default for Absences<K> {
    fn default() -> Self {
        Self {
            views: BTreeMap::new(),
            stay_until: BTreeMap::new(),
            looked: None,
        }
    }
}

impl<K: Ord + Clone> Absences<K> {
    /// Keeps `keys` until `until`, however absent they are: a late call may still bring them.
    pub fn keep(&mut self, keys: impl IntoIterator<Item = K>, until: Duration) {
        for key in keys {
            self.stay_until.insert(key, until);
        }
    }

    /// The keys that are kept at `now` because a late call may still bring them.
    pub fn kept(&self, now: Duration) -> impl Iterator<Item = K> {
        let kept = self
            .stay_until
            .iter()
            .filter(move |(_, until)| **until > now);
        kept.map(|(key, _)| key.clone())
    }

    /// Takes in the unlisted ledger entries that are `absent` from a whole view, which was asked for at `begun`.
    /// Returns those that may leave.
    ///
    /// An entry that is absent from the very first view after a takeover lingers, because nobody knows why it is
    /// absent.
    /// A release does not linger.
    pub fn look(
        &mut self,
        absent: &BTreeSet<K>,
        begun: Duration,
        now: Duration,
        waits: Waits,
        releasing: bool,
    ) -> BTreeSet<K> {
        if self.looked.is_none() {
            self.keep(absent.iter().cloned(), now + waits.linger);
        }
        let another = self.looked.replace(begun) != Some(begun);
        self.views.retain(|key, _| absent.contains(key));
        self.stay_until.retain(|_, until| *until > now);
        for key in absent {
            *self.views.entry(key.clone()).or_default() += u32::from(another);
        }
        let stays = |key: &K| !releasing && self.stay_until.contains_key(key);
        self.views
            .iter()
            .filter(|(key, views)| **views >= 2 && !stays(key))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Whether an entry has been missed once, so that another look soon decides about it.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.views
            .iter()
            .any(|(key, views)| *views < 2 && !self.stay_until.contains_key(key))
    }

    /// When the next entry that lingers may leave.
    #[must_use]
    pub fn next_end(&self) -> Option<Duration> {
        self.views
            .keys()
            .filter_map(|key| self.stay_until.get(key))
            .min()
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: Waits = Waits {
        after_sending: Duration::from_mins(1),
        between_views: Duration::from_secs(5),
        linger: Duration::from_mins(15),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn two_views_that_agree_settle() {
        let mut settling = Settling::new(at(0));
        assert!(
            !settling.look(at(59), "absent", true, WAITS),
            "too early to count"
        );
        assert!(
            !settling.look(at(60), "absent", true, WAITS),
            "the first that counts"
        );
        assert!(
            !settling.look(at(64), "absent", true, WAITS),
            "too close to the first"
        );
        assert!(settling.look(at(65), "absent", true, WAITS));
    }

    #[test]
    fn a_call_that_lands_between_the_views_starts_them_again() {
        let mut settling = Settling::new(at(0));
        settling.look(at(60), "absent", true, WAITS);
        assert!(!settling.look(at(66), "present", true, WAITS));
        assert!(!settling.look(at(70), "present", true, WAITS));
        assert!(settling.look(at(71), "present", true, WAITS));
    }

    #[test]
    fn nothing_settles_while_the_group_is_busy() {
        let mut settling = Settling::new(at(0));
        settling.look(at(60), 1, true, WAITS);
        assert!(!settling.look(at(70), 1, false, WAITS));
        assert!(settling.look(at(71), 1, true, WAITS));
    }

    fn call(names: &[&str], since: u64) -> Call {
        let names = names.iter().map(ToString::to_string).collect();
        Call::new("Remove".into(), names, at(since))
    }

    /// A view of an idle group in which only those are there: which calls have settled, and when to look again.
    fn shows(calls: &mut Unsettled<u8>, begun: u64, there: &[&str]) -> (Vec<u8>, Option<Duration>) {
        let view = View {
            begun: at(begun),
            now: at(begun),
            idle: true,
        };
        let show = |name: &str| match there.contains(&name) {
            true => Sighting::Member(State::Available, None),
            false => Sighting::Absent,
        };
        let (settled, due) = calls.look(view, WAITS, show);
        (settled.into_iter().map(|(id, _)| id).collect(), due)
    }

    #[test]
    fn each_call_settles_by_what_is_seen_of_its_own_names() {
        let mut calls = Unsettled::default();
        calls.sent(1, call(&["a", "b"], 0));
        calls.sent(2, call(&["c"], 0));
        assert_eq!(shows(&mut calls, 60, &["a", "c"]), (vec![], Some(at(65))));
        assert_eq!(shows(&mut calls, 65, &["a", "b", "c"]).0, [2]);
        assert_eq!(calls.names(), BTreeSet::from(["a", "b"].map(String::from)));
        assert_eq!(shows(&mut calls, 70, &["a", "b"]), (vec![1], None));
        assert!(calls.is_empty());
    }

    #[test]
    fn a_call_that_is_told_again_is_the_one_that_is_known() {
        let mut calls = Unsettled::default();
        calls.sent(1, call(&["a"], 0));
        calls.told(1, || call(&["a"], 64));
        calls.told(2, || call(&["b"], 64));
        shows(&mut calls, 60, &[]);
        let (settled, due) = shows(&mut calls, 65, &[]);
        assert_eq!((settled, due), (vec![1], Some(at(124))));
        calls.keep(|id| *id == 1);
        assert!(calls.is_empty());
    }

    #[test]
    fn a_moment_that_is_past_is_no_reason_to_look_again() {
        let mut calls = Unsettled::default();
        calls.sent(1, call(&["a"], 0));
        let busy = View {
            begun: at(70),
            now: at(70),
            idle: false,
        };
        let (settled, due) = calls.look(busy, WAITS, |_| Sighting::Absent);
        assert!(settled.is_empty());
        assert_eq!(due, None);
    }

    fn one() -> BTreeSet<u8> {
        BTreeSet::from([1])
    }

    #[test]
    fn an_entry_leaves_after_two_views_in_succession_that_lack_it() {
        let mut absences = Absences::default();
        absences.look(&BTreeSet::new(), at(0), at(0), WAITS, false);
        assert!(absences.look(&one(), at(1), at(1), WAITS, false).is_empty());
        assert!(
            absences
                .look(&BTreeSet::new(), at(2), at(2), WAITS, false)
                .is_empty(),
            "it was back"
        );
        assert!(absences.look(&one(), at(3), at(3), WAITS, false).is_empty());
        assert_eq!(absences.look(&one(), at(4), at(4), WAITS, false), one());
    }

    #[test]
    fn one_view_that_is_looked_at_twice_is_one_view() {
        let mut absences = Absences::default();
        absences.look(&BTreeSet::new(), at(0), at(0), WAITS, false);
        for now in [1, 2, 3] {
            let left = absences.look(&one(), at(1), at(now), WAITS, false);
            assert!(left.is_empty(), "{left:?} at {now}");
        }
        assert_eq!(absences.look(&one(), at(4), at(4), WAITS, false), one());
    }

    #[test]
    fn what_a_takeover_finds_absent_lingers_but_a_release_does_not_wait() {
        let mut absences = Absences::default();
        absences.look(&one(), at(0), at(0), WAITS, false);
        assert!(
            absences
                .look(&one(), at(10), at(10), WAITS, false)
                .is_empty()
        );
        assert_eq!(absences.next_end(), Some(at(900)));
        assert_eq!(
            absences.clone().look(&one(), at(11), at(11), WAITS, true),
            one()
        );
        assert_eq!(absences.look(&one(), at(900), at(900), WAITS, false), one());
    }

    #[test]
    fn what_an_unsettled_call_named_lingers() {
        let mut absences = Absences::default();
        absences.look(&BTreeSet::new(), at(0), at(0), WAITS, false);
        absences.keep([1], at(100));
        absences.look(&one(), at(50), at(50), WAITS, false);
        assert!(
            absences
                .look(&one(), at(99), at(99), WAITS, false)
                .is_empty()
        );
        assert_eq!(absences.look(&one(), at(100), at(100), WAITS, false), one());
    }
}
