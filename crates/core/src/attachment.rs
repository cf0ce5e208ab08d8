//! Which server groups a scaling group should feed.
//!
//! The same shape as [`crate::membership`], with attached groups in the place of serving members. One addition: a
//! forced detach takes instances out of a server group, so it needs somebody else who serves in it (S4).

pub mod guard;
mod key;

use std::collections::{BTreeMap, BTreeSet};

pub use key::{AttachmentKey, Family, NotAnAttachment};

use crate::{
    claim::{self, Age, Claimant, Foreigner, Owner, Unlisted},
    ledger::{LEDGER_MAX, Ledger},
    purpose::Purpose,
    reason::Hold,
    server::Weight,
};

/// The members of a server group, seen from one scaling group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// Members that are instances of this scaling group and serve, or are about to.
    pub ours: usize,
    /// Members counted in `ours` that serve for certain.
    pub serving: usize,
    /// Serving members from elsewhere, and those that other attachments of this scaling group bring at other ports.
    pub elsewhere: usize,
    /// Members that would count as `elsewhere` if a late call could not still take them.
    pub late: usize,
    /// Members that are instances of this scaling group and that no live object lists.
    pub unclaimed: usize,
    /// Whether the group's own call said that it does not exist; one such answer proves nothing.
    pub missing: bool,
    /// The name of a live, granted, enforcing object that lists one of the instances: that instance is not to leave
    /// (S1).
    pub claimed_by: Option<String>,
}

/// Everything a decision may depend on.
#[derive(Clone, Debug)]
pub struct World {
    /// Whether to make the scaling group match the list, or to let go of it.
    pub purpose: Purpose,
    /// Whether an edit may leave the scaling group with nothing attached by us, or a forced detach may leave a server
    /// group with nobody serving.
    pub allow_empty: bool,
    /// Whether a detach takes the scaling group's instances out of the server group.
    pub force_detach: bool,
    /// Attachments that the spec lists; empty on release.
    pub desired: BTreeMap<AttachmentKey, Option<Weight>>,
    /// Attachments that the scaling group has.
    pub attached: BTreeMap<AttachmentKey, Option<Weight>>,
    /// Whether the view is whole, young enough, and begun after the last mutation (S5).
    pub view_permits_removal: bool,
    /// Attachments that this object may detach.
    pub ledger: Ledger<AttachmentKey>,
    /// Order of birth of this object.
    pub age: Age,
    /// The other objects on this scaling group.
    pub others: Vec<Claimant<AttachmentKey>>,
    /// Attachments named by a change, ours or another object's, whose outcome is not settled (S6).
    pub unsettled: BTreeSet<AttachmentKey>,
    /// Attachments whose detaching was accepted, and that the list still shows (S8).
    pub awaited: BTreeSet<AttachmentKey>,
    /// Attachments that the cloud refused and that wait for their next try.
    pub parked: BTreeSet<AttachmentKey>,
    /// Attachments that came back after we detached them, again and again (S8).
    pub contended: BTreeSet<AttachmentKey>,
    /// Families that the spec has a list for; it has no opinion about the others ([`World::unspoken_of`]).
    pub spoken_of: BTreeSet<Family>,
    /// Attachments that no live object claims, and what is known of them; empty unless the list is the whole truth
    /// (S7).
    pub foreigners: BTreeMap<AttachmentKey, Foreigner>,
    /// The members of the server groups that a forced detach would touch; read only for those.
    pub feeds: BTreeMap<AttachmentKey, Feed>,
    /// Attachments that this look is not about, so that nobody read who is in their server groups: they are held, and tell
    /// nothing about the others.
    pub left_out: BTreeSet<AttachmentKey>,
}

