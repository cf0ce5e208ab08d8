//! The members of the server groups that a forced detach would touch: which of them would serve without the instances
//! that leave with it, and which of these instances another object wants to stay.

use std::collections::{BTreeMap, BTreeSet};

use kube::{Resource, ResourceExt};
use server_group_core::{
    attachment::{AttachmentKey, Feed, World},
    product::Product,
    server::ServerKey,
};

use super::{
    super::{
        authorize::authorize, late_moves::LateMoves, membership::parse, object::Object, pass::Pass,
        sight::Sight, turns::takes_away,
    },
    group::Group,
    managed::fed_group,
};
use crate::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    cloud::{self, Cloud, Kind, Member, MemberStatus},
};

/// The server groups whose members a look at a scaling group takes in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fed<'b> {
    /// Every server group that instances might be taken out of: enough to plan with.
    All,
    /// The server groups that one call is about: they are read in time, however many others there are.
    Of(&'b [AttachmentKey]),
}

impl Fed<'_> {
    /// Whether the look takes in the server group that `key` feeds.
    pub(super) fn is_about(self, key: &AttachmentKey) -> bool {
        match self {
            Self::All => true,
            // Another port of the same group is about the same members.
            Self::Of(batch) => batch.iter().any(|one| one.fed_group() == key.fed_group()),
        }
    }
}

/// Looks at the server groups that `world` has a surplus attachment to and does not leave out. A group that cannot be
/// read is missing in the result, which holds its detach, and a release as a whole.
pub(super) async fn feeds(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    world: &World,
    sight: &mut Sight,
) -> BTreeMap<AttachmentKey, Feed> {
    let surplus = world.surplus().filter(|key| !world.left_out.contains(*key));
    let surplus: Vec<_> = surplus.cloned().collect();
    if surplus.is_empty() {
        return BTreeMap::new();
    }
    let before = group.cloud.describe_scaling_instances(&group.id).await;
    let (mut found, mut late) = (Vec::new(), BTreeMap::new());
    for key in surplus {
        match members_of(&group.cloud, &key).await {
            Ok(members) => {
                // Instances that joined by now may be taken as well.
                let fed = fed_group(&pass.object.spec.region_id, &key);
                let moves = pass.late_moves(&group.cloud, &fed).await;
                let moves = moves.unwrap_or_else(|error| {
                    sight.could_not_read(error);
                    LateMoves::Anybody
                });
                late.insert(key.clone(), moves);
                found.push((key, Some(members)));
            }
            // One answer proves nothing, and nobody has to be moved.
            Err(error) if error.kind == Kind::GroupNotFound => found.push((key, None)),
            Err(error) => sight.could_not_read(error),
        }
    }
    // Instances that joined while the members were read are ours as well.
    let after = group.cloud.describe_scaling_instances(&group.id).await;
    let instances = match (before, after) {
        (Ok(before), Ok(after)) => &before | &after,
        (Err(error), _) | (_, Err(error)) => {
            sight.could_not_read(error);
            return BTreeMap::new();
        }
    };
    let feeds = found.into_iter().map(|(key, members)| {
        let feed = match members {
            Some(members) => {
                let (wanted, leaving) = (wanted(pass, &key), leaving(pass, group, &key));
                let late = late.get(&key).expect("asked for every group that was read");
                let leaves = |member: &Member| {
                    late.take(&member.id, member.port)
                        || leaving.iter().any(|key| is_it(key, member))
                };
                feed(&members, &instances, key.port(), &wanted, leaves)
            }
            None => Feed {
                missing: true,
                ..Feed::default()
            },
        };
        (key, feed)
    });
    feeds.collect()
}

/// The members of the server group, or the default group of the load balancer, that an attachment feeds.
async fn members_of(cloud: &Cloud, key: &AttachmentKey) -> Result<Vec<Member>, cloud::Error> {
    let (product, id) = match key {
        AttachmentKey::LoadBalancer { id } => {
            let found = cloud.load_balancer(id).await;
            return found.map(|load_balancer| load_balancer.members);
        }
        AttachmentKey::ServerGroup { product, id, .. } => (*product, id),
        AttachmentKey::VServerGroup { id, .. } => (Product::Clb, id),
    };
    let view = cloud.members(product, id).await;
    view.map(|view| view.members)
}

