//! Sends one signed call: deadline, bounded reply, and the corrections that are safe to make at once.
//!
//! A changing call leaves here once, unless the cloud said that it did not even look at it (a used nonce, a
//! clock that is off, an expired token). Reading calls are repeated within bounds.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{
    Certificate, Client, Response, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    call::{Call, Effect},
    credential::{Credential, Keys},
    endpoint::{Endpoints, Network},
    error::{Error, Kind, Outcome, kind, outcome},
    sign::{V3Request, encode_all, hash, v1},
};
use crate::timing::Timing;

/// The longest reply that is read; a member list of 1000 takes about 300 KiB.
const REPLY_MAX: usize = 8 << 20;

/// Attempts at a reading call.
const READ_ATTEMPTS: u32 = 4;

/// How requests are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signature {
    /// ACS3-HMAC-SHA256.
    #[default]
    V3,
    /// HMAC-SHA1, discontinued for new work.
    V1,
}

/// What a transport is made from.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// How requests are signed.
    pub signature: Signature,
    /// Endpoints that replace the table's.
    pub endpoints: Endpoints,
    /// Durations and clocks.
    pub timing: Timing,
}

/// The way out to the cloud; clones share connections.
#[derive(Clone)]
pub struct Transport(Arc<Inner>);

struct Inner {
    http: Client,
    config: TransportConfig,
    /// By how many seconds the cloud's clock is ahead of ours, learnt from its answers.
    ahead: AtomicI64,
}

/// As whom and where calls are made.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Where the keys come from.
    pub credential: Credential,
    /// `RegionId` of the calls, and part of the host.
    pub region: String,
    /// Which endpoints.
    pub network: Network,
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be built")]
pub struct NoClient(#[from] reqwest::Error);

/// A request as it goes out. Signed, so nothing of it is printed.
#[derive(Clone)]
pub struct Prepared {
    /// With the query.
    pub url: Url,
    /// Every header that we set, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The form; `None` when there is none.
    pub body: Option<String>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared(***)")
    }
}

