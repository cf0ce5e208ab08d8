//! Carries out a plan: attach first, then detach, then swap weights, each on the newest view.

use std::collections::BTreeMap;

use server_group_core::{
    attachment::{
        AttachmentKey, Plan,
        guard::{self, Detach},
        plan,
    },
    claim::{Owner, owner},
    product::ATTACHMENTS_PER_CALL,
    reason::Reason,
    server::Weight,
};

use super::{
    super::{
        carry_out::{End, Step, carry_out},
        events::{self, Change},
        managed::age,
        pass::{Pass, Stop},
        turns::{GroupId, Turn},
    },
    observe::{Group, claimant, neighbours, observe, server_group_in_use},
    parse::Parsed,
};
use crate::{
    api::ScalingGroupAttachment,
    cloud::{self, Answer, AttachedGroup, Force},
};

/// What became of a plan.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Whether anything was sent.
    pub called: bool,
    /// Whether a quota stopped an attachment.
    pub quota_reached: bool,
    /// What stopped it.
    pub stopped: Option<Stop>,
}

/// Carries out `planned`; what changes the ledger alone travels with the next write.
///
/// # Errors
///
/// [`Stop`] if an intent could not be written.
pub(super) async fn apply(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    parsed: &Parsed,
    planned: &Plan,
) -> Result<Applied, Stop> {
    for key in &planned.adopt {
        pass.record.ledger.adopt(key.clone());
    }
    for key in &planned.hand_over {
        pass.record.ledger.forget(key);
    }
    if !planned.adopt.is_empty() {
        let note = format!(
            "adopted {} that {} already fed",
            server_groups(planned.adopt.len()),
            group.id
        );
        events::publish(pass, Change::Adopted, note).await;
    }
    let mut applied = Applied::default();
    if !planned.attach.is_empty() {
        for key in planned.attach.keys() {
            pass.record.ledger.register(key.clone());
        }
        let force = if pass.object.spec.force_attach {
            Force::Yes
        } else {
            Force::No
        };
        let mut step = Attach {
            group,
            weights: planned.attach.clone(),
            force,
            turns: Vec::new(),
        };
        let names = planned.attach.keys().cloned().collect();
        run(
            pass,
            group,
            &mut step,
            names,
            ["attaching", "attached", "to"],
            Change::Attached,
            &mut applied,
        )
        .await?;
    }
    let force = if pass.object.spec.force_detach {
        Force::Yes
    } else {
        Force::No
    };
    for (names, force, swaps) in [
        (&planned.detach, force, false),
        (&planned.swap, Force::No, true),
    ] {
        if names.is_empty() || applied.stopped.is_some() {
            continue;
        }
        let mut step = Undo {
            group,
            parsed,
            force,
            swaps,
            turns: Vec::new(),
        };
        let names = names.iter().cloned().collect();
        run(
            pass,
            group,
            &mut step,
            names,
            ["detaching", "detached", "from"],
            Change::Detached,
            &mut applied,
        )
        .await?;
    }
    Ok(applied)
}

async fn run(
    pass: &mut Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    step: &mut impl Step<ScalingGroupAttachment>,
    names: Vec<AttachmentKey>,
    [verb, past, preposition]: [&str; 3],
    change: Change,
    applied: &mut Applied,
) -> Result<(), Stop> {
    applied.called = true;
    let message = format!(
        "{verb} {} {preposition} {}",
        server_groups(names.len()),
        group.id
    );
    let done = carry_out(pass, step, names, &message).await?;
    if !done.accepted.is_empty() {
        let request = done.request_id.as_deref().unwrap_or("none");
        let count = server_groups(done.accepted.len());
        events::publish(
            pass,
            change,
            format!(
                "{past} {count} {preposition} {} (request {request})",
                group.id
            ),
        )
        .await;
    }
    match done.end {
        End::Complete => {}
        End::Quota(_) => applied.quota_reached = true,
        End::Working | End::LookAgain => {
            applied.stopped = Some(Stop::because(
                Reason::Changing,
                format!("{message}: the cloud is working on it"),
            ));
        }
        End::Stopped(stop) => applied.stopped = Some(stop),
    }
    Ok(())
}

/// `1 server group`, `3 server groups`.
fn server_groups(count: usize) -> String {
    format!("{count} server group{}", if count == 1 { "" } else { "s" })
}

/// Makes attachments.
struct Attach<'g> {
    group: &'g Group,
    weights: BTreeMap<AttachmentKey, Option<Weight>>,
    force: Force,
    /// Held while a forced call is under way.
    turns: Vec<Turn>,
}

