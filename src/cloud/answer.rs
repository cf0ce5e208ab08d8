//! The parts of an answer besides its content: code and words of a refusal, and how long to wait.

use std::time::Duration;

use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{
    call::Service,
    credential::Keys,
    error::{Kind, kind},
    sign::encode,
};

/// A refusal as the cloud words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) request_id: Option<String>,
    pub(super) kind: Kind,
}

impl Refusal {
    /// Reads the body of an error; `None` if it has no code. Some gateways write the names in lower case.
    pub(super) fn read(service: Service, status: u16, body: &Value, keys: &Keys) -> Option<Self> {
        let code = text(body, &["Code", "code"])?;
        let message = text(body, &["Message", "message"]).unwrap_or_default();
        let kind = kind(service, status, code, message);
        let mut told = match kind {
            // The rest of the message repeats the signed text, a security token included.
            Kind::Credentials => first_sentence(message).to_owned(),
            _ => without_keys(message, keys),
        };
        if let Some(missing) = missing_permission(body) {
            told = format!("{told} (not allowed: {missing})");
        }
        Some(Self {
            code: shortened(code, CODE_MAX),
            message: shortened(&told, MESSAGE_MAX),
            request_id: text(body, &["RequestId", "requestId"]).map(|id| shortened(id, CODE_MAX)),
            kind,
        })
    }
}

/// Longest message that is kept: as much as fits into a status message.
const MESSAGE_MAX: usize = 400;

/// Longest code and request id that are kept; real ones are shorter.
const CODE_MAX: usize = 100;

/// The first of `names` that is a text and not empty.
fn text<'a>(answer: &'a Value, names: &[&str]) -> Option<&'a str> {
    names
        .iter()
        .find_map(|name| answer.get(name)?.as_str())
        .filter(|text| !text.is_empty())
}

fn first_sentence(message: &str) -> &str {
    message
        .split_once(['.', ':'])
        .map_or(message, |(first, _)| first)
}

/// Should a gateway repeat our keys, they go no further (S11).
fn without_keys(message: &str, keys: &Keys) -> String {
    let secrets = [Some(&keys.secret), keys.token.as_ref()];
    let mut message = message.to_owned();
    for secret in secrets.into_iter().flatten() {
        let plain = secret.expose_secret();
        let (once, twice) = (encode(plain), encode(&encode(plain)));
        for written in [twice.as_str(), once.as_str(), plain] {
            if !written.is_empty() {
                message = message.replace(written, "***");
            }
        }
    }
    message
}

/// The action that the policy lacks, where the answer says.
fn missing_permission(answer: &Value) -> Option<&str> {
    text(answer.get("AccessDeniedDetail")?, &["AuthAction"])
}

fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How long the cloud asks to wait: `x-acs-retry-after`, or `TimeLeft:<ms>` of the rate limit headers, in milliseconds.
pub(super) fn hint(headers: &HeaderMap) -> Option<Duration> {
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
    Some(Duration::from_millis(longest))
}
