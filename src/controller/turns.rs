//! Passes over one group take turns, and what is remembered about a group between them.
//!
//! S6 asks for one change in flight per group, across all objects. The queue lets one object of a group work at a time;
//! what outlives a pass (an outcome that is not known) is kept here and frozen until it settles.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use server_group_core::{
    attachment::Family,
    follow::{Carrier, Course, Followed, Patience, Progress, Shown},
    gone::Missing,
    product::Product,
    settle::Unsettled,
};
use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::record::{Operation, Reference, keys};
use crate::{
    api::status::Phase,
    cloud::{GroupView, add_action, attachment_action, remove_action, weight_action},
};

/// A server group or a scaling group, as a key for turns: `cn-hangzhou/CLB/rsp-1`, `cn-hangzhou/ESS/asg-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(Arc<str>);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl GroupId {
    /// The group `id` of `product` (or `ESS`) in `region`.
    #[must_use]
    pub fn new(region: &str, product: &str, id: &str) -> Self {
        Self(format!("{region}/{product}/{id}").into())
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.parts().next().unwrap_or_default()
    }

    /// Whether it is a scaling group.
    #[must_use]
    pub fn is_scaling_group(&self) -> bool {
        self.parts().nth(1) == Some("ESS")
    }

    /// Whether it is the default group of a load balancer.
    #[must_use]
    pub fn is_load_balancer(&self) -> bool {
        self.parts().nth(1) == Some("LB")
    }

    /// From the last one.
    fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.rsplitn(3, '/')
    }
}

/// The memory of a group, kept as long as objects are on it, or a call to it may still land.
#[derive(Debug, Default)]
pub struct GroupMemory {
    /// Operations whose every call was answered, though the record may not say so yet.
    pub answered: BTreeSet<CallId>,
    /// Operations whose outcome is unknown.
    pub unsettled: Unsettled<CallId>,
    /// When a call that changes it was last sent, answered or found to be over.
    pub changed_at: Option<Duration>,
    /// The last look at it, for the other objects on it.
    pub view: Option<GroupView>,
    /// The key with which that look was made: what one may see, another may not.
    pub view_by: Option<String>,
    /// Members and attachments that a call may still bring or take, and until when (S6); whoever settled it.
    pub lingering: BTreeMap<String, Duration>,
    /// Answers that refer to a job or scaling activity, as long as status may not say so yet.
    pub references: BTreeMap<CallId, UnwrittenAnswer>,
    /// Operations that a job or scaling activity carries out.
    pub followed: BTreeMap<CallId, Followed>,
    /// Scaling groups whose own call says that they do not exist.
    pub missing: BTreeMap<String, Missing>,
    /// Members that a call may still take; whoever sent it.
    pub leaving: BTreeMap<String, Leaving>,
    /// When the cloud last agreed to remove a member: one that is back since is another one.
    pub removed: BTreeMap<String, Duration>,
    /// The answered operations that settled without an answer, and until when they may land, by the cloud's clock.
    pub settled: BTreeMap<CallId, Timestamp>,
    /// Calls that moved instances out of it and are over, as long as a status speaks of them.
    pub moves_over: BTreeSet<CallId>,
    /// Operations of other objects, on this group or another one, for whose end a forced call on this one waits, and since when.
    pub waited_for: BTreeMap<CallId, Duration>,
    /// Whether the group had rows when it was last seen: then an empty list is read again (S5).
    pub had_rows: bool,
}

impl GroupMemory {
    /// An operation as this process knows it: the write that records its answer may have been refused. It is remembered
    /// under `id`.
    pub fn as_answered<K: Ord + FromStr>(
        &self,
        id: &CallId,
        operation: Operation<K>,
    ) -> Operation<K> {
        match self.unwritten_answer(id, operation.phase) {
            Some(answer) => Operation {
                phase: Phase::Accepted,
                names: keys(&answer.names),
                request_id: answer.request_id.clone(),
                reference: Some(answer.reference.clone()),
                ..operation
            },
            None => operation,
        }
    }

    /// The answer to the operation `id` that its status, which has this `phase`, does not say yet.
    pub fn unwritten_answer(&self, id: &CallId, phase: Phase) -> Option<&UnwrittenAnswer> {
        let answer = self.references.get(id);
        answer.filter(|_| phase != Phase::Accepted)
    }

    /// Takes in what a look shows of the operation `id`, and returns whether it is over.
    pub fn is_over(
        &mut self,
        id: &CallId,
        shown: Shown,
        now: Duration,
        patience: Patience,
    ) -> bool {
        let followed = self.followed.entry(id.clone());
        let followed = followed.or_insert_with(|| Followed::new(now));
        followed.look(shown, now, patience)
    }

    /// Takes in how the operation `id` stands that `carrier` carries out, and returns what follows.
    pub fn course(
        &mut self,
        id: &CallId,
        carrier: Carrier,
        progress: Progress,
        now: Duration,
        patience: Patience,
    ) -> Course {
        let followed = self.followed.entry(id.clone());
        let followed = followed.or_insert_with(|| Followed::new(now));
        followed.course(carrier, progress, now, patience)
    }

