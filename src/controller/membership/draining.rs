//! Members at weight 0 that wait to be removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use server_group_core::{
    membership::{
        Drain, Wish,
        draining::{self, View},
    },
    server::{Rows, ServerKey},
};

use super::{
    super::{object::Object, pass::Pass},
    group::Group,
};
use crate::{api::ServerGroupMembership, timing::whole_second_after};

/// Whether removals from this group begin with weight 0 and a wait. GWLB groups drain by themselves.
pub(super) fn drains(pass: &Pass<'_, ServerGroupMembership>, group: &Group) -> bool {
    group.product.has_weights() && pass.object.spec.removal.drain_seconds > 0
}

/// Brings the record of drains up to date with what the group shows. Returns the drains, each with whether it is over.
///
/// The members in `in_flight` may still change. The group was looked at as of `begun`.
pub(super) fn update(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    rows: &Rows,
    desired: &BTreeMap<ServerKey, Wish>,
    in_flight: &BTreeSet<ServerKey>,
    begun: Duration,
) -> BTreeMap<ServerKey, Drain> {
    let (now, cloud_now) = (pass.ctx.now(), group.cloud.now());
    let lag = pass.ctx.timing.listing_lag;
    let ours = pass.turn.changed_at.map(|changed| changed + lag);
    let others = pass.shown_from([&pass.object.group()]);
    let seconds = pass.object.spec.removal.drain_seconds;
    // Another leader may know the cloud's clock better.
    let wait = pass.ctx.timing.interval(seconds) + pass.ctx.timing.cloud_clock_error;
    let removed = |key: &ServerKey| pass.turn.removed.contains_key(&key.to_string());
    let kept = pass.record.draining.keys();
    let kept = kept.filter(|key| pass.record.ledger.holds(key) && !removed(key));
    let kept: BTreeSet<_> = kept.cloned().collect();
    let view = View {
        rows,
        desired,
        kept: &kept,
        in_flight,
        lags: begun < ours.map_or(others, |ours| ours.max(others)),
        now: cloud_now,
        end: whole_second_after(cloud_now, wait),
        at_once: seconds == 0,
    };
    let (drains, next) = draining::look(&mut pass.record.draining, view);
    if let Some(next) = next {
        pass.wake_at(now + next.duration_since(cloud_now).unsigned_abs());
    }
    drains
}

/// The draining members that the list does not show at weight 0 yet, though no call under way could change them.
pub(super) fn not_shown_yet(
    draining: &BTreeMap<ServerKey, Drain>,
    rows: &Rows,
    in_flight: &BTreeSet<ServerKey>,
) -> BTreeSet<ServerKey> {
    let settled = draining.keys().filter(|key| !in_flight.contains(*key));
    let weighs = |key: &&ServerKey| rows.get(*key).is_some_and(|row| row.weight != Some(0));
    settled.filter(weighs).cloned().collect()
}
