//! CLB (SLB 2014-05-15): vServer groups. Changes take effect at once; there are no tokens.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::Effect,
    params::Params,
    refusal::Refusal,
    world::{Group, Member, MemberKey, Product, Status, World, kind_of},
};

/// Backends that one call may name. Source: documentation of the four backend operations.
const BACKENDS_MAX: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Backend {
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

pub(crate) fn describe(world: &mut World, params: &Params) -> Result<(Value, Effect), Refusal> {
    params.need("RegionId")?;
    let id = params.need("VServerGroupId")?.to_owned();
    params.nothing_else()?;
    let group = group(world, &id)?;
    let body = json!({"VServerGroupId": id, "VServerGroupName": id, "LoadBalancerId": "lb-sim", "BackendServers": rows(group)});
    Ok((body, Effect::on(&id)))
}

pub(crate) fn add(world: &mut World, params: &Params) -> Result<(Value, Effect), Refusal> {
    let (id, backends) = read(world, params)?;
    let bad = backends
        .iter()
        .find(|(key, ..)| world.bad_servers.contains(&key.0));
    if let Some(((server, ..), ..)) = bad {
        return Err(Refusal::new(
            400,
            "ObtainIpFail",
            format!("The IP address of {server} cannot be obtained: it is not running."),
        ));
    }
    let group = group(world, &id)?;
    // What happens to one that is already there is not documented; refusing is harder for the client.
    if let Some((key, ..)) = backends
        .iter()
        .find(|(key, ..)| group.members.contains_key(key))
    {
        return Err(Refusal::new(
            400,
            "InvalidBackendServers.Exists",
            format!("{} is already in the group.", key.0),
        ));
    }
    if group.members.len() + backends.len() > group.quota {
        return Err(Refusal::new(
            400,
            "QuotaExceeded.BackendServersNumber",
            "The group takes no more backend servers.",
        ));
    }
    let names = backends.iter().map(|(key, ..)| name(key)).collect();
    for (key, weight, description) in backends {
        let kind = kind_of(&key.0).to_owned();
        group.members.insert(
            key,
            Member {
                kind,
                weight: weight.unwrap_or(100),
                status: Status::Available,
                until: 0.0,
                description,
            },
        );
    }
    let body = json!({"VServerGroupId": id, "BackendServers": rows(group)});
    Ok((body, Effect::change(&id, names)))
}

pub(crate) fn remove(world: &mut World, params: &Params) -> Result<(Value, Effect), Refusal> {
    let (id, backends) = read(world, params)?;
    let group = group(world, &id)?;
    let names = backends.iter().map(|(key, ..)| name(key)).collect();
    for (key, ..) in backends {
        // Those that are not in the group are ignored. Without an address any address of the id and port is meant.
        group.members.retain(|(server, ip, port), _| {
            !(*server == key.0 && *port == key.2 && (key.1.is_empty() || *ip == key.1))
        });
    }
    let body = json!({"VServerGroupId": id, "BackendServers": rows(group)});
    Ok((body, Effect::change(&id, names)))
}

pub(crate) fn set(world: &mut World, params: &Params) -> Result<(Value, Effect), Refusal> {
    params.get("VServerGroupName");
    let (id, backends) = read(world, params)?;
    let group = group(world, &id)?;
    let names = backends.iter().map(|(key, ..)| name(key)).collect();
    for (key, weight, _) in backends {
        match (group.members.get_mut(&key), weight) {
            (Some(member), Some(weight)) => member.weight = weight,
            (Some(_), None) => {}
            (None, _) => {
                return Err(Refusal::new(
                    400,
                    "InvalidBackendServers.NotExist",
                    format!("{} is not in the group.", key.0),
                ));
            }
        }
    }
    let body = json!({"VServerGroupId": id, "VServerGroupName": id, "BackendServers": rows(group)});
    Ok((body, Effect::change(&id, names)))
}

type Read = Vec<(MemberKey, Option<u8>, String)>;

fn read(world: &World, params: &Params) -> Result<(String, Read), Refusal> {
    params.need("RegionId")?;
    let id = params.need("VServerGroupId")?.to_owned();
    let text = params.need("BackendServers")?;
    params.nothing_else()?;
    let malformed = |why: String| Refusal::new(400, "BackendServersMalformed", why);
    let backends: Vec<Backend> =
        serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    if backends.len() > BACKENDS_MAX {
        return Err(Refusal::new(
            400,
            "TooManyBackendServers",
            "More than 20 backend servers in one call.",
        ));
    }
    let mut read = Vec::new();
    for backend in backends {
        let kind = kind_of(&backend.server_id).to_ascii_lowercase();
        if !matches!(kind.as_str(), "ecs" | "eni" | "eci")
            || backend.r#type.as_deref().unwrap_or("ecs") != kind
        {
            return Err(malformed(format!(
                "Type and ServerId of {} do not go together.",
                backend.server_id
            )));
        }
        let port = number(backend.port.as_ref()).filter(|port| (1..=65535).contains(port));
        let port = port.ok_or_else(|| malformed("Port is missing or out of range.".into()))?;
        let weight = match backend.weight {
            Some(weight) => Some(
                number(Some(&weight))
                    .and_then(|weight| u8::try_from(weight).ok())
                    .filter(|weight| *weight <= 100)
                    .ok_or_else(|| {
                        Refusal::new(
                            400,
                            "InvalidWeight.Malformed",
                            "Weight is not a number from 0 to 100.",
                        )
                    })?,
            ),
            None => None,
        };
        let ip = match (kind.as_str(), backend.server_ip) {
            ("ecs", _) => String::new(),
            (_, Some(ip)) => ip,
            (_, None) => world.address_of(&id, &backend.server_id),
        };
        let port = u16::try_from(port).expect("checked above");
        read.push((
            (backend.server_id, ip, port),
            weight,
            backend.description.unwrap_or_default(),
        ));
    }
    Ok((id, read))
}

fn number(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

fn group<'w>(world: &'w mut World, id: &str) -> Result<&'w mut Group, Refusal> {
    let found = world
        .groups
        .get_mut(id)
        .filter(|group| group.product == Product::Clb);
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

fn name((id, ip, port): &MemberKey) -> String {
    if ip.is_empty() {
        format!("{id}:{port}")
    } else {
        format!("{id}@{ip}:{port}")
    }
}
