//! CLB (SLB 2014-05-15): vServer groups. Changes take effect at once; there are no tokens.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    backend_list::{BackendList, number},
    group::{Group, Member, MemberKey, Product, kind_of, name},
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    world::World,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    server_id: String,
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    port: Option<Value>,
    #[serde(default)]
    weight: Option<Value>,
    #[serde(default)]
    server_ip: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

/// The keys of a backend.
const KEYS: [&str; 6] = [
    "ServerId",
    "Type",
    "Port",
    "Weight",
    "ServerIp",
    "Description",
];

/// A backend as a call names it.
pub(crate) struct Backend {
    key: MemberKey,
    weight: Option<u8>,
    description: Option<String>,
}

pub(crate) fn describe(world: &mut World, params: &Params) -> Outcome {
    params.need("RegionId")?;
    let id = params.need("VServerGroupId")?.to_owned();
    params.nothing_else()?;
    let group = group(world, &id)?;
    let body = json!({
        "VServerGroupId": id, "VServerGroupName": group.name(&id), "LoadBalancerId": group.load_balancer,
        "BackendServers": rows(group), "Tags": {"Tag": []},
    });
    Ok((body, Effect::on(&id)))
}

pub(crate) fn add(world: &mut World, params: &Params) -> Outcome {
    let id = target(params)?;
    let backends = backends(world, params, &id, "BackendServers", true)?;
    params.nothing_else()?;
    group(world, &id)?;
    let names = enter(world, &id, backends)?;
    Ok((
        json!({"VServerGroupId": id, "BackendServers": rows(&world.groups[&id])}),
        Effect::change(&id, names),
    ))
}

pub(crate) fn remove(world: &mut World, params: &Params) -> Outcome {
    let id = target(params)?;
    let backends = backends(world, params, &id, "BackendServers", true)?;
    params.nothing_else()?;
    group(world, &id)?;
    let names = leave(world, &id, &backends)?;
    Ok((
        json!({"VServerGroupId": id, "BackendServers": rows(&world.groups[&id])}),
        Effect::change(&id, names),
    ))
}

pub(crate) fn set(world: &mut World, params: &Params) -> Outcome {
    let id = target(params)?;
    let new_name = params.get("VServerGroupName").map(str::to_owned);
    let backends = match params.has("BackendServers") {
        true => backends(world, params, &id, "BackendServers", true)?,
        false => Vec::new(),
    };
    params.nothing_else()?;
    group(world, &id)?;
    let names = reweigh(world, &id, backends)?;
    let group = group(world, &id)?;
    group.name = new_name.or(group.name.take());
    let body = json!({
        "VServerGroupId": id, "VServerGroupName": group.name(&id), "BackendServers": rows(group),
    });
    Ok((body, Effect::change(&id, names)))
}

/// Swaps old backends for new ones.
pub(crate) fn modify(world: &mut World, params: &Params) -> Outcome {
    let id = target(params)?;
    let old = backends(world, params, &id, "OldBackendServers", true)?;
    let new = backends(world, params, &id, "NewBackendServers", true)?;
    params.nothing_else()?;
    let before = group(world, &id)?.members.clone();
    let mut names = leave(world, &id, &old)?;
    match enter(world, &id, new) {
        Ok(entered) => names.extend(entered),
        Err(refusal) => {
            group(world, &id)?.members = before;
            return Err(refusal);
        }
    }
    Ok((
        json!({"VServerGroupId": id, "BackendServers": rows(&world.groups[&id])}),
        Effect::change(&id, names),
    ))
}

fn target(params: &Params) -> Result<String, Refusal> {
    params.need("RegionId")?;
    Ok(params.need("VServerGroupId")?.to_owned())
}

