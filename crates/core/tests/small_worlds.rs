//! Every world of four members: listed or not, in every state, in every ledger, under every policy.

use std::collections::{BTreeMap, BTreeSet};

use server_group_core::{
    amount::Amount,
    ledger::Ledger,
    membership::{Policy, Wish, World, guard, plan},
    product::Product,
    purpose::Purpose,
    server::{Row, ServerKey, ServerKind, State},
};

/// How one member stands in the group.
const STANDINGS: [Option<(State, u8)>; 5] = [
    None,
    Some((State::Available, 100)),
    Some((State::Available, 0)),
    Some((State::Adding, 100)),
    Some((State::Removing, 100)),
];

/// What is wanted of it, and whose it is: all pairs.
const CLAIMS: [(bool, u8); 6] = [
    (false, 0),
    (false, 1),
    (false, 2),
    (true, 0),
    (true, 1),
    (true, 2),
];

fn world(
    members: &[usize],
    claims: &[usize],
    min: usize,
    allow_empty: bool,
    release: bool,
) -> World {
    let mut world = World {
        product: Product::Clb,
        purpose: if release {
            Purpose::Release
        } else {
            Purpose::Converge
        },
        policy: Policy {
            min_serving: Amount::Count(min),
            max_unavailable: Amount::Count(1),
            allow_empty,
        },
        desired: BTreeMap::new(),
        rows: BTreeMap::new(),
        view_permits_removal: true,
        ledger: Ledger::default(),
        age: (1, String::new()),
        others: Vec::new(),
        unsettled: BTreeSet::new(),
        parked: BTreeSet::new(),
        quota_reached: false,
        may_be_taken: BTreeSet::new(),
        awaited: BTreeSet::new(),
        contended: BTreeSet::new(),
        drains: false,
        draining: BTreeMap::new(),
        foreigners: BTreeMap::new(),
        brought: Some(BTreeSet::new()),
        keep: false,
    };
    for (number, (standing, claim)) in members.iter().zip(claims).enumerate() {
        let key = ServerKey::new(&format!("i-{number}"), None, Some(80));
        if let Some((state, weight)) = STANDINGS[*standing] {
            world.rows.insert(
                key.clone(),
                Row {
                    kind: ServerKind::Ecs,
                    weight: Some(weight),
                    state,
                    remote_ip: None,
                },
            );
        }
        let (listed, ledger) = CLAIMS[*claim];
        if listed && !release {
            world.desired.insert(
                key.clone(),
                Wish {
                    kind: ServerKind::Ecs,
                    weight: None,
                    remote_ip: None,
                },
            );
        }
        match ledger {
            1 => world.ledger.register(key),
            2 => world.ledger.adopt(key),
            _ => {}
        }
    }
    world
}

fn digits(mut number: usize, base: usize) -> [usize; 4] {
    std::array::from_fn(|_| {
        let digit = number % base;
        number /= base;
        digit
    })
}

#[test]
fn every_small_world_keeps_the_rules() {
    let mut seen = 0_usize;
    for members in (0..STANDINGS.len().pow(4)).map(|number| digits(number, STANDINGS.len())) {
        // Members are alike, so one order of each combination is enough.
        if members.is_sorted() {
            for claims in (0..CLAIMS.len().pow(4)).map(|number| digits(number, CLAIMS.len())) {
                for (min, allow_empty, release) in [
                    (1, false, false),
                    (1, true, false),
                    (3, false, false),
                    (1, false, true),
                    (1, true, true),
                ] {
                    check(&world(&members, &claims, min, allow_empty, release));
                    seen += 1;
                }
            }
        }
    }
    eprintln!("{seen} worlds");
    assert!(seen >= 100_000);
}

fn check(world: &World) {
    let plan = plan(world);
    let serves = |key: &&ServerKey| {
        world
            .rows
            .get(*key)
            .is_some_and(|row| row.state == State::Available && row.weight != Some(0))
    };
    let before = world.rows.keys().filter(serves).count();
    let after = world
        .rows
        .keys()
        .filter(serves)
        .filter(|key| !plan.remove.contains(*key))
        .count();
    assert!(
        plan.remove
            .iter()
            .all(|key| world.owns(key) && !world.desired.contains_key(key)),
        "S1: {world:?}"
    );
    assert!(
        after == before || world.policy.allow_empty || after >= 1,
        "S4: {world:?}"
    );
    assert!(
        after == before || after >= world.desired.len().min(before),
        "S3: {world:?}"
    );
    let empty =
        world.purpose == Purpose::Converge && world.desired.is_empty() && !world.policy.allow_empty;
    assert!(!empty || plan.remove.is_empty(), "an empty list: {world:?}");
    assert!(
        plan.add.keys().all(|key| world.desired.contains_key(key)),
        "adds what is not listed: {world:?}"
    );
    let batch: Vec<_> = plan.remove.iter().cloned().collect();
    assert_eq!(
        guard::removal(world, &batch),
        Ok(()),
        "planner and guard disagree: {world:?}"
    );
}
