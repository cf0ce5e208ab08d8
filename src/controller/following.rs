//! What became of a change that a job or a scaling activity carries out.
//!
//! However it ended, the group is looked at afterwards: an end proves nothing, and neither does the lack of one.

use std::collections::BTreeSet;

use server_group_core::reason::Reason;

use super::{managed::Managed, pass::Pass, record::Operation, stop::Stop};
use crate::api::status::Phase;

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
    /// It runs, or is in a state that this version does not know.
    Running,
    /// It ended, well as far as is known.
    Ended,
    /// It ended, and something is to be said about it.
    Warned(String),
    /// It ended badly, in the cloud's words.
    Failed(String),
}

impl<M: Managed> Pass<'_, M> {
    /// The operation that a job or scaling activity carries out, and its id.
    #[must_use]
    pub fn followed(&self) -> Option<(Operation<M::Key>, String)> {
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
        operation: Operation<M::Key>,
        followed: Followed<'_>,
        standing: Standing,
    ) -> Result<(), Stop> {
        let (noun, reference) = match followed {
            Followed::Job(id) => ("job", id),
            Followed::Activity(id) => ("scaling activity", id),
        };
        let name = format!("{noun} {reference} of {}", operation.action);
        let standing = match standing {
            Standing::Running if !self.follows_too_long(reference) => {
                let message = format!("{name} is running");
                return Err(Stop::because(Reason::Changing, message));
            }
            Standing::Running => match followed {
                Followed::Job(_) => Standing::Failed("it does not end".to_owned()),
                // Its instances are on the move as long as it says so, and no other state tells.
                Followed::Activity(_) => {
                    let note = format!("{name} does not end");
                    if self.memory.lock().last_failure.as_ref() != Some(&note) {
                        self.note_failure(&note, operation.request_id.as_deref());
                    }
                    return Err(Stop::because(Reason::Changing, note));
                }
            },
            ended => ended,
        };
        self.memory.lock().following = None;
        let request = operation.request_id.as_deref();
        match standing {
            Standing::Failed(words) => {
                let note = with_words(format!("{name} failed"), &words);
                self.note_failure(&note, request);
                self.failed_later(&operation.action, &operation.names, &note, request);
            }
            Standing::Warned(words) => {
                let note = with_words(format!("{name} ended with warnings"), &words);
                self.note_failure(&note, request);
            }
            Standing::Running | Standing::Ended => {}
        }
        self.group_changed();
        self.turn.answered.insert(operation.id);
        self.close_answered();
        Ok(())
    }

    /// Whether `reference` has been followed for longer than anything should take.
    fn follows_too_long(&self, reference: &str) -> bool {
        let now = self.ctx.now();
        let mut memory = self.memory.lock();
        match &memory.following {
            Some((followed, since)) if followed == reference => {
                now > *since + self.ctx.timing.job_patience
            }
            _ => {
                memory.following = Some((reference.to_owned(), now));
                false
            }
        }
    }

    /// `request` is the cloud's id of the call that was accepted and failed later.
    fn note_failure(&self, note: &str, request: Option<&str>) {
        let request = request.map_or(String::new(), |id| format!(" (request {id})"));
        let mut memory = self.memory.lock();
        memory.failed.push(format!("{note}{request}"));
        memory.last_failure = Some(note.to_owned());
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
            memory
                .awaited
                .retain(|awaited| awaited.batch.is_disjoint(names));
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
