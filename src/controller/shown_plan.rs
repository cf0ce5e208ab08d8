//! A plan as `status.plan` shows it: capped lists, totals, and a hash over the whole.

use std::fmt::Display;

use sha2::{Digest, Sha256};

use server_group_core::server::Weight;

use super::{operation::hex, report::number};
use crate::api::status::{Plan, PlanTotals};

/// Entries that each list shows.
const SHOWN: usize = 50;

/// Shows a plan. Keys come in their own order, so equal plans have equal hashes.
///
/// The hash is SHA-256 over one line for each change: `add KEY` or `add KEY WEIGHT`, then `remove KEY`, then
/// `update KEY WEIGHT`. Entries that are removed later, because their replacements do not serve yet, count as removed.
pub fn for_status<'k, K: Display + 'k>(
    add: impl IntoIterator<Item = (&'k K, Option<Weight>)>,
    remove: impl IntoIterator<Item = &'k K>,
    update: impl IntoIterator<Item = (&'k K, Option<Weight>)>,
) -> Plan {
    let mut hash = Sha256::new();
    let mut list = |verb: &str, changes: Vec<(String, Option<Weight>)>| {
        for (key, weight) in &changes {
            let weight = weight.map_or(String::new(), |weight| format!(" {weight}"));
            hash.update(format!("{verb} {key}{weight}\n"));
        }
        let total = number(changes.len());
        let keys = changes.into_iter().map(|(key, _)| key);
        (keys.take(SHOWN).collect(), total)
    };
    let weighted = |(key, weight): (&K, _)| (key.to_string(), weight);
    let (add, added) = list("add", add.into_iter().map(weighted).collect());
    let remove = remove.into_iter().map(|key| (key.to_string(), None));
    let (remove, removed) = list("remove", remove.collect());
    let (update, updated) = list("update", update.into_iter().map(weighted).collect());
    let hash = hex(&hash.finalize());
    Plan {
        hash,
        add,
        remove,
        update,
        totals: PlanTotals {
            add: added,
            remove: removed,
            update: updated,
        },
    }
}

/// Whether a plan would change nothing.
pub fn is_empty(plan: &Plan) -> bool {
    plan.totals == PlanTotals::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_documented_and_covers_what_is_not_shown() {
        let plan = for_status([(&"b", None), (&"c", Some(5))], [&"a"], [(&"d", Some(0))]);
        let lines = "add b\nadd c 5\nremove a\nupdate d 0\n";
        let expected = hex(&Sha256::digest(lines));
        assert_eq!(plan.hash, expected);
        let many: Vec<_> = (0..60).map(|number| format!("i-{number:02}")).collect();
        let adding = |keys: &[String]| for_status(keys.iter().map(|key| (key, None)), [], []);
        let (all, but_one) = (adding(&many), adding(&many[..59]));
        assert_eq!((all.add.len(), all.totals.add), (SHOWN, 60));
        assert_ne!(all.hash, but_one.hash);
    }
}
