//! What the cloud refused is tried again by itself, after an hour, once: here an hour is shortened to 400 s.

use std::time::Duration;

use serde_json::{Value, json};
use server_group_operator::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    timing::Timing,
};
use server_group_sim::world::World;

use crate::{
    kinds::Kind,
    stage::{SPEED, Stage, condition, instance, message, timing},
};

type Membership = ServerGroupMembership;
type Attachment = ScalingGroupAttachment;

/// The hour, in simulated seconds: more than ten looks.
const HOUR: f64 = 400.0;

fn often() -> Value {
    json!({"intervalSeconds": 30})
}

fn start(stage: &mut Stage) {
    let mut timing = timing();
    timing.parked_retry = Duration::from_secs_f64(HOUR / SPEED);
    stage.start_with(stage.operator_client(), timing);
}

/// A stage on which two entries are there, and an operator whose hour is short.
async fn stage<K: Kind>(name: &str) -> Stage {
    let mut stage = Stage::without_operator(name).await;
    K::prepare(&stage);
    start(&mut stage);
    K::list(&stage, "web", 0..2, often()).await;
    stage.reason::<K>("web", "Converged").await;
    stage
}

/// Waits for `times` more looks.
async fn looked<K: Kind>(stage: &Stage, times: usize) {
    let looks = || stage.simulator.world().calls(K::LOOKS);
    let before = looks();
    stage.reached("more looks", before + times, looks).await;
}

/// When each call that puts entries there was made.
fn tries<K: Kind>(stage: &Stage) -> Vec<f64> {
    let world = stage.simulator.world();
    let calls = world.changing_calls().filter(|call| call.action == K::ADDS);
    calls.map(|call| call.at).collect()
}

/// How many looks were made between two moments.
fn looks<K: Kind>(stage: &Stage, from: f64, to: f64) -> usize {
    let world = stage.simulator.world();
    let looks = world.audit.iter().filter(|call| call.action == K::LOOKS);
    looks.filter(|look| look.at >= from && look.at < to).count()
}

