//! A plan as `status.plan` shows it: capped lists, totals, and a hash over the whole.

use std::fmt::Display;

use sha2::{Digest, Sha256};

use super::{managed::number, operation::hex};
use crate::api::status::{Plan, PlanTotals};

/// Entries that each list shows.
const SHOWN: usize = 50;

/// Shows a plan. Keys come in their own order, so equal plans have equal hashes.
///
/// The hash is SHA-256 over one line for each change: `add KEY`, then `remove KEY`, then `update KEY`.
pub fn shown<K: Display>(
    add: impl IntoIterator<Item = K>,
    remove: impl IntoIterator<Item = K>,
    update: impl IntoIterator<Item = K>,
) -> Plan {
    let mut hash = Sha256::new();
    let mut list = |verb: &str, keys: Vec<String>| {
        for key in &keys {
            hash.update(format!("{verb} {key}\n"));
        }
        let total = number(keys.len());
        (keys.into_iter().take(SHOWN).collect(), total)
    };
    let texts = |keys: Vec<K>| keys.iter().map(ToString::to_string).collect();
    let (add, added) = list("add", texts(add.into_iter().collect()));
    let (remove, removed) = list("remove", texts(remove.into_iter().collect()));
    let (update, updated) = list("update", texts(update.into_iter().collect()));
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
        let plan = shown(["b", "c"], ["a"], []);
        let lines = "add b\nadd c\nremove a\n";
        let expected = hex(&Sha256::digest(lines));
        assert_eq!(plan.hash, expected);
        let many: Vec<_> = (0..60).map(|number| format!("i-{number:02}")).collect();
        let (all, but_one) = (
            shown(many.clone(), vec![], vec![]),
            shown(many[..59].to_vec(), vec![], vec![]),
        );
        assert_eq!((all.add.len(), all.totals.add), (SHOWN, 60));
        assert_ne!(all.hash, but_one.hash);
    }
}
