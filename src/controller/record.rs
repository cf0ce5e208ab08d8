//! What an object's status remembers, parsed: the facts that authorise removals.
//!
//! A ledger that was written for another object (its uid differs: a copied or restored status) is void, and
//! so is everything beside it. Entries that this version cannot read are dropped, which only means that they
//! are never removed.

use std::{collections::BTreeMap, collections::BTreeSet, fmt::Display, str::FromStr};

use server_group_core::{ledger::Ledger, server::Weight};

use crate::api::status::{self, Phase};

/// The memory of one object. `K` is a member or an attachment.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<K> {
    /// What the object may remove.
    pub ledger: Ledger<K>,
    /// The cloud account whose groups these are, once it is known.
    pub cloud_account_id: Option<String>,
    /// The change in flight.
    pub operation: Option<Operation<K>>,
    /// What the cloud refused, with its words.
    pub parked: BTreeMap<K, String>,
    /// Members that were sent weight 0, to be removed later.
    pub draining: BTreeMap<K, Draining>,
}

/// A member that was sent weight 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draining {
    /// When it is to be removed, by the cloud's clock; absent until it was seen at weight 0.
    pub until: Option<jiff::Timestamp>,
    /// The weight to give back.
    pub weight: Weight,
}

/// The change in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation<K> {
    /// Drawn at random for this operation alone.
    pub id: String,
    /// The API action.
    pub action: String,
    /// How much is known about it.
    pub phase: Phase,
    /// The leader's epoch when it was written.
    pub epoch: i64,
    /// What it names.
    pub names: BTreeSet<K>,
    /// The cloud's id of the answer, once there is one.
    pub request_id: Option<String>,
    /// A job or scaling activity that carries it out.
    pub reference: Option<String>,
}

impl<K> Default for Record<K> {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            cloud_account_id: None,
            operation: None,
            parked: BTreeMap::new(),
            draining: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone + Display + FromStr> Record<K> {
    /// Reads the parts of a status that belong to the object with this `uid`.
    pub fn read<'a>(
        uid: &str,
        ledger: Option<&status::Ledger>,
        operation: Option<Operation<K>>,
        parked: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        #[cfg(test)]
        super::parses::count(super::parses::What::Status, uid);
        let Some(ledger) = ledger.filter(|ledger| ledger.uid == uid) else {
            return Self::default();
        };
        Self {
            ledger: Ledger {
                registered: keys(&ledger.registered),
                adopted: keys(&ledger.adopted),
            },
            cloud_account_id: Some(ledger.cloud_account_id.clone()).filter(|id| !id.is_empty()),
            operation,
            parked: parked
                .filter_map(|(key, reason)| Some((key.parse().ok()?, reason.to_owned())))
                .collect(),
            draining: BTreeMap::new(),
        }
    }

    /// What the open operation names.
    pub fn open_names(&self) -> BTreeSet<K> {
        let open = self.operation.as_ref();
        open.map_or_else(BTreeSet::new, |open| open.names.clone())
    }

    /// The ledger as status writes it; none before anything was found out.
    pub fn written_ledger(&self, uid: &str) -> Option<status::Ledger> {
        let nothing = self.ledger.is_empty() && self.cloud_account_id.is_none();
        (!nothing).then(|| status::Ledger {
            uid: uid.to_owned(),
            cloud_account_id: self.cloud_account_id.clone().unwrap_or_default(),
            registered: texts(&self.ledger.registered),
            adopted: texts(&self.ledger.adopted),
        })
    }
}

/// Keys that can be read, of those written.
pub fn keys<K: Ord + FromStr>(written: &[String]) -> BTreeSet<K> {
    written
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

/// Keys as status writes them, in order.
pub fn texts<'a, K: Display + 'a>(keys: impl IntoIterator<Item = &'a K>) -> Vec<String> {
    keys.into_iter().map(ToString::to_string).collect()
}
