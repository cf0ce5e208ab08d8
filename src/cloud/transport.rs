//! Sends one signed call: deadline, bounded reply, and the corrections that are safe to make at once.
//!
//! A changing call leaves here once, unless the cloud said that it did not even look at it (a used nonce, a
//! clock that is off, an expired token); then again, within the one deadline. Reading calls are repeated within bounds.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use parking_lot::Mutex;
use reqwest::{
    Client, Method, Request, Response, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use secrecy::zeroize::Zeroizing;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{
    answer::{Refusal, hint},
    call::{Call, Effect, Service},
    credential::{Credential, Keys, Unavailable},
    endpoint::{Endpoints, Network},
    error::{Error, Kind, Outcome, outcome},
    ess::ScalingGroup,
    jobs::Job,
    members::GroupStatus,
    rate::{Bucket, Counted, Pace, Rates},
    request::{Prepared, authority, prepare_anonymous, prepare_v1, prepare_v3},
    roots::Roots,
    together::Together,
    turn::Turns,
    wire::{NoAnswer, Wire},
};
use crate::{leader::Leave, metrics::Metrics, timing::Timing};

/// The longest reply that is read; a member list of 1000 takes about 300 KiB.
const REPLY_MAX: usize = 8 << 20;

/// The longest answer of the metadata service: keys take some 1 KiB.
const NEARBY_MAX: usize = 32 << 10;

const BROKEN: &str = "the connection broke";

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

/// The parts that a transport is made from.
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
    wire: Arc<dyn Wire>,
    /// For services that are on this machine, as it were: no proxy may come in between.
    nearby: Arc<dyn Wire>,
    config: TransportConfig,
    /// By how much the cloud's clock is ahead of ours, learnt from its answers.
    ahead: Mutex<Option<SignedDuration>>,
    rates: Rates,
    shared: SharedReads,
    metrics: Metrics,
}

/// The reads that objects share.
pub(super) struct SharedReads {
    pub(super) scaling_groups: Together<ScalingGroup>,
    pub(super) statuses: Together<GroupStatus>,
    pub(super) jobs: Together<Job>,
}

