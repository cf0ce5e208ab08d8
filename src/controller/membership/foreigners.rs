//! Finds out about the members that no object claims, in a group whose list is the whole truth (S7).
//!
//! The group's members were read before this asks ESS about them, so that an instance that joins in between is
//! not taken for a stranger.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use server_group_core::{
    attachment::AttachmentKey,
    claim::{Foreigner, Standing, claimed},
    membership::World,
    server::{ServerKey, ServerKind},
};

use super::{
    super::{object::Object, pass::Pass, sight::Sight},
    claims::claimant,
    group::Group,
    scaling_groups,
};
use crate::{
    api::{Ownership, ServerGroupMembership},
    cloud::{self, ScalingGroup},
};

/// Looks up every member of `world` that no object claims. The view was asked for at `begun`.
pub(super) async fn foreigners(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    world: &World,
    begun: Duration,
    sight: &mut Sight,
) -> BTreeMap<ServerKey, Foreigner> {
    if pass.object.spec.ownership != Ownership::Exclusive || pass.deleting() {
        pass.memory.strangers.clear();
        return BTreeMap::new();
    }
    let unclaimed = |key: &&ServerKey| {
        !world.desired.contains_key(*key)
            && !world.ledger.holds(key)
            && !claimed(*key, &world.others)
    };
    let candidates: Vec<_> = world.rows.keys().filter(unclaimed).cloned().collect();
    let origins = match origins(pass, group, world, &candidates).await {
        Ok(origins) => origins,
        Err(error) => {
            sight.could_not_read(error);
            return candidates
                .into_iter()
                .map(|key| (key, Foreigner::Unknown))
                .collect();
        }
    };
    let strangers: BTreeSet<_> = candidates
        .iter()
        .filter(|key| !origins.contains_key(&key.id))
        .cloned()
        .collect();
    let mut confirmed = pass.confirmed_strangers(&strangers, begun);
    // An object that sent a stranger weight 0 removes it too, once it has waited. So the stranger is left to that
    // object, as long as it acts and we did not send weight 0 too.
    for other in pass.neighbours() {
        let drained = other.draining();
        if drained.is_empty() || claimant(pass.ctx, &other, &world.rows).standing == Standing::Idle
        {
            continue;
        }
        confirmed.retain(|key| !drained.contains_key(key) || world.draining.contains_key(key));
    }
    let known = |key: ServerKey| match origins.get(&key.id) {
        Some(Origin::Attached) => None,
        Some(Origin::Unclear) => Some((key, Foreigner::EssManaged)),
        None if confirmed.contains(&key) => Some((key, Foreigner::Stranger)),
        None => Some((key, Foreigner::Unconfirmed)),
    };
    candidates.into_iter().filter_map(known).collect()
}

/// The scaling group that an instance comes from.
enum Origin {
    /// One that is attached to this server group, or that an object names for it.
    Attached,
    /// One that is not shown to be unattached.
    Unclear,
}

/// The origins of instances, by their ids. Instances of no scaling group, or of one that is shown unattached, are left
/// out.
async fn origins(
    pass: &Pass<'_, ServerGroupMembership>,
    group: &Group,
    world: &World,
    candidates: &[ServerKey],
) -> Result<BTreeMap<String, Origin>, cloud::Error> {
    let scales = |key: &&ServerKey| {
        let kind = world.rows.get(*key).map(|row| row.kind);
        matches!(kind, Some(ServerKind::Ecs | ServerKind::Eci))
    };
    let ids: BTreeSet<_> = candidates
        .iter()
        .filter(scales)
        .map(|key| key.id.as_str())
        .collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<_> = ids.into_iter().collect();
    let instances = group.cloud.scaling_instances_among(&ids).await?;
    let scaling_groups: BTreeSet<_> = instances
        .iter()
        .map(|instance| instance.scaling_group_id.as_str())
        .collect();
    let scaling_groups: Vec<_> = scaling_groups.into_iter().collect();
    let shown = group.cloud.describe_scaling_groups(&scaling_groups).await?;
    let mut origins = BTreeMap::new();
    for instance in instances {
        let id = &instance.scaling_group_id;
        let found = shown.iter().find(|scaling_group| scaling_group.id == *id);
        let attached = found.is_some_and(|found| feeds(found, group));
        if attached || named(pass, group, id) {
            origins.insert(instance.id, Origin::Attached);
        } else if found.is_none() {
            origins.insert(instance.id, Origin::Unclear);
        }
    }
    Ok(origins)
}

/// Whether a scaling group is attached to the server group.
fn feeds(scaling_group: &ScalingGroup, group: &Group) -> bool {
    let id = &group.id;
    scaling_group
        .server_groups
        .iter()
        .any(|attached| attached.id == *id)
        || scaling_group
            .vserver_groups
            .iter()
            .any(|attached| attached.id == *id)
}

/// Whether a `ScalingGroupAttachment` names the server group for this scaling group: between a detach and the
/// attach that follows it, nothing else says so.
fn named(pass: &Pass<'_, ServerGroupMembership>, group: &Group, scaling_group: &str) -> bool {
    let names = |key: &AttachmentKey| scaling_groups::feeds(key, group);
    let naming = pass.attachments_naming(&pass.object.group());
    naming.iter().any(|object| {
        object.spec.scaling_group_id == scaling_group
            && (object.ledger().iter().any(names)
                || super::super::attachment::parse::claims(&object.spec)
                    .iter()
                    .any(names))
    })
}
