//! Several objects on one group.

use kube::ResourceExt;
use serde_json::{Value, json};
use server_group_operator::api::ServerGroupMembership;
use server_group_sim::world::Product;

use crate::stage::{Stage, condition, instance, instances, message};

type Membership = ServerGroupMembership;

#[tokio::test(flavor = "multi_thread")]
async fn when_the_older_of_two_that_list_one_member_is_deleted_there_is_no_gap() {
    let stage = Stage::new("hand-over").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("old", "rsp-web", &instances(0, 3, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("old", "Converged").await;
    stage
        .membership("young", "rsp-web", &instances(2, 3, Some(80)), json!({}))
        .await;
    let young: Membership = stage.reason("young", "Conflict").await;
    assert!(
        message(&young).contains("/old") && message(&young).contains("i-0002:80"),
        "{}",
        message(&young)
    );
    assert_eq!(condition(&young, "Stalled").unwrap().0, "True");
    assert_eq!(
        stage.simulator.world().serving("rsp-web"),
        5,
        "only the contested member is held"
    );
    stage.delete::<Membership>("old").await;
    stage.gone::<Membership>("old").await;
    let young: Membership = stage.reason("young", "Converged").await;
    assert!(
        young
            .status
            .unwrap()
            .ledger
            .unwrap()
            .registered
            .contains(&"i-0002:80".to_owned())
    );
    let world = stage.simulator.world();
    assert_eq!(world.serving("rsp-web"), 3);
    let touched = world.changing_calls().filter(|call| {
        call.action.starts_with("Remove")
            && call.names.iter().any(|name| name.starts_with("i-0002"))
    });
    assert_eq!(touched.count(), 0, "the member never left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_moves_from_one_list_to_another_stays_in_the_group() {
    let stage = Stage::new("move").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("one", "rsp-web", &instances(0, 3, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("one", "Converged").await;
    stage
        .membership("two", "rsp-web", &instances(2, 1, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("two", "Conflict").await;
    stage
        .membership("one", "rsp-web", &instances(0, 2, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("two", "Converged").await;
    let one: Membership = stage.reason("one", "Converged").await;
    assert_eq!(one.status.unwrap().ledger.unwrap().registered.len(), 2);
    assert_eq!(
        stage
            .simulator
            .world()
            .calls("RemoveVServerGroupBackendServers"),
        0
    );
}

/// It acts on nothing, whatever its grant and its mode: handed over to it, the member would be in no ledger for as long as
/// that lasts.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_may_mean_either_of_two_addresses_is_handed_nothing() {
    let stage = Stage::new("unclear-taker").await;
    let group = "sgp-nlb-web";
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Nlb, group);
        for ip in ["10.0.0.1", "10.0.0.2"] {
            world.put_member(group, "eni-1", ip, 80, 100);
        }
    }
    let three = instances(0, 3, Some(80));
    stage.membership("old", group, &three, json!({})).await;
    stage.reason::<Membership>("old", "Converged").await;
    let unclear = [three[2].clone(), json!({"id": "eni-1", "port": 80})];
    stage.membership("young", group, &unclear, json!({})).await;
    stage.reason::<Membership>("young", "InvalidSpec").await;
    stage.membership("old", group, &three[..2], json!({})).await;
    stage.reason::<Membership>("old", "Converged").await;
    let world = stage.simulator.world();
    assert_eq!(world.serving(group), 4, "i-0002 is nobody's and left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_adopted_stays_on_deletion_and_goes_when_taken_off_the_list() {
    let stage = Stage::new("adopted").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    for number in 0..4 {
        stage
            .simulator
            .world()
            .put_member("rsp-web", &instance(number), "", 80, 100);
    }
    stage
        .membership("web", "rsp-web", &instances(1, 4, Some(80)), json!({}))
        .await;
    let web: Membership = stage.reason("web", "Converged").await;
    let ledger = web.status.unwrap().ledger.unwrap();
    assert_eq!((ledger.adopted.len(), ledger.registered.len()), (3, 1));
    stage
        .membership("web", "rsp-web", &instances(2, 3, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert!(
        !stage.simulator.world().groups["rsp-web"]
            .ids()
            .contains(&instance(1))
    );
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    let left: Vec<_> = stage.simulator.world().groups["rsp-web"]
        .ids()
        .into_iter()
        .collect();
    assert_eq!(left, [instance(0), instance(2), instance(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_let_go_and_is_kept_by_somebody_else_claims_nothing() {
    let stage = Stage::new("let-go").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let list = async |name: &str, more: Value| {
        let servers = instances(0, 2, Some(80));
        stage.membership(name, "rsp-web", &servers, more).await
    };
    let old = list("old", json!({"deletionPolicy": "Retain"})).await;
    let keep = json!({"metadata": {"finalizers": ["example.com/keep"]}});
    stage.merge::<Membership>("old", &keep).await;
    stage.reason::<Membership>("old", "Converged").await;
    stage.delete::<Membership>("old").await;
    let let_go = |old: &Membership| old.finalizers() == ["example.com/keep"];
    stage.until("that it is let go", "old", let_go).await;
    list("new", json!({})).await;
    stage.reason::<Membership>("new", "Converged").await;
    let kept: Membership = stage.api().get("old").await.unwrap();
    assert_eq!(kept.uid(), old.uid());
    let ledger = kept.status.unwrap().ledger.unwrap();
    assert_eq!(ledger.registered.len(), 2, "it still says so");
}
