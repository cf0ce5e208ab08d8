//! The pipeline of a `ServerGroupMembership`, top to bottom.

mod apply;
mod claims;
mod draining;
mod foreigners;
mod group;
mod job;
mod managed;
mod named;
mod observe;
pub mod parse;
mod scaling_groups;

use std::{collections::BTreeSet, sync::Arc};

use server_group_core::{
    claim::Claimant,
    membership::{Plan, World, plan},
    reason::{Hold, Reason},
    server::{Rows, ServerKey},
    verdict::Facts,
};

use super::{
    apply::Applied,
    converge::Pipeline,
    ended::{Ended, Judged, Waits},
    left::REMOVE_LATER,
    pass::Pass,
    report::{Counts, Seen, plain_message},
    shown_plan,
    sight::Sight,
    stop::Stop,
    waiting::{claimed, releasing},
};
use crate::{
    api::{ServerGroupMembership, status},
    cloud::{Cloud, Freshness, add_action},
};

impl Pipeline for ServerGroupMembership {
    type Wishes = parse::Parsed;
    type Group = group::Group;
    type View = observe::Observed;
    type Plan = Plan;

    fn wishes(pass: &Pass<'_, Self>) -> Result<parse::Parsed, String> {
        if pass.deleting() {
            return Ok(parse::for_release(&pass.object.spec));
        }
        parse::parse(&pass.object.spec).map_err(|invalid| invalid.to_string())
    }

    fn group_seen_by(pass: &Pass<'_, Self>, cloud: Cloud, wishes: &parse::Parsed) -> group::Group {
        group::Group {
            cloud,
            product: wishes.product,
            id: pass.object.spec.server_group.id.clone(),
            another_job_runs: false,
        }
    }

    async fn follow(
        pass: &mut Pass<'_, Self>,
        group: &mut group::Group,
    ) -> Result<Option<Judged>, Stop> {
        job::follow(pass, group).await
    }

    fn waits_to_look(
        pass: &Pass<'_, Self>,
        group: &group::Group,
        freshness: Freshness,
    ) -> Option<Waits> {
        observe::waits_to_look(pass, group, freshness)
    }

    async fn observe(
        pass: &mut Pass<'_, Self>,
        group: &group::Group,
        wishes: &parse::Parsed,
        freshness: Freshness,
        full: bool,
    ) -> Result<Option<observe::Observed>, Stop> {
        observe::observe(pass, group, wishes, freshness, full).await
    }

    async fn absent(pass: &mut Pass<'_, Self>, group: &group::Group) -> Result<Ended, Stop> {
        // The group's own call says that it does not exist.
        if pass.deleting() && pass.gone_for_sure() {
            return pass.let_go().await;
        }
        let message = format!(
            "server group {} does not exist in {}; check spec.serverGroup and spec.regionId",
            group.id, pass.object.spec.region_id
        );
        Ok(Judged::because(Reason::GroupNotFound, message).into())
    }

