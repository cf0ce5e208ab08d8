//! Who leads, and what a lost lease means (S9).

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use parking_lot::Mutex;
use serde_json::json;
use server_group_operator::{
    api::ServerGroupMembership,
    leader::{Election, LEASE_NAME, Leadership, Lost},
    timing::Timing,
};
use server_group_sim::{When, world::Product};
use tokio_util::sync::CancellationToken;

use crate::stage::{SPEED, Stage, control_plane, eventually, instances};

/// A lease of so many seconds, of which a quarter is left when renewing is given up.
fn lasting(seconds: u64) -> Timing {
    let mut timing = Timing::production();
    timing.lease_duration = Duration::from_secs(seconds);
    timing.lease_renew_deadline = timing.lease_duration * 3 / 4;
    timing.lease_retry = Duration::from_millis(100);
    timing
}

/// Long enough that a slow machine does not outlive it.
const LONG: u64 = 20;

async fn candidate(namespace: &str, name: &str, seconds: u64) -> (Election, Leadership) {
    let client = control_plane().await.admin().client().await.unwrap();
    let leadership = Leadership::candidate(lasting(seconds));
    (
        Election::new(client, namespace, name.into(), leadership.clone()),
        leadership,
    )
}

async fn record(namespace: &str) -> Lease {
    let client = control_plane().await.admin().client().await.unwrap();
    Api::<Lease>::namespaced(client, namespace)
        .get(LEASE_NAME)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_the_next_takes_over_when_it_stops_renewing() {
    let namespace = control_plane().await.namespace("lease").await.unwrap();
    // Its end is awaited.
    let short = 4;
    let (mut first, first_may) = candidate(&namespace, "first", short).await;
    first.win().await;
    assert!(first_may.permit(Duration::from_secs(1)).is_ok());
    let (mut second, second_may) = candidate(&namespace, "second", short).await;
    let early = tokio::time::timeout(Duration::from_millis(800), second.win()).await;
    assert!(early.is_err(), "the lease is not over");
    assert!(second_may.permit(Duration::ZERO).is_err());
    // The first neither renews nor gives back, as if it were paused.
    second.win().await;
    assert_eq!(second_may.epoch(), first_may.epoch().map(|epoch| epoch + 1));
    assert!(
        first_may.permit(Duration::ZERO).is_err(),
        "what lies beyond its lease is not permitted"
    );
    let lost = first.hold(CancellationToken::new()).await.unwrap_err();
    assert!(matches!(lost, Lost::Taken(holder) if holder == "second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_given_back_is_free_at_once() {
    let namespace = control_plane().await.namespace("lease").await.unwrap();
    let (mut first, first_may) = candidate(&namespace, "first", LONG).await;
    first.win().await;
    let stop = CancellationToken::new();
    let holding = tokio::spawn(first.hold(stop.clone()));
    let renewed = || async {
        record(&namespace)
            .await
            .spec
            .unwrap()
            .renew_time
            .is_some()
            .then_some(())
    };
    eventually("a renewal", renewed).await;
    stop.cancel();
    holding.await.unwrap().unwrap();
    assert!(first_may.permit(Duration::ZERO).is_err());
    assert_eq!(
        record(&namespace)
            .await
            .spec
            .unwrap()
            .holder_identity
            .as_deref(),
        Some("")
    );
    let (mut second, _) = candidate(&namespace, "second", LONG).await;
    tokio::time::timeout(Duration::from_secs(LONG / 2), second.win())
        .await
        .expect("nobody holds it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_might_outlive_the_lease_is_not_started() {
    let namespace = control_plane().await.namespace("lease").await.unwrap();
    let (mut first, may) = candidate(&namespace, "first", LONG).await;
    first.win().await;
    assert!(may.permit(Duration::from_secs(LONG / 2)).is_ok());
    assert!(may.permit(Duration::from_secs(LONG)).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_the_wall_clock_ends_the_term() {
    let namespace = control_plane().await.namespace("lease").await.unwrap();
    let ahead = Arc::new(Mutex::new(jiff::SignedDuration::ZERO));
    let clock = Arc::clone(&ahead);
    let timing = lasting(LONG).with_wall_clock(move || jiff::Timestamp::now() + *clock.lock());
    let may = Leadership::candidate(timing);
    let client = control_plane().await.admin().client().await.unwrap();
    Election::new(client, &namespace, "first".into(), may.clone())
        .win()
        .await;
    assert!(may.permit(Duration::ZERO).is_ok());
    *ahead.lock() = jiff::SignedDuration::from_secs(60);
    assert!(
        may.permit(Duration::ZERO).is_err(),
        "as after a suspended machine wakes up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_one_acts_and_the_other_takes_over_at_once_when_it_ends() {
    let mut stage = Stage::without_operator("two").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let mut timing = Timing::scaled(SPEED);
    timing.lease_retry = Duration::from_millis(100);
    let client = control_plane().await.admin().client().await.unwrap();
    stage.candidate = Some("first");
    stage.start_with(client.clone(), timing.clone());
    let namespace = stage.namespace.clone();
    let leads = |name: &'static str| {
        let namespace = namespace.clone();
        async move {
            let client = control_plane().await.admin().client().await.unwrap();
            let lease = Api::<Lease>::namespaced(client, &namespace)
                .get_opt(LEASE_NAME)
                .await
                .unwrap();
            (lease?.spec?.holder_identity? == name).then_some(())
        }
    };
    eventually("the first leads", || leads("first")).await;
    stage.candidate = Some("second");
    let second = stage.run_with(client, timing);
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), json!({}))
        .await;
    stage
        .reason::<ServerGroupMembership>("web", "Converged")
        .await;
    assert_eq!(
        stage.simulator.world().calls("GetCallerIdentity"),
        1,
        "one of them acts"
    );
    stage.stop().await;
    // The lease lasts 15 seconds and was given back: the second need not wait for its end.
    tokio::time::timeout(
        Duration::from_secs(10),
        eventually("the second leads", || leads("second")),
    )
    .await
    .unwrap();
    stage
        .membership("web", "rsp-web", &instances(0, 5, Some(80)), json!({}))
        .await;
    stage
        .reason::<ServerGroupMembership>("web", "Converged")
        .await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 5);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_is_not_sent_when_the_term_ended_while_the_group_was_looked_at() {
    let mut stage = Stage::without_operator("late-look").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let ahead = Arc::new(AtomicI64::new(0));
    let by = Arc::clone(&ahead);
    let timing = Timing::scaled(SPEED).with_wall_clock(move || {
        let ahead = jiff::SignedDuration::from_secs(by.load(Ordering::SeqCst));
        Timestamp::now().saturating_add(ahead).unwrap()
    });
    let client = control_plane().await.admin().client().await.unwrap();
    stage.candidate = Some("first");
    stage.start_with(client.clone(), timing);
    let list = async |stage: &Stage, count| {
        // No look but those that the test is about.
        let seldom = json!({"intervalSeconds": 86400});
        stage
            .membership("web", "rsp-web", &instances(0, count, Some(80)), seldom)
            .await
    };
    list(&stage, 5).await;
    stage
        .reason::<ServerGroupMembership>("web", "Converged")
        .await;
    // The first look plans the removal, the second is the one before it is sent.
    let mut looks = 0;
    let mut held = stage.simulator.hold(When::After, move |call| {
        looks += usize::from(call.action == "DescribeVServerGroupAttribute");
        looks == 2
    });
    list(&stage, 3).await;
    held.arrived().await;
    // As after a suspended machine wakes up.
    ahead.store(20, Ordering::SeqCst);
    let before = stage.simulator.world().audit.len();
    held.release();
    let seen = stage.simulator.world().now;
    eventually("ten minutes", async || {
        (stage.simulator.world().now >= seen + 600.0).then_some(())
    })
    .await;
    let world = stage.simulator.world();
    let later: Vec<_> = world.audit[before..]
        .iter()
        .map(|call| call.action.as_str())
        .collect();
    // Should it get the lease back, it looks again first.
    let removed = later.iter().position(|call| call.starts_with("Remove"));
    let unseen = removed.is_some_and(|removed| {
        let mut before = later[..removed].iter();
        !before.any(|call| call.starts_with("Describe"))
    });
    assert!(!unseen, "{later:?}");
}
