//! Carries a call out, and notes what it did for the audit log.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    action,
    audit::{Entry, Serving},
    params::Params,
    refusal::Refusal,
    signature::Caller,
    world::{LateCall, World},
};

/// The action, with what it did written into `entry`.
pub(crate) fn carry_out(
    world: &mut World,
    entry: &mut Entry,
    params: BTreeMap<String, String>,
    caller: &Caller,
) -> Result<Value, Refusal> {
    // Counting who serves is only worth it where that can change.
    let before: BTreeMap<_, _> = match entry.changes {
        false => BTreeMap::new(),
        true => world
            .groups
            .iter()
            .map(|(id, group)| (id.clone(), group.serving()))
            .collect(),
    };
    if entry.changes {
        world.disturb();
    }
    let params = Params::new(params, world.strict);
    let done = action::with_token(world, &entry.service, &entry.action, &params, caller);
    entry.notes = params.notes();
    let done = done?;
    entry.acted = true;
    entry.replayed = done.replayed;
    if !done.effect.resource.is_empty() {
        entry.resource = done.effect.resource;
    }
    if !done.effect.names.is_empty() {
        entry.names = done.effect.names;
    }
    entry.serving = touched(world, &before, &entry.resource);
    Ok(done.body)
}

/// Who serves in the groups for which that changed, and in the one that was named.
fn touched(world: &World, before: &BTreeMap<String, usize>, named: &str) -> Vec<Serving> {
    let counts = before.iter().filter_map(|(id, &before)| {
        let after = world.groups.get(id)?.serving();
        (before != after || id == named).then(|| Serving {
            group: id.clone(),
            before,
            after,
        })
    });
    counts.collect()
}

/// A call whose answer was lost lands after all.
pub(crate) fn land(world: &mut World, late: LateCall) {
    let mut entry = Entry {
        number: world.audit.len() as u64 + 1,
        at: world.now,
        fault: Some("landed late".into()),
        ..late.entry
    };
    if let Err(refusal) = carry_out(world, &mut entry, late.params, &late.caller) {
        entry.code = Some(refusal.code);
    }
    world.note(entry);
}
