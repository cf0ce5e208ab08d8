//! How fast calls may leave: one adaptive bucket for each account, region, service and action.
//!
//! The cloud counts calls in just these terms, and shares the count with everybody else who uses the account:
//! a bucket therefore starts at half the published quota. An answer that says *too many* halves it, once for
//! each congestion; it grows back by itself. Whoever waits holds nobody else up: buckets know nothing of each other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::call::Service;
use crate::timing::Timing;

/// What a quota counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Counted {
    /// Id of the cloud account; empty until it is known.
    pub(super) account: String,
    pub(super) region: String,
    pub(super) service: Service,
    pub(super) action: &'static str,
}

/// Calls that the cloud takes of one account, region and action, and within how many seconds.
///
/// Source: the product pages. Where none gives a figure the sibling's is used: ALB's lists and the jobs of both
/// have NLB's, GWLB's removal its addition's, ESS's groups and activities that of its changes.
fn quota(service: Service, action: &str) -> (f64, f64) {
    let reads = ["Describe", "List", "Get"]
        .iter()
        .any(|verb| action.starts_with(verb));
    match (service, reads) {
        (Service::Slb, true) => (3000.0, 60.0),
        (Service::Slb, false) => (90.0, 60.0),
        (Service::Gwlb, true) => (600.0, 60.0),
        (Service::Alb | Service::Nlb, true) => (20.0, 1.0),
        (Service::Alb | Service::Nlb | Service::Gwlb, false) => (200.0, 60.0),
        (Service::Ess, _) if action == "DescribeScalingInstances" => (2000.0, 60.0),
        (Service::Ess | Service::Ecs, _) => (500.0, 60.0),
        (Service::Sts, _) => (100.0, 1.0),
    }
}

/// The share of a quota that is left to others.
const LEFT_TO_OTHERS: f64 = 0.5;

/// The share of a quota that may leave at once.
const BURST: f64 = 0.25;

/// The least share of its first rate that a bucket comes down to.
const LEAST: f64 = 0.05;

/// All buckets of a process.
pub(super) struct Rates {
    timing: Timing,
    buckets: Mutex<HashMap<Counted, Arc<Bucket>>>,
}

impl Rates {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            timing,
            buckets: Mutex::default(),
        }
    }

    /// The bucket that counts these calls, full at first.
    pub(super) fn bucket(&self, counted: Counted) -> Arc<Bucket> {
        let quota = quota(counted.service, counted.action);
        let mut buckets = self.buckets.lock();
        let bucket = buckets
            .entry(counted)
            .or_insert_with(|| Arc::new(Bucket::new(quota, &self.timing)));
        Arc::clone(bucket)
    }
}

/// Calls that may leave, and how fast there are more.
pub(super) struct Bucket {
    /// Who waits, in order.
    queue: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Calls a second at first, and at most.
    most: f64,
    /// Calls that may leave at once.
    burst: f64,
    /// By how much the rate grows in a second.
    growth: f64,
    cooldown: Duration,
}

struct State {
    tokens: f64,
    rate: f64,
    /// Until when tokens are counted; ahead of now while the cloud asks to wait.
    at: Instant,
    halved: Option<Instant>,
}

