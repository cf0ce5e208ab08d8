//! Which service an action belongs to, and what it does: once for each client token.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    attach, balancer, ecs, ess, health, listing, members,
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    signature::Caller,
    slb, sts, surroundings,
    world::{Product, World},
};

/// A successful answer, perhaps that of an earlier call.
pub(crate) struct Done {
    pub body: Value,
    pub effect: Effect,
    pub replayed: bool,
}

/// A service in one of its versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// As in the audit log.
    pub name: &'static str,
    /// Its lists have plural names and its answers are flat: ESS 2022-02-22.
    plural: bool,
}

/// List names of ESS 2014-08-28, and those of 2022-02-22.
const PLURALS: [(&str, &str); 11] = [
    ("AlbServerGroup", "AlbServerGroups"),
    ("InstanceId", "InstanceIds"),
    ("LoadBalancer", "LoadBalancers"),
    ("LoadBalancerConfig", "LoadBalancerConfigs"),
    ("ScalingActivityId", "ScalingActivityIds"),
    ("ScalingGroupId", "ScalingGroupIds"),
    ("ScalingGroupName", "ScalingGroupNames"),
    ("ServerGroup", "ServerGroups"),
    ("Tag", "Tags"),
    ("VServerGroup", "VServerGroups"),
    ("VServerGroupAttribute", "VServerGroupAttributes"),
];

impl Service {
    /// The service that has an API of this version.
    pub(crate) fn of_version(version: &str, action: &str) -> Result<Self, Refusal> {
        let name = match version {
            "2014-08-28" | "2022-02-22" => "ess",
            "2014-05-15" => "slb",
            "2020-06-16" => "alb",
            "2022-04-30" => "nlb",
            "2024-04-15" => "gwlb",
            "2014-05-26" => "ecs",
            "2015-04-01" => "sts",
            _ => {
                let why = format!("No product has an API of version {version} for {action}.");
                return Err(Refusal::new(404, "InvalidVersion", why));
            }
        };
        Ok(Self {
            name,
            plural: version == "2022-02-22",
        })
    }

    /// Parameters under the names of the version that this program speaks.
    ///
    /// The other version's names become unknown ones, as they are.
    pub(crate) fn rename(self, params: BTreeMap<String, String>) -> BTreeMap<String, String> {
        if !self.plural {
            return params;
        }
        let rename = |name: &str| {
            let pair = PLURALS
                .iter()
                .find(|(one, many)| *one == name || *many == name);
            match pair {
                Some((one, many)) if *many == name => (*one).to_owned(),
                Some((one, _)) => format!("{one}-of-another-version"),
                None => name.to_owned(),
            }
        };
        let renamed = params.into_iter().map(|(name, value)| {
            let parts: Vec<_> = name.split('.').collect();
            let parts: Vec<_> = match parts.len() {
                1 => vec![name.clone()],
                _ => parts.into_iter().map(rename).collect(),
            };
            (parts.join("."), value)
        });
        renamed.collect()
    }

    /// An answer in the shape of the version that was asked.
    pub(crate) fn shape(self, body: Value) -> Value {
        if self.plural { flat(body) } else { body }
    }
}

/// `{"Things": {"Thing": […]}}` becomes `{"Things": […]}`.
fn flat(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut values = fields.values();
            if let (Some(Value::Array(rows)), None) = (values.next(), values.next()) {
                return flat(Value::Array(rows.clone()));
            }
            let fields = fields.into_iter().map(|(name, value)| (name, flat(value)));
            Value::Object(fields.collect())
        }
        Value::Array(rows) => rows.into_iter().map(flat).collect(),
        other => other,
    }
}

/// Whether an action changes something, by its name.
pub(crate) fn changes(action: &str) -> bool {
    let verbs = [
        "Add", "Remove", "Set", "Update", "Attach", "Detach", "Replace", "Modify", "Enter", "Exit",
    ];
    verbs.iter().any(|verb| action.starts_with(verb)) || surroundings::changes(action)
}

/// A repeated token gets the first answer and changes nothing; with other parameters it is refused.
pub(crate) fn with_token(
    world: &mut World,
    service: &str,
    action: &str,
    params: &Params,
    caller: &Caller,
) -> Result<Done, Refusal> {
    world.caller.clone_from(caller);
    let token = match service {
        // CLB knows no tokens: one that is sent is a parameter too many.
        "slb" => None,
        _ => params
            .token()?
            .map(|token| [&caller.account, service, action, token].map(str::to_owned)),
    };
    if let Some((content, body)) = token.as_ref().and_then(|token| world.tokens.get(token)) {
        if *content == params.content() {
            return Ok(Done {
                body: body.clone(),
                effect: Effect::default(),
                replayed: true,
            });
        }
        let code = if service == "ess" {
            "IDEMPOTENCE_SIGNATURE_MISMATCH"
        } else {
            "IdempotenceSignatureMismatch"
        };
        let why = "The token was used with other parameters.";
        return Err(Refusal::new(400, code, why));
    }
    let (body, effect) = act(world, service, action, params).map_err(|refusal| {
        if service == "nlb" {
            refusal.in_words_of_nlb()
        } else {
            refusal
        }
    })?;
    if let Some(token) = token {
        world.tokens.insert(token, (params.content(), body.clone()));
    }
    Ok(Done {
        body,
        effect,
        replayed: false,
    })
}

