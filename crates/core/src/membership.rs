//! Which members a server group should gain, lose and keep.
//!
//! [`plan`] is total and deterministic: equal worlds give equal plans. Objections are functions in
//! [`RULES`]; the arithmetic of who must keep serving is in [`crate::serving`]. [`guard`] states the rules
//! about removals a second time, right before a call.

mod differences;
pub mod draining;
pub mod guard;
pub mod resolve;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    amount::Amount,
    claim::{self, Age, Claimant, Foreigner, Owner, Unlisted},
    ledger::{LEDGER_MAX, Ledger},
    product::Product,
    purpose::Purpose,
    reason::Hold,
    server::{Row, Rows, ServerKey, ServerKind, State, Weight},
    serving::{self, Serving},
};

/// One member as the spec lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The kind of member.
    pub kind: ServerKind,
    /// Absent: the product's default when added, never touched afterwards.
    pub weight: Option<Weight>,
    /// Whether it is an address outside of the VPC, which is said when it is added; absent: not said, and never compared.
    pub remote_ip: Option<bool>,
}

/// Whether there is still something to do about a member: it is not in its group as the list says, or it is there, not
/// listed, and `goes`. A member that `drains` at weight 0 is on its way out, or gets its weight back.
#[must_use]
pub fn is_unfinished(wish: Option<&Wish>, row: Option<&Row>, goes: bool, drains: bool) -> bool {
    match (wish, row) {
        (Some(_), None) => true,
        (Some(wish), Some(row)) => {
            let another_weight = wish.weight.is_some() && wish.weight != row.weight;
            row.state != State::Available || another_weight || drains
        }
        (None, Some(_)) => goes || drains,
        (None, None) => false,
    }
}

/// How far removals may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Members that have to keep serving (S4).
    pub min_serving: Amount,
    /// The number by which a swap may dip where the group has no room for the new members (S3).
    pub max_unavailable: Amount,
    /// Whether our removals may leave nobody serving.
    pub allow_empty: bool,
}

/// Everything a decision may depend on.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may hold without the others"
)]
pub struct World {
    /// The product that the group belongs to.
    pub product: Product,
    /// Whether to make the group match the list, or to let go of it.
    pub purpose: Purpose,
    /// Whether a release leaves everything: `Retain`, or deleted while suspended or planning.
    pub keep: bool,
    /// How far removals may go.
    pub policy: Policy,
    /// Members that the spec lists, resolved against the rows; empty on release.
    pub desired: BTreeMap<ServerKey, Wish>,
    /// Members that the group holds. A listing that stopped halfway is an error, never a short map.
    pub rows: Rows,
    /// Whether the view is whole, young enough, and begun after the last mutation (S5).
    pub view_permits_removal: bool,
    /// Members that this object may remove.
    pub ledger: Ledger<ServerKey>,
    /// Order of birth of this object.
    pub age: Age,
    /// The other objects on this group.
    pub others: Vec<Claimant<ServerKey>>,
    /// Members named by a change, ours or another object's, whose outcome is not settled (S6).
    pub unsettled: BTreeSet<ServerKey>,
    /// Members that a call may still take: it settled and can land all the same, or it was answered and they are still
    /// listed.
    pub may_be_taken: BTreeSet<ServerKey>,
    /// Members whose addition or removal was accepted, and is not shown by the list yet (S8).
    pub awaited: BTreeSet<ServerKey>,
    /// Whether a quota refused an addition in this pass: the group has no room (S3).
    pub quota_reached: bool,
    /// Members that the cloud refused and that wait for their next try (S8).
    pub parked: BTreeSet<ServerKey>,
    /// Members that came back after we removed them, again and again (S8).
    pub contended: BTreeSet<ServerKey>,
    /// Whether a removal begins with weight 0 and a wait.
    pub drains: bool,
    /// Members that we set to weight 0, to be removed later or given their weight back.
    pub draining: BTreeMap<ServerKey, Drain>,
    /// Members that no live object claims, with what is known of each; empty unless the list is the whole truth (S7).
    pub foreigners: BTreeMap<ServerKey, Foreigner>,
    /// Instances of scaling groups that another object attaches here: they change hands, they are not removed (S1).
    /// `None` if that could not be asked.
    pub brought: Option<BTreeSet<ServerKey>>,
}

