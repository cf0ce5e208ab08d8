//! Forced detaches, which take instances out of server groups: what they may count on, and what may have changed while
//! they waited.

use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{
    When,
    audit::Entry,
    fault::{Fault, What},
    world::Product,
};

use crate::stage::{Stage, instance, instances, message, operation, told};

type Attachment = ScalingGroupAttachment;
type Membership = ServerGroupMembership;

fn clb(port: u16) -> Value {
    json!({"type": "CLB", "id": "rsp-x", "loadBalancerId": "lb-sim", "port": port, "weight": 50})
}

fn nlb() -> Value {
    json!({"type": "NLB", "id": "sgp-nlb-y", "port": 80, "weight": 100})
}

/// Two instances that a scaling group brings to a CLB group, at each of `ports`, and to an NLB group.
async fn stage(name: &str, ports: &[u16]) -> Stage {
    let stage = Stage::new(name).await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-x");
        world.create_group(Product::Nlb, "sgp-nlb-y").drain_seconds = 0.0;
        world.create_scaling_group("asg-1", (0..2).map(instance));
    }
    let mut groups: Vec<_> = ports.iter().copied().map(clb).collect();
    groups.push(nlb());
    let forced = json!({"forceAttach": true, "forceDetach": true});
    stage.attachment("feed", "asg-1", &groups, forced).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    stage
        .eventually("they serve", async || {
            (stage.simulator.world().serving("rsp-x") == 2 * ports.len()).then_some(())
        })
        .await;
    stage
}

async fn leave_the_clb_group(stage: &Stage, more: Value) {
    let mut spec = json!({"forceAttach": true, "forceDetach": true, "intervalSeconds": 30});
    crate::stage::merge(&mut spec, more);
    stage.attachment("feed", "asg-1", &[nlb()], spec).await;
}

fn attached(stage: &Stage) -> usize {
    stage.simulator.world().scaling_groups["asg-1"]
        .attachments
        .len()
}

/// Each was once allowed for the members that the other one brings.
#[tokio::test(flavor = "multi_thread")]
async fn two_ports_of_one_group_do_not_leave_together_when_nobody_else_serves() {
    let stage = stage("two-ports", &[80, 81]).await;
    leave_the_clb_group(&stage, json!({})).await;
    stage.reason::<Attachment>("feed", "LastServing").await;
    stage
        .eventually("one has left", async || {
            (stage.simulator.world().serving("rsp-x") == 2).then_some(())
        })
        .await;
    assert_eq!(attached(&stage), 2);
    assert_ne!(stage.simulator.world().least_serving("rsp-x"), Some(0));
}

/// The last question whether it was still wanted once came before the wait for the turn on the server group.
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_detach_that_had_to_wait_asks_again_whether_it_is_wanted() {
    let stage = stage("waits-for-turn", &[80]).await;
    stage
        .simulator
        .world()
        .put_member("rsp-x", "i-other", "", 80, 100);
    let add = |call: &Entry| call.action == "AddVServerGroupBackendServers";
    let mut held = stage.simulator.hold(When::Before, add);
    stage
        .membership("web", "rsp-x", &instances(8, 1, Some(80)), json!({}))
        .await;
    // The membership has the turn on the group.
    stage.awaited("the call", held.arrived()).await;
    leave_the_clb_group(&stage, json!({})).await;
    let waits = |feed: &Attachment| message(feed).contains("waits until another change");
    stage.until("that it waits", "feed", waits).await;
    leave_the_clb_group(&stage, json!({"suspend": true})).await;
    // Whoever waits has no intent yet, and is looked at all the same.
    stage.reason::<Attachment>("feed", "Suspended").await;
    held.release();
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(attached(&stage), 2, "{}", stage.calls());
    assert_eq!(stage.simulator.world().serving("rsp-x"), 4);
    leave_the_clb_group(&stage, json!({})).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    assert_eq!(attached(&stage), 1);
}

