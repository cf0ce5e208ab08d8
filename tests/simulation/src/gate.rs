//! The two edges of a replica: what it asks of Kubernetes and of the cloud arrives here, and waits for the schedule.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body as Answer;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use kube::client::Body;
use parking_lot::Mutex;
use server_group_operator::cloud::{NoAnswer, Wire};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::kubernetes;

/// What a replica asks.
#[derive(Debug)]
pub enum Question {
    /// Something of Kubernetes.
    Kubernetes(kubernetes::Request),
    /// Something of the cloud.
    Cloud(axum::http::Request<Vec<u8>>),
}

/// What comes back.
#[derive(Debug)]
pub enum Reply {
    /// An answer of Kubernetes.
    Kubernetes(kubernetes::Answer),
    /// A watch, whose lines follow.
    Watch(mpsc::UnboundedReceiver<String>),
    /// An answer of the cloud.
    Cloud(axum::http::Response<Vec<u8>>),
    /// The connection broke.
    Broken,
    /// There was no connection.
    NotSent,
}

/// A question on its way.
#[derive(Debug)]
pub struct Ask {
    /// When it left, on the replica's own clock since it was started.
    pub left: Duration,
    /// What is asked.
    pub question: Question,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
}

/// The way out of one replica. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: tokio::time::Instant,
    asks: Mutex<Vec<Ask>>,
    arrived: Notify,
}

impl Gate {
    /// The gate of a replica that starts now. To be made within its runtime.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            started: tokio::time::Instant::now(),
            asks: Mutex::default(),
            arrived: Notify::new(),
        }))
    }

    /// How long the replica has run, on its own clock. To be asked within its runtime.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// When the replica has run for so long.
    #[must_use]
    pub fn moment(&self, elapsed: Duration) -> tokio::time::Instant {
        self.0.started + elapsed
    }

    /// Takes what was asked since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Ask> {
        std::mem::take(&mut *self.0.asks.lock())
    }

    /// Whether something was asked that nobody has taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.asks.lock().is_empty()
    }

    /// Waits until something is asked.
    pub async fn arrived(&self) {
        self.0.arrived.notified().await;
    }

    async fn ask(&self, question: Question) -> Reply {
        let (reply, answer) = oneshot::channel();
        let left = self.0.started.elapsed();
        self.0.asks.lock().push(Ask {
            left,
            question,
            reply,
        });
        self.0.arrived.notify_one();
        answer.await.unwrap_or(Reply::Broken)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl tower::Service<axum::http::Request<Body>> for Gate {
    type Response = axum::http::Response<Answer>;
    type Error = tower::BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<Body>) -> Self::Future {
        let gate = self.clone();
        let answered = async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let header = |name: &str| {
                let value = parts.headers.get(name)?.to_str().ok()?;
                Some(value.to_owned())
            };
            let question = kubernetes::Request {
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                query: query(parts.uri.query().unwrap_or_default()),
                content_type: header("content-type").unwrap_or_default(),
                accept: header("accept").unwrap_or_default(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let response =
                axum::http::Response::builder().header("content-type", "application/json");
            Ok(match gate.ask(Question::Kubernetes(question)).await {
                Reply::Kubernetes(answer) => {
                    // An address that is not served is answered in plain text.
                    let body = match answer.body {
                        serde_json::Value::String(text) => text,
                        body => body.to_string(),
                    };
                    response.status(answer.code).body(Answer::from(body))?
                }
                Reply::Watch(lines) => {
                    let lines = futures::stream::unfold(lines, async |mut lines| {
                        Some((lines.recv().await?, lines))
                    });
                    let lines = lines.map(Ok::<_, std::convert::Infallible>);
                    response.body(Answer::from_stream(lines))?
                }
                Reply::Cloud(_) | Reply::Broken | Reply::NotSent => return Err("no answer".into()),
            })
        };
        Box::pin(answered)
    }
}

impl Wire for Gate {
    fn exchange(
        &self,
        request: reqwest::Request,
    ) -> BoxFuture<'static, Result<reqwest::Response, NoAnswer>> {
        let gate = self.clone();
        let mut asked = axum::http::Request::builder()
            .method(request.method().as_str())
            .uri(request.url().as_str());
        for (name, value) in request.headers() {
            asked = asked.header(name.as_str(), value.as_bytes());
        }
        let body = request.body().and_then(|body| body.as_bytes());
        let asked = asked.body(body.unwrap_or_default().to_vec());
        let answered = async move {
            let asked = asked.expect("what the client built is a request");
            match gate.ask(Question::Cloud(asked)).await {
                Reply::Cloud(answer) => Ok(reqwest::Response::from(answer)),
                Reply::NotSent => Err(NoAnswer::NotSent("no route".to_owned())),
                Reply::Kubernetes(_) | Reply::Watch(_) | Reply::Broken => Err(NoAnswer::Broken),
            }
        };
        answered.boxed()
    }
}

/// The parameters of an address.
#[must_use]
pub fn query(text: &str) -> std::collections::BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

/// Text that was made fit for an address, as it was before.
fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits =
                    [rest.next(), rest.next()].map(|digit| char::from(digit.unwrap_or(b'0')));
                let digits: String = digits.into_iter().collect();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
