//! The outcome of changes that a job or a scaling activity carries out.
//!
//! However it ended, the group is looked at afterwards: an end proves nothing, and neither does the lack of one.

use std::collections::BTreeSet;

use server_group_core::{
    follow::{Carrier, Course, Patience, Progress},
    parking::Refusal,
    reason::Reason,
};

use super::{
    ended::Judged,
    managed::Managed,
    pass::Pass,
    record::{Operation, Reference, texts},
    turns::CallId,
};
use crate::{api::status::Phase, timing::Timing};

/// A job or scaling activity that is followed, by the cloud's id.
#[derive(Clone, Copy, Debug)]
pub enum Followed<'a> {
    /// A job of ALB or NLB.
    Job(&'a str),
    /// A scaling activity.
    Activity(&'a str),
}

/// How long to wait for a job or scaling activity.
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

    /// Takes in how the `followed` job or scaling activity stands; says how the object stands while it runs.
    pub fn follow(
        &mut self,
        operation: &Operation<M::Key>,
        followed: Followed<'_>,
        progress: Progress,
    ) -> Option<Judged> {
        let (noun, reference, carrier) = match followed {
            Followed::Job(id) => ("job", id, Carrier::Job),
            Followed::Activity(id) => ("scaling activity", id, Carrier::Activity),
        };
        let name = format!("{noun} {reference} of {}", operation.action);
        let id = CallId::Own(operation.id.clone());
        let (now, patience) = (self.ctx.now(), patience(&self.ctx.timing));
        let request = operation.request_id.as_deref();
        match self.turn.course(&id, carrier, progress, now, patience) {
            Course::Runs => {
                let message = format!("{name} is running");
                return Some(Judged::because(Reason::Changing, message));
            }
            Course::Endless => {
                let note = format!("{name} does not end");
                if self.memory.last_failure.as_ref() != Some(&note) {
                    self.note_failure(&note, request);
                }
                return Some(Judged::because(Reason::Changing, note));
            }
            Course::Failed(words) => {
                let note = with_words(format!("{name} failed"), &words);
                self.note_failure(&note, request);
                self.turn.stayed(&texts(&operation.names));
                self.memory.returns.stayed(&operation.names);
                self.failed_later(&operation.action, &operation.names, &note, request);
            }
            Course::Warned(words) => {
                self.took_effect(operation);
                let note = with_words(format!("{name} ended with warnings"), &words);
                self.note_failure(&note, request);
                self.await_arrival(operation);
            }
            Course::Done => {
                self.took_effect(operation);
                self.await_arrival(operation);
            }
        }
        self.group_changed();
        self.turn.answered.insert(id);
        self.close_answered();
        None
    }

    /// Lists lag behind the end of a job, and not behind its beginning.
    fn took_effect(&mut self, operation: &Operation<M::Key>) {
        let (now, lag) = (self.ctx.now(), self.ctx.timing.listing_lag);
        self.turn.took_effect(&texts(&operation.names), now, lag);
    }

    /// `request` is the cloud's id of the call that was accepted and failed later.
    fn note_failure(&mut self, note: &str, request: Option<&str>) {
        let request = request.map_or(String::new(), |id| format!(" (request {id})"));
        let memory = &mut self.memory;
        memory.failed.push(format!("{note}{request}"));
        memory.last_failure = Some(note.to_owned());
    }

    /// Has `names`, which the cloud says are already there, or not there, sent again by themselves. They are never left
    /// alone for that (S8).
    pub fn contradicted(&mut self, action: &str, names: &BTreeSet<M::Key>) {
        let memory = &mut self.memory;
        let trials = memory.trials.entry(action.to_owned()).or_default();
        // It may be known now which of them it is, but the next look shows that.
        _ = trials.failed(names);
    }

    /// Has `names`, which failed as a whole, sent again, and leaves the one alone that is known to be at fault (S8).
    pub fn failed_later(
        &mut self,
        action: &str,
        names: &BTreeSet<M::Key>,
        note: &str,
        request: Option<&str>,
    ) {
        let bad = {
            let memory = &mut self.memory;
            memory.arrivals.failed(names);
            let trials = memory.trials.entry(action.to_owned()).or_default();
            trials.failed(names)
        };
        if let Some(bad) = bad {
            let refusal = Refusal {
                words: note.to_owned(),
                group_missing: false,
                may_pass: false,
            };
            self.park(bad, refusal, request);
        }
    }
}

/// Adds the cloud's words, where it has any, to `what` happened.
fn with_words(mut what: String, words: &str) -> String {
    if !words.is_empty() {
        what.push_str(": ");
        what.push_str(words);
    }
    what
}