    /// Whether the operation `id` has been followed for longer than anything should take.
    pub fn takes_too_long(&self, id: &CallId, now: Duration, patience: Patience) -> bool {
        let followed = self.followed.get(id);
        followed.is_some_and(|followed| followed.takes_too_long(now, patience))
    }

    /// Takes in that a scaling group's own call says that it does not exist. Returns whether that proves it, and from when
    /// on it would.
    pub fn missing_for_sure(
        &mut self,
        scaling_group: &str,
        now: Duration,
        gap: Duration,
    ) -> (bool, Duration) {
        let missing = self.missing.entry(scaling_group.to_owned()).or_default();
        missing.said(now, gap)
    }

    /// Notes that a call of `action` which settled may still land until `until`.
    pub fn may_land(&mut self, action: &str, names: BTreeSet<String>, until: Duration) {
        for name in names {
            if takes_away(action) {
                let leaving = self.leaving.entry(name.clone()).or_insert(Leaving {
                    until,
                    answered: None,
                    takes: Takes::Away,
                });
                (leaving.until, leaving.answered) = (leaving.until.max(until), None);
            }
            let lingers = self.lingering.entry(name).or_insert(until);
            *lingers = until.max(*lingers);
        }
    }

    /// Notes that the cloud agreed to `action` at `now`. Members that it removes count as leaving until a view lacks
    /// them; members that any other action names do not.
    pub fn agreed(&mut self, action: &str, names: Vec<String>, now: Duration, linger: Duration) {
        if !removes(action) {
            self.stayed(&names);
            return;
        }
        self.removed.retain(|_, at| now < *at + linger);
        for name in names {
            self.removed.insert(name.clone(), now);
            self.leave(name, now + linger, now, Takes::Away);
        }
    }

    /// Notes that the cloud agreed at `now` to send nothing more to `names`: they count as leaving until a view shows
    /// that, or `until`, when every list does.
    pub fn silenced(&mut self, names: Vec<String>, now: Duration, until: Duration) {
        for name in names {
            self.leave(name, until, now, Takes::Weight);
        }
    }

    /// Notes that a call which was accepted earlier, and names these members, took effect at `now`: what shows it begins
    /// later.
    pub fn took_effect(&mut self, names: &[String], now: Duration, lag: Duration) {
        for name in names {
            if let Some(leaving) = self.leaving.get_mut(name)
                && leaving.answered.is_some()
            {
                (leaving.until, leaving.answered) = (leaving.until.max(now + lag), Some(now));
            }
        }
    }

    fn leave(&mut self, name: String, until: Duration, now: Duration, takes: Takes) {
        self.leaving.entry(name).or_insert(Leaving {
            until,
            answered: Some(now),
            takes,
        });
    }

    /// Notes that the call `id`, which moved instances out of the group, is over. Returns whether that is news.
    pub fn note_end_of_move(&mut self, id: &CallId) -> bool {
        self.moves_over.insert(id.clone())
    }

    /// Notes that a job may be removing `names`, if that is what `action` does.
    pub fn may_remove(&mut self, action: &str, names: Vec<String>, until: Duration, now: Duration) {
        for name in names.into_iter().filter(|_| removes(action)) {
            self.leave(name, until, now, Takes::Away);
        }
    }

    /// Notes that a removal of `names`, to which the cloud had agreed, did not come about.
    pub fn stayed(&mut self, names: &[String]) {
        for name in names {
            let leaving = self.leaving.get(name);
            if leaving.is_some_and(|leaving| leaving.answered.is_some()) {
                self.leaving.remove(name);
            }
        }
    }

    /// Takes in a whole view that was asked for at `begun`; `stays` tells whether it shows a member as it was before
    /// something was taken from it.
    pub fn saw(&mut self, begun: Duration, now: Duration, stays: impl Fn(&str, Takes) -> bool) {
        self.leaving.retain(|name, leaving| {
            let shown = leaving.answered.is_some_and(|at| begun > at);
            leaving.until > now && (!shown || stays(name, leaving.takes))
        });
    }

    /// Whether nothing has to be remembered about it, other than what lists may lag behind.
    fn awaits_nothing(&self) -> bool {
        let answered = |leaving: &Leaving| leaving.answered.is_some();
        self.answered.is_empty()
            && self.unsettled.is_empty()
            && self.lingering.is_empty()
            && self.leaving.values().all(answered)
    }
}

/// An operation as a group remembers it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallId {
    /// It changes the group itself.
    Own(String),
    /// It is an attachment's: it moves instances in or out, which the group settles, or follows, for itself.
    Moves(String),
}

impl CallId {
    /// Whether it moves instances in or out.
    #[must_use]
    pub const fn moves(&self) -> bool {
        matches!(self, Self::Moves(_))
    }
}

/// An answer that refers to a job or scaling activity, and that no status is known to say.
#[derive(Clone, Debug)]
pub struct UnwrittenAnswer {
    /// The job or scaling activity.
    pub reference: Reference,
    /// The cloud's id of the answer.
    pub request_id: Option<String>,
    /// The members or attachments that were accepted, as status writes them.
    pub names: Vec<String>,
}

