//! How fast calls may leave: one adaptive bucket for each account, region, service and action.
//!
//! The cloud counts calls in just these terms, and shares the count with everybody else who uses the account. A bucket
//! therefore starts at half the published quota, and its [`Share`] follows the part that others leave. Calls that wait
//! stand in a [`Line`]. They hold up no calls of other buckets: buckets know nothing of each other.

mod share;
mod ticket;

use std::{collections::HashMap, sync::Arc, task::Waker, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    call::Service,
    line::{Line, Place, Urgency},
};
use crate::{metrics::Metrics, timing::Timing};
use share::{MOST, Share};

pub use ticket::{Grant, Ticket};

/// The terms in which a quota counts calls.
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

/// The share of a quota that may leave at once, as long as the rate leaves room for that.
const BURST: f64 = 0.25;

/// The part of the time between two calls by which each may be late.
///
/// A sliding window frees a place just when an earlier call has become old. Calls at even distances would therefore
/// find their own places again for ever, though the window is full. Only the calls of others would be refused, and that
/// would go unnoticed. The delays are drawn from a row that is always the same, so that runs can be repeated.
const LATE: f64 = 0.25;

/// All buckets of a process.
pub(super) struct Rates {
    timing: Timing,
    metrics: Metrics,
    buckets: Mutex<HashMap<Counted, Arc<Bucket>>>,
}

impl Rates {
    pub(super) fn new(timing: Timing, metrics: Metrics) -> Self {
        Self {
            timing,
            metrics,
            buckets: Mutex::default(),
        }
    }

    /// The bucket that counts these calls, full at first.
    pub(super) fn bucket(&self, counted: Counted) -> Arc<Bucket> {
        let quota = quota(counted.service, counted.action);
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(counted).or_insert_with_key(|counted| {
            let waits = Waits {
                metrics: self.metrics.clone(),
                service: counted.service,
            };
            Arc::new(Bucket::new(quota, &self.timing, waits))
        });
        Arc::clone(bucket)
    }

    /// How fast calls may leave, bucket by bucket.
    pub(super) fn paces(&self) -> Vec<Pace> {
        let now = Instant::now();
        let buckets = self.buckets.lock();
        let paces = buckets.iter().map(|(counted, bucket)| {
            let state = bucket.state.lock();
            let share = state.share.at(now);
            Pace {
                service: counted.service,
                action: counted.action,
                calls_per_second: share / bucket.each,
                share,
                waiting: state.line.len(),
            }
        });
        paces.collect()
    }
}

/// How fast the calls of one bucket may leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The service.
    pub service: Service,
    /// The action.
    pub action: &'static str,
    /// So many calls a second.
    pub calls_per_second: f64,
    /// The part of the quota that this is.
    pub share: f64,
    /// Calls that wait.
    pub waiting: usize,
}

/// Where it is noted how long calls waited.
struct Waits {
    metrics: Metrics,
    service: Service,
}

/// Calls that may leave, and how fast there are more.
pub(super) struct Bucket {
    /// Calls of the quota.
    calls: f64,
    /// Seconds in which the quota allows one call more.
    each: f64,
    state: Mutex<State>,
    waits: Waits,
}

struct State {
    line: Line,
    share: Share,
    tokens: f64,
    /// How many tokens let the next call leave: one, and the part of one by which it is late.
    needed: f64,
    /// Until when tokens are counted; ahead of now while the cloud asks to wait.
    at: Instant,
    late: fastrand::Rng,
}

impl Bucket {
    fn new((calls, seconds): (f64, f64), timing: &Timing, waits: Waits) -> Self {
        let window = timing.rate_minute.mul_f64(seconds / 60.0);
        let now = Instant::now();
        let share = Share::new(window, timing.rate_cooldown, now);
        Self {
            calls,
            waits,
            each: window.as_secs_f64() / calls,
            state: Mutex::new(State {
                line: Line::default(),
                tokens: burst(calls, share.at(now)),
                share,
                needed: 1.0,
                at: now,
                late: fastrand::Rng::with_seed(0),
            }),
        }
    }

    /// A place in the line.
    pub(super) fn ticket(self: &Arc<Self>, urgency: Urgency) -> Ticket {
        let place = self.state.lock().line.join(urgency);
        Ticket::new(Arc::clone(self), place)
    }

