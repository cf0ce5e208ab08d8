//! Properties: worlds at random, plans and batches in them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use server_group_core::{
    attachment::{
        AttachmentKey, Family, World,
        guard::{self, Detach},
        plan,
    },
    claim::{Claimant, Foreigner, Standing},
    product::ATTACHMENTS_PER_CALL,
    purpose::Purpose,
};

use crate::{
    groups::{Groups, emptied, without},
    worlds::{KEYS, carried_out, keys, look_at_groups, worlds},
};

fn how(world: &World) -> Detach {
    if world.force_detach {
        Detach::Forced
    } else {
        Detach::Unforced
    }
}

fn ours(world: &World, key: &AttachmentKey) -> bool {
    let adopted = world.purpose == Purpose::Converge && world.ledger.adopted.contains(key);
    world.ledger.registered.contains(key) || adopted
}

/// Whether another object lists it and acts, or held it before us.
fn goes_to_another(world: &World, key: &AttachmentKey) -> bool {
    world.others.iter().any(|other| {
        let takes = other.standing == Standing::Enforcing && other.lists.contains(key);
        takes || other.ledger.contains(key) && other.age < world.age
    })
}

fn unclaimed_stranger(world: &World, key: &AttachmentKey) -> bool {
    let claims = |other: &Claimant<_>| other.lists.contains(key) || other.ledger.contains(key);
    let stranger = world.foreigners.get(key) == Some(&Foreigner::Stranger);
    stranger && !world.others.iter().any(claims)
}

/// What S3 counts: listed ones and those that are to go.
fn counted(world: &World, key: &AttachmentKey) -> bool {
    let surplus = ours(world, key) && world.speaks_of(key) || unclaimed_stranger(world, key);
    world.desired.contains_key(key) || surplus
}

