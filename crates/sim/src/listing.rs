//! Lists of ALB, NLB and GWLB: server groups, their members, jobs. In pages, and never more than was asked for.

use serde_json::{Value, json};

use crate::{
    group::{Group, Member, MemberKey, Product},
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    world::{Job, World},
};

pub(crate) fn groups(world: &mut World, product: Product, params: &Params) -> Outcome {
    region(product, params);
    let (names_max, tags_max) = match product {
        Product::Gwlb => (20, 20),
        Product::Nlb => (20, 10),
        _ => (10, 10),
    };
    // ALB names no figure for ids; that of its siblings is taken.
    let ids = params.at_most("ServerGroupIds", 20)?;
    let names = params.at_most("ServerGroupNames", names_max)?;
    let kind = params.get("ServerGroupType");
    let vpc = params.get("VpcId");
    let tagged = tags(params, tags_max)?;
    params.get("ResourceGroupId");
    // Every group is in the one VPC, and has no tags.
    let fits = |id: &String, group: &Group| {
        group.product == product
            && world.sees(group.account.as_ref())
            && (ids.is_empty() || ids.contains(&id.as_str()))
            && (names.is_empty() || names.contains(&group.name(id)))
            && kind.is_none_or(|kind| group.kind == kind)
            && vpc.is_none_or(|vpc| vpc == "vpc-sim")
            && !tagged
    };
    let all: Vec<_> = world
        .groups
        .iter()
        .filter(|(id, group)| fits(id, group))
        .map(|(id, group)| group_row(id, group, world.now))
        .collect();
    let body = page(params, product, "ServerGroups", &all)?;
    params.nothing_else()?;
    Ok((body, Effect::on(ids.first().copied().unwrap_or_default())))
}

fn group_row(id: &str, group: &Group, now: f64) -> Value {
    let mut row = json!({
        "ServerGroupId": id, "ServerGroupName": group.name(id), "ServerGroupStatus": group.status(now),
        "ServerGroupType": group.kind, "ServerCount": group.members.len(), "VpcId": "vpc-sim",
        "RelatedLoadBalancerIds": [], "Tags": [], "ResourceGroupId": "rg-sim",
    });
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a drain lasts an hour at most"
    )]
    let (drains, timeout) = (group.drain_seconds > 0.0, group.drain_seconds as i64);
    if group.product == Product::Nlb {
        row["Protocol"] = json!("TCP");
        row["HealthCheck"] = json!(group.health_check);
        row["AnyPortEnabled"] = json!(false);
        row["ConnectionDrainEnabled"] = json!(drains);
        row["ConnectionDrainTimeout"] = json!(timeout);
    } else {
        let gwlb = group.product == Product::Gwlb;
        row["Protocol"] = json!(if gwlb { "GENEVE" } else { "HTTP" });
        row["HealthCheckConfig"] = json!(group.health_check);
        row["ConnectionDrainConfig"] =
            json!({"ConnectionDrainEnabled": drains, "ConnectionDrainTimeout": timeout});
    }
    row
}

pub(crate) fn members(world: &mut World, product: Product, params: &Params) -> Outcome {
    region(product, params);
    // ALB names no figure for ids and has no addresses to ask by.
    let most = if product == Product::Nlb { 40 } else { 200 };
    let servers = params.at_most("ServerIds", most)?;
    let ips = match product {
        Product::Alb => Vec::new(),
        _ => params.at_most("ServerIps", most)?,
    };
    let tagged = product == Product::Alb && tags(params, 10)?;
    let asked = params.get("ServerGroupId");
    if let Some(id) = asked {
        group(world, product, id)?;
    }
    let fits = |(server, ip, _): &MemberKey| {
        (servers.is_empty() || servers.contains(&server.as_str()))
            && (ips.is_empty() || ips.contains(&ip.as_str()))
            && !tagged
    };
    let groups = world.groups.iter().filter(|(id, group)| {
        group.product == product
            && world.sees(group.account.as_ref())
            && asked.is_none_or(|asked| asked == id.as_str())
    });
    let rows = groups.flat_map(|(id, group)| {
        let members = group.members.iter().filter(|(key, _)| fits(key));
        members.map(move |(key, member)| member_row(product, id, key, member))
    });
    let all: Vec<_> = rows.collect();
    let body = page(params, product, "Servers", &all)?;
    params.nothing_else()?;
    Ok((body, Effect::on(asked.unwrap_or_default())))
}

fn member_row(
    product: Product,
    group: &str,
    (server, ip, port): &MemberKey,
    member: &Member,
) -> Value {
    let mut row = json!({
        "ServerGroupId": group, "ServerId": server, "ServerIp": ip, "ServerType": member.kind,
        "Port": port, "Status": member.status.name(),
    });
    if product != Product::Gwlb {
        row["Weight"] = json!(member.weight);
        row["Description"] = json!(member.description);
    }
    match product {
        Product::Alb => row["RemoteIpEnabled"] = json!(member.remote_ip),
        Product::Nlb => row["ZoneId"] = json!("cn-hangzhou-a"),
        _ => {}
    }
    row
}

