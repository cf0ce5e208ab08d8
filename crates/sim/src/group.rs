//! Server groups and their members, of every product.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{refusal::Refusal, seconds::Seconds};

/// A load balancer product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// CLB: vServer groups, and the default groups of load balancers.
    Clb,
    /// ALB.
    Alb,
    /// NLB.
    Nlb,
    /// GWLB.
    Gwlb,
}

impl Product {
    /// The service name in the audit log.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::Clb => "slb",
            Self::Alb => "alb",
            Self::Nlb => "nlb",
            Self::Gwlb => "gwlb",
        }
    }

    /// As attachments write it.
    #[must_use]
    pub const fn upper(self) -> &'static str {
        match self {
            Self::Clb => "CLB",
            Self::Alb => "ALB",
            Self::Nlb => "NLB",
            Self::Gwlb => "GWLB",
        }
    }

    /// Reads what [`Product::upper`] writes.
    #[must_use]
    pub fn from_upper(name: &str) -> Option<Self> {
        [Self::Clb, Self::Alb, Self::Nlb, Self::Gwlb]
            .into_iter()
            .find(|product| product.upper() == name)
    }
}

/// What a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Joining.
    Adding,
    /// Serving.
    Available,
    /// Being changed.
    Configuring,
    /// Leaving.
    Removing,
    /// Leaving, finishing what it has.
    Draining,
}

impl Status {
    /// As lists write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adding => "Adding",
            Self::Available => "Available",
            Self::Configuring => "Configuring",
            Self::Removing => "Removing",
            Self::Draining => "Draining",
        }
    }
}

/// What tells a member from others: id, address, port (0 in the default group of a CLB).
pub type MemberKey = (String, String, u16);

/// A member of a server group.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// `Ecs`, `Eni`, `Eci`, `Ip`, `Fc`.
    pub kind: String,
    /// 0 to 100; GWLB has none and keeps 100.
    pub weight: u8,
    /// What it is doing.
    pub status: Status,
    /// When that ends.
    pub until: Seconds,
    /// What it was given.
    pub description: String,
    /// Whether it may be outside of the VPC: addresses of ALB alone.
    pub remote_ip: bool,
}

impl Member {
    /// One of this id that serves, as it is when nothing more is said of it.
    #[must_use]
    pub fn new(id: &str, weight: u8) -> Self {
        Self {
            kind: kind_of(id).to_owned(),
            weight,
            status: Status::Available,
            until: 0.0,
            description: String::new(),
            remote_ip: false,
        }
    }
}

/// A server group of any product.
#[derive(Clone, Debug)]
pub struct Group {
    /// Whose it is.
    pub product: Product,
    /// The name that lists show; absent = its id.
    pub name: Option<String>,
    /// `Instance`, `Ip` or `Fc`: which servers it takes. CLB groups do not look at it.
    pub kind: String,
    /// The load balancer of a CLB group.
    pub load_balancer: String,
    /// The cloud account that sees it; absent = every account.
    pub account: Option<String>,
    /// Its members.
    pub members: BTreeMap<MemberKey, Member>,
    /// A change is running until then.
    pub busy_until: Seconds,
    /// When a CLB group last took backends in; leaving too soon after that is refused.
    pub added_at: Seconds,
    /// How long members drain; 0 = not at all.
    pub drain_seconds: Seconds,
    /// How many members it takes. Source of the first value: the limits that the product pages give before any raise.
    pub quota: usize,
    /// `Creating` and other states forced from outside.
    pub forced_status: Option<String>,
    /// The code with which every change is refused, as while something else holds the group; absent = none is.
    pub busy: Option<String>,
    /// What lists show of its health check. Nothing looks at health.
    pub health_check: Map<String, Value>,
}

impl Group {
    /// An empty group that is idle.
    #[must_use]
    pub fn new(product: Product) -> Self {
        Self {
            product,
            name: None,
            kind: String::from("Instance"),
            load_balancer: String::from("lb-sim"),
            account: None,
            members: BTreeMap::new(),
            busy_until: 0.0,
            added_at: f64::NEG_INFINITY,
            drain_seconds: if product == Product::Gwlb { 300.0 } else { 0.0 },
            // NLB counts its container instances apart, of which there may be 1600.
            quota: match product {
                Product::Gwlb => 300,
                Product::Nlb => 400,
                Product::Clb | Product::Alb => 1000,
            },
            forced_status: None,
            busy: None,
            health_check: Map::from_iter([("HealthCheckEnabled".to_owned(), json!(false))]),
        }
    }

    /// Members that serve: available, above weight 0. CLB members are always available.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.members
            .values()
            .filter(|member| member.status == Status::Available && member.weight > 0)
            .count()
    }

    /// The name that lists show for a group of this id.
    #[must_use]
    pub fn name<'g>(&'g self, id: &'g str) -> &'g str {
        self.name.as_deref().unwrap_or(id)
    }

    /// Refuses a change while something else holds the group.
    pub(crate) fn free(&self) -> Result<(), Refusal> {
        match &self.busy {
            Some(code) => {
                let why = "Something else is working on the group.";
                Err(Refusal::new(400, code, why))
            }
            None => Ok(()),
        }
    }

    /// Ids of everything in it, each once.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<String> {
        self.members.keys().map(|(id, ..)| id.clone()).collect()
    }

    /// `Creating`, `Available` or `Configuring`, at this moment.
    #[must_use]
    pub fn status(&self, now: Seconds) -> &str {
        match &self.forced_status {
            Some(status) => status,
            None if self.busy_until > now => "Configuring",
            None => "Available",
        }
    }
}

/// A classic load balancer; its default group is the server group of the same id.
#[derive(Clone, Debug)]
pub struct LoadBalancer {
    /// `active`, `inactive` or `locked`.
    pub status: String,
    /// Where it listens.
    pub address: String,
    /// Ports that listen, with their protocol.
    pub listeners: Vec<(u16, String)>,
    /// Whether a listener checks health; scaling groups ask for that.
    pub checks_health: bool,
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self {
            status: String::from("active"),
            address: String::new(),
            listeners: vec![(80, String::from("tcp"))],
            checks_health: true,
        }
    }
}

/// What an id says a server is. Instances from before 2017 have ids of any form: `AY140700000000000000`.
pub(crate) fn kind_of(id: &str) -> &'static str {
    match id.split_once('-') {
        Some(("eni", _)) => "Eni",
        Some(("eci", _)) => "Eci",
        _ if id.parse::<std::net::IpAddr>().is_ok() => "Ip",
        _ if id.contains(':') => "Fc",
        _ => "Ecs",
    }
}

/// A member as the audit log names it: `ID[@IP][:PORT]`.
pub(crate) fn name((id, ip, port): &MemberKey) -> String {
    let at = if ip.is_empty() { "" } else { "@" };
    match port {
        0 => format!("{id}{at}{ip}"),
        port => format!("{id}{at}{ip}:{port}"),
    }
}
