//! Makes what two servers said comparable.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use simulation::kubernetes::Answer;

/// One of the servers: what it answered, and which names of its own it uses.
#[derive(Debug, Default)]
pub struct Side {
    pub answers: Vec<Answer>,
    uids: Vec<String>,
    versions: Vec<u64>,
    /// The newest version of any object that was seen.
    newest: u64,
}

impl Side {
    /// The body of an answer.
    pub fn body(&self, number: usize) -> Value {
        self.answers[number].body.clone()
    }

    /// A field of the metadata of an answer; empty if there is none.
    pub fn of(&self, number: usize, field: &str) -> String {
        let field = &self.answers[number].body["metadata"][field];
        field.as_str().unwrap_or_default().to_owned()
    }

    /// What it said, with its own uids and versions numbered in the order of their appearance.
    pub fn told(&mut self, said: &Value) -> Value {
        let mut told = said.clone();
        self.translate(&mut told);
        told
    }

    /// How the versions that both have seen lie to each other: their ranks.
    pub fn order(&self) -> Vec<usize> {
        let mut sorted: Vec<_> = self.versions.iter().collect();
        sorted.sort_unstable();
        let rank = |version| sorted.binary_search(&version).unwrap();
        self.versions.iter().map(rank).collect()
    }

    fn translate(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.translate(item)),
            Value::Object(fields) => self.translate_object(fields),
            _ => {}
        }
    }

    fn translate_object(&mut self, fields: &mut Map<String, Value>) {
        // Items first: the version of a list is that of the whole server, in which others write too.
        let whole = fields.contains_key("items") || is_bookmark(fields);
        for (name, value) in fields.iter_mut() {
            if name != "metadata" {
                self.translate(value);
            }
        }
        if fields.get("kind") == Some(&json!("Status")) {
            shorten_status(fields);
        }
        if let Some(Value::Object(details)) = fields.get_mut("details")
            && let Some(uid) = details.get_mut("uid")
        {
            self.number_uid(uid);
        }
        let Some(Value::Object(metadata)) = fields.get_mut("metadata") else {
            return;
        };
        metadata.remove("managedFields");
        if let Some(uid) = metadata.get_mut("uid") {
            self.number_uid(uid);
        }
        if let Some(version) = metadata.get_mut("resourceVersion") {
            match whole {
                true => self.check_newest(version),
                false => self.number_version(version),
            }
        }
        for time in ["creationTimestamp", "deletionTimestamp"] {
            if let Some(time) = metadata.get_mut(time) {
                is_a_time(time);
            }
        }
        if let Some(Value::String(token)) = metadata.get_mut("continue")
            && !token.is_empty()
        {
            "a token".clone_into(token);
        }
        hide_generated_name(metadata);
    }

    fn number_uid(&mut self, uid: &mut Value) {
        let text = uid.as_str().unwrap().to_owned();
        let number = self.uids.iter().position(|known| *known == text);
        let number = number.unwrap_or_else(|| {
            self.uids.push(text);
            self.uids.len() - 1
        });
        *uid = json!(format!("uid {number}"));
    }

    fn number_version(&mut self, version: &mut Value) {
        let number: u64 = version.as_str().unwrap().parse().unwrap();
        self.newest = self.newest.max(number);
        let known = self.versions.iter().position(|known| *known == number);
        let known = known.unwrap_or_else(|| {
            self.versions.push(number);
            self.versions.len() - 1
        });
        *version = json!(format!("version {known}"));
    }

    /// A list shows nothing older than what was seen before.
    fn check_newest(&mut self, version: &mut Value) {
        let number: u64 = version.as_str().unwrap().parse().unwrap();
        let late = number >= self.newest;
        *version = json!(if late { "as new as any" } else { "older" });
    }
}

fn is_bookmark(fields: &Map<String, Value>) -> bool {
    let metadata = fields.get("metadata").and_then(Value::as_object);
    metadata.is_some_and(|metadata| {
        metadata.contains_key("resourceVersion") && !metadata.contains_key("uid")
    })
}

/// Words are for people. Causes are compared where a program could look at them.
fn shorten_status(fields: &mut Map<String, Value>) {
    fields.remove("message");
    let invalid = fields.get("code") == Some(&json!(422));
    let Some(Value::Object(details)) = fields.get_mut("details") else {
        return;
    };
    if invalid {
        details.remove("causes");
    }
    for cause in details
        .get_mut("causes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        cause.as_object_mut().unwrap().remove("message");
    }
}

fn is_a_time(time: &mut Value) {
    let text = time.as_str().unwrap();
    let seconds = text.len() == "2026-01-01T00:00:00Z".len() && text.ends_with('Z');
    assert!(seconds, "{text} is no time in seconds");
    *time = json!("a time");
}

fn hide_generated_name(metadata: &mut Map<String, Value>) {
    let start = metadata.get("generateName").and_then(Value::as_str);
    let name = metadata.get("name").and_then(Value::as_str);
    let (Some(start), Some(name)) = (start, name) else {
        return;
    };
    if name.strip_prefix(start).is_some_and(|end| end.len() == 5) {
        let (name, hidden) = (json!(name), json!(format!("{start}?????")));
        metadata.insert("name".to_owned(), hidden.clone());
        let labels = metadata.get_mut("labels").and_then(Value::as_object_mut);
        let names = labels.into_iter().flat_map(Map::values_mut);
        names
            .filter(|label| **label == name)
            .for_each(|label| *label = hidden.clone());
    }
}

/// What belongs to a namespace or has its name, of a list that others write into as well.
pub fn only(items: &[Value], namespace: &str) -> Vec<Value> {
    let ours = |item: &&Value| {
        let metadata = &item["metadata"];
        metadata["namespace"] == namespace
            || metadata["namespace"].is_null()
                && metadata["name"]
                    .as_str()
                    .is_some_and(|name| name.starts_with(namespace))
    };
    items.iter().filter(ours).cloned().collect()
}

/// The differences between two values, by path.
pub fn differences(real: &Value, memory: &Value) -> BTreeMap<String, (Value, Value)> {
    let mut found = BTreeMap::new();
    differ("", real, memory, &mut found);
    found
}

fn differ(path: &str, real: &Value, memory: &Value, found: &mut BTreeMap<String, (Value, Value)>) {
    match (real, memory) {
        (Value::Object(left), Value::Object(right)) => {
            for name in left.keys().chain(right.keys()) {
                let of = |fields: &Map<String, Value>| {
                    fields
                        .get(name)
                        .cloned()
                        .unwrap_or_else(|| json!("(absent)"))
                };
                differ(&format!("{path}.{name}"), &of(left), &of(right), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                differ(&format!("{path}[{at}]"), left, right, found);
            }
        }
        _ if real == memory => {}
        _ => _ = found.insert(path.to_owned(), (real.clone(), memory.clone())),
    }
}
