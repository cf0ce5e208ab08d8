//! The claims of other memberships (S7).

use server_group_core::{
    claim::Claimant,
    membership::resolve::resolve,
    server::{Rows, ServerKey, meant_by},
};

use super::{
    super::{Context, claims, known::Known},
    parse,
};
use crate::api::ServerGroupMembership;

/// The claims of another object in a group that shows `rows`.
pub(super) fn claimant(
    ctx: &Context,
    other: &Known<ServerGroupMembership>,
    rows: &Rows,
) -> Claimant<ServerKey> {
    let mut ledger = other.ledger().clone();
    ledger.take_addresses(rows);
    let consistent = parse::parse(&other.spec).is_ok();
    claims::claimant(ctx, &**other, &ledger, consistent, || {
        let product = parse::product(other.spec.server_group.type_);
        let entries = parse::claims(&other.spec);
        match resolve(product, &entries, &ledger, rows) {
            Ok(desired) => (desired.into_keys().collect(), true),
            // Every member that may be meant is claimed.
            Err(_) => {
                let entries = entries.iter();
                let meant = entries.flat_map(|entry| meant_by(entry.key(), rows));
                (meant.collect(), false)
            }
        }
    })
}
