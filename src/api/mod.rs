//! The custom resources: wire types, defaults, and the rules that admission checks.
//!
//! A field is here once the operator honours it. What admission cannot check (two entries that mean the same
//! member) is checked before anything else happens.

pub mod account;
pub mod attachment;
pub mod condition;
mod crds;
pub mod credentials;
mod ids;
pub mod membership;
mod schema;
pub mod status;

pub use account::{
    CloudAccount, CloudAccountSpec, CloudAccountStatus, Grant, LabelCondition, LabelOperator,
    NamespaceSelector, NetworkType, UsedBy,
};
pub use attachment::{
    AttachedServerGroup, AttachedServerGroupType, AttachmentCounts, AttachmentRemoval,
    ScalingGroupAttachment, ScalingGroupAttachmentSpec, ScalingGroupAttachmentStatus,
};
pub use crds::crds;
pub use credentials::{
    AssumeRole, CredentialType, Credentials, InstanceRoleSource, OidcSource, SecretSource,
};
pub use membership::{
    MemberCounts, MembershipRemoval, Server, ServerGroupMembership, ServerGroupMembershipSpec,
    ServerGroupMembershipStatus, ServerGroupRef, ServerGroupType, ServerType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The API group.
pub const GROUP: &str = "servergroup.alicloud.dev";

/// Keeps a deleted object until what it registered is released.
pub const FINALIZER: &str = "servergroup.alicloud.dev/release";

/// Keeps a deleted account until no object of an installation needs it any more; the installation's namespace follows.
pub const ACCOUNT_FINALIZER: &str = "servergroup.alicloud.dev/used-by-";

/// Set by users to any value: look now.
pub const RECONCILE_AT: &str = "servergroup.alicloud.dev/reconcile-at";

/// Set by users to `true` on a deleted object: let it go without touching the cloud.
pub const ABANDON: &str = "servergroup.alicloud.dev/abandon";

/// Set by users to any value: what is listed and found there counts as put there by the object, once for each value.
pub const TAKE_OVER: &str = "servergroup.alicloud.dev/take-over";

/// Which entries an object may remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Ownership {
    /// Only entries of its ledger: those that it put there, or found there and listed.
    #[default]
    Shared,
    /// Strangers too: the list is the whole truth. What another object lists or an attached scaling group brings is no stranger.
    Exclusive,
}

/// Whether differences are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// They are carried out.
    #[default]
    Enforce,
    /// They are shown in status, and nothing that changes the cloud is called.
    Plan,
}

/// What happens to what an object registered when the object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is removed from the cloud.
    #[default]
    Release,
    /// It stays in the cloud.
    Retain,
}

pub(crate) fn default_account() -> String {
    "default".to_owned()
}

pub(crate) const fn default_interval() -> i64 {
    300
}