/// The changes to make, and the differences to leave alone and why. The sets are disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Listed and not attached.
    pub attach: BTreeMap<AttachmentKey, Option<Weight>>,
    /// Ours and no longer listed, or confirmed strangers: detached as the spec says, forced or not.
    pub detach: BTreeSet<AttachmentKey>,
    /// Like `detach`, but never by force: other objects list the instances that would leave, so these change hands; or the
    /// server group is gone.
    pub leave: BTreeSet<AttachmentKey>,
    /// Listed and attached at another weight: detached without force, and attached again.
    pub swap: BTreeSet<AttachmentKey>,
    /// Listed and already attached.
    pub adopt: BTreeSet<AttachmentKey>,
    /// The same for attachments that another object made and hands over: they stay registered.
    pub inherit: BTreeSet<AttachmentKey>,
    /// In our ledger but another object's now, and on release those that were adopted.
    pub hand_over: BTreeSet<AttachmentKey>,
    /// In our ledger, neither listed nor attached.
    pub absent: BTreeSet<AttachmentKey>,
    /// Differences left alone, each with the reason.
    pub held: BTreeMap<AttachmentKey, Hold>,
    /// Held attachments that another object claims, each with that object's name.
    pub conflicts: BTreeMap<AttachmentKey, String>,
    /// Held attachments that change hands between this object and another one, each with that object's name.
    pub awaits: BTreeMap<AttachmentKey, String>,
    /// The list is empty and that is not allowed.
    pub nobody_wanted: bool,
    /// A forced release would leave a server group without anybody: everything stays (L4).
    pub retain: bool,
    /// How far the scaling group is.
    pub counts: Counts,
}

/// How far a scaling group is from its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attachments listed.
    pub desired: usize,
    /// Listed and attached.
    pub attached: usize,
    /// To be attached.
    pub attaching: usize,
    /// To be detached.
    pub detaching: usize,
    /// Attached, and neither listed nor ours.
    pub foreign: usize,
}

/// One change to one attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Attach,
    Adopt,
    Swap,
    Detach,
}

impl Change {
    const fn removes(self) -> bool {
        matches!(self, Self::Swap | Self::Detach)
    }
}

/// An objection to one change, or `None`.
type Rule = fn(&World, &AttachmentKey, Change) -> Option<Hold>;

/// Asked in order. The first objection wins.
const RULES: [Rule; 9] = [
    claimed_by_another,
    in_flight,
    parked,
    contended,
    perhaps_not_a_stranger,
    not_seen_whole,
    nothing_would_be_wanted,
    claimed_instances_would_leave,
    nobody_else_serves,
];

/// S7: another object's attachment is neither made, adopted nor changed.
fn claimed_by_another(world: &World, key: &AttachmentKey, change: Change) -> Option<Hold> {
    if change == Change::Detach {
        return None;
    }
    match claim::owner(key, &world.age, world.ledger.holds(key), &world.others) {
        Owner::Us => None,
        Owner::Other(_) => Some(Hold::Conflict),
        // It enters our ledger before it leaves the other one, and is changed once no other ledger holds it.
        Owner::Yielding(_) => (change != Change::Adopt).then_some(Hold::InFlight),
    }
}

/// S6: an attachment that an unsettled change names is left alone.
fn in_flight(world: &World, key: &AttachmentKey, change: Change) -> Option<Hold> {
    let again = change == Change::Detach && world.awaited.contains(key);
    let unsettled = change != Change::Adopt && world.unsettled.contains(key);
    (again || unsettled).then_some(Hold::InFlight)
}

/// S8: an attachment that the cloud refused waits for its next try.
fn parked(world: &World, key: &AttachmentKey, change: Change) -> Option<Hold> {
    (change != Change::Adopt && world.parked.contains(key)).then_some(Hold::Parked)
}

/// S8: an attachment that keeps coming back is left to whoever brings it.
fn contended(world: &World, key: &AttachmentKey, change: Change) -> Option<Hold> {
    (change == Change::Detach && world.contended.contains(key)).then_some(Hold::Contended)
}

/// S7: an attachment that is not ours goes only as a stranger.
fn perhaps_not_a_stranger(world: &World, key: &AttachmentKey, change: Change) -> Option<Hold> {
    let stranger = world.foreigners.get(key) == Some(&Foreigner::Stranger);
    (change == Change::Detach && !world.owns(key) && !stranger).then_some(Hold::InFlight)
}

/// S5: nothing is detached on a view that might lack something.
fn not_seen_whole(world: &World, _: &AttachmentKey, change: Change) -> Option<Hold> {
    (change.removes() && !world.view_permits_removal).then_some(Hold::ViewIncomplete)
}

/// S4: an empty list detaches nothing.
fn nothing_would_be_wanted(world: &World, _: &AttachmentKey, change: Change) -> Option<Hold> {
    (change.removes() && world.lists_nobody()).then_some(Hold::LastServing)
}

