//! What scripts may see and do, under `/_sim/`: the same that tests do by way of the library.

mod groups;

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Write,
    sync::Arc,
};

use axum::{
    Json,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use self::groups::{GroupChange, NewGroup, NewLoadBalancer, Put, put};
use crate::{
    fault::Fault,
    shared::Shared,
    world::{Ending, Rate, World},
};

/// The audit log: JSON, or readable lines with `?text`; with `?since=N` what came after entry N.
pub(crate) async fn audit(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let world = shared.world();
    let query = query.unwrap_or_default();
    let mut asked = query.split('&');
    let since = asked.clone().find_map(|part| part.strip_prefix("since="));
    let since: u64 = since.and_then(|number| number.parse().ok()).unwrap_or(0);
    let entries = world.audit.iter().filter(|entry| entry.number > since);
    if asked.any(|part| part == "text") {
        let lines = entries.fold(String::new(), |mut lines, entry| {
            writeln!(lines, "{entry}").expect("a string takes everything");
            lines
        });
        return lines.into_response();
    }
    Json(entries.collect::<Vec<_>>()).into_response()
}

/// Every group with its members, for people.
pub(crate) async fn groups(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let world = shared.world();
    let groups = world.groups.iter().map(|(id, group)| {
        let members: Vec<_> =
            group.members.iter().map(|((server, ip, port), member)| json!([server, ip, port, member.weight, member.status.name()])).collect();
        (id.clone(), json!({"product": group.product.upper(), "name": group.name(id), "status": group.status(world.now), "serving": group.serving(), "members": members}))
    });
    let groups: serde_json::Map<_, _> = groups.collect();
    let scaling = world.scaling_groups.iter().map(|(id, group)| {
        let attached: Vec<_> = group
            .attachments
            .iter()
            .map(|had| json!([had.kind, had.group, had.port, had.weight]))
            .collect();
        (
            id.clone(),
            json!({"attachments": attached, "instances": group.instances}),
        )
    });
    let scaling: serde_json::Map<_, _> = scaling.collect();
    let surroundings = world.surroundings.shown();
    Json(json!({"groups": groups, "scalingGroups": scaling, "surroundings": surroundings}))
}

/// One thing to do behind the operator's back.
#[derive(Debug, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum Deed {
    /// Makes a server group with members.
    CreateGroup(NewGroup),
    /// Makes a classic load balancer, and its default group under the same id.
    CreateLoadBalancer(NewLoadBalancer),
    /// Makes a network interface, before it is in any group.
    CreateInterface { id: String, addresses: Vec<String> },
    /// Changes a load balancer: `active`, `inactive`, `locked`.
    SetLoadBalancer { id: String, status: String },
    /// Deletes a server group or load balancer.
    DeleteGroup { id: String },
    /// Changes a server group.
    SetGroup(GroupChange),
    /// Puts members into a group.
    PutMembers { group: String, members: Vec<Put> },
    /// Takes members out of a group.
    DeleteMembers { group: String, ids: Vec<String> },
    /// Makes a scaling group.
    CreateScalingGroup {
        id: String,
        #[serde(default)]
        instances: Vec<String>,
        #[serde(default)]
        attached: Vec<Attached>,
    },
    /// Detaches a server group from a scaling group.
    Detach {
        scaling_group: String,
        group: String,
    },
    /// Changes a scaling group.
    SetScalingGroup {
        id: String,
        #[serde(default)]
        inactive: bool,
        #[serde(default)]
        suspended: bool,
    },
    /// Deletes a scaling group.
    DeleteScalingGroup { id: String },
    /// Starts an instance.
    StartInstance { scaling_group: String, id: String },
    /// Ends an instance.
    StopInstance { scaling_group: String, id: String },
    /// Says which servers make trouble; lists that are absent stay as they are.
    Servers {
        /// No group takes them.
        #[serde(default)]
        bad: Option<BTreeSet<String>>,
        /// No group lets them go.
        #[serde(default)]
        clinging: Option<BTreeSet<String>>,
        /// Changes that name them are accepted and fail later.
        #[serde(default)]
        failing: Option<BTreeSet<String>>,
    },
    /// Makes servers that no group takes, besides those that are such already.
    BadServers { ids: Vec<String> },
    /// Whether calls are refused for what is otherwise only noted.
    Strict(bool),
    /// How many backends one call of CLB may name.
    BackendsPerCall(usize),
    /// Permits all actions but these: `Action` or `service:Action`.
    Deny { actions: BTreeSet<String> },
    /// How many of the next jobs fail, or never end.
    Jobs {
        #[serde(default)]
        failing: u32,
        #[serde(default)]
        endless: u32,
    },
    /// How the next scaling activities end.
    Endings(VecDeque<Ending>),
    /// How long things take, in simulated seconds; what is absent stays as it is.
    Durations {
        #[serde(default)]
        adding: Option<f64>,
        #[serde(default)]
        removing: Option<f64>,
        #[serde(default)]
        activity: Option<f64>,
        #[serde(default)]
        processing: Option<f64>,
        #[serde(default)]
        forgetting: Option<f64>,
    },
    /// Limits calls in 60 s; `documented` takes the quotas of the documentation first.
    Rates {
        #[serde(default)]
        documented: bool,
        #[serde(default)]
        rates: Vec<Limit>,
    },
    /// By how many seconds the server's clock is ahead.
    Clock { ahead: i64 },
    /// Lets simulated time pass at once.
    Pass { seconds: f64 },
    /// Forgets all scripted faults.
    NoFaults {},
    /// Breaks the connections of calls that a fault keeps hanging.
    ReleaseHanging {},
    /// Scripts a fault.
    Fault(Fault),
}

