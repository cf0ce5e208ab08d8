//! The answers of Auto Scaling as they are written, and what they mean.

use serde::Deserialize;

use super::{
    Activity, ActivityStatus, AttachedGroup, AttachedLoadBalancer, AttachedVServerGroup,
    ScalingGroup, ScalingInstance,
};
use crate::cloud::reply::{number, text};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Groups {
    pub(super) scaling_groups: GroupRows,
    #[serde(default, deserialize_with = "number")]
    pub(super) total_count: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GroupRows {
    pub(super) scaling_group: Vec<GroupRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GroupRow {
    pub(super) scaling_group_id: String,
    #[serde(default)]
    lifecycle_state: String,
    #[serde(default)]
    server_groups: ServerGroupRows,
    /// Server groups that the older ALB operation attached; expected to show in both lists.
    #[serde(default)]
    alb_server_groups: AlbServerGroupRows,
    #[serde(default)]
    system_suspended: bool,
    #[serde(default, rename = "VServerGroups")]
    vserver_groups: VServerGroupRows,
    #[serde(default)]
    load_balancer_ids: LoadBalancerIds,
    #[serde(default)]
    load_balancer_configs: LoadBalancerConfigs,
}

#[derive(Default, Deserialize)]
struct VServerGroupRows {
    #[serde(rename = "VServerGroup")]
    rows: Vec<VServerGroupRow>,
}

/// The vServer groups of one load balancer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VServerGroupRow {
    load_balancer_id: String,
    #[serde(rename = "VServerGroupAttributes")]
    attributes: VServerGroupAttributes,
}

#[derive(Deserialize)]
struct VServerGroupAttributes {
    #[serde(rename = "VServerGroupAttribute")]
    rows: Vec<VServerGroupAttribute>,
}

#[derive(Deserialize)]
struct VServerGroupAttribute {
    #[serde(rename = "VServerGroupId")]
    id: String,
    #[serde(rename = "Port", deserialize_with = "number")]
    port: Option<u16>,
    #[serde(rename = "Weight", default, deserialize_with = "number")]
    weight: Option<u8>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LoadBalancerIds {
    load_balancer_id: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LoadBalancerConfigs {
    load_balancer_config: Vec<LoadBalancerConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LoadBalancerConfig {
    load_balancer_id: String,
    #[serde(default, deserialize_with = "number")]
    weight: Option<u8>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ServerGroupRows {
    server_group: Vec<ServerGroupRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ServerGroupRow {
    server_group_id: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default, deserialize_with = "number")]
    port: Option<u16>,
    #[serde(default, deserialize_with = "number")]
    weight: Option<u8>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AlbServerGroupRows {
    alb_server_group: Vec<AlbServerGroupRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AlbServerGroupRow {
    alb_server_group_id: String,
    #[serde(default, deserialize_with = "number")]
    port: Option<u16>,
    #[serde(default, deserialize_with = "number")]
    weight: Option<u8>,
}

impl GroupRow {
    pub(super) fn into_group(self) -> ScalingGroup {
        let mut server_groups: Vec<AttachedGroup> = Vec::new();
        let newer = self
            .server_groups
            .server_group
            .into_iter()
            .map(|row| AttachedGroup {
                // GWLB has one port; whether it comes back is not documented.
                port: row.port.filter(|_| row.kind != "GWLB"),
                weight: row.weight.filter(|_| row.kind != "GWLB"),
                id: row.server_group_id,
                kind: row.kind,
            });
        let older = self
            .alb_server_groups
            .alb_server_group
            .into_iter()
            .map(|row| AttachedGroup {
                id: row.alb_server_group_id,
                kind: "ALB".to_owned(),
                port: row.port,
                weight: row.weight,
            });
        for group in newer.chain(older) {
            if !server_groups
                .iter()
                .any(|had| had.id == group.id && had.port == group.port)
            {
                server_groups.push(group);
            }
        }
        let configs = self.load_balancer_configs.load_balancer_config;
        let weight = |id: &str| {
            let config = configs
                .iter()
                .find(|config| config.load_balancer_id == id)?;
            config.weight
        };
        // The ids are the list; not every kind of attachment has a configuration beside it.
        let load_balancers = self.load_balancer_ids.load_balancer_id.into_iter();
        ScalingGroup {
            id: self.scaling_group_id,
            lifecycle: self.lifecycle_state,
            suspended: self.system_suspended,
            server_groups,
            vserver_groups: self
                .vserver_groups
                .rows
                .into_iter()
                .flat_map(VServerGroupRow::into_groups)
                .collect(),
            load_balancers: load_balancers
                .map(|id| AttachedLoadBalancer {
                    weight: weight(&id),
                    id,
                })
                .collect(),
        }
    }
}

impl VServerGroupRow {
    fn into_groups(self) -> impl Iterator<Item = AttachedVServerGroup> {
        let load_balancer_id = self.load_balancer_id;
        self.attributes
            .rows
            .into_iter()
            .map(move |row| AttachedVServerGroup {
                load_balancer_id: load_balancer_id.clone(),
                id: row.id,
                port: row.port.unwrap_or_default(),
                weight: row.weight,
            })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Activities {
    pub(super) scaling_activities: ActivityRows,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ActivityRows {
    pub(super) scaling_activity: Vec<ActivityRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ActivityRow {
    scaling_activity_id: String,
    status_code: String,
    #[serde(default, deserialize_with = "text")]
    error_code: Option<String>,
    #[serde(default, deserialize_with = "text")]
    error_message: Option<String>,
    #[serde(default, deserialize_with = "text")]
    status_message: Option<String>,
}

impl ActivityRow {
    pub(super) fn into_activity(self) -> Activity {
        let words = [self.error_code, self.error_message.or(self.status_message)];
        Activity {
            id: self.scaling_activity_id,
            message: words.into_iter().flatten().collect::<Vec<_>>().join(": "),
            status: match self.status_code.as_str() {
                "InProgress" => ActivityStatus::InProgress,
                "Successful" => ActivityStatus::Successful,
                "Warning" => ActivityStatus::Warning,
                "Failed" => ActivityStatus::Failed,
                "Rejected" => ActivityStatus::Rejected,
                _ => ActivityStatus::Unknown(self.status_code),
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Instances {
    pub(super) scaling_instances: InstanceRows,
    pub(super) total_count: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InstanceRows {
    pub(super) scaling_instance: Vec<InstanceRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InstanceRow {
    pub(super) instance_id: String,
    #[serde(default)]
    scaling_group_id: String,
    #[serde(default)]
    lifecycle_state: String,
}

impl InstanceRow {
    pub(super) fn into_instance(self) -> ScalingInstance {
        ScalingInstance {
            id: self.instance_id,
            scaling_group_id: self.scaling_group_id,
            lifecycle: self.lifecycle_state,
        }
    }
}
