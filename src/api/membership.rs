//! `ServerGroupMembership`: which servers a server group holds.

use k8s_openapi::apimachinery::pkg::{apis::meta::v1::Condition, util::intstr::IntOrString};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DeletionPolicy, Mode, Ownership, ids,
    status::{Draining, Ledger, Plan, member},
};

/// Which servers a server group holds.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "servergroup.alicloud.dev",
    version = "v1alpha1",
    kind = "ServerGroupMembership",
    plural = "servergroupmemberships",
    namespaced,
    shortname = "sgm",
    category = "alicloud",
    status = "ServerGroupMembershipStatus",
    derive = "PartialEq",
    doc = "Which servers a CLB, ALB, NLB or GWLB server group holds. The operator adds and removes members until the group matches the list, and repairs drift.",
    selectable = ".spec.serverGroup.id",
    selectable = ".spec.accountName",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.serverGroup.type"),
    printcolumn(name = "Group", type_ = "string", json_path = ".spec.serverGroup.id"),
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
#[x_kube(
    validation = Rule::new("self.serverGroup.type == 'GWLB' || self.servers.all(s, has(s.port) != s.id.startsWith('acs:'))")
        .message("port is required for every server of a CLB, ALB or NLB group, and absent for a function")
        .field_path(".servers"),
    validation = Rule::new("self.serverGroup.type == 'NLB' || self.servers.all(s, !has(s.port) || s.port > 0)")
        .message("port must be 1 to 65535; 0 is for NLB groups that take any port")
        .field_path(".servers"),
    validation = Rule::new("self.serverGroup.type == 'ALB' || self.servers.all(s, !s.id.startsWith('acs:'))")
        .message("only an ALB group takes functions")
        .field_path(".servers"),
    validation = Rule::new("self.serverGroup.type != 'GWLB' || self.servers.all(s, !has(s.port) && !has(s.weight))")
        .message("a GWLB group has neither ports nor weights: leave port and weight out")
        .field_path(".servers"),
    validation = Rule::new("self.serverGroup.type != 'CLB' || self.servers.all(s, !has(s.ip) || s.id.startsWith('eni-') || s.id.startsWith('eci-'))")
        .message("ip tells the addresses of an ENI or ECI apart; leave it out for an instance of a CLB group")
        .field_path(".servers"),
    validation = Rule::new("self.serverGroup.type != 'CLB' || self.servers.all(s, !isIP(s.id))")
        .message("a CLB group holds instances, ENIs and ECIs, not addresses")
        .field_path(".servers"),
    validation = Rule::new("self.serverGroup.type == 'ALB' || self.servers.all(s, !has(s.remoteIpEnabled) || !s.remoteIpEnabled)")
        .message("remoteIpEnabled is for servers of an ALB group: leave it out")
        .field_path(".servers")
)]
pub struct ServerGroupMembershipSpec {
    /// Name of the CloudAccount whose keys are used; `default` when absent. Cannot be changed.
    #[serde(default = "super::default_account")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("accountName is immutable: make a new object instead"))]
    pub account_name: String,
    /// Region of the server group, such as `cn-hangzhou`. Required. Cannot be changed.
    #[schemars(length(max = 32))]
    #[x_kube(
        validation = ids::REGION.rule(),
        validation = ids::NO_ZONE.rule(),
        validation = Rule::new("self == oldSelf").message("regionId is immutable: make a new object instead")
    )]
    pub region_id: String,
    /// The server group. Required. Cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("serverGroup is immutable: make a new object instead"))]
    pub server_group: ServerGroupRef,
    /// The servers that the group shall hold: at most 1000, each once. Required; `[]` means nobody, and then nothing is removed unless `removal.allowEmpty` is true.
    #[schemars(length(max = 1000))]
    pub servers: Vec<Server>,
    /// Which members this object may remove. `Shared` (the default): only those that it added, or that were there when it first listed them. `Exclusive`: also members that no object lists and no attached scaling group brings.
    #[serde(default)]
    pub ownership: Ownership,
    /// How far removals may go. When absent, each of its fields has its default.
    #[serde(default)]
    pub removal: MembershipRemoval,
    /// `Enforce` (the default): differences between list and group are carried out. `Plan`: they are shown in `status.plan`, and nothing in the cloud is changed; drift is not repaired meanwhile.
    #[serde(default)]
    pub mode: Mode,
    /// True: nothing is added, removed or repaired, and a deletion leaves all members in the group. False when absent.
    #[serde(default)]
    pub suspend: bool,
    /// What a deletion does with the members that this object added. `Release` (the default): they are removed, unless nobody would be left serving. `Retain`: they stay. Members that were in the group before stay in any case.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// How often the group is compared with the list while nothing changes, in seconds, 30 to 86400; 300 when absent. Drift is found within this time.
    #[serde(default = "super::default_interval")]
    #[schemars(range(min = 30, max = 86400))]
    pub interval_seconds: i64,
}

