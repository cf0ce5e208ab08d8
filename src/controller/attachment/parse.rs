//! Lists of server groups and load balancers into attachments; contradictions that admission cannot see end here.

use std::collections::{BTreeMap, BTreeSet};

use server_group_core::{
    attachment::{AttachmentKey, Family},
    product::Product,
    server::Weight,
};

use crate::api::{AttachedServerGroup, AttachedServerGroupType, ScalingGroupAttachmentSpec};

/// The attachments that a spec lists, with their weights.
pub type Parsed = BTreeMap<AttachmentKey, Option<Weight>>;

/// A spec that contradicts itself: which field, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

/// Reads a spec.
///
/// # Errors
///
/// [`Invalid`], which names field and value. Nothing was called.
pub fn parse(spec: &ScalingGroupAttachmentSpec) -> Result<Parsed, Invalid> {
    let server_groups = spec.server_groups.iter().flatten();
    let load_balancers = spec.load_balancers.iter().flatten();
    let server_groups = entries("spec.serverGroups", server_groups.map(attachment));
    let load_balancers = entries(
        "spec.loadBalancers",
        load_balancers.map(|listed| {
            let key = AttachmentKey::LoadBalancer {
                id: listed.id.clone(),
            };
            Ok((key, weight(listed.weight)?))
        }),
    );
    Ok(server_groups?.into_iter().chain(load_balancers?).collect())
}

/// The attachments that a spec claims, even if it contradicts itself: every entry that can be read (S7).
#[must_use]
pub fn claims(spec: &ScalingGroupAttachmentSpec) -> BTreeSet<AttachmentKey> {
    let server_groups = spec.server_groups.iter().flatten().map(attachment);
    let server_groups = server_groups.filter_map(|read| read.ok().map(|(key, _)| key));
    let load_balancers = spec.load_balancers.iter().flatten();
    let load_balancers = load_balancers.map(|listed| AttachmentKey::LoadBalancer {
        id: listed.id.clone(),
    });
    server_groups.chain(load_balancers).collect()
}

/// The families of attachments that a spec has a list for.
pub fn spoken_of(spec: &ScalingGroupAttachmentSpec) -> BTreeSet<Family> {
    let server_groups = spec.server_groups.iter();
    let server_groups = server_groups.flat_map(|_| [Family::ServerGroups, Family::VServerGroups]);
    let load_balancers = spec.load_balancers.iter().map(|_| Family::LoadBalancers);
    server_groups.chain(load_balancers).collect()
}

/// Reads one list, in which each entry may stand only once.
fn entries(
    field: &str,
    listed: impl Iterator<Item = Result<(AttachmentKey, Option<Weight>), String>>,
) -> Result<Parsed, Invalid> {
    let mut parsed = Parsed::new();
    let mut places = BTreeMap::new();
    for (index, entry) in listed.enumerate() {
        let at = |problem: String| Invalid(format!("{field}[{index}]{problem}"));
        let (key, weight) = entry.map_err(at)?;
        if let Some(first) = places.insert(key.clone(), index) {
            return Err(at(format!(
                " is the same attachment as {field}[{first}]: {key}"
            )));
        }
        parsed.insert(key, weight);
    }
    Ok(parsed)
}

fn weight(written: Option<i32>) -> Result<Option<Weight>, String> {
    let read =
        |weight| u8::try_from(weight).map_err(|_| format!(".weight: {weight} is not a weight"));
    written.map(read).transpose()
}

fn attachment(listed: &AttachedServerGroup) -> Result<(AttachmentKey, Option<Weight>), String> {
    let product = match listed.type_ {
        AttachedServerGroupType::Clb => Product::Clb,
        AttachedServerGroupType::Alb => Product::Alb,
        AttachedServerGroupType::Nlb => Product::Nlb,
        AttachedServerGroupType::Gwlb => Product::Gwlb,
    };
    let port = listed
        .port
        .map(|port| u16::try_from(port).map_err(|_| format!(".port: {port} is not a port")))
        .transpose()?;
    let weight = weight(listed.weight)?;
    if let (Product::Clb, Some(load_balancer), Some(port)) =
        (product, &listed.load_balancer_id, port)
    {
        let key = AttachmentKey::VServerGroup {
            load_balancer: load_balancer.clone(),
            id: listed.id.clone(),
            port,
        };
        return Ok((key, weight));
    }
    if port.is_some() != product.has_ports() || weight.is_some() != product.has_ports() {
        return Err(format!(
            ": {product} and its port and weight do not go together"
        ));
    }
    Ok((
        AttachmentKey::ServerGroup {
            product,
            id: listed.id.clone(),
            port,
        },
        weight,
    ))
}
