//! Members at weight 0 that wait to be removed: since when, until when, and what they get back.

use std::collections::{BTreeMap, BTreeSet};

use server_group_core::{
    membership::{Drain, Wish},
    server::{Rows, ServerKey},
};

use super::{super::pass::Pass, group::Group};
use crate::{api::ServerGroupMembership, timing::whole_second_after};

/// Whether removals from this group begin with weight 0 and a wait. GWLB groups drain by themselves.
pub(super) fn drains(pass: &Pass<'_, ServerGroupMembership>, group: &Group) -> bool {
    group.product.has_weights() && pass.object.spec.removal.drain_seconds > 0
}

/// Brings the record of drains up to date with what the group shows, and tells which are over.
///
/// The wait begins when weight 0 was seen, and is written once; an entry leaves when there is no weight to give back.
/// What `in_flight` names may still change, so its entries stay.
pub(super) fn look(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    rows: &Rows,
    desired: &BTreeMap<ServerKey, Wish>,
    in_flight: &BTreeSet<ServerKey>,
) -> BTreeMap<ServerKey, Drain> {
    let (now, cloud_now) = (pass.ctx.now(), group.cloud.now());
    let seconds = pass.object.spec.removal.drain_seconds;
    let wait = pass.ctx.timing.interval(seconds);
    let mut waits = Vec::new();
    let mut drains = BTreeMap::new();
    pass.record.draining.retain(|key, entry| {
        let silent = rows.get(key).is_some_and(|row| row.weight == Some(0));
        let meant = desired.get(key).is_some_and(|wish| wish.weight == Some(0));
        if (!silent || meant) && !in_flight.contains(key) {
            return false;
        }
        if silent && entry.until.is_none() && !in_flight.contains(key) {
            // Another leader may know the cloud's clock better.
            let wait = wait + pass.ctx.timing.cloud_clock_error;
            entry.until = Some(whole_second_after(cloud_now, wait));
        }
        let due = seconds == 0 || entry.until.is_some_and(|until| until <= cloud_now);
        if let Some(until) = entry.until.filter(|_| !due) {
            waits.push(until.duration_since(cloud_now).unsigned_abs());
        }
        let weight = entry.weight;
        drains.insert(key.clone(), Drain { weight, due });
        true
    });
    for wait in waits {
        pass.wake_at(now + wait);
    }
    drains
}