/// A server group.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == 'CLB' ? self.id.startsWith('rsp-') : self.id.startsWith('sgp-')")
    .message("the id of a CLB server group begins with rsp-, that of an ALB, NLB or GWLB server group with sgp-")
    .field_path(".id"))]
pub struct ServerGroupRef {
    /// The load balancer product: `CLB`, `ALB`, `NLB` or `GWLB`. Required.
    #[serde(rename = "type")]
    pub type_: ServerGroupType,
    /// Id of the server group: `rsp-…` for CLB, `sgp-…` for the others. Required.
    #[schemars(length(max = 64))]
    #[x_kube(validation = ids::SERVER_GROUP.rule())]
    pub id: String,
}

/// A load balancer product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ServerGroupType {
    /// A vServer group of a classic load balancer.
    Clb,
    /// A server group of an application load balancer.
    Alb,
    /// A server group of a network load balancer.
    Nlb,
    /// A server group of a gateway load balancer.
    Gwlb,
}

/// One member of a server group.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.type) || self.type == (self.id.startsWith('i-') ? 'Ecs' : self.id.startsWith('eni-') ? 'Eni' : \
         self.id.startsWith('eci-') ? 'Eci' : self.id.startsWith('acs:') ? 'Fc' : isIP(self.id) ? 'Ip' : 'Ecs')")
        .message("type contradicts id: an Eni id begins with eni-, an Eci id with eci-, an Fc id with acs:, the id of an Ip is an address, and that of an Ecs begins with i- or, if it is from before 2017, has no hyphen")
        .field_path(".type"),
    validation = Rule::new("has(self.type) || !self.id.matches('^[A-Za-z][A-Za-z0-9]*$')")
        .message("type is required, because this id does not tell what the server is: write type: Ecs for an instance from before 2017, or correct the id")
        .field_path(".type"),
    validation = Rule::new("!has(self.remoteIpEnabled) || !self.remoteIpEnabled || isIP(self.id)")
        .message("remoteIpEnabled is for servers of type Ip, whose id is their address: leave it out for others")
        .field_path(".remoteIpEnabled")
)]
pub struct Server {
    /// Which server: the id of an instance (`i-…`; from before 2017 `AY…`, which needs `type: Ecs`), a network interface (`eni-…`) or a container instance (`eci-…`); the address itself for a server that is known by its address; the ARN of a function (`acs:fc:…`). Required.
    #[schemars(length(max = 128))]
    #[x_kube(validation = ids::SERVER.rule())]
    pub id: String,
    /// What the server is: `Ecs` (instance), `Eni` (network interface), `Eci` (container instance), `Ip` (address) or `Fc` (function). When absent, the form of the id decides; required where the id does not tell, which are ids of instances from before 2017.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServerType>,
    /// Which address of a network interface or container instance is meant. When absent, the only one that the group or the list has of it; if there are several, the object says `InvalidSpec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    #[x_kube(validation = Rule::new("isIP(self)").message("ip must be an IPv4 or IPv6 address"))]
    pub ip: Option<String>,
    /// Port that the server listens on, 1 to 65535; 0 in an NLB group that takes any port. Required for CLB, ALB and NLB; refused for GWLB, which fixes it, and for functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub port: Option<i32>,
    /// Share of new connections, 0 to 100; 0 sends the server nothing. When absent, the server gets the product's default when it is added, and its weight is never touched afterwards. Refused for GWLB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<i32>,
    /// Whether the address lies outside of the VPC, in a data centre for instance: the cloud wants to be told. For servers of type `Ip` in ALB groups alone. When absent, it is added without, and what the group has is not compared. The cloud cannot change it: while it differs, `status.held` has the server with `Immutable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_ip_enabled: Option<bool>,
}

