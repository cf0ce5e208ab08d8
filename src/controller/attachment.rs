//! The pipeline of a `ScalingGroupAttachment`, top to bottom.

mod activity;
mod apply;
mod claims;
mod feeds;
mod group;
mod managed;
mod observe;
pub mod parse;
mod release;

use std::{collections::BTreeSet, sync::Arc};

use server_group_core::{
    attachment::{AttachmentKey, Family, Plan, World, plan},
    claim::Claimant,
    reason::{Hold, Reason},
    verdict::Facts,
};

pub use managed::fed_group;

use super::{
    apply::Applied,
    converge::Pipeline,
    ended::{Ended, Judged},
    left::REMOVE_LATER,
    pass::Pass,
    report::{Counts, Seen, first_of, plain_message},
    shown_plan,
    sight::Sight,
    stop::Stop,
    waiting::{claimed, releasing},
};
use crate::{
    api::{ScalingGroupAttachment, status},
    cloud::{Cloud, Freshness, attachment_action},
};

impl Pipeline for ScalingGroupAttachment {
    type Wishes = parse::Parsed;
    type Group = group::Group;
    type View = observe::Observed;
    type Plan = Plan;

    fn wishes(pass: &Pass<'_, Self>) -> Result<parse::Parsed, String> {
        if pass.deleting() {
            return Ok(parse::Parsed::new());
        }
        parse::parse(&pass.object.spec).map_err(|invalid| invalid.to_string())
    }

    fn group_seen_by(pass: &Pass<'_, Self>, cloud: Cloud, _: &parse::Parsed) -> group::Group {
        group::Group {
            cloud,
            id: pass.object.spec.scaling_group_id.clone(),
        }
    }

    async fn follow(
        pass: &mut Pass<'_, Self>,
        group: &mut group::Group,
    ) -> Result<Option<Judged>, Stop> {
        activity::follow(pass, group).await
    }

    async fn observe(
        pass: &mut Pass<'_, Self>,
        group: &group::Group,
        wishes: &parse::Parsed,
        freshness: Freshness,
        _full: bool,
    ) -> Result<Option<observe::Observed>, Stop> {
        observe::observe(pass, group, wishes, freshness, feeds::Fed::All).await
    }

