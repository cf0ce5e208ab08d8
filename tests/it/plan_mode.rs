//! `mode: Plan`: the difference is shown and nothing is changed.

use std::ops::Range;

use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{
    fault::{Fault, What},
    world::{Product, World},
};
use sha2::{Digest, Sha256};

use crate::stage::{Stage, condition, events, instance, instances, told};

type Membership = ServerGroupMembership;

fn planning() -> Value {
    json!({"mode": "Plan", "intervalSeconds": 30})
}

/// Waits for so many more looks at the group.
async fn passes(stage: &Stage, times: usize) {
    let looks = || {
        let world = stage.simulator.world();
        world.calls("DescribeVServerGroupAttribute")
    };
    let before = looks();
    stage.reached("more passes", before + times, looks).await;
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
    passes(&stage, 5).await;
    let after: Membership = stage.reason("web", "Planned").await;
    assert_eq!(
        before.metadata.resource_version,
        after.metadata.resource_version
    );
    assert_eq!(stage.changes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_with_differences_stays_as_it_is_while_nothing_changes() {
    let mut stage = Stage::new("plan-stays").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("web", "rsp-web", &instances(0, 70, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let changes = stage.changes();
    // Ten get another weight, sixty leave, two come.
    let mut servers = instances(0, 10, Some(80));
    servers.extend(instances(70, 2, Some(80)));
    for server in &mut servers {
        server["weight"] = json!(10);
    }
    stage
        .membership("web", "rsp-web", &servers, planning())
        .await;
    let before: Membership = stage.reason("web", "Planned").await;
    let plan = before.status.unwrap().plan.unwrap();
    let keys = |numbers: Range<usize>| -> Vec<_> {
        numbers
            .map(|number| format!("{}:80", instance(number)))
            .collect()
    };
    let shown = (keys(70..72), keys(10..60), keys(0..10));
    assert_eq!((plan.add, plan.remove, plan.update), shown);
    let totals = plan.totals;
    assert_eq!((totals.add, totals.remove, totals.update), (2, 60, 10));
    let text = [
        lines("add", 70..72, " 10"),
        lines("remove", 10..70, ""),
        lines("update", 0..10, " 10"),
    ];
    assert_eq!(plan.hash, hash(&text.concat()));
    passes(&stage, 5).await;
    stage.stop().await;
    stage.start();
    passes(&stage, 2).await;
    let after: Membership = stage.reason("web", "Planned").await;
    assert_eq!(
        before.metadata.resource_version,
        after.metadata.resource_version
    );
    assert_eq!(stage.changes(), changes);
}

/// Lines of the text under the hash: what is done to these numbers.
fn lines(verb: &str, numbers: Range<usize>, weight: &str) -> String {
    let line = |number| format!("{verb} {}:80{weight}\n", instance(number));
    numbers.map(line).collect::<Vec<_>>().concat()
}

/// The hash as it is documented.
fn hash(lines: &str) -> String {
    let bytes = Sha256::digest(lines);
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.concat()
}

fn hash_of_adding(numbers: Range<usize>) -> String {
    hash(&lines("add", numbers, ""))
}

/// Shows the addition of three, has `meanwhile` happen, and enforces a list of so many, which adds `carried_out`.
async fn changes_between(
    name: &str,
    meanwhile: impl FnOnce(&mut World),
    listed: usize,
    carried_out: Range<usize>,
) {
    let stage = Stage::new(name).await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    // Nobody looks again before it is enforced.
    let (rarely, enforce) = (
        json!({"mode": "Plan", "intervalSeconds": 86400}),
        json!({"mode": "Enforce", "intervalSeconds": 86400}),
    );
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), rarely)
        .await;
    let web: Membership = stage.reason("web", "Planned").await;
    let shown = web.status.unwrap().plan.unwrap().hash;
    assert_eq!(shown, hash_of_adding(0..3));
    meanwhile(&mut stage.simulator.world());
    stage
        .membership("web", "rsp-web", &instances(0, listed, Some(80)), enforce)
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let now = hash_of_adding(carried_out);
    let note =
        format!("the plan that was shown had the hash {shown}; what is carried out now has {now}");
    assert_eq!(told(&stage, "PlanChanged", &now).await, [note]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_gives_both_hashes_when_another_list_is_enforced_than_was_shown() {
    changes_between("plan-other-list", |_| {}, 4, 0..4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_gives_both_hashes_when_the_cloud_changed_since_the_plan_was_shown() {
    let by_hand = |world: &mut World| world.put_member("rsp-web", &instance(0), "", 80, 100);
    changes_between("plan-other-cloud", by_hand, 3, 1..3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_is_compared_also_when_the_first_looks_do_not_succeed() {
    let unavailable = |world: &mut World| {
        let refuse = What::Refuse {
            status: 503,
            code: "ServiceUnavailable".into(),
        };
        let fault = Fault::on("DescribeVServerGroupAttribute", refuse).times(20);
        world.faults.push(fault);
    };
    changes_between("plan-unseen", unavailable, 4, 0..4).await;
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
async fn a_plan_does_not_stand_beside_a_generation_that_it_was_not_made_for() {
    let stage = Stage::new("plan-old").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let mut servers = instances(0, 2, Some(80));
    stage
        .membership("web", "rsp-web", &servers, planning())
        .await;
    let web: Membership = stage.reason("web", "Planned").await;
    assert!(web.status.unwrap().plan.is_some());
    servers.extend(instances(0, 1, Some(80)));
    stage
        .membership("web", "rsp-web", &servers, planning())
        .await;
    let web: Membership = stage.reason("web", "InvalidSpec").await;
    assert!(web.status.unwrap().plan.is_none());
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
    let plan = web.status.unwrap().plan.unwrap();
    assert_eq!(plan.add, ["GWLB/sgp-1"]);
    assert_eq!(plan.hash, hash("add GWLB/sgp-1\n"));
    assert_eq!(stage.changes(), 0);
    let enforce = json!({"mode": "Enforce"});
    stage.attachment("web", "asg-web", &groups, enforce).await;
    let web: ScalingGroupAttachment = stage.reason("web", "Converged").await;
    assert!(web.status.unwrap().plan.is_none());
    assert!(events(&stage, "PlanChanged").await.is_empty());
    let world = stage.simulator.world();
    let attached = &world.scaling_groups["asg-web"].attachments;
    assert_eq!((attached.len(), attached[0].group.as_str()), (1, "sgp-1"));
}