    /// Waits until a call may leave, and counts it. A caller that gives up waiting has spent nothing.
    pub(super) async fn take(self: &Arc<Self>, urgency: Urgency) -> Grant {
        self.ticket(urgency).await
    }

    /// A place in the line, unless a call would leave at once: then nothing is taken.
    pub(super) fn room(self: &Arc<Self>, urgency: Urgency) -> Option<Ticket> {
        let at_once = {
            let mut state = self.state.lock();
            state.line.is_empty() && self.missing(&mut state).is_none()
        };
        (!at_once).then(|| self.ticket(urgency))
    }

    /// Whether the call at this place goes now; else how long it waits before it asks again, if it is first in line.
    ///
    /// Once a call goes, another one is first, and has to be woken.
    fn go(&self, place: Place, waker: &Waker) -> Turn {
        let mut state = self.state.lock();
        let first = state.line.first() == Some(place);
        let missing = self.missing(&mut state);
        if first && missing.is_none() {
            state.line.go(place);
            state.tokens -= 1.0;
            // A call that comes when there is plenty need not be late.
            state.needed = match state.tokens >= 1.0 {
                true => 1.0,
                false => 1.0 + LATE * state.late.f64(),
            };
            return Turn::Goes(state.line.waker());
        }
        state.line.await_turn(place, waker);
        Turn::Waits(missing.filter(|_| first))
    }

    /// Notes that a call goes that came at `since`.
    fn waited(&self, since: Instant) {
        let waits = &self.waits.metrics.cloud_waits;
        waits.took([self.waits.service.name()], since.elapsed());
    }

    /// Gives up a place in the line.
    fn leave(&self, place: Place) {
        let next = {
            let mut state = self.state.lock();
            state.line.leave(place);
            state.line.waker()
        };
        wake(next);
    }

    /// Takes back a call that did not leave.
    fn give_back(&self) {
        let next = {
            let mut state = self.state.lock();
            self.refill(&mut state, Instant::now());
            state.tokens += 1.0;
            // The call that takes it over is as late as this one was.
            state.needed = 1.0;
            state.line.waker()
        };
        wake(next);
    }

    /// How long no call can leave yet.
    fn missing(&self, state: &mut State) -> Option<Duration> {
        let now = Instant::now();
        self.refill(state, now);
        let asked_to_wait = state.at.saturating_duration_since(now);
        let missing = (state.needed - state.tokens).max(0.0);
        let seconds = missing * self.each / state.share.at(state.at);
        let wait = asked_to_wait + Duration::from_secs_f64(seconds);
        // A wait shorter than the clock can tell counts as none: this is asked in a loop.
        (!wait.is_zero()).then_some(wait)
    }

    /// Takes in that the cloud said *too many*, and how long it asks to wait.
    pub(super) fn throttled(&self, hint: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        self.refill(&mut state, now);
        state.tokens = state.tokens.min(0.0);
        state.share.too_much(now);
        // Nothing gathers while the cloud asks to wait: it would all leave at once.
        state.at = state.at.max(now + hint.unwrap_or_default());
    }

    fn refill(&self, state: &mut State, now: Instant) {
        if now <= state.at {
            return;
        }
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        let share = state.share.at(now);
        let gathered = state.tokens + passed * share / self.each;
        state.tokens = gathered.min(burst(self.calls, share));
        state.at = now;
    }
}

/// Tells somebody that it may be first now; not while anything is locked, as it may want to look at once.
fn wake(next: Option<Waker>) {
    if let Some(next) = next {
        next.wake();
    }
}

/// The bucket's answer to a call that waits.
enum Turn {
    /// It goes, and this wakes the call that is first then.
    Goes(Option<Waker>),
    /// It waits: so long if it is first, else until it is woken.
    Waits(Option<Duration>),
}

/// How many calls of a quota may gather at this share of it.
///
/// A window sees the calls that gathered, and all that came since. Together they are to be no more than the share that
/// is never exceeded, or a little more where almost nothing would be left to gather. Two may always gather, so that the
/// second can be late.
fn burst(calls: f64, share: f64) -> f64 {
    let gathered = (MOST - share).clamp(1.0 - MOST, BURST);
    (calls * gathered).max(2.0)
}

#[cfg(test)]
mod tests;
