//! Waiting for other objects: an object that waits names them, and does not wait for ever without a word (S7).

use std::collections::BTreeMap;

use server_group_core::reason::{Hold, Reason};

use super::{ended::Judged, managed::Managed, open::Open, pass::Pass, report::plain_message};

impl<M: Managed> Pass<'_, M> {
    /// Turns entries that have waited for another object for too long into conflicts. `awaits` has all entries that
    /// wait, each with the name of the other object.
    pub fn contest(
        &mut self,
        awaits: &BTreeMap<M::Key, String>,
        held: &mut BTreeMap<M::Key, Hold>,
        conflicts: &mut BTreeMap<M::Key, String>,
    ) {
        let (now, patience) = (self.ctx.now(), self.ctx.timing.handover_max);
        let memory = &mut self.memory;
        let (overdue, next) = memory.changes_hands.overdue(awaits, now, patience);
        held.extend(overdue.keys().map(|key| (key.clone(), Hold::Conflict)));
        conflicts.extend(overdue);
        if let Some(due) = next {
            self.wake_at(due);
        }
    }

    /// Says what is under way: a call without an answer, an earlier failure, or members that change hands.
    pub fn what_is_under_way(&self, awaits: &BTreeMap<M::Key, String>) -> String {
        if !self.turn.unsettled.is_empty() {
            return "a change was sent whose outcome is not known yet; nothing more is changed until it is"
                .into();
        }
        let failed = self.memory.last_failure.clone();
        failed
            .or_else(|| waits_for(awaits))
            .unwrap_or_else(|| plain_message(Reason::Changing).into())
    }

    /// The same judgement of a group that may not be changed now, with the name of the object whose call has to end first.
    pub fn names_whom_it_waits_for(&mut self, judged: Judged) -> Judged {
        if judged.verdict.reason != Reason::Changing || self.record.operation.is_some() {
            return judged;
        }
        let over = |open: &Open| self.turn.answered.contains(&open.local_id());
        let mut open = self.open_on(&self.object.group(), &self.turn);
        open.retain(|open| !over(open));
        let calls = open.iter().map(|open| (open.local_id(), open.by.clone()));
        let (now, patience) = (self.ctx.now(), self.ctx.timing.handover_max);
        let waits = &mut self.memory.calls_of_others;
        let (overdue, _) = waits.overdue(&calls.collect(), now, patience);
        let Some(Open { by, action, .. }) = open.first() else {
            return judged;
        };
        Judged {
            verdict: match overdue.is_empty() {
                true => judged.verdict,
                false => Reason::Conflict.into(),
            },
            message: format!("waits for {by}: its call {action} is not known to be over"),
        }
    }
}

/// Names the first few that older objects claim, and those objects.
pub fn claimed<K: ToString>(conflicts: &BTreeMap<K, String>) -> String {
    let named = conflicts.iter().take(3);
    let named: Vec<_> = named
        .map(|(key, other)| format!("{} is claimed by {other}", key.to_string()))
        .collect();
    match conflicts.len() - named.len() {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}

/// What a deletion waits for: other objects that list what was registered, if there are any.
pub fn releasing<K: ToString>(awaits: &BTreeMap<K, String>) -> String {
    let plain = plain_message(Reason::Releasing);
    waits_for(awaits).map_or_else(|| plain.to_owned(), |waits| format!("deleted; {waits}"))
}

/// Names the first few that change hands, and the objects that are waited for.
pub fn waits_for<K: ToString>(awaits: &BTreeMap<K, String>) -> Option<String> {
    let named: Vec<_> = awaits.iter().take(3).collect();
    let (_, other) = named.first()?;
    let one = awaits.values().all(|name| name == *other);
    let names: Vec<_> = match one {
        true => named.iter().map(|(key, _)| key.to_string()).collect(),
        false => named
            .iter()
            .map(|(key, name)| format!("{} ({name})", key.to_string()))
            .collect(),
    };
    let more = awaits.len() - named.len();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let whom = if one { other.as_str() } else { "other objects" };
    Some(format!(
        "waits for {whom}: {}{more} change hands",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_conflicts_three_are_named_and_the_rest_is_counted() {
        let said = |numbers: std::ops::Range<u8>| {
            let claims = numbers.map(|number| (number, "ns/a".to_owned()));
            claimed(&claims.collect())
        };
        assert_eq!(said(0..1), "0 is claimed by ns/a");
        let three = "0 is claimed by ns/a, 1 is claimed by ns/a, 2 is claimed by ns/a";
        assert_eq!(said(0..3), three);
        assert_eq!(said(0..5), format!("{three}, and 2 more"));
    }

    #[test]
    fn who_waits_names_whom_it_waits_for() {
        let said = |awaits: &[(u8, &str)]| {
            let awaits = awaits.iter().map(|(key, name)| (*key, (*name).to_owned()));
            waits_for(&awaits.collect())
        };
        assert_eq!(said(&[]), None);
        assert_eq!(
            said(&[(1, "ns/a")]).unwrap(),
            "waits for ns/a: 1 change hands"
        );
        assert_eq!(
            said(&[(1, "ns/a"), (2, "ns/b"), (3, "ns/a"), (4, "ns/a")]).unwrap(),
            "waits for other objects: 1 (ns/a), 2 (ns/b), 3 (ns/a) and 1 more change hands"
        );
    }
}
