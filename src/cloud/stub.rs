//! A server on loopback that answers as a test says, and remembers what it was asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, Response, request::Parts},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::AbortHandle};

use super::{
    Cloud, Credential, Endpoints, Keys, Network, Parameters, Signature, Transport, TransportConfig,
};
use crate::{leader::Leadership, timing::Timing};

/// The text that every key and token in these tests contains: it must show nowhere.
pub(super) const CANARY: &str = "canary+7/Zq";

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// From the headers.
    pub(super) action: String,
    /// All headers, names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    /// Path as sent.
    pub(super) path: String,
    /// Decoded.
    pub(super) query: Parameters,
    /// Decoded.
    pub(super) form: Parameters,
}

impl Asked {
    /// A parameter, wherever it travelled.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .get(name)
            .or_else(|| self.form.get(name))
            .map(String::as_str)
    }

    fn read(parts: &Parts, body: &Bytes) -> Self {
        let headers: BTreeMap<_, _> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        Self {
            action: headers.get("x-acs-action").cloned().unwrap_or_default(),
            headers,
            path: parts.uri.path().to_owned(),
            query: decoded(parts.uri.query().unwrap_or_default()),
            form: decoded(std::str::from_utf8(body).unwrap()),
        }
    }
}

fn decoded(encoded: &str) -> Parameters {
    let plain = |text| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    encoded
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

/// The server; it ends with the value.
pub(super) struct Stub {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: AbortHandle,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stub {
    /// Answers request number `n`, from 0, with `answer(n, request)`.
    pub(super) async fn start(
        answer: impl Fn(usize, &Asked) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        let app = Router::new().fallback(move |request: Request<Body>| {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let request = Asked::read(&parts, &body);
                let mut seen = seen.lock();
                seen.push(request.clone());
                answer(seen.len() - 1, &request)
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            asked,
            task: task.abort_handle(),
        }
    }

    /// Everything it was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    /// A client that asks it.
    pub(super) fn cloud(&self) -> Cloud {
        let mut timing = Timing::scaled(200.0);
        // The leave is as old as the client.
        timing.last_answer_max = Duration::from_hours(1);
        cloud_at(&self.url, timing)
    }
}

/// A client whose every endpoint is `url`, and that may change things for an hour.
pub(super) fn cloud_at(url: &str, timing: Timing) -> Cloud {
    allowed(Cloud::new(
        &transport_to(url, Signature::V3, timing),
        Credential::fixed(keys()),
        "cn-hangzhou",
        Network::Public,
    ))
}

/// The same client, which may change things for an hour.
pub(super) fn allowed(cloud: Cloud) -> Cloud {
    let leadership = Leadership::unopposed(cloud.transport.timing().clone());
    cloud.with_leave(leadership.permit(Duration::from_hours(1)).unwrap())
}

/// A transport whose every endpoint is `url`.
pub(super) fn transport_to(url: &str, signature: Signature, timing: Timing) -> Transport {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let endpoints: Endpoints = format!("*={url}").parse().unwrap();
    Transport::new(TransportConfig {
        signature,
        endpoints,
        timing,
    })
    .unwrap()
}

/// Temporary keys full of canaries.
pub(super) fn keys() -> Keys {
    Keys {
        id: "STS.id".into(),
        secret: format!("secret-{CANARY}").into(),
        token: Some(format!("token-{CANARY}").into()),
    }
}

/// A good answer.
pub(super) fn ok(body: &Value) -> Response<Body> {
    reply(200, body)
}

/// A refusal.
pub(super) fn refusal(status: u16, code: &str, message: &str) -> Response<Body> {
    reply(
        status,
        &json!({"RequestId": "r-1", "Code": code, "Message": message}),
    )
}

/// Any answer.
pub(super) fn reply(status: u16, body: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body.to_string().into())
        .unwrap()
}
