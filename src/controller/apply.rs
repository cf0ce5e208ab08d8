//! The parts of applying a plan that both kinds share: changes of the ledger that need no call, and one action after
//! another.

use std::collections::BTreeSet;

use server_group_core::{ledger::Ledger, reason::Reason};

use super::{
    carry_out::{Done, End, Step, carry_out, waits_for_a_call},
    change::Change,
    ended::{Ended, Judged, Waits},
    events,
    managed::Managed,
    pass::Pass,
    report::{NAMED, first_of},
    sight::Target,
    stop::Stop,
};

/// The outcome of applying a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// Whether anything was sent.
    pub called: bool,
    /// How many changes the cloud accepted.
    pub accepted: usize,
    /// The cloud's id of the last answer that accepted any; empty before there is one.
    pub accepted_by: String,
    /// The words with which a quota refused an addition.
    pub quota_reached: Option<String>,
    /// How the pass ends before the end of the plan, if it does: nothing of the plan follows.
    pub ended: Option<Result<Ended, Stop>>,
    /// An action that the cloud refused some time ago and would refuse again; the rest of the plan goes on without it.
    pub refused: Option<Judged>,
}

impl Applied {
    /// The words with which a quota refused an addition, if nothing at all was accepted: an accepted change would have
    /// made room.
    pub fn no_room(&self) -> Option<&String> {
        let words = self.quota_reached.as_ref();
        words.filter(|_| self.accepted == 0)
    }

    /// The outcome when the pass has to wait first: nothing was done.
    pub fn ended(waits: Waits) -> Self {
        Self {
            ended: Some(Ok(waits.into())),
            ..Self::default()
        }
    }
}

/// How an action is told: `adding 25 servers to rsp-1`, `added 25 servers to rsp-1`.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// `adding`
    pub doing: &'static str,
    /// `added`
    pub done: &'static str,
    /// `server`
    pub noun: &'static str,
    /// `to`
    pub preposition: &'static str,
    /// The event that marks it.
    pub event: Change,
    /// Added at the end, where people may expect more of it than it does.
    pub remark: &'static str,
}

/// The entries by which a plan changes the ledger without a call.
#[derive(Debug)]
pub struct Entries<'p, K> {
    /// Entries found there.
    pub adopt: &'p BTreeSet<K>,
    /// Entries found there, and put there by an object that hands them over.
    pub inherit: &'p BTreeSet<K>,
    /// Entries that are in the ledger of another object now.
    pub hand_over: &'p BTreeSet<K>,
}

/// Takes entries that were found into the ledger, and entries that are another object's now out of it. The next write
/// carries both.
pub fn change_ledger<M: Managed>(
    pass: &mut Pass<'_, M>,
    entries: &Entries<'_, M::Key>,
    noun: &str,
    group: &str,
) {
    let Entries {
        adopt,
        inherit,
        hand_over,
    } = *entries;
    // What a person had taken over is registered by now.
    let registered = &pass.record.ledger.registered;
    let adopt: Vec<_> = adopt
        .iter()
        .filter(|key| !registered.contains(*key))
        .collect();
    for key in adopt.iter().copied() {
        pass.record.ledger.adopt(key.clone());
        if let Some(adopted) = pass.memory.not_ours.get_mut(key) {
            *adopted = true;
        }
    }
    for key in inherit {
        pass.record.ledger.register(key.clone());
        pass.memory.not_ours.remove(key);
    }
    for key in hand_over {
        pass.record.ledger.forget(key);
    }
    if !inherit.is_empty() {
        let (count, named) = (counted(inherit.len(), noun), first_of(inherit, NAMED));
        let note = format!("took over {count} at {group} from another object: {named}");
        pass.to_tell.push((Change::Adopted, note));
    }
    if !adopt.is_empty() {
        let (count, named) = (counted(adopt.len(), noun), first_of(&adopt, NAMED));
        let note = format!("adopted {count} found at {group}: {named}");
        pass.to_tell.push((Change::Adopted, note));
    }
}

/// Registers `keys`, which are about to be put there, in the ledger. Returns the ledger as it was before.
pub fn register<'k, M: Managed>(
    pass: &mut Pass<'_, M>,
    keys: impl Iterator<Item = &'k M::Key>,
) -> Ledger<M::Key> {
    let before = pass.record.ledger.clone();
    for key in keys {
        pass.record.ledger.register(key.clone());
        pass.memory.not_ours.remove(key);
    }
    before
}

