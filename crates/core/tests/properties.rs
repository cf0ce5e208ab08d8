//! What holds for every world: rules stated here from their text, without the planner's help.
//!
//! Worlds are drawn from few ids, so that lists, rows, ledgers and claims overlap.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use server_group_core::{
    amount::Amount,
    claim::{Claimant, Foreigner, Standing},
    ledger::Ledger,
    membership::{Drain, Plan, Policy, Wish, World, guard, plan},
    product::Product,
    purpose::Purpose,
    refusal::batches,
    server::{Row, ServerKey, ServerKind, State},
};

const IDS: usize = 7;

fn key(number: usize) -> ServerKey {
    format!("i-{number}:80").parse().expect("a key")
}

fn keys() -> impl Strategy<Value = BTreeSet<ServerKey>> {
    proptest::collection::btree_set((0..IDS).prop_map(key), 0..=IDS)
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        6 => Just(State::Available),
        1 => Just(State::Adding),
        1 => Just(State::Configuring),
        1 => Just(State::Removing),
        1 => Just(State::Draining),
        1 => Just(State::Other),
    ]
}

fn rows() -> impl Strategy<Value = BTreeMap<ServerKey, Row>> {
    let row = (
        state(),
        prop_oneof![3 => Just(100_u8), 1 => Just(0), 1 => Just(50)],
    )
        .prop_map(|(state, weight)| Row {
            kind: ServerKind::Ecs,
            weight: Some(weight),
            state,
            remote_ip: None,
        });
    proptest::collection::btree_map((0..IDS).prop_map(key), row, 0..=IDS)
}

fn desired() -> impl Strategy<Value = BTreeMap<ServerKey, Wish>> {
    let wish = prop_oneof![3 => Just(None), 1 => Just(Some(0_u8)), 1 => Just(Some(50))].prop_map(
        |weight| Wish {
            kind: ServerKind::Ecs,
            weight,
            remote_ip: None,
        },
    );
    proptest::collection::btree_map((0..IDS).prop_map(key), wish, 0..=IDS)
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::Enforcing),
        Just(Standing::Idle),
        Just(Standing::Leaving)
    ]
}

fn claimant() -> impl Strategy<Value = Claimant<ServerKey>> {
    (
        prop_oneof![Just(1_i64), Just(9)],
        keys(),
        keys(),
        keys(),
        standing(),
    )
        .prop_map(|(age, lists, ledger, registered, standing)| Claimant {
            name: format!("ns/{age}"),
            age: (age, format!("{standing:?}")),
            lists: if standing == Standing::Leaving {
                BTreeSet::new()
            } else {
                lists
            },
            registered: &registered & &ledger,
            ledger,
            standing,
        })
}

fn draining() -> impl Strategy<Value = BTreeMap<ServerKey, Drain>> {
    let drain = any::<bool>().prop_map(|due| Drain { weight: 70, due });
    prop_oneof![
        2 => Just(BTreeMap::new()),
        1 => proptest::collection::btree_map((0..IDS).prop_map(key), drain, 0..=IDS),
    ]
}

fn foreigners() -> impl Strategy<Value = BTreeMap<ServerKey, Foreigner>> {
    let foreigner = prop_oneof![
        3 => Just(Foreigner::Stranger),
        1 => Just(Foreigner::Unconfirmed),
        1 => Just(Foreigner::EssManaged),
        1 => Just(Foreigner::Unknown),
    ];
    prop_oneof![
        2 => Just(BTreeMap::new()),
        1 => proptest::collection::btree_map((0..IDS).prop_map(key), foreigner, 0..=IDS),
    ]
}

