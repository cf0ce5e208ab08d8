//! Carries out a plan: additions first, then removals, each on the newest view.

use std::collections::BTreeMap;

use server_group_core::{
    claim::{Owner, owner},
    membership::{
        Plan, Wish, World,
        guard::{self, Violation},
        plan,
    },
    reason::Reason,
    server::{Rows, ServerKey, ServerKind, Weight},
};

use super::{
    super::{
        carry_out::{End, Step, carry_out},
        events::{self, Change},
        managed::age,
        pass::{Pass, Stop},
    },
    observe::{Group, claimant, neighbours, observe},
    parse::Parsed,
};
use crate::{
    api::ServerGroupMembership,
    cloud::{self, Answer, MemberChange},
};

/// What became of a plan.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Whether anything was sent.
    pub called: bool,
    /// Whether a quota stopped an addition.
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
    pass: &mut Pass<'_, ServerGroupMembership>,
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
            "adopted {} that were already in {}",
            servers(planned.adopt.len()),
            group.id
        );
        events::publish(pass, Change::Adopted, note).await;
    }
    let mut applied = Applied::default();
    if !planned.add.is_empty() {
        let step = &mut Add {
            group,
            wishes: planned.add.clone(),
        };
        let names: Vec<_> = planned.add.keys().cloned().collect();
        for key in &names {
            pass.record.ledger.register(key.clone());
        }
        run(pass, group, step, names, &mut applied).await?;
        if !applied.may_go_on() {
            return Ok(applied);
        }
    }
    if !planned.reweigh.is_empty() {
        let step = &mut Reweigh {
            group,
            parsed,
            weights: planned.reweigh.clone(),
            kinds: BTreeMap::new(),
        };
        run(
            pass,
            group,
            step,
            planned.reweigh.keys().cloned().collect(),
            &mut applied,
        )
        .await?;
        if !applied.may_go_on() {
            return Ok(applied);
        }
    }
    if !planned.remove.is_empty() {
        let step = &mut Remove {
            group,
            parsed,
            kinds: BTreeMap::new(),
        };
        run(
            pass,
            group,
            step,
            planned.remove.iter().cloned().collect(),
            &mut applied,
        )
        .await?;
    }
    Ok(applied)
}

impl Applied {
    /// Whether the next action of the plan may follow in this pass.
    fn may_go_on(&self) -> bool {
        self.stopped.is_none()
    }
}

async fn run(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    step: &mut impl MemberStep,
    names: Vec<ServerKey>,
    applied: &mut Applied,
) -> Result<(), Stop> {
    applied.called = true;
    let message = format!(
        "{} {} {} {}",
        step.verb(),
        servers(names.len()),
        step.preposition(),
        group.id
    );
    let done = carry_out(pass, step, names, &message).await?;
    if !done.accepted.is_empty() {
        step.accepted(pass, &done.accepted);
        let request = done.request_id.as_deref().unwrap_or("none");
        let count = servers(done.accepted.len());
        let note = format!(
            "{} {count} {} {} (request {request})",
            step.verb_done(),
            step.preposition(),
            group.id
        );
        events::publish(pass, step.event(), note).await;
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

/// `1 server`, `25 servers`.
fn servers(count: usize) -> String {
    format!("{count} server{}", if count == 1 { "" } else { "s" })
}

/// What a step is called, and what follows from an answer.
trait MemberStep: Step<ServerGroupMembership> {
    fn verb(&self) -> &'static str;
    fn verb_done(&self) -> &'static str;
    fn preposition(&self) -> &'static str;
    fn event(&self) -> Change;
    fn accepted(
        &self,
        pass: &Pass<'_, ServerGroupMembership>,
        keys: &std::collections::BTreeSet<ServerKey>,
    );
}

/// Puts members into the group.
struct Add<'g> {
    group: &'g Group,
    wishes: BTreeMap<ServerKey, Wish>,
}

impl Step<ServerGroupMembership> for Add<'_> {
    fn action(&self) -> &'static str {
        cloud::add_action(self.group.product)
    }

    fn limit(&self) -> usize {
        self.group.product.members_per_call()
    }

    fn over_when_answered(&self) -> bool {
        self.group.product.changes_at_once()
    }

    fn has_tokens(&self) -> bool {
        self.group.product.has_tokens()
    }

    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ServerGroupMembership>,
        mut batch: Vec<ServerKey>,
        _repeating: bool,
    ) -> Result<Vec<ServerKey>, Stop> {
        pass.still_wanted()?;
        // Rows do not matter here: an addition to what another object registered meanwhile is what must not happen.
        let nobody = Rows::new();
        let others: Vec<_> = neighbours(pass.ctx, &pass.object)
            .iter()
            .map(|other| claimant(pass.ctx, other, &nobody))
            .collect();
        let age = age(&pass.object);
        batch.retain(|key| owner(key, &age, pass.record.ledger.holds(key), &others) == Owner::Us);
        Ok(batch)
    }

    async fn send(&self, batch: &[ServerKey], token: &str) -> Result<Answer, cloud::Error> {
        let members: Vec<_> = batch
            .iter()
            .map(|key| {
                let wish = &self.wishes[key];
                change(key, wish.kind, wish.weight)
            })
            .collect();
        self.group
            .cloud
            .add_members(self.group.product, &self.group.id, &members, token)
            .await
    }
}

