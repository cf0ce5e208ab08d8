//! What programs ask for on their way to the members of a group: load balancers of NLB, listeners, tags, attributes of groups.
//!
//! It only answers, so that such programs go on. What is made is kept as it was given and listed again; nothing of it is
//! checked, and nothing of it has to do with members. `docs/simulator.md` says what the answers are.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    balancer,
    group::Product,
    listing::{group, page, region},
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    world::{Job, World, address},
};

/// What was made.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// Attributes of listeners, by load balancer, port and protocol.
    listeners: BTreeMap<(String, u16, String), Map<String, Value>>,
    /// By service and resource.
    tags: BTreeMap<(String, String), BTreeMap<String, String>>,
}

impl Surroundings {
    /// All of it, for people.
    pub(crate) fn shown(&self) -> Value {
        let listeners = self.listeners.values().cloned().map(Value::Object);
        let tags = self
            .tags
            .iter()
            .map(|((service, id), tags)| json!([service, id, tags]));
        json!({"listeners": listeners.collect::<Value>(), "tags": tags.collect::<Value>()})
    }
}

/// Whether an action changes something here.
pub(crate) fn changes(action: &str) -> bool {
    ["Create", "Start", "Tag"]
        .iter()
        .any(|verb| action.starts_with(verb))
}

pub(crate) fn act(
    world: &mut World,
    service: &str,
    action: &str,
    product: Option<Product>,
    params: &Params,
) -> Outcome {
    match (service, action, product) {
        ("slb" | "nlb", "ListTagResources", _) => tags(world, service, params),
        ("slb" | "nlb", "TagResources", _) => tag(world, service, params),
        ("slb", "DescribeLoadBalancerListeners", _) => Ok(classic_listeners(world, params)),
        ("slb", "CreateLoadBalancerTCPListener", _) => create_classic(world, params, "tcp"),
        ("slb", "CreateLoadBalancerUDPListener", _) => create_classic(world, params, "udp"),
        ("slb", "CreateLoadBalancerHTTPListener", _) => create_classic(world, params, "http"),
        ("slb", "StartLoadBalancerListener", _) => start_classic(world, params),
        ("nlb", "GetLoadBalancerAttribute", _) => network_balancer(params),
        ("nlb", "ListListeners", _) => network_listeners(world, params),
        ("nlb", "CreateListener", _) => create_network(world, params),
        ("alb" | "nlb" | "gwlb", "UpdateServerGroupAttribute", Some(product)) => {
            group_attribute(world, product, params)
        }
        _ => Err(Refusal::new(
            404,
            "InvalidAction.NotFound",
            "Specified api is not found, please check your url and method.",
        )),
    }
}

/// Tags of the resources that are named, in one page.
fn tags(world: &mut World, service: &str, params: &Params) -> Outcome {
    let kind = params.need("ResourceType")?;
    params.given();
    let ids = params.list("ResourceId");
    let rows = world
        .surroundings
        .tags
        .iter()
        .filter(|((of, id), _)| of == service && (ids.is_empty() || ids.contains(&id.as_str())))
        .flat_map(|((_, id), tags)| {
            tags.iter().map(move |(key, value)| {
                json!({"ResourceId": id, "ResourceType": kind, "TagKey": key, "TagValue": value})
            })
        });
    let rows: Value = rows.collect();
    let rows = match service {
        "slb" => json!({"TagResource": rows}),
        _ => rows,
    };
    Ok((
        json!({"TagResources": rows, "NextToken": ""}),
        Effect::default(),
    ))
}

fn tag(world: &mut World, service: &str, params: &Params) -> Outcome {
    params.need("ResourceType")?;
    params.given();
    let ids = params.list("ResourceId");
    for id in &ids {
        let had = world
            .surroundings
            .tags
            .entry((service.to_owned(), (*id).to_owned()))
            .or_default();
        for index in 1..=params.objects("Tag") {
            let key = params.need(&format!("Tag.{index}.Key"))?.to_owned();
            let value = params
                .get(&format!("Tag.{index}.Value"))
                .unwrap_or_default();
            had.insert(key, value.to_owned());
        }
    }
    Ok((
        json!({}),
        Effect::on(ids.first().copied().unwrap_or_default()),
    ))
}

/// The listeners that load balancers were made with, and those that were created, in one page.
fn classic_listeners(world: &World, params: &Params) -> (Value, Effect) {
    params.given();
    let ids = params.list("LoadBalancerId");
    let protocol = params.get("ListenerProtocol");
    let made = &world.surroundings.listeners;
    let balancers = world
        .load_balancers
        .iter()
        .filter(|(id, _)| ids.is_empty() || ids.contains(&id.as_str()));
    let rows = balancers.flat_map(|(id, balancer)| {
        balancer.listeners.iter().map(move |(port, protocol)| {
            let key = (id.clone(), *port, protocol.clone());
            let mut row = made.get(&key).cloned().unwrap_or_else(plain);
            row.insert("LoadBalancerId".into(), json!(id));
            row.insert("ListenerPort".into(), json!(port));
            row.insert("ListenerProtocol".into(), json!(protocol));
            Value::Object(row)
        })
    });
    let rows: Vec<_> = rows
        .filter(|row| protocol.is_none_or(|asked| row["ListenerProtocol"] == asked))
        .collect();
    let body = json!({"TotalCount": rows.len(), "NextToken": "", "Listeners": rows});
    (body, Effect::on(ids.first().copied().unwrap_or_default()))
}

