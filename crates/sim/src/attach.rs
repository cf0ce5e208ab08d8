//! Auto Scaling (ESS 2014-08-28), changed: what a scaling group feeds.
//!
//! Four pairs of operations with parameters of their own do the same to different kinds of [`Attachment`].

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    balancer,
    group::Product,
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    scaling::{Activity, Attachment, Ending},
    world::World,
};

/// Load balancers that one call may name. Source: the older pages. Server groups are taken to be limited alike.
const PER_CALL_MAX: usize = 5;

/// A call about attachments, read and found well-formed.
struct Call {
    scaling_group: String,
    attachments: Vec<Attachment>,
    /// Instances that are there already follow.
    force: bool,
    /// The call is answered with an activity, and ends with it.
    followed: bool,
}

pub(crate) fn server_groups(world: &mut World, params: &Params, attaches: bool) -> Outcome {
    let (scaling_group, force) = head(params, attaches, true)?;
    let mut attachments = Vec::new();
    for prefix in objects(params, "ServerGroup", PER_CALL_MAX)? {
        let field = |name: &str| format!("{prefix}.{name}");
        let kind = params.need(&field("Type"))?;
        let group = params.need(&field("ServerGroupId"))?;
        let port = params.within(&field("Port"), 1, u16::MAX)?;
        let weight = weight(params, &prefix, attaches)?;
        let fits = match kind {
            "ALB" | "NLB" => port.is_some() && weight.is_some() == attaches,
            "GWLB" => port.is_none() && weight.is_none(),
            _ => false,
        };
        if !fits {
            let why = "type, port and weight do not go together";
            return Err(Refusal::invalid(&field("Type"), why));
        }
        attachments.push(Attachment {
            kind: kind.to_owned(),
            group: group.to_owned(),
            port,
            weight,
            ..Attachment::default()
        });
    }
    params.nothing_else()?;
    let call = Call {
        scaling_group,
        attachments,
        force,
        followed: force,
    };
    change(world, call, attaches)
}

pub(crate) fn alb_server_groups(world: &mut World, params: &Params, attaches: bool) -> Outcome {
    let (scaling_group, force) = head(params, attaches, true)?;
    let mut attachments = Vec::new();
    for prefix in objects(params, "AlbServerGroup", PER_CALL_MAX)? {
        let group = params
            .need(&format!("{prefix}.AlbServerGroupId"))?
            .to_owned();
        let port = port(params, &prefix)?;
        let weight = weight(params, &prefix, attaches)?;
        if weight.is_some() != attaches {
            return Err(Refusal::missing(&format!("{prefix}.Weight")));
        }
        if !attaches && !world.groups.contains_key(&group) {
            let why = format!("{group} does not exist.");
            return Err(Refusal::new(400, "AlbServerGroup.NotExist", why));
        }
        attachments.push(Attachment {
            kind: "ALB".into(),
            group,
            port: Some(port),
            weight,
            older: true,
            ..Attachment::default()
        });
    }
    params.nothing_else()?;
    let call = Call {
        scaling_group,
        attachments,
        force,
        followed: force,
    };
    change(world, call, attaches)
}

pub(crate) fn vserver_groups(world: &mut World, params: &Params, attaches: bool) -> Outcome {
    let (scaling_group, force) = head(params, attaches, true)?;
    let mut attachments: Vec<Attachment> = Vec::new();
    for outer in objects(params, "VServerGroup", PER_CALL_MAX)? {
        let load_balancer = params.need(&format!("{outer}.LoadBalancerId"))?.to_owned();
        let inner = format!("{outer}.VServerGroupAttribute");
        for prefix in objects(params, &inner, PER_CALL_MAX)? {
            let attachment = Attachment {
                kind: "CLB".into(),
                group: params.need(&format!("{prefix}.VServerGroupId"))?.to_owned(),
                port: Some(port(params, &prefix)?),
                weight: match attaches {
                    true => weight(params, &prefix, true)?.or(Some(50)),
                    false => None,
                },
                load_balancer: load_balancer.clone(),
                older: false,
            };
            // Of duplicates the first wins.
            if !attachments.iter().any(|had| had.same(&attachment)) {
                attachments.push(attachment);
            }
        }
    }
    params.nothing_else()?;
    // There is no activity to follow, not even with force.
    let call = Call {
        scaling_group,
        attachments,
        force,
        followed: false,
    };
    change(world, call, attaches)
}

