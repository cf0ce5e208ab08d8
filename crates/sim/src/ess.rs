//! Auto Scaling (ESS 2014-08-28): attachments, instances, activities.

use serde_json::{Value, json};

use crate::{
    http::Effect,
    params::Params,
    refusal::Refusal,
    world::{Activity, Attachment, Ending, ScalingGroup, World},
};

/// Attachments that a scaling group takes. Source: the example of `DescribeLimitation`, 30 each of ALB and NLB.
const ATTACHMENTS_MAX: usize = 30;

pub(crate) fn describe_groups(
    world: &mut World,
    params: &Params,
) -> Result<(Value, Effect), Refusal> {
    params.need("RegionId")?;
    let ids = params.list("ScalingGroupId");
    if ids.len() > 20 {
        return Err(Refusal::invalid(
            "ScalingGroupId",
            "more than 20 ids in one call",
        ));
    }
    // Those that do not exist or cannot be used are left out without an error.
    let all: Vec<_> = world
        .scaling_groups
        .iter()
        .filter(|(id, group)| !group.inactive && (ids.is_empty() || ids.contains(&id.as_str())))
        .map(|(id, group)| {
            let attached: Vec<_> = group
                .attachments
                .iter()
                .map(|had| {
                    let mut row = json!({"ServerGroupId": had.group, "Type": had.kind});
                    if let Some(port) = had.port {
                        row["Port"] = json!(port);
                    }
                    if let Some(weight) = had.weight {
                        row["Weight"] = json!(weight);
                    }
                    row
                })
                .collect();
            json!({
                "ScalingGroupId": id, "LifecycleState": "Active", "TotalCapacity": group.instances.len(),
                "ServerGroups": {"ServerGroup": attached}, "AlbServerGroups": {"AlbServerGroup": []},
            })
        })
        .collect();
    let body = page(params, "ScalingGroups", "ScalingGroup", &all, 50)?;
    params.nothing_else()?;
    Ok((body, Effect::on(ids.first().copied().unwrap_or_default())))
}

pub(crate) fn describe_activities(
    world: &mut World,
    params: &Params,
) -> Result<(Value, Effect), Refusal> {
    params.need("RegionId")?;
    let ids = params.list("ScalingActivityId");
    let group = params.get("ScalingGroupId");
    if ids.is_empty() == group.is_none() {
        return Err(Refusal::invalid(
            "ScalingActivityId",
            "give either it or ScalingGroupId",
        ));
    }
    let status = params.get("StatusCode");
    let all: Vec<_> = world
        .activities
        .iter()
        .filter(|(id, activity)| {
            (ids.is_empty() || ids.contains(&id.as_str()))
                && group.is_none_or(|group| activity.group == group)
                && status.is_none_or(|status| activity.status == status)
        })
        .map(|(id, activity)| {
            let failed = matches!(activity.status.as_str(), "Failed" | "Rejected");
            json!({
                "ScalingActivityId": id, "ScalingGroupId": activity.group, "StatusCode": activity.status,
                "ErrorCode": if failed { "OperationDenied" } else { "" },
                "ErrorMessage": if failed { "The load balancer refused the instances." } else { "" },
            })
        })
        .collect();
    let body = page(params, "ScalingActivities", "ScalingActivity", &all, 50)?;
    params.nothing_else()?;
    Ok((
        body,
        Effect::on(group.or(ids.first().copied()).unwrap_or_default()),
    ))
}

pub(crate) fn describe_instances(
    world: &mut World,
    params: &Params,
) -> Result<(Value, Effect), Refusal> {
    params.need("RegionId")?;
    let group = params.get("ScalingGroupId");
    let ids = params.list("InstanceId");
    let all: Vec<_> = world
        .scaling_groups
        .iter()
        .filter(|(id, _)| group.is_none_or(|group| group == id.as_str()))
        .flat_map(|(id, group)| group.instances.iter().map(move |instance| (id, instance)))
        .filter(|(_, instance)| ids.is_empty() || ids.contains(&instance.as_str()))
        .map(|(id, instance)| json!({"InstanceId": instance, "ScalingGroupId": id, "LifecycleState": "InService"}))
        .collect();
    let body = page(params, "ScalingInstances", "ScalingInstance", &all, 100)?;
    params.nothing_else()?;
    Ok((body, Effect::on(group.unwrap_or_default())))
}

pub(crate) fn attach(world: &mut World, params: &Params) -> Result<(Value, Effect), Refusal> {
    let (id, attachments, force) = read(params, "ForceAttach", true)?;
    let group = group(world, &id)?;
    usable(world, &id, force)?;
    for attachment in &attachments {
        if !world.groups.contains_key(&attachment.group) {
            return Err(Refusal::new(
                404,
                "ResourceNotFound.ServerGroup",
                format!("{} does not exist.", attachment.group),
            ));
        }
    }
    let names = attachments.iter().map(name).collect();
    if group.attachments.len() + attachments.len() > ATTACHMENTS_MAX {
        return Err(Refusal::new(
            400,
            "QuotaExceeded.ServerGroup",
            "The scaling group takes no more attachments.",
        ));
    }
    let scaling_group = world.scaling_groups.get_mut(&id).expect("found above");
    for attachment in &attachments {
        // One attachment for each pair of group and port; a second one is ignored.
        if !scaling_group
            .attachments
            .iter()
            .any(|had| same(had, attachment))
        {
            scaling_group.attachments.push(attachment.clone());
        }
    }
    let body = activity(world, &id, attachments, force, true);
    Ok((body, Effect::change(&id, names)))
}