/// It was given up after 15 minutes, and the groups whose instances it moves were changed beside it.
#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_does_not_end_is_told_and_followed_all_the_same() {
    let stage = stage("endless-activity", &[80]).await;
    {
        let mut world = stage.simulator.world();
        world.put_member("rsp-x", "i-other", "", 80, 100);
        world.durations.activity = 1e6;
    }
    leave_the_clb_group(&stage, json!({})).await;
    let said = |feed: &Attachment| message(feed).contains("does not end");
    stage.until("that it does not end", "feed", said).await;
    stage
        .membership(
            "web",
            "rsp-x",
            &instances(8, 1, Some(80)),
            json!({"intervalSeconds": 30}),
        )
        .await;
    // Who waits names whom it waits for, and after a quarter of an hour says that it does not go on by itself.
    let waits = format!("waits for {}/feed", stage.namespace);
    let named = |web: &Membership| message(web).contains(&waits);
    stage.until("whom it waits for", "web", named).await;
    stage.reason::<Membership>("web", "Conflict").await;
    assert_eq!(told(&stage, "Failed", "does not end").await.len(), 1);
    stage.look_now::<Attachment>("feed").await;
    let looked = |feed: &Attachment| {
        let status = feed.status.as_ref().unwrap();
        status.last_handled_reconcile_at.is_some() && status.operation.is_some()
    };
    stage
        .until("that it is followed still", "feed", looked)
        .await;
    let adds = || {
        stage
            .simulator
            .world()
            .calls("AddVServerGroupBackendServers")
    };
    assert_eq!(adds(), 0, "its instances are on the move");
    stage.simulator.world().pass(1e6);
    stage.reason::<Attachment>("feed", "Converged").await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-x"), 2);
}

/// Whoever is granted nothing any more cannot follow its call to the end, and others once waited for that for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_object_cannot_follow_it_any_more_blocks_no_other_scaling_group() {
    for lost in [false, true] {
        let stage = stage("cannot-follow", &[80]).await;
        {
            let mut world = stage.simulator.world();
            world.put_member("rsp-x", "i-other", "", 80, 100);
            world.create_scaling_group("asg-2", (2..4).map(instance));
        }
        let forced = json!({"forceAttach": true, "forceDetach": true, "intervalSeconds": 30});
        let both = [clb(80), nlb()];
        stage
            .attachment("other", "asg-2", &both, forced.clone())
            .await;
        stage.reason::<Attachment>("other", "Converged").await;
        {
            let mut world = stage.simulator.world();
            // It ends when the test says so.
            world.durations.activity = 1e6;
            if lost {
                // The repetition with its token is not answered either.
                let fault = Fault::on("DetachVServerGroups", What::LoseAnswerAfter);
                world.faults.push(fault.times(2));
            }
        }
        leave_the_clb_group(&stage, json!({})).await;
        let phase = if lost { "Unsettled" } else { "Accepted" };
        let open = |feed: &Attachment| operation(feed).is_some_and(|open| open["phase"] == phase);
        stage.until("its call", "feed", open).await;
        stage
            .grant(&[json!({
                "name": "other", "namespaces": ["*"], "regions": ["*"], "scalingGroups": ["asg-2"],
                "serverGroups": ["*"], "loadBalancers": ["*"], "servers": ["*"],
            })])
            .await;
        stage.reason::<Attachment>("feed", "NotGranted").await;
        {
            let mut world = stage.simulator.world();
            world.pass(1e6);
            world.durations.activity = 4.0;
        }
        stage.attachment("other", "asg-2", &[nlb()], forced).await;
        stage.reason::<Attachment>("other", "Converged").await;
        let feed: Attachment = stage.api().get("feed").await.unwrap();
        assert!(open(&feed), "nobody could follow it");
    }
}

/// Nothing else of the object was carried out meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_group_that_cannot_be_read_keeps_only_its_own_detach_waiting() {
    let stage = stage("unread-feed", &[80]).await;
    let look = "DescribeVServerGroupAttribute";
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Nlb, "sgp-nlb-z");
        world.put_member("rsp-x", "i-other", "", 80, 100);
        world.denied.insert(look.to_owned());
    }
    let z = json!({"type": "NLB", "id": "sgp-nlb-z", "port": 80, "weight": 100});
    let spec = json!({"forceAttach": true, "forceDetach": true, "intervalSeconds": 30});
    stage.attachment("feed", "asg-1", &[nlb(), z], spec).await;
    let feed: Attachment = stage.reason("feed", "Denied").await;
    assert!(message(&feed).contains(look));
    assert_eq!(attached(&stage), 3, "the new one is there");
    stage.simulator.world().denied.clear();
    stage.reason::<Attachment>("feed", "Converged").await;
    assert_eq!(attached(&stage), 2);
}

