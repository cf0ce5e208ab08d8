//! `CloudAccount`: with which keys objects act in the cloud, and which namespaces may use them on what.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::credentials::{AssumeRole, Credentials};

/// With which keys objects act in the cloud, and which namespaces may use them on what.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "servergroup.alicloud.dev",
    version = "v1alpha1",
    kind = "CloudAccount",
    plural = "cloudaccounts",
    shortname = "ca",
    category = "alicloud",
    status = "CloudAccountStatus",
    derive = "PartialEq",
    doc = "With which keys objects act in the cloud, and which namespaces may use them on what. What no grant allows is refused.",
    printcolumn(
        name = "Credentials",
        type_ = "string",
        json_path = ".spec.credentials.type"
    ),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.network"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.accountId"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct CloudAccountSpec {
    /// Where the keys come from. Required.
    pub credentials: Credentials,
    /// A RAM role that is assumed with these keys; objects then act as this role. When absent, they act with the keys themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
    /// Which endpoints of the cloud are used: `Public` (the default), or `Vpc` for an operator that runs inside a VPC.
    #[serde(default)]
    pub network: NetworkType,
    /// Which namespaces may use this account on what. One grant has to match an object's namespace and region and cover everything that the object names. When absent, nobody may use the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub grants: Option<Vec<Grant>>,
}

/// Labels of namespaces. Everything that is asked has to hold; a selector that asks nothing is refused.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)")
    .message("a selector that asks nothing would match every namespace: write namespaces: ['*'] if that is meant"))]
pub struct NamespaceSelector {
    /// Labels that the namespace has, each with this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 20))]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Conditions on its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub match_expressions: Option<Vec<LabelCondition>>,
}

/// A condition on one label.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.operator in ['In', 'NotIn'] ? has(self.values) && self.values.size() > 0 : !has(self.values) || self.values.size() == 0")
    .message("In and NotIn need values; Exists and DoesNotExist take none")
    .field_path(".values"))]
pub struct LabelCondition {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// `In` or `NotIn` the values; `Exists` or `DoesNotExist`. As everywhere in Kubernetes, a namespace without the label is `NotIn`.
    pub operator: LabelOperator,
    /// The values that `In` and `NotIn` compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50), inner(length(max = 63)))]
    pub values: Option<Vec<String>>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// It has one of the values.
    In,
    /// It has none of the values, or is absent.
    NotIn,
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

/// Whether the account works, as whom objects act, and who uses it. The operator writes it, and nobody else may.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CloudAccountStatus {
    /// Generation of the spec that was looked at last; -1 until somebody has looked.
    #[serde(default = "super::schema::never_observed")]
    pub observed_generation: i64,
    /// `Ready` always, `Reconciling` and `Stalled` only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Id of the cloud account that the credentials lead to, as the cloud says (`GetCallerIdentity`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub account_id: Option<String>,
    /// The user or role as which objects act, as the cloud says. Never a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub arn: Option<String>,
    /// Who uses the account: one entry for each installation of the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["installation".into()]))]
    pub used_by: Vec<UsedBy>,
    /// What went wrong last with the credentials, also after that has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_error: Option<String>,
}

/// The objects of one installation that use the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsedBy {
    /// Namespace in which the operator runs.
    #[schemars(length(max = 63))]
    pub installation: String,
    /// How many objects use it. Brought up to date at most once in 30 seconds.
    pub objects: i64,
}

/// Which endpoints are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NetworkType {
    /// The public ones, from anywhere.
    #[default]
    Public,
    /// Those inside a VPC.
    Vpc,
}

/// Which namespaces may use the account on what. In each list, absent or empty gives nothing, and `*` gives everything.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Name of the grant, unique in the account. Required. Grants are merged by name, so several pipelines can each apply one.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Namespaces whose objects may use the account, or `*` for all. When absent, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::ids::granted_namespaces")]
    pub namespaces: Option<Vec<String>>,
    /// Namespaces with these labels may use it too. A namespace that is named or selected suffices. When absent, none is selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<NamespaceSelector>,
    /// Regions in which it may be used, such as `cn-hangzhou`, or `*` for all. When absent, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::ids::granted_regions")]
    pub regions: Option<Vec<String>>,
    /// Server groups that may be named: ids, prefixes that end in `*` such as `sgp-*`, or `*` for all. When absent, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::ids::granted_server_groups")]
    pub server_groups: Option<Vec<String>>,
    /// Scaling groups that may be named: ids, also those from before 2017, prefixes that end in `*` such as `asg-*`, or `*` for all. When absent, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::ids::granted_scaling_groups")]
    pub scaling_groups: Option<Vec<String>>,
    /// CLB load balancers that may be named: ids, also those from before 2017, prefixes that end in `*` such as `lb-*`, or `*` for all. When absent, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::ids::granted_load_balancers")]
    pub load_balancers: Option<Vec<String>>,
    /// Servers that may be listed: ids, prefixes that end in `*` such as `i-*` or, for instances from before 2017, `AY*`, networks such as `10.0.0.0/16` for servers that are known by their address, or `*` for all. When absent, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::ids::granted_servers")]
    pub servers: Option<Vec<String>>,
}
