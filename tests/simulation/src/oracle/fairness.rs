//! What goes wrong with one group does not hold up the others (L2).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Oracles;
use crate::{
    effect::{Effect, Sort},
    plan::{Deed, Object, What},
};

/// What others may add, and what watches, an account and a grant take by themselves at their slowest.
const HEARD: Duration = Duration::from_millis(2_000 + 1_500);
/// A question is answered by then, by the longest ways.
const ANSWERED: Duration = Duration::from_secs(12);
/// As long as that after a trouble what it befell may still be busy with it.
const SHAKEN: Duration = Duration::from_secs(60);

/// Edits that no request has followed yet, and whom troubles befell.
#[derive(Default)]
pub(super) struct Edits {
    waiting: BTreeMap<Object, (String, Duration)>,
    /// Groups whose calls failed, hung or were lost, until when that may still be felt.
    shaken: BTreeMap<String, Duration>,
    /// Until when everything may be slow.
    all_shaken: Duration,
    /// When something was last asked about a group.
    last_asked: BTreeMap<String, Duration>,
    /// When the states of groups were last asked for, which a list names.
    states_asked: Option<Duration>,
}

impl Oracles {
    /// A person edited what an object lists.
    pub(super) fn edit_is_waited_for(&mut self, object: &Object, group: &str, now: Duration) {
        let edits = &mut self.edits;
        let shaken = edits.shaken.get(group).is_some_and(|until| now < *until);
        let open = self.flights.get(group).is_some_and(|open| !open.is_empty());
        // The group's turn may be somebody else's, who waits for an answer.
        let asked = edits.last_asked.get(group).copied();
        let asked = asked.max(edits.states_asked);
        let asked = asked.is_some_and(|at| now < at + ANSWERED);
        if shaken || open || asked || now < edits.all_shaken || self.elects {
            return;
        }
        let since = (group.to_owned(), now);
        edits.waiting.entry(object.clone()).or_insert(since);
    }

    /// A request has left a replica: whatever is about a group, or an object on it, is an answer to all edits there.
    pub fn asked(&mut self, effect: &Effect, left: Duration) {
        let (mut heard, mut beside) = (0, 0);
        // It names groups in a list.
        let state = effect.action == "ListServerGroups";
        if state {
            self.edits.states_asked = Some(left);
        }
        for group in &effect.groups {
            self.edits.last_asked.insert(group.clone(), left);
        }
        let shaken = self.edits.shaken.iter();
        let shaken: Vec<_> = shaken
            .filter(|(_, until)| left < **until)
            .map(|(group, _)| group.clone())
            .collect();
        self.edits.waiting.retain(|object, (group, _)| {
            let writes = effect.sort == Sort::Write
                && effect
                    .asks
                    .contains(&format!("{}/{}", object.resource, object.name));
            if effect.groups.contains(group) || writes || state {
                heard += 1;
                beside += usize::from(shaken.iter().any(|other| other != group));
                return false;
            }
            true
        });
        *self.asked.entry("L2").or_default() += heard;
        *self
            .noticed
            .entry("edits beside a group in trouble")
            .or_default() += beside;
    }

    /// Something went wrong with a request; `None` = with something else.
    pub fn shaken(&mut self, effect: Option<&Effect>, what: &What, now: Duration) {
        if matches!(what, What::Deed(Deed::Edit(..) | Deed::Label(..))) {
            return;
        }
        let lasts = match what {
            What::Pause(millis) | What::Stall(_, millis) | What::Outage(millis) => {
                Duration::from_millis(*millis)
            }
            _ => Duration::ZERO,
        };
        let until = now + lasts + SHAKEN;
        let own = effect.filter(|effect| {
            matches!(effect.sort, Sort::CloudRead | Sort::CloudChange)
                && !effect.groups.is_empty()
                && matches!(
                    what,
                    What::LoseRequest { .. }
                        | What::LoseAnswer { .. }
                        | What::Late(_)
                        | What::Fail
                        | What::Stale
                        | What::Torn
                )
        });
        match own {
            Some(effect) => {
                // Whoever works on a scaling group may hold the groups that its instances go to.
                let on = self.facts.values();
                let on =
                    on.filter(|fact| effect.groups.contains(&fact.group) && !fact.is_membership);
                let fed = on.flat_map(|fact| fact.lists.keys().chain(fact.ledger()).cloned());
                let groups: BTreeSet<_> = effect.groups.iter().cloned().chain(fed).collect();
                for group in &groups {
                    self.edits.shaken.insert(group.clone(), until);
                }
                self.edits
                    .waiting
                    .retain(|_, (group, _)| !groups.contains(group));
            }
            None => {
                self.edits.all_shaken = self.edits.all_shaken.max(until);
                self.edits.waiting.clear();
            }
        }
    }

    /// L2: an edit is followed by a request at once, whatever goes wrong with others.
    pub fn edits_are_heard(&mut self, now: Duration) {
        let mut late = self.edits.waiting.iter();
        let late = late.find(|(_, (_, since))| now > *since + HEARD);
        if let Some((object, (group, since))) = late {
            let text = format!(
                "L2: {} on {group} was edited at {since:?}, and nothing was asked about it until {now:?}",
                object.name
            );
            self.breaks(text);
        }
    }
}
