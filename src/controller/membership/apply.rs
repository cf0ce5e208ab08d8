//! Carries out a plan: additions first, then removals, each on the newest view.

use std::collections::{BTreeMap, BTreeSet};

use server_group_core::{
    claim::{Owner, owner},
    membership::{
        Plan, Wish,
        guard::{self, Violation},
        plan,
    },
    reason::Reason,
    server::{Rows, ServerKey, Weight},
};

use super::{
    super::{
        apply::{Applied, Entries, Wording, act, change_ledger, register, take_back},
        carry_out::{Manner, Step},
        change::Change,
        object::age,
        pass::Pass,
        record::Draining,
        sight::{Sight, Target},
        stop::Stop,
    },
    claims::claimant,
    group::Group,
    named::{Named, change},
    observe::{Observed, observe},
    parse::Parsed,
};
use crate::{
    api::ServerGroupMembership,
    cloud::{self, Answer, Cloud, Freshness, MemberChange},
};

/// Carries out `planned`: additions, weights, removals.
///
/// # Errors
///
/// [`Stop`] if an intent could not be written.
pub(super) async fn apply(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    parsed: &Parsed,
    sight: &Sight,
    planned: &Plan,
) -> Result<Applied, Stop> {
    let entries = Entries {
        adopt: &planned.adopt,
        inherit: &planned.inherit,
        hand_over: &planned.hand_over,
    };
    change_ledger(pass, &entries, "server", &group.id);
    let mut applied = Applied::default();
    let id = &group.id;
    let target = Target { id, sight };
    add(pass, group, target, &planned.add, &mut applied).await?;
    let mut reweigh = Reweigh {
        group,
        parsed,
        full: applied.quota_reached.is_some(),
        weights: planned.reweigh.clone(),
        named: Named::default(),
    };
    let names = planned.reweigh.keys().cloned().collect();
    act(pass, &mut reweigh, names, REWEIGHING, target, &mut applied).await?;
    let (mut drains, mut removals) = (planned.drain.clone(), planned.remove.clone());
    let full = applied.quota_reached.is_some();
    if full && applied.ended.is_none() {
        // There is no room: how far the swap may dip shows only now (S3).
        let observed = observe(pass, group, parsed, Freshness::now(), full)
            .await?
            .ok_or(Stop::Superseded("the group is gone"))?;
        let planned = plan(&observed.world);
        (drains, removals) = (planned.drain, planned.remove);
    }
    drain(pass, group, parsed, target, drains, &mut applied).await?;
    let mut remove = Remove {
        group,
        parsed,
        full,
        named: Named::default(),
    };
    let names = removals.into_iter().collect();
    act(pass, &mut remove, names, REMOVING, target, &mut applied).await?;
    Ok(applied)
}

/// Adds servers, which are in the ledger before they are sent.
async fn add(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    target: Target<'_>,
    wishes: &BTreeMap<ServerKey, Wish>,
    applied: &mut Applied,
) -> Result<(), Stop> {
    let before = register(pass, wishes.keys());
    let mut add = Add {
        group,
        wishes: wishes.clone(),
    };
    let names = wishes.keys().cloned().collect();
    let added = act(pass, &mut add, names, ADDING, target, applied).await;
    let nothing = BTreeSet::new();
    let accepted = added.as_ref().unwrap_or(&nothing);
    take_back(pass, wishes.keys(), &before, accepted);
    added.map(drop)
}

/// Sets weight 0. The weight that each server has now is written with the intent, to be given back.
async fn drain(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    parsed: &Parsed,
    target: Target<'_>,
    drains: BTreeMap<ServerKey, Weight>,
    applied: &mut Applied,
) -> Result<(), Stop> {
    let before = pass.record.draining.clone();
    for (key, weight) in &drains {
        let draining = Draining {
            until: None,
            weight: *weight,
        };
        pass.record.draining.insert(key.clone(), draining);
    }
    let mut drain = Drain {
        group,
        parsed,
        full: applied.quota_reached.is_some(),
        named: Named::default(),
    };
    let names: Vec<_> = drains.into_keys().collect();
    let sent = act(pass, &mut drain, names.clone(), DRAINING, target, applied).await?;
    let open = pass.record.open_names();
    // Nothing was sent for these, so there is nothing to give back.
    let untouched = |key: &&ServerKey| !sent.contains(*key) && !open.contains(*key);
    for key in names.iter().filter(untouched) {
        match before.get(key) {
            Some(had) => _ = pass.record.draining.insert(key.clone(), *had),
            None => _ = pass.record.draining.remove(key),
        }
    }
    Ok(())
}

