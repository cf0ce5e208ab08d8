//! Every world of two ports of one group and another group: attached or not, listed or not, in every ledger, with every
//! mixture of members in the groups.

use std::collections::{BTreeMap, BTreeSet};

use server_group_core::{
    attachment::{
        AttachmentKey, Family, World,
        guard::{self, Detach},
        plan,
    },
    ledger::Ledger,
    purpose::Purpose,
    server::Weight,
};

use crate::{
    groups::{Groups, Member, State, emptied, group_of, without},
    worlds::{key, look_at_groups},
};

/// What is attached at which weight, what is listed at which.
const WEIGHTS: [(Option<Weight>, Option<Weight>); 5] = [
    (None, Some(50)),
    (Some(50), None),
    (Some(50), Some(50)),
    (Some(60), Some(50)),
    (None, None),
];

/// Not in the ledger, registered, adopted.
const LEDGERS: usize = 3;

/// How an instance stands in its group, or that there is none.
const INSTANCES: [Option<State>; 3] = [None, Some(State::Joins), Some(State::Serves)];

const ATTACHMENTS: usize = 3;

/// One attachment: its weights and its ledger.
fn stand(world: &mut World, number: usize, how: usize) {
    let key = key(number);
    let (attached, listed) = WEIGHTS[how / LEDGERS];
    if attached.is_some() {
        world.attached.insert(key.clone(), attached);
    }
    if listed.is_some() && world.purpose == Purpose::Converge {
        world.desired.insert(key.clone(), listed);
    }
    match how % LEDGERS {
        1 => world.ledger.register(key),
        2 => world.ledger.adopt(key),
        _ => {}
    }
}

/// The group at two ports, whose members are counted through, and the other one, which has somebody else.
fn groups(mut number: usize) -> Groups {
    let mut digit = |base| {
        let digit = number % base;
        number /= base;
        digit
    };
    let member = |port, ours, state| Member {
        port,
        ours,
        state,
        listed: false,
    };
    let mut twice = Vec::new();
    for port in [80, 81] {
        let instance = INSTANCES[digit(INSTANCES.len())];
        twice.extend(instance.map(|state| member(port, true, state)));
    }
    if digit(2) == 1 {
        twice.push(member(80, false, State::Serves));
    }
    let once = vec![
        member(80, true, State::Serves),
        member(82, false, State::Serves),
    ];
    BTreeMap::from([(group_of(&key(0)), twice), (group_of(&key(2)), once)])
}

#[test]
fn every_small_world_keeps_the_rules() {
    let mut seen = 0_usize;
    let each = WEIGHTS.len() * LEDGERS;
    for number in 0..each.pow(3) {
        for policy in 0..8 {
            let mut world = World {
                purpose: [Purpose::Converge, Purpose::Release][policy & 1],
                allow_empty: policy & 2 == 2,
                force_detach: policy & 4 == 4,
                desired: BTreeMap::new(),
                attached: BTreeMap::new(),
                view_permits_removal: true,
                ledger: Ledger::default(),
                age: (1, String::new()),
                others: Vec::new(),
                unsettled: BTreeSet::new(),
                awaited: BTreeSet::new(),
                parked: BTreeSet::new(),
                contended: BTreeSet::new(),
                spoken_of: Family::ALL.into(),
                foreigners: BTreeMap::new(),
                feeds: BTreeMap::new(),
                left_out: BTreeSet::new(),
            };
            let hows = [number % each, number / each % each, number / each / each];
            for (attachment, how) in hows.into_iter().enumerate() {
                stand(&mut world, attachment, how);
            }
            // Without force nobody looks into the groups.
            let members = if world.force_detach { 0..18 } else { 0..1 };
            for groups in members.map(groups) {
                look_at_groups(&mut world, &groups);
                check(&world, &groups);
                seen += 1;
            }
        }
    }
    eprintln!("{seen} worlds");
    assert!(seen >= 200_000);
}

fn check(world: &World, groups: &Groups) {
    let plan = plan(world);
    let how = if world.force_detach {
        Detach::Forced
    } else {
        Detach::Unforced
    };
    for (names, how) in [
        (&plan.detach, how),
        (&plan.leave, Detach::Unforced),
        (&plan.swap, Detach::Unforced),
    ] {
        let batch: Vec<_> = names.iter().cloned().collect();
        assert!(
            batch.is_empty() || guard::detach(world, &batch, how).is_ok(),
            "planner and guard disagree: {world:?} with {groups:?}"
        );
    }
    let for_good = &plan.detach | &plan.leave;
    for key in &for_good {
        assert!(
            world.owns(key) && !world.desired.contains_key(key),
            "S1: {world:?}"
        );
    }
    let forced = world.force_detach && !world.allow_empty;
    if forced && !plan.detach.is_empty() {
        let after = without(groups, &plan.detach);
        let emptied = emptied(groups, &after);
        assert_eq!(emptied, None, "S4: {world:?} with {groups:?}");
    }
    let counted = |key: &&AttachmentKey| world.desired.contains_key(*key) || world.owns(key);
    let before = world.attached.keys().filter(counted).count();
    let after = before - for_good.len();
    assert!(
        for_good.is_empty() || after >= world.desired.len().min(before),
        "S3: {world:?}"
    );
    let last = world.purpose == Purpose::Converge && !world.allow_empty;
    assert!(
        !last || for_good.len() + plan.swap.len() < before.max(1),
        "S4: {world:?}"
    );
    assert!(
        plan.attach
            .keys()
            .all(|key| world.desired.contains_key(key)),
        "attaches what is not listed: {world:?}"
    );
    the_guard_stands_alone(world, groups);
}

/// Whatever is asked to be detached by force, no group is emptied.
fn the_guard_stands_alone(world: &World, groups: &Groups) {
    if !world.force_detach || world.allow_empty {
        return;
    }
    for asked in 1..1 << ATTACHMENTS {
        let batch: Vec<_> = (0..ATTACHMENTS)
            .filter(|number| asked & (1 << number) != 0)
            .map(key)
            .collect();
        if guard::detach(world, &batch, Detach::Forced).is_ok() {
            let after = without(groups, &batch);
            assert_eq!(
                emptied(groups, &after),
                None,
                "the guard allows {batch:?}: {world:?}"
            );
        }
    }
}
