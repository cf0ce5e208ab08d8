//! Events: one object under two paths. It is kept in the form of `events.k8s.io/v1`; the older form of the core group
//! has other names for half of the fields.

use serde_json::{Value, json};

const NAMES: [(&str, &str); 7] = [
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

/// From the form of the core group.
pub(super) fn from_core(event: &mut Value) {
    rename(event, NAMES.map(|(new, core)| (core, new)));
    event["apiVersion"] = json!("events.k8s.io/v1");
}

/// To the form of the core group.
pub(super) fn to_core(event: &mut Value) {
    rename(event, NAMES);
    event["apiVersion"] = json!("v1");
    for always in ["reportingComponent", "reportingInstance"] {
        if event[always].is_null() {
            event[always] = json!("");
        }
    }
}

/// Drops what is empty, as writing it out does.
pub(super) fn normalise(event: &mut Value) {
    if let Value::Object(fields) = event {
        fields.retain(|_, value| value != "");
    }
}

fn rename(event: &mut Value, names: [(&str, &str); 7]) {
    let Value::Object(fields) = event else { return };
    for (from, to) in names {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}
