//! When what was sent is over: operations without an answer settle, ledger entries leave, groups are gone for sure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use server_group_core::settle::{Settling, Waits};

use super::{
    managed::Managed,
    pass::Pass,
    record::texts,
    registry::Known,
    turns::{GroupMemory, Unsettled},
};
use crate::{api::status::Phase, timing::whole_second_after};

/// The operations that the statuses of all objects on a group speak of, by id.
#[derive(Debug, Default)]
pub struct Told {
    /// Those without an answer, as far as status says.
    pub open: Vec<Open>,
    /// Of those that were accepted, the job or scaling activity that carries them out.
    pub followed: BTreeMap<String, Option<String>>,
}

/// An operation without an answer.
#[derive(Debug)]
pub struct Open {
    /// Its id.
    pub id: String,
    /// The API action.
    pub action: String,
    /// What it names.
    pub names: BTreeSet<String>,
}

impl<M: Managed> Pass<'_, M> {
    /// What the status of this object, as it was read, and those of `others` tell.
    pub fn told(&self, others: &[Arc<Known<M>>]) -> Told {
        let mut told = Told::default();
        let others = others
            .iter()
            .filter_map(|other| other.record().operation.as_ref());
        for operation in self.written_operation.iter().chain(others) {
            let operation = self.turn.as_answered(&operation.id, operation.clone());
            if operation.phase == Phase::Accepted {
                let reference = operation.reference.clone();
                told.followed.insert(operation.id.clone(), reference);
            } else {
                told.open.push(Open {
                    id: operation.id.clone(),
                    action: operation.action.clone(),
                    names: texts(&operation.names).into_iter().collect(),
                });
            }
        }
        told
    }

    /// Learns from the statuses of this object and of `others` what settled and may still land: facts that outlive the
    /// process that found them (S6).
    pub fn recall_what_may_land(&mut self, others: &[Arc<Known<M>>], cloud_now: Timestamp) {
        self.cloud_now = Some(cloud_now);
        let now = self.ctx.now();
        let ours = std::iter::once(&self.record);
        for record in ours.chain(others.iter().map(|other| other.record())) {
            for (action, until, names) in record.may_land() {
                if until > cloud_now {
                    let left = until.duration_since(cloud_now).unsigned_abs();
                    let names = texts(names).into_iter().collect();
                    self.turn.may_land(action, names, now + left);
                }
            }
        }
    }

    /// Lets a whole view, asked for at `begun`, count towards every open operation on the group.
    ///
    /// `show` tells what the view shows of one name. Returns the names that stay unsettled.
    pub fn settle(
        &mut self,
        told: Told,
        show: impl Fn(&str) -> String,
        idle: bool,
        begun: Duration,
    ) -> BTreeSet<String> {
        let now = self.ctx.now();
        let waits = self.waits();
        let Told { open, followed } = told;
        let mut mentioned: BTreeSet<_> = open.iter().map(|open| open.id.clone()).collect();
        for Open { id, action, names } in open {
            let running = self.running.as_ref() == Some(&id);
            if !running && !self.turn.answered.contains(&id) {
                self.turn.unsettled.entry(id).or_insert_with(|| Unsettled {
                    action,
                    names,
                    settling: Settling::new(now),
                });
            }
        }
        mentioned.extend(followed.into_keys());
        // As long as status speaks of it: one that ended is not followed again because the write of that did not get through.
        self.turn.answered.retain(|id| mentioned.contains(id));
        self.turn.settled.retain(|id, _| mentioned.contains(id));
        let references = &mut self.turn.references;
        references.retain(|id, _| id.starts_with(GroupMemory::MOVES) || mentioned.contains(id));
        let ours = self.record.operation.as_ref().map(|ours| &ours.id);
        let speaks_of = |id: &String| mentioned.contains(id) || ours == Some(id);
        let followed = &mut self.turn.followed;
        followed.retain(|id, _| id.starts_with(GroupMemory::MOVES) || speaks_of(id));
        // What an attachment's object has settled by itself is over here too.
        let over = |id: &String| id.starts_with(GroupMemory::MOVES) && !mentioned.contains(id);
        self.turn.unsettled.retain(|id, _| !over(id));
        let (mut settled, mut due) = (Vec::new(), Vec::new());
        for (id, unsettled) in &mut self.turn.unsettled {
            let shown = unsettled
                .names
                .iter()
                .map(|name| (name.clone(), show(name)))
                .collect();
            if unsettled.settling.look(begun, shown, idle, waits) {
                settled.push(id.clone());
            } else {
                due.push(unsettled.settling.next_look(waits));
            }
        }
        for at in due {
            self.wake_at(at);
        }
        for id in settled {
            let Some(unsettled) = self.turn.unsettled.remove(&id) else {
                continue;
            };
            let ours = self.record.operation.as_mut();
            if let Some(operation) = ours.filter(|operation| operation.id == id) {
                // The rest of what it names was answered.
                let named = |key: &M::Key| unsettled.names.contains(&key.to_string());
                operation.names.retain(named);
            }
            let until = now + waits.linger;
            self.turn
                .may_land(&unsettled.action, unsettled.names, until);
            let wait = waits.linger + self.ctx.timing.cloud_clock_error;
            let cloud_now = self.cloud_now.unwrap_or_else(|| self.ctx.timing.wall_now());
            let until = whole_second_after(cloud_now, wait);
            self.turn.settled.insert(id.clone(), until);
            self.turn.answered.insert(id);
        }
        self.close_answered();
        self.turn
            .unsettled
            .values()
            .flat_map(|unsettled| unsettled.names.iter().cloned())
            .collect()
    }

    /// Whether the group's own call has said twice, far enough apart, that it does not exist.
    pub fn gone_for_sure(&mut self) -> bool {
        let now = self.ctx.now();
        let gap = self.ctx.timing.gone_gap;
        let since = *self.memory.lock().gone_since.get_or_insert(now);
        self.wake_at(since + gap);
        now >= since + gap
    }

    /// Whether the group's own call has said that it does not exist, and not long enough ago for a second answer to count.
    pub fn gone_lately(&mut self) -> bool {
        let end = self
            .memory
            .lock()
            .gone_since
            .map(|since| since + self.ctx.timing.gone_gap);
        let waits = end.filter(|end| self.ctx.now() < *end);
        if let Some(end) = waits {
            self.wake_at(end);
        }
        waits.is_some()
    }

    /// Whether a scaling group's own call, which says so just now, has said twice, far enough apart, that it does not exist.
    pub fn scaling_group_is_gone(&mut self, id: &str) -> bool {
        let (now, gap) = (self.ctx.now(), self.ctx.timing.gone_gap);
        let gone = self.turn.missing_for_sure(id, now, gap);
        let since = self.turn.missing[id];
        self.wake_at(since + gap);
        gone
    }

    /// Closes an operation of ours in the record once every call of it was answered or has settled; then what may still land
    /// is kept with it.
    pub fn close_answered(&mut self) {
        let open = self.record.operation.as_ref();
        let Some(id) = open
            .map(|open| &open.id)
            .filter(|id| self.turn.answered.contains(*id))
        else {
            return;
        };
        match self.turn.settled.get(id) {
            Some(until) => self.record.settle(*until),
            None => self.record.operation = None,
        }
    }

    /// Takes ledger entries off that two whole views in succession lacked (S2).
    ///
    /// The view was asked for at `begun`.
    pub fn forget_absent(&mut self, absent: &BTreeSet<M::Key>, begun: Duration) {
        let (now, waits) = (self.ctx.now(), self.waits());
        let releasing = self.deleting();
        self.turn.lingering.retain(|_, until| *until > now);
        let mut memory = self.memory.lock();
        // What was accepted may be listed yet. A release waits for that as long as lists lag, not as long as calls land.
        let lag = match releasing {
            true => self.ctx.timing.listing_lag,
            false => self.ctx.timing.linger,
        };
        let awaited = memory
            .awaited
            .iter()
            .filter(|awaited| now < awaited.since + lag);
        let awaited: BTreeSet<_> = awaited
            .flat_map(|awaited| awaited.left.iter().cloned())
            .collect();
        let absent = &(absent - &awaited);
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

    fn waits(&self) -> Waits {
        let timing = &self.ctx.timing;
        Waits {
            after_sending: timing.settle_after_send,
            between_views: timing.settle_gap,
            linger: timing.linger,
        }
    }

    /// What a call under way, or one that may still land, could change.
    pub fn may_still_change(&self, unsettled: &BTreeSet<M::Key>) -> BTreeSet<M::Key> {
        let mut keys = unsettled.clone();
        let now = self.ctx.now();
        keys.append(&mut self.record.open_names());
        keys.extend(self.memory.lock().absences.kept(now));
        let lingering = self.turn.lingering.iter();
        let lingering = lingering.filter(|(_, until)| **until > now);
        keys.extend(lingering.filter_map(|(name, _)| name.parse().ok()));
        keys
    }
}