/// S1: a forced detach takes out no instance that another object lists, and leaves behind none that nobody lists.
fn claimed_instances_would_leave(
    world: &World,
    key: &AttachmentKey,
    change: Change,
) -> Option<Hold> {
    if change != Change::Detach || !world.force_detach {
        return None;
    }
    match world.feeds.get(key) {
        None => Some(Hold::ViewIncomplete),
        Some(feed) => {
            (feed.claimed_by.is_some() && !world.leaves_instances(key)).then_some(Hold::Conflict)
        }
    }
}

/// S4: a forced detach needs a serving member from elsewhere in that server group.
fn nobody_else_serves(world: &World, key: &AttachmentKey, change: Change) -> Option<Hold> {
    let forced = change == Change::Detach && world.force_detach && !world.leaves_instances(key);
    if !forced || world.allow_empty {
        return None;
    }
    let feed = world.feeds.get(key)?;
    (feed.ours > 0 && feed.elsewhere == 0).then_some(Hold::LastServing)
}

impl World {
    /// Whether the list is empty though that is not allowed. Never on release.
    #[must_use]
    pub fn lists_nobody(&self) -> bool {
        self.purpose == Purpose::Converge && !self.allow_empty && self.desired.is_empty()
    }

    /// Whether this object may detach `key`: on release only attachments that it registered.
    #[must_use]
    pub fn owns(&self, key: &AttachmentKey) -> bool {
        match self.purpose {
            Purpose::Converge => self.ledger.holds(key),
            Purpose::Release => self.ledger.registered.contains(key),
        }
    }

    /// Entries of the ledger that the object looked after before its spec lost the list of their family.
    pub fn unspoken_of(&self) -> impl Iterator<Item = &AttachmentKey> {
        let unspoken_of = |key: &&AttachmentKey| !self.spoken_of.contains(&key.family());
        self.ledger.iter().filter(unspoken_of)
    }

    /// Whether the spec says anything about `key`: a release is about everything.
    #[must_use]
    pub fn speaks_of(&self, key: &AttachmentKey) -> bool {
        self.purpose == Purpose::Release || self.spoken_of.contains(&key.family())
    }

    /// Whether a detach of `key`, though it shall be forced, leaves the instances where they are. It does if the group
    /// seems to be gone, or if other objects list all instances. At deletion it does if they list one: a deletion must
    /// not wait for anybody's list (L4).
    #[must_use]
    pub fn leaves_instances(&self, key: &AttachmentKey) -> bool {
        let feed = self.feeds.get(key).filter(|_| self.force_detach);
        feed.is_some_and(|feed| {
            let released = self.purpose == Purpose::Release;
            feed.missing || (feed.claimed_by.is_some() && (feed.unclaimed == 0 || released))
        })
    }

    /// Attachments that are not listed, and are ours or strangers: those that a forced detach would be about.
    pub fn surplus(&self) -> impl Iterator<Item = &AttachmentKey> {
        let stranger = |key| self.foreigners.get(key) == Some(&Foreigner::Stranger);
        self.attached.keys().filter(move |key| {
            !self.desired.contains_key(*key)
                && ((self.owns(key) && self.speaks_of(key)) || stranger(*key))
        })
    }
}

/// Decides how to bring `world.attached` to `world.desired`.
#[must_use]
pub fn plan(world: &World) -> Plan {
    let mut plan = Plan {
        nobody_wanted: world.lists_nobody(),
        ..Plan::default()
    };
    let mut allowed = Vec::new();
    for (key, change) in differences(world, &mut plan) {
        match RULES.iter().find_map(|rule| rule(world, &key, change)) {
            Some(hold) => {
                let owner = claim::owner(&key, &world.age, world.ledger.holds(&key), &world.others);
                let (conflicts, awaits) = (&mut plan.conflicts, &mut plan.awaits);
                claim::name(owner, hold, &key, conflicts, awaits);
                let feed = world.feeds.get(&key);
                if let (Hold::Conflict, Some(name)) =
                    (hold, feed.and_then(|feed| feed.claimed_by.clone()))
                {
                    plan.conflicts.insert(key.clone(), name);
                }
                plan.held.insert(key, hold);
            }
            None => allowed.push((key, change)),
        }
    }
    let mut budget = Budget::new(world);
    for (key, change) in allowed {
        let objection = match change {
            Change::Attach | Change::Adopt if world.ledger.holds(&key) => None,
            Change::Attach | Change::Adopt => budget.enter(),
            Change::Detach => budget.detach(world, &key),
            Change::Swap => budget.swap(),
        };
        match objection {
            Some(hold) => _ = plan.held.insert(key, hold),
            None => plan.take(world, key, change),
        }
    }
    let mut held = plan.held.iter();
    let unseen =
        held.any(|(key, hold)| *hold == Hold::ViewIncomplete && !world.left_out.contains(key));
    let held_back = plan.held.values().any(|hold| *hold == Hold::LastServing);
    if world.purpose == Purpose::Release && (held_back || unseen) {
        // Whether everything stays is decided once all of it was seen: until then nothing leaves.
        plan.retain = held_back && !would_pass(world);
        plan.detach.clear();
        plan.leave.clear();
    }
    plan.counts = counts(world, &plan);
    plan
}

