//! One API call before it is signed: its parameters flattened, and each put where it travels.
//!
//! Callers give the arguments nested, under the names of the current documentation. Flattening, the older
//! names of the ESS version in use, and the split between query and form happen here and nowhere else, so
//! that one set of recorded requests checks them all.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

/// Parameters by name, decoded; the order is that of the bytes of the names, as signatures want it.
pub type Parameters = BTreeMap<String, String>;

/// A service with an API of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Auto Scaling.
    Ess,
    /// Classic load balancer.
    Slb,
    /// Application load balancer.
    Alb,
    /// Network load balancer.
    Nlb,
    /// Gateway load balancer.
    Gwlb,
    /// Elastic compute: instances and network interfaces.
    Ecs,
    /// Security token service.
    Sts,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 7] = [
        Self::Ess,
        Self::Slb,
        Self::Alb,
        Self::Nlb,
        Self::Gwlb,
        Self::Ecs,
        Self::Sts,
    ];

    /// The API version that the operator speaks.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::Ess => "2014-08-28",
            Self::Slb => "2014-05-15",
            Self::Alb => "2020-06-16",
            Self::Nlb => "2022-04-30",
            Self::Gwlb => "2024-04-15",
            Self::Ecs => "2014-05-26",
            Self::Sts => "2015-04-01",
        }
    }

    /// Its name in hosts and in `--endpoint`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ess => "ess",
            Self::Slb => "slb",
            Self::Alb => "alb",
            Self::Nlb => "nlb",
            Self::Gwlb => "gwlb",
            Self::Ecs => "ecs",
            Self::Sts => "sts",
        }
    }
}

/// Whether a call changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads, and may be repeated at will.
    Reads,
    /// It changes the cloud: one attempt, and the caller decides what a missing answer means.
    Changes,
}

/// One call.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The service whose API is called.
    pub service: Service,
    /// The action.
    pub action: &'static str,
    /// Whether it changes anything.
    pub effect: Effect,
    /// Parameters in the URL.
    pub query: Parameters,
    /// Parameters in the body; no body when empty.
    pub form: Parameters,
}

impl Call {
    /// A call with `arguments`, an object nested as the API documents it. Null and empty lists are left out.
    #[must_use]
    pub fn new(service: Service, action: &'static str, effect: Effect, arguments: &Value) -> Self {
        let mut call = Self {
            service,
            action,
            effect,
            query: Parameters::new(),
            form: Parameters::new(),
        };
        for (name, value) in arguments.as_object().into_iter().flatten() {
            let parameters = match place(service, action, name) {
                Place::Query => &mut call.query,
                Place::Form => &mut call.form,
            };
            flatten(service, spelt(service, name).to_owned(), value, parameters);
        }
        call.bound_the_url();
        call
    }

    /// Moves the servers of a long ALB removal into the body: no published bound covers a URL of 18 KiB, and
    /// the gateway takes a parameter from either place.
    fn bound_the_url(&mut self) {
        let servers = |name: &String| name.starts_with("Servers.");
        if self.service == Service::Alb
            && self.query.keys().filter(|name| servers(name)).count() > QUERY_SERVER_FIELDS_MAX
        {
            let (form, query) = std::mem::take(&mut self.query)
                .into_iter()
                .partition(|(name, _)| servers(name));
            self.query = query;
            self.form.extend::<Parameters>(form);
        }
    }
}

/// 40 servers of up to four fields each travel in the query, as the cloud's own controller manager has it.
const QUERY_SERVER_FIELDS_MAX: usize = 160;

impl fmt::Debug for Call {
    /// Names the action alone: a parameter may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service.name(), self.action)
    }
}

/// Where a parameter travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Query,
    Form,
}

/// Where the official SDKs put the argument `name`; the gateway would take either place.
fn place(service: Service, action: &str, name: &str) -> Place {
    let in_form = match service {
        Service::Ess | Service::Slb | Service::Ecs | Service::Sts => false,
        Service::Gwlb => true,
        Service::Nlb => match action {
            "ListServerGroups" => name != "Tag",
            "AddServersToServerGroup"
            | "RemoveServersFromServerGroup"
            | "UpdateServerGroupServersAttribute"
            | "ListServerGroupServers" => true,
            _ => false,
        },
        Service::Alb => match action {
            "AddServersToServerGroup" | "UpdateServerGroupServersAttribute" => name == "Servers",
            "ReplaceServersInServerGroup" => name == "AddedServers",
            _ => false,
        },
    };
    if in_form { Place::Form } else { Place::Query }
}

/// `Name`, `Name.1`, `Name.1.Key`: one parameter for each leaf.
fn flatten(service: Service, name: String, value: &Value, parameters: &mut Parameters) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => _ = parameters.insert(name, flag.to_string()),
        Value::Number(number) => _ = parameters.insert(name, number.to_string()),
        Value::String(text) => _ = parameters.insert(name, text.clone()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(service, format!("{name}.{}", index + 1), item, parameters);
            }
        }
        Value::Object(fields) => {
            for (field, value) in fields {
                flatten(
                    service,
                    format!("{name}.{}", spelt(service, field)),
                    value,
                    parameters,
                );
            }
        }
    }
}

/// How the API version in use spells a current name: ESS 2014-08-28 has singular list names.
fn spelt(service: Service, name: &str) -> &str {
    if service != Service::Ess {
        return name;
    }
    match name {
        "ServerGroups" => "ServerGroup",
        "AlbServerGroups" => "AlbServerGroup",
        "VServerGroups" => "VServerGroup",
        "VServerGroupAttributes" => "VServerGroupAttribute",
        "LoadBalancers" => "LoadBalancer",
        "LoadBalancerConfigs" => "LoadBalancerConfig",
        "ScalingGroupIds" => "ScalingGroupId",
        "ScalingActivityIds" => "ScalingActivityId",
        "InstanceIds" => "InstanceId",
        other => other,
    }
}
