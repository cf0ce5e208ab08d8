//! What `ScalingGroupAttachment`s mean for a server group: whose instances they bring, and whether they are being moved.

use std::collections::BTreeSet;

use kube::Resource;
use server_group_core::{
    attachment::AttachmentKey,
    membership::World,
    server::{ServerKey, ServerKind},
};

use super::{
    super::{authorize::authorize, managed::Managed, pass::Pass},
    observe::Group,
};
use crate::api::{ScalingGroupAttachment, ServerGroupMembership};

/// Whether `key` feeds the server group.
fn feeds(key: &AttachmentKey, group: &Group) -> bool {
    key.server_group() == Some((group.product, group.id.as_str()))
}

/// Members of ours to be removed that are instances of a scaling group which another object attaches here: ESS would
/// bring them back, so they change hands (S1). `None` if that cannot be asked.
///
/// Nothing is asked where no object attaches anything to this group, or nothing of ours is to be removed.
pub(super) async fn brought(
    pass: &Pass<'_, ServerGroupMembership>,
    group: &Group,
    world: &World,
) -> Option<BTreeSet<ServerKey>> {
    let surplus: Vec<_> = world
        .ledger
        .iter()
        .filter(|key| !world.desired.contains_key(*key))
        .filter(|key| {
            let kind = world.rows.get(*key).map(|row| row.kind);
            matches!(kind, Some(ServerKind::Ecs | ServerKind::Eci))
        })
        .collect();
    if surplus.is_empty() {
        return Some(BTreeSet::new());
    }
    let mut instances = BTreeSet::new();
    for scaling_group in scaling_groups(pass, group) {
        match group.cloud.describe_scaling_instances(&scaling_group).await {
            Ok(found) => instances.extend(found),
            Err(error) => {
                tracing::warn!(%error, group = group.id, "nothing is removed that ESS may have brought");
                return None;
            }
        }
    }
    let brought = surplus
        .into_iter()
        .filter(|key| instances.contains(&key.id));
    Some(brought.cloned().collect())
}

/// The scaling groups that live objects keep attached to the server group. One that is being deleted lets go.
fn scaling_groups(pass: &Pass<'_, ServerGroupMembership>, group: &Group) -> BTreeSet<String> {
    let keeps = |object: &ScalingGroupAttachment| {
        let acts = !object.spec.suspend
            && !object.planning()
            && authorize(&pass.ctx.accounts, object).is_ok();
        let listed = super::super::attachment::parse::parse(&object.spec);
        let lists = acts && listed.is_ok_and(|listed| listed.keys().any(|key| feeds(key, group)));
        let holds = || object.record().ledger.iter().any(|key| feeds(key, group));
        object.spec.region_id == pass.object.spec.region_id
            && object.meta().deletion_timestamp.is_none()
            && (lists || (!acts && holds()))
    };
    let objects = pass.ctx.attachments.all().into_iter();
    objects
        .filter(|object| keeps(object))
        .map(|object| object.spec.scaling_group_id.clone())
        .collect()
}

/// Whether an attachment has a call under way that moves instances in or out of this group (S6).
///
/// Its object may not be able to follow it any more, so the scaling group itself is asked; what cannot be asked runs.
pub(super) async fn instances_are_moved(
    pass: &Pass<'_, ServerGroupMembership>,
    group: &Group,
) -> bool {
    let moved: BTreeSet<_> = pass
        .ctx
        .attachments
        .all()
        .iter()
        .filter(|other| other.spec.region_id == pass.object.spec.region_id)
        .filter(|other| {
            let operation = other.record().operation;
            operation.is_some_and(|operation| operation.names.iter().any(|key| feeds(key, group)))
        })
        .map(|other| other.spec.scaling_group_id.clone())
        .collect();
    for scaling_group in moved {
        let busy = group.cloud.scaling_group_is_busy(&scaling_group).await;
        if busy.unwrap_or(true) {
            return true;
        }
    }
    false
}