/// Whether everything could leave if no late call landed. Such a release waits; it does not end with attachments left
/// behind.
fn would_pass(world: &World) -> bool {
    let mut later = world.clone();
    for feed in later.feeds.values_mut() {
        feed.elsewhere += std::mem::take(&mut feed.late);
    }
    later.feeds != world.feeds && !plan(&later).retain
}

impl Plan {
    fn take(&mut self, world: &World, key: AttachmentKey, change: Change) {
        match change {
            Change::Attach => {
                let weight = world.desired[&key];
                self.attach.insert(key, weight);
            }
            Change::Adopt if claim::inherited(&key, &world.others) => _ = self.inherit.insert(key),
            Change::Adopt => _ = self.adopt.insert(key),
            Change::Detach if world.leaves_instances(&key) => _ = self.leave.insert(key),
            Change::Detach => _ = self.detach.insert(key),
            Change::Swap => _ = self.swap.insert(key),
        }
    }
}

/// The differences that would need a change, removals before swaps. Those that need none go straight into the plan.
fn differences(world: &World, plan: &mut Plan) -> Vec<(AttachmentKey, Change)> {
    let mut changes = Vec::new();
    let mut swaps = Vec::new();
    for (key, weight) in &world.desired {
        let known = world.ledger.holds(key);
        match world.attached.get(key) {
            None => changes.push((key.clone(), Change::Attach)),
            Some(now) if known && weight.is_some() && now.is_some() && now != weight => {
                swaps.push((key.clone(), Change::Swap));
            }
            // It is in our ledger and yet another object's: both ledgers hold it, and the rules will say so.
            Some(_)
                if !known || claim::owner(key, &world.age, known, &world.others) != Owner::Us =>
            {
                changes.push((key.clone(), Change::Adopt));
            }
            Some(_) => {}
        }
    }
    let listed = |key: &&AttachmentKey| world.desired.contains_key(*key);
    for key in world.ledger.iter().filter(|key| !listed(key)) {
        changes.extend(way_of_unlisted(world, key, plan));
    }
    let strangers = world.foreigners.keys().filter(|key| {
        world.attached.contains_key(*key)
            && !world.desired.contains_key(*key)
            && !world.ledger.holds(key)
            && !claim::claimed(*key, &world.others)
    });
    changes.extend(strangers.map(|key| (key.clone(), Change::Detach)));
    changes.append(&mut swaps);
    changes
}

/// How an attachment that is in the ledger and not listed ends, unless it changes hands or is gone.
fn way_of_unlisted(
    world: &World,
    key: &AttachmentKey,
    plan: &mut Plan,
) -> Option<(AttachmentKey, Change)> {
    let leaving = world.purpose == Purpose::Release;
    let unlisted = claim::unlisted(key, &world.age, leaving, &world.others);
    let attached = world.attached.contains_key(key);
    // A call about an unsettled attachment may still land: it is neither gone nor a difference.
    let settled = !world.unsettled.contains(key);
    if !world.owns(key) || unlisted == Unlisted::Theirs {
        if settled {
            plan.hand_over.insert(key.clone());
        }
        return None;
    }
    match unlisted {
        Unlisted::Awaits(name) if attached => {
            plan.held.insert(key.clone(), Hold::InFlight);
            plan.awaits.insert(key.clone(), name.to_owned());
        }
        _ if attached && world.speaks_of(key) => return Some((key.clone(), Change::Detach)),
        _ if attached => {}
        _ if settled => _ = plan.absent.insert(key.clone()),
        _ => {}
    }
    None
}

/// How many attachments may go in this plan, and how many may enter the ledger.
struct Budget {
    replaced: usize,
    above_last: usize,
    room: usize,
    /// Serving members that forced detaches of this plan take out, by server group.
    taken: Taken,
}

