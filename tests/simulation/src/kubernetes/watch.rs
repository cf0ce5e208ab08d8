//! Watches: what changed since a version, one line at a time.

use std::{collections::VecDeque, sync::Arc};

use serde_json::{Value, json};

use super::{
    Cluster, Request, kind::Kind, read::Form, refusal::Refusal, route::Target, store::Change,
};

/// An open watch: what it is about, and how far it has come.
#[derive(Clone, Debug)]
pub struct Watch {
    kind: Arc<Kind>,
    namespace: Option<String>,
    form: Form,
    bookmarks: bool,
    at: u64,
    /// What was there when it was opened, of a watch that began with no version.
    first: VecDeque<Arc<Value>>,
    /// It was opened at a version that was forgotten.
    stale: bool,
    over: bool,
}

impl Watch {
    /// Whether who opened it takes bookmarks.
    #[must_use]
    pub fn takes_bookmarks(&self) -> bool {
        self.bookmarks
    }

    /// Whether it has shown its last line: an error.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn object(&self, object: &Value) -> Value {
        self.form.show(&self.kind, object)
    }
}

impl Cluster {
    pub(super) fn open(&self, target: &Target<'_>, request: &Request) -> Result<Watch, Refusal> {
        let from = request.query.get("resourceVersion").map_or("", |from| from);
        let from: u64 = match from {
            "" => 0,
            from => from
                .parse()
                .map_err(|_| Refusal::unexpected("resourceVersion is no number"))?,
        };
        let namespace = target.namespace.clone();
        let first = match from {
            0 => self
                .store
                .within(&target.kind.plural, namespace.as_deref())
                .map(|(_, object)| Arc::clone(object))
                .collect(),
            _ => VecDeque::new(),
        };
        Ok(Watch {
            kind: Arc::clone(target.kind),
            namespace,
            form: Form::asked(request),
            bookmarks: request.flag("allowWatchBookmarks"),
            at: if from == 0 { self.version() } else { from },
            first,
            stale: from != 0 && from < self.store.compacted(),
            over: false,
        })
    }

    /// Whether there is a line that this watch has not shown yet.
    #[must_use]
    pub fn pending(&self, watch: &Watch) -> bool {
        !watch.over && (watch.stale || !watch.first.is_empty() || self.unseen(watch).is_some())
    }

    /// Its next line: `{"type": "ADDED" | "MODIFIED" | "DELETED" | "ERROR", "object": …}`. The error is 410 `Expired`
    /// and the last line: what the watch has not shown yet was compacted away.
    pub fn next(&self, watch: &mut Watch) -> Option<Value> {
        if watch.over {
            return None;
        }
        if watch.stale {
            return Some(expire(watch));
        }
        if let Some(object) = watch.first.pop_front() {
            return Some(line("ADDED", &watch.object(&object)));
        }
        let change = self.unseen(watch)?;
        if change.version < self.store.compacted() {
            return Some(expire(watch));
        }
        watch.at = change.version;
        Some(match (&change.before, &change.after) {
            (None, Some(after)) => line("ADDED", &watch.object(after)),
            (_, Some(after)) => line("MODIFIED", &watch.object(after)),
            (before, None) => {
                // What went is shown as it was last, under the version of its end.
                let before = before.as_ref().expect("it was there before or after");
                let mut last = watch.object(before);
                last["metadata"]["resourceVersion"] = json!(change.version.to_string());
                line("DELETED", &last)
            }
        })
    }

    /// A line that says how far the watch has come though nothing happened.
    ///
    /// # Panics
    ///
    /// When there is something that it has not shown yet.
    pub fn bookmark(&self, watch: &mut Watch) -> Value {
        assert!(!self.pending(watch), "a bookmark would hide a change");
        watch.at = watch.at.max(self.version());
        let kind = &watch.kind;
        let version = watch.at.to_string();
        let mut object = json!({"kind": kind.name, "apiVersion": kind.api_version(), "metadata": {"resourceVersion": version}});
        if !kind.custom {
            kind.schema.complete(&mut object);
        }
        line("BOOKMARK", &object)
    }

    fn unseen(&self, watch: &Watch) -> Option<&Change> {
        self.store
            .since(watch.at, &watch.kind.plural, watch.namespace.as_deref())
            .next()
    }
}

fn expire(watch: &mut Watch) -> Value {
    watch.over = true;
    let message = format!("too old resource version: {}", watch.at);
    line("ERROR", &Refusal::expired(&message).answer().body)
}

fn line(what: &str, object: &Value) -> Value {
    json!({"type": what, "object": object})
}
