//! Carries out a plan: attach first, then detach, then swap weights, each on the newest view.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use server_group_core::{
    attachment::{
        AttachmentKey, Family, Plan,
        guard::{self, Detach},
        plan,
    },
    claim::{Owner, owner},
    product::ATTACHMENTS_PER_CALL,
    reason::Reason,
    server::Weight,
};

use super::{
    super::{
        apply::{Applied, Entries, Wording, act, change_ledger, register, take_back},
        carry_out::{Manner, Step},
        change::Change,
        ended::Waits,
        object::age,
        open::Open,
        pass::Pass,
        record::Reference,
        scaling_activity::move_is_over,
        sight::{Sight, Target},
        stop::Stop,
        turns::{CallId, GroupId, Turn},
    },
    claims::claimant,
    feeds::Fed,
    group::Group,
    managed::fed_group,
    observe::observe,
    parse::Parsed,
};
use crate::{
    api::ScalingGroupAttachment,
    cloud::{self, Answer, Cloud, Force, Freshness, GroupStatus, Service},
};

/// Carries out `planned`: attach, detach, swap.
///
/// # Errors
///
/// [`Stop`] if an intent could not be written.
pub(super) async fn apply(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    parsed: &Parsed,
    sight: &Sight,
    planned: &Plan,
) -> Result<Applied, Stop> {
    if let Some(waits) = wait_for_fed_groups(pass, planned) {
        return Ok(Applied::ended(waits));
    }
    let entries = Entries {
        adopt: &planned.adopt,
        inherit: &planned.inherit,
        hand_over: &planned.hand_over,
    };
    change_ledger(pass, &entries, "server group", &group.id);
    let mut applied = Applied::default();
    let before = register(pass, planned.attach.keys());
    let mut accepted = BTreeSet::new();
    let id = &group.id;
    let target = Target { id, sight };
    let attached = attach(
        pass,
        group,
        target,
        &planned.attach,
        &mut applied,
        &mut accepted,
    )
    .await;
    take_back(pass, planned.attach.keys(), &before, &accepted);
    attached?;
    for (names, undoing) in [
        (&planned.detach, Undoing::Detach),
        (&planned.leave, Undoing::Leave),
    ] {
        for family in Family::ALL {
            let how = (undoing, family);
            undo(pass, group, target, parsed, how, names, &mut applied).await?;
        }
    }
    // One family after the other, each attached again at once: an object that is deleted meanwhile leaves it as it is, and
    // what stops another family does not keep this one detached.
    for family in Family::ALL {
        swap(
            pass,
            group,
            target,
            parsed,
            family,
            &planned.swap,
            &mut applied,
        )
        .await?;
    }
    Ok(applied)
}

/// Gives those of `names` that are of one family another weight: detaches them, and attaches them again.
async fn swap(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    target: Target<'_>,
    parsed: &Parsed,
    family: Family,
    names: &BTreeSet<AttachmentKey>,
    applied: &mut Applied,
) -> Result<(), Stop> {
    if of_family(family, names).is_empty() || applied.ended.is_some() {
        return Ok(());
    }
    // While attaching is refused, nothing is detached: it would not be attached again.
    if let Some(refused) = pass.still_blocked(cloud::attachment_action(family, true), target.sight)
    {
        applied.refused.get_or_insert(refused);
        return Ok(());
    }
    let how = (Undoing::Swap, family);
    let swapped = undo(pass, group, target, parsed, how, names, applied).await?;
    let weights = swapped.into_iter().filter_map(|key| {
        let weight = *parsed.get(&key)?;
        Some((key, weight))
    });
    let weights = weights.collect();
    let how = (family, KEPT_WEIGHTS);
    attach_family(pass, group, target, how, &weights, applied).await?;
    Ok(())
}

/// ESS gives a weight to instances that join, and to no others.
const KEPT_WEIGHTS: &str =
    "; it gets another weight, and instances that are in the group already keep theirs";

/// Makes attachments that are in the ledger, and adds those that the cloud accepted to `accepted`.
async fn attach(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    target: Target<'_>,
    weights: &BTreeMap<AttachmentKey, Option<Weight>>,
    applied: &mut Applied,
    accepted: &mut BTreeSet<AttachmentKey>,
) -> Result<(), Stop> {
    for family in Family::ALL {
        let how = (family, "");
        accepted.append(&mut attach_family(pass, group, target, how, weights, applied).await?);
    }
    Ok(())
}

