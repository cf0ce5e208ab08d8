//! What was measured of one size.

use std::time::Duration;

use crate::cloud::Counts;

/// The figures of one size; `None` = not measured.
#[derive(Debug, Default)]
pub struct Figures {
    pub objects: usize,
    /// From the start of a process that has all to do until every object has converged.
    pub sweep: Option<Sweep>,
    /// Afterwards, when no object is due.
    pub rest: Option<Rest>,
    /// From the start of a process that has nothing to do until it has looked at every group.
    pub restart: Option<Sweep>,
    /// From an edit until the first call about it.
    pub first_call: Option<Percentiles>,
    /// Memory of a replica that waits, in KiB.
    pub standby: Option<u64>,
    /// After the leader was told to end.
    pub told: Option<Takeover>,
    /// After the leader was killed.
    pub killed: Option<Takeover>,
    /// A whole interval of five minutes.
    pub usual: Option<Rest>,
    /// Why the rest was not measured.
    pub stopped: Option<String>,
}

impl Figures {
    /// Nothing is measured yet.
    pub fn of(objects: usize) -> Self {
        Self {
            objects,
            ..Self::default()
        }
    }

    /// Processor time of the first sweep for each object.
    pub fn cpu_per_object(&self) -> Option<Duration> {
        let objects = u32::try_from(self.objects).ok()?;
        self.sweep.as_ref()?.cpu.checked_div(objects)
    }
}

/// A start, and what it took until every object was seen to.
#[derive(Debug)]
pub struct Sweep {
    pub wall: Duration,
    pub cpu: Duration,
    /// Until nothing moved any more.
    pub calls: Counts,
    /// To Kubernetes, likewise.
    pub writes: usize,
    /// Memory when every object was seen to, in KiB.
    pub resident: u64,
    /// The most there ever was, in KiB.
    pub peak: u64,
}

/// A while in which nobody wanted anything.
#[derive(Debug)]
pub struct Rest {
    pub lasted: Duration,
    pub cpu: Duration,
    pub calls: Counts,
    /// To Kubernetes.
    pub writes: usize,
    /// Memory at its end, in KiB.
    pub resident: u64,
}

/// From the end of a leader until its successor's first call.
#[derive(Debug)]
pub struct Takeover {
    /// About any group.
    pub any: Duration,
    /// About the group of the object that was edited when the leader ended.
    pub edited: Duration,
}

/// Of many times of the same thing.
#[derive(Debug, PartialEq, Eq)]
pub struct Percentiles {
    pub p50: Duration,
    pub p99: Duration,
}

impl Percentiles {
    /// By the nearest rank; `None` of nothing.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let rank = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            times.get(rank.checked_sub(1)?).copied()
        };
        Some(Self {
            p50: rank(50)?,
            p99: rank(99)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_of_100_is_the_last_but_one() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let expected = Percentiles {
            p50: Duration::from_millis(50),
            p99: Duration::from_millis(99),
        };
        assert_eq!(Percentiles::of(times), Some(expected));
        assert_eq!(Percentiles::of(Vec::new()), None);
    }
}