/// A member that a call may still take, or whose weight it may.
#[derive(Clone, Copy, Debug)]
pub struct Leaving {
    /// Until when at the latest.
    pub until: Duration,
    /// When the call was answered: then a view that shows it ends this. `None` if it settled without an answer.
    pub answered: Option<Duration>,
    /// What it takes.
    pub takes: Takes,
}

/// What a call takes from a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// The member.
    Away,
    /// Its weight, so that it is sent nothing more.
    Weight,
}

/// Whether an action can end with members not serving. One that changes weights can: it may be a drain.
#[must_use]
pub fn takes_away(action: &str) -> bool {
    removes(action)
        || PRODUCTS
            .into_iter()
            .any(|product| action == weight_action(product))
}

/// Whether an action takes away what another object could have put there by the time it takes effect.
#[must_use]
pub fn undoes(action: &str) -> bool {
    let mut families = Family::ALL.into_iter();
    takes_away(action) || families.any(|family| action == attachment_action(family, false))
}

/// Whether an action takes members out of a group.
fn removes(action: &str) -> bool {
    PRODUCTS
        .into_iter()
        .any(|product| action == remove_action(product))
}

/// Whether an action puts members into a group.
#[must_use]
pub fn adds(action: &str) -> bool {
    PRODUCTS
        .into_iter()
        .any(|product| action == add_action(product))
}

const PRODUCTS: [Product; 4] = [Product::Clb, Product::Alb, Product::Nlb, Product::Gwlb];

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
            // An object at work on the group has a newer look, or leaves one of its own.
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
    /// still land. Returns whether lists may lag behind something that is forgotten with it.
    pub fn forget(&self, group: &GroupId) -> bool {
        let mut groups = self.groups.lock();
        let over = |memory: &Arc<tokio::sync::Mutex<GroupMemory>>| {
            Arc::strong_count(memory) == 1
                && memory
                    .try_lock()
                    .is_ok_and(|memory| memory.awaits_nothing())
        };
        if !groups.get(group).is_some_and(over) {
            return false;
        }
        let memory = groups.remove(group);
        let memory = memory.and_then(|memory| memory.try_lock_owned().ok());
        memory.is_some_and(|memory| !memory.leaving.is_empty())
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
    #[test]
    fn a_member_leaves_until_a_view_lacks_it_or_a_late_call_cannot_land_any_more() {
        let at = Duration::from_secs;
        let name = || vec!["i-1:80".to_owned()];
        let leaves = |turn: &GroupMemory| turn.leaving.contains_key("i-1:80");
        let remove = remove_action(Product::Clb);
        let mut turn = GroupMemory::default();
        turn.agreed(remove, name(), at(10), at(900));
        turn.saw(at(9), at(11), |_, _| false);
        assert!(leaves(&turn), "a view from before the answer shows nothing");
        turn.saw(at(12), at(13), |_, _| true);
        assert!(leaves(&turn), "the list lags");
        turn.saw(at(14), at(15), |_, _| false);
        assert!(!leaves(&turn));
        turn.may_land(remove, name().into_iter().collect(), at(900));
        turn.agreed(remove, name(), at(20), at(900));
        turn.stayed(&name());
        turn.saw(at(30), at(899), |_, _| false);
        assert!(leaves(&turn), "the call without an answer can still land");
        turn.saw(at(900), at(900), |_, _| true);
        assert!(!leaves(&turn));
        turn.may_land(
            "AddServersToServerGroup",
            name().into_iter().collect(),
            at(990),
        );
        assert!(!leaves(&turn), "it takes nobody away");
    }

    /// A member that was sent weight 0 counted as serving for as long as lists lagged.
    #[test]
    fn a_member_that_was_sent_weight_0_leaves_until_a_view_shows_that_or_every_list_does() {
        let at = Duration::from_secs;
        let name = || vec!["i-1:80".to_owned()];
        let leaves = |turn: &GroupMemory| turn.leaving.contains_key("i-1:80");
        let mut turn = GroupMemory::default();
        turn.silenced(name(), at(10), at(40));
        turn.saw(at(12), at(13), |_, takes| takes == Takes::Weight);
        assert!(leaves(&turn), "the list lags");
        turn.saw(at(14), at(15), |_, takes| takes == Takes::Away);
        assert!(!leaves(&turn), "it is shown at weight 0");
        turn.silenced(name(), at(20), at(50));
        turn.took_effect(&name(), at(30), at(30));
        turn.saw(at(29), at(59), |_, _| false);
        assert!(
            leaves(&turn),
            "the job ended later, and lists lag behind that"
        );
        turn.saw(at(59), at(60), |_, _| true);
        assert!(!leaves(&turn), "somebody gave it a weight");
        turn.silenced(name(), at(70), at(100));
        turn.agreed(weight_action(Product::Clb), name(), at(71), at(900));
        assert!(!leaves(&turn), "it was given a weight");
    }
}
