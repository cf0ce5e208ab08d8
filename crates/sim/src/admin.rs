//! What scripts may see and do, under `/_sim/`: the same that tests do by way of the library.

use std::{fmt::Write, sync::Arc};

use axum::{
    Json,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    fault::Fault,
    http::Shared,
    world::{Product, World},
};

/// The audit log: JSON, or readable lines with `?text`.
pub(crate) async fn audit(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let world = shared.world();
    if query.as_deref() == Some("text") {
        let lines = world.audit.iter().fold(String::new(), |mut lines, entry| {
            writeln!(lines, "{entry}").expect("a string takes everything");
            lines
        });
        return lines.into_response();
    }
    Json(&world.audit).into_response()
}

/// Every group with its members, for people.
pub(crate) async fn groups(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let world = shared.world();
    let groups = world.groups.iter().map(|(id, group)| {
        let members: Vec<_> =
            group.members.iter().map(|((server, ip, port), member)| json!([server, ip, port, member.weight, member.status.name()])).collect();
        (id.clone(), json!({"product": group.product.upper(), "serving": group.serving(), "members": members}))
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
    Json(json!({"groups": groups, "scalingGroups": scaling}))
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
    CreateGroup {
        product: String,
        id: String,
        #[serde(default)]
        members: Vec<Put>,
        #[serde(default)]
        drain_seconds: Option<f64>,
    },
    /// Deletes a server group.
    DeleteGroup { id: String },
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
    /// Starts an instance.
    StartInstance { scaling_group: String, id: String },
    /// Makes servers that no group takes.
    BadServers { ids: Vec<String> },
    /// Scripts a fault.
    Fault(Fault),
}

/// A member to put.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Put {
    id: String,
    #[serde(default)]
    ip: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    weight: Option<u8>,
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

/// Carries out a list of deeds; the first that cannot be done ends it.
pub(crate) async fn act(
    State(shared): State<Arc<Shared>>,
    Json(deeds): Json<Vec<Deed>>,
) -> Response {
    let mut world = shared.world();
    for deed in deeds {
        if let Err(why) = carry_out(&mut world, deed) {
            return (StatusCode::BAD_REQUEST, why + "\n").into_response();
        }
    }
    "done\n".into_response()
}

fn carry_out(world: &mut World, deed: Deed) -> Result<(), String> {
    match deed {
        Deed::CreateGroup {
            product,
            id,
            members,
            drain_seconds,
        } => {
            let product = match product.as_str() {
                "CLB" => Product::Clb,
                "ALB" => Product::Alb,
                "NLB" => Product::Nlb,
                "GWLB" => Product::Gwlb,
                other => return Err(format!("{other} is no product; use CLB, ALB, NLB or GWLB")),
            };
            let group = world.create_group(product, &id);
            group.drain_seconds = drain_seconds.unwrap_or(group.drain_seconds);
            put(world, &id, members);
        }
        Deed::DeleteGroup { id } => _ = world.groups.remove(&id),
        Deed::PutMembers { group, members } => {
            known(world.groups.contains_key(&group), &group)?;
            put(world, &group, members);
        }
        Deed::DeleteMembers { group, ids } => {
            known(world.groups.contains_key(&group), &group)?;
            for id in &ids {
                world.delete_member(&group, id);
            }
        }
        Deed::CreateScalingGroup {
            id,
            instances,
            attached,
        } => {
            world.create_scaling_group(&id, instances.clone());
            for attachment in attached {
                world.attach(
                    &id,
                    &attachment.r#type,
                    &attachment.group,
                    attachment.port,
                    attachment.weight,
                );
                if world.groups.contains_key(&attachment.group) {
                    let port = attachment.port.unwrap_or(6081);
                    for instance in &instances {
                        let weight = attachment.weight.unwrap_or(100);
                        world.put_member(&attachment.group, instance, "", port, weight);
                    }
                }
            }
        }
        Deed::Detach {
            scaling_group,
            group,
        } => {
            let found = world
                .scaling_groups
                .get_mut(&scaling_group)
                .ok_or_else(|| format!("there is no {scaling_group}"))?;
            found.attachments.retain(|had| had.group != group);
        }
        Deed::StartInstance { scaling_group, id } => {
            known(
                world.scaling_groups.contains_key(&scaling_group),
                &scaling_group,
            )?;
            world.start_instance(&scaling_group, &id);
        }
        Deed::BadServers { ids } => world.bad_servers.extend(ids),
        Deed::Fault(fault) => world.faults.push(fault),
    }
    Ok(())
}

fn known(is: bool, id: &str) -> Result<(), String> {
    if is {
        Ok(())
    } else {
        Err(format!("there is no {id}"))
    }
}

fn put(world: &mut World, group: &str, members: Vec<Put>) {
    for member in members {
        world.put_member(
            group,
            &member.id,
            &member.ip,
            member.port.unwrap_or(6081),
            member.weight.unwrap_or(100),
        );
    }
}
