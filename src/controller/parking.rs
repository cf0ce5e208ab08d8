//! What arrived of accepted additions, and what is left alone for a while because the cloud refused it (S8).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use server_group_core::{
    arrivals::{Arrival, Waits},
    parking::LeftAlone,
    reason::Hold,
};

use super::{
    managed::Managed,
    memory::Parked,
    pass::Pass,
    record::{Operation, PARKED_MAX},
    turns::adds,
};

impl<M: Managed> Pass<'_, M> {
    /// Takes in what became of accepted additions by `action`, and returns those that the list may not show yet.
    pub fn notice_arrivals(
        &mut self,
        action: &str,
        idle: bool,
        arrival: impl Fn(&M::Key) -> Arrival,
    ) -> BTreeSet<M::Key> {
        let now = self.ctx.now();
        let waits = Waits {
            listing_lag: self.ctx.timing.listing_lag,
            linger: self.ctx.timing.linger,
        };
        let seen = {
            let memory = &mut *self.memory.lock();
            let trials = memory.trials.entry(action.to_owned()).or_default();
            memory.arrivals.look(trials, idle, now, waits, arrival)
        };
        if let Some(due) = seen.due {
            self.wake_at(due);
        }
        for (key, request) in seen.bad {
            let words = "accepted twice, and absent afterwards".to_owned();
            self.park(key, words, Some(&request), false);
        }
        seen.lagging
    }

    /// Has what the cloud did for `operation` awaited from now on: a list may not show it yet.
    pub fn await_arrival(&self, operation: &Operation<M::Key>) {
        let (now, names) = (self.ctx.now(), &operation.names);
        let arrivals = &mut self.memory.lock().arrivals;
        // The process that sent it may have been another one.
        if !arrivals.carried_out(names, now) && adds(&operation.action) {
            let request = operation.request_id.clone().unwrap_or_default();
            arrivals.accepted(names.clone(), request, now);
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
