//! CLB (SLB 2014-05-15): load balancers and their default groups.

use serde_json::{Value, json};

use crate::{
    group::{Product, Status},
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    slb::{backends, enter, leave, reweigh},
    world::World,
};

pub(crate) fn describe(world: &mut World, params: &Params) -> Outcome {
    let id = target(world, params)?;
    params.nothing_else()?;
    let balancer = &world.load_balancers[&id];
    let ports: Vec<_> = balancer
        .listeners
        .iter()
        .map(|(port, protocol)| json!({"ListenerPort": port, "ListenerProtocol": protocol}))
        .collect();
    let body = json!({
        "LoadBalancerId": id, "LoadBalancerName": id, "LoadBalancerStatus": balancer.status,
        "Address": balancer.address, "ModificationProtectionStatus": "NonProtection", "BackendServers": rows(world, &id, false),
        "ListenerPortsAndProtocol": {"ListenerPortAndProtocol": ports},
        // The documentation has it both ways, and so does the answer.
        "ListenerPortsAndProtocal": {"ListenerPortAndProtocal": ports},
    });
    Ok((body, Effect::on(&id)))
}

pub(crate) fn vserver_groups(world: &mut World, params: &Params) -> Outcome {
    params.need("RegionId")?;
    let id = params.need("LoadBalancerId")?;
    params.flag("IncludeListener")?;
    params.flag("IncludeRule")?;
    params.get("Description");
    let tags = params.objects("Tag");
    for index in 1..=tags {
        params.get(&format!("Tag.{index}.Key"));
        params.get(&format!("Tag.{index}.Value"));
    }
    params.nothing_else()?;
    let groups: Vec<_> = world
        .groups
        .iter()
        .filter(|(name, group)| {
            group.product == Product::Clb
                && group.load_balancer == id
                && name.as_str() != id
                // No group has tags.
                && tags == 0
                && world.sees(group.account.as_ref())
        })
        .map(|(name, group)| {
            json!({
                "VServerGroupId": name, "VServerGroupName": group.name(name), "ServerCount": group.members.len(),
                "AssociatedObjects": {"Listeners": {"Listener": []}, "Rules": {"Rule": []}},
            })
        })
        .collect();
    if groups.is_empty() && !world.load_balancers.contains_key(id) {
        return Err(unknown(id));
    }
    Ok((
        json!({"VServerGroups": {"VServerGroup": groups}}),
        Effect::on(id),
    ))
}

/// Who serves is healthy: nothing here looks at health.
pub(crate) fn health(world: &mut World, params: &Params) -> Outcome {
    let id = target(world, params)?;
    let port: Option<u16> = params.number("ListenerPort")?;
    params.get("ListenerProtocol");
    params.nothing_else()?;
    let listeners = world.load_balancers[&id].listeners.iter();
    let listeners = listeners.filter(|(listener, _)| port.is_none_or(|port| port == *listener));
    let group = &world.groups[&id];
    let rows: Vec<_> = listeners
        .flat_map(|(listener, protocol)| {
            group.members.iter().map(move |((server, ip, _), member)| {
                let serves = member.status == Status::Available && member.weight > 0;
                json!({
                    "ServerId": server, "ServerIp": ip, "Port": listener, "ListenerPort": listener, "Protocol": protocol,
                    "ServerHealthStatus": if serves { "normal" } else { "unavailable" },
                })
            })
        })
        .collect();
    Ok((
        json!({"BackendServers": {"BackendServer": rows}}),
        Effect::on(&id),
    ))
}

pub(crate) fn add(world: &mut World, params: &Params) -> Outcome {
    let id = target(world, params)?;
    let backends = backends(world, params, &id, "BackendServers", false)?;
    params.nothing_else()?;
    let names = enter(world, &id, backends)?;
    Ok(answer(world, &id, names, true))
}

pub(crate) fn remove(world: &mut World, params: &Params) -> Outcome {
    let id = target(world, params)?;
    let backends = backends(world, params, &id, "BackendServers", false)?;
    params.nothing_else()?;
    let names = leave(world, &id, &backends)?;
    Ok(answer(world, &id, names, false))
}

pub(crate) fn set(world: &mut World, params: &Params) -> Outcome {
    let id = target(world, params)?;
    let backends = backends(world, params, &id, "BackendServers", false)?;
    params.nothing_else()?;
    let names = reweigh(world, &id, backends)?;
    Ok(answer(world, &id, names, true))
}

/// Weights are strings in the answers of Add and Set, and numbers elsewhere.
fn answer(world: &World, id: &str, names: Vec<String>, as_text: bool) -> (Value, Effect) {
    (
        json!({"LoadBalancerId": id, "BackendServers": rows(world, id, as_text)}),
        Effect::change(id, names),
    )
}

fn target(world: &World, params: &Params) -> Result<String, Refusal> {
    params.need("RegionId")?;
    let id = params.need("LoadBalancerId")?;
    let own = |group: &crate::group::Group| world.sees(group.account.as_ref());
    match world.load_balancers.contains_key(id) && world.groups.get(id).is_some_and(own) {
        true => Ok(id.to_owned()),
        false => Err(unknown(id)),
    }
}

pub(crate) fn unknown(id: &str) -> Refusal {
    Refusal::new(
        404,
        "InvalidLoadBalancerId.NotFound",
        format!("The load balancer {id} does not exist."),
    )
}

fn rows(world: &World, id: &str, as_text: bool) -> Value {
    let rows: Vec<_> = world.groups[id]
        .members
        .iter()
        .map(|((server, ip, _), member)| {
            let weight = match as_text {
                true => json!(member.weight.to_string()),
                false => json!(member.weight),
            };
            json!({
                "ServerId": server, "ServerIp": ip, "Weight": weight,
                "Type": member.kind.to_ascii_lowercase(), "Description": member.description,
            })
        })
        .collect();
    json!({"BackendServer": rows})
}
