//! Everything that happened, in order: calls, and what time brought about by itself.

use serde::Serialize;

/// One call, or one thing that time brought about.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Entry {
    /// Its place, from 1.
    pub number: u64,
    /// Seconds of the simulator's own time since its start.
    pub at: f64,
    /// `ess`, `slb`, `alb`, `nlb`, `gwlb`, `ecs`, `sts`; `time` for what happened by itself, `signature` for calls that
    /// got no further than that.
    pub service: String,
    /// The action.
    pub action: String,
    /// The group, scaling group or other resource it is about.
    pub resource: String,
    /// The members or attachments it names.
    pub names: Vec<String>,
    /// Whether it is a call that changes something.
    pub changes: bool,
    /// Whether it was carried out, or answered as the call that it repeats.
    pub acted: bool,
    /// Whether it repeats an earlier call's token, and so did nothing itself.
    pub replayed: bool,
    /// The code of a refusal.
    pub code: Option<String>,
    /// The id of the answer.
    pub request_id: String,
    /// The client token.
    pub token: Option<String>,
    /// The key that signed.
    pub key: String,
    /// The nonce of the signature.
    pub nonce: String,
    /// Members that served in each server group it touched, before and after.
    pub serving: Vec<Serving>,
    /// What is wrong with it and the cloud passes over: a client that is meant to be correct sends nothing of the kind.
    pub notes: Vec<String>,
    /// What a scripted fault made of it.
    pub fault: Option<String>,
}

/// How many members of a group served before and after.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Serving {
    /// The server group.
    pub group: String,
    /// Before.
    pub before: usize,
    /// After.
    pub after: usize,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>5} {:>9.2}s {:<5} {} {}",
            self.number, self.at, self.service, self.action, self.resource
        )?;
        if !self.names.is_empty() {
            write!(f, " [{}]", self.names.len())?;
        }
        for serving in self
            .serving
            .iter()
            .filter(|serving| serving.before != serving.after)
        {
            write!(
                f,
                " {} serving {}→{}",
                serving.group, serving.before, serving.after
            )?;
        }
        if let Some(code) = &self.code {
            write!(f, " refused: {code}")?;
        }
        if self.replayed {
            write!(f, " (repeated)")?;
        }
        for note in &self.notes {
            write!(f, " (noted: {note})")?;
        }
        if let Some(fault) = &self.fault {
            write!(f, " (fault: {fault})")?;
        }
        Ok(())
    }
}
