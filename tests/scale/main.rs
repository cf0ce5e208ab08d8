//! Many objects on real servers: that they keep each other from nothing, and cost no more calls than their groups need.
//!
//! A binary of its own, so that it runs when nothing else does. What is asked within a moment of each other is counted in
//! virtual time, where a moment is the same on every machine: `tests/simulation/tests/many`.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]
#![allow(dead_code, reason = "the stage can do more than these tests need")]
#![expect(
    clippy::unwrap_used,
    reason = "tests may unwrap, and helpers count as tests"
)]

mod fairness;
#[path = "../it/figures.rs"]
mod figures;
mod lease;
#[path = "../it/stage.rs"]
mod stage;
#[path = "../it/wire.rs"]
mod wire;

use futures::{StreamExt, stream};
use kube::api::ListParams;
use serde_json::json;
use server_group_operator::{api::ServerGroupMembership, timing::Timing};
use server_group_sim::{
    fault::{Fault, What},
    world::Product,
};

use figures::row;
use stage::{Stage, calls, instances, ready};
use wire::{Tripwire, wired};

/// One of these tests at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

type Membership = ServerGroupMembership;

/// Here a thousand objects, the API server and the cloud share two processors, so that asking together takes longer than
/// it does over a network.
fn timing() -> Timing {
    let mut timing = stage::timing();
    timing.share_window = 5 * Timing::production().share_window;
    timing
}

/// Long enough that nobody looks a second time meanwhile.
const SELDOM: i64 = 86_400;

/// Whether all objects of a kind have converged.
async fn all_converged<K>(stage: &Stage, count: usize)
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + serde::Serialize,
{
    stage
        .eventually("all converged", async || {
            let all = stage.api::<K>().list(&ListParams::default()).await;
            let converged =
                |object: &&K| ready(*object).is_some_and(|(reason, _)| reason == "Converged");
            let converged = all.unwrap().iter().filter(converged).count();
            (converged == count).then_some(())
        })
        .await;
}

