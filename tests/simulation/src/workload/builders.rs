//! Objects and groups in few words.

use serde_json::{Value, json};
use server_group_sim::world::Product;

use crate::{
    cluster_edits::send,
    lab::{Lab, beginning},
    plan::{Deed, Object},
    replica::HOME,
};

/// The namespace of most objects.
pub const TEAM: &str = "team-a";

/// Whose a group is, by how the workloads call theirs.
pub fn product(group: &str) -> Product {
    match group {
        _ if group.starts_with("rsp-") => Product::Clb,
        _ if group.starts_with("sgp-alb") => Product::Alb,
        _ if group.starts_with("sgp-nlb") => Product::Nlb,
        _ => Product::Gwlb,
    }
}

fn post(lab: &mut Lab, path: &str, body: Value) {
    let code = send(&mut lab.cluster, beginning(), "POST", path, body);
    assert!(code == 201, "{path} was refused with {code}");
}

/// Namespaces, and an account that grants everything to everybody.
pub fn ground(lab: &mut Lab) {
    for name in [HOME, TEAM, "team-b"] {
        post(
            lab,
            "/api/v1/namespaces",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        );
    }
    let object = account("default");
    let body = body(
        &object,
        "CloudAccount",
        json!({"credentials": {"type": "Environment"}, "grants": grants(&["*"])}),
    );
    post(lab, &object.folder(), body);
}

/// An account.
pub fn account(name: &str) -> Object {
    Object::new("cloudaccounts", "", name)
}

/// One grant of everything to these namespaces.
pub fn grants(namespaces: &[&str]) -> Value {
    json!([{"name": "all", "namespaces": namespaces, "regions": ["*"], "serverGroups": ["*"], "scalingGroups": ["*"], "loadBalancers": ["*"], "servers": ["*"]}])
}

fn body(object: &Object, kind: &str, spec: Value) -> Value {
    let mut metadata = json!({"name": object.name});
    if !object.namespace.is_empty() {
        metadata["namespace"] = json!(object.namespace);
    }
    json!({"apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

/// A membership of the team.
pub fn membership(name: &str) -> Object {
    Object::new("servergroupmemberships", TEAM, name)
}

/// An attachment of the team.
pub fn attachment(name: &str) -> Object {
    Object::new("scalinggroupattachments", TEAM, name)
}

/// A server group without members.
pub fn group(lab: &mut Lab, id: &str) {
    let mut world = lab.cloud.world();
    world.create_group(product(id), id).drain_seconds = 0.0;
}

/// A scaling group with two instances.
pub fn scaling_group(lab: &mut Lab, id: &str, instances: &[usize]) {
    let instances = instances.iter().map(|number| server(*number));
    lab.cloud.world().create_scaling_group(id, instances);
}

/// The id of an instance.
pub fn server(number: usize) -> String {
    format!("i-{number:04}")
}

/// Servers as a spec lists them.
pub fn servers(group: &str, numbers: &[usize], weight: Option<u8>) -> Value {
    let row = |number: &usize| {
        let mut row = json!({"id": server(*number)});
        if product(group) != Product::Gwlb {
            row["port"] = json!(80);
            if let Some(weight) = weight {
                row["weight"] = json!(weight);
            }
        }
        row
    };
    numbers.iter().map(row).collect()
}

/// A membership; `more` is laid over its spec.
pub fn make_membership(object: &Object, group: &str, numbers: &[usize], more: Value) -> Value {
    let mut spec = json!({
        "accountName": "default", "regionId": "cn-hangzhou", "intervalSeconds": 60,
        "serverGroup": {"type": product(group).upper(), "id": group}, "servers": servers(group, numbers, None),
    });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        spec[name] = value;
    }
    body(object, "ServerGroupMembership", spec)
}

/// An attachment; `more` is laid over its spec.
pub fn make_attachment(object: &Object, scaling_group: &str, feeds: Value, more: Value) -> Value {
    let mut spec = json!({
        "accountName": "default", "regionId": "cn-hangzhou", "intervalSeconds": 60,
        "scalingGroupId": scaling_group, "serverGroups": feeds,
    });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        spec[name] = value;
    }
    body(object, "ScalingGroupAttachment", spec)
}

/// A server group as an attachment names it.
pub fn feed(group: &str, port: u16, weight: u8) -> Value {
    match product(group) {
        Product::Clb => {
            json!({"type": "CLB", "id": group, "loadBalancerId": "lb-sim", "port": port, "weight": weight})
        }
        Product::Gwlb => json!({"type": "GWLB", "id": group}),
        product => json!({"type": product.upper(), "id": group, "port": port, "weight": weight}),
    }
}

/// Creates an object before the schedule begins.
pub fn create(lab: &mut Lab, object: &Object, body: Value) {
    post(lab, &object.folder(), body);
}

/// One of these.
pub fn one<'a, T>(random: &mut fastrand::Rng, of: &'a [T]) -> &'a T {
    &of[random.usize(..of.len())]
}

/// Lists of servers that people write.
pub const LISTS: [&[usize]; 9] = [
    &[0, 1],
    &[0],
    &[1],
    &[1, 2],
    &[2],
    &[2, 3],
    &[0, 2],
    &[0, 1, 2, 3],
    &[],
];

/// What people do to a membership most of the time.
pub fn usual(random: &mut fastrand::Rng, object: &Object, group: &str) -> Deed {
    let list = *one(random, &LISTS);
    let weight = [None, None, None, Some(100), Some(50), Some(0)][random.usize(..6)];
    let mut spec = match random.u32(0..12) {
        0 => json!({"suspend": true}),
        1 => json!({"suspend": false, "servers": servers(group, list, weight)}),
        2 => json!({"mode": "Plan"}),
        3 => json!({"mode": "Enforce", "servers": servers(group, list, weight)}),
        _ => json!({"suspend": false, "mode": "Enforce", "servers": servers(group, list, weight)}),
    };
    if random.u32(0..4) == 0 {
        let least = one(random, &[json!(1), json!(2), json!("50%"), json!("100%")]).clone();
        spec["removal"] = json!({"minServing": least});
    }
    Deed::Edit(object.clone(), spec)
}

/// How people end what they have begun, and how they spoil it.
pub fn ending(random: &mut fastrand::Rng, object: &Object, again: Value) -> Deed {
    match random.u32(0..10) {
        0 | 1 => Deed::Delete(object.clone()),
        2 => Deed::Annotate(
            object.clone(),
            "servergroup.alicloud.dev/abandon".into(),
            "true".into(),
        ),
        3 => Deed::Strip(object.clone()),
        4 => Deed::Hold(object.clone()),
        5 => Deed::LetGo(object.clone()),
        6 => Deed::Wipe(object.clone()),
        7 => Deed::Restore(object.clone(), random.usize(1..6)),
        8 => taking_over(random, object),
        _ => Deed::Create(object.clone(), again),
    }
}

/// Somebody says, once or once more, that what an object lists and found there is its own.
pub fn taking_over(random: &mut fastrand::Rng, object: &Object) -> Deed {
    Deed::Annotate(
        object.clone(),
        "servergroup.alicloud.dev/take-over".into(),
        (*one(random, &["once", "again"])).into(),
    )
}
