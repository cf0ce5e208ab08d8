//! The rules, each a function, judged on what truly happened in Kubernetes and in the cloud.

mod end;
mod facts;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use server_group_sim::{Offline, audit::Entry, world::Status};

pub use self::{end::at_end, facts::Fact};
use crate::{
    effect::Effect,
    kubernetes::{Change, Cluster},
    plan::{Deed, Name, Object},
};

/// How long a question to Kubernetes may take until what it says is acted upon.
const JUST_NOW: Duration = Duration::from_millis(1500);
/// A call of which nothing was heard is open for as long as that (S6).
const SETTLES: Duration = Duration::from_secs(60);
/// How old a view may be that permits removals, and how long the call takes that was decided on it (S5).
const VIEW: Duration = Duration::from_secs(75);
/// The end of a lease, less the time in which a call is given up, and the way of the renewal (S9).
const LEASE: Duration = Duration::from_millis(7_500);

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
}

/// A change that was sent.
#[derive(Clone, Debug)]
struct Flight {
    name: Name,
    content: String,
    sent: Duration,
    answered: bool,
}

/// What the rules need to know.
#[derive(Default)]
pub struct Oracles {
    broken: Option<String>,
    /// How often each rule was asked.
    pub asked: BTreeMap<&'static str, usize>,
    /// How often something beyond our control explained what looked like a breach.
    pub excused: BTreeMap<&'static str, usize>,
    /// Objects, as Kubernetes has them.
    pub facts: BTreeMap<Object, Fact>,
    /// Which server groups may be left empty.
    pub may_be_empty: bool,
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
    /// The view on which the last removal from a group was decided.
    decided: BTreeMap<String, Duration>,
    /// Who holds the lease, and when it was last renewed.
    lease: Option<(String, Duration)>,
    /// When somebody last wrote a status.
    tampered: Option<Duration>,
    /// Members that calls of ours put there.
    pub put: BTreeMap<(String, String), Duration>,
    /// Members that two objects listed or held at once: they may have changed hands.
    pub changed_hands: BTreeSet<(String, String)>,
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
        self.broken.as_deref()
    }

    /// Says that a rule is broken.
    pub fn breaks(&mut self, how: String) {
        self.broken.get_or_insert(how);
    }

    fn ask(&mut self, rule: &'static str) {
        *self.asked.entry(rule).or_default() += 1;
    }

    fn excuse(&mut self, why: &'static str) {
        *self.excused.entry(why).or_default() += 1;
    }

    /// A changing call has left a replica.
    pub fn sent(
        &mut self,
        name: &Name,
        effect: &Effect,
        left: Duration,
        cluster: &Cluster,
        cloud: &Offline,
    ) {
        self.leads(name, left);
        self.has_intent(name, effect, left);
        self.is_alone(name, effect, left, cloud);
        if effect.removes() {
            self.is_wanted(name, effect, left);
            self.has_seen(name, effect, left);
        }
        _ = cluster;
        for group in &effect.occupies() {
            let flight = Flight {
                name: name.clone(),
                content: effect.content.clone(),
                sent: left,
                answered: false,
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
        // What somebody does to a status while the call is on its way out cannot be known.
        if self.tampered.is_some_and(|at| left < at + 2 * JUST_NOW) {
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
            let mut other = open.filter(|flight| {
                !flight.answered && flight.content != effect.content && left < flight.sent + SETTLES
            });
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

    /// S1, S2, S7: what is removed is ours, was not put at rest, and nobody else lists it.
    fn is_wanted(&mut self, name: &Name, effect: &Effect, left: Duration) {
        self.ask("S1");
        self.ask("S7");
        let Some((object, owner)) = self.facts.iter().find(|(_, fact)| fact.intends(effect)) else {
            return;
        };
        let long = |since: &Option<Duration>| since.is_some_and(|since| since + JUST_NOW < left);
        if long(&owner.resting) {
            let text = format!(
                "S2: {name} left at {left:?}, though {} was at rest since {:?}",
                object.name, owner.resting
            );
            self.breaks(text);
            return;
        }
        for member in &effect.members {
            if !owner.exclusive && !owner.holds(member) {
                let text = format!(
                    "S1: {name} removes {member}, which is not in the ledger of {}",
                    object.name
                );
                self.breaks(text);
                return;
            }
            // Another weight is a detach and an attach of what is listed all along.
            if !effect.is_attachment()
                && owner.deleting.is_none()
                && long(&owner.lists.get(member).copied())
            {
                let text = format!(
                    "S1: {name} removes {member}, though {} lists it since {:?}",
                    object.name, owner.lists[member]
                );
                self.breaks(text);
                return;
            }
            let intended = owner.intended_at.unwrap_or(left);
            let other = self.facts.iter().find(|(other, fact)| {
                *other != object
                    && fact.group == owner.group
                    && fact.acts(&self.accounts)
                    && fact
                        .lists
                        .get(member)
                        .is_some_and(|since| *since < intended)
                    && fact.acts_since().is_some_and(|since| since < intended)
            });
            if let Some((other, fact)) = other {
                let text = format!(
                    "S7: {name} of {} removes {member}, though {} lists it since {:?}, before the intent of {intended:?}",
                    object.name, other.name, fact.lists[member]
                );
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
        match seen {
            Some(seen) if left <= seen + VIEW => {}
            _ => {
                let text =
                    format!("S5: {name} left at {left:?}, and the last whole view was of {seen:?}");
                self.breaks(text);
            }
        }
        self.decided.insert(group.clone(), seen.unwrap_or_default());
    }

    /// A request was carried out by the cloud.
    pub fn landed(
        &mut self,
        landing: &Landing<'_>,
        entries: &[Entry],
        cluster: &Cluster,
        cloud: &Offline,
    ) {
        let Landing {
            name, effect, at, ..
        } = landing;
        if effect.lists_members() && landing.honest {
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
        _ = cluster;
        if *at > landing.left + Duration::from_secs(30) {
            self.landed_late = true;
        }
        for entry in entries {
            let ours = entry.changes && entry.acted && entry.code.is_none();
            if ours {
                self.moved = *at;
                self.moved_by = name.to_string();
                self.changed.insert(entry.resource.clone(), *at);
                if entry.action.starts_with("Add") {
                    for member in &entry.names {
                        let put = (entry.resource.clone(), facts::id_of(member).to_owned());
                        self.put.insert(put, *at);
                    }
                }
            }
            self.somebody_serves(entry, *at, name, cloud);
        }
    }

    /// The answer to a changing call has reached its replica.
    pub fn answered(&mut self, name: &Name) {
        for flights in self.flights.values_mut() {
            let same: Vec<_> = flights
                .iter()
                .filter(|flight| flight.name == *name)
                .map(|flight| flight.content.clone())
                .collect();
            for flight in flights.iter_mut() {
                // A repetition with its token settles the first one too.
                flight.answered |= same.contains(&flight.content);
            }
            flights.retain(|flight| !flight.answered);
        }
    }

    /// S4: no call of ours leaves nobody serving.
    fn somebody_serves(&mut self, entry: &Entry, at: Duration, name: &Name, cloud: &Offline) {
        for serving in &entry.serving {
            if serving.before == 0 || serving.after > 0 {
                continue;
            }
            // Who is given another weight serves meanwhile.
            let world = cloud.look();
            let reweighed = world.groups.get(&serving.group).is_some_and(|group| {
                let mut members = group.members.values();
                members.any(|member| member.status == Status::Configuring && member.weight > 0)
            });
            drop(world);
            if reweighed {
                continue;
            }
            self.ask("S4");
            if self.may_be_empty {
                continue;
            }
            let decided = self
                .decided
                .get(&serving.group)
                .copied()
                .unwrap_or_default();
            let disturbed = self.disturbed.get(&serving.group).copied();
            if disturbed.is_some_and(|disturbed| disturbed >= decided) {
                self.excuse("somebody else changed the group after the last view");
                continue;
            }
            let text = format!(
                "S4: nobody serves in {} at {at:?} after {} {:?} ({name})",
                serving.group, entry.action, entry.names
            );
            self.breaks(text);
        }
    }

    /// Kubernetes has another version of something.
    pub fn changed(&mut self, change: &Change, now: Duration) {
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
                    _ => None,
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
                    self.moved = now;
                    self.moved_by = format!("the status of {}", change.name);
                }
                match after {
                    Some(after) => {
                        let fact = self.facts.entry(object.clone()).or_default();
                        fact.learn(after, now);
                        self.note_rivals(&object);
                        let fact = &self.facts[&object];
                        let dishonest = fact.dishonest();
                        self.ask("S12");
                        if let Some(how) = dishonest.filter(|_| change.by.starts_with("replica")) {
                            let text =
                                format!("S12: {} says InSync at {now:?}, {how}", change.name);
                            self.breaks(text);
                        }
                    }
                    None => {
                        if let Some(fact) = self.facts.remove(&object) {
                            self.left_behind |= fact.may_leave_behind();
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Notes what an object lists while another one on its group has it.
    fn note_rivals(&mut self, object: &Object) {
        let fact = &self.facts[object];
        let others = self.facts.iter();
        let others = others.filter(|(other, rival)| *other != object && rival.group == fact.group);
        let rivals = others.flat_map(|(_, rival)| rival.lists.keys().chain(rival.ledger()));
        let shared: Vec<_> = rivals
            .filter(|id| fact.lists.contains_key(*id))
            .map(|id| (fact.group.clone(), id.clone()))
            .collect();
        self.changed_hands.extend(shared);
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
