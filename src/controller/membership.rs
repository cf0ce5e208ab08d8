//! The pipeline of a `ServerGroupMembership`, top to bottom.

mod apply;
mod claims;
mod draining;
mod foreigners;
mod group;
mod job;
mod managed;
mod observe;
pub mod parse;
mod scaling_groups;

use std::collections::BTreeSet;

use server_group_core::{
    membership::{Plan, plan},
    reason::{Hold, Reason},
    server::ServerKey,
    verdict::Facts,
};

use super::{
    object::Object,
    pass::Pass,
    reconcile::{Judged, Pipeline},
    report::{Counts, Seen, plain_message},
    shown_plan,
    stop::Stop,
    waiting::waits_for,
};
use crate::{
    api::{ServerGroupMembership, status},
    cloud::add_action,
};
use observe::Look;

impl Pipeline for ServerGroupMembership {
    async fn converge(pass: &mut Pass<'_, Self>) -> Result<Judged, Stop> {
        let parsed = if pass.deleting() {
            parse::for_release(&pass.object.spec)
        } else {
            let parsed = parse::parse(&pass.object.spec);
            parsed.map_err(|invalid| Stop::because(Reason::InvalidSpec, invalid.to_string()))?
        };
        let access = pass.authorize()?;
        let cloud = pass.session(&access).await?;
        let mut group = group::Group {
            cloud,
            product: parsed.product,
            id: pass.object.spec.server_group.id.clone(),
            another_job_runs: false,
        };
        group.another_job_runs = job::follow(pass, &group).await?;
        let Some(observed) = observe::observe(pass, &group, &parsed, Look::Shared).await? else {
            return gone(pass, &group).await;
        };
        let planned = see(pass, &observed);
        if pass.deleting() && may_go(pass, &observed, &planned).await? {
            return Err(pass.let_go().await?);
        }
        if pass.object.spec.suspend {
            return Ok(pass.resting());
        }
        let shown = shown(&planned);
        if pass.object.planning() && !pass.deleting() {
            return Ok(pass.planned(shown));
        }
        if !observed.open() {
            pass.moving = true;
            return Ok(pass.names_whom_it_waits_for(judged(pass, &planned, 0)));
        }
        pass.tell_changed_plan(&shown);
        let applied = apply::apply(pass, &group, &parsed, &planned).await?;
        if let Some(stop) = applied.stopped {
            return Err(stop);
        }
        // What was seen before the pass waited says what to do, not how it stands.
        if !applied.called && pass.resumes_from.is_none() {
            let judged = judged(pass, &planned, applied.accepted);
            return Ok(judged.beside(applied.refused));
        }
        pass.moving = applied.accepted > 0;
        // What was sent is not believed but looked at.
        let Some(observed) = observe::observe(pass, &group, &parsed, Look::Now).await? else {
            return gone(pass, &group).await;
        };
        let planned = see(pass, &observed);
        let quota = pass.remember_quota([add_action(group.product)], applied.accepted);
        let refused = quota.or(applied.refused);
        Ok(judged(pass, &planned, applied.accepted).beside(refused))
    }
}

/// Plans, and notes what was seen for whoever reports next.
fn see(pass: &mut Pass<'_, ServerGroupMembership>, observed: &observe::Observed) -> Plan {
    let mut planned = plan(&observed.world);
    pass.contest(&planned.awaits, &mut planned.held, &mut planned.conflicts);
    pass.forget_absent(&planned.absent, observed.begun);
    let mut counts = planned.counts;
    if pass.object.planning() && !pass.deleting() {
        // What is only planned neither comes nor goes.
        counts.joining = counts.joining.saturating_sub(planned.add.len());
        let going = planned.remove.len() + planned.drain.len();
        counts.leaving = counts.leaving.saturating_sub(going);
    }
    pass.seen = Some(Seen {
        counts: Counts {
            desired: counts.desired,
            done: counts.serving,
            coming: counts.joining,
            going: counts.leaving,
            foreign: counts.foreign,
        },
        held: planned.held.clone(),
    });
    planned
}

