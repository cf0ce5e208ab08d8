//! Waiting for other objects (S7): not for ever without a word.

use std::{collections::BTreeMap, time::Duration};

/// The entries that wait, and since when each does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingSince<K>(BTreeMap<K, Duration>);

impl<K> Default for WaitingSince<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> WaitingSince<K> {
    /// Takes in the entries that wait at `now`. Returns those that have waited for at least `patience`, each with the
    /// object it waits for, and when the next one will have.
    pub fn overdue(
        &mut self,
        awaits: &BTreeMap<K, String>,
        now: Duration,
        patience: Duration,
    ) -> (BTreeMap<K, String>, Option<Duration>) {
        self.0.retain(|key, _| awaits.contains_key(key));
        let (mut overdue, mut next) = (BTreeMap::new(), None);
        for (key, other) in awaits {
            let due = *self.0.entry(key.clone()).or_insert(now) + patience;
            if due <= now {
                overdue.insert(key.clone(), other.clone());
            } else {
                next = next.into_iter().chain([due]).min();
            }
        }
        (overdue, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_too_long_is_told_and_who_waits_anew_waits_from_then_on() {
        let (second, patience) = (Duration::from_secs, Duration::from_secs(10));
        let one = BTreeMap::from([(1, "ns/a".to_owned())]);
        let mut waits = WaitingSince::default();
        assert_eq!(waits.overdue(&one, second(1), patience).1, Some(second(11)));
        let (overdue, _) = waits.overdue(&one, second(10), patience);
        assert!(overdue.is_empty());
        let told = (one.clone(), None);
        assert_eq!(waits.overdue(&one, second(11), patience), told);
        waits.overdue(&BTreeMap::new(), second(12), patience);
        let (overdue, next) = waits.overdue(&one, second(13), patience);
        assert!(overdue.is_empty());
        assert_eq!(next, Some(second(23)));
    }
}
