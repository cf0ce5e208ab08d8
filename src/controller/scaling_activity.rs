//! How the scaling activity of a forced call stands, whichever kind asks.

use server_group_core::follow::Progress;

use super::{Context, record::Reference, turns::GroupMemory};
use crate::cloud::{self, Activity, ActivityStatus, Cloud, Kind};

/// How the activity stands that `reference` means, in `scaling_group`. `turn` remembers since when the scaling group is
/// missing.
///
/// # Errors
///
/// The error of a reading call.
pub async fn progress_of(
    ctx: &Context,
    turn: &mut GroupMemory,
    cloud: &Cloud,
    scaling_group: &str,
    reference: &Reference,
) -> Result<Progress, cloud::Error> {
    let found = match reference {
        Reference::AnyActivity => {
            let busy = cloud.scaling_group_is_busy(scaling_group).await;
            busy.map(|busy| match busy {
                true => Progress::Running,
                false => Progress::NotListed,
            })
        }
        Reference::Id(id) => {
            let activity = cloud.describe_scaling_activity(id).await;
            activity.map(|activity| activity.map_or(Progress::NotListed, progress))
        }
    };
    match found {
        // Nothing moves the instances of a scaling group that is gone; one answer does not show that it is.
        Err(error) if error.kind == Kind::ScalingGroupNotFound => {
            let (gone, _) = turn.missing_for_sure(scaling_group, ctx.now(), ctx.timing.gone_gap);
            Ok(if gone {
                Progress::Ended
            } else {
                Progress::Running
            })
        }
        Ok(progress) => {
            turn.missing.remove(scaling_group);
            Ok(progress)
        }
        Err(error) => Err(error),
    }
}

fn progress(activity: Activity) -> Progress {
    match activity.status {
        ActivityStatus::InProgress => Progress::Running,
        ActivityStatus::Unknown(_) => Progress::Unclear,
        ActivityStatus::Successful => Progress::Ended,
        ActivityStatus::Warning => Progress::Warned(activity.message),
        ActivityStatus::Failed => Progress::Failed(activity.message),
        ActivityStatus::Rejected => {
            Progress::Failed(format!("it was rejected: {}", activity.message))
        }
    }
}
