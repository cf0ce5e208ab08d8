//! `ScalingGroupAttachment`: which server groups an ESS scaling group feeds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DeletionPolicy, Mode, Ownership, ids,
    status::{Ledger, Plan, attachment},
};

/// Which server groups an ESS scaling group feeds.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "servergroup.alicloud.dev",
    version = "v1alpha1",
    kind = "ScalingGroupAttachment",
    plural = "scalinggroupattachments",
    namespaced,
    shortname = "sga",
    category = "alicloud",
    status = "ScalingGroupAttachmentStatus",
    derive = "PartialEq",
    doc = "Which server groups (ALB, NLB, GWLB, CLB) and CLB load balancers an ESS scaling group feeds. The operator attaches and detaches them until the scaling group matches, and repairs drift.",
    selectable = ".spec.scalingGroupId",
    selectable = ".spec.accountName",
    printcolumn(
        name = "Scaling Group",
        type_ = "string",
        json_path = ".spec.scalingGroupId"
    ),
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
    printcolumn(name = "Summary", type_ = "string", json_path = ".status.summary"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.serverGroups) || has(self.loadBalancers)")
    .message("serverGroups or loadBalancers is required: an absent list is no opinion, an empty one means none"))]
pub struct ScalingGroupAttachmentSpec {
    /// Name of the CloudAccount whose keys are used; `default` when absent. Cannot be changed.
    #[serde(default = "super::default_account")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("accountName is immutable: make a new object instead"))]
    pub account_name: String,
    /// Region of the scaling group, such as `cn-hangzhou`. Required. Cannot be changed.
    #[schemars(length(max = 32))]
    #[x_kube(
        validation = ids::REGION.rule(),
        validation = ids::NO_ZONE.rule(),
        validation = Rule::new("self == oldSelf").message("regionId is immutable: make a new object instead")
    )]
    pub region_id: String,
    /// Id of the scaling group: `asg-…`, or from before 2017 letters and digits alone. Required. Cannot be changed.
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = ids::SCALING_GROUP.rule(),
        validation = Rule::new("self == oldSelf").message("scalingGroupId is immutable: make a new object instead")
    )]
    pub scaling_group_id: String,
    /// The server groups that the scaling group shall feed: at most 100, each once by id and port. When absent, this object does not look after server groups at all, and what is attached stays. `[]` means none; while that leaves both lists without an entry, nothing is detached unless `removal.allowEmpty` is true. At least one of `serverGroups` and `loadBalancers` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub server_groups: Option<Vec<AttachedServerGroup>>,
    /// The CLB load balancers whose default groups the scaling group shall feed: at most 100, each once. When absent, this object does not look after load balancers at all, and what is attached stays. `[]` means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub load_balancers: Option<Vec<AttachedLoadBalancer>>,
    /// Whether instances that run already join a server group when it is attached. False when absent: then only instances that start later join.
    #[serde(default)]
    pub force_attach: bool,
    /// Whether the scaling group's instances leave a server group when it is detached. False when absent: then they stay in it. Not done where nobody else would serve in the server group, unless `removal.allowEmpty` is true.
    #[serde(default)]
    pub force_detach: bool,
    /// What this object may detach. `Shared` (the default): only what it attached, or what was attached when it first listed it. `Exclusive`: also what no object lists, of the kinds that it has a list for.
    #[serde(default)]
    pub ownership: Ownership,
    /// How far detaching may go. When absent, each of its fields has its default.
    #[serde(default)]
    pub removal: AttachmentRemoval,
    /// `Enforce` (the default): differences between list and scaling group are carried out. `Plan`: they are shown in `status.plan`, and nothing in the cloud is changed; drift is not repaired meanwhile.
    #[serde(default)]
    pub mode: Mode,
    /// True: nothing is attached, detached or repaired, and a deletion leaves everything attached. False when absent.
    #[serde(default)]
    pub suspend: bool,
    /// What a deletion does with what this object attached. `Release` (the default): it is detached. `Retain`: it stays attached. What was attached before stays in any case.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// How often the scaling group is compared with the list while nothing changes, in seconds, 30 to 86400; 300 when absent. Drift is found within this time.
    #[serde(default = "super::default_interval")]
    #[schemars(range(min = 30, max = 86400))]
    pub interval_seconds: i64,
}