fn feed(
    members: &[Member],
    instances: &BTreeSet<String>,
    port: Option<u16>,
    wanted: &BTreeMap<(String, Option<u16>), String>,
    may_be_taken: impl Fn(&Member) -> bool,
) -> Feed {
    let mut feed = Feed::default();
    for member in members {
        // If an instance has several ports, the attachment takes along the one that it brought.
        let at_port = port.is_none() || member.port == port;
        let ours = at_port && instances.contains(&member.id);
        let leaves = matches!(
            member.status,
            MemberStatus::Removing | MemberStatus::Draining
        );
        let weighs = member.weight != Some(0);
        // A member that might serve is missed when it goes. A member that might not serve does not count as staying.
        feed.ours += usize::from(ours && weighs && !leaves);
        let shown = member.status == MemberStatus::Available && weighs;
        let late = shown && may_be_taken(member);
        let serves = shown && !late;
        feed.late += usize::from(late && !ours);
        feed.serving += usize::from(serves && ours);
        feed.elsewhere += usize::from(serves && !ours);
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

fn is_it(key: &ServerKey, member: &Member) -> bool {
    let same_port = key.port.is_none() || key.port == member.port;
    key.id == member.id && same_port
}

/// Members of the server group that a call of a membership may still take: as the book says, and as this process knows if
/// the pass has the turn.
fn leaving(
    pass: &Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    key: &AttachmentKey,
) -> BTreeSet<ServerKey> {
    let (cloud_now, fed) = (
        group.cloud.now(),
        fed_group(&pass.object.spec.region_id, key),
    );
    let mut leaving = BTreeSet::new();
    for late in pass.may_land_on(&fed) {
        if takes_away(&late.action) && late.until.is_some_and(|until| until > cloud_now) {
            leaving.extend(late.names.iter().filter_map(|name| name.parse().ok()));
        }
    }
    let turn = pass.also.get(&fed).into_iter();
    let known = turn.flat_map(|turn| turn.leaving.keys());
    leaving.extend(known.filter_map(|name| name.parse().ok()));
    leaving
}

/// Ids and ports that live, granted, enforcing memberships of the server group list, each with the name of the
/// membership.
fn wanted(
    pass: &Pass<'_, ScalingGroupAttachment>,
    key: &AttachmentKey,
) -> BTreeMap<(String, Option<u16>), String> {
    let concerned = |object: &ServerGroupMembership| {
        object.meta().deletion_timestamp.is_none()
            && !object.spec.suspend
            && !object.planning()
            && authorize(&pass.ctx.accounts, object).is_ok()
    };
    let mut wanted = BTreeMap::new();
    for object in pass.memberships_of(&fed_group(&pass.object.spec.region_id, key)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::ServerKind;

    fn member(id: &str, port: u16, weight: u8, status: MemberStatus) -> Member {
        Member {
            id: id.into(),
            ip: None,
            port: Some(port),
            kind: ServerKind::Ecs,
            weight: Some(weight),
            status,
            written_ip: None,
            remote_ip: None,
        }
    }

    #[test]
    fn what_might_serve_is_missed_and_what_might_not_does_not_count_as_staying() {
        let members = [
            member("i-1", 80, 100, MemberStatus::Configuring),
            member("i-2", 80, 0, MemberStatus::Available),
            member("i-3", 80, 100, MemberStatus::Removing),
            member("i-1", 81, 100, MemberStatus::Available),
            member("i-9", 80, 100, MemberStatus::Adding),
            member("i-8", 80, 100, MemberStatus::Available),
            member("i-7", 80, 100, MemberStatus::Available),
        ];
        let instances = ["i-1", "i-2", "i-3"].map(String::from).into();
        let wanted = BTreeMap::from([(("i-2".to_owned(), Some(80)), "ns/web".to_owned())]);
        let late: ServerKey = "i-7:80".parse().unwrap();
        let may_be_taken = |member: &Member| is_it(&late, member);
        let feed = feed(&members, &instances, Some(80), &wanted, may_be_taken);
        assert_eq!((feed.ours, feed.serving, feed.elsewhere), (1, 0, 2));
        assert_eq!(feed.unclaimed, 1, "i-1 at the port of the attachment");
        assert_eq!(feed.claimed_by.as_deref(), Some("ns/web"));
    }
}