/// The keys and the place that calls are made with.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Where the keys come from.
    pub credential: Credential,
    /// `RegionId` of the calls, and part of the host.
    pub region: String,
    /// The endpoints that are used.
    pub network: Network,
    /// Id of the cloud account, in whose name calls are counted; empty until it is known.
    pub account: String,
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be built")]
pub struct NoClient(#[from] reqwest::Error);

impl Transport {
    /// A transport with connections of its own. Proxies named in the environment are honoured.
    ///
    /// # Errors
    ///
    /// [`NoClient`] if TLS or the proxy settings cannot be used.
    pub fn new(config: TransportConfig) -> Result<Self, NoClient> {
        Self::trusting(&Roots::default(), config)
    }

    /// The same, which believes in these certificate authorities besides the bundled ones.
    ///
    /// # Errors
    ///
    /// [`NoClient`] if TLS, one of the certificates or the proxy settings cannot be used.
    pub fn trusting(roots: &Roots, config: TransportConfig) -> Result<Self, NoClient> {
        let http = client(&config, roots, reqwest::ClientBuilder::no_proxy)?;
        let nearby: Arc<dyn Wire> = Arc::new(http);
        let http = client(&config, roots, std::convert::identity)?;
        Ok(Self::with_wires(Arc::new(http), nearby, config))
    }

    /// A transport over a given wire.
    #[must_use]
    pub fn over(wire: Arc<dyn Wire>, config: TransportConfig) -> Self {
        Self::with_wires(Arc::clone(&wire), wire, config)
    }

    fn with_wires(wire: Arc<dyn Wire>, nearby: Arc<dyn Wire>, config: TransportConfig) -> Self {
        let window = config.timing.share_window;
        let metrics = Metrics::default();
        Self(Arc::new(Inner {
            wire,
            nearby,
            rates: Rates::new(config.timing.clone(), metrics.clone()),
            metrics,
            shared: SharedReads {
                scaling_groups: Together::new(window),
                statuses: Together::new(window),
                jobs: Together::new(window),
            },
            config,
            ahead: Mutex::default(),
        }))
    }

    /// The bucket that counts these calls.
    ///
    /// A changing call takes its turn there before the last look: a view (S5) and the lease (S9) must not age in a
    /// queue. Reading calls take their turns in [`Transport::exchange`].
    pub(super) fn bucket(
        &self,
        caller: &Caller,
        service: Service,
        action: &'static str,
    ) -> Arc<Bucket> {
        self.0.rates.bucket(Counted {
            account: caller.account.clone(),
            region: caller.region.clone(),
            service,
            action,
        })
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.0.config.timing
    }

    /// The metrics of the operator, which begin where its calls leave: it has one transport.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// How fast calls may leave, bucket by bucket.
    #[must_use]
    pub fn rates(&self) -> Vec<Pace> {
        self.0.rates.paces()
    }

    pub(super) fn shared(&self) -> &SharedReads {
        &self.0.shared
    }

    /// Sends `call` when it is its turn and returns the decoded answer; a reading call waits like a regular look.
    ///
    /// # Errors
    ///
    /// [`Error`], with [`Outcome::Unknown`] where a change may have taken effect.
    pub async fn send(&self, caller: &Caller, call: &Call) -> Result<Value, Error> {
        let answered = self.exchange(caller, &Turns::default(), None, call).await;
        answered.map(|(_, answer)| answer)
    }

    /// The same, with the moment at which the answered attempt left. Each attempt of a reading call takes a turn.
    ///
    /// # Errors
    ///
    /// As [`Transport::send`]; [`Outcome::NotSent`] for a changing call whose `leave` has ended, or that has none.
    pub(super) async fn exchange(
        &self,
        caller: &Caller,
        turns: &Turns,
        leave: Option<&Leave>,
        call: &Call,
    ) -> Result<(Instant, Value), Error> {
        let bucket = self.bucket(caller, call.service, call.action);
        let timing = &self.0.config.timing;
        // The lease lasts until leave ends (S9), whatever has to be corrected.
        let patience = Instant::now() + timing.mutation_deadline;
        let last = leave.map_or(patience, |leave| leave.end().min(patience));
        let mut corrected = Vec::new();
        let mut attempt = 1;
        loop {
            if call.effect == Effect::Reads {
                turns.take(&bucket).await.spend();
            }
            let keys = caller
                .credential
                .keys()
                .await
                .map_err(|error| unavailable(call.action, error))?;
            let left = Instant::now();
            let deadline = match call.effect {
                Effect::Reads => left + timing.read_deadline,
                Effect::Changes => last,
            };
            let attempted = self.attempt(caller, call, &keys, leave, deadline).await;
            self.count(call, left, &attempted);
            let error = match attempted {
                Ok(answer) => return Ok((left, answer)),
                Err(error) => error,
            };
            if error.kind == Kind::Throttled {
                bucket.throttled(error.retry_after);
            }
            // The next caller that asks the source is to get other keys.
            let others = error.kind == Kind::Credentials && caller.credential.refused(&keys);
            let correction = correction(&error)
                .filter(|correction| *correction != Correction::NewKeys || others)
                .filter(|correction| !corrected.contains(correction));
            if let Some(correction) = correction {
                // By now somebody may not want the call any more: whoever sends it has to ask again.
                let asked = leave.map(|leave| leave.age(timing));
                if asked.is_some_and(|age| age > timing.last_answer_max) {
                    return Err(Error {
                        outcome: Outcome::NotSent,
                        ..error
                    });
                }
                corrected.push(correction);
                continue;
            }
            let passes = matches!(error.kind, Kind::Throttled | Kind::Transient | Kind::Busy);
            if call.effect == Effect::Changes || !passes || attempt == READ_ATTEMPTS {
                return Err(error);
            }
            let grown = timing
                .backoff_min
                .saturating_mul(1 << attempt)
                .min(timing.backoff_max);
            let wait = error.retry_after.map_or(grown, |hint| hint.max(grown));
            // Jitter on top: earlier than the cloud asks is too early.
            let jitter = timing.chance.part_of(wait / 2);
            tokio::time::sleep(wait + jitter).await;
            attempt += 1;
        }
    }

    fn count(&self, call: &Call, left: Instant, attempted: &Result<Value, Error>) {
        let (product, outcome) = (call.service.name(), attempt_outcome(attempted));
        let metrics = &self.0.metrics;
        metrics.cloud_calls.one([product, call.action, outcome]);
        if outcome != UNSENT {
            let times = &metrics.cloud_call_times;
            times.took([product, call.action], left.elapsed());
        }
    }

    /// The time by the cloud's clock, as far as it is known.
    #[must_use]
    pub fn cloud_now(&self) -> Timestamp {
        let ahead = self.0.ahead.lock().unwrap_or_default();
        let now = self.0.config.timing.wall_now().saturating_add(ahead);
        now.unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Builds and signs `call` for one attempt.
    ///
    /// # Errors
    ///
    /// [`Kind::WrongEndpoint`] if the region makes no host.
    pub fn prepare(&self, caller: &Caller, call: &Call, keys: &Keys) -> Result<Prepared, Error> {
        let date = self.cloud_now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let nonce = self.0.config.timing.chance.hexadecimal(32);
        let url = self
            .0
            .config
            .endpoints
            .url(call.service, &caller.region, caller.network)
            .ok_or_else(|| {
                let message = format!("there is no host for the region {:?}", caller.region);
                unanswered(call, Kind::WrongEndpoint, Outcome::NotSent, &message)
            })?;
        Ok(match self.0.config.signature {
            _ if keys.id.is_empty() => prepare_anonymous(url, call, keys, &date, &nonce),
            Signature::V3 => prepare_v3(url, call, keys, date, nonce),
            Signature::V1 => prepare_v1(url, call, keys, &date, &nonce),
        })
    }

    async fn attempt(
        &self,
        caller: &Caller,
        call: &Call,
        keys: &Keys,
        leave: Option<&Leave>,
        deadline: Instant,
    ) -> Result<Value, Error> {
        let prepared = self.prepare(caller, call, keys)?;
        let host = authority(&prepared.url);
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
            let mut request = Request::new(Method::POST, prepared.url);
            *request.headers_mut() = headers;
            *request.body_mut() = prepared.body.map(Into::into);
            // The last check before the wire: a call that was signed after its leave had ended must not go out.
            let may_leave = leave.is_some_and(|leave| !leave.is_over(&self.0.config.timing));
            if call.effect == Effect::Changes && !may_leave {
                return Err(unanswered(
                    Kind::Transient,
                    Outcome::NotSent,
                    "the leave to send it has ended",
                ));
            }
            let response = self.0.wire.exchange(request).await;
            let response = response.map_err(|none| match none {
                NoAnswer::NotSent(why) => unanswered(
                    Kind::Transient,
                    Outcome::NotSent,
                    &format!("no connection to {host}: {why}"),
                ),
                NoAnswer::Broken => unanswered(
                    Kind::Transient,
                    Outcome::Unknown,
                    "the connection broke before there was an answer",
                ),
            })?;
            self.decode(call, keys, response).await
        };
        match timeout_at(deadline, exchange).await {
            Ok(result) => result,
            Err(_) => Err(unanswered(
                Kind::Transient,
                Outcome::Unknown,
                "no answer in time",
            )),
        }
    }

    async fn decode(
        &self,
        call: &Call,
        keys: &Keys,
        mut response: Response,
    ) -> Result<Value, Error> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        self.learn_clock(&headers);
        let malformed = |message: &str| Error {
            http_status: Some(status),
            ..unanswered(call, Kind::Malformed, Outcome::Unknown, message)
        };
        if (300..400).contains(&status) {
            let message = "the endpoint redirects; check the endpoints and proxies";
            return Err(Error {
                http_status: Some(status),
                ..unanswered(call, Kind::WrongEndpoint, Outcome::Unknown, message)
            });
        }
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
        let Some(refusal) = Refusal::read(call.service, status, &answer, keys) else {
            return Err(malformed("the answer has no code"));
        };
        Err(Error {
            action: call.action,
            outcome: outcome(status, refusal.kind),
            kind: refusal.kind,
            code: refusal.code,
            message: refusal.message,
            request_id: refusal.request_id,
            http_status: Some(status),
            retry_after: hint(&headers).map(|hint| hint.min(self.0.config.timing.hint_max)),
        })
    }

    /// Asks the metadata service of the instance, whose answers are short and come at once: status and text.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub(super) async fn nearby(
        &self,
        request: Request,
    ) -> Result<(u16, Zeroizing<String>), String> {
        let exchange = async {
            let answered = self.0.nearby.exchange(request).await;
            let mut response = answered.map_err(|none| match none {
                NoAnswer::NotSent(why) => why,
                NoAnswer::Broken => BROKEN.to_owned(),
            })?;
            let status = response.status().as_u16();
            let mut text = Zeroizing::new(Vec::with_capacity(NEARBY_MAX));
            while let Some(chunk) = response.chunk().await.map_err(|_| BROKEN.to_owned())? {
                if text.len() + chunk.len() > NEARBY_MAX {
                    return Err("the answer is too long".to_owned());
                }
                text.extend_from_slice(&chunk);
            }
            let text = std::str::from_utf8(&text).map_err(|_| "the answer is no text")?;
            Ok((status, Zeroizing::new(text.to_owned())))
        };
        let patience = self.0.config.timing.connect_deadline;
        let answered = tokio::time::timeout(patience, exchange).await;
        answered.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    /// Where the metadata service answers.
    pub(super) fn metadata_url(&self, path: &str) -> Option<Url> {
        self.0.config.endpoints.metadata(path)
    }

    /// Learns from the `Date` of an answer how far the cloud's clock is ahead.
    ///
    /// A date has whole seconds and is as old as its answer, so it says the least. The largest value that was said
    /// therefore comes within a second of the truth, and below it.
    fn learn_clock(&self, headers: &HeaderMap) {
        let date = headers.get("date").and_then(|value| value.to_str().ok());
        if let Some(theirs) = date.and_then(|date| rfc2822::parse(date).ok()) {
            let said = theirs
                .timestamp()
                .duration_since(self.0.config.timing.wall_now());
            // The value is lower than the age of an answer explains: one of the clocks was set.
            let set = |known: SignedDuration| {
                known > said && (known - said).unsigned_abs() > self.0.config.timing.answer_age_max
            };
            let mut ahead = self.0.ahead.lock();
            if ahead.is_none_or(|known| said > known || set(known)) {
                *ahead = Some(said);
            }
        }
    }
}

