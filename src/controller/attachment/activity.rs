//! Follows the scaling activity of a forced call to its end.

use super::{
    super::{
        ended::Judged, following::Followed, pass::Pass, record::Reference,
        scaling_activity::progress_of, stop::Stop,
    },
    group::Group,
};
use crate::api::ScalingGroupAttachment;

/// Looks at the activity that the open operation refers to, if there is one; says how the object stands while it runs.
///
/// # Errors
///
/// [`Stop`] if it could not be looked at.
pub(super) async fn follow(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
) -> Result<Option<Judged>, Stop> {
    let Some((operation, reference)) = pass.followed() else {
        return Ok(None);
    };
    let standing = progress_of(
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
    Ok(pass.follow(&operation, Followed::Activity(name), standing))
}