    async fn absent(pass: &mut Pass<'_, Self>, group: &group::Group) -> Result<Ended, Stop> {
        // The list leaves it out: it does not exist, or cannot be used.
        if pass.deleting() {
            return release::unseen(pass, group).await;
        }
        let message = format!(
            "scaling group {} is not listed in {}: it does not exist there, or is inactive; check spec.scalingGroupId, \
             spec.regionId, and whether the group is enabled",
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
            counts.attaching = counts.attaching.saturating_sub(planned.attach.len());
            let going = planned.detach.len() + planned.leave.len();
            counts.detaching = counts.detaching.saturating_sub(going);
        }
        pass.seen = Some(Seen {
            counts: Counts {
                desired: counts.desired,
                done: counts.attached,
                coming: counts.attaching,
                going: counts.detaching,
                foreign: counts.foreign,
                in_group: view.world.attached.len(),
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

    fn shows(view: &observe::Observed, key: &AttachmentKey) -> bool {
        view.world.attached.contains_key(key)
    }

    fn found(view: &observe::Observed, planned: &Plan) -> BTreeSet<AttachmentKey> {
        let world = &view.world;
        let listed = |key: &&AttachmentKey| world.desired.contains_key(*key);
        let adopted = world.ledger.adopted.iter().filter(listed);
        let there = adopted.filter(|key| world.attached.contains_key(*key));
        there.chain(&planned.adopt).cloned().collect()
    }

    fn missing(planned: &Plan) -> Vec<AttachmentKey> {
        planned.attach.keys().cloned().collect()
    }

    fn claimants(pass: &Pass<'_, Self>) -> Vec<Claimant<AttachmentKey>> {
        let others = pass.neighbours();
        let claims = |other: &Arc<_>| claims::claimant(pass.ctx, other);
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
        if pass.keeps_everything() {
            return Ok(true);
        }
        if planned.retain {
            let group = &pass.object.spec.scaling_group_id;
            let note = format!(
                "detaching from {group} by force would leave a server group without anybody who serves, so everything stays ({}). To \
                 have it detached, {REMOVE_LATER}, with spec.forceDetach false, or spec.removal.allowEmpty true",
                pass.record.ledger.len()
            );
            pass.tell_retained(note).await;
            return Ok(true);
        }
        let left = pass.left_to_release(&planned.hand_over, &planned.held);
        Ok(left.is_empty())
    }

    fn plan_for_status(planned: &Plan, wishes: &parse::Parsed) -> status::Plan {
        // Attachments that wait for their replacement are detached too, though later.
        let waits = |(_, hold): &(&AttachmentKey, &Hold)| **hold == Hold::WaitsForReplacement;
        let waiting = planned.held.iter().filter(waits).map(|(key, _)| key);
        let detached: BTreeSet<_> = waiting
            .chain(&planned.detach)
            .chain(&planned.leave)
            .collect();
        let weight = |key| wishes.get(key).copied().flatten();
        shown_plan::for_status(
            planned.attach.iter().map(|(key, weight)| (key, *weight)),
            detached,
            planned.swap.iter().map(|key| (key, weight(key))),
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
                || counts.attaching > 0
                || counts.detaching > 0
                || !pass.turn.unsettled.is_empty(),
            draining: false,
            // Room was made in this pass: the next one tries again.
            quota_reached: applied.no_room().is_some(),
            group_missing: pass.any_parked(&planned.held, |parked| parked.group_missing),
            parked_again: pass.any_parked(&planned.held, |parked| parked.again),
        };
        let verdict = match pass.judge(&facts, view.sight.unread.as_ref()) {
            Ok(verdict) => verdict,
            Err(unread) => return unread,
        };
        let message = match verdict.reason {
            Reason::Conflict => {
                format!(
                    "{}; list each attachment in one object only, and of the instances that a forced detach takes along all or none",
                    claimed(&planned.conflicts)
                )
            }
            Reason::LastServing if !planned.nobody_wanted => {
                "detaching would leave a server group without anybody who serves, or the scaling group with nothing attached; add \
                 members from elsewhere first, or set spec.removal.allowEmpty"
                    .into()
            }
            Reason::Changing => pass.what_is_under_way(&planned.awaits),
            Reason::PartlyApplied => pass.parked_entries(),
            Reason::Releasing if !pass.record.parked.is_empty() => pass.parked_leavers(),
            Reason::Releasing => releasing(&planned.awaits),
            Reason::GroupNotFound => {
                format!("{}; check its id and spec.regionId", pass.parked_entries())
            }
            Reason::Converged => converged(&view.world),
            reason => plain_message(reason).into(),
        };
        Judged { verdict, message }
    }

    fn additions(_: &group::Group, planned: &Plan) -> Vec<&'static str> {
        let families = planned.attach.keys().map(AttachmentKey::family);
        families
            .map(|family| attachment_action(family, true))
            .collect()
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

/// Says what is left alone because the spec has no list for it any more: a value that got lost looks like that too.
fn converged(world: &World) -> String {
    let plain = plain_message(Reason::Converged);
    let unspoken_of: Vec<_> = world.unspoken_of().collect();
    let (Some(first), named) = (unspoken_of.first(), first_of(&unspoken_of, 3)) else {
        return plain.into();
    };
    let field = match first.family() {
        Family::LoadBalancers => "spec.loadBalancers",
        Family::ServerGroups | Family::VServerGroups => "spec.serverGroups",
    };
    format!(
        "{plain}; {field} has no value, so what it listed before is left as it is, and not looked after: {named}"
    )
}
