//! Entries left alone because the cloud refused them, or because somebody else brings them back (S8).
//!
//! Times are durations since one moment that the caller chose; only differences count.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use crate::reason::Hold;

/// The most entries that status lists as left alone.
pub const PARKED_MAX: usize = 100;

/// The number of returns after which an entry is left to whoever brings it.
pub const RETURNS_MAX: u32 = 3;

/// The first word of the reason that status gives for an entry that keeps coming back.
const CONTENDED: &str = "Contended";

/// Why an entry is left alone, as status says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftAlone {
    /// The cloud refused it, in these words. It is tried again.
    Refused(String),
    /// It came back after it was removed, again and again.
    Contended,
}

impl LeftAlone {
    /// Reads the reason that status gives.
    #[must_use]
    pub fn read(written: &str) -> Self {
        if written.starts_with(CONTENDED) {
            Self::Contended
        } else {
            Self::Refused(written.to_owned())
        }
    }
}

impl fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(words) => f.write_str(words),
            Self::Contended => write!(
                f,
                "{CONTENDED}: removed, and back {RETURNS_MAX} times; it is left to whoever brings it"
            ),
        }
    }
}

/// When entries that the cloud refused are tried again.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The delays of an entry whose refusal may pass by itself, one after the other.
    pub soon: Vec<Duration>,
    /// The delay after these, and of every other entry.
    pub then: Duration,
}

/// A refusal of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The cloud's words.
    pub words: String,
    /// Whether the group that the entry names does not exist.
    pub group_missing: bool,
    /// Whether it may pass by itself: the server is starting or was just made, the load balancer is not ready.
    pub may_pass: bool,
}

/// Entries that the cloud refused, each until it is tried again.
#[derive(Clone, Debug)]
pub struct Parking<K>(BTreeMap<K, Parked>);

/// An entry that the cloud refused.
#[derive(Clone, Debug)]
pub struct Parked {
    /// The cloud's words, in case the write that tells them gets lost.
    reason: String,
    /// When it is tried again.
    until: Duration,
    /// How often it was refused before.
    refused_before: usize,
    /// Whether it is tried again soon.
    pub soon: bool,
    /// Whether it was refused again after the longest delay: then it takes a person.
    pub again: bool,
    /// Whether the group that the entry names does not exist.
    pub group_missing: bool,
}

impl<K> Default for Parking<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Parking<K> {
    /// Leaves `key`, which was refused at `now`, alone as long as the schedule says, and has that told in `status` while
    /// there is room. Returns whether that is news: another refusal in the same words is none.
    pub fn park(
        &mut self,
        key: K,
        refusal: Refusal,
        now: Duration,
        schedule: &Schedule,
        status: &mut BTreeMap<K, LeftAlone>,
    ) -> bool {
        let before = self.0.remove(&key);
        let reason = refusal.words;
        let news = before.as_ref().is_none_or(|before| before.reason != reason);
        let refused_before = before
            .as_ref()
            .map_or(0, |before| before.refused_before + 1);
        let soon = schedule
            .soon
            .get(refused_before)
            .filter(|_| refusal.may_pass);
        let parked = Parked {
            reason: reason.clone(),
            until: now + soon.copied().unwrap_or(schedule.then),
            refused_before,
            soon: soon.is_some(),
            again: soon.is_none() && before.is_some_and(|before| !before.soon),
            group_missing: refusal.group_missing,
        };
        self.0.insert(key.clone(), parked);
        if status.len() < PARKED_MAX {
            status.insert(key, LeftAlone::Refused(reason));
        }
        news
    }

