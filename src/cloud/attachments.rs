//! Attachments of a scaling group, the same for the three pairs of operations that make and undo them.

use server_group_core::{
    attachment::{AttachmentKey, Family},
    server::Weight,
};

use super::{
    Answer, AttachedGroup, AttachedLoadBalancer, AttachedVServerGroup, Cloud, Force, Kind,
    error::Error,
};

/// The action that makes or undoes attachments of a family.
#[must_use]
pub const fn attachment_action(family: Family, attaches: bool) -> &'static str {
    match (family, attaches) {
        (Family::ServerGroups, true) => "AttachServerGroups",
        (Family::ServerGroups, false) => "DetachServerGroups",
        (Family::VServerGroups, true) => "AttachVServerGroups",
        (Family::VServerGroups, false) => "DetachVServerGroups",
        (Family::LoadBalancers, true) => "AttachLoadBalancers",
        (Family::LoadBalancers, false) => "DetachLoadBalancers",
    }
}

impl Cloud {
    /// Makes up to 5 attachments, all of `family`, of a scaling group.
    ///
    /// # Errors
    ///
    /// As [`Cloud::attach_server_groups`]; [`Kind::NamedGroupNotFound`] if one of them does not exist.
    pub async fn attach(
        &self,
        group: &str,
        family: Family,
        attachments: &[(&AttachmentKey, Option<Weight>)],
        force: Force,
        token: &str,
    ) -> Result<Answer, Error> {
        let answer = match family {
            Family::ServerGroups => {
                let groups: Vec<_> = attachments.iter().filter_map(server_group).collect();
                self.attach_server_groups(group, &groups, force, token)
                    .await
            }
            Family::VServerGroups => {
                let groups: Vec<_> = attachments.iter().filter_map(vserver_group).collect();
                self.attach_vserver_groups(group, &groups, force, token)
                    .await
            }
            Family::LoadBalancers => {
                let load_balancers: Vec<_> = attachments.iter().filter_map(load_balancer).collect();
                self.attach_load_balancers(group, &load_balancers, force, token)
                    .await
            }
        };
        answer.map_err(|error| as_one_of_several(error, Kind::NamedGroupNotFound))
    }

    /// Undoes up to 5 attachments, all of `family`, of a scaling group.
    ///
    /// # Errors
    ///
    /// As [`Cloud::attach_server_groups`]; [`Kind::MemberNotFound`] if one is not attached, or does not exist.
    pub async fn detach(
        &self,
        group: &str,
        family: Family,
        attachments: &[&AttachmentKey],
        force: Force,
        token: &str,
    ) -> Result<Answer, Error> {
        let bare: Vec<_> = attachments.iter().map(|key| (*key, None)).collect();
        let answer = match family {
            Family::ServerGroups => {
                let groups: Vec<_> = bare.iter().filter_map(server_group).collect();
                self.detach_server_groups(group, &groups, force, token)
                    .await
            }
            Family::VServerGroups => {
                let groups: Vec<_> = bare.iter().filter_map(vserver_group).collect();
                self.detach_vserver_groups(group, &groups, force, token)
                    .await
            }
            Family::LoadBalancers => {
                let ids: Vec<_> = attachments
                    .iter()
                    .filter_map(|key| key.load_balancer())
                    .collect();
                self.detach_load_balancers(group, &ids, force, token).await
            }
        };
        answer.map_err(|error| as_one_of_several(error, Kind::MemberNotFound))
    }
}

/// A server group or load balancer that does not exist is one of several that the call names; the call itself is about
/// the scaling group.
fn as_one_of_several(error: Error, kind: Kind) -> Error {
    match error.kind {
        Kind::GroupNotFound => Error { kind, ..error },
        _ => error,
    }
}

fn server_group((key, weight): &(&AttachmentKey, Option<Weight>)) -> Option<AttachedGroup> {
    let AttachmentKey::ServerGroup { product, id, port } = key else {
        return None;
    };
    Some(AttachedGroup {
        id: id.clone(),
        kind: product.to_string(),
        port: *port,
        weight: *weight,
    })
}

fn vserver_group((key, weight): &(&AttachmentKey, Option<Weight>)) -> Option<AttachedVServerGroup> {
    let AttachmentKey::VServerGroup {
        load_balancer,
        id,
        port,
    } = key
    else {
        return None;
    };
    Some(AttachedVServerGroup {
        load_balancer_id: load_balancer.clone(),
        id: id.clone(),
        port: *port,
        weight: *weight,
    })
}

fn load_balancer((key, weight): &(&AttachmentKey, Option<Weight>)) -> Option<AttachedLoadBalancer> {
    let AttachmentKey::LoadBalancer { id } = key else {
        return None;
    };
    Some(AttachedLoadBalancer {
        id: id.clone(),
        weight: *weight,
    })
}
