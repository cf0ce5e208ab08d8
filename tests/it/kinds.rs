//! Both namespaced kinds in one set of words, so that what they have in common is tested once for both.
//!
//! An entry is a number: the member `i-0007:80` of the CLB group `rsp-web`, or the attachment of `asg-web` to the
//! GWLB group `sgp-0007`.

use std::fmt::Debug;

use kube::{Resource, core::NamespaceResourceScope};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::world::Product;

use crate::stage::{Stage, instance};

/// Numbers below this one are entries.
const ENTRIES: usize = 40;

/// A namespaced kind.
pub trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// Entries that one call may name.
    const LIMIT: usize;
    /// How often a call is sent that is not answered.
    const TRIES: u32;
    /// The action that reads what is present.
    const LOOKS: &'static str;
    /// The action that puts entries there.
    const ADDS: &'static str;
    /// The action that removes entries.
    const REMOVES: &'static str;

    /// Makes the group, with nothing in it.
    fn prepare(stage: &Stage);
    /// Applies an object that lists `entries`.
    fn list(
        stage: &Stage,
        name: &str,
        entries: impl IntoIterator<Item = usize>,
        more: Value,
    ) -> impl Future<Output = Self>;
    /// Applies an object that contradicts itself, on a group of its own.
    fn contradiction(stage: &Stage, name: &str) -> impl Future<Output = Self>;
    /// Puts an entry there behind the operator's back.
    fn put(stage: &Stage, entry: usize);
    /// Takes an entry away behind the operator's back.
    fn take(stage: &Stage, entry: usize);
    /// Entries that are there.
    fn present(stage: &Stage) -> Vec<usize>;

    /// Waits until the operator has heard of everything that was applied before: one watch tells it in order.
    fn heard(stage: &Stage) -> impl Future<Output = ()> {
        async {
            Self::contradiction(stage, "last-word").await;
            stage.reason::<Self>("last-word", "InvalidSpec").await;
        }
    }

    /// Entries that the ledger calls `registered` or `adopted`.
    fn ledger(&self, part: &str) -> Vec<usize> {
        let object = serde_json::to_value(self).unwrap();
        let keys = object["status"]["ledger"][part].as_array().cloned();
        let keys = keys.unwrap_or_default().into_iter();
        keys.filter_map(|key| number(key.as_str()?)).collect()
    }

    /// Calls of `action` that named `entry`.
    fn calls_about(stage: &Stage, action: &str, entry: usize) -> usize {
        let world = stage.simulator.world();
        let calls = world.changing_calls().filter(|call| call.action == action);
        calls
            .filter(|call| call.names.iter().any(|name| number(name) == Some(entry)))
            .count()
    }

    /// Calls that removed anything.
    fn removals(stage: &Stage) -> usize {
        stage.simulator.world().calls(Self::REMOVES)
    }
}

/// The entry that a key names.
fn number(key: &str) -> Option<usize> {
    let start = key.find(|c: char| c.is_ascii_digit())?;
    let digits = key[start..].split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok())
}

impl Kind for ServerGroupMembership {
    const LIMIT: usize = 20;
    const TRIES: u32 = 1;
    const LOOKS: &'static str = "DescribeVServerGroupAttribute";
    const ADDS: &'static str = "AddVServerGroupBackendServers";
    const REMOVES: &'static str = "RemoveVServerGroupBackendServers";

    fn prepare(stage: &Stage) {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-web");
    }

    async fn list(
        stage: &Stage,
        name: &str,
        entries: impl IntoIterator<Item = usize>,
        more: Value,
    ) -> Self {
        let servers: Vec<_> = entries
            .into_iter()
            .map(|entry| json!({"id": instance(entry), "port": 80}))
            .collect();
        stage.membership(name, "rsp-web", &servers, more).await
    }

    async fn contradiction(stage: &Stage, name: &str) -> Self {
        let server = json!({"id": instance(0), "port": 80});
        let twice = [server.clone(), server];
        stage
            .membership(name, "rsp-elsewhere", &twice, json!({}))
            .await
    }

    fn put(stage: &Stage, entry: usize) {
        let mut world = stage.simulator.world();
        world.put_member("rsp-web", &instance(entry), "", 80, 100);
    }

    fn take(stage: &Stage, entry: usize) {
        let mut world = stage.simulator.world();
        world.delete_member("rsp-web", &instance(entry));
    }

    fn present(stage: &Stage) -> Vec<usize> {
        let world = stage.simulator.world();
        let ids = world.groups["rsp-web"].ids();
        ids.iter().filter_map(|id| number(id)).collect()
    }
}

impl Kind for ScalingGroupAttachment {
    const LIMIT: usize = 5;
    const TRIES: u32 = 2;
    const LOOKS: &'static str = "DescribeScalingGroups";
    const ADDS: &'static str = "AttachServerGroups";
    const REMOVES: &'static str = "DetachServerGroups";

    fn prepare(stage: &Stage) {
        let mut world = stage.simulator.world();
        for entry in 0..ENTRIES {
            world.create_group(Product::Gwlb, &server_group(entry));
        }
        world.create_scaling_group("asg-web", [instance(0)]);
        world.attachments_max = ENTRIES;
    }

    async fn list(
        stage: &Stage,
        name: &str,
        entries: impl IntoIterator<Item = usize>,
        more: Value,
    ) -> Self {
        let groups: Vec<_> = entries
            .into_iter()
            .map(|entry| json!({"type": "GWLB", "id": server_group(entry)}))
            .collect();
        stage.attachment(name, "asg-web", &groups, more).await
    }

    async fn contradiction(stage: &Stage, name: &str) -> Self {
        let group = json!({"type": "GWLB", "id": server_group(0)});
        let twice = [group.clone(), group];
        stage
            .attachment(name, "asg-elsewhere", &twice, json!({}))
            .await
    }

    fn put(stage: &Stage, entry: usize) {
        let mut world = stage.simulator.world();
        world.attach("asg-web", "GWLB", &server_group(entry), None, None);
    }

    fn take(stage: &Stage, entry: usize) {
        let mut world = stage.simulator.world();
        let group = world.scaling_groups.get_mut("asg-web").unwrap();
        let taken = server_group(entry);
        group.attachments.retain(|had| had.group != taken);
    }

    fn present(stage: &Stage) -> Vec<usize> {
        let world = stage.simulator.world();
        let attached = world.scaling_groups["asg-web"].attachments.iter();
        let mut entries: Vec<_> = attached.filter_map(|had| number(&had.group)).collect();
        entries.sort_unstable();
        entries
    }
}

fn server_group(entry: usize) -> String {
    format!("sgp-{entry:04}")
}
