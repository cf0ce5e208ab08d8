//! The custom resource definitions as they are installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{CloudAccount, ScalingGroupAttachment, ServerGroupMembership};

/// The definitions of the three kinds, with what the derive cannot say.
///
/// # Panics
///
/// Never: the types are fixed, and a test converts them.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        CloudAccount::crd(),
        ScalingGroupAttachment::crd(),
        ServerGroupMembership::crd(),
    ]
    .into_iter()
    .map(|crd| {
        let mut crd = serde_json::to_value(crd).expect("a definition is JSON");
        let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        never_null(schema);
        if let Some(status) = schema["properties"].get_mut("status") {
            // Without it kstatus calls a new object current before anybody looked at it.
            status["default"] = json!({"observedGeneration": -1});
        }
        serde_json::from_value(crd).expect("it was a definition before")
    })
    .collect()
}

/// An absent field is left out, not null: `servers: null` must not pass for a list.
fn never_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
            }
            fields.values_mut().for_each(never_null);
        }
        Value::Array(items) => items.iter_mut().for_each(never_null),
        _ => {}
    }
}
