//! The outcome of additions that the cloud accepted: a list may not show them yet, and some of them fail (S8).
//!
//! Times are durations since one moment that the caller chose; only differences count.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    refusal::Trials,
    server::{Row, State},
};

/// The outcome for an entry whose addition was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is there, and serves or is wanted no longer.
    Serves,
    /// It is there.
    There,
    /// It is not there.
    Absent,
    /// It is not there, and wanted no longer: it may come all the same, and is ours then.
    Unwanted,
}

impl Arrival {
    /// The arrival of a server that the group shows as `row`.
    #[must_use]
    pub const fn of(row: Option<&Row>, wanted: bool) -> Self {
        match (row, wanted) {
            (None, false) => Self::Unwanted,
            (None, true) => Self::Absent,
            (Some(row), true) if !matches!(row.state, State::Available) => Self::There,
            (Some(_), _) => Self::Serves,
        }
    }
}

/// The waits by which a failure is told from a lagging list.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// How long a list may lack an entry that is there already.
    pub listing_lag: Duration,
    /// How long an accepted call can still bring an entry.
    pub linger: Duration,
}

/// All accepted entries, as one view shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived<K> {
    /// Entries known to be at fault, with the cloud's id of the answer that accepted them.
    pub bad: Vec<(K, String)>,
    /// Entries that the list may not show yet.
    pub lagging: BTreeSet<K>,
    /// When a later view decides about the next lagging entry.
    pub due: Option<Duration>,
}

/// Additions that the cloud accepted and that no view has shown serving yet, batch by batch.
#[derive(Clone, Debug)]
pub struct Arrivals<K>(Vec<Awaited<K>>);

/// An addition that was accepted.
#[derive(Clone, Debug)]
struct Awaited<K> {
    /// The entries that the call named.
    batch: BTreeSet<K>,
    /// The entries of the batch that have not been seen serving.
    left: BTreeSet<K>,
    /// When it was accepted, or the cloud was last seen at work on the group.
    since: Duration,
    /// The cloud's id of the answer.
    request: String,
}

impl<K> Default for Arrivals<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord + Clone> Arrivals<K> {
    /// Notes that the cloud accepted an addition of `batch` at `now`, with the answer `request`.
    pub fn accepted(&mut self, batch: BTreeSet<K>, request: String, now: Duration) {
        self.0.push(Awaited {
            left: batch.clone(),
            batch,
            since: now,
            request,
        });
    }

    /// Notes that the job or activity which carries out `names` ended at `now`: a list may lack them from then on. Returns
    /// whether any of them is awaited.
    pub fn carried_out(&mut self, names: &BTreeSet<K>, now: Duration) -> bool {
        let mut known = false;
        for awaited in &mut self.0 {
            if !awaited.batch.is_disjoint(names) {
                (awaited.since, known) = (now, true);
            }
        }
        known
    }

    /// Notes that the addition of `names` failed: a batch with any of them is awaited no longer.
    pub fn failed(&mut self, names: &BTreeSet<K>) {
        self.0.retain(|awaited| awaited.batch.is_disjoint(names));
    }

    /// Takes in what a whole view shows; `idle` says that nothing runs on the group.
    ///
    /// An entry that is absent from an idle group for longer than lists lag has failed. Failures go through `trials`
    /// (S8): as one batch if all of it is absent, else one by one.
    pub fn look(
        &mut self,
        trials: &mut Trials<K>,
        idle: bool,
        now: Duration,
        waits: Waits,
        arrival: impl Fn(&K) -> Arrival,
    ) -> Arrived<K> {
        let (mut bad, mut lagging, mut due) = (Vec::new(), BTreeSet::new(), None);
        self.0.retain_mut(|awaited| {
            if !idle {
                awaited.since = now;
            }
            let absent = awaited.shown(&arrival, now >= awaited.since + waits.linger);
            trials.passed(awaited.batch.difference(&awaited.left));
            let shown_by = awaited.since + waits.listing_lag;
            if !idle || now < shown_by {
                if !absent.is_empty() {
                    due = due.into_iter().chain([shown_by]).min();
                }
                lagging.extend(absent);
                return !awaited.left.is_empty();
            }
            let failed = awaited.at_fault(&absent, trials);
            bad.extend(failed.into_iter().map(|key| (key, awaited.request.clone())));
            awaited.left.retain(|key| !absent.contains(key));
            !awaited.left.is_empty()
        });
        Arrived { bad, lagging, due }
    }

    /// The entries that were accepted less than `lag` before `now` and that no view has shown serving.
    #[must_use]
    pub fn since(&self, now: Duration, lag: Duration) -> BTreeSet<K> {
        let lately = self.0.iter().filter(|awaited| now < awaited.since + lag);
        lately
            .flat_map(|awaited| awaited.left.iter().cloned())
            .collect()
    }
}

impl<K: Ord + Clone> Awaited<K> {
    /// Takes off entries that arrived and, once the call is `over`, those wanted no longer. Returns the absent ones.
    fn shown(&mut self, arrival: impl Fn(&K) -> Arrival, over: bool) -> BTreeSet<K> {
        self.left.retain(|key| match arrival(key) {
            Arrival::Serves => false,
            Arrival::There | Arrival::Absent => true,
            Arrival::Unwanted => !over,
        });
        let absent = self.left.iter();
        let absent = absent.filter(|key| arrival(key) == Arrival::Absent);
        absent.cloned().collect()
    }