    /// The entries that are still `wanted` and parked at `now`, and when the first of them is tried again. Refused
    /// entries that are no longer wanted are forgotten, in `status` too.
    ///
    /// An entry that only status knows was parked before this process began. It is tried once, and a failure then
    /// counts as a repeated one.
    pub fn now(
        &mut self,
        status: &mut BTreeMap<K, LeftAlone>,
        now: Duration,
        wanted: impl Fn(&K) -> bool,
    ) -> (BTreeSet<K>, Option<Duration>) {
        for (key, why) in &*status {
            let LeftAlone::Refused(reason) = why else {
                continue;
            };
            self.0.entry(key.clone()).or_insert_with(|| Parked {
                reason: reason.clone(),
                until: Duration::ZERO,
                refused_before: 0,
                soon: false,
                again: false,
                group_missing: false,
            });
        }
        self.0.retain(|key, _| wanted(key));
        status.retain(|key, why| self.0.contains_key(key) || *why == LeftAlone::Contended);
        for (key, parked) in &self.0 {
            if status.len() < PARKED_MAX {
                let told = status.entry(key.clone());
                told.or_insert_with(|| LeftAlone::Refused(parked.reason.clone()));
            }
        }
        let waiting = self.0.iter().filter(|(_, parked)| parked.until > now);
        let first = waiting.clone().map(|(_, parked)| parked.until).min();
        (waiting.map(|(key, _)| key.clone()).collect(), first)
    }

