//! `ServerGroupMembership`: which servers a server group holds.

use k8s_openapi::apimachinery::pkg::{apis::meta::v1::Condition, util::intstr::IntOrString};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DeletionPolicy, Mode, Ownership,
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
    doc = "Which servers a CLB, ALB, NLB or GWLB server group holds. The operator adds and removes members until the group matches, and repairs drift.",
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
    validation = Rule::new("self.serverGroup.type != 'CLB' || self.servers.all(s, !(s.id.startsWith('i-') && has(s.ip)))")
        .message("ip tells the addresses of an ENI or ECI apart; leave it out for an instance of a CLB group")
        .field_path(".servers"),
    validation = Rule::new("self.serverGroup.type != 'CLB' || self.servers.all(s, s.id.matches('^(i|eni|eci)-'))")
        .message("a CLB group holds instances (i-), ENIs (eni-) and ECIs (eci-), not addresses")
        .field_path(".servers")
)]
pub struct ServerGroupMembershipSpec {
    /// Name of the CloudAccount to act as. Cannot be changed.
    #[serde(default = "super::default_account")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("accountName is immutable: make a new object instead"))]
    pub account_name: String,
    /// Region of the server group, such as `cn-hangzhou`. Cannot be changed.
    #[schemars(length(max = 32), regex(pattern = r"^[a-z]{2,}(-[a-z0-9]+)+$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("regionId is immutable: make a new object instead"))]
    pub region_id: String,
    /// The server group. Cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("serverGroup is immutable: make a new object instead"))]
    pub server_group: ServerGroupRef,
    /// The servers it holds, at most 1000, each once. An empty list means nobody, which removes nothing unless `removal.allowEmpty` is set.
    #[schemars(length(max = 1000))]
    pub servers: Vec<Server>,
    /// What this object may remove: `Shared` (the default) is only what it registered or adopted; `Exclusive` is strangers too.
    #[serde(default)]
    pub ownership: Ownership,
    /// How far removals may go.
    #[serde(default)]
    pub removal: MembershipRemoval,
    /// `Enforce` (the default) carries differences out; `Plan` shows them in `status.plan` and calls nothing that changes the cloud.
    #[serde(default)]
    pub mode: Mode,
    /// While true nothing is started and nothing released.
    #[serde(default)]
    pub suspend: bool,
    /// What happens to what this object registered when it is deleted: `Release` (the default) removes it, `Retain` leaves it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// How often the group is compared with the list when nothing changes, in seconds, 30 to 86400; spread with jitter.
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
    /// The load balancer product: `CLB`, `ALB`, `NLB` or `GWLB`.
    #[serde(rename = "type")]
    pub type_: ServerGroupType,
    /// Id of the server group: `rsp-…` for CLB, `sgp-…` for the others.
    #[schemars(length(max = 64), regex(pattern = r"^(rsp|sgp)-[a-z0-9-]+$"))]
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
#[x_kube(validation = Rule::new(
    "!has(self.type) || (self.type == 'Ecs' ? self.id.startsWith('i-') : self.type == 'Eni' ? self.id.startsWith('eni-') : \
     self.type == 'Eci' ? self.id.startsWith('eci-') : self.type == 'Fc' ? self.id.startsWith('acs:') : isIP(self.id))")
    .message("type contradicts id: an Ecs id begins with i-, an Eni id with eni-, an Eci id with eci-, an Fc id with acs:, and the id of an Ip is an address")
    .field_path(".type"))]
pub struct Server {
    /// Id of an instance (`i-…`), ENI (`eni-…`) or ECI (`eci-…`); for a member by address the address itself; for a function its ARN (`acs:fc:…`).
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^((i|eni|eci)-[a-z0-9]+|acs:fc:[A-Za-z0-9:/._$#-]+)$') || isIP(self)")
        .message("id must be an instance (i-), ENI (eni-) or ECI (eci-) id, an IP address, or the ARN of a function (acs:fc:)"))]
    pub id: String,
    /// What it is: `Ecs`, `Eni`, `Eci`, `Ip` or `Fc`. Told by the id when absent.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServerType>,
    /// Which address of an ENI or ECI is meant. When absent, the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    #[x_kube(validation = Rule::new("isIP(self)").message("ip must be an IPv4 or IPv6 address"))]
    pub ip: Option<String>,
    /// Port it serves on, 1 to 65535; 0 in an NLB group that takes any port. Absent for GWLB and for functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub port: Option<i32>,
    /// Weight, 0 to 100; 0 sends it nothing. When absent, the product's default when it is added, and never touched afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<i32>,
}

/// What a member is.
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
    /// How long a server is sent nothing before it is removed, in seconds, 0 to 3600. A GWLB group drains by itself.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub drain_seconds: i64,
    /// Members that have to keep serving: a count, or a percentage of the listed ones (rounded up) such as `50%`.
    #[serde(default = "one")]
    #[schemars(schema_with = "super::schema::amount")]
    pub min_serving: IntOrString,
    /// By how many the serving members may dip while members are replaced and the group has no room for the new ones: a
    /// count, or a percentage of the listed ones (rounded down, at least 1 unless 0 is written).
    #[serde(default = "a_quarter")]
    #[schemars(schema_with = "super::schema::amount")]
    pub max_unavailable: IntOrString,
    /// Whether removals may leave the group without any serving member.
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
    pub members: Option<MemberCounts>,
    /// What this object may remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
    /// Servers that were sent weight 0 and wait to be removed. While suspended or planning they stay so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3000))]
    pub draining: Vec<Draining>,
    /// The change in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<member::Operation>,
    /// What settled before that and may still land, an entry for each action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub settled: Vec<member::Settled>,
    /// What would be changed, in `Plan` mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Differences that are left alone: the first few, with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub held: Vec<member::Held>,
    /// Servers that the cloud refused; tried again after an hour, when the spec changes, or on request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub parked: Vec<member::Parked>,
    /// Value of the `reconcile-at` annotation that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_reconcile_at: Option<String>,
}

/// How far a group is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberCounts {
    /// Servers listed.
    pub desired: i32,
    /// Listed and serving.
    pub serving: i32,
    /// Listed and on their way in.
    pub joining: i32,
    /// On their way out.
    pub leaving: i32,
    /// In the group, and neither listed nor registered by this object.
    pub foreign: i32,
    /// Differences that are left alone.
    pub held: i32,
}