impl Bucket {
    fn new((calls, seconds): (f64, f64), timing: &Timing) -> Self {
        let minute = timing.rate_minute.as_secs_f64();
        let most = calls * LEFT_TO_OTHERS / (minute * seconds / 60.0);
        let burst = (calls * BURST).max(1.0);
        Self {
            queue: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                tokens: burst,
                rate: most,
                at: Instant::now(),
                halved: None,
            }),
            most,
            burst,
            // Half a minute without trouble brings all of it back.
            growth: 2.0 * most / minute,
            cooldown: timing.rate_cooldown,
        }
    }

    /// Waits until a call may leave, and counts it. First come, first served; who gives up waiting has spent nothing.
    pub(super) async fn take(&self) {
        let _first = self.queue.lock().await;
        while let Some(wait) = self.try_take() {
            sleep(wait).await;
        }
    }

    /// Counts a call, or says how long to wait before asking again.
    fn try_take(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut state = self.state.lock();
        self.refill(&mut state, now);
        // What is missing by less than the clock can tell is there: this is asked in a loop.
        if state.tokens < 1.0 - 1e-6 {
            let missing = Duration::from_secs_f64((1.0 - state.tokens) / state.rate);
            return Some(state.at.saturating_duration_since(now) + missing);
        }
        state.tokens -= 1.0;
        None
    }

    /// Takes in that the cloud said *too many*, and how long it asks to wait.
    pub(super) fn throttled(&self, hint: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        self.refill(&mut state, now);
        state.tokens = state.tokens.min(0.0);
        if state.halved.is_none_or(|at| now >= at + self.cooldown) {
            state.rate = (state.rate / 2.0).max(self.most * LEAST);
            state.halved = Some(now);
        }
        // Nothing gathers while the cloud asks to wait: it would all leave at once.
        state.at = state.at.max(now + hint.unwrap_or_default());
    }

    fn refill(&self, state: &mut State, now: Instant) {
        if now <= state.at {
            return;
        }
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        state.rate = (state.rate + self.growth * passed).min(self.most);
        state.tokens = (state.tokens + state.rate * passed).min(self.burst);
        state.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(action: &'static str) -> Counted {
        Counted {
            account: "1".into(),
            region: "cn-hangzhou".into(),
            service: Service::Slb,
            action,
        }
    }

    fn additions() -> Arc<Bucket> {
        Rates::new(Timing::production()).bucket(counted("AddVServerGroupBackendServers"))
    }

    /// How many calls leave within `seconds`.
    async fn leave(bucket: &Bucket, seconds: u64) -> u32 {
        let mut calls = 0;
        let all = async {
            loop {
                bucket.take().await;
                calls += 1;
            }
        };
        _ = tokio::time::timeout(Duration::from_secs(seconds), all).await;
        calls
    }

    #[tokio::test(start_paused = true)]
    async fn half_the_quota_leaves_after_a_burst_of_a_quarter() {
        let bucket = additions();
        assert_eq!(leave(&bucket, 0).await, 22, "a quarter of 90 at once");
        let calls = leave(&bucket, 600).await;
        assert!((445..=455).contains(&calls), "{calls} in ten minutes");
    }

    #[tokio::test(start_paused = true)]
    async fn many_answers_of_one_congestion_halve_the_rate_once() {
        let bucket = additions();
        for _ in 0..10 {
            bucket.throttled(None);
        }
        assert!((bucket.state.lock().rate - 0.375).abs() < 1e-6);
        sleep(Duration::from_secs(10)).await;
        bucket.throttled(None);
        let rate = bucket.state.lock().rate;
        assert!((0.3..0.33).contains(&rate), "halved again: {rate}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_grows_back_and_never_above_its_first_rate() {
        let bucket = additions();
        for _ in 0..20 {
            bucket.throttled(None);
            sleep(Duration::from_secs(10)).await;
        }
        assert!(bucket.state.lock().rate < 0.3);
        sleep(Duration::from_mins(1)).await;
        leave(&bucket, 60).await;
        let calls = leave(&bucket, 600).await;
        assert!((445..=455).contains(&calls), "{calls} in ten minutes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_keeps_everybody_waiting_and_then_they_leave_one_by_one() {
        let bucket = additions();
        bucket.throttled(Some(Duration::from_secs(30)));
        assert_eq!(leave(&bucket, 30).await, 0);
        let calls = leave(&bucket, 6).await;
        assert!((1..=4).contains(&calls), "{calls} in six seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn an_exhausted_bucket_keeps_no_other_account_region_service_or_action_waiting() {
        let rates = Rates::new(Timing::production());
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
                () = other.take() => {}
                () = exhausted.take() => panic!("the exhausted one went before {told}"),
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
        let bucket = Rates::new(Timing::production()).bucket(Counted {
            service: Service::Nlb,
            ..counted("ListServerGroupServers")
        });
        assert_eq!(leave(&bucket, 0).await, 5);
        let calls = leave(&bucket, 10).await;
        assert!((95..=105).contains(&calls), "{calls} in ten seconds");
    }
}