impl Transport {
    /// A transport with connections of its own. Proxies named in the environment are honoured.
    ///
    /// # Errors
    ///
    /// [`NoClient`] if TLS or the proxy settings cannot be used.
    pub fn new(config: TransportConfig) -> Result<Self, NoClient> {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
            .iter()
            .map(|root| Certificate::from_der(root));
        let http = Client::builder()
            .tls_certs_only(roots.collect::<Result<Vec<_>, _>>()?)
            .connect_timeout(config.timing.connect_deadline)
            .pool_idle_timeout(Duration::from_secs(50))
            .pool_max_idle_per_host(8)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("server-group-operator/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self(Arc::new(Inner {
            http,
            config,
            ahead: AtomicI64::new(0),
        })))
    }

    /// Sends `call` and returns the decoded answer.
    ///
    /// # Errors
    ///
    /// [`Error`], with [`Outcome::Unknown`] where a change may have taken effect.
    pub async fn send(&self, caller: &Caller, call: &Call) -> Result<Value, Error> {
        let mut corrected = Vec::new();
        let mut attempt = 1;
        loop {
            let keys = caller
                .credential
                .keys()
                .await
                .map_err(|error| unavailable(call, &error.0))?;
            let error = match self.attempt(caller, call, &keys).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let Some(correction) =
                correction(&error).filter(|correction| !corrected.contains(correction))
            {
                corrected.push(correction);
                continue;
            }
            let passes = matches!(error.kind, Kind::Throttled | Kind::Transient | Kind::Busy);
            if call.effect == Effect::Changes || !passes || attempt == READ_ATTEMPTS {
                return Err(error);
            }
            let timing = &self.0.config.timing;
            let grown = timing
                .backoff_min
                .saturating_mul(1 << attempt)
                .min(timing.backoff_max);
            let wait = error.retry_after.map_or(grown, |hint| hint.max(grown));
            tokio::time::sleep(wait.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
            attempt += 1;
        }
    }

    /// Builds and signs `call` for one attempt.
    #[must_use]
    pub fn prepare(&self, caller: &Caller, call: &Call, keys: &Keys) -> Prepared {
        let ahead = jiff::SignedDuration::from_secs(self.0.ahead.load(Ordering::Relaxed));
        let now = self
            .0
            .config
            .timing
            .wall_now()
            .saturating_add(ahead)
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let date = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let nonce = format!("{:032x}", fastrand::u128(..));
        let url = self
            .0
            .config
            .endpoints
            .url(call.service, &caller.region, caller.network);
        match self.0.config.signature {
            Signature::V3 => prepare_v3(url, call, keys, date, nonce),
            Signature::V1 => prepare_v1(url, call, keys, &date, &nonce),
        }
    }

    async fn attempt(&self, caller: &Caller, call: &Call, keys: &Keys) -> Result<Value, Error> {
        let prepared = self.prepare(caller, call, keys);
        let timing = &self.0.config.timing;
        let deadline = match call.effect {
            Effect::Reads => timing.read_deadline,
            Effect::Changes => timing.mutation_deadline,
        };
        let unanswered = |kind, outcome, message: &str| unanswered(call, kind, outcome, message);
        let exchange = async {
            let mut headers = HeaderMap::new();
            for (name, value) in &prepared.headers {
                let name = HeaderName::from_bytes(name.as_bytes());
                let value = HeaderValue::from_str(value);
                let (Ok(name), Ok(value)) = (name, value) else {
                    return Err(unanswered(
                        Kind::Credentials,
                        Outcome::NotSent,
                        "the keys contain characters that no header can carry",
                    ));
                };
                headers.insert(name, value);
            }
            let request = self
                .0
                .http
                .post(prepared.url)
                .headers(headers)
                .body(prepared.body.unwrap_or_default());
            let response = request
                .send()
                .await
                .map_err(|error| match error.is_connect() {
                    true => unanswered(
                        Kind::Transient,
                        Outcome::NotSent,
                        "no connection to the endpoint; check the network and the endpoints",
                    ),
                    false => unanswered(
                        Kind::Transient,
                        Outcome::Unknown,
                        "the connection broke before there was an answer",
                    ),
                })?;
            self.decode(call, response).await
        };
        match timeout(deadline, exchange).await {
            Ok(result) => result,
            Err(_) => Err(unanswered(
                Kind::Transient,
                Outcome::Unknown,
                "no answer in time",
            )),
        }
    }

    async fn decode(&self, call: &Call, mut response: Response) -> Result<Value, Error> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let malformed = |message: &str| Error {
            http_status: Some(status),
            ..unanswered(call, Kind::Malformed, Outcome::Unknown, message)
        };
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > REPLY_MAX => {
                    return Err(malformed("the answer is too long"));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) => {
                    return Err(unanswered(
                        call,
                        Kind::Transient,
                        Outcome::Unknown,
                        "the connection broke within the answer",
                    ));
                }
            }
        }
        let answer: Value = match serde_json::from_slice(&body) {
            Ok(answer @ Value::Object(_)) => answer,
            _ if status >= 500 => {
                return Err(Error {
                    http_status: Some(status),
                    ..unanswered(
                        call,
                        Kind::Transient,
                        Outcome::Unknown,
                        "the far side failed",
                    )
                });
            }
            _ => {
                return Err(malformed(
                    "the answer is not JSON; check the endpoints and proxies",
                ));
            }
        };
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let code = text(&answer, &["Code", "code"]);
        if code.is_empty() {
            return Err(malformed("the answer has no code"));
        }
        let message = text(&answer, &["Message", "message"]);
        let kind = kind(call.service, status, &code, &message);
        if kind == Kind::ClockSkew {
            self.learn_clock(&headers);
        }
        Err(Error {
            action: call.action,
            outcome: outcome(status, kind),
            kind,
            code,
            message: shortened(message),
            request_id: Some(text(&answer, &["RequestId", "requestId"]))
                .filter(|id| !id.is_empty()),
            http_status: Some(status),
            retry_after: hint(&headers),
        })
    }

    /// Takes over how far the cloud's clock is ahead from the `Date` of an answer.
    fn learn_clock(&self, headers: &HeaderMap) {
        let date = headers.get("date").and_then(|value| value.to_str().ok());
        if let Some(theirs) = date.and_then(|date| rfc2822::parse(date).ok()) {
            let ahead =
                theirs.timestamp().as_second() - self.0.config.timing.wall_now().as_second();
            self.0.ahead.store(ahead, Ordering::Relaxed);
        }
    }
}

/// A correction that may be made at once, because the cloud did not look at the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Correction {
    NewNonce,
    Clock,
    NewKeys,
}

fn correction(error: &Error) -> Option<Correction> {
    let code = error.code.to_ascii_lowercase();
    match error.kind {
        Kind::ClockSkew => Some(Correction::Clock),
        Kind::Transient if code == "signaturenonceused" => Some(Correction::NewNonce),
        Kind::Credentials if code == "invalidsecuritytoken.expired" => Some(Correction::NewKeys),
        _ => None,
    }
}

