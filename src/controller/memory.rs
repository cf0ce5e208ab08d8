//! The memory of an object, as long as this process lives.
//!
//! Counts and waits, never facts: losing them at a takeover may delay a removal or cost one more try, and
//! nothing else. Facts stand in status ([`super::record`]).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::{Deref, DerefMut},
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use server_group_core::{
    arrivals::Arrivals,
    blocked::Blocked,
    contention::{Returns, Strangers},
    gone::Missing,
    losses::Losses,
    parking::Parking,
    refusal::Trials,
    settle::Absences,
    waiting::WaitingSince,
};

use super::turns::CallId;
use crate::api::status::Plan;

/// Counts and waits of one object. Times are since the start of the process.
#[derive(Debug)]
pub struct Memory<K> {
    /// Ledger entries that are neither listed nor present.
    pub absences: Absences<K>,
    /// Additions that the cloud accepted and that no listing has shown serving yet, batch by batch.
    pub arrivals: Arrivals<K>,
    /// Batches that were accepted and failed later, by API action.
    pub trials: BTreeMap<String, Trials<K>>,
    /// The last such failure, until the object has converged.
    pub last_failure: Option<String>,
    /// Such failures that no event has told yet.
    pub failed: Vec<String>,
    /// Entries that were parked, with the reason, and that no event has told yet.
    pub newly_parked: BTreeMap<K, String>,
    /// Entries of which it was told that they stay in the cloud when the deleted object goes.
    pub told_what_stays: BTreeSet<K>,
    /// Whether it was told that everything stays because nobody would serve.
    pub told_retained: bool,
    /// When a removal of the deleted object, of which nothing was heard, cannot take effect any more.
    pub late_until: Option<(Timestamp, Duration)>,
    /// The value of the annotation `abandon` that means nothing and was told.
    pub told_abandon: Option<String>,
    /// Entries that an intent in status registered, but that we did not put there: they were refused or not sent. Each
    /// with whether it is adopted. They are kept until status says so too.
    pub not_ours: BTreeMap<K, bool>,
    /// Actions that the cloud refused and would refuse again.
    pub blocked: Blocked,
    /// Entries that we removed lately, and how often each came back.
    pub returns: Returns<K>,
    /// When entries were lost that nobody here had removed.
    pub losses: Losses<K>,
    /// Since when each stranger is one.
    pub strangers: Strangers<K>,
    /// Entries that change hands and wait for another object.
    pub changes_hands: WaitingSince<K>,
    /// Calls of other objects that have to end first, by operation.
    pub calls_of_others: WaitingSince<CallId>,
    /// Entries that the cloud refused, each until it is tried again.
    pub parking: Parking<K>,
    /// Whether the group's own call says that it does not exist.
    pub missing: Missing,
    /// Whether the last pass found that the rights in the object's namespace went before it.
    pub without_rights: bool,
    /// Passes that failed in a row.
    pub failures: u32,
    /// When the last pass wanted to look again for something that it waited for.
    pub due: Option<Duration>,
    /// When the look was made with which a pass goes on after waiting until a call may leave.
    pub waits_since: Option<Duration>,
    /// The present length of the quick beat.
    pub quick_beat: Option<Duration>,
    /// The plan that status showed last, until it is compared with what is carried out.
    pub shown: Option<Plan>,
    /// Generation and `reconcile-at` of the last pass: when they change, parked entries are tried again.
    pub last_seen: Option<(i64, Option<String>)>,
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self {
            absences: Absences::default(),
            arrivals: Arrivals::default(),
            trials: BTreeMap::new(),
            last_failure: None,
            failed: Vec::new(),
            newly_parked: BTreeMap::new(),
            told_what_stays: BTreeSet::new(),
            told_retained: false,
            late_until: None,
            told_abandon: None,
            not_ours: BTreeMap::new(),
            blocked: Blocked::default(),
            returns: Returns::default(),
            losses: Losses::default(),
            strangers: Strangers::default(),
            changes_hands: WaitingSince::default(),
            calls_of_others: WaitingSince::default(),
            parking: Parking::default(),
            missing: Missing::default(),
            without_rights: false,
            failures: 0,
            due: None,
            waits_since: None,
            quick_beat: None,
            shown: None,
            last_seen: None,
        }
    }
}

/// The memories of all objects of one kind, by uid.
#[derive(Debug)]
pub struct Memories<K>(Mutex<HashMap<String, Memory<K>>>);

impl<K> Default for Memories<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K> Memories<K> {
    /// Hands out the memory of the object with this uid, empty at first. An object has one pass at a time, as the pass has
    /// the turn on its group: nobody else asks for the memory meanwhile.
    pub fn lend(&self, uid: &str) -> Lent<'_, K> {
        let mut all = self.0.lock();
        let memory = std::mem::take(all.entry(uid.to_owned()).or_default());
        Lent {
            memory,
            uid: uid.to_owned(),
            owner: self,
        }
    }

    /// Forgets an object that is gone, also one that has a pass.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

/// The memory of an object for the time of a pass, given back at the end of it, however that comes.
#[derive(Debug)]
pub struct Lent<'m, K> {
    memory: Memory<K>,
    uid: String,
    owner: &'m Memories<K>,
}

impl<K> Drop for Lent<'_, K> {
    fn drop(&mut self) {
        if let Some(place) = self.owner.0.lock().get_mut(&self.uid) {
            *place = std::mem::take(&mut self.memory);
        }
    }
}

impl<K> Deref for Lent<'_, K> {
    type Target = Memory<K>;

    fn deref(&self) -> &Memory<K> {
        &self.memory
    }
}

impl<K> DerefMut for Lent<'_, K> {
    fn deref_mut(&mut self) -> &mut Memory<K> {
        &mut self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_outlives_the_pass_that_has_it_but_not_its_object() {
        let memories = Memories::<u8>::default();
        memories.lend("a").failures = 7;
        assert_eq!(memories.lend("a").failures, 7);
        assert_eq!(memories.lend("b").failures, 0);
        let lent = memories.lend("a");
        memories.forget("a");
        drop(lent);
        assert_eq!(memories.lend("a").failures, 0, "its object is gone");
    }
}
