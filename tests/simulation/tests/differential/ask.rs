//! Requests as a script writes them: what only one of the servers knows, such as a uid, is filled in for each.

#![expect(
    clippy::needless_pass_by_value,
    reason = "scripts hand over what they make for one request"
)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use simulation::kubernetes::Request;

use crate::alike::Side;

const GROUP: &str = "/apis/servergroup.alicloud.dev/v1alpha1";
pub const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Makes the request for one of the servers from what that has answered so far.
pub type Ask<'a> = Box<dyn Fn(&Side) -> Request + 'a>;

/// A request without a body; the path may have a query.
pub fn get(path: &str) -> Request {
    request("GET", path, "", Value::Null)
}

pub fn post(path: &str, body: Value) -> Request {
    request("POST", path, "application/json", body)
}

pub fn put(path: &str, body: Value) -> Request {
    request("PUT", path, "application/json", body)
}

pub fn patch(path: &str, body: Value) -> Request {
    request("PATCH", path, "application/merge-patch+json", body)
}

pub fn delete(path: &str, options: Value) -> Request {
    request("DELETE", path, "application/json", options)
}

/// Asks for metadata alone, as kube does.
pub fn metadata(path: &str) -> Request {
    Request {
        accept: METADATA.to_owned(),
        content_type: "application/json".to_owned(),
        ..get(path)
    }
}

pub fn request(method: &str, path: &str, content_type: &str, body: Value) -> Request {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query: BTreeMap<_, _> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query,
        content_type: content_type.to_owned(),
        accept: String::new(),
        body,
    }
}

/// The paths in one namespace.
#[derive(Clone, Debug)]
pub struct Paths(pub String);

impl Paths {
    pub fn namespace(&self) -> String {
        format!("/api/v1/namespaces/{}", self.0)
    }

    pub fn memberships(&self) -> String {
        format!("{GROUP}/namespaces/{}/servergroupmemberships", self.0)
    }

    pub fn membership(&self, name: &str) -> String {
        format!("{}/{name}", self.memberships())
    }

    pub fn attachments(&self) -> String {
        format!("{GROUP}/namespaces/{}/scalinggroupattachments", self.0)
    }

    pub fn leases(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.0)
    }

    pub fn events(&self) -> String {
        format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.0)
    }

    pub fn core_events(&self) -> String {
        format!("{}/events", self.namespace())
    }
}

/// All of a kind, of every namespace.
pub fn everywhere(plural: &str) -> String {
    format!("{GROUP}/{plural}")
}

pub fn membership(metadata: Value) -> Value {
    json!({
        "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "ServerGroupMembership", "metadata": metadata,
        "spec": {
            "regionId": "cn-hangzhou", "serverGroup": {"type": "CLB", "id": "rsp-web"},
            "servers": [{"id": "i-1", "port": 80}],
        },
    })
}

pub fn attachment(metadata: Value) -> Value {
    json!({
        "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "ScalingGroupAttachment", "metadata": metadata,
        "spec": {
            "regionId": "cn-hangzhou", "scalingGroupId": "asg-web",
            "serverGroups": [{"type": "ALB", "id": "sgp-web", "port": 80, "weight": 100}],
        },
    })
}

pub fn account(metadata: Value) -> Value {
    json!({
        "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "CloudAccount", "metadata": metadata,
        "spec": {"credentials": {"type": "Environment"}, "grants": [{"name": "all", "namespaces": ["*"]}]},
    })
}

pub fn lease(metadata: Value, holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 1,
            "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.500000Z",
        },
    })
}

pub fn event(metadata: Value, namespace: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": metadata,
        "type": "Normal", "reason": "Added", "note": "added 1", "action": "Reconcile",
        "regarding": {"kind": "ServerGroupMembership", "name": "a", "namespace": namespace, "uid": "u"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "server-group-operator", "reportingInstance": "one",
    })
}
