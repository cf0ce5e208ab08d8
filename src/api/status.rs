//! The parts of status that both namespaced kinds share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use server_group_core::reason::Hold;

/// What this object may remove from the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Uid of the object it was written for. In an object with another uid, a copied or restored one, it is void.
    #[schemars(length(max = 128))]
    pub uid: String,
    /// Id of the cloud account whose groups these are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub cloud_account_id: String,
    /// What this object put there. It goes when it is taken off the list, or when the object is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3000), inner(length(max = 256)))]
    pub registered: Vec<String>,
    /// What was already there when it was first listed. It goes when it is taken off the list, and stays when the object is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3000), inner(length(max = 256)))]
    pub adopted: Vec<String>,
}

/// How much is known about a change in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Written down before the call is sent.
    #[default]
    Intended,
    /// Answered, and carried out by a job or scaling activity.
    Accepted,
    /// Sent and not answered: it is not known whether it was carried out.
    Unsettled,
    /// Over as far as two views agree, and kept until a late call cannot land any more.
    Settled,
}

/// Why a difference is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HoldReason {
    /// It is among the last that serve.
    LastServing,
    /// Its replacement does not serve yet.
    WaitsForReplacement,
    /// The cloud refused it; it is tried again slowly.
    Parked,
    /// Another object claims it.
    Conflict,
    /// It came back after it was removed, again and again.
    Contended,
    /// The cloud, or another object, is still working on it.
    InFlight,
    /// A scaling group brings it.
    EssManaged,
    /// The group was not seen whole.
    ViewIncomplete,
    /// The ledger is full.
    LedgerFull,
}

impl HoldReason {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LastServing => "LastServing",
            Self::WaitsForReplacement => "WaitsForReplacement",
            Self::Parked => "Parked",
            Self::Conflict => "Conflict",
            Self::Contended => "Contended",
            Self::InFlight => "InFlight",
            Self::EssManaged => "EssManaged",
            Self::ViewIncomplete => "ViewIncomplete",
            Self::LedgerFull => "LedgerFull",
        }
    }
}

/// What would be changed, in `Plan` mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// SHA-256 over the whole plan, in hexadecimal: equal plans have equal hashes.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// What would be added or attached, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 256)))]
    pub add: Vec<String>,
    /// What would be removed or detached, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 256)))]
    pub remove: Vec<String>,
    /// What would get another weight, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 256)))]
    pub update: Vec<String>,
    /// How many each list has in all.
    pub totals: PlanTotals,
}

/// How many changes a plan has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanTotals {
    /// To be added or attached.
    pub add: i32,
    /// To be removed or detached.
    pub remove: i32,
    /// To get another weight.
    pub update: i32,
}

/// A server that was sent weight 0, to be removed once it has finished what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Draining {
    /// Which one, written as `ID[@IP][:PORT]`.
    #[schemars(length(max = 256))]
    pub server: String,
    /// When it is removed, by the cloud's clock; absent until it was seen at weight 0. Written once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The weight it gets back if it is wanted again.
    pub weight: i32,
}

/// The structs whose items are called `servers` in one kind and `serverGroups` in the other.
macro_rules! items {
    ($module:ident, $many:ident, $one:ident, $key:literal) => {
        #[doc = concat!("Operation, held and parked items that are written as ", $key, ".")]
        pub mod $module {
            use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
            use schemars::JsonSchema;
            use serde::{Deserialize, Serialize};

            use super::{HoldReason, Phase};

            /// The change in flight, written before the call is sent.
            #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct Operation {
                /// Drawn at random for this operation.
                #[schemars(length(max = 64))]
                pub id: String,
                /// The API action, such as `RemoveServersFromServerGroup`.
                #[schemars(length(max = 64))]
                pub action: String,
                /// How much is known about it.
                pub phase: Phase,
                /// How often the operator's lease had changed hands when it was written.
                pub epoch: i64,
                #[doc = concat!("What it names, written as ", $key, ".")]
                #[serde(default, skip_serializing_if = "Vec::is_empty")]
                #[schemars(length(max = 3000), inner(length(max = 256)))]
                pub $many: Vec<String>,
                /// The cloud's id of the answer, to quote to its support.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                #[schemars(length(max = 128))]
                pub request_id: Option<String>,
                /// The job or scaling activity that carries it out.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                #[schemars(length(max = 128))]
                pub reference: Option<String>,
                /// Until when a call of it may still land, by the cloud's clock, once it is `Settled`. Written once.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub until: Option<Time>,
            }

            /// Calls of one action that settled and may still land, from before the present operation.
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct Settled {
                /// The API action.
                #[schemars(length(max = 64))]
                pub action: String,
                /// Until when, by the cloud's clock.
                pub until: Time,
                #[doc = concat!("What they name, written as ", $key, ".")]
                #[serde(default, skip_serializing_if = "Vec::is_empty")]
                #[schemars(length(max = 3000), inner(length(max = 256)))]
                pub $many: Vec<String>,
            }

            /// A difference that is left alone.
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct Held {
                #[doc = concat!("Which one, written as ", $key, ".")]
                #[schemars(length(max = 256))]
                pub $one: String,
                /// Why.
                pub reason: HoldReason,
            }

            /// Something that the cloud refused.
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct Parked {
                #[doc = concat!("Which one, written as ", $key, ".")]
                #[schemars(length(max = 256))]
                pub $one: String,
                /// The cloud's words.
                #[schemars(length(max = 1024))]
                pub reason: String,
            }
        }
    };
}

items!(member, servers, server, "`ID[@IP][:PORT]`");
items!(
    attachment,
    server_groups,
    server_group,
    "`ALB/sgp-1:80`, `GWLB/sgp-2`, `CLB/lb-1/rsp-1:80` or `LB/lb-2`"
);

/// A hold of the core as status writes it.
#[must_use]
pub const fn hold_reason(hold: Hold) -> HoldReason {
    match hold {
        Hold::LastServing => HoldReason::LastServing,
        Hold::WaitsForReplacement => HoldReason::WaitsForReplacement,
        Hold::Parked => HoldReason::Parked,
        Hold::Conflict => HoldReason::Conflict,
        Hold::Contended => HoldReason::Contended,
        Hold::InFlight => HoldReason::InFlight,
        Hold::EssManaged => HoldReason::EssManaged,
        Hold::ViewIncomplete => HoldReason::ViewIncomplete,
        Hold::LedgerFull => HoldReason::LedgerFull,
    }
}
