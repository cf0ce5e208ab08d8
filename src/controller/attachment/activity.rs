//! Follows the scaling activity of a forced call to its end.

use server_group_core::reason::Reason;

use super::{
    super::{
        events::{self, Change},
        pass::{Pass, Stop},
    },
    observe::Group,
};
use crate::{
    api::{ScalingGroupAttachment, status::Phase},
    cloud::{Activity, ActivityStatus},
};

/// Looks at the activity that the open operation refers to, if there is one.
///
/// However it ended, the attachments are looked at again afterwards: an activity that ended well, ended in
/// part, or is no longer known proves nothing.
///
/// # Errors
///
/// [`Stop`] while it runs.
pub(super) async fn follow(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
) -> Result<(), Stop> {
    let Some(operation) = pass
        .record
        .operation
        .clone()
        .filter(|operation| operation.phase == Phase::Accepted)
    else {
        return Ok(());
    };
    let Some(reference) = &operation.reference else {
        return Ok(());
    };
    let activity = group.cloud.describe_scaling_activity(reference).await?;
    let message = activity
        .as_ref()
        .map(|activity| activity.message.clone())
        .unwrap_or_default();
    match activity {
        Some(Activity {
            status: ActivityStatus::InProgress | ActivityStatus::Unknown(_),
            ..
        }) => {
            let message = format!(
                "scaling activity {reference} carries out {}",
                operation.action
            );
            return Err(Stop::because(Reason::Changing, message));
        }
        Some(Activity {
            status: status @ (ActivityStatus::Failed | ActivityStatus::Rejected),
            ..
        }) => {
            let note = format!(
                "scaling activity {reference} of {} ended as {status:?}: {message}",
                operation.action
            );
            events::publish(pass, Change::Failed, note.clone()).await;
            for key in operation.names {
                let failed = {
                    let mut memory = pass.memory.lock();
                    let expectation = memory.expected.entry(key.clone()).or_default();
                    expectation.failed += 1;
                    expectation.waiting = true;
                    expectation.failed
                };
                if failed >= 2 {
                    pass.memory.lock().expected.remove(&key);
                    pass.park(key, note.clone());
                }
            }
        }
        Some(Activity {
            status: ActivityStatus::Warning,
            ..
        }) => {
            let note = format!(
                "scaling activity {reference} of {} ended with warnings: {message}",
                operation.action
            );
            events::publish(pass, Change::Failed, note).await;
        }
        Some(Activity {
            status: ActivityStatus::Successful,
            ..
        })
        | None => {
            let mut memory = pass.memory.lock();
            for key in &operation.names {
                memory.expected.remove(key);
            }
        }
    }
    pass.turn.answered.insert(operation.id);
    pass.close_answered();
    Ok(())
}