/// Takes backends in, all of them or none.
pub(crate) fn enter(
    world: &mut World,
    id: &str,
    backends: Vec<Backend>,
) -> Result<Vec<String>, Refusal> {
    running(world, id)?;
    let bad = |backend: &&Backend| {
        let id = &backend.key.0;
        world.bad_servers.contains(id) || world.failing_servers.contains(id)
    };
    if let Some(backend) = backends.iter().find(bad) {
        let why = format!(
            "The IP address of {} cannot be obtained: it is not running.",
            backend.key.0
        );
        return Err(Refusal::new(400, "ObtainIpFail", why));
    }
    let now = world.now;
    let group = world.groups.get_mut(id).expect("found by the caller");
    // What happens to one that is already in a vServer group is not documented; refusing is harder for the client,
    // and is what the default group does.
    let already = |backend: &&Backend| group.members.contains_key(&backend.key);
    if let Some(backend) = backends.iter().find(already) {
        let why = format!("{} is already in the group.", backend.key.0);
        return Err(Refusal::new(400, "InvalidBackendServers.Exists", why));
    }
    if group.members.len() + backends.len() > group.quota {
        let why = "The group takes no more backend servers.";
        return Err(Refusal::new(400, "QuotaExceeded.BackendServersNumber", why));
    }
    let names = backends.iter().map(|backend| name(&backend.key)).collect();
    for backend in backends {
        let weight = backend.weight.unwrap_or(100);
        let member = Member {
            description: backend.description.unwrap_or_default(),
            ..Member::new(&backend.key.0, weight)
        };
        // Of a duplicate in one call the first counts.
        group.members.entry(backend.key).or_insert(member);
    }
    group.added_at = now;
    Ok(names)
}

/// Lets backends go. Those that are not there are ignored.
pub(crate) fn leave(
    world: &mut World,
    id: &str,
    backends: &[Backend],
) -> Result<Vec<String>, Refusal> {
    running(world, id)?;
    let clings = |backend: &&Backend| world.clinging_servers.contains(&backend.key.0);
    if let Some(backend) = backends.iter().find(clings) {
        let why = format!("{} is being configured.", backend.key.0);
        return Err(Refusal::new(409, "BackendServer.configuring", why));
    }
    let (now, wait) = (world.now, world.durations.processing);
    if now < world.groups[id].added_at + wait {
        let code = match world.load_balancers.contains_key(id) {
            true => "ServiceIsConfiguring",
            false => "VServerGroupProcessing",
        };
        return Err(Refusal::new(400, code, "The group is being processed."));
    }
    let group = world.groups.get_mut(id).expect("found by the caller");
    for Backend { key, .. } in backends {
        group.members.remove(key);
    }
    Ok(backends.iter().map(|backend| name(&backend.key)).collect())
}

/// Gives backends other weights and descriptions, all of them or none.
pub(crate) fn reweigh(
    world: &mut World,
    id: &str,
    backends: Vec<Backend>,
) -> Result<Vec<String>, Refusal> {
    running(world, id)?;
    let group = world.groups.get_mut(id).expect("found by the caller");
    let absent = |backend: &&Backend| !group.members.contains_key(&backend.key);
    if let Some(backend) = backends.iter().find(absent) {
        let why = format!("{} is not in the group.", backend.key.0);
        return Err(Refusal::new(400, "InvalidBackendServers.NotExist", why));
    }
    let names = backends.iter().map(|backend| name(&backend.key)).collect();
    for backend in backends {
        let member = group.members.get_mut(&backend.key).expect("checked above");
        member.weight = backend.weight.unwrap_or(member.weight);
        if let Some(description) = backend.description {
            member.description = description;
        }
    }
    Ok(names)
}

/// Refuses changes while something else holds the group, or the load balancer is stopped or locked.
fn running(world: &World, id: &str) -> Result<(), Refusal> {
    let group = world.groups.get(id).expect("found by the caller");
    group.free()?;
    let balancer = world.load_balancers.get(&group.load_balancer);
    match balancer {
        Some(balancer) if balancer.status != "active" => Err(Refusal::new(
            400,
            "LbStatusNotSupport",
            format!("The load balancer is {}.", balancer.status),
        )),
        _ => Ok(()),
    }
}

