//! How fast calls leave, and in which order.

use std::{collections::BTreeSet, task::Poll};

use futures::poll;
use tokio::time::{sleep, timeout};

use super::*;
use Urgency::{Asked, Begun, Sweep};

mod others;

fn counted(action: &'static str) -> Counted {
    Counted {
        account: "1".into(),
        region: "cn-hangzhou".into(),
        service: Service::Slb,
        action,
    }
}

fn additions() -> Arc<Bucket> {
    Rates::new(Timing::production(), Metrics::default())
        .bucket(counted("AddVServerGroupBackendServers"))
}

/// How many calls leave within `seconds`.
async fn leave(bucket: &Arc<Bucket>, seconds: u64) -> u32 {
    let mut calls = 0;
    let all = async {
        loop {
            bucket.take(Sweep).await.spend();
            calls += 1;
        }
    };
    _ = timeout(Duration::from_secs(seconds), all).await;
    calls
}

fn share(bucket: &Bucket) -> f64 {
    bucket.state.lock().share.at(Instant::now())
}

#[tokio::test(start_paused = true)]
async fn at_first_half_of_the_quota_leaves_after_a_burst_of_a_quarter() {
    let bucket = additions();
    assert_eq!(leave(&bucket, 0).await, 22, "a quarter of 90 at once");
    let calls = leave(&bucket, 60).await;
    assert!((44..=46).contains(&calls), "{calls} in the first minute");
}

