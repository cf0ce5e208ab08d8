//! Events about what a pass made of an object, told once: after the write that records it, and by comparing its status with
//! the one before.

use server_group_core::reason::Reason;

use super::{
    apply::Applied, change::Change, events, managed::Managed, object::name_of, pass::Pass,
};
use crate::api::status::HoldReason;

/// Entries that one event names.
const NAMED: usize = 5;

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

    /// Publishes that everything stays. This is done before the object goes, because nobody would do it afterwards, and
    /// it is not repeated when letting go is refused.
    pub async fn tell_retained(&mut self, note: String) {
        let told = std::mem::replace(&mut self.memory.retained, true);
        if !told {
            events::publish(self, Change::Retained, note).await;
        }
    }
}

/// Logs and publishes what changed between `before` and the status that was just written.
pub async fn announce<M: Managed>(pass: &Pass<'_, M>, before: &M) {
    log_turn(before, &pass.object);
    let held_before = before.held();
    let new = |entry: &&(&str, HoldReason)| !held_before.contains(entry);
    let held_now = pass.object.held();
    let held: Vec<_> = held_now.iter().filter(new).collect();
    let conflicts = |(_, reason): &&&(&str, HoldReason)| *reason == HoldReason::Conflict;
    if held.iter().any(|entry| conflicts(&entry)) {
        events::publish(pass, Change::Conflict, ready(&pass.object).1).await;
    }
    let stuck: Vec<_> = held
        .iter()
        .filter(|entry| needs_a_person(entry.1))
        .collect();
    if !stuck.is_empty() {
        let mut named: Vec<_> = stuck
            .iter()
            .take(NAMED)
            .map(|(key, reason)| format!("{key} ({})", reason.name()))
            .collect();
        if stuck.len() > NAMED {
            named.push(format!("and {} more", stuck.len() - NAMED));
        }
        let note = format!("left alone: {}", named.join(", "));
        events::publish(pass, Change::Held, note).await;
    }
}

/// Logs that an object stalled, or recovered.
fn log_turn<M: Managed>(before: &M, now: &M) {
    let (kind, object) = (M::KIND.name(), name_of(now));
    let generation = now.meta().generation;
    let (reason, message, _) = ready(now);
    match (stalls(before), stalls(now)) {
        (before, Some(why)) if before != Some(why) => {
            tracing::warn!(kind, %object, generation, reason, "stalled: {message}");
        }
        (Some(why), None) => {
            tracing::info!(kind, %object, generation, reason, stalled = why, "recovered: {message}");
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
