//! Error answers as the cloud writes them.

use serde_json::{Value, json};

/// An error answer.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The documented code.
    pub code: String,
    /// Words for people.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn missing(name: &str) -> Self {
        Self::new(
            400,
            "MissingParameter",
            format!("The parameter {name} is needed and was not given."),
        )
    }

    pub(crate) fn invalid(name: &str, why: &str) -> Self {
        Self::new(
            400,
            "InvalidParameter",
            format!("The parameter {name} is not valid: {why}."),
        )
    }

    pub(crate) fn body(&self, request_id: &str) -> Value {
        json!({"RequestId": request_id, "Code": self.code, "Message": self.message, "HostId": "simulator", "Recommend": ""})
    }
}