prop_compose! {
    fn worlds()(
        gwlb in any::<bool>(),
        release in proptest::bool::weighted(0.25),
        min in 0..4_usize,
        allow_empty in any::<bool>(),
        desired in desired(),
        rows in rows(),
        view_permits_removal in proptest::bool::weighted(0.85),
        registered in keys(),
        adopted in keys(),
        others in proptest::collection::vec(claimant(), 0..2),
        unsettled in prop_oneof![3 => Just(BTreeSet::new()), 1 => keys()],
        may_be_taken in prop_oneof![3 => Just(BTreeSet::new()), 1 => keys()],
        awaited in prop_oneof![5 => Just(BTreeSet::new()), 1 => keys()],
        quota_reached in proptest::bool::weighted(0.2),
        parked in prop_oneof![3 => Just(BTreeSet::new()), 1 => keys()],
        contended in prop_oneof![5 => Just(BTreeSet::new()), 1 => keys()],
        drains in any::<bool>(),
        draining in draining(),
        foreigners in foreigners(),
        brought in prop_oneof![4 => Just(Some(BTreeSet::new())), 1 => keys().prop_map(Some), 1 => Just(None)],
        keep in proptest::bool::weighted(0.2),
    ) -> World {
        let adopted = adopted.difference(&registered).cloned().collect();
        World {
            product: if gwlb { Product::Gwlb } else { Product::Clb },
            purpose: if release { Purpose::Release } else { Purpose::Converge },
            policy: Policy { min_serving: Amount::Count(min), max_unavailable: Amount::Count(1), allow_empty },
            desired: if release { BTreeMap::new() } else { desired },
            rows,
            view_permits_removal,
            ledger: Ledger { registered, adopted },
            age: (5, String::new()),
            others,
            unsettled,
            may_be_taken,
            awaited,
            parked,
            quota_reached,
            contended,
            drains,
            draining,
            foreigners: if release { BTreeMap::new() } else { foreigners },
            brought,
            keep: keep && release,
        }
    }
}

/// Members that serve, by the text: available, weight above 0, not named by what is unsettled, nor by what may take them.
fn serving(world: &World) -> BTreeSet<ServerKey> {
    let serves = |(key, row): &(&ServerKey, &Row)| {
        let may_go = world.unsettled.contains(*key) || world.may_be_taken.contains(*key);
        row.state == State::Available && row.weight != Some(0) && !may_go
    };
    world
        .rows
        .iter()
        .filter(serves)
        .map(|(key, _)| key.clone())
        .collect()
}

fn wanted(world: &World) -> usize {
    world
        .desired
        .values()
        .filter(|wish| wish.weight != Some(0))
        .count()
}

/// What the group looks like once a plan's calls, the first `calls` of them, have ended.
fn carried_out(world: &World, plan: &Plan, calls: usize) -> World {
    let mut next = world.clone();
    // Written before anything is sent.
    for key in plan.add.keys() {
        next.ledger.register(key.clone());
    }
    plan.adopt
        .iter()
        .for_each(|key| next.ledger.adopt(key.clone()));
    plan.inherit
        .iter()
        .for_each(|key| next.ledger.register(key.clone()));
    plan.hand_over
        .iter()
        .for_each(|key| next.ledger.forget(key));
    let mut calls = calls;
    let mut one = |act: &mut dyn FnMut()| {
        if calls > 0 {
            calls -= 1;
            act();
        }
    };
    for (key, wish) in &plan.add {
        one(&mut || {
            let weight = Some(wish.weight.unwrap_or(100));
            next.rows.insert(
                key.clone(),
                Row {
                    kind: wish.kind,
                    weight,
                    state: State::Available,
                    remote_ip: wish.remote_ip,
                },
            );
        });
    }
    for (key, weight) in &plan.reweigh {
        one(&mut || next.rows.get_mut(key).expect("present").weight = Some(*weight));
    }
    for (key, weight) in &plan.drain {
        // Written before anything is sent.
        let weight = *weight;
        next.draining
            .insert(key.clone(), Drain { weight, due: false });
        one(&mut || next.rows.get_mut(key).expect("present").weight = Some(0));
    }
    for key in &plan.remove {
        one(&mut || _ = next.rows.remove(key));
    }
    next
}

