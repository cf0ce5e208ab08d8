//! What people do to objects, as requests to Kubernetes.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kubernetes::{Cluster, Request, Served},
    plan::{Deed, Object},
};

/// The finalizer of somebody else.
const FOREIGN: &str = "example.com/hold";

impl Object {
    /// An object in a namespace.
    #[must_use]
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Where all objects of its kind and namespace are.
    #[must_use]
    pub fn folder(&self) -> String {
        let group = "/apis/servergroup.alicloud.dev/v1alpha1";
        match self.namespace.as_str() {
            "" => format!("{group}/{}", self.resource),
            namespace => format!("{group}/namespaces/{namespace}/{}", self.resource),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.folder(), self.name)
    }

    /// What it is by now.
    #[must_use]
    pub fn read<'c>(&self, cluster: &'c Cluster) -> Option<&'c Value> {
        let namespace = (!self.namespace.is_empty()).then_some(self.namespace.as_str());
        cluster
            .object(&self.resource, namespace, &self.name)
            .map(AsRef::as_ref)
    }
}

/// Sends one request as a person.
pub fn send(cluster: &mut Cluster, now: Timestamp, method: &str, path: &str, body: Value) -> u16 {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        content_type: content_type.to_owned(),
        body,
        ..Request::default()
    };
    match cluster.serve(now, "person", &request) {
        Served::Answer(answer) => answer.code,
        Served::Watch(_) => 200,
    }
}

/// Does what a person does to objects; `false` if the deed is about something else.
pub fn edit(cluster: &mut Cluster, now: Timestamp, deed: &Deed) -> bool {
    let mut ask = |method: &str, path: &str, body: Value| {
        send(cluster, now, method, path, body);
    };
    match deed {
        Deed::Edit(object, spec) => ask("PATCH", &object.path(), json!({"spec": spec})),
        Deed::Create(object, body) => ask("POST", &object.folder(), body.clone()),
        Deed::Delete(object) => ask("DELETE", &object.path(), Value::Null),
        Deed::Label(object, value) => {
            let labels = json!({"metadata": {"labels": {"touched": value}}});
            ask("PATCH", &object.path(), labels);
        }
        Deed::Annotate(object, name, value) => {
            let annotations = json!({"metadata": {"annotations": {name: value}}});
            ask("PATCH", &object.path(), annotations);
        }
        Deed::Strip(object) => {
            let Some(mut plain) = object.read(cluster).cloned() else {
                return true;
            };
            plain["metadata"] = json!({
                "name": object.name, "namespace": object.namespace,
                "resourceVersion": plain["metadata"]["resourceVersion"],
            });
            send(cluster, now, "PUT", &object.path(), plain);
        }
        Deed::Hold(object) | Deed::LetGo(object) => {
            let Some(current) = object.read(cluster) else {
                return true;
            };
            let held = current["metadata"]["finalizers"].as_array();
            let mut held: Vec<_> = held.cloned().unwrap_or_default();
            held.retain(|finalizer| finalizer != FOREIGN);
            if matches!(deed, Deed::Hold(_)) {
                held.push(FOREIGN.into());
            }
            let finalizers = json!({"metadata": {"finalizers": held}});
            send(cluster, now, "PATCH", &object.path(), finalizers);
        }
        Deed::Wipe(object) => {
            let Some(mut wiped) = object.read(cluster).cloned() else {
                return true;
            };
            wiped["status"] = json!({"observedGeneration": -1});
            send(
                cluster,
                now,
                "PUT",
                &format!("{}/status", object.path()),
                wiped,
            );
        }
        Deed::Restore(object, versions) => {
            let Some(mut restored) = object.read(cluster).cloned() else {
                return true;
            };
            let mut history = cluster.history().iter().rev().filter(|change| {
                (&change.resource, &change.name) == (&object.resource, &object.name)
                    && change.namespace.as_deref().unwrap_or_default() == object.namespace
            });
            let before = history
                .nth(*versions)
                .and_then(|change| change.after.clone());
            if let Some(before) = before {
                restored["status"] = before["status"].clone();
                send(
                    cluster,
                    now,
                    "PUT",
                    &format!("{}/status", object.path()),
                    restored,
                );
            }
        }
        Deed::DeleteNamespace(name) => {
            ask("DELETE", &format!("/api/v1/namespaces/{name}"), Value::Null);
        }
        Deed::PutMember(..)
        | Deed::TakeMember(..)
        | Deed::Stop(_)
        | Deed::Run(_)
        | Deed::ScaleOut(..)
        | Deed::ScaleIn(..) => return false,
    }
    true
}
