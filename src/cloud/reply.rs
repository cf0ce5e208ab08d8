//! Answers into values: one with a field missing, or of another type, is a malformed answer, never an empty one.

use std::fmt;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::error::{Error, Kind, Outcome};

/// Decodes an answer.
///
/// # Errors
///
/// [`Kind::Malformed`] if a field that decides something is missing or has another type. For a changing call
/// that is [`Outcome::Unknown`].
pub(super) fn decode<T: DeserializeOwned>(action: &'static str, answer: Value) -> Result<T, Error> {
    let request_id = answer.get("RequestId").and_then(Value::as_str);
    let request_id = request_id.map(ToOwned::to_owned);
    serde_json::from_value(answer).map_err(|error| Error {
        request_id,
        ..malformed(action, error)
    })
}

/// An answer of another shape than the API documents.
pub(super) fn malformed(action: &'static str, what: impl fmt::Display) -> Error {
    Error {
        action,
        code: String::new(),
        message: format!("the answer is not what the API documents: {what}"),
        request_id: None,
        http_status: None,
        kind: Kind::Malformed,
        outcome: Outcome::Unknown,
        retry_after: None,
    }
}

/// A list that could not be read whole.
pub(super) fn incomplete(action: &'static str, message: impl Into<String>) -> Error {
    Error {
        action,
        code: String::new(),
        message: message.into(),
        request_id: None,
        http_status: None,
        kind: Kind::Incomplete,
        outcome: Outcome::Refused,
        retry_after: None,
    }
}

/// A whole number, which some services write as a string; absent, null and empty are `None`.
pub(super) fn number<'de, D: Deserializer<'de>, T: TryFrom<i64>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    let number = match Value::deserialize(value)? {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64(),
        _ => None,
    };
    let fits = number.and_then(|number: i64| T::try_from(number).ok());
    fits.map(Some)
        .ok_or_else(|| serde::de::Error::custom("a number is out of its range"))
}

/// A text that may be absent, null or empty.
pub(super) fn text<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(value)?.filter(|text| !text.is_empty()))
}
