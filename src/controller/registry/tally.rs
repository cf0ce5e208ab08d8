//! How many objects stand how, and how many differences are left alone: counted as objects come, change and go, so that
//! nobody has to go through them all.

use std::collections::BTreeMap;

use server_group_core::reason::Reason;

use super::super::object::Object;

/// How an object stands, as its status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stands {
    /// `Ready`, `Reconciling` or `Stalled`, as its conditions have it.
    pub situation: &'static str,
    /// The reason of `Ready`.
    pub reason: &'static str,
}

impl Stands {
    /// That of `object`. Nobody has looked at one without conditions. Status is not only ours to write: a word that is
    /// none of ours counts as `Other`.
    pub(super) fn of<M: Object>(object: &M) -> Self {
        let conditions = object.conditions();
        let has = |kind: &str| conditions.iter().any(|condition| condition.type_ == kind);
        let ready = conditions
            .iter()
            .find(|condition| condition.type_ == "Ready");
        let situation = if has("Stalled") {
            "Stalled"
        } else if has("Reconciling") || ready.is_none() {
            "Reconciling"
        } else {
            "Ready"
        };
        let reason = ready.map_or(Some(Reason::Pending), |ready| Reason::named(&ready.reason));
        Self {
            situation,
            reason: reason.map_or("Other", Reason::name),
        }
    }
}

/// The reasons for which differences of an object are left alone, each with how many there are.
pub(super) type Held = Box<[(&'static str, usize)]>;

/// The reason of those that status counts and does not name.
const NOT_NAMED: &str = "NotNamed";

pub(super) fn held_by<M: Object>(object: &M) -> Held {
    let mut held = BTreeMap::<_, usize>::new();
    let named = object.held();
    for (_, reason) in &named {
        *held.entry(reason.name()).or_default() += 1;
    }
    let not_named = object.held_in_all().saturating_sub(named.len());
    if not_named > 0 {
        held.insert(NOT_NAMED, not_named);
    }
    held.into_iter().collect()
}

/// The sums over all objects of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects, by how they stand.
    pub objects: BTreeMap<Stands, usize>,
    /// Differences that are left alone, by reason.
    pub held: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub(super) fn comes(&mut self, stands: Stands, held: &Held) {
        *self.objects.entry(stands).or_default() += 1;
        for (reason, count) in held {
            *self.held.entry(*reason).or_default() += count;
        }
    }

    pub(super) fn goes(&mut self, stands: Stands, held: &Held) {
        less(&mut self.objects, &stands, 1);
        for (reason, count) in held {
            less(&mut self.held, reason, *count);
        }
    }
}

fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, of: &K, by: usize) {
    if let Some(count) = counts.get_mut(of) {
        *count = count.saturating_sub(by);
        if *count == 0 {
            counts.remove(of);
        }
    }
}