/// The action itself.
fn act(world: &mut World, service: &str, action: &str, params: &Params) -> Outcome {
    if world.denied.contains(action) || world.denied.contains(&format!("{service}:{action}")) {
        let code = match service {
            "ess" => "Forbidden.Unauthorized",
            "nlb" => "Forbidden.NoPermission",
            _ => "Forbidden.RAM",
        };
        let why = "User not authorized to operate on the specified resource.";
        return Err(Refusal::new(403, code, why).denying(service, action));
    }
    let product = match service {
        "alb" => Some(Product::Alb),
        "nlb" => Some(Product::Nlb),
        "gwlb" => Some(Product::Gwlb),
        _ => None,
    };
    match (service, action, product) {
        ("sts", "GetCallerIdentity", _) => sts::identity(world, params),
        ("sts", "AssumeRole", _) => sts::assume_role(world, params),
        ("sts", "AssumeRoleWithOIDC", _) => sts::assume_role_with_oidc(world, params),
        ("ecs", "DescribeInstances", _) => ecs::describe_instances(world, params),
        ("ecs", "DescribeNetworkInterfaces", _) => ecs::describe_network_interfaces(world, params),
        ("ess", "DescribeScalingGroups", _) => ess::describe_groups(world, params),
        ("ess", "DescribeScalingActivities", _) => ess::describe_activities(world, params),
        ("ess", "DescribeScalingInstances", _) => ess::describe_instances(world, params),
        ("ess", "DescribeLimitation", _) => ess::describe_limitation(world, params),
        ("ess", "AttachServerGroups", _) => attach::server_groups(world, params, true),
        ("ess", "DetachServerGroups", _) => attach::server_groups(world, params, false),
        ("ess", "AttachAlbServerGroups", _) => attach::alb_server_groups(world, params, true),
        ("ess", "DetachAlbServerGroups", _) => attach::alb_server_groups(world, params, false),
        ("ess", "AttachVServerGroups", _) => attach::vserver_groups(world, params, true),
        ("ess", "DetachVServerGroups", _) => attach::vserver_groups(world, params, false),
        ("ess", "AttachLoadBalancers", _) => attach::load_balancers(world, params, true),
        ("ess", "DetachLoadBalancers", _) => attach::load_balancers(world, params, false),
        ("slb", "DescribeVServerGroupAttribute", _) => slb::describe(world, params),
        ("slb", "AddVServerGroupBackendServers", _) => slb::add(world, params),
        ("slb", "RemoveVServerGroupBackendServers", _) => slb::remove(world, params),
        ("slb", "SetVServerGroupAttribute", _) => slb::set(world, params),
        ("slb", "ModifyVServerGroupBackendServers", _) => slb::modify(world, params),
        ("slb", "DescribeVServerGroups", _) => balancer::vserver_groups(world, params),
        ("slb", "DescribeLoadBalancerAttribute", _) => balancer::describe(world, params),
        ("slb", "DescribeHealthStatus", _) => balancer::health(world, params),
        ("slb", "AddBackendServers", _) => balancer::add(world, params),
        ("slb", "RemoveBackendServers", _) => balancer::remove(world, params),
        ("slb", "SetBackendServers", _) => balancer::set(world, params),
        (_, "ListServerGroups", Some(product)) => listing::groups(world, product, params),
        (_, "ListServerGroupServers", Some(product)) => listing::members(world, product, params),
        (_, "GetListenerHealthStatus", Some(product)) => {
            health::of_listener(world, product, params)
        }
        ("alb" | "nlb", "ListAsynJobs", Some(product)) => listing::jobs(world, product, params),
        ("nlb", "GetJobStatus", _) => listing::job_status(world, params),
        (_, "AddServersToServerGroup", Some(product)) => members::add(world, product, params),
        (_, "RemoveServersFromServerGroup", Some(product)) => {
            members::remove(world, product, params)
        }
        ("alb" | "nlb", "UpdateServerGroupServersAttribute", Some(product)) => {
            members::update(world, product, params)
        }
        ("alb", "ReplaceServersInServerGroup", _) => members::replace(world, params),
        _ => surroundings::act(world, service, action, product, params),
    }
}
