//! ECS 2014-05-26: whether servers exist. Every well-formed id does, unless it was made a bad one.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    action::{Effect, Outcome},
    group::kind_of,
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
    let tags = params.objects("Tag");
    for index in 1..=tags {
        params.get(&format!("Tag.{index}.Key"));
        params.get(&format!("Tag.{index}.Value"));
    }
    let size = params.within("MaxResults", 10, 100)?.unwrap_or(10);
    let start: usize = match params.get("NextToken").filter(|token| !token.is_empty()) {
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|start| start.parse().ok())
            .ok_or_else(|| Refusal::invalid("NextToken", "it is not one that was given"))?,
        None => 0,
    };
    params.nothing_else()?;
    let known = || -> BTreeSet<String> {
        let members = world.groups.values().flat_map(|group| group.members.keys());
        let scaling = world.scaling_groups.values();
        let instances = scaling.flat_map(|group| group.instances.iter().cloned());
        members
            .map(|(id, ..)| id.clone())
            .chain(instances)
            .collect()
    };
    let all: Vec<_> = asked
        .unwrap_or_else(known)
        .into_iter()
        .filter(|id| kind_of(id) == "Ecs" && !world.bad_servers.contains(id))
        .filter(|id| addresses.as_ref().is_none_or(|ips| ips.contains(&address(id))))
        // No instance has tags, and all run.
        .filter(|_| tags == 0 && status.is_none_or(|status| status == "Running"))
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
    let end = (start + size).min(all.len());
    let mut body = json!({"TotalCount": all.len(), "PageSize": size});
    body["Instances"] = json!({"Instance": all.get(start..end).unwrap_or_default()});
    body["NextToken"] = json!(if end < all.len() {
        format!("page-{end}")
    } else {
        String::new()
    });
    Ok((body, Effect::default()))
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
