//! Objects by kind and place, and every change in order; knows nothing of what the objects mean.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Asked;

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The version that it made.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// The plural of the kind.
    pub resource: String,
    /// `None` for what belongs to no namespace.
    pub namespace: Option<String>,
    /// The name of the object.
    pub name: String,
    /// `None` = it was made.
    pub before: Option<Arc<Value>>,
    /// `None` = it is gone.
    pub after: Option<Arc<Value>>,
}

/// One object as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) object: Arc<Value>,
    /// A default of status is shown, but not stored: the first write stores it, even one that changes nothing.
    pub(super) bare: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    version: u64,
    compacted: u64,
    tables: BTreeMap<String, Table>,
    history: Vec<Change>,
}

/// The objects of one kind, and where in the history they changed.
#[derive(Clone, Debug, Default)]
struct Table {
    objects: BTreeMap<String, Stored>,
    changes: Vec<usize>,
}

/// The place of an object among those of its kind. Lists are in its order, as they are in etcd.
pub(super) fn key(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

impl Store {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn history(&self) -> &[Change] {
        &self.history
    }

    pub(super) fn compact(&mut self, before: u64) {
        self.compacted = self.compacted.max(before.min(self.version));
    }

    pub(super) fn compacted(&self) -> u64 {
        self.compacted
    }

    pub(super) fn get(&self, resource: &str, key: &str) -> Option<&Stored> {
        self.tables.get(resource)?.objects.get(key)
    }

    /// The objects of a kind, in one namespace or anywhere, with their keys.
    pub(super) fn within(
        &self,
        resource: &str,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = (&String, &Arc<Value>)> {
        let start = namespace.map(|namespace| format!("{namespace}/"));
        let from = start.clone().unwrap_or_default();
        self.tables
            .get(resource)
            .into_iter()
            .flat_map(move |table| table.objects.range(from.clone()..))
            .take_while(move |(key, _)| start.as_ref().is_none_or(|start| key.starts_with(start)))
            .map(|(key, stored)| (key, &stored.object))
    }

    /// The same as they were at an earlier version.
    pub(super) fn within_at(
        &self,
        version: u64,
        resource: &str,
        namespace: Option<&str>,
    ) -> BTreeMap<String, &Arc<Value>> {
        let mut then: BTreeMap<_, _> = self
            .within(resource, namespace)
            .map(|(key, object)| (key.clone(), object))
            .collect();
        let since = self.since(version, resource, namespace).rev();
        for change in since {
            let key = key(change.namespace.as_deref(), &change.name);
            match &change.before {
                Some(before) => then.insert(key, before),
                None => then.remove(&key),
            };
        }
        then
    }

    /// What changed after a version, among the objects of a kind, in one namespace or anywhere.
    pub(super) fn since(
        &self,
        version: u64,
        resource: &str,
        namespace: Option<&str>,
    ) -> impl DoubleEndedIterator<Item = &Change> {
        let changes = self
            .tables
            .get(resource)
            .map_or(&[][..], |table| &table.changes);
        let seen = changes.partition_point(|change| self.history[*change].version <= version);
        changes[seen..]
            .iter()
            .map(|change| &self.history[*change])
            .filter(move |change| namespace.is_none() || change.namespace.as_deref() == namespace)
    }

    /// Stores an object under a new version, and returns it with that.
    pub(super) fn put(
        &mut self,
        asked: Asked<'_>,
        resource: &str,
        mut object: Value,
        bare: bool,
    ) -> Arc<Value> {
        object["metadata"]["resourceVersion"] = json!((self.version + 1).to_string());
        let object = Arc::new(object);
        let (namespace, name) = place(&object);
        let stored = Stored {
            object: Arc::clone(&object),
            bare,
        };
        let table = self.tables.entry(resource.to_owned()).or_default();
        let before = table
            .objects
            .insert(key(namespace.as_deref(), &name), stored)
            .map(|stored| stored.object);
        self.record(asked, resource, before, Some(Arc::clone(&object)));
        object
    }

    /// Removes an object. That is a version too.
    pub(super) fn remove(&mut self, asked: Asked<'_>, resource: &str, key: &str) {
        let table = self.tables.get_mut(resource);
        if let Some(gone) = table.and_then(|table| table.objects.remove(key)) {
            self.record(asked, resource, Some(gone.object), None);
        }
    }

    fn record(
        &mut self,
        asked: Asked<'_>,
        resource: &str,
        before: Option<Arc<Value>>,
        after: Option<Arc<Value>>,
    ) {
        self.version += 1;
        let either = after.as_ref().or(before.as_ref());
        let (namespace, name) = place(either.expect("it is there before or after"));
        let table = self.tables.entry(resource.to_owned()).or_default();
        table.changes.push(self.history.len());
        self.history.push(Change {
            version: self.version,
            at: asked.now,
            by: asked.by.to_owned(),
            resource: resource.to_owned(),
            namespace,
            name,
            before,
            after,
        });
    }
}

fn place(object: &Value) -> (Option<String>, String) {
    let text = |field: &str| object["metadata"][field].as_str().map(ToOwned::to_owned);
    (
        text("namespace"),
        text("name").expect("what is stored has a name"),
    )
}
