//! Follows the scaling activity of a forced call to its end.

use super::{
    super::{
        following::{Followed, Standing},
        pass::Pass,
        stop::Stop,
    },
    observe::Group,
};
use crate::{
    api::ScalingGroupAttachment,
    cloud::{Activity, ActivityStatus},
};

/// What `status.operation.reference` says of a forced call whose answer names no activity.
pub(super) const ANY_ACTIVITY: &str = "any activity of the scaling group";

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
    if reference == ANY_ACTIVITY {
        let standing = match group.cloud.scaling_group_is_busy(&group.id).await? {
            true => Standing::Running,
            false => Standing::Ended,
        };
        let followed = Followed::Activity("without a name");
        return pass.follow(operation, followed, standing);
    }
    let activity = group.cloud.describe_scaling_activity(&reference).await?;
    // One that is no longer known ended some time ago, one way or the other.
    let standing = activity.map_or(Standing::Ended, standing);
    let followed = Followed::Activity(&reference);
    pass.follow(operation, followed, standing)
}

fn standing(activity: Activity) -> Standing {
    match activity.status {
        ActivityStatus::InProgress | ActivityStatus::Unknown(_) => Standing::Running,
        ActivityStatus::Successful => Standing::Ended,
        ActivityStatus::Warning => Standing::Warned(activity.message),
        ActivityStatus::Failed => Standing::Failed(activity.message),
        ActivityStatus::Rejected => {
            Standing::Failed(format!("it was rejected: {}", activity.message))
        }
    }
}
