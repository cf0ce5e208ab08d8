//! Worlds drawn from few keys, so that lists, ledgers, claims and groups overlap.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use server_group_core::{
    attachment::{AttachmentKey, Family, Feed, Plan, World},
    claim::{Claimant, Foreigner, Standing},
    ledger::Ledger,
    purpose::Purpose,
    server::Weight,
};

use crate::groups::{Groups, Member, State, feed, group_of};

pub(crate) const KEYS: usize = 6;

/// Two ports of one group, another group at the same port, and one of every other product.
pub(crate) fn key(number: usize) -> AttachmentKey {
    let keys = [
        "ALB/sgp-0:80",
        "ALB/sgp-0:81",
        "ALB/sgp-1:80",
        "GWLB/sgp-2",
        "CLB/lb-1/rsp-1:80",
        "LB/lb-2",
    ];
    keys[number].parse().expect("a key")
}

pub(crate) fn keys() -> impl Strategy<Value = BTreeSet<AttachmentKey>> {
    proptest::collection::btree_set((0..KEYS).prop_map(key), 0..=KEYS)
}

fn weighted() -> impl Strategy<Value = BTreeMap<AttachmentKey, Option<Weight>>> {
    let weight = prop_oneof![Just(None), Just(Some(50_u8)), Just(Some(60))];
    proptest::collection::btree_map((0..KEYS).prop_map(key), weight, 0..=KEYS)
}

/// Empty most of the time.
fn seldom(weight: u32) -> impl Strategy<Value = BTreeSet<AttachmentKey>> {
    prop_oneof![weight => Just(BTreeSet::new()), 1 => keys()]
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let state = prop_oneof![
        2 => Just(State::Serves),
        1 => Just(State::Joins),
        1 => Just(State::Leaves),
        1 => Just(State::Silent),
    ];
    let port = prop_oneof![Just(80_u16), Just(81)];
    let member = (port, any::<bool>(), state, proptest::bool::weighted(0.2)).prop_map(
        |(port, ours, state, listed)| Member {
            port,
            ours,
            state,
            listed: listed && ours,
        },
    );
    proptest::collection::vec(member, 0..5)
}

fn claimant() -> impl Strategy<Value = Claimant<AttachmentKey>> {
    let standing = prop_oneof![
        Just(Standing::Enforcing),
        Just(Standing::Idle),
        Just(Standing::Leaving)
    ];
    let age = prop_oneof![Just(1_i64), Just(9)];
    (age, keys(), keys(), keys(), standing).prop_map(
        |(age, lists, ledger, registered, standing)| Claimant {
            name: format!("ns/{age}"),
            age: (age, format!("{standing:?}")),
            lists: match standing {
                Standing::Leaving => BTreeSet::new(),
                Standing::Enforcing | Standing::Idle => lists,
            },
            registered: &registered & &ledger,
            ledger,
            standing,
        },
    )
}

prop_compose! {
    /// A world, and the groups that its attachments feed.
    pub(crate) fn worlds()(
        release in proptest::bool::weighted(0.3),
        allow_empty in proptest::bool::weighted(0.3),
        force_detach in any::<bool>(),
        desired in weighted(),
        attached in weighted(),
        view_permits_removal in proptest::bool::weighted(0.85),
        registered in keys(),
        adopted in keys(),
        others in proptest::collection::vec(claimant(), 0..2),
        unsettled in seldom(4),
        awaited in seldom(5),
        parked in seldom(4),
        contended in seldom(5),
        silent in seldom(3),
        foreign in seldom(2),
        unread in seldom(9),
        missing in seldom(9),
        members in proptest::collection::vec(members(), KEYS),
    ) -> (World, Groups) {
        let silent: BTreeSet<_> = silent.iter().map(AttachmentKey::family).collect();
        let spoken_of = Family::ALL.into_iter().filter(|family| !silent.contains(family)).collect();
        let mut world = World {
            purpose: if release { Purpose::Release } else { Purpose::Converge },
            allow_empty,
            force_detach,
            desired: if release { BTreeMap::new() } else { desired },
            attached,
            view_permits_removal,
            ledger: Ledger { adopted: adopted.difference(&registered).cloned().collect(), registered },
            age: (5, String::new()),
            others,
            unsettled,
            awaited,
            parked,
            contended,
            spoken_of,
            foreigners: BTreeMap::new(),
            feeds: BTreeMap::new(),
            left_out: BTreeSet::new(),
        };
        let spoken_of = world.spoken_of.clone();
        world.desired.retain(|key, _| spoken_of.contains(&key.family()));
        world.foreigners = foreigners(&world, foreign);
        let mut groups = Groups::new();
        for (number, members) in members.into_iter().enumerate() {
            groups.entry(group_of(&key(number))).or_insert(members);
        }
        look_at_groups(&mut world, &groups);
        world.feeds.retain(|key, _| !unread.contains(key));
        for (key, feed) in &mut world.feeds {
            if missing.contains(key) {
                *feed = Feed { missing: true, ..Feed::default() };
            }
        }
        (world, groups)
    }
}

/// Of what is attached, neither listed nor claimed, some are strangers.
fn foreigners(
    world: &World,
    foreign: BTreeSet<AttachmentKey>,
) -> BTreeMap<AttachmentKey, Foreigner> {
    let claimed = |key: &AttachmentKey| {
        let others = world.others.iter();
        let claims = |other: &Claimant<_>| other.lists.contains(key) || other.ledger.contains(key);
        world.desired.contains_key(key) || world.ledger.holds(key) || others.into_iter().any(claims)
    };
    let seen = foreign
        .into_iter()
        .filter(|key| world.purpose == Purpose::Converge && world.speaks_of(key))
        .filter(|key| world.attached.contains_key(key) && !claimed(key));
    let confirmed = |key: &AttachmentKey| match key.family() {
        Family::VServerGroups => Foreigner::Unconfirmed,
        Family::ServerGroups | Family::LoadBalancers => Foreigner::Stranger,
    };
    seen.map(|key| (key.clone(), confirmed(&key))).collect()
}

/// Reads the groups that forced detaches would touch, as the controller does.
pub(crate) fn look_at_groups(world: &mut World, groups: &Groups) {
    world.feeds.clear();
    if world.force_detach && !world.lists_nobody() {
        let surplus: Vec<_> = world.surplus().cloned().collect();
        for key in surplus {
            let feed = feed(&groups[&group_of(&key)], &key);
            world.feeds.insert(key, feed);
        }
    }
}

/// What the scaling group looks like once the first `calls` changes of `plan` have ended.
pub(crate) fn carried_out(world: &World, plan: &Plan, mut calls: usize) -> World {
    let mut next = world.clone();
    // Written before anything is sent.
    for key in plan.attach.keys().chain(&plan.inherit) {
        next.ledger.register(key.clone());
    }
    plan.adopt
        .iter()
        .for_each(|key| next.ledger.adopt(key.clone()));
    plan.hand_over
        .iter()
        .for_each(|key| next.ledger.forget(key));
    for (key, weight) in &plan.attach {
        if calls > 0 {
            calls -= 1;
            next.attached.insert(key.clone(), *weight);
        }
    }
    for key in plan.detach.iter().chain(&plan.leave).chain(&plan.swap) {
        if calls > 0 {
            calls -= 1;
            next.attached.remove(key);
        }
    }
    next
}