fn prepare_v3(mut url: Url, call: &Call, keys: &Keys, date: String, nonce: String) -> Prepared {
    let body = (!call.form.is_empty()).then(|| encode_all(&call.form));
    let payload_hash = hash(body.as_deref().unwrap_or_default().as_bytes());
    let mut headers = BTreeMap::from([
        ("host".to_owned(), authority(&url)),
        ("x-acs-action".to_owned(), call.action.to_owned()),
        (
            "x-acs-version".to_owned(),
            call.service.version().to_owned(),
        ),
        ("x-acs-date".to_owned(), date),
        ("x-acs-signature-nonce".to_owned(), nonce),
        ("x-acs-content-sha256".to_owned(), payload_hash.clone()),
    ]);
    if body.is_some() {
        headers.insert("content-type".to_owned(), FORM.to_owned());
    }
    if let Some(token) = &keys.token {
        headers.insert("x-acs-accesskey-id".to_owned(), keys.id.clone());
        headers.insert(
            "x-acs-security-token".to_owned(),
            token.expose_secret().to_owned(),
        );
    }
    let path = url.path().to_owned();
    let signed = V3Request {
        method: "POST",
        path: &path,
        query: &call.query,
        headers: &headers,
        payload_hash: &payload_hash,
    };
    let authorization = signed.authorization(&keys.id, keys.secret.expose_secret());
    headers.insert("authorization".to_owned(), authorization);
    headers.insert("accept".to_owned(), "application/json".to_owned());
    set_query(&mut url, &encode_all(&call.query));
    Prepared { url, headers, body }
}

fn prepare_v1(mut url: Url, call: &Call, keys: &Keys, date: &str, nonce: &str) -> Prepared {
    let mut query = call.query.clone();
    for (name, value) in [
        ("AccessKeyId", keys.id.as_str()),
        ("Action", call.action),
        ("Format", "JSON"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", nonce),
        ("SignatureVersion", "1.0"),
        ("Timestamp", date),
        ("Version", call.service.version()),
    ] {
        query.insert(name.to_owned(), value.to_owned());
    }
    if let Some(token) = &keys.token {
        query.insert("SecurityToken".to_owned(), token.expose_secret().to_owned());
    }
    let mut signed = query.clone();
    signed.extend(call.form.clone());
    query.insert(
        "Signature".to_owned(),
        v1("POST", url.path(), &signed, keys.secret.expose_secret()),
    );
    let mut headers = BTreeMap::from([
        ("x-acs-action".to_owned(), call.action.to_owned()),
        (
            "x-acs-version".to_owned(),
            call.service.version().to_owned(),
        ),
        ("accept".to_owned(), "application/json".to_owned()),
    ]);
    let body = (!call.form.is_empty()).then(|| encode_all(&call.form));
    if body.is_some() {
        headers.insert("content-type".to_owned(), FORM.to_owned());
    }
    set_query(&mut url, &encode_all(&query));
    Prepared { url, headers, body }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn set_query(url: &mut Url, query: &str) {
    url.set_query(Some(query).filter(|query| !query.is_empty()));
}

/// Host and, unless it is the scheme's own, port: what goes into the `host` header.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The first of `names` that is a text.
fn text(answer: &Value, names: &[&str]) -> String {
    names
        .iter()
        .find_map(|name| answer.get(name)?.as_str())
        .unwrap_or_default()
        .to_owned()
}

/// The cloud's words, cut to what fits into a status message.
fn shortened(message: String) -> String {
    match message.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}

/// How long the cloud asks to wait: `x-acs-retry-after`, or `TimeLeft:<ms>` of the rate limit headers, in milliseconds.
fn hint(headers: &HeaderMap) -> Option<Duration> {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let left = |name: &str| {
        value(name)?
            .split(',')
            .find_map(|part| part.trim().strip_prefix("TimeLeft:")?.trim().parse().ok())
    };
    let asked = value("x-acs-retry-after").and_then(|value| value.trim().parse().ok());
    let longest: u64 = [
        asked,
        left("x-ratelimit-user-api"),
        left("x-ratelimit-user"),
    ]
    .into_iter()
    .flatten()
    .max()?;
    Some(Duration::from_millis(longest.min(60_000)))
}

fn unanswered(call: &Call, kind: Kind, outcome: Outcome, message: &str) -> Error {
    Error {
        action: call.action,
        code: String::new(),
        message: message.to_owned(),
        request_id: None,
        http_status: None,
        kind,
        outcome,
        retry_after: None,
    }
}

fn unavailable(call: &Call, message: &str) -> Error {
    unanswered(call, Kind::Credentials, Outcome::NotSent, message)
}
