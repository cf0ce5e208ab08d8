//! An operator that looks at every namespace, and two namespaces whose objects meet on one group.
//!
//! All tests share one API server: what this operator lists and watches is narrowed, by a field selector, to the objects
//! that name the account of its own test.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::http::{Request, Response};
use kube::client::{Body, ClientBuilder};
use tower::{Layer, Service};

use crate::stage::{Rights, Stage, control_plane, timing};
use server_group_operator::timing::Timing;

/// Two namespaces, and an operator that looks at both.
pub struct Wide {
    /// The first one, on which the operator is started and stopped.
    pub one: Stage,
    /// The second one.
    pub two: Stage,
}

impl Wide {
    /// Nothing acts yet.
    pub async fn without_operator(name: &str) -> Self {
        let control_plane = control_plane().await;
        let first = control_plane.namespace(name).await.unwrap();
        let mut one = Stage::at(control_plane, first.clone(), first, Rights::Everywhere).await;
        one.everywhere = true;
        let namespace = control_plane.namespace(name).await.unwrap();
        let two = one.beside(namespace).await;
        Self { one, two }
    }

    /// With a running operator.
    pub async fn new(name: &str) -> Self {
        let mut wide = Self::without_operator(name).await;
        wide.start();
        wide
    }

    /// Starts the operator.
    pub fn start(&mut self) {
        self.start_with(timing());
    }

    /// Starts the operator with another timing.
    pub fn start_with(&mut self, timing: Timing) {
        let narrowed = Narrowed(self.one.account());
        let client = ClientBuilder::try_from(self.one.operator_config())
            .unwrap()
            .with_layer(&narrowed)
            .build();
        self.one.start_with(client, timing);
    }
}

/// Asks for the objects of one account where those of every namespace are asked for.
#[derive(Clone)]
struct Narrowed(String);

impl<S> Layer<S> for Narrowed {
    type Service = Narrowing<S>;

    fn layer(&self, inner: S) -> Narrowing<S> {
        Narrowing {
            inner,
            account: self.0.clone(),
        }
    }
}

#[derive(Clone)]
struct Narrowing<S> {
    inner: S,
    account: String,
}

const EVERYWHERE: [&str; 2] = [
    "/apis/servergroup.alicloud.dev/v1alpha1/servergroupmemberships",
    "/apis/servergroup.alicloud.dev/v1alpha1/scalinggroupattachments",
];

impl<S, B> Service<Request<Body>> for Narrowing<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let uri = request.uri();
        if EVERYWHERE.contains(&uri.path()) {
            let query = uri.query().unwrap_or_default();
            // A selector that is there already is narrowed further.
            let account = format!("fieldSelector=spec.accountName%3D{}", self.account);
            let query = match query.contains("fieldSelector=") {
                true => query.replace("fieldSelector=", &format!("{account}%2C")),
                false => format!("{query}&{account}"),
            };
            let narrowed = format!("{}?{query}", uri.path());
            *request.uri_mut() = narrowed.parse().unwrap();
        }
        Box::pin(self.inner.call(request))
    }
}
