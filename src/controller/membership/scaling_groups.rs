//! The effect of `ScalingGroupAttachment`s on a server group: whose instances they bring, and whether these are being
//! moved.

use std::collections::{BTreeMap, BTreeSet};

use kube::Resource;
use server_group_core::{
    attachment::AttachmentKey,
    follow::Progress,
    membership::World,
    server::{ServerKey, ServerKind},
};

use super::{
    super::{
        authorize::authorize,
        following::patience,
        object::Object,
        open::Open,
        pass::Pass,
        record::Reference,
        scaling_activity,
        sight::Sight,
        turns::{CallId, undoes},
    },
    group::Group,
};
use crate::{
    api::{ServerGroupMembership, status::Phase},
    cloud::Kind,
};

/// Whether `key` feeds the server group.
pub(super) fn feeds(key: &AttachmentKey, group: &Group) -> bool {
    key.server_group() == Some((group.product, group.id.as_str()))
}

/// Members of ours to be removed that are instances of a scaling group which another object attaches here: ESS would
/// bring them back, so they change hands (S1). `None` if that cannot be asked.
///
/// Nothing is asked where no object attaches anything to this group, or nothing of ours is to be removed.
pub(super) async fn brought(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    world: &World,
    sight: &mut Sight,
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
    let mut brought = BTreeSet::new();
    for (scaling_group, ports) in scaling_groups(pass, group) {
        let found = group.cloud.describe_scaling_instances(&scaling_group).await;
        let instances = match found {
            Ok(instances) => {
                pass.turn.missing.remove(&scaling_group);
                instances
            }
            // It is gone, and brings nobody back.
            Err(error)
                if error.kind == Kind::ScalingGroupNotFound
                    && pass.scaling_group_is_gone(&scaling_group) =>
            {
                continue;
            }
            Err(error) => {
                sight.could_not_read(error);
                return None;
            }
        };
        let comes = |key: &&ServerKey| instances.contains(&key.id) && ports.contains(&key.port);
        brought.extend(surplus.iter().copied().filter(comes).cloned());
    }
    Some(brought)
}

/// The scaling groups that live objects keep attached to the server group, and at which ports. One that is being
/// deleted lets go.
fn scaling_groups(
    pass: &Pass<'_, ServerGroupMembership>,
    group: &Group,
) -> BTreeMap<String, BTreeSet<Option<u16>>> {
    let mut found: BTreeMap<String, BTreeSet<Option<u16>>> = BTreeMap::new();
    for object in pass.attachments_naming(&pass.object.group()) {
        if object.meta().deletion_timestamp.is_some() {
            continue;
        }
        let listed = super::super::attachment::parse::parse(&object.spec);
        let acts = !object.spec.suspend
            && !object.planning()
            && listed.is_ok()
            && authorize(&pass.ctx.accounts, &**object).is_ok();
        let keys: BTreeSet<_> = match listed {
            Ok(listed) if acts => listed.into_keys().collect(),
            // It takes nothing more, and keeps what it has.
            _ => object.ledger().keys(),
        };
        for key in keys.iter().filter(|key| feeds(key, group)) {
            let ports = found.entry(object.spec.scaling_group_id.clone());
            ports.or_default().insert(key.port());
        }
    }
    found
}

/// Whether an attachment has a call under way that moves instances in or out of this group (S6).
///
/// Its object may not be able to follow it any more, so ESS itself is asked. A call that cannot be asked about counts
/// as running.
pub(super) async fn instances_are_moved(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
) -> bool {
    let id = pass.object.group();
    let mut moves = pass.open_on(&id, &pass.turn);
    moves.retain(|open| open.moved_by.is_some());
    let ids: BTreeSet<_> = moves.iter().map(Open::local_id).collect();
    let is_over = |id: &CallId| id.moves() && !ids.contains(id);
    pass.turn.followed.retain(|id, _| !is_over(id));
    pass.turn.references.retain(|id, _| !is_over(id));
    pass.turn.waited_for.retain(|id, _| !is_over(id));
    for open in moves {
        let (local_id, accepted) = (open.local_id(), open.phase == Phase::Accepted);
        let reference = open.reference.as_ref().filter(|_| accepted);
        let reference = reference.unwrap_or(&Reference::AnyActivity);
        let scaling_group = open.moved_by.as_deref().expect("others were left out");
        let (ctx, cloud) = (pass.ctx, &group.cloud);
        let since = pass.turn.waited_for.entry(local_id.clone());
        let since = *since.or_insert_with(|| ctx.now());
        let looked =
            scaling_activity::progress_of(ctx, &mut pass.turn, cloud, scaling_group, reference)
                .await;
        let over = match looked {
            Ok(progress) if accepted => {
                let (shown, patience) = (progress.shown(), patience(&ctx.timing));
                pass.turn.is_over(&local_id, shown, ctx.now(), patience)
            }
            // The call has no answer yet: two views settle whether anything came of it.
            Ok(progress) => progress != Progress::Running,
            // Nobody may ever be able to tell.
            Err(_) => ctx.now() >= since + ctx.timing.linger,
        };
        if !over {
            return true;
        }
        if undoes(&open.action) {
            ctx.lag.moved(id.clone(), ctx.now());
        }
        if accepted {
            // If the object of the call is gone, nobody else tells that the call ended.
            ctx.orphans.close(&id, |open| open.local_id() == local_id);
        }
    }
    false
}
