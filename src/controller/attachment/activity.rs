//! Follows the scaling activity of a forced call to its end.

use super::{
    super::{
        following::Followed,
        pass::Pass,
        scaling_activity::{ANY_ACTIVITY, look},
        stop::Stop,
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
    let name = match reference.as_str() {
        ANY_ACTIVITY => "without a name",
        id => id,
    };
    pass.follow(operation, Followed::Activity(name), standing)
}
