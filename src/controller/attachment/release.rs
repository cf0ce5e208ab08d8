//! A release from a scaling group that the list leaves out.
//!
//! It may be gone, or only inactive. An unforced detach of the ledger's own pairs is the one removal that is sent
//! without a view: it moves no instance, and its answer says which of the two it is.

use std::collections::BTreeSet;

use jiff::Timestamp;
use server_group_core::{
    attachment::{AttachmentKey, Family},
    claim::{Unlisted, unlisted},
    reason::Reason,
    settle::Sighting,
};

use super::{
    super::{
        apply::tell_accepted,
        carry_out::{End, Manner, Step, carry_out},
        ended::{Ended, Judged},
        object::age,
        pass::Pass,
        report::plain_message,
        stop::Stop,
    },
    apply::{detaching, manner, of_family},
    claims::claimant,
    group::Group,
};
use crate::{
    api::ScalingGroupAttachment,
    cloud::{self, Answer, Cloud, Force},
};

/// Lets go of the registered attachments, without a view, and then of the object.
///
/// # Errors
///
/// [`Stop`] if a call or a write failed.
pub(super) async fn unseen(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
) -> Result<Ended, Stop> {
    let neighbours = pass.neighbours();
    if something_is_open(pass, group.cloud.now()) {
        return Ok(releasing().into());
    }
    if let Some(waits) = pass.waits_for_a_late_removal() {
        return Ok(waits.into());
    }
    if let Some(stays) = pass.why_everything_stays() {
        pass.tell_all_left(stays).await;
        return pass.let_go().await;
    }
    let others: Vec<_> = neighbours
        .iter()
        .map(|other| claimant(pass.ctx, other))
        .collect();
    // Attachments that another object lists stay: as long as nobody sees the group, nobody can take them over.
    let age = age(&pass.object);
    let ours: BTreeSet<_> = pass
        .record
        .ledger
        .registered
        .iter()
        .filter(|key| unlisted(*key, &age, true, &others) == Unlisted::Ours)
        .cloned()
        .collect();
    if ours.is_empty() {
        pass.tell_adopted_left().await;
        return pass.let_go().await;
    }
    // The call said so once. Asking it again before the second answer can count would change nothing.
    if pass.gone_lately() {
        return Ok(releasing().into());
    }
    for family in Family::ALL {
        let names = of_family(family, &ours);
        if !names.is_empty()
            && let Some(ended) = detach(pass, group, family, names).await?
        {
            return Ok(ended);
        }
    }
    if let Some(waits) = pass.waits_for_a_late_removal() {
        return Ok(waits.into());
    }
    pass.tell_adopted_left().await;
    pass.let_go().await
}

fn releasing() -> Judged {
    Judged::because(Reason::Releasing, plain_message(Reason::Releasing))
}

/// Whether a call on the scaling group, ours or a neighbour's, may still land: it is given the time that two agreeing
/// views would take, though there is no view.
fn something_is_open(pass: &mut Pass<'_, ScalingGroupAttachment>, cloud_now: Timestamp) -> bool {
    let operations = pass.open_operations();
    let now = pass.ctx.now();
    pass.recall_what_may_land(cloud_now);
    let unsettled = pass.settle(operations, |_| Sighting::GroupUnlisted, true, now);
    !unsettled.is_empty()
}

/// Detaches all of `names`; says how the pass ends if that is not done yet, or if there is nothing to detach them from.
async fn detach(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    family: Family,
    names: Vec<AttachmentKey>,
) -> Result<Option<Ended>, Stop> {
    let count = names.len();
    let done = carry_out(
        pass,
        &mut Blind { group, family },
        names,
        "detaching from a scaling group that is not listed",
    )
    .await?;
    tell_accepted(pass, detaching(family), &done, &group.id).await;
    match done.end {
        // Attachments that are gone already need no detaching.
        End::Complete if done.accepted.len() + done.absent.len() == count => Ok(None),
        End::Stopped(Stop::Failed(judged)) if judged.verdict.reason == Reason::GroupNotFound => {
            match pass.gone_for_sure() {
                true => pass.let_go().await.map(Some),
                false => Ok(Some(releasing().into())),
            }
        }
        End::Waits(waits) => Ok(Some(waits.into())),
        End::Stopped(stop) => Err(stop),
        End::Refused(error) => Err(error.into()),
        _ => Ok(Some(releasing().into())),
    }
}

/// Detaches without force and without a view.
struct Blind<'g> {
    group: &'g Group,
    family: Family,
}

impl Step<ScalingGroupAttachment> for Blind<'_> {
    fn cloud(&self) -> &Cloud {
        &self.group.cloud
    }

    fn takes_away(&self) -> bool {
        true
    }

    fn manner(&self) -> Manner {
        manner(self.family, false)
    }

    async fn prepare(
        &mut self,
        _pass: &mut Pass<'_, ScalingGroupAttachment>,
        batch: Vec<AttachmentKey>,
        _repeating: bool,
    ) -> Result<Vec<AttachmentKey>, Stop> {
        Ok(batch)
    }

    async fn send(
        &self,
        cloud: Cloud,
        batch: &[AttachmentKey],
        token: &str,
    ) -> Result<Answer, cloud::Error> {
        let batch: Vec<_> = batch.iter().collect();
        let id = &self.group.id;
        cloud
            .detach(id, self.family, &batch, Force::NoActivity, token)
            .await
    }
}
