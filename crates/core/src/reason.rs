//! Why an object is in the state it is in, and why a difference was left alone: two closed lists.

/// Why `Ready` is what it is. Names are never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Nobody has looked at the object yet.
    Pending,
    /// The cloud was seen to match the spec.
    Converged,
    /// Members are joining, leaving, or about to.
    Changing,
    /// Members that leave finish what they have.
    Draining,
    /// Something failed that passes by itself; it is tried again.
    Retrying,
    /// The difference was computed and, as asked, not carried out.
    Planned,
    /// Nothing is started, as asked.
    Suspended,
    /// The rest is done; the cloud refused some members.
    PartlyApplied,
    /// The spec contradicts itself (then nothing was called), or the cloud calls the request wrong.
    InvalidSpec,
    /// No grant of the account covers what the object names. Nothing was called.
    NotGranted,
    /// The account that the object names does not exist. Nothing was called.
    AccountNotFound,
    /// The account now leads to another cloud account than the one the ledger records.
    AccountChanged,
    /// The account's credentials could not be had, or the cloud does not take them.
    CredentialsUnavailable,
    /// The clocks of the operator and the cloud are too far apart for a signature.
    ClockSkew,
    /// The endpoint does not know the call: the region, or the endpoint, is not the right one.
    WrongRegion,
    /// The cloud does not permit the call.
    Denied,
    /// The server group or scaling group does not exist.
    GroupNotFound,
    /// Going on would leave nobody serving.
    LastServing,
    /// Another object claims the same member: an older one, or one that has it in its ledger.
    Conflict,
    /// Somebody else keeps undoing what we do.
    Contended,
    /// A quota of the cloud is used up.
    QuotaExceeded,
    /// The load balancer is stopped or locked, and takes no change.
    LoadBalancerUnusable,
    /// The scaling group is not enabled, and takes no change.
    ScalingGroupUnusable,
    /// The ledger is full; additions wait.
    LedgerFull,
    /// The object is being deleted, and the entries that it registered are on their way out.
    Releasing,
}

/// The future of an object, as its reason tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// At rest, as asked.
    Ready,
    /// Changes by itself.
    Moving,
    /// Only a person can help; still looked at on the slow beat.
    Stalled,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 25] = [
        Self::Pending,
        Self::Converged,
        Self::Changing,
        Self::Draining,
        Self::Retrying,
        Self::Planned,
        Self::Suspended,
        Self::PartlyApplied,
        Self::InvalidSpec,
        Self::NotGranted,
        Self::AccountNotFound,
        Self::AccountChanged,
        Self::CredentialsUnavailable,
        Self::ClockSkew,
        Self::WrongRegion,
        Self::Denied,
        Self::GroupNotFound,
        Self::LastServing,
        Self::Conflict,
        Self::Contended,
        Self::QuotaExceeded,
        Self::LoadBalancerUnusable,
        Self::ScalingGroupUnusable,
        Self::LedgerFull,
        Self::Releasing,
    ];

    /// The reason of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The name that conditions write. Never changed: alerts and scripts wait for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Converged => "Converged",
            Self::Changing => "Changing",
            Self::Draining => "Draining",
            Self::Retrying => "Retrying",
            Self::Planned => "Planned",
            Self::Suspended => "Suspended",
            Self::PartlyApplied => "PartlyApplied",
            Self::InvalidSpec => "InvalidSpec",
            Self::NotGranted => "NotGranted",
            Self::AccountNotFound => "AccountNotFound",
            Self::AccountChanged => "AccountChanged",
            Self::CredentialsUnavailable => "CredentialsUnavailable",
            Self::ClockSkew => "ClockSkew",
            Self::WrongRegion => "WrongRegion",
            Self::Denied => "Denied",
            Self::GroupNotFound => "GroupNotFound",
            Self::LastServing => "LastServing",
            Self::Conflict => "Conflict",
            Self::Contended => "Contended",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::LoadBalancerUnusable => "LoadBalancerUnusable",
            Self::ScalingGroupUnusable => "ScalingGroupUnusable",
            Self::LedgerFull => "LedgerFull",
            Self::Releasing => "Releasing",
        }
    }

    /// The outlook that follows from the reason.
    #[must_use]
    pub const fn outlook(self) -> Outlook {
        match self {
            Self::Converged | Self::Planned | Self::Suspended => Outlook::Ready,
            Self::Pending
            | Self::Changing
            | Self::Draining
            | Self::Retrying
            | Self::PartlyApplied
            | Self::LoadBalancerUnusable
            | Self::ScalingGroupUnusable
            | Self::Releasing => Outlook::Moving,
            Self::InvalidSpec
            | Self::NotGranted
            | Self::AccountNotFound
            | Self::AccountChanged
            | Self::CredentialsUnavailable
            | Self::ClockSkew
            | Self::WrongRegion
            | Self::Denied
            | Self::GroupNotFound
            | Self::LastServing
            | Self::Conflict
            | Self::Contended
            | Self::QuotaExceeded
            | Self::LedgerFull => Outlook::Stalled,
        }
    }

    /// Whether the object is tried again with growing delays.
    #[must_use]
    pub const fn backs_off(self) -> bool {
        matches!(
            self,
            Self::Retrying | Self::LoadBalancerUnusable | Self::ScalingGroupUnusable
        )
    }
}

/// Why a difference was left alone. Names are never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// S4: it is among the last that serve.
    LastServing,
    /// S3: its replacement does not serve yet.
    WaitsForReplacement,
    /// The cloud refused it; it is tried again slowly.
    Parked,
    /// S7: another object claims it.
    Conflict,
    /// S8: it came back after we removed it, again and again.
    Contended,
    /// S6: the cloud, or another object, is still working on it.
    InFlight,
    /// S7: a scaling group brings it.
    EssManaged,
    /// S5: the group was not seen whole.
    ViewIncomplete,
    /// The ledger is full.
    LedgerFull,
    /// It is in the group otherwise than listed, and no call of the cloud changes that.
    Immutable,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names between the line `begin` and the next line `end`, taken from lines of the form `before NAME after`.
    fn names<'t>(text: &'t str, section: [&str; 2], around: [&str; 2]) -> BTreeSet<&'t str> {
        let [begin, end] = section;
        let rest = text.split_once(begin).unwrap().1;
        let lines = rest.split(end).next().unwrap().lines();
        let name = |line: &'t str| {
            let (name, _) = line.strip_prefix(around[0])?.split_once(around[1])?;
            name.chars().all(char::is_alphanumeric).then_some(name)
        };
        lines.filter_map(name).collect()
    }

    /// Compared with this file, so that a reason cannot be forgotten.
    fn page_has_all_of(list: &str, heading: &str) {
        let code = names(include_str!("reason.rs"), [list, "\n}"], ["    ", ","]);
        let page = include_str!("../../../docs/reasons.md");
        assert_eq!(names(page, [heading, "\n## "], ["| `", "` |"]), code);
        assert!(code.len() > 5, "{code:?}");
    }

    #[test]
    fn the_page_of_reasons_has_each_reason_and_no_other() {
        page_has_all_of("pub enum Reason {", "\n## Reasons of Ready\n");
        page_has_all_of("pub enum Hold {", "\n## Reasons of held\n");
    }

    #[test]
    fn every_reason_is_found_by_its_name() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason:?}");
            assert_eq!(Reason::named(reason.name()), Some(reason));
        }
        assert_eq!(Reason::named("Other"), None);
        assert_eq!(Reason::ALL.last(), Some(&Reason::Releasing));
    }
}
