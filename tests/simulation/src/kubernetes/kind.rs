//! The kinds that are served: those of `crds/`, and those built in that the operator and people use.

use serde::Deserialize;
use serde_json::{Value, json};

use super::schema::Schema;

const DEFINITIONS: [&str; 3] = [
    include_str!("../../../../crds/cloudaccounts.yaml"),
    include_str!("../../../../crds/scalinggroupattachments.yaml"),
    include_str!("../../../../crds/servergroupmemberships.yaml"),
];

/// One kind under one path. Events have two paths.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    /// Empty for the core group.
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    /// As it stands in `kind`.
    pub(super) name: String,
    pub(super) namespaced: bool,
    pub(super) schema: Schema,
    /// Comes of a definition, which differs from what is built in in a hundred small ways.
    pub(super) custom: bool,
    /// Status is written by requests of its own.
    pub(super) status: bool,
}

impl Kind {
    pub(super) fn all() -> Vec<Self> {
        let custom = DEFINITIONS.map(Self::custom);
        let built_in = [
            Self::lease(),
            Self::event(),
            Self::core_event(),
            Self::namespace(),
        ];
        custom.into_iter().chain(built_in).collect()
    }

    /// As it stands in `apiVersion`.
    pub(super) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// As messages call it.
    pub(super) fn full_plural(&self) -> String {
        match self.group.as_str() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }

    pub(super) fn is_namespace(&self) -> bool {
        self.name == "Namespace"
    }

    /// Whether a PUT of what does not exist makes it.
    pub(super) fn made_by_update(&self) -> bool {
        !self.custom && !self.is_namespace()
    }

    /// Whether a PUT needs no version.
    pub(super) fn unconditional(&self) -> bool {
        self.is_event() || self.is_namespace()
    }

    pub(super) fn is_event(&self) -> bool {
        self.name == "Event"
    }

    fn custom(definition: &str) -> Self {
        let definition: Definition =
            serde_saphyr::from_str(definition).expect("the definitions are valid");
        let [version] = definition.spec.versions;
        Self {
            group: definition.spec.group,
            version: version.name,
            plural: definition.spec.names.plural,
            name: definition.spec.names.kind,
            namespaced: definition.spec.scope == "Namespaced",
            schema: read(version.schema.schema),
            custom: true,
            status: version
                .subresources
                .is_some_and(|subresources| subresources.status.is_some()),
        }
    }

    fn built_in(group: &str, plural: &str, name: &str, schema: Value) -> Self {
        Self {
            group: group.to_owned(),
            version: "v1".to_owned(),
            plural: plural.to_owned(),
            name: name.to_owned(),
            namespaced: true,
            schema: read(schema),
            custom: false,
            status: false,
        }
    }

    fn lease() -> Self {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "default": {}, "properties": {
            "holderIdentity": {"type": "string"},
            "leaseDurationSeconds": {"type": "integer"},
            "acquireTime": {"type": "string"},
            "renewTime": {"type": "string"},
            "leaseTransitions": {"type": "integer"},
            "strategy": {"type": "string"},
            "preferredHolder": {"type": "string"},
        }}}});
        Self::built_in("coordination.k8s.io", "leases", "Lease", schema)
    }

    fn event() -> Self {
        let time = json!({"type": "string", "nullable": true, "default": null});
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let schema = json!({"type": "object", "properties": {
            "eventTime": time,
            "series": any,
            "reportingController": {"type": "string"},
            "reportingInstance": {"type": "string"},
            "action": {"type": "string"},
            "reason": {"type": "string"},
            "regarding": {"type": "object", "default": {}, "x-kubernetes-preserve-unknown-fields": true},
            "related": any,
            "note": {"type": "string"},
            "type": {"type": "string"},
            "deprecatedSource": {"type": "object", "default": {}, "x-kubernetes-preserve-unknown-fields": true},
            "deprecatedFirstTimestamp": time,
            "deprecatedLastTimestamp": time,
            "deprecatedCount": {"type": "integer"},
        }});
        Self::built_in("events.k8s.io", "events", "Event", schema)
    }

    fn core_event() -> Self {
        Self {
            group: String::new(),
            ..Self::event()
        }
    }

    fn namespace() -> Self {
        let any =
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "default": {}});
        let schema = json!({"type": "object", "properties": {"spec": any, "status": any}});
        Self {
            namespaced: false,
            ..Self::built_in("", "namespaces", "Namespace", schema)
        }
    }
}

fn read(schema: Value) -> Schema {
    serde_json::from_value(schema).expect("every word of the schema is known")
}

#[derive(Deserialize)]
struct Definition {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    group: String,
    names: Names,
    scope: String,
    versions: [Version; 1],
}

#[derive(Deserialize)]
struct Names {
    kind: String,
    plural: String,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    schema: Validation,
    subresources: Option<Subresources>,
}

#[derive(Deserialize)]
struct Validation {
    #[serde(rename = "openAPIV3Schema")]
    schema: Value,
}

#[derive(Deserialize)]
struct Subresources {
    status: Option<Value>,
}