    /// The `absent` entries that are known to be at fault.
    fn at_fault(&self, absent: &BTreeSet<K>, trials: &mut Trials<K>) -> Vec<K> {
        if *absent == self.batch {
            return trials.failed(absent).into_iter().collect();
        }
        let alone = absent.iter().map(|key| BTreeSet::from([key.clone()]));
        alone.filter_map(|key| trials.failed(&key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: Waits = Waits {
        listing_lag: Duration::from_secs(30),
        linger: Duration::from_mins(15),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    struct Group {
        arrivals: Arrivals<u8>,
        trials: Trials<u8>,
    }

    impl Group {
        /// An addition of these was accepted at 0.
        fn awaits(batch: &[u8]) -> Self {
            let mut group = Self {
                arrivals: Arrivals::default(),
                trials: Trials::default(),
            };
            group.accepts(batch, 0);
            group
        }

        fn accepts(&mut self, batch: &[u8], now: u64) {
            let batch = batch.iter().copied().collect();
            self.arrivals.accepted(batch, "request".into(), at(now));
        }

        /// A view of an idle group in which those `serve`, and the rest is absent: who is at fault, and who lags.
        fn shows(&mut self, now: u64, serve: &[u8]) -> (Vec<u8>, Vec<u8>) {
            let arrival = |key: &u8| match serve.contains(key) {
                true => Arrival::Serves,
                false => Arrival::Absent,
            };
            let seen = self
                .arrivals
                .look(&mut self.trials, true, at(now), WAITS, arrival);
            let bad = seen.bad.into_iter().map(|(key, _)| key);
            (bad.collect(), seen.lagging.into_iter().collect())
        }
    }

    #[test]
    fn what_the_list_lacks_so_soon_is_waited_for() {
        let mut group = Group::awaits(&[1, 2]);
        assert_eq!(group.shows(29, &[]), (vec![], vec![1, 2]));
        assert_eq!(group.shows(29, &[1]), (vec![], vec![2]));
        assert_eq!(group.shows(29, &[1, 2]), (vec![], vec![]));
        assert!(group.arrivals.since(at(29), at(900)).is_empty());
    }

    #[test]
    fn a_batch_that_ends_absent_is_sent_once_more_and_a_single_one_then_is_at_fault() {
        let mut group = Group::awaits(&[1]);
        assert_eq!(group.shows(30, &[]), (vec![], vec![]), "not lagging");
        assert_eq!(group.trials.batches(&[1, 2], 20), [vec![2], vec![1]]);
        group.accepts(&[1], 40);
        assert_eq!(group.shows(70, &[]), (vec![1], vec![]));
    }

    #[test]
    fn a_batch_is_at_fault_as_a_whole_only_if_all_of_it_is_absent() {
        let mut group = Group::awaits(&[1, 2, 3]);
        assert_eq!(group.shows(30, &[1]), (vec![], vec![]));
        assert_eq!(group.trials.batches(&[2, 3], 20), [[2], [3]], "one by one");
        let mut group = Group::awaits(&[1, 2, 3]);
        assert_eq!(group.shows(30, &[]), (vec![], vec![]));
        assert_eq!(group.trials.batches(&[1, 2, 3], 20), [[1, 2, 3]]);
    }

    #[test]
    fn a_busy_group_decides_nothing_and_the_wait_begins_after_it() {
        let mut group = Group::awaits(&[1]);
        let (arrivals, trials) = (&mut group.arrivals, &mut group.trials);
        let seen = arrivals.look(trials, false, at(100), WAITS, |_| Arrival::Absent);
        assert_eq!(seen.due, Some(at(130)));
        assert_eq!(group.shows(129, &[]), (vec![], vec![1]));
        assert_eq!(group.shows(130, &[]), (vec![], vec![]));
        assert!(group.arrivals.since(at(130), at(900)).is_empty());
    }

    #[test]
    fn the_end_of_its_job_starts_the_wait_anew() {
        let mut group = Group::awaits(&[1]);
        let one = BTreeSet::from([1]);
        assert!(group.arrivals.carried_out(&one, at(100)));
        assert_eq!(group.shows(129, &[]), (vec![], vec![1]));
        group.arrivals.failed(&one);
        assert!(!group.arrivals.carried_out(&one, at(200)));
    }

    #[test]
    fn what_is_wanted_no_longer_is_awaited_as_long_as_its_call_can_land() {
        let mut group = Group::awaits(&[1]);
        let mut unwanted = |now| {
            let (arrivals, trials) = (&mut group.arrivals, &mut group.trials);
            let seen = arrivals.look(trials, true, at(now), WAITS, |_| Arrival::Unwanted);
            assert!(seen.bad.is_empty() && seen.lagging.is_empty());
            group.arrivals.since(at(now), at(9000)).len()
        };
        assert_eq!(unwanted(899), 1);
        assert_eq!(unwanted(900), 0);
    }

    #[test]
    fn what_is_there_and_does_not_serve_has_not_failed() {
        let mut group = Group::awaits(&[1]);
        let (arrivals, trials) = (&mut group.arrivals, &mut group.trials);
        let seen = arrivals.look(trials, true, at(5000), WAITS, |_| Arrival::There);
        assert!(seen.bad.is_empty() && seen.lagging.is_empty());
        assert_eq!(group.arrivals.since(at(29), at(30)), BTreeSet::from([1]));
        assert!(group.arrivals.since(at(30), at(30)).is_empty());
    }
}
