//! Temporary keys as STS and the metadata service write them.

use jiff::Timestamp;
use secrecy::zeroize::Zeroize;
use serde_json::Value;

use super::{Keys, Unavailable};

/// Temporary keys.
pub(super) struct Issued {
    pub(super) keys: Keys,
    /// By the cloud's clock.
    pub(super) expires: Timestamp,
}

/// Reads an answer of STS.
pub(super) fn read(mut answer: Value) -> Result<Issued, Unavailable> {
    read_fields(answer["Credentials"].take())
}

/// Reads the four fields that both have in common. Each text moves from the answer to where it is wiped.
pub(super) fn read_fields(mut fields: Value) -> Result<Issued, Unavailable> {
    let mut take = |name: &str| match fields.get_mut(name).map(Value::take) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        other => {
            if let Some(Value::String(mut text)) = other {
                text.zeroize();
            }
            Err(Unavailable::passing(format!(
                "the answer with the temporary keys has no {name}; check the endpoints and proxies"
            )))
        }
    };
    let id = take("AccessKeyId")?;
    let secret = take("AccessKeySecret")?.into();
    let token = take("SecurityToken")?.into();
    let expires = take("Expiration")?.parse().map_err(|_| {
        Unavailable::passing("the answer with the temporary keys does not say until when they last")
    })?;
    Ok(Issued {
        keys: Keys {
            id,
            secret,
            token: Some(token),
        },
        expires,
    })
}