/// What the server is: `Ecs` (instance), `Eni` (network interface), `Eci` (container instance), `Ip` (address) or `Fc` (function). When absent, the form of the id decides; required where the id does not tell, which are ids of instances from before 2017.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServerType {
    /// An ECS instance.
    Ecs,
    /// An elastic network interface.
    Eni,
    /// An elastic container instance.
    Eci,
    /// An address.
    Ip,
    /// A function; in ALB groups alone.
    Fc,
}

/// How far removals may go.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MembershipRemoval {
    /// How long a server stays at weight 0 before it is removed, in seconds, 0 to 3600; 0 when absent. Without effect for GWLB, which drains by itself.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub drain_seconds: i64,
    /// How many members have to be left serving when members are removed or set to weight 0: a count such as `2`, without quotes, or a percentage of the listed ones such as `50%`, rounded up. 1 when absent. Never more than are listed; when the object is deleted, 1.
    #[serde(default = "one")]
    #[schemars(schema_with = "super::schema::amount")]
    pub min_serving: IntOrString,
    /// How many fewer may serve while members are replaced in a group that has no room for the new ones: a count, or a percentage of the listed ones, rounded down, at least 1 unless 0 is written. `25%` when absent. In a group with room nobody leaves before a new one serves.
    #[serde(default = "a_quarter")]
    #[schemars(schema_with = "super::schema::amount")]
    pub max_unavailable: IntOrString,
    /// Whether removals, and a deletion, may leave the group with nobody who serves. False when absent: then an empty list removes nothing.
    #[serde(default)]
    pub allow_empty: bool,
}

impl Default for MembershipRemoval {
    fn default() -> Self {
        Self {
            drain_seconds: 0,
            min_serving: one(),
            max_unavailable: a_quarter(),
            allow_empty: false,
        }
    }
}

fn a_quarter() -> IntOrString {
    IntOrString::String("25%".to_owned())
}

const fn one() -> IntOrString {
    IntOrString::Int(1)
}

/// How far the group is from the list, and what this object may remove.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServerGroupMembershipStatus {
    /// Generation of the spec that was looked at; -1 before the first look.
    #[serde(default = "super::schema::never_observed")]
    pub observed_generation: i64,
    /// `Ready` and `InSync` are always there, `Reconciling` and `Stalled` only while they are True. The reasons are in docs/reasons.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How far the group is, for people. Absent while the group is not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub summary: Option<String>,
    /// How far the group is, in numbers. Absent while the group is not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<MemberCounts>,
    /// The members that this object may remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
    /// Members at weight 0 that wait to be removed. While the object is suspended or in `Plan` mode they stay at weight 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3000))]
    pub draining: Vec<Draining>,
    /// The change that is under way, or whose outcome is not known yet. It is written before the call is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<member::Operation>,
    /// Earlier calls that got no answer and may still take effect, an entry for each action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub settled: Vec<member::Settled>,
    /// What would be changed. Only in `Plan` mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Differences that are left alone for now: the first 20, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub held: Vec<member::Held>,
    /// Servers that the cloud refused, with its words. They are tried again hourly, when the spec changes, or when `reconcile-at` is set; what may pass by itself also after 30 seconds, 1, 2, 5 and 15 minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub parked: Vec<member::Parked>,
    /// Value of the annotation `servergroup.alicloud.dev/reconcile-at` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_reconcile_at: Option<String>,
    /// Value of the annotation `servergroup.alicloud.dev/take-over` that was honoured last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_take_over: Option<String>,
}

/// How far a group is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberCounts {
    /// Servers listed.
    pub desired: i32,
    /// Listed and serving: available by the load balancer's API, weight above 0.
    pub serving: i32,
    /// Listed, and on their way into the group.
    pub joining: i32,
    /// On their way out of the group.
    pub leaving: i32,
    /// In the group, and neither listed nor this object's.
    pub foreign: i32,
    /// Serving in the group, whoever listed them.
    #[serde(default)]
    pub in_group: i32,
    /// Differences that are left alone for now; `status.held` has the first of them.
    pub held: i32,
}
