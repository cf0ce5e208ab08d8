//! A client that asks again when the API server's store was too busy to answer.
//!
//! On a machine with too much to do etcd now and then answers later than the API server waits. That says nothing about what
//! a test is about, so its own requests are sent again.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};
use tower::Service;

/// How often a request is sent at most.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// A client that sends what `client` sends, and again while the store is busy.
pub(crate) fn asking_again(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(AskingAgain { client }, namespace)
}

struct AskingAgain {
    client: Client,
}

impl Service<Request<Body>> for AskingAgain {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(send(self.client.clone(), request))
    }
}

async fn send(client: Client, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
    let mut request = request;
    for _ in 1..TRIES {
        // Whether something was created is not known, and it cannot be created twice.
        let again = (request.method() != Method::POST).then(|| copy(&request));
        let response = client.send(request).await?;
        let Some(Some(again)) = again else {
            return Ok(response);
        };
        if response.status() != StatusCode::INTERNAL_SERVER_ERROR {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let body = body.collect_bytes().await?;
        if !store_is_busy(&body) {
            return Ok(Response::from_parts(head, Body::from(body.to_vec())));
        }
        tokio::time::sleep(PAUSE).await;
        request = again;
    }
    client.send(request).await
}

/// The same request, unless its body is a stream.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

fn store_is_busy(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("etcdserver: request timed out") || text.contains("etcdserver: leader changed")
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;

    use super::*;

    /// A server whose store is busy for so many requests.
    struct Busy(Arc<AtomicUsize>, usize);

    impl Service<Request<Body>> for Busy {
        type Response = Response<Body>;
        type Error = kube::Error;
        type Future = std::future::Ready<Result<Response<Body>, kube::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let (code, body) = match self.0.fetch_add(1, Ordering::SeqCst) < self.1 {
                true => (500, BUSY),
                false => (200, r#"{"metadata":{"name":"here"}}"#),
            };
            let mut response = Response::new(Body::from(body.as_bytes().to_vec()));
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            std::future::ready(Ok(response))
        }
    }

    const BUSY: &str = r#"{"kind":"Status","status":"Failure","message":"etcdserver: request timed out","code":500}"#;

    async fn answers(busy_for: usize) -> (Result<Namespace, kube::Error>, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let server = Client::new(Busy(Arc::clone(&asked), busy_for), "default");
        let api: Api<Namespace> = Api::all(asking_again(server));
        let answer = api.get("here").await;
        (answer, asked.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_store_is_asked_again_and_not_for_ever() {
        let (answer, asked) = answers(2).await;
        assert!(answer.is_ok());
        assert_eq!(asked, 3);
        let (answer, asked) = answers(usize::MAX).await;
        let Err(kube::Error::Api(status)) = answer else {
            panic!("{answer:?}");
        };
        assert!(store_is_busy(status.message.as_bytes()));
        assert_eq!(asked, TRIES);
    }
}
