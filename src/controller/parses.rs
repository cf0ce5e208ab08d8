//! How often the text and the status of each object were parsed on this thread. For tests alone.

use std::{cell::RefCell, collections::BTreeMap};

/// How often what was parsed of objects, by their uids.
pub(super) type Parses = BTreeMap<(What, String), usize>;

/// What is parsed of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// All of it.
    Text,
    /// What its status remembers.
    Status,
}

thread_local! {
    static PARSES: RefCell<Parses> = RefCell::default();
}

/// Counts one more.
pub(super) fn count(what: What, uid: &str) {
    PARSES.with_borrow_mut(|parses| *parses.entry((what, uid.to_owned())).or_default() += 1);
}

/// Those since the last time.
pub(super) fn take() -> Parses {
    PARSES.take()
}
