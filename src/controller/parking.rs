//! What arrived of accepted additions, and what is left alone for a while because the cloud refused it (S8).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use server_group_core::{parking::LeftAlone, reason::Hold};

use super::{
    managed::Managed,
    memory::{Awaited, Parked},
    pass::Pass,
    record::{Operation, PARKED_MAX},
    turns::adds,
};

/// What became of an entry whose addition was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is there and serves, or is there and wanted no longer.
    Serves,
    /// It is there.
    There,
    /// It is not there.
    Absent,
    /// It is not there, and wanted no longer: it may come all the same, and is ours then.
    Unwanted,
}

impl<M: Managed> Pass<'_, M> {
    /// Takes in what became of accepted additions by `action`, and returns those that the list may not show yet.
    ///
    /// What is absent on an idle group for longer than lists lag has failed: as a batch if all of it is absent (S8).
    pub fn notice_arrivals(
        &mut self,
        action: &str,
        idle: bool,
        arrived: impl Fn(&M::Key) -> Arrival,
    ) -> BTreeSet<M::Key> {
        let (now, timing) = (self.ctx.now(), &self.ctx.timing);
        let (mut bad, mut lagging, mut due) = (Vec::new(), BTreeSet::new(), Vec::new());
        {
            let memory = &mut *self.memory.lock();
            let trials = memory.trials.entry(action.to_owned()).or_default();
            memory.awaited.retain_mut(|awaited| {
                if !idle {
                    awaited.since = now;
                }
                let over = now >= awaited.since + timing.linger;
                awaited.left.retain(|key| match arrived(key) {
                    Arrival::Serves => false,
                    Arrival::There | Arrival::Absent => true,
                    Arrival::Unwanted => !over,
                });
                trials.passed(awaited.batch.difference(&awaited.left));
                let absent = awaited.left.iter();
                let absent: BTreeSet<_> = absent
                    .filter(|key| arrived(key) == Arrival::Absent)
                    .cloned()
                    .collect();
                let shown_by = awaited.since + timing.listing_lag;
                if !idle || now < shown_by {
                    if !absent.is_empty() {
                        due.push(shown_by);
                    }
                    lagging.extend(absent);
                    return !awaited.left.is_empty();
                }
                let failed: Vec<_> = match absent == awaited.batch {
                    true => trials.failed(&absent).into_iter().collect(),
                    false => absent
                        .iter()
                        .filter_map(|key| trials.failed(&BTreeSet::from([key.clone()])))
                        .collect(),
                };
                bad.extend(failed.into_iter().map(|key| (key, awaited.request.clone())));
                awaited.left.retain(|key| !absent.contains(key));
                !awaited.left.is_empty()
            });
        }
        for at in due {
            self.wake_at(at);
        }
        for (key, request) in bad {
            self.park(
                key,
                "accepted twice, and absent afterwards".to_owned(),
                Some(&request),
                false,
            );
        }
        lagging
    }

    /// Has what the cloud did for `operation` awaited from now on: a list may not show it yet.
    pub fn await_arrival(&self, operation: &Operation<M::Key>) {
        let now = self.ctx.now();
        let mut memory = self.memory.lock();
        let mut known = false;
        for awaited in &mut memory.awaited {
            if !awaited.batch.is_disjoint(&operation.names) {
                (awaited.since, known) = (now, true);
            }
        }
        // The process that sent it may have been another one.
        if !known && adds(&operation.action) {
            memory.awaited.push(Awaited {
                batch: operation.names.clone(),
                left: operation.names.clone(),
                since: now,
                request: operation.request_id.clone().unwrap_or_default(),
            });
        }
    }

    /// Ends the trial of whatever is done by now, or `wanted` no longer, so that its next failure is a first one again.
    ///
    /// Not of what `awaited_action` does: what that brings shows only once it serves ([`Pass::notice_arrivals`]).
    pub fn end_trials(&self, awaited_action: Option<&str>, wanted: impl Fn(&M::Key) -> bool) {
        for (action, trials) in &mut self.memory.lock().trials {
            if Some(action.as_str()) != awaited_action {
                trials.keep(&wanted);
            }
        }
    }

    /// What is parked at present, of what is still `wanted`; the rest is forgotten.
    pub fn parked_now(&mut self, wanted: impl Fn(&M::Key) -> bool) -> BTreeSet<M::Key> {
        let now = self.ctx.now();
        let retry = self.ctx.timing.parked_retry;
        let mut memory = self.memory.lock();
        for (key, why) in &self.record.parked {
            let LeftAlone::Refused(reason) = why else {
                continue;
            };
            // Parked before this process began: tried once, and failing then counts as again.
            memory.parked.entry(key.clone()).or_insert_with(|| Parked {
                reason: reason.clone(),
                until: Duration::ZERO,
                retries: 0,
                group_missing: false,
            });
        }
        memory.parked.retain(|key, _| wanted(key));
        let known: BTreeSet<_> = memory.parked.keys().cloned().collect();
        self.record
            .parked
            .retain(|key, why| known.contains(key) || *why == LeftAlone::Contended);
        for (key, parked) in &memory.parked {
            if self.record.parked.len() < PARKED_MAX {
                let told = self.record.parked.entry(key.clone());
                told.or_insert_with(|| LeftAlone::Refused(parked.reason.clone()));
            }
        }
        let waiting = memory
            .parked
            .iter()
            .filter(|(_, parked)| parked.until > now);
        let (keys, ends): (BTreeSet<_>, Vec<_>) = waiting
            .map(|(key, parked)| (key.clone(), parked.until))
            .unzip();
        drop(memory);
        if let Some(first) = ends.into_iter().min() {
            self.wake_at(first.min(now + retry));
        }
        keys
    }

    /// Whether anything that is `held` because it is parked `is` so: not what is being tried again at present.
    pub fn any_parked(&self, held: &BTreeMap<M::Key, Hold>, is: impl Fn(&Parked) -> bool) -> bool {
        let memory = self.memory.lock();
        let waits = |key| held.get(key) == Some(&Hold::Parked);
        memory
            .parked
            .iter()
            .any(|(key, parked)| waits(key) && is(parked))
    }

    /// The first few entries that the cloud refused, with its words.
    #[must_use]
    pub fn refused_entries(&self) -> String {
        const NAMED: usize = 3;
        let parked = self.record.parked.iter();
        let mut named: Vec<_> = parked
            .take(NAMED)
            .map(|(key, why)| format!("{key} ({why})"))
            .collect();
        let more = self.record.parked.len().saturating_sub(NAMED);
        if more > 0 {
            named.push(format!("and {more} more, see status.parked"));
        }
        format!("the rest is done, but not {}", named.join(", "))
    }
}
