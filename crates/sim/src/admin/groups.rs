//! Deeds about server groups and load balancers, which have much that can be said of them.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::named;
use crate::world::{Product, World};

/// A server group to make.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewGroup {
    product: String,
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    members: Vec<Put>,
    #[serde(default)]
    drain_seconds: Option<f64>,
    /// `Instance`, `Ip` or `Fc`.
    #[serde(default)]
    r#type: Option<String>,
    /// Of a vServer group.
    #[serde(default)]
    load_balancer: Option<String>,
    /// As lists are to show it.
    #[serde(default)]
    health_check: Option<Map<String, Value>>,
}

impl NewGroup {
    pub(super) fn make(self, world: &mut World) -> Result<(), String> {
        let product = Product::from_upper(&self.product)
            .ok_or_else(|| format!("{} is no product; use CLB, ALB, NLB or GWLB", self.product))?;
        let group = world.create_group(product, &self.id);
        group.name = self.name;
        group.drain_seconds = self.drain_seconds.unwrap_or(group.drain_seconds);
        set(&mut group.kind, self.r#type);
        set(&mut group.load_balancer, self.load_balancer);
        set(&mut group.health_check, self.health_check);
        put(world, &self.id, self.members);
        Ok(())
    }
}

/// A server group to change; what is absent stays as it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GroupChange {
    id: String,
    #[serde(default)]
    name: Option<String>,
    /// `""` gives it back to the simulator.
    #[serde(default)]
    status: Option<String>,
    /// The code with which every change is refused; `""` ends that.
    #[serde(default)]
    busy: Option<String>,
    #[serde(default)]
    drain_seconds: Option<f64>,
    #[serde(default)]
    quota: Option<usize>,
    /// As lists are to show it.
    #[serde(default)]
    health_check: Option<Map<String, Value>>,
}

impl GroupChange {
    pub(super) fn make(self, world: &mut World) -> Result<(), String> {
        let group = named(world.groups.get_mut(&self.id), &self.id)?;
        group.name = self.name.or(group.name.take());
        for (forced, given) in [
            (&mut group.forced_status, self.status),
            (&mut group.busy, self.busy),
        ] {
            if let Some(given) = given {
                *forced = Some(given).filter(|given| !given.is_empty());
            }
        }
        group.drain_seconds = self.drain_seconds.unwrap_or(group.drain_seconds);
        group.quota = self.quota.unwrap_or(group.quota);
        set(&mut group.health_check, self.health_check);
        Ok(())
    }
}

/// A classic load balancer to make.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewLoadBalancer {
    id: String,
    #[serde(default)]
    address: Option<String>,
    /// Ports and protocols; absent = port 80 with tcp.
    #[serde(default)]
    listeners: Option<Vec<(u16, String)>>,
    /// Of its default group.
    #[serde(default)]
    members: Vec<Put>,
}

impl NewLoadBalancer {
    pub(super) fn make(self, world: &mut World) {
        let balancer = world.create_load_balancer(&self.id);
        set(&mut balancer.address, self.address);
        set(&mut balancer.listeners, self.listeners);
        for member in self.members {
            let weight = member.weight.unwrap_or(100);
            world.put_member(&self.id, &member.id, &member.ip, 0, weight);
        }
    }
}

/// A member to put.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Put {
    id: String,
    #[serde(default)]
    ip: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    weight: Option<u8>,
}

pub(super) fn put(world: &mut World, group: &str, members: Vec<Put>) {
    for member in members {
        world.put_member(
            group,
            &member.id,
            &member.ip,
            member.port.unwrap_or(6081),
            member.weight.unwrap_or(100),
        );
    }
}

fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}
