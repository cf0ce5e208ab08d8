//! Calls without an answer: frozen until they settle, remembered as long as they can land.

use serde_json::json;
use server_group_operator::api::ServerGroupMembership;
use server_group_sim::{
    fault::{Fault, What},
    world::Product,
};

use crate::stage::{Stage, eventually, instances};

type Membership = ServerGroupMembership;

const ADD: &str = "AddVServerGroupBackendServers";

#[tokio::test(flavor = "multi_thread")]
async fn a_clb_addition_that_times_out_is_delisted_and_lands_late_is_removed() {
    let stage = Stage::new("late-add").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("web", "rsp-web", &instances(0, 2, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .simulator
        .world()
        .faults
        .push(Fault::on(ADD, What::Late { seconds: 40.0 }));
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 3, Some(80)),
            json!({"intervalSeconds": 30}),
        )
        .await;
    let unsettled = |web: &Membership| {
        web.status
            .as_ref()
            .is_some_and(|status| status.operation.is_some())
    };
    stage
        .until("the operation stays open", "web", unsettled)
        .await;
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 2, Some(80)),
            json!({"intervalSeconds": 30}),
        )
        .await;
    let landed = || async {
        let world = stage.simulator.world();
        world
            .audit
            .iter()
            .any(|entry| entry.fault.as_deref() == Some("landed late") && entry.acted)
            .then_some(())
    };
    eventually("the late call lands", landed).await;
    let removed = |_: &Membership| stage.simulator.world().serving("rsp-web") == 2;
    stage
        .until("what landed late is removed", "web", removed)
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(
        stage.simulator.world().calls(ADD),
        2,
        "a CLB call is not repeated before it has settled"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addition_whose_answer_is_lost_settles_and_nothing_else_changes_meanwhile() {
    for what in [What::LoseAnswerAfter, What::LoseAnswerBefore, What::Hang] {
        let stage = Stage::new("lost-answer").await;
        stage
            .simulator
            .world()
            .create_group(Product::Clb, "rsp-web");
        stage
            .simulator
            .world()
            .faults
            .push(Fault::on(ADD, what.clone()));
        stage
            .membership("web", "rsp-web", &instances(0, 3, Some(80)), json!({}))
            .await;
        let open = |web: &Membership| {
            web.status
                .as_ref()
                .is_some_and(|status| status.operation.is_some())
        };
        stage.until("the operation stays open", "web", open).await;
        stage.reason::<Membership>("web", "Converged").await;
        assert_eq!(stage.simulator.world().serving("rsp-web"), 3, "{what:?}");
        let expected = if what == What::LoseAnswerAfter { 1 } else { 2 };
        let world = stage.simulator.world();
        let tries: Vec<_> = world.changing_calls().collect();
        assert_eq!(tries.len(), expected, "{what:?}");
        if let [first, second] = tries.as_slice() {
            assert!(
                second.at - first.at >= 60.0,
                "{what:?}: repeated after {}s",
                second.at - first.at
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gwlb_call_without_an_answer_is_repeated_with_its_token() {
    for what in [What::LoseAnswerAfter, What::LoseAnswerBefore] {
        let stage = Stage::new("gwlb-token").await;
        stage
            .simulator
            .world()
            .create_group(Product::Gwlb, "sgp-fw");
        stage
            .simulator
            .world()
            .faults
            .push(Fault::on("AddServersToServerGroup", what.clone()));
        stage
            .membership("fw", "sgp-fw", &instances(0, 3, None), json!({}))
            .await;
        stage.reason::<Membership>("fw", "Converged").await;
        let world = stage.simulator.world();
        let tokens: Vec<_> = world
            .changing_calls()
            .map(|call| call.token.clone().unwrap())
            .collect();
        assert_eq!(tokens.len(), 2, "{what:?}");
        assert_eq!(tokens[0], tokens[1], "{what:?}");
        assert_eq!(world.serving("sgp-fw"), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_found_at_start_without_an_answer_is_settled_first() {
    let mut stage = Stage::without_operator("takeover").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let mut held = stage
        .simulator
        .hold(server_group_sim::When::After, |call| call.action == ADD);
    stage.start();
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), json!({}))
        .await;
    held.arrived().await;
    stage.kill().await;
    held.release();
    let killed_at = stage.simulator.world().now;
    stage.start();
    stage.reason::<Membership>("web", "Converged").await;
    let world = stage.simulator.world();
    assert!(
        world.now - killed_at >= 60.0,
        "taken as settled after {}s",
        world.now - killed_at
    );
    assert_eq!(world.changing_calls().count(), 1);
}
