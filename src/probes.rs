//! `/healthz`, `/readyz` and `/metrics`. Health depends neither on leadership nor on the cloud; ready means that the caches
//! are filled.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    controller::watches::Watches,
    metrics::{self, Metrics},
};

/// Whether the caches are filled.
#[derive(Clone, Debug)]
pub struct Readiness {
    filled: Arc<AtomicBool>,
    watches: Watches,
}

impl Readiness {
    /// Nothing is filled yet; these watches fill it.
    #[must_use]
    pub fn new(watches: Watches) -> Self {
        Self {
            filled: Arc::default(),
            watches,
        }
    }

    /// The watches that fill the caches.
    #[must_use]
    pub const fn watches(&self) -> &Watches {
        &self.watches
    }

    /// Sets whether the caches are filled.
    pub fn set(&self, ready: bool) {
        self.filled.store(ready, Ordering::SeqCst);
    }

    fn get(&self) -> bool {
        self.filled.load(Ordering::SeqCst)
    }
}

/// Serves probes and metrics until `stop`.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let ready = move || {
        let ready = readiness.get();
        async move {
            if ready {
                (StatusCode::OK, "ready\n")
            } else {
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "waiting for the API server\n",
                )
            }
        }
    };
    let metrics = move || {
        let text = metrics.text();
        async move { ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text) }
    };
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics));
    let served = axum::serve(listener, app)
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "probes are no longer served");
    }
    // The caller that waits for this future takes its end for the end of the program.
    std::future::pending().await
}