/// A client with connections of its own.
fn client(
    config: &TransportConfig,
    roots: &Roots,
    proxies: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<Client, NoClient> {
    let http = Client::builder()
        .tls_certs_only(roots.and_bundled()?)
        .connect_timeout(config.timing.connect_deadline)
        .pool_idle_timeout(config.timing.connection_idle)
        .pool_max_idle_per_host(8)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("server-group-operator/", env!("CARGO_PKG_VERSION")));
    Ok(proxies(http).build()?)
}

const UNSENT: &str = "unsent";

/// The outcome of one attempt, as metrics tell it.
fn attempt_outcome(attempted: &Result<Value, Error>) -> &'static str {
    let Err(error) = attempted else {
        return "ok";
    };
    match (error.outcome, error.kind) {
        (Outcome::NotSent, _) => UNSENT,
        (_, Kind::Throttled) => "throttled",
        (Outcome::Unknown, _) => "unanswered",
        (Outcome::Refused, Kind::Denied | Kind::Credentials) => "denied",
        (Outcome::Refused, _) => "refused",
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
        Kind::Credentials if code.contains("securitytoken") => Some(Correction::NewKeys),
        _ => None,
    }
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

/// The keys for a call cannot be had: nothing was sent.
pub(super) fn unavailable(action: &'static str, error: Unavailable) -> Error {
    Error {
        action,
        code: String::new(),
        message: error.message,
        request_id: None,
        http_status: None,
        kind: error.kind,
        outcome: Outcome::NotSent,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests;
