//! How many calls, reads and writes things take: printed as a table by `make bench`, and gated here.
//!
//! Times are not gated: they depend on the machine.

use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{
    fault::{Fault, What},
    world::Product,
};

use crate::{
    figures::row,
    stage::{Stage, calls, instance, instances, timing},
    wire::{Tripwire, wired},
};

/// A stage whose operator writes over a wire that counts.
async fn counted(name: &str) -> (Stage, Tripwire) {
    let mut stage = Stage::without_operator(name).await;
    let wire = Tripwire::new(None);
    let client = wired(&stage, &wire);
    stage.start_with(client, timing());
    (stage, wire)
}

/// Reads of one pass over an object that rests.
async fn reads_at_rest(stage: &Stage, list: &'static str) -> usize {
    // Both numbers at one moment.
    let counted = || {
        let world = stage.simulator.world();
        let all = world.audit.iter().filter(|call| call.service != "time");
        let passes = all.clone().filter(|call| call.action == list);
        (all.count(), passes.count())
    };
    let before = counted();
    stage
        .reached("ten passes", before.1 + 10, || counted().1)
        .await;
    let after = counted();
    let (all, passes) = (after.0 - before.0, after.1 - before.1);
    // The last pass may be under way, with its first read.
    (all - 1).div_ceil(passes)
}

async fn membership(
    product: Product,
    group: &str,
    port: Option<u16>,
    add: &str,
    remove: &str,
    floors: [usize; 3],
) -> Stage {
    let name = product.upper();
    let stage = Stage::new("counts").await;
    {
        let mut world = stage.simulator.world();
        let group = world.create_group(product, group);
        // As it is when somebody asked for more.
        (group.drain_seconds, group.quota) = (0.0, 1000);
    }
    let beat = json!({"intervalSeconds": 60});
    let passes = |list: &str| calls(&stage, list);
    stage
        .membership("x", group, &instances(0, 1000, port), beat.clone())
        .await;
    stage
        .reason::<ServerGroupMembership>("x", "Converged")
        .await;
    row(
        &format!("{name}: calls for 1000 additions"),
        floors[0],
        calls(&stage, add),
        floors[0],
    );
    reweigh(&stage, product, group, floors[2]).await;
    stage
        .membership("x", group, &instances(0, 500, port), beat)
        .await;
    stage
        .reason::<ServerGroupMembership>("x", "Converged")
        .await;
    row(
        &format!("{name}: calls for 500 removals"),
        floors[1],
        calls(&stage, remove),
        floors[1],
    );
    assert!(
        passes("GetCallerIdentity") == 1,
        "the identity is asked for once"
    );
    stage
}

/// Gives all 1000 members another weight, where the product has weights.
async fn reweigh(stage: &Stage, product: Product, group: &str, floor: usize) {
    if product == Product::Gwlb {
        return;
    }
    let mut servers = instances(0, 1000, Some(80));
    for server in &mut servers {
        server["weight"] = json!(10);
    }
    stage.membership("x", group, &servers, json!({})).await;
    stage
        .reason::<ServerGroupMembership>("x", "Converged")
        .await;
    let ours = [
        "SetVServerGroupAttribute",
        "UpdateServerGroupServersAttribute",
    ];
    let ours = ours.iter().map(|action| calls(stage, action)).sum();
    let name = product.upper();
    row(
        &format!("{name}: calls for 1000 weights"),
        floor,
        ours,
        floor,
    );
}

/// Jobs are looked at once a beat, not each by itself.
fn polls(stage: &Stage, product: Product) {
    let changes = [
        "AddServersToServerGroup",
        "UpdateServerGroupServersAttribute",
        "RemoveServersFromServerGroup",
    ];
    let jobs: usize = changes.iter().map(|action| calls(stage, action)).sum();
    let (polls, looks) = (
        calls(stage, "ListAsynJobs"),
        calls(stage, "ListServerGroups"),
    );
    let what = format!(
        "{}: polls for {jobs} jobs, in {looks} looks",
        product.upper()
    );
    row(&what, jobs, polls, looks);
    // Not faster than the quick beat.
    assert!(gaps(stage).iter().all(|gap| *gap >= 2.0));
}

