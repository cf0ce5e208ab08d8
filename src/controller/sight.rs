//! The findings of a look at a group besides its members or attachments.

use super::ended::Judged;
use crate::cloud;

/// The findings of a look at a group, as far as a person or an action that was refused depends on them.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// A text that differs when the group looks otherwise: then an action that the cloud refused is tried again.
    pub looks: String,
    /// Whether the group, or what it belongs to, is in a state in which it takes no change.
    pub unusable: bool,
    /// Something about the cloud that is no reason and still has to be said.
    pub remark: Option<String>,
    /// A judgement about something that could not be read, though the group itself was: whatever depends on it is held,
    /// and this is why.
    pub unread: Option<Judged>,
    /// The other objects in whose place a plan sees this one: they list some of the same.
    pub rivals: Vec<String>,
}

impl Sight {
    /// Notes that something beside the group itself could not be read, so that what depends on it is held.
    pub fn could_not_read(&mut self, error: cloud::Error) {
        tracing::warn!(%error, "what depends on this is left alone");
        self.unread = Some(error.into());
    }
}

/// Where an action is carried out.
#[derive(Clone, Copy, Debug)]
pub struct Target<'g> {
    /// The id of the group.
    pub id: &'g str,
    /// How it was seen when the action was planned.
    pub sight: &'g Sight,
}
