//! A person says by an annotation that what an object lists, and found there, is its own.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::{
    change::Change,
    managed::Managed,
    pass::{ECHO_MAX, Pass},
    report::{NAMED, first_of},
};
use crate::api::TAKE_OVER;

impl<M: Managed> Pass<'_, M> {
    /// The value of the `take-over` annotation, as far as status can echo it, unless it was honoured before.
    fn asked_to_take_over(&self) -> Option<String> {
        let asked = self.object.annotations().get(TAKE_OVER)?;
        let asked = asked.chars().take(ECHO_MAX).collect();
        (self.record.taken_over.as_ref() != Some(&asked)).then_some(asked)
    }

    /// Registers `found`, the entries that are listed, were found there and are no other object's, if a person asked for
    /// that: they leave when the object is deleted, as if it had put them there. The next write carries it.
    pub fn take_over_if_asked(&mut self, found: impl FnOnce() -> BTreeSet<M::Key>) {
        let Some(asked) = self.asked_to_take_over() else {
            return;
        };
        let found = found();
        self.record.taken_over = Some(asked);
        let (count, named) = (found.len(), first_of(&found, NAMED));
        for key in found {
            self.memory.not_ours.remove(&key);
            self.record.ledger.register(key);
        }
        let group = self.object.group();
        let note = match count {
            0 => format!(
                "nothing to take over at {}: nothing that is listed was found there",
                group.id()
            ),
            _ => format!(
                "took over what was found at {} ({count}): {named}",
                group.id()
            ),
        };
        self.to_tell.push((Change::TookOver, note));
    }
}