pub(crate) fn load_balancers(world: &mut World, params: &Params, attaches: bool) -> Outcome {
    // The newer version's attaching call has no region, and detaching takes one without asking for it.
    let (scaling_group, force) = head(params, attaches, false)?;
    let followed = params.flag("Async")?;
    let mut weights: BTreeMap<String, Option<u8>> = BTreeMap::new();
    for id in params.at_most("LoadBalancer", PER_CALL_MAX)? {
        weights.insert(id.to_owned(), None);
    }
    if attaches {
        for index in 1..=params.objects("LoadBalancerConfig") {
            let prefix = format!("LoadBalancerConfig.{index}");
            let id = params.need(&format!("{prefix}.LoadBalancerId"))?.to_owned();
            weights.insert(id, weight(params, &prefix, true)?);
        }
    }
    if weights.is_empty() {
        return Err(Refusal::missing("LoadBalancer"));
    }
    if weights.len() > PER_CALL_MAX {
        return Err(Refusal::invalid("LoadBalancer", "more than 5 in one call"));
    }
    params.nothing_else()?;
    let attachments = weights.into_iter().map(|(group, weight)| Attachment {
        kind: "LB".into(),
        load_balancer: group.clone(),
        group,
        port: None,
        weight: if attaches { weight.or(Some(50)) } else { None },
        older: false,
    });
    let call = Call {
        scaling_group,
        attachments: attachments.collect(),
        force,
        followed,
    };
    change(world, call, attaches)
}

fn change(world: &mut World, call: Call, attaches: bool) -> Outcome {
    usable(world, &call)?;
    for attachment in &call.attachments {
        if attaches {
            attachable(world, attachment)?;
        }
    }
    if attaches {
        within_quota(world, &call)?;
    }
    let names = call.attachments.iter().map(Attachment::name).collect();
    let scaling_group = world
        .scaling_groups
        .get_mut(&call.scaling_group)
        .expect("found by usable");
    let moves: Vec<_> = if attaches {
        for attachment in &call.attachments {
            // One attachment for each pair of group and port; a second one is ignored, whatever its weight.
            if !scaling_group
                .attachments
                .iter()
                .any(|had| had.same(attachment))
            {
                scaling_group.attachments.push(attachment.clone());
            }
        }
        call.attachments
    } else {
        let goes = |had: &Attachment| call.attachments.iter().any(|other| had.same(other));
        let absent = call
            .attachments
            .iter()
            .find(|other| !scaling_group.attachments.iter().any(|had| had.same(other)));
        if let Some(absent) = absent.filter(|absent| absent.kind == "LB") {
            return Err(balancer::unknown(&absent.group));
        }
        // Server groups that are not attached are taken to be ignored, as is documented for vServer groups.
        let (gone, left) = scaling_group.attachments.drain(..).partition(goes);
        scaling_group.attachments = left;
        gone
    };
    let moves = moves
        .into_iter()
        .map(|attachment| (attaches, attachment))
        .collect();
    let body = run(world, &call.scaling_group, moves, call.force, call.followed);
    Ok((body, Effect::change(&call.scaling_group, names)))
}

/// What may be attached: it exists, is of the kind that is said, and can be used.
fn attachable(world: &World, attachment: &Attachment) -> Result<(), Refusal> {
    let refuse = |status, code: &str, why: &str| {
        let why = format!("{} {why}.", attachment.group);
        Err(Refusal::new(status, code, why))
    };
    let group = world
        .groups
        .get(&attachment.group)
        .filter(|group| world.sees(group.account.as_ref()));
    match attachment.kind.as_str() {
        "LB" | "CLB" => {
            let known = world.load_balancers.get(&attachment.load_balancer);
            let named = world
                .groups
                .values()
                .any(|group| group.load_balancer == attachment.load_balancer);
            match known {
                None if attachment.kind == "LB" || !named => {
                    return Err(balancer::unknown(&attachment.load_balancer));
                }
                Some(balancer) if balancer.status != "active" => {
                    return refuse(400, "IncorrectLoadBalancerStatus", "is not active");
                }
                Some(balancer) if !balancer.checks_health => {
                    return refuse(400, "IncorrectLoadBalancerHealthCheck", "checks no health");
                }
                _ => {}
            }
            match group {
                Some(group) if group.load_balancer == attachment.load_balancer => Ok(()),
                _ => refuse(
                    400,
                    "InvalidVServerGroupId.ForLoadBalancer",
                    "is not of that load balancer",
                ),
            }
        }
        kind => match group {
            Some(group) if Some(group.product) == Product::from_upper(kind) => {
                // Only a group that is not made yet is refused: force moves members, and the group waits its turn.
                match group.forced_status.as_deref() {
                    Some("Creating") => {
                        refuse(400, "IncorrectStatus.ServerGroup", "is not available")
                    }
                    _ => Ok(()),
                }
            }
            _ => refuse(404, "ResourceNotFound.ServerGroup", "does not exist"),
        },
    }
}