pub(crate) fn detach(world: &mut World, params: &Params) -> Result<(Value, Effect), Refusal> {
    let (id, attachments, force) = read(params, "ForceDetach", false)?;
    group(world, &id)?;
    usable(world, &id, force)?;
    let scaling_group = world.scaling_groups.get_mut(&id).expect("found above");
    let names = attachments.iter().map(name).collect();
    // What is not attached is taken to be ignored, as documented for vServer groups.
    let (gone, left): (Vec<_>, Vec<_>) = scaling_group
        .attachments
        .drain(..)
        .partition(|had| attachments.iter().any(|attachment| same(had, attachment)));
    scaling_group.attachments = left;
    let body = activity(world, &id, gone, force, false);
    Ok((body, Effect::change(&id, names)))
}

fn read(
    params: &Params,
    flag: &str,
    attaches: bool,
) -> Result<(String, Vec<Attachment>, bool), Refusal> {
    params.need("RegionId")?;
    let id = params.need("ScalingGroupId")?.to_owned();
    params.token()?;
    let force = params.flag(flag)?;
    let count = params.objects("ServerGroup");
    if count == 0 {
        return Err(Refusal::missing("ServerGroup"));
    }
    if count > 5 {
        return Err(Refusal::invalid("ServerGroup", "more than 5 in one call"));
    }
    let mut attachments = Vec::new();
    for index in 1..=count {
        let field = |name: &str| format!("ServerGroup.{index}.{name}");
        let group = params.need(&field("ServerGroupId"))?.to_owned();
        let kind = params.need(&field("Type"))?.to_owned();
        let port: Option<u16> = params.number(&field("Port"))?;
        let weight: Option<u8> = if attaches {
            params.number(&field("Weight"))?
        } else {
            None
        };
        let fits = match kind.as_str() {
            "ALB" | "NLB" => {
                port.is_some_and(|port| port > 0)
                    && weight.is_some_and(|weight| weight <= 100) == attaches
            }
            "GWLB" => port.is_none() && weight.is_none(),
            _ => false,
        };
        if !fits {
            return Err(Refusal::invalid(
                &field("Type"),
                "type, port and weight do not go together",
            ));
        }
        attachments.push(Attachment {
            kind,
            group,
            port,
            weight,
        });
    }
    params.nothing_else()?;
    Ok((id, attachments, force))
}

fn group(world: &World, id: &str) -> Result<ScalingGroup, Refusal> {
    let found = world.scaling_groups.get(id).cloned();
    found.ok_or_else(|| {
        Refusal::new(
            404,
            "InvalidScalingGroupId.NotFound",
            "The specified scaling group does not exist.",
        )
    })
}

/// A forced call needs an enabled group without a running activity.
fn usable(world: &World, id: &str, force: bool) -> Result<(), Refusal> {
    if force && world.scaling_groups[id].inactive {
        return Err(Refusal::new(
            400,
            "IncorrectScalingGroupStatus",
            "The scaling group is not enabled.",
        ));
    }
    let running = world
        .activities
        .values()
        .any(|activity| activity.group == id && activity.status == "InProgress");
    if force && running {
        return Err(Refusal::new(
            400,
            "ScalingActivityInProgress",
            "An activity of the scaling group is running.",
        ));
    }
    Ok(())
}

fn activity(
    world: &mut World,
    id: &str,
    attachments: Vec<Attachment>,
    force: bool,
    joins: bool,
) -> Value {
    if !force {
        return json!({});
    }
    let activity = world.draw("asa-");
    let end = world.endings.pop_front().unwrap_or(Ending::Successful);
    let started = Activity {
        group: id.to_owned(),
        status: "InProgress".into(),
        until: world.now + world.durations.activity,
        end,
        moves: attachments
            .into_iter()
            .map(|attachment| (joins, attachment))
            .collect(),
    };
    world.activities.insert(activity.clone(), started);
    json!({"ScalingActivityId": activity})
}

fn same(one: &Attachment, other: &Attachment) -> bool {
    one.group == other.group && one.kind == other.kind && one.port == other.port
}

fn name(attachment: &Attachment) -> String {
    match attachment.port {
        Some(port) => format!("{}/{}:{port}", attachment.kind, attachment.group),
        None => format!("{}/{}", attachment.kind, attachment.group),
    }
}

/// One page: rows are wrapped twice in this version of the API.
fn page(
    params: &Params,
    outer: &str,
    inner: &str,
    all: &[Value],
    most: usize,
) -> Result<Value, Refusal> {
    let size = params.number("PageSize")?.unwrap_or(10);
    let number: usize = params.number("PageNumber")?.unwrap_or(1);
    if size == 0 || size > most || number == 0 {
        return Err(Refusal::invalid("PageSize", "it is out of range"));
    }
    let start = (number - 1) * size;
    let rows = all
        .get(start.min(all.len())..(start + size).min(all.len()))
        .unwrap_or_default();
    let mut body = json!({"TotalCount": all.len(), "PageNumber": number, "PageSize": size});
    body[outer] = json!({});
    body[outer][inner] = json!(rows);
    Ok(body)
}
