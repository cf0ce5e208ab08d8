//! A client for the API server that counts status writes, and can stop at one of them for ever.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::http::{Method, Request, Response};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use server_group_sim::When;
use tokio::sync::Notify;
use tower::{Layer, Service};

use crate::stage::Stage;

/// Where a run is stopped: the number of an effect, from 0, and on which side of it.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub at: usize,
    pub when: When,
}

/// Counts status writes on their way to the API server, and stops at one of them for ever.
#[derive(Clone)]
pub struct Tripwire {
    point: Option<Point>,
    seen: Arc<Mutex<usize>>,
    pub tripped: Arc<Notify>,
}

impl Tripwire {
    pub fn new(point: Option<Point>) -> Self {
        Self {
            point,
            seen: Arc::default(),
            tripped: Arc::default(),
        }
    }

    /// How many there were.
    pub fn seen(&self) -> usize {
        *self.seen.lock()
    }
}

impl<S> Layer<S> for Tripwire {
    type Service = Wired<S>;

    fn layer(&self, inner: S) -> Wired<S> {
        Wired {
            inner,
            wire: self.clone(),
        }
    }
}

#[derive(Clone)]
pub struct Wired<S> {
    inner: S,
    wire: Tripwire,
}

impl<S, B> Service<Request<Body>> for Wired<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        // The upkeep of accounts writes when it likes to.
        let writes = !path.contains("/cloudaccounts/")
            && (request.method() == Method::PUT && path.ends_with("/status")
                || request.method() == Method::PATCH && path.contains("servergroup.alicloud.dev"));
        let mine = writes.then(|| {
            let mut seen = self.wire.seen.lock();
            *seen += 1;
            *seen - 1
        });
        let stops = |when| {
            self.wire
                .point
                .is_some_and(|point| Some(point.at) == mine && point.when == when)
        };
        let (before, after, tripped) = (
            stops(When::Before),
            stops(When::After),
            Arc::clone(&self.wire.tripped),
        );
        let sent = (!before).then(|| self.inner.call(request));
        Box::pin(async move {
            let answer = match sent {
                Some(sent) => sent.await,
                None => {
                    tripped.notify_one();
                    std::future::pending().await
                }
            };
            if after {
                tripped.notify_one();
                std::future::pending::<()>().await;
            }
            answer
        })
    }
}

/// A client with the rights of the operator that goes over `wire`.
pub fn wired(stage: &Stage, wire: &Tripwire) -> Client {
    let config = stage.operator_config();
    kube::client::ClientBuilder::try_from(config)
        .unwrap()
        .with_layer(wire)
        .build()
}
