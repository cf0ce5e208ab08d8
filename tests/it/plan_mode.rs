//! `mode: Plan`: the difference is shown and nothing is changed.

use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::world::Product;

use crate::stage::{Stage, condition, events, instance, instances};

type Membership = ServerGroupMembership;

fn planning() -> Value {
    json!({"mode": "Plan", "intervalSeconds": 30})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_shown_and_carried_out_only_when_enforced() {
    let stage = Stage::new("plan").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("web", "rsp-web", &instances(0, 70, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let changes = stage.changes();
    stage
        .membership("web", "rsp-web", &instances(60, 80, Some(80)), planning())
        .await;
    let web: Membership = stage.reason("web", "Planned").await;
    assert_eq!(condition(&web, "Ready").unwrap().0, "True");
    assert_eq!(condition(&web, "InSync").unwrap().0, "False");
    let plan = web.status.unwrap().plan.unwrap();
    // The old ones wait for the new ones, but leave they will.
    assert_eq!(
        (plan.totals.add, plan.totals.remove, plan.add.len()),
        (70, 60, 50)
    );
    assert_eq!(stage.changes(), changes);
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(60, 80, Some(80)),
            json!({"mode": "Enforce"}),
        )
        .await;
    let web: Membership = stage.reason("web", "Converged").await;
    assert!(web.status.unwrap().plan.is_none());
    assert_eq!(stage.simulator.world().serving("rsp-web"), 80);
    assert!(events(&stage, "PlanChanged").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_differences_is_in_sync_and_costs_no_write() {
    let stage = Stage::new("plan-rest").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .simulator
        .world()
        .put_member("rsp-web", &instance(0), "", 80, 100);
    stage
        .membership("web", "rsp-web", &instances(0, 1, Some(80)), planning())
        .await;
    let before: Membership = stage.reason("web", "Planned").await;
    assert_eq!(condition(&before, "InSync").unwrap().0, "True");
    let reads = || {
        stage
            .simulator
            .world()
            .calls("DescribeVServerGroupAttribute")
    };
    let seen = reads();
    crate::stage::eventually("five more passes", || async {
        (reads() >= seen + 5).then_some(())
    })
    .await;
    let after: Membership = stage.reason("web", "Planned").await;
    assert_eq!(
        before.metadata.resource_version,
        after.metadata.resource_version
    );
    assert_eq!(stage.changes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_when_what_is_carried_out_is_not_what_was_shown() {
    let stage = Stage::new("plan-changed").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), planning())
        .await;
    stage.reason::<Membership>("web", "Planned").await;
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 4, Some(80)),
            json!({"mode": "Enforce"}),
        )
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let told = || async { (events(&stage, "PlanChanged").await.len() == 1).then_some(()) };
    crate::stage::eventually("the event", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_in_plan_mode_stays() {
    let stage = Stage::new("plan-deleted").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .simulator
        .world()
        .put_member("rsp-web", "i-other", "", 80, 100);
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), planning())
        .await;
    stage.reason::<Membership>("web", "Planned").await;
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_are_planned_as_well() {
    let stage = Stage::new("plan-attachment").await;
    stage.simulator.world().create_group(Product::Gwlb, "sgp-1");
    stage.simulator.world().create_scaling_group("asg-web", []);
    let groups = [json!({"type": "GWLB", "id": "sgp-1"})];
    stage
        .attachment("web", "asg-web", &groups, planning())
        .await;
    let web: ScalingGroupAttachment = stage.reason("web", "Planned").await;
    assert_eq!(web.status.unwrap().plan.unwrap().add, ["GWLB/sgp-1"]);
    assert_eq!(stage.changes(), 0);
}
