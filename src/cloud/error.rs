//! The meaning of a failed call for us, and for the person reading about it.

use std::{fmt, time::Duration};

use super::call::Service;

/// A call that did not succeed. It never carries a URL, a header, or key material (S11).
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error {
    /// The API action.
    pub action: &'static str,
    /// The cloud's code, verbatim; empty where the cloud did not answer.
    pub code: String,
    /// The cloud's words, or ours where it did not answer.
    pub message: String,
    /// To quote to the cloud's support.
    pub request_id: Option<String>,
    /// HTTP status of the answer.
    pub http_status: Option<u16>,
    /// The meaning of the failure.
    pub kind: Kind,
    /// Whether the call may have been carried out.
    pub outcome: Outcome,
    /// How long the cloud asks to wait.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// The failure in the cloud's words, the same for every attempt that ends so.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = format!("{} failed", self.action);
        for (before, part) in [
            (" with ", self.code.as_str()),
            (": ", self.message.trim_end_matches('.')),
        ] {
            if !part.is_empty() {
                text.push_str(before);
                text.push_str(part);
            }
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())?;
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

/// Whether a call may have been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It never left: no connection.
    NotSent,
    /// The cloud said no.
    Refused,
    /// Nobody knows: no answer, or one that does not say.
    Unknown,
}

/// The meaning of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Too many calls. We slow down; nothing was done.
    Throttled,
    /// The wire or the far side. A read is repeated; a change may have taken effect and is unsettled (S6).
    Transient,
    /// Another change to the same resource is running. We wait.
    Busy,
    /// One member is being changed; the cloud does not say which. We wait, and find it if that goes on.
    MemberBusy,
    /// The answer is not what the API documents.
    Malformed,
    /// A list could not be read whole; nothing is decided on it (S5).
    Incomplete,
    /// The server group does not exist. Check the id and the region in the spec.
    GroupNotFound,
    /// A server group or load balancer that an attachment names does not exist; others of the call may.
    NamedGroupNotFound,
    /// The scaling group does not exist. Check the id and the region in the spec.
    ScalingGroupNotFound,
    /// A member that was to be removed is not there. We look again.
    MemberNotFound,
    /// A member that was to be added is already there. We look again.
    AlreadyMember,
    /// One member cannot be taken: it does not exist, does not run, or does not fit.
    BadMember,
    /// One member cannot be taken yet: it is starting or was just made, or what it belongs to is not ready.
    NotReady,
    /// A quota is used up. Raise it, or ask for less.
    Quota,
    /// Not permitted. Compare the role with docs/permissions.md.
    Denied,
    /// The keys cannot be had, or the cloud does not take them.
    Credentials,
    /// The clocks are too far apart.
    ClockSkew,
    /// The call with this token is still running.
    TokenProcessing,
    /// The token was used for something else: a mistake of ours.
    TokenMismatch,
    /// The load balancer takes no change as it is: stopped, or locked.
    LoadBalancerUnusable,
    /// The scaling group takes no change as it is: inactive, or being deleted.
    ScalingGroupUnusable,
    /// The endpoint does not know the action: the wrong region, version or address.
    WrongEndpoint,
    /// The request is wrong and will stay wrong.
    Invalid,
    /// A refusal whose code is in no table.
    Unclassified,
}

/// The kind of a refusal, by its code; status and message only where the code does not say.
///
/// Codes are compared without regard to case. A 404 alone never means that something is gone.
#[must_use]
pub(super) fn kind(service: Service, status: u16, code: &str, message: &str) -> Kind {
    let code = code.to_ascii_lowercase();
    let message = message.to_ascii_lowercase();
    if service == Service::Slb
        && status == 404
        && code == "invalidparameter"
        && message.contains("vservergroupid does not exist")
    {
        return Kind::GroupNotFound;
    }
    if service == Service::Ess && message.contains("\"scalinggroupid\" is not valid") {
        return Kind::ScalingGroupNotFound;
    }
    let by_code = TABLE.iter().find(|(pattern, _)| matches(pattern, &code));
    match by_code.map_or_else(|| by_status(status), |(_, kind)| *kind) {
        // ESS passes on CLB's answer about an instance that moves: no attachment of the call is at fault.
        Kind::MemberBusy if service == Service::Ess => Kind::Busy,
        kind => kind,
    }
}

