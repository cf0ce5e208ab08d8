//! Who is in the server groups that a forced detach would touch: who would serve without the instances that leave with
//! it, and which of these another object wants to stay.

use std::collections::{BTreeMap, BTreeSet};

use kube::{Resource, ResourceExt};
use server_group_core::{
    attachment::{AttachmentKey, Feed, World},
    product::Product,
};

use super::{
    super::{
        Context,
        authorize::authorize,
        managed::Managed,
        membership::parse,
        pass::{Pass, Stop},
    },
    observe::Group,
};
use crate::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    cloud::{Kind, Member, MemberStatus},
};

/// Looks at every server group that `world` has a surplus attachment to.
pub(super) async fn feeds(
    pass: &Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    world: &World,
) -> Result<BTreeMap<AttachmentKey, Feed>, Stop> {
    let surplus: Vec<_> = world.surplus().cloned().collect();
    if surplus.is_empty() {
        return Ok(BTreeMap::new());
    }
    let instances = group.cloud.describe_scaling_instances(&group.id).await?;
    let mut feeds = BTreeMap::new();
    for key in surplus {
        let members = match &key {
            AttachmentKey::LoadBalancer { id } => {
                let found = group.cloud.load_balancer(id).await;
                found.map(|load_balancer| load_balancer.members)
            }
            AttachmentKey::ServerGroup { product, id, .. } => {
                let view = group.cloud.members(*product, id).await;
                view.map(|view| view.members)
            }
            AttachmentKey::VServerGroup { id, .. } => {
                let view = group.cloud.members(Product::Clb, id).await;
                view.map(|view| view.members)
            }
        };
        let members = match members {
            Ok(members) => members,
            // Nobody is in a group that does not exist.
            Err(error) if error.kind == Kind::GroupNotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let wanted = wanted(pass.ctx, &pass.object.spec.region_id, &key);
        feeds.insert(key, feed(&members, &instances, &wanted));
    }
    Ok(feeds)
}

fn feed(
    members: &[Member],
    instances: &BTreeSet<String>,
    wanted: &BTreeMap<(String, Option<u16>), String>,
) -> Feed {
    let mut feed = Feed::default();
    for member in members {
        let ours = instances.contains(&member.id);
        let serves = member.status == MemberStatus::Available && member.weight != Some(0);
        feed.ours += usize::from(serves && ours);
        feed.elsewhere += usize::from(serves && !ours);
        let leaves = matches!(
            member.status,
            MemberStatus::Removing | MemberStatus::Draining
        );
        if ours && !leaves {
            // A list without ports is about every port.
            let port = [member.port, None].into_iter();
            let by = port
                .map(|port| (member.id.clone(), port))
                .find_map(|key| wanted.get(&key));
            feed.unclaimed += usize::from(by.is_none());
            feed.claimed_by = feed.claimed_by.or_else(|| by.cloned());
        }
    }
    feed
}

/// Ids and ports that live, granted, enforcing memberships of the server group list, and who does.
fn wanted(
    ctx: &Context,
    region: &str,
    key: &AttachmentKey,
) -> BTreeMap<(String, Option<u16>), String> {
    let Some((_, id)) = key.server_group() else {
        return BTreeMap::new();
    };
    let concerned = |object: &ServerGroupMembership| {
        object.spec.region_id == region
            && object.spec.server_group.id == id
            && object.meta().deletion_timestamp.is_none()
            && !object.spec.suspend
            && !object.planning()
            && authorize(&ctx.accounts, object).is_ok()
    };
    let mut wanted = BTreeMap::new();
    for object in ctx.memberships.all() {
        if !concerned(&object) {
            continue;
        }
        let Ok(parsed) = parse::parse(&object.spec) else {
            continue;
        };
        let name = format!(
            "{}/{}",
            object.namespace().unwrap_or_default(),
            object.name_any()
        );
        for entry in parsed.entries {
            wanted.insert((entry.id, entry.port), name.clone());
        }
    }
    wanted
}
