//! Changes to the members of ALB, NLB and GWLB server groups. They take their time, and a group runs one at a time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::{
    group::{Group, Member, MemberKey, Product, Status, kind_of, name},
    listing::{group, group_word, region},
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    world::{Job, World},
};

/// Servers that one call may name. Source: the pages of the four operations.
const SERVERS_MAX: usize = 200;
/// The same for ALB's update.
const ALB_UPDATES_MAX: usize = 40;

pub(crate) fn add(world: &mut World, product: Product, params: &Params) -> Outcome {
    let call = Call::read(world, product, params, "Servers", Verb::Add)?;
    let group = idle(world, product, &call.group)?.clone();
    entering(world, &group, &call.servers)?;
    let new = call
        .servers
        .iter()
        .filter(|server| !group.members.contains_key(&server.key));
    if group.members.len() + new.count() > group.quota {
        return Err(Refusal::new(
            400,
            "QuotaExceeded.QuotaInsufficient",
            "The group takes no more servers.",
        ));
    }
    let until = world.now + world.durations.adding;
    let edits = call
        .servers
        .iter()
        .map(|server| (server.key.clone(), server.joining(until)));
    let edits = edits.collect();
    commit(
        world,
        product,
        "AddServersToServerGroup",
        &call,
        edits,
        until,
    )
}

pub(crate) fn remove(world: &mut World, product: Product, params: &Params) -> Outcome {
    let call = Call::read(world, product, params, "Servers", Verb::Remove)?;
    let group = idle(world, product, &call.group)?.clone();
    leaving(world, &group, &call.servers)?;
    let until = world.now + world.durations.removing;
    let edits = call
        .servers
        .iter()
        .map(|server| (server.key.clone(), left(&group, &server.key, until)));
    let edits = edits.collect();
    commit(
        world,
        product,
        "RemoveServersFromServerGroup",
        &call,
        edits,
        until,
    )
}

pub(crate) fn update(world: &mut World, product: Product, params: &Params) -> Outcome {
    let call = Call::read(world, product, params, "Servers", Verb::Update)?;
    let group = idle(world, product, &call.group)?.clone();
    let until = world.now + world.durations.adding;
    let mut edits = BTreeMap::new();
    for server in &call.servers {
        let had = present(&group, &server.key)?;
        let changed = Member {
            weight: server.weight.unwrap_or(had.weight),
            description: match &server.description {
                Some(description) => description.clone(),
                None => had.description.clone(),
            },
            status: Status::Configuring,
            until,
            ..had.clone()
        };
        edits.insert(server.key.clone(), changed);
    }
    commit(
        world,
        product,
        "UpdateServerGroupServersAttribute",
        &call,
        edits,
        until,
    )
}

/// ALB only, and not for functions: some leave and others join in one call.
pub(crate) fn replace(world: &mut World, params: &Params) -> Outcome {
    let (product, now) = (Product::Alb, world.now);
    let id = params.need("ServerGroupId")?.to_owned();
    let coming = Call::servers(world, product, params, &id, "AddedServers", Verb::Add)?;
    let going = Call::servers(world, product, params, &id, "RemovedServers", Verb::Remove)?;
    let mut call = Call::finish(params, id, coming)?;
    let group = idle(world, product, &call.group)?.clone();
    if group.kind == "Fc" {
        let why = "Servers of a group of type Fc cannot be replaced.";
        return Err(Refusal::new(400, "Mismatch.ServerType", why));
    }
    entering(world, &group, &call.servers)?;
    leaving(world, &group, &going)?;
    let until = now + world.durations.adding;
    let mut edits: BTreeMap<_, _> = call
        .servers
        .iter()
        .map(|server| (server.key.clone(), server.joining(until)))
        .collect();
    for server in &going {
        edits.insert(server.key.clone(), left(&group, &server.key, until));
    }
    call.servers.extend(going);
    commit(
        world,
        product,
        "ReplaceServersInServerGroup",
        &call,
        edits,
        until,
    )
}