/// Simulated seconds between one poll of jobs and the next.
fn gaps(stage: &Stage) -> Vec<f64> {
    let world = stage.simulator.world();
    let polls = world.audit.iter();
    let polls = polls.filter(|call| call.action == "ListAsynJobs");
    let polls: Vec<_> = polls.map(|call| call.at).collect();
    polls.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_minute_is_polled_ever_later() {
    for (product, group) in [(Product::Alb, "sgp-alb-x"), (Product::Nlb, "sgp-nlb-x")] {
        let stage = Stage::new("polls").await;
        stage.simulator.world().create_group(product, group);
        stage.simulator.world().durations.adding = 60.0;
        stage
            .membership("x", group, &instances(0, 5, Some(80)), json!({}))
            .await;
        stage
            .reason::<ServerGroupMembership>("x", "Converged")
            .await;
        let gaps = gaps(&stage);
        let mut beat = 2.0;
        for gap in &gaps {
            assert!(*gap >= beat, "{product:?}: {gaps:?}");
            beat = 30_f64.min(1.5 * beat);
        }
        let what = format!("{}: polls for a job of a minute", product.upper());
        row(&what, 1, gaps.len() + 1, 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alb_takes_as_few_calls_as_can_be() {
    let names = ["AddServersToServerGroup", "RemoveServersFromServerGroup"];
    let stage = membership(
        Product::Alb,
        "sgp-alb-x",
        Some(80),
        names[0],
        names[1],
        [5, 3, 25],
    )
    .await;
    polls(&stage, Product::Alb);
}

#[tokio::test(flavor = "multi_thread")]
async fn nlb_takes_as_few_calls_as_can_be() {
    let names = ["AddServersToServerGroup", "RemoveServersFromServerGroup"];
    let stage = membership(
        Product::Nlb,
        "sgp-nlb-x",
        Some(80),
        names[0],
        names[1],
        [5, 3, 5],
    )
    .await;
    polls(&stage, Product::Nlb);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_third_call_throttled_costs_no_more_than_half_again() {
    let stage = Stage::new("throttled").await;
    stage.simulator.world().create_group(Product::Clb, "rsp-x");
    let every_third = Fault {
        skip: 2,
        every: 2,
        times: 100,
        ..Fault::on("AddVServerGroupBackendServers", What::Throttle)
    };
    stage.simulator.world().faults.push(every_third);
    stage
        .membership("x", "rsp-x", &instances(0, 1000, Some(80)), json!({}))
        .await;
    stage
        .reason::<ServerGroupMembership>("x", "Converged")
        .await;
    assert_eq!(stage.simulator.world().serving("rsp-x"), 1000);
    let throttled = stage
        .simulator
        .world()
        .changing_calls()
        .filter(|call| !call.acted)
        .count();
    assert!(throttled >= 24, "{throttled} were throttled");
    row(
        "CLB: calls for 1000, every third throttled",
        50,
        stage.changes(),
        75,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clb_group_that_takes_no_more_than_20_never_sees_more() {
    let stage = Stage::new("never-more").await;
    stage.simulator.world().create_group(Product::Clb, "rsp-x");
    let list = async |count: usize, weight: u8| {
        let mut servers = instances(0, count, Some(80));
        for server in &mut servers {
            server["weight"] = json!(weight);
        }
        let drain = json!({"removal": {"drainSeconds": 10}});
        stage.membership("x", "rsp-x", &servers, drain).await;
        stage
            .reason::<ServerGroupMembership>("x", "Converged")
            .await;
    };
    list(205, 100).await;
    list(205, 10).await;
    list(100, 10).await;
    let world = stage.simulator.world();
    for (action, calls) in [
        ("AddVServerGroupBackendServers", 11),
        // All of them, and then those that drain.
        ("SetVServerGroupAttribute", 11 + 6),
        ("RemoveVServerGroupBackendServers", 6),
    ] {
        let sent = world.changing_calls().filter(|call| call.action == action);
        let sizes: Vec<_> = sent.map(|call| call.names.len()).collect();
        assert_eq!(sizes.iter().max(), Some(&20), "{action}");
        assert_eq!(sizes.len(), calls, "{action}: {sizes:?}");
    }
    assert_eq!(world.violations().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clb_takes_as_few_calls_as_can_be() {
    let names = [
        "AddVServerGroupBackendServers",
        "RemoveVServerGroupBackendServers",
    ];
    let stage = membership(
        Product::Clb,
        "rsp-x",
        Some(80),
        names[0],
        names[1],
        [50, 25, 50],
    )
    .await;
    row(
        "CLB: reads of a pass at rest",
        1,
        reads_at_rest(&stage, "DescribeVServerGroupAttribute").await,
        1,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn gwlb_takes_as_few_calls_as_can_be() {
    let names = ["AddServersToServerGroup", "RemoveServersFromServerGroup"];
    let stage = membership(Product::Gwlb, "sgp-x", None, names[0], names[1], [5, 3, 0]).await;
    row(
        "GWLB: reads of a pass at rest, 500 members",
        2,
        // The last read of a pass at rest: the group's state comes first, with that of other groups.
        reads_at_rest(&stage, "ListServerGroupServers").await,
        2,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaling_group_takes_as_few_calls_as_can_be() {
    let (stage, wire) = counted("counts").await;
    stage
        .simulator
        .world()
        .create_scaling_group("asg-x", (0..3).map(instance));
    let groups: Vec<Value> = (0..12)
        .map(|number| {
            let id = format!("sgp-{number}");
            stage.simulator.world().create_group(Product::Nlb, &id);
            json!({"type": "NLB", "id": id, "port": 80, "weight": 50})
        })
        .collect();
    stage
        .attachment("x", "asg-x", &groups, json!({"intervalSeconds": 60}))
        .await;
    stage
        .reason::<ScalingGroupAttachment>("x", "Converged")
        .await;
    row(
        "ESS: calls for 12 attachments",
        3,
        calls(&stage, "AttachServerGroups"),
        3,
    );
    // The finalizer, one intent, one final status.
    row("ESS: writes for 12 attachments", 3, wire.seen(), 3);
    row(
        "ESS: reads of a pass at rest",
        1,
        reads_at_rest(&stage, "DescribeScalingGroups").await,
        1,
    );
    let writes = wire.seen();
    reads_at_rest(&stage, "DescribeScalingGroups").await;
    row(
        "ESS: writes of ten passes at rest",
        0,
        wire.seen() - writes,
        0,
    );
}
