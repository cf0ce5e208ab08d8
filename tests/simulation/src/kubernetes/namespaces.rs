//! Namespaces: nothing is made in one that is missing or going, and one that is going takes what is in it along.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Asked, Cluster,
    kind::Kind,
    metadata::{self, finalizers, text},
    refusal::Refusal,
};

/// Who deletes what is in a namespace that is going.
const CONTROLLER: &str = "namespace-controller";

/// What keeps a namespace until it is empty.
const FINALIZER: &str = "kubernetes";

/// What the server adds to every namespace.
pub(super) fn complete(namespace: &mut Value) {
    let name = text(namespace, "name").to_owned();
    namespace["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
    let held = &mut namespace["spec"]["finalizers"];
    if !held.is_array() {
        *held = json!([]);
    }
    let held = held.as_array_mut().expect("it was made one");
    if !held.contains(&json!(FINALIZER)) {
        held.push(json!(FINALIZER));
    }
    namespace["status"] = json!({"phase": "Active"});
}

/// The one deletion that waits for no finalizer in metadata.
pub(super) fn terminate(namespace: &mut Value, now: Timestamp) {
    namespace["metadata"]["deletionTimestamp"] = metadata::time(now);
    namespace["status"]["phase"] = json!("Terminating");
}

impl Cluster {
    /// Whether something may be made there.
    pub(super) fn admits(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(), Refusal> {
        let Some(namespace) = namespace else {
            return Ok(());
        };
        match self.object("namespaces", None, namespace) {
            None => {
                let kinds = self.kinds.iter();
                let mut namespaces = kinds.filter(|kind| kind.is_namespace());
                let namespaces = namespaces.next().expect("namespaces are a kind");
                Err(Refusal::not_found(namespaces, namespace))
            }
            Some(there) if metadata::is_deleted(there) => {
                Err(Refusal::terminating(kind, name, namespace))
            }
            Some(_) => Ok(()),
        }
    }

    /// Does what the namespace controller does for a namespace that is going: deletes everything in it, and the
    /// namespace once nothing is left. Tells whether the namespace is gone.
    pub fn namespace_controller(&mut self, now: Timestamp, name: &str) -> bool {
        let asked = Asked {
            now,
            by: CONTROLLER,
        };
        let Some(namespace) = self.object("namespaces", None, name) else {
            return true;
        };
        if !metadata::is_deleted(namespace) {
            return false;
        }
        let held_by_others = !finalizers(namespace).is_empty();
        let mut empty = true;
        let kinds = Arc::clone(&self.kinds);
        for kind in kinds.iter().filter(|kind| kind.namespaced) {
            let names: Vec<String> = self
                .store
                .within(&kind.plural, Some(name))
                .map(|(_, object)| text(object, "name").to_owned())
                .collect();
            for object in names {
                empty &= self.remove(asked, kind, Some(name), &object);
            }
        }
        if empty && !held_by_others {
            self.store.remove(asked, "namespaces", name);
            return true;
        }
        false
    }
}
