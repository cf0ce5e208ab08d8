//! The group as the cloud shows it, and what other objects make of it: the [`World`] of a membership.

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

use server_group_core::{
    arrivals::Arrival,
    attachment::AttachmentKey,
    contention::Presence,
    membership::{Drain, Wish, World, is_unfinished, resolve::resolve},
    product::Product,
    reason::Reason,
    server::{Row, Rows, ServerKey, ServerKind, State, meant_by},
    settle::Sighting,
};

use super::{
    super::{
        ended::Waits,
        late_moves::LateMoves,
        object::{Object, age},
        pass::Pass,
        sight::Sight,
        stop::Stop,
        turns::Takes,
    },
    claims::claimant,
    draining::{self, drains},
    foreigners::foreigners,
    group::Group,
    named::{Spelling, spellings},
    parse::{self, Parsed},
    scaling_groups::{instances, instances_are_moved},
};
use crate::{
    api::{Ownership, ServerGroupMembership},
    cloud::{
        Freshness, GroupStatus, GroupView, Kind, LoadBalancerStatus, Member, MemberStatus,
        ServerKind as CloudKind, add_action, list_action, service,
    },
};

/// A whole view and what follows from it.
pub struct Observed {
    /// Everything a decision may depend on.
    pub world: World,
    /// The findings of the look besides the members.
    pub sight: Sight,
    /// The members that the list spells otherwise than their keys are written.
    pub(super) spelled: BTreeMap<ServerKey, Spelling>,
    /// Whether the cloud works on nothing in this group.
    pub idle: bool,
    /// When it was asked for, since the start of the process.
    pub begun: Duration,
}

impl Observed {
    /// Whether the group may be changed: nothing is unsettled on it and it is idle.
    pub(super) fn open(&self) -> bool {
        self.world.unsettled.is_empty() && self.idle
    }
}

/// Looks at the group; `None` if its own call says that it does not exist. It is `full` if a quota refused an addition in
/// this pass.
///
/// # Errors
///
/// [`Stop`]: the group could not be seen whole, or the list does not say which member it means.
pub(super) async fn observe(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    parsed: &Parsed,
    freshness: Freshness,
    full: bool,
) -> Result<Option<Observed>, Stop> {
    let Some((view, begun)) = read_group(pass, group, freshness).await? else {
        return Ok(None);
    };
    let rows = rows(group.product, &view);
    pass.turn.had_rows = !rows.is_empty();
    pass.record.ledger.take_addresses(&rows);
    let mut sight = describe(pass, group, &view).await;
    let idle = view.status == GroupStatus::Available
        && !group.another_job_runs
        && !instances_are_moved(pass, group).await;
    let neighbours = pass.neighbours();
    let (unsettled, mut may_be_taken) = in_doubt(pass, group, &rows, idle, begun);
    may_be_taken.extend(moved_late(pass, group, &rows, &mut sight).await);
    let desired = desired(pass, group, parsed, &rows)?;
    let (mut awaited, contended) = notice(pass, group, &desired, &rows, idle, begun);
    let in_flight = pass.may_still_change(&unsettled);
    let draining = draining::update(pass, group, &rows, &desired, &in_flight, begun);
    awaited.extend(draining::not_shown_yet(&draining, &rows, &in_flight));
    let parked = parked(pass, group, &desired, &rows, &draining);
    let others = neighbours.iter();
    let others = others.map(|other| claimant(pass.ctx, other, &rows));
    let others = others.chain(pass.unclear_claims()).collect();
    let mut world = World {
        product: group.product,
        purpose: pass.purpose(),
        keep: pass.deleting() && pass.keeps_everything(),
        policy: parsed.policy,
        desired,
        view_permits_removal: false,
        ledger: pass.record.ledger.clone(),
        age: age(&pass.object),
        others,
        unsettled,
        may_be_taken,
        awaited,
        parked,
        contended,
        quota_reached: full,
        drains: drains(pass, group),
        draining,
        foreigners: BTreeMap::new(),
        brought: None,
        rows,
    };
    sight.rivals =
        pass.take_the_place_of_rivals(&world.desired, &mut world.ledger, &mut world.others);
    ask_besides(pass, group, &mut world, &view, &mut sight).await;
    pass.confirm_if_only_planned(&mut world.foreigners);
    world.view_permits_removal = permits_removal(pass, begun, &mut sight);
    let observed = Observed {
        world,
        spelled: spellings(group.product, &view),
        sight,
        idle,
        begun,
    };
    Ok(Some(observed))
}

