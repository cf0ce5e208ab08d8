//! How the scaling activity of a forced call stands, and when the call is over, whichever kind asks.
//!
//! The object of the call may not be able to follow it any more, so whoever wants to change a group that the call moves
//! instances in or out of asks ESS.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use server_group_core::follow::Progress;

use super::{
    Context, following::patience, open::Open, record::Reference, turns::GroupId,
    turns::GroupMemory, turns::undoes,
};
use crate::{
    api::status::Phase,
    cloud::{self, Activity, ActivityStatus, Cloud, Kind},
};

/// When scaling groups were last seen to move instances, whoever asked: since the start of the process.
#[derive(Debug, Default)]
pub struct Running(Mutex<BTreeMap<String, Duration>>);

impl Running {
    fn seen(&self, scaling_group: &str, now: Duration, linger: Duration) {
        let mut seen = self.0.lock();
        seen.retain(|_, at| *at + linger > now);
        seen.insert(scaling_group.to_owned(), now);
    }

    fn last(&self, scaling_group: &str) -> Duration {
        let seen = self.0.lock();
        seen.get(scaling_group).copied().unwrap_or_default()
    }
}

/// Whether `open`, a call that moves instances of `scaling_group` in or out of `fed`, is over; `turn` is the turn on `fed`.
///
/// A call without an answer is over when it cannot begin anything any more, which takes `lands`, and nothing runs. Where
/// ESS cannot be asked, time alone ends a call: once nobody has seen the scaling group move instances for so long that
/// nobody may ever be able to tell.
pub async fn move_is_over(
    ctx: &Context,
    fed: &GroupId,
    turn: &mut GroupMemory,
    cloud: &Cloud,
    open: &Open,
    scaling_group: &str,
    lands: Duration,
) -> bool {
    let (id, accepted) = (open.local_id(), open.phase == Phase::Accepted);
    let reference = open.reference.as_ref().filter(|_| accepted);
    let reference = reference.unwrap_or(&Reference::AnyActivity);
    let since = turn.waited_for.entry(id.clone());
    let since = *since.or_insert_with(|| ctx.now());
    let looked = progress_of(ctx, turn, cloud, scaling_group, reference).await;
    let now = ctx.now();
    let over = match looked {
        Ok(progress) if accepted => turn.is_over(&id, progress.shown(), now, patience(&ctx.timing)),
        Ok(progress) => progress != Progress::Running && now >= since + lands,
        Err(_) => now >= since.max(ctx.running.last(scaling_group)) + ctx.timing.linger,
    };
    // Lists lag behind the end of it, and a status may speak of it for long.
    if over && undoes(&open.action) && turn.note_end_of_move(&id) {
        ctx.lag.moved(fed.clone(), now);
    }
    over
}

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
            if progress == Progress::Running {
                let (now, linger) = (ctx.now(), ctx.timing.linger);
                ctx.running.seen(scaling_group, now, linger);
            }
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