fn create_classic(world: &mut World, params: &Params, protocol: &str) -> Outcome {
    let (id, port) = classic(params)?;
    let Some(balancer) = world.load_balancers.get_mut(&id) else {
        return Err(balancer::unknown(&id));
    };
    let listener = (port, protocol.to_owned());
    if balancer.listeners.contains(&listener) {
        let why = format!("{id} listens on port {port} already.");
        return Err(Refusal::new(400, "ListenerAlreadyExists", why));
    }
    balancer.listeners.push(listener);
    let row = classic_row(params, protocol);
    let key = (id.clone(), port, protocol.to_owned());
    world.surroundings.listeners.insert(key, row);
    Ok((json!({}), Effect::on(&id)))
}

/// A listener as lists show it: what is particular to its protocol stands apart.
fn classic_row(params: &Params, protocol: &str) -> Map<String, Value> {
    let common = [
        "BackendServerPort",
        "Bandwidth",
        "Description",
        "ListenerPort",
        "LoadBalancerId",
        "Scheduler",
        "VServerGroupId",
    ];
    let given = attributes(params, &["BackendServerPort", "Bandwidth"]);
    let (mut row, particular): (Map<_, _>, Map<_, _>) = given
        .into_iter()
        .partition(|(name, _)| common.contains(&name.as_str()));
    row.insert("Status".into(), json!("stopped"));
    let config = format!("{}ListenerConfig", protocol.to_ascii_uppercase());
    row.insert(config, Value::Object(particular));
    row
}

fn start_classic(world: &mut World, params: &Params) -> Outcome {
    let (id, port) = classic(params)?;
    let protocol = params.get("ListenerProtocol");
    params.given();
    let Some(balancer) = world.load_balancers.get(&id) else {
        return Err(balancer::unknown(&id));
    };
    let asked = |(at, by): &&(u16, String)| *at == port && protocol.is_none_or(|asked| asked == by);
    let Some((_, protocol)) = balancer.listeners.iter().find(asked) else {
        let why = "The specified listener does not exist.";
        return Err(Refusal::new(404, "InvalidParameter", why));
    };
    let key = (id.clone(), port, protocol.clone());
    let row = world.surroundings.listeners.entry(key);
    row.or_insert_with(plain)
        .insert("Status".into(), json!("running"));
    Ok((json!({}), Effect::on(&id)))
}

