//! Auto Scaling (ESS 2014-08-28), read: scaling groups, activities, instances, limits.

use serde_json::{Map, Value, json};

use crate::{
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    scaling::{Attachment, ScalingGroup},
    world::World,
};

pub(crate) fn describe_groups(world: &mut World, params: &Params) -> Outcome {
    params.need("RegionId")?;
    let ids = params.at_most("ScalingGroupId", 20)?;
    let mut names = params.list("ScalingGroupName");
    names.extend(params.get("ScalingGroupName"));
    let kind = params.get("GroupType");
    params.get("ResourceGroupId");
    let tags = params.objects("Tag");
    for index in 1..=tags {
        params.get(&format!("Tag.{index}.Key"));
        params.get(&format!("Tag.{index}.Value"));
    }
    // Those that do not exist or cannot be used are left out without an error.
    let fits = |id: &String, group: &ScalingGroup| {
        !group.inactive
            && world.sees(group.account.as_ref())
            && (ids.is_empty() || ids.contains(&id.as_str()))
            && (names.is_empty() || names.contains(&id.as_str()))
            && kind.is_none_or(|kind| kind == "ECS")
            && tags == 0
    };
    let all: Vec<_> = world
        .scaling_groups
        .iter()
        .filter(|(id, group)| fits(id, group))
        .map(|(id, group)| group_row(id, group))
        .collect();
    let body = page(params, "ScalingGroups", "ScalingGroup", &all, 50)?;
    params.nothing_else()?;
    Ok((body, Effect::on(ids.first().copied().unwrap_or_default())))
}

fn group_row(id: &str, group: &ScalingGroup) -> Value {
    let of = |kinds: &'static [&'static str]| {
        let attachments = group.attachments.iter();
        attachments.filter(|had| kinds.contains(&had.kind.as_str()))
    };
    let pair = |key: &str, had: &Attachment| {
        let mut row = Map::from_iter([(key.to_owned(), json!(had.group))]);
        if let Some(port) = had.port {
            row.insert("Port".into(), json!(port));
        }
        if let Some(weight) = had.weight {
            row.insert("Weight".into(), json!(weight));
        }
        row
    };
    // Whether the older view and the newer one show the same is not known. What the older operation attached is shown
    // only there, and what the newer one attached in both: a client has to join them, and to drop what is double.
    let newer = of(&["ALB", "NLB", "GWLB"])
        .filter(|had| !had.older)
        .map(|had| {
            let mut row = pair("ServerGroupId", had);
            row.insert("Type".into(), json!(had.kind));
            row
        });
    let older = of(&["ALB"]).map(|had| pair("AlbServerGroupId", had));
    let mut balancers: Vec<&str> = of(&["CLB"]).map(|had| had.load_balancer.as_str()).collect();
    balancers.dedup();
    let vserver = balancers.into_iter().map(|balancer| {
        let groups = of(&["CLB"])
            .filter(|had| had.load_balancer == balancer)
            .map(|had| pair("VServerGroupId", had));
        json!({
            "LoadBalancerId": balancer,
            "VServerGroupAttributes": {"VServerGroupAttribute": groups.collect::<Vec<_>>()},
        })
    });
    let suspended: &[&str] = if group.suspended {
        &["ScaleIn", "ScaleOut"]
    } else {
        &[]
    };
    json!({
        "ScalingGroupId": id, "ScalingGroupName": id, "LifecycleState": "Active", "GroupType": "ECS", "VpcId": "vpc-sim",
        "MinSize": 0, "MaxSize": 1000, "TotalCapacity": group.instances.len(), "ActiveCapacity": group.instances.len(),
        "SystemSuspended": group.suspended,
        "SuspendedProcesses": {"SuspendedProcess": suspended},
        "ServerGroups": {"ServerGroup": newer.collect::<Vec<_>>()},
        "AlbServerGroups": {"AlbServerGroup": older.collect::<Vec<_>>()},
        "VServerGroups": {"VServerGroup": vserver.collect::<Vec<_>>()},
        "LoadBalancerIds": {"LoadBalancerId": of(&["LB"]).map(|had| had.group.as_str()).collect::<Vec<_>>()},
        "LoadBalancerConfigs": {
            "LoadBalancerConfig": of(&["LB"]).map(|had| pair("LoadBalancerId", had)).collect::<Vec<_>>(),
        },
    })
}

pub(crate) fn describe_activities(world: &mut World, params: &Params) -> Outcome {
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
            let running = activity.status == "InProgress";
            json!({
                "ScalingActivityId": id, "ScalingGroupId": activity.group, "StatusCode": activity.status,
                "StatusMessage": "", "Progress": if running { 50 } else { 100 }, "TriggerSourceType": "APIs",
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

pub(crate) fn describe_instances(world: &mut World, params: &Params) -> Outcome {
    params.need("RegionId")?;
    let group = params.get("ScalingGroupId");
    let ids = params.list("InstanceId");
    let mut states = params.list("LifecycleStates");
    states.extend(params.get("LifecycleState"));
    params.list("CreationTypes");
    for name in [
        "CreationType",
        "HealthStatus",
        "ScalingActivityId",
        "ScalingConfigurationId",
    ] {
        params.get(name);
    }
    let rows = world
        .scaling_groups
        .iter()
        .filter(|(id, had)| {
            group.is_none_or(|group| group == id.as_str()) && world.sees(had.account.as_ref())
        })
        .flat_map(|(id, group)| {
            group.instances.iter().map(move |instance| {
                let state = group.states.get(instance).map(String::as_str);
                (id, instance, state.unwrap_or("InService"))
            })
        });
    let all: Vec<_> = rows
        .filter(|(_, instance, state)| {
            (ids.is_empty() || ids.contains(&instance.as_str()))
                && (states.is_empty() || states.contains(state))
        })
        .map(|(id, instance, state)| {
            json!({"InstanceId": instance, "ScalingGroupId": id, "LifecycleState": state, "HealthStatus": "Healthy"})
        })
        .collect();
    let body = page(params, "ScalingInstances", "ScalingInstance", &all, 100)?;
    params.nothing_else()?;
    Ok((body, Effect::on(group.unwrap_or_default())))
}

pub(crate) fn describe_limitation(world: &mut World, params: &Params) -> Outcome {
    // Documented as needed; the newer SDK cannot send it.
    params.get("RegionId");
    params.nothing_else()?;
    let most = world.attachments_max;
    let body = json!({
        "MaxNumberOfLoadBalancers": most, "MaxNumberOfAlbServerGroup": most, "MaxNumberOfNlbServerGroup": most,
        "MaxNumberOfVServerGroups": most, "MaxNumberOfScalingGroups": 1000,
    });
    Ok((body, Effect::default()))
}

/// One page: rows are wrapped twice in this version of the API.
fn page(
    params: &Params,
    outer: &str,
    inner: &str,
    all: &[Value],
    most: usize,
) -> Result<Value, Refusal> {
    let size = params.within("PageSize", 1, most)?.unwrap_or(10);
    let number = params.within("PageNumber", 1, usize::MAX)?.unwrap_or(1);
    let start = (number - 1).saturating_mul(size).min(all.len());
    let rows = &all[start..(start + size).min(all.len())];
    let mut body = json!({"TotalCount": all.len(), "PageNumber": number, "PageSize": size});
    body[outer] = json!({});
    body[outer][inner] = json!(rows);
    Ok(body)
}
