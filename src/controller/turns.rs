//! Passes over one group take turns, and what is remembered about a group between them.
//!
//! S6 asks for one change in flight per group, across all objects. Within this process that is a lock per
//! group; what outlives a pass (an outcome that is not known) is kept here and frozen until it settles.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use server_group_core::settle::Settling;
use tokio::sync::OwnedMutexGuard;

use crate::cloud::GroupView;

/// A server group or a scaling group, as a key for turns: `cn-hangzhou/CLB/rsp-1`, `cn-hangzhou/ESS/asg-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(String);

impl GroupId {
    /// The group `id` of `product` (or `ESS`) in `region`.
    #[must_use]
    pub fn new(region: &str, product: &str, id: &str) -> Self {
        Self(format!("{region}/{product}/{id}"))
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
    /// Operations of objects that act on other groups, for whose end a forced call on this one waits, and since when.
    pub waited_for: BTreeMap<String, Duration>,
    /// Whether the group had rows when it was last seen: then an empty list is read again (S5).
    pub had_rows: bool,
}

impl GroupMemory {
    /// Before the id of an attachment's operation that a server group settles for itself.
    pub const MOVES: &str = "moves/";

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
    groups: Mutex<HashMap<GroupId, Arc<tokio::sync::Mutex<GroupMemory>>>>,
}

impl Turns {
    /// Waits for the turn on one group.
    ///
    /// Whoever needs several takes a scaling group first and then server groups in order, so that nobody waits in a circle.
    pub async fn take(&self, group: &GroupId) -> Turn {
        let memory = Arc::clone(self.groups.lock().entry(group.clone()).or_default());
        memory.lock_owned().await
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

    #[tokio::test]
    async fn a_group_is_forgotten_once_nobody_is_on_it_and_nothing_can_land() {
        let (turns, group) = (
            Turns::default(),
            GroupId::new("cn-hangzhou", "CLB", "rsp-1"),
        );
        let known = || turns.groups.lock().len();
        let mut turn = turns.take(&group).await;
        turns.forget(&group);
        assert_eq!(known(), 1, "somebody has the turn");
        turn.lingering.insert("i-1:80".into(), Duration::ZERO);
        drop(turn);
        turns.forget(&group);
        assert_eq!(known(), 1, "a call may still land");
        turns.take(&group).await.lingering.clear();
        turns.forget(&group);
        assert_eq!(known(), 0);
    }
}
