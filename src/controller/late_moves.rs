//! Instances that settled calls of attachments may still take out of a server group.
//!
//! A forced detach that was not answered settles when two looks agree, and lands up to 15 minutes after it was sent all
//! the same. Until then the instances of its scaling group count for nobody as serving in the groups that it names
//! (S4), whichever object asks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use server_group_core::attachment::AttachmentKey;

use super::{
    managed::Managed,
    open::Open,
    pass::Pass,
    settling::time_left,
    turns::{GroupId, undoes},
};
use crate::{
    api::status::Phase,
    cloud::{self, Cloud, Kind},
};

/// The instances that settled calls may still take out of a group, with the port at which they would leave; `None` is
/// every port.
#[derive(Debug, Default)]
pub struct LateMoves(Vec<(BTreeSet<Option<u16>>, BTreeSet<String>)>);

impl LateMoves {
    /// Whether a member may still be taken out.
    pub fn take(&self, id: &str, port: Option<u16>) -> bool {
        let mut moves = self.0.iter();
        moves.any(|(ports, instances)| {
            instances.contains(id) && (ports.contains(&None) || ports.contains(&port))
        })
    }
}

impl<M: Managed> Pass<'_, M> {
    /// Asks ESS whom settled calls may still take out of `group`. Where there is no such call, nothing is asked.
    ///
    /// # Errors
    ///
    /// The error of a reading call.
    pub async fn late_moves(
        &mut self,
        cloud: &Cloud,
        group: &GroupId,
    ) -> Result<LateMoves, cloud::Error> {
        let mut moves = LateMoves::default();
        for (scaling_group, ports) in self.scaling_groups_of_late_calls(cloud, group) {
            match cloud.describe_scaling_instances(&scaling_group).await {
                Ok(instances) => moves.0.push((ports, instances)),
                // Nothing moves the instances of a scaling group that is gone.
                Err(error)
                    if error.kind == Kind::ScalingGroupNotFound
                        && self.scaling_group_is_gone(&scaling_group) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(moves)
    }

    /// The scaling groups whose instances a settled call may still take out of `group`, with the ports.
    fn scaling_groups_of_late_calls(
        &mut self,
        cloud: &Cloud,
        group: &GroupId,
    ) -> BTreeMap<String, BTreeSet<Option<u16>>> {
        let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let (now, cloud_now) = (self.ctx.now(), cloud.now());
        for (call, until) in self.settled_on(group) {
            let Some(scaling_group) = call.moved_by.filter(|_| undoes(&call.action)) else {
                continue;
            };
            if until > cloud_now {
                self.wake_at(now + time_left(until, cloud_now, &self.ctx.timing));
                let names = call.names.iter();
                let keys = names.filter_map(|name| name.parse::<AttachmentKey>().ok());
                let ports = keys.map(|key| key.port());
                found.entry(scaling_group).or_default().extend(ports);
            }
        }
        found
    }

    /// The calls on `group`, of this object and of all others, that settled, and until when they may land. A call of
    /// another object has settled when its status says so, or when the group itself has seen it settle.
    fn settled_on(&self, group: &GroupId) -> Vec<(Open, Timestamp)> {
        let mut calls = self.may_land_on(group);
        calls.extend(self.own_calls_on(group));
        let mut settled: Vec<_> = calls
            .into_iter()
            .filter(|call| call.phase == Phase::Settled)
            .filter_map(|call| Some((call.clone(), call.until?)))
            .collect();
        if *group == self.object.group() {
            let open = self.open_on(group, &self.turn).into_iter();
            settled.extend(open.filter_map(|call| {
                let until = *self.turn.settled.get(&call.local_id())?;
                Some((call, until))
            }));
        }
        settled
    }
}