fn stalled<K: Kind>(web: &K) -> bool {
    condition(web, "Stalled").is_some_and(|(status, ..)| status == "True")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_server_is_tried_once_an_hour_and_once_by_each_operator() {
    let mut stage = stage::<Membership>("parked-hourly").await;
    stage.simulator.world().bad_servers.insert(instance(2));
    Membership::list(&stage, "web", 0..3, often()).await;
    let web: Membership = stage.reason("web", "PartlyApplied").await;
    assert!(!stalled(&web), "it may pass by itself");
    let first = tries::<Membership>(&stage);
    stage
        .eventually("tried again", async || {
            (tries::<Membership>(&stage).len() > first.len()).then_some(())
        })
        .await;
    let second = tries::<Membership>(&stage);
    let waited = second[first.len()] - first.last().unwrap();
    assert!(waited >= HOUR, "tried after {waited} s");
    stage.until("stalled", "web", stalled::<Membership>).await;
    let web: Membership = stage.reason("web", "PartlyApplied").await;
    assert!(stalled(&web));
    stage.kill().await;
    assert_eq!(tries::<Membership>(&stage).len(), second.len());
    start(&mut stage);
    looked::<Membership>(&stage, 8).await;
    // It cannot know how long ago that was.
    let tries = tries::<Membership>(&stage).split_off(second.len());
    let soon = tries.iter().filter(|at| **at < tries[0] + HOUR);
    assert_eq!(soon.count(), 1, "{tries:?}");
    let web: Membership = stage.reason("web", "PartlyApplied").await;
    assert!(stalled(&web));
    stage.simulator.world().bad_servers.clear();
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(Membership::present(&stage), [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_still_starting_serves_soon_after_it_runs() {
    let mut stage = Stage::without_operator("parked-soon").await;
    Membership::prepare(&stage);
    let mut timing = timing();
    timing.parked_soon = Timing::scaled(SPEED).parked_soon;
    stage.start_with(stage.operator_client(), timing);
    stage.simulator.world().bad_servers.insert(instance(0));
    Membership::list(&stage, "web", 0..1, json!({"intervalSeconds": 86400})).await;
    let web: Membership = stage.reason("web", "PartlyApplied").await;
    let words = message(&web);
    assert!(
        words.contains("tried again after 30 seconds, 1, 2, 5 and 15 minutes, then hourly"),
        "{words}"
    );
    assert!(words.contains("reconcile-at"), "{words}");
    stage
        .eventually("tried twice", async || {
            (tries::<Membership>(&stage).len() >= 2).then_some(())
        })
        .await;
    let web: Membership = stage.reason("web", "PartlyApplied").await;
    assert!(!stalled(&web), "it may pass by itself");
    stage.simulator.world().bad_servers.clear();
    stage.reason::<Membership>("web", "Converged").await;
    let tries = tries::<Membership>(&stage);
    assert!(tries[1] - tries[0] >= 30.0 && tries.len() <= 6, "{tries:?}");
}

/// Refuses what is listed until `end`, of which nobody tells the operator.
async fn refused<K: Kind>(
    name: &str,
    reason: &str,
    begin: impl FnOnce(&mut World),
    end: impl FnOnce(&mut World),
) {
    let stage = stage::<K>(name).await;
    begin(&mut stage.simulator.world());
    K::list(&stage, "web", 0..3, often()).await;
    stage.reason::<K>("web", reason).await;
    looked::<K>(&stage, 3).await;
    end(&mut stage.simulator.world());
    stage.reason::<K>("web", "Converged").await;
    let tries = tries::<K>(&stage);
    let [.., refused, done] = tries[..] else {
        panic!("{tries:?}")
    };
    let waited = done - refused;
    assert!(waited >= HOUR, "{reason}: tried after {waited} s");
    // The hour ends a bit later for the operator, which begins it with the answer.
    let looks = looks::<K>(&stage, refused + HOUR, done);
    assert!(looks <= 3, "{reason}: not tried at {looks} looks");
    assert_eq!(K::present(&stage), [0, 1, 2]);
}

/// Has room for two, then for more.
fn room(world: &mut World, room: usize) {
    world.attachments_max = room;
    if let Some(group) = world.groups.get_mut("rsp-web") {
        group.quota = room;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ram_denied_is_tried_again_after_an_hour() {
    let deny =
        |action: &'static str| move |world: &mut World| _ = world.denied.insert(action.to_owned());
    let permit = |world: &mut World| world.denied.clear();
    tokio::join!(
        refused::<Membership>("denied-hour", "Denied", deny(Membership::ADDS), permit),
        refused::<Attachment>("denied-hour-ess", "Denied", deny(Attachment::ADDS), permit),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_quota_refused_is_tried_again_after_an_hour() {
    let (none, more) = (
        |world: &mut World| room(world, 2),
        |world: &mut World| room(world, 3),
    );
    tokio::join!(
        refused::<Membership>("quota-hour", "QuotaExceeded", none, more),
        refused::<Attachment>("quota-hour-ess", "QuotaExceeded", none, more),
    );
}

/// Somebody else's entry leaves, which makes room.
async fn made_room<K: Kind>(name: &str, leave: impl FnOnce(&mut World)) {
    let stage = stage::<K>(name).await;
    K::put(&stage, 9);
    room(&mut stage.simulator.world(), 3);
    K::list(&stage, "web", 0..3, often()).await;
    stage.reason::<K>("web", "QuotaExceeded").await;
    looked::<K>(&stage, 3).await;
    let left = {
        let mut world = stage.simulator.world();
        leave(&mut world);
        world.now
    };
    stage.reason::<K>("web", "Converged").await;
    // One may have been under way.
    let looks = looks::<K>(&stage, left, *tries::<K>(&stage).last().unwrap());
    assert!(looks <= 2, "not tried at {looks} looks");
    assert_eq!(K::present(&stage), [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_quota_refused_is_tried_as_soon_as_somebody_else_leaves() {
    tokio::join!(
        made_room::<Membership>("quota-room", |world| {
            world.delete_member("rsp-web", &instance(9));
        }),
        made_room::<Attachment>("quota-room-ess", |world| {
            let group = world.scaling_groups.get_mut("asg-web").unwrap();
            group.attachments.retain(|had| had.group != "sgp-0009");
        }),
    );
}
