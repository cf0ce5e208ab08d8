//! Whether somebody may be taken away at all (S1, S2, S7): by the object that intends it, as everybody's spec and status
//! truly were.

use std::time::Duration;

use super::{Fact, Oracles};
use crate::{
    effect::Effect,
    plan::{Name, Object},
};

impl Oracles {
    /// S1, S2, S7: what is removed, or sent nothing more, is ours, was not put at rest, and nobody else lists it.
    pub(super) fn is_wanted(&mut self, name: &Name, effect: &Effect, left: Duration) {
        self.ask("S1");
        self.ask("S7");
        let Some((object, owner)) = self.facts.iter().find(|(_, fact)| fact.intends(effect)) else {
            return;
        };
        if owner.resting.is_some_and(|since| owner.knows(since, left)) {
            let text = format!(
                "S2: {name} left at {left:?}, though {} was at rest since {:?}",
                object.name, owner.resting
            );
            self.breaks(text);
            return;
        }
        let mut taken = effect.takes().iter();
        let broken = taken.find_map(|id| {
            self.is_not_ours(owner, effect, id, left)
                .or_else(|| self.is_anothers((object, owner), id, left))
        });
        if let Some((rule, how)) = broken {
            let text = format!("{rule}: {name} of {} takes {how}", object.name);
            self.breaks(text);
        }
    }

    /// S1: only what is in the ledger goes, and not what is listed; at deletion only what was registered. S7: strangers go
    /// once they are known as such.
    fn is_not_ours(
        &self,
        owner: &Fact,
        effect: &Effect,
        id: &String,
        left: Duration,
    ) -> Option<(&'static str, String)> {
        if owner.deleting.is_some_and(|since| owner.knows(since, left))
            && !owner.registered().contains(id)
        {
            return Some(("S1", format!("{id}, which it did not register, at its end")));
        }
        if !owner.holds(id) {
            return match owner.exclusive {
                false => Some(("S1", format!("{id}, which is not in its ledger"))),
                true => (!self.is_stranger(&owner.group, id, left))
                    .then(|| ("S7", format!("{id}, which is no stranger for long enough"))),
            };
        }
        // Another weight is a detach and an attach of what is listed all along.
        if effect.is_attachment() || owner.deleting.is_some() {
            return None;
        }
        let since = owner.lists.get(id).copied();
        let since = match effect.removes() {
            true => since,
            // Since when it is listed with a weight, or none.
            false => match owner.weights.get(id) {
                Some((0, _)) => None,
                Some((_, weighed)) => since.map(|since| since.max(*weighed)),
                None => since.map(|since| since.max(owner.edited)),
            },
        };
        since
            .is_some_and(|since| owner.knows(since, left))
            .then(|| ("S1", format!("{id}, which it lists since {since:?}")))
    }

    /// S7: what another live, granted, enforcing object lists is handed over.
    fn is_anothers(
        &self,
        (object, owner): (&Object, &Fact),
        id: &String,
        left: Duration,
    ) -> Option<(&'static str, String)> {
        // Two list it: then it is whose ledger has it.
        if owner.lists.contains_key(id)
            && owner
                .weights
                .get(id)
                .is_some_and(|(weight, _)| *weight == 0)
        {
            return None;
        }
        let intended = owner.intended_at.unwrap_or(left);
        let (other, since) = self.facts.iter().find_map(|(other, fact)| {
            let since = fact.lists.get(id)?;
            let rival = other != object && fact.group == owner.group && fact.acts(&self.accounts);
            let before =
                *since < intended && fact.acts_since().is_some_and(|since| since < intended);
            (rival && before).then_some((other, since))
        })?;
        let how = format!(
            "{id}, though {} lists it since {since:?}, before the intent of {intended:?}",
            other.name
        );
        Some(("S7", how))
    }
}
