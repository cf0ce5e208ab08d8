//! What an object leaves behind when it goes (leak): nothing that it registered.

use std::{collections::BTreeSet, time::Duration};

use server_group_sim::{
    Offline,
    world::{Status, World},
};

use super::{Fact, JUST_NOW, Oracles};
use crate::plan::Object;

/// What comes back so often is left to whoever brings it (S8).
const RETURNS: usize = 3;

/// Ids in the object's group that stay there: members, or what a scaling group feeds.
fn staying(world: &World, fact: &Fact) -> BTreeSet<String> {
    let stays = |status| !matches!(status, Status::Removing | Status::Draining);
    if fact.is_membership {
        let group = world.groups.get(&fact.group);
        let members = group.into_iter().flat_map(|group| &group.members);
        let members = members.filter(|(_, member)| stays(member.status));
        return members.map(|((id, ..), _)| id.clone()).collect();
    }
    let group = world.scaling_groups.get(&fact.group);
    let attached = group.into_iter().flat_map(|group| &group.attachments);
    attached.map(|attached| attached.group.clone()).collect()
}

/// Whether somebody serves in a group besides those with these ids.
fn others_serve(world: &World, group: &str, but: &BTreeSet<String>) -> bool {
    let members = world
        .groups
        .get(group)
        .into_iter()
        .flat_map(|group| &group.members);
    let mut others = members.filter(|((id, ..), _)| !but.contains(id));
    others.any(|(_, member)| member.status == Status::Available && member.weight > 0)
}

/// Whether nobody would serve if all that is registered went (L4).
fn would_leave_nobody(world: &World, fact: &Fact) -> bool {
    if fact.is_membership {
        return !others_serve(world, &fact.group, fact.registered());
    }
    let Some(instances) = world
        .scaling_groups
        .get(&fact.group)
        .map(|group| &group.instances)
    else {
        return false;
    };
    let mut fed = fact.registered().iter();
    fact.forces_detach && fed.any(|group| !others_serve(world, group, instances))
}

impl Oracles {
    /// Whether somebody else changed a group so lately that it could not be known.
    fn was_disturbed(&self, group: &str, now: Duration) -> bool {
        let at = self.disturbed.get(group);
        at.is_some_and(|at| now < *at + 2 * JUST_NOW)
    }

    /// leak: an object goes once what it registered is gone, or another one lists it or has it in its ledger.
    pub(super) fn leaves_nothing(
        &mut self,
        object: &Object,
        fact: &Fact,
        now: Duration,
        cloud: &Offline,
    ) {
        self.ask("leak");
        let world = cloud.look();
        let there = staying(&world, fact);
        let retains = !fact.allows_empty && would_leave_nobody(&world, fact);
        drop(world);
        self.left_behind |= fact.ledger().iter().any(|id| there.contains(id));
        let listed = |id: &&String| {
            let mut others = self
                .facts
                .values()
                .filter(|other| other.group == fact.group);
            others.any(|other| other.lists.contains_key(*id) || other.registered().contains(*id))
        };
        let mut left = fact.registered().iter().filter(|id| there.contains(*id));
        let Some(id) = left.find(|id| !listed(id)) else {
            return;
        };
        let excuse = match () {
            () if self.spoilt.contains(object) => {
                "somebody spoilt the status of an object that ends"
            }
            () if fact.abandoned => "an object was abandoned",
            () if fact.resting.is_some() => "an object was deleted at rest",
            () if self.landed_late => "an object ended, and a call landed late",
            // The activity of a detach from a CLB group has no id: that it failed looks like a return.
            () if self.taken.get(&(fact.group.clone(), id.clone())) >= Some(&RETURNS) => {
                "what a release took out came back three times"
            }
            () if retains => "a release would have left nobody serving",
            // It would have, when that was decided.
            () if self.was_disturbed(&fact.group, now) => {
                "somebody else changed the group as an object ended"
            }
            // It would have, as far as the list showed.
            () if self
                .trailed
                .get(&fact.group)
                .is_some_and(|(_, until)| *until >= now) =>
            {
                "an object ended while the list showed what was there before"
            }
            () => {
                let text = format!(
                    "leak: {} is gone at {now:?}, and {id}, which it registered, stays in {}",
                    object.name, fact.group
                );
                self.breaks(text);
                return;
            }
        };
        self.excuse(excuse);
    }
}
