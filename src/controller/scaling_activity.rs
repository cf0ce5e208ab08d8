//! How the scaling activity of a forced call stands, whichever kind asks.

use super::{Context, following::Standing, record::Reference, turns::GroupMemory};
use crate::cloud::{self, Activity, ActivityStatus, Cloud, Kind};

/// How the activity stands that `reference` means, in `scaling_group`. `turn` remembers since when that is missing.
///
/// # Errors
///
/// What any reading call may end with.
pub async fn look(
    ctx: &Context,
    turn: &mut GroupMemory,
    cloud: &Cloud,
    scaling_group: &str,
    reference: &Reference,
) -> Result<Standing, cloud::Error> {
    let found = match reference {
        Reference::AnyActivity => {
            let busy = cloud.scaling_group_is_busy(scaling_group).await;
            busy.map(|busy| match busy {
                true => Standing::Running,
                false => Standing::NotListed,
            })
        }
        Reference::Id(id) => {
            let activity = cloud.describe_scaling_activity(id).await;
            activity.map(|activity| activity.map_or(Standing::NotListed, standing))
        }
    };
    match found {
        // Nothing moves the instances of what is gone; one answer does not show that.
        Err(error) if error.kind == Kind::ScalingGroupNotFound => {
            let (gone, _) = turn.missing_for_sure(scaling_group, ctx.now(), ctx.timing.gone_gap);
            Ok(if gone {
                Standing::Ended
            } else {
                Standing::Running
            })
        }
        Ok(standing) => {
            turn.missing.remove(scaling_group);
            Ok(standing)
        }
        Err(error) => Err(error),
    }
}

fn standing(activity: Activity) -> Standing {
    match activity.status {
        ActivityStatus::InProgress => Standing::Running,
        ActivityStatus::Unknown(_) => Standing::Unclear,
        ActivityStatus::Successful => Standing::Ended,
        ActivityStatus::Warning => Standing::Warned(activity.message),
        ActivityStatus::Failed => Standing::Failed(activity.message),
        ActivityStatus::Rejected => {
            Standing::Failed(format!("it was rejected: {}", activity.message))
        }
    }
}
