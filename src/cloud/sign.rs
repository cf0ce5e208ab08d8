//! Request signatures, V1 and V3: pure, and checked against published vectors.
//!
//! Source: "Request syntax and signature method V3" and the older RPC signature, of the cloud's API documentation.

use std::{collections::BTreeMap, fmt::Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::call::Parameters;

/// Everything but the unreserved characters of RFC 3986 is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The algorithm's name in V3.
const V3: &str = "ACS3-HMAC-SHA256";

/// Percent-encodes one name or value.
#[must_use]
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// `name=value` pairs, encoded and joined, in order of the names. Serves as URL query, as form body, and in signatures.
#[must_use]
pub fn encode_all(parameters: &Parameters) -> String {
    let pairs: Vec<_> = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

/// Lower-case hexadecimal SHA-256.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The `Signature` of V1 over query and form parameters together.
#[must_use]
pub fn v1(method: &str, path: &str, parameters: &Parameters, secret: &str) -> String {
    let to_sign = v1_string_to_sign(method, path, parameters);
    let mut mac = Hmac::<Sha1>::new_from_slice(format!("{secret}&").as_bytes())
        .expect("a key of any length will do");
    mac.update(to_sign.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The text that V1 signs.
#[must_use]
pub fn v1_string_to_sign(method: &str, path: &str, parameters: &Parameters) -> String {
    format!(
        "{method}&{}&{}",
        encode(path),
        encode(&encode_all(parameters))
    )
}

/// A request as V3 sees it.
#[derive(Clone, Copy, Debug)]
pub struct V3Request<'a> {
    /// Upper case.
    pub method: &'a str,
    /// As sent.
    pub path: &'a str,
    /// Parameters of the URL.
    pub query: &'a Parameters,
    /// Every signed header, names in lower case.
    pub headers: &'a BTreeMap<String, String>,
    /// Hash of the body as sent.
    pub payload_hash: &'a str,
}

impl V3Request<'_> {
    /// The value of the `Authorization` header.
    #[must_use]
    pub fn authorization(&self, access_key_id: &str, secret: &str) -> String {
        let signature = self.signature(secret);
        format!(
            "{V3} Credential={access_key_id},SignedHeaders={},Signature={signature}",
            self.signed_headers()
        )
    }

    /// Lower-case hexadecimal signature.
    #[must_use]
    pub fn signature(&self, secret: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
        mac.update(self.string_to_sign().as_bytes());
        hex(&mac.finalize().into_bytes())
    }

    /// The text that V3 signs.
    #[must_use]
    pub fn string_to_sign(&self) -> String {
        format!("{V3}\n{}", hash(self.canonical().as_bytes()))
    }

    /// The canonical request.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut headers = String::new();
        for (name, value) in self.headers {
            writeln!(headers, "{name}:{}", value.trim()).expect("a string takes everything");
        }
        let query = encode_all(self.query);
        let signed = self.signed_headers();
        format!(
            "{}\n{}\n{query}\n{headers}\n{signed}\n{}",
            self.method, self.path, self.payload_hash
        )
    }

    fn signed_headers(&self) -> String {
        self.headers
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(";")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        })
}
