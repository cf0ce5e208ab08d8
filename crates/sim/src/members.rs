//! Members of ALB, NLB and GWLB server groups: listed in pages, changed over time.

use serde_json::{Value, json};

use crate::{
    http::Effect,
    params::Params,
    refusal::Refusal,
    world::{Group, Job, Member, MemberKey, Product, Status, World, kind_of},
};

/// Servers that one adding or removing call may name.
const SERVERS_MAX: usize = 200;

pub(crate) fn list_groups(
    world: &mut World,
    product: Product,
    params: &Params,
) -> Result<(Value, Effect), Refusal> {
    region(product, params);
    let ids = params.list("ServerGroupIds");
    if ids.len() > 20 {
        return Err(Refusal::new(
            400,
            "IllegalParam.ServerGroupIds",
            "More than 20 ids in one call.",
        ));
    }
    let now = world.now;
    let all: Vec<_> = world
        .groups
        .iter()
        .filter(|(id, group)| group.product == product && (ids.is_empty() || ids.contains(&id.as_str())))
        .map(|(id, group)| {
            json!({
                "ServerGroupId": id, "ServerGroupName": id, "ServerGroupStatus": status(group, now),
                "ServerGroupType": "Instance", "ServerCount": group.members.len(), "VpcId": "vpc-sim",
                "RelatedLoadBalancerIds": [], "Tags": [],
                "ConnectionDrainConfig": {
                    "ConnectionDrainEnabled": group.drain_seconds > 0.0, "ConnectionDrainTimeout": group.drain_seconds,
                },
            })
        })
        .collect();
    let most = if product == Product::Gwlb { 1000 } else { 100 };
    let body = page(params, "ServerGroups", &all, most)?;
    params.nothing_else()?;
    Ok((body, Effect::on(ids.first().copied().unwrap_or_default())))
}

pub(crate) fn list_members(
    world: &mut World,
    product: Product,
    params: &Params,
) -> Result<(Value, Effect), Refusal> {
    region(product, params);
    let id = params.need("ServerGroupId")?.to_owned();
    let servers = params.list("ServerIds");
    let group = group(world, product, &id)?;
    let all: Vec<_> = group
        .members
        .iter()
        .filter(|((server, ..), _)| servers.is_empty() || servers.contains(&server.as_str()))
        .map(|((server, ip, port), member)| {
            let mut row = json!({
                "ServerGroupId": id, "ServerId": server, "ServerIp": ip, "ServerType": member.kind,
                "Port": port, "Status": member.status.name(),
            });
            if product != Product::Gwlb {
                row["Weight"] = json!(member.weight);
                row["Description"] = json!(member.description);
            }
            row
        })
        .collect();
    let most = if product == Product::Gwlb { 1000 } else { 100 };
    let body = page(params, "Servers", &all, most)?;
    params.nothing_else()?;
    Ok((body, Effect::on(&id)))
}

pub(crate) fn add(
    world: &mut World,
    product: Product,
    params: &Params,
) -> Result<(Value, Effect), Refusal> {
    let (id, servers) = read(world, product, params)?;
    let bad = servers
        .iter()
        .find(|server| world.bad_servers.contains(&server.key.0));
    if let Some(server) = bad {
        let kind = kind_of(&server.key.0);
        return Err(Refusal::new(
            404,
            &format!("ResourceNotFound.{kind}"),
            format!("{} does not exist.", server.key.0),
        ));
    }
    let (now, until) = (world.now, world.now + world.durations.adding);
    let group = idle(world, product, &id)?;
    let before = group.members.clone();
    for server in &servers {
        match group.members.get(&server.key).map(|member| member.status) {
            None => {}
            // A draining GWLB server may be added again; elsewhere nothing is documented.
            Some(Status::Draining) if product == Product::Gwlb => {}
            Some(_) => {
                return Err(Refusal::new(
                    400,
                    "DuplicatedParam.Server",
                    format!("{} is already in the group.", server.key.0),
                ));
            }
        }
    }
    let new = servers
        .iter()
        .filter(|server| !group.members.contains_key(&server.key))
        .count();
    if group.members.len() + new > group.quota {
        return Err(Refusal::new(
            400,
            "QuotaExceeded.QuotaInsufficient",
            "The group takes no more servers.",
        ));
    }
    for server in &servers {
        let member = Member {
            kind: kind_of(&server.key.0).to_owned(),
            weight: server.weight.unwrap_or(100),
            status: Status::Adding,
            until,
            description: server.description.clone(),
        };
        group.members.insert(server.key.clone(), member);
    }
    group.busy_until = until.max(now);
    Ok(answer(
        world,
        product,
        "AddServersToServerGroup",
        &id,
        &servers,
        before,
        until,
    ))
}

