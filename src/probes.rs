//! `/healthz`, `/readyz` and `/metrics`. Health depends neither on leadership nor on the cloud; ready means that the caches
//! are filled and no watch has failed for long.

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

/// Whether the caches are filled, and stay up to date.
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

    /// Why the replica is not ready, if it is not.
    fn lacks(&self) -> Option<String> {
        if !self.filled.load(Ordering::SeqCst) {
            return Some("waiting for the API server".to_owned());
        }
        let failing = self.watches.seriously_failing().into_iter();
        let failing = failing.map(|(kind, time)| {
            let seconds = time.as_secs();
            format!("the watch of {kind} has failed for {seconds} s; the log says why")
        });
        let failing: Vec<_> = failing.collect();
        (!failing.is_empty()).then(|| failing.join("\n"))
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
        let (status, text) = match readiness.lacks() {
            None => (StatusCode::OK, "ready".to_owned()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        };
        async move { (status, text + "\n") }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::timing::Timing;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_has_failed_for_a_minute_makes_it_unready_until_it_works() {
        let readiness = Readiness::new(Watches::new(&Timing::production()));
        assert!(readiness.lacks().is_some());
        readiness.set(true);
        assert_eq!(readiness.lacks(), None);
        readiness.watches().fails("CloudAccount");
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(readiness.lacks(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        let lacks = readiness.lacks().unwrap();
        assert!(
            lacks.contains("CloudAccount has failed for 60 s"),
            "{lacks}"
        );
        readiness.watches().works("CloudAccount");
        assert_eq!(readiness.lacks(), None);
    }
}
