//! Checks the signature of a request, V3 and V1, from the request as it arrived.

use std::{collections::BTreeMap, fmt::Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::refusal::Refusal;

/// How far a request's clock may be off, in seconds.
const WINDOW: i64 = 15 * 60;

/// A request as it arrived; header names in lower case.
#[derive(Debug)]
pub(crate) struct Received {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub form: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Received {
    /// The action, wherever it is named.
    pub(crate) fn action(&self) -> String {
        self.common("x-acs-action", "Action").unwrap_or_default()
    }

    /// What V3 says in a header and V1 in a parameter.
    fn common(&self, header: &str, parameter: &str) -> Option<String> {
        self.headers
            .get(header)
            .or_else(|| self.query.get(parameter))
            .or_else(|| self.form.get(parameter))
            .cloned()
    }
}

/// A key that may sign.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its secret.
    pub secret: String,
    /// The cloud account it belongs to.
    pub account: String,
    /// The token that has to come with it, for temporary keys.
    pub token: Option<String>,
    /// When it ends to be valid, in seconds of the server's clock; absent = never.
    pub expires: Option<i64>,
    /// Who signs with it.
    pub arn: String,
    /// Whether it is switched off.
    pub inactive: bool,
}

impl Key {
    /// A key of a RAM user.
    #[must_use]
    pub fn lasting(secret: String, account: String) -> Self {
        Self {
            arn: format!("acs:ram::{account}:user/operator"),
            secret,
            account,
            token: None,
            expires: None,
            inactive: false,
        }
    }
}

/// Who makes a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// The cloud account.
    pub account: String,
    /// The user, or the role that was assumed.
    pub arn: String,
}

impl From<&Key> for Caller {
    fn from(key: &Key) -> Self {
        Self {
            account: key.account.clone(),
            arn: key.arn.clone(),
        }
    }
}

/// What a valid signature says.
#[derive(Debug)]
pub(crate) struct Signed {
    pub key_id: String,
    pub caller: Caller,
    pub nonce: String,
    pub action: String,
    pub version: String,
}

/// Checks signature, clock and token; the nonce is for the caller to remember.
pub(crate) fn verify(
    request: &Received,
    keys: &BTreeMap<String, Key>,
    now: i64,
) -> Result<Signed, Refusal> {
    match request.headers.get("authorization") {
        Some(authorization) => v3(request, authorization, keys, now),
        None => v1(request, keys, now),
    }
}

/// The one call that nobody signs: it proves who asks by the token that it carries.
pub(crate) fn anonymous(request: &Received) -> Option<Signed> {
    let action = request.action();
    (action == "AssumeRoleWithOIDC" && !request.headers.contains_key("authorization")).then(|| {
        Signed {
            key_id: String::new(),
            caller: Caller::default(),
            nonce: String::new(),
            version: request
                .common("x-acs-version", "Version")
                .unwrap_or_default(),
            action,
        }
    })
}

fn v3(
    request: &Received,
    authorization: &str,
    keys: &BTreeMap<String, Key>,
    now: i64,
) -> Result<Signed, Refusal> {
    let incomplete = |why: &str| Refusal::new(400, "IncompleteSignature", why);
    let fields = authorization
        .strip_prefix("ACS3-HMAC-SHA256 ")
        .ok_or_else(|| incomplete("The algorithm is not known."))?;
    let field = |name: &str| {
        let found = fields
            .split(',')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        found.ok_or_else(|| incomplete("A field of the Authorization header is missing."))
    };
    let (id, names, given) = (
        field("Credential")?,
        field("SignedHeaders")?,
        field("Signature")?,
    );
    let key = known(keys, id)?;
    let header = |name: &str| {
        request
            .headers
            .get(name)
            .ok_or_else(|| incomplete("A needed header is missing."))
    };
    let signed: Vec<_> = names.split(';').collect();
    let needed = request
        .headers
        .keys()
        .filter(|name| name.starts_with("x-acs-") || *name == "host" || *name == "content-type");
    if let Some(name) = needed
        .into_iter()
        .find(|name| !signed.contains(&name.as_str()))
    {
        return Err(incomplete(&format!("The header {name} is not signed.")));
    }
    if *header("x-acs-content-sha256")? != hex(&Sha256::digest(&request.body)) {
        return Err(Refusal::new(
            400,
            "SignatureDoesNotMatch",
            "The hash of the body is not that of the body.",
        ));
    }
    let mut canonical = format!(
        "{}\n{}\n{}\n",
        request.method,
        request.path,
        join(&request.query)
    );
    for name in &signed {
        writeln!(canonical, "{name}:{}", header(name)?.trim()).expect("a string takes everything");
    }
    write!(canonical, "\n{names}\n{}", header("x-acs-content-sha256")?)
        .expect("a string takes everything");
    let to_sign = format!(
        "ACS3-HMAC-SHA256\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.secret.as_bytes()).expect("a key of any length will do");
    mac.update(to_sign.as_bytes());
    same(&hex(&mac.finalize().into_bytes()), given, &to_sign)?;
    in_time(header("x-acs-date")?, now)?;
    token(key, request.headers.get("x-acs-security-token"), now)?;
    Ok(Signed {
        key_id: id.to_owned(),
        caller: key.into(),
        nonce: header("x-acs-signature-nonce")?.clone(),
        action: header("x-acs-action")?.clone(),
        version: header("x-acs-version")?.clone(),
    })
}

fn v1(request: &Received, keys: &BTreeMap<String, Key>, now: i64) -> Result<Signed, Refusal> {
    let mut all = request.query.clone();
    all.extend(request.form.clone());
    let given = all
        .remove("Signature")
        .ok_or_else(|| Refusal::new(400, "IncompleteSignature", "There is no signature."))?;
    let need = |name: &str| all.get(name).cloned().ok_or_else(|| Refusal::missing(name));
    for (name, value) in [
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("Format", "JSON"),
    ] {
        let asked = need(name)?;
        // The vendor's newer SDK writes `json` where the older one writes `JSON`.
        let usual = match name {
            "Format" => asked.eq_ignore_ascii_case(value),
            _ => asked == value,
        };
        if !usual {
            return Err(Refusal::invalid(name, "only the usual value is known here"));
        }
    }
    let id = need("AccessKeyId")?;
    let key = known(keys, &id)?;
    let to_sign = format!(
        "{}&{}&{}",
        request.method,
        encode(&request.path),
        encode(&join(&all))
    );
    let mut mac = Hmac::<Sha1>::new_from_slice(format!("{}&", key.secret).as_bytes())
        .expect("a key of any length will do");
    mac.update(to_sign.as_bytes());
    same(
        &STANDARD.encode(mac.finalize().into_bytes()),
        &given,
        &to_sign,
    )?;
    in_time(&need("Timestamp")?, now)?;
    token(key, all.get("SecurityToken"), now)?;
    Ok(Signed {
        caller: key.into(),
        nonce: need("SignatureNonce")?,
        action: need("Action")?,
        version: need("Version")?,
        key_id: id,
    })
}

/// Parameters that belong to a V1 signature and not to the action.
pub(crate) const V1_PARAMETERS: [&str; 11] = [
    "AccessKeyId",
    "Action",
    "Format",
    "Signature",
    "SignatureMethod",
    "SignatureNonce",
    "SignatureType",
    "SignatureVersion",
    "Timestamp",
    "Version",
    "SecurityToken",
];

fn known<'k>(keys: &'k BTreeMap<String, Key>, id: &str) -> Result<&'k Key, Refusal> {
    let key = keys.get(id).ok_or_else(|| {
        Refusal::new(
            404,
            "InvalidAccessKeyId.NotFound",
            "Specified access key is not found.",
        )
    })?;
    if key.inactive {
        let why = "Specified access key is disabled.";
        return Err(Refusal::new(404, "InvalidAccessKeyId.Inactive", why));
    }
    Ok(key)
}