impl Step<ScalingGroupAttachment> for Attach<'_> {
    fn action(&self) -> &'static str {
        "AttachServerGroups"
    }

    fn limit(&self) -> usize {
        ATTACHMENTS_PER_CALL
    }

    fn over_when_answered(&self) -> bool {
        true
    }

    fn has_tokens(&self) -> bool {
        true
    }

    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ScalingGroupAttachment>,
        mut batch: Vec<AttachmentKey>,
        _repeating: bool,
    ) -> Result<Vec<AttachmentKey>, Stop> {
        pass.still_wanted()?;
        let others: Vec<_> = neighbours(pass.ctx, &pass.object)
            .iter()
            .map(|other| claimant(pass.ctx, other))
            .collect();
        let age = age(&pass.object);
        batch.retain(|key| owner(key, &age, pass.record.ledger.holds(key), &others) == Owner::Us);
        if self.force == Force::Yes {
            self.turns.clear();
            self.turns = take_server_groups(pass, self.group, &batch).await?;
        }
        Ok(batch)
    }

    async fn send(&self, batch: &[AttachmentKey], token: &str) -> Result<Answer, cloud::Error> {
        let groups: Vec<_> = batch
            .iter()
            .filter_map(|key| attached_group(key, self.weights.get(key).copied().flatten()))
            .collect();
        self.group
            .cloud
            .attach_server_groups(&self.group.id, &groups, self.force, token)
            .await
    }
}

/// Undoes attachments: for good, or to make them again at another weight.
struct Undo<'g> {
    group: &'g Group,
    parsed: &'g Parsed,
    force: Force,
    swaps: bool,
    /// Held while a forced call is under way.
    turns: Vec<Turn>,
}

impl Step<ScalingGroupAttachment> for Undo<'_> {
    fn action(&self) -> &'static str {
        "DetachServerGroups"
    }

    fn limit(&self) -> usize {
        ATTACHMENTS_PER_CALL
    }

    fn over_when_answered(&self) -> bool {
        true
    }

    fn has_tokens(&self) -> bool {
        true
    }

    /// Looks again, plans again, and lets through what both plans undo.
    ///
    /// When a call without an answer is repeated, what is no longer attached stays in the batch: the same token
    /// has to stand for the same content.
    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ScalingGroupAttachment>,
        mut batch: Vec<AttachmentKey>,
        repeating: bool,
    ) -> Result<Vec<AttachmentKey>, Stop> {
        pass.still_wanted_for_sure().await?;
        if self.force == Force::Yes {
            self.turns.clear();
            self.turns = take_server_groups(pass, self.group, &batch).await?;
        }
        let observed = observe(pass, self.group, self.parsed).await?;
        let observed = observed.ok_or(Stop::Superseded("the scaling group is no longer listed"))?;
        if !observed.open() {
            return Err(Stop::because(
                Reason::Changing,
                format!("{} is busy", self.group.id),
            ));
        }
        let world = observed.world;
        let planned = plan(&world);
        let allowed = if self.swaps {
            planned.swap
        } else {
            planned.detach
        };
        let gone = |key: &AttachmentKey| !world.attached.contains_key(key);
        batch.retain(|key| allowed.contains(key) || (repeating && gone(key)));
        let present: Vec<_> = batch.iter().filter(|key| !gone(key)).cloned().collect();
        let how = if self.force == Force::Yes {
            Detach::Forced
        } else {
            Detach::Unforced
        };
        if !present.is_empty() {
            guard::detach(&world, &present, how).map_err(|violation| {
                tracing::error!(%violation, group = self.group.id, "the planner and the guard disagree; nothing was sent");
                Stop::because(Reason::Retrying, format!("nothing was detached: {violation}"))
            })?;
        }
        Ok(batch)
    }

    async fn send(&self, batch: &[AttachmentKey], token: &str) -> Result<Answer, cloud::Error> {
        let groups: Vec<_> = batch
            .iter()
            .filter_map(|key| attached_group(key, None))
            .collect();
        self.group
            .cloud
            .detach_server_groups(&self.group.id, &groups, self.force, token)
            .await
    }
}

/// Takes the turns on the server groups that a forced call moves instances in or out of (S6).
///
/// # Errors
///
/// [`Stop`] while something else is under way on one of them, or on the scaling group.
async fn take_server_groups(
    pass: &Pass<'_, ScalingGroupAttachment>,
    group: &Group,
    batch: &[AttachmentKey],
) -> Result<Vec<Turn>, Stop> {
    let region = &pass.object.spec.region_id;
    let groups = batch.iter().filter_map(AttachmentKey::server_group);
    let groups: std::collections::BTreeSet<_> = groups
        .map(|(product, id)| GroupId::new(region, &product.to_string(), id))
        .collect();
    let mut turns = Vec::new();
    for group in &groups {
        turns.push(pass.ctx.turns.take(group).await);
    }
    if let Some(key) = batch
        .iter()
        .find(|key| server_group_in_use(pass.ctx, &pass.object, key))
    {
        return Err(Stop::because(
            Reason::Changing,
            format!("another change to {key} is under way"),
        ));
    }
    if group.cloud.scaling_group_is_busy(&group.id).await? {
        return Err(Stop::because(
            Reason::Changing,
            format!("a scaling activity of {} is running", group.id),
        ));
    }
    Ok(turns)
}

/// An attachment as a call names it.
pub(super) fn attached_group(key: &AttachmentKey, weight: Option<Weight>) -> Option<AttachedGroup> {
    match key {
        AttachmentKey::ServerGroup { product, id, port } => Some(AttachedGroup {
            id: id.clone(),
            kind: product.to_string(),
            port: *port,
            weight,
        }),
        AttachmentKey::VServerGroup { .. } | AttachmentKey::LoadBalancer { .. } => None,
    }
}