/// Starts an operator whose writes to Kubernetes are counted.
fn start(stage: &mut Stage) -> Tripwire {
    let wire = Tripwire::new(None);
    let client = wired(stage, &wire);
    stage.start_with(client, timing());
    wire
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clb_memberships_take_a_thousand_writes_and_none_after_a_restart() {
    const LIST: &str = "DescribeVServerGroupAttribute";
    let _alone = ALONE.lock().await;
    let mut stage = Stage::without_operator("thousand").await;
    let group = |number: usize| format!("rsp-{number:04}");
    for number in 0..1000 {
        let id = group(number);
        stage.simulator.world().create_group(Product::Clb, &id);
    }
    let (here, group) = (&stage, &group);
    stream::iter(0..1000)
        .for_each_concurrent(32, |number| async move {
            let servers = instances(10 * (number % 100), 10, Some(80));
            let beat = json!({"intervalSeconds": SELDOM});
            let name = format!("web-{number:04}");
            here.membership(&name, &group(number), &servers, beat).await;
        })
        .await;
    start(&mut stage);
    all_converged::<Membership>(&stage, 1000).await;
    let adds = calls(&stage, "AddVServerGroupBackendServers");
    row("CLB: writes, 1000 groups x 10", 1000, adds, 1000);
    // A look before and one after. Some groups are busy still by then and looked at again.
    let floor = 3000;
    let what = "CLB: writes and reads of it, 2 looks";
    row(what, floor, stage.all_calls(), floor * 105 / 100);
    stage.stop().await;
    let before = (stage.all_calls(), stage.changes(), calls(&stage, LIST));
    let wire = start(&mut stage);
    stage
        .reached("a look at each", 1000, || calls(&stage, LIST) - before.2)
        .await;
    // What would come in a loop, or twice, comes now.
    let seen = stage.simulator.world().now;
    stage.clock_shows(seen + 300.0).await;
    let reads = stage.all_calls() - before.0;
    row("CLB: reads after a restart, 1000 groups", 1000, reads, 1050);
    let writes = stage.changes() - before.1;
    row("CLB: writes after a restart", 0, writes, 0);
    row("CLB: status writes after a restart", 0, wire.seen(), 0);
    assert_eq!(stage.simulator.world().serving(&group(7)), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_objects_on_one_group_share_its_list_and_the_poll_of_its_job() {
    let _alone = ALONE.lock().await;
    let mut stage = Stage::without_operator("ten").await;
    stage
        .simulator
        .world()
        .create_group(Product::Nlb, "sgp-nlb-x")
        .drain_seconds = 0.0;
    stage.simulator.world().durations.adding = 60.0;
    for number in 0..10 {
        let servers = instances(20 * number, 20, Some(80));
        stage
            .membership(
                &format!("web-{number}"),
                "sgp-nlb-x",
                &servers,
                json!({"intervalSeconds": 3600}),
            )
            .await;
    }
    let begun = stage.simulator.world().now;
    stage.start_with(stage.operator_client(), timing());
    all_converged::<Membership>(&stage, 10).await;
    let (took, polls) = {
        let world = stage.simulator.world();
        (world.now - begun, world.calls("ListAsynJobs"))
    };
    assert_eq!(stage.simulator.world().serving("sgp-nlb-x"), 200);
    // 2, 3, 4.5 … seconds apart: a job of a minute sees eight beats.
    let what = format!("NLB: polls of 10 objects for 10 jobs, {took:.0} s");
    row(&what, 80, polls, 80);
    // At rest one look serves all ten, at a restart too.
    stage.stop().await;
    let before = calls(&stage, "ListServerGroupServers");
    stage.start_with(stage.operator_client(), timing());
    let seen = stage.simulator.world().now;
    stage.clock_shows(seen + 600.0).await;
    let pages = 2; // 200 members, 100 in a page.
    let reads = calls(&stage, "ListServerGroupServers") - before;
    row(
        "NLB: pages read by 10 objects after a restart",
        pages,
        reads,
        pages,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_twenty_groups_are_polled_together() {
    let _alone = ALONE.lock().await;
    let mut stage = Stage::without_operator("twenty").await;
    stage.simulator.world().durations.adding = 300.0;
    for number in 0..20 {
        let group = format!("sgp-nlb-{number}");
        stage.simulator.world().create_group(Product::Nlb, &group);
        let servers = instances(10 * number, 10, Some(80));
        let name = format!("web-{number}");
        stage.membership(&name, &group, &servers, json!({})).await;
    }
    stage.start_with(stage.operator_client(), timing());
    all_converged::<Membership>(&stage, 20).await;
    let polls = calls(&stage, "ListAsynJobs");
    // One job of five minutes takes 16: 2, 2, 3, 4.5 … s apart, and 30 s at last.
    row("NLB: polls of 20 groups for 20 jobs", 16, polls, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn within_the_documented_quotas_nobody_is_ever_throttled() {
    let _alone = ALONE.lock().await;
    let stage = Stage::new("quotas").await;
    stage.simulator.world().rates = server_group_sim::rate::Rate::documented();
    for number in 0..4 {
        let group = format!("rsp-{number}");
        stage.simulator.world().create_group(Product::Clb, &group);
        stage
            .membership(
                &format!("web-{number}"),
                &group,
                &instances(0, 1000, Some(80)),
                json!({}),
            )
            .await;
    }
    // 200 calls at 45 a minute take minutes, which pass quickly here.
    all_converged::<Membership>(&stage, 4).await;
    let world = stage.simulator.world();
    let throttled = world.audit.iter().filter(|call| {
        call.code
            .as_deref()
            .is_some_and(|code| code.starts_with("Throttling"))
    });
    assert_eq!(throttled.count(), 0);
    assert_eq!(world.changing_calls().count(), 200);
    assert_eq!(world.serving("rsp-0"), 1000);
}

/// Plays what is not throttled, another product and another action of the same one, and returns how long it took, in
/// simulated seconds. A stranger is seen twice, a minute apart.
async fn others(stage: &Stage, name: &str) -> f64 {
    let (clb, nlb) = (format!("rsp-{name}"), format!("sgp-nlb-{name}"));
    let begun = {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, &clb);
        world.create_group(Product::Nlb, &nlb);
        world.put_member(&clb, "i-gone", "", 80, 100);
        world.now
    };
    let (adds, removes) = (format!("{name}-adds"), format!("{name}-removes"));
    stage
        .membership(&adds, &nlb, &instances(0, 2, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>(&adds, "Converged").await;
    let exclusive = json!({"ownership": "Exclusive", "removal": {"allowEmpty": true}});
    stage.membership(&removes, &clb, &[], exclusive).await;
    stage
        .eventually("removed", async || {
            (stage.simulator.world().serving(&clb) == 0).then_some(())
        })
        .await;
    stage.simulator.world().now - begun
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_throttled_keeps_nobody_else_waiting() {
    /// More than any number of workers that somebody might think enough.
    const THROTTLED: usize = 50;
    let _alone = ALONE.lock().await;
    let stage = Stage::new("throttled-alone").await;
    let alone = others(&stage, "alone").await;
    {
        let mut world = stage.simulator.world();
        for number in 0..THROTTLED {
            world.create_group(Product::Clb, &format!("rsp-{number}"));
        }
        world.faults.push(Fault {
            times: 100_000,
            ..Fault::on("AddVServerGroupBackendServers", What::Throttle)
        });
    }
    let (two, changes) = (instances(0, 2, Some(80)), stage.changes());
    for number in 0..THROTTLED {
        let (name, group) = (format!("web-{number}"), format!("rsp-{number}"));
        stage.membership(&name, &group, &two, json!({})).await;
    }
    stage
        .reached("throttled", changes + 3, || stage.changes())
        .await;
    let took = others(&stage, "beside").await;
    let serving = |number: usize| {
        let group = format!("rsp-{number}");
        stage.simulator.world().serving(&group)
    };
    assert_eq!((0..THROTTLED).map(serving).sum::<usize>(), 0);
    // How long it takes anyhow is up to the machine.
    assert!(took < 300.0 + 4.0 * alone, "{took} s, and {alone} s alone");
    stage.simulator.world().faults.clear();
    all_converged::<Membership>(&stage, THROTTLED + 4).await;
}
