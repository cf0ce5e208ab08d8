//! The report of a pass about an object: status, written only when it differs.

use std::{collections::BTreeMap, fmt::Display};

use server_group_core::{
    reason::{Hold, Outlook, Reason},
    verdict::Verdict,
};

use crate::api::{condition::InSync, status};

/// Held differences that status names; the count covers all.
pub const HELD_SHOWN: usize = 20;

/// Entries that an event names.
pub const NAMED: usize = 20;

/// The report of a pass.
#[derive(Clone, Debug)]
pub struct Report<K> {
    /// Why the object is where it is.
    pub verdict: Verdict,
    /// Whether the cloud matches the spec.
    pub in_sync: InSync,
    /// For a person: what is going on and what to do.
    pub message: String,
    /// How far it is; `None` if the group was not seen: then the last counts stand, unless it will not be seen soon.
    pub seen: Option<Seen<K>>,
    /// The changes that would be made, in `Plan` mode.
    pub plan: Option<status::Plan>,
    /// Echo of the `reconcile-at` annotation.
    pub handled: Option<String>,
    /// The present moment, for conditions that change.
    pub now: jiff::Timestamp,
}

impl<K> Report<K> {
    /// Whether nothing is known of the group: it was not seen, and is not about to be.
    #[must_use]
    pub fn group_is_unseen(&self) -> bool {
        let rests =
            self.verdict.outlook == Outlook::Stalled || self.verdict.reason == Reason::Suspended;
        self.seen.is_none() && rests
    }
}

/// The group as it was seen.
#[derive(Clone, Debug)]
pub struct Seen<K> {
    /// How far it is.
    pub counts: Counts,
    /// Differences left alone.
    pub held: BTreeMap<K, Hold>,
    /// The name of the other object, for those that another one claims.
    pub conflicts: BTreeMap<K, String>,
}

/// How far a group is, in the words of either kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Listed.
    pub desired: usize,
    /// Listed, and serving or attached.
    pub done: usize,
    /// On their way in.
    pub coming: usize,
    /// On their way out.
    pub going: usize,
    /// Neither listed nor ours.
    pub foreign: usize,
    /// Serving or attached in all, whoever listed them.
    pub in_group: usize,
}

/// The words of a kind for its counts.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// `serving`
    pub done: &'static str,
    /// `joining`
    pub coming: &'static str,
    /// `leaving`
    pub going: &'static str,
    /// `in the group`
    pub all: &'static str,
}

impl Counts {
    /// The printed column, such as `118/120 serving, 20 leaving; 141 in the group`. Parts that are zero are left out, and
    /// so is the last one where the group has nobody else.
    #[must_use]
    pub fn summary(&self, words: &Words, held: usize) -> String {
        let Words {
            done,
            coming,
            going,
            all,
        } = *words;
        let counted = [(self.coming, coming), (self.going, going), (held, "held")];
        let counted = counted
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"));
        let first = match self.desired {
            0 => "none listed".to_owned(),
            desired => format!("{}/{desired} {done}", self.done),
        };
        let told: Vec<_> = std::iter::once(first).chain(counted).collect();
        let told = told.join(", ");
        match self.in_group == self.done {
            true => told,
            false => format!("{told}; {} {all}", self.in_group),
        }
    }
}

/// The message for a reason that needs no further words.
#[must_use]
pub fn plain_message(reason: Reason) -> &'static str {
    match reason {
        Reason::Pending => "not looked at yet",
        Reason::Converged => "the cloud matches the spec",
        Reason::Changing => "changes are under way",
        Reason::Draining => "members that leave finish what they have",
        Reason::Retrying => "something failed that passes by itself; trying again",
        Reason::Planned => "the difference was computed and not carried out",
        Reason::Suspended => "suspended: nothing is started and nothing released",
        Reason::PartlyApplied => {
            "the cloud refused some entries, the rest is done; see status.parked"
        }
        Reason::InvalidSpec => "the spec contradicts itself",
        Reason::NotGranted => "no grant of the account covers this object",
        Reason::AccountNotFound => "the account does not exist",
        Reason::AccountChanged => "the account's credentials belong to another cloud account now",
        Reason::CredentialsUnavailable => "the account's credentials cannot be used",
        Reason::ClockSkew => {
            "the operator's clock is too far from the cloud's; check time synchronisation"
        }
        Reason::WrongRegion => {
            "the endpoint does not know the call; check spec.regionId and the endpoints"
        }
        Reason::Denied => {
            "the cloud does not permit the call; compare the role with docs/permissions.md"
        }
        Reason::GroupNotFound => "the group does not exist; check its id and spec.regionId",
        Reason::LastServing => {
            "going on would leave nobody serving; list who shall serve, or set spec.removal.allowEmpty"
        }
        Reason::Conflict => "an older object claims the same entries",
        Reason::Contended => "somebody else keeps undoing what is changed here",
        Reason::QuotaExceeded => "a quota of the cloud is used up; raise it, or list fewer",
        Reason::LoadBalancerUnusable => {
            "the load balancer takes no change as it is; see whether it is running and not locked; trying again"
        }
        Reason::ScalingGroupUnusable => {
            "the scaling group takes no change as it is; see whether it is enabled; trying again"
        }
        Reason::LedgerFull => "the ledger is full; additions wait",
        Reason::Releasing => "deleted; what it registered is on its way out",
    }
}

/// The first held differences, as many as status shows.
pub fn held_shown<K: Display>(held: &BTreeMap<K, Hold>) -> Vec<(String, Hold)> {
    held.iter()
        .take(HELD_SHOWN)
        .map(|(key, hold)| (key.to_string(), *hold))
        .collect()
}

/// The first `at_most` of these, and how many more there are: `a, b and 3 more`.
pub fn first_of<K: Display>(keys: impl IntoIterator<Item = K>, at_most: usize) -> String {
    let mut keys = keys.into_iter();
    let named: Vec<_> = keys
        .by_ref()
        .take(at_most)
        .map(|key| key.to_string())
        .collect();
    let named = named.join(", ");
    match keys.count() {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// A map as status writes it.
pub fn list_for_status<K: Display, V, T>(
    map: &BTreeMap<K, V>,
    item: impl Fn(String, &V) -> T,
) -> Vec<T> {
    map.iter()
        .map(|(key, value)| item(key.to_string(), value))
        .collect()
}

/// A count as status writes it.
pub fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Words = Words {
        done: "serving",
        coming: "joining",
        going: "leaving",
        all: "in the group",
    };

    #[test]
    fn a_summary_leaves_out_what_is_zero() {
        let counts = Counts {
            desired: 120,
            done: 118,
            coming: 0,
            going: 20,
            foreign: 3,
            in_group: 118,
        };
        let told = |counts: Counts, held| counts.summary(&WORDS, held);
        assert_eq!(told(counts, 1), "118/120 serving, 20 leaving, 1 held");
        assert_eq!(told(Counts::default(), 0), "none listed");
    }

    #[test]
    fn a_summary_tells_who_serves_though_nobody_lists_them() {
        let told = |desired, done, in_group| {
            let counts = Counts {
                desired,
                done,
                in_group,
                ..Counts::default()
            };
            counts.summary(&WORDS, 0)
        };
        assert_eq!(told(0, 0, 20), "none listed; 20 in the group");
        assert_eq!(told(3, 2, 20), "2/3 serving; 20 in the group");
        assert_eq!(told(3, 3, 3), "3/3 serving");
    }
}