/// Codes in lower case; a `*` at either end stands for anything. The first that fits decides.
const TABLE: &[(&str, Kind)] = &[
    ("throttling*", Kind::Throttled),
    ("rejected.throttling*", Kind::Throttled),
    // Credentials, although some of these come with 404.
    ("invalidaccesskeyid*", Kind::Credentials),
    ("invalidsecuritytoken*", Kind::Credentials),
    ("missingsecuritytoken", Kind::Credentials),
    ("signaturedoesnotmatch", Kind::Credentials),
    ("incompletesignature", Kind::Credentials),
    ("invalidtimestamp*", Kind::ClockSkew),
    ("signaturenonceused", Kind::Transient),
    // Version or address, although these come with 404 too.
    ("invalidaction*", Kind::WrongEndpoint),
    ("invalidversion*", Kind::WrongEndpoint),
    ("unsupportedhttpmethod", Kind::WrongEndpoint),
    ("invalidregionid*", Kind::WrongEndpoint),
    ("forbidden*", Kind::Denied),
    ("nopermission*", Kind::Denied),
    ("idempotenceprocessing", Kind::TokenProcessing),
    ("idempotence_processing", Kind::TokenProcessing),
    ("idempotentprocessing", Kind::TokenProcessing),
    ("idempotence*", Kind::TokenMismatch),
    ("idempotent*", Kind::TokenMismatch),
    ("lx_request_token_conflict", Kind::TokenMismatch),
    ("quotaexceeded*", Kind::Quota),
    ("resourcequotaexceeded*", Kind::Quota),
    // Gone, each by its own name.
    ("invalidscalinggroupid.notfound", Kind::ScalingGroupNotFound),
    ("resourcenotfound.servergroup", Kind::GroupNotFound),
    ("resourcenotfound.vservers", Kind::GroupNotFound),
    ("albservergroup.notexist", Kind::GroupNotFound),
    ("invalidloadbalancerid.notfound", Kind::GroupNotFound),
    ("resourcenotfound.backendserver", Kind::MemberNotFound),
    ("invalidbackendservers.notexist", Kind::MemberNotFound),
    ("duplicatedparam.server", Kind::AlreadyMember),
    ("resourcealreadyexist*", Kind::AlreadyMember),
    ("invalidbackendservers.exists", Kind::AlreadyMember),
    // One member is at fault, and may be for a while only. CLB says of the first that the server is not running ("Error codes"
    // of its reference); what was made a moment ago is not found yet by the others.
    ("obtainipfail", Kind::NotReady),
    ("invalidserverid.not*", Kind::NotReady),
    ("invalidinstanceid.not*", Kind::NotReady),
    ("resourcenotfound.ecs", Kind::NotReady),
    ("resourcenotfound.eni", Kind::NotReady),
    ("resourcenotfound.eci", Kind::NotReady),
    // The load balancer of an attachment is starting, locked or being changed (AttachLoadBalancers).
    ("incorrectloadbalancer*", Kind::NotReady),
    // One member is at fault.
    ("resourceinuse.ip", Kind::BadMember),
    ("mismatch.*", Kind::BadMember),
    ("invalidserverid*", Kind::BadMember),
    ("invalidinstanceid*", Kind::BadMember),
    ("networkconflict", Kind::BadMember),
    ("masterslaveserverconflict", Kind::BadMember),
    ("operationunsupported*", Kind::BadMember),
    ("invalidbackendservers*", Kind::BadMember),
    ("invalidloadbalancerid.*", Kind::BadMember),
    ("invalidvservergroupid.*", Kind::BadMember),
    // It cannot be used just now.
    ("lbstatusnotsupport", Kind::LoadBalancerUnusable),
    ("incorrectscalinggroupstatus", Kind::ScalingGroupUnusable),
    // Something is running.
    ("incorrectstatus.backendserver", Kind::MemberBusy),
    ("incorrectstatus.eni", Kind::MemberBusy),
    ("backendserver.configuring", Kind::MemberBusy),
    ("incorrectstatus.*", Kind::Busy),
    ("scalingactivityinprogress", Kind::Busy),
    ("operationconflict*", Kind::Busy),
    ("invalidoperation.conflict", Kind::Busy),
    ("conflict.*", Kind::Busy),
    ("operationfailed.resourcegroupstatuscheckfail", Kind::Busy),
    ("operationfailed.resourceisconfiguring", Kind::Busy),
    ("operationfailed.servicegroupprocessing", Kind::Busy),
    // A load balancer still has the group in use.
    ("rspoolvipexist", Kind::Busy),
    ("serviceisconfiguring", Kind::Busy),
    ("serviceisstopping", Kind::Busy),
    ("processingsamerequest", Kind::Busy),
    ("operationbusy", Kind::Busy),
    ("*.configuring", Kind::Busy),
    ("*processing", Kind::Busy),
    ("*busy", Kind::Busy),
    ("internalerror*", Kind::Transient),
    ("serviceunavailable*", Kind::Transient),
    ("unknownerror", Kind::Transient),
    ("missingparam*", Kind::Invalid),
    ("invalidparam*", Kind::Invalid),
    ("illegalparam*", Kind::Invalid),
    ("toomanybackendservers", Kind::Invalid),
    ("backendserversmalformed", Kind::Invalid),
    ("invalidweight*", Kind::Invalid),
];

fn matches(pattern: &str, code: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => code.ends_with(end),
        (None, Some(start)) => code.starts_with(start),
        (None, None) => code == pattern,
    }
}

/// The kind for a code that no table has.
const fn by_status(status: u16) -> Kind {
    match status {
        401 | 403 => Kind::Denied,
        408 | 409 | 423 | 449 => Kind::Busy,
        429 => Kind::Throttled,
        500.. => Kind::Transient,
        _ => Kind::Unclassified,
    }
}

/// Whether a refusal proves that nothing was done.
#[must_use]
pub(super) const fn outcome(status: u16, kind: Kind) -> Outcome {
    match kind {
        Kind::Throttled => Outcome::Refused,
        Kind::Malformed | Kind::TokenProcessing => Outcome::Unknown,
        _ if status >= 500 => Outcome::Unknown,
        _ => Outcome::Refused,
    }
}

#[cfg(test)]
mod tests;