/// Adds to `world` what the member list does not tell: the members that scaling groups bring, and the strangers.
async fn ask_besides(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    world: &mut World,
    view: &GroupView,
    sight: &mut Sight,
) {
    world.brought = instances(pass, group, world, sight).await.map(|found| {
        world.others.extend(found.listed);
        found.brought
    });
    // The time of the member list counts: the age of the group's state says nothing about how long ago a stranger was
    // one.
    let listed = pass.at(view.listed);
    world.foreigners = foreigners(pass, group, world, listed, sight).await;
}

/// The wishes of the spec, by the members that its entries mean.
fn desired(
    pass: &Pass<'_, ServerGroupMembership>,
    group: &Group,
    parsed: &Parsed,
    rows: &Rows,
) -> Result<BTreeMap<ServerKey, Wish>, Stop> {
    if pass.deleting() {
        return Ok(BTreeMap::new());
    }
    let desired = resolve(group.product, &parsed.entries, &pass.record.ledger, rows);
    desired.map_err(|unclear| {
        let problems = unclear.iter().map(parse::unclear).collect();
        Stop::because(Reason::InvalidSpec, parse::invalid(problems).to_string())
    })
}

/// The entries that are left alone for now, of those about which there is something to do; the others are forgotten (S8).
fn parked(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    desired: &BTreeMap<ServerKey, Wish>,
    rows: &Rows,
    draining: &BTreeMap<ServerKey, Drain>,
) -> BTreeSet<ServerKey> {
    let ledger = pass.record.ledger.clone();
    let exclusive = pass.object.spec.ownership == Ownership::Exclusive;
    let unfinished = |key: &ServerKey| {
        let (goes, drains) = (exclusive || ledger.holds(key), draining.contains_key(key));
        is_unfinished(desired.get(key), rows.get(key), goes, drains)
    };
    pass.end_trials(Some(add_action(group.product)), unfinished);
    pass.parked_now(unfinished)
}

/// Counts a view towards the outcome of changes that the cloud accepted (S8). Returns the members that the list may not
/// show as they are yet, and those that come back however often they are removed.
fn notice(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    desired: &BTreeMap<ServerKey, Wish>,
    rows: &Rows,
    idle: bool,
    begun: Duration,
) -> (BTreeSet<ServerKey>, BTreeSet<ServerKey>) {
    let arrived = |key: &ServerKey| Arrival::of(rows.get(key), desired.contains_key(key));
    let mut awaited = pass.notice_arrivals(add_action(group.product), idle, arrived);
    let (contended, still_listed) = pass.notice_returns(begun, idle, |key| {
        let present = rows.get(key).is_some_and(|row| !row.state.leaves());
        Presence::of(desired.contains_key(key), present)
    });
    awaited.extend(still_listed);
    (awaited, contended)
}

/// Whether a view that was asked for at `begun` is young enough for a removal and old enough to show what happened before, and
/// the claims of others are clear (S5, S7).
fn permits_removal(
    pass: &Pass<'_, ServerGroupMembership>,
    begun: Duration,
    sight: &mut Sight,
) -> bool {
    let young = pass.ctx.now().saturating_sub(begun) < pass.ctx.timing.view_age_max;
    let concerned = BTreeSet::from([pass.object.group()]);
    let lags = pass.may_lag(&concerned, begun, sight);
    young && !lags && pass.claims_are_clear(&concerned, sight)
}

