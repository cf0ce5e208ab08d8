//! What a look at a group shows besides its members or attachments.

use super::ended::Judged;
use crate::cloud;

/// What a look at a group shows, as far as a person or an action that was refused depends on it.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// Differs when the group looks otherwise: then an action that the cloud refused is tried again.
    pub looks: String,
    /// Whether the group, or what it belongs to, is in a state in which it takes no change.
    pub unusable: bool,
    /// Something about the cloud that is no reason and still has to be said.
    pub remark: Option<String>,
    /// What could not be known, though the group itself was read: what depends on it is held, and this is why.
    pub unread: Option<Judged>,
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
