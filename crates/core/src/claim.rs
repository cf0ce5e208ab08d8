//! Who owns a member when several objects want it (S7).

use std::collections::BTreeSet;

/// Order of birth: creation time in seconds, then uid. The smaller is the older.
pub type Age = (i64, String);

/// What another object may do about the members it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Live, granted, and carrying out its spec: a member it lists is handed over to it.
    Enforcing,
    /// Suspended, planning, or without a grant: it keeps what it has and takes nothing.
    Idle,
    /// Being deleted: it lists nothing any more and lets go of its ledger.
    Leaving,
}

/// Another object on the same group.
#[derive(Clone, Debug)]
pub struct Claimant<K> {
    /// `namespace/name`, for people.
    pub name: String,
    /// Order of birth.
    pub age: Age,
    /// What its spec lists; nothing without a grant or while it is being deleted.
    pub lists: BTreeSet<K>,
    /// What its ledger holds.
    pub ledger: BTreeSet<K>,
    /// Whether it acts.
    pub standing: Standing,
}

/// Whose a contested member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The object that asks.
    Us,
    /// Another one, and it will not let go by itself.
    Other(&'a str),
    /// Another one that no longer lists it and hands it over.
    Yielding(&'a str),
}

/// Decides whose `key` is. `ours` says whether our own ledger holds it; the asking object is taken to claim it.
///
/// The one whose ledger holds it keeps it; if none or several do, the older.
#[must_use]
pub fn owner<'a, K: Ord>(key: &K, age: &Age, ours: bool, others: &'a [Claimant<K>]) -> Owner<'a> {
    let holders = others.iter().filter(|other| other.ledger.contains(key));
    let rival = if holders.clone().next().is_some() {
        oldest(holders).filter(|other| !ours || other.age < *age)
    } else if ours {
        None
    } else {
        oldest(others.iter().filter(|other| other.lists.contains(key)))
            .filter(|other| other.age < *age)
    };
    match rival {
        None => Owner::Us,
        Some(other) if !other.lists.contains(key) && other.standing != Standing::Idle => {
            Owner::Yielding(&other.name)
        }
        Some(other) => Owner::Other(&other.name),
    }
}

fn oldest<'a, K: 'a>(claimants: impl Iterator<Item = &'a Claimant<K>>) -> Option<&'a Claimant<K>> {
    claimants.min_by_key(|other| &other.age)
}

/// Whether any live object lists or holds `key`, whatever its standing.
#[must_use]
pub fn claimed<K: Ord>(key: &K, others: &[Claimant<K>]) -> bool {
    let claims = |other: &Claimant<K>| other.lists.contains(key) || other.ledger.contains(key);
    others.iter().any(claims)
}

/// Whether a live, granted, enforcing object lists `key`: such a member is handed over, never removed (S1).
#[must_use]
pub fn wanted_by<'a, K: Ord>(key: &K, others: &'a [Claimant<K>]) -> Option<&'a str> {
    others
        .iter()
        .find(|other| other.standing == Standing::Enforcing && other.lists.contains(key))
        .map(|other| other.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(age: i64, lists: &[u8], ledger: &[u8], standing: Standing) -> Claimant<u8> {
        Claimant {
            name: format!("ns/{age}"),
            age: (age, String::new()),
            lists: lists.iter().copied().collect(),
            ledger: ledger.iter().copied().collect(),
            standing,
        }
    }

    const US: i64 = 5;

    fn check(ours: bool, others: &[Claimant<u8>], expected: Owner<'_>) {
        assert_eq!(owner(&1, &(US, String::new()), ours, others), expected);
    }

    #[test]
    fn the_ledger_decides_before_age() {
        check(
            true,
            &[claimant(1, &[1], &[], Standing::Enforcing)],
            Owner::Us,
        );
        check(
            false,
            &[claimant(9, &[1], &[1], Standing::Enforcing)],
            Owner::Other("ns/9"),
        );
    }

    #[test]
    fn without_a_ledger_the_older_owns() {
        check(
            false,
            &[claimant(1, &[1], &[], Standing::Idle)],
            Owner::Other("ns/1"),
        );
        check(
            false,
            &[claimant(9, &[1], &[], Standing::Enforcing)],
            Owner::Us,
        );
    }

    #[test]
    fn of_several_ledgers_the_older_owns() {
        check(
            true,
            &[claimant(1, &[1], &[1], Standing::Enforcing)],
            Owner::Other("ns/1"),
        );
        check(
            true,
            &[claimant(9, &[1], &[1], Standing::Enforcing)],
            Owner::Us,
        );
    }

    #[test]
    fn who_no_longer_lists_it_hands_it_over_unless_it_is_idle() {
        check(
            false,
            &[claimant(1, &[], &[1], Standing::Enforcing)],
            Owner::Yielding("ns/1"),
        );
        check(
            false,
            &[claimant(1, &[], &[1], Standing::Leaving)],
            Owner::Yielding("ns/1"),
        );
        check(
            false,
            &[claimant(1, &[], &[1], Standing::Idle)],
            Owner::Other("ns/1"),
        );
    }

    #[test]
    fn only_an_enforcing_object_takes_over() {
        let enforcing = [claimant(9, &[1], &[], Standing::Enforcing)];
        assert_eq!(wanted_by(&1, &enforcing), Some("ns/9"));
        for standing in [Standing::Idle, Standing::Leaving] {
            assert_eq!(wanted_by(&1, &[claimant(9, &[1], &[], standing)]), None);
        }
    }
}
