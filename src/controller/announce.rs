//! Events about what a pass made of an object, told once: after the write that records it, and by comparing its status with
//! the one before.

use std::collections::BTreeMap;

use server_group_core::reason::Reason;

use super::{
    apply::Applied,
    change::Change,
    events,
    managed::Managed,
    object::name_of,
    pass::Pass,
    report::{NAMED, first_of},
};
use crate::api::status::HoldReason;

impl<M: Managed> Pass<'_, M> {
    /// Publishes the events about what the status records now. Before the write, a conflict or a crash would have them
    /// published twice. After it, a crash may lose them, but status says the same.
    pub async fn tell_recorded(&mut self) {
        let mut told = std::mem::take(&mut self.to_tell);
        {
            let memory = &mut self.memory;
            let failed = std::mem::take(&mut memory.failed).into_iter();
            told.extend(failed.map(|note| (Change::Failed, note)));
            let parked = std::mem::take(&mut memory.newly_parked);
            if !parked.is_empty() {
                let named: Vec<_> = parked
                    .iter()
                    .map(|(key, why)| format!("{key} ({why})"))
                    .collect();
                let (count, named) = (named.len(), named.join(", "));
                let note = format!("left alone for a while, {count}: {named}");
                told.push((Change::Failed, note));
            }
        }
        for (change, note) in told {
            events::publish(self, change, note).await;
        }
    }

    /// Whether status says that the cloud matches this very spec.
    pub fn rests(&self) -> bool {
        let (reason, _, generation) = ready(&self.object);
        reason == Reason::Converged.name() && generation == self.object.meta().generation
    }

    /// Queues an event for after the next write: nobody changed the spec, but the cloud had drifted from it and was put
    /// right.
    pub fn tell_repaired(&mut self, applied: &Applied) {
        let note = format!(
            "the cloud had drifted from the spec; changes accepted: {} (request {})",
            applied.accepted, applied.accepted_by
        );
        self.to_tell.push((Change::Repaired, note));
    }
}

/// Logs and publishes what changed between `before` and the status that was just written.
pub async fn announce<M: Managed>(pass: &Pass<'_, M>, before: &M) {
    let conflicts = newly_held(before, &pass.object, |reason| {
        reason == HoldReason::Conflict
    });
    if !conflicts.is_empty() {
        let claimants = pass.seen.iter().flat_map(|seen| &seen.conflicts);
        let claimants: BTreeMap<_, _> = claimants.map(|(key, by)| (key.to_string(), by)).collect();
        let claimed = conflicts.iter().map(|(key, _)| match claimants.get(*key) {
            Some(other) => format!("{key} is claimed by {other}"),
            None => format!("{key} is claimed by another object"),
        });
        let note = format!("list each in one object only: {}", first_of(claimed, NAMED));
        events::publish(pass, Change::Conflict, note).await;
    }
    let stuck = newly_held(before, &pass.object, needs_a_person);
    if !stuck.is_empty() {
        let named = stuck
            .iter()
            .map(|(key, reason)| format!("{key} ({})", reason.name()));
        let note = format!("left alone: {}", first_of(named, NAMED));
        events::publish(pass, Change::Held, note).await;
    }
    tell_turn(pass, before).await;
}

/// The entries that `now` shows as left alone for such a reason, and `before` did not. Those that are among the last that
/// serve count only once the object is stalled by that: a swap passes through it.
fn newly_held<'m, M: Managed>(
    before: &M,
    now: &'m M,
    wanted: impl Fn(HoldReason) -> bool,
) -> Vec<(&'m str, HoldReason)> {
    let told = |object: &M, reason| reason != HoldReason::LastServing || stalls(object).is_some();
    let held_before = before.held();
    let news = |entry: &(&str, HoldReason)| {
        let (_, reason) = *entry;
        let was_told = held_before.contains(entry) && told(before, reason);
        wanted(reason) && told(now, reason) && !was_told
    };
    now.held().into_iter().filter(news).collect()
}

/// Logs and publishes that an object stalled, for another reason than before, or that it recovered.
async fn tell_turn<M: Managed>(pass: &Pass<'_, M>, before: &M) {
    let now = &pass.object;
    let (kind, object) = (M::KIND.name(), name_of(now));
    let generation = now.meta().generation;
    let (reason, message, _) = ready(now);
    match (stalls(before), stalls(now)) {
        (before, Some(why)) if before != Some(why) => {
            tracing::warn!(kind, %object, generation, reason, "stalled: {message}");
            events::publish(pass, Change::Stalled, format!("{why}: {message}")).await;
        }
        (Some(why), None) => {
            tracing::info!(kind, %object, generation, reason, stalled = why, "recovered: {message}");
            let note = format!("no longer {why}: {message}");
            events::publish(pass, Change::Recovered, note).await;
        }
        _ => {}
    }
}

/// The reason for which an object stalls, if it does.
fn stalls<M: Managed>(object: &M) -> Option<&str> {
    let mut conditions = object.conditions().iter();
    let stalled = conditions.find(|condition| condition.type_ == "Stalled")?;
    Some(&stalled.reason)
}

/// Whether a difference stays until somebody does something.
const fn needs_a_person(reason: HoldReason) -> bool {
    matches!(
        reason,
        HoldReason::LastServing
            | HoldReason::Contended
            | HoldReason::EssManaged
            | HoldReason::LedgerFull
            | HoldReason::Immutable
    )
}

/// Reason, message and generation of `Ready`.
fn ready<M: Managed>(object: &M) -> (String, String, Option<i64>) {
    let ready = object
        .conditions()
        .iter()
        .find(|condition| condition.type_ == "Ready");
    ready.map_or_else(Default::default, |ready| {
        (
            ready.reason.clone(),
            ready.message.clone(),
            ready.observed_generation,
        )
    })
}
