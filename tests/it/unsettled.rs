//! Calls without an answer: frozen until they settle, remembered as long as they can land.

use std::time::Duration;

use serde_json::{Value, json};
use server_group_operator::{api::ServerGroupMembership, timing::Timing};
use server_group_sim::{
    When,
    audit::Entry,
    fault::{Fault, What},
    world::Product,
};

use crate::stage::{SPEED, Stage, instances, merge, operation};

type Membership = ServerGroupMembership;

const ADD: &str = "AddVServerGroupBackendServers";

/// How long such an operator waits before it looks what became of a call, in simulated seconds.
const SETTLES: f64 = 1000.0;

/// An empty CLB group, and an operator that waits long enough for an open call to be seen.
async fn slowly_settling(name: &str) -> Stage {
    let mut stage = Stage::without_operator(name).await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let mut timing = Timing::scaled(SPEED);
    timing.settle_after_send = Duration::from_secs_f64(SETTLES / SPEED);
    // Longer than the test takes.
    timing.linger = Duration::from_mins(10);
    stage.start_with(stage.operator_client(), timing);
    stage
}

/// Whether a call is under way, or its outcome is not known.
fn open(web: &Membership) -> bool {
    operation(web).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clb_addition_that_times_out_is_delisted_and_lands_late_is_removed() {
    let stage = slowly_settling("late-add").await;
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
    stage.until("the operation stays open", "web", open).await;
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
    stage.eventually("the late call lands", landed).await;
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
async fn a_call_that_lands_after_it_settled_is_still_ours_to_remove() {
    let stage = slowly_settling("later-add").await;
    let list = async |count| {
        let (servers, often) = (
            instances(0, count, Some(80)),
            json!({"intervalSeconds": 30}),
        );
        stage.membership("web", "rsp-web", &servers, often).await
    };
    list(2).await;
    stage.reason::<Membership>("web", "Converged").await;
    // It lands when the test says so.
    let late = Fault::on(ADD, What::Late { seconds: 1e5 });
    stage.simulator.world().faults.push(late);
    list(3).await;
    stage.until("the operation stays open", "web", open).await;
    list(2).await;
    let web: Membership = stage.reason("web", "Converged").await;
    assert!(!open(&web), "it has settled");
    // Two looks would be enough to forget what is not there.
    let looks = || {
        let world = stage.simulator.world();
        world.calls("DescribeVServerGroupAttribute")
    };
    let seen = looks();
    stage.reached("ten looks", seen + 10, looks).await;
    let web: Membership = stage.reason("web", "Converged").await;
    let ledger = web.status.unwrap().ledger.unwrap();
    assert!(ledger.registered.contains(&"i-0002:80".to_owned()));
    assert_eq!(stage.changes(), 2, "it has not landed");
    stage.simulator.world().pass(1e5);
    let landed = || async {
        let world = stage.simulator.world();
        let late = |call: &&Entry| call.fault.as_deref() == Some("landed late");
        world
            .audit
            .iter()
            .find(late)
            .map(|call| (call.acted, call.number))
    };
    let (acted, landed) = stage.eventually("the late call lands", landed).await;
    assert!(acted, "{}", stage.calls());
    stage
        .eventually("what landed late is removed", async || {
            (stage.simulator.world().serving("rsp-web") == 2).then_some(())
        })
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let world = stage.simulator.world();
    let after: Vec<_> = world
        .changing_calls()
        .filter(|call| call.number > landed)
        .map(|call| (call.action.as_str(), call.names.join(" ")))
        .collect();
    assert_eq!(
        after,
        [("RemoveVServerGroupBackendServers", "i-0002:80".to_owned())]
    );
}

/// Told to rest while its call is open.
async fn at_rest(what: What, rest: Value, reason: &str) {
    let stage = slowly_settling("resting-open").await;
    let fault = Fault::on(ADD, what.clone());
    stage.simulator.world().faults.push(fault);
    let list = async |more| {
        let servers = instances(0, 3, Some(80));
        stage.membership("web", "rsp-web", &servers, more).await
    };
    list(json!({"intervalSeconds": 30})).await;
    stage.until("the operation stays open", "web", open).await;
    let mut often = json!({"intervalSeconds": 30});
    merge(&mut often, rest);
    list(often).await;
    let seen = |web: &Membership| {
        let seen = web.status.as_ref().unwrap().observed_generation;
        open(web) && Some(seen) == web.metadata.generation
    };
    stage.until("at rest with it open", "web", seen).await;
    let settled = |web: &Membership| !open(web);
    stage.until("it settles", "web", settled).await;
    stage.reason::<Membership>("web", reason).await;
    let begun = stage.simulator.world().now;
    stage.clock_shows(begun + 120.0).await;
    assert_eq!(stage.changes(), 1, "{what:?}");
    let landed = if what == What::LoseAnswerAfter { 3 } else { 0 };
    assert_eq!(stage.simulator.world().serving("rsp-web"), landed);
    list(json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 3, "{what:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_at_rest_settles_its_open_call_and_starts_nothing() {
    let (suspend, plan) = (json!({"suspend": true}), json!({"mode": "Plan"}));
    tokio::join!(
        at_rest(What::LoseAnswerAfter, suspend.clone(), "Suspended"),
        at_rest(What::LoseAnswerBefore, suspend, "Suspended"),
        at_rest(What::LoseAnswerAfter, plan.clone(), "Planned"),
        at_rest(What::LoseAnswerBefore, plan, "Planned"),
    );
}

async fn lost(what: What) {
    let stage = slowly_settling("lost-answer").await;
    stage
        .simulator
        .world()
        .faults
        .push(Fault::on(ADD, what.clone()));
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), json!({}))
        .await;
    stage.until("the operation stays open", "web", open).await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 3, "{what:?}");
    let expected = if what == What::LoseAnswerAfter { 1 } else { 2 };
    let world = stage.simulator.world();
    let tries: Vec<_> = world.changing_calls().collect();
    assert_eq!(tries.len(), expected, "{what:?}");
    if let [first, second] = tries.as_slice() {
        assert!(
            second.at - first.at >= SETTLES,
            "{what:?}: repeated after {}s",
            second.at - first.at
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addition_whose_answer_is_lost_settles_and_nothing_else_changes_meanwhile() {
    let ways = [What::LoseAnswerAfter, What::LoseAnswerBefore, What::Hang];
    futures::future::join_all(ways.map(lost)).await;
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
    stage.awaited("the call", held.arrived()).await;
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

/// Settling once counted from the first sending: the next change left 12 s after the second one.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_sent_twice_settles_from_the_second_sending() {
    const REMOVE: &str = "RemoveServersFromServerGroup";
    let mut stage = Stage::without_operator("sent-twice").await;
    stage
        .simulator
        .world()
        .create_group(Product::Gwlb, "sgp-fw");
    let mut timing = crate::stage::timing();
    // However slow the look between the two is, it permits the second one.
    timing.view_age_max = Duration::from_mins(10);
    timing.token_reuse_max = Duration::from_mins(10);
    stage.start_with(stage.operator_client(), timing);
    let list = async |count| {
        stage
            .membership("fw", "sgp-fw", &instances(0, count, None), json!({}))
            .await
    };
    list(3).await;
    stage.reason::<Membership>("fw", "Converged").await;
    let lose = Fault::on(REMOVE, What::LoseAnswerBefore).times(2);
    stage.simulator.world().faults.push(lose);
    let mut sent = false;
    let mut held = stage.simulator.hold(When::Before, move |call: &Entry| {
        sent |= call.action == REMOVE;
        sent && call.action == "ListServerGroupServers"
    });
    list(2).await;
    stage.awaited("the look between", held.arrived()).await;
    let sendings = || -> Vec<f64> {
        let world = stage.simulator.world();
        let calls = world.changing_calls().filter(|call| call.action == REMOVE);
        calls.map(|call| call.at).collect()
    };
    stage.clock_shows(sendings()[0] + 90.0).await;
    held.release();
    stage.reason::<Membership>("fw", "Converged").await;
    let sendings = sendings();
    assert_eq!(sendings.len(), 3, "{}", stage.calls());
    let waited = sendings[2] - sendings[1];
    assert!(waited >= 60.0, "changed {waited} s after the last sending");
}

/// "Serving" left a member out for as long as its removal was unsettled, a minute, though that could land within 15.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_lands_after_it_settled_leaves_somebody_also_after_a_restart() {
    const REMOVE: &str = "RemoveVServerGroupBackendServers";
    let mut timing = crate::stage::timing();
    // Longer than a slow machine takes until it lands; it waits for the end of this once more.
    timing.linger = Duration::from_secs(40);
    for restart in [false, true] {
        let mut stage = Stage::without_operator("late-removal").await;
        stage.start_with(stage.operator_client(), timing.clone());
        stage
            .simulator
            .world()
            .create_group(Product::Clb, "rsp-web");
        let list = async |stage: &Stage, from, count| {
            let (servers, often) = (
                instances(from, count, Some(80)),
                json!({"intervalSeconds": 30}),
            );
            stage.membership("web", "rsp-web", &servers, often).await;
        };
        list(&stage, 0, 2).await;
        stage.reason::<Membership>("web", "Converged").await;
        // It lands when the test says so.
        let late = Fault::on(REMOVE, What::Late { seconds: 1e5 });
        stage.simulator.world().faults.push(late);
        list(&stage, 0, 1).await;
        stage.until("it is open", "web", open).await;
        list(&stage, 1, 1).await;
        let settled = |web: &Membership| {
            let status = serde_json::to_value(web).unwrap()["status"].clone();
            let entries = status["settled"].as_array();
            status["operation"]["phase"] == "Settled" || entries.is_some_and(|all| !all.is_empty())
        };
        stage.until("it has settled", "web", settled).await;
        if restart {
            stage.kill().await;
            stage.start_with(stage.operator_client(), timing.clone());
        }
        let looks = || {
            let world = stage.simulator.world();
            world.calls("DescribeVServerGroupAttribute")
        };
        let before = looks();
        stage.reached("looks", before + 4, looks).await;
        stage.simulator.world().pass(1e5);
        stage.reason::<Membership>("web", "Converged").await;
        let world = stage.simulator.world();
        assert_ne!(
            world.least_serving("rsp-web"),
            Some(0),
            "restart: {restart}"
        );
        assert_eq!(world.serving("rsp-web"), 1);
    }
}

/// The write that records the job's id was refused, and the group was frozen until two views agreed, for over a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_during_a_call_does_not_cost_the_id_of_its_job() {
    let mut stage = Stage::without_operator("label-job").await;
    let (group, add) = ("sgp-nlb-web", "AddServersToServerGroup");
    stage.simulator.world().create_group(Product::Nlb, group);
    let mut timing = crate::stage::timing();
    // Longer than the test takes.
    timing.settle_after_send = Duration::from_mins(10);
    stage.start_with(stage.operator_client(), timing);
    let mut held = stage
        .simulator
        .hold(When::After, move |call: &Entry| call.action == add);
    stage
        .membership("web", group, &instances(0, 2, Some(80)), json!({}))
        .await;
    stage.awaited("the call", held.arrived()).await;
    stage.label::<Membership>("web").await;
    held.release();
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.changes(), 1);
}