const ADDING: Wording = Wording {
    doing: "adding",
    done: "added",
    noun: "server",
    preposition: "to",
    event: Change::Added,
    remark: "",
};
const REWEIGHING: Wording = Wording {
    doing: "reweighing",
    done: "reweighed",
    noun: "server",
    preposition: "in",
    event: Change::Reweighed,
    remark: "",
};
const DRAINING: Wording = Wording {
    doing: "sending nothing more to",
    done: "sent weight 0 to",
    noun: "server",
    preposition: "in",
    event: Change::Drained,
    remark: "",
};
const REMOVING: Wording = Wording {
    doing: "removing",
    done: "removed",
    noun: "server",
    preposition: "from",
    event: Change::Removed,
    remark: "",
};

/// How an action on members behaves.
fn manner(group: &Group, action: &'static str, limit: usize) -> Manner {
    let product = group.product;
    Manner {
        service: cloud::service(product),
        action,
        limit,
        over_when_answered: product.changes_at_once(),
        has_tokens: product.has_tokens(),
    }
}

/// Puts members into the group.
struct Add<'g> {
    group: &'g Group,
    wishes: BTreeMap<ServerKey, Wish>,
}

impl Step<ServerGroupMembership> for Add<'_> {
    fn cloud(&self) -> &Cloud {
        &self.group.cloud
    }

    fn manner(&self) -> Manner {
        let product = self.group.product;
        manner(
            self.group,
            cloud::add_action(product),
            product.members_per_call(),
        )
    }

    fn accepted(
        &self,
        pass: &mut Pass<'_, ServerGroupMembership>,
        batch: &[ServerKey],
        request: &str,
    ) {
        let (batch, now) = (batch.iter().cloned().collect(), pass.ctx.now());
        let arrivals = &mut pass.memory.arrivals;
        arrivals.accepted(batch, request.to_owned(), now);
    }

    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ServerGroupMembership>,
        mut batch: Vec<ServerKey>,
        _repeating: bool,
    ) -> Result<Vec<ServerKey>, Stop> {
        // Rows do not matter here: nothing must be added that another object registered meanwhile.
        let nobody = Rows::new();
        let others: Vec<_> = pass
            .neighbours()
            .iter()
            .map(|other| claimant(pass.ctx, other, &nobody))
            .collect();
        let age = age(&pass.object);
        batch.retain(|key| owner(key, &age, pass.record.ledger.holds(key), &others) == Owner::Us);
        Ok(batch)
    }

    async fn send(
        &self,
        cloud: Cloud,
        batch: &[ServerKey],
        token: &str,
    ) -> Result<Answer, cloud::Error> {
        let members: Vec<_> = batch
            .iter()
            .map(|key| {
                let wish = &self.wishes[key];
                MemberChange {
                    remote_ip: wish.remote_ip == Some(true),
                    ..change(key, wish.kind, wish.weight)
                }
            })
            .collect();
        cloud
            .add_members(self.group.product, &self.group.id, &members, token)
            .await
    }
}

/// Takes members out of the group.
struct Remove<'g> {
    group: &'g Group,
    parsed: &'g Parsed,
    /// Whether a quota refused an addition in this pass.
    full: bool,
    named: Named,
}

impl Step<ServerGroupMembership> for Remove<'_> {
    fn cloud(&self) -> &Cloud {
        &self.group.cloud
    }

    fn takes_away(&self) -> bool {
        true
    }

    fn manner(&self) -> Manner {
        let product = self.group.product;
        manner(
            self.group,
            cloud::remove_action(product),
            product.members_per_call(),
        )
    }

    fn accepted(
        &self,
        pass: &mut Pass<'_, ServerGroupMembership>,
        batch: &[ServerKey],
        _request: &str,
    ) {
        pass.note_removed(batch);
    }

    /// Looks at the group again, plans again, and lets through the members that both plans remove.
    ///
    /// When a call without an answer is repeated, members that have left meanwhile stay in the batch: the same
    /// token has to stand for the same content.
    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ServerGroupMembership>,
        mut batch: Vec<ServerKey>,
        repeating: bool,
    ) -> Result<Vec<ServerKey>, Stop> {
        let observed = look_again(pass, self.group, self.parsed, self.full).await?;
        self.named.learn(&observed);
        let world = observed.world;
        let allowed = plan(&world).remove;
        let left = |key: &ServerKey| world.rows.get(key).is_none_or(|row| row.state.leaves());
        batch.retain(|key| allowed.contains(key) || (repeating && left(key)));
        let present: Vec<_> = batch.iter().filter(|key| !left(key)).cloned().collect();
        guard::removal(&world, &present)
            .map_err(|violation| refused_by_guard(self.group, &violation))?;
        Ok(batch)
    }

    async fn send(
        &self,
        cloud: Cloud,
        batch: &[ServerKey],
        token: &str,
    ) -> Result<Answer, cloud::Error> {
        let members: Vec<_> = batch
            .iter()
            .map(|key| self.named.change(key, None))
            .collect();
        cloud
            .remove_members(self.group.product, &self.group.id, &members, token)
            .await
    }
}

