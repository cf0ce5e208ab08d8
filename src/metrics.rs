//! Every metric, named once, with its unit, its labels and what it says: `docs/metrics.md` is made of this file.
//!
//! They belong to one operator, not to the process: several run in one process in tests. What happens is counted where it
//! happens. What stands is not kept up to date: it is read when somebody asks, from what is counted anyhow. No label holds
//! an id or a name, so the number of series does not grow with the objects.

mod family;
mod reference;

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::{encoding::text, registry::Registry};

pub use family::{Counters, Gauges, Times};
pub use reference::reference;

use family::Names;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds until an answer: from a quick read to a call that is given up.
const ANSWER: &[f64] = &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Seconds that something waits, or a pass takes: up to minutes.
const WAIT: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

/// The metrics of one operator; clones are one.
#[derive(Clone)]
pub struct Metrics(Arc<All>);

/// Every metric.
pub struct All {
    /// Attempts to call the cloud, by product, action and outcome.
    pub cloud_calls: Counters<3>,
    /// How long the cloud takes, by product and action.
    pub cloud_call_times: Times<2>,
    /// How long calls wait, by product.
    pub cloud_waits: Times<1>,
    /// Calls that wait, by product and action.
    pub cloud_waiting: Gauges<2>,
    /// How fast calls may leave, by product and action.
    pub cloud_rates: Gauges<2>,
    /// The share of the quota that is used at most, by product and action.
    pub cloud_shares: Gauges<2>,
    /// Passes, by kind and verdict.
    pub passes: Counters<2>,
    /// How long passes take, by kind.
    pub pass_times: Times<1>,
    /// Objects in the queue, by what they do there.
    pub queue_objects: Gauges<1>,
    /// How long the first of those that wait has waited.
    pub queue_oldest: Gauges<0>,
    /// How long objects wait for their pass.
    pub queue_waits: Times<0>,
    /// Looks that found drift, by kind.
    pub drift: Counters<1>,
    /// Members and attachments whose change the cloud accepted, by kind and change.
    pub changes: Counters<2>,
    /// Differences that are left alone, by kind and reason.
    pub held: Gauges<2>,
    /// Objects, by kind, situation and reason.
    pub objects: Gauges<3>,
    /// Whether this replica leads.
    pub leads: Gauges<0>,
    /// How often the lease has changed hands.
    pub epoch: Gauges<0>,
    /// How long ago the lease was renewed.
    pub lease_age: Gauges<0>,
    /// How long ago keys were had from their source, by source.
    pub keys_age: Gauges<1>,
    /// How long keys last yet, by source.
    pub keys_left: Gauges<1>,
    /// Sources that gave no keys, by source.
    pub keys_failing: Gauges<1>,
    /// For how long a watch has failed, by kind.
    pub watch_failing: Gauges<1>,
    /// Failures of watches, by kind.
    pub watch_failures: Counters<1>,
    /// Requests to Kubernetes that are no watches, by outcome.
    pub kubernetes_requests: Counters<1>,
    /// How long Kubernetes takes to answer them.
    pub kubernetes_times: Times<0>,
    /// The queue as the dispatcher saw it last.
    queue: Mutex<Option<QueueSeen>>,
    registry: Registry,
    described: Vec<Described>,
    /// One answer at a time: each sets what stands anew.
    answering: Mutex<()>,
    stands: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// The queue at one moment. Times are since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSeen {
    /// Objects that wait for a pass.
    pub waiting: usize,
    /// Objects that have one.
    pub working: usize,
    /// Objects that wait until a call may leave.
    pub for_a_call: usize,
    /// Since when the first has waited for a pass.
    pub oldest: Option<Duration>,
}

/// What there is to know about a metric.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its whole name, as queries have it; of a histogram without `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: &'static str,
    /// The unit of its value; empty for a number of things.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: Vec<&'static str>,
    /// What it says.
    pub help: &'static str,
}