fn within_quota(world: &World, call: &Call) -> Result<(), Refusal> {
    let had = &world.scaling_groups[&call.scaling_group].attachments;
    for (kind, code) in [
        ("ALB", "QuotaExceeded.AlbServerGroup"),
        ("NLB", "QuotaExceeded.NlbServerGroup"),
        ("GWLB", "QuotaExceeded.ServerGroup"),
        ("CLB", "QuotaExceeded.VServerGroup"),
        ("LB", "QuotaExceeded.LoadBalancer"),
    ] {
        let new = call
            .attachments
            .iter()
            .filter(|new| new.kind == kind && !had.iter().any(|had| had.same(new)))
            .count();
        let old = had.iter().filter(|had| had.kind == kind).count();
        if new > 0 && old + new > world.attachments_max {
            let why = "The scaling group takes no more attachments of this kind.";
            return Err(Refusal::new(400, code, why));
        }
    }
    Ok(())
}

/// The group exists; a forced call needs it enabled and without a running activity.
fn usable(world: &World, call: &Call) -> Result<(), Refusal> {
    let group = world
        .scaling_groups
        .get(&call.scaling_group)
        .filter(|group| world.sees(group.account.as_ref()));
    let Some(group) = group else {
        let why = "The specified scaling group does not exist.";
        return Err(Refusal::new(404, "InvalidScalingGroupId.NotFound", why));
    };
    let starts_activity = call.force || call.followed;
    if starts_activity && group.inactive {
        let why = "The scaling group is not enabled.";
        return Err(Refusal::new(400, "IncorrectScalingGroupStatus", why));
    }
    let running = world
        .activities
        .values()
        .any(|activity| activity.group == call.scaling_group && activity.status == "InProgress");
    if starts_activity && running {
        let why = "An activity of the scaling group is running.";
        return Err(Refusal::new(400, "ScalingActivityInProgress", why));
    }
    Ok(())
}

/// Starts the activity that moves the instances; its id is told only where the operation tells it.
fn run(
    world: &mut World,
    scaling_group: &str,
    moves: Vec<(bool, Attachment)>,
    force: bool,
    followed: bool,
) -> Value {
    if !force && !followed {
        return json!({});
    }
    let id = world.draw("asa-");
    let activity = Activity {
        group: scaling_group.to_owned(),
        status: "InProgress".into(),
        until: world.now + world.durations.activity,
        end: world.endings.pop_front().unwrap_or(Ending::Successful),
        moves: if force { moves } else { Vec::new() },
    };
    world.activities.insert(id.clone(), activity);
    if followed {
        json!({"ScalingActivityId": id})
    } else {
        json!({})
    }
}

fn head(params: &Params, attaches: bool, needs_region: bool) -> Result<(String, bool), Refusal> {
    if needs_region {
        params.need("RegionId")?;
    }
    params.get("RegionId");
    let id = params.need("ScalingGroupId")?.to_owned();
    params.token()?;
    let force = params.flag(if attaches {
        "ForceAttach"
    } else {
        "ForceDetach"
    })?;
    Ok((id, force))
}

fn objects(params: &Params, list: &str, most: usize) -> Result<Vec<String>, Refusal> {
    match params.objects(list) {
        0 => Err(Refusal::missing(list)),
        count if count > most => {
            let why = format!("more than {most} in one call");
            Err(Refusal::invalid(list, &why))
        }
        count => Ok((1..=count).map(|index| format!("{list}.{index}")).collect()),
    }
}

fn port(params: &Params, prefix: &str) -> Result<u16, Refusal> {
    let name = format!("{prefix}.Port");
    params
        .within(&name, 1, u16::MAX)?
        .ok_or_else(|| Refusal::missing(&name))
}

/// Detaching calls have no weight: there it stays unread, and so unknown.
fn weight(params: &Params, prefix: &str, attaches: bool) -> Result<Option<u8>, Refusal> {
    if !attaches {
        return Ok(None);
    }
    params.within(&format!("{prefix}.Weight"), 0, 100)
}