/// The plan as status shows it: what waits for its replacement, or at weight 0, leaves too, though later.
fn shown(planned: &Plan) -> status::Plan {
    let waits = |(_, hold): &(&ServerKey, &Hold)| **hold == Hold::WaitsForReplacement;
    let waiting = planned.held.iter().filter(waits).map(|(key, _)| key);
    let removed: BTreeSet<_> = waiting
        .chain(planned.drain.keys())
        .chain(&planned.waiting)
        .chain(&planned.remove)
        .collect();
    shown_plan::shown(
        planned.add.iter().map(|(key, wish)| (key, wish.weight)),
        removed,
        planned
            .reweigh
            .iter()
            .map(|(key, weight)| (key, Some(*weight))),
    )
}

/// How a pass over a group ended that was seen whole.
fn judged(pass: &Pass<'_, ServerGroupMembership>, planned: &Plan, accepted: usize) -> Judged {
    let counts = planned.counts;
    let facts = Facts {
        held: &planned.held,
        nobody_wanted: planned.nobody_wanted,
        moving: !planned.is_empty()
            || counts.joining > 0
            || counts.leaving > counts.draining
            || !pass.turn.unsettled.is_empty(),
        draining: counts.draining > 0,
        // Room was made in this pass: the next one tries again.
        quota_reached: pass.quota_reached.is_some() && accepted == 0,
        group_missing: false,
        parked_again: pass.any_parked(&planned.held, |parked| parked.retries > 0),
    };
    let verdict = match pass.judge(&facts) {
        Ok(verdict) => verdict,
        Err(unread) => return unread,
    };
    let message = match verdict.reason {
        Reason::Conflict => conflict(planned),
        Reason::Changing if !pass.turn.unsettled.is_empty() => {
            "a change was sent whose outcome is not known yet; nothing more is changed until it is"
                .into()
        }
        Reason::Changing => {
            let failed = pass.memory.lock().last_failure.clone();
            failed
                .or_else(|| waits_for(&planned.awaits))
                .unwrap_or_else(|| plain_message(Reason::Changing).into())
        }
        Reason::PartlyApplied => pass.refused_entries(),
        reason => plain_message(reason).into(),
    };
    Judged { verdict, message }
}

/// Names the first few members that an older object claims, and that object.
fn conflict(planned: &Plan) -> String {
    let named: Vec<_> = planned
        .conflicts
        .iter()
        .take(3)
        .map(|(key, other)| format!("{key} is claimed by {other}"))
        .collect();
    let more = planned.conflicts.len().saturating_sub(named.len());
    let more = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    format!(
        "{}{more}; list each member in one object only",
        named.join(", ")
    )
}

/// Whether a deleted object has nothing left to do.
async fn may_go(
    pass: &mut Pass<'_, ServerGroupMembership>,
    observed: &observe::Observed,
    planned: &Plan,
) -> Result<bool, Stop> {
    if !observed.open() {
        return Ok(false);
    }
    let gives_back = !planned.reweigh.is_empty();
    if pass.keeps_everything() {
        return Ok(pass.at_rest_by_wish() || !gives_back);
    }
    if planned.retain && !gives_back {
        let group = &pass.object.spec.server_group.id;
        let note = format!(
            "releasing would leave nobody serving in {group}: its members stay; set spec.removal.allowEmpty before \
             deleting to have them removed"
        );
        pass.tell_retained(note).await;
        return Ok(true);
    }
    // What was handed over, and what two views lacked, has left the ledger; what keeps coming back is left to whoever
    // brings it; the rest is on its way out.
    let mut left = pass.record.ledger.registered.clone();
    left.retain(|key| {
        !planned.hand_over.contains(key) && planned.held.get(key) != Some(&Hold::Contended)
    });
    Ok(left.is_empty() && !gives_back)
}

/// The group's own call says that it does not exist.
async fn gone(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &group::Group,
) -> Result<Judged, Stop> {
    if pass.deleting() && pass.gone_for_sure() {
        return Err(pass.let_go().await?);
    }
    let message = format!(
        "server group {} does not exist in {}; check spec.serverGroup and spec.regionId",
        group.id, pass.object.spec.region_id
    );
    Ok(Judged {
        verdict: Reason::GroupNotFound.into(),
        message,
    })
}
