//! The measurements of one size, in order; each begins when nothing moves.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;

use crate::{
    cloud::Cloud,
    converged::Converged,
    figures::{Figures, Percentiles, Rest, Sweep, Takeover},
    fleet::{self, Fleet},
    process::{Program, Replica, Signal},
};

/// What is measured.
pub struct Plan {
    /// Objects.
    pub size: usize,
    /// Whether to stop before what no goal is gated for: edits, takeovers, and the usual interval.
    pub brief: bool,
    /// Single edits.
    pub edits: usize,
    /// Whether it also rests with the interval that objects have when they name none.
    pub usual_interval: bool,
}

/// Nobody is due within any measurement.
const SELDOM: Duration = Duration::from_hours(24);

/// The interval of objects that name none.
const USUAL: Duration = Duration::from_mins(5);

/// How long the operator is looked at while it rests.
const REST: Duration = Duration::from_secs(30);

/// A call that does not come within this time does not come.
const PATIENCE: Duration = Duration::from_mins(2);

/// Measures one size. What could not be measured stays `None`, with the reason in the figures.
pub async fn measure(program: &Program, plan: &Plan) -> Figures {
    let mut figures = Figures::of(plan.size);
    if let Err(error) = measure_into(&mut figures, program, plan).await {
        figures.stopped = Some(format!("{error:#}"));
    }
    figures
}

async fn measure_into(figures: &mut Figures, program: &Program, plan: &Plan) -> Result<()> {
    let size = plan.size;
    say(size, "starting a control plane and a cloud");
    let fleet = Fleet::start(size).await?;
    let cloud = Cloud::start(size).await?;
    say(size, "making the objects");
    fleet.create(SELDOM).await?;
    let mut converged = Converged::watch(fleet.client());
    converged.seen(size).await?;
    let mut stage = Stage {
        program,
        fleet,
        cloud,
        converged,
        size,
        replicas: 0,
    };

    say(size, "the first sweep");
    let (mut leader, sweep) = stage.sweep(Until::Converged).await?;
    figures.sweep = Some(sweep);
    say(size, "at rest");
    figures.rest = Some(stage.rest(&mut leader, REST).await?);
    say(size, "a restart");
    leader.signal(Signal::Terminate).await?;
    leader.ended(Signal::Terminate).await?;
    let (mut leader, sweep) = stage.sweep(Until::LookedAt).await?;
    figures.restart = Some(sweep);
    if plan.brief {
        leader.signal(Signal::Terminate).await?;
        return leader.ended(Signal::Terminate).await;
    }
    say(size, "single edits");
    figures.first_call = Some(stage.edits(&leader, plan.edits).await?);
    leader.still_runs()?;

    for (number, signal) in [Signal::Terminate, Signal::Kill].into_iter().enumerate() {
        say(size, signal.words());
        let mut standby = stage.start().await?;
        standby.ready().await?;
        stage.quiet().await?;
        figures.standby = Some(standby.usage()?.resident);
        let takeover = stage.takeover(leader, &standby, signal, number).await?;
        leader = standby;
        match signal {
            Signal::Terminate => figures.told = Some(takeover),
            Signal::Kill => figures.killed = Some(takeover),
        }
        stage.quiet().await?;
    }

    if plan.usual_interval {
        say(size, "at rest with the usual interval, for all of it");
        stage.cloud.look_afresh();
        stage.fleet.set_interval(USUAL).await?;
        // From then on somebody is always due: it is never quiet.
        stage.all_looked_at().await?;
        // A shorter look would see none or all of them, as they are due at about the same time.
        figures.usual = Some(stage.rest(&mut leader, USUAL).await?);
    }
    leader.signal(Signal::Terminate).await?;
    leader.ended(Signal::Terminate).await
}

/// When a sweep is over.
#[derive(Clone, Copy)]
enum Until {
    Converged,
    LookedAt,
}

/// Everything that a replica talks to.
struct Stage<'program> {
    program: &'program Program,
    fleet: Fleet,
    cloud: Cloud,
    converged: Converged,
    size: usize,
    /// How many were started.
    replicas: usize,
}

