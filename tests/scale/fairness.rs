//! Whoever fails, hangs or is many keeps nobody waiting who asks for something now (L2).

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use server_group_operator::{controller::queue::PLACES, timing::Timing};
use server_group_sim::{
    fault::{Fault, What},
    world::Product,
};

use crate::{
    ALONE, Membership, SELDOM, all_converged,
    stage::{Stage, instances, timing},
};

/// What an edit may wait for its first call.
const SOON: Duration = Duration::from_secs(2);

/// For ever.
const ALWAYS: u32 = 1_000_000;

/// Makes memberships `NAME-0000`, each of one server in a group of its own that has it already.
async fn many(stage: &Stage, product: Product, group: &str, count: usize) {
    stream::iter(0..count)
        .for_each_concurrent(32, |number| async move {
            let group = format!("{group}-{number:05}");
            {
                let mut world = stage.simulator.world();
                world.create_group(product, &group);
                world.put_member(&group, "i-0000", "", 80, 100);
            }
            let servers = instances(0, 1, Some(80));
            let seldom = json!({"intervalSeconds": SELDOM});
            stage.membership(&group, &group, &servers, seldom).await;
        })
        .await;
}

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

/// The quotas of production let 25 of them a second be looked at: the sweep takes minutes, an edit does not.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_goes_before_a_sweep_of_thousands_a_group_that_hangs_and_one_that_is_throttled() {
    const MANY: usize = 2000;
    let _alone = ALONE.lock().await;
    let mut stage = Stage::without_operator("sweep").await;
    many(&stage, Product::Clb, "rsp-many", MANY).await;
    for group in ["rsp-edited", "rsp-hangs", "rsp-throttled"] {
        stage.simulator.world().create_group(Product::Clb, group);
        let (servers, seldom) = (
            instances(0, 1, Some(80)),
            json!({"intervalSeconds": SELDOM}),
        );
        stage.membership(group, group, &servers, seldom).await;
    }
    stage.start_with(stage.operator_client(), timing());
    all_converged::<Membership>(&stage, MANY + 3).await;
    stage.stop().await;
    {
        let faults = &mut stage.simulator.world().faults;
        let list = |what| Fault::on("DescribeVServerGroupAttribute", what).times(ALWAYS);
        faults.push(list(What::Hang).about("rsp-hangs"));
        faults.push(list(What::Throttle).about("rsp-throttled"));
    }
    let before = stage.all_calls();
    stage.start_with(stage.operator_client(), Timing::production());
    // The burst of a quarter of the quota is over: now each look waits for its call.
    stage
        .reached("the burst", before + 800, || stage.all_calls())
        .await;
    for servers in 2..8 {
        let took = edit(&stage, "rsp-edited", &instances(0, servers, Some(80))).await;
        println!("an edit in the middle of a sweep: first call after {took:?}");
        assert!(took < SOON, "{took:?}");
    }
    let looked_at = stage.all_calls() - before;
    assert!(looked_at < MANY, "the sweep is not over: {looked_at}");
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