/// A member that we set to weight 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The weight to give back if the member is wanted again.
    pub weight: Weight,
    /// Whether it has waited long enough to be removed.
    pub due: bool,
}

/// The changes to make, and the differences to leave alone and why. The sets are disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Members to be added, and registered before that: listed, and absent or draining where that can be taken back.
    pub add: BTreeMap<ServerKey, Wish>,
    /// Present members to be changed to the weight that they should have, which may be the one from before a drain.
    pub reweigh: BTreeMap<ServerKey, Weight>,
    /// Members to be set to weight 0 now and removed later, with the weight to give back if they are wanted again.
    pub drain: BTreeMap<ServerKey, Weight>,
    /// Members at weight 0 that are to be removed once they have waited: no call is due yet.
    pub waiting: BTreeSet<ServerKey>,
    /// Members to be removed: ours and no longer listed, or confirmed strangers.
    pub remove: BTreeSet<ServerKey>,
    /// Members that are listed and already there: to be written down, without a call.
    pub adopt: BTreeSet<ServerKey>,
    /// The same for members that another object put there and hands over: they stay registered.
    pub inherit: BTreeSet<ServerKey>,
    /// Members in our ledger that are another object's now, and on release those that were adopted: they leave the ledger and
    /// stay in the group.
    pub hand_over: BTreeSet<ServerKey>,
    /// Members in our ledger that are neither listed nor present.
    pub absent: BTreeSet<ServerKey>,
    /// Differences left alone, each with the reason.
    pub held: BTreeMap<ServerKey, Hold>,
    /// Held members that another object claims, each with that object's name.
    pub conflicts: BTreeMap<ServerKey, String>,
    /// Held members that change hands between this object and another one, each with that object's name.
    pub awaits: BTreeMap<ServerKey, String>,
    /// Whether the list has no member to serve though that is not allowed (S4): more likely a mistake than a wish.
    pub nobody_wanted: bool,
    /// Whether everything stays: as asked, or because releasing would leave nobody serving (L4).
    pub retain: bool,
    /// How far the group is.
    pub counts: Counts,
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
        self.add.is_empty()
            && self.reweigh.is_empty()
            && self.drain.is_empty()
            && self.remove.is_empty()
    }
}

/// How far a group is from its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Members listed.
    pub desired: usize,
    /// Listed members that show as serving, also those that a late call may still take.
    pub serving: usize,
    /// Listed members on their way in.
    pub joining: usize,
    /// Members on their way out, ours or strangers.
    pub leaving: usize,
    /// Leaving members that finish what they have at weight 0.
    pub draining: usize,
    /// Members that are neither listed nor ours.
    pub foreign: usize,
    /// All members that show as serving, whoever listed them.
    pub in_group: usize,
}

/// One change to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Put it into the group.
    Add,
    /// Write down that it is ours; nothing is called.
    Adopt,
    /// Change its weight to what the list says.
    Reweigh(Weight),
    /// Give it back the weight that it had before it was set to weight 0.
    Restore(Weight),
    /// Set it to weight 0, to be removed later. The value is the weight that it has now.
    Drain(Weight),
    /// Take it out of the group.
    Remove,
}

/// An objection to one change, or `None`.
type Rule = fn(&World, &ServerKey, Change) -> Option<Hold>;

/// Asked in order. The first objection wins.
const RULES: [Rule; 10] = [
    claimed_by_another,
    in_flight,
    awaited,
    in_transition,
    parked,
    contended,
    perhaps_not_a_stranger,
    perhaps_brought,
    not_seen_whole,
    nobody_would_be_wanted,
];

impl Change {
    /// Whether it ends with the member gone.
    const fn leads_out(self) -> bool {
        matches!(self, Self::Drain(_) | Self::Remove)
    }
}