/// Makes the attachments of one family; returns those that the cloud accepted.
async fn attach_family(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    target: Target<'_>,
    (family, remark): (Family, &'static str),
    weights: &BTreeMap<AttachmentKey, Option<Weight>>,
    applied: &mut Applied,
) -> Result<BTreeSet<AttachmentKey>, Stop> {
    let mut attach = Attach {
        group,
        family,
        weights: weights.clone(),
        force: forced(pass.object.spec.force_attach),
    };
    let wording = Wording {
        doing: "attaching",
        done: "attached",
        noun: noun(family),
        preposition: "to",
        event: Change::Attached,
        remark,
    };
    let names = of_family(family, weights.keys());
    act(pass, &mut attach, names, wording, target, applied).await
}

/// Undoes attachments of one family; returns those that the cloud accepted.
async fn undo(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    target: Target<'_>,
    parsed: &Parsed,
    (undoing, family): (Undoing, Family),
    names: &BTreeSet<AttachmentKey>,
    applied: &mut Applied,
) -> Result<BTreeSet<AttachmentKey>, Stop> {
    let force = match undoing {
        Undoing::Detach => forced(pass.object.spec.force_detach),
        // The instances stay.
        Undoing::Leave | Undoing::Swap => Force::No,
    };
    let mut undo = Undo {
        group,
        parsed,
        family,
        force,
        undoing,
    };
    let remark = match undoing {
        Undoing::Swap => KEPT_WEIGHTS,
        Undoing::Detach | Undoing::Leave => "",
    };
    let wording = Wording {
        remark,
        ..detaching(family)
    };
    let names = of_family(family, names);
    act(pass, &mut undo, names, wording, target, applied).await
}

const fn forced(asked: bool) -> Force {
    if asked { Force::Yes } else { Force::No }
}

/// Those of `keys` that one pair of operations attaches and detaches.
pub(super) fn of_family<'a>(
    family: Family,
    keys: impl IntoIterator<Item = &'a AttachmentKey>,
) -> Vec<AttachmentKey> {
    let keys = keys.into_iter().filter(|key| key.family() == family);
    keys.cloned().collect()
}

/// How a detach is told.
pub(super) const fn detaching(family: Family) -> Wording {
    Wording {
        doing: "detaching",
        done: "detached",
        noun: noun(family),
        preposition: "from",
        event: Change::Detached,
        remark: "",
    }
}

const fn noun(family: Family) -> &'static str {
    match family {
        Family::ServerGroups => "server group",
        Family::VServerGroups => "vServer group",
        Family::LoadBalancers => "load balancer",
    }
}

/// How a call that attaches or detaches behaves: it is over when answered, unless the answer refers to an activity.
pub(super) const fn manner(family: Family, attaches: bool) -> Manner {
    Manner {
        service: Service::Ess,
        action: cloud::attachment_action(family, attaches),
        limit: ATTACHMENTS_PER_CALL,
        over_when_answered: true,
        has_tokens: true,
    }
}

/// Makes attachments.
struct Attach<'g> {
    group: &'g Group,
    family: Family,
    weights: BTreeMap<AttachmentKey, Option<Weight>>,
    force: Force,
}

impl Step<ScalingGroupAttachment> for Attach<'_> {
    fn cloud(&self) -> &Cloud {
        &self.group.cloud
    }

    fn takes_away(&self) -> bool {
        self.force == Force::Yes
    }

    fn moves(&self, batch: &[AttachmentKey]) -> BTreeSet<GroupId> {
        moved(self.group, self.force, batch)
    }

    fn carried_out_by(&self, named: Option<String>) -> Option<Reference> {
        carried_out_by(named, self.force)
    }

    fn manner(&self) -> Manner {
        manner(self.family, true)
    }

    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ScalingGroupAttachment>,
        mut batch: Vec<AttachmentKey>,
        _repeating: bool,
    ) -> Result<Vec<AttachmentKey>, Stop> {
        if self.force == Force::Yes {
            see_that_nobody_uses(pass, self.group, &batch).await?;
        }
        let others: Vec<_> = pass
            .neighbours()
            .iter()
            .map(|other| claimant(pass.ctx, other))
            .collect();
        let age = age(&pass.object);
        batch.retain(|key| owner(key, &age, pass.record.ledger.holds(key), &others) == Owner::Us);
        Ok(batch)
    }

    async fn send(
        &self,
        cloud: Cloud,
        batch: &[AttachmentKey],
        token: &str,
    ) -> Result<Answer, cloud::Error> {
        let pairs: Vec<_> = batch
            .iter()
            .map(|key| (key, self.weights.get(key).copied().flatten()))
            .collect();
        let id = &self.group.id;
        cloud
            .attach(id, self.family, &pairs, self.force, token)
            .await
    }
}

