//! What has to be so once edits and faults have stopped for long enough.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use super::has_parked;
use crate::{lab::Lab, plan::Object};

/// For how long nothing may have moved by then.
const STILL: Duration = Duration::from_secs(100);
/// How long a call and the write of what came of it may take.
const A_TRY: Duration = Duration::from_secs(12);

/// L1, L4, S12, and that nothing of ours is left behind.
pub fn at_end(lab: &mut Lab) {
    if let Some(how) = settles(lab)
        .or_else(|| rests(lab))
        .or_else(|| deletions_end(lab))
        .or_else(|| says_the_truth(lab))
        .or_else(|| nothing_is_forgotten(lab))
    {
        lab.oracles.breaks(how);
    }
    for rule in ["L1", "L4", "S12", "leak"] {
        *lab.oracles.asked.entry(rule).or_default() += 1;
    }
}

fn managed(lab: &Lab) -> Vec<Value> {
    let kinds = ["servergroupmemberships", "scalinggroupattachments"];
    let all = kinds.iter().flat_map(|kind| lab.cluster.objects(kind));
    all.map(|object| (**object).clone()).collect()
}

fn ready(object: &Value) -> (&str, &str) {
    let mut conditions = object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    let ready = conditions.find(|condition| condition["type"] == "Ready");
    let field = |name: &str| {
        ready
            .and_then(|ready| ready[name].as_str())
            .unwrap_or_default()
    };
    (field("reason"), field("message"))
}

/// L1: every object is ready, or says what keeps it.
fn settles(lab: &Lab) -> Option<String> {
    const MOVING: [&str; 6] = [
        "",
        "Pending",
        "Changing",
        "Draining",
        "Retrying",
        "Releasing",
    ];
    managed(lab).iter().find_map(|object| {
        let (reason, message) = ready(object);
        let name = &object["metadata"]["name"];
        let generation = &object["metadata"]["generation"];
        if object["metadata"]["deletionTimestamp"].is_string() {
            return None;
        }
        let held = object["status"]["held"]
            .as_array()
            .is_some_and(|held| !held.is_empty());
        // Refused servers are tried again on their schedule; the end may come in the middle of a try.
        if MOVING.contains(&reason) && !held && !tries_again(lab, object) {
            return Some(format!(
                "L1: {name} is still {reason} at the end: {message}"
            ));
        }
        (object["status"]["observedGeneration"] != *generation)
            .then(|| format!("L1: {name} was not looked at since its last edit"))
    })
}

/// Whether the object has just begun to try again what the cloud had refused.
fn tries_again(lab: &Lab, object: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let meta = &object["metadata"];
    let resource = format!("{}s", text(&object["kind"]).to_lowercase());
    let object_is = Object::new(&resource, &text(&meta["namespace"]), &text(&meta["name"]));
    let fact = lab.oracles.facts.get(&object_is);
    let begun = fact.and_then(|fact| fact.intended_at);
    has_parked(object) && begun.is_some_and(|begun| lab.now() < begun + A_TRY)
}

/// L1: and nothing changes any more.
fn rests(lab: &Lab) -> Option<String> {
    let moved = lab.oracles.moved;
    (moved + STILL > lab.now()).then(|| {
        format!(
            "L1: {} still changed something at {moved:?}, and it is {:?}",
            lab.oracles.moved_by,
            lab.now()
        )
    })
}

/// L4: a deleted object is gone, unless somebody else holds it, or its status names what the cloud refused to let go.
fn deletions_end(lab: &Lab) -> Option<String> {
    managed(lab).iter().find_map(|object| {
        let ours = object["metadata"]["finalizers"].as_array();
        let ours = ours.is_some_and(|held| {
            held.iter()
                .any(|name| name == "servergroup.alicloud.dev/release")
        });
        let (reason, message) = ready(object);
        let parked = object["status"]["parked"].as_array();
        let mut parked = parked.into_iter().flatten();
        let refused =
            parked.any(|parked| message.contains(parked["reason"].as_str().unwrap_or("?")));
        let deleted = object["metadata"]["deletionTimestamp"].is_string();
        (deleted && ours && reason == "Releasing" && !refused).then(|| {
            format!(
                "L4: the deletion of {} has not ended: {message}",
                object["metadata"]["name"]
            )
        })
    })
}

/// S12: who says that it is in sync is so.
fn says_the_truth(lab: &Lab) -> Option<String> {
    let world = lab.cloud.look();
    managed(lab).iter().find_map(|object| {
        let (reason, _) = ready(object);
        let group = object["spec"]["serverGroup"]["id"].as_str()?;
        // What it says is about the generation that it saw: an object that is let go of is looked at no more.
        let seen = &object["status"]["observedGeneration"];
        if reason != "Converged" || *seen != object["metadata"]["generation"] {
            return None;
        }
        let there = world.groups.get(group)?.ids();
        let mut servers = object["spec"]["servers"].as_array().into_iter().flatten();
        let missing =
            servers.find(|server| !there.contains(server["id"].as_str().unwrap_or_default()))?;
        Some(format!(
            "S12: {} is Converged without {}",
            object["metadata"]["name"], missing["id"]
        ))
    })
}

/// No member that an object of ours put there and nobody lists stays for ever outside every ledger.
fn nothing_is_forgotten(lab: &mut Lab) -> Option<String> {
    let listed: BTreeSet<_> = lab
        .oracles
        .facts
        .values()
        .flat_map(|fact| fact.lists.keys().cloned())
        .collect();
    let kept: BTreeSet<_> = lab
        .oracles
        .facts
        .values()
        .flat_map(|fact| fact.ledger().iter().cloned())
        .collect();
    let world = lab.cloud.look();
    let brought: BTreeSet<_> = world
        .scaling_groups
        .values()
        .flat_map(|group| group.instances.iter().cloned())
        .collect();
    let forgotten = lab.oracles.put.iter().find(|(group, id)| {
        world
            .groups
            .get(group)
            .is_some_and(|group| group.ids().contains(id.as_str()))
            && ![&listed, &kept, &brought]
                .iter()
                .any(|known| known.contains(id))
    });
    let (group, id) = forgotten?.clone();
    let alone = world.groups[&group].ids().len() == 1;
    drop(world);
    if lab.oracles.left_behind || lab.oracles.landed_late || alone {
        *lab.oracles
            .excused
            .entry("an object ended with members, or a call landed late")
            .or_default() += 1;
        return None;
    }
    Some(format!(
        "leak: {id} is in {group}, listed by nobody and in no ledger"
    ))
}
