//! A release from a scaling group that the list leaves out.
//!
//! It may be gone, or only inactive. An unforced detach of the ledger's own pairs is the one removal that is sent
//! without a view: it moves no instance, and its answer says which of the two it is.

use std::collections::BTreeSet;

use server_group_core::{attachment::AttachmentKey, claim::wanted_by, reason::Reason};

use super::{
    super::{
        carry_out::{End, Manner, Step, carry_out},
        pass::{Pass, Stop},
        reconcile::Judged,
        report::plain_message,
    },
    apply::{attached_group, manner},
    observe::{Group, claimant, neighbours},
};
use crate::{
    api::ScalingGroupAttachment,
    cloud::{self, Answer, Force},
};

/// Lets go of what was registered, without a view.
///
/// # Errors
///
/// [`Stop::Gone`] once the object may go.
pub(super) async fn unseen(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
) -> Result<Judged, Stop> {
    if pass.keeps_everything() {
        return Err(pass.let_go().await?);
    }
    let others: Vec<_> = neighbours(pass.ctx, &pass.object)
        .iter()
        .map(|other| claimant(pass.ctx, other))
        .collect();
    let ours: BTreeSet<_> = pass
        .record
        .ledger
        .registered
        .iter()
        .filter(|key| wanted_by(*key, &others).is_none())
        .cloned()
        .collect();
    if ours.is_empty() {
        return Err(pass.let_go().await?);
    }
    let done = carry_out(
        pass,
        &mut Blind { group },
        ours.iter().cloned().collect(),
        "detaching from a scaling group that is not listed",
    )
    .await?;
    match done.end {
        End::Complete if done.accepted == ours => Err(pass.let_go().await?),
        End::Stopped(Stop::Verdict { verdict, .. }) if verdict.reason == Reason::GroupNotFound => {
            if pass.gone_for_sure() {
                return Err(pass.let_go().await?);
            }
            Ok(Judged {
                verdict: Reason::Releasing.into(),
                message: plain_message(Reason::Releasing).into(),
            })
        }
        End::Stopped(stop) => Err(stop),
        _ => Ok(Judged {
            verdict: Reason::Releasing.into(),
            message: plain_message(Reason::Releasing).into(),
        }),
    }
}

/// Detaches without force and without a view.
struct Blind<'g> {
    group: &'g Group,
}

impl Step<ScalingGroupAttachment> for Blind<'_> {
    fn manner(&self) -> Manner {
        manner("DetachServerGroups")
    }

    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ScalingGroupAttachment>,
        batch: Vec<AttachmentKey>,
        _repeating: bool,
    ) -> Result<Vec<AttachmentKey>, Stop> {
        pass.still_wanted_for_sure().await?;
        Ok(batch)
    }

    async fn send(&self, batch: &[AttachmentKey], token: &str) -> Result<Answer, cloud::Error> {
        let groups: Vec<_> = batch
            .iter()
            .filter_map(|key| attached_group(key, None))
            .collect();
        self.group
            .cloud
            .detach_server_groups(&self.group.id, &groups, Force::No, token)
            .await
    }
}