/// What is said of a listener with which a load balancer was made.
fn plain() -> Map<String, Value> {
    let fields = [
        ("Status", json!("running")),
        ("Bandwidth", json!(-1)),
        ("Scheduler", json!("wrr")),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// The load balancer and port that an action on a listener of CLB names.
fn classic(params: &Params) -> Result<(String, u16), Refusal> {
    let id = params.need("LoadBalancerId")?.to_owned();
    let port = params.within("ListenerPort", 1, u16::MAX)?;
    let port = port.ok_or_else(|| Refusal::missing("ListenerPort"))?;
    Ok((id, port))
}

/// Every id of the form `nlb-…` is one of a load balancer that runs.
fn network_balancer(params: &Params) -> Outcome {
    params.given();
    let id = params.need("LoadBalancerId")?;
    if !id.starts_with("nlb-") {
        let why = format!("The load balancer {id} does not exist.");
        return Err(Refusal::new(404, "ResourceNotFound.loadBalancer", why));
    }
    let zone = json!({
        "ZoneId": "cn-hangzhou-a", "VSwitchId": "vsw-sim", "Status": "Active",
        "LoadBalancerAddresses": [{"PrivateIPv4Address": address(id)}],
    });
    let body = json!({
        "LoadBalancerId": id, "LoadBalancerName": id, "LoadBalancerType": "Network", "LoadBalancerStatus": "Active",
        "LoadBalancerBusinessStatus": "Normal", "AddressType": "Intranet", "AddressIpVersion": "Ipv4",
        "DNSName": format!("{id}.nlb.sim.invalid"), "VpcId": "vpc-sim", "ResourceGroupId": "rg-sim", "ZoneMappings": [zone],
        "CrossZoneEnabled": true, "DeletionProtectionConfig": {"Enabled": false},
        "ModificationProtectionConfig": {"Status": "NonProtection"}, "Tags": [],
    });
    Ok((body, Effect::on(id)))
}

/// The listeners that were created.
fn network_listeners(world: &mut World, params: &Params) -> Outcome {
    params.given();
    let balancers = params.list("LoadBalancerIds");
    let ids = params.list("ListenerIds");
    let protocol = params.get("ListenerProtocol");
    let named = |names: &[&str], name: &Value| {
        names.is_empty() || name.as_str().is_some_and(|name| names.contains(&name))
    };
    let rows = world.surroundings.listeners.values().filter(|row| {
        row.contains_key("ListenerId")
            && named(&balancers, &row["LoadBalancerId"])
            && named(&ids, &row["ListenerId"])
            && protocol.is_none_or(|asked| row["ListenerProtocol"] == asked)
    });
    let rows: Vec<_> = rows.cloned().map(Value::Object).collect();
    let body = page(params, Product::Nlb, "Listeners", &rows)?;
    Ok((
        body,
        Effect::on(balancers.first().copied().unwrap_or_default()),
    ))
}

/// The id is the one under which the health of its group is asked for.
fn create_network(world: &mut World, params: &Params) -> Outcome {
    let balancer = params.need("LoadBalancerId")?.to_owned();
    let group = params.need("ServerGroupId")?.to_owned();
    let protocol = params.need("ListenerProtocol")?.to_owned();
    let port: Option<u16> = params.number("ListenerPort")?;
    let port = port.ok_or_else(|| Refusal::missing("ListenerPort"))?;
    let numbers = [
        "ListenerPort",
        "StartPort",
        "EndPort",
        "IdleTimeout",
        "Cps",
        "Mss",
    ];
    let mut row = attributes(params, &numbers);
    let id = format!("lsn-{group}@{port}");
    row.insert("ListenerId".into(), json!(id));
    row.insert("ListenerStatus".into(), json!("Running"));
    let key = (balancer.clone(), port, protocol);
    if world.surroundings.listeners.contains_key(&key) {
        let why = format!("{balancer} listens on port {port} already.");
        return Err(Refusal::new(400, "ResourceAlreadyExist.Listener", why));
    }
    world.surroundings.listeners.insert(key, row);
    let job = done(world, Product::Nlb, &group, "CreateListener");
    Ok((
        json!({"ListenerId": id, "JobId": job}),
        Effect::on(&balancer),
    ))
}

/// The name of a group and its health check, as its list shows them.
fn group_attribute(world: &mut World, product: Product, params: &Params) -> Outcome {
    region(product, params);
    let id = params.need("ServerGroupId")?.to_owned();
    let name = params.get("ServerGroupName").map(str::to_owned);
    params.token()?;
    let numbers = [
        "HealthCheckConnectPort",
        "HealthCheckConnectTimeout",
        "HealthCheckInterval",
        "HealthCheckTimeout",
        "HealthyThreshold",
        "UnhealthyThreshold",
    ];
    let check = nested(params.under("HealthCheckConfig"), &numbers);
    params.nothing_else()?;
    let found = group(world, product, &id)?;
    found.name = name.or(found.name.take());
    found.health_check.extend(check);
    let mut body = json!({});
    if product != Product::Gwlb {
        body["JobId"] = json!(done(world, product, &id, "UpdateServerGroupAttribute"));
    }
    if product == Product::Nlb {
        body["ServerGroupId"] = json!(id);
    }
    Ok((body, Effect::on(&id)))
}

/// What a call says of a listener, the token and region apart.
fn attributes(params: &Params, numbers: &[&str]) -> Map<String, Value> {
    let given = params.given().into_iter();
    given
        .filter(|(name, _)| !matches!(name.as_str(), "ClientToken" | "RegionId" | "DryRun"))
        .map(|(name, value)| {
            let value = typed(&name, &value, numbers);
            (name, value)
        })
        .collect()
}

/// `Field` and `Field.N` as an object has them, the latter as a list.
fn nested(given: Vec<(String, String)>, numbers: &[&str]) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in given {
        match name.split_once('.') {
            Some((list, _)) => {
                let list = all.entry(list).or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.push(json!(value));
                }
            }
            None => {
                let value = typed(&name, &value, numbers);
                all.insert(name, value);
            }
        }
    }
    all
}

/// A value as answers have it.
fn typed(name: &str, value: &str, numbers: &[&str]) -> Value {
    let number = || {
        value
            .parse::<i64>()
            .ok()
            .filter(|_| numbers.contains(&name))
    };
    match number() {
        Some(number) => json!(number),
        // As for every flag, case does not count.
        None if name.ends_with("Enabled") => json!(value.eq_ignore_ascii_case("true")),
        None => json!(value),
    }
}

/// The id of a job that has ended well.
fn done(world: &mut World, product: Product, group: &str, action: &str) -> String {
    let job = Job {
        product,
        status: "Succeeded".into(),
        until: world.now,
        group: group.to_owned(),
        action: action.to_owned(),
        fails: false,
        before: BTreeMap::new(),
    };
    let id = world.draw("job-");
    world.jobs.insert(id.clone(), job);
    id
}
