//! A running simulator: started, reached into, stopped by dropping it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    routing::{any, get, post},
};
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use crate::{admin, audit::Entry, clock::Clock, http, metadata, signature::Key, world::World};

/// How a simulator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where ids come from.
    pub seed: u64,
    /// Loopback address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many seconds pass in one; 0 = time stands still but for [`World::pass`].
    pub speed: f64,
    /// Keys that may sign: id, secret, cloud account.
    pub keys: Vec<(String, String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            speed: 1.0,
            keys: vec![(
                "simulated-key".into(),
                "simulated-secret".into(),
                "1000000000000001".into(),
            )],
        }
    }
}

/// A running simulator; it ends when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Starts a simulator on a loopback address.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(options, Clock::of_machine()));
        let app = Router::new()
            .route("/_sim/audit", get(admin::audit))
            .route("/_sim/groups", get(admin::groups))
            .route("/_sim/do", post(admin::act))
            .route("/latest/{*path}", any(metadata::answer))
            .fallback(any(http::api))
            .with_state(Arc::clone(&shared));
        let ticking = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            let tick = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    ticking.bring_up_to_date(&mut ticking.world.lock());
                }
            };
            tokio::select! {
                _ = axum::serve(listener, app) => {}
                () = tick => {}
            }
        });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// The base URL for every service.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The world as it is now. Keep it briefly: no call is served meanwhile.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.shared.world();
        world.disturb();
        world
    }

    /// Stops the first call that `fits`, before or after it is carried out.
    ///
    /// `fits` sees every call with service, action, resource, names, token and key filled in.
    pub fn hold(&self, when: When, fits: impl FnMut(&Entry) -> bool + Send + 'static) -> Held {
        let (sender, arrived) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let hold = Hold {
            fits: Box::new(fits),
            when,
            arrived: sender,
            released,
        };
        self.shared.holds.lock().push(hold);
        Held { arrived, release }
    }

    /// Ends the calls that a fault keeps hanging: their connections break.
    pub fn release_hanging(&self) {
        self.shared.release_hanging();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Before or after a call is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It has arrived and nothing was done.
    Before,
    /// It was carried out and not answered.
    After,
}

/// A call that will be stopped. Dropping this lets it go on.
#[derive(Debug)]
pub struct Held {
    arrived: oneshot::Receiver<()>,
    release: oneshot::Sender<GoOn>,
}

impl Held {
    /// Waits until the call is there, and keeps it there.
    pub async fn arrived(&mut self) {
        // The sender goes only with the simulator; then nothing will ever arrive.
        if (&mut self.arrived).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Lets the call go on, also when its client has given up: then it lands late.
    pub fn release(self) {
        // If the call was never made, nobody listens.
        _ = self.release.send(GoOn::Yes);
    }

    /// Breaks the connection. A call that was stopped before it was carried out never is.
    pub fn drop_connection(self) {
        _ = self.release.send(GoOn::No);
    }
}

/// Whether a call that was stopped goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GoOn {
    Yes,
    No,
}

struct Hold {
    fits: Box<dyn FnMut(&Entry) -> bool + Send>,
    when: When,
    arrived: oneshot::Sender<()>,
    released: oneshot::Receiver<GoOn>,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hold({:?})", self.when)
    }
}

/// What the server and its owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    world: Mutex<World>,
    holds: Mutex<Vec<Hold>>,
    hangs: Notify,
    clock: Clock,
    speed: f64,
}

impl Shared {
    pub(crate) fn new(options: Options, clock: Clock) -> Self {
        let keys = options
            .keys
            .into_iter()
            .map(|(id, secret, account)| (id, Key::lasting(secret, account)))
            .collect();
        Self {
            world: Mutex::new(World::new(options.seed, keys, clock.clone())),
            holds: Mutex::default(),
            hangs: Notify::new(),
            clock,
            speed: options.speed,
        }
    }

    /// The world at the present moment.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock();
        self.bring_up_to_date(&mut world);
        world
    }

    fn bring_up_to_date(&self, world: &mut World) {
        let now = self.clock.elapsed().as_secs_f64() * self.speed + world.skipped;
        while let Some(late) = world.take_late(now) {
            world.advance(late.due);
            http::land(world, late);
        }
        world.advance(now);
    }

    /// Waits if somebody wants to stop this call here.
    pub(crate) async fn gate(&self, when: When, entry: &Entry) -> GoOn {
        let found = {
            let mut holds = self.holds.lock();
            let found = holds
                .iter_mut()
                .position(|hold| hold.when == when && (hold.fits)(entry));
            found.map(|index| holds.remove(index))
        };
        let Some(hold) = found else {
            return GoOn::Yes;
        };
        // If nobody waits for it, it is not worth stopping.
        match hold.arrived.send(()) {
            Ok(()) => hold.released.await.unwrap_or(GoOn::Yes),
            Err(()) => GoOn::Yes,
        }
    }

    pub(crate) fn release_hanging(&self) {
        self.hangs.notify_waiters();
    }

    /// Waits longer than any client, or until hanging calls are released.
    pub(crate) async fn hang(&self) {
        tokio::select! {
            () = self.hangs.notified() => {}
            () = tokio::time::sleep(Duration::from_mins(2)) => {}
        }
    }
}