/// Why attachments are undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undoing {
    /// For good, as the spec says.
    Detach,
    /// For good, and the instances stay, whatever the spec says: they change hands.
    Leave,
    /// To be made again at another weight.
    Swap,
}

/// Undoes attachments.
struct Undo<'g> {
    group: &'g Group,
    parsed: &'g Parsed,
    family: Family,
    force: Force,
    undoing: Undoing,
}

impl Step<ScalingGroupAttachment> for Undo<'_> {
    fn cloud(&self) -> &Cloud {
        &self.group.cloud
    }

    fn takes_away(&self) -> bool {
        true
    }

    fn moves(&self, batch: &[AttachmentKey]) -> BTreeSet<GroupId> {
        moved(self.group, self.force, batch)
    }

    fn carried_out_by(&self, named: Option<String>) -> Option<Reference> {
        carried_out_by(named, self.force)
    }

    fn manner(&self) -> Manner {
        manner(self.family, false)
    }

    fn accepted(
        &self,
        pass: &mut Pass<'_, ScalingGroupAttachment>,
        batch: &[AttachmentKey],
        _request: &str,
    ) {
        if self.undoing != Undoing::Swap {
            pass.note_removed(batch);
        }
    }

    /// Looks again, plans again, and lets through the attachments that both plans undo.
    ///
    /// When a call without an answer is repeated, attachments that are gone by now stay in the batch: the same token
    /// has to stand for the same content.
    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ScalingGroupAttachment>,
        mut batch: Vec<AttachmentKey>,
        repeating: bool,
    ) -> Result<Vec<AttachmentKey>, Stop> {
        if self.force == Force::Yes {
            see_that_nobody_uses(pass, self.group, &batch).await?;
        }
        let observed = observe(
            pass,
            self.group,
            self.parsed,
            Freshness::now(),
            Fed::Of(&batch),
        )
        .await?;
        let observed = observed.ok_or(Stop::Superseded("the scaling group is no longer listed"))?;
        if !observed.open() {
            return Err(Stop::because(
                Reason::Changing,
                format!("{} is busy", self.group.id),
            ));
        }
        let world = observed.world;
        let planned = plan(&world);
        let allowed = match self.undoing {
            Undoing::Detach => planned.detach,
            Undoing::Leave => planned.leave,
            Undoing::Swap => planned.swap,
        };
        let gone = |key: &AttachmentKey| !world.attached.contains_key(key);
        batch.retain(|key| allowed.contains(key) || (repeating && gone(key)));
        let present: Vec<_> = batch.iter().filter(|key| !gone(key)).cloned().collect();
        let how = if self.force == Force::Yes {
            Detach::Forced
        } else {
            Detach::Unforced
        };
        if !present.is_empty() {
            guard::detach(&world, &present, how).map_err(|violation| {
                tracing::error!(%violation, group = self.group.id, "the planner and the guard disagree; nothing was sent");
                Stop::because(Reason::Retrying, format!("nothing was detached: {violation}"))
            })?;
        }
        Ok(batch)
    }

    async fn send(
        &self,
        cloud: Cloud,
        batch: &[AttachmentKey],
        token: &str,
    ) -> Result<Answer, cloud::Error> {
        let batch: Vec<_> = batch.iter().collect();
        let id = &self.group.id;
        cloud
            .detach(id, self.family, &batch, self.force, token)
            .await
    }
}

/// A forced call moves instances by an activity also where the answer names none (vServer groups): it is over when
/// no activity runs.
fn carried_out_by(named: Option<String>, force: Force) -> Option<Reference> {
    match (named, force) {
        (Some(id), _) => Some(Reference::Id(id)),
        (None, Force::Yes) => Some(Reference::AnyActivity),
        (None, Force::No | Force::NoActivity) => None,
    }
}

/// The groups that a call moves instances in or out of.
fn moved(group: &Group, force: Force, batch: &[AttachmentKey]) -> BTreeSet<GroupId> {
    let region = group.cloud.region();
    let moved = batch.iter().filter(|_| force == Force::Yes);
    moved.map(|key| fed_group(region, key)).collect()
}