pub(crate) fn jobs(world: &mut World, product: Product, params: &Params) -> Outcome {
    let ids = params.at_most("JobIds", 100)?;
    let resources = params.list("ResourceIds");
    let action = params.get("ApiName");
    let kind = params.get("ResourceType");
    for name in ["BeginTime", "EndTime"] {
        params.number::<i64>(name)?;
    }
    let fits = |id: &String, job: &Job| {
        job.product == product
            && (ids.is_empty() || ids.contains(&id.as_str()))
            && (resources.is_empty() || resources.contains(&job.group.as_str()))
            && action.is_none_or(|action| job.action == action)
            && kind.is_none_or(|kind| kind == "servergroup")
    };
    let all: Vec<_> = world
        .jobs
        .iter()
        .filter(|(id, job)| fits(id, job))
        .map(|(id, job)| {
            let failed = job.status == "Failed";
            json!({
                "Id": id, "ApiName": job.action, "Status": job.status, "ResourceId": job.group, "ResourceType": "servergroup",
                "OperateType": "Update",
                "ErrorCode": if failed { "ResourceInUse.IP" } else { "" },
                "ErrorMessage": if failed { "The address is already in use." } else { "" },
            })
        })
        .collect();
    let mut body = page(params, product, "Jobs", &all)?;
    if product == Product::Nlb {
        body["TotalCount"] = json!(body["TotalCount"].to_string());
    }
    params.nothing_else()?;
    Ok((body, Effect::on(ids.first().copied().unwrap_or_default())))
}

/// There is no word for failure here: a failed job goes on processing for ever.
pub(crate) fn job_status(world: &mut World, params: &Params) -> Outcome {
    let id = params.need("JobId")?;
    params.get("RegionId");
    params.token()?;
    params.nothing_else()?;
    let job = world.jobs.get(id).filter(|job| job.product == Product::Nlb);
    let job = job.ok_or_else(|| {
        Refusal::new(
            404,
            "ResourceNotFound.JobId",
            format!("The job {id} does not exist."),
        )
    })?;
    let status = match job.status.as_str() {
        "Succeeded" => "Succeeded",
        _ => "processing",
    };
    Ok((json!({"Status": status}), Effect::on(id)))
}

/// NLB alone takes a region here; elsewhere the host decides.
pub(crate) fn region(product: Product, params: &Params) {
    if product == Product::Nlb {
        params.get("RegionId");
    }
}

/// A group of this product, or its own not-found code.
pub(crate) fn group<'w>(
    world: &'w mut World,
    product: Product,
    id: &str,
) -> Result<&'w mut Group, Refusal> {
    let caller = world.caller.account.clone();
    let found = world.groups.get_mut(id).filter(|group| {
        group.product == product && group.account.as_ref().is_none_or(|own| *own == caller)
    });
    found.ok_or_else(|| {
        Refusal::new(
            404,
            &format!("ResourceNotFound.{}", group_word(product)),
            format!("The server group {id} does not exist."),
        )
    })
}

/// NLB writes it with a small letter.
pub(crate) const fn group_word(product: Product) -> &'static str {
    match product {
        Product::Nlb => "serverGroup",
        _ => "ServerGroup",
    }
}

/// Whether tags are asked for.
fn tags(params: &Params, most: usize) -> Result<bool, Refusal> {
    let count = params.objects("Tag");
    if count > most {
        let why = format!("more than {most} in one call");
        return Err(Refusal::invalid("Tag", &why));
    }
    for index in 1..=count {
        params.get(&format!("Tag.{index}.Key"));
        params.get(&format!("Tag.{index}.Value"));
    }
    Ok(count > 0)
}

/// One page of `all`, 20 rows unless asked otherwise.
pub(crate) fn page(
    params: &Params,
    product: Product,
    name: &str,
    all: &[Value],
) -> Result<Value, Refusal> {
    let most = if product == Product::Gwlb { 1000 } else { 100 };
    let size = params.within("MaxResults", 1, most)?.unwrap_or(20);
    let skip = match product {
        Product::Gwlb => params.number::<usize>("Skip")?.unwrap_or(0),
        _ => 0,
    };
    let start = match params.get("NextToken") {
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|start| start.parse::<usize>().ok())
            .ok_or_else(|| Refusal::invalid("NextToken", "it is not one that was given"))?,
        None => skip,
    };
    let end = start.saturating_add(size).min(all.len());
    let rows = all.get(start..end).unwrap_or_default();
    let mut body = json!({"TotalCount": all.len(), "MaxResults": size});
    body[name] = json!(rows);
    if end < all.len() {
        body["NextToken"] = json!(format!("page-{end}"));
    }
    Ok(body)
}
