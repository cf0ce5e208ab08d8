//! A context, its Kubernetes and its cloud, for passes one after the other.

use std::time::Duration;

use server_group_sim::{
    fault::{Fault, What as Trouble},
    world::{Activity, Ending, World},
};

use super::*;
use crate::{
    api::FINALIZER,
    controller::{object::Object as _, turns::GroupId},
};

pub(super) const GROUP: &str = "rsp-web";
pub(super) const REMOVE: &str = "RemoveVServerGroupBackendServers";

/// A context, its Kubernetes and its cloud, in which one CLB group has these members.
pub(super) struct Scene {
    pub(super) simulator: Simulator,
    pub(super) objects: Objects,
    pub(super) ctx: Context,
}

impl Scene {
    pub(super) async fn with(members: &[usize]) -> Self {
        let options = Options {
            speed: SPEED,
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.unwrap();
        {
            let mut world = simulator.world();
            world.create_load_balancer("lb-sim");
            world.create_group(Product::Clb, GROUP);
            for number in members {
                put(&mut world, *number);
            }
        }
        let objects = Objects::default();
        let ctx = context(&objects, &simulator);
        Self {
            simulator,
            objects,
            ctx,
        }
    }

    /// A membership that lists and registered these, and is `rest` besides.
    pub(super) fn membership(
        &self,
        name: &str,
        listed: &[usize],
        registered: &[usize],
        rest: &Value,
    ) -> Name {
        let listed: Vec<_> = listed
            .iter()
            .map(|number| json!({"id": server(*number), "port": 80}))
            .collect();
        let mut object = json!({
            "spec": {"serverGroup": {"type": "CLB", "id": GROUP}, "servers": listed},
            "status": {"observedGeneration": 1, "ledger": {
                "uid": name, "cloudAccountId": "", "registered": keys(registered), "adopted": [],
            }},
        });
        merge(&mut object, rest);
        learn::<ServerGroupMembership>(&self.ctx, &self.objects, name, &object)
    }

    pub(super) async fn pass<M: Pipeline>(&self, name: &Name) -> Next {
        Box::pin(reconcile::<M>(&self.ctx, name, asked())).await
    }

    /// Lets passes over a membership follow each other until there is no next one.
    pub(super) async fn until_it_goes(&self, name: &Name) {
        for _ in 0..ENOUGH {
            if let Next::Never = self.pass::<ServerGroupMembership>(name).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("it stays: {}", self.message(name));
    }

    pub(super) fn members(&self) -> BTreeSet<String> {
        self.simulator.world().groups[GROUP].ids()
    }

    pub(super) fn removals(&self) -> usize {
        self.simulator.world().calls(REMOVE)
    }

    pub(super) fn held_by_us(&self, name: &str) -> bool {
        let finalizers = &self.objects.lock()[name]["metadata"]["finalizers"];
        finalizers.to_string().contains(FINALIZER)
    }

    /// From now on the cloud denies every call of these actions.
    pub(super) fn deny(&self, actions: &[&str]) {
        for action in actions {
            let refuse = Trouble::Refuse {
                status: 403,
                code: "Forbidden.RAM".into(),
            };
            let fault = Fault::on(action, refuse).times(u32::MAX);
            self.simulator.world().faults.push(fault);
        }
    }

    /// Somebody writes an object, and the watch shows it.
    pub(super) fn changes<M: Pipeline>(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let object = {
            let mut objects = self.objects.lock();
            let object = objects.get_mut(name).unwrap();
            change(object);
            let version: u64 = object["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            object["metadata"]["resourceVersion"] = json!((version + 100).to_string());
            object.clone()
        };
        self.ctx.saw(serde_json::from_value::<M>(object).unwrap());
    }

    /// From now on an activity of the scaling group runs.
    pub(super) fn busy(&self, scaling_group: &str) {
        let running = Activity {
            group: scaling_group.into(),
            status: "InProgress".into(),
            until: f64::MAX,
            end: Ending::Successful,
            moves: Vec::new(),
        };
        let mut world = self.simulator.world();
        world.activities.insert("asa-busy".into(), running);
    }

    pub(super) fn message(&self, name: &Name) -> String {
        let object = self.ctx.memberships.get(name).unwrap();
        let ready = object.conditions().iter().find(|one| one.type_ == "Ready");
        ready.map_or_else(String::new, |ready| ready.message.clone())
    }

    /// The notes of the events with this reason.
    pub(super) fn told(&self, reason: &str) -> Vec<String> {
        let objects = self.objects.lock();
        let events = objects.values().filter(|event| event["reason"] == reason);
        events
            .map(|event| event["note"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The group, as turns know it.
pub(super) fn group() -> GroupId {
    GroupId::new("cn-hangzhou", "CLB", GROUP)
}

fn put(world: &mut World, number: usize) {
    world.put_member(GROUP, &server(number), "", 80, 100);
}

pub(super) fn keys(numbers: &[usize]) -> Vec<String> {
    let keys = numbers
        .iter()
        .map(|number| format!("{}:80", server(*number)));
    keys.collect()
}

pub(super) fn ids(numbers: &[usize]) -> BTreeSet<String> {
    numbers.iter().map(|number| server(*number)).collect()
}

pub(super) fn merge(object: &mut Value, rest: &Value) {
    for (name, value) in rest.as_object().into_iter().flatten() {
        match value.is_object() && object[name].is_object() {
            true => merge(&mut object[name], value),
            false => object[name] = value.clone(),
        }
    }
}

/// A deleted object that holds these finalizers.
pub(super) fn deleted(finalizers: &[&str]) -> Value {
    json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}})
}
