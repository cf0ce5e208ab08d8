//! When calls are over: operations without an answer settle, ledger entries leave, groups are gone for sure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use server_group_core::{
    reason::Hold,
    settle::{Call, Sighting, Waits},
    view::View,
};

use super::{
    managed::Managed,
    open::Open,
    pass::Pass,
    record::texts,
    turns::{CallId, undoes},
};
use crate::{
    api::status::Phase,
    timing::{Timing, whole_second_after},
};

/// The operations on a group that anything speaks of, by id.
#[derive(Debug, Default)]
pub struct OpenOperations {
    /// Calls without an answer, as far as status says.
    pub open: Vec<Open>,
    /// Accepted calls that a job or scaling activity carries out.
    pub followed: BTreeMap<CallId, Open>,
}

impl OpenOperations {
    fn add(&mut self, open: Open) {
        if open.phase == Phase::Accepted {
            self.followed.insert(open.local_id(), open);
        } else {
            self.open.push(open);
        }
    }
}

impl<M: Managed> Pass<'_, M> {
    /// The open operations that are told by the status of this object, as it was read, and by the book of its group.
    pub fn open_operations(&self) -> OpenOperations {
        let mut operations = OpenOperations::default();
        if let Some(operation) = &self.written_operation {
            let operation = self
                .turn
                .as_answered(&CallId::Own(operation.id.clone()), operation.clone());
            operations.add(Open {
                id: operation.id,
                action: operation.action,
                phase: operation.phase,
                names: texts(&operation.names).into_iter().collect(),
                reference: operation.reference,
                ..Open::default()
            });
        }
        let group = self.object.group();
        // Calls that have settled here are over. If the object of such a call is gone, nobody else can tell that.
        let settled = |open: &Open| self.turn.answered.contains(&open.local_id());
        self.ctx.orphans.close(&group, settled);
        for open in self.open_on(&group, &self.turn) {
            // ESS is asked whether instances are still moved.
            if open.moved_by.is_none() || open.phase != Phase::Accepted {
                operations.add(open);
            }
        }
        operations
    }

    /// Learns from the status of this object and from the book of its group which calls settled and may still land:
    /// facts that outlive the process that found them (S6).
    pub fn recall_what_may_land(&mut self, cloud_now: Timestamp) {
        self.cloud_now = Some(cloud_now);
        let now = self.ctx.now();
        let others = self.may_land_on(&self.object.group()).into_iter();
        let others = others.filter_map(|late| Some((late.action, late.until?, late.names)));
        let ours = self.record.may_land().map(|(action, until, names)| {
            let names = texts(names).into_iter().collect();
            (action.to_owned(), until, names)
        });
        for (action, until, names) in ours.chain(others) {
            if until > cloud_now {
                let left = time_left(until, cloud_now, &self.ctx.timing);
                self.turn.may_land(&action, names, now + left);
            }
        }
    }

    /// Counts a whole view, asked for at `begun`, towards the settling of every open operation on the group.
    ///
    /// `show` tells what the view shows of one name. Returns the names that stay unsettled.
    pub fn settle(
        &mut self,
        operations: OpenOperations,
        show: impl Fn(&str) -> Sighting,
        idle: bool,
        begun: Duration,
    ) -> BTreeSet<String> {
        let (now, waits) = (self.ctx.now(), self.waits());
        let moved_by = operations.open.iter().map(|open| {
            let moved_by = open.moved_by.clone();
            (open.local_id(), moved_by)
        });
        let moved_by: BTreeMap<_, _> = moved_by.collect();
        self.take_in(operations, now);
        let view = View { begun, now, idle };
        let (settled, due) = self.turn.unsettled.look(view, waits, show);
        if let Some(due) = due {
            self.wake_at(due);
        }
        for (id, call) in settled {
            let ours = self.record.operation.as_mut();
            if let Some(operation) =
                ours.filter(|operation| CallId::Own(operation.id.clone()) == id)
            {
                // The other names in it were answered.
                let named = |key: &M::Key| call.names.contains(&key.to_string());
                operation.names.retain(named);
            }
            let until = now + waits.linger;
            let group = self.object.group();
            let own = group.is_scaling_group().then(|| group.id().to_owned());
            if let Some(moved_by) = own.or_else(|| moved_by.get(&id).cloned().flatten()) {
                self.note_late_move(&moved_by, &call.action, &call.names, until);
            }
            self.turn.may_land(&call.action, call.names, until);
            let wait = waits.linger + self.ctx.timing.cloud_clock_error;
            let cloud_now = self.cloud_now.unwrap_or_else(|| self.ctx.timing.wall_now());
            let until = whole_second_after(cloud_now, wait);
            self.turn.settled.insert(id.clone(), until);
            self.turn.answered.insert(id);
        }
        self.close_answered();
        self.turn.unsettled.names()
    }

    /// Takes in what status and book tell of the calls on the group, and forgets calls of which they do not speak any
    /// more.
    fn take_in(&mut self, operations: OpenOperations, now: Duration) {
        let OpenOperations { open, followed } = operations;
        let mut mentioned: BTreeSet<_> = open.iter().map(Open::local_id).collect();
        for open in open {
            let id = open.local_id();
            let running = self.running.as_ref() == Some(&id);
            if !running && !self.turn.answered.contains(&id) {
                let call = || Call::new(open.action, open.names, now);
                self.turn.unsettled.told(id, call);
            }
        }
        for (id, open) in followed {
            // Another process may have sent it.
            if !self.turn.answered.contains(&id) {
                let names = open.names.into_iter().collect();
                let linger = self.ctx.timing.linger;
                self.turn.may_remove(&open.action, names, now + linger, now);
            }
            mentioned.insert(id);
        }
        // Answers are kept as long as status speaks of the operation: one that ended must not be followed again because
        // the write of its end did not get through.
        self.turn.answered.retain(|id| mentioned.contains(id));
        self.turn.settled.retain(|id, _| mentioned.contains(id));
        let references = &mut self.turn.references;
        references.retain(|id, _| id.moves() || mentioned.contains(id));
        let ours = self.record.operation.as_ref();
        let ours = ours.map(|ours| CallId::Own(ours.id.clone()));
        let speaks_of = |id: &CallId| mentioned.contains(id) || ours.as_ref() == Some(id);
        let followed = &mut self.turn.followed;
        followed.retain(|id, _| id.moves() || speaks_of(id));
        // A call that an attachment's object has settled by itself is over here too.
        let stays = |id: &CallId| !id.moves() || mentioned.contains(id);
        self.turn.unsettled.keep(stays);
    }

    /// Takes in that the group's own call says that it does not exist. Returns whether it has said so twice, far enough
    /// apart.
    pub fn gone_for_sure(&mut self) -> bool {
        let now = self.ctx.now();
        let gap = self.ctx.timing.gone_gap;
        let (gone, proven) = self.memory.missing.said(now, gap);
        self.wake_at(proven);
        gone
    }

    /// Whether the group's own call has said that it does not exist, and not long enough ago for a second answer to count.
    pub fn gone_lately(&mut self) -> bool {
        let (now, gap) = (self.ctx.now(), self.ctx.timing.gone_gap);
        let undecided = self.memory.missing.undecided(now, gap);
        if let Some(until) = undecided {
            self.wake_at(until);
        }
        undecided.is_some()
    }

    /// Takes in that a scaling group's own call says that it does not exist. Returns whether it has said so twice, far
    /// enough apart.
    pub fn scaling_group_is_gone(&mut self, id: &str) -> bool {
        let (now, gap) = (self.ctx.now(), self.ctx.timing.gone_gap);
        let (gone, proven) = self.turn.missing_for_sure(id, now, gap);
        self.wake_at(proven);
        gone
    }

    /// Closes an operation of ours in the record once every call of it was answered or has settled. If it settled,
    /// calls that may still land are kept with it.
    pub fn close_answered(&mut self) {
        let open = self.record.operation.as_ref();
        let Some(id) = open
            .map(|open| CallId::Own(open.id.clone()))
            .filter(|id| self.turn.answered.contains(id))
        else {
            return;
        };
        self.note_moves();
        match self.turn.settled.get(&id) {
            Some(until) => self.record.settle(*until),
            None => self.record.operation = None,
        }
    }

    /// Notes that the open operation, which is over, may have moved instances out: lists lag.
    fn note_moves(&self) {
        let open = self.record.operation.as_ref();
        for (group, open) in open.map_or_else(Vec::new, |open| self.object.opens(open)) {
            if open.moved_by.is_some() && undoes(&open.action) {
                self.ctx.lag.moved(group, self.ctx.now());
            }
        }
    }

    /// Whether a call that takes members away has settled, and may land all the same: somebody who adds the same member once
    /// this object is gone would lose it.
    pub fn a_removal_may_land(&mut self) -> bool {
        let (now, timing) = (self.ctx.now(), &self.ctx.timing);
        let cloud_now = self.ctx.transport.cloud_now();
        let late = self.record.may_land();
        let late = late.filter(|(action, until, _)| *until > cloud_now && undoes(action));
        let Some(until) = late.map(|(_, until, _)| until).max() else {
            return false;
        };
        let left = time_left(until, cloud_now, timing);
        let known = self.memory.late_until.filter(|(known, _)| *known == until);
        let (_, over) = known.unwrap_or((until, now + left));
        self.memory.late_until = Some((until, over));
        self.wake_at(over);
        now < over
    }

    /// Takes entries off the ledger that two whole views in succession lacked (S2).
    ///
    /// The view was asked for at `begun`.
    pub fn forget_absent(&mut self, absent: &BTreeSet<M::Key>, begun: Duration) {
        let (now, waits) = (self.ctx.now(), self.waits());
        let releasing = self.deleting();
        let from = self.shown_from([&self.object.group()]);
        if releasing && begun < from {
            // What was added before this process led may not be listed yet.
            if !absent.is_empty() {
                self.wake_at(from);
            }
            return;
        }
        self.turn.lingering.retain(|_, until| *until > now);
        let memory = &mut self.memory;
        // Additions that were accepted may still come into the list. A release waits for them as long as lists lag, not
        // as long as calls land.
        let lag = match releasing {
            true => self.ctx.timing.listing_lag,
            false => self.ctx.timing.linger,
        };
        let absent = &(absent - &memory.arrivals.since(now, lag));
        for key in absent {
            if let Some(until) = self.turn.lingering.get(&key.to_string()) {
                memory.absences.keep([key.clone()], *until);
            }
        }
        for key in memory.absences.look(absent, begun, now, waits, releasing) {
            self.record.ledger.forget(&key);
        }
        let soon = memory
            .absences
            .pending()
            .then(|| now + self.ctx.timing.quick_beat_min);
        let next = [self.due, soon, memory.absences.next_end()]
            .into_iter()
            .flatten()
            .min();
        self.due = next;
    }

    /// The registered keys that a deleted object has yet to release. Keys that are handed over leave the ledger with
    /// this pass; a key that keeps coming back is left to whoever brings it, and one that another object lists and does not
    /// take over in time to that object.
    pub fn left_to_release(
        &self,
        hand_over: &BTreeSet<M::Key>,
        held: &BTreeMap<M::Key, Hold>,
    ) -> BTreeSet<M::Key> {
        let mut left = self.record.ledger.registered.clone();
        let is_left =
            |key: &M::Key| matches!(held.get(key), Some(Hold::Contended | Hold::Conflict));
        left.retain(|key| !hand_over.contains(key) && !is_left(key));
        left
    }

    fn waits(&self) -> Waits {
        let timing = &self.ctx.timing;
        Waits {
            after_sending: timing.settle_after_send,
            between_views: timing.settle_gap,
            linger: timing.linger,
        }
    }

    /// The members or attachments that a call under way, or one that may still land, could change.
    pub fn may_still_change(&self, unsettled: &BTreeSet<M::Key>) -> BTreeSet<M::Key> {
        let mut keys = unsettled.clone();
        let now = self.ctx.now();
        keys.append(&mut self.record.open_names());
        keys.extend(self.memory.absences.kept(now));
        let lingering = self.turn.lingering.iter();
        let lingering = lingering.filter(|(_, until)| **until > now);
        keys.extend(lingering.filter_map(|(name, _)| name.parse().ok()));
        keys
    }
}

/// How long a call may still land that a status says may land `until` then. A clock that is set, or a status that somebody
/// writes, does not make that longer than it can be.
pub fn time_left(until: Timestamp, cloud_now: Timestamp, timing: &Timing) -> Duration {
    let left = until.duration_since(cloud_now).unsigned_abs();
    left.min(timing.linger + timing.cloud_clock_error)
}
