//! `metadata`: what of it is kept as it is sent, what the server alone sets, and what may not change.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{kind::Kind, refusal::Refusal, schema::Fault};

const KNOWN: [&str; 13] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "uid",
];

/// Drops what is unknown or empty, as writing it out does.
pub(super) fn normalise(object: &mut Value) {
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    fields(object).retain(|name, value| {
        KNOWN.contains(&name.as_str())
            && match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => !fields.is_empty(),
                Value::Bool(_) | Value::Number(_) => true,
            }
    });
}

pub(super) fn fields(object: &mut Value) -> &mut Map<String, Value> {
    object["metadata"].as_object_mut().expect("it has metadata")
}

/// A field that is text; empty if it is not there.
pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

pub(super) fn is_deleted(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    let finalizers = object["metadata"]["finalizers"].as_array();
    finalizers
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// As a real server writes a time: whole seconds.
pub(super) fn time(now: Timestamp) -> Value {
    json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A new object; `number` makes the uid, and the end of a name that is generated.
pub(super) fn found(object: &mut Value, now: Timestamp, number: u64, counts: bool) {
    let fields = fields(object);
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ] {
        fields.remove(field);
    }
    fields.insert(
        "uid".to_owned(),
        json!(format!("00000000-0000-4000-8000-{number:012x}")),
    );
    fields.insert("creationTimestamp".to_owned(), time(now));
    if counts {
        fields.insert("generation".to_owned(), json!(1));
    }
}

/// The end of a name that is generated: the letters that a real server uses.
pub(super) fn ending(mut number: u64) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut ending = String::new();
    for _ in 0..5 {
        ending.push(char::from(LETTERS[(number % 27) as usize]));
        number /= 27;
    }
    ending
}

/// Deleted, and waiting for its finalizers.
pub(super) fn delete(object: &mut Value, now: Timestamp) {
    let fields = fields(object);
    fields.insert("deletionTimestamp".to_owned(), time(now));
    fields.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
    bump(object);
}

/// The next generation, where generations are counted.
pub(super) fn bump(object: &mut Value) {
    if let Some(generation) = object["metadata"]["generation"].as_i64() {
        object["metadata"]["generation"] = json!(generation + 1);
    }
}

/// Keeps what only the server sets.
///
/// # Errors
///
/// When something is changed that may not be.
pub(super) fn keep(kind: &Kind, old: &Value, new: &mut Value) -> Result<(), Refusal> {
    let name = text(old, "name").to_owned();
    let immutable = |field: &str| Refusal::invalid_field(kind, &name, field, "field is immutable");
    let fields = fields(new);
    let mut keep = |field: &str| match old["metadata"].get(field) {
        Some(value) => _ = fields.insert(field.to_owned(), value.clone()),
        None => _ = fields.remove(field),
    };
    keep("creationTimestamp");
    keep("generation");
    keep("resourceVersion");
    if is_deleted(old) {
        keep("deletionTimestamp");
        keep("deletionGracePeriodSeconds");
    } else if fields.contains_key("deletionTimestamp") {
        return Err(immutable("metadata.deletionTimestamp"));
    }
    let uid = text(old, "uid");
    if fields.get("uid").is_some_and(|given| given != uid) {
        return Err(immutable("metadata.uid"));
    }
    fields.insert("uid".to_owned(), json!(uid));
    if is_deleted(old) {
        gains_none(kind, old, new)?;
    }
    Ok(())
}

fn gains_none(kind: &Kind, old: &Value, new: &Value) -> Result<(), Refusal> {
    let before = finalizers(old);
    let gained = finalizers(new)
        .into_iter()
        .any(|finalizer| !before.contains(&finalizer));
    if !gained {
        return Ok(());
    }
    let fault = Fault {
        field: "metadata.finalizers".to_owned(),
        reason: "FieldValueForbidden",
        message: "no new finalizers can be added if the object is being deleted".to_owned(),
    };
    Err(Refusal::invalid(
        kind,
        &kind.name,
        text(old, "name"),
        &[fault],
    ))
}
