//! The effect of `ScalingGroupAttachment`s on a server group: whose instances they bring, and whether these are being
//! moved.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::Resource;
use server_group_core::{
    attachment::AttachmentKey,
    claim::{Age, Claimant, Standing},
    membership::World,
    server::{ServerKey, ServerKind},
};

use super::{
    super::{
        authorize::authorize,
        object::{Object, age, name_of},
        open::Open,
        pass::Pass,
        scaling_activity::move_is_over,
        sight::Sight,
        turns::CallId,
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

/// The members of ours to be removed that are instances of scaling groups of attachments.
#[derive(Debug, Default)]
pub(super) struct Instances {
    /// Another object attaches their scaling group here: ESS would bring them back, so they change hands (S1).
    pub brought: BTreeSet<ServerKey>,
    /// Another object is about to: it has them once its ledger says so.
    pub listed: Vec<Claimant<ServerKey>>,
}

/// Asks ESS which members of ours to be removed are instances. `None` if that cannot be asked.
///
/// Nothing is asked where no object attaches anything to this group, or nothing of ours is to be removed.
pub(super) async fn instances(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    world: &World,
    sight: &mut Sight,
) -> Option<Instances> {
    let surplus: Vec<_> = world
        .ledger
        .iter()
        .filter(|key| !world.desired.contains_key(*key))
        .filter(|key| {
            let kind = world.rows.get(*key).map(|row| row.kind);
            matches!(kind, Some(ServerKind::Ecs | ServerKind::Eci))
        })
        .collect();
    let mut found = Instances::default();
    if surplus.is_empty() {
        return Some(found);
    }
    for (scaling_group, feeders) in feeders(pass, group) {
        let asked = group.cloud.describe_scaling_instances(&scaling_group).await;
        let instances = match asked {
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
        let come = |ports: &BTreeSet<Option<u16>>| -> BTreeSet<ServerKey> {
            let surplus = surplus.iter().copied();
            let comes = |key: &&ServerKey| instances.contains(&key.id) && ports.contains(&key.port);
            surplus.filter(comes).cloned().collect()
        };
        for feeder in feeders {
            found.brought.append(&mut come(&feeder.attached));
            let lists = come(&feeder.listed);
            if !lists.is_empty() {
                found.listed.push(Claimant {
                    name: feeder.name,
                    age: feeder.age,
                    lists,
                    ledger: BTreeSet::new(),
                    registered: BTreeSet::new(),
                    standing: Standing::Enforcing,
                });
            }
        }
    }
    found.listed.retain_mut(|claimant| {
        claimant.lists.retain(|key| !found.brought.contains(key));
        !claimant.lists.is_empty()
    });
    Some(found)
}

/// An attachment that attaches a scaling group here.
struct Feeder {
    name: String,
    age: Age,
    /// The ports at which it has attached the group, or has begun to.
    attached: BTreeSet<Option<u16>>,
    /// The ports at which it is about to.
    listed: BTreeSet<Option<u16>>,
}

/// The scaling groups that live objects attach to the server group. An object that is being deleted lets go.
fn feeders(pass: &Pass<'_, ServerGroupMembership>, group: &Group) -> BTreeMap<String, Vec<Feeder>> {
    let mut found: BTreeMap<String, Vec<Feeder>> = BTreeMap::new();
    for object in pass.attachments_naming(&pass.object.group()) {
        if object.meta().deletion_timestamp.is_some() {
            continue;
        }
        let listed = super::super::attachment::parse::parse(&object.spec);
        let acts = !object.spec.suspend
            && !object.planning()
            && listed.is_ok()
            && authorize(&pass.ctx.accounts, &**object).is_ok();
        let has = object.ledger().keys();
        let (attached, listed) = match listed {
            Ok(listed) if acts => {
                let listed: BTreeSet<_> = listed.into_keys().collect();
                (&listed & &has, &listed - &has)
            }
            // It takes nothing more, and keeps what it has.
            _ => (has, BTreeSet::new()),
        };
        let ports = |keys: &BTreeSet<AttachmentKey>| {
            let here = keys.iter().filter(|key| feeds(key, group));
            here.map(AttachmentKey::port).collect()
        };
        let feeder = Feeder {
            name: name_of(&**object).to_string(),
            age: age(&**object),
            attached: ports(&attached),
            listed: ports(&listed),
        };
        if !feeder.attached.is_empty() || !feeder.listed.is_empty() {
            let scaling_group = object.spec.scaling_group_id.clone();
            found.entry(scaling_group).or_default().push(feeder);
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
    pass.turn.moves_over.retain(|id| !is_over(id));
    for open in moves {
        let (local_id, accepted) = (open.local_id(), open.phase == Phase::Accepted);
        let scaling_group = open.moved_by.as_deref().expect("others were left out");
        let (ctx, cloud, turn) = (pass.ctx, &group.cloud, &mut pass.turn);
        // Whether anything came of a call without an answer is settled by two views besides.
        let lands = Duration::ZERO;
        if !move_is_over(ctx, &id, turn, cloud, &open, scaling_group, lands).await {
            return true;
        }
        if accepted {
            // If the object of the call is gone, nobody else tells that the call ended.
            ctx.orphans.close(&id, |open| open.local_id() == local_id);
        }
    }
    false
}
