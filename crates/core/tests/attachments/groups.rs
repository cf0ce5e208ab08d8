//! The server groups behind the attachments: members, of which a forced detach takes some out.

use std::collections::BTreeMap;

use server_group_core::attachment::{AttachmentKey, Feed};

/// One member of a server group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) port: u16,
    /// An instance of the scaling group.
    pub(crate) ours: bool,
    pub(crate) state: State,
    /// Another object lists it.
    pub(crate) listed: bool,
}

/// How a member stands in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Serves,
    Joins,
    Leaves,
    /// At weight 0.
    Silent,
}

/// Members by the group that an attachment feeds.
pub(crate) type Groups = BTreeMap<String, Vec<Member>>;

/// Names the group that `key` feeds.
pub(crate) fn group_of(key: &AttachmentKey) -> String {
    let (product, id) = key.fed_group();
    format!("{product}/{id}")
}

impl Member {
    /// Whether a forced detach of `key` takes it out: it is an instance, at the port of the attachment.
    fn goes_with(self, key: &AttachmentKey) -> bool {
        self.ours && key.port().is_none_or(|port| port == self.port)
    }

    fn serves(self) -> bool {
        self.state == State::Serves
    }
}

/// What is seen of the group that `key` feeds.
pub(crate) fn feed(members: &[Member], key: &AttachmentKey) -> Feed {
    let mut feed = Feed::default();
    for member in members {
        let goes = member.goes_with(key);
        let might_serve = member.serves() || member.state == State::Joins;
        feed.ours += usize::from(goes && might_serve);
        feed.serving += usize::from(goes && member.serves());
        feed.elsewhere += usize::from(!goes && member.serves());
        if goes && member.state != State::Leaves {
            feed.unclaimed += usize::from(!member.listed);
            if member.listed {
                feed.claimed_by = Some("ns/membership".into());
            }
        }
    }
    feed
}

/// How many serve in a group.
pub(crate) fn serving(members: &[Member]) -> usize {
    members.iter().filter(|member| member.serves()).count()
}

/// The groups after forced detaches of `keys`.
pub(crate) fn without<'a>(
    groups: &Groups,
    keys: impl IntoIterator<Item = &'a AttachmentKey>,
) -> Groups {
    let mut after = groups.clone();
    for key in keys {
        if let Some(members) = after.get_mut(&group_of(key)) {
            members.retain(|member| !member.goes_with(key));
        }
    }
    after
}

/// A group that somebody served in `before`, and nobody does `after`.
pub(crate) fn emptied<'a>(before: &'a Groups, after: &Groups) -> Option<&'a str> {
    let somebody = before.iter().filter(|(_, members)| serving(members) > 0);
    let mut emptied = somebody.filter(|(group, _)| serving(&after[*group]) == 0);
    emptied.next().map(|(group, _)| group.as_str())
}
