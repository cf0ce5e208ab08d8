//! CLB vServer groups and default groups of load balancers, attached to scaling groups.

use serde_json::{Value, json};
use server_group_operator::api::ScalingGroupAttachment;
use server_group_sim::world::Product;

use crate::stage::{Stage, condition, instance, message};

type Attachment = ScalingGroupAttachment;

/// A scaling group with two instances, two load balancers, and a vServer group on each.
async fn stage(name: &str) -> Stage {
    let stage = Stage::new(name).await;
    {
        let mut world = stage.simulator.world();
        world.create_scaling_group("asg-1", [instance(0), instance(1)]);
        for number in 1..=2 {
            let load_balancer = format!("lb-{number}");
            world.create_load_balancer(&load_balancer);
            load_balancer.clone_into(
                &mut world
                    .create_group(Product::Clb, &format!("rsp-{number}"))
                    .load_balancer,
            );
            world.create_group(Product::Alb, &format!("sgp-{number}"));
        }
    }
    stage
}

fn vserver(number: usize, port: u16, weight: u8) -> Value {
    json!({"type": "CLB", "id": format!("rsp-{number}"), "loadBalancerId": format!("lb-{number}"), "port": port, "weight": weight})
}

async fn list(stage: &Stage, spec: Value) {
    let mut all = json!({"scalingGroupId": "asg-1"});
    crate::stage::merge(&mut all, spec);
    stage.apply::<Attachment>("feed", &all).await;
}

