//! Troubles that last: they cost no loop, no writes, and nothing of what they are not about.

use serde_json::json;
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{
    When,
    fault::{Fault, What},
    world::Product,
};

use crate::{
    kinds::Kind,
    stage::{Stage, instances, message},
    troubles::{GROWING, SLOW, STRETCH, often, stage, troubled},
};

type Membership = ServerGroupMembership;
type Attachment = ScalingGroupAttachment;

/// A server group that is gone is asked for on the slow beat, also when it is gone for sure.
async fn deleted(product: Product, id: &str) {
    let stage = Stage::new("gone-loop").await;
    stage.simulator.world().create_group(product, id);
    let port = (product != Product::Gwlb).then_some(80);
    stage
        .membership("web", id, &instances(0, 2, port), often())
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.simulator.world().delete_group(id);
    // Twice in the first half minute besides.
    let advice = [id, "does not exist"];
    troubled::<Membership>(&stage, "GroupNotFound", &advice, SLOW + 2, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_group_that_was_deleted_is_not_asked_for_in_a_loop() {
    tokio::join!(
        deleted(Product::Clb, "rsp-web"),
        deleted(Product::Alb, "sgp-alb-web"),
        deleted(Product::Nlb, "sgp-nlb-web"),
        deleted(Product::Gwlb, "sgp-web"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsettled_call_on_a_group_that_stays_busy_is_not_looked_after_in_a_loop() {
    let stage = Stage::new("unsettled-busy").await;
    let id = "sgp-web";
    stage.simulator.world().create_group(Product::Gwlb, id);
    // With a token it is sent once more at once, and not answered again.
    let lost = Fault::on("AddServersToServerGroup", What::LoseAnswerAfter).times(2);
    stage.simulator.world().faults.push(lost);
    let mut tries = 0;
    let mut second = stage.simulator.hold(When::After, move |call| {
        tries += usize::from(call.action == "AddServersToServerGroup");
        tries == 2
    });
    stage
        .membership("web", id, &instances(0, 2, None), often())
        .await;
    stage.awaited("the call", second.arrived()).await;
    let busy = |status: Option<String>| {
        let mut world = stage.simulator.world();
        world.groups.get_mut(id).unwrap().forced_status = status;
    };
    busy(Some("Configuring".to_owned()));
    second.release();
    let unsettled = |web: &Membership| {
        let status = serde_json::to_value(web).unwrap()["status"].clone();
        status["operation"]["phase"] == "Unsettled"
    };
    stage.until("an unsettled addition", "web", unsettled).await;
    // The group and its servers, in each pass.
    troubled::<Membership>(
        &stage,
        "Changing",
        &["nothing more is changed until"],
        GROWING,
        2,
    )
    .await;
    busy(None);
    stage.reason::<Membership>("web", "Converged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_group_that_is_gone_does_not_stop_the_other_attachments() {
    let stage = Stage::new("gone-others").await;
    Attachment::prepare(&stage);
    stage.simulator.world().delete_group("sgp-0001");
    Attachment::list(&stage, "web", 0..4, often()).await;
    stage
        .eventually("the three others are attached", async || {
            (Attachment::present(&stage) == [0, 2, 3]).then_some(())
        })
        .await;
    let told = |web: &Attachment| message(web).contains("sgp-0001") || names(web, "sgp-0001");
    stage.until("the one is named", "web", told).await;
}

/// Whether `parked` names it.
fn names(web: &Attachment, id: &str) -> bool {
    let parked = web.status.iter().flat_map(|status| &status.parked);
    parked
        .into_iter()
        .any(|parked| parked.server_group.contains(id))
}

/// Watches an object that stalled: nothing is written any more (L1).
async fn stays<K: Kind>(stage: &Stage, reason: &str) {
    stage.reason::<K>("web", reason).await;
    let looks = || stage.simulator.world().calls(K::LOOKS);
    let first = looks();
    stage
        .eventually("a second look", async || (looks() > first).then_some(()))
        .await;
    let before = stage.reason::<K>("web", reason).await;
    let begun = stage.simulator.world().now;
    stage.clock_shows(begun + STRETCH).await;
    let after = stage.reason::<K>("web", reason).await;
    let version = |web: &K| web.meta().resource_version.clone();
    let why = format!("{reason}: written again\n{}", stage.calls());
    assert_eq!(version(&before), version(&after), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stalls_costs_no_write_while_nothing_changes() {
    let denied = async {
        let stage = stage::<Membership>("denied-rest", 2).await;
        let add = Membership::ADDS.to_owned();
        stage.simulator.world().denied.insert(add);
        Membership::list(&stage, "web", 0..3, often()).await;
        stays::<Membership>(&stage, "Denied").await;
    };
    let full = async {
        let stage = stage::<Membership>("quota-rest", 2).await;
        stage
            .simulator
            .world()
            .groups
            .get_mut("rsp-web")
            .unwrap()
            .quota = 2;
        Membership::list(&stage, "web", 0..3, often()).await;
        stays::<Membership>(&stage, "QuotaExceeded").await;
    };
    let gone = async {
        let stage = stage::<Attachment>("gone-rest", 2).await;
        stage.simulator.world().delete_group("sgp-0001");
        stays::<Attachment>(&stage, "GroupNotFound").await;
    };
    tokio::join!(denied, full, gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_is_told_in_the_words_of_the_cloud() {
    let stage = stage::<Membership>("quota-words", 2).await;
    stage
        .simulator
        .world()
        .groups
        .get_mut("rsp-web")
        .unwrap()
        .quota = 2;
    Membership::list(&stage, "web", 0..3, json!({"intervalSeconds": 30})).await;
    let web: Membership = stage.reason("web", "QuotaExceeded").await;
    let said = message(&web);
    assert!(
        said.contains("QuotaExceeded.BackendServersNumber"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_beside_a_conflict_is_said_and_costs_no_write_at_rest() {
    let stage = Stage::new("quota-conflict").await;
    let group = "rsp-web";
    stage.simulator.world().create_group(Product::Clb, group);
    let list = async |name: &str, from, count| {
        let servers = instances(from, count, Some(80));
        stage.membership(name, group, &servers, often()).await
    };
    list("old", 0, 3).await;
    stage.reason::<Membership>("old", "Converged").await;
    stage.simulator.world().groups.get_mut(group).unwrap().quota = 4;
    list("web", 2, 4).await;
    let both = |web: &Membership| {
        let said = message(web);
        said.contains("is claimed by") && said.contains("QuotaExceeded")
    };
    stage.until("both are said", "web", both).await;
    let changes = stage.changes();
    let begun = stage.simulator.world().now;
    let version = || async {
        let web = stage.api::<Membership>().get("web").await.unwrap();
        web.metadata.resource_version
    };
    // The first look afterwards may still word it otherwise.
    stage.clock_shows(begun + 60.0).await;
    let before = version().await;
    stage.clock_shows(begun + 360.0).await;
    assert_eq!(version().await, before);
    assert_eq!(stage.changes(), changes, "nothing is tried in vain");
}
