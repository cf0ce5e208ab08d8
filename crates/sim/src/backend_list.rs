//! The one parameter of CLB that holds a list of backends as JSON text, read as leniently as the cloud reads it.

use serde_json::{Map, Value};

/// The backends of such a text.
pub(crate) struct BackendList {
    /// Fields under their documented names; those that are empty are absent.
    pub rows: Vec<Map<String, Value>>,
    /// Whether texts stand in single quotes, as no JSON has them.
    pub single_quotes: bool,
}

impl BackendList {
    /// Reads it, if it is one.
    pub(crate) fn read(text: &str) -> Result<Self, serde_json::Error> {
        let (rows, single_quotes) = match serde_json::from_str::<Vec<Map<String, Value>>>(text) {
            Ok(rows) => (rows, false),
            Err(_) if !text.contains('"') => {
                (serde_json::from_str(&text.replace('\'', "\""))?, true)
            }
            Err(error) => return Err(error),
        };
        let rows = rows.into_iter().map(|row| {
            // The server takes lower-camel keys too: other clients send them.
            row.into_iter()
                .filter(|(_, value)| !empty(value))
                .map(|(name, value)| (capital(&name), value))
                .collect()
        });
        Ok(Self {
            rows: rows.collect(),
            single_quotes,
        })
    }
}

fn empty(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// Numbers come as numbers or as strings.
pub(crate) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + letters.as_str()
    })
}
