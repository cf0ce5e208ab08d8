//! A verdict into conditions (pure).
//!
//! `Ready` and `InSync` are always there; `Reconciling` and `Stalled` exist only while they are true, so that
//! kstatus, and with it Flux and Helm, understands them. `lastTransitionTime` moves with `status` alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use server_group_core::{
    reason::{Outlook, Reason},
    verdict::Verdict,
};

/// Whether the cloud has been seen to match the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InSync {
    /// Seen to match, and nothing is unsettled, draining or held (S12).
    Yes,
    /// Seen to differ, or still changing.
    No,
    /// Not looked at.
    Unknown,
}

/// The conditions of an object at `generation`, given those it had.
#[must_use]
pub fn conditions(
    before: &[Condition],
    generation: i64,
    verdict: Verdict,
    in_sync: InSync,
    message: &str,
    now: jiff::Timestamp,
) -> Vec<Condition> {
    let ready = match verdict.reason {
        Reason::Pending => "Unknown",
        _ if verdict.outlook == Outlook::Ready => "True",
        _ => "False",
    };
    let in_sync = match in_sync {
        InSync::Yes => "True",
        InSync::No => "False",
        InSync::Unknown => "Unknown",
    };
    let extra = match verdict.outlook {
        Outlook::Ready => None,
        Outlook::Moving => Some("Reconciling"),
        Outlook::Stalled => Some("Stalled"),
    };
    let wanted = [("Ready", ready), ("InSync", in_sync)]
        .into_iter()
        .chain(extra.map(|kind| (kind, "True")));
    wanted
        .map(|(kind, status)| {
            let unchanged = before
                .iter()
                .find(|had| had.type_ == kind && had.status == status);
            Condition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: verdict.reason.name().to_owned(),
                message: message.to_owned(),
                observed_generation: Some(generation),
                last_transition_time: unchanged
                    .map_or(Time(now), |had| had.last_transition_time.clone()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(conditions: &[Condition]) -> String {
        let each = |condition: &Condition| {
            format!(
                "{}={}/{}",
                condition.type_, condition.status, condition.reason
            )
        };
        conditions.iter().map(each).collect::<Vec<_>>().join(" ")
    }

    fn check(reason: Reason, in_sync: InSync, expected: &str) {
        let now = jiff::Timestamp::UNIX_EPOCH;
        assert_eq!(
            told(&conditions(&[], 1, reason.into(), in_sync, "", now)),
            expected
        );
    }

    #[test]
    fn every_situation_has_its_row() {
        check(
            Reason::Pending,
            InSync::Unknown,
            "Ready=Unknown/Pending InSync=Unknown/Pending Reconciling=True/Pending",
        );
        check(
            Reason::Converged,
            InSync::Yes,
            "Ready=True/Converged InSync=True/Converged",
        );
        check(
            Reason::Changing,
            InSync::No,
            "Ready=False/Changing InSync=False/Changing Reconciling=True/Changing",
        );
        check(
            Reason::Suspended,
            InSync::Unknown,
            "Ready=True/Suspended InSync=Unknown/Suspended",
        );
        check(
            Reason::NotGranted,
            InSync::No,
            "Ready=False/NotGranted InSync=False/NotGranted Stalled=True/NotGranted",
        );
        check(
            Reason::Releasing,
            InSync::Unknown,
            "Ready=False/Releasing InSync=Unknown/Releasing Reconciling=True/Releasing",
        );
    }

    #[test]
    fn the_time_moves_with_the_status_alone() {
        let early = jiff::Timestamp::UNIX_EPOCH;
        let late = jiff::Timestamp::MAX;
        let first = conditions(&[], 1, Reason::Changing.into(), InSync::No, "one", early);
        let same = conditions(&first, 2, Reason::Denied.into(), InSync::No, "two", late);
        assert_eq!(same[0].last_transition_time, Time(early));
        let other = conditions(&first, 2, Reason::Converged.into(), InSync::Yes, "", late);
        assert_eq!(other[0].last_transition_time, Time(late));
    }
}
