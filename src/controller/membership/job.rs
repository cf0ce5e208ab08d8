//! Follows the jobs that carry out changes to ALB and NLB groups.

use futures::future::try_join_all;

use super::{
    super::{
        following::{Followed, Standing},
        pass::Pass,
        stop::Stop,
    },
    observe::Group,
};
use crate::{
    api::{ServerGroupMembership, status::Phase},
    cloud::{Job, JobStatus},
};

/// Looks at the jobs of every object on the group, all together, and closes our own if it ended.
///
/// Returns whether another object's job runs (S6).
///
/// # Errors
///
/// [`Stop`] while our own runs.
pub(super) async fn follow(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
) -> Result<bool, Stop> {
    let ours = pass.followed();
    let others: Vec<_> = pass
        .neighbours()
        .iter()
        .filter_map(|other| other.record().operation.clone())
        .filter(|operation| operation.phase == Phase::Accepted)
        .filter(|operation| !pass.turn.answered.contains(&operation.id))
        .filter_map(|operation| operation.reference)
        .collect();
    let freshness = pass.freshness();
    let ids = ours.iter().map(|(_, id)| id).chain(&others);
    let asked = ids.map(|id| group.cloud.job(group.product, id, freshness));
    let jobs: Vec<_> = try_join_all(asked).await?.into_iter().flatten().collect();
    let runs = |id: &String| {
        jobs.iter()
            .any(|job| job.id == *id && standing(job) == Standing::Running)
    };
    let another_runs = others.iter().any(runs);
    if let Some((operation, id)) = ours {
        // One that is no longer known ended some time ago, one way or the other.
        let found = jobs.iter().find(|job| job.id == id);
        let standing = found.map_or(Standing::Ended, standing);
        pass.follow(operation, Followed::Job(&id), standing)?;
    }
    Ok(another_runs)
}

fn standing(job: &Job) -> Standing {
    match &job.status {
        JobStatus::Processing | JobStatus::Unknown(_) => Standing::Running,
        JobStatus::Succeeded => Standing::Ended,
        JobStatus::Failed => Standing::Failed(job.message.clone()),
    }
}
