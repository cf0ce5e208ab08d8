//! What the cloud refused: it is left alone for a while (S8), and what fails is tried ever more rarely (L3).

use std::{collections::VecDeque, time::Duration};

use server_group_sim::audit::Entry;

use super::{JUST_NOW, LATE, Landing, Oracles, facts::id_of};
use crate::{
    effect::Effect,
    plan::{Name, Object},
};

/// The first try after a refusal that may pass by itself, less what a call may take.
const PARKED: Duration = Duration::from_secs(25);
/// Codes with which one member of a call is refused that no group takes.
const BAD_MEMBER: [&str; 2] = ["ObtainIpFail", "ResourceNotFound.Ecs"];
/// As many failures of one question within a minute are too many: delays double from a second on.
const TOO_MANY: usize = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// A member that was refused, by itself.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    replica: usize,
    /// Whose intent it was: each object finds out for itself.
    owner: Object,
    /// When the call had left.
    left: Duration,
    at: Duration,
}

impl Oracles {
    /// S8: a member that was refused by itself is not sent again at once.
    pub(super) fn was_left_alone(&mut self, name: &Name, effect: &Effect, left: Duration) {
        if !effect.action.starts_with("Add") {
            return;
        }
        let mut facts = self.facts.iter();
        let Some((owner, edited)) = facts
            .find(|(_, fact)| fact.intends(effect))
            .map(|(owner, fact)| (owner.clone(), fact.edited))
        else {
            return;
        };
        for id in &effect.members {
            let key = (effect.asks.clone(), id.clone());
            let refused = self.refused.get(&key);
            let Some(refused) = refused.filter(|refused| refused.owner == owner) else {
                continue;
            };
            *self.asked.entry("S8").or_default() += 1;
            // Another process knows of it from status alone, and tries once; so does one whose object was edited since.
            let edited = self.can_be_known(edited, name.replica);
            let knew = edited + JUST_NOW < refused.left;
            // So does one whose status somebody wrote: it says what is left alone.
            let spoilt = self.spoilt.contains(&owner) && self.tampered >= Some(refused.left);
            let same = refused.replica == name.replica && knew && !spoilt;
            if same && left < refused.at + PARKED {
                let text = format!(
                    "S8: {name} left at {left:?} with {id}, which was refused at {:?}",
                    refused.at
                );
                self.breaks(text);
                return;
            }
        }
    }

    /// Notes what was refused.
    pub(super) fn note_refusals(&mut self, landing: &Landing<'_>, entry: &Entry) {
        let code = entry.code.as_deref().unwrap_or_default();
        let mut facts = self.facts.iter();
        // Nobody hears what becomes of a call that is carried out long after it was given up.
        if let [member] = &entry.names[..]
            && landing.at <= landing.left + LATE
            && BAD_MEMBER.contains(&code)
            && let Some((owner, _)) = facts.find(|(_, fact)| fact.intends(landing.effect))
        {
            let key = (landing.effect.asks.clone(), id_of(member).to_owned());
            let replica = landing.name.replica;
            self.refused.insert(
                key,
                Refused {
                    replica,
                    owner: owner.clone(),
                    left: landing.left,
                    at: landing.at,
                },
            );
        }
    }

    /// L3: what fails again and again is tried ever more rarely.
    pub(super) fn backs_off(&mut self, landing: &Landing<'_>, failed: bool) {
        let key = (landing.name.replica, landing.effect.asks.clone());
        if !failed {
            self.failures.remove(&key);
            return;
        }
        self.ask("L3");
        let failures: &mut VecDeque<_> = self.failures.entry(key).or_default();
        failures.push_back(landing.at);
        failures.retain(|at| *at + MINUTE >= landing.at);
        let count = failures.len();
        if count > TOO_MANY {
            let text = format!("L3: {} failed {count} times within a minute", landing.name);
            self.breaks(text);
        }
    }
}
