//! Wakes objects that share a group when one of them changes what it claims.
//!
//! A pass writes status, a write is an event, and an event wakes the neighbours: to let that end, only what a
//! neighbour's plan depends on counts as a change: spec, deletion, ledger and open operation.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use kube::{ResourceExt, runtime::reflector::ObjectRef};
use parking_lot::Mutex;

use super::{Context, managed::Managed, turns::GroupId};

/// What each object claimed when it was last seen, by uid.
#[derive(Debug, Default)]
pub struct Claims(Mutex<HashMap<String, u64>>);

impl Claims {
    /// Whether what `object` claims has changed since it was last seen.
    pub fn changed<M: Managed>(&self, object: &M) -> bool {
        let mut hasher = DefaultHasher::new();
        object.meta().generation.hash(&mut hasher);
        object.meta().deletion_timestamp.is_some().hash(&mut hasher);
        let record = object.record();
        for key in record.ledger.iter() {
            key.to_string().hash(&mut hasher);
        }
        record
            .operation
            .map(|operation| operation.id)
            .hash(&mut hasher);
        let now = hasher.finish();
        self.0.lock().insert(object.uid().unwrap_or_default(), now) != Some(now)
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

/// The other objects of its kind on the group of `object`.
pub fn of<M: Managed>(ctx: &Context, group: &GroupId, uid: Option<&str>) -> Vec<ObjectRef<M>> {
    let others = M::registry(ctx).all().into_iter();
    others
        .filter(|other| other.uid().as_deref() != uid && other.group() == *group)
        .map(|other| ObjectRef::from_obj(&*other))
        .collect()
}
