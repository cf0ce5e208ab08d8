//! Who leads, and what a lost lease means (S9).

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use control_plane::Patience;
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

use crate::stage::{Stage, control_plane, eventually, instances, timing};

/// A lease of so many seconds, of which a quarter is left when renewing is given up.
fn lasting(seconds: u64) -> Timing {
    let mut timing = Timing::production();
    timing.lease_duration = Duration::from_secs(seconds);
    timing.lease_renew_deadline = timing.lease_duration * 3 / 4;
    timing.lease_retry = Duration::from_millis(100);
    timing
}

/// Long enough that no machine outlives it, and longer than anybody waits who need not wait for its end.
const LONG: u64 = 3600;

async fn candidate(namespace: &str, name: &str, seconds: u64) -> (Election, Leadership) {
    let client = control_plane().await.admin().client().await.unwrap();
    let leadership = Leadership::candidate(lasting(seconds));
    (
        Election::new(client, namespace, name.into(), leadership.clone()),
        leadership,
    )
}

/// What operators on a stage go by, with a lease whose end no test sees.
pub fn with_long_lease() -> Timing {
    let lease = lasting(LONG);
    let mut timing = timing();
    timing.lease_duration = lease.lease_duration;
    timing.lease_renew_deadline = lease.lease_renew_deadline;
    timing.lease_retry = lease.lease_retry;
    timing
}

/// Waits until it leads, and not for ever.
async fn wins(election: &mut Election) {
    let patience = async {
        let mut patience = Patience::default();
        loop {
            if let Err(why) = patience.pause(()).await {
                break why;
            }
        }
    };
    tokio::select! {
        () = election.win() => {}
        why = patience => panic!("it does not lead: {why}"),
    }
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
    // Its end is awaited. Until then no machine is that slow.
    let short = 15;
    let (mut first, first_may) = candidate(&namespace, "first", short).await;
    wins(&mut first).await;
    assert!(first_may.permit(Duration::from_secs(1)).is_ok());
    let (mut second, second_may) = candidate(&namespace, "second", short).await;
    let early = tokio::time::timeout(Duration::from_millis(800), second.win()).await;
    assert!(early.is_err(), "the lease is not over");
    assert!(second_may.permit(Duration::ZERO).is_err());
    // The first neither renews nor gives back, as if it were paused.
    wins(&mut second).await;
    assert_eq!(second_may.epoch(), first_may.epoch().map(|epoch| epoch + 1));
    assert!(
        first_may.permit(Duration::ZERO).is_err(),
        "what lies beyond its lease is not permitted"
    );
    let lost = first.hold(CancellationToken::new()).await.unwrap_err();
    assert!(matches!(lost, Lost::Taken(holder) if holder == "second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_while_another_one_led_ends_though_the_lease_is_free_again() {
    let namespace = control_plane().await.namespace("lease").await.unwrap();
    let (mut first, first_may) = candidate(&namespace, "first", 15).await;
    wins(&mut first).await;
    // Paused here: it neither renews nor looks.
    let (mut second, _) = candidate(&namespace, "second", 15).await;
    wins(&mut second).await;
    let stop = CancellationToken::new();
    stop.cancel();
    second.hold(stop).await.unwrap();
    let lost = first.hold(CancellationToken::new()).await.unwrap_err();
    assert!(matches!(lost, Lost::Deposed), "{lost}");
    assert!(first_may.permit(Duration::ZERO).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_given_back_is_free_at_once() {
    let namespace = control_plane().await.namespace("lease").await.unwrap();
    let (mut first, first_may) = candidate(&namespace, "first", LONG).await;
    wins(&mut first).await;
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
    // Nobody holds it: its end would be out of sight.
    wins(&mut second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_might_outlive_the_lease_is_not_started() {
    let namespace = control_plane().await.namespace("lease").await.unwrap();
    let (mut first, may) = candidate(&namespace, "first", LONG).await;
    wins(&mut first).await;
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
    *ahead.lock() = jiff::SignedDuration::from_hours(2);
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
    let timing = with_long_lease();
    stage.grant_shipped_role().await;
    let client = stage.operator_client();
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
    stage.eventually("the first leads", || leads("first")).await;
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
    // The lease was given back: nobody need wait for its end, which would be out of sight.
    stage
        .eventually("the second leads", || leads("second"))
        .await;
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
    let timing = with_long_lease().with_wall_clock(move || {
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
    stage.awaited("the call", held.arrived()).await;
    // As after a suspended machine wakes up.
    ahead.store(2 * i64::try_from(LONG).unwrap(), Ordering::SeqCst);
    let before = stage.simulator.world().audit.len();
    held.release();
    let seen = stage.simulator.world().now;
    stage.clock_shows(seen + 600.0).await;
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

/// The lease stops what changes before it is over, also when nobody is there to say that it was not renewed.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_while_the_thread_of_the_lease_is_late() {
    let mut stage = Stage::without_operator("late-lease").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let lease = stage.elects_on_a_thread("late").await;
    // A changing call may begin as long as its deadline lies within the lease: in the first two seconds. The lease itself
    // lasts longer than anything here, however slow the machine is.
    let mut timing = timing();
    timing.lease_duration = Duration::from_mins(10);
    timing.lease_renew_deadline = Duration::from_secs(599);
    timing.lease_retry = Duration::from_millis(100);
    timing.mutation_deadline = Duration::from_secs(598);
    stage.start_with(stage.operator_client(), timing);
    let list = async |count| {
        let seldom = json!({"intervalSeconds": 86400});
        stage
            .membership("web", "rsp-web", &instances(0, count, Some(80)), seldom)
            .await
    };
    list(2).await;
    stage
        .reason::<ServerGroupMembership>("web", "Converged")
        .await;
    let (go_on, late) = std::sync::mpsc::channel::<()>();
    lease.runtime().spawn(async move { _ = late.recv() });
    stage
        .eventually("the lease is late", async || {
            let renewed = record(&stage.namespace).await.spec?.renew_time?.0;
            let age = Timestamp::now().duration_since(renewed);
            (age > jiff::SignedDuration::from_secs(3)).then_some(())
        })
        .await;
    let changes = stage.changes();
    list(4).await;
    let looks = || {
        stage
            .simulator
            .world()
            .calls("DescribeVServerGroupAttribute")
    };
    let before = looks();
    stage.reached("ten looks", before + 10, looks).await;
    assert_eq!(stage.changes(), changes, "{}", stage.calls());
    go_on.send(()).unwrap();
    stage
        .reason::<ServerGroupMembership>("web", "Converged")
        .await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 4);
}
