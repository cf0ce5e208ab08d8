//! Entries that come back after we removed them, and strangers that are to be seen twice.

use std::{collections::BTreeSet, time::Duration};

use server_group_core::parking::{LeftAlone, RETURNS_MAX};

use super::{managed::Managed, memory::Removed, pass::Pass, record::PARKED_MAX};

impl<M: Managed> Pass<'_, M> {
    /// Notes what the cloud agreed to remove.
    pub fn note_removed(&self, keys: &[M::Key]) {
        let now = self.ctx.now();
        let mut memory = self.memory.lock();
        for key in keys {
            let removed = memory.removed.entry(key.clone()).or_insert(Removed {
                at: now,
                gone: false,
                counted: false,
                returns: 0,
            });
            (removed.at, removed.gone, removed.counted) = (now, false, false);
        }
    }

    /// Takes in what came back in a view that was asked for at `begun`, and returns what is left alone for it; and what is
    /// still there so soon after its removal that the list may lag.
    ///
    /// What is there for longer than lists lag came back, though no view saw it absent. `present` tells whether an entry is
    /// there; of one that is wanted again, nothing.
    pub fn notice_returns(
        &mut self,
        begun: Duration,
        idle: bool,
        present: impl Fn(&M::Key) -> Option<bool>,
    ) -> (BTreeSet<M::Key>, BTreeSet<M::Key>) {
        let (now, window) = (self.ctx.now(), self.ctx.timing.return_window);
        let lag = self.ctx.timing.listing_lag;
        let (mut contended, mut lagging, mut due) = (Vec::new(), BTreeSet::new(), Vec::new());
        self.memory.lock().removed.retain(|key, removed| {
            let recent = now < removed.at + window;
            match present(key) {
                None => return false,
                Some(false) => (removed.gone, removed.counted) = (true, false),
                Some(true) if removed.counted || !recent => {}
                Some(true) if removed.gone || (idle && begun >= removed.at + lag) => {
                    removed.counted = true;
                    removed.returns += 1;
                }
                Some(true) => {
                    lagging.insert(key.clone());
                    due.push(removed.at + lag);
                }
            }
            if removed.returns >= RETURNS_MAX {
                contended.push(key.clone());
            }
            recent || removed.returns >= RETURNS_MAX
        });
        for key in &contended {
            if self.record.parked.contains_key(key) || self.record.parked.len() >= PARKED_MAX {
                continue;
            }
            let why = LeftAlone::Contended;
            let mut memory = self.memory.lock();
            memory.newly_parked.insert(key.clone(), why.to_string());
            self.record.parked.insert(key.clone(), why);
        }
        for at in due {
            self.wake_at(at);
        }
        let parked = self.record.parked.iter();
        let parked = parked.filter(|(_, why)| **why == LeftAlone::Contended);
        let contended = parked.map(|(key, _)| key.clone()).chain(contended);
        (contended.collect(), lagging)
    }

    /// Notes that a removal which was accepted has failed.
    pub fn note_stayed(&self, keys: &BTreeSet<M::Key>) {
        let mut memory = self.memory.lock();
        for key in keys {
            if let Some(removed) = memory.removed.get_mut(key) {
                removed.counted = true;
            }
        }
    }

    /// Which of the `strangers` in the view that was asked for at `begun` were strangers long enough ago, and ever since.
    pub fn confirmed_strangers(
        &mut self,
        strangers: &BTreeSet<M::Key>,
        begun: Duration,
    ) -> BTreeSet<M::Key> {
        let gap = self.ctx.timing.stranger_gap;
        let mut memory = self.memory.lock();
        memory.strangers.retain(|key, _| strangers.contains(key));
        let mut confirmed = BTreeSet::new();
        let mut due = Vec::new();
        for key in strangers {
            let first = *memory.strangers.entry(key.clone()).or_insert(begun);
            if begun >= first + gap {
                confirmed.insert(key.clone());
            } else {
                due.push(first + gap);
            }
        }
        drop(memory);
        for at in due {
            self.wake_at(at);
        }
        confirmed
    }
}