/// S7: another object's member is neither added, adopted nor changed.
fn claimed_by_another(world: &World, key: &ServerKey, change: Change) -> Option<Hold> {
    if change.leads_out() || matches!(change, Change::Restore(_)) {
        // The owner was settled when the difference was found: the member is ours, handed over, or a stranger.
        return None;
    }
    match claim::owner(key, &world.age, world.ledger.holds(key), &world.others) {
        Owner::Us => None,
        Owner::Other(_) => Some(Hold::Conflict),
        // The member enters our ledger before it leaves the other one, and is changed once no other ledger holds it.
        Owner::Yielding(_) => (change != Change::Adopt).then_some(Hold::InFlight),
    }
}

/// S6: a member that an unsettled change names is left alone.
fn in_flight(world: &World, key: &ServerKey, change: Change) -> Option<Hold> {
    (change != Change::Adopt && world.unsettled.contains(key)).then_some(Hold::InFlight)
}

/// S8: a change that was accepted is not sent again as long as the list may lag.
fn awaited(world: &World, key: &ServerKey, change: Change) -> Option<Hold> {
    let again = change == Change::Add || change.leads_out();
    (again && world.awaited.contains(key)).then_some(Hold::InFlight)
}

/// S6: a member that the cloud is still working on, or that is in a state this version does not know, is neither
/// missing nor surplus.
fn in_transition(world: &World, key: &ServerKey, change: Change) -> Option<Hold> {
    let state = world.rows.get(key)?.state;
    let can_be_taken_back =
        change == Change::Add && state == State::Draining && world.product.takes_back_draining();
    let settled = state == State::Available || can_be_taken_back || change == Change::Adopt;
    (!settled).then_some(Hold::InFlight)
}

/// S8: a member that the cloud refused waits for its next try.
fn parked(world: &World, key: &ServerKey, change: Change) -> Option<Hold> {
    (change != Change::Adopt && world.parked.contains(key)).then_some(Hold::Parked)
}

/// S8: a member that keeps coming back is left to whoever brings it.
fn contended(world: &World, key: &ServerKey, change: Change) -> Option<Hold> {
    (change.leads_out() && world.contended.contains(key)).then_some(Hold::Contended)
}

/// S7: a member that is not ours leaves only as a stranger.
fn perhaps_not_a_stranger(world: &World, key: &ServerKey, change: Change) -> Option<Hold> {
    if !change.leads_out() || world.owns(key) {
        return None;
    }
    match world.foreigners.get(key)? {
        Foreigner::Stranger => None,
        Foreigner::Unconfirmed => Some(Hold::InFlight),
        Foreigner::EssManaged => Some(Hold::EssManaged),
        Foreigner::Unknown => Some(Hold::ViewIncomplete),
    }
}

/// S1: a member that an attached scaling group might bring is left alone while that cannot be asked.
fn perhaps_brought(world: &World, key: &ServerKey, change: Change) -> Option<Hold> {
    let kind = world.rows.get(key)?.kind;
    let scales = matches!(kind, ServerKind::Ecs | ServerKind::Eci);
    (change.leads_out() && scales && world.brought.is_none()).then_some(Hold::ViewIncomplete)
}

/// S5: no member is removed, or set to weight 0, on a view that might lack something.
fn not_seen_whole(world: &World, _: &ServerKey, change: Change) -> Option<Hold> {
    let takes_away = change.leads_out() || change == Change::Reweigh(0);
    (takes_away && !world.view_permits_removal).then_some(Hold::ViewIncomplete)
}

/// S4: a list with no member to serve removes and reweighs nothing.
fn nobody_would_be_wanted(world: &World, _: &ServerKey, change: Change) -> Option<Hold> {
    let takes_away = change.leads_out() || matches!(change, Change::Reweigh(_));
    (takes_away && world.lists_nobody()).then_some(Hold::LastServing)
}

