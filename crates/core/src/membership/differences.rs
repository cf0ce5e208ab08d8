//! How a group differs from what is wanted: the changes that would be needed, before any rule is asked.

use super::{Change, Plan, Wish, World};
use crate::{
    claim::{self, Owner, Unlisted},
    purpose::Purpose,
    reason::Hold,
    server::{Row, ServerKey, Weight, meant_by},
};

/// The differences that would need a change. Differences that need none go straight into the plan.
///
/// Changes that lead out come last, so that all of them draw on one budget in a fixed order.
pub(super) fn differences(world: &World, plan: &mut Plan) -> Vec<(ServerKey, Change)> {
    let mut changes = Vec::new();
    for (key, wish) in &world.desired {
        match way_in(world, key, wish) {
            Some(change) => changes.push((key.clone(), change)),
            None if is_fixed_otherwise(world, key, wish) => {
                plan.held.insert(key.clone(), Hold::Immutable);
            }
            None => {}
        }
    }
    let listed = |key: &&ServerKey| world.desired.contains_key(*key);
    for key in world.ledger.iter().filter(|key| !listed(key)) {
        changes.extend(way_of_unlisted(world, key, plan));
    }
    let ours_or_listed = |key: &&ServerKey| listed(key) || world.ledger.holds(key);
    let claimed = |key: &&ServerKey| ours_or_listed(key) || claim::claimed(*key, &world.others);
    let stays = |key: &&ServerKey| claimed(key) || world.brings(key);
    for key in world.foreigners.keys().filter(|key| !stays(key)) {
        if let Some(row) = world.rows.get(key) {
            changes.extend(way_out(world, key, row, plan));
        }
    }
    // Members that were about to leave as strangers, and are no longer strangers.
    let stays = |key: &&ServerKey| {
        !ours_or_listed(key)
            && (!world.foreigners.contains_key(*key) || claim::claimed(*key, &world.others))
    };
    for key in world.draining.keys().filter(stays) {
        if let Some(weight) = weight_to_restore(world, key) {
            changes.push((key.clone(), Change::Restore(weight)));
        }
    }
    changes.sort_by_key(|(_, change)| change.leads_out());
    changes
}

/// The change that brings a listed server to what the list says, if one is needed.
fn way_in(world: &World, key: &ServerKey, wish: &Wish) -> Option<Change> {
    let row = world.rows.get(key).filter(|row| !row.state.leaves());
    let Some(row) = row else {
        return Some(Change::Add);
    };
    let known = world.ledger.holds(key);
    match world.weight_for(key, wish) {
        Some(weight) if known && row.weight.is_some_and(|now| now != weight) => {
            Some(Change::Reweigh(weight))
        }
        // It is in our ledger and yet another object's: both ledgers hold it, and the rules will say so.
        _ if !known || claim::owner(key, &world.age, known, &world.others) != Owner::Us => {
            Some(Change::Adopt)
        }
        _ => None,
    }
}

/// Whether a listed server, which needs no change otherwise, differs in what no call changes in place. It stays as it is: to
/// become what the list says it would have to leave first, and nobody serves in its place meanwhile.
fn is_fixed_otherwise(world: &World, key: &ServerKey, wish: &Wish) -> bool {
    let row = world.rows.get(key).filter(|row| !row.state.leaves());
    let shown = row.and_then(|row| row.remote_ip);
    matches!((wish.remote_ip, shown), (Some(wished), Some(shown)) if wished != shown)
}

/// How a server that is in the ledger and not listed leaves, unless it changes hands or is gone.
fn way_of_unlisted(world: &World, key: &ServerKey, plan: &mut Plan) -> Option<(ServerKey, Change)> {
    let stays_on_release = world.purpose == Purpose::Release && !world.owns(key);
    let unlisted = match stays_on_release || world.brings(key) {
        true => Unlisted::Theirs,
        false => world.unlisted(key),
    };
    let row = world.rows.get(key);
    match (unlisted, weight_to_restore(world, key)) {
        (Unlisted::Ours, _) => {}
        // It changes hands with the weight that it was found with.
        (_, Some(weight)) => return Some((key.clone(), Change::Restore(weight))),
        (Unlisted::Theirs, None) => {
            if !world.unsettled.contains(key) {
                plan.hand_over.insert(key.clone());
            }
            return None;
        }
        (Unlisted::Awaits(name), None) if row.is_some() => {
            plan.held.insert(key.clone(), Hold::InFlight);
            plan.awaits.insert(key.clone(), name.to_owned());
            return None;
        }
        // There is nothing to take over.
        (Unlisted::Awaits(_), None) => {}
    }
    match row {
        // A call about it may still land: it is neither gone nor a difference.
        None if world.unsettled.contains(key) => None,
        // One of several rows may be what was written down before its address was known.
        None if meant_by(key.clone(), &world.rows).len() > 1 => None,
        None => {
            plan.absent.insert(key.clone());
            None
        }
        Some(row) => way_out(world, key, row, plan),
    }
}

/// The next step of a present member that has to go; none while it is leaving or waits at weight 0.
fn way_out(
    world: &World,
    key: &ServerKey,
    row: &Row,
    plan: &mut Plan,
) -> Option<(ServerKey, Change)> {
    let waits = world.draining.get(key).is_some_and(|drain| !drain.due);
    let change = match row.weight {
        // Already on its way out: nothing to send, and nothing to report as left alone.
        _ if row.state.leaves() => return None,
        Some(weight @ 1..) if world.drains => Change::Drain(weight),
        Some(0) if waits => {
            plan.waiting.insert(key.clone());
            return None;
        }
        _ => Change::Remove,
    };
    Some((key.clone(), change))
}

/// The weight that a member had before we set it to weight 0, if it is still at 0.
pub(super) fn weight_to_restore(world: &World, key: &ServerKey) -> Option<Weight> {
    let row = world.rows.get(key)?;
    let drain = world.draining.get(key)?;
    let ours = row.weight == Some(0) && drain.weight > 0 && !row.state.leaves();
    ours.then_some(drain.weight)
}
