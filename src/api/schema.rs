//! Schemas that the derive cannot express.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A count, or a percentage from `0%` to `100%`.
pub(super) fn amount(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-validations": [{
            "rule": "type(self) == int ? self >= 0 && self <= 1000 : self.matches('^((100|[0-9]{1,2})%|[0-9]+)$')",
            "message": "must be a count from 0 to 1000, or a percentage from 0% to 100%",
        }, {
            "rule": "type(self) == int || !self.matches('^[0-9]+$')",
            "message": "write the count without quotes, as in 2; with quotes it has to be a percentage, as in \"50%\"",
        }],
    })
}

/// What `status.observedGeneration` is before anybody looked.
pub(super) const fn never_observed() -> i64 {
    -1
}