pub(crate) fn remove(
    world: &mut World,
    product: Product,
    params: &Params,
) -> Result<(Value, Effect), Refusal> {
    let (id, servers) = read(world, product, params)?;
    let until = world.now + world.durations.removing;
    let group = idle(world, product, &id)?;
    let before = group.members.clone();
    for server in &servers {
        match group.members.get(&server.key).map(|member| member.status) {
            Some(Status::Available) => {}
            Some(_) => {
                return Err(Refusal::new(
                    400,
                    "IncorrectStatus.BackendServer",
                    format!("{} is in another operation.", server.key.0),
                ));
            }
            None => {
                return Err(Refusal::new(
                    404,
                    "ResourceNotFound.BackendServer",
                    format!("{} is not in the group.", server.key.0),
                ));
            }
        }
    }
    for server in &servers {
        let member = group.members.get_mut(&server.key).expect("checked above");
        member.status = Status::Removing;
        member.until = until;
    }
    group.busy_until = until;
    Ok(answer(
        world,
        product,
        "RemoveServersFromServerGroup",
        &id,
        &servers,
        before,
        until,
    ))
}

pub(crate) fn update(
    world: &mut World,
    product: Product,
    params: &Params,
) -> Result<(Value, Effect), Refusal> {
    let (id, servers) = read(world, product, params)?;
    let most = if product == Product::Alb {
        40
    } else {
        SERVERS_MAX
    };
    if servers.len() > most {
        return Err(Refusal::new(
            400,
            "IllegalParam.Servers",
            format!("More than {most} servers in one call."),
        ));
    }
    let until = world.now + world.durations.adding;
    let group = idle(world, product, &id)?;
    let before = group.members.clone();
    for server in &servers {
        let member = group.members.get_mut(&server.key);
        let member = member.ok_or_else(|| {
            Refusal::new(
                404,
                "ResourceNotFound.BackendServer",
                format!("{} is not in the group.", server.key.0),
            )
        })?;
        member.weight = server.weight.unwrap_or(member.weight);
        member.status = Status::Configuring;
        member.until = until;
    }
    group.busy_until = until;
    Ok(answer(
        world,
        product,
        "UpdateServerGroupServersAttribute",
        &id,
        &servers,
        before,
        until,
    ))
}

pub(crate) fn list_jobs(
    world: &mut World,
    product: Product,
    params: &Params,
) -> Result<(Value, Effect), Refusal> {
    let ids = params.list("JobIds");
    for name in ["ApiName", "ResourceType", "BeginTime", "EndTime"] {
        params.get(name);
    }
    let resources = params.list("ResourceIds");
    let all: Vec<_> = world
        .jobs
        .iter()
        .filter(|(id, job)| {
            (ids.is_empty() || ids.contains(&id.as_str())) && (resources.is_empty() || resources.contains(&job.group.as_str()))
        })
        .map(|(id, job)| {
            let failed = job.status == "Failed";
            json!({
                "Id": id, "ApiName": job.action, "Status": job.status, "ResourceId": job.group, "ResourceType": "servergroup",
                "ErrorCode": if failed { "ResourceInUse.IP" } else { "" },
                "ErrorMessage": if failed { "The address is already in use." } else { "" },
            })
        })
        .collect();
    let mut body = page(params, "Jobs", &all, 100)?;
    if product == Product::Nlb {
        body["TotalCount"] = json!(body["TotalCount"].to_string());
    }
    params.nothing_else()?;
    Ok((body, Effect::on(ids.first().copied().unwrap_or_default())))
}

/// One server as a call names it.
struct Server {
    key: MemberKey,
    weight: Option<u8>,
    description: String,
}

fn read(
    world: &World,
    product: Product,
    params: &Params,
) -> Result<(String, Vec<Server>), Refusal> {
    region(product, params);
    let id = params.need("ServerGroupId")?.to_owned();
    params.token()?;
    let dry = params.flag("DryRun")?;
    let count = params.objects("Servers");
    if count == 0 {
        return Err(Refusal::missing("Servers"));
    }
    if count > SERVERS_MAX {
        return Err(Refusal::new(
            400,
            "IllegalParam.Servers",
            "More than 200 servers in one call.",
        ));
    }
    let mut servers: Vec<Server> = Vec::new();
    for index in 1..=count {
        let field = |name: &str| format!("Servers.{index}.{name}");
        let server = params.need(&field("ServerId"))?.to_owned();
        let kind = params.need(&field("ServerType"))?;
        if kind != kind_of(&server) {
            return Err(Refusal::new(
                400,
                "Mismatch.ServerType",
                format!("{server} is not of type {kind}."),
            ));
        }
        let port: Option<u16> = params.number(&field("Port"))?;
        let port = match (product, port) {
            (Product::Gwlb, None | Some(6081)) => 6081,
            (Product::Gwlb, Some(_)) => {
                return Err(Refusal::new(400, "IllegalParam.Port", "The port is 6081."));
            }
            (Product::Nlb, port) => port.unwrap_or(0),
            (_, Some(port)) if port > 0 => port,
            _ => return Err(Refusal::missing(&field("Port"))),
        };
        let (mut weight, mut description) = (None, String::new());
        if product != Product::Gwlb {
            weight = params
                .number(&field("Weight"))?
                .filter(|weight: &u8| *weight <= 100);
            params
                .get(&field("Description"))
                .unwrap_or_default()
                .clone_into(&mut description);
            params.get(&field("RemoteIpEnabled"));
        }
        let ip = match params.get(&field("ServerIp")) {
            Some(ip) => ip.to_owned(),
            None => known_address(world, &id, &server, port)
                .unwrap_or_else(|| world.address_of(&id, &server)),
        };
        let key = (server, ip, port);
        if servers.iter().any(|had| had.key == key) {
            return Err(Refusal::new(
                400,
                "DuplicatedParam.Server",
                format!("{} stands twice in the call.", key.0),
            ));
        }
        servers.push(Server {
            key,
            weight,
            description,
        });
    }
    params.nothing_else()?;
    if dry {
        return Err(Refusal::new(
            400,
            "DryRunOperation",
            "The call would have been carried out.",
        ));
    }
    Ok((id, servers))
}