impl Stage<'_> {
    async fn start(&mut self) -> Result<Replica> {
        self.replicas += 1;
        let name = format!("{}-{}", self.size, self.replicas);
        let access = self.fleet.access().await?;
        let key = self.cloud.key()?;
        self.program.start(&name, &access, &self.cloud.url(), key)
    }

    /// Starts a replica and waits until it has seen to every object. Calls and writes are those until nothing moves.
    async fn sweep(&mut self, until: Until) -> Result<(Replica, Sweep)> {
        let (calls, writes) = (self.cloud.counts(), self.fleet.writes().await?);
        self.cloud.look_afresh();
        let begun = Instant::now();
        let mut replica = self.start().await?;
        let over = match until {
            Until::Converged => self.converged.all(self.size).await,
            Until::LookedAt => self.all_looked_at().await,
        };
        let wall = begun.elapsed();
        let usage = replica.usage()?;
        over.with_context(|| {
            format!(
                "{:.1} s CPU, {} MiB",
                usage.cpu.as_secs_f64(),
                usage.resident / 1024
            )
        })?;
        self.quiet().await?;
        let sweep = Sweep {
            wall,
            cpu: usage.cpu,
            calls: self.cloud.counts().since(calls),
            writes: self.fleet.writes().await? - writes,
            resident: usage.resident,
            peak: replica.usage()?.peak,
        };
        Ok((replica, sweep))
    }

    async fn all_looked_at(&self) -> Result<()> {
        let mut last = (0, Instant::now());
        loop {
            let named = self.cloud.named();
            if named >= self.size {
                return Ok(());
            }
            if named > last.0 {
                last = (named, Instant::now());
            }
            if last.1.elapsed() > Duration::from_mins(1) {
                bail!("no progress for 60s: {named} of {} looked at", self.size);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nobody has called the cloud or written an object for a while.
    async fn quiet(&self) -> Result<()> {
        let state = || (self.cloud.counts(), self.converged.progress());
        let begun = Instant::now();
        let mut last = (state(), Instant::now());
        while last.1.elapsed() < Duration::from_secs(3) {
            if begun.elapsed() > Duration::from_mins(5) {
                bail!("after five minutes there are still calls or writes");
            }
            sleep(Duration::from_millis(100)).await;
            let now = state();
            if now != last.0 {
                last = (now, Instant::now());
            }
        }
        Ok(())
    }

    async fn rest(&self, replica: &mut Replica, lasts: Duration) -> Result<Rest> {
        let (calls, writes) = (self.cloud.counts(), self.fleet.writes().await?);
        let before = replica.usage()?;
        sleep(lasts).await;
        let after = replica.usage()?;
        Ok(Rest {
            lasted: lasts,
            cpu: after.cpu.saturating_sub(before.cpu),
            calls: self.cloud.counts().since(calls),
            writes: self.fleet.writes().await? - writes,
            resident: after.resident,
        })
    }

    /// Edits objects one after the other, each when the one before has converged.
    async fn edits(&mut self, leader: &Replica, count: usize) -> Result<Percentiles> {
        let mut took = Vec::new();
        let objects = self.size - EDITED_LATER;
        let count = count.min(objects);
        for nth in 0..count {
            let number = EDITED_LATER + nth * objects / count;
            let call = self.cloud.first_call(Some(number), &leader.key);
            let sent = Instant::now();
            let arrived = call.arrived(PATIENCE);
            let (patched, arrived) = tokio::join!(self.fleet.add_member(number), arrived);
            patched?;
            took.push(arrived.context("an edit")?.duration_since(sent));
            self.converged.one(&fleet::name(number), EDITED).await?;
        }
        Percentiles::of(took).context("too few objects to edit any")
    }

    /// Ends the leader, edits an object at once, and takes the time until the standby's first call.
    async fn takeover(
        &self,
        mut leader: Replica,
        standby: &Replica,
        signal: Signal,
        number: usize,
    ) -> Result<Takeover> {
        let edited = self.cloud.first_call(Some(number), &standby.key);
        let any = self.cloud.first_call(None, &standby.key);
        let begun = Instant::now();
        leader.signal(signal).await?;
        let (patched, ended, any, edited) = tokio::join!(
            self.fleet.add_member(number),
            leader.ended(signal),
            any.arrived(PATIENCE),
            edited.arrived(PATIENCE)
        );
        patched?;
        ended?;
        Ok(Takeover {
            any: any?.duration_since(begun),
            edited: edited?.duration_since(begun),
        })
    }
}

/// Objects from number 0 that are left for the takeovers to edit.
const EDITED_LATER: usize = 2;

/// The generation of an object that was edited once.
const EDITED: i64 = 2;

/// Tells what is going on, for who waits.
fn say(size: usize, what: &str) {
    _ = writeln!(std::io::stderr(), "{size}: {what}");
}
