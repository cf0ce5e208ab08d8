//! A running simulator: started, reached into, stopped by dropping it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    routing::{any, get, post},
};
use parking_lot::MutexGuard;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    admin,
    audit::Entry,
    clock::Clock,
    hold::{Held, When},
    http, metadata,
    options::Options,
    shared::Shared,
    world::World,
};

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
        let (held, hold) = Held::new(when, fits);
        self.shared.hold(hold);
        held
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