    fn plan_and_note(pass: &mut Pass<'_, Self>, view: &observe::Observed) -> Plan {
        let mut planned = plan(&view.world);
        pass.contest(&planned.awaits, &mut planned.held, &mut planned.conflicts);
        pass.wake_when_all_is_shown(&planned.held);
        pass.forget_absent(&planned.absent, view.begun);
        let mut counts = planned.counts;
        if pass.only_plans() {
            // Changes that are only planned count neither as coming nor as going.
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
                in_group: counts.in_group,
            },
            held: planned.held.clone(),
            conflicts: planned.conflicts.clone(),
        });
        planned
    }

    fn sight(view: &observe::Observed) -> &Sight {
        &view.sight
    }

    fn is_open(view: &observe::Observed) -> bool {
        view.open()
    }

    fn shows(view: &observe::Observed, key: &ServerKey) -> bool {
        view.world.rows.contains_key(key)
    }

    fn found(view: &observe::Observed, planned: &Plan) -> BTreeSet<ServerKey> {
        let world = &view.world;
        let listed = |key: &&ServerKey| world.desired.contains_key(*key);
        let adopted = world.ledger.adopted.iter().filter(listed);
        let there = adopted.filter(|key| world.rows.contains_key(*key));
        there.chain(&planned.adopt).cloned().collect()
    }

    fn missing(planned: &Plan) -> Vec<ServerKey> {
        planned.add.keys().cloned().collect()
    }

    fn claimants(pass: &Pass<'_, Self>) -> Vec<Claimant<ServerKey>> {
        let others = pass.neighbours();
        let claims = |other: &Arc<_>| claims::claimant(pass.ctx, other, &Rows::new());
        others.iter().map(claims).collect()
    }

    async fn may_go(
        pass: &mut Pass<'_, Self>,
        view: &observe::Observed,
        planned: &Plan,
    ) -> Result<bool, Stop> {
        if !view.open() {
            return Ok(false);
        }
        let gives_back = !planned.reweigh.is_empty() || gives_back_later(&view.world, planned);
        if pass.keeps_everything() {
            return Ok(pass.at_rest_by_wish() || !gives_back);
        }
        if planned.retain && !gives_back {
            let group = &pass.object.spec.server_group.id;
            let note = format!(
                "releasing would leave nobody serving in {group}, so its members stay ({}). To have them removed, {REMOVE_LATER}, \
                 whose spec.removal.allowEmpty is true",
                pass.record.ledger.len()
            );
            pass.tell_retained(note).await;
            return Ok(true);
        }
        let left = pass.left_to_release(&planned.hand_over, &planned.held);
        Ok(left.is_empty() && !gives_back)
    }

    fn plan_for_status(planned: &Plan, _: &parse::Parsed) -> status::Plan {
        // Members that wait for their replacement, or at weight 0, leave too, though later.
        let waits = |(_, hold): &(&ServerKey, &Hold)| **hold == Hold::WaitsForReplacement;
        let waiting = planned.held.iter().filter(waits).map(|(key, _)| key);
        let removed: BTreeSet<_> = waiting
            .chain(planned.drain.keys())
            .chain(&planned.waiting)
            .chain(&planned.remove)
            .collect();
        shown_plan::for_status(
            planned.add.iter().map(|(key, wish)| (key, wish.weight)),
            removed,
            planned
                .reweigh
                .iter()
                .map(|(key, weight)| (key, Some(*weight))),
        )
    }

    fn judged(
        pass: &Pass<'_, Self>,
        view: &observe::Observed,
        planned: &Plan,
        applied: &Applied,
    ) -> Judged {
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
            quota_reached: applied.no_room().is_some(),
            group_missing: false,
            parked_again: pass.any_parked(&planned.held, |parked| parked.again),
        };
        let verdict = match pass.judge(&facts, view.sight.unread.as_ref()) {
            Ok(verdict) => verdict,
            Err(unread) => return unread,
        };
        let message = match verdict.reason {
            Reason::Conflict => {
                let claimed = claimed(&planned.conflicts);
                format!("{claimed}; list each member in one object only")
            }
            Reason::Changing => pass.what_is_under_way(&planned.awaits),
            Reason::PartlyApplied => not_done(pass, planned),
            Reason::Releasing if !pass.record.parked.is_empty() => pass.parked_leavers(),
            Reason::Releasing => releasing(&planned.awaits),
            reason => plain_message(reason).into(),
        };
        Judged { verdict, message }
    }

    fn additions(group: &group::Group, _: &Plan) -> Vec<&'static str> {
        vec![add_action(group.product)]
    }

    async fn apply(
        pass: &mut Pass<'_, Self>,
        group: &group::Group,
        wishes: &parse::Parsed,
        view: &observe::Observed,
        planned: &Plan,
    ) -> Result<Applied, Stop> {
        apply::apply(pass, group, wishes, &view.sight, planned).await
    }
}

/// Whether a member that stays was sent weight 0, and does not have its weight back: the list may lag, or the cloud refused that.
fn gives_back_later(world: &World, planned: &Plan) -> bool {
    world.draining.keys().any(|key| {
        let row = world.rows.get(key);
        let there = row.is_some_and(|row| !row.state.leaves());
        there && !planned.hand_over.contains(key)
    })
}

/// The entries that are not as listed, because the cloud refused them or cannot change them.
fn not_done(pass: &Pass<'_, ServerGroupMembership>, planned: &Plan) -> String {
    match (fixed_entries(planned), pass.record.parked.is_empty()) {
        (None, _) => pass.parked_entries(),
        (Some(fixed), true) => format!("the rest is done, but {fixed}"),
        (Some(fixed), false) => format!("{}; and {fixed}", pass.parked_entries()),
    }
}

/// The first of the entries that no call can make what the list says, and what to do; `None` if there are none.
fn fixed_entries(planned: &Plan) -> Option<String> {
    let fixed = |(_, hold): &(&ServerKey, &Hold)| **hold == Hold::Immutable;
    let mut fixed = planned.held.iter().filter(fixed);
    let (first, _) = fixed.next()?;
    let others = match fixed.count() {
        0 => String::new(),
        more => format!(", and {more} more,"),
    };
    Some(format!(
        "{first}{others} is in the group with another remoteIpEnabled than listed, which the cloud cannot change: write it as \
         it is, or take the entry off the list and list it again once it has left"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_call_can_change_is_named_with_what_to_do() {
        let mut planned = Plan::default();
        assert_eq!(fixed_entries(&planned), None);
        let mut hold = |key: &str, hold| {
            planned.held.insert(key.parse().unwrap(), hold);
            fixed_entries(&planned)
        };
        assert_eq!(hold("172.16.1.4:80", Hold::Parked), None);
        let one = hold("172.16.1.5:80", Hold::Immutable).unwrap();
        assert!(
            one.starts_with("172.16.1.5:80 is in the group with another remoteIpEnabled"),
            "{one}"
        );
        let two = hold("172.16.1.6:80", Hold::Immutable).unwrap();
        assert!(two.starts_with("172.16.1.5:80, and 1 more, is"), "{two}");
    }
}
