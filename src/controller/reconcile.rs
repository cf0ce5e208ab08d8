//! Runs one pass over one object of either kind, and decides when the next one is due.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::ResourceExt;
use server_group_core::{
    claim::{self, Claimant, Foreigner},
    ledger::Ledger,
    reason::Reason,
    verdict::{Facts, Verdict, judge},
};
use tokio::time::Instant;

use super::{
    Context, announce,
    apply::unregister_not_ours,
    change::Change,
    converge::{Pipeline, converge},
    ended::{Ended, Judged, Wait, Waits},
    events,
    known::Known,
    left::{ABANDON_IT, Stays},
    managed::Managed,
    object::is_held,
    pace,
    pass::{Pass, Work},
    queue::{Level, Name},
    report::{first_of, plain_message},
    stop::Stop,
    turns::GroupId,
};
use crate::{api::status::Plan, cloud::Ticket};

impl<M: Managed> Pass<'_, M> {
    /// Shows what would be changed, and leaves it at that. The plan is made as if this object stood in the place of its
    /// `rivals`, which list some of the same.
    pub fn planned(&mut self, shown: Plan, rivals: &[String]) -> Judged {
        let totals = shown.totals;
        let message = format!(
            "to add {}, to remove {}, to update {}{}; {}",
            totals.add,
            totals.remove,
            totals.update,
            in_place_of(rivals),
            match self.ctx.read_only {
                true => "nothing is changed: the operator runs with --read-only",
                false => "nothing is changed in Plan mode",
            }
        );
        self.plan = Some(shown);
        Judged::because(Reason::Planned, message)
    }

    /// The judgement of a suspended object: nothing is started. One that is deleted meanwhile goes once its calls are
    /// settled.
    pub fn resting(&mut self) -> Judged {
        let reason = if self.deleting() {
            self.moving = true;
            Reason::Releasing
        } else {
            Reason::Suspended
        };
        Judged::because(reason, plain_message(reason))
    }

    /// In Plan mode, puts the object in the place of the others that list some of the same: what their ledgers hold is its own
    /// then. Returns their names.
    pub fn take_the_place_of_rivals<V>(
        &self,
        desired: &BTreeMap<M::Key, V>,
        ledger: &mut Ledger<M::Key>,
        others: &mut Vec<Claimant<M::Key>>,
    ) -> Vec<String> {
        match self.object.planning() && !self.deleting() {
            true => claim::take_the_place(|key| desired.contains_key(key), ledger, others),
            false => Vec::new(),
        }
    }

    /// Takes strangers for confirmed where nothing is carried out.
    pub fn confirm_if_only_planned(&self, foreigners: &mut BTreeMap<M::Key, Foreigner>) {
        if self.only_plans() {
            claim::confirm(foreigners);
        }
    }

    /// The judgement of a deleted object, otherwise free to go, that a removal of its keeps which may still land; `None` if there
    /// is none.
    pub fn waits_for_a_late_removal(&mut self) -> Option<Judged> {
        let message = format!(
            "a removal was sent whose answer is missing, and may still take effect: the object stays on record for up to 15 minutes; {ABANDON_IT}"
        );
        self.a_removal_may_land()
            .then(|| Judged::because(Reason::Releasing, message))
    }

    /// The judgement of a deleted object that has something to release, of an operator that only reads.
    pub fn reads_only(&mut self) -> Judged {
        self.moving = true;
        let message = format!(
            "what it registered is released once the operator runs without --read-only; {ABANDON_IT}"
        );
        Judged::because(Reason::Releasing, message)
    }

    /// The verdict, from what the plan left to do.
    ///
    /// # Errors
    ///
    /// If something could not be read that explains the verdict: a judgement that says so.
    pub fn judge(
        &self,
        facts: &Facts<'_, M::Key>,
        unread: Option<&Judged>,
    ) -> Result<Verdict, Judged> {
        let verdict = match self.deleting() {
            true => Reason::Releasing.into(),
            false => judge(facts),
        };
        let Some(unread) = unread else {
            return Ok(verdict);
        };
        let verdict = match verdict.reason {
            Reason::Retrying => unread.verdict,
            Reason::Releasing => verdict,
            _ => return Ok(verdict),
        };
        Err(Judged {
            verdict,
            message: unread.message.clone(),
        })
    }

    /// Notes an event if the plan that is carried out now is not the one that was shown.
    pub fn tell_changed_plan(&mut self, now: &Plan) {
        let shown = self.shown_before.take();
        self.shown = None;
        self.memory.shown = None;
        if let Some(shown) = shown.filter(|shown| shown.hash != now.hash) {
            let note = format!(
                "the plan that was shown had the hash {}; what is carried out now has {}",
                shown.hash, now.hash
            );
            self.to_tell.push((Change::PlanChanged, note));
        }
    }
}

