//! The claims of other attachments (S7).

use server_group_core::{attachment::AttachmentKey, claim::Claimant};

use super::{
    super::{Context, claims, known::Known},
    parse,
};
use crate::api::ScalingGroupAttachment;

/// The claims of another object on its scaling group.
pub(super) fn claimant(
    ctx: &Context,
    other: &Known<ScalingGroupAttachment>,
) -> Claimant<AttachmentKey> {
    let consistent = parse::parse(&other.spec).is_ok();
    let lists = || (parse::claims(&other.spec), true);
    claims::claimant(ctx, &**other, other.ledger(), consistent, lists)
}