/// How many that S3 counts are attached before and after `gone` went for good.
fn before_and_after(world: &World, gone: &BTreeSet<AttachmentKey>) -> (usize, usize) {
    let attached = || world.attached.keys().filter(|key| counted(world, key));
    let stays = |key: &&AttachmentKey| !gone.contains(*key);
    (attached().count(), attached().filter(stays).count())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn detaches_only_what_is_ours_unlisted_and_wanted_by_nobody_else((world, _) in worlds()) {
        let plan = plan(&world);
        for key in plan.detach.iter().chain(&plan.leave) {
            prop_assert!(ours(&world, key) || unclaimed_stranger(&world, key));
            prop_assert!(!world.desired.contains_key(key) && !world.contended.contains(key));
            prop_assert!(world.view_permits_removal && !world.unsettled.contains(key));
            prop_assert!(!goes_to_another(&world, key));
        }
        for key in &plan.swap {
            prop_assert!(ours(&world, key) && world.desired.contains_key(key));
            prop_assert!(world.view_permits_removal && !world.unsettled.contains(key));
        }
    }

    #[test]
    fn forced_detaches_of_one_plan_leave_no_group_without_anybody((world, groups) in worlds()) {
        let plan = plan(&world);
        if world.force_detach && !world.allow_empty {
            let after = without(&groups, &plan.detach);
            prop_assert_eq!(emptied(&groups, &after), None, "{:?}", plan);
        }
    }

    #[test]
    fn something_of_ours_stays_attached_unless_it_may_all_go((world, _) in worlds()) {
        let plan = plan(&world);
        if world.purpose == Purpose::Converge && !world.allow_empty {
            let ours = |key: &&AttachmentKey| world.ledger.holds(key) || world.foreigners.contains_key(*key);
            let gone = |key: &AttachmentKey| plan.detach.contains(key) || plan.leave.contains(key) || plan.swap.contains(key);
            let ours: Vec<_> = world.attached.keys().filter(ours).collect();
            prop_assert!(ours.is_empty() || ours.iter().any(|key| !gone(key)), "{:?}", plan);
        }
    }

    #[test]
    fn an_empty_list_detaches_nothing((mut world, groups) in worlds()) {
        world.purpose = Purpose::Converge;
        world.allow_empty = false;
        world.desired.clear();
        look_at_groups(&mut world, &groups);
        let plan = plan(&world);
        prop_assert!(plan.detach.is_empty() && plan.leave.is_empty() && plan.swap.is_empty());
    }

    #[test]
    fn surplus_goes_only_as_far_as_its_replacements_are_attached((world, _) in worlds()) {
        let plan = plan(&world);
        let gone = &plan.detach | &plan.leave;
        let (had, left) = before_and_after(&world, &gone);
        prop_assert!(gone.is_empty() || left >= world.desired.len().min(had), "{:?}", plan);
    }

    #[test]
    fn the_guard_lets_every_planned_batch_through((world, _) in worlds()) {
        let plan = plan(&world);
        let sets = [(&plan.detach, how(&world)), (&plan.leave, Detach::Unforced), (&plan.swap, Detach::Unforced)];
        for family in Family::ALL {
            for (set, how) in sets {
                let batch: Vec<_> = set.iter().filter(|key| key.family() == family).cloned().collect();
                for batch in batch.chunks(ATTACHMENTS_PER_CALL) {
                    prop_assert_eq!(guard::detach(&world, batch, how), Ok(()));
                }
            }
        }
    }

    #[test]
    fn the_guard_refuses_whatever_the_rules_do_not_allow((mut world, groups) in worlds(), batch in keys(), force in any::<bool>()) {
        world.force_detach = force;
        look_at_groups(&mut world, &groups);
        let names: Vec<_> = batch.iter().cloned().collect();
        if guard::detach(&world, &names, how(&world)).is_err() {
            return Ok(());
        }
        prop_assert!(world.view_permits_removal && batch.len() <= ATTACHMENTS_PER_CALL);
        for key in &batch {
            let listed = world.desired.contains_key(key);
            prop_assert!(ours(&world, key) || unclaimed_stranger(&world, key));
            prop_assert!(!world.unsettled.contains(key));
            prop_assert!(!listed || !force);
            prop_assert!(listed || !goes_to_another(&world, key));
        }
        if force && !world.allow_empty {
            let after = without(&groups, &batch);
            prop_assert_eq!(emptied(&groups, &after), None);
        }
        let listed = world.desired.keys().cloned().collect();
        let for_good = &batch - &listed;
        let (had, left) = before_and_after(&world, &for_good);
        prop_assert!(for_good.is_empty() || left >= world.desired.len().min(had));
    }

    #[test]
    fn the_parts_of_a_plan_are_disjoint((world, _) in worlds()) {
        let plan = plan(&world);
        let held = plan.held.keys().filter(|_| !plan.retain).cloned().collect();
        let parts: [BTreeSet<AttachmentKey>; 9] = [
            plan.attach.keys().cloned().collect(),
            plan.detach.clone(),
            plan.leave.clone(),
            plan.swap.clone(),
            plan.adopt.clone(),
            plan.inherit.clone(),
            plan.hand_over.clone(),
            plan.absent.clone(),
            held,
        ];
        let whole: BTreeSet<_> = parts.iter().flatten().collect();
        prop_assert_eq!(whole.len(), parts.iter().map(BTreeSet::len).sum::<usize>());
    }

    #[test]
    fn equal_worlds_give_equal_plans_whatever_the_order_of_the_others((mut world, _) in worlds()) {
        let first = plan(&world);
        world.others.reverse();
        prop_assert_eq!(first, plan(&world));
    }

    #[test]
    fn settles_after_a_crash_at_any_call((world, groups) in worlds(), survived in 0..=KEYS) {
        let at_rest = |mut world: World, groups: &Groups| {
            world.unsettled.clear();
            world.awaited.clear();
            look_at_groups(&mut world, groups);
            world
        };
        let mut world = carried_out(&world, &plan(&world), survived);
        world.parked.clear();
        world.view_permits_removal = true;
        // The other objects do nothing here, so what they are asked for stays as it is.
        for _ in 0..3 * KEYS {
            let settled = at_rest(world, &groups);
            world = carried_out(&settled, &plan(&settled), usize::MAX);
        }
        let last = plan(&at_rest(world, &groups));
        prop_assert!(last.is_empty() || last.retain, "still to do: {:?}", last);
    }

    #[test]
    fn what_changes_hands_is_in_a_ledger_at_every_moment((world, _) in worlds()) {
        for key in &plan(&world).hand_over {
            let taken = world.others.iter().any(|other| other.ledger.contains(key));
            let adopted_and_left = world.purpose == Purpose::Release && !world.ledger.registered.contains(key);
            prop_assert!(taken || adopted_and_left, "{} is in no ledger", key);
        }
    }

    #[test]
    fn what_another_object_attached_is_never_touched((world, _) in worlds()) {
        let plan = plan(&world);
        for other in &world.others {
            for key in other.ledger.iter().filter(|key| !world.ledger.holds(key)) {
                prop_assert!(!plan.attach.contains_key(key) && !plan.detach.contains(key) && !plan.leave.contains(key));
                prop_assert!(!plan.swap.contains(key));
                let lets_go = other.standing != Standing::Idle && !other.lists.contains(key);
                prop_assert!(lets_go || !plan.adopt.contains(key) && !plan.inherit.contains(key));
            }
        }
    }
}
