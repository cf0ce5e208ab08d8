//! Entries that somebody takes away again and again, though each time they are put back.
//!
//! Times are durations since one moment that the caller chose; only differences count.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// As many losses within the window make a fight.
pub const LOSSES_MAX: usize = 3;

/// When entries were lost that nobody here had removed.
#[derive(Clone, Debug)]
pub struct Losses<K>(BTreeMap<K, VecDeque<Duration>>);

impl<K> Default for Losses<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Losses<K> {
    /// Takes in that `lost` was found missing at `now`. Returns the entries about which that begins a fight.
    pub fn found(
        &mut self,
        lost: impl IntoIterator<Item = K>,
        now: Duration,
        window: Duration,
    ) -> Vec<K> {
        self.forget(now, window);
        let mut news = Vec::new();
        for key in lost {
            let times = self.0.entry(key.clone()).or_default();
            let fought = times.len() >= LOSSES_MAX;
            times.push_back(now);
            if times.len() >= LOSSES_MAX && !fought {
                news.push(key);
            }
        }
        news
    }

    /// The entries that are fought over at `now`: until a window has passed since the last loss.
    pub fn fought_over(&mut self, now: Duration, window: Duration) -> Vec<K> {
        self.forget(now, window);
        let fought = self.0.iter().filter(|(_, times)| times.len() >= LOSSES_MAX);
        fought.map(|(key, _)| key.clone()).collect()
    }

    /// Forgets losses: a fight as a whole, a window after its last loss; single ones, each a window after it.
    fn forget(&mut self, now: Duration, window: Duration) {
        let recent = |at: Duration| now.saturating_sub(at) < window;
        for times in self.0.values_mut() {
            let fought = times.len() >= LOSSES_MAX;
            let goes_on = fought && times.back().is_some_and(|last| recent(*last));
            if !goes_on {
                times.retain(|at| recent(*at));
            }
        }
        self.0.retain(|_, times| !times.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    /// Loses entry 1 at these minutes; returns the minutes at which that was news.
    fn lose(minutes: &[u64]) -> (Losses<u8>, Vec<u64>) {
        let mut losses = Losses::default();
        let mut news = Vec::new();
        for minute in minutes {
            if !losses.found([1], at(*minute), HOUR).is_empty() {
                news.push(*minute);
            }
        }
        (losses, news)
    }

    #[test]
    fn three_losses_within_an_hour_are_a_fight_and_told_once() {
        assert_eq!(lose(&[0, 10]).1, [0_u64; 0]);
        assert_eq!(lose(&[0, 10, 59]).1, [59]);
        assert_eq!(lose(&[0, 10, 20, 30, 40]).1, [20]);
        assert_eq!(lose(&[0, 30, 61]).1, [0_u64; 0], "the first is an hour ago");
    }

    #[test]
    fn a_fight_is_over_an_hour_after_the_last_loss() {
        let (mut losses, _) = lose(&[0, 10, 20, 70]);
        assert_eq!(losses.fought_over(at(129), HOUR), [1]);
        assert_eq!(losses.fought_over(at(130), HOUR), [0_u8; 0]);
        assert_eq!(
            losses.found([1], at(131), HOUR),
            [0_u8; 0],
            "a first one again"
        );
    }
}
