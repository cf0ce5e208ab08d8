//! Follows the jobs that carry out changes to ALB and NLB groups.

use futures::future::try_join_all;
use server_group_core::follow::Progress;

use super::{
    super::{
        ended::Judged,
        following::{Followed, patience},
        object::Object,
        pass::Pass,
        stop::Stop,
    },
    group::Group,
};
use crate::{
    api::{ServerGroupMembership, status::Phase},
    cloud::{Job, JobStatus},
};

/// Looks at the jobs of every object on the group, all together, and closes our own if it ended.
///
/// Notes in `group` whether another object's job runs (S6), and says how the object stands while our own runs.
///
/// # Errors
///
/// [`Stop`] if the jobs could not be looked at.
pub(super) async fn follow(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &mut Group,
) -> Result<Option<Judged>, Stop> {
    let ours = pass.followed();
    let ours = ours.map(|(operation, reference)| (operation, reference.to_string()));
    let id = pass.object.group();
    let others: Vec<_> = pass
        .open_on(&id, &pass.turn)
        .into_iter()
        .filter(|open| open.moved_by.is_none() && open.phase == Phase::Accepted)
        .filter(|open| !pass.turn.answered.contains(&open.local_id()))
        .filter_map(|open| Some((open.local_id(), open.reference?.to_string())))
        .collect();
    let freshness = pass.freshness();
    let ids = ours.iter().map(|(_, id)| id);
    let ids = ids.chain(others.iter().map(|(_, id)| id));
    let asked = ids.map(|id| group.cloud.job(group.product, id, freshness));
    let jobs: Vec<_> = try_join_all(asked).await?.into_iter().flatten().collect();
    let look = |id: &String| {
        let found = jobs.iter().find(|job| job.id == *id);
        found.map_or(Progress::NotListed, progress)
    };
    let (now, patience) = (pass.ctx.now(), patience(&pass.ctx.timing));
    group.another_job_runs = false;
    for (operation, job) in &others {
        let shown = look(job).shown();
        let over = pass.turn.is_over(operation, shown, now, patience);
        if over || pass.turn.takes_too_long(operation, now, patience) {
            // If the object of the call is gone, nobody else tells that the call ended.
            pass.ctx
                .orphans
                .close(&id, |open| open.local_id() == *operation);
        } else {
            group.another_job_runs = true;
        }
    }
    Ok(ours.and_then(|(operation, id)| pass.follow(&operation, Followed::Job(&id), look(&id))))
}

fn progress(job: &Job) -> Progress {
    match &job.status {
        JobStatus::Processing => Progress::Running,
        JobStatus::Unknown(_) => Progress::Unclear,
        JobStatus::Succeeded => Progress::Ended,
        JobStatus::Failed => Progress::Failed(job.message.clone()),
    }
}
