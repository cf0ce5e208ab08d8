//! The arrival of accepted additions, and entries that are left alone for a while because the cloud refused them (S8).

use std::collections::{BTreeMap, BTreeSet};

use server_group_core::{
    arrivals::{Arrival, Waits},
    parking::{Parked, Refusal, Schedule, named},
    reason::Hold,
};

use super::{managed::Managed, pass::Pass, record::Operation, turns::adds};

impl<M: Managed> Pass<'_, M> {
    /// Takes in the outcome of accepted additions by `action`, and returns those that the list may not show yet.
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
            let memory = &mut *self.memory;
            let trials = memory.trials.entry(action.to_owned()).or_default();
            memory.arrivals.look(trials, idle, now, waits, arrival)
        };
        if let Some(due) = seen.due {
            self.wake_at(due);
        }
        for (key, request) in seen.bad {
            let refusal = Refusal {
                words: "accepted twice, and absent afterwards".to_owned(),
                group_missing: false,
                may_pass: false,
            };
            self.park(key, refusal, Some(&request));
        }
        seen.lagging
    }

    /// Awaits, from now on, the effect of `operation`, which the cloud carried out: a list may not show it yet.
    pub fn await_arrival(&mut self, operation: &Operation<M::Key>) {
        let (now, names) = (self.ctx.now(), &operation.names);
        let arrivals = &mut self.memory.arrivals;
        // Another process may have sent it.
        if !arrivals.carried_out(names, now) && adds(&operation.action) {
            let request = operation.request_id.clone().unwrap_or_default();
            arrivals.accepted(names.clone(), request, now);
        }
    }

    /// Ends the trials of entries that are done by now, or no longer `wanted`, so that their next failure is a first
    /// one again.
    ///
    /// Trials of `awaited_action` go on: its effect shows only once the entry serves ([`Pass::notice_arrivals`]).
    pub fn end_trials(&mut self, awaited_action: Option<&str>, wanted: impl Fn(&M::Key) -> bool) {
        for (action, trials) in &mut self.memory.trials {
            if Some(action.as_str()) != awaited_action {
                trials.keep(&wanted);
            }
        }
    }

    /// The entries that are parked at present and still `wanted`. Those that are not wanted any more are forgotten.
    pub fn parked_now(&mut self, wanted: impl Fn(&M::Key) -> bool) -> BTreeSet<M::Key> {
        let now = self.ctx.now();
        let status = &mut self.record.parked;
        let (parked, first) = self.memory.parking.now(status, now, wanted);
        if let Some(first) = first {
            self.wake_at(first.min(now + self.ctx.timing.parked_retry));
        }
        parked
    }

    /// Leaves `key` alone for a while, because of this refusal.
    ///
    /// `request` is the cloud's id of the call, for the event alone: status says the same as long as nothing changes.
    pub fn park(&mut self, key: M::Key, refusal: Refusal, request: Option<&str>) {
        let (now, timing) = (self.ctx.now(), &self.ctx.timing);
        let schedule = Schedule {
            soon: timing.parked_soon.clone(),
            then: timing.parked_retry,
        };
        let memory = &mut self.memory;
        let request = request.map_or(String::new(), |id| format!(", request {id}"));
        let why = format!("{}{request}", refusal.words);
        let status = &mut self.record.parked;
        let parking = &mut memory.parking;
        if parking.park(key.clone(), refusal, now, &schedule, status) {
            memory.newly_parked.insert(key, why);
        }
    }

    /// Whether `is` holds for any entry that is `held` because it is parked. Entries that are being tried again at
    /// present do not count.
    pub fn any_parked(&self, held: &BTreeMap<M::Key, Hold>, is: impl Fn(&Parked) -> bool) -> bool {
        self.memory.parking.any(held, is)
    }

    /// The first few entries of a deleted object that the cloud refused to let go, with its words.
    #[must_use]
    pub fn parked_leavers(&self) -> String {
        let named = self.named_parked();
        format!(
            "deleted, but not yet released: {named}; {}",
            self.tried_again()
        )
    }

    /// The first few entries that the cloud refused, with its words.
    #[must_use]
    pub fn parked_entries(&self) -> String {
        let (named, again) = (self.named_parked(), self.tried_again());
        match self.seen.as_ref().is_some_and(|seen| seen.counts.done > 0) {
            true => format!("the rest is done, but not {named}; {again}"),
            false => format!("nothing was taken: not {named}; {again}"),
        }
    }

    fn named_parked(&self) -> String {
        named(&self.record.parked, self.memory.parking.len())
    }

    /// When the entries that the cloud refused are tried again. It says no time of day: a status that ticks would never
    /// rest.
    fn tried_again(&self) -> &'static str {
        match self.memory.parking.any_soon() {
            true => {
                "tried again after 30 seconds, 1, 2, 5 and 15 minutes, then hourly; sooner if you change the annotation \
                     servergroup.alicloud.dev/reconcile-at"
            }
            false => {
                "tried again hourly; sooner if you change the annotation servergroup.alicloud.dev/reconcile-at"
            }
        }
    }
}