#[tokio::test(start_paused = true)]
async fn without_trouble_it_grows_to_nine_tenths_and_never_above() {
    let bucket = additions();
    sleep(Duration::from_mins(6)).await;
    leave(&bucket, 60).await;
    for _ in 0..2 {
        let calls = leave(&bucket, 600).await;
        assert!((805..=815).contains(&calls), "{calls} in ten minutes");
        sleep(Duration::from_hours(100)).await;
        leave(&bucket, 60).await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_answers_of_one_congestion_bring_it_down_once() {
    let bucket = additions();
    for _ in 0..10 {
        bucket.throttled(None);
    }
    assert!((share(&bucket) - 0.45).abs() < 1e-6, "a tenth less");
    sleep(Duration::from_secs(10)).await;
    bucket.throttled(None);
    let share = share(&bucket);
    assert!((0.22..0.25).contains(&share), "halved by now: {share}");
}

#[tokio::test(start_paused = true)]
async fn trouble_that_does_not_end_leaves_a_little_and_it_grows_back_later() {
    let bucket = additions();
    for _ in 0..20 {
        bucket.throttled(None);
        sleep(Duration::from_secs(10)).await;
    }
    assert!((share(&bucket) - share::LEAST).abs() < 0.01);
    sleep(Duration::from_mins(30)).await;
    assert!((share(&bucket) - MOST).abs() < 1e-6);
}

#[tokio::test(start_paused = true)]
async fn it_stays_close_to_where_it_was_too_much_and_comes_back_there_slowly() {
    let bucket = additions();
    sleep(Duration::from_mins(30)).await;
    bucket.throttled(None);
    let mut shares = Vec::new();
    for _ in 0..4 {
        sleep(Duration::from_mins(1)).await;
        shares.push(share(&bucket));
    }
    assert!(shares.is_sorted(), "{shares:?}");
    assert!(shares[0] > 0.85 && shares[3] <= 0.9, "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hint_keeps_everybody_waiting_and_then_they_leave_one_by_one() {
    let bucket = additions();
    bucket.throttled(Some(Duration::from_secs(30)));
    assert_eq!(leave(&bucket, 30).await, 0);
    let calls = leave(&bucket, 6).await;
    assert!((1..=4).contains(&calls), "{calls} in six seconds");
}

/// A quarter of the quota and then nine tenths of it in a minute would once have been too much without anybody else.
#[tokio::test(start_paused = true)]
async fn whoever_rests_and_hurries_in_turn_is_never_too_fast_by_itself() {
    for rest in [7, 45, 61, 300] {
        let bucket = additions();
        let mut quota = others::quota(90, 60);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_mins(40) {
            let hurried = Instant::now();
            while hurried.elapsed() < Duration::from_secs(75) {
                bucket.take(Sweep).await.spend();
                let taken = quota.take(begun.elapsed().as_secs_f64(), "", "");
                assert_eq!(taken, Ok(()), "rests of {rest} s");
            }
            sleep(Duration::from_secs(rest)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_bucket_keeps_no_other_account_region_service_or_action_waiting() {
    let rates = Rates::new(Timing::production(), Metrics::default());
    let first = || counted("AddVServerGroupBackendServers");
    leave(&rates.bucket(first()), 0).await;
    let others = [
        Counted {
            account: "2".into(),
            ..first()
        },
        Counted {
            region: "cn-beijing".into(),
            ..first()
        },
        Counted {
            service: Service::Nlb,
            ..first()
        },
        counted("RemoveVServerGroupBackendServers"),
    ];
    for other in others {
        let exhausted = rates.bucket(first());
        let told = format!("{other:?}");
        let other = rates.bucket(other);
        tokio::select! {
            biased;
            _ = other.take(Sweep) => {}
            _ = exhausted.take(Sweep) => panic!("the exhausted one went before {told}"),
        }
    }
}

#[test]
fn quotas_are_those_of_the_product_pages() {
    for (service, action, calls, seconds) in [
        (Service::Slb, "AddVServerGroupBackendServers", 90, 60),
        (Service::Slb, "DescribeVServerGroupAttribute", 3000, 60),
        (Service::Nlb, "RemoveServersFromServerGroup", 200, 60),
        (Service::Nlb, "ListServerGroupServers", 20, 1),
        (Service::Gwlb, "ListServerGroups", 600, 60),
        (Service::Ess, "DetachServerGroups", 500, 60),
        (Service::Ess, "DescribeScalingInstances", 2000, 60),
        (Service::Ess, "DescribeScalingGroups", 500, 60),
        (Service::Sts, "GetCallerIdentity", 100, 1),
    ] {
        let documented = (f64::from(calls), f64::from(seconds));
        assert_eq!(quota(service, action), documented, "{action}");
    }
}

/// A quota for each second once let a quarter of what it makes in a minute leave at once.
#[tokio::test(start_paused = true)]
async fn of_a_quota_for_each_second_only_a_quarter_of_a_second_leaves_at_once() {
    let bucket = Rates::new(Timing::production(), Metrics::default()).bucket(Counted {
        service: Service::Nlb,
        ..counted("ListServerGroupServers")
    });
    assert_eq!(leave(&bucket, 0).await, 5);
    let calls = leave(&bucket, 10).await;
    assert!((95..=105).contains(&calls), "{calls} in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn the_distances_between_calls_differ_and_are_the_same_in_every_run() {
    let distances = async || {
        let bucket = additions();
        leave(&bucket, 0).await;
        let mut distances = Vec::new();
        for _ in 0..20 {
            let asked = Instant::now();
            bucket.take(Sweep).await.spend();
            distances.push(asked.elapsed().as_millis());
        }
        distances
    };
    let once = distances().await;
    let different: BTreeSet<_> = once.iter().collect();
    assert!(different.len() > 15, "{once:?}");
    assert_eq!(once, distances().await);
}

/// The names in the order in which their calls leave; `tickets` are in the order in which they were taken.
async fn order(tickets: Vec<(Ticket, &'static str)>) -> Vec<&'static str> {
    let gone = Mutex::new(Vec::new());
    let wait = tickets.into_iter().map(|(ticket, name)| {
        let gone = &gone;
        async move {
            ticket.await.spend();
            gone.lock().push(name);
        }
    });
    futures::future::join_all(wait).await;
    gone.into_inner()
}

#[tokio::test(start_paused = true)]
async fn what_has_begun_leaves_before_what_was_asked_for_and_that_before_the_regular_look() {
    let bucket = additions();
    leave(&bucket, 0).await;
    let tickets = [
        (Sweep, "first look"),
        (Sweep, "second look"),
        (Asked, "edit"),
        (Begun, "removal"),
        (Asked, "deletion"),
    ];
    let tickets = tickets.map(|(urgency, name)| (bucket.ticket(urgency), name));
    let expected = ["removal", "edit", "deletion", "first look", "second look"];
    assert_eq!(order(tickets.into()).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_urgent_calls_lets_every_fifth_be_one_of_the_regular_look() {
    let bucket = additions();
    leave(&bucket, 0).await;
    let edits = (0..8).map(|_| (bucket.ticket(Asked), "edit"));
    let looks = (0..3).map(|_| (bucket.ticket(Sweep), "look"));
    let gone = order(edits.chain(looks).collect()).await;
    let round = ["edit", "edit", "edit", "edit", "look"];
    assert_eq!(gone[..10], [round, round].concat());
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_waiting_has_spent_nothing_and_blocks_nobody() {
    let bucket = additions();
    leave(&bucket, 0).await;
    let mut first = bucket.ticket(Begun);
    let mut second = bucket.ticket(Sweep);
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    let given_up = Instant::now();
    drop(first);
    second.await.spend();
    // The only one, at three quarters of a call a second.
    assert!(given_up.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_dropped_unused_lets_the_next_one_leave_at_once() {
    let bucket = additions();
    leave(&bucket, 0).await;
    let grant = bucket.take(Sweep).await;
    let mut next = bucket.ticket(Sweep);
    assert!(poll!(&mut next).is_pending());
    drop(grant);
    let Poll::Ready(grant) = poll!(&mut next) else {
        panic!("it waits")
    };
    grant.spend();
    assert!(
        poll!(&mut bucket.ticket(Sweep)).is_pending(),
        "one, not two"
    );
}

#[tokio::test(start_paused = true)]
async fn there_is_room_until_a_call_would_have_to_wait_and_asking_takes_nothing() {
    let bucket = additions();
    for _ in 0..100 {
        assert!(bucket.room(Sweep).is_none());
    }
    assert_eq!(leave(&bucket, 0).await, 22);
    let ticket = bucket.room(Sweep).expect("a place in the line");
    sleep(Duration::from_secs(10)).await;
    assert!(bucket.room(Asked).is_some(), "somebody waits already");
    ticket.await.spend();
    assert!(bucket.room(Asked).is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_while_the_cloud_asks_to_wait_not_even_what_was_given_back() {
    let bucket = additions();
    let grants = [bucket.take(Sweep).await, bucket.take(Sweep).await];
    bucket.throttled(Some(Duration::from_secs(30)));
    drop(grants);
    assert_eq!(leave(&bucket, 29).await, 0);
}
