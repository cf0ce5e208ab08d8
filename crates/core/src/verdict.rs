//! How a pass ended, judged by the differences that its plan left.

use std::collections::BTreeMap;

use crate::reason::{Hold, Outlook, Reason};

/// The facts that a judgement depends on. `K` is a member or an attachment.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may hold without the others"
)]
pub struct Facts<'a, K> {
    /// Differences left alone.
    pub held: &'a BTreeMap<K, Hold>,
    /// The list has nobody to serve, and that is not allowed.
    pub nobody_wanted: bool,
    /// Something is joining or leaving, is about to, or is not settled.
    pub moving: bool,
    /// Something waits at weight 0 to be removed.
    pub draining: bool,
    /// A quota of the cloud stopped an addition in this pass.
    pub quota_reached: bool,
    /// The group that a parked entry names does not exist.
    pub group_missing: bool,
    /// A parked member was tried again an hour later and failed again.
    pub parked_again: bool,
}

/// Why the object is where it is, and what that says about the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub reason: Reason,
    /// At rest, moving, or waiting for a person.
    pub outlook: Outlook,
}

impl From<Reason> for Verdict {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            outlook: reason.outlook(),
        }
    }
}

/// Judges a pass that saw the group and did what it could.
///
/// A refusal that needs a person comes before a change under way, so that a long change does not hide it. What may be
/// over with the change comes after it: a full ledger, a missing group, nobody else serving.
#[must_use]
pub fn judge<K: Ord>(facts: &Facts<'_, K>) -> Verdict {
    let holds = |hold| facts.held.values().any(|held| *held == hold);
    let by_order = [
        (
            facts.nobody_wanted && holds(Hold::LastServing),
            Reason::LastServing,
        ),
        (holds(Hold::Conflict), Reason::Conflict),
        (holds(Hold::Contended), Reason::Contended),
        (facts.quota_reached, Reason::QuotaExceeded),
        (facts.moving || holds(Hold::InFlight), Reason::Changing),
        (facts.draining, Reason::Draining),
        (holds(Hold::LedgerFull), Reason::LedgerFull),
        (
            facts.group_missing && holds(Hold::Parked),
            Reason::GroupNotFound,
        ),
        (
            holds(Hold::Parked) || holds(Hold::Immutable),
            Reason::PartlyApplied,
        ),
        (holds(Hold::LastServing), Reason::LastServing),
        (holds(Hold::WaitsForReplacement), Reason::Changing),
        (
            holds(Hold::ViewIncomplete) || holds(Hold::EssManaged),
            Reason::Retrying,
        ),
    ];
    let reason = by_order
        .into_iter()
        .find_map(|(applies, reason)| applies.then_some(reason))
        .unwrap_or(Reason::Converged);
    match reason {
        // Time does not change it: somebody has to take the entry off the list, or write it as it is.
        Reason::PartlyApplied if facts.parked_again || holds(Hold::Immutable) => Verdict {
            reason,
            outlook: Outlook::Stalled,
        },
        _ => reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(held: &[Hold], moving: bool, expected: Reason) {
        let held = held.iter().copied().enumerate().collect();
        let facts = Facts {
            held: &held,
            nobody_wanted: false,
            moving,
            draining: false,
            quota_reached: false,
            group_missing: false,
            parked_again: false,
        };
        assert_eq!(judge(&facts).reason, expected, "{held:?}, moving: {moving}");
    }

    #[test]
    fn nothing_left_to_do_is_converged() {
        check(&[], false, Reason::Converged);
        check(&[], true, Reason::Changing);
    }

    #[test]
    fn what_needs_a_person_is_not_hidden_by_a_change() {
        check(&[Hold::Conflict], true, Reason::Conflict);
        check(
            &[Hold::Parked, Hold::WaitsForReplacement],
            false,
            Reason::PartlyApplied,
        );
        check(&[Hold::LastServing], true, Reason::Changing);
        check(&[Hold::LastServing], false, Reason::LastServing);
        check(&[Hold::WaitsForReplacement], false, Reason::Changing);
    }

    #[test]
    fn an_empty_list_stalls_at_once() {
        let held = BTreeMap::from([(1, Hold::LastServing)]);
        let facts = Facts {
            held: &held,
            nobody_wanted: true,
            moving: true,
            draining: false,
            quota_reached: false,
            group_missing: false,
            parked_again: false,
        };
        assert_eq!(judge(&facts), Reason::LastServing.into());
    }

    #[test]
    fn an_entry_that_no_call_can_change_stalls_once_the_rest_is_done() {
        let held = BTreeMap::from([(1, Hold::Immutable)]);
        let mut facts = Facts {
            held: &held,
            nobody_wanted: false,
            moving: false,
            draining: false,
            quota_reached: false,
            group_missing: false,
            parked_again: false,
        };
        let stalled = Verdict {
            reason: Reason::PartlyApplied,
            outlook: Outlook::Stalled,
        };
        assert_eq!(judge(&facts), stalled);
        facts.moving = true;
        assert_eq!(judge(&facts), Reason::Changing.into());
    }

    #[test]
    fn a_server_that_failed_again_an_hour_later_stalls() {
        let held = BTreeMap::from([(1, Hold::Parked)]);
        let facts = Facts {
            held: &held,
            nobody_wanted: false,
            moving: false,
            draining: false,
            quota_reached: false,
            group_missing: false,
            parked_again: true,
        };
        assert_eq!(
            judge(&facts),
            Verdict {
                reason: Reason::PartlyApplied,
                outlook: Outlook::Stalled
            }
        );
    }
}
