//! Kubernetes in memory: what the operator and people ask of a kube-apiserver, answered as a real one does.
//!
//! No async, no clock, no randomness: equal requests in equal order get equal answers. Who is wrong when the two
//! differ is decided by `tests/differential`, which asks both the same.
//!
//! Left out on purpose: who may do what, rules in CEL, patterns, immutable fields, `managedFields`, server-side apply.
//! What is asked and not imitated here panics rather than being answered somehow.

mod event;
mod kind;
mod merge_patch;
mod metadata;
mod namespaces;
mod read;
mod refusal;
mod route;
mod schema;
pub mod shape;
mod store;
#[cfg(test)]
mod tests;
mod watch;
mod write;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

use self::{
    kind::Kind,
    refusal::Refusal,
    route::{Place, Target},
    store::Store,
};
pub use self::{store::Change, watch::Watch};

/// One request, as it comes over the wire.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded.
    pub query: BTreeMap<String, String>,
    /// Of the body; empty if there is none.
    pub content_type: String,
    /// What answer is asked for; empty = whole objects.
    pub accept: String,
    /// `Null` if there is none.
    pub body: Value,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub code: u16,
    /// A string is plain text, as it comes for a path that nothing serves; all else is JSON.
    pub body: Value,
}

/// What comes of a request.
#[derive(Clone, Debug)]
pub enum Served {
    /// It is over.
    Answer(Answer),
    /// It goes on: [`Cluster::next`] has its lines.
    Watch(Watch),
}

/// All objects, and everything that ever happened to them.
#[derive(Clone, Debug)]
pub struct Cluster {
    kinds: Arc<[Arc<Kind>]>,
    store: Store,
}

/// Who asks, and when.
#[derive(Clone, Copy)]
struct Asked<'a> {
    now: Timestamp,
    by: &'a str,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// Knows the kinds in `crds/`, leases, events and namespaces; there is none of any, no namespace either.
    #[must_use]
    pub fn new() -> Self {
        Self {
            kinds: Kind::all().into_iter().map(Arc::new).collect(),
            store: Store::default(),
        }
    }

    /// Answers one request; `by` is who asks, for the history.
    ///
    /// # Panics
    ///
    /// When something is asked that a real server does and this one does not imitate.
    pub fn serve(&mut self, now: Timestamp, by: &str, request: &Request) -> Served {
        self.answer(Asked { now, by }, request)
            .unwrap_or_else(|refusal| Served::Answer(refusal.answer()))
    }

    fn answer(&mut self, asked: Asked<'_>, request: &Request) -> Result<Served, Refusal> {
        let kinds = Arc::clone(&self.kinds);
        let target = Target::of(&kinds, &request.path)?;
        request.refuse_the_unknown();
        let answer = match (request.method.as_str(), &target.place) {
            ("GET", Place::All) if request.flag("watch") => {
                return self.open(&target, request).map(Served::Watch);
            }
            ("GET", Place::All) => self.list(&target, request)?,
            ("GET", Place::One(name) | Place::Status(name)) => self.get(&target, name, request)?,
            ("POST", Place::All) => self.create(asked, &target, &request.body)?,
            // The server of custom resources looks at the body alone.
            ("POST", Place::One(_)) if target.kind.custom => {
                self.create(asked, &target, &request.body)?
            }
            ("PUT", Place::One(name)) => self.replace(asked, &target, name, &request.body)?,
            ("PUT", Place::Status(name)) => {
                self.replace_status(asked, &target, name, &request.body)?
            }
            ("PATCH", Place::One(name) | Place::Status(name)) => {
                self.patch(asked, &target, name, request)?
            }
            ("DELETE", Place::One(name)) => self.delete(asked, &target, name, &request.body)?,
            ("DELETE", Place::All) => {
                unimplemented!("deleting a collection: {}", request.path)
            }
            ("PUT" | "PATCH", Place::All) if target.kind.custom => {
                return Err(Refusal::bad_request("name must be provided"));
            }
            _ => return Err(Refusal::method(target.kind)),
        };
        Ok(Served::Answer(answer))
    }

    /// The version of the last change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.store.version()
    }

    /// Every change ever, in order. `events` are in the form of `events.k8s.io/v1`.
    #[must_use]
    pub fn history(&self) -> &[Change] {
        self.store.history()
    }

    /// Forgets what was before this version, for those who list and watch: the history stays.
    pub fn compact(&mut self, before: u64) {
        self.store.compact(before);
    }

    /// One object, by the plural of its kind.
    #[must_use]
    pub fn object(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<&Arc<Value>> {
        self.store
            .get(resource, &store::key(namespace, name))
            .map(|stored| &stored.object)
    }

    /// All objects of a kind, by its plural, in the order of their namespaces and names.
    pub fn objects(&self, resource: &str) -> impl Iterator<Item = &Arc<Value>> {
        self.store.within(resource, None).map(|(_, object)| object)
    }
}

impl Request {
    fn flag(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|value| value == "true")
    }

    fn refuse_the_unknown(&self) {
        for name in self.query.keys() {
            assert!(
                KNOWN.contains(&name.as_str()),
                "{} {}?{name} is not imitated",
                self.method,
                self.path
            );
        }
    }
}

const KNOWN: [&str; 8] = [
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "fieldManager",
    "limit",
    "resourceVersion",
    "timeoutSeconds",
    "watch",
];
