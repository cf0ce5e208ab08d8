//! `/healthz` and `/readyz`. Health depends neither on leadership nor on the cloud; ready means that the caches are filled.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Whether the caches are filled.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets whether the caches are filled.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::SeqCst);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Serves probes until `stop`.
pub async fn serve(listener: TcpListener, readiness: Readiness, stop: CancellationToken) {
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
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready));
    let served = axum::serve(listener, app)
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "probes are no longer served");
    }
    // The caller that waits for this future takes its end for the end of the program.
    std::future::pending().await
}
