//! The part that the guards of both kinds share: the rules about claims, stated a second time.

use crate::{
    claim::{Age, Claimant, Standing},
    ledger::LEDGER_MAX,
};

/// S1 and S7: the rule by which `key` is another object's, because that one takes it over, or keeps it.
pub(crate) fn goes_to_another<K: Ord>(
    key: &K,
    age: &Age,
    leaving: bool,
    others: &[Claimant<K>],
) -> Option<&'static str> {
    let lists = |other: &&Claimant<K>| other.lists.contains(key);
    let takes_over = |other: &Claimant<K>| {
        let room = !leaving || other.ledger.len() < LEDGER_MAX;
        other.standing == Standing::Enforcing && (room || other.ledger.contains(key))
    };
    if others.iter().filter(lists).any(takes_over) {
        return Some("S1");
    }
    let mut holders = others.iter().filter(|other| other.ledger.contains(key));
    holders
        .any(|other| lists(&other) || other.age < *age)
        .then_some("S7")
}
