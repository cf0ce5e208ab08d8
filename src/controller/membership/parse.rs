//! A list of servers into entries of the core; contradictions that admission cannot see end here.

use std::{collections::BTreeSet, net::IpAddr};

use server_group_core::{
    amount::Amount,
    membership::{
        Policy,
        resolve::{Entry, Unclear, duplicates},
    },
    product::Product,
    server::ServerKind,
};

use crate::api::{self, Server, ServerGroupMembershipSpec, ServerType};

/// The contents of a spec.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The product that the group belongs to.
    pub product: Product,
    /// Its list.
    pub entries: Vec<Entry>,
    /// How far removals may go.
    pub policy: Policy,
}

/// A spec that contradicts itself: which field, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

/// Problems named in one message; the rest is counted.
const NAMED: usize = 5;

/// Reads a spec.
///
/// # Errors
///
/// [`Invalid`], which names fields and values. Nothing was called.
pub fn parse(spec: &ServerGroupMembershipSpec) -> Result<Parsed, Invalid> {
    let product = product(spec.server_group.type_);
    let mut entries = Vec::with_capacity(spec.servers.len());
    let mut problems = Vec::new();
    for (index, server) in spec.servers.iter().enumerate() {
        match entry(product, server) {
            Ok(entry) => entries.push(entry),
            Err(problem) => problems.push(format!("spec.servers[{index}]{problem}")),
        }
    }
    let mut read = |name: &str, written| {
        amount(written).unwrap_or_else(|| {
            problems.push(format!(
                "spec.removal.{name}: {written:?} is neither a count nor a percentage"
            ));
            Amount::Count(1)
        })
    };
    let min_serving = read("minServing", &spec.removal.min_serving);
    let max_unavailable = read("maxUnavailable", &spec.removal.max_unavailable);
    if problems.is_empty() {
        problems.extend(duplicates(&entries).iter().map(unclear));
    }
    if problems.is_empty() {
        let policy = Policy {
            min_serving,
            max_unavailable,
            allow_empty: spec.removal.allow_empty,
        };
        return Ok(Parsed {
            product,
            entries,
            policy,
        });
    }
    Err(invalid(problems))
}

/// The entries that a spec claims, even if it contradicts itself: every entry that can be read, once (S7).
#[must_use]
pub fn claims(spec: &ServerGroupMembershipSpec) -> Vec<Entry> {
    let product = product(spec.server_group.type_);
    let mut claimed = BTreeSet::new();
    let entries = spec.servers.iter();
    let entries = entries.filter_map(|server| entry(product, server).ok());
    entries
        .filter(|entry| claimed.insert(entry.key()))
        .collect()
}

/// The parts of a spec that a release needs: a list that contradicts itself must not keep an object from going.
#[must_use]
pub fn for_release(spec: &ServerGroupMembershipSpec) -> Parsed {
    let policy = Policy {
        min_serving: Amount::Count(0),
        max_unavailable: Amount::Count(0),
        allow_empty: spec.removal.allow_empty,
    };
    Parsed {
        product: product(spec.server_group.type_),
        entries: Vec::new(),
        policy,
    }
}

/// The first few problems in one message.
#[must_use]
pub fn invalid(mut problems: Vec<String>) -> Invalid {
    let more = problems.len().saturating_sub(NAMED);
    problems.truncate(NAMED);
    let mut text = problems.join("; ");
    if more > 0 {
        text.push_str("; and ");
        text.push_str(&more.to_string());
        text.push_str(" more");
    }
    Invalid(text)
}

/// Says which entries of a list are not clear.
#[must_use]
pub fn unclear(unclear: &Unclear) -> String {
    match unclear {
        Unclear::Twice {
            first,
            second,
            member,
        } => {
            format!("spec.servers[{second}] is the same member as spec.servers[{first}]: {member}")
        }
        Unclear::Ambiguous { index, entry } => {
            format!(
                "spec.servers[{index}]: the group or the list has several addresses of {entry}; set ip to say which one is meant"
            )
        }
    }
}

/// The product that a group type stands for.
#[must_use]
pub const fn product(group: api::ServerGroupType) -> Product {
    match group {
        api::ServerGroupType::Clb => Product::Clb,
        api::ServerGroupType::Alb => Product::Alb,
        api::ServerGroupType::Nlb => Product::Nlb,
        api::ServerGroupType::Gwlb => Product::Gwlb,
    }
}

fn entry(product: Product, server: &Server) -> Result<Entry, String> {
    let kind = kind_of(server)?;
    let ip = match &server.ip {
        Some(ip) => Some(
            ip.parse::<IpAddr>()
                .map_err(|_| format!(".ip: {ip:?} is not an address"))?,
        ),
        None => None,
    };
    let port = match server.port {
        Some(port) => {
            Some(u16::try_from(port).map_err(|_| format!(".port: {port} is not a port"))?)
        }
        None => None,
    };
    let has_port = product.has_ports() && kind != ServerKind::Fc;
    if port.is_some() != has_port {
        return Err(if has_port {
            ".port: is missing".into()
        } else {
            ".port: neither GWLB nor functions have ports".into()
        });
    }
    let weight = match server.weight {
        Some(weight) => {
            Some(u8::try_from(weight).map_err(|_| format!(".weight: {weight} is not a weight"))?)
        }
        None => None,
    };
    let remote_ip = remote_ip(product, kind, server.remote_ip_enabled)?;
    Ok(Entry {
        id: server.id.clone(),
        kind,
        ip: ip.filter(|_| !matches!(kind, ServerKind::Ip | ServerKind::Fc)),
        port,
        weight,
        remote_ip,
    })
}

