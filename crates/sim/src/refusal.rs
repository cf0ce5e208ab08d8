//! Error answers as the cloud writes them.

use serde_json::{Value, json};

use crate::seconds::Seconds;

/// An error answer.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The documented code.
    pub code: String,
    /// Words for people.
    pub message: String,
    /// When calling again is worth it.
    retry_after: Option<Seconds>,
    /// The action that a policy would have to permit.
    denied: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            retry_after: None,
            denied: None,
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

    /// Too many calls; with a hint, the answer says when there is room again.
    pub(crate) fn throttled(retry_after: Option<Seconds>) -> Self {
        Self {
            retry_after,
            ..Self::new(
                400,
                "Throttling.User",
                "Request was denied due to user flow control.",
            )
        }
    }

    /// A call that passed every check and asked only for that.
    pub(crate) fn dry_run() -> Self {
        Self::new(
            400,
            "DryRunOperation",
            "The call would have been carried out.",
        )
    }

    /// The same, telling the person who writes the policy what is missing.
    pub(crate) fn denying(self, service: &str, action: &str) -> Self {
        Self {
            denied: Some(format!("{service}:{action}")),
            ..self
        }
    }

    /// NLB has its own names for these two.
    pub(crate) fn in_words_of_nlb(mut self) -> Self {
        match self.code.as_str() {
            "MissingParameter" => "MissingParam".clone_into(&mut self.code),
            "InvalidParameter" => "IllegalParam".clone_into(&mut self.code),
            _ => {}
        }
        self
    }

    /// Headers that say in how many milliseconds to call again, as the two generations of SDKs read them.
    pub(crate) fn hints(&self) -> Vec<(&'static str, String)> {
        let Some(seconds) = self.retry_after else {
            return Vec::new();
        };
        let milliseconds = (seconds * 1000.0).ceil();
        vec![
            ("x-acs-retry-after", format!("{milliseconds:.0}")),
            (
                "x-ratelimit-user-api",
                format!("Limit:1,Remain:0,TimeLeft:{milliseconds:.0}"),
            ),
        ]
    }

    pub(crate) fn body(&self, request_id: &str) -> Value {
        let mut body = json!({
            "RequestId": request_id, "Code": self.code, "Message": self.message, "HostId": "simulator", "Recommend": "",
        });
        if let Some(action) = &self.denied {
            body["AccessDeniedDetail"] =
                json!({"AuthAction": action, "NoPermissionType": "ImplicitDeny"});
        }
        body
    }
}