impl World {
    /// Listed members whose weight is not 0: `|desired|` of the rules, 0 at deletion.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.desired
            .values()
            .filter(|wish| wish.weight != Some(0))
            .count()
    }

    /// Whether the list has no member to serve though that is not allowed. Never on release.
    #[must_use]
    pub fn lists_nobody(&self) -> bool {
        self.purpose == Purpose::Converge && !self.policy.allow_empty && self.wanted() == 0
    }

    /// Whether a member serves: available, above weight 0, and not named by a change that is not settled, nor by one that
    /// may still take it.
    #[must_use]
    pub fn serves(&self, key: &ServerKey, row: &Row) -> bool {
        self.shows_serving(key, row) && !self.may_be_taken.contains(key)
    }

    /// Whether a member serves as far as the view shows, even if a late call may still take it. Such a member does not
    /// count as serving, and does not leave for free either: it may be the last one that serves.
    #[must_use]
    pub fn shows_serving(&self, key: &ServerKey, row: &Row) -> bool {
        row.state == State::Available && row.weight != Some(0) && !self.unsettled.contains(key)
    }

    /// Whether this object may remove `key`: it is in the ledger (S1), and on release it was registered, not adopted.
    #[must_use]
    pub fn owns(&self, key: &ServerKey) -> bool {
        match self.purpose {
            Purpose::Converge => self.ledger.holds(key),
            Purpose::Release => self.ledger.registered.contains(key),
        }
    }

    /// The ownership of `key`, which the ledger holds and the list does not.
    fn unlisted(&self, key: &ServerKey) -> Unlisted<'_> {
        let leaving = self.purpose == Purpose::Release;
        claim::unlisted(key, &self.age, leaving, &self.others)
    }

    /// Whether another object's scaling group brings `key`.
    #[must_use]
    pub fn brings(&self, key: &ServerKey) -> bool {
        self.brought
            .as_ref()
            .is_some_and(|brought| brought.contains(key))
    }

    /// Whether `key` is neither listed nor to stay: ours, or a stranger in a group whose list is the whole truth.
    #[must_use]
    pub fn is_surplus(&self, key: &ServerKey) -> bool {
        let stranger = self.foreigners.get(key) == Some(&Foreigner::Stranger);
        !self.desired.contains_key(key) && (self.owns(key) || stranger)
    }

    /// Whether `key`, which nobody here lists, is another object's or goes to one: it stands in for no member of ours.
    fn is_anothers(&self, key: &ServerKey) -> bool {
        let leaving = self.purpose == Purpose::Release;
        self.ledger.holds(key)
            && claim::unlisted(key, &self.age, leaving, &self.others) != Unlisted::Ours
    }

    /// The weight that a listed member should have, if any: the listed one, else the one from before a drain.
    fn weight_for(&self, key: &ServerKey, wish: &Wish) -> Option<Weight> {
        let before = self.draining.get(key).map(|drain| drain.weight);
        let at_rest = self.rows.get(key).is_some_and(|row| row.weight == Some(0));
        wish.weight.or(before.filter(|_| at_rest))
    }

    /// The number of serving members below which no call may bring the group (S4).
    #[must_use]
    pub fn floor(&self) -> usize {
        serving::floor(
            self.policy.min_serving,
            self.wanted(),
            self.policy.allow_empty,
        )
    }

    /// The number of members by which the swap may dip now.
    fn dip(&self) -> usize {
        if self.quota_reached {
            self.policy.max_unavailable.rounded_down(self.wanted())
        } else {
            0
        }
    }

    /// The members that count as serving.
    fn serving(&self) -> Serving {
        self.count(Self::serves)
    }

    /// The members that the view shows as serving, those that a late call may still take among them.
    fn shown(&self) -> Serving {
        self.count(Self::shows_serving)
    }

    fn count(&self, serves: impl Fn(&Self, &ServerKey, &Row) -> bool) -> Serving {
        let mut serving = Serving {
            wanted: self.wanted(),
            ..Serving::default()
        };
        for (key, row) in &self.rows {
            if serves(self, key, row) {
                serving.total += 1;
                serving.desired += usize::from(self.desired.contains_key(key));
                serving.surplus += usize::from(self.is_surplus(key) && !self.is_anothers(key));
            }
        }
        serving
    }
}