/// Serving members that forced detaches take out of server groups: one group may be attached at several ports.
#[derive(Default)]
struct Taken(BTreeMap<(String, String), usize>);

impl Taken {
    /// Whether a forced detach of `key` after those of this plan would leave nobody serving in its group (S4).
    fn leaves_nobody(&self, key: &AttachmentKey, feed: &Feed) -> bool {
        let before = self.0.get(&group(key)).copied().unwrap_or(0);
        feed.ours + before > 0 && feed.elsewhere <= before
    }

    fn take(&mut self, key: &AttachmentKey, feed: &Feed) {
        *self.0.entry(group(key)).or_default() += feed.serving;
    }
}

fn group(key: &AttachmentKey) -> (String, String) {
    let (product, id) = key.fed_group();
    (product, id.to_owned())
}

impl Budget {
    fn new(world: &World) -> Self {
        let listed = world
            .desired
            .keys()
            .filter(|key| world.attached.contains_key(key))
            .count();
        let surplus = world.surplus().count();
        let counted = |key: &&AttachmentKey| {
            world.ledger.holds(key) || world.foreigners.get(*key) == Some(&Foreigner::Stranger)
        };
        let ours = world.attached.keys().filter(counted).count();
        let may_be_last = world.allow_empty || world.purpose == Purpose::Release;
        Self {
            replaced: (listed + surplus).saturating_sub(world.desired.len()),
            above_last: if may_be_last {
                ours
            } else {
                ours.saturating_sub(1)
            },
            room: LEDGER_MAX.saturating_sub(world.ledger.len()),
            taken: Taken::default(),
        }
    }

    fn enter(&mut self) -> Option<Hold> {
        spend(&mut self.room, Hold::LedgerFull)
    }

    /// S3 and S4 for an attachment that is no longer listed.
    fn detach(&mut self, world: &World, key: &AttachmentKey) -> Option<Hold> {
        if self.replaced == 0 {
            return Some(Hold::WaitsForReplacement);
        }
        let forced = world.force_detach && !world.leaves_instances(key);
        let feed = world.feeds.get(key).filter(|_| forced);
        if feed.is_some_and(|feed| !world.allow_empty && self.taken.leaves_nobody(key, feed)) {
            return Some(Hold::LastServing);
        }
        let objection = spend(&mut self.above_last, Hold::LastServing);
        if objection.is_none() {
            self.replaced -= 1;
            if let Some(feed) = feed {
                self.taken.take(key, feed);
            }
        }
        objection
    }

    /// S4 for an attachment that is made again in a moment: others of ours have to stay meanwhile.
    fn swap(&mut self) -> Option<Hold> {
        spend(&mut self.above_last, Hold::LastServing)
    }
}

fn spend(room: &mut usize, otherwise: Hold) -> Option<Hold> {
    match room.checked_sub(1) {
        Some(left) => {
            *room = left;
            None
        }
        None => Some(otherwise),
    }
}

fn counts(world: &World, plan: &Plan) -> Counts {
    let mut counts = Counts {
        desired: world.desired.len(),
        ..Counts::default()
    };
    for key in world.desired.keys() {
        let waits = plan.held.get(key) == Some(&Hold::InFlight);
        if world.attached.contains_key(key) {
            counts.attached += 1;
        } else if waits || plan.attach.contains_key(key) {
            counts.attaching += 1;
        }
    }
    for key in world
        .attached
        .keys()
        .filter(|key| !world.desired.contains_key(key))
    {
        if plan.detach.contains(key) || plan.leave.contains(key) {
            counts.detaching += 1;
        } else if !world.owns(key) || plan.hand_over.contains(key) || plan.awaits.contains_key(key)
        {
            counts.foreign += 1;
        } else if plan.held.get(key) == Some(&Hold::InFlight) {
            counts.detaching += 1;
        }
    }
    counts
}

impl Plan {
    /// Whether carrying it out would change anything, in the cloud or in the ledger.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls_nothing()
            && self.adopt.is_empty()
            && self.inherit.is_empty()
            && self.hand_over.is_empty()
    }

    /// Whether it needs no call that changes the cloud.
    #[must_use]
    pub fn calls_nothing(&self) -> bool {
        self.attach.is_empty()
            && self.detach.is_empty()
            && self.leave.is_empty()
            && self.swap.is_empty()
    }
}

#[cfg(test)]
mod tests;
