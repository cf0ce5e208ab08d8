//! A client for the API server whose watches of one kind can be kept waiting, and whose status writes can be refused.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body as Answer, Bytes, HttpBody},
    http::{Method, Request, Response},
};
use futures::StreamExt;
use kube::{Client, client::Body};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tower::{Layer, Service};

use crate::stage::Stage;

/// What is done to the requests of a client; clones are one.
#[derive(Clone, Default)]
pub struct Rig(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Kinds whose watches stall.
    stalled: Mutex<BTreeSet<String>>,
    changed: Notify,
    /// Kinds that are watched, which begins with a whole list.
    watched: Mutex<BTreeSet<String>>,
    /// Ends of paths whose next PUT is answered with 404.
    lost: Mutex<Vec<String>>,
}

impl Rig {
    /// Keeps what watches of a kind have to tell from now on.
    pub fn stall(&self, plural: &str) {
        self.0.stalled.lock().insert(plural.to_owned());
    }

    /// Lets it arrive after all.
    pub fn go_on(&self, plural: &str) {
        self.0.stalled.lock().remove(plural);
        self.0.changed.notify_waiters();
    }

    /// Whether a kind is watched, so that all that was there before is known.
    pub fn watches(&self, plural: &str) -> bool {
        self.0.watched.lock().contains(plural)
    }

    /// Answers the next write to a path that ends like this with 404.
    pub fn lose(&self, end: &str) {
        self.0.lost.lock().push(end.to_owned());
    }

    /// Whether every such answer was given.
    pub fn all_lost(&self) -> bool {
        self.0.lost.lock().is_empty()
    }

    async fn passes(&self, plural: &str) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.0.stalled.lock().contains(plural) {
                return;
            }
            changed.await;
        }
    }

    fn loses(&self, request: &Request<Body>) -> bool {
        let path = request.uri().path();
        let mut lost = self.0.lost.lock();
        let place = lost.iter().position(|end| path.ends_with(end.as_str()));
        let place = place.filter(|_| request.method() == Method::PUT);
        place.map(|place| lost.remove(place)).is_some()
    }

    /// A client with the rights of the operator.
    pub fn client(&self, stage: &Stage) -> Client {
        self.client_of(stage.operator_config())
    }

    /// A client with other rights.
    pub fn client_of(&self, config: kube::Config) -> Client {
        kube::client::ClientBuilder::try_from(config)
            .unwrap()
            .with_layer(self)
            .build()
    }
}

impl<S> Layer<S> for Rig {
    type Service = Rigged<S>;

    fn layer(&self, inner: S) -> Rigged<S> {
        Rigged {
            inner,
            rig: self.clone(),
        }
    }
}

const NOT_FOUND: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}"#;

#[derive(Clone)]
pub struct Rigged<S> {
    inner: S,
    rig: Rig,
}

impl<S, B> Service<Request<Body>> for Rigged<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Answer>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let watches = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("watch=true"));
        if self.rig.loses(&request) {
            let answer = Response::builder()
                .status(404)
                .header("content-type", "application/json")
                .body(Answer::from(NOT_FOUND))
                .unwrap();
            return Box::pin(std::future::ready(Ok(answer)));
        }
        let plural = path.rsplit('/').next().unwrap_or_default().to_owned();
        let rig = self.rig.clone();
        let sent = self.inner.call(request);
        Box::pin(async move {
            let (parts, body) = sent.await?.into_parts();
            let body = Answer::new(body);
            if !watches {
                return Ok(Response::from_parts(parts, body));
            }
            rig.0.watched.lock().insert(plural.clone());
            let chunks = body.into_data_stream().then(move |chunk| {
                let (rig, plural) = (rig.clone(), plural.clone());
                async move {
                    rig.passes(&plural).await;
                    chunk
                }
            });
            Ok(Response::from_parts(parts, Answer::from_stream(chunks)))
        })
    }
}
