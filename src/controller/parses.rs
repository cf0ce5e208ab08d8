//! How often the text and the status of each object were parsed on this thread. For tests alone.

use std::{cell::RefCell, collections::BTreeMap};

/// How often what was parsed of objects, by their uids.
pub(super) type Parses = BTreeMap<(What, String), usize>;

/// The parts of an object that are parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// All of it.
    Text,
    /// The record in its status.
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
