//! Since when members are claimed by nobody: only a stranger in two views a minute apart is one (S7).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use server_group_sim::{Offline, world::Group};

use super::{Fact, Oracles};

/// Between the two views, less the way of the first one.
const CONFIRMED: Duration = Duration::from_secs(54);

impl Oracles {
    /// Notes who is in a group and claimed by nobody.
    pub fn note_unclaimed(&mut self, now: Duration, cloud: &Offline) {
        let exclusive = self.facts.values().filter(|fact| fact.exclusive);
        let groups: BTreeSet<_> = exclusive.map(|fact| fact.group.clone()).collect();
        if groups.is_empty() {
            return;
        }
        let world = cloud.look();
        let mut unclaimed = BTreeMap::new();
        for group in groups {
            for id in world.groups.get(&group).into_iter().flat_map(Group::ids) {
                let claims = |fact: &Fact| {
                    fact.group == group && (fact.lists.contains_key(&id) || fact.holds(&id))
                };
                if !self.facts.values().any(claims) {
                    let key = (group.clone(), id);
                    let since = self.unclaimed.get(&key).copied().unwrap_or(now);
                    unclaimed.insert(key, since);
                }
            }
        }
        self.unclaimed = unclaimed;
    }

    /// Whether a member has been a stranger for long enough.
    pub(super) fn is_stranger(&self, group: &str, id: &str, left: Duration) -> bool {
        let since = self.unclaimed.get(&(group.to_owned(), id.to_owned()));
        since.is_some_and(|since| *since + CONFIRMED <= left)
    }
}
