//! An object, parsed, and what its status remembers.

use std::{collections::BTreeMap, ops::Deref, sync::OnceLock};

use server_group_core::ledger::Ledger;

use super::{
    object::Object,
    open::Open,
    record::{Draining, Operation, Record},
    turns::GroupId,
};
use crate::api::status::Phase;

/// An object, parsed.
///
/// In a box, so that what remains of it beside the text is a few bytes.
#[derive(Debug)]
pub struct Known<M: Object>(Box<(M, OnceLock<Record<M::Key>>)>);

impl<M: Object> Known<M> {
    /// With a record that is read when it is asked for.
    #[must_use]
    pub fn new(object: M) -> Self {
        Self(Box::new((object, OnceLock::new())))
    }

    /// The record in its status; read once.
    pub fn record(&self) -> &Record<M::Key> {
        self.0.1.get_or_init(|| self.0.0.record())
    }

    /// Its calls that are open, or may still land, group by group.
    pub fn open(&self) -> Vec<(GroupId, Open)> {
        calls(&**self, self.record())
    }

    /// The members that it has sent weight 0.
    pub fn draining(&self) -> &BTreeMap<M::Key, Draining> {
        &self.record().draining
    }

    /// Its ledger.
    pub fn ledger(&self) -> &Ledger<M::Key> {
        &self.record().ledger
    }
}

impl<M: Object> Deref for Known<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0.0
    }
}

/// The calls of `object` that are open, or may still land, as `record` tells, group by group.
pub fn calls<M: Object>(object: &M, record: &Record<M::Key>) -> Vec<(GroupId, Open)> {
    let operation = record.operation.iter();
    let mut open: Vec<_> = operation
        .flat_map(|operation| object.opens(operation))
        .collect();
    for (action, until, names) in record.may_land() {
        let settled = Operation {
            id: String::new(),
            action: action.to_owned(),
            phase: Phase::Settled,
            epoch: 0,
            names: names.clone(),
            request_id: None,
            reference: None,
        };
        let settled = object.opens(&settled).into_iter();
        open.extend(settled.map(|(group, settled)| {
            let until = Some(until);
            (group, Open { until, ..settled })
        }));
    }
    open
}
