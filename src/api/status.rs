//! The parts of status that both namespaced kinds share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use server_group_core::reason::Hold;

/// The entries that this object may remove from the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Uid of the object for which the ledger was written. In an object with another uid, a copied or restored one, the ledger is void.
    #[schemars(length(max = 128))]
    pub uid: String,
    /// Id of the cloud account to which the group belongs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub cloud_account_id: String,
    /// Entries that this object put there. They are removed when they are taken off the list, and when the object is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3000), inner(length(max = 256)))]
    pub registered: Vec<String>,
    /// Entries that were already there when this object first listed them. They are removed when they are taken off the list, and stay when the object is deleted.
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
    /// Over as far as two looks agree, and kept until a late call cannot take effect any more.
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
    /// It is in the group otherwise than listed, and no call of the cloud changes that.
    Immutable,
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
            Self::Immutable => "Immutable",
        }
    }
}

/// What would be changed, in `Plan` mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// SHA-256 over the whole plan, also over what the lists below leave out, in hexadecimal: equal plans have equal hashes.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// Entries that would be added or attached, the first 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 256)))]
    pub add: Vec<String>,
    /// Entries that would be removed or detached, the first 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 256)))]
    pub remove: Vec<String>,
    /// Entries that would get another weight, the first 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 256)))]
    pub update: Vec<String>,
    /// How many entries each list has in all.
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

/// A member at weight 0, which is removed once it has had time to finish its connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Draining {
    /// The entry, written as `ID[@IP][:PORT]`.
    #[schemars(length(max = 256))]
    pub server: String,
    /// When the member is removed, by the cloud's clock; absent until it was seen at weight 0. Written once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The weight that the member gets back if it is listed again.
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

            /// A change that is under way or whose outcome is not known yet. It is written before the call is sent.
            #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct Operation {
                /// Id of the operation, drawn at random.
                #[schemars(length(max = 64))]
                pub id: String,
                /// The API action, such as `RemoveServersFromServerGroup`.
                #[schemars(length(max = 64))]
                pub action: String,
                /// How much is known about the outcome: `Intended`, `Accepted`, `Unsettled` or `Settled`.
                pub phase: Phase,
                /// How often the operator's lease had changed hands when the operation was written.
                pub epoch: i64,
                #[doc = concat!("The entries that it changes, written as ", $key, ".")]
                #[serde(default, skip_serializing_if = "Vec::is_empty")]
                #[schemars(length(max = 3000), inner(length(max = 256)))]
                pub $many: Vec<String>,
                /// The cloud's id of the request, to quote to its support.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                #[schemars(length(max = 128))]
                pub request_id: Option<String>,
                /// Id of the cloud's job or scaling activity that carries the operation out.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                #[schemars(length(max = 128))]
                pub reference: Option<String>,
                /// Until when a call of it may still take effect, by the cloud's clock; only once it is `Settled`. Written once.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub until: Option<Time>,
            }

            /// Calls of one action that got no answer, are over as far as can be seen, and may still take effect.
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct Settled {
                /// The API action.
                #[schemars(length(max = 64))]
                pub action: String,
                /// Until when they may take effect, by the cloud's clock.
                pub until: Time,
                #[doc = concat!("The entries that they change, written as ", $key, ".")]
                #[serde(default, skip_serializing_if = "Vec::is_empty")]
                #[schemars(length(max = 3000), inner(length(max = 256)))]
                pub $many: Vec<String>,
            }

            /// A difference that is left alone for now.
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct Held {
                #[doc = concat!("The entry, written as ", $key, ".")]
                #[schemars(length(max = 256))]
                pub $one: String,
                /// Why it is left alone; docs/reasons.md has what to do.
                pub reason: HoldReason,
            }

            /// An entry that the cloud refused.
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct Parked {
                #[doc = concat!("The entry, written as ", $key, ".")]
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
        Hold::Immutable => HoldReason::Immutable,
    }
}
