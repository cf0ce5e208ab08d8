//! What people are told when an object cannot go on, goes on again, or goes and leaves something: for both kinds.

use std::time::Duration;

use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::world::Product;

use crate::{
    kinds::Kind,
    stage::{Stage, instance, instances, message, timing, told},
};

type Membership = ServerGroupMembership;
type Attachment = ScalingGroupAttachment;

fn soon() -> Value {
    json!({"intervalSeconds": 30})
}

fn kept() -> Value {
    json!({"intervalSeconds": 30, "deletionPolicy": "Retain"})
}

fn status<K: serde::Serialize>(object: &K) -> Value {
    serde_json::to_value(object).unwrap()["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_stalls_is_told_in_a_warning_and_so_is_its_recovery() {
    let stage = Stage::new("telling-stalls").await;
    let servers = instances(0, 2, Some(80));
    stage.membership("web", "rsp-web", &servers, soon()).await;
    let missing: Membership = stage.reason("web", "GroupNotFound").await;
    told(
        &stage,
        "Stalled",
        "GroupNotFound: server group rsp-web does not exist",
    )
    .await;
    let status = status(&missing);
    assert!(
        status["summary"].is_null() && status["members"].is_null(),
        "{status}"
    );
    stage.grant_all(&["nobody"]).await;
    stage.reason::<Membership>("web", "NotGranted").await;
    told(&stage, "Stalled", "NotGranted: CloudAccount").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage.grant_all(&[&stage.namespace]).await;
    stage.reason::<Membership>("web", "Converged").await;
    let recovered = told(&stage, "Recovered", "no longer NotGranted").await;
    assert_eq!(recovered.len(), 1, "{recovered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_list_does_not_look_as_if_nobody_served() {
    let stage = Stage::new("telling-emptied").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let servers = instances(0, 3, Some(80));
    stage.membership("web", "rsp-web", &servers, soon()).await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.membership("web", "rsp-web", &[], soon()).await;
    let web: Membership = stage.reason("web", "LastServing").await;
    let status = status(&web);
    assert_eq!(status["summary"], "none listed, 3 held; 3 in the group");
    assert_eq!(status["members"]["inGroup"], 3);
}

/// Two entries were there before the object listed them, and stay when it goes.
async fn what_was_adopted_is_told<K: Kind>(name: &str) {
    let stage = Stage::new(name).await;
    K::prepare(&stage);
    K::put(&stage, 0);
    K::put(&stage, 1);
    K::list(
        &stage,
        "web",
        0..3,
        json!({"intervalSeconds": 30, "removal": {"allowEmpty": true}}),
    )
    .await;
    let web: K = stage.reason("web", "Converged").await;
    assert_eq!(
        (web.ledger("registered"), web.ledger("adopted")),
        (vec![2], vec![0, 1])
    );
    stage.delete::<K>("web").await;
    stage.gone::<K>("web").await;
    assert_eq!(K::present(&stage), [0, 1]);
    let left = told(&stage, "Left", "because they were there before").await;
    assert!(
        left.len() == 1 && left[0].starts_with("2 stay at "),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_were_adopted_are_named_before_their_object_goes() {
    what_was_adopted_is_told::<Membership>("telling-left").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_that_were_adopted_are_named_before_their_object_goes() {
    what_was_adopted_is_told::<Attachment>("telling-left-ess").await;
}

/// The members of an object that was retained are another one's to remove once it takes them over.
async fn what_was_left_can_be_taken_over<K: Kind>(name: &str) {
    let stage = Stage::new(name).await;
    K::prepare(&stage);
    K::list(&stage, "old", 0..2, kept()).await;
    stage.reason::<K>("old", "Converged").await;
    stage.delete::<K>("old").await;
    stage.gone::<K>("old").await;
    told(&stage, "Left", "spec.deletionPolicy is Retain").await;
    let empty = json!({"intervalSeconds": 30, "removal": {"allowEmpty": true}});
    K::list(&stage, "new", 0..2, empty).await;
    let new: K = stage.reason("new", "Converged").await;
    assert_eq!(
        (new.ledger("registered"), new.ledger("adopted")),
        (vec![], vec![0, 1])
    );
    stage.annotate::<K>("new", "take-over", "2026-11-30").await;
    let new: K = stage
        .until("taken over", "new", |new: &K| {
            new.ledger("adopted").is_empty()
        })
        .await;
    assert_eq!(new.ledger("registered"), [0, 1]);
    let finalizers = new.meta().finalizers.clone().unwrap_or_default();
    assert_eq!(
        finalizers,
        ["servergroup.alicloud.dev/release"],
        "a deletion waits for the release"
    );
    assert_eq!(status(&new)["lastHandledTakeOver"], "2026-11-30");
    told(&stage, "TookOver", "(2): ").await;
    stage.delete::<K>("new").await;
    stage.gone::<K>("new").await;
    assert_eq!(K::present(&stage), [0_usize; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_were_left_can_be_taken_over_and_leave_with_the_new_object() {
    what_was_left_can_be_taken_over::<Membership>("telling-over").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_that_were_left_can_be_taken_over_and_leave_with_the_new_object() {
    what_was_left_can_be_taken_over::<Attachment>("telling-over-ess").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_over_takes_nothing_from_another_object() {
    let stage = Stage::new("telling-over-owned").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("web", "rsp-web", &instances(0, 2, Some(80)), soon())
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .simulator
        .world()
        .put_member("rsp-web", &instance(2), "", 80, 100);
    stage
        .membership("young", "rsp-web", &instances(0, 3, Some(80)), soon())
        .await;
    stage.reason::<Membership>("young", "Conflict").await;
    stage
        .annotate::<Membership>("young", "take-over", "yes")
        .await;
    let young: Membership = stage
        .until("taken over", "young", |young: &Membership| {
            !young.ledger("registered").is_empty()
        })
        .await;
    assert_eq!(young.ledger("registered"), [2]);
    let web: Membership = stage.reason("web", "Converged").await;
    assert_eq!(web.ledger("registered"), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_deletion_names_the_way_out_and_answers_a_value_that_lets_nothing_go() {
    let stage = Stage::new("telling-abandon").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("web", "rsp-web", &instances(0, 2, Some(80)), soon())
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.grant_all(&["nobody"]).await;
    stage.reason::<Membership>("web", "NotGranted").await;
    stage.delete::<Membership>("web").await;
    let blocked: Membership = stage
        .until("blocked", "web", |web: &Membership| {
            message(web).contains("the deletion waits")
        })
        .await;
    let way_out = "servergroup.alicloud.dev/abandon=true lets the object go and leaves in the cloud what it registered";
    assert!(message(&blocked).contains(way_out), "{}", message(&blocked));
    stage.annotate::<Membership>("web", "abandon", "yes").await;
    told(&stage, "NotUnderstood", "abandon=yes means nothing").await;
    stage.annotate::<Membership>("web", "abandon", "true").await;
    stage.gone::<Membership>("web").await;
    told(
        &stage,
        "Left",
        "the annotation servergroup.alicloud.dev/abandon",
    )
    .await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 2);
}

/// Somebody takes an entry away three times; each time it is put back.
async fn a_fight_is_named<K: Kind>(name: &str) {
    let mut stage = Stage::without_operator(name).await;
    K::prepare(&stage);
    let mut timing = timing();
    timing.return_window = Duration::from_mins(10);
    stage.start_with(stage.operator_client(), timing);
    K::list(&stage, "web", 0..2, soon()).await;
    let web: K = stage.reason("web", "Converged").await;
    assert!(!message(&web).contains("somebody"), "{}", message(&web));
    for times in 1..=3 {
        let adds = stage.simulator.world().calls(K::ADDS);
        K::take(&stage, 1);
        stage
            .eventually("put back", async || {
                (stage.simulator.world().calls(K::ADDS) > adds).then_some(())
            })
            .await;
        let web: K = stage.reason("web", "Converged").await;
        assert_eq!(
            message(&web).contains("somebody took these away 3 times"),
            times == 3
        );
    }
    let fought = told(&stage, "Fought", "ActionTrail").await;
    assert!(
        fought.len() == 1 && !fought[0].contains("0000"),
        "{fought:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_taken_out_three_times_is_named_though_it_serves() {
    a_fight_is_named::<Membership>("telling-fight").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_is_undone_three_times_is_named_though_it_is_there() {
    a_fight_is_named::<Attachment>("telling-fight-ess").await;
}
