//! Instances of scaling groups that memberships list too: whose they are, and that nobody's forced call takes them from
//! somebody else.

use std::time::Duration;

use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{
    fault::{Fault, What},
    world::Product,
};

use crate::stage::{Stage, instance, instances, message, operation, timing};

type Attachment = ScalingGroupAttachment;
type Membership = ServerGroupMembership;

/// An NLB group and a scaling group of the instances 0 and 1.
async fn stage(name: &str) -> Stage {
    let stage = Stage::new(name).await;
    {
        let mut world = stage.simulator.world();
        for group in ["sgp-nlb-x", "sgp-nlb-y"] {
            world.create_group(Product::Nlb, group).drain_seconds = 0.0;
        }
        world.create_scaling_group("asg-1", (0..2).map(instance));
    }
    stage
}

fn nlb(group: &str) -> Value {
    json!({"type": "NLB", "id": group, "port": 80, "weight": 100})
}

async fn attach(stage: &Stage, groups: &[&str]) {
    let groups: Vec<_> = groups.iter().map(|group| nlb(group)).collect();
    let forced = json!({"forceAttach": true, "forceDetach": true});
    stage.attachment("feed", "asg-1", &groups, forced).await;
}

fn ids(stage: &Stage, group: &str) -> Vec<String> {
    let world = stage.simulator.world();
    world.groups[group].ids().into_iter().collect()
}