/// Decides how to bring `world.rows` to `world.desired`.
#[must_use]
pub fn plan(world: &World) -> Plan {
    let mut plan = Plan {
        nobody_wanted: world.lists_nobody(),
        ..Plan::default()
    };
    let mut allowed = Vec::new();
    for (key, change) in differences::differences(world, &mut plan) {
        match RULES.iter().find_map(|rule| rule(world, &key, change)) {
            Some(hold) => {
                let owner = claim::owner(&key, &world.age, world.ledger.holds(&key), &world.others);
                let (conflicts, awaits) = (&mut plan.conflicts, &mut plan.awaits);
                claim::name(owner, hold, &key, conflicts, awaits);
                plan.held.insert(key, hold);
            }
            None => allowed.push((key, change)),
        }
    }
    let mut budget = Budget::new(world);
    let mut room = LEDGER_MAX.saturating_sub(world.ledger.len());
    for (key, change) in allowed {
        match objection(world, &key, change, &mut budget, &mut room) {
            Some(hold) => _ = plan.held.insert(key, hold),
            None => plan.take(world, key, change),
        }
    }
    keep_everything_if_asked_or_nobody_would_be_left(world, &mut plan);
    plan.counts = counts(world, &plan);
    plan
}

/// The objection to one of the changes, now that those before it are decided.
fn objection(
    world: &World,
    key: &ServerKey,
    change: Change,
    budget: &mut Budget,
    room: &mut usize,
) -> Option<Hold> {
    let row = world.rows.get(key);
    let stops_serving = row.is_some_and(|row| world.serves(key, row));
    let may_serve = row.is_some_and(|row| world.shows_serving(key, row));
    match change {
        Change::Add | Change::Adopt if world.ledger.holds(key) => None,
        Change::Add | Change::Adopt => (!take(room)).then_some(Hold::LedgerFull),
        Change::Reweigh(0) if stops_serving => budget.silence(),
        Change::Drain(_) | Change::Remove if stops_serving => budget.remove(),
        Change::Reweigh(0) if may_serve => budget.silence_what_is_not_counted(),
        Change::Drain(_) | Change::Remove if may_serve => budget.remove_what_is_not_counted(),
        Change::Reweigh(_) | Change::Restore(_) | Change::Drain(_) | Change::Remove => None,
    }
}

impl Plan {
    fn take(&mut self, world: &World, key: ServerKey, change: Change) {
        match change {
            Change::Add => {
                let wish = world.desired[&key].clone();
                self.add.insert(key, wish);
            }
            Change::Adopt if claim::inherited(&key, &world.others) => {
                self.inherit.insert(key);
            }
            Change::Adopt => _ = self.adopt.insert(key),
            Change::Reweigh(weight) | Change::Restore(weight) => {
                _ = self.reweigh.insert(key, weight);
            }
            Change::Drain(weight) => _ = self.drain.insert(key, weight),
            Change::Remove => _ = self.remove.insert(key),
        }
    }
}

/// Takes one from `room` if there is any.
fn take(room: &mut usize) -> bool {
    let some = *room > 0;
    *room -= usize::from(some);
    some
}

/// How many members may stop serving in this plan (S3, S4).
///
/// A late call may have taken a member or not, so both counts have to allow what leaves: the members that surely serve
/// have to be enough, and whoever serves after all needs a replacement like everybody else.
struct Budget {
    replaced: usize,
    replaced_as_shown: usize,
    above_floor: usize,
    floor_stands: bool,
}

impl Budget {
    fn new(world: &World) -> Self {
        let serving = world.serving();
        Self {
            replaced: serving.replaced(world.dip()),
            replaced_as_shown: world.shown().replaced(world.dip()),
            above_floor: serving.above(world.floor()),
            floor_stands: serving.total >= world.floor(),
        }
    }

