//! Why a pass ends before its end, and what a failed call means for the object.

use server_group_core::reason::Reason;

use super::{ended::Judged, report::plain_message};
use crate::cloud;

/// Why a pass failed.
#[derive(Debug)]
pub enum Stop {
    /// The object, its account, or the leader is not what the plan was made for. Look again soon.
    Superseded(&'static str),
    /// The object is gone.
    Gone,
    /// There is a reason, which status shows, and nothing more to do now.
    Failed(Judged),
    /// Kubernetes did not take a write, or did not answer.
    Kubernetes(kube::Error),
}

impl Stop {
    /// Ends the pass for `reason`, with `message` for a person.
    pub fn because(reason: Reason, message: impl Into<String>) -> Self {
        Self::Failed(Judged::because(reason, message))
    }
}

impl Stop {
    /// Whether Kubernetes does not let us.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Kubernetes(kube::Error::Api(status)) if status.is_forbidden())
    }
}

impl From<cloud::Error> for Judged {
    fn from(error: cloud::Error) -> Self {
        Self::because(reason_for(error.kind), status_text(&error))
    }
}

impl From<cloud::Error> for Stop {
    fn from(error: cloud::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The reason that an object gets from a failed call.
#[must_use]
pub fn reason_for(kind: cloud::Kind) -> Reason {
    use cloud::Kind;
    match kind {
        Kind::Throttled
        | Kind::Transient
        | Kind::Malformed
        | Kind::Incomplete
        | Kind::TokenMismatch
        | Kind::MemberNotFound
        | Kind::AlreadyMember
        | Kind::Unclassified => Reason::Retrying,
        Kind::Busy | Kind::MemberBusy | Kind::TokenProcessing => Reason::Changing,
        Kind::GroupNotFound | Kind::NamedGroupNotFound | Kind::ScalingGroupNotFound => {
            Reason::GroupNotFound
        }
        Kind::BadMember | Kind::NotReady => Reason::PartlyApplied,
        Kind::Quota => Reason::QuotaExceeded,
        Kind::LoadBalancerUnusable => Reason::LoadBalancerUnusable,
        Kind::ScalingGroupUnusable => Reason::ScalingGroupUnusable,
        Kind::Denied => Reason::Denied,
        Kind::Credentials => Reason::CredentialsUnavailable,
        Kind::ClockSkew => Reason::ClockSkew,
        Kind::WrongEndpoint => Reason::WrongRegion,
        Kind::Invalid => Reason::InvalidSpec,
    }
}

/// An error as status tells it: what happened, the cloud's words, and what to do where there is something to do.
///
/// Without the request's id, which would change status with every attempt; the log has it.
#[must_use]
pub fn status_text(error: &cloud::Error) -> String {
    let mut text = error.words();
    let advice = match reason_for(error.kind) {
        Reason::Retrying if error.outcome == cloud::Outcome::NotSent => {
            "check the network, spec.regionId and the endpoints; trying again"
        }
        Reason::PartlyApplied => {
            "see whether it exists, runs, and is in the region and VPC of the group"
        }
        Reason::Retrying => return text,
        Reason::InvalidSpec => {
            "the cloud does not take the call as it follows from the spec; see its documentation of this code"
        }
        reason => plain_message(reason),
    };
    text.push_str("; ");
    text.push_str(advice);
    text
}