/// Calls that took one of the instances out of the group.
fn taken_out(stage: &Stage) -> usize {
    let world = stage.simulator.world();
    let calls = world.changing_calls().filter(|call| {
        call.action.starts_with("Remove")
            && call
                .names
                .iter()
                .any(|name| name.starts_with("i-0000") || name.starts_with("i-0001"))
    });
    calls.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_scaling_group_brings_stays_when_a_membership_lets_go_of_it() {
    let stage = stage("brought").await;
    stage
        .membership("web", "sgp-nlb-x", &instances(0, 4, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    attach(&stage, &["sgp-nlb-x"]).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    stage
        .membership("web", "sgp-nlb-x", &instances(2, 1, Some(80)), json!({}))
        .await;
    let web: Membership = stage.reason("web", "Converged").await;
    assert_eq!(ids(&stage, "sgp-nlb-x"), [0, 1, 2].map(instance));
    assert_eq!(taken_out(&stage), 0, "without a gap");
    let ours = web.status.unwrap().ledger.unwrap().registered;
    let theirs = |key: &String| key.starts_with("i-0000") || key.starts_with("i-0001");
    assert!(!ours.iter().any(theirs), "{ours:?}");
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    assert_eq!(ids(&stage, "sgp-nlb-x"), [0, 1].map(instance));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_that_ess_may_have_brought_while_it_cannot_be_asked() {
    let stage = stage("brought-unknown").await;
    stage
        .membership("web", "sgp-nlb-x", &instances(2, 3, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    attach(&stage, &["sgp-nlb-x"]).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    let action = "ess:DescribeScalingInstances";
    stage.simulator.world().denied.insert(action.into());
    stage
        .membership(
            "web",
            "sgp-nlb-x",
            &instances(2, 2, Some(80)),
            json!({"intervalSeconds": 30}),
        )
        .await;
    let held = |web: &Membership| {
        let held = &web.status.as_ref().unwrap().held;
        held.len() == 1 && format!("{:?}", held[0].reason) == "ViewIncomplete"
    };
    stage.until("held", "web", held).await;
    let web: Membership = stage.reason("web", "Denied").await;
    let said = message(&web);
    assert!(said.contains("DescribeScalingInstances"), "{said}");
    assert_eq!(ids(&stage, "sgp-nlb-x").len(), 5);
    stage.simulator.world().denied.clear();
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(ids(&stage, "sgp-nlb-x").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_change_hands_when_a_forced_detach_finds_them_all_listed() {
    let stage = stage("hand-over-all").await;
    attach(&stage, &["sgp-nlb-x", "sgp-nlb-y"]).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    stage
        .membership("web", "sgp-nlb-x", &instances(0, 2, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let before = stage.simulator.world().audit.len();
    attach(&stage, &["sgp-nlb-y"]).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    assert_eq!(ids(&stage, "sgp-nlb-x"), [0, 1].map(instance));
    let world = stage.simulator.world();
    let serving = world.audit[before..]
        .iter()
        .flat_map(|entry| &entry.serving);
    let least = serving
        .filter(|serving| serving.group == "sgp-nlb-x")
        .map(|serving| serving.after)
        .min();
    assert!(least.is_none_or(|least| least == 2), "{least:?}");
    let attached: Vec<_> = world.scaling_groups["asg-1"]
        .attachments
        .iter()
        .map(|one| one.group.as_str())
        .collect();
    assert_eq!(attached, ["sgp-nlb-y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_detach_waits_while_some_of_its_instances_are_listed_and_others_are_not() {
    let stage = stage("hand-over-some").await;
    attach(&stage, &["sgp-nlb-x", "sgp-nlb-y"]).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    stage
        .membership("web", "sgp-nlb-x", &instances(0, 1, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    attach(&stage, &["sgp-nlb-y"]).await;
    let feed: Attachment = stage.reason("feed", "Conflict").await;
    assert!(message(&feed).contains("/web"), "{}", message(&feed));
    assert_eq!(ids(&stage, "sgp-nlb-x").len(), 2);
    // All of them are listed now, which the attachment finds at its next look.
    stage
        .membership("web", "sgp-nlb-x", &instances(0, 2, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .eventually("detached", async || {
            let world = stage.simulator.world();
            (world.scaling_groups["asg-1"].attachments.len() == 1).then_some(())
        })
        .await;
    stage.reason::<Attachment>("feed", "Converged").await;
    assert_eq!(ids(&stage, "sgp-nlb-x").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_forced_detaches_do_not_count_on_each_other() {
    let stage = stage("two-forced").await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-x");
        world.create_scaling_group("asg-2", (2..4).map(instance));
    }
    let clb =
        json!({"type": "CLB", "id": "rsp-x", "loadBalancerId": "lb-sim", "port": 80, "weight": 50});
    let forced = json!({"forceAttach": true, "forceDetach": true});
    let feeds = [("one", "asg-1"), ("two", "asg-2")];
    for (name, scaling_group) in feeds {
        let both = [clb.clone(), nlb("sgp-nlb-y")];
        stage
            .attachment(name, scaling_group, &both, forced.clone())
            .await;
        stage.reason::<Attachment>(name, "Converged").await;
    }
    stage
        .eventually("four serve", async || {
            (stage.simulator.world().serving("rsp-x") == 4).then_some(())
        })
        .await;
    for (name, scaling_group) in feeds {
        let one = [nlb("sgp-nlb-y")];
        stage
            .attachment(name, scaling_group, &one, forced.clone())
            .await;
    }
    let stalled = async |name| {
        let object: Attachment = stage.api().get(name).await.unwrap();
        let ready = crate::stage::ready(&object);
        ready.is_some_and(|(reason, _)| reason == "LastServing")
    };
    stage
        .eventually("one is held", async || {
            (stalled("one").await || stalled("two").await).then_some(())
        })
        .await;
    let world = stage.simulator.world();
    assert_eq!(world.serving("rsp-x"), 2);
    assert_ne!(world.least_serving("rsp-x"), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_follow_its_activity_any_more_blocks_nobody() {
    let stage = stage("blocked").await;
    stage
        .simulator
        .world()
        .create_group(Product::Gwlb, "sgp-gw");
    let all = |name: &str, groups: &[&str]| {
        json!({
            "name": name, "namespaces": [stage.namespace], "regions": ["*"], "scalingGroups": ["*"],
            "serverGroups": groups, "servers": ["*"],
        })
    };
    let mut held = stage.simulator.hold(server_group_sim::When::After, |call| {
        call.action == "AttachServerGroups"
    });
    attach(&stage, &["sgp-nlb-x"]).await;
    stage.awaited("the call", held.arrived()).await;
    // Its grant goes while the activity runs.
    stage.grant(&[all("others", &["sgp-gw"])]).await;
    // It is busy with its call; an object that wants nothing tells that the operator has heard.
    stage
        .membership("witness", "sgp-nlb-y", &[], json!({}))
        .await;
    stage.reason::<Membership>("witness", "NotGranted").await;
    held.release();
    stage.reason::<Attachment>("feed", "NotGranted").await;
    let gwlb = [json!({"type": "GWLB", "id": "sgp-gw"})];
    stage.attachment("other", "asg-1", &gwlb, json!({})).await;
    stage.reason::<Attachment>("other", "Converged").await;
    stage.delete::<Attachment>("other").await;
    stage.gone::<Attachment>("other").await;
}

/// "It is gone" was once taken for "it cannot be asked", for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_scaling_group_that_ess_says_is_gone_brings_nobody() {
    let stage = stage("brought-by-nobody").await;
    let three = instances(5, 3, Some(80));
    stage
        .membership("web", "sgp-nlb-x", &three, json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .attachment("feed", "asg-gone", &[nlb("sgp-nlb-x")], json!({}))
        .await;
    stage.reason::<Attachment>("feed", "GroupNotFound").await;
    let gone = What::Refuse {
        status: 404,
        code: "InvalidScalingGroupId.NotFound".into(),
    };
    let fault = Fault::on("DescribeScalingInstances", gone).times(u32::MAX);
    stage.simulator.world().faults.push(fault);
    stage
        .membership("web", "sgp-nlb-x", &three[1..], json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(ids(&stage, "sgp-nlb-x").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_scaling_group_brings_at_one_port_it_does_not_bring_at_another() {
    let stage = stage("brought-port").await;
    let mut servers = instances(0, 2, Some(8080));
    servers.extend(instances(2, 1, Some(80)));
    stage
        .membership("web", "sgp-nlb-x", &servers, json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    attach(&stage, &["sgp-nlb-x"]).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    stage
        .eventually("the instances serve", async || {
            (stage.simulator.world().serving("sgp-nlb-x") == 5).then_some(())
        })
        .await;
    stage
        .membership("web", "sgp-nlb-x", &servers[2..], json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let world = stage.simulator.world();
    let ports: Vec<_> = world.groups["sgp-nlb-x"]
        .members
        .keys()
        .map(|(id, _, port)| (id.clone(), *port))
        .collect();
    assert_eq!(ports, [0, 1, 2].map(|number| (instance(number), 80)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_detach_without_an_answer_freezes_the_server_group_too() {
    let mut stage = stage("frozen-by-ess").await;
    stage.stop().await;
    let mut timing = timing();
    // Long enough to be seen unsettled.
    timing.settle_after_send = Duration::from_secs(10);
    stage.start_with(stage.operator_client(), timing);
    attach(&stage, &["sgp-nlb-x", "sgp-nlb-y"]).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    let often = json!({"intervalSeconds": 30});
    let three = instances(5, 3, Some(80));
    stage
        .membership("web", "sgp-nlb-x", &three, often.clone())
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    // Sent, sent once more with its token, and never answered; nor has it landed so far.
    stage.simulator.world().faults.push(Fault {
        times: 2,
        ..Fault::on("DetachServerGroups", What::LoseAnswerBefore)
    });
    attach(&stage, &["sgp-nlb-y"]).await;
    let open = |feed: &Attachment| operation(feed).is_some_and(|open| open["phase"] == "Unsettled");
    stage.until("unsettled", "feed", open).await;
    stage
        .membership("web", "sgp-nlb-x", &three[..1], often)
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.reason::<Attachment>("feed", "Converged").await;
    let world = stage.simulator.world();
    let at = |action: &str| {
        let mut calls = world.changing_calls();
        calls.find(|call| call.action == action).unwrap().at
    };
    let waited = at("RemoveServersFromServerGroup") - at("DetachServerGroups");
    assert!(waited >= 1000.0, "removed after {waited} s");
    let left: Vec<_> = world.groups["sgp-nlb-x"].ids().into_iter().collect();
    assert_eq!(left, [instance(5)]);
}
