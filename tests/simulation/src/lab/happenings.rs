//! What happens besides: to a request, to a replica, and what people do.

use std::{collections::BTreeSet, time::Duration};

use tokio::sync::oneshot;

use super::{Lab, NEAR, Todo};
use crate::{
    cluster_edits::edit,
    gate::Reply,
    plan::{Deed, What},
};

impl Lab {
    /// A request, or its answer, does not come; who waits for it hears so at once, or never.
    pub(super) fn lose(&mut self, reply: Option<oneshot::Sender<Reply>>, hangs: bool) {
        let Some(reply) = reply else { return };
        if hangs {
            self.hanging.push(reply);
        } else {
            let at = self.now() + NEAR;
            self.schedule(at, Todo::Answer(reply, Reply::Broken, None));
        }
    }

    pub(super) fn crash(&mut self, number: usize, back: u64) {
        // What a process asked before its end still arrives, and cannot end it once more.
        if self.replicas.remove(&number).is_none() {
            return;
        }
        self.paused.remove(&number);
        self.oracles.replica_is_away(number);
        self.streams.retain(|_, stream| stream.replica != number);
        self.start_in(Duration::from_millis(back));
    }

    pub(super) fn pause(&mut self, number: usize, millis: u64) {
        let until = self.now() + Duration::from_millis(millis);
        self.paused.insert(number, until);
        self.oracles.stands_still(number, self.now(), until);
        self.oracles.replica_is_away(number);
        self.schedule(until, Todo::Wake(number));
    }

    /// Lets something happen that is about no request. `replica`: which one it is about.
    pub fn happen(&mut self, what: &What, replica: Option<usize>) {
        let now = self.now();
        self.oracles.shaken(None, what, now);
        let replica = replica.or_else(|| self.replicas.keys().next().copied());
        if !matches!(what, What::Deed(_)) || replica.is_none() {
            self.note(true, || serde_json::to_string(what).unwrap_or_default());
        }
        match (what, replica) {
            (What::Deed(deed), _) => self.deed(deed),
            (What::Stall(resource, millis), Some(replica)) => {
                let until = now + Duration::from_millis(*millis);
                self.stalls.insert((replica, resource.clone()), until);
            }
            (What::Silence(group), _) => _ = self.silent.insert(group.clone()),
            (What::Compact, _) => {
                self.cluster.compact(self.cluster.version());
                let all: Vec<_> = self.streams.keys().copied().collect();
                for stream in all {
                    self.streams.remove(&stream);
                }
            }
            (What::ClockJump(millis), Some(replica)) => {
                let ahead = jiff::SignedDuration::from_millis(*millis);
                if let Some(replica) = self.replicas.get(&replica) {
                    replica.set_wall_clock(ahead);
                }
            }
            (What::CrashBefore(back) | What::CrashAfter(back), Some(replica)) => {
                self.crash(replica, *back)
            }
            (What::Pause(millis), Some(replica)) => self.pause(replica, *millis),
            _ => {}
        }
    }

    fn deed(&mut self, deed: &Deed) {
        self.note(true, || {
            format!(
                "somebody: {}",
                serde_json::to_string(deed).unwrap_or_default()
            )
        });
        if edit(&mut self.cluster, self.clock.date(), deed) {
            if let Deed::DeleteNamespace(namespace) = deed {
                self.schedule(
                    self.now() + Duration::from_secs(1),
                    Todo::Sweep(namespace.clone()),
                );
            }
            self.oracles.person(deed, self.now());
            return;
        }
        let mut world = self.cloud.world();
        match deed {
            Deed::PutMember(group, id) if world.groups.contains_key(group) => {
                let port = port_of(
                    &world.groups[group]
                        .members
                        .keys()
                        .map(|key| key.2)
                        .collect(),
                );
                world.put_member(group, id, "", port, 100);
            }
            Deed::TakeMember(group, id) if world.groups.contains_key(group) => {
                world.delete_member(group, id)
            }
            Deed::Stop(id) => _ = world.bad_servers.insert(id.clone()),
            Deed::Run(id) => _ = world.bad_servers.remove(id),
            Deed::ScaleOut(group, id) if world.scaling_groups.contains_key(group) => {
                world.start_instance(group, id)
            }
            Deed::ScaleIn(group, id) if world.scaling_groups.contains_key(group) => {
                world.stop_instance(group, id)
            }
            _ => {}
        }
        drop(world);
        self.oracles.person(deed, self.now());
    }
}

fn port_of(ports: &BTreeSet<u16>) -> u16 {
    ports.first().copied().unwrap_or(80)
}