    /// Whether `is` holds for any entry that is `held` as parked. Entries that are being tried again do not count.
    pub fn any(&self, held: &BTreeMap<K, Hold>, is: impl Fn(&Parked) -> bool) -> bool {
        let waits = |key| held.get(key) == Some(&Hold::Parked);
        let mut parked = self.0.iter();
        parked.any(|(key, parked)| waits(key) && is(parked))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any entry is tried again soon.
    #[must_use]
    pub fn any_soon(&self) -> bool {
        self.0.values().any(|parked| parked.soon)
    }

    /// Forgets every entry, so that all are tried again.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Has `status` tell that `key` is contended, if there is room. Returns whether that is news.
pub fn tell_contended<K: Ord>(key: K, status: &mut BTreeMap<K, LeftAlone>) -> bool {
    if status.contains_key(&key) || status.len() >= PARKED_MAX {
        return false;
    }
    status.insert(key, LeftAlone::Contended);
    true
}

/// The first few of the entries that are left alone, each with the reason, and how many more there are: status lists no more
/// than it has room for, so `in_all` may be more.
#[must_use]
pub fn named<K: fmt::Display>(status: &BTreeMap<K, LeftAlone>, in_all: usize) -> String {
    const NAMED: usize = 3;
    let mut named: Vec<_> = status
        .iter()
        .take(NAMED)
        .map(|(key, why)| format!("{key} ({why})"))
        .collect();
    let more = in_all.max(status.len()).saturating_sub(NAMED);
    if more > 0 {
        named.push(format!("and {more} more, see status.parked"));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_status_says_is_read_back_as_it_was_meant() {
        let refused = LeftAlone::Refused("QuotaExceeded: no room".into());
        for why in [refused, LeftAlone::Contended] {
            assert_eq!(LeftAlone::read(&why.to_string()), why);
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    type Status = BTreeMap<usize, LeftAlone>;

    /// Refuses an entry with these words at this second, for good or not.
    fn refuse(
        parking: &mut Parking<usize>,
        status: &mut Status,
        (key, words, second, may_pass): (usize, &str, u64, bool),
    ) -> bool {
        let schedule = Schedule {
            soon: [30, 60, 120].map(Duration::from_secs).to_vec(),
            then: Duration::from_hours(1),
        };
        let refusal = Refusal {
            words: words.to_owned(),
            group_missing: false,
            may_pass,
        };
        parking.park(key, refusal, at(second), &schedule, status)
    }

    /// Entry 1, refused with these words at 0 and parked for an hour.
    fn parked(words: &str) -> (Parking<usize>, Status) {
        let (mut parking, mut status) = (Parking::default(), Status::new());
        assert!(refuse(&mut parking, &mut status, (1, words, 0, false)));
        (parking, status)
    }

    #[test]
    fn a_server_that_is_starting_is_tried_soon_and_then_hourly() {
        let (mut parking, mut status) = (Parking::default(), Status::new());
        let mut second = 0;
        let mut delays = Vec::new();
        for _ in 0..5 {
            refuse(&mut parking, &mut status, (1, "starts", second, true));
            let (_, next) = parking.now(&mut status, at(second), |_| true);
            let next = next.unwrap().as_secs();
            delays.push((next - second, again(&parking)));
            second = next;
        }
        let expected = [
            (30, false),
            (60, false),
            (120, false),
            (3600, false),
            (3600, true),
        ];
        assert_eq!(delays, expected);
    }

    #[test]
    fn a_server_that_is_still_starting_after_a_takeover_takes_no_person_yet() {
        let (mut parking, mut status) = (Parking::default(), parked("starts").1);
        parking.now(&mut status, at(0), |_| true);
        refuse(&mut parking, &mut status, (1, "starts", 0, true));
        assert!(!again(&parking));
    }

    fn again(parking: &Parking<usize>) -> bool {
        let held = BTreeMap::from([(1, Hold::Parked)]);
        parking.any(&held, |parked| parked.again)
    }

    #[test]
    fn what_was_refused_is_left_alone_until_its_time_and_told_all_along() {
        let (mut parking, mut status) = parked("no");
        let one = BTreeSet::from([1]);
        let seen = parking.now(&mut status, at(3599), |_| true);
        assert_eq!(seen, (one, Some(at(3600))));
        let seen = parking.now(&mut status, at(3600), |_| true);
        assert_eq!(seen, (BTreeSet::new(), None), "it is tried again");
        assert_eq!(status[&1], LeftAlone::Refused("no".into()));
    }

    #[test]
    fn refused_again_it_counts_and_is_news_only_in_other_words() {
        let (mut parking, mut status) = parked("no");
        assert!(!again(&parking));
        assert!(!refuse(&mut parking, &mut status, (1, "no", 3600, false)));
        assert!(again(&parking));
        assert!(refuse(&mut parking, &mut status, (1, "never", 5400, false)));
        assert_eq!(status[&1], LeftAlone::Refused("never".into()));
        let held = BTreeMap::from([(1, Hold::InFlight)]);
        assert!(!parking.any(&held, |_| true), "it is being tried");
    }

    #[test]
    fn what_is_wanted_no_longer_is_forgotten_and_what_is_contended_is_not() {
        let (mut parking, mut status) = parked("no");
        assert!(tell_contended(2, &mut status));
        assert!(!tell_contended(2, &mut status), "told once");
        parking.now(&mut status, at(1), |_| false);
        assert_eq!(status, BTreeMap::from([(2, LeftAlone::Contended)]));
        assert!(refuse(&mut parking, &mut status, (1, "no", 0, false)));
        assert!(!again(&parking), "a first time again");
    }

    #[test]
    fn what_only_status_knows_is_tried_once_and_failing_counts_as_again() {
        let (mut parking, mut status) = (Parking::default(), parked("no").1);
        tell_contended(2, &mut status);
        let seen = parking.now(&mut status, at(0), |_| true);
        assert_eq!(seen, (BTreeSet::new(), None));
        assert!(!refuse(&mut parking, &mut status, (1, "no", 0, false)));
        assert!(again(&parking));
    }

    #[test]
    fn a_status_that_lost_its_words_gets_them_back() {
        let (mut parking, mut status) = parked("no");
        status.clear();
        parking.now(&mut status, at(1), |_| true);
        assert_eq!(status[&1], LeftAlone::Refused("no".into()));
    }

    #[test]
    fn status_lists_no_more_than_it_has_room_for_and_the_rest_is_left_alone_too() {
        let (mut parking, mut status) = parked("no");
        for key in 2..=PARKED_MAX + 5 {
            refuse(&mut parking, &mut status, (key, "no", 0, false));
        }
        assert_eq!(status.len(), PARKED_MAX);
        assert!(!tell_contended(9999, &mut status));
        let (left_alone, _) = parking.now(&mut status, at(1), |_| true);
        assert_eq!(
            (status.len(), left_alone.len()),
            (PARKED_MAX, PARKED_MAX + 5)
        );
    }

    #[test]
    fn a_person_reads_of_three_and_of_how_many_more_there_are() {
        let (mut parking, mut status) = parked("no");
        assert_eq!(named(&status, 1), "1 (no)");
        for key in 2..=5 {
            refuse(&mut parking, &mut status, (key, "no", 0, false));
        }
        let expected = "1 (no), 2 (no), 3 (no), and 2 more, see status.parked";
        assert_eq!(named(&status, 5), expected);
        let expected = "1 (no), 2 (no), 3 (no), and 197 more, see status.parked";
        assert_eq!(named(&status, 200), expected);
    }
}