impl MemberStep for Add<'_> {
    fn verb(&self) -> &'static str {
        "adding"
    }

    fn verb_done(&self) -> &'static str {
        "added"
    }

    fn preposition(&self) -> &'static str {
        "to"
    }

    fn event(&self) -> Change {
        Change::Added
    }

    fn accepted(
        &self,
        pass: &Pass<'_, ServerGroupMembership>,
        keys: &std::collections::BTreeSet<ServerKey>,
    ) {
        let mut memory = pass.memory.lock();
        for key in keys {
            memory.expected.entry(key.clone()).or_default().waiting = false;
        }
    }
}

/// Takes members out of the group.
struct Remove<'g> {
    group: &'g Group,
    parsed: &'g Parsed,
    /// What the newest view says each member is; a removal has to repeat it.
    kinds: BTreeMap<ServerKey, ServerKind>,
}

impl Step<ServerGroupMembership> for Remove<'_> {
    fn action(&self) -> &'static str {
        cloud::remove_action(self.group.product)
    }

    fn limit(&self) -> usize {
        self.group.product.members_per_call()
    }

    fn over_when_answered(&self) -> bool {
        self.group.product.changes_at_once()
    }

    fn has_tokens(&self) -> bool {
        self.group.product.has_tokens()
    }

    /// Looks at the group again, plans again, and lets through what both plans remove.
    ///
    /// When a call without an answer is repeated, members that have left meanwhile stay in the batch: the same
    /// token has to stand for the same content.
    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ServerGroupMembership>,
        mut batch: Vec<ServerKey>,
        repeating: bool,
    ) -> Result<Vec<ServerKey>, Stop> {
        let world = look_again(pass, self.group, self.parsed).await?;
        let allowed = plan(&world).remove;
        let left = |key: &ServerKey| world.rows.get(key).is_none_or(|row| row.state.leaves());
        batch.retain(|key| allowed.contains(key) || (repeating && left(key)));
        let present: Vec<_> = batch.iter().filter(|key| !left(key)).cloned().collect();
        guard::removal(&world, &present)
            .map_err(|violation| refused_by_guard(self.group, &violation))?;
        self.kinds
            .extend(world.rows.iter().map(|(key, row)| (key.clone(), row.kind)));
        Ok(batch)
    }

    async fn send(&self, batch: &[ServerKey], token: &str) -> Result<Answer, cloud::Error> {
        let members: Vec<_> = batch
            .iter()
            .map(|key| change(key, kind_of(&self.kinds, key), None))
            .collect();
        self.group
            .cloud
            .remove_members(self.group.product, &self.group.id, &members, token)
            .await
    }
}

impl MemberStep for Remove<'_> {
    fn verb(&self) -> &'static str {
        "removing"
    }

    fn verb_done(&self) -> &'static str {
        "removed"
    }

    fn preposition(&self) -> &'static str {
        "from"
    }

    fn event(&self) -> Change {
        Change::Removed
    }

    fn accepted(
        &self,
        _: &Pass<'_, ServerGroupMembership>,
        _: &std::collections::BTreeSet<ServerKey>,
    ) {
    }
}