/// A world in which everything that is under way has ended.
fn at_rest(mut world: World) -> World {
    world.unsettled.clear();
    world.may_be_taken.clear();
    world.awaited.clear();
    world.rows.retain(|_, row| !row.state.leaves());
    world
        .rows
        .values_mut()
        .for_each(|row| row.state = State::Available);
    let rows = &world.rows;
    world
        .draining
        .retain(|key, _| rows.get(key).is_some_and(|row| row.weight == Some(0)));
    world
        .draining
        .values_mut()
        .for_each(|drain| drain.due = true);
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn removes_only_what_is_ours_unlisted_and_wanted_by_nobody_else(world in worlds()) {
        let plan = plan(&world);
        for key in plan.remove.iter().chain(plan.drain.keys()) {
            let registered = world.ledger.registered.contains(key);
            let ours = registered || world.purpose == Purpose::Converge && world.ledger.adopted.contains(key);
            let claimed = world.others.iter().any(|other| other.lists.contains(key) || other.ledger.contains(key));
            let stranger = world.foreigners.get(key) == Some(&Foreigner::Stranger) && !claimed;
            prop_assert!((ours || stranger) && !world.desired.contains_key(key) && !world.contended.contains(key));
            let listed = |other: &Claimant<ServerKey>| other.standing == Standing::Enforcing && other.lists.contains(key);
            prop_assert!(!world.others.iter().any(listed));
            let older_holder = |other: &Claimant<ServerKey>| other.ledger.contains(key) && other.age < world.age;
            prop_assert!(!world.others.iter().any(older_holder));
            prop_assert!(world.view_permits_removal && !world.unsettled.contains(key));
            prop_assert_eq!(world.rows[key].state, State::Available);
        }
    }

    #[test]
    fn never_goes_below_the_floor_in_whatever_order_calls_land(world in worlds(), order in any::<prop::sample::Index>()) {
        let plan = plan(&world);
        let mut stopping: Vec<_> = plan.remove.iter().chain(plan.drain.keys()).cloned().collect();
        stopping.extend(plan.reweigh.iter().filter(|(_, weight)| **weight == 0).map(|(key, _)| key.clone()));
        if !stopping.is_empty() {
            let turn = order.index(stopping.len());
            stopping.rotate_left(turn);
        }
        let before = serving(&world);
        let least = world.policy.min_serving.rounded_up(wanted(&world)).min(wanted(&world)).max(usize::from(!world.policy.allow_empty));
        let mut now = before.clone();
        for key in stopping {
            let stopped = now.remove(&key);
            prop_assert!(!stopped || now.len() >= least, "{} serve, {least} have to", now.len());
        }
    }

    #[test]
    fn surplus_leaves_only_as_far_as_replacements_serve(world in worlds()) {
        let plan = plan(&world);
        let before = serving(&world);
        let stranger = |key: &ServerKey| world.foreigners.get(key) == Some(&Foreigner::Stranger);
        let counted = |key: &&ServerKey| world.desired.contains_key(*key) || world.owns(key) || stranger(key);
        let had = before.iter().filter(counted).count();
        let stays = |key: &&ServerKey| !plan.remove.contains(*key) && !plan.drain.contains_key(*key);
        let left = before.iter().filter(counted).filter(stays).count();
        let dip = usize::from(world.quota_reached);
        prop_assert!(plan.remove.is_empty() && plan.drain.is_empty() || left >= wanted(&world).saturating_sub(dip).min(had));
    }

    #[test]
    fn a_list_without_anybody_to_serve_removes_and_reweighs_nothing(mut world in worlds()) {
        world.purpose = Purpose::Converge;
        world.policy.allow_empty = false;
        world.desired.values_mut().for_each(|wish| wish.weight = Some(0));
        let plan = plan(&world);
        let takes_away = |(key, weight): (&ServerKey, &u8)| *weight == 0 || !world.draining.contains_key(key);
        prop_assert!(plan.remove.is_empty() && plan.drain.is_empty() && !plan.reweigh.iter().any(takes_away));
    }

    #[test]
    fn the_guard_lets_every_planned_batch_through(world in worlds()) {
        let plan = plan(&world);
        let remove: Vec<_> = plan.remove.into_iter().collect();
        for batch in batches(&remove, 2) {
            prop_assert_eq!(guard::removal(&world, &batch), Ok(()));
        }
        let drain: Vec<_> = plan.drain.into_keys().collect();
        for batch in batches(&drain, 2) {
            prop_assert_eq!(guard::drain(&world, &batch), Ok(()));
        }
        let weights: Vec<_> = plan.reweigh.into_iter().collect();
        prop_assert_eq!(guard::reweigh(&world, &weights), Ok(()));
    }

    #[test]
    fn the_guard_refuses_whatever_the_rules_do_not_allow(world in worlds(), batch in keys()) {
        let batch: Vec<_> = batch.into_iter().collect();
        if guard::removal(&world, &batch).is_ok() {
            let before = serving(&world);
            let after = before.iter().filter(|key| !batch.contains(key)).count();
            prop_assert!(world.view_permits_removal || batch.is_empty());
            for key in &batch {
                let stranger = world.foreigners.get(key) == Some(&Foreigner::Stranger);
                prop_assert!((world.ledger.holds(key) || stranger) && !world.desired.contains_key(key));
                prop_assert!(!world.unsettled.contains(key) && world.rows.contains_key(key));
            }
            let touched = after < before.len();
            prop_assert!(!touched || after >= usize::from(!world.policy.allow_empty));
        }
    }

    #[test]
    fn the_parts_of_a_plan_are_disjoint(world in worlds()) {
        let plan = plan(&world);
        let parts: [BTreeSet<ServerKey>; 9] = [
            plan.drain.keys().cloned().collect(),
            plan.add.keys().cloned().collect(),
            plan.reweigh.keys().cloned().collect(),
            plan.remove.clone(),
            plan.adopt.clone(),
            plan.inherit.clone(),
            plan.hand_over.clone(),
            plan.absent.clone(),
            if plan.retain { BTreeSet::new() } else { plan.held.keys().cloned().collect() },
        ];
        let whole: BTreeSet<_> = parts.iter().flatten().collect();
        prop_assert_eq!(whole.len(), parts.iter().map(BTreeSet::len).sum::<usize>());
    }

    #[test]
    fn equal_worlds_give_equal_plans_whatever_the_order_of_the_others(mut world in worlds()) {
        let first = plan(&world);
        world.others.reverse();
        prop_assert_eq!(first, plan(&world));
    }

    #[test]
    fn settles_after_a_crash_at_any_call(world in worlds(), survived in 0..=IDS) {
        let mut world = carried_out(&world, &plan(&world), survived);
        world.parked.clear();
        world.view_permits_removal = true;
        // The other objects do nothing here, so what they are asked for stays as it is.
        for _ in 0..2 * IDS {
            let settled = at_rest(world.clone());
            let next = plan(&settled);
            world = carried_out(&settled, &next, usize::MAX);
        }
        let last = plan(&at_rest(world));
        prop_assert!(last.is_empty() || last.retain, "still to do: {last:?}");
    }

    #[test]
    fn what_changes_hands_is_in_a_ledger_at_every_moment(world in worlds()) {
        for key in &plan(&world).hand_over {
            let taken = world.others.iter().any(|other| other.ledger.contains(key));
            let adopted_and_left = world.purpose == Purpose::Release && !world.ledger.registered.contains(key);
            let brought = world.brought.as_ref().is_some_and(|brought| brought.contains(key));
            prop_assert!(taken || adopted_and_left || brought, "{key} is in no ledger");
        }
    }

    #[test]
    fn without_faults_the_calls_are_as_few_as_can_be(wanted in 1..300_usize, limit in 1..200_usize) {
        let names: Vec<_> = (0..wanted).collect();
        prop_assert_eq!(batches(&names, limit).len(), wanted.div_ceil(limit));
    }

    #[test]
    fn what_another_object_registered_is_never_touched(world in worlds()) {
        let plan = plan(&world);
        for other in &world.others {
            for key in other.ledger.iter().filter(|key| !world.ledger.holds(key)) {
                prop_assert!(!plan.add.contains_key(key) && !plan.remove.contains(key));
                let lets_go = other.standing != Standing::Idle && !other.lists.contains(key);
                prop_assert!(lets_go || !plan.adopt.contains(key) && !plan.inherit.contains(key));
                // What we drained ourselves is given its weight back.
                prop_assert!(!plan.reweigh.contains_key(key) || world.draining.contains_key(key));
                prop_assert!(!plan.drain.contains_key(key));
            }
        }
    }
}
