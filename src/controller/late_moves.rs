//! Instances that settled calls of attachments may still take out of a server group.
//!
//! A forced detach that was not answered settles when two looks agree, and lands up to 15 minutes after it was sent all
//! the same. Until then the instances of its scaling group count for nobody as serving in the groups that it names
//! (S4), whichever object asks. What was once known of such a call stays known as long as this process lives: its
//! object may be gone by then, or its status emptied.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use server_group_core::attachment::AttachmentKey;

use super::{
    attachment::fed_group,
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

/// The settled calls that may still move instances out of groups. Times are since the start of the process.
#[derive(Debug, Default)]
pub struct LateCalls(Mutex<BTreeMap<GroupId, BTreeMap<Move, Duration>>>);

/// Instances of a scaling group, and the port at which they would leave; `None` is every port.
type Move = (String, Option<u16>);

impl LateCalls {
    /// Notes that a call may move instances of `scaling_group` out of `group` until then.
    pub fn note(&self, group: GroupId, scaling_group: &str, port: Option<u16>, until: Duration) {
        let mut groups = self.0.lock();
        let moves = groups.entry(group).or_default();
        let known = moves
            .entry((scaling_group.to_owned(), port))
            .or_insert(until);
        *known = until.max(*known);
    }

    /// The moves out of `group`, and until when each may happen.
    fn of(&self, group: &GroupId) -> BTreeMap<Move, Duration> {
        let groups = self.0.lock();
        groups.get(group).cloned().unwrap_or_default()
    }

    /// Forgets what can move nobody out of `group` any more.
    fn forget(&self, group: &GroupId, over: impl Fn(&Move, Duration) -> bool) {
        let mut groups = self.0.lock();
        if let Some(moves) = groups.get_mut(group) {
            moves.retain(|one, until| !over(one, *until));
            if moves.is_empty() {
                groups.remove(group);
            }
        }
    }
}

/// The instances that settled calls may still take out of a group.
#[derive(Debug)]
pub enum LateMoves {
    /// These, each with the port at which it would leave; `None` is every port.
    Some(Vec<(Option<u16>, BTreeSet<String>)>),
    /// ESS could not be asked: whoever is an instance.
    Anybody,
}

impl LateMoves {
    /// Whether an instance may still be taken out.
    pub fn take(&self, id: &str, port: Option<u16>) -> bool {
        let Self::Some(moves) = self else {
            return true;
        };
        let mut moves = moves.iter();
        moves.any(|(at, instances)| instances.contains(id) && (at.is_none() || *at == port))
    }
}

impl<M: Managed> Pass<'_, M> {
    /// Notes that a call has settled that takes instances of a scaling group out of the groups which it names, and may do so
    /// until then. `moved_by` is that scaling group.
    pub fn note_late_move(
        &self,
        moved_by: &str,
        action: &str,
        names: &BTreeSet<String>,
        until: Duration,
    ) {
        let keys = names.iter().filter_map(|name| name.parse().ok());
        for key in keys.filter(|_: &AttachmentKey| undoes(action)) {
            let group = fed_group(self.object.region(), &key);
            // Lists show the end of the move later.
            let until = until + self.ctx.timing.listing_lag;
            self.ctx.late_calls.note(group, moved_by, key.port(), until);
        }
    }

    /// Asks ESS whom settled calls may still take out of `group`. Where there is no such call, nothing is asked.
    ///
    /// # Errors
    ///
    /// The error of a reading call: then it may be anybody.
    pub async fn late_moves(
        &mut self,
        cloud: &Cloud,
        group: &GroupId,
    ) -> Result<LateMoves, cloud::Error> {
        self.learn_late_moves(cloud, group);
        let (ctx, lag) = (self.ctx, self.ctx.timing.listing_lag);
        let mut found = Vec::new();
        for ((scaling_group, port), until) in ctx.late_calls.of(group) {
            let begun = ctx.now();
            let asked = async {
                // What landed in time may go on for longer.
                let busy = cloud.scaling_group_is_busy(&scaling_group).await?;
                let instances = cloud.describe_scaling_instances(&scaling_group).await?;
                Ok::<_, cloud::Error>((busy, instances))
            };
            match asked.await {
                Ok((busy, instances)) => {
                    self.turn.missing.remove(&scaling_group);
                    if busy {
                        let later = ctx.now() + lag;
                        ctx.late_calls
                            .note(group.clone(), &scaling_group, port, later);
                    } else if until <= begun {
                        continue;
                    }
                    found.push((port, instances));
                }
                // Nothing moves the instances of a scaling group that is gone.
                Err(error)
                    if error.kind == Kind::ScalingGroupNotFound
                        && self.scaling_group_is_gone(&scaling_group) =>
                {
                    let is_it = |one: &Move, _| one.0 == scaling_group;
                    ctx.late_calls.forget(group, is_it);
                }
                // Where ESS cannot be asked, time alone ends it.
                Err(_) if until <= begun => {}
                Err(error) => return Err(error),
            }
            if until > begun {
                self.wake_at(until);
            }
        }
        let now = ctx.now();
        ctx.late_calls.forget(group, |_, until| until <= now);
        Ok(LateMoves::Some(found))
    }

    /// Takes in what statuses, and the group itself, tell of settled calls on it.
    fn learn_late_moves(&self, cloud: &Cloud, group: &GroupId) {
        let (now, cloud_now) = (self.ctx.now(), cloud.now());
        for (call, until) in self.settled_on(group) {
            if let Some(scaling_group) = &call.moved_by
                && until > cloud_now
            {
                let until = now + time_left(until, cloud_now, &self.ctx.timing);
                self.note_late_move(scaling_group, &call.action, &call.names, until);
            }
        }
    }

    /// The calls on `group`, of this object and of all others, that settled, and until when they may land.
    fn settled_on(&self, group: &GroupId) -> Vec<(Open, Timestamp)> {
        let mut calls = self.may_land_on(group);
        calls.extend(self.own_calls_on(group));
        calls.retain(|call| call.phase == Phase::Settled);
        let settled = calls.into_iter();
        settled
            .filter_map(|call| Some((call.clone(), call.until?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_move_is_known_until_the_last_call_that_may_make_it_is_over() {
        let at = Duration::from_secs;
        let (calls, group) = (
            LateCalls::default(),
            GroupId::new("cn-hangzhou", "CLB", "rsp-1"),
        );
        calls.note(group.clone(), "asg-1", Some(80), at(900));
        calls.note(group.clone(), "asg-1", Some(80), at(800));
        let one = ("asg-1".to_owned(), Some(80));
        assert_eq!(calls.of(&group), [(one, at(900))].into());
        calls.forget(&group, |_, until| until <= at(899));
        assert_eq!(calls.of(&group).len(), 1);
        calls.forget(&group, |_, until| until <= at(900));
        assert!(calls.0.lock().is_empty());
    }

    #[test]
    fn an_instance_leaves_at_the_port_of_the_call() {
        let instances = || BTreeSet::from(["i-1".to_owned()]);
        let moves = LateMoves::Some(vec![(Some(80), instances())]);
        assert!(moves.take("i-1", Some(80)));
        assert!(!moves.take("i-1", Some(81)) && !moves.take("i-2", Some(80)));
        let everywhere = LateMoves::Some(vec![(None, instances())]);
        assert!(everywhere.take("i-1", Some(81)));
        assert!(LateMoves::Anybody.take("i-2", None));
    }
}
