//! `ScalingGroupAttachment`: which server groups an ESS scaling group feeds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DeletionPolicy, Mode, Ownership,
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
    /// Name of the CloudAccount to act as. Cannot be changed.
    #[serde(default = "super::default_account")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("accountName is immutable: make a new object instead"))]
    pub account_name: String,
    /// Region of the scaling group, such as `cn-hangzhou`. Cannot be changed.
    #[schemars(length(max = 32), regex(pattern = r"^[a-z]{2,}(-[a-z0-9]+)+$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("regionId is immutable: make a new object instead"))]
    pub region_id: String,
    /// Id of the scaling group, `asg-…`. Cannot be changed.
    #[schemars(length(max = 64), regex(pattern = r"^asg-[a-z0-9-]+$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("scalingGroupId is immutable: make a new object instead"))]
    pub scaling_group_id: String,
    /// The server groups it feeds, at most 100, each once by id and port. An empty list means none, which detaches nothing unless
    /// `removal.allowEmpty` is set; an absent one is no opinion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub server_groups: Option<Vec<AttachedServerGroup>>,
    /// The CLB load balancers whose default groups it feeds, at most 100, each once. An empty list means none, an absent one is no opinion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub load_balancers: Option<Vec<AttachedLoadBalancer>>,
    /// Whether instances that are already in the scaling group join a server group when it is attached.
    #[serde(default)]
    pub force_attach: bool,
    /// Whether the scaling group's instances leave a server group when it is detached. Held where nobody else would serve in it.
    #[serde(default)]
    pub force_detach: bool,
    /// What this object may detach: `Shared` (the default) is only what it attached or adopted; `Exclusive` is whatever no object claims too.
    #[serde(default)]
    pub ownership: Ownership,
    /// How far detaching may go.
    #[serde(default)]
    pub removal: AttachmentRemoval,
    /// `Enforce` (the default) carries differences out; `Plan` shows them in `status.plan` and calls nothing that changes the cloud.
    #[serde(default)]
    pub mode: Mode,
    /// While true nothing is started and nothing released.
    #[serde(default)]
    pub suspend: bool,
    /// What happens to what this object attached when it is deleted: `Release` (the default) detaches it, `Retain` leaves it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// How often the scaling group is compared with the list when nothing changes, in seconds, 30 to 86400; spread with jitter.
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
    /// The load balancer product: `ALB`, `NLB`, `GWLB`, or `CLB` for a vServer group.
    #[serde(rename = "type")]
    pub type_: AttachedServerGroupType,
    /// Id of the server group: `rsp-…` for CLB, `sgp-…` for the others.
    #[schemars(length(max = 64), regex(pattern = r"^(rsp|sgp)-[a-z0-9-]+$"))]
    pub id: String,
    /// Id of the load balancer that a CLB server group belongs to, `lb-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^lb-[a-z0-9-]+$"))]
    pub load_balancer_id: Option<String>,
    /// Port that instances serve on, 1 to 65535. Required for ALB, NLB and CLB, absent for GWLB. Changing it attaches the new one and detaches the old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Weight that instances join with, 0 to 100. Required for ALB and NLB, absent for GWLB; for CLB the cloud's default when absent. Changing it detaches and attaches again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<i32>,
}

/// One CLB load balancer whose default group a scaling group feeds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AttachedLoadBalancer {
    /// Id of the load balancer, `lb-…`.
    #[schemars(length(max = 64), regex(pattern = r"^lb-[a-z0-9-]+$"))]
    pub id: String,
    /// Weight that instances join with, 0 to 100; the cloud's default when absent. Changing it detaches and attaches again.
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
    /// Whether the scaling group may be left with nothing attached by this object, and a forced detach may leave a server group without anybody.
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
    /// `Ready` and `InSync` always, `Reconciling` and `Stalled` only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How far it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub summary: Option<String>,
    /// How far it is, in numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<AttachmentCounts>,
    /// What this object may detach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
    /// The change in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<attachment::Operation>,
    /// What settled before that and may still land, an entry for each action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub settled: Vec<attachment::Settled>,
    /// What would be changed, in `Plan` mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Differences that are left alone: the first few, with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub held: Vec<attachment::Held>,
    /// Server groups that the cloud refused; tried again after an hour, when the spec changes, or on request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub parked: Vec<attachment::Parked>,
    /// Value of the `reconcile-at` annotation that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_reconcile_at: Option<String>,
}

/// How far a scaling group is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentCounts {
    /// Server groups listed.
    pub desired: i32,
    /// Listed and attached.
    pub attached: i32,
    /// To be attached.
    pub attaching: i32,
    /// To be detached.
    pub detaching: i32,
    /// Attached, and neither listed nor attached by this object.
    pub foreign: i32,
    /// Differences that are left alone.
    pub held: i32,
}
