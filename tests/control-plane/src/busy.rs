//! A client that asks again when the API server's store was too busy to answer.
//!
//! On a machine with too much to do etcd now and then answers later than the API server waits. That says nothing about what
//! a test is about, so its own requests are sent again.

use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};
use tower::service_fn;

/// How often a request is sent at most.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// A client that sends what `client` sends, and again while the store is busy.
pub(crate) fn asking_again(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(
        service_fn(move |request| send(client.clone(), request)),
        namespace,
    )
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
    use std::{
        future::ready,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;

    use super::*;

    const BUSY: &str = r#"{"kind":"Status","status":"Failure","message":"etcdserver: request timed out","code":500}"#;

    async fn answers(busy_for: usize) -> (Result<Namespace, kube::Error>, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = service_fn(move |_: Request<Body>| {
            let (code, body) = match count.fetch_add(1, Ordering::SeqCst) < busy_for {
                true => (StatusCode::INTERNAL_SERVER_ERROR, BUSY),
                false => (StatusCode::OK, r#"{"metadata":{"name":"here"}}"#),
            };
            let mut response = Response::new(Body::from(body.as_bytes().to_vec()));
            *response.status_mut() = code;
            ready(Ok::<_, kube::Error>(response))
        });
        let server = Client::new(server, "default");
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
