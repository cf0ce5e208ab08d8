//! A client written from the published signature vectors: it shares nothing with the simulator, nor with the operator.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) const ID: &str = "simulated-key";
pub(crate) const SECRET: &str = "simulated-secret";

/// A request before it is signed.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) action: String,
    pub(crate) version: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) form: Option<BTreeMap<String, String>>,
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
    pub(crate) nonce: String,
    pub(crate) date: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Request {
    pub(crate) fn new(version: &str, action: &str, params: &Value) -> Self {
        static NONCES: AtomicU64 = AtomicU64::new(0);
        let mut query = BTreeMap::new();
        flatten("", params, &mut query);
        Self {
            method: "POST".into(),
            path: "/".into(),
            action: action.into(),
            version: version.into(),
            query,
            form: None,
            key: ID.into(),
            secret: SECRET.into(),
            token: None,
            nonce: format!("nonce-{}", NONCES.fetch_add(1, Ordering::Relaxed)),
            date: date(0),
        }
    }

    /// The same with its parameters in the body.
    pub(crate) fn into_form(mut self) -> Self {
        self.form = Some(std::mem::take(&mut self.query));
        self
    }

    /// The bytes on the wire, signed with V3.
    pub(crate) fn v3(&self, host: SocketAddr) -> String {
        self.v3_for(&host.to_string())
    }

    /// The same for a host by name.
    pub(crate) fn v3_for(&self, host: &str) -> String {
        let body = self.form.as_ref().map(join).unwrap_or_default();
        let hash = hex(&Sha256::digest(body.as_bytes()));
        let mut signed = BTreeMap::from([
            ("host", host.to_owned()),
            ("x-acs-action", self.action.clone()),
            ("x-acs-version", self.version.clone()),
            ("x-acs-date", self.date.clone()),
            ("x-acs-signature-nonce", self.nonce.clone()),
            ("x-acs-content-sha256", hash.clone()),
        ]);
        if self.form.is_some() {
            signed.insert("content-type", "application/x-www-form-urlencoded".into());
        }
        if let Some(token) = &self.token {
            signed.insert("x-acs-security-token", token.clone());
        }
        let headers = signed.iter().fold(String::new(), |mut all, (name, value)| {
            writeln!(all, "{name}:{value}").unwrap();
            all
        });
        let names: Vec<_> = signed.keys().copied().collect();
        let names = names.join(";");
        let canonical = format!(
            "{}\n{}\n{}\n{headers}\n{names}\n{hash}",
            self.method,
            self.path,
            join(&self.query)
        );
        let to_sign = format!("ACS3-HMAC-SHA256\n{}", hex(&Sha256::digest(canonical)));
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(to_sign.as_bytes());
        let signature = hex(&mac.finalize().into_bytes());
        let authorization = format!(
            "ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}",
            self.key
        );
        let mut wire: Vec<(&str, String)> = signed.into_iter().collect();
        wire.push(("authorization", authorization));
        self.wire(&self.query, &wire, &body)
    }

    /// The bytes on the wire, signed with V1.
    pub(crate) fn v1(&self, host: SocketAddr) -> String {
        let mut query = self.query.clone();
        for (name, value) in [
            ("AccessKeyId", &*self.key),
            ("Action", &self.action),
            ("Format", "JSON"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", &self.nonce),
            ("SignatureVersion", "1.0"),
            ("Timestamp", &self.date),
            ("Version", &self.version),
        ] {
            // What a test gave is sent as it is.
            query.entry(name.into()).or_insert_with(|| value.into());
        }
        if let Some(token) = &self.token {
            query.insert("SecurityToken".into(), token.clone());
        }
        let mut all = query.clone();
        all.extend(self.form.clone().unwrap_or_default());
        let to_sign = format!("{}&%2F&{}", self.method, encode(&join(&all)));
        let mut mac = Hmac::<Sha1>::new_from_slice(format!("{}&", self.secret).as_bytes()).unwrap();
        mac.update(to_sign.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        query.insert("Signature".into(), signature);
        let mut headers = vec![("host", host.to_string())];
        let body = match &self.form {
            Some(form) => {
                headers.push(("content-type", "application/x-www-form-urlencoded".into()));
                join(form)
            }
            None => String::new(),
        };
        self.wire(&query, &headers, &body)
    }

    fn wire(
        &self,
        query: &BTreeMap<String, String>,
        headers: &[(&str, String)],
        body: &str,
    ) -> String {
        let mut wire = format!("{} {}?{} HTTP/1.1\r\n", self.method, self.path, join(query));
        for (name, value) in headers {
            write!(wire, "{name}: {value}\r\n").unwrap();
        }
        let length = body.len();
        write!(
            wire,
            "content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .unwrap();
        wire
    }
}

/// Sends bytes and reads the answer to its end; `None` if the connection breaks off first.
pub(crate) async fn exchange(host: SocketAddr, wire: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(wire.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines
        .next()?
        .split_whitespace()
        .nth(1)?
        .parse::<u16>()
        .ok()?;
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    // An answer without a length that was cut off is none.
    let whole = match headers.get("content-length") {
        Some(length) => length.parse::<usize>().ok()? == body.len(),
        None => body.ends_with("0\r\n\r\n"),
    };
    whole.then(|| Answer {
        status,
        headers,
        text: body.to_owned(),
    })
}

/// `{"Servers": [{"ServerId": "i-1"}]}` is `Servers.1.ServerId=i-1`.
fn flatten(name: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let dot = if name.is_empty() { "" } else { "." };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (field, value) in fields {
                flatten(&format!("{name}{dot}{field}"), value, into);
            }
        }
        Value::Array(rows) => {
            for (index, value) in rows.iter().enumerate() {
                flatten(&format!("{name}.{}", index + 1), value, into);
            }
        }
        Value::String(text) => _ = into.insert(name.into(), text.clone()),
        other => _ = into.insert(name.into(), other.to_string()),
    }
}

/// A date in requests, so many seconds from now.
pub(crate) fn date(seconds: i64) -> String {
    let now = jiff::Timestamp::now().as_second() + seconds;
    jiff::Timestamp::from_second(now).unwrap().to_string()
}

fn join(params: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = params
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            all.push(byte.into());
        } else {
            write!(all, "%{byte:02X}").unwrap();
        }
        all
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut all, byte| {
        write!(all, "{byte:02x}").unwrap();
        all
    })
}
