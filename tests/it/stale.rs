//! Removals while what the operator knows is behind: a watch has stalled, or the last look took long. What others claim and
//! have open, and whether it is still wanted, is read after the own intent and after the last look.

use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{When, audit::Entry, world::Product};

use crate::{
    leader::with_long_lease,
    rig::Rig,
    stage::{Stage, instance, instances, merge, operation, ready, timing},
};

type Attachment = ScalingGroupAttachment;
type Membership = ServerGroupMembership;

const REMOVE: &str = "RemoveVServerGroupBackendServers";
const LOOK: &str = "DescribeVServerGroupAttribute";

fn often() -> Value {
    json!({"intervalSeconds": 30})
}

fn removals(stage: &Stage) -> usize {
    stage.simulator.world().calls(REMOVE)
}

/// A scaling group, a CLB group and an NLB group, and nobody who acts.
async fn fed(name: &str) -> Stage {
    let stage = Stage::without_operator(name).await;
    let mut world = stage.simulator.world();
    world.create_group(Product::Clb, "rsp-x");
    world.create_group(Product::Nlb, "sgp-nlb-y").drain_seconds = 0.0;
    world.create_scaling_group("asg-1", (0..2).map(instance));
    drop(world);
    stage
}

fn nlb() -> Value {
    json!({"type": "NLB", "id": "sgp-nlb-y", "port": 80, "weight": 100})
}

async fn attach(stage: &Stage, groups: &[Value], more: &Value) {
    let mut spec = json!({"forceAttach": true, "forceDetach": true});
    merge(&mut spec, more.clone());
    stage.attachment("feed", "asg-1", groups, spec).await;
}

/// Two members of the CLB group come from the scaling group, and one from a membership.
async fn bring(stage: &Stage, more: &Value) {
    let clb =
        json!({"type": "CLB", "id": "rsp-x", "loadBalancerId": "lb-sim", "port": 80, "weight": 50});
    attach(stage, &[clb, nlb()], more).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    stage
        .membership("web", "rsp-x", &instances(5, 1, Some(80)), often())
        .await;
    stage.reason::<Membership>("web", "Converged").await;
}

/// The membership is being deleted while a forced detach is under way that its operator's watch does not show.
async fn the_last_member_stays(stage: &Stage, rig: &Rig) {
    let releasing = |web: &Membership| ready(web).is_some_and(|(reason, _)| reason == "Releasing");
    stage.until("the release", "web", releasing).await;
    let looks = || stage.simulator.world().calls(LOOK);
    let before = looks();
    stage.reached("more looks", before + 3, looks).await;
    assert_eq!(removals(stage), 0, "{}", stage.calls());
    rig.go_on("scalinggroupattachments");
    stage.simulator.world().pass(1e5);
    stage.gone::<Membership>("web").await;
    let serving = stage.simulator.world().serving("rsp-x");
    assert_eq!(serving, 1, "its last member stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_another_object_lists_is_not_removed_though_the_watch_has_stalled() {
    let mut stage = Stage::without_operator("stalled").await;
    let group = "rsp-web";
    stage.simulator.world().create_group(Product::Clb, group);
    let rig = Rig::default();
    stage.start_with(rig.client(&stage), timing());
    let mut spec = json!({"removal": {"drainSeconds": 300}});
    merge(&mut spec, often());
    let list = async |count| {
        let servers = instances(0, count, Some(80));
        stage.membership("old", group, &servers, spec.clone()).await
    };
    list(3).await;
    stage.reason::<Membership>("old", "Converged").await;
    list(2).await;
    let drains = |old: &Membership| {
        let draining = &old.status.as_ref().unwrap().draining;
        draining.len() == 1 && draining[0].until.is_some()
    };
    stage.until("that it drains", "old", drains).await;
    rig.stall("servergroupmemberships");
    stage
        .membership("new", group, &instances(2, 1, Some(80)), often())
        .await;
    // It is read before the removal that ends the drain.
    stage.reason::<Membership>("new", "Converged").await;
    assert_eq!(removals(&stage), 0, "{}", stage.calls());
    rig.go_on("servergroupmemberships");
    stage.reason::<Membership>("old", "Converged").await;
    assert_eq!(removals(&stage), 0, "{}", stage.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_whose_watch_has_stalled_knows_what_the_old_one_left_open() {
    let mut stage = fed("takeover").await;
    stage.grant_shipped_role().await;
    stage.candidate = Some("a");
    stage.start_with(stage.operator_client(), with_long_lease());
    bring(&stage, &often()).await;
    let rig = Rig::default();
    stage.candidate = Some("b");
    let second = stage.run_with(rig.client(&stage), with_long_lease());
    stage
        .eventually("a second replica", async || {
            rig.watches("scalinggroupattachments").then_some(())
        })
        .await;
    rig.stall("scalinggroupattachments");
    stage.simulator.world().durations.activity = 1e5;
    attach(&stage, &[nlb()], &often()).await;
    let open = |feed: &Attachment| operation(feed).is_some_and(|open| open["phase"] == "Accepted");
    stage
        .until("that its call is under way", "feed", open)
        .await;
    stage.stop().await;
    stage.delete::<Membership>("web").await;
    the_last_member_stays(&stage, &rig).await;
    drop(second);
}

/// The write after the answer conflicted, and the process forgot the intent that it had written itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_during_a_forced_detach_hides_it_from_nobody_though_the_watch_has_stalled() {
    let mut stage = fed("label-forced").await;
    let rig = Rig::default();
    stage.start_with(rig.client(&stage), timing());
    let seldom = json!({"intervalSeconds": 86400});
    bring(&stage, &seldom).await;
    stage.simulator.world().durations.activity = 1e5;
    let is = |action: &'static str| move |call: &Entry| call.action == action;
    let mut look = (stage.simulator).hold(When::Before, is("DescribeScalingGroups"));
    let mut detach = (stage.simulator).hold(When::After, is("DetachVServerGroups"));
    attach(&stage, &[nlb()], &seldom).await;
    stage.awaited("its look", look.arrived()).await;
    rig.stall("scalinggroupattachments");
    look.release();
    stage.awaited("the call", detach.arrived()).await;
    stage.label::<Attachment>("feed").await;
    stage.delete::<Membership>("web").await;
    detach.release();
    the_last_member_stays(&stage, &rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_for_an_object_that_was_suspended_during_the_last_look() {
    let stage = Stage::new("late-suspend").await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-web");
        world.put_member("rsp-web", "i-other", "", 80, 100);
    }
    let list = async |count, suspend: bool| {
        // No look but those that the test is about.
        let spec = json!({"intervalSeconds": 86400, "suspend": suspend});
        let servers = instances(0, count, Some(80));
        stage.membership("web", "rsp-web", &servers, spec).await
    };
    list(3, false).await;
    stage.reason::<Membership>("web", "Converged").await;
    // The first look plans the removal, the second is the one before it is sent.
    let mut looks = 0;
    let mut held = stage.simulator.hold(When::Before, move |call: &Entry| {
        looks += usize::from(call.action == LOOK);
        looks == 2
    });
    list(2, false).await;
    stage.awaited("the second look", held.arrived()).await;
    list(2, true).await;
    held.release();
    stage.reason::<Membership>("web", "Suspended").await;
    assert_eq!(removals(&stage), 0, "{}", stage.calls());
}