/// The wait until the pass has the turns on the groups that forced calls will move instances in or out of (S6); `None`
/// if it has them.
fn wait_for_fed_groups(pass: &Pass<'_, ScalingGroupAttachment>, planned: &Plan) -> Option<Waits> {
    let spec = &pass.object.spec;
    // Attachments that get another weight are attached again in the same pass.
    let attached = planned.attach.keys().chain(&planned.swap);
    let attached = attached.filter(|_| spec.force_attach);
    let detached = planned.detach.iter().filter(|_| spec.force_detach);
    let moved = attached.chain(detached);
    pass.wait_for_groups(moved.map(|key| fed_group(&spec.region_id, key)).collect())
}

/// Checks that nothing else is under way on the groups that a forced call moves instances in or out of (S6).
///
/// # Errors
///
/// [`Stop`] while something is under way on one of them, or on the scaling group.
async fn see_that_nobody_uses(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    batch: &[AttachmentKey],
) -> Result<(), Stop> {
    let region = pass.object.spec.region_id.clone();
    let groups: BTreeMap<_, _> = batch
        .iter()
        .map(|key| (fed_group(&region, key), key))
        .collect();
    for (fed, key) in groups {
        let mut turn = pass
            .also
            .remove(&fed)
            .expect("what a forced call moves was planned, and waited for");
        // Looks from before the call do not show whom it moves.
        (turn.changed_at, turn.view) = (Some(pass.ctx.now()), None);
        let in_use = in_use(pass, group, &fed, &mut turn).await;
        pass.also.insert(fed, turn);
        if in_use {
            return Err(Stop::because(
                Reason::Changing,
                format!("another change to {key} is under way"),
            ));
        }
    }
    if let Some((id, status)) = being_changed(group, batch).await? {
        return Err(Stop::because(
            Reason::Changing,
            format!("server group {id} is {status}: it is being changed"),
        ));
    }
    if group.cloud.scaling_group_is_busy(&group.id).await? {
        return Err(Stop::because(
            Reason::Changing,
            format!("a scaling activity of {} is running", group.id),
        ));
    }
    Ok(())
}

/// A server group of `batch` whose own state says that it is being changed, whoever changes it: a call of ours is over
/// when it is answered, long before its change of the group is. A group that is not listed is no reason to wait.
async fn being_changed(
    group: &Group,
    batch: &[AttachmentKey],
) -> Result<Option<(String, GroupStatus)>, Stop> {
    let server_groups: BTreeSet<_> = batch
        .iter()
        .filter_map(AttachmentKey::server_group)
        .collect();
    let asked = server_groups
        .iter()
        .map(|(product, id)| group.cloud.group_status(*product, id));
    let found = try_join_all(asked).await?.into_iter().zip(server_groups);
    let mut changing = found.filter_map(|(status, (_, id))| Some((id.to_owned(), status?)));
    Ok(changing.find(|(_, status)| *status != GroupStatus::Available))
}

/// Whether another call is under way on `fed`, a group that a forced call changes; `turn` is the turn on it (S6). The
/// other call is one of a membership or of another attachment, whether or not its object is still there.
///
/// The other object may not be able to follow its call any more. So ESS is asked where it can tell; any other call is
/// known not to land any more after a while.
async fn in_use(
    pass: &Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    fed: &GroupId,
    turn: &mut Turn,
) -> bool {
    let over = |open: &Open| turn.answered.contains(&open.local_id());
    pass.ctx.orphans.close(fed, over);
    let mut open: BTreeMap<_, _> = pass
        .open_on(fed, turn)
        .into_iter()
        .filter(|open| open.moved_by.is_some() || !over(open))
        .map(|open| (open.local_id(), open))
        .collect();
    // Calls on the group itself may be in no status any more. Calls of attachments are in the attachments' statuses
    // until they are over.
    let own = |id: &&CallId| !id.moves();
    for id in turn.unsettled.ids().filter(own) {
        open.entry(id.clone()).or_default();
    }
    turn.waited_for.retain(|id, _| open.contains_key(id));
    turn.moves_over.retain(|id| open.contains_key(id));
    let (ctx, cloud) = (pass.ctx, &group.cloud);
    for (id, open) in open {
        let lands = ctx.timing.linger;
        let over = match open.moved_by.as_deref() {
            Some(scaling_group) => {
                move_is_over(ctx, fed, turn, cloud, &open, scaling_group, lands).await
            }
            None => {
                let since = turn.waited_for.entry(id.clone());
                ctx.now() >= *since.or_insert_with(|| ctx.now()) + lands
            }
        };
        if !over {
            return true;
        }
        // If the object of the call is gone, nobody else tells that the call ended.
        ctx.orphans.close(fed, |open| open.local_id() == id);
    }
    false
}
