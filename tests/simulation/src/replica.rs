//! One process of the operator: the whole of it, on a runtime of its own whose clock the schedule moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures::task::AtomicWaker;
use jiff::SignedDuration;
use kube::Client;
use server_group_operator::{
    chance::Chance,
    cloud::{Environment, Signature, Transport, TransportConfig},
    run::{Candidate, Ended, Operator},
    timing::Timing,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::date,
    gate::{Ask, Gate},
};

/// The namespace of the lease.
pub const HOME: &str = "operator";

/// How a replica is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Which one it is, from 1.
    pub number: usize,
    /// When, since the beginning of the schedule.
    pub at: Duration,
    /// What its random numbers come from.
    pub seed: u64,
    /// Whether it takes part in an election.
    pub elects: bool,
}

/// One process of the operator. Dropped, it ends as by a crash.
pub struct Replica {
    /// Which one it is, from 1.
    pub number: usize,
    started: Duration,
    gate: Gate,
    idle: Arc<Idle>,
    wall_ahead: Arc<AtomicI64>,
    task: JoinHandle<Result<(), Ended>>,
    stop: CancellationToken,
    // Dropped last: what runs on it goes with it.
    runtime: Option<Runtime>,
}

impl Replica {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// If there is no runtime to be had.
    #[must_use]
    pub fn start(start: &Start) -> Self {
        let idle = Arc::new(Idle::default());
        let parked = Arc::clone(&idle);
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .on_thread_park(move || parked.parks())
            .build()
            .expect("a runtime without threads and sockets");
        let (gate, wall_ahead) = {
            let _within = runtime.enter();
            (Gate::new(), Arc::new(AtomicI64::new(0)))
        };
        let stop = CancellationToken::new();
        let task = {
            let (gate, ahead, stop) = (gate.clone(), Arc::clone(&wall_ahead), stop.clone());
            let (start, handle) = (start.clone(), runtime.handle().clone());
            runtime.spawn(async move { operator(&start, &gate, ahead, handle).run(stop).await })
        };
        Self {
            number: start.number,
            started: start.at,
            gate,
            idle,
            wall_ahead,
            task,
            stop,
            runtime: Some(runtime),
        }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the end")
    }

    /// The moment that it has reached.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.started + self.runtime().block_on(async { self.gate.elapsed() })
    }

    /// Lets it do everything that it can do without any time passing.
    pub fn settle(&self) {
        self.idle.arm(true);
        self.runtime().block_on(self.idle.idle());
        self.idle.arm(false);
    }

    /// Lets time pass for it until `then`, or until it asks something; returns the moment that it has reached.
    pub fn run_until(&self, then: Duration) -> Duration {
        let moment = self.gate.moment(then.saturating_sub(self.started));
        self.runtime().block_on(async {
            while self.gate.is_empty() && tokio::time::Instant::now() < moment {
                tokio::select! {
                    biased;
                    () = self.gate.arrived() => {}
                    () = tokio::time::sleep_until(moment) => {}
                }
            }
            self.started + self.gate.elapsed()
        })
    }

    /// Lets all the time until `then` pass at once, as for a process that was stopped meanwhile.
    pub fn wake_at(&self, then: Duration) {
        self.runtime().block_on(async {
            let passed = then.saturating_sub(self.started + self.gate.elapsed());
            tokio::time::advance(passed).await;
        });
    }

    /// Sets its wall clock ahead by so much, or back.
    pub fn set_wall_clock(&self, ahead: SignedDuration) {
        let ahead = i64::try_from(ahead.as_millis()).unwrap_or_default();
        self.wall_ahead.store(ahead, Ordering::Relaxed);
    }

    /// Takes what it asked, with the moment at which each left.
    #[must_use]
    pub fn asks(&self) -> Vec<(Duration, Ask)> {
        let asks = self.gate.take().into_iter();
        asks.map(|ask| (self.started + ask.left, ask)).collect()
    }

    /// Tells it to end, as by SIGTERM.
    pub fn end(&self) {
        self.stop.cancel();
    }

    /// Whether the process has ended by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// How it ended; a panic goes on here.
    ///
    /// # Panics
    ///
    /// As the process did.
    #[must_use]
    pub fn ended(mut self) -> String {
        let runtime = self.runtime.take().expect("it is there until the end");
        let ended = runtime.block_on(&mut self.task);
        runtime.shutdown_background();
        match ended {
            Ok(Ok(())) => "as told".to_owned(),
            Ok(Err(ended)) => ended.to_string(),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The operator as `main` makes it, with other edges, clocks and chance.
fn operator(
    start: &Start,
    gate: &Gate,
    wall_ahead: Arc<AtomicI64>,
    runtime: tokio::runtime::Handle,
) -> Operator {
    let (wall, started) = (gate.clone(), start.at);
    let timing = Timing::production()
        .with_chance(Chance::seeded(start.seed))
        .with_wall_clock(move || {
            let ahead = SignedDuration::from_millis(wall_ahead.load(Ordering::Relaxed));
            date(started + wall.elapsed())
                .checked_add(ahead)
                .expect("clocks are off by hours at most")
        });
    let config = TransportConfig {
        signature: Signature::V3,
        endpoints: "*=http://cloud.local".parse().expect("an endpoint"),
        timing: timing.clone(),
    };
    let client = || Client::new(gate.clone(), HOME);
    Operator {
        client: client(),
        transport: Transport::over(Arc::new(gate.clone()), config),
        environment: Environment::new(|name| match name {
            "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("simulated-key".into()),
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("simulated-secret".into()),
            _ => None,
        }),
        timing,
        namespaces: Vec::new(),
        read_only: false,
        operator_namespace: HOME.to_owned(),
        election: start.elects.then(|| Candidate {
            namespace: HOME.to_owned(),
            identity: format!("replica-{}", start.number),
            client: client(),
            runtime,
        }),
        probes: None,
    }
}

/// Tells when a runtime has nothing to do until time passes.
#[derive(Debug, Default)]
struct Idle {
    armed: AtomicBool,
    parked: AtomicBool,
    waker: AtomicWaker,
}

impl Idle {
    fn arm(&self, armed: bool) {
        self.parked.store(false, Ordering::Relaxed);
        self.armed.store(armed, Ordering::Relaxed);
    }

    /// The runtime is about to wait. Woken now, it does not let time pass instead.
    fn parks(&self) {
        if self.armed.load(Ordering::Relaxed) {
            self.parked.store(true, Ordering::Relaxed);
            self.waker.wake();
        }
    }

    async fn idle(&self) {
        std::future::poll_fn(|context| {
            self.waker.register(context.waker());
            match self.parked.swap(false, Ordering::Relaxed) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}
