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
    let told = ServerKind::told_by(&server.id);
    let kind = server.type_.map_or(told, kind);
    if kind != told {
        return Err(format!(
            ".type: {kind:?} contradicts the id {:?}, which says {told:?}",
            server.id
        ));
    }
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
    Ok(Entry {
        id: server.id.clone(),
        kind,
        ip: ip.filter(|_| !matches!(kind, ServerKind::Ip | ServerKind::Fc)),
        port,
        weight,
    })
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
