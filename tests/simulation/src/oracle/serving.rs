//! Who still serves after a call (S3, S4), judged on the group as the cloud truly has it.

use std::{collections::BTreeSet, time::Duration};

use server_group_sim::{
    Offline,
    audit::{Entry, Serving},
    world::{Member, Status},
};

use super::{Fact, LATE, Landing, Oracles};
use crate::{effect::Effect, plan::Name};

/// What a call that takes somebody away was sent for, as things stood then.
#[derive(Clone, Debug)]
pub(super) struct Meant {
    /// How many its object lists to serve.
    wanted: usize,
    /// The number below which it may not bring the group.
    floor: usize,
    listed: BTreeSet<String>,
    /// Whom the object may count on besides.
    held: BTreeSet<String>,
    exclusive: bool,
    deleting: bool,
    is_membership: bool,
}

impl Meant {
    fn of(owner: &Fact) -> Self {
        Self {
            wanted: owner.wanted(),
            floor: owner.floor(),
            listed: owner.lists.keys().cloned().collect(),
            held: owner.ledger().clone(),
            exclusive: owner.exclusive,
            deleting: owner.deleting.is_some(),
            is_membership: owner.is_membership,
        }
    }
}

/// Whoever is given another weight serves meanwhile.
fn serves(member: &Member) -> bool {
    member.weight > 0 && matches!(member.status, Status::Available | Status::Configuring)
}

impl Oracles {
    /// S4: without leave, a list that names nobody takes nobody away. Keeps what the call is sent for.
    pub(super) fn may_take(&mut self, name: &Name, effect: &Effect, left: Duration) {
        let mut facts = self.facts.values();
        let Some(owner) = facts.find(|fact| fact.intends(effect)) else {
            return;
        };
        let meant = Meant::of(owner);
        let names_nobody = match owner.is_membership {
            true => meant.wanted == 0,
            false => owner.lists.is_empty(),
        };
        let knows = owner.knows(owner.edited, left);
        let empties = names_nobody && !meant.deleting && !owner.allows_empty;
        self.ask("S4");
        if empties && knows {
            let text = format!(
                "S4: {name} takes {:?} away, though the list of its object names nobody to serve",
                effect.takes()
            );
            self.breaks(text);
        }
        // What it lists changed while the call was on its way out.
        if knows {
            self.meant.insert(effect.content.clone(), meant);
        }
    }

    /// S3, S4: what a call did to a group leaves as many serving as it has to.
    pub(super) fn enough_serve(&mut self, landing: &Landing<'_>, entry: &Entry, cloud: &Offline) {
        for serving in &entry.serving {
            let world = cloud.look();
            let group = world.groups.get(&serving.group);
            let members = group.into_iter().flat_map(|group| &group.members);
            let there: BTreeSet<_> = members
                .filter(|(_, member)| serves(member))
                .map(|((id, ..), _)| id.clone())
                .collect();
            let after = group.map_or(0, |group| {
                group.members.values().filter(|m| serves(m)).count()
            });
            drop(world);
            if after >= serving.before {
                continue;
            }
            self.somebody_serves(landing, entry, serving, after);
            if entry.changes && entry.acted {
                self.others_take_the_place(landing, entry, serving, &there);
            }
        }
    }

    /// Whether somebody else changed the group after the view on which the last call was decided.
    fn disturbed_since(&self, group: &str) -> bool {
        let decided = self.decided.get(group).copied().unwrap_or_default();
        // A list that trails is of what was there when it began to.
        let decided = match self.trailed.get(group) {
            Some((from, until)) if (*from..*until).contains(&decided) => *from,
            _ => decided,
        };
        let disturbed = self.disturbed.get(group).copied();
        disturbed.is_some_and(|disturbed| disturbed >= decided)
    }

    /// S4: no call of ours leaves nobody serving, nor fewer than its object wants at least.
    fn somebody_serves(
        &mut self,
        landing: &Landing<'_>,
        entry: &Entry,
        serving: &Serving,
        after: usize,
    ) {
        self.ask("S4");
        let (at, name) = (landing.at, landing.name);
        let meant = self.meant.get(&landing.effect.content);
        let floor = meant.filter(|_| entry.changes && entry.acted);
        let floor = floor.map_or(1, |meant| meant.floor);
        if after >= floor {
            return;
        }
        if self.disturbed_since(&serving.group) {
            self.excuse("somebody else changed the group after the last view");
            return;
        }
        let left = match after {
            0 => "nobody serves".to_owned(),
            some => format!("{some} of at least {floor} serve"),
        };
        let text = format!(
            "S4: {left} in {} at {at:?} after {} {:?} ({name})",
            serving.group, entry.action, entry.names
        );
        self.breaks(text);
    }

    /// S3: who is not listed any more leaves once as many serve as are wanted.
    fn others_take_the_place(
        &mut self,
        landing: &Landing<'_>,
        entry: &Entry,
        serving: &Serving,
        there: &BTreeSet<String>,
    ) {
        let Some(meant) = self.meant.get(&landing.effect.content) else {
            return;
        };
        let mut taken = landing.effect.takes().iter();
        if !meant.is_membership || meant.deleting || !taken.any(|id| !meant.listed.contains(id)) {
            return;
        }
        let claimed = |id: &String| {
            self.facts
                .values()
                .any(|fact| fact.lists.contains_key(id) || fact.holds(id))
        };
        let ours = |id: &&String| {
            meant.listed.contains(*id)
                || meant.held.contains(*id)
                || (meant.exclusive && !claimed(id))
        };
        let (left, wanted) = (there.iter().filter(ours).count(), meant.wanted);
        self.ask("S3");
        if left >= wanted {
            return;
        }
        if self.disturbed_since(&serving.group) {
            self.excuse("somebody else changed the group after the last view");
            return;
        }
        if landing.at > landing.left + LATE {
            self.excuse("a removal landed long after it was sent");
            return;
        }
        let text = format!(
            "S3: {} of {wanted} serve in {} at {:?} after {} {:?} ({})",
            left, serving.group, landing.at, entry.action, entry.names, landing.name
        );
        self.breaks(text);
    }
}
