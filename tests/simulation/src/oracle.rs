//! The rules, each a function, judged on what truly happened in Kubernetes and in the cloud.

mod end;
mod facts;
mod failover;
mod fairness;
mod leaving;
mod refused;
mod serving;
mod shadow;
mod strangers;
mod tokens;
mod wanted;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use serde_json::Value;
use server_group_sim::{Offline, audit::Entry};

pub use self::{end::at_end, facts::Fact, shadow::BLIND};
use crate::{
    effect::Effect,
    kubernetes::Change,
    plan::{Deed, Name, Object},
};

/// How long a question to Kubernetes may take until what it says is acted upon.
const JUST_NOW: Duration = Duration::from_millis(1500);
/// A call of which nothing was heard is open for as long as that (S6).
const SETTLES: Duration = Duration::from_secs(60);
/// How old a view may be that permits removals, and how long the call takes that was decided on it (S5).
const VIEW: Duration = Duration::from_secs(75);
/// How long the change of a server group may take that a call of ours has begun (S6).
const JOB: Duration = Duration::from_secs(3);
/// The end of a lease, less the time in which a call is given up, and the way of the renewal (S9).
const LEASE: Duration = Duration::from_millis(7_500);
/// A call that is carried out later than that after it left was not waited for.
const LATE: Duration = Duration::from_secs(30);

/// A request that the cloud has carried out.
#[derive(Debug)]
pub struct Landing<'a> {
    /// Its name.
    pub name: &'a Name,
    /// What it asks.
    pub effect: &'a Effect,
    /// When it left its replica.
    pub left: Duration,
    /// When it was carried out.
    pub at: Duration,
    /// Whether its answer tells the truth.
    pub honest: bool,
    /// Whether it was refused.
    pub failed: bool,
}

/// A change that was sent.
#[derive(Clone, Debug)]
struct Flight {
    name: Name,
    content: String,
    sent: Duration,
    carried_out: bool,
}

/// What the rules need to know.
#[derive(Default)]
pub struct Oracles {
    /// What was broken: by one effect, often more than one rule.
    broken: Vec<String>,
    /// How often each rule was asked.
    pub asked: BTreeMap<&'static str, usize>,
    /// How often something beyond our control explained what looked like a breach.
    pub excused: BTreeMap<&'static str, usize>,
    /// What one record of each group would have known, by kind.
    pub noticed: BTreeMap<&'static str, usize>,
    /// Calls that are on their way, though nobody waits for them any more.
    late: Vec<shadow::Late>,
    /// Objects, as Kubernetes has them.
    pub facts: BTreeMap<Object, Fact>,
    /// Whether replicas elect a leader.
    pub elects: bool,
    /// Accounts and their grants.
    accounts: BTreeMap<String, Value>,
    /// Changes on their way or not known to be over, by group.
    flights: BTreeMap<String, Vec<Flight>>,
    /// When a replica last got a whole list of a group's members.
    seen: BTreeMap<(usize, String), Duration>,
    /// When something else than we last changed a group, or lied about it.
    disturbed: BTreeMap<String, Duration>,
    /// When a change of ours to a group was last carried out.
    changed: BTreeMap<String, Duration>,
    /// When the answer to a change of ours to a group last arrived.
    answered: BTreeMap<String, Duration>,
    /// What calls that take somebody away were sent for, by their content.
    meant: BTreeMap<String, serving::Meant>,
    /// Tokens that were sent.
    tokens: BTreeMap<String, tokens::Token>,
    /// Members that were refused by themselves, by the question and id.
    refused: BTreeMap<(String, String), refused::Refused>,
    /// When questions failed lately, one time after the other.
    failures: BTreeMap<(usize, String), VecDeque<Duration>>,
    /// Since when each replica can do what it wants.
    well: BTreeMap<usize, Duration>,
    /// When the lease was last given up.
    given_up: Duration,
    /// Edits that no request has followed yet.
    edits: fairness::Edits,
    /// Members that nobody claims, and since when.
    unclaimed: BTreeMap<(String, String), Duration>,
    /// Objects whose status or finalizers somebody spoilt.
    spoilt: BTreeSet<Object>,
    /// The view on which the last removal from a group was decided.
    decided: BTreeMap<String, Duration>,
    /// Who holds the lease, and when it was last renewed.
    lease: Option<(String, Duration)>,
    /// When somebody last wrote a status.
    tampered: Option<Duration>,
    /// From when to when member lists show what was there before, by group.
    trailed: BTreeMap<String, (Duration, Duration)>,
    /// From when to when each replica last stood still.
    still: BTreeMap<usize, (Duration, Duration)>,
    /// How often the cloud agreed to take each out, by group and id.
    pub taken: BTreeMap<(String, String), usize>,
    /// Members that calls of ours put there.
    pub put: BTreeSet<(String, String)>,
    /// Whether an object ended in a way that may leave members behind.
    pub left_behind: bool,
    /// Whether a call was carried out long after it was sent.
    pub landed_late: bool,
    /// When anything was last changed: by a call that was accepted, or in a status.
    pub moved: Duration,
    /// What it was.
    pub moved_by: String,
}