/// Counts a view towards the settling of calls that are open on the group. Returns the members that are named by calls
/// whose outcome is not known, and the members that a call may still take (S6).
fn in_doubt(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    rows: &Rows,
    idle: bool,
    begun: Duration,
) -> (BTreeSet<ServerKey>, BTreeSet<ServerKey>) {
    let operations = pass.open_operations();
    let show = |name: &str| match name.parse::<AttachmentKey>() {
        // Instances come or go with it: everybody who is there counts.
        Ok(_) => Sighting::Everybody(rows.keys().cloned().collect()),
        Err(_) => sighting(rows, name),
    };
    pass.recall_what_may_land(group.cloud.now());
    let unsettled = pass.settle(operations, show, idle, begun);
    let now = pass.ctx.now();
    let stays = |name: &str, takes: Takes| match (sighting(rows, name), takes) {
        (Sighting::Absent, _) => false,
        (Sighting::Member(_, weight), Takes::Weight) => weight != Some(0),
        _ => true,
    };
    pass.turn.saw(begun, now, stays);
    let ends = pass.turn.leaving.values().map(|leaving| leaving.until);
    if let Some(first) = ends.min() {
        pass.wake_at(first);
    }
    let keys = |name: &String| {
        let key = name.parse().ok();
        key.map_or_else(BTreeSet::new, |key| meant_by(key, rows))
    };
    let may_be_taken = pass.turn.leaving.keys().flat_map(keys).collect();
    (unsettled.iter().flat_map(keys).collect(), may_be_taken)
}

/// The members that settled calls of attachments may still take. Where ESS cannot be asked, that is every instance.
async fn moved_late(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    rows: &Rows,
    sight: &mut Sight,
) -> BTreeSet<ServerKey> {
    let id = pass.object.group();
    let moves = pass.late_moves(&group.cloud, &id).await;
    let moves = moves.unwrap_or_else(|error| {
        sight.could_not_read(error);
        LateMoves::Anybody
    });
    let is_instance = |row: &Row| matches!(row.kind, ServerKind::Ecs | ServerKind::Eci);
    let instances = rows.iter().filter(|(_, row)| is_instance(row));
    let taken = instances.filter(|(key, _)| moves.take(&key.id, key.port));
    taken.map(|(key, _)| key.clone()).collect()
}

/// Describes the group as it looks, as far as a person or a later try depends on it.
async fn describe(
    pass: &Pass<'_, ServerGroupMembership>,
    group: &Group,
    view: &GroupView,
) -> Sight {
    let mut sight = Sight {
        looks: format!("{} members", view.members.len()),
        remark: match &view.status {
            GroupStatus::Available => None,
            status => Some(format!(
                "server group {} is {status}, so nothing is changed in it until it is Available",
                group.id
            )),
        },
        ..Sight::default()
    };
    if pass.state_was_in_the_way()
        && let Some(id) = &view.load_balancer
    {
        // A vServer group has no state of its own; its load balancer has.
        let trouble = match group.cloud.load_balancer(id).await {
            Ok(found) if found.status == LoadBalancerStatus::Active => None,
            Ok(found) => Some(format!("load balancer {id} is {}", found.status)),
            Err(error) => Some(error.words()),
        };
        sight.looks.push_str(trouble.as_deref().unwrap_or_default());
        sight.unusable = trouble.is_some();
        sight.remark = trouble;
    }
    sight
}

/// The wait until the group can be looked at; `None` if there is none.
pub(super) fn waits_to_look(
    pass: &Pass<'_, ServerGroupMembership>,
    group: &Group,
    freshness: Freshness,
) -> Option<Waits> {
    if known(pass, freshness).is_some() {
        return None;
    }
    let call = (service(group.product), list_action(group.product));
    pass.wait_for_room(&group.cloud, call, None)
}

