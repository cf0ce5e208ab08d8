//! What a definition says of an object's fields: unknown ones go, absent ones get their default, and what is left has
//! to be of the right type and size. Patterns, formats and rules in CEL are not looked at.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// One node of a structural schema. A word that is not here would be one that this server ignores by mistake.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Schema {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    properties: BTreeMap<String, Schema>,
    /// What the fields have to be that are not listed: those of a map.
    additional_properties: Option<Box<Schema>>,
    items: Option<Box<Schema>>,
    #[serde(default, deserialize_with = "whatever")]
    default: Option<Value>,
    #[serde(default)]
    nullable: bool,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default, rename = "enum")]
    values: Vec<Value>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    max_properties: Option<usize>,
    #[serde(default, rename = "x-kubernetes-preserve-unknown-fields")]
    keeps_unknown: bool,
    #[serde(default, rename = "x-kubernetes-int-or-string")]
    int_or_string: bool,
    #[serde(default, rename = "x-kubernetes-list-map-keys")]
    keys: Vec<String>,
    #[serde(default, rename = "x-kubernetes-list-type")]
    _list: Option<String>,
    #[serde(default, rename = "x-kubernetes-validations")]
    _rules: Value,
    #[serde(default, rename = "anyOf")]
    _either: Value,
    #[serde(default, rename = "description")]
    _description: Value,
    #[serde(default, rename = "title")]
    _title: Value,
    #[serde(default, rename = "format")]
    _format: Value,
    #[serde(default, rename = "pattern")]
    _pattern: Value,
}

/// A default may be null, which is not the same as none.
fn whatever<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

/// What is wrong with an object.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    /// The path of the field.
    pub(super) field: String,
    /// The word that the server has for it.
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Fields that every object has and that no definition lists.
const OWN: [&str; 3] = ["apiVersion", "kind", "metadata"];

impl Schema {
    /// Drops what the schema does not know, and fills in what it gives a default.
    pub(super) fn complete(&self, object: &mut Value) {
        let Value::Object(fields) = object else {
            return;
        };
        let own = OWN.map(|name| (name, fields.remove(name)));
        self.admit(object);
        let Value::Object(fields) = object else {
            unreachable!("it stays what it was")
        };
        for (name, value) in own {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        }
    }

    /// Whether an object without this field is shown with one.
    pub(super) fn gives(&self, field: &str) -> bool {
        let field = self.properties.get(field);
        field.is_some_and(|field| field.default.is_some())
    }

    fn admit(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => self.admit_fields(fields),
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for item in items {
                        schema.admit(item);
                    }
                }
            }
            _ => {}
        }
    }

    fn admit_fields(&self, fields: &mut Map<String, Value>) {
        if self.keeps_unknown {
            return;
        }
        fields.retain(|name, value| {
            let any = self.additional_properties.as_deref();
            let known = self.properties.get(name).or(any);
            known.is_some_and(|field| field.nullable || !value.is_null())
        });
        for (name, field) in &self.properties {
            if let (Some(default), false) = (&field.default, fields.contains_key(name)) {
                fields.insert(name.clone(), default.clone());
            }
            if let Some(value) = fields.get_mut(name) {
                field.admit(value);
            }
        }
    }

    /// Everything that is wrong.
    pub(super) fn faults(&self, object: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.check(object, "", &mut faults);
        faults
    }

    fn check(&self, value: &Value, field: &str, faults: &mut Vec<Fault>) {
        let mut fault = |reason, message: String| {
            faults.push(Fault {
                field: field.to_owned(),
                reason,
                message,
            })
        };
        if value.is_null() && self.nullable {
            return;
        }
        if !self.is_of_type(value) {
            let expected = self.kind.as_deref().unwrap_or("integer or string");
            fault(
                "FieldValueTypeInvalid",
                format!("must be of type {expected}"),
            );
            return;
        }
        if !self.values.is_empty() && !self.values.contains(value) {
            fault(
                "FieldValueNotSupported",
                format!("{value} is not supported"),
            );
        }
        if let Some(number) = value.as_f64()
            && (self.minimum.is_some_and(|least| number < least)
                || self.maximum.is_some_and(|most| number > most))
        {
            fault("FieldValueInvalid", format!("{number} is out of bounds"));
        }
        let (length, least, most) = match value {
            Value::String(text) => (text.chars().count(), self.min_length, self.max_length),
            Value::Array(items) => (items.len(), self.min_items, self.max_items),
            Value::Object(fields) => (fields.len(), None, self.max_properties),
            _ => (0, None, None),
        };
        if least.is_some_and(|least| length < least) || most.is_some_and(|most| length > most) {
            fault(
                "FieldValueInvalid",
                format!("{length} is too short or too long"),
            );
        }
        match value {
            Value::Object(fields) => self.check_fields(fields, field, faults),
            Value::Array(items) => self.check_items(items, field, faults),
            _ => {}
        }
    }

    fn check_fields(&self, fields: &Map<String, Value>, field: &str, faults: &mut Vec<Fault>) {
        let path = |name: &str| match field {
            "" => name.to_owned(),
            field => format!("{field}.{name}"),
        };
        for name in &self.required {
            if !fields.contains_key(name) {
                faults.push(Fault {
                    field: path(name),
                    reason: "FieldValueRequired",
                    message: "Required value".to_owned(),
                });
            }
        }
        for (name, schema) in &self.properties {
            if let Some(value) = fields.get(name) {
                schema.check(value, &path(name), faults);
            }
        }
        if let Some(schema) = &self.additional_properties {
            for (name, value) in fields {
                if !self.properties.contains_key(name) {
                    schema.check(value, &path(name), faults);
                }
            }
        }
    }

    fn check_items(&self, items: &[Value], field: &str, faults: &mut Vec<Fault>) {
        let mut keys: Vec<Vec<&Value>> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let field = format!("{field}[{at}]");
            if let Some(schema) = &self.items {
                schema.check(item, &field, faults);
            }
            if self.keys.is_empty() {
                continue;
            }
            let key = self.keys.iter().map(|key| &item[key]).collect();
            if keys.contains(&key) {
                faults.push(Fault {
                    field,
                    reason: "FieldValueDuplicate",
                    message: "Duplicate value".to_owned(),
                });
            }
            keys.push(key);
        }
    }

    fn is_of_type(&self, value: &Value) -> bool {
        if self.int_or_string {
            return value.is_i64() || value.is_string();
        }
        match self.kind.as_deref() {
            None => true,
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_i64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
            Some("number") => value.is_number(),
            Some(other) => unreachable!("{other} is no type of JSON"),
        }
    }
}