/// Whether an address is outside of the VPC. Only addresses in ALB groups can be; false says nothing of any other server.
fn remote_ip(
    product: Product,
    kind: ServerKind,
    written: Option<bool>,
) -> Result<Option<bool>, String> {
    let can_be = product == Product::Alb && kind == ServerKind::Ip;
    match written {
        Some(true) if !can_be => {
            Err(".remoteIpEnabled: is for addresses in ALB groups alone; leave it out".into())
        }
        written => Ok(written.filter(|_| can_be)),
    }
}

/// The kind that the id tells. One from before 2017 does not tell, and then `type` does; it can only be an instance, because
/// nothing else is that old.
fn kind_of(server: &Server) -> Result<ServerKind, String> {
    match (ServerKind::told_by(&server.id), server.type_.map(kind)) {
        (Some(told), None) => Ok(told),
        (Some(told), Some(written)) if told == written => Ok(told),
        (None, Some(ServerKind::Ecs)) => Ok(ServerKind::Ecs),
        (told, Some(written)) => Err(format!(
            ".type: {written:?} contradicts the id {:?}, which is that of a server of type {:?}",
            server.id,
            told.unwrap_or(ServerKind::Ecs)
        )),
        (None, None) => Err(format!(
            ".type: is missing, and the id {:?} does not tell what the server is; write Ecs for an instance",
            server.id
        )),
    }
}

const fn kind(server: ServerType) -> ServerKind {
    match server {
        ServerType::Ecs => ServerKind::Ecs,
        ServerType::Eni => ServerKind::Eni,
        ServerType::Eci => ServerKind::Eci,
        ServerType::Ip => ServerKind::Ip,
        ServerType::Fc => ServerKind::Fc,
    }
}

fn amount(written: &k8s_openapi::apimachinery::pkg::util::intstr::IntOrString) -> Option<Amount> {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    match written {
        IntOrString::Int(count) => usize::try_from(*count).ok().map(Amount::Count),
        IntOrString::String(text) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(product: &str, server: &Value) -> Result<Entry, String> {
        let spec = json!({
            "regionId": "cn-hangzhou", "serverGroup": {"type": product, "id": "g"}, "servers": [server],
        });
        let parsed = parse(&serde_json::from_value(spec).unwrap());
        let parsed = parsed.map_err(|invalid| invalid.to_string())?;
        Ok(parsed.entries.into_iter().next().unwrap())
    }

    #[test]
    fn the_type_of_an_id_from_before_2017_is_asked_for() {
        let old = |more: Value| {
            let mut server = json!({"id": "AY140700000000000000", "port": 80});
            let fields = more.as_object().unwrap().clone();
            server.as_object_mut().unwrap().extend(fields);
            parsed("NLB", &server)
        };
        assert_eq!(
            old(json!({"type": "Ecs"})).unwrap().kind,
            ServerKind::Ecs,
            "no more than that is needed"
        );
        for (more, words) in [
            (
                json!({}),
                "spec.servers[0].type: is missing, and the id \"AY140700000000000000\" does not tell",
            ),
            (json!({"type": "Eni"}), "Eni contradicts the id"),
            (json!({"type": "Ip"}), "Ip contradicts the id"),
        ] {
            let problem = old(more).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn an_old_instance_under_an_address_is_told_apart_as_any_other() {
        for id in ["AY140700000000000000", "i-1"] {
            let server = json!({"id": id, "type": "Ecs", "ip": "10.0.0.9", "port": 80});
            let entry = parsed("ALB", &server).unwrap();
            assert_eq!(entry.key().to_string(), format!("{id}@10.0.0.9:80"));
        }
    }

    #[test]
    fn only_an_address_in_an_alb_group_is_outside_of_the_vpc() {
        let remote = |product: &str, id: &str, written: Option<bool>| {
            let mut server = json!({"id": id});
            if product != "GWLB" {
                server["port"] = json!(80);
            }
            if let Some(written) = written {
                server["remoteIpEnabled"] = json!(written);
            }
            parsed(product, &server).map(|entry| entry.remote_ip)
        };
        for written in [Some(true), Some(false), None] {
            assert_eq!(remote("ALB", "172.16.1.5", written), Ok(written));
        }
        for (product, id) in [
            ("ALB", "i-1"),
            ("NLB", "172.16.1.5"),
            ("GWLB", "172.16.1.5"),
            ("CLB", "eni-1"),
        ] {
            let problem = remote(product, id, Some(true)).unwrap_err();
            assert!(
                problem.starts_with("spec.servers[0].remoteIpEnabled: is for addresses in ALB"),
                "{problem}"
            );
            assert_eq!(remote(product, id, Some(false)), Ok(None), "{product} {id}");
        }
    }

    #[test]
    fn where_an_address_is_does_not_tell_members_apart() {
        let entry = |remote: bool| {
            let server = json!({"id": "172.16.1.5", "port": 80, "remoteIpEnabled": remote});
            parsed("ALB", &server).unwrap()
        };
        assert_eq!(entry(true).key(), entry(false).key());
    }
}