fn same(expected: &str, given: &str, to_sign: &str) -> Result<(), Refusal> {
    if expected == given {
        return Ok(());
    }
    Err(Refusal::new(
        400,
        "SignatureDoesNotMatch",
        format!("Specified signature does not match; the server signs: {to_sign}"),
    ))
}

fn in_time(date: &str, now: i64) -> Result<(), Refusal> {
    let format = || {
        Refusal::new(
            400,
            "InvalidTimeStamp.Format",
            "The date is not of the form YYYY-MM-DDThh:mm:ssZ.",
        )
    };
    if !date.ends_with('Z') || date.len() != 20 {
        return Err(format());
    }
    let then: jiff::Timestamp = date.parse().map_err(|_| format())?;
    if (then.as_second() - now).abs() > WINDOW {
        return Err(Refusal::new(
            400,
            "InvalidTimeStamp.Expired",
            "The date is too far from the server's.",
        ));
    }
    Ok(())
}

fn token(key: &Key, given: Option<&String>, now: i64) -> Result<(), Refusal> {
    let refuse = |code: &str, why: &str| Err(Refusal::new(400, code, why));
    match (&key.token, given) {
        (None, None) => Ok(()),
        (Some(_), None) => refuse("MissingSecurityToken", "A temporary key needs its token."),
        (Some(expected), Some(given)) if expected == given => match key.expires {
            Some(expires) if expires <= now => refuse(
                "InvalidSecurityToken.Expired",
                "Specified SecurityToken is expired.",
            ),
            _ => Ok(()),
        },
        _ => refuse(
            "InvalidSecurityToken.MismatchWithAccessKey",
            "The token is not that of the key.",
        ),
    }
}

fn join(parameters: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

/// Percent-encoding of RFC 3986, in upper case.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(byte.into());
            }
            _ => write!(encoded, "%{byte:02X}").expect("a string takes everything"),
        }
        encoded
    })
}

/// Pairs of a query or form; `+` stands for a space.
pub(crate) fn decode(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (unescape(name), unescape(value)))
        .collect()
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let code = bytes
            .get(index + 1..index + 3)
            .and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match (bytes[index], code) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                index += 2;
            }
            (b'+', _) => plain.push(b' '),
            (byte, _) => plain.push(byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documentation's own example, signed by the documentation.
    #[test]
    fn takes_the_published_example_and_nothing_else() {
        let query = "AccessKeyId=testid&Action=DescribeRegions&Format=XML&SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&SignatureVersion=1.0&Timestamp=2016-02-23T12%3A46%3A24Z&Version=2014-05-26";
        let to_sign = format!("GET&%2F&{}", encode(&join(&decode(query))));
        let mut mac = Hmac::<Sha1>::new_from_slice(b"testsecret&").unwrap();
        mac.update(to_sign.as_bytes());
        assert_eq!(
            STANDARD.encode(mac.finalize().into_bytes()),
            "OLeaidS1JvxuMvnyHOwuJ+uX5qY="
        );
    }

    #[test]
    fn reads_back_what_was_encoded() {
        let text = "a b+c*d~e/f=ü&%";
        assert_eq!(unescape(&encode(text)), text);
        assert_eq!(encode("*~ "), "%2A~%20");
    }
}