/// An attachment to make.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Attached {
    r#type: String,
    group: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    weight: Option<u8>,
}

/// A quota of calls in 60 s.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Limit {
    service: String,
    #[serde(default)]
    action: Option<String>,
    calls: usize,
}

/// Carries out a list of deeds; the first that cannot be done ends it.
pub(crate) async fn act(
    State(shared): State<Arc<Shared>>,
    Json(deeds): Json<Vec<Deed>>,
) -> Response {
    let mut world = shared.world();
    world.disturb();
    for deed in deeds {
        if matches!(deed, Deed::ReleaseHanging {}) {
            shared.release_hanging();
            continue;
        }
        if let Err(why) = carry_out(&mut world, deed) {
            return (StatusCode::BAD_REQUEST, why + "\n").into_response();
        }
    }
    "done\n".into_response()
}

fn carry_out(world: &mut World, deed: Deed) -> Result<(), String> {
    match deed {
        Deed::CreateGroup(group) => group.make(world)?,
        Deed::CreateLoadBalancer(balancer) => balancer.make(world),
        Deed::CreateInterface { id, addresses } => world.create_interface(&id, addresses),
        Deed::SetLoadBalancer { id, status } => {
            named(world.load_balancers.get_mut(&id), &id)?.status = status;
        }
        Deed::DeleteGroup { id } => world.delete_group(&id),
        Deed::SetGroup(change) => change.make(world)?,
        Deed::PutMembers { group, members } => {
            named(world.groups.get(&group), &group)?;
            put(world, &group, members);
        }
        Deed::DeleteMembers { group, ids } => {
            named(world.groups.get(&group), &group)?;
            for id in &ids {
                world.delete_member(&group, id);
            }
        }
        Deed::CreateScalingGroup {
            id,
            instances,
            attached,
        } => create_scaling_group(world, &id, &instances, attached),
        Deed::Detach {
            scaling_group,
            group,
        } => {
            let found = world.scaling_groups.get_mut(&scaling_group);
            let found = named(found, &scaling_group)?;
            found.attachments.retain(|had| had.group != group);
        }
        Deed::SetScalingGroup {
            id,
            inactive,
            suspended,
        } => {
            let group = named(world.scaling_groups.get_mut(&id), &id)?;
            (group.inactive, group.suspended) = (inactive, suspended);
        }
        Deed::DeleteScalingGroup { id } => _ = world.scaling_groups.remove(&id),
        Deed::StartInstance { scaling_group, id } => {
            named(world.scaling_groups.get(&scaling_group), &scaling_group)?;
            world.start_instance(&scaling_group, &id);
        }
        Deed::StopInstance { scaling_group, id } => {
            named(world.scaling_groups.get(&scaling_group), &scaling_group)?;
            world.stop_instance(&scaling_group, &id);
        }
        settings => set(world, settings),
    }
    Ok(())
}

/// What is about the simulator and no one thing in it.
fn set(world: &mut World, deed: Deed) {
    match deed {
        Deed::Servers {
            bad,
            clinging,
            failing,
        } => {
            for (servers, given) in [
                (&mut world.bad_servers, bad),
                (&mut world.clinging_servers, clinging),
                (&mut world.failing_servers, failing),
            ] {
                if let Some(given) = given {
                    *servers = given;
                }
            }
        }
        Deed::BadServers { ids } => world.bad_servers.extend(ids),
        Deed::Strict(strict) => world.strict = strict,
        Deed::BackendsPerCall(most) => world.backends_max = most,
        Deed::Deny { actions } => world.denied = actions,
        Deed::Jobs { failing, endless } => {
            (world.failing_jobs, world.endless_jobs) = (failing, endless);
        }
        Deed::Endings(endings) => world.endings = endings,
        Deed::Durations {
            adding,
            removing,
            activity,
            processing,
            forgetting,
        } => {
            let had = &mut world.durations;
            for (duration, given) in [
                (&mut had.adding, adding),
                (&mut had.removing, removing),
                (&mut had.activity, activity),
                (&mut had.processing, processing),
                (&mut had.forgetting, forgetting),
            ] {
                *duration = given.unwrap_or(*duration);
            }
        }
        Deed::Rates { documented, rates } => {
            world.rates = rates
                .iter()
                .map(|rate| Rate::new(&rate.service, rate.action.as_deref(), rate.calls))
                .collect();
            if documented {
                world.rates.extend(Rate::documented());
            }
        }
        Deed::Clock { ahead } => world.clock_ahead = ahead,
        Deed::Fault(fault) => world.faults.push(fault),
        Deed::Pass { seconds } => world.pass(seconds),
        Deed::NoFaults {} => world.faults.clear(),
        _ => unreachable!("carried out by the caller"),
    }
}

/// With attachments, and the instances in the groups that it feeds.
fn create_scaling_group(
    world: &mut World,
    id: &str,
    instances: &[String],
    attached: Vec<Attached>,
) {
    world.create_scaling_group(id, instances.iter().cloned());
    for Attached {
        r#type,
        group,
        port,
        weight,
    } in attached
    {
        world.attach(id, &r#type, &group, port, weight);
        if world.groups.contains_key(&group) {
            let port = if r#type == "LB" {
                0
            } else {
                port.unwrap_or(6081)
            };
            for instance in instances {
                world.put_member(&group, instance, "", port, weight.unwrap_or(100));
            }
        }
    }
}

fn named<T>(found: Option<T>, id: &str) -> Result<T, String> {
    found.ok_or_else(|| format!("there is no {id}"))
}
