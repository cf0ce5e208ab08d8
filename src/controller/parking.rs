//! What arrived of accepted additions, and what is left alone for a while because the cloud refused it (S8).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use server_group_core::reason::Hold;

use super::{
    carry_out::PARKED_MAX, contention::is_contended, managed::Managed, memory::Parked, pass::Pass,
};

impl<M: Managed> Pass<'_, M> {
    /// Takes in what became of accepted additions by `action`. `arrived` tells whether a present one serves, and of
    /// one that is wanted no longer that it does.
    ///
    /// What is absent on an idle group has failed: as a batch if all of it is absent (S8).
    pub fn notice_arrivals(
        &mut self,
        action: &str,
        idle: bool,
        arrived: impl Fn(&M::Key) -> Option<bool>,
    ) {
        let mut bad = Vec::new();
        {
            let memory = &mut *self.memory.lock();
            let trials = memory.trials.entry(action.to_owned()).or_default();
            memory.awaited.retain_mut(|awaited| {
                awaited.left.retain(|key| arrived(key) != Some(true));
                trials.passed(awaited.batch.difference(&awaited.left));
                let absent: BTreeSet<_> = awaited
                    .left
                    .iter()
                    .filter(|key| idle && arrived(key).is_none())
                    .cloned()
                    .collect();
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
        for (key, request) in bad {
            self.park(
                key,
                "accepted twice, and absent afterwards".to_owned(),
                Some(&request),
                false,
            );
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
        let refused = |(_, reason): &(&M::Key, &String)| !is_contended(reason);
        for (key, reason) in self.record.parked.iter().filter(refused) {
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
            .retain(|key, reason| known.contains(key) || is_contended(reason));
        for (key, parked) in &memory.parked {
            if self.record.parked.len() < PARKED_MAX {
                let told = self.record.parked.entry(key.clone());
                told.or_insert_with(|| parked.reason.clone());
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
            .map(|(key, reason)| format!("{key} ({reason})"))
            .collect();
        let more = self.record.parked.len().saturating_sub(NAMED);
        if more > 0 {
            named.push(format!("and {more} more, see status.parked"));
        }
        format!("the rest is done, but not {}", named.join(", "))
    }
}