/// Whether all of these may join.
fn entering(world: &World, group: &Group, servers: &[Server]) -> Result<(), Refusal> {
    for Server { key, .. } in servers {
        let (id, ip, port) = key;
        if world.bad_servers.contains(id) {
            let code = format!("ResourceNotFound.{}", kind_of(id));
            return Err(Refusal::new(404, &code, format!("{id} does not exist.")));
        }
        let fits = match group.kind.as_str() {
            "Ip" => kind_of(id) == "Ip",
            "Fc" => kind_of(id) == "Fc",
            _ => !matches!(kind_of(id), "Ip" | "Fc"),
        };
        if !fits {
            let why = format!("A group of type {} does not take {id}.", group.kind);
            return Err(Refusal::new(400, "Mismatch.ServerType", why));
        }
        match group.members.get(key).map(|member| member.status) {
            None => {}
            // A draining GWLB server may be added again; elsewhere nothing is documented.
            Some(Status::Draining) if group.product == Product::Gwlb => {}
            Some(_) => {
                let why = format!("{id} is already in the group.");
                return Err(Refusal::new(400, "DuplicatedParam.Server", why));
            }
        }
        let taken = |(other, at, on): &MemberKey| other != id && at == ip && on == port;
        if group.product == Product::Nlb && group.members.keys().any(taken) {
            let why = format!("{ip}:{port} is another member's address.");
            return Err(Refusal::new(400, "ResourceInUse.IP", why));
        }
    }
    Ok(())
}

/// Whether all of these may leave. One that is absent or busy stops the whole call, and nothing of it is done.
fn leaving(world: &World, group: &Group, servers: &[Server]) -> Result<(), Refusal> {
    for Server { key, .. } in servers {
        let member = present(group, key)?;
        if member.status != Status::Available || world.clinging_servers.contains(&key.0) {
            let why = format!("{} is in another operation.", key.0);
            return Err(Refusal::new(400, "IncorrectStatus.BackendServer", why));
        }
    }
    Ok(())
}

fn present<'g>(group: &'g Group, key: &MemberKey) -> Result<&'g Member, Refusal> {
    group.members.get(key).ok_or_else(|| {
        let why = format!("{} is not in the group.", key.0);
        Refusal::new(404, "ResourceNotFound.BackendServer", why)
    })
}

fn left(group: &Group, key: &MemberKey, until: f64) -> Member {
    Member {
        status: Status::Removing,
        until,
        ..group.members[key].clone()
    }
}

/// What a call does to its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Remove,
    Update,
}

/// One server as a call names it.
struct Server {
    key: MemberKey,
    weight: Option<u8>,
    description: Option<String>,
    remote_ip: bool,
}

impl Server {
    fn joining(&self, until: f64) -> Member {
        Member {
            status: Status::Adding,
            until,
            description: self.description.clone().unwrap_or_default(),
            remote_ip: self.remote_ip,
            ..Member::new(&self.key.0, self.weight.unwrap_or(100))
        }
    }
}

/// A call about members, read and found well-formed.
struct Call {
    group: String,
    servers: Vec<Server>,
    dry: bool,
}

impl Call {
    fn read(
        world: &World,
        product: Product,
        params: &Params,
        list: &str,
        verb: Verb,
    ) -> Result<Self, Refusal> {
        region(product, params);
        let group = params.need("ServerGroupId")?.to_owned();
        let servers = Self::servers(world, product, params, &group, list, verb)?;
        Self::finish(params, group, servers)
    }

    fn finish(params: &Params, group: String, servers: Vec<Server>) -> Result<Self, Refusal> {
        params.token()?;
        let dry = params.flag("DryRun")?;
        params.nothing_else()?;
        Ok(Self {
            group,
            servers,
            dry,
        })
    }

    fn servers(
        world: &World,
        product: Product,
        params: &Params,
        group: &str,
        list: &str,
        verb: Verb,
    ) -> Result<Vec<Server>, Refusal> {
        let count = params.objects(list);
        let most = match (product, verb) {
            (Product::Alb, Verb::Update) => ALB_UPDATES_MAX,
            _ => SERVERS_MAX,
        };
        if count == 0 {
            return Err(Refusal::missing(list));
        }
        if count > most {
            let why = format!("more than {most} in one call");
            return Err(Refusal::invalid(list, &why));
        }
        let mut servers = Vec::new();
        let mut keys = BTreeSet::new();
        for index in 1..=count {
            let prefix = format!("{list}.{index}");
            let server = Self::server(world, product, params, group, &prefix, verb)?;
            if !keys.insert(server.key.clone()) {
                let why = format!("{} stands twice in the call.", server.key.0);
                return Err(Refusal::new(400, "DuplicatedParam.Server", why));
            }
            servers.push(server);
        }
        Ok(servers)
    }

