//! The owner of a member that several objects want (S7).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ledger::{LEDGER_MAX, Ledger},
    reason::Hold,
};

/// Order of birth: creation time in seconds, then uid. The smaller is the older.
pub type Age = (i64, String);

/// The standing of another object: how far it may act on the members it claims.
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
    /// Entries that its spec lists; none without a grant or while it is being deleted.
    pub lists: BTreeSet<K>,
    /// Entries that its ledger holds.
    pub ledger: BTreeSet<K>,
    /// Entries of its ledger that it put there itself, as far as its grant reaches: a forged status passes nothing on.
    pub registered: BTreeSet<K>,
    /// Whether it acts.
    pub standing: Standing,
}

/// A member or attachment that no live object claims, and that no attached scaling group brings as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreigner {
    /// A stranger in two views far enough apart: it may be removed.
    Stranger,
    /// A stranger in this view.
    Unconfirmed,
    /// An instance of a scaling group that is not shown to be unattached.
    EssManaged,
    /// The cloud could not be asked whose it is.
    Unknown,
}

/// The owner of a contested member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The object that asks.
    Us,
    /// Another object, which will not let go by itself.
    Other(&'a str),
    /// Another object that no longer lists it, and keeps it until the object that asks has it in its own ledger.
    Yielding(&'a str),
}

/// Decides who owns `key`. `ours` says whether our own ledger holds it; the asking object is taken to list it.
///
/// The object whose ledger holds it keeps it; if none or several do, the oldest. An object that acts, holds it and no
/// longer lists it yields to the oldest object that lists it and acts.
#[must_use]
pub fn owner<'a, K: Ord>(key: &K, age: &Age, ours: bool, others: &'a [Claimant<K>]) -> Owner<'a> {
    let holders = others.iter().filter(|other| other.ledger.contains(key));
    let listers = || others.iter().filter(|other| other.lists.contains(key));
    let older = |other: &&Claimant<K>| other.age < *age;
    let keepers = holders.clone().filter(|other| other.keeps(key));
    let (keeper, yielding) = (oldest(keepers), oldest(holders));
    let rival = match (keeper, yielding) {
        (Some(_), _) => keeper.filter(|other| !ours || older(other)),
        _ if ours => None,
        (None, Some(_)) => {
            oldest(listers().filter(|other| other.standing == Standing::Enforcing)).filter(older)
        }
        (None, None) => oldest(listers()).filter(older),
    };
    match (rival, yielding) {
        (Some(other), _) => Owner::Other(&other.name),
        (None, Some(other)) if !ours => Owner::Yielding(&other.name),
        (None, _) => Owner::Us,
    }
}

/// Notes the name of the other object because of which `key` is held, if that is why.
pub fn name<K: Ord + Clone>(
    owner: Owner<'_>,
    hold: Hold,
    key: &K,
    conflicts: &mut BTreeMap<K, String>,
    awaits: &mut BTreeMap<K, String>,
) {
    let (names, other) = match (owner, hold) {
        (Owner::Other(other), Hold::Conflict) => (conflicts, other),
        (Owner::Yielding(other), Hold::InFlight) => (awaits, other),
        _ => return,
    };
    names.insert(key.clone(), other.to_owned());
}

/// The ownership of a member that our ledger holds and our spec no longer lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted<'a> {
    /// Nobody else wants it: it may leave.
    Ours,
    /// Another ledger that goes before ours holds it: it leaves our ledger and stays where it is.
    Theirs,
    /// Another object lists it and acts: it stays in our ledger until the other ledger has it, so that one always does.
    Awaits(&'a str),
}

/// Decides the ownership of `key`. An object that is `leaving` does not wait for one whose ledger has no room.
#[must_use]
pub fn unlisted<'a, K: Ord>(
    key: &K,
    age: &Age,
    leaving: bool,
    others: &'a [Claimant<K>],
) -> Unlisted<'a> {
    let goes_before = |other: &Claimant<K>| other.lists.contains(key) || other.age < *age;
    let holders = others.iter().filter(|other| other.ledger.contains(key));
    if holders.into_iter().any(goes_before) {
        return Unlisted::Theirs;
    }
    let able = |other: &&Claimant<K>| !leaving || other.ledger.len() < LEDGER_MAX;
    let takers = others.iter().filter(|other| other.wants(key));
    match oldest(takers.filter(able)) {
        Some(taker) => Unlisted::Awaits(&taker.name),
        None => Unlisted::Ours,
    }
}

impl<K: Ord> Claimant<K> {
    /// Whether it will not let go of `key`, which its ledger holds, by itself.
    fn keeps(&self, key: &K) -> bool {
        self.lists.contains(key) || self.standing == Standing::Idle
    }

    /// Whether `key` stays in its hands when the asking object goes.
    pub fn keeps_or_lists(&self, key: &K) -> bool {
        let has = self.standing != Standing::Leaving && self.ledger.contains(key);
        has || self.lists.contains(key)
    }