/// What is attached: kind, group, port and weight.
fn attached(stage: &Stage) -> Vec<String> {
    let world = stage.simulator.world();
    let attachments = world.scaling_groups["asg-1"].attachments.iter();
    let mut all: Vec<_> = attachments
        .map(|one| format!("{} {} {:?} {:?}", one.kind, one.group, one.port, one.weight))
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn all_three_families_are_attached_and_detached() {
    let stage = stage("families").await;
    list(&stage, json!({
        "serverGroups": [vserver(1, 80, 50), vserver(1, 81, 50), {"type": "ALB", "id": "sgp-1", "port": 80, "weight": 10}],
        "loadBalancers": [{"id": "lb-2", "weight": 40}],
    }))
    .await;
    let feed: Attachment = stage.reason("feed", "Converged").await;
    assert_eq!(attached(&stage).len(), 4);
    let ledger = feed.status.unwrap().ledger.unwrap().registered;
    assert_eq!(
        ledger,
        [
            "ALB/sgp-1:80",
            "CLB/lb-1/rsp-1:80",
            "CLB/lb-1/rsp-1:81",
            "LB/lb-2"
        ]
    );
    list(
        &stage,
        json!({"serverGroups": [vserver(1, 81, 50)], "loadBalancers": []}),
    )
    .await;
    let feed: Attachment = stage.reason("feed", "Converged").await;
    assert_eq!(feed.status.unwrap().summary.unwrap(), "1/1 attached");
    assert_eq!(attached(&stage), ["CLB rsp-1 Some(81) Some(50)"]);
    stage.delete::<Attachment>("feed").await;
    stage.gone::<Attachment>("feed").await;
    assert!(attached(&stage).is_empty());
    assert_eq!(stage.simulator.world().violations().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_list_is_no_opinion() {
    let stage = stage("no-opinion").await;
    list(&stage, json!({"serverGroups": [vserver(1, 80, 50)], "loadBalancers": [{"id": "lb-2", "weight": 40}]})).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    // Without the field; apply removes it.
    list(&stage, json!({"serverGroups": [vserver(1, 80, 50)]})).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    assert_eq!(attached(&stage).len(), 2, "left as it is");
    stage.delete::<Attachment>("feed").await;
    stage.gone::<Attachment>("feed").await;
    assert!(attached(&stage).is_empty(), "and released with the object");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_weight_or_port_is_attached_again_in_the_safe_order() {
    let stage = stage("clb-weight").await;
    let other = json!({"type": "ALB", "id": "sgp-1", "port": 80, "weight": 10});
    list(&stage, json!({"serverGroups": [vserver(1, 80, 50), other], "loadBalancers": [{"id": "lb-2", "weight": 40}]})).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    list(&stage, json!({"serverGroups": [vserver(1, 80, 60), other], "loadBalancers": [{"id": "lb-2", "weight": 30}]})).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    assert_eq!(
        attached(&stage),
        [
            "ALB sgp-1 Some(80) Some(10)",
            "CLB rsp-1 Some(80) Some(60)",
            "LB lb-2 None Some(30)"
        ]
        .map(|line| { line.replace("LB lb-2", &kind_of_default(&stage)) })
    );
    list(&stage, json!({"serverGroups": [vserver(1, 90, 60), other]})).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    let world = stage.simulator.world();
    let last: Vec<_> = world
        .changing_calls()
        .map(|call| call.action.clone())
        .collect();
    assert_eq!(
        last[last.len() - 2..],
        ["AttachVServerGroups", "DetachVServerGroups"],
        "the new port first"
    );
}

/// How the simulator calls the default group of `lb-2`, with its id.
fn kind_of_default(stage: &Stage) -> String {
    let world = stage.simulator.world();
    let attachments = world.scaling_groups["asg-1"].attachments.iter();
    let found = attachments.into_iter().find(|one| one.group == "lb-2");
    found.map_or_else(String::new, |one| format!("{} {}", one.kind, one.group))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_detach_needs_somebody_else_behind_the_load_balancer() {
    let stage = stage("clb-forced").await;
    let both = json!({"serverGroups": [{"type": "ALB", "id": "sgp-1", "port": 80, "weight": 10}], "loadBalancers": [{"id": "lb-2"}], "forceAttach": true, "forceDetach": true});
    list(&stage, both.clone()).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    assert_eq!(stage.simulator.world().serving("lb-2"), 2);
    let mut fewer = both;
    fewer["loadBalancers"] = json!([]);
    list(&stage, fewer).await;
    stage.reason::<Attachment>("feed", "LastServing").await;
    assert_eq!(stage.simulator.world().serving("lb-2"), 2);
    stage
        .simulator
        .world()
        .put_member("lb-2", "i-other", "", 0, 100);
    stage.reason::<Attachment>("feed", "Converged").await;
    assert_eq!(stage.simulator.world().serving("lb-2"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_older_alb_operation_attached_is_recognised() {
    let stage = stage("older-alb").await;
    stage
        .simulator
        .world()
        .attach("asg-1", "ALB", "sgp-1", Some(80), Some(10));
    stage
        .simulator
        .world()
        .scaling_groups
        .get_mut("asg-1")
        .unwrap()
        .attachments[0]
        .older = true;
    list(
        &stage,
        json!({"serverGroups": [{"type": "ALB", "id": "sgp-1", "port": 80, "weight": 10}]}),
    )
    .await;
    let feed: Attachment = stage.reason("feed", "Converged").await;
    assert_eq!(
        feed.status.unwrap().ledger.unwrap().adopted,
        ["ALB/sgp-1:80"]
    );
    assert_eq!(stage.changes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_that_no_grant_covers_stalls_without_a_call() {
    let mut stage = stage("lb-grant").await;
    stage
        .restart_under(&[json!({
            "name": "some", "namespaces": ["*"], "regions": ["*"], "serverGroups": ["*"], "scalingGroups": ["*"],
            "loadBalancers": ["lb-1"], "servers": ["*"],
        })])
        .await;
    list(&stage, json!({"loadBalancers": [{"id": "lb-2"}]})).await;
    let feed: Attachment = stage.reason("feed", "NotGranted").await;
    assert!(message(&feed).contains("lb-2"), "{}", message(&feed));
    assert_eq!(condition(&feed, "Stalled").unwrap().0, "True");
    assert_eq!(stage.all_calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_group_that_does_not_exist_does_not_stop_the_others() {
    let stage = stage("one-missing").await;
    let alb = |id: &str| json!({"type": "ALB", "id": id, "port": 80, "weight": 10});
    let groups = json!([
        alb("sgp-1"),
        alb("sgp-gone"),
        alb("sgp-2"),
        vserver(1, 80, 50)
    ]);
    list(&stage, json!({"serverGroups": groups})).await;
    let feed: Attachment = stage.reason("feed", "GroupNotFound").await;
    assert!(message(&feed).contains("sgp-gone"), "{}", message(&feed));
    assert_eq!(attached(&stage).len(), 3);
    let parked = feed.status.unwrap().parked;
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert_eq!(parked[0].server_group, "ALB/sgp-gone:80");
}

#[tokio::test(flavor = "multi_thread")]
async fn default_groups_are_released_from_an_inactive_scaling_group() {
    let stage = stage("blind-default").await;
    list(&stage, json!({"serverGroups": [vserver(1, 80, 50)], "loadBalancers": [{"id": "lb-2", "weight": 40}]})).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    let inactive = |inactive| {
        let mut world = stage.simulator.world();
        world.scaling_groups.get_mut("asg-1").unwrap().inactive = inactive;
    };
    inactive(true);
    stage.delete::<Attachment>("feed").await;
    stage.gone::<Attachment>("feed").await;
    assert!(attached(&stage).is_empty());
    let told = crate::stage::events(&stage, "Detached").await;
    assert_eq!(told.len(), 2, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_names_more_than_five_load_balancers() {
    let stage = Stage::new("seven").await;
    {
        let mut world = stage.simulator.world();
        world.create_scaling_group("asg-1", [instance(0)]);
        for number in 0..7 {
            let load_balancer = format!("lb-{number}");
            world.create_load_balancer(&load_balancer);
            let group = world.create_group(Product::Clb, &format!("rsp-{number}"));
            load_balancer.clone_into(&mut group.load_balancer);
        }
    }
    let vservers: Vec<_> = (0..7).map(|number| vserver(number, 80, 50)).collect();
    let defaults: Vec<_> = (0..7)
        .map(|number| json!({"id": format!("lb-{number}"), "weight": 40}))
        .collect();
    list(
        &stage,
        json!({"serverGroups": vservers, "loadBalancers": defaults}),
    )
    .await;
    stage.reason::<Attachment>("feed", "Converged").await;
    assert_eq!(attached(&stage).len(), 14);
    stage.delete::<Attachment>("feed").await;
    stage.gone::<Attachment>("feed").await;
    let world = stage.simulator.world();
    for action in [
        "AttachVServerGroups",
        "AttachLoadBalancers",
        "DetachVServerGroups",
        "DetachLoadBalancers",
    ] {
        assert_eq!(world.calls(action), 2, "{action}");
    }
    assert_eq!(world.violations().count(), 0);
}