/// The backends that a JSON parameter names; with ports in a vServer group, without in a default group.
pub(crate) fn backends(
    world: &World,
    params: &Params,
    group: &str,
    list: &str,
    with_ports: bool,
) -> Result<Vec<Backend>, Refusal> {
    let text = params.need(list)?;
    let read = BackendList::read(text).map_err(|error| malformed(error.to_string()))?;
    if read.single_quotes {
        let why = format!("{list} is in single quotes.");
        params.wrong(MALFORMED, why)?;
    }
    if read.rows.len() > world.backends_max {
        let why = format!(
            "More than {} backend servers in one call.",
            world.backends_max
        );
        return Err(Refusal::new(400, "TooManyBackendServers", why));
    }
    let mut backends = Vec::new();
    for row in read.rows {
        for name in row.keys().filter(|name| !KEYS.contains(&name.as_str())) {
            let why = format!("A backend server has no key {name}.");
            params.wrong(MALFORMED, why)?;
        }
        let raw: Raw = serde_json::from_value(Value::Object(row))
            .map_err(|error| malformed(error.to_string()))?;
        backends.push(backend(world, params, group, raw, with_ports)?);
    }
    Ok(backends)
}

fn backend(
    world: &World,
    params: &Params,
    group: &str,
    raw: Raw,
    with_ports: bool,
) -> Result<Backend, Refusal> {
    let kind = kind_of(&raw.server_id).to_ascii_lowercase();
    if !matches!(kind.as_str(), "ecs" | "eni" | "eci")
        || raw.r#type.as_deref().unwrap_or("ecs") != kind
    {
        let why = format!("Type and ServerId of {} do not go together.", raw.server_id);
        return Err(malformed(why));
    }
    let port = match (with_ports, raw.port) {
        (true, Some(port)) => number(&port)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0)
            .ok_or_else(|| malformed("Port is out of range.".into()))?,
        (true, None) => return Err(malformed("Port is missing.".into())),
        (false, port) => {
            if port.is_some() {
                params.wrong(MALFORMED, "A default group has no Port.".into())?;
            }
            0
        }
    };
    let weight = match raw.weight {
        None => None,
        Some(weight) => {
            let weight = number(&weight).and_then(|weight| u8::try_from(weight).ok());
            let why = "Weight is not a number from 0 to 100.";
            let refusal = || Refusal::new(400, "InvalidWeight.Malformed", why);
            Some(weight.filter(|weight| *weight <= 100).ok_or_else(refusal)?)
        }
    };
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "-/._".contains(letter);
    let fine = |text: &String| (1..=80).contains(&text.len()) && text.chars().all(letter);
    if raw.description.as_ref().is_some_and(|text| !fine(text)) {
        let why = "Description is not of 1 to 80 letters, digits, '-', '/', '.', '_'.";
        return Err(malformed(why.into()));
    }
    let ip = match (kind.as_str(), raw.server_ip) {
        ("ecs", ip) => {
            if ip.is_some() {
                let why = "ServerIp does not go with a server of type ecs.";
                params.wrong(MALFORMED, why.into())?;
            }
            String::new()
        }
        (_, Some(ip)) => ip,
        (_, None) => world.address_of(group, &raw.server_id),
    };
    Ok(Backend {
        key: (raw.server_id, ip, port),
        weight,
        description: raw.description,
    })
}

/// The code for a list of backends that is none.
const MALFORMED: &str = "BackendServersMalformed";

fn malformed(why: String) -> Refusal {
    Refusal::new(400, MALFORMED, why)
}

/// A vServer group; the default group of a load balancer is none.
fn group<'w>(world: &'w mut World, id: &str) -> Result<&'w mut Group, Refusal> {
    let caller = world.caller.account.clone();
    let known = !world.load_balancers.contains_key(id);
    let found = world.groups.get_mut(id).filter(|group| {
        known
            && group.product == Product::Clb
            && group.account.as_ref().is_none_or(|own| *own == caller)
    });
    found.ok_or_else(|| {
        Refusal::new(
            404,
            "InvalidParameter",
            "The specified VServerGroupId does not exist.",
        )
    })
}

fn rows(group: &Group) -> Value {
    let rows: Vec<_> = group
        .members
        .iter()
        .map(|((id, ip, port), member)| {
            json!({
                "ServerId": id, "ServerIp": ip, "Port": port, "Weight": member.weight,
                "Type": member.kind.to_ascii_lowercase(), "Description": member.description,
            })
        })
        .collect();
    json!({"BackendServer": rows})
}
