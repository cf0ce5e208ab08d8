//! The scaling group as the cloud shows it, and what other objects make of it: the [`World`] of an attachment.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use server_group_core::{
    attachment::{AttachmentKey, World},
    claim::{Foreigner, claimed},
    contention::Presence,
    product::Product,
    server::Weight,
    settle::Sighting,
};

use super::{
    super::{
        following::patience,
        object::{Object, age},
        open::Open,
        pass::Pass,
        record::Reference,
        scaling_activity,
        settling::OpenOperations,
        sight::Sight,
        stop::Stop,
    },
    claims::claimant,
    feeds::{Fed, feeds},
    group::Group,
    managed::fed_group,
    parse::{self, Parsed},
};
use crate::{
    api::{Ownership, ScalingGroupAttachment},
    cloud::{AttachedGroup, Freshness, ScalingGroup},
};

/// A view and what follows from it.
pub struct Observed {
    /// Everything a decision may depend on.
    pub world: World,
    /// The findings of the look besides the attachments.
    pub sight: Sight,
    /// Whether no other object has a call under way on this scaling group.
    pub idle: bool,
    /// When it was asked for, since the start of the process.
    pub begun: Duration,
}

impl Observed {
    /// Whether the scaling group may be changed.
    pub(super) fn open(&self) -> bool {
        self.world.unsettled.is_empty() && self.idle
    }
}

/// Looks at the scaling group; `None` if the list leaves it out, which proves nothing. `freshness` says how old the
/// look may be, which others may have asked for.
///
/// # Errors
///
/// [`Stop`]: it could not be seen.
pub(super) async fn observe(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    parsed: &Parsed,
    freshness: Freshness,
    fed: Fed<'_>,
) -> Result<Option<Observed>, Stop> {
    let Some((attached, mut sight, begun)) = read_group(pass, group, freshness).await? else {
        return Ok(None);
    };
    pass.turn.had_rows = !attached.is_empty();
    let neighbours = pass.neighbours();
    let (unsettled, idle) = settled(pass, group, &attached, begun).await?;
    let desired = if pass.deleting() {
        Parsed::new()
    } else {
        parsed.clone()
    };
    let parked = parked(pass, &desired, &attached);
    let presence =
        |key: &AttachmentKey| Presence::of(desired.contains_key(key), attached.contains_key(key));
    let (contended, awaited) = pass.notice_returns(begun, idle, presence);
    let others = neighbours
        .iter()
        .map(|other| claimant(pass.ctx, other))
        .chain(pass.unclear_claims())
        .collect();
    let mut world = World {
        purpose: pass.purpose(),
        allow_empty: pass.object.spec.removal.allow_empty,
        force_detach: pass.object.spec.force_detach,
        desired,
        attached,
        view_permits_removal: true,
        ledger: pass.record.ledger.clone(),
        age: age(&pass.object),
        others,
        unsettled,
        awaited,
        parked,
        contended,
        spoken_of: parse::spoken_of(&pass.object.spec),
        foreigners: BTreeMap::new(),
        feeds: BTreeMap::new(),
        left_out: BTreeSet::new(),
    };
    sight.rivals =
        pass.take_the_place_of_rivals(&world.desired, &mut world.ledger, &mut world.others);
    world.foreigners = foreigners(pass, &world, begun);
    pass.confirm_if_only_planned(&mut world.foreigners);
    see_fed_groups(pass, group, &mut world, fed, begun, &mut sight).await;
    let observed = Observed {
        world,
        sight,
        idle,
        begun,
    };
    Ok(Some(observed))
}

/// Counts a view towards the settling of calls that are open on the scaling group. Returns the attachments that are
/// named by calls whose outcome is not known, and whether nothing runs (S6).
async fn settled(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    attached: &BTreeMap<AttachmentKey, Option<Weight>>,
    begun: Duration,
) -> Result<(BTreeSet<AttachmentKey>, bool), Stop> {
    let operations = pass.open_operations();
    // The object that made the call may not be able to follow its activity any more; the scaling group can be asked.
    let another_runs = another_runs(pass, group, &operations).await?;
    let nothing_open = operations.open.is_empty() && pass.turn.unsettled.is_empty();
    // A call that was not answered may have become an activity.
    let idle =
        !another_runs && (nothing_open || !group.cloud.scaling_group_is_busy(&group.id).await?);
    let shown = |name: &str| {
        let key = name.parse::<AttachmentKey>().ok();
        let weight = key.and_then(|key| attached.get(&key));
        weight.map_or(Sighting::Absent, |weight| Sighting::Attached(*weight))
    };
    pass.recall_what_may_land(group.cloud.now());
    let unsettled = pass.settle(operations, shown, idle, begun);
    let unsettled = unsettled.iter().filter_map(|name| name.parse().ok());
    Ok((unsettled.collect(), idle))
}

/// The entries that are left alone for now, of those about which there is something to do; the others are forgotten (S8).
fn parked(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    desired: &Parsed,
    attached: &Attached,
) -> BTreeSet<AttachmentKey> {
    let ledger = pass.record.ledger.clone();
    let exclusive = pass.object.spec.ownership == Ownership::Exclusive;
    let wanted = |key: &AttachmentKey| match (desired.get(key), attached.get(key)) {
        (Some(_), None) => true,
        (Some(weight), Some(now)) => weight.is_some() && now.is_some() && now != weight,
        (None, now) => (ledger.holds(key) || exclusive) && now.is_some(),
    };
    pass.end_trials(None, wanted);
    pass.parked_now(wanted)
}

