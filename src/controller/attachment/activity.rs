//! Follows the scaling activity of a forced call to its end.

use super::{
    super::{
        following::Followed, pass::Pass, record::Reference, scaling_activity::look, stop::Stop,
    },
    group::Group,
};
use crate::api::ScalingGroupAttachment;

/// Looks at the activity that the open operation refers to, if there is one.
///
/// # Errors
///
/// [`Stop`] while it runs.
pub(super) async fn follow(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
) -> Result<(), Stop> {
    let Some((operation, reference)) = pass.followed() else {
        return Ok(());
    };
    let standing = look(
        pass.ctx,
        &mut pass.turn,
        &group.cloud,
        &group.id,
        &reference,
    )
    .await?;
    let name = match &reference {
        Reference::AnyActivity => "without a name",
        Reference::Id(id) => id,
    };
    pass.follow(&operation, Followed::Activity(name), standing)
}
