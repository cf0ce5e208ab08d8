//! The facts that the registry derives from an object as it learns it, so that nobody has to parse the object for them.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::{
    object::{Object, is_held},
    version::number,
};
use crate::api::{ABANDON, RECONCILE_AT, TAKE_OVER};

/// `kubectl apply` leaves the whole object here once more. Nothing reads it, and no write of ours carries it back: a
/// write of status changes no annotation.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object as it is kept.
pub(super) fn text_of<M: Object>(object: &mut M) -> Vec<u8> {
    object.meta_mut().managed_fields = None;
    if let Some(annotations) = &mut object.meta_mut().annotations {
        annotations.remove(LAST_APPLIED);
    }
    serde_json::to_vec(object).expect("an object that was read can be written")
}

pub(super) fn version<M: Object>(object: &M) -> u64 {
    number(object.meta().resource_version.as_deref())
}

/// A hash of spec, deletion and the annotations that mean something. Finalizer and status are of our own making; but a finalizer that is
/// missing beside a ledger or an open operation was taken away.
pub(super) fn asks<M: Object>(object: &M) -> u64 {
    let mut hasher = DefaultHasher::new();
    let (ledger, operation) = object.written_claims();
    let registered = ledger.is_some_and(|ledger| !ledger.registered.is_empty());
    (!is_held(object) && (registered || operation.is_some())).hash(&mut hasher);
    object.meta().generation.hash(&mut hasher);
    let annotations = object.meta().annotations.as_ref();
    for ours in [RECONCILE_AT, ABANDON, TAKE_OVER] {
        annotations.and_then(|all| all.get(ours)).hash(&mut hasher);
    }
    hasher.finish()
}

/// A hash of spec, deletion, ledger and open operation, on which the plan of another object on the group depends. A
/// pass writes status, and a write wakes the others: to let that end, nothing else counts.
pub(super) fn claims<M: Object>(object: &M) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.meta().generation.hash(&mut hasher);
    object.meta().deletion_timestamp.is_some().hash(&mut hasher);
    let (ledger, operation) = object.written_claims();
    if let Some(ledger) = ledger {
        (&ledger.uid, &ledger.registered, &ledger.adopted).hash(&mut hasher);
    }
    operation.hash(&mut hasher);
    hasher.finish()
}

/// Whether somebody changed the object, or deleted it, and status does not say that this was seen.
pub(super) fn waits_for_a_look<M: Object>(object: &M) -> bool {
    let generation = object.meta().generation.unwrap_or_default();
    let seen = object
        .last_seen()
        .is_some_and(|(seen, _)| seen == generation);
    !seen || object.meta().deletion_timestamp.is_some()
}

pub(super) fn denied<M: Object>(object: &M) -> bool {
    let mut conditions = object.conditions().iter();
    conditions.any(|condition| condition.type_ == "Stalled")
}
