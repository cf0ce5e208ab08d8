//! The report of a pass about an object: status, written only when it differs.

use std::{collections::BTreeMap, fmt::Display};

use server_group_core::{
    reason::{Hold, Reason},
    verdict::Verdict,
};

use crate::api::{condition::InSync, status};

/// Held differences that status names; the count covers all.
pub const HELD_SHOWN: usize = 20;

/// The report of a pass.
#[derive(Clone, Debug)]
pub struct Report<K> {
    /// Why the object is where it is.
    pub verdict: Verdict,
    /// Whether the cloud matches the spec.
    pub in_sync: InSync,
    /// For a person: what is going on and what to do.
    pub message: String,
    /// How far it is; `None` if the group was not seen, and then the last counts stand.
    pub seen: Option<Seen<K>>,
    /// The changes that would be made, in `Plan` mode.
    pub plan: Option<status::Plan>,
    /// Echo of the `reconcile-at` annotation.
    pub handled: Option<String>,
    /// The present moment, for conditions that change.
    pub now: jiff::Timestamp,
}

/// The group as it was seen.
#[derive(Clone, Debug)]
pub struct Seen<K> {
    /// How far it is.
    pub counts: Counts,
    /// Differences left alone.
    pub held: BTreeMap<K, Hold>,
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
}

impl Counts {
    /// The printed column, such as `118/120 serving, 20 leaving`; parts that are zero are left out.
    #[must_use]
    pub fn summary(&self, done: &str, coming: &str, going: &str, held: usize) -> String {
        let counted = [(self.coming, coming), (self.going, going), (held, "held")];
        let counted = counted
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"));
        let first = format!("{}/{} {done}", self.done, self.desired);
        std::iter::once(first)
            .chain(counted)
            .collect::<Vec<_>>()
            .join(", ")
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

    #[test]
    fn a_summary_leaves_out_what_is_zero() {
        let counts = Counts {
            desired: 120,
            done: 118,
            coming: 0,
            going: 20,
            foreign: 3,
        };
        assert_eq!(
            counts.summary("serving", "joining", "leaving", 1),
            "118/120 serving, 20 leaving, 1 held"
        );
        assert_eq!(
            Counts::default().summary("serving", "joining", "leaving", 0),
            "0/0 serving"
        );
    }
}
