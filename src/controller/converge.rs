//! The pipeline of both kinds, top to bottom: from parsing to verifying.

use std::collections::BTreeSet;

use server_group_core::{claim::Claimant, reason::Reason};

use super::{
    apply::Applied,
    ended::{Ended, Judged, Waits, with_remark},
    managed::Managed,
    pass::Pass,
    sight::Sight,
    stop::Stop,
};
use crate::{
    api::status,
    cloud::{Cloud, Freshness},
};

/// A kind with the parts of its pipeline.
pub trait Pipeline: Managed {
    /// The wishes of the spec.
    type Wishes: Send + Sync;
    /// The group that the wishes are for: a server group or scaling group, and a client for it.
    type Group: Send + Sync;
    /// The group as a look showed it, whole.
    type View: Send + Sync;
    /// The changes that are planned for it.
    type Plan: Send + Sync;

    /// Reads the spec. One that contradicts itself must not keep a deleted object from going.
    ///
    /// # Errors
    ///
    /// A message for a person that says what is wrong with the spec.
    fn wishes(pass: &Pass<'_, Self>) -> Result<Self::Wishes, String>;

    /// The group, seen by `cloud`.
    fn group_seen_by(pass: &Pass<'_, Self>, cloud: Cloud, wishes: &Self::Wishes) -> Self::Group;

    /// Takes in how the job or scaling activity stands that carries out the open operation; says how the object stands
    /// while that runs.
    ///
    /// # Errors
    ///
    /// [`Stop`] if it could not be asked for.
    fn follow(
        pass: &mut Pass<'_, Self>,
        group: &mut Self::Group,
    ) -> impl Future<Output = Result<Option<Judged>, Stop>> + Send;

    /// The wait before the group can be looked at, if a look may be as old as the freshness says; `None` if there is
    /// none.
    fn waits_to_look(_: &Pass<'_, Self>, _: &Self::Group, _: Freshness) -> Option<Waits> {
        None
    }

    /// Looks at the group; `None` if it is not there. It is `full` if a quota refused an addition in this pass.
    ///
    /// # Errors
    ///
    /// [`Stop`] if it could not be seen whole.
    fn observe(
        pass: &mut Pass<'_, Self>,
        group: &Self::Group,
        wishes: &Self::Wishes,
        freshness: Freshness,
        full: bool,
    ) -> impl Future<Output = Result<Option<Self::View>, Stop>> + Send;

    /// Ends the pass when the group is not there.
    ///
    /// # Errors
    ///
    /// [`Stop`] if letting go of the object failed.
    fn absent(
        pass: &mut Pass<'_, Self>,
        group: &Self::Group,
    ) -> impl Future<Output = Result<Ended, Stop>> + Send;

    /// Plans, and notes in the pass what was seen, for the next report.
    fn plan_and_note(pass: &mut Pass<'_, Self>, view: &Self::View) -> Self::Plan;

    /// The findings of the look besides members or attachments.
    fn sight(view: &Self::View) -> &Sight;

    /// Whether the group may be changed: nothing is unsettled on it and it is idle.
    fn is_open(view: &Self::View) -> bool;

    /// Whether a look shows this entry.
    fn shows(view: &Self::View, key: &Self::Key) -> bool;

    /// The entries that are listed, were found there, and are no other object's.
    fn found(view: &Self::View, planned: &Self::Plan) -> BTreeSet<Self::Key>;

    /// The entries that are to be put there.
    fn missing(planned: &Self::Plan) -> Vec<Self::Key>;

    /// The other objects on the group, with their claims as far as they can be told without a look.
    fn claimants(pass: &Pass<'_, Self>) -> Vec<Claimant<Self::Key>>;

    /// Whether a deleted object has nothing left to do.
    ///
    /// # Errors
    ///
    /// [`Stop`] if something else has to be read for that, and could not be.
    fn may_go(
        pass: &mut Pass<'_, Self>,
        view: &Self::View,
        planned: &Self::Plan,
    ) -> impl Future<Output = Result<bool, Stop>> + Send;

    /// The plan as status shows it.
    fn plan_for_status(planned: &Self::Plan, wishes: &Self::Wishes) -> status::Plan;

    /// How the object stands: `planned` is what is left to do by now, `applied` is the outcome of the plan before.
    fn judged(
        pass: &Pass<'_, Self>,
        view: &Self::View,
        planned: &Self::Plan,
        applied: &Applied,
    ) -> Judged;

    /// The API actions by which a plan adds, which a quota can refuse.
    fn additions(group: &Self::Group, planned: &Self::Plan) -> Vec<&'static str>;

    /// Carries out a plan.
    ///
    /// # Errors
    ///
    /// [`Stop`] if an intent could not be written.
    fn apply(
        pass: &mut Pass<'_, Self>,
        group: &Self::Group,
        wishes: &Self::Wishes,
        view: &Self::View,
        planned: &Self::Plan,
    ) -> impl Future<Output = Result<Applied, Stop>> + Send;
}

/// Runs the pipeline from parsing to verifying, for an object that is neither free to go nor at rest by its own wish.
///
/// # Errors
///
/// [`Stop`]: something failed, or is not as the plan has it.
pub async fn converge<M: Pipeline>(pass: &mut Pass<'_, M>) -> Result<Ended, Stop> {
    let wishes = M::wishes(pass);
    let wishes = wishes.map_err(|invalid| Stop::because(Reason::InvalidSpec, invalid))?;
    let access = pass.authorize()?;
    let cloud = pass.session(&access).await?;
    let mut group = M::group_seen_by(pass, cloud, &wishes);
    if let Some(runs) = M::follow(pass, &mut group).await? {
        return Ok(runs.into());
    }
    let freshness = pass.freshness();
    if let Some(waits) = M::waits_to_look(pass, &group, freshness) {
        return Ok(waits.into());
    }
    let Some(view) = M::observe(pass, &group, &wishes, freshness, false).await? else {
        return M::absent(pass, &group).await;
    };
    let mut remark = M::sight(&view).remark.clone();
    let ended = act_on(pass, &group, &wishes, &view, &mut remark).await;
    let ended = with_remark(ended, remark.as_deref());
    ended.map(|ended| pass.names_what_is_fought_over(ended))
}

/// Runs the pipeline from planning to verifying. `remark` becomes the remark of the last look.
async fn act_on<M: Pipeline>(
    pass: &mut Pass<'_, M>,
    group: &M::Group,
    wishes: &M::Wishes,
    view: &M::View,
    remark: &mut Option<String>,
) -> Result<Ended, Stop> {
    let planned = M::plan_and_note(pass, view);
    if pass.deleting() {
        let goes = M::may_go(pass, view, &planned).await?;
        if goes && let Some(waits) = pass.waits_for_a_late_removal() {
            return Ok(waits.into());
        }
        pass.tell_what_stays(goes, |key| M::shows(view, key)).await;
        if goes {
            return pass.let_go().await;
        }
    }
    if pass.object.suspended() {
        return Ok(pass.resting().into());
    }
    let shown = M::plan_for_status(&planned, wishes);
    if pass.only_plans() {
        return Ok(pass.planned(shown, &M::sight(view).rivals).into());
    }
    if !M::is_open(view) {
        pass.moving = true;
        let judged = M::judged(pass, view, &planned, &Applied::default());
        return Ok(pass.names_whom_it_waits_for(judged).into());
    }
    pass.tell_changed_plan(&shown);
    let rested = pass.rests();
    let totals = shown.totals;
    if rested && totals.add + totals.remove + totals.update > 0 {
        pass.ctx.metrics().drift.one([M::KIND.name()]);
        pass.found_missing(M::missing(&planned));
    }
    pass.take_over_if_asked(|| M::found(view, &planned));
    let mut applied = M::apply(pass, group, wishes, view, &planned).await?;
    if !pass.record.ledger.registered.is_empty() {
        // It may have come over from another object, or been taken over, without a call: the next write says so.
        pass.hold_by_finalizer().await?;
    }
    if rested && applied.accepted > 0 {
        pass.tell_repaired(&applied);
    }
    if let Some(ended) = applied.ended.take() {
        return ended;
    }
    // A look from before the pass waited says what to do, but not how the object stands now.
    if !applied.called && pass.resumes_from.is_none() {
        let judged = M::judged(pass, view, &planned, &applied);
        return Ok(judged.with_refusal(applied.refused).into());
    }
    pass.moving = applied.accepted > 0;
    // The effect of the calls is not assumed: the group is looked at again.
    let full = applied.quota_reached.is_some();
    let Some(view) = M::observe(pass, group, wishes, Freshness::now(), full).await? else {
        return M::absent(pass, group).await;
    };
    remark.clone_from(&M::sight(&view).remark);
    let planned = M::plan_and_note(pass, &view);
    let additions = M::additions(group, &planned);
    let words = applied.no_room();
    let refused = words.map(|words| pass.block_for_quota(additions, words));
    let judged = M::judged(pass, &view, &planned, &applied);
    Ok(judged.with_refusal(refused.or(applied.refused)).into())
}