impl Oracles {
    /// The first rule that was broken, and how.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.broken.first().map(String::as_str)
    }

    /// All that was broken until the schedule ended, the first one first.
    #[must_use]
    pub fn all_broken(&self) -> &[String] {
        &self.broken
    }

    /// Says that a rule is broken.
    pub fn breaks(&mut self, how: String) {
        self.broken.push(how);
    }

    fn ask(&mut self, rule: &'static str) {
        *self.asked.entry(rule).or_default() += 1;
    }

    fn excuse(&mut self, why: &'static str) {
        *self.excused.entry(why).or_default() += 1;
    }

    /// A changing call has left a replica.
    pub fn sent(&mut self, name: &Name, effect: &Effect, left: Duration, cloud: &Offline) {
        self.notice(effect, left);
        self.leads(name, left);
        self.has_intent(name, effect, left);
        self.is_alone(name, effect, left, cloud);
        self.token_is_its_own(name, effect, left);
        self.was_left_alone(name, effect, left);
        if !effect.takes().is_empty() {
            self.is_wanted(name, effect, left);
            self.has_seen(name, effect, left);
            self.may_take(name, effect, left);
        }
        for group in &effect.occupies() {
            let flight = Flight {
                name: name.clone(),
                content: effect.content.clone(),
                sent: left,
                carried_out: false,
            };
            self.flights.entry(group.clone()).or_default().push(flight);
        }
    }

    /// S9: who sends holds the lease for as long as the call may take.
    fn leads(&mut self, name: &Name, left: Duration) {
        if !self.elects {
            return;
        }
        self.ask("S9");
        let by = format!("replica {}", name.replica);
        match &self.lease {
            Some((holder, renewed)) if *holder == by && left <= *renewed + LEASE => {}
            lease => {
                let text = format!("S9: {name} left at {left:?}, while the lease was {lease:?}");
                self.breaks(text);
            }
        }
    }

    /// S2: what is sent stands in a status before.
    fn has_intent(&mut self, name: &Name, effect: &Effect, left: Duration) {
        self.ask("S2");
        let intends = |fact: &&Fact| fact.intends(effect);
        // What somebody does to a status while the call is on its way out cannot be known. Before a call that takes
        // nobody away, nothing is asked again, though the process stood still meanwhile.
        let tampered = self.tampered.map(|at| match effect.takes() {
            [] => self.can_be_known(at, name.replica),
            _ => at,
        });
        if tampered.is_some_and(|at| left < at + 2 * JUST_NOW) {
            self.excuse("somebody wrote a status in that moment");
            return;
        }
        if self.facts.values().find(intends).is_none() {
            let text = format!(
                "S2: {name} left at {left:?} with {:?}, and no status had that intent",
                effect.members
            );
            self.breaks(text);
        }
    }

    /// S6: one change at a time on each group.
    fn is_alone(&mut self, name: &Name, effect: &Effect, left: Duration, cloud: &Offline) {
        self.ask("S6");
        for group in effect.occupies() {
            let open = self.flights.get(&group).into_iter().flatten();
            let mut other = open
                .filter(|flight| flight.content != effect.content && left < flight.sent + SETTLES);
            if let Some(other) = other.next() {
                let text = format!(
                    "S6: {name} left at {left:?}, while {} on {group}, sent at {:?}, was open",
                    other.name, other.sent
                );
                self.breaks(text);
                return;
            }
            // A repetition with its token may find what the first one has begun.
            let mut open = self.flights.get(&group).into_iter().flatten();
            if open.any(|flight| flight.content == effect.content) {
                continue;
            }
            let world = cloud.look();
            // Who knows that it was accepted knows that it takes its time.
            let busy = world
                .groups
                .get(&group)
                .is_some_and(|of| of.busy_until > world.now);
            let changed = self.changed.get(&group).copied();
            let answered = self.answered.get(&group).copied();
            let ours = changed.filter(|at| *at + JOB > left);
            if busy
                && ours.is_some_and(|at| answered.is_some_and(|known| at <= known && known < left))
            {
                let text = format!("S6: {name} left at {left:?}, while {group} was being changed");
                drop(world);
                self.breaks(text);
                return;
            }
            let moved = world.activities.iter().find(|(_, activity)| {
                activity.status == "InProgress"
                    && activity
                        .moves
                        .iter()
                        .any(|(_, attachment)| attachment.group == group)
            });
            if let Some((id, _)) = moved {
                let text = format!(
                    "S6: {name} left at {left:?}, while the activity {id} moved members of {group}"
                );
                drop(world);
                self.breaks(text);
                return;
            }
        }
    }

    /// S5: a removal was decided on a whole view that was asked for after the last change.
    fn has_seen(&mut self, name: &Name, effect: &Effect, left: Duration) {
        self.ask("S5");
        let Some(group) = effect.groups.first() else {
            return;
        };
        if effect.is_attachment() {
            return;
        }
        let seen = self.seen.get(&(name.replica, group.clone())).copied();
        let open = self.flights.get(group).into_iter().flatten();
        let settled = open
            .filter(|flight| flight.content != effect.content)
            .map(|flight| flight.sent + SETTLES);
        let changed = self.answered.get(group).copied().into_iter().chain(settled);
        let changed = changed.max().unwrap_or_default();
        match seen {
            Some(seen) if left <= seen + VIEW && seen >= changed => {}
            // It looked, and cannot know that what it was shown is older than it looks.
            _ if self.disturbed.get(group).is_some_and(|at| *at >= changed) => {
                self.excuse("the last view was not of what was there");
            }
            _ => {
                let text = format!(
                    "S5: {name} left at {left:?}, the last whole view was of {seen:?}, and the last change over at {changed:?}"
                );
                self.breaks(text);
            }
        }
        self.decided.insert(group.clone(), seen.unwrap_or_default());
    }

    /// Whether a whole list of a group was answered since it was last changed: what lists show for a while if they trail.
    #[must_use]
    pub fn was_shown(&self, group: &str) -> bool {
        let seen = self.seen.iter().filter(|((_, of), _)| of == group);
        let seen = seen.map(|(_, seen)| *seen).max();
        let changed = self.changed.get(group).max(self.disturbed.get(group));
        seen >= changed.copied()
    }

    /// A request was carried out by the cloud.
    pub fn landed(&mut self, landing: &Landing<'_>, entries: &[Entry], cloud: &Offline) {
        let Landing {
            name, effect, at, ..
        } = landing;
        if effect.lists_members() && landing.honest && !landing.failed {
            for group in &effect.groups {
                self.seen
                    .insert((name.replica, group.clone()), landing.left);
            }
        }
        if !landing.honest {
            for group in &effect.groups {
                self.disturbed.insert(group.clone(), *at);
            }
        }
        if *at > landing.left + Duration::from_secs(30) {
            self.landed_late = true;
        }
        self.backs_off(landing, landing.failed);
        for entry in entries {
            let ours = entry.changes && entry.acted && entry.code.is_none();
            if ours {
                self.moved = *at;
                self.moved_by = name.to_string();
                self.changed.insert(entry.resource.clone(), *at);
                // What is still on its way with the same token does nothing any more.
                self.late
                    .retain(|late| late.effect.content != effect.content);
                for flight in self.flights.values_mut().flatten() {
                    flight.carried_out |= flight.content == effect.content;
                }
                if entry.action.starts_with("Remove") || entry.action.starts_with("Detach") {
                    for member in &entry.names {
                        let from = (entry.resource.clone(), facts::id_of(member).to_owned());
                        *self.taken.entry(from).or_default() += 1;
                    }
                }
                if entry.action.starts_with("Add") {
                    for member in &entry.names {
                        let put = (entry.resource.clone(), facts::id_of(member).to_owned());
                        self.put.insert(put);
                    }
                }
            }
            self.is_documented(landing, entry);
            self.note_refusals(landing, entry);
            self.enough_serve(landing, entry, cloud);
        }
    }

    /// A request has nothing in it that its action does not have. The cloud passes over such things.
    fn is_documented(&mut self, landing: &Landing<'_>, entry: &Entry) {
        self.ask("documented");
        if !entry.notes.is_empty() {
            let text = format!(
                "documented: {} was sent with {:?}",
                landing.name, entry.notes
            );
            self.breaks(text);
        }
    }

    /// The answer to a changing call has reached its replica.
    pub fn answered(&mut self, name: &Name, refused: bool, now: Duration) {
        for (group, flights) in &mut self.flights {
            // A refusal says nothing about an earlier call with the same token.
            if refused {
                flights.retain(|flight| flight.name != *name);
                continue;
            }
            let same: Vec<_> = flights
                .iter()
                .filter(|flight| flight.name == *name)
                .map(|flight| flight.content.clone())
                .collect();
            // A repetition with its token settles the first one too: should that one still land, it does nothing.
            self.late
                .retain(|late| !same.contains(&late.effect.content));
            let over = |flight: &Flight| same.contains(&flight.content);
            // What was refused has changed nothing.
            if flights
                .iter()
                .any(|flight| over(flight) && flight.carried_out)
            {
                self.answered.insert(group.clone(), now);
            }
            flights.retain(|flight| !over(flight));
        }
    }

    /// Kubernetes has another version of something.
    pub fn changed(&mut self, change: &Change, now: Duration, cloud: &Offline) {
        let text = change.after.as_ref().map(ToString::to_string);
        if text
            .as_ref()
            .is_some_and(|text| text.contains("simulated-secret"))
        {
            let how = format!("S11: a secret is in {} {}", change.resource, change.name);
            self.breaks(how);
        }
        let after = change.after.as_deref();
        match change.resource.as_str() {
            "leases" => {
                let holder = after.and_then(|lease| lease["spec"]["holderIdentity"].as_str());
                self.lease = match holder {
                    Some(holder) if !holder.is_empty() => Some((change.by.clone(), now)),
                    _ => {
                        self.given_up = now;
                        None
                    }
                };
            }
            "cloudaccounts" => match after {
                Some(account) => _ = self.accounts.insert(change.name.clone(), account.clone()),
                None => _ = self.accounts.remove(&change.name),
            },
            "servergroupmemberships" | "scalinggroupattachments" => {
                let namespace = change.namespace.clone().unwrap_or_default();
                let object = Object::new(&change.resource, &namespace, &change.name);
                let before = change.before.as_deref();
                let status_changed =
                    before.map(|before| &before["status"]) != after.map(|after| &after["status"]);
                if change.by.starts_with("replica") && status_changed {
                    // What was refused is tried again for as long as it is refused (S8).
                    match before.is_some_and(has_parked) && after.is_some_and(has_parked) {
                        true => self.excuse("what was refused was tried again"),
                        false => {
                            self.moved = now;
                            self.moved_by = format!("the status of {}", change.name);
                        }
                    }
                }
                match after {
                    Some(after) => {
                        let fact = self.facts.entry(object.clone()).or_default();
                        fact.learn(after, now);
                        let edited = fact.edited == now && before.is_some();
                        let group = (edited && fact.is_to_be_heard()).then(|| fact.group.clone());
                        let dishonest = fact.dishonest();
                        if let Some(group) = group {
                            self.edit_is_waited_for(&object, &group, now);
                        }
                        self.ask("S12");
                        if let Some(how) = dishonest.filter(|_| change.by.starts_with("replica")) {
                            let text =
                                format!("S12: {} says InSync at {now:?}, {how}", change.name);
                            self.breaks(text);
                        }
                    }
                    None => {
                        if let Some(fact) = self.facts.remove(&object) {
                            self.leaves_nothing(&object, &fact, now, cloud);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// A replica does nothing in this time.
    pub fn stands_still(&mut self, replica: usize, from: Duration, until: Duration) {
        self.still.insert(replica, (from, until));
    }

    /// When a replica can know what happened at that time at the earliest: while it stands still it hears nothing.
    fn can_be_known(&self, at: Duration, replica: usize) -> Duration {
        match self.still.get(&replica) {
            Some((from, woke)) if (*from..*woke).contains(&at) => *woke,
            _ => at,
        }
    }

    /// Member lists of a group show for a while what was there before.
    pub fn trails(&mut self, group: &str, from: Duration, until: Duration) {
        self.trailed.insert(group.to_owned(), (from, until));
    }

    /// Somebody did something.
    pub fn person(&mut self, deed: &Deed, now: Duration) {
        if matches!(
            deed,
            Deed::Wipe(_) | Deed::Restore(..) | Deed::Strip(_) | Deed::DeleteNamespace(_)
        ) {
            self.tampered = Some(now);
        }
        match deed {
            Deed::Wipe(object) | Deed::Restore(object, _) | Deed::Strip(object) => {
                self.spoilt.insert(object.clone());
            }
            Deed::DeleteNamespace(namespace) => {
                let within = self
                    .facts
                    .keys()
                    .filter(|object| object.namespace == *namespace);
                self.spoilt.extend(within.cloned());
            }
            _ => {}
        }
        match deed {
            Deed::PutMember(group, _) | Deed::TakeMember(group, _) => {
                self.disturbed.insert(group.clone(), now);
            }
            Deed::ScaleOut(..) | Deed::ScaleIn(..) => {
                let groups: Vec<_> = self
                    .facts
                    .values()
                    .flat_map(|fact| fact.feeds.clone())
                    .collect();
                for group in groups {
                    self.disturbed.insert(group, now);
                }
            }
            Deed::Strip(_) | Deed::Wipe(_) | Deed::Restore(..) | Deed::DeleteNamespace(_) => {
                self.left_behind = true
            }
            Deed::Annotate(_, name, _) if name.ends_with("abandon") => self.left_behind = true,
            _ => {}
        }
    }
}

/// Whether the status of an object has entries that the cloud refused.
fn has_parked(object: &Value) -> bool {
    let parked = object["status"]["parked"].as_array();
    parked.is_some_and(|parked| !parked.is_empty())
}