/// The address of the only member with this id and port.
fn known_address(world: &World, group: &str, server: &str, port: u16) -> Option<String> {
    let members = &world.groups.get(group)?.members;
    let mut found = members
        .keys()
        .filter(|(id, _, at)| id == server && *at == port);
    match (found.next(), found.next()) {
        (Some((_, ip, _)), None) => Some(ip.clone()),
        _ => None,
    }
}

fn answer(
    world: &mut World,
    product: Product,
    action: &str,
    id: &str,
    servers: &[Server],
    before: std::collections::BTreeMap<MemberKey, Member>,
    until: f64,
) -> (Value, Effect) {
    let names = servers
        .iter()
        .map(|server| format!("{}@{}:{}", server.key.0, server.key.1, server.key.2))
        .collect();
    let mut body = json!({});
    if product != Product::Gwlb {
        let job = world.draw("job-");
        let fails = world.failing_jobs > 0;
        world.failing_jobs = world.failing_jobs.saturating_sub(1);
        let processing = Job {
            status: "Processing".into(),
            until,
            group: id.to_owned(),
            action: action.to_owned(),
            fails,
            before,
        };
        world.jobs.insert(job.clone(), processing);
        body["JobId"] = json!(job);
    }
    (body, Effect::change(id, names))
}

fn region(product: Product, params: &Params) {
    if product == Product::Nlb {
        params.get("RegionId");
    }
}

fn group<'w>(world: &'w mut World, product: Product, id: &str) -> Result<&'w mut Group, Refusal> {
    let code = if product == Product::Nlb {
        "ResourceNotFound.serverGroup"
    } else {
        "ResourceNotFound.ServerGroup"
    };
    let found = world
        .groups
        .get_mut(id)
        .filter(|group| group.product == product);
    found.ok_or_else(|| Refusal::new(404, code, format!("The server group {id} does not exist.")))
}

fn idle<'w>(world: &'w mut World, product: Product, id: &str) -> Result<&'w mut Group, Refusal> {
    let now = world.now;
    let group = group(world, product, id)?;
    if status(group, now) != "Available" {
        let code = if product == Product::Nlb {
            "IncorrectStatus.serverGroup"
        } else {
            "IncorrectStatus.ServerGroup"
        };
        return Err(Refusal::new(
            400,
            code,
            "Another change to the group is running.",
        ));
    }
    Ok(group)
}

fn status(group: &Group, now: f64) -> String {
    match &group.forced_status {
        Some(status) => status.clone(),
        None if group.busy_until > now => "Configuring".into(),
        None => "Available".into(),
    }
}

/// One page of `all`: at most `most` rows, 20 unless asked otherwise.
fn page(params: &Params, name: &str, all: &[Value], most: usize) -> Result<Value, Refusal> {
    let size = params.number("MaxResults")?.unwrap_or(20);
    if size == 0 || size > most {
        return Err(Refusal::new(
            400,
            "IllegalParam.MaxResults",
            format!("MaxResults is not from 1 to {most}."),
        ));
    }
    let start = match params.get("NextToken").filter(|token| !token.is_empty()) {
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|start| start.parse::<usize>().ok())
            .ok_or_else(|| {
                Refusal::new(
                    400,
                    "IllegalParam.NextToken",
                    "The token is not one that was given.",
                )
            })?,
        None => 0,
    };
    let end = (start + size).min(all.len());
    let rows = all.get(start..end).unwrap_or_default();
    let mut body = json!({"TotalCount": all.len(), "MaxResults": size});
    body[name] = json!(rows);
    if end < all.len() {
        body["NextToken"] = json!(format!("page-{end}"));
    }
    Ok(body)
}
