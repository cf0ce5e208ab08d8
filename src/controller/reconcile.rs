//! Runs one pass over one object of either kind, and decides when the next one is due.

use std::{sync::Arc, time::Duration};

use kube::{
    ResourceExt,
    runtime::{controller::Action, reflector::ObjectRef},
};
use server_group_core::{
    reason::Reason,
    verdict::{Facts, Verdict, judge},
};

use super::{
    Context, announce,
    apply::forget_refused,
    events::{self, Change},
    managed::Managed,
    neighbours, pace,
    pass::Pass,
    report::plain_message,
    stop::Stop,
};
use crate::api::status::Plan;

/// What the pipeline of a kind found out and did.
#[derive(Debug)]
pub struct Judged {
    /// How it ended.
    pub verdict: Verdict,
    /// For a person.
    pub message: String,
}

impl Judged {
    /// With what the cloud refused besides: its reason, unless this one needs a person more; its words in any case.
    #[must_use]
    pub fn beside(self, refused: Option<Stop>) -> Self {
        let Some(Stop::Verdict { verdict, message }) = refused else {
            return self;
        };
        match self.verdict.reason {
            Reason::Conflict | Reason::Contended | Reason::LastServing => Self {
                verdict: self.verdict,
                message: format!("{}; besides, {message}", self.message),
            },
            _ => Self { verdict, message },
        }
    }
}

/// A kind with its pipeline.
pub trait Pipeline: Managed {
    /// From parsing to verifying, for an object that is neither free to go nor at rest by its own wish.
    fn converge(pass: &mut Pass<'_, Self>) -> impl Future<Output = Result<Judged, Stop>> + Send;
}

impl<M: Managed> Pass<'_, M> {
    /// Shows what would be changed, and leaves it at that.
    pub fn planned(&mut self, shown: Plan) -> Judged {
        let totals = shown.totals;
        let message = format!(
            "to add {}, to remove {}, to update {}; nothing is changed in Plan mode",
            totals.add, totals.remove, totals.update
        );
        self.plan = Some(shown);
        Judged {
            verdict: Reason::Planned.into(),
            message,
        }
    }

    /// Suspended: nothing is started. One that is deleted meanwhile goes once what was sent is settled.
    pub fn resting(&mut self) -> Judged {
        let reason = if self.deleting() {
            self.moving = true;
            Reason::Releasing
        } else {
            Reason::Suspended
        };
        Judged {
            verdict: reason.into(),
            message: plain_message(reason).into(),
        }
    }

    /// How the pass ended, told from what its plan left; where something could not be read that explains it, that.
    ///
    /// # Errors
    ///
    /// The latter.
    pub fn judge(&self, facts: &Facts<'_, M::Key>) -> Result<Verdict, Judged> {
        let verdict = match self.deleting() {
            true => Reason::Releasing.into(),
            false => judge(facts),
        };
        let Some((reason, words)) = &self.unread else {
            return Ok(verdict);
        };
        let verdict = match verdict.reason {
            Reason::Retrying => (*reason).into(),
            Reason::Releasing => verdict,
            _ => return Ok(verdict),
        };
        Err(Judged {
            verdict,
            message: words.clone(),
        })
    }

    /// Says so when what is carried out now is not what was shown.
    pub fn tell_changed_plan(&mut self, now: &Plan) {
        let shown = self.shown_before.take();
        if let Some(shown) = shown.filter(|shown| shown.hash != now.hash) {
            let note = format!(
                "the plan that was shown had the hash {}; what is carried out now has {}",
                shown.hash, now.hash
            );
            self.to_tell.push((Change::PlanChanged, note));
        }
    }
}

