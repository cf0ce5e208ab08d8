//! `ownership: Exclusive`: strangers go, once they were seen twice; what a scaling group brings is no stranger.

use std::time::Duration;

use serde_json::{Value, json};
use server_group_operator::api::{
    ScalingGroupAttachment, ServerGroupMembership, status::HoldReason,
};
use server_group_sim::{
    When,
    audit::Entry,
    fault::{Fault, What},
    world::{Product, World},
};

use crate::stage::{SPEED, Stage, instance, instances, timing};

type Membership = ServerGroupMembership;
type Attachment = ScalingGroupAttachment;

/// A CLB group with two members of ours, whose list is the whole truth.
async fn stage(name: &str) -> Stage {
    let stage = Stage::new(name).await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    list(&stage, json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
}

async fn list(stage: &Stage, more: Value) {
    let mut spec = json!({"ownership": "Exclusive", "intervalSeconds": 60});
    crate::stage::merge(&mut spec, more);
    stage
        .membership("web", "rsp-web", &instances(0, 2, Some(80)), spec)
        .await;
}

fn ids(stage: &Stage) -> Vec<String> {
    stage.simulator.world().groups["rsp-web"]
        .ids()
        .into_iter()
        .collect()
}

/// Waits until ESS was asked about the group's members so often, and for so long that a stranger would be gone.
async fn asked(stage: &Stage, times: usize) {
    let begun = stage.simulator.world().now;
    stage
        .eventually("ESS asked", async || {
            let world = stage.simulator.world();
            let often = world.calls("DescribeScalingInstances") >= times;
            (often && world.now >= begun + 300.0).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_removed_when_it_was_one_for_a_minute() {
    let stage = stage("stranger").await;
    let put = stage.simulator.world().now;
    stage
        .simulator
        .world()
        .put_member("rsp-web", "i-other", "", 80, 100);
    stage
        .eventually("the stranger gone", async || {
            (ids(&stage).len() == 2).then_some(())
        })
        .await;
    let removed = {
        let world = stage.simulator.world();
        let mut calls = world.changing_calls();
        calls
            .find(|call| call.action.starts_with("Remove"))
            .unwrap()
            .at
    };
    assert!(removed >= put + 60.0, "{} s after it came", removed - put);
    stage.reason::<Membership>("web", "Converged").await;
}

async fn no_stranger(product: Product, group: &str) {
    let stage = Stage::new("no-stranger").await;
    stage.simulator.world().create_group(product, group);
    let port = (product != Product::Gwlb).then_some(80);
    let list = async |name, from, count, more| {
        let servers = instances(from, count, port);
        stage.membership(name, group, &servers, more).await
    };
    let exclusive = json!({"ownership": "Exclusive", "intervalSeconds": 60});
    list("web", 0, 2, exclusive).await;
    stage.reason::<Membership>("web", "Converged").await;
    let weight = port.map(|_| 50);
    {
        let mut world = stage.simulator.world();
        world.create_scaling_group("asg-1", [instance(7)]);
        world.attach("asg-1", product.upper(), group, port, weight);
        let port = port.unwrap_or(6081);
        world.put_member(group, &instance(7), "", port, weight.unwrap_or(100));
    }
    // Listed by an object that may do nothing.
    list("other", 8, 1, json!({"suspend": true})).await;
    stage.reason::<Membership>("other", "Suspended").await;
    {
        let mut world = stage.simulator.world();
        world.put_member(group, &instance(8), "", port.unwrap_or(6081), 50);
    }
    asked(&stage, 5).await;
    stage.reason::<Membership>("web", "Converged").await;
    let world = stage.simulator.world();
    let left: Vec<_> = world.groups[group].ids().into_iter().collect();
    assert_eq!(left, [0, 1, 7, 8].map(instance), "{product:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_object_lists_or_an_attached_scaling_group_brings_is_no_stranger() {
    tokio::join!(
        no_stranger(Product::Clb, "rsp-web"),
        no_stranger(Product::Alb, "sgp-alb-web"),
        no_stranger(Product::Nlb, "sgp-nlb-web"),
        no_stranger(Product::Gwlb, "sgp-web"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_a_scaling_group_that_is_shown_unattached_is_a_stranger() {
    let stage = stage("unattached").await;
    let put = {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-elsewhere");
        world.create_scaling_group("asg-1", [instance(7)]);
        world.attach("asg-1", "CLB", "rsp-elsewhere", Some(80), Some(50));
        world.put_member("rsp-web", &instance(7), "", 80, 50);
        world.now
    };
    stage
        .eventually("it is removed", async || {
            (ids(&stage) == [0, 1].map(instance)).then_some(())
        })
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let world = stage.simulator.world();
    let removed = world.changing_calls().last().unwrap().at;
    assert!(removed >= put + 60.0, "{} s after it came", removed - put);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_a_scaling_group_that_cannot_be_seen_is_held() {
    let stage = stage("held-by-ess").await;
    {
        let mut world = stage.simulator.world();
        world.create_scaling_group("asg-1", [instance(7)]).inactive = true;
        world.put_member("rsp-web", &instance(7), "", 80, 50);
    }
    asked(&stage, 5).await;
    let held = |web: &Membership| {
        let held = &web.status.as_ref().unwrap().held;
        held.len() == 1 && format!("{:?}", held[0].reason) == "EssManaged"
    };
    stage.until("held", "web", held).await;
    assert_eq!(ids(&stage), [0, 1, 7].map(instance));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_a_stranger_while_ess_cannot_be_read() {
    let stage = stage("ess-down").await;
    for action in ["DescribeScalingInstances", "DescribeScalingGroups"] {
        let refuse = What::Refuse {
            status: 403,
            code: "Forbidden.RAM".into(),
        };
        stage.simulator.world().faults.push(Fault {
            times: 5,
            ..Fault::on(action, refuse)
        });
    }
    stage
        .simulator
        .world()
        .put_member("rsp-web", &instance(7), "", 80, 50);
    let held = |web: &Membership| {
        let held = &web.status.as_ref().unwrap().held;
        held.len() == 1 && format!("{:?}", held[0].reason) == "ViewIncomplete"
    };
    stage.until("held", "web", held).await;
    assert_eq!(ids(&stage).len(), 3);
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(ids(&stage).len(), 2, "once it can be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_stay_while_the_weight_of_their_attachment_changes() {
    let stage = stage("weight-gap").await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Nlb, "sgp-nlb");
        world.create_scaling_group("asg-1", [instance(7)]);
    }
    let groups = |weight: u8| {
        [
            json!({"type": "CLB", "id": "rsp-web", "loadBalancerId": "lb-sim", "port": 80, "weight": weight}),
            json!({"type": "NLB", "id": "sgp-nlb", "port": 80, "weight": 10}),
        ]
    };
    stage
        .attachment("feed", "asg-1", &groups(10), json!({}))
        .await;
    stage.reason::<Attachment>("feed", "Converged").await;
    stage
        .simulator
        .world()
        .put_member("rsp-web", &instance(7), "", 80, 50);
    // Detached for its new weight, and kept from being attached again until the end.
    let throttle = Fault::on("AttachVServerGroups", What::Throttle).times(u32::MAX);
    stage.simulator.world().faults.push(throttle);
    stage
        .attachment("feed", "asg-1", &groups(20), json!({}))
        .await;
    let fed = |world: &World| {
        let attached = &world.scaling_groups["asg-1"].attachments;
        attached.iter().any(|attached| attached.group == "rsp-web")
    };
    stage
        .eventually("detached", async || {
            (!fed(&stage.simulator.world())).then_some(())
        })
        .await;
    let before = stage.simulator.world().calls("DescribeScalingInstances");
    asked(&stage, before + 5).await;
    {
        let mut world = stage.simulator.world();
        assert!(!fed(&world), "nothing in the cloud said so meanwhile");
        world.faults.clear();
    }
    stage.reason::<Attachment>("feed", "Converged").await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(ids(&stage), [0, 1, 7].map(instance));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_back_three_times_is_contended() {
    let stage = stage("contended").await;
    let removals = || {
        stage
            .simulator
            .world()
            .calls("RemoveVServerGroupBackendServers")
    };
    for time in 1..=3 {
        stage
            .simulator
            .world()
            .put_member("rsp-web", "i-other", "", 80, 100);
        stage
            .eventually("removed", async || (removals() == time).then_some(()))
            .await;
        stage.reason::<Membership>("web", "Converged").await;
    }
    stage
        .simulator
        .world()
        .put_member("rsp-web", "i-other", "", 80, 100);
    let web: Membership = stage.reason("web", "Contended").await;
    let parked = &web.status.unwrap().parked;
    assert!(parked[0].reason.starts_with("Contended"), "{parked:?}");
    assert_eq!(removals(), 3, "it is left alone");
    // Another generation tries again.
    list(&stage, json!({"intervalSeconds": 90})).await;
    stage
        .eventually("removed", async || (removals() == 4).then_some(()))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
}

/// A return that no look had seen absent before did not count: it was removed a fourth time.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_put_back_at_once_is_contended_after_three_removals() {
    let stage = stage("contended-at-once").await;
    let put = || {
        let mut world = stage.simulator.world();
        world.put_member("rsp-web", "i-other", "", 80, 100);
    };
    put();
    for _ in 1..=3 {
        let remove = |call: &Entry| call.action == "RemoveVServerGroupBackendServers";
        let mut held = stage.simulator.hold(When::After, remove);
        stage.awaited("the removal", held.arrived()).await;
        put();
        held.release();
    }
    stage.reason::<Membership>("web", "Contended").await;
    assert_eq!(removals(&stage).len(), 3, "it is left alone");
}

/// Starts the operator anew: a return counts for so many seconds after our removal, and what is parked waits as long.
async fn restart_with_window(stage: &mut Stage, seconds: f64) {
    stage.stop().await;
    let mut timing = timing();
    timing.return_window = Duration::from_secs_f64(seconds / SPEED);
    timing.parked_retry = timing.return_window;
    stage.start_with(stage.operator_client(), timing);
}

/// When each removal was made.
fn removals(stage: &Stage) -> Vec<f64> {
    let world = stage.simulator.world();
    let calls = world.changing_calls();
    let calls = calls.filter(|call| call.action == "RemoveVServerGroupBackendServers");
    calls.map(|call| call.at).collect()
}

/// Puts the stranger there and waits until it is gone.
async fn comes_and_goes(stage: &Stage) {
    let before = removals(stage).len();
    stage
        .simulator
        .world()
        .put_member("rsp-web", "i-other", "", 80, 100);
    stage
        .eventually("removed", async || {
            (removals(stage).len() > before).then_some(())
        })
        .await;
    stage.reason::<Membership>("web", "Converged").await;
}

async fn passed(stage: &Stage, since: f64, seconds: f64) {
    stage.clock_shows(since + seconds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_contended_stays_so_until_somebody_asks() {
    const WINDOW: f64 = 1000.0;
    let mut stage = stage("contended-on").await;
    restart_with_window(&mut stage, WINDOW).await;
    for _ in 1..=3 {
        comes_and_goes(&stage).await;
    }
    stage
        .simulator
        .world()
        .put_member("rsp-web", "i-other", "", 80, 100);
    stage.reason::<Membership>("web", "Contended").await;
    let last = *removals(&stage).last().unwrap();
    // Neither the window nor the hour ends it.
    passed(&stage, last, 2.5 * WINDOW).await;
    stage.reason::<Membership>("web", "Contended").await;
    restart_with_window(&mut stage, WINDOW).await;
    let started = stage.simulator.world().now;
    passed(&stage, started, 1.5 * WINDOW).await;
    let web: Membership = stage.reason("web", "Contended").await;
    assert_eq!(removals(&stage).len(), 3, "it is left alone");
    let held = &web.status.as_ref().unwrap().held;
    assert_eq!((held.len(), held[0].reason), (1, HoldReason::Contended));
    stage.look_now::<Membership>("web").await;
    stage
        .eventually("removed", async || {
            (removals(&stage).len() == 4).then_some(())
        })
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(ids(&stage).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_back_long_after_it_was_removed_is_not_contended() {
    const WINDOW: f64 = 100.0;
    let mut stage = stage("comes-back-late").await;
    restart_with_window(&mut stage, WINDOW).await;
    for _ in 1..=5 {
        comes_and_goes(&stage).await;
        let removed = *removals(&stage).last().unwrap();
        passed(&stage, removed, 1.5 * WINDOW).await;
    }
    assert_eq!(removals(&stage).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strange_attachment_is_detached_when_it_was_one_for_a_minute() {
    let stage = Stage::new("strange-attachment").await;
    {
        let mut world = stage.simulator.world();
        world.create_scaling_group("asg-1", [instance(7)]);
        for id in ["sgp-1", "sgp-2"] {
            world.create_group(Product::Gwlb, id);
        }
        world.attach("asg-1", "GWLB", "sgp-2", None, None);
    }
    let one = [json!({"type": "GWLB", "id": "sgp-1"})];
    let exclusive = json!({"ownership": "Exclusive", "intervalSeconds": 60});
    stage.attachment("feed", "asg-1", &one, exclusive).await;
    stage
        .eventually("detached", async || {
            (stage.simulator.world().calls("DetachServerGroups") == 1).then_some(())
        })
        .await;
    stage.reason::<Attachment>("feed", "Converged").await;
    let world = stage.simulator.world();
    assert_eq!(world.scaling_groups["asg-1"].attachments.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stalled_object_lists_is_no_stranger() {
    let stage = stage("stalled-claim").await;
    let mut twice = instances(7, 1, Some(80));
    twice.push(twice[0].clone());
    stage
        .membership("other", "rsp-web", &twice, json!({}))
        .await;
    stage.reason::<Membership>("other", "InvalidSpec").await;
    stage
        .simulator
        .world()
        .put_member("rsp-web", &instance(7), "", 80, 50);
    let put = stage.simulator.world().now;
    stage.clock_shows(put + 300.0).await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(ids(&stage), [0, 1, 7].map(instance));
}

/// ESS starts an instance, which joins, before or after it answers who is in the scaling group.
async fn joins_while_ess_is_asked(when: When) {
    let stage = stage("joins-between").await;
    {
        let mut world = stage.simulator.world();
        world.create_scaling_group("asg-1", []);
        world.attach("asg-1", "CLB", "rsp-web", Some(80), Some(50));
    }
    let asks = |call: &Entry| call.action == "DescribeScalingInstances";
    let mut held = stage.simulator.hold(when, asks);
    // The stranger makes it ask.
    stage
        .simulator
        .world()
        .put_member("rsp-web", "i-other", "", 80, 100);
    stage.awaited("the call", held.arrived()).await;
    stage
        .simulator
        .world()
        .start_instance("asg-1", &instance(7));
    stage
        .eventually("it has joined", async || {
            ids(&stage).contains(&instance(7)).then_some(())
        })
        .await;
    held.release();
    let gone = |web: &Membership| {
        let held = &web.status.as_ref().unwrap().held;
        let named = held.iter().any(|held| held.server.contains("0007"));
        assert!(!named, "{when:?}: {held:?}");
        !ids(&stage).contains(&"i-other".to_owned())
    };
    stage.until("the stranger is removed", "web", gone).await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(ids(&stage), [0, 1, 7].map(instance), "{when:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_joins_between_the_two_reads_is_no_stranger() {
    tokio::join!(
        joins_while_ess_is_asked(When::Before),
        joins_while_ess_is_asked(When::After),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_comes_back_three_times_is_contended() {
    let stage = Stage::new("contended-attachment").await;
    {
        let mut world = stage.simulator.world();
        world.create_scaling_group("asg-1", [instance(7)]);
        for id in ["sgp-1", "sgp-2"] {
            world.create_group(Product::Gwlb, id);
        }
    }
    let one = [json!({"type": "GWLB", "id": "sgp-1"})];
    let exclusive = json!({"ownership": "Exclusive", "intervalSeconds": 60});
    stage.attachment("feed", "asg-1", &one, exclusive).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    let detached = || stage.simulator.world().calls("DetachServerGroups");
    let attach = || {
        let mut world = stage.simulator.world();
        world.attach("asg-1", "GWLB", "sgp-2", None, None);
    };
    for time in 1..=3 {
        attach();
        stage
            .eventually("detached", async || (detached() == time).then_some(()))
            .await;
        stage.reason::<Attachment>("feed", "Converged").await;
    }
    attach();
    stage.reason::<Attachment>("feed", "Contended").await;
    assert_eq!(detached(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_look_at_the_state_of_a_group_makes_nobody_a_stranger_sooner() {
    let stage = Stage::new("stranger-nlb").await;
    for (name, group) in [("web", "sgp-nlb-x"), ("other", "sgp-nlb-y")] {
        stage
            .simulator
            .world()
            .create_group(Product::Nlb, group)
            .drain_seconds = 0.0;
        // A group's state may be ten minutes old then.
        let spec = json!({"ownership": "Exclusive", "intervalSeconds": 6000});
        stage
            .membership(name, group, &instances(0, 2, Some(80)), spec)
            .await;
        stage.reason::<Membership>(name, "Converged").await;
    }
    let calls = |action: &str| stage.simulator.world().calls(action);
    // A changed account has both look as they do at rest; that is how their states come to be known.
    let wake = async |name: &str, objects: usize| {
        let lists = calls("ListServerGroupServers");
        let grant = json!({
            "name": name, "namespaces": [stage.namespace], "regions": ["*"], "serverGroups": ["*"], "servers": ["*"],
        });
        stage.grant(&[grant]).await;
        stage
            .reached("they look", lists + objects, || {
                calls("ListServerGroupServers")
            })
            .await;
    };
    wake("one", 2).await;
    let states = calls("ListServerGroups");
    // One of them asks, and takes the other's group along.
    stage.look_now::<Membership>("other").await;
    stage
        .eventually("asked", async || {
            (calls("ListServerGroups") > states).then_some(())
        })
        .await;
    // From now on it asks no more, so that the state stays as old as it is.
    let rest = json!({"ownership": "Exclusive", "intervalSeconds": 6000, "suspend": true});
    stage
        .membership("other", "sgp-nlb-y", &instances(0, 2, Some(80)), rest)
        .await;
    stage.reason::<Membership>("other", "Suspended").await;
    let now = stage.simulator.world().now;
    stage.clock_shows(now + 120.0).await;
    let (put, states) = {
        let mut world = stage.simulator.world();
        world.put_member("sgp-nlb-x", "i-other", "", 80, 100);
        (world.now, world.calls("ListServerGroups"))
    };
    wake("two", 1).await;
    assert_eq!(calls("ListServerGroups"), states, "the state was shared");
    stage
        .eventually("the stranger gone", async || {
            (calls("RemoveServersFromServerGroup") == 1).then_some(())
        })
        .await;
    let world = stage.simulator.world();
    let removed = world.changing_calls().last().unwrap().at;
    assert!(removed >= put + 60.0, "{} s after it came", removed - put);
}