    fn server(
        world: &World,
        product: Product,
        params: &Params,
        group: &str,
        prefix: &str,
        verb: Verb,
    ) -> Result<Server, Refusal> {
        let field = |name: &str| format!("{prefix}.{name}");
        let id = params.need(&field("ServerId"))?.to_owned();
        let kind = params.need(&field("ServerType"))?;
        let known = kind != "Fc" || product == Product::Alb;
        if kind != kind_of(&id) || !known {
            let why = format!("{id} is not of type {kind}.");
            return Err(Refusal::new(400, "Mismatch.ServerType", why));
        }
        let least = u16::from(product != Product::Nlb || verb == Verb::Update);
        let port: Option<u16> = params.within(&field("Port"), least, u16::MAX)?;
        let port = match (product, kind, port) {
            (Product::Gwlb, _, None | Some(6081)) => 6081,
            (Product::Gwlb, _, Some(_)) => {
                return Err(Refusal::invalid(&field("Port"), "it is 6081 or left out"));
            }
            (Product::Nlb, _, None) if verb != Verb::Update => 0,
            (_, "Fc", None) => 0,
            (_, "Fc", Some(_)) => {
                return Err(Refusal::invalid(&field("Port"), "a function has none"));
            }
            (.., Some(port)) => port,
            (.., None) => return Err(Refusal::missing(&field("Port"))),
        };
        let (mut weight, mut description, mut remote_ip) = (None, None, false);
        if product != Product::Gwlb && verb != Verb::Remove {
            weight = params.within(&field("Weight"), 0, 100)?;
            description = params.get(&field("Description")).map(str::to_owned);
            if let Some(why) = description.as_deref().and_then(|text| unfit(product, text)) {
                return Err(Refusal::invalid(&field("Description"), why));
            }
            if product == Product::Alb && verb == Verb::Add && kind == "Ip" {
                remote_ip = params.flag(&field("RemoteIpEnabled"))?;
            }
        }
        let ip = match params.get(&field("ServerIp")) {
            Some(ip) => ip.to_owned(),
            None => only_address(world, group, &id, port)
                .unwrap_or_else(|| world.address_of(group, &id)),
        };
        Ok(Server {
            key: (id, ip, port),
            weight,
            description,
            remote_ip,
        })
    }
}

/// What is wrong with a description. Links are refused by ALB alone. Source: the pages of both products.
fn unfit(product: Product, description: &str) -> Option<&'static str> {
    let links = ["http://", "https://"];
    if !(2..=256).contains(&description.chars().count()) {
        return Some("it is not of 2 to 256 characters");
    }
    let link = links.iter().any(|link| description.starts_with(link));
    (product == Product::Alb && link).then_some("it begins with http:// or https://")
}

/// The address of the only member with this id and port.
fn only_address(world: &World, group: &str, server: &str, port: u16) -> Option<String> {
    let members = &world.groups.get(group)?.members;
    let mut found = members
        .keys()
        .filter(|(id, _, at)| id == server && *at == port);
    match (found.next(), found.next()) {
        (Some((_, ip, _)), None) => Some(ip.clone()),
        _ => None,
    }
}

/// Accepts a change: members show it at once, and it ends at `until`.
fn commit(
    world: &mut World,
    product: Product,
    action: &str,
    call: &Call,
    edits: BTreeMap<MemberKey, Member>,
    mut until: f64,
) -> Outcome {
    if call.dry {
        return Err(Refusal::dry_run());
    }
    let failing = edits
        .keys()
        .any(|(id, ..)| world.failing_servers.contains(id));
    let (mut fails, mut endless) = (failing, false);
    if product != Product::Gwlb {
        fails |= take_one(&mut world.failing_jobs);
        endless = take_one(&mut world.endless_jobs);
    }
    if endless {
        until = f64::INFINITY;
    }
    let group = world
        .groups
        .get_mut(&call.group)
        .expect("found by the caller");
    group.busy_until = until;
    let mut before = BTreeMap::new();
    for (key, mut member) in edits {
        if endless {
            member.until = until;
        }
        let had = group.members.insert(key.clone(), member);
        before.insert(key, had);
    }
    let job = Job {
        product,
        status: "Processing".into(),
        until,
        group: call.group.clone(),
        action: action.to_owned(),
        fails,
        before,
    };
    let id = world.draw("job-");
    world.jobs.insert(id.clone(), job);
    let mut body = json!({});
    if product != Product::Gwlb {
        body["JobId"] = json!(id);
    }
    if product == Product::Nlb {
        body["ServerGroupId"] = json!(call.group);
    }
    let names = call.servers.iter().map(|server| name(&server.key));
    Ok((body, Effect::change(&call.group, names.collect())))
}

fn take_one(count: &mut u32) -> bool {
    let some = *count > 0;
    *count = count.saturating_sub(1);
    some
}

fn idle<'w>(world: &'w mut World, product: Product, id: &str) -> Result<&'w mut Group, Refusal> {
    let now = world.now;
    let group = group(world, product, id)?;
    if group.status(now) != "Available" {
        return Err(Refusal::new(
            400,
            &format!("IncorrectStatus.{}", group_word(product)),
            "Another change to the group is running.",
        ));
    }
    group.free()?;
    Ok(group)
}
