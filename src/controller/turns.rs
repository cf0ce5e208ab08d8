//! Passes over one group take turns, and what is remembered about a group between them.
//!
//! S6 asks for one change in flight per group, across all objects. The queue lets one object of a group work at a time;
//! what outlives a pass (an outcome that is not known) is kept here and frozen until it settles.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use server_group_core::{
    follow::{Followed, Patience, Shown},
    settle::Settling,
};
use tokio::{sync::OwnedMutexGuard, time::Instant};

use crate::cloud::GroupView;

/// A server group or a scaling group, as a key for turns: `cn-hangzhou/CLB/rsp-1`, `cn-hangzhou/ESS/asg-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// The group `id` of `product` (or `ESS`) in `region`.
    #[must_use]
    pub fn new(region: &str, product: &str, id: &str) -> Self {
        Self(format!("{region}/{product}/{id}").into())
    }
}

/// What is remembered about a group as long as objects are on it, or a call to it may still land.
#[derive(Debug, Default)]
pub struct GroupMemory {
    /// Operations whose every call was answered, though the record may not say so yet.
    pub answered: BTreeSet<String>,
    /// Operations whose outcome is unknown, by id.
    pub unsettled: BTreeMap<String, Unsettled>,
    /// When a call that changes it was last sent, answered or found to be over.
    pub changed_at: Option<Duration>,
    /// The last look at it, for the other objects on it.
    pub view: Option<GroupView>,
    /// Members and attachments that a call may still bring or take, and until when (S6); whoever settled it.
    pub lingering: BTreeMap<String, Duration>,
    /// Operations that a job or scaling activity carries out, by id.
    pub followed: BTreeMap<String, Followed>,
    /// Scaling groups whose own call says that they do not exist, and since when.
    pub missing: BTreeMap<String, Duration>,
    /// Operations of objects that act on other groups, for whose end a forced call on this one waits, and since when.
    pub waited_for: BTreeMap<String, Duration>,
    /// Whether the group had rows when it was last seen: then an empty list is read again (S5).
    pub had_rows: bool,
}

impl GroupMemory {
    /// Before the id of an attachment's operation that a server group settles, or follows, for itself.
    pub const MOVES: &str = "moves/";

    /// Takes in what a look shows of the operation `id`, and returns whether it is over.
    pub fn is_over(&mut self, id: &str, shown: Shown, now: Duration, patience: Patience) -> bool {
        let followed = self.followed.entry(id.to_owned());
        let followed = followed.or_insert_with(|| Followed::new(now));
        followed.look(shown, now, patience)
    }

    /// Whether the operation `id` has been followed for longer than anything should take.
    pub fn takes_too_long(&self, id: &str, now: Duration, patience: Patience) -> bool {
        let followed = self.followed.get(id);
        followed.is_some_and(|followed| followed.takes_too_long(now, patience))
    }

    /// Takes in that a scaling group's own call says that it does not exist, and returns whether it has said so twice, `gap`
    /// apart.
    pub fn missing_for_sure(&mut self, scaling_group: &str, now: Duration, gap: Duration) -> bool {
        let since = self.missing.entry(scaling_group.to_owned()).or_insert(now);
        now >= *since + gap
    }

    fn awaits_nothing(&self) -> bool {
        self.answered.is_empty() && self.unsettled.is_empty() && self.lingering.is_empty()
    }
}

/// An operation whose outcome is unknown.
#[derive(Debug)]
pub struct Unsettled {
    /// The members or attachments it names, as they are written in status.
    pub names: BTreeSet<String>,
    /// How far two agreeing views are.
    pub settling: Settling<BTreeMap<String, String>>,
}

/// A turn: the group is ours until it is dropped.
pub type Turn = OwnedMutexGuard<GroupMemory>;

/// Hands out turns.
#[derive(Debug, Default)]
pub struct Turns {
    groups: Mutex<BTreeMap<GroupId, Arc<tokio::sync::Mutex<GroupMemory>>>>,
    /// Until when the looks at groups that several objects are on are kept for the others, in order.
    kept: Mutex<VecDeque<(Duration, GroupId)>>,
}

impl Turns {
    /// The turn on one group; `None` while somebody else has it.
    pub fn take(&self, group: &GroupId) -> Option<Turn> {
        let memory = Arc::clone(self.groups.lock().entry(group.clone()).or_default());
        memory.try_lock_owned().ok()
    }

    /// Whether somebody has the turn on one of these groups now.
    pub fn any_taken<'g>(&self, groups: impl IntoIterator<Item = &'g GroupId>) -> bool {
        let known = self.groups.lock();
        let mut memories = groups.into_iter().filter_map(|group| known.get(group));
        memories.any(|memory| memory.try_lock().is_err())
    }

    /// Has the look at a group kept until then, since the start of the process.
    pub fn keep_view(&self, group: GroupId, until: Duration) {
        self.kept.lock().push_back((until, group));
    }

    /// When the next look is to be forgotten.
    pub fn next_view(&self) -> Option<Duration> {
        self.kept.lock().front().map(|(until, _)| *until)
    }

    /// Forgets looks that are too old to be shared.
    pub fn forget_views(&self, now: Duration, too_old: Instant) {
        let mut kept = self.kept.lock();
        while let Some((until, _)) = kept.front()
            && *until <= now
        {
            let (_, group) = kept.pop_front().expect("looked at above");
            let memory = self.groups.lock().get(&group).map(Arc::clone);
            // Whoever is at work on it has a newer one, or leaves one of its own.
            if let Some(Ok(mut memory)) = memory.map(tokio::sync::Mutex::try_lock_owned)
                && memory
                    .view
                    .as_ref()
                    .is_some_and(|view| view.begun <= too_old)
            {
                memory.view = None;
            }
        }
    }

    /// Forgets a group that no object is on any more, unless somebody has or waits for the turn, or a call to it may
    /// still land.
    pub fn forget(&self, group: &GroupId) {
        let mut groups = self.groups.lock();
        let over = |memory: &Arc<tokio::sync::Mutex<GroupMemory>>| {
            Arc::strong_count(memory) == 1
                && memory
                    .try_lock()
                    .is_ok_and(|memory| memory.awaits_nothing())
        };
        if groups.get(group).is_some_and(over) {
            groups.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_forgotten_once_nobody_is_on_it_and_nothing_can_land() {
        let (turns, group) = (
            Turns::default(),
            GroupId::new("cn-hangzhou", "CLB", "rsp-1"),
        );
        let known = || turns.groups.lock().len();
        let mut turn = turns.take(&group).unwrap();
        assert!(turns.take(&group).is_none(), "one at a time");
        turns.forget(&group);
        assert_eq!(known(), 1, "somebody has the turn");
        turn.lingering.insert("i-1:80".into(), Duration::ZERO);
        drop(turn);
        turns.forget(&group);
        assert_eq!(known(), 1, "a call may still land");
        turns.take(&group).unwrap().lingering.clear();
        turns.forget(&group);
        assert_eq!(known(), 0);
    }
}
