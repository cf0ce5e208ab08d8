//! Calls that are open when their object goes, and statuses that speak of calls which were never made: what is open on a
//! group is one thing for memberships and attachments.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;
use server_group_operator::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    timing::Timing,
};
use server_group_sim::{
    fault::{Fault, What},
    world::Product,
};

use crate::{
    stage::{SPEED, Stage, instance, instances, operation, overwrite_status, timing},
    wide::Wide,
};

type Attachment = ScalingGroupAttachment;
type Membership = ServerGroupMembership;

const REMOVE: &str = "RemoveVServerGroupBackendServers";
const DETACH: &str = "DetachVServerGroups";

/// How long a call without an answer waits before the first look that counts, in simulated seconds.
const SETTLES: f64 = 500.0;

/// A scaling group brings two members to a CLB group by a forced attachment; a membership lists a third one there.
async fn brought(name: &str) -> Stage {
    let mut stage = Stage::without_operator(name).await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-x");
        world.create_group(Product::Nlb, "sgp-nlb-y").drain_seconds = 0.0;
        world.create_scaling_group("asg-1", (0..2).map(instance));
    }
    let mut timing = Timing::scaled(SPEED);
    timing.settle_after_send = Duration::from_secs_f64(SETTLES / SPEED);
    stage.start_with(stage.operator_client(), timing);
    attach(&stage, true).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    stage
        .eventually("they serve", async || {
            (stage.simulator.world().serving("rsp-x") == 2).then_some(())
        })
        .await;
    let often = json!({"intervalSeconds": 30});
    stage
        .membership("web", "rsp-x", &instances(5, 1, Some(80)), often)
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
}

async fn attach(stage: &Stage, clb: bool) {
    let mut groups = vec![json!({"type": "NLB", "id": "sgp-nlb-y", "port": 80, "weight": 100})];
    if clb {
        groups.push(json!({"type": "CLB", "id": "rsp-x", "loadBalancerId": "lb-sim", "port": 80, "weight": 50}));
    }
    let forced = json!({"forceAttach": true, "forceDetach": true, "intervalSeconds": 30});
    stage.attachment("feed", "asg-1", &groups, forced).await;
}

/// When calls of an action were sent.
fn sent(stage: &Stage, action: &str) -> Vec<f64> {
    let world = stage.simulator.world();
    let calls = world.changing_calls().filter(|call| call.action == action);
    calls.map(|call| call.at).collect()
}

/// Each change was once judged by those who were still there.
async fn somebody_serves(stage: &Stage) {
    let now = stage.simulator.world().now;
    stage.clock_shows(now + SETTLES).await;
    let serving = stage.simulator.world().serving("rsp-x");
    assert_ne!(serving, 0, "{}", stage.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_detach_waits_for_an_unanswered_removal_whose_object_was_abandoned() {
    let stage = brought("abandoned").await;
    let late = Fault::on(REMOVE, What::Late { seconds: 450.0 });
    stage.simulator.world().faults.push(late);
    stage.delete::<Membership>("web").await;
    let open = |web: &Membership| operation(web).is_some_and(|open| open["phase"] == "Unsettled");
    stage.until("that it is unsettled", "web", open).await;
    stage.annotate::<Membership>("web", "abandon", "true").await;
    stage.gone::<Membership>("web").await;
    attach(&stage, false).await;
    // By the time it is known what became of the removal, nobody else serves.
    stage.reason::<Attachment>("feed", "LastServing").await;
    let detached = sent(&stage, DETACH);
    assert!(detached.is_empty(), "{detached:?}\n{}", stage.calls());
    somebody_serves(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_waits_for_an_unanswered_forced_detach_whose_object_was_abandoned() {
    let stage = brought("abandoned").await;
    {
        let mut world = stage.simulator.world();
        for what in [What::LoseAnswerBefore, What::Late { seconds: 450.0 }] {
            world.faults.push(Fault::on(DETACH, what));
        }
    }
    attach(&stage, false).await;
    let open = |feed: &Attachment| operation(feed).is_some_and(|open| open["phase"] == "Unsettled");
    stage.until("that it is unsettled", "feed", open).await;
    stage.delete::<Attachment>("feed").await;
    stage
        .annotate::<Attachment>("feed", "abandon", "true")
        .await;
    stage.gone::<Attachment>("feed").await;
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    let detached = sent(&stage, DETACH).last().copied().unwrap();
    // It was retained, or its member left when it was known what had become of the detach.
    let removed = sent(&stage, REMOVE).first().copied();
    let early = removed.filter(|removed| removed - detached < SETTLES);
    assert_eq!(early, None, "{}", stage.calls());
    somebody_serves(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_freezes_no_group_that_no_grant_of_its_object_covers() {
    let mut wide = Wide::without_operator("forged").await;
    let mine = wide.one.namespace.clone();
    let all = json!(["*"]);
    wide.one
        .grant(&[
            json!({"name": "one", "namespaces": [mine], "regions": all, "serverGroups": ["rsp-web"], "servers": all}),
            json!({"name": "two", "namespaces": [wide.two.namespace], "regions": all, "scalingGroups": ["asg-2"], "serverGroups": ["sgp-2"]}),
        ])
        .await;
    wide.one
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let mut timing = timing();
    // Longer than anybody waits.
    timing.settle_after_send = Duration::from_mins(30);
    timing.linger = Duration::from_mins(30);
    let servers = |count| instances(0, count, Some(80));
    wide.start_with(timing.clone());
    let Wide { one, two } = &wide;
    one.membership("web", "rsp-web", &servers(3), json!({}))
        .await;
    one.reason::<Membership>("web", "Converged").await;
    let group = json!({"type": "GWLB", "id": "sgp-2"});
    let forger = two
        .attachment("forger", "asg-2", &[group], json!({"suspend": true}))
        .await;
    let forged = json!({
        "observedGeneration": 1,
        "ledger": {"uid": forger.uid(), "cloudAccountId": "1", "registered": [], "adopted": []},
        "operation": {"id": "f", "action": DETACH, "phase": "Unsettled", "epoch": 0, "serverGroups": ["CLB/lb-sim/rsp-web:80"]},
    });
    overwrite_status(&two.api::<Attachment>(), "forger", forged).await;
    wide.one.stop().await;
    wide.start_with(timing);
    let one = &wide.one;
    one.membership("web", "rsp-web", &servers(2), json!({}))
        .await;
    one.reason::<Membership>("web", "Converged").await;
    assert_eq!(one.simulator.world().serving("rsp-web"), 2);
}
