//! The batches to send after a batch was refused, or failed though it was accepted, because of one bad member (S8).

use std::collections::BTreeSet;

/// Cuts `items` into batches of at most `limit`, keeping their order.
#[must_use]
pub fn batches<T: Clone>(items: &[T], limit: usize) -> Vec<Vec<T>> {
    items.chunks(limit).map(<[T]>::to_vec).collect()
}

/// The two halves of a refused batch, or the one bad member it consists of.
///
/// Halving until single members are left finds each bad one in at most 2⌈log₂ n⌉ further calls.
///
/// # Errors
///
/// The member, when there is only one.
pub fn halve<T: Clone>(batch: &[T]) -> Result<[Vec<T>; 2], T> {
    match batch {
        [bad] => Err(bad.clone()),
        _ => {
            let (left, right) = batch.split_at(batch.len() / 2);
            Ok([left.to_vec(), right.to_vec()])
        }
    }
}

/// Batches with a bad member in them, which are sent by themselves until it is found.
///
/// A refused batch is halved. A batch that was accepted and failed later as a whole is sent once more as it was. If it
/// fails again, it is halved, and each half is sent once.
#[derive(Clone, Debug)]
pub struct Trials<T>(Vec<BTreeSet<T>>);

impl<T> Default for Trials<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord + Clone> Trials<T> {
    /// Cuts `items` into batches of at most `limit`: each trial by itself, the rest in order.
    #[must_use]
    pub fn batches(&self, items: &[T], limit: usize) -> Vec<Vec<T>> {
        let wanted: BTreeSet<_> = items.iter().cloned().collect();
        let on_trial: Vec<Vec<T>> = self
            .0
            .iter()
            .map(|trial| trial.intersection(&wanted).cloned().collect())
            .collect();
        let alone: BTreeSet<&T> = on_trial.iter().flatten().collect();
        let rest: Vec<T> = items
            .iter()
            .filter(|item| !alone.contains(item))
            .cloned()
            .collect();
        // A trial that is larger than the limit, which another action had, is cut too.
        let trials = on_trial.iter().flat_map(|trial| batches(trial, limit));
        batches(&rest, limit).into_iter().chain(trials).collect()
    }

    /// Takes in that `batch`, which was accepted, failed as a whole. Returns the bad item if it is known now.
    pub fn failed(&mut self, batch: &BTreeSet<T>) -> Option<T> {
        if self.0.iter().any(|trial| batch.is_subset(trial)) {
            return self
                .refused(&batch.iter().cloned().collect::<Vec<_>>())
                .err();
        }
        self.passed(batch);
        if !batch.is_empty() {
            self.0.push(batch.clone());
        }
        None
    }

    /// Takes in that `batch` was refused for one bad member, and returns its halves, to be sent one after the other.
    ///
    /// # Errors
    ///
    /// The bad item, once it is alone.
    pub fn refused(&mut self, batch: &[T]) -> Result<[Vec<T>; 2], T> {
        self.passed(batch);
        let halves = halve(batch)?;
        for half in &halves {
            self.0.push(half.iter().cloned().collect());
        }
        Ok(halves)
    }

    /// Takes in that `items` arrived, or are wanted no longer.
    pub fn passed<'a>(&mut self, items: impl IntoIterator<Item = &'a T>)
    where
        T: 'a,
    {
        for item in items {
            for trial in &mut self.0 {
                trial.remove(item);
            }
        }
        self.0.retain(|trial| !trial.is_empty());
    }

    /// Ends the trial of every item that is not `left` to be done.
    pub fn keep(&mut self, left: impl Fn(&T) -> bool) {
        for trial in &mut self.0 {
            trial.retain(&left);
        }
        self.0.retain(|trial| !trial.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a batch to a cloud that refuses any batch with a bad member; returns (calls, added, parked).
    fn send(batch: &[u32], bad: &[u32]) -> (usize, Vec<u32>, Vec<u32>) {
        let (mut calls, mut added, mut parked) = (0, Vec::new(), Vec::new());
        let mut queue = vec![batch.to_vec()];
        while let Some(batch) = queue.pop() {
            calls += 1;
            if !batch.iter().any(|item| bad.contains(item)) {
                added.extend(batch);
                continue;
            }
            match halve(&batch) {
                Ok(halves) => queue.extend(halves),
                Err(bad) => parked.push(bad),
            }
        }
        added.sort_unstable();
        (calls, added, parked)
    }

    #[test]
    fn one_bad_member_does_not_stop_199() {
        for bad in 0..200 {
            let (calls, added, parked) = send(&(0..200).collect::<Vec<_>>(), &[bad]);
            assert_eq!((added.len(), parked), (199, vec![bad]));
            assert!(calls <= 1 + 2 * 8, "{calls} calls for {bad}");
        }
    }

    #[test]
    fn batches_keep_order_and_limit() {
        assert_eq!(
            batches(&[1, 2, 3, 4, 5], 2),
            vec![vec![1, 2], vec![3, 4], vec![5]]
        );
        assert!(batches::<u8>(&[], 2).is_empty());
    }

    /// Sends batches to a cloud that accepts everything and lets any batch with a bad member fail later.
    fn follow(items: &[u32], limit: usize, bad: &[u32]) -> (usize, Vec<u32>, Vec<u32>) {
        let mut trials = Trials::default();
        let (mut calls, mut arrived, mut parked) = (0, Vec::new(), Vec::new());
        loop {
            let missing: Vec<_> = items
                .iter()
                .filter(|item| !arrived.contains(*item) && !parked.contains(*item))
                .copied()
                .collect();
            let Some(batch) = trials.batches(&missing, limit).into_iter().next() else {
                arrived.sort_unstable();
                return (calls, arrived, parked);
            };
            calls += 1;
            assert!(batch.len() <= limit && calls < 100);
            if batch.iter().any(|item| bad.contains(item)) {
                parked.extend(trials.failed(&batch.into_iter().collect()));
            } else {
                trials.passed(&batch);
                arrived.extend(batch);
            }
        }
    }

    #[test]
    fn a_batch_that_failed_later_is_sent_once_more_and_then_halved() {
        let all: Vec<_> = (0..200).collect();
        assert_eq!(follow(&all, 200, &[]), (1, all.clone(), vec![]));
        for bad in [0, 77, 199] {
            let (calls, arrived, parked) = follow(&all, 200, &[bad]);
            assert_eq!((arrived.len(), parked), (199, vec![bad]));
            // The first, once more, and two for each halving.
            assert!(calls <= 2 + 2 * 8, "{calls} calls for {bad}");
        }
    }

    #[test]
    fn a_single_one_that_fails_is_parked_the_second_time() {
        assert_eq!(follow(&[7], 200, &[7]), (2, vec![], vec![7]));
    }

    #[test]
    fn what_is_on_trial_is_sent_apart_from_the_rest() {
        let mut trials = Trials::default();
        trials.failed(&BTreeSet::from([1, 2]));
        assert_eq!(
            trials.batches(&[1, 2, 3, 4], 20),
            vec![vec![3, 4], vec![1, 2]]
        );
        assert_eq!(trials.batches(&[2, 3], 20), vec![vec![3], vec![2]]);
        trials.passed(&[1, 2]);
        assert_eq!(trials.batches(&[1, 2, 3], 20), vec![vec![1, 2, 3]]);
    }
}
