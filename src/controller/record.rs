//! The record in an object's status, parsed: the facts that authorise removals.
//!
//! A ledger that was written for another object (its uid differs: a copied or restored status) is void, and
//! so is everything beside it. Entries that this version cannot read are dropped, which only means that they
//! are never removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
    str::FromStr,
};

use jiff::Timestamp;
use server_group_core::{ledger::Ledger, membership, parking::LeftAlone};

use crate::api::status::{self, Phase};

/// The memory of one object. `K` is a member or an attachment.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<K> {
    /// The entries that the object may remove.
    pub ledger: Ledger<K>,
    /// The cloud account whose groups these are, once it is known.
    pub cloud_account_id: Option<String>,
    /// The change in flight.
    pub operation: Option<Operation<K>>,
    /// The one that was in flight last, if it settled, and until when a call of it may land all the same.
    pub last: Option<(Operation<K>, Timestamp)>,
    /// The calls that settled before that and may still land, by action.
    pub settled: BTreeMap<String, Settled<K>>,
    /// The entries that are left alone, with the reason.
    pub parked: BTreeMap<K, LeftAlone>,
    /// Members that were sent weight 0, to be removed later.
    pub draining: BTreeMap<K, Draining>,
    /// The value of the annotation `take-over` that was honoured last.
    pub taken_over: Option<String>,
}

/// A member that was sent weight 0.
pub type Draining = membership::draining::Draining<Timestamp>;

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
    /// The members or attachments that it names.
    pub names: BTreeSet<K>,
    /// The cloud's id of the answer, once there is one.
    pub request_id: Option<String>,
    /// A job or scaling activity that carries it out.
    pub reference: Option<Reference>,
}

/// The job or scaling activity that carries out an accepted operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A job or scaling activity, by the cloud's id.
    Id(String),
    /// The answer to a forced call named none: whatever activity of the scaling group runs.
    AnyActivity,
}

/// How status writes [`Reference::AnyActivity`].
const ANY_ACTIVITY: &str = "any activity of the scaling group";

impl From<String> for Reference {
    fn from(written: String) -> Self {
        match written.as_str() {
            ANY_ACTIVITY => Self::AnyActivity,
            _ => Self::Id(written),
        }
    }
}

impl Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id(id) => id,
            Self::AnyActivity => ANY_ACTIVITY,
        })
    }
}

/// Calls that settled and may still land.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled<K> {
    /// Until when, by the cloud's clock.
    pub until: Timestamp,
    /// The members or attachments that they name.
    pub names: BTreeSet<K>,
}

impl<K> Default for Record<K> {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            cloud_account_id: None,
            operation: None,
            last: None,
            settled: BTreeMap::new(),
            parked: BTreeMap::new(),
            draining: BTreeMap::new(),
            taken_over: None,
        }
    }
}

impl<K: Ord + Clone + Display + FromStr> Record<K> {
    /// Reads the parts of a status that belong to the object with this `uid`. An operation that is settled comes with
    /// the time until when it may land.
    pub fn read<'a>(
        uid: &str,
        ledger: Option<&status::Ledger>,
        operation: Option<(Operation<K>, Option<Timestamp>)>,
        settled: impl Iterator<Item = (String, Settled<K>)>,
        parked: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        #[cfg(test)]
        super::parses::count(super::parses::What::Status, uid);
        let Some(ledger) = ledger.filter(|ledger| ledger.uid == uid) else {
            return Self::default();
        };
        let (open, last) = match operation {
            Some((operation, until)) if operation.phase == Phase::Settled => {
                (None, until.map(|until| (operation, until)))
            }
            other => (other.map(|(operation, _)| operation), None),
        };
        Self {
            ledger: Ledger {
                registered: keys(&ledger.registered),
                adopted: keys(&ledger.adopted),
            },
            cloud_account_id: Some(ledger.cloud_account_id.clone()).filter(|id| !id.is_empty()),
            operation: open,
            last,
            settled: settled.collect(),
            parked: parked
                .filter_map(|(key, why)| Some((key.parse().ok()?, LeftAlone::read(why))))
                .collect(),
            draining: BTreeMap::new(),
            taken_over: None,
        }
    }

    /// Begins a change. Calls that settled before it are kept beside it.
    pub fn open(&mut self, operation: Operation<K>) {
        if let Some((last, until)) = self.last.take() {
            let settled = self.settled.entry(last.action).or_insert(Settled {
                until,
                names: BTreeSet::new(),
            });
            settled.until = settled.until.max(until);
            settled.names.extend(last.names);
        }
        self.operation = Some(operation);
    }

    /// Ends the change in flight, whose outcome was not told: a call of it may still land until `until`.
    pub fn settle(&mut self, until: Timestamp) {
        if let Some(operation) = self.operation.take() {
            let phase = Phase::Settled;
            self.last = Some((Operation { phase, ..operation }, until));
        }
    }

    /// The calls that settled and may still land: the action, until when, and whom it names.
    pub fn may_land(&self) -> impl Iterator<Item = (&str, Timestamp, &BTreeSet<K>)> {
        let last = self.last.iter();
        let last = last.map(|(last, until)| (last.action.as_str(), *until, &last.names));
        let before = self.settled.iter();
        last.chain(before.map(|(action, kept)| (action.as_str(), kept.until, &kept.names)))
    }

    /// Forgets calls that cannot land any more at `now`, by the cloud's clock.
    pub fn forget_landed(&mut self, now: Timestamp) {
        self.last.take_if(|(_, until)| *until <= now);
        self.settled.retain(|_, settled| settled.until > now);
    }

    /// The operation as status shows it, and until when it may land.
    pub fn shown_operation(&self) -> Option<(&Operation<K>, Option<Timestamp>)> {
        let last = self.last.as_ref();
        let open = self.operation.as_ref().map(|open| (open, None));
        open.or_else(|| last.map(|(last, until)| (last, Some(*until))))
    }

    /// The members or attachments that the open operation names.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(action: &str, names: &[&str]) -> Operation<String> {
        Operation {
            id: "op".into(),
            action: action.into(),
            phase: Phase::Unsettled,
            epoch: 1,
            names: names.iter().map(ToString::to_string).collect(),
            request_id: None,
            reference: None,
        }
    }

    /// A new intent once took the place of what had settled, and a restart forgot what could still land.
    #[test]
    fn a_new_intent_does_not_displace_what_may_still_land() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut record = Record::default();
        for (action, names, until) in [
            ("Remove", vec!["a"], 100),
            ("Remove", vec!["b"], 200),
            ("Add", vec!["c"], 300),
        ] {
            record.open(operation(action, &names));
            record.settle(at(until));
        }
        let told = |record: &Record<String>| -> Vec<(String, i64, String)> {
            let told = record.may_land().map(|(action, until, names)| {
                let names = names.iter().cloned().collect::<Vec<_>>().join(" ");
                (action.to_owned(), until.as_second(), names)
            });
            told.collect()
        };
        let add = ("Add".to_owned(), 300, "c".to_owned());
        let remove = ("Remove".to_owned(), 200, "a b".to_owned());
        assert_eq!(told(&record), [add.clone(), remove]);
        record.open(operation("Remove", &["d"]));
        let (shown, until) = record.shown_operation().unwrap();
        assert_eq!((shown.phase, until), (Phase::Unsettled, None));
        record.forget_landed(at(200));
        assert_eq!(told(&record), [add]);
    }
}
