//! A list of server groups into attachments; contradictions that admission cannot see end here.

use std::collections::BTreeMap;

use server_group_core::{attachment::AttachmentKey, product::Product, server::Weight};

use crate::api::{AttachedServerGroup, AttachedServerGroupType, ScalingGroupAttachmentSpec};

/// What a spec lists: attachments and their weights.
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
    let mut parsed = Parsed::new();
    let mut places = BTreeMap::new();
    for (index, listed) in spec.server_groups.iter().enumerate() {
        let at = |problem: String| Invalid(format!("spec.serverGroups[{index}]{problem}"));
        let (key, weight) = attachment(listed).map_err(at)?;
        if let Some(first) = places.insert(key.clone(), index) {
            return Err(at(format!(
                " is the same attachment as spec.serverGroups[{first}]: {key}"
            )));
        }
        parsed.insert(key, weight);
    }
    Ok(parsed)
}

fn attachment(listed: &AttachedServerGroup) -> Result<(AttachmentKey, Option<Weight>), String> {
    let product = match listed.type_ {
        AttachedServerGroupType::Alb => Product::Alb,
        AttachedServerGroupType::Nlb => Product::Nlb,
        AttachedServerGroupType::Gwlb => Product::Gwlb,
    };
    let port = listed
        .port
        .map(|port| u16::try_from(port).map_err(|_| format!(".port: {port} is not a port")))
        .transpose()?;
    let weight = listed
        .weight
        .map(|weight| {
            u8::try_from(weight).map_err(|_| format!(".weight: {weight} is not a weight"))
        })
        .transpose()?;
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