impl Default for Metrics {
    #[expect(clippy::too_many_lines, reason = "each metric takes its lines")]
    fn default() -> Self {
        let mut new = Names::new("server_group_operator");
        new.info(
            "build",
            [("version", env!("CARGO_PKG_VERSION"))],
            "The version of the program; always 1",
        );
        let all = All {
            cloud_calls: new.counters(
                "cloud_calls",
                ["product", "action", "outcome"],
                "Attempts to call the cloud",
            ),
            cloud_call_times: new.times(
                "cloud_call_duration",
                ["product", "action"],
                ANSWER,
                "From sending a call until its answer was read, or until it was given up",
            ),
            cloud_waits: new.times(
                "cloud_call_wait",
                ["product"],
                WAIT,
                "How long a call waited until the operator's own rate let it leave",
            ),
            cloud_waiting: new.gauges(
                "cloud_calls_waiting",
                "",
                ["product", "action"],
                "Calls that wait until the operator's own rate lets them leave",
            ),
            cloud_rates: new.gauges(
                "cloud_rate",
                "calls_per_second",
                ["product", "action"],
                "How fast calls may leave; of several accounts and regions the slowest",
            ),
            cloud_shares: new.gauges(
                "cloud_rate_share",
                "ratio",
                ["product", "action"],
                "The part of the published quota that the operator uses at most; of several accounts and regions the least",
            ),
            passes: new.counters(
                "reconciles",
                ["kind", "verdict"],
                "Passes over an object, by how they ended",
            ),
            pass_times: new.times(
                "reconcile_duration",
                ["kind"],
                WAIT,
                "How long a pass over an object took, calls and their waits included",
            ),
            queue_objects: new.gauges(
                "queue_objects",
                "",
                ["state"],
                "Objects in the queue of a replica that leads",
            ),
            queue_oldest: new.gauges(
                "queue_oldest",
                "seconds",
                [],
                "How long the object has waited for a pass that has waited longest; 0 if none waits",
            ),
            queue_waits: new.times(
                "queue_wait",
                [],
                WAIT,
                "How long objects waited for their pass",
            ),
            drift: new.counters(
                "drift_found",
                ["kind"],
                "Looks that found the cloud to differ from a spec that nobody had changed since it matched",
            ),
            changes: new.counters(
                "changes_accepted",
                ["kind", "change"],
                "Members or attachments whose change the cloud accepted",
            ),
            held: new.gauges(
                "held",
                "",
                ["kind", "reason"],
                "Differences that are left alone, as the statuses say; NotNamed are those beyond the first 20 of an object",
            ),
            objects: new.gauges(
                "objects",
                "",
                ["kind", "situation", "reason"],
                "Objects, as their statuses say; every replica tells of all",
            ),
            leads: new.gauges(
                "leading",
                "",
                [],
                "1 if this replica may change the cloud now, else 0",
            ),
            epoch: new.gauges(
                "lease_epoch",
                "",
                [],
                "How often the lease had changed hands when this replica got it",
            ),
            lease_age: new.gauges(
                "lease_age",
                "seconds",
                [],
                "Since this replica renewed its lease; it ends itself at 10",
            ),
            keys_age: new.gauges(
                "keys_age",
                "seconds",
                ["source"],
                "Since the keys in use were had from their source; of several the oldest",
            ),
            keys_left: new.gauges(
                "keys_left",
                "seconds",
                ["source"],
                "Until the temporary keys in use end, by the cloud's clock; of several the first",
            ),
            keys_failing: new.gauges(
                "keys_failing",
                "",
                ["source"],
                "Sources, one for each account and region, that gave no keys when they were last asked",
            ),
            watch_failing: new.gauges(
                "watch_failing",
                "seconds",
                ["kind"],
                "For how long the watch of a kind has failed; 0 while it works. From 60 on the replica is not ready",
            ),
            watch_failures: new.counters(
                "watch_failures",
                ["kind"],
                "Failures of the watch of a kind",
            ),
            kubernetes_requests: new.counters(
                "kubernetes_requests",
                ["outcome"],
                "Requests to Kubernetes about objects and events, watches apart",
            ),
            kubernetes_times: new.times(
                "kubernetes_request_duration",
                [],
                ANSWER,
                "How long Kubernetes took to answer them",
            ),
            queue: Mutex::default(),
            answering: Mutex::default(),
            stands: OnceLock::new(),
            described: new.described,
            registry: new.registry,
        };
        Self(Arc::new(all))
    }
}

impl Metrics {
    /// Every metric, in the order in which they are told.
    pub fn described(&self) -> &[Described] {
        &self.0.described
    }

    /// Sets what is asked before each answer to set what stands. The first one stays.
    pub fn read_by(&self, stands: impl Fn() + Send + Sync + 'static) {
        _ = self.0.stands.set(Box::new(stands));
    }

    /// Notes how the queue looks now.
    pub fn queue_is(&self, seen: QueueSeen) {
        *self.0.queue.lock() = Some(seen);
    }

    /// How the queue looked last; `None` if this replica never led.
    pub fn queue(&self) -> Option<QueueSeen> {
        *self.0.queue.lock()
    }

    /// All of them as text, in the format that [`CONTENT_TYPE`] names.
    pub fn text(&self) -> String {
        let _answering = self.0.answering.lock();
        if let Some(stands) = self.0.stands.get() {
            stands();
        }
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry).expect("a string takes everything");
        text
    }
}

impl Deref for Metrics {
    type Target = All;

    fn deref(&self) -> &All {
        &self.0
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests;
