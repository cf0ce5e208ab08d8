//! The entries that one object may remove (S1): those it registered, and those it found and adopted.

use std::collections::BTreeSet;

use crate::server::{Rows, ServerKey};

/// Entries that a ledger may hold; further additions wait (`LedgerFull`).
pub const LEDGER_MAX: usize = 3000;

/// The entries that an object may remove. `K` is a member or an attachment; no key is in both sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger<K> {
    /// Entries put there by this object. They go when they are taken off the list or the object is deleted.
    pub registered: BTreeSet<K>,
    /// Entries found there when first listed. They go when they are taken off the list, and stay when the object is
    /// deleted.
    pub adopted: BTreeSet<K>,
}

impl<K> Default for Ledger<K> {
    fn default() -> Self {
        Self {
            registered: BTreeSet::new(),
            adopted: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Ledger<K> {
    /// Whether this object may remove `key`.
    #[must_use]
    pub fn holds(&self, key: &K) -> bool {
        self.registered.contains(key) || self.adopted.contains(key)
    }

    /// Every entry, registered before adopted.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.registered.iter().chain(&self.adopted)
    }

    /// Every entry in order.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<K> {
        self.iter().cloned().collect()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.registered.len() + self.adopted.len()
    }

    /// Whether there is nothing this object may remove.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.registered.is_empty() && self.adopted.is_empty()
    }

    /// Writes down that this object is about to add `key`. An adopted entry that got lost becomes registered.
    pub fn register(&mut self, key: K) {
        self.adopted.remove(&key);
        self.registered.insert(key);
    }

    /// Writes down that `key` was already there.
    pub fn adopt(&mut self, key: K) {
        if !self.registered.contains(&key) {
            self.adopted.insert(key);
        }
    }

    /// Takes `key` off the ledger.
    pub fn forget(&mut self, key: &K) {
        self.registered.remove(key);
        self.adopted.remove(key);
    }
}

impl Ledger<ServerKey> {
    /// Gives entries that were written without an address the address of their row.
    ///
    /// Only where one row alone can be meant; from then on that address decides.
    pub fn take_addresses(&mut self, rows: &Rows) {
        for set in [&mut self.registered, &mut self.adopted] {
            let bare: Vec<_> = set
                .iter()
                .filter(|key| key.ip.is_none() && !rows.contains_key(key))
                .cloned()
                .collect();
            for key in bare {
                let same_id = rows
                    .range(ServerKey::first_of(&key.id)..)
                    .map(|(row, _)| row)
                    .take_while(|row| row.id == key.id);
                let mut meant = same_id.filter(|row| row.same_server_and_port(&key));
                if let (Some(row), None) = (meant.next(), meant.next()) {
                    set.remove(&key);
                    set.insert(row.clone());
                }
            }
        }
        self.adopted.retain(|key| !self.registered.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(registered: &[u8], adopted: &[u8]) -> Ledger<u8> {
        Ledger {
            registered: registered.iter().copied().collect(),
            adopted: adopted.iter().copied().collect(),
        }
    }

    #[test]
    fn what_was_found_is_adopted_and_what_was_put_there_stays_registered() {
        let mut found = ledger(&[1], &[]);
        found.adopt(1);
        found.adopt(2);
        assert_eq!(found, ledger(&[1], &[2]));
    }

    #[test]
    fn an_adopted_member_that_was_lost_and_added_again_is_registered() {
        let mut lost = ledger(&[], &[1]);
        lost.register(1);
        assert_eq!(lost, ledger(&[1], &[]));
    }

    #[test]
    fn what_is_forgotten_is_in_neither_part() {
        let mut both = ledger(&[1], &[2]);
        both.forget(&1);
        both.forget(&2);
        assert!(both.is_empty());
    }
}
