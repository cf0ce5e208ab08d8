//! Lists that lag behind what was accepted, and refusals that say that a list is wrong.

use std::time::Duration;

use serde_json::{Value, json};
use server_group_operator::api::ServerGroupMembership;
use server_group_sim::{
    When,
    audit::Entry,
    fault::{Fault, What},
    world::Product,
};

use crate::stage::{Stage, instance, instances, operation, timing};

type Membership = ServerGroupMembership;

const ADD: &str = "AddVServerGroupBackendServers";
const LOOK: &str = "DescribeVServerGroupAttribute";

fn often() -> Value {
    json!({"intervalSeconds": 30})
}

async fn list(stage: &Stage, count: usize) {
    let servers = instances(0, count, Some(80));
    stage.membership("web", "rsp-web", &servers, often()).await;
}

/// Two members of ours, and the call that adds a third one, which no list shows as long as the test needs.
async fn added_unseen(name: &str) -> Stage {
    let mut stage = Stage::without_operator(name).await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let mut timing = timing();
    timing.listing_lag = Duration::from_mins(10);
    // Longer than the looks take on a busy machine: what was accepted is remembered so long.
    timing.linger = Duration::from_mins(10);
    stage.start_with(stage.operator_client(), timing);
    list(&stage, 2).await;
    stage.reason::<Membership>("web", "Converged").await;
    let mut held = stage
        .simulator
        .hold(When::After, |call: &Entry| call.action == ADD);
    list(&stage, 3).await;
    stage.awaited("the call", held.arrived()).await;
    let stale = Fault::on(LOOK, What::Stale).times(u32::MAX);
    stage.simulator.world().faults.push(stale);
    held.release();
    let closed = |web: &Membership| operation(web).is_none();
    stage.until("the call is over", "web", closed).await;
    stage
}

async fn looked(stage: &Stage, times: usize) {
    let looks = || stage.simulator.world().calls(LOOK);
    let before = looks();
    stage.reached("more looks", before + times, looks).await;
}

fn registered(web: &Membership) -> Vec<String> {
    let ledger = web.status.as_ref().unwrap().ledger.as_ref().unwrap();
    ledger.registered.clone()
}

/// It was sent again, refused as already there, and parked; later it was adopted.
#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_addition_is_not_sent_again_while_the_list_lags() {
    let stage = added_unseen("lagging-add").await;
    looked(&stage, 4).await;
    stage.simulator.world().faults.clear();
    let web: Membership = stage.reason("web", "Converged").await;
    let sent = {
        let world = stage.simulator.world();
        world
            .changing_calls()
            .filter(|call| call.action == ADD)
            .count()
    };
    assert_eq!(sent, 2, "{}", stage.calls());
    assert!(registered(&web).contains(&"i-0002:80".to_owned()));
}

/// The edit forgot the accepted call, two lagging lists the ledger's entry, and the server served for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_addition_that_an_edit_drops_is_removed_when_it_is_seen() {
    let stage = added_unseen("lagging-edit").await;
    list(&stage, 2).await;
    looked(&stage, 6).await;
    stage.simulator.world().faults.clear();
    stage
        .eventually("it is removed", async || {
            (stage.simulator.world().serving("rsp-web") == 2).then_some(())
        })
        .await;
    stage.reason::<Membership>("web", "Converged").await;
}

/// "It is not there" counted as a bad server, which was left alone for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_left_before_it_was_reweighed_is_added_again() {
    let mut stage = Stage::without_operator("left-before-reweighed").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let mut timing = timing();
    // Longer than the test takes.
    timing.parked_retry = Duration::from_mins(10);
    stage.start_with(stage.operator_client(), timing);
    let list = async |weight: u8| {
        let weight = |number| if number == 1 { weight } else { 100 };
        let one = |number| json!({"id": instance(number), "port": 80, "weight": weight(number)});
        let servers: Vec<_> = (0..3).map(one).collect();
        stage.membership("web", "rsp-web", &servers, often()).await;
    };
    list(100).await;
    stage.reason::<Membership>("web", "Converged").await;
    let mut held = stage.simulator.hold(When::Before, |call: &Entry| {
        call.action == "SetVServerGroupAttribute"
    });
    list(50).await;
    stage.awaited("the call", held.arrived()).await;
    stage
        .simulator
        .world()
        .delete_member("rsp-web", &instance(1));
    held.release();
    let web: Membership = stage.reason("web", "Converged").await;
    assert!(web.status.unwrap().parked.is_empty());
    assert_eq!(stage.simulator.world().serving("rsp-web"), 3);
}
