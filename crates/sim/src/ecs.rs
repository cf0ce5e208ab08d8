//! ECS 2014-05-26: whether servers and network interfaces exist. Every well-formed id does, unless it was made a bad one.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    group::kind_of,
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    world::{World, address},
};

pub(crate) fn describe_instances(world: &mut World, params: &Params) -> Outcome {
    params.need("RegionId")?;
    let asked = ids(params, "InstanceIds")?;
    let addresses = ids(params, "PrivateIpAddresses")?;
    let network = params.get("InstanceNetworkType");
    if addresses.is_some() && network != Some("vpc") {
        return Err(Refusal::invalid(
            "PrivateIpAddresses",
            "it goes with InstanceNetworkType=vpc",
        ));
    }
    let status = params.get("Status");
    for name in [
        "VpcId",
        "VSwitchId",
        "ZoneId",
        "SecurityGroupId",
        "ResourceGroupId",
    ] {
        params.get(name);
    }
    let tagged = tagged(params);
    let all: Vec<_> = asked
        .unwrap_or_else(|| known(world))
        .into_iter()
        .filter(|id| kind_of(id) == "Ecs" && !world.bad_servers.contains(id))
        .filter(|id| addresses.as_ref().is_none_or(|ips| ips.contains(&address(id))))
        // No instance has tags, and all run.
        .filter(|_| !tagged && status.is_none_or(|status| status == "Running"))
        .map(|id| {
            json!({
                "InstanceId": id, "InstanceName": id, "Status": "Running", "ZoneId": "cn-hangzhou-a",
                "VpcAttributes": {
                    "VpcId": "vpc-sim", "VSwitchId": "vsw-sim", "PrivateIpAddress": {"IpAddress": [address(&id)]},
                },
                "NetworkInterfaces": {"NetworkInterface": []}, "Tags": {"Tag": []},
            })
        })
        .collect();
    let (rows, mut body) = page(params, &all, 100)?;
    body["Instances"] = json!({"Instance": rows});
    params.nothing_else()?;
    Ok((body, Effect::default()))
}

/// All interfaces are secondary ones of one instance. Addresses with which one is in a group are its own, besides those
/// that it was made with.
pub(crate) fn describe_network_interfaces(world: &mut World, params: &Params) -> Outcome {
    params.need("RegionId")?;
    let asked = params.at_most("NetworkInterfaceId", 100)?;
    let addresses = params.at_most("PrivateIpAddress", 100)?;
    let tagged = tagged(params);
    let fixed = [
        ("InstanceId", "i-sim"),
        ("Status", "InUse"),
        ("VpcId", "vpc-sim"),
        ("VSwitchId", "vsw-sim"),
    ];
    let filters = fixed.map(|(name, value)| params.get(name).is_none_or(|asked| asked == value));
    let fits = !tagged && filters.into_iter().all(|fits| fits);
    let ids = match asked.is_empty() {
        true => known(world),
        false => asked.iter().map(|id| (*id).to_owned()).collect(),
    };
    let all: Vec<_> = ids
        .into_iter()
        .filter(|id| fits && kind_of(id) == "Eni" && !world.bad_servers.contains(id))
        .map(|id| (addresses_of(world, &id), id))
        .filter(|(had, _)| {
            addresses.is_empty() || had.iter().any(|ip| addresses.contains(&ip.as_str()))
        })
        .map(|(had, id)| interface_row(&id, &world.primary_address(&id), &had))
        .collect();
    let (rows, mut body) = page(params, &all, 500)?;
    body["NetworkInterfaceSets"] = json!({"NetworkInterfaceSet": rows});
    params.nothing_else()?;
    Ok((body, Effect::default()))
}

fn interface_row(id: &str, first: &str, addresses: &BTreeSet<String>) -> Value {
    let set: Vec<_> = addresses
        .iter()
        .map(|ip| json!({"PrivateIpAddress": ip, "Primary": ip == first}))
        .collect();
    json!({
        "NetworkInterfaceId": id, "Type": "Secondary", "ZoneId": "cn-hangzhou-a", "PrivateIpAddress": first,
        "PrivateIpSets": {"PrivateIpSet": set}, "Tags": {"Tag": []},
        "InstanceId": "i-sim", "Status": "InUse", "VpcId": "vpc-sim", "VSwitchId": "vsw-sim",
    })
}

fn addresses_of(world: &World, interface: &str) -> BTreeSet<String> {
    let members = world.groups.values().flat_map(|group| group.members.keys());
    let made = world.interfaces.get(interface).into_iter().flatten();
    members
        .filter(|(id, ip, _)| id == interface && !ip.is_empty())
        .map(|(_, ip, _)| ip.clone())
        .chain(made.cloned())
        .chain([world.primary_address(interface)])
        .collect()
}

/// Whatever is in a server group or a scaling group, and interfaces that were made.
fn known(world: &World) -> BTreeSet<String> {
    let members = world.groups.values().flat_map(|group| group.members.keys());
    let scaling = world.scaling_groups.values();
    let instances = scaling.flat_map(|group| group.instances.iter().cloned());
    members
        .map(|(id, ..)| id.clone())
        .chain(instances)
        .chain(world.interfaces.keys().cloned())
        .collect()
}

/// Whether tags are asked for.
fn tagged(params: &Params) -> bool {
    let count = params.objects("Tag");
    for index in 1..=count {
        params.get(&format!("Tag.{index}.Key"));
        params.get(&format!("Tag.{index}.Value"));
    }
    count > 0
}

/// One page of `all`, 10 rows unless more are asked for, and what an answer says of it.
fn page<'a>(
    params: &Params,
    all: &'a [Value],
    most: usize,
) -> Result<(&'a [Value], Value), Refusal> {
    let size = params.within("MaxResults", 10, most)?.unwrap_or(10);
    let start: usize = match params.get("NextToken") {
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|start| start.parse().ok())
            .ok_or_else(|| Refusal::invalid("NextToken", "it is not one that was given"))?,
        None => 0,
    };
    let end = start.saturating_add(size).min(all.len());
    let next = match end < all.len() {
        true => format!("page-{end}"),
        false => String::new(),
    };
    let body = json!({"TotalCount": all.len(), "PageSize": size, "NextToken": next});
    Ok((all.get(start..end).unwrap_or_default(), body))
}

/// A JSON array in one parameter, of at most 100 texts.
fn ids(params: &Params, name: &str) -> Result<Option<BTreeSet<String>>, Refusal> {
    let Some(text) = params.get(name) else {
        return Ok(None);
    };
    let ids: BTreeSet<String> =
        serde_json::from_str(text).map_err(|error| Refusal::invalid(name, &error.to_string()))?;
    match ids.len() {
        0..=100 => Ok(Some(ids)),
        _ => Err(Refusal::invalid(name, "more than 100 in one call")),
    }
}
