//! What became of a change that a job or a scaling activity carries out.
//!
//! However it ended, the group is looked at afterwards: an end proves nothing, and neither does the lack of one.

use std::collections::BTreeSet;

use server_group_core::{
    follow::{Patience, Shown},
    reason::Reason,
};

use super::{
    managed::Managed,
    pass::Pass,
    record::{Operation, Reference, texts},
    stop::Stop,
    turns::CallId,
};
use crate::{api::status::Phase, timing::Timing};

/// What is followed, by the cloud's id.
#[derive(Clone, Copy, Debug)]
pub enum Followed<'a> {
    /// A job of ALB or NLB. One that does not end is given up: whether the group is busy shows in its state.
    Job(&'a str),
    /// A scaling activity. One that does not end is told, and followed all the same.
    Activity(&'a str),
}

/// How a job or scaling activity stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Running,
    /// It is in a state that this version does not know.
    Unclear,
    /// The list does not show it: not yet, or no more.
    NotListed,
    /// It ended, well as far as is known.
    Ended,
    /// It ended, and something is to be said about it.
    Warned(String),
    /// It ended badly, in the cloud's words.
    Failed(String),
}

impl Standing {
    /// As the core reads it.
    pub const fn shown(&self) -> Shown {
        match self {
            Self::Running => Shown::Running,
            Self::Unclear => Shown::Unclear,
            Self::NotListed => Shown::Nothing,
            Self::Ended | Self::Warned(_) | Self::Failed(_) => Shown::Over,
        }
    }
}

/// How long is waited for what is followed.
pub fn patience(timing: &Timing) -> Patience {
    Patience {
        until_listed: timing.settle_gap,
        until_told: timing.job_patience,
    }
}

impl<M: Managed> Pass<'_, M> {
    /// The operation that a job or scaling activity carries out, and its id.
    #[must_use]
    pub fn followed(&self) -> Option<(Operation<M::Key>, Reference)> {
        let operation = self.record.operation.clone();
        let operation = operation.filter(|operation| operation.phase == Phase::Accepted)?;
        let reference = operation.reference.clone()?;
        Some((operation, reference))
    }

    /// Takes in how the `followed` job or scaling activity stands.
    ///
    /// # Errors
    ///
    /// [`Stop`] while it runs, unless that takes too long.
    pub fn follow(
        &mut self,
        operation: &Operation<M::Key>,
        followed: Followed<'_>,
        standing: Standing,
    ) -> Result<(), Stop> {
        let (noun, reference) = match followed {
            Followed::Job(id) => ("job", id),
            Followed::Activity(id) => ("scaling activity", id),
        };
        let name = format!("{noun} {reference} of {}", operation.action);
        let id = CallId::Own(operation.id.clone());
        let (now, patience) = (self.ctx.now(), patience(&self.ctx.timing));
        let over = self.turn.is_over(&id, standing.shown(), now, patience);
        let too_long = self.turn.takes_too_long(&id, now, patience);
        let standing = match (standing, followed) {
            (Standing::Unclear, _) if over => {
                Standing::Warned("it stays in a state that is not known".to_owned())
            }
            (standing, _) if over => standing,
            (_, Followed::Job(_)) if too_long => Standing::Failed("it does not end".to_owned()),
            // Its instances are on the move as long as it says so, and no other state tells.
            (_, Followed::Activity(_)) if too_long => {
                let note = format!("{name} does not end");
                if self.memory.lock().last_failure.as_ref() != Some(&note) {
                    self.note_failure(&note, operation.request_id.as_deref());
                }
                return Err(Stop::because(Reason::Changing, note));
            }
            _ => {
                let message = format!("{name} is running");
                return Err(Stop::because(Reason::Changing, message));
            }
        };
        let done = !matches!(standing, Standing::Failed(_));
        let request = operation.request_id.as_deref();
        match standing {
            Standing::Failed(words) => {
                let note = with_words(format!("{name} failed"), &words);
                self.note_failure(&note, request);
                self.turn.stayed(&texts(&operation.names));
                self.memory.lock().returns.stayed(&operation.names);
                self.failed_later(&operation.action, &operation.names, &note, request);
            }
            Standing::Warned(words) => {
                let note = with_words(format!("{name} ended with warnings"), &words);
                self.note_failure(&note, request);
            }
            Standing::Running | Standing::Unclear | Standing::NotListed | Standing::Ended => {}
        }
        if done {
            self.await_arrival(operation);
        }
        self.group_changed();
        self.turn.answered.insert(id);
        self.close_answered();
        Ok(())
    }

    /// `request` is the cloud's id of the call that was accepted and failed later.
    fn note_failure(&self, note: &str, request: Option<&str>) {
        let request = request.map_or(String::new(), |id| format!(" (request {id})"));
        let mut memory = self.memory.lock();
        memory.failed.push(format!("{note}{request}"));
        memory.last_failure = Some(note.to_owned());
    }

    /// Has what the cloud says is already there, or not there, sent again by itself; it is never left alone for that (S8).
    pub fn contradicted(&mut self, action: &str, names: &BTreeSet<M::Key>) {
        let mut memory = self.memory.lock();
        let trials = memory.trials.entry(action.to_owned()).or_default();
        // Which of them it is may be known now; the next look shows it.
        _ = trials.failed(names);
    }

    /// Has what failed as a whole sent again, and leaves alone what is known to be at fault (S8).
    pub fn failed_later(
        &mut self,
        action: &str,
        names: &BTreeSet<M::Key>,
        note: &str,
        request: Option<&str>,
    ) {
        let bad = {
            let memory = &mut *self.memory.lock();
            memory.arrivals.failed(names);
            let trials = memory.trials.entry(action.to_owned()).or_default();
            trials.failed(names)
        };
        if let Some(bad) = bad {
            self.park(bad, note.to_owned(), request, false);
        }
    }
}

/// What happened, in the cloud's words where it has any.
fn with_words(mut what: String, words: &str) -> String {
    if !words.is_empty() {
        what.push_str(": ");
        what.push_str(words);
    }
    what
}
