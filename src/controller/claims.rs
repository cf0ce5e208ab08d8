//! The claims of another object on a group, whichever kind it is (S7).

use std::collections::BTreeSet;

use server_group_core::{
    claim::{Claimant, Standing},
    ledger::Ledger,
};

use super::{
    Context,
    authorize::authorize,
    managed::Managed,
    object::{age, name_of},
};

/// The claims of `other`, whose ledger is `ledger`.
///
/// `lists` returns the entries that its spec lists, and whether they are clear. It is called only for an object that is
/// granted, and stays. `consistent`: whether its spec can be carried out as far as the spec alone tells.
pub fn claimant<M: Managed>(
    ctx: &Context,
    other: &M,
    ledger: &Ledger<M::Key>,
    consistent: bool,
    lists: impl FnOnce() -> (BTreeSet<M::Key>, bool),
) -> Claimant<M::Key> {
    let granted = authorize(&ctx.accounts, other).is_ok();
    let leaving = other.meta().deletion_timestamp.is_some();
    let (lists, clear) = match granted && !leaving {
        true => lists(),
        false => (BTreeSet::new(), true),
    };
    let acts = granted && consistent && clear && !other.suspended() && !other.planning();
    Claimant {
        name: name_of(other).to_string(),
        age: age(other),
        lists,
        registered: match granted {
            true => ledger.registered.clone(),
            false => BTreeSet::new(),
        },
        ledger: ledger.keys(),
        standing: match (acts, leaving) {
            (true, true) => Standing::Leaving,
            (true, false) => Standing::Enforcing,
            (false, _) => Standing::Idle,
        },
    }
}
