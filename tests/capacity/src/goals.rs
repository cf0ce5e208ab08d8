//! What is asked of the figures. Counts and ratios are the same on every machine and decide whether the bench succeeds, and
//! so does the processor time of who has nothing to do; other times and memory are said beside their goals.

use std::{fmt, time::Duration};

use crate::figures::{Figures, Rest, Sweep, Takeover};

/// One goal, and whether it was reached.
#[derive(Debug)]
pub struct Goal {
    /// What is asked for.
    pub asked: String,
    /// What was measured.
    pub measured: String,
    pub reached: bool,
    /// Whether the bench fails without it.
    pub gated: bool,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.reached { "ok" } else { "missed" };
        let gated = if self.gated { " (gated)" } else { "" };
        write!(f, "{verdict:<6}  {}: {}{gated}", self.asked, self.measured)
    }
}

/// How much more an object may cost among ten thousand than among a thousand.
const RATIO_MAX: f64 = 1.3;

/// A twentieth more, for objects that are looked at once more than they need.
const MORE: f64 = 1.05;

/// Reads of a group whose members are adopted: a look before that is written down, and one after.
const SWEEP_READS: f64 = 2.0 * MORE;

/// Writes of an object whose members are adopted: its finalizer, its ledger, its condition.
const SWEEP_WRITES: f64 = 3.0 * MORE;

/// Reads of a group when the operator starts and has nothing to do.
const RESTART_READS: f64 = MORE;

/// Processor time of [`Rest`]: many times what the lease and three watches take, on any machine.
const REST_CPU: Duration = Duration::from_millis(200);

/// How long the lease lasts.
const LEASE: Duration = Duration::from_secs(15);

/// All goals that the figures say something about.
pub fn judge(all: &[Figures]) -> Vec<Goal> {
    let mut goals: Vec<Goal> = all.iter().flat_map(counts).collect();
    goals.extend(ratio(all));
    goals.extend(all.iter().flat_map(times));
    goals
}

fn gated(asked: String, measured: String, reached: bool) -> Goal {
    Goal {
        asked,
        measured,
        reached,
        gated: true,
    }
}

fn counts(figures: &Figures) -> Vec<Goal> {
    let size = figures.objects;
    let mut goals = Vec::new();
    if let Some(stopped) = &figures.stopped {
        let asked = format!("{size}: measured to the end");
        goals.push(gated(asked, stopped.clone(), false));
    }
    if let Some(rest) = &figures.rest {
        let Rest { calls, writes, .. } = rest;
        goals.push(gated(
            format!("{size}: no call and no write at rest"),
            format!(
                "{} reads, {} changes, {writes} writes",
                calls.reads, calls.changes
            ),
            calls.reads + calls.changes + writes == 0,
        ));
        goals.push(gated(
            format!("{size}: CPU of {:?} at rest <= {REST_CPU:?}", rest.lasted),
            format!("{:?}", rest.cpu),
            rest.cpu <= REST_CPU,
        ));
    }
    if let Some(Sweep { calls, writes, .. }) = &figures.sweep {
        let (reads, writes) = (per(calls.reads, size), per(*writes, size));
        goals.push(gated(
            format!(
                "{size}: reads and writes of an object in the first sweep <= {SWEEP_READS:.2} and {SWEEP_WRITES:.2}, no changes"
            ),
            format!("{reads:.2} and {writes:.2}, {} changes", calls.changes),
            reads <= SWEEP_READS && writes <= SWEEP_WRITES && calls.changes == 0,
        ));
    }
    if let Some(Sweep { calls, writes, .. }) = &figures.restart {
        let reads = per(calls.reads, size);
        goals.push(gated(
            format!(
                "{size}: reads of an object after a restart <= {RESTART_READS:.2}, nothing written"
            ),
            format!("{reads:.2}, {} changes, {writes} writes", calls.changes),
            reads <= RESTART_READS && calls.changes + writes == 0,
        ));
    }
    goals
}

