//! Spec and status of the two namespaced kinds behind one trait, so that one registry and one pipeline serve both.

use std::{
    collections::BTreeSet,
    fmt::{Debug, Display},
    str::FromStr,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{Resource, ResourceExt, core::NamespaceResourceScope};
use serde::{Serialize, de::DeserializeOwned};
use server_group_core::{claim::Age, grant};

use super::{
    open::{Needs, Open},
    queue::Name,
    record::{Operation, Record},
    report::Report,
    turns::GroupId,
};
use crate::api::{
    ABANDON, DeletionPolicy, FINALIZER,
    status::{HoldReason, Ledger, Plan},
};

/// A `ServerGroupMembership` or a `ScalingGroupAttachment`.
pub trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// A member, or an attachment.
    type Key: Ord + Clone + Debug + Display + FromStr + Send + Sync + 'static;

    /// `spec.accountName`
    fn account_name(&self) -> &str;
    /// `spec.regionId`
    fn region(&self) -> &str;
    /// `spec.suspend`
    fn suspended(&self) -> bool;
    /// Whether `spec.mode` is `Plan`.
    fn planning(&self) -> bool;
    /// `status.plan`: the plan that was shown last.
    fn shown_plan(&self) -> Option<&Plan>;
    /// `spec.deletionPolicy`
    fn deletion_policy(&self) -> DeletionPolicy;
    /// `spec.intervalSeconds`
    fn interval_seconds(&self) -> i64;
    /// The group that passes take turns on.
    fn group(&self) -> GroupId;
    /// The groups that it names besides, in spec, ledger or open operation.
    fn other_groups(&self) -> BTreeSet<GroupId>;
    /// Everything it names that needs a grant. While it is deleted, the servers of a membership need none.
    fn names<'a>(&'a self, namespace: &'a str) -> grant::Request<'a>;

    /// The server groups and load balancers that its status says it attached or changes, whatever the spec lists by now.
    fn attached_before(&self) -> (Vec<String>, Vec<String>) {
        (Vec::new(), Vec::new())
    }
    /// Ledger and id of the open operation, as they are written in status. One that settled is not open.
    fn written_claims(&self) -> (Option<&Ledger>, Option<&str>);
    /// Whether status speaks of a call that is open or may still land.
    fn speaks_of_calls(&self) -> bool;
    /// What a grant has to cover for any call of this object, whatever ids it names.
    fn needs(&self) -> Needs {
        Needs {
            account: self.account_name().to_owned(),
            namespace: self.meta().namespace.clone().unwrap_or_default(),
            region: self.region().to_owned(),
            ..Needs::default()
        }
    }
    /// The calls that an operation of this object opens, each with the group that it changes.
    fn opens(&self, operation: &Operation<Self::Key>) -> Vec<(GroupId, Open)>;
    /// The record in its status.
    fn record(&self) -> Record<Self::Key>;
    #[must_use]
    /// The same object with a status that says `report` and remembers `record`.
    fn with_status(&self, report: &Report<Self::Key>, record: &Record<Self::Key>) -> Self;
    /// The entries that its status shows as left alone, with the reason.
    fn held(&self) -> Vec<(&str, HoldReason)>;
    /// How many are left alone in all.
    fn held_in_all(&self) -> usize;
    /// Generation and `reconcile-at` as its status echoes them; `None` if nobody has looked at it.
    fn last_seen(&self) -> Option<(i64, Option<String>)>;
    /// The conditions of its status.
    fn conditions(&self) -> &[Condition];
    /// The status, for comparison.
    fn same_status(&self, other: &Self) -> bool;
}

/// The facts that have to be known of an object before a call for it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Unique to this object, however many had its name.
    pub uid: String,
    /// Changes with the spec and with deletion.
    pub generation: Option<i64>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it carries the annotation that lets it go without touching the cloud.
    pub abandoned: bool,
    /// Whether its deletion waits for us.
    pub held: bool,
}

impl Facts {
    /// Those of `object`.
    pub fn of<M: Object>(object: &M) -> Self {
        let meta = object.meta();
        let abandon = meta.annotations.as_ref().and_then(|all| all.get(ABANDON));
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation,
            deleting: meta.deletion_timestamp.is_some(),
            abandoned: abandon.is_some_and(|value| value == "true"),
            held: is_held(object),
        }
    }
}

/// Whether its deletion waits for us.
pub fn is_held(object: &impl Resource) -> bool {
    let held = object.meta().finalizers.iter().flatten();
    held.into_iter().any(|finalizer| finalizer == FINALIZER)
}

/// Order of birth.
pub fn age(object: &impl Resource) -> Age {
    age_of(object.meta())
}

/// Order of birth of the object with this metadata.
pub fn age_of(meta: &ObjectMeta) -> Age {
    let born = meta
        .creation_timestamp
        .as_ref()
        .map_or(0, |time| time.0.as_second());
    (born, meta.uid.clone().unwrap_or_default())
}

/// The name of an object.
pub fn name_of(object: &impl ResourceExt) -> Name {
    let meta = object.meta();
    Name {
        namespace: meta.namespace.as_deref().unwrap_or_default().into(),
        name: meta.name.as_deref().unwrap_or_default().into(),
    }
}