/// In whose place a plan is made, for a person.
fn in_place_of(rivals: &[String]) -> String {
    if rivals.is_empty() {
        return String::new();
    }
    let lists = if rivals.len() == 1 { "lists" } else { "list" };
    let named = first_of(rivals, 3);
    format!(", as if this object stood in the place of {named}, which {lists} some of the same")
}

/// The event that brings an object back.
#[derive(Debug)]
pub enum Next {
    /// After so long.
    After(Duration, Level),
    /// Once a call may leave.
    Call(Ticket),
    /// Once it can have these groups besides its own.
    With(BTreeSet<GroupId>),
    /// Nothing: it is gone.
    Never,
}

/// Runs one pass over one object. Every outcome is told in status, or tried again.
pub async fn reconcile<M: Pipeline>(ctx: &Context, name: &Name, work: Work) -> Next {
    let Some(known) = M::registry(ctx).get(name) else {
        return Next::Never;
    };
    let level = work.level;
    let Some(mut pass) = Pass::begin(ctx, &known, work) else {
        return Next::After(ctx.timing.soon, level);
    };
    let begun = Instant::now();
    pass.reset_when_asked();
    let ended = attempt(&mut pass).await;
    let concluded = conclude(&mut pass, &known, ended).await;
    let waits = matches!(concluded, Ok(Concluded::Waits(Wait::Call(_))));
    pass.leave_view(waits);
    let metrics = ctx.metrics();
    metrics.pass_times.took([M::KIND.name()], begun.elapsed());
    let verdict = ending(&concluded);
    metrics.passes.one([M::KIND.name(), verdict]);
    match concluded {
        Ok(Concluded::Verdict(verdict)) => {
            let changed = !pass.object.same_status(&known);
            let now = ctx.now();
            let seen = pace::Seen {
                verdict,
                changed,
                moving: pass.moving,
                due: pass.due.map(|due| due.saturating_sub(now)),
                ago: pass
                    .looked_at
                    .map_or(Duration::ZERO, |at| now.saturating_sub(at)),
                interval: ctx.timing.interval(pass.object.interval_seconds()),
            };
            pass.memory.due = pass.due;
            let (delay, level) = pace::pace(seen, &mut pass.memory, &ctx.timing);
            Next::After(delay, level)
        }
        Ok(Concluded::Waits(Wait::Call(ticket))) => {
            pass.memory.waits_since = pass.looked_at;
            Next::Call(ticket)
        }
        Ok(Concluded::Waits(Wait::Groups(groups))) => Next::With(groups),
        Ok(Concluded::Gone) => gone(pass, name),
        Err(stop) if stop.is_forbidden() && pass.is_left_without_rights().await => {
            match pass.let_go().await {
                Ok(_) => gone(pass, name),
                Err(stop) => Next::After(after(&mut pass, &stop), Level::Sweep),
            }
        }
        Err(stop) => {
            // An object that somebody changed meanwhile is looked at soon. A failure waits like every other failure.
            let level = match stop {
                Stop::Superseded(_) => Level::Asked,
                Stop::Gone | Stop::Kubernetes(_) | Stop::Failed(_) => Level::Sweep,
            };
            Next::After(after(&mut pass, &stop), level)
        }
    }
}

/// The object is gone, or was let go of. One that is still there and ours to look after is looked at again: an answer may
/// have been wrong.
fn gone<M: Managed>(pass: Pass<'_, M>, name: &Name) -> Next {
    let Pass {
        ctx, object, turn, ..
    } = pass;
    drop(turn);
    let facts = M::registry(ctx).facts(name);
    let still_there = facts.is_some_and(|facts| facts.uid == object.uid().unwrap_or_default());
    if still_there && (is_held(&object) || object.meta().deletion_timestamp.is_none()) {
        return Next::After(ctx.timing.backoff_min, Level::Sweep);
    }
    ctx.let_go_of(&object);
    Next::Never
}

/// How a pass ended, as far as status tells it.
enum Concluded {
    Verdict(Verdict),
    Waits(Wait),
    Gone,
}

/// How a pass ended, as metrics tell it.
fn ending(concluded: &Result<Concluded, Stop>) -> &'static str {
    match concluded {
        Ok(Concluded::Verdict(verdict)) => verdict.reason.name(),
        Ok(Concluded::Waits(_)) => "Waits",
        Ok(Concluded::Gone) | Err(Stop::Gone) => "Gone",
        Err(Stop::Failed(judged)) => judged.verdict.reason.name(),
        Err(Stop::Superseded(_)) => "Superseded",
        Err(Stop::Kubernetes(_)) => "Kubernetes",
    }
}

