//! Metrics of one name that differ in the values of their labels, and how they are named.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};

use super::Described;

/// Labels with their values. Values are words of the program: there is no room here for what a person or the cloud says.
type Labels<const N: usize> = [(&'static str, &'static str); N];

fn labels<const N: usize>(names: [&'static str; N], values: [&'static str; N]) -> Labels<N> {
    std::array::from_fn(|at| (names[at], values[at]))
}

/// Numbers that only grow.
pub struct Counters<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, Counter>,
}

impl<const N: usize> Counters<N> {
    /// One more.
    pub fn one(&self, values: [&'static str; N]) {
        self.add(values, 1);
    }

    /// So many more.
    pub fn add(&self, values: [&'static str; N], count: usize) {
        let labels = labels(self.names, values);
        let counter = self.family.get_or_create_owned(&labels);
        counter.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Numbers that go up and down.
pub struct Gauges<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, Gauge<f64, AtomicU64>>,
}

impl<const N: usize> Gauges<N> {
    /// These, and no others.
    pub fn are(&self, numbers: impl IntoIterator<Item = ([&'static str; N], f64)>) {
        self.family.clear();
        for (values, number) in numbers {
            let labels = labels(self.names, values);
            self.family.get_or_create_owned(&labels).set(number);
        }
    }
}

/// How long something takes, in buckets.
pub struct Times<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, Histogram, Buckets>,
}

impl<const N: usize> Times<N> {
    /// It took so long.
    pub fn took(&self, values: [&'static str; N], time: Duration) {
        let labels = labels(self.names, values);
        let times = self.family.get_or_create_owned(&labels);
        times.observe(time.as_secs_f64());
    }
}

/// The upper ends of buckets, in seconds.
#[derive(Clone)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// Names metrics, and keeps what there is to know about them.
pub(super) struct Names {
    prefix: &'static str,
    pub(super) registry: Registry,
    pub(super) described: Vec<Described>,
}

impl Names {
    pub(super) fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            registry: Registry::with_prefix(prefix),
            described: Vec::new(),
        }
    }

    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &str,
        names: [&'static str; N],
        help: &'static str,
    ) -> Counters<N> {
        let family = Family::<Labels<N>, Counter>::default();
        self.registry.register(name, help, Family::clone(&family));
        self.describe(&[name, "total"], "counter", "", &names, help);
        Counters { names, family }
    }

    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &str,
        unit: &'static str,
        names: [&'static str; N],
        help: &'static str,
    ) -> Gauges<N> {
        let family = Family::<Labels<N>, Gauge<f64, AtomicU64>>::default();
        let metric = Family::clone(&family);
        if unit.is_empty() {
            self.registry.register(name, help, metric);
        } else {
            let unit = Unit::Other(unit.to_owned());
            self.registry.register_with_unit(name, help, unit, metric);
        }
        self.describe(&[name, unit], "gauge", unit, &names, help);
        Gauges { names, family }
    }

    pub(super) fn times<const N: usize>(
        &mut self,
        name: &str,
        names: [&'static str; N],
        buckets: &'static [f64],
        help: &'static str,
    ) -> Times<N> {
        let family = Family::<Labels<N>, Histogram, _>::new_with_constructor(Buckets(buckets));
        let metric = Family::clone(&family);
        self.registry
            .register_with_unit(name, help, Unit::Seconds, metric);
        self.describe(&[name, "seconds"], "histogram", "seconds", &names, help);
        Times { names, family }
    }

    pub(super) fn info<const N: usize>(
        &mut self,
        name: &str,
        labels: Labels<N>,
        help: &'static str,
    ) {
        self.registry.register(name, help, Info::new(labels));
        let names = labels.map(|(name, _)| name);
        self.describe(&[name, "info"], "info", "", &names, help);
    }

    fn describe(
        &mut self,
        name: &[&str],
        kind: &'static str,
        unit: &'static str,
        labels: &[&'static str],
        help: &'static str,
    ) {
        let parts = std::iter::once(self.prefix).chain(name.iter().copied());
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        self.described.push(Described {
            name: parts.join("_"),
            kind,
            unit,
            labels: labels.to_vec(),
            help,
        });
    }
}
