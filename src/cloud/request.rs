//! A call as it goes out: signed, with its headers, ready for one attempt.

use std::{collections::BTreeMap, fmt};

use reqwest::Url;
use secrecy::ExposeSecret;

use super::{
    call::Call,
    credential::Keys,
    sign::{V3Request, encode_all, hash, v1},
};

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

/// Prepares a call that is sent at `date`, signed with V3.
pub(super) fn prepare_v3(
    mut url: Url,
    call: &Call,
    keys: &Keys,
    date: String,
    nonce: String,
) -> Prepared {
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

/// Prepares a call that is sent at `date`, signed with V1.
pub(super) fn prepare_v1(
    mut url: Url,
    call: &Call,
    keys: &Keys,
    date: &str,
    nonce: &str,
) -> Prepared {
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

/// Prepares a call that is sent unsigned at `date`: the token in it says who asks.
pub(super) fn prepare_anonymous(
    mut url: Url,
    call: &Call,
    keys: &Keys,
    date: &str,
    nonce: &str,
) -> Prepared {
    let mut query = call.query.clone();
    for (name, value) in [
        ("Action", call.action),
        ("Format", "json"),
        ("SignatureNonce", nonce),
        ("Timestamp", date),
        ("Version", call.service.version()),
    ] {
        query.insert(name.to_owned(), value.to_owned());
    }
    if let Some(token) = &keys.token {
        query.insert("OIDCToken".to_owned(), token.expose_secret().to_owned());
    }
    let headers = BTreeMap::from([
        ("x-acs-action".to_owned(), call.action.to_owned()),
        (
            "x-acs-version".to_owned(),
            call.service.version().to_owned(),
        ),
        ("accept".to_owned(), "application/json".to_owned()),
    ]);
    set_query(&mut url, &encode_all(&query));
    Prepared {
        url,
        headers,
        body: None,
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn set_query(url: &mut Url, query: &str) {
    url.set_query(Some(query).filter(|query| !query.is_empty()));
}

/// Host and, unless it is the scheme's own, port: the value of the `host` header.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