    /// Removes one more member that serves.
    fn remove(&mut self) -> Option<Hold> {
        if self.replaced == 0 || self.replaced_as_shown == 0 {
            return Some(Hold::WaitsForReplacement);
        }
        if self.above_floor == 0 {
            return Some(Hold::LastServing);
        }
        self.above_floor -= 1;
        self.replaced -= 1;
        self.replaced_as_shown -= 1;
        None
    }

    /// Removes one more member that may serve but does not count: the others have to be enough without it.
    fn remove_what_is_not_counted(&mut self) -> Option<Hold> {
        if self.replaced_as_shown == 0 {
            return Some(Hold::WaitsForReplacement);
        }
        if !self.floor_stands {
            return Some(Hold::LastServing);
        }
        self.replaced_as_shown -= 1;
        None
    }

    /// Sets one more listed member to weight 0.
    fn silence(&mut self) -> Option<Hold> {
        (!take(&mut self.above_floor)).then_some(Hold::LastServing)
    }

    /// Sets one more listed member to weight 0 that may serve but does not count.
    fn silence_what_is_not_counted(&self) -> Option<Hold> {
        (!self.floor_stands).then_some(Hold::LastServing)
    }
}

/// L4: with `Retain` everything stays, and so it does if the release would leave nobody serving. Members that we set to
/// weight 0 get their weight back.
fn keep_everything_if_asked_or_nobody_would_be_left(world: &World, plan: &mut Plan) {
    let held_back = plan
        .held
        .values()
        .any(|hold| matches!(hold, Hold::LastServing | Hold::WaitsForReplacement));
    if world.purpose == Purpose::Release && (held_back && !would_pass(world) || world.keep) {
        plan.retain = true;
        plan.remove.clear();
        plan.drain.clear();
        plan.waiting.clear();
        for key in world.draining.keys() {
            if let Some(weight) = differences::weight_to_restore(world, key) {
                let change = Change::Restore(weight);
                match RULES.iter().find_map(|rule| rule(world, key, change)) {
                    Some(hold) => _ = plan.held.insert(key.clone(), hold),
                    None => _ = plan.reweigh.insert(key.clone(), weight),
                }
            }
        }
    }
}

/// Whether everything could leave if no late call landed. Such a release waits; it does not end with members left
/// behind.
fn would_pass(world: &World) -> bool {
    let later = || World {
        may_be_taken: BTreeSet::new(),
        ..world.clone()
    };
    !world.may_be_taken.is_empty() && !plan(&later()).retain
}

fn counts(world: &World, plan: &Plan) -> Counts {
    let mut counts = Counts {
        desired: world.desired.len(),
        in_group: world.shown().total,
        ..Counts::default()
    };
    for key in world.desired.keys() {
        match world.rows.get(key) {
            Some(row) if world.shows_serving(key, row) => counts.serving += 1,
            // Listed at weight 0, or named by a change that is not settled.
            Some(row) if row.state == State::Available => {}
            Some(row) if !row.state.leaves() => counts.joining += 1,
            _ => {
                let comes =
                    plan.add.contains_key(key) || plan.held.get(key) == Some(&Hold::InFlight);
                counts.joining += usize::from(comes);
            }
        }
    }
    for (key, row) in &world.rows {
        if world.desired.contains_key(key) {
            continue;
        }
        let waits = world.draining.contains_key(key) && row.weight == Some(0);
        let leaves = row.state.leaves()
            || waits
            || plan.remove.contains(key)
            || plan.drain.contains_key(key)
            || plan.held.get(key) == Some(&Hold::InFlight);
        let changes_hands = plan.hand_over.contains(key) || plan.awaits.contains_key(key);
        let ours = world.owns(key) && !changes_hands;
        if leaves && (ours || world.is_surplus(key) || waits) {
            counts.leaving += 1;
            counts.draining += usize::from(waits && !plan.remove.contains(key));
        } else if !ours {
            counts.foreign += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests;