/// Looks at the server groups that a forced detach would take instances out of. Notes whether everything that was seen
/// is young enough, and the claims of others are clear enough, for a removal (S5, S7).
async fn see_fed_groups(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    world: &mut World,
    fed: Fed<'_>,
    begun: Duration,
    sight: &mut Sight,
) {
    let ctx = pass.ctx;
    let young = || ctx.now().saturating_sub(begun) < ctx.timing.view_age_max;
    // A plan may rest on a look that takes long: before each call the scaling group, and the groups that the call is
    // about, are looked at again.
    let young_before = young();
    if world.force_detach && !world.lists_nobody() {
        let left_out = world.surplus().filter(|key| !fed.is_about(key));
        world.left_out = left_out.cloned().collect();
        world.feeds = feeds(pass, group, world, sight).await;
    }
    let young = match fed {
        Fed::All => young_before,
        Fed::Of(_) => young(),
    };
    let seen = world.feeds.keys();
    let mut concerned: BTreeSet<_> = seen
        .map(|key| fed_group(&pass.object.spec.region_id, key))
        .collect();
    concerned.insert(pass.object.group());
    // Who serves in the groups besides the instances is asked by a forced detach alone.
    let lags = world.force_detach && pass.may_lag(&concerned, begun, sight);
    world.view_permits_removal = young && !lags && pass.claims_are_clear(&concerned, sight);
}

/// Whether an activity of another object's call runs: that object may not be able to follow it any more.
async fn another_runs(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    operations: &OpenOperations,
) -> Result<bool, Stop> {
    let (now, patience) = (pass.ctx.now(), patience(&pass.ctx.timing));
    for (id, open) in &operations.followed {
        if pass.turn.answered.contains(id) {
            continue;
        }
        let reference = open.reference.as_ref();
        let reference = reference.unwrap_or(&Reference::AnyActivity);
        let standing = scaling_activity::progress_of(
            pass.ctx,
            &mut pass.turn,
            &group.cloud,
            &group.id,
            reference,
        )
        .await?;
        if !pass.turn.is_over(id, standing.shown(), now, patience) {
            return Ok(true);
        }
        // If the object of the call is gone, nobody else tells that the call ended.
        let is_it = |open: &Open| open.local_id() == *id;
        pass.ctx.orphans.close(&pass.object.group(), is_it);
    }
    Ok(false)
}

type Attached = BTreeMap<AttachmentKey, Option<Weight>>;

/// Reads the scaling group. One that was attached to something and now reads empty is read again (S5).
async fn read_group(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    first: Freshness,
) -> Result<Option<(Attached, Sight, Duration)>, Stop> {
    for second in [false, true] {
        let freshness = if second { Freshness::now() } else { first };
        let found = group.cloud.scaling_group(&group.id, freshness).await?;
        let Some((begun, found)) = found else {
            return Ok(None);
        };
        let begun = pass.at(begun);
        pass.looked_at = Some(begun);
        let attached = attached(&found);
        if !attached.is_empty() || !pass.turn.had_rows || second {
            pass.memory.missing.found();
            let sight = sight(&found, &attached);
            return Ok(Some((attached, sight, begun)));
        }
    }
    unreachable!("the second look is taken as it is")
}

fn sight(group: &ScalingGroup, attached: &Attached) -> Sight {
    Sight {
        looks: format!("{} with {} attachments", group.lifecycle, attached.len()),
        unusable: group.lifecycle != "Active",
        remark: group.suspended.then(|| {
            format!(
                "ESS has suspended {} after failures in a row: it starts and replaces no instances until that is resumed",
                group.id
            )
        }),
        ..Sight::default()
    }
}

fn attached(group: &ScalingGroup) -> Attached {
    let server_groups = group.server_groups.iter();
    let server_groups = server_groups.filter_map(|group| Some((key(group)?, group.weight)));
    let vserver_groups = group.vserver_groups.iter().map(|group| {
        let key = AttachmentKey::VServerGroup {
            load_balancer: group.load_balancer_id.clone(),
            id: group.id.clone(),
            port: group.port,
        };
        (key, group.weight)
    });
    let load_balancers = group.load_balancers.iter().map(|load_balancer| {
        let id = load_balancer.id.clone();
        (AttachmentKey::LoadBalancer { id }, load_balancer.weight)
    });
    server_groups
        .chain(vserver_groups)
        .chain(load_balancers)
        .collect()
}

/// The key of an attached group. A group of a type that this version does not know has none: it is nobody's business
/// here.
fn key(group: &AttachedGroup) -> Option<AttachmentKey> {
    let product = match group.kind.as_str() {
        "ALB" => Product::Alb,
        "NLB" => Product::Nlb,
        "GWLB" => Product::Gwlb,
        _ => return None,
    };
    Some(AttachmentKey::ServerGroup {
        product,
        id: group.id.clone(),
        port: group.port,
    })
}

/// The attachments that no object claims, where the list is the whole truth (S7).
fn foreigners(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    world: &World,
    begun: Duration,
) -> BTreeMap<AttachmentKey, Foreigner> {
    let exclusive = pass.object.spec.ownership == Ownership::Exclusive && !pass.deleting();
    let stranger = |key: &&AttachmentKey| {
        exclusive
            && world.speaks_of(key)
            && !world.desired.contains_key(*key)
            && !world.ledger.holds(key)
            && !claimed(*key, &world.others)
    };
    let strangers: BTreeSet<_> = world.attached.keys().filter(stranger).cloned().collect();
    let confirmed = pass.confirmed_strangers(&strangers, begun);
    let known = |key: AttachmentKey| match confirmed.contains(&key) {
        true => (key, Foreigner::Stranger),
        false => (key, Foreigner::Unconfirmed),
    };
    strangers.into_iter().map(known).collect()
}