/// One server group that a scaling group feeds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == 'GWLB' || has(self.port)")
        .message("port is required for ALB, NLB and CLB server groups")
        .field_path(".port"),
    validation = Rule::new("self.type == 'GWLB' || self.type == 'CLB' || has(self.weight)")
        .message("weight is required for ALB and NLB server groups")
        .field_path(".weight"),
    validation = Rule::new("self.type != 'GWLB' || (!has(self.port) && !has(self.weight))")
        .message("a GWLB server group has neither port nor weight: leave both out")
        .field_path(".type"),
    validation = Rule::new("(self.type == 'CLB') == has(self.loadBalancerId)")
        .message("loadBalancerId is required for a CLB server group, and for no other")
        .field_path(".loadBalancerId"),
    validation = Rule::new("self.type == 'CLB' ? self.id.startsWith('rsp-') : self.id.startsWith('sgp-')")
        .message("the id of a CLB server group begins with rsp-, that of an ALB, NLB or GWLB server group with sgp-")
        .field_path(".id")
)]
pub struct AttachedServerGroup {
    /// The load balancer product: `ALB`, `NLB`, `GWLB`, or `CLB` for a vServer group. Required.
    #[serde(rename = "type")]
    pub type_: AttachedServerGroupType,
    /// Id of the server group: `rsp-…` for CLB, `sgp-…` for the others. Required.
    #[schemars(length(max = 64))]
    #[x_kube(validation = ids::SERVER_GROUP.rule())]
    pub id: String,
    /// Id of the load balancer that a CLB server group belongs to: `lb-…`, or from before 2017 `…-cn-hangzhou-dg-a01`. Required for CLB, refused for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = ids::LOAD_BALANCER.rule())]
    pub load_balancer_id: Option<String>,
    /// Port that instances listen on, 1 to 65535. Required for ALB, NLB and CLB, refused for GWLB. A changed port is another attachment: the new one is attached before the old one is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Weight with which instances join, 0 to 100. Required for ALB and NLB, refused for GWLB; for CLB the cloud's default when absent. A changed weight detaches the group without force and attaches it again; instances that are in the server group already keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<i32>,
}

/// One CLB load balancer whose default group a scaling group feeds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AttachedLoadBalancer {
    /// Id of the load balancer: `lb-…`, or from before 2017 `…-cn-hangzhou-dg-a01`. Required.
    #[schemars(length(max = 64))]
    #[x_kube(validation = ids::LOAD_BALANCER.rule())]
    pub id: String,
    /// Weight with which instances join, 0 to 100; the cloud's default when absent. A changed weight detaches the load balancer without force and attaches it again; instances that are in its default group already keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<i32>,
}

/// A load balancer product whose server groups a scaling group can feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AttachedServerGroupType {
    /// Classic load balancer: a vServer group.
    Clb,
    /// Application load balancer.
    Alb,
    /// Network load balancer.
    Nlb,
    /// Gateway load balancer.
    Gwlb,
}

/// How far detaching may go.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentRemoval {
    /// Whether an edit may leave the scaling group with nothing attached by this object, and whether a forced detach may leave a server group with nobody who serves. False when absent.
    #[serde(default)]
    pub allow_empty: bool,
}

/// How far the scaling group is from the list, and what this object may detach.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingGroupAttachmentStatus {
    /// Generation of the spec that was looked at; -1 before the first look.
    #[serde(default = "super::schema::never_observed")]
    pub observed_generation: i64,
    /// `Ready` and `InSync` are always there, `Reconciling` and `Stalled` only while they are True. The reasons are in docs/reasons.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How far the scaling group is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub summary: Option<String>,
    /// How far the scaling group is, in numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<AttachmentCounts>,
    /// The attachments that this object may detach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
    /// The change that is under way, or whose outcome is not known yet. It is written before the call is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<attachment::Operation>,
    /// Earlier calls that got no answer and may still take effect, an entry for each action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub settled: Vec<attachment::Settled>,
    /// What would be changed. Only in `Plan` mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Differences that are left alone for now: the first 20, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub held: Vec<attachment::Held>,
    /// Attachments that the cloud refused, with its words. They are tried again hourly, when the spec changes, or when `reconcile-at` is set; what may pass by itself also after 30 seconds, 1, 2, 5 and 15 minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub parked: Vec<attachment::Parked>,
    /// Value of the annotation `servergroup.alicloud.dev/reconcile-at` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_reconcile_at: Option<String>,
    /// Value of the annotation `servergroup.alicloud.dev/take-over` that was honoured last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_take_over: Option<String>,
}

/// How far a scaling group is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentCounts {
    /// Server groups and load balancers listed.
    pub desired: i32,
    /// Listed and attached.
    pub attached: i32,
    /// To be attached.
    pub attaching: i32,
    /// To be detached.
    pub detaching: i32,
    /// Attached, and neither listed nor this object's.
    pub foreign: i32,
    /// Attached to the scaling group, whoever listed them.
    #[serde(default)]
    pub in_group: i32,
    /// Differences that are left alone for now; `status.held` has the first of them.
    pub held: i32,
}
