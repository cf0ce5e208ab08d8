//! Memberships from YAML to the cloud and back.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;
use server_group_operator::api::ServerGroupMembership;
use server_group_sim::world::{Product, Status};

use crate::stage::{Stage, calls, condition, instance, instances, message};

type Membership = ServerGroupMembership;

#[tokio::test(flavor = "multi_thread")]
async fn a_clb_group_of_45_loses_25() {
    let stage = Stage::new("clb-45-25").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("web", "rsp-web", &instances(0, 45, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 45);
    stage
        .membership("web", "rsp-web", &instances(0, 20, Some(80)), json!({}))
        .await;
    let web: Membership = stage.reason("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 20);
    assert_eq!(
        web.status.unwrap().summary.as_deref(),
        Some("20/20 serving")
    );
    assert_eq!(
        stage
            .simulator
            .world()
            .calls("AddVServerGroupBackendServers"),
        3
    );
    assert_eq!(
        stage
            .simulator
            .world()
            .calls("RemoveVServerGroupBackendServers"),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gwlb_group_drains_what_it_loses_and_deletion_waits_for_the_drain() {
    let stage = Stage::new("gwlb-drain").await;
    stage
        .simulator
        .world()
        .create_group(Product::Gwlb, "sgp-fw")
        // It ends when the test says so.
        .drain_seconds = 1e6;
    stage
        .simulator
        .world()
        .put_member("sgp-fw", "i-other", "", 6081, 100);
    stage
        .membership("fw", "sgp-fw", &instances(0, 5, None), json!({}))
        .await;
    stage.reason::<Membership>("fw", "Converged").await;
    stage
        .membership("fw", "sgp-fw", &instances(0, 3, None), json!({}))
        .await;
    let leaving = |fw: &Membership| {
        fw.status
            .as_ref()
            .and_then(|status| status.members)
            .is_some_and(|counts| counts.leaving == 2)
    };
    stage.until("two that drain", "fw", leaving).await;
    let draining = async |count| {
        stage
            .eventually("so many drain", async || {
                let world = stage.simulator.world();
                let members = world.groups["sgp-fw"].members.values();
                let draining = members.filter(|member| member.status == Status::Draining);
                (draining.count() == count).then_some(())
            })
            .await;
    };
    draining(2).await;
    stage.simulator.world().pass(1e6);
    stage.reason::<Membership>("fw", "Converged").await;
    assert_eq!(stage.simulator.world().groups["sgp-fw"].members.len(), 4);
    stage.delete::<Membership>("fw").await;
    stage.reason::<Membership>("fw", "Releasing").await;
    draining(3).await;
    stage.simulator.world().pass(1e6);
    stage.gone::<Membership>("fw").await;
    let world = stage.simulator.world();
    assert_eq!(
        world.groups["sgp-fw"].ids().into_iter().collect::<Vec<_>>(),
        ["i-other"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_gwlb_member_that_is_wanted_again_stays() {
    let stage = Stage::new("gwlb-back").await;
    stage
        .simulator
        .world()
        .create_group(Product::Gwlb, "sgp-fw")
        // It is never absent: that would take longer than the test may.
        .drain_seconds = 1e6;
    stage
        .membership("fw", "sgp-fw", &instances(0, 3, None), json!({}))
        .await;
    stage.reason::<Membership>("fw", "Converged").await;
    stage
        .membership("fw", "sgp-fw", &instances(0, 2, None), json!({}))
        .await;
    let draining = |stage: &Stage| {
        stage.simulator.world().groups["sgp-fw"]
            .members
            .values()
            .any(|m| m.status == Status::Draining)
    };
    stage
        .eventually("one that drains", async || draining(&stage).then_some(()))
        .await;
    stage
        .membership("fw", "sgp-fw", &instances(0, 3, None), json!({}))
        .await;
    stage.reason::<Membership>("fw", "Converged").await;
    let world = stage.simulator.world();
    assert_eq!(world.serving("sgp-fw"), 3);
    let added = world
        .changing_calls()
        .filter(|call| call.action.starts_with("Add"));
    let added: Vec<_> = added.map(|call| call.names.len()).collect();
    assert_eq!(added, [3, 1]);
    assert_eq!(world.calls("RemoveServersFromServerGroup"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_signature_does_the_same_job() {
    let mut stage = Stage::without_operator("v1").await;
    stage.signature = server_group_operator::cloud::Signature::V1;
    stage.start();
    stage
        .simulator
        .world()
        .create_group(Product::Gwlb, "sgp-fw")
        .drain_seconds = 0.0;
    stage
        .membership("fw", "sgp-fw", &instances(0, 5, None), json!({}))
        .await;
    stage.reason::<Membership>("fw", "Converged").await;
    stage
        .membership("fw", "sgp-fw", &instances(0, 2, None), json!({}))
        .await;
    stage.reason::<Membership>("fw", "Converged").await;
    assert_eq!(stage.simulator.world().serving("sgp-fw"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_repaired_on_the_slow_beat() {
    let stage = Stage::new("drift").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 10, Some(80)),
            json!({"intervalSeconds": 60}),
        )
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    for number in 0..4 {
        stage
            .simulator
            .world()
            .delete_member("rsp-web", &instance(number));
    }
    let repaired = || async { (stage.simulator.world().serving("rsp-web") == 10).then_some(()) };
    stage.eventually("the four are back", repaired).await;
    stage.reason::<Membership>("web", "Converged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_object_costs_no_write() {
    let stage = Stage::new("idle").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 3, Some(80)),
            json!({"intervalSeconds": 30}),
        )
        .await;
    let before: Membership = stage.reason("web", "Converged").await;
    let reads = || {
        stage
            .simulator
            .world()
            .calls("DescribeVServerGroupAttribute")
    };
    let seen = reads();
    stage.reached("ten more passes", seen + 10, reads).await;
    let after = stage.api::<Membership>().get("web").await.unwrap();
    assert_eq!(before.resource_version(), after.resource_version());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_look_now_costs_its_echo_and_one_read() {
    let stage = Stage::new("look-now").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let mut web = stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 3, Some(80)),
            json!({"intervalSeconds": 86400}),
        )
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    // The first look, and the look at what was added.
    let reads = || {
        stage
            .simulator
            .world()
            .calls("DescribeVServerGroupAttribute")
    };
    stage
        .eventually("the first two reads", || async {
            (reads() == 2).then_some(())
        })
        .await;
    web.metadata.managed_fields = None;
    stage.look_now::<Membership>("web").await;
    let echoed = |web: &Membership| {
        web.status
            .as_ref()
            .and_then(|status| status.last_handled_reconcile_at.as_deref())
            == Some("now")
    };
    stage.until("the echo", "web", echoed).await;
    assert_eq!(reads(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_stall_without_a_cloud_call() {
    let stage = Stage::new("duplicates").await;
    let twice = [
        json!({"id": "i-1", "port": 80}),
        json!({"id": "i-1", "port": 80}),
    ];
    stage.membership("web", "rsp-web", &twice, json!({})).await;
    let web: Membership = stage.reason("web", "InvalidSpec").await;
    assert_eq!(condition(&web, "Stalled").unwrap().0, "True");
    assert!(
        message(&web).contains("spec.servers[1]") && message(&web).contains("i-1:80"),
        "{}",
        message(&web)
    );
    assert_eq!(stage.all_calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_written_out_later_changes_nothing() {
    let stage = Stage::new("eni-address").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership(
            "web",
            "rsp-web",
            &[
                json!({"id": "eni-1", "port": 80}),
                json!({"id": "i-1", "port": 80}),
            ],
            json!({}),
        )
        .await;
    let web: Membership = stage.reason("web", "Converged").await;
    let ip = stage.simulator.world().groups["rsp-web"]
        .members
        .keys()
        .find(|(id, ..)| id == "eni-1")
        .unwrap()
        .1
        .clone();
    assert!(
        web.status
            .unwrap()
            .ledger
            .unwrap()
            .registered
            .contains(&format!("eni-1@{ip}:80"))
    );
    let changes = stage.changes();
    let named = [
        json!({"id": "eni-1", "ip": ip, "port": 80}),
        json!({"id": "i-1", "port": 80}),
    ];
    stage.membership("web", "rsp-web", &named, json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.changes(), changes);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_account_or_grant_there_is_not_one_cloud_call() {
    let mut stage = Stage::new("no-grant").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage.restart_under(&[]).await;
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), json!({}))
        .await;
    let web: Membership = stage.reason("web", "NotGranted").await;
    assert!(
        message(&web).contains(&stage.namespace),
        "{}",
        message(&web)
    );
    assert_eq!(condition(&web, "Stalled").unwrap().0, "True");
    let own = [
        json!({"name": "a", "namespaces": [stage.namespace], "regions": ["cn-hangzhou"], "serverGroups": ["rsp-*"], "servers": ["eni-*"]}),
    ];
    stage.grant(&own).await;
    let named = |web: &Membership| message(web).contains("i-0000");
    stage
        .until("the server that is not covered", "web", named)
        .await;
    let accounts = kube::Api::<server_group_operator::api::CloudAccount>::all(stage.client.clone());
    accounts
        .delete(&stage.account(), &kube::api::DeleteParams::default())
        .await
        .unwrap();
    stage.reason::<Membership>("web", "AccountNotFound").await;
    assert_eq!(stage.all_calls(), 0);
    stage.grant(&[json!({"name": "a", "namespaces": ["*"], "regions": ["*"], "serverGroups": ["*"], "servers": ["*"]})]).await;
    stage.reason::<Membership>("web", "Converged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_does_not_exist_is_said_and_its_release_ends() {
    let stage = Stage::new("gone").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 3, Some(80)),
            json!({"intervalSeconds": 30}),
        )
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.simulator.world().groups.remove("rsp-web");
    let web: Membership = stage.reason("web", "GroupNotFound").await;
    assert!(message(&web).contains("rsp-web"));
    // On the slow beat of 30 s, not in a loop.
    let looks = || calls(&stage, "DescribeVServerGroupAttribute");
    let before = looks();
    let begun = stage.simulator.world().now;
    stage.reached("ten more looks", before + 10, looks).await;
    let took = stage.simulator.world().now - begun;
    assert!(took >= 150.0, "ten looks in {took} s");
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_member_does_not_stop_the_others() {
    let stage = Stage::new("one-bad").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage.simulator.world().bad_servers.insert(instance(13));
    stage
        .membership("web", "rsp-web", &instances(0, 40, Some(80)), json!({}))
        .await;
    let web: Membership = stage.reason("web", "PartlyApplied").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 39);
    let parked = web.status.unwrap().parked;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].server, "i-0013:80");
    assert!(
        parked[0].reason.contains("ObtainIpFail"),
        "{}",
        parked[0].reason
    );
    let tries = stage
        .simulator
        .world()
        .audit
        .iter()
        .filter(|entry| entry.changes)
        .count();
    assert!(tries <= 2 + 2 * 5, "{tries} calls");
    stage.simulator.world().bad_servers.clear();
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_does_not_stop_an_addition() {
    let stage = Stage::new("throttled").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let fault = server_group_sim::fault::Fault::on(
        "AddVServerGroupBackendServers",
        server_group_sim::fault::What::Throttle,
    );
    stage
        .simulator
        .world()
        .faults
        .push(fault.after(2).every(2).times(1000));
    stage
        .membership("web", "rsp-web", &instances(0, 1000, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 1000);
    assert!(stage.changes() <= 75, "{} calls", stage.changes());
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_are_changed_in_place_and_an_absent_one_is_never_touched() {
    let stage = Stage::new("weights").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let list = |weight: u8| -> Vec<_> {
        let one = |number: usize| match number {
            0 => json!({"id": instance(0), "port": 80}),
            number => json!({"id": instance(number), "port": 80, "weight": weight}),
        };
        (0..30).map(one).collect()
    };
    stage
        .membership("web", "rsp-web", &list(10), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .simulator
        .world()
        .put_member("rsp-web", &instance(0), "", 80, 77);
    stage
        .membership("web", "rsp-web", &list(20), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let world = stage.simulator.world();
    let weights: Vec<_> = world.groups["rsp-web"]
        .members
        .values()
        .map(|member| member.weight)
        .collect();
    assert_eq!(weights[0], 77);
    assert!(
        weights[1..].iter().all(|weight| *weight == 20),
        "{weights:?}"
    );
    assert_eq!(world.calls("SetVServerGroupAttribute"), 2);
    assert_eq!(world.calls("RemoveVServerGroupBackendServers"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_of_zero_do_not_silence_the_last_that_serves() {
    let stage = Stage::new("silence").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let list = |weights: [u8; 2]| -> Vec<_> {
        (0..2)
            .map(|number| json!({"id": instance(number), "port": 80, "weight": weights[number]}))
            .collect()
    };
    stage
        .membership("web", "rsp-web", &list([10, 10]), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .membership("web", "rsp-web", &list([0, 0]), json!({}))
        .await;
    stage.reason::<Membership>("web", "LastServing").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 2);
    stage
        .membership("web", "rsp-web", &list([0, 10]), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_operator_finishes_what_runs() {
    let mut stage = Stage::without_operator("sigterm").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let mut held = stage
        .simulator
        .hold(server_group_sim::When::Before, |call| {
            call.action == "AddVServerGroupBackendServers"
        });
    stage.start();
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), json!({}))
        .await;
    stage.awaited("the call", held.arrived()).await;
    let release = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        held.release();
    };
    tokio::join!(stage.stop(), release);
    assert_eq!(stage.simulator.world().serving("rsp-web"), 3);
    let web = stage.api::<Membership>().get("web").await.unwrap();
    assert!(
        web.status.unwrap().operation.is_none(),
        "the answer is on record"
    );
}
