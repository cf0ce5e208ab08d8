//! What is refused, as the `Status` that a client reads.

use serde_json::{Value, json};

use super::{Answer, kind::Kind, schema::Fault};

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nothing serves the path; said in plain text.
    Page,
    /// Said in a `Status`.
    Status {
        code: u16,
        /// The server leaves it out where it has no word for what happened.
        reason: Option<&'static str>,
        message: String,
        details: Option<Value>,
    },
}

impl Refusal {
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Page => Answer {
                code: 404,
                body: json!("404 page not found\n"),
            },
            Self::Status {
                code,
                reason,
                message,
                details,
            } => {
                let mut body = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {},
                    "status": "Failure", "message": message, "code": code,
                });
                if let Some(reason) = reason {
                    body["reason"] = json!(reason);
                }
                if let Some(details) = details {
                    body["details"] = details;
                }
                Answer { code, body }
            }
        }
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::plain(400, Some("BadRequest"), message)
    }

    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.full_plural());
        Self::about(404, "NotFound", message, details(kind, &kind.plural, name))
    }

    /// No such kind in a group that is built in.
    pub(super) fn no_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::about(404, "NotFound", message.to_owned(), json!({}))
    }

    pub(super) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.full_plural());
        Self::about(
            409,
            "AlreadyExists",
            message,
            details(kind, &kind.plural, name),
        )
    }

    /// Somebody else wrote in between.
    pub(super) fn stale(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, &kind.plural, name, why)
    }

    /// It is another object of the same name.
    pub(super) fn other_uid(kind: &Kind, name: &str) -> Self {
        Self::conflict(kind, &kind.plural, name, "Precondition failed: UID")
    }

    /// The object is not the one, or not in the version, that is to be deleted.
    pub(super) fn precondition(kind: &Kind, name: &str, which: &str) -> Self {
        let why = format!("the {which} in the precondition does not match that in record");
        let called = match kind.is_namespace() {
            true => &kind.plural,
            false => &kind.name,
        };
        Self::conflict(kind, called, name, &why)
    }

    fn conflict(kind: &Kind, called: &str, name: &str, why: &str) -> Self {
        let plural = kind.full_plural();
        let message = format!("Operation cannot be fulfilled on {plural} {name:?}: {why}");
        Self::about(409, "Conflict", message, details(kind, called, name))
    }

    /// The request names no version.
    pub(super) fn no_version(kind: &Kind, name: &str) -> Self {
        let fault = Fault {
            field: "metadata.resourceVersion".to_owned(),
            reason: "FieldValueInvalid",
            message: "must be specified for an update".to_owned(),
        };
        Self::invalid(kind, &kind.plural, name, &[fault])
    }

    pub(super) fn invalid(kind: &Kind, called: &str, name: &str, faults: &[Fault]) -> Self {
        let causes: Vec<_> = faults
            .iter()
            .map(|fault| {
                json!({"reason": fault.reason, "message": fault.message, "field": fault.field})
            })
            .collect();
        let words: Vec<_> = faults
            .iter()
            .map(|fault| format!("{}: {}", fault.field, fault.message))
            .collect();
        let message = format!("{called} {name:?} is invalid: {}", words.join(", "));
        let mut details = details(kind, called, name);
        details["causes"] = json!(causes);
        Self::about(422, "Invalid", message, details)
    }

    /// One field, for a reason of its own.
    pub(super) fn invalid_field(kind: &Kind, name: &str, field: &str, message: &str) -> Self {
        let fault = Fault {
            field: field.to_owned(),
            reason: "FieldValueInvalid",
            message: message.to_owned(),
        };
        Self::invalid(kind, &kind.name, name, &[fault])
    }

    pub(super) fn terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let why = format!("namespace {namespace} is being terminated");
        let message = format!(
            "{} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
            kind.full_plural()
        );
        let mut details = details(kind, &kind.plural, name);
        details["causes"] = json!([{"reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace"}]);
        Self::about(403, "Forbidden", message, details)
    }

    pub(super) fn method(kind: &Kind) -> Self {
        let message = "the server does not allow this method on the requested resource";
        let details = match kind.custom {
            true => json!({"group": kind.group, "kind": kind.plural}),
            false => json!({}),
        };
        Self::about(405, "MethodNotAllowed", message.to_owned(), details)
    }

    pub(super) fn media_type() -> Self {
        let message = "the body of the request was in an unknown format";
        Self::plain(415, Some("UnsupportedMediaType"), message)
    }

    /// What was asked from is compacted away.
    pub(super) fn expired(message: &str) -> Self {
        Self::plain(410, Some("Expired"), message)
    }

    /// The server does not expect it, and has no word for it.
    pub(super) fn unexpected(message: &str) -> Self {
        Self::plain(500, None, message)
    }

    fn plain(code: u16, reason: Option<&'static str>, message: &str) -> Self {
        Self::Status {
            code,
            reason,
            message: message.to_owned(),
            details: None,
        }
    }

    fn about(code: u16, reason: &'static str, message: String, details: Value) -> Self {
        Self::Status {
            code,
            reason: Some(reason),
            message,
            details: Some(details),
        }
    }
}

/// Which object it is about; `called` is the plural or the kind, as the server happens to say it.
fn details(kind: &Kind, called: &str, name: &str) -> Value {
    let mut details = json!({"kind": called});
    if !name.is_empty() {
        details["name"] = json!(name);
    }
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    details
}