/// Gives members another weight, in place.
struct Reweigh<'g> {
    group: &'g Group,
    parsed: &'g Parsed,
    weights: BTreeMap<ServerKey, Weight>,
    /// What the newest view says each member is.
    kinds: BTreeMap<ServerKey, ServerKind>,
}

impl Step<ServerGroupMembership> for Reweigh<'_> {
    fn action(&self) -> &'static str {
        cloud::weight_action(self.group.product)
    }

    fn limit(&self) -> usize {
        self.group.product.weights_per_call()
    }

    fn over_when_answered(&self) -> bool {
        self.group.product.changes_at_once()
    }

    fn has_tokens(&self) -> bool {
        self.group.product.has_tokens()
    }

    /// A weight of 0 takes somebody away, so this looks as closely as a removal does.
    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ServerGroupMembership>,
        mut batch: Vec<ServerKey>,
        _repeating: bool,
    ) -> Result<Vec<ServerKey>, Stop> {
        let world = look_again(pass, self.group, self.parsed).await?;
        let planned = plan(&world).reweigh;
        batch.retain(|key| {
            planned
                .get(key)
                .is_some_and(|weight| self.weights.get(key) == Some(weight))
        });
        let weights: Vec<_> = batch
            .iter()
            .map(|key| (key.clone(), self.weights[key]))
            .collect();
        guard::reweigh(&world, &weights)
            .map_err(|violation| refused_by_guard(self.group, &violation))?;
        self.kinds
            .extend(world.rows.iter().map(|(key, row)| (key.clone(), row.kind)));
        Ok(batch)
    }

    async fn send(&self, batch: &[ServerKey], token: &str) -> Result<Answer, cloud::Error> {
        let members: Vec<_> = batch
            .iter()
            .map(|key| {
                change(
                    key,
                    kind_of(&self.kinds, key),
                    self.weights.get(key).copied(),
                )
            })
            .collect();
        self.group
            .cloud
            .set_weights(self.group.product, &self.group.id, &members, token)
            .await
    }
}

impl MemberStep for Reweigh<'_> {
    fn verb(&self) -> &'static str {
        "reweighing"
    }

    fn verb_done(&self) -> &'static str {
        "reweighed"
    }

    fn preposition(&self) -> &'static str {
        "in"
    }

    fn event(&self) -> Change {
        Change::Reweighed
    }

    fn accepted(
        &self,
        _: &Pass<'_, ServerGroupMembership>,
        _: &std::collections::BTreeSet<ServerKey>,
    ) {
    }
}

/// Checks for sure that the plan is still wanted, and looks at the group again.
async fn look_again(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    parsed: &Parsed,
) -> Result<World, Stop> {
    pass.still_wanted_for_sure().await?;
    let observed = observe(pass, group, parsed)
        .await?
        .ok_or(Stop::Superseded("the group is gone"))?;
    if !observed.open() {
        return Err(Stop::because(
            Reason::Changing,
            format!("{} is busy", group.id),
        ));
    }
    Ok(observed.world)
}

/// The planner let something through that the guard does not: a mistake of ours, and nothing is sent.
fn refused_by_guard(group: &Group, violation: &Violation) -> Stop {
    tracing::error!(%violation, group = group.id, "the planner and the guard disagree; nothing was sent");
    Stop::because(
        Reason::Retrying,
        format!("nothing was changed: {violation}"),
    )
}

/// What the newest view, else the id, says a member is.
fn kind_of(kinds: &BTreeMap<ServerKey, ServerKind>, key: &ServerKey) -> ServerKind {
    kinds
        .get(key)
        .copied()
        .unwrap_or_else(|| ServerKind::told_by(&key.id))
}

/// One member as a call names it, with every field that identifies it.
fn change(key: &ServerKey, kind: ServerKind, weight: Option<u8>) -> MemberChange {
    MemberChange {
        id: key.id.clone(),
        kind: match kind {
            ServerKind::Ecs => cloud::ServerKind::Ecs,
            ServerKind::Eni => cloud::ServerKind::Eni,
            ServerKind::Eci => cloud::ServerKind::Eci,
            ServerKind::Ip => cloud::ServerKind::Ip,
            ServerKind::Fc => cloud::ServerKind::Fc,
        },
        ip: key.ip,
        port: key.port,
        weight,
    }
}
