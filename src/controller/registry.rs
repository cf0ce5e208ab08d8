//! What is known of every object: the watch caches, and our own writes that they do not show yet.
//!
//! A cache lags behind. An object that this process has just written is therefore kept until the cache has
//! caught up with it, per object: a pass never plans on a ledger older than the one it wrote itself.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use kube::{
    Resource, ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use parking_lot::Mutex;

/// One kind of object.
pub struct Registry<K: Resource + 'static>
where
    K::DynamicType: Hash + Eq,
{
    cache: Store<K>,
    written: Mutex<HashMap<String, Arc<K>>>,
}

impl<K> Registry<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    /// Reads through `cache`.
    #[must_use]
    pub fn new(cache: Store<K>) -> Self {
        Self {
            cache,
            written: Mutex::default(),
        }
    }

    /// The newest known version of one object; `None` once the cache says it is gone.
    pub fn get(&self, reference: &ObjectRef<K>) -> Option<Arc<K>> {
        self.cache.get(reference).map(|cached| self.newest(cached))
    }

    /// The newest known version of every object.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.cache
            .state()
            .into_iter()
            .map(|cached| self.newest(cached))
            .collect()
    }

    /// Remembers what a write returned.
    pub fn wrote(&self, object: K) {
        if let Some(uid) = object.uid() {
            self.written.lock().insert(uid, Arc::new(object));
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.written.lock().remove(uid);
    }

    fn newest(&self, cached: Arc<K>) -> Arc<K> {
        let mut written = self.written.lock();
        let Some(uid) = cached.uid() else {
            return cached;
        };
        match written.get(&uid) {
            Some(ours) if version(&**ours) > version(&*cached) => Arc::clone(ours),
            Some(_) => {
                written.remove(&uid);
                cached
            }
            None => cached,
        }
    }
}

/// The resource version as a number.
///
/// Kubernetes guarantees since 1.35 that versions of one kind are decimal numbers that grow; should one not
/// be, it counts as 0, and the cache is believed.
fn version<K: Resource>(object: &K) -> u128 {
    object
        .meta()
        .resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}
