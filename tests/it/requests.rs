//! What the operator sends to Kubernetes, held against the list of it.
//!
//! The simulation answers what is on the list as a real server does, and nothing else: a request that is new belongs on
//! it, and into the scripts that compare the two servers.

use std::{collections::BTreeSet, sync::Arc};

use axum::http::{Request, header};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use tower::service_fn;

use super::secrets;

#[path = "../simulation/src/kubernetes/shape.rs"]
mod shape;

const LISTED: &str = include_str!("../simulation/requests.txt");

/// What the simulation does not play: there, keys come from the environment.
const NOT_PLAYED: &str = "GET /api/v1/namespaces/{namespace}/secrets/{name} -";

/// Requests that are not on the list. Whoever has them at the end of a test is told.
#[derive(Clone, Default)]
pub struct Unlisted(Arc<Mutex<BTreeSet<String>>>);

impl Unlisted {
    /// A client that looks at what an operator sends on its way.
    pub fn watching(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let unlisted = Self(Arc::clone(&self.0));
        let watched = service_fn(move |request: Request<Body>| {
            unlisted.look(&request);
            let client = client.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap_or_default();
                secrets::search(&body);
                client.send(Request::from_parts(parts, body.into())).await
            }
        });
        Client::new(watched, namespace)
    }

    fn look(&self, request: &Request<Body>) {
        let line = line(request);
        if line != NOT_PLAYED && !shape::lines(LISTED).any(|listed| listed == line) {
            self.0.lock().insert(line);
        }
    }

    /// Makes a test fail whose operator sent something that is not on the list.
    pub fn complain(&self) {
        let unlisted = self.0.lock();
        assert!(
            unlisted.is_empty() || std::thread::panicking(),
            "the operator sent what is not in tests/simulation/requests.txt: {unlisted:#?}"
        );
    }
}

fn line(request: &Request<Body>) -> String {
    let header = |name| {
        let value = request.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    };
    let query = request.uri().query().unwrap_or("").split('&');
    let names = query
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    shape::shape(
        request.method().as_str(),
        request.uri().path(),
        names,
        header(header::CONTENT_TYPE),
        header(header::ACCEPT),
    )
}

#[test]
#[should_panic(
    expected = "PUT /api/v1/namespaces/{namespace}/pods/{name}/status?dryRun application/json"
)]
fn a_request_that_is_not_listed_is_told() {
    let unlisted = Unlisted::default();
    let request = |method: &str, path: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::empty())
            .unwrap()
    };
    unlisted.look(&request(
        "POST",
        "/apis/events.k8s.io/v1/namespaces/a/events?",
    ));
    unlisted.complain();
    unlisted.look(&request(
        "PUT",
        "/api/v1/namespaces/a/pods/b/status?dryRun=All",
    ));
    unlisted.complain();
}