/// Everything up to the verdict.
async fn attempt<M: Pipeline>(pass: &mut Pass<'_, M>) -> Result<Ended, Stop> {
    unregister_not_ours(pass);
    pass.close_answered();
    let open = pass.record.operation.is_some();
    if pass.deleting() {
        // It was let go of, by this operator or by hand, and somebody else's finalizer keeps it: its ledger claims nothing any
        // more, and what is open is told by the book.
        if !is_held(&pass.object) {
            return Ok(Ended::LetGo);
        }
        pass.tell_strange_abandon().await;
        // Members that we set to weight 0 get their weight back before they are left behind.
        let drained = !pass.record.draining.is_empty();
        let stays = pass.at_rest_by_wish() || (pass.keeps_everything() && !drained);
        let nothing_to_release = pass.record.ledger.registered.is_empty() && !drained;
        if pass.abandoned() {
            pass.tell_all_left(Stays::Abandoned).await;
            return pass.let_go().await;
        }
        // What was left to a call without an answer is known to nobody once the object is gone.
        if !open
            && (stays || nothing_to_release)
            && let Some(waits) = pass.waits_for_a_late_removal()
        {
            return Ok(waits.into());
        }
        if !open && stays {
            let why = pass.why_everything_stays().unwrap_or(Stays::Retained);
            pass.tell_all_left(why).await;
            return pass.let_go().await;
        }
        if !open && nothing_to_release {
            pass.tell_adopted_left().await;
            return pass.let_go().await;
        }
        if pass.ctx.read_only {
            return Ok(pass.reads_only().into());
        }
    } else {
        // Somebody may have replaced the object by one that lacks the finalizer.
        if open || !pass.record.ledger.registered.is_empty() {
            pass.hold_by_finalizer().await?;
        }
        if pass.object.suspended() && !open {
            return Ok(pass.resting().into());
        }
    }
    Box::pin(converge(pass)).await
}

/// Writes the status.
async fn conclude<M: Pipeline>(
    pass: &mut Pass<'_, M>,
    before: &Known<M>,
    ended: Result<Ended, Stop>,
) -> Result<Concluded, Stop> {
    let (judged, concluded) = match ended {
        Ok(Ended::Judged(judged)) | Err(Stop::Failed(judged)) => {
            let concluded = Concluded::Verdict(judged.verdict);
            (judged, concluded)
        }
        Ok(Ended::Waits(Waits { wait, message })) => {
            let Some(message) = message else {
                return Ok(Concluded::Waits(wait));
            };
            let reason = match pass.deleting() {
                true => Reason::Releasing,
                false => Reason::Changing,
            };
            (Judged::because(reason, message), Concluded::Waits(wait))
        }
        Ok(Ended::LetGo) | Err(Stop::Gone) => return Ok(Concluded::Gone),
        Err(stop @ (Stop::Superseded(_) | Stop::Kubernetes(_))) => return Err(stop),
    };
    if judged.verdict.reason == Reason::CredentialsUnavailable
        && let Some(key) = &pass.key_id
    {
        pass.ctx.identities.doubt(key);
        pass.ctx.upkeep.doubt(pass.object.account_name());
    }
    let judged = pass.with_the_way_out(judged);
    let report = pass.report(judged.verdict, judged.message);
    match pass.write(&report).await {
        Ok(()) => {
            pass.memory.not_ours.clear();
            announce::announce(pass, before).await;
            if judged.verdict.reason == Reason::Converged {
                pass.memory.last_failure = None;
            }
            Ok(concluded)
        }
        Err(Stop::Gone) => Ok(Concluded::Gone),
        Err(stop) => Err(stop),
    }
}

/// When to come back after a pass that could not say how it ended.
fn after<M: Managed>(pass: &mut Pass<'_, M>, stop: &Stop) -> Duration {
    let object = format!(
        "{}/{}",
        pass.object.namespace().unwrap_or_default(),
        pass.object.name_any()
    );
    let timing = &pass.ctx.timing;
    let memory = &mut pass.memory;
    memory.failures = memory.failures.saturating_add(1);
    match stop {
        Stop::Kubernetes(error) => tracing::warn!(
            object,
            error = events::chain(error),
            "Kubernetes did not take part; trying again"
        ),
        Stop::Superseded(why) => {
            tracing::info!(object, why, "the pass was given up; looking again")
        }
        Stop::Gone | Stop::Failed(_) => {}
    }
    pace::backoff(memory.failures, timing)
}

#[cfg(test)]
mod tests;
