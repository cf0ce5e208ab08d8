//! What is remembered about an object as long as this process lives.
//!
//! Counts and waits, never facts: losing them at a takeover may delay a removal or cost one more try, and
//! nothing else. Facts stand in status ([`super::record`]).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use server_group_core::settle::Absences;

/// Counts and waits of one object. Times are since the start of the process.
#[derive(Debug)]
pub struct Memory<K> {
    /// Ledger entries that are neither listed nor present.
    pub absences: Absences<K>,
    /// Additions that the cloud accepted and that no listing has shown serving yet.
    pub expected: BTreeMap<K, Expectation>,
    /// Since when each parked entry waits.
    pub parked: BTreeMap<K, Parked>,
    /// The first time that the group's own call said it does not exist.
    pub gone_since: Option<Duration>,
    /// Passes that failed in a row.
    pub failures: u32,
    /// The present length of the quick beat.
    pub quick_beat: Option<Duration>,
    /// Generation and `reconcile-at` of the last pass: when they change, parked entries are tried again.
    pub last_seen: Option<(i64, Option<String>)>,
}

/// An addition that was accepted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expectation {
    /// How often it was accepted and then found absent on an idle group.
    pub failed: u32,
    /// It was accepted after the last failure, or the group was busy since: the next idle look decides.
    pub waiting: bool,
}

/// An entry that the cloud refused.
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    /// When it is tried again.
    pub until: Duration,
    /// How often a retry was refused.
    pub retries: u32,
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self {
            absences: Absences::default(),
            expected: BTreeMap::new(),
            parked: BTreeMap::new(),
            gone_since: None,
            failures: 0,
            quick_beat: None,
            last_seen: None,
        }
    }
}

/// The memories of all objects of one kind, by uid.
#[derive(Debug)]
pub struct Memories<K>(Mutex<HashMap<String, Arc<Mutex<Memory<K>>>>>);

impl<K> Default for Memories<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K> Memories<K> {
    /// The memory of the object with this uid, empty at first.
    pub fn of(&self, uid: &str) -> Arc<Mutex<Memory<K>>> {
        Arc::clone(self.0.lock().entry(uid.to_owned()).or_default())
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}