/// Takes back the registration by [`register`] of keys that we certainly did not put there: should somebody else put
/// them there, they are theirs (S1).
pub fn take_back<'k, M: Managed>(
    pass: &mut Pass<'_, M>,
    keys: impl Iterator<Item = &'k M::Key>,
    before: &Ledger<M::Key>,
    accepted: &BTreeSet<M::Key>,
) {
    let open = pass.record.open_names();
    let refused = |key: &&M::Key| {
        !accepted.contains(key) && !open.contains(key) && !before.registered.contains(key)
    };
    for key in keys.filter(refused) {
        let adopted = before.adopted.contains(key);
        pass.memory.not_ours.insert(key.clone(), adopted);
    }
    unregister_not_ours(pass);
}

/// Takes keys off the ledger that we certainly did not put there. This is repeated until it is written, because the
/// intent that registered them is written already.
pub fn unregister_not_ours<M: Managed>(pass: &mut Pass<'_, M>) {
    let refused = pass.memory.not_ours.clone();
    for (key, adopted) in refused {
        pass.record.ledger.forget(&key);
        if adopted {
            pass.record.ledger.adopt(key);
        }
    }
}

/// Carries out one action of a plan, unless an earlier one stopped it or there is nothing to do. Returns the names that
/// the cloud accepted.
///
/// # Errors
///
/// [`Stop`] if the intent could not be written; then nothing was sent.
pub async fn act<M: Managed>(
    pass: &mut Pass<'_, M>,
    step: &mut impl Step<M>,
    names: Vec<M::Key>,
    wording: Wording,
    target: Target<'_>,
    applied: &mut Applied,
) -> Result<BTreeSet<M::Key>, Stop> {
    if names.is_empty() || applied.ended.is_some() {
        return Ok(BTreeSet::new());
    }
    let action = step.manner().action;
    if let Some(refused) = pass.still_blocked(action, target.sight) {
        applied.refused.get_or_insert(refused);
        return Ok(BTreeSet::new());
    }
    let Wording {
        doing,
        noun,
        preposition,
        ..
    } = wording;
    let mut message = format!(
        "{doing} {} {preposition} {}",
        counted(names.len(), noun),
        target.id
    );
    message.push_str(wording.remark);
    if let Some(failure) = &pass.memory.last_failure {
        message.push_str(" (before: ");
        message.push_str(failure);
        message.push(')');
    }
    let call = (step.manner().service, action);
    let waits = format!("{message}: {}", waits_for_a_call(action));
    if let Some(waits) = pass.wait_for_room(step.cloud(), call, Some(waits)) {
        applied.ended = Some(Ok(waits.into()));
        return Ok(BTreeSet::new());
    }
    applied.called = true;
    let done = carry_out(pass, step, names, &message).await?;
    applied.accepted += done.accepted.len();
    if let Some(request) = &done.request_id {
        applied.accepted_by.clone_from(request);
    }
    tell_accepted(pass, wording, &done, target.id).await;
    note_end(pass, action, &message, done.end, applied);
    Ok(done.accepted)
}

/// Notes what the end of an action means for the rest of the plan. `message` says what was being done.
fn note_end<M: Managed>(
    pass: &mut Pass<'_, M>,
    action: &'static str,
    message: &str,
    end: End,
    applied: &mut Applied,
) {
    match end {
        End::Complete => {}
        End::Quota(words) => applied.quota_reached = Some(words),
        End::Working | End::LookAgain => {
            let works = format!("{message}: the cloud is working on it");
            applied.ended = Some(Ok(Judged::because(Reason::Changing, works).into()));
        }
        End::Refused(error) => {
            let refused = Judged::from(error);
            pass.block(action, &refused);
            applied.ended = Some(Err(Stop::Failed(refused)));
        }
        End::Waits(waits) => applied.ended = Some(Ok(waits.into())),
        End::Stopped(stop) => applied.ended = Some(Err(stop)),
    }
}

/// Publishes which entries of an action the cloud accepted.
pub async fn tell_accepted<M: Managed>(
    pass: &Pass<'_, M>,
    wording: Wording,
    done: &Done<M::Key>,
    group: &str,
) {
    // There is an id as soon as anything was accepted.
    if let Some(request) = &done.request_id {
        let metrics = pass.ctx.metrics();
        let change = [M::KIND.name(), wording.event.name()];
        metrics.changes.add(change, done.accepted.len());
        let count = counted(done.accepted.len(), wording.noun);
        let (past, preposition) = (wording.done, wording.preposition);
        let named = first_of(&done.accepted, NAMED);
        let remark = wording.remark;
        let note =
            format!("{past} {count} {preposition} {group} (request {request}): {named}{remark}");
        events::publish(pass, wording.event, note).await;
    }
}

/// `1 server`, `25 servers`.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