/// Sends members nothing more, to be removed later.
struct Drain<'g> {
    group: &'g Group,
    parsed: &'g Parsed,
    /// Whether a quota refused an addition in this pass.
    full: bool,
    named: Named,
}

impl Step<ServerGroupMembership> for Drain<'_> {
    fn cloud(&self) -> &Cloud {
        &self.group.cloud
    }

    fn takes_away(&self) -> bool {
        true
    }

    fn manner(&self) -> Manner {
        weight_manner(self.group)
    }

    fn silences(&self, batch: &[ServerKey]) -> Vec<ServerKey> {
        batch.to_vec()
    }

    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ServerGroupMembership>,
        mut batch: Vec<ServerKey>,
        repeating: bool,
    ) -> Result<Vec<ServerKey>, Stop> {
        let observed = look_again(pass, self.group, self.parsed, self.full).await?;
        self.named.learn(&observed);
        let world = observed.world;
        let allowed = plan(&world).drain;
        let silent = |key: &ServerKey| world.rows.get(key).is_none_or(|row| row.weight == Some(0));
        batch.retain(|key| allowed.contains_key(key) || (repeating && silent(key)));
        let serving: Vec<_> = batch.iter().filter(|key| !silent(key)).cloned().collect();
        guard::drain(&world, &serving)
            .map_err(|violation| refused_by_guard(self.group, &violation))?;
        Ok(batch)
    }

    async fn send(
        &self,
        cloud: Cloud,
        batch: &[ServerKey],
        token: &str,
    ) -> Result<Answer, cloud::Error> {
        set_weights(&cloud, self.group, &self.named, batch, |_| Some(0), token).await
    }
}

/// Gives members another weight, in place.
struct Reweigh<'g> {
    group: &'g Group,
    parsed: &'g Parsed,
    /// Whether a quota refused an addition in this pass.
    full: bool,
    weights: BTreeMap<ServerKey, Weight>,
    named: Named,
}

impl Step<ServerGroupMembership> for Reweigh<'_> {
    fn cloud(&self) -> &Cloud {
        &self.group.cloud
    }

    fn takes_away(&self) -> bool {
        true
    }

    fn manner(&self) -> Manner {
        weight_manner(self.group)
    }

    fn silences(&self, batch: &[ServerKey]) -> Vec<ServerKey> {
        let silenced = |key: &&ServerKey| self.weights.get(*key) == Some(&0);
        batch.iter().filter(silenced).cloned().collect()
    }

    /// A weight of 0 takes somebody away, so this looks as closely as a removal does.
    async fn prepare(
        &mut self,
        pass: &mut Pass<'_, ServerGroupMembership>,
        mut batch: Vec<ServerKey>,
        _repeating: bool,
    ) -> Result<Vec<ServerKey>, Stop> {
        let observed = look_again(pass, self.group, self.parsed, self.full).await?;
        self.named.learn(&observed);
        let world = observed.world;
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
        Ok(batch)
    }

    async fn send(
        &self,
        cloud: Cloud,
        batch: &[ServerKey],
        token: &str,
    ) -> Result<Answer, cloud::Error> {
        let weight = |key: &ServerKey| self.weights.get(key).copied();
        set_weights(&cloud, self.group, &self.named, batch, weight, token).await
    }
}

fn weight_manner(group: &Group) -> Manner {
    let product = group.product;
    manner(
        group,
        cloud::weight_action(product),
        product.weights_per_call(),
    )
}

async fn set_weights(
    cloud: &Cloud,
    group: &Group,
    named: &Named,
    batch: &[ServerKey],
    weight: impl Fn(&ServerKey) -> Option<Weight>,
    token: &str,
) -> Result<Answer, cloud::Error> {
    let members: Vec<_> = batch
        .iter()
        .map(|key| named.change(key, weight(key)))
        .collect();
    cloud
        .set_weights(group.product, &group.id, &members, token)
        .await
}

/// Looks at the group again.
async fn look_again(
    pass: &mut Pass<'_, ServerGroupMembership>,
    group: &Group,
    parsed: &Parsed,
    full: bool,
) -> Result<Observed, Stop> {
    let observed = observe(pass, group, parsed, Freshness::now(), full)
        .await?
        .ok_or(Stop::Superseded("the group is gone"))?;
    if !observed.open() {
        return Err(Stop::because(
            Reason::Changing,
            format!("{} is busy", group.id),
        ));
    }
    Ok(observed)
}

/// The planner let something through that the guard does not: a mistake of ours, and nothing is sent.
fn refused_by_guard(group: &Group, violation: &Violation) -> Stop {
    tracing::error!(%violation, group = group.id, "the planner and the guard disagree; nothing was sent");
    Stop::because(
        Reason::Retrying,
        format!("nothing was changed: {violation}"),
    )
}