    /// Whether it lists `key`, and acts.
    fn wants(&self, key: &K) -> bool {
        self.standing == Standing::Enforcing && self.lists.contains(key)
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

/// Takes those who list one of the `listed` entries out of `others`, as if the asking object stood in their place: the entries
/// of their ledgers go into `ledger`. Returns the names of those that hold something.
pub fn take_the_place<K: Ord + Clone>(
    listed: impl Fn(&K) -> bool,
    ledger: &mut Ledger<K>,
    others: &mut Vec<Claimant<K>>,
) -> Vec<String> {
    let rivals = others.extract_if(.., |other| other.lists.iter().any(&listed));
    let named = rivals.filter_map(|rival| {
        let holds = !rival.ledger.is_empty();
        rival
            .registered
            .into_iter()
            .for_each(|key| ledger.register(key));
        rival.ledger.into_iter().for_each(|key| ledger.adopt(key));
        holds.then_some(rival.name)
    });
    named.collect()
}

/// Takes what one look shows for strangers for what the next one will find.
pub fn confirm<K>(foreigners: &mut BTreeMap<K, Foreigner>) {
    for foreigner in foreigners.values_mut() {
        if *foreigner == Foreigner::Unconfirmed {
            *foreigner = Foreigner::Stranger;
        }
    }
}

/// Whether an object that hands `key` over put it there itself. If so, the object that takes it over did so, too.
#[must_use]
pub fn inherited<K: Ord>(key: &K, others: &[Claimant<K>]) -> bool {
    others.iter().any(|other| other.registered.contains(key))
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
            registered: BTreeSet::new(),
            standing,
        }
    }

    #[test]
    fn who_takes_the_place_of_others_has_what_they_have() {
        let mut rival = claimant(1, &[1, 2], &[1, 2, 3], Standing::Enforcing);
        rival.registered = [2, 3].into();
        let other_plan = claimant(3, &[1], &[], Standing::Idle);
        let beside = claimant(2, &[9], &[9], Standing::Enforcing);
        let mut others = vec![rival, beside, other_plan];
        let mut ledger = Ledger::default();
        ledger.adopt(2);
        let names = take_the_place(|key| *key < 2, &mut ledger, &mut others);
        assert_eq!(names, ["ns/1"]);
        assert_eq!(
            (ledger.registered, ledger.adopted),
            ([2, 3].into(), [1].into())
        );
        assert_eq!(others.len(), 1, "who lists nothing of it stays");
    }

    #[test]
    fn a_stranger_at_first_sight_is_one_in_a_plan() {
        let mut foreigners = BTreeMap::from([(1, Foreigner::Unconfirmed), (2, Foreigner::Unknown)]);
        confirm(&mut foreigners);
        assert_eq!(foreigners[&1], Foreigner::Stranger);
        assert_eq!(foreigners[&2], Foreigner::Unknown);
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
    fn of_several_that_could_take_it_over_the_oldest_that_acts_does() {
        let giver = claimant(3, &[], &[1], Standing::Leaving);
        let older = |standing| [giver.clone(), claimant(1, &[1], &[], standing)];
        check(false, &older(Standing::Enforcing), Owner::Other("ns/1"));
        check(false, &older(Standing::Idle), Owner::Yielding("ns/3"));
        let has_it = [giver.clone(), claimant(9, &[1], &[1], Standing::Idle)];
        check(false, &has_it, Owner::Other("ns/9"));
    }

    fn check_unlisted(leaving: bool, others: &[Claimant<u8>], expected: Unlisted<'_>) {
        let age = (US, String::new());
        assert_eq!(unlisted(&1, &age, leaving, others), expected);
    }

    #[test]
    fn what_another_one_lists_stays_in_our_ledger_until_it_is_in_that_one() {
        for leaving in [false, true] {
            let lists = [claimant(9, &[1], &[], Standing::Enforcing)];
            check_unlisted(leaving, &lists, Unlisted::Awaits("ns/9"));
            for standing in [Standing::Enforcing, Standing::Idle] {
                let holds = [claimant(9, &[1], &[1], standing)];
                check_unlisted(leaving, &holds, Unlisted::Theirs);
            }
        }
    }

    #[test]
    fn nobody_waits_for_one_that_does_not_act_and_who_leaves_for_none_without_room() {
        for standing in [Standing::Idle, Standing::Leaving] {
            let others = [claimant(9, &[1], &[], standing)];
            check_unlisted(false, &others, Unlisted::Ours);
        }
        let full = Claimant {
            name: "ns/9".into(),
            age: (9, String::new()),
            lists: BTreeSet::from([1]),
            ledger: (2..2 + LEDGER_MAX).collect(),
            registered: BTreeSet::new(),
            standing: Standing::Enforcing,
        };
        let (age, others) = ((US, String::new()), [full]);
        assert_eq!(unlisted(&1, &age, true, &others), Unlisted::Ours);
        let waits = Unlisted::Awaits("ns/9");
        assert_eq!(unlisted(&1, &age, false, &others), waits);
    }

    #[test]
    fn of_two_that_hold_it_and_list_it_no_more_the_older_decides() {
        let holder = |age| [claimant(age, &[], &[1], Standing::Enforcing)];
        check_unlisted(false, &holder(1), Unlisted::Theirs);
        check_unlisted(false, &holder(9), Unlisted::Ours);
    }
}