/// One pass over one object.
///
/// # Errors
///
/// None: whatever happens is told in status, or tried again.
pub async fn reconcile<M: Pipeline>(
    cached: Arc<M>,
    ctx: Arc<Context>,
) -> Result<Action, std::convert::Infallible> {
    let reference = ObjectRef::from_obj(&*cached);
    let turn = ctx.turns.take(&cached.group()).await;
    let Some(object) = M::registry(&ctx).get(&reference) else {
        drop(turn);
        forget::<M>(&ctx, &cached);
        return Ok(Action::await_change());
    };
    let mut pass = Pass::new(&ctx, M::clone(&object), turn);
    pass.reset_when_asked();
    let before = pass.object.clone();
    let ended = attempt(&mut pass).await;
    let next = match conclude(&mut pass, &before, ended).await {
        Ok(Some(verdict)) => {
            let changed = !pass.object.same_status(&before);
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
            let mut memory = pass.memory.lock();
            memory.due = pass.due;
            pace::pace(seen, &mut memory, &ctx.timing)
        }
        Ok(None) => {
            let Pass { object, turn, .. } = pass;
            drop(turn);
            forget(&ctx, &object);
            return Ok(Action::await_change());
        }
        Err(stop) => after(&pass, &stop),
    };
    Ok(Action::requeue(next))
}

/// Everything up to the verdict.
async fn attempt<M: Pipeline>(pass: &mut Pass<'_, M>) -> Result<Judged, Stop> {
    forget_refused(pass);
    pass.close_answered();
    let open = pass.record.operation.is_some();
    if pass.deleting() {
        // What was sent nothing gets its weight back before it is left behind.
        let drained = !pass.record.draining.is_empty();
        let stays = pass.at_rest_by_wish() || (pass.keeps_everything() && !drained);
        let nothing_to_release = pass.record.ledger.registered.is_empty() && !drained;
        if pass.abandoned() || (!open && (stays || nothing_to_release)) {
            return Err(pass.let_go().await?);
        }
    } else if pass.object.suspended() && !open {
        return Ok(pass.resting());
    }
    M::converge(pass).await
}

/// Writes the status. Returns the verdict, or `None` if the object is gone.
async fn conclude<M: Pipeline>(
    pass: &mut Pass<'_, M>,
    before: &M,
    ended: Result<Judged, Stop>,
) -> Result<Option<Verdict>, Stop> {
    let judged = match ended {
        Ok(judged) => judged,
        Err(Stop::Gone) => return Ok(None),
        Err(Stop::Verdict { verdict, message }) => Judged { verdict, message },
        Err(stop @ (Stop::Superseded(_) | Stop::Kubernetes(_))) => return Err(stop),
    };
    let message = match &pass.remark {
        Some(remark) => format!("{}; {remark}", judged.message),
        None => judged.message,
    };
    let report = pass.report(judged.verdict, message);
    match pass.write(&report).await {
        Ok(()) => {
            pass.memory.lock().refused.clear();
            announce::announce(pass, before).await;
            if judged.verdict.reason == Reason::Converged {
                pass.memory.lock().last_failure = None;
            }
            Ok(Some(judged.verdict))
        }
        Err(Stop::Gone) => Ok(None),
        Err(stop) => Err(stop),
    }
}

/// When to come back after a pass that could not say how it ended.
fn after<M: Managed>(pass: &Pass<'_, M>, stop: &Stop) -> Duration {
    let object = format!(
        "{}/{}",
        pass.object.namespace().unwrap_or_default(),
        pass.object.name_any()
    );
    let timing = &pass.ctx.timing;
    let mut memory = pass.memory.lock();
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
        Stop::Gone | Stop::Verdict { .. } => {}
    }
    pace::backoff(memory.failures, timing)
}

/// Forgets an object that is gone, and its group with the last one on it.
pub fn forget<M: Managed>(ctx: &Context, object: &M) {
    let uid = object.uid().unwrap_or_default();
    M::registry(ctx).forget(&uid);
    M::memories(ctx).forget(&uid);
    let group = object.group();
    if neighbours::of::<M>(ctx, &group, Some(&uid)).is_empty() {
        ctx.turns.forget(&group);
    }
}
