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

/// What is remembered about a group as long as this process lives.
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
    /// Whether the group had rows when it was last seen: then an empty list is read again (S5).
    pub had_rows: bool,
}

impl GroupMemory {
    /// Before the id of an attachment's operation that a server group settles for itself.
    pub const MOVES: &str = "moves/";
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
}