/// A view that somebody else on the group had, if it is new enough.
fn known<'p>(
    pass: &'p Pass<'_, ServerGroupMembership>,
    freshness: Freshness,
) -> Option<&'p GroupView> {
    let known = pass.turn.view.as_ref();
    let known = known.filter(|_| pass.turn.view_by == pass.key_id);
    known.filter(|view| view.begun >= freshness.since)
}

/// Reads the group's list. One that was not empty and now reads empty is read again (S5).
async fn read_group(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    freshness: Freshness,
) -> Result<Option<(GroupView, Duration)>, Stop> {
    if let Some(view) = known(pass, freshness).cloned() {
        let begun = pass.at(view.begun);
        pass.looked_at = Some(begun);
        return Ok(Some((view, begun)));
    }
    let first = if pass.in_motion() {
        Freshness::now()
    } else {
        freshness
    };
    for second in [false, true] {
        let freshness = if second { Freshness::now() } else { first };
        let looked = group
            .cloud
            .members_since(group.product, &group.id, freshness);
        match looked.await {
            Ok(view) if view.members.is_empty() && pass.turn.had_rows && !second => {}
            Ok(view) => {
                pass.memory.missing.found();
                pass.turn.view = Some(view.clone());
                pass.turn.view_by.clone_from(&pass.key_id);
                let begun = pass.at(view.begun);
                pass.looked_at = Some(begun);
                return Ok(Some((view, begun)));
            }
            Err(error) if error.kind == Kind::GroupNotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    unreachable!("the second look is taken as it is")
}

/// A member list as the core reads it.
fn rows(product: Product, view: &GroupView) -> Rows {
    view.members
        .iter()
        .map(|member| (key(product, member), row(member)))
        .collect()
}

/// The key that tells the member from others in `product`.
pub(super) fn key(product: Product, member: &Member) -> ServerKey {
    let kind = kind(&member.kind, &member.id);
    let keyed_by_ip = match kind {
        ServerKind::Ecs => product.keys_ecs_by_ip(),
        ServerKind::Eni | ServerKind::Eci => true,
        ServerKind::Ip | ServerKind::Fc => false,
    };
    ServerKey::new(
        &member.id,
        member.ip.filter(|_| keyed_by_ip),
        member
            .port
            .filter(|_| product.has_ports() && kind != ServerKind::Fc),
    )
}

/// The kind of a member; one that this version does not know is guessed by the id.
fn kind(kind: &CloudKind, id: &str) -> ServerKind {
    match kind {
        CloudKind::Ecs => ServerKind::Ecs,
        CloudKind::Eni => ServerKind::Eni,
        CloudKind::Eci => ServerKind::Eci,
        CloudKind::Ip => ServerKind::Ip,
        CloudKind::Fc => ServerKind::Fc,
        CloudKind::Unknown(_) => ServerKind::guessed_by(id),
    }
}

fn row(member: &Member) -> Row {
    Row {
        kind: kind(&member.kind, &member.id),
        weight: member.weight,
        state: match member.status {
            MemberStatus::Adding => State::Adding,
            MemberStatus::Available => State::Available,
            MemberStatus::Configuring => State::Configuring,
            MemberStatus::Removing => State::Removing,
            MemberStatus::Draining => State::Draining,
            MemberStatus::Replacing | MemberStatus::Unknown(_) => State::Other,
        },
        remote_ip: member.remote_ip,
    }
}

/// How a view shows a member that an operation names.
fn sighting(rows: &Rows, name: &str) -> Sighting {
    let found = name.parse::<ServerKey>().ok().and_then(|key| {
        let meant = meant_by(key, rows);
        meant
            .iter()
            .find_map(|key| rows.get(key))
            .map(|row| Sighting::Member(row.state, row.weight))
    });
    found.unwrap_or(Sighting::Absent)
}
