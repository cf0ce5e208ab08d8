//! Whoever hangs keeps nobody waiting who asks for something now (L2). That those who are many do not either is shown in
//! virtual time: `tests/simulation/tests/many/sweep.rs`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server_group_operator::{controller::queue::PLACES, timing::Timing};
use server_group_sim::{
    fault::{Fault, What},
    world::Product,
};

use crate::{
    ALONE, SELDOM,
    stage::{Stage, instances},
};

/// What an edit may wait for its first call.
const SOON: Duration = Duration::from_secs(2);

/// For ever.
const ALWAYS: u32 = 1_000_000;

/// Calls about a group so far.
fn calls_about(stage: &Stage, group: &str) -> usize {
    let world = stage.simulator.world();
    let about = world.audit.iter().filter(|call| call.resource == group);
    about.count()
}

/// Edits a membership and returns how long it took until the cloud was first called about its group.
async fn edit(stage: &Stage, group: &str, servers: &[Value]) -> Duration {
    let before = calls_about(stage, group);
    let begun = Instant::now();
    let seldom = json!({"intervalSeconds": SELDOM});
    stage.membership(group, group, servers, seldom).await;
    stage
        .eventually("the first call", async || {
            (calls_about(stage, group) > before).then_some(())
        })
        .await;
    begun.elapsed()
}

/// A region whose API does not answer once had every worker, one after another, for a minute each.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_does_not_answer_keeps_nobody_else_waiting() {
    let _alone = ALONE.lock().await;
    let mut stage = Stage::without_operator("hung").await;
    stage.simulator.world().faults.push(Fault {
        service: Some("slb".into()),
        action: None,
        ..Fault::on("", What::Hang).times(ALWAYS)
    });
    let hung = 2 * PLACES.all;
    for number in 0..hung {
        let group = format!("rsp-{number}");
        stage.simulator.world().create_group(Product::Clb, &group);
        let elsewhere = json!({"regionId": "cn-beijing"});
        let servers = instances(0, 1, Some(80));
        stage.membership(&group, &group, &servers, elsewhere).await;
    }
    stage
        .simulator
        .world()
        .create_group(Product::Nlb, "sgp-nlb-web");
    stage.start_with(stage.operator_client(), Timing::production());
    let waiting = || {
        let world = stage.simulator.world();
        world
            .audit
            .iter()
            .filter(|call| call.service == "slb")
            .count()
    };
    stage.reached("its places", PLACES.together, waiting).await;
    let took = edit(&stage, "sgp-nlb-web", &instances(0, 1, Some(80))).await;
    println!("an edit beside a region that hangs: first call after {took:?}");
    assert!(took < SOON, "{took:?}");
    assert_eq!(waiting(), PLACES.together, "of {hung}");
    stage.kill().await;
}
