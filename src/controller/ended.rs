//! How a pass ends that did not fail.

use std::collections::BTreeSet;

use server_group_core::{reason::Reason, verdict::Verdict};

use super::{stop::Stop, turns::GroupId};
use crate::cloud::Ticket;

/// How a pass ended.
#[derive(Debug)]
pub enum Ended {
    /// It was found out how the object stands.
    Judged(Judged),
    /// It goes on later, from the start.
    Waits(Waits),
    /// The object is free to go.
    LetGo,
}

impl From<Judged> for Ended {
    fn from(judged: Judged) -> Self {
        Self::Judged(judged)
    }
}

impl From<Waits> for Ended {
    fn from(waits: Waits) -> Self {
        Self::Waits(waits)
    }
}

/// How an object stands.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// For a person.
    pub message: String,
}

impl Judged {
    /// `reason`, with `message` for a person.
    pub fn because(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            verdict: reason.into(),
            message: message.into(),
        }
    }

    /// Adds what the cloud refused besides: its reason, unless the present reason needs a person more; its words in any
    /// case.
    #[must_use]
    pub fn with_refusal(self, refused: Option<Self>) -> Self {
        let Some(refused) = refused else {
            return self;
        };
        match self.verdict.reason {
            Reason::Conflict | Reason::Contended | Reason::LastServing => Self {
                verdict: self.verdict,
                message: format!("{}; besides, {}", self.message, refused.message),
            },
            _ => refused,
        }
    }
}

/// The end of a pass with something added for a person, where it has a message.
///
/// # Errors
///
/// The same [`Stop`] as before.
pub fn with_remark(ended: Result<Ended, Stop>, remark: Option<&str>) -> Result<Ended, Stop> {
    let Some(remark) = remark else {
        return ended;
    };
    let add = |message: String| format!("{message}; {remark}");
    let remarked = |judged: Judged| Judged {
        verdict: judged.verdict,
        message: add(judged.message),
    };
    match ended {
        Ok(Ended::Judged(judged)) => Ok(Ended::Judged(remarked(judged))),
        Ok(Ended::Waits(Waits { wait, message })) => Ok(Ended::Waits(Waits {
            wait,
            message: message.map(add),
        })),
        Err(Stop::Failed(judged)) => Err(Stop::Failed(remarked(judged))),
        ended => ended,
    }
}

/// A pass that goes on later.
#[derive(Debug)]
pub struct Waits {
    /// The event that it waits for, without holding a place.
    pub wait: Wait,
    /// For a person; `None` if nothing was found out that status does not say.
    pub message: Option<String>,
}

/// The event that a pass waits for.
#[derive(Debug)]
pub enum Wait {
    /// Until a call may leave.
    Call(Ticket),
    /// Until nobody else is at work on these groups.
    Groups(BTreeSet<GroupId>),
}