const ACTIVITIES: &str = "DescribeScalingActivities";

/// A list that did not show the activity yet was once taken for its end: a release counted on the instances that it then
/// took out.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_removed_on_the_strength_of_instances_that_an_unlisted_activity_takes_out() {
    let mut stage = stage("unlisted-activity", &[80]).await;
    stage
        .membership(
            "web",
            "rsp-x",
            &instances(5, 1, Some(80)),
            json!({"intervalSeconds": 30}),
        )
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.stop().await;
    // As long as the test needs, a list may lack what has begun.
    let mut timing = crate::stage::timing();
    timing.settle_gap = std::time::Duration::from_mins(10);
    stage.start_with(stage.operator_client(), timing);
    stage.simulator.world().durations.activity = 1e6;
    let detach = |call: &Entry| call.action == "DetachVServerGroups";
    let mut held = stage.simulator.hold(When::After, detach);
    leave_the_clb_group(&stage, json!({})).await;
    stage.awaited("the call", held.arrived()).await;
    let stale = Fault::on(ACTIVITIES, What::Stale).times(u32::MAX);
    stage.simulator.world().faults.push(stale);
    stage.delete::<Membership>("web").await;
    let asked = || stage.simulator.world().calls(ACTIVITIES);
    let before = asked();
    held.release();
    stage.reached("looks", before + 6, asked).await;
    stage.simulator.world().faults.clear();
    stage.reached("looks", before + 10, asked).await;
    stage.simulator.world().pass(1e6);
    stage.gone::<Membership>("web").await;
    let world = stage.simulator.world();
    assert_ne!(world.serving("rsp-x"), 0, "everything that was left stays");
}

/// That the scaling group is gone was an error, and the activity in it was followed for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_ends_though_the_scaling_group_of_its_activity_is_gone() {
    let stage = stage("activity-of-nothing", &[80]).await;
    {
        let mut world = stage.simulator.world();
        world.put_member("rsp-x", "i-other", "", 80, 100);
        world.durations.activity = 1e7;
    }
    leave_the_clb_group(&stage, json!({})).await;
    let open = |feed: &Attachment| operation(feed).is_some_and(|open| open["phase"] == "Accepted");
    stage.until("its call", "feed", open).await;
    {
        let mut world = stage.simulator.world();
        world.scaling_groups.remove("asg-1");
        let refuse = What::Refuse {
            status: 404,
            code: "InvalidScalingGroupId.NotFound".into(),
        };
        let fault = Fault::on(ACTIVITIES, refuse).times(u32::MAX);
        world.faults.push(fault);
    }
    stage.delete::<Attachment>("feed").await;
    stage.gone::<Attachment>("feed").await;
}

/// An addition to a GWLB group is over for us when it is answered; the group was being changed for long after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_attach_waits_while_the_server_group_itself_is_being_changed() {
    let stage = Stage::new("changing-group").await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Gwlb, "sgp-gw");
        world.create_scaling_group("asg-1", (0..2).map(instance));
        world.durations.adding = 200.0;
    }
    stage
        .membership("fw", "sgp-gw", &instances(5, 1, None), json!({}))
        .await;
    let when = |action: &'static str| {
        let world = stage.simulator.world();
        let mut calls = world.changing_calls().filter(|call| call.action == action);
        calls.next().map(|call| call.at)
    };
    let (add, attach) = ("AddServersToServerGroup", "AttachServerGroups");
    stage.eventually("added", async || when(add)).await;
    let closed = |fw: &Membership| operation(fw).is_none();
    stage.until("its call is over", "fw", closed).await;
    let gwlb = [json!({"type": "GWLB", "id": "sgp-gw"})];
    stage
        .attachment("feed", "asg-1", &gwlb, json!({"forceAttach": true}))
        .await;
    let attached = stage.eventually("attached", async || when(attach)).await;
    let waited = attached - when(add).unwrap();
    assert!(waited >= 200.0, "attached {waited} s after the addition");
}