/// Of the largest size to the smallest, if there are two.
fn ratio(all: &[Figures]) -> Option<Goal> {
    let measured = || {
        all.iter()
            .filter_map(|one| Some((one.objects, one.cpu_per_object()?)))
    };
    let (small, least) = measured().min_by_key(|(size, _)| *size)?;
    let (large, most) = measured().max_by_key(|(size, _)| *size)?;
    let ratio = most.as_secs_f64() / least.as_secs_f64();
    (small < large).then(|| {
        gated(
            format!("CPU of an object at {large} <= {RATIO_MAX} x that at {small}"),
            format!("{ratio:.2} x"),
            ratio <= RATIO_MAX,
        )
    })
}

fn times(figures: &Figures) -> Vec<Goal> {
    let size = figures.objects;
    let mut goals = Vec::new();
    let mut within = |what: &str, took: Duration, most: Duration| {
        goals.push(Goal {
            asked: format!("{size}: {what} <= {most:?}"),
            measured: format!("{took:.3?}"),
            reached: took <= most,
            gated: false,
        });
    };
    if let Some(first_call) = &figures.first_call {
        let what = "event to first call, p99";
        within(what, first_call.p99, Duration::from_millis(150));
    }
    if let Some(Takeover { any, .. }) = figures.told {
        within("takeover, graceful", any, Duration::from_secs(2));
    }
    if let Some(Takeover { any, .. }) = figures.killed {
        within("takeover, killed", any, LEASE + Duration::from_secs(5));
    }
    if let Some(sweep) = figures.sweep.as_ref().filter(|_| size <= 10_000) {
        goals.push(Goal {
            asked: format!("{size}: memory at its peak <= 120 MiB, aim 60"),
            measured: format!("{} MiB", sweep.peak / 1024),
            reached: sweep.peak <= 120 * 1024,
            gated: false,
        });
    }
    goals
}

#[expect(clippy::cast_precision_loss, reason = "the figures are small")]
fn per(count: usize, objects: usize) -> f64 {
    count as f64 / objects as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cloud::Counts, figures::Percentiles};

    fn swept(objects: usize, cpu: u64) -> Figures {
        let sweep = Sweep {
            wall: Duration::from_secs(1),
            cpu: Duration::from_millis(cpu),
            calls: Counts {
                reads: objects,
                ..Counts::default()
            },
            writes: 0,
            resident: 1,
            peak: 1,
        };
        Figures {
            sweep: Some(sweep),
            ..Figures::of(objects)
        }
    }

    fn missed(figures: &[Figures]) -> Vec<String> {
        let goals = judge(figures).into_iter();
        let missed = goals.filter(|goal| goal.gated && !goal.reached);
        missed.map(|goal| goal.to_string()).collect()
    }

    #[test]
    fn an_object_that_costs_more_among_many_fails_the_bench() {
        assert!(missed(&[swept(1000, 1000), swept(10_000, 13_000)]).is_empty());
        let missed = missed(&[swept(1000, 1000), swept(10_000, 13_100)]);
        assert_eq!(missed.len(), 1, "{missed:?}");
        assert!(missed[0].contains("1.31 x"), "{missed:?}");
    }

    #[test]
    fn a_write_or_work_at_rest_fails_the_bench_and_a_slow_machine_does_not() {
        let rest = |writes, cpu| Figures {
            rest: Some(Rest {
                lasted: Duration::from_secs(30),
                cpu,
                calls: Counts::default(),
                writes,
                resident: 1,
            }),
            ..Figures::of(1000)
        };
        assert_eq!(missed(&[rest(1, Duration::ZERO)]).len(), 1);
        assert_eq!(missed(&[rest(0, Duration::from_millis(210))]).len(), 1);
        let slow = Figures {
            first_call: Percentiles::of(vec![Duration::from_secs(9)]),
            ..rest(0, Duration::from_millis(200))
        };
        assert!(missed(&[slow]).is_empty());
    }

    #[test]
    fn a_size_that_does_not_finish_fails_the_bench() {
        let stuck = Figures {
            stopped: Some("no progress".into()),
            ..Figures::of(4000)
        };
        assert_eq!(missed(&[stuck]).len(), 1);
    }
}
