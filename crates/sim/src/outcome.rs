//! How an action ended: the answer, and what was done for it.

use serde_json::Value;

use crate::refusal::Refusal;

/// What an action did, for the audit log.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    pub resource: String,
    pub names: Vec<String>,
}

impl Effect {
    pub(crate) fn on(resource: &str) -> Self {
        Self::change(resource, Vec::new())
    }

    pub(crate) fn change(resource: &str, names: Vec<String>) -> Self {
        Self {
            resource: resource.to_owned(),
            names,
        }
    }
}

/// A successful answer, and what was done for it.
pub(crate) type Outcome = Result<(Value, Effect), Refusal>;
