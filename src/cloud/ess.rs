//! Auto Scaling (ESS 2014-08-28): attachments, instances and activities of a scaling group.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::time::Instant;

use rows::{Activities, ActivityRow, GroupRow, Groups, InstanceRow, Instances};

use super::{
    Answer, Cloud, Freshness,
    call::{Call, Effect, Service},
    error::Error,
    list::{Pages, settled},
    reply::decode,
    together::IDS_PER_CALL,
};

/// Rows per page of `DescribeScalingInstances`, the most that the API allows.
const INSTANCES_PER_PAGE: usize = 100;

/// A scaling group, as far as attachments go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalingGroup {
    /// `asg-…`
    pub id: String,
    /// `Active`, `Inactive` or `Deleting`.
    pub lifecycle: String,
    /// The cloud has stopped acting on it by itself after failures in a row.
    pub suspended: bool,
    /// Attached ALB, NLB and GWLB server groups, each once.
    pub server_groups: Vec<AttachedGroup>,
    /// Attached CLB vServer groups.
    pub vserver_groups: Vec<AttachedVServerGroup>,
    /// CLB instances whose default groups are attached.
    pub load_balancers: Vec<AttachedLoadBalancer>,
}

/// A CLB vServer group that is attached, or shall be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttachedVServerGroup {
    /// `lb-…`
    pub load_balancer_id: String,
    /// `rsp-…`
    pub id: String,
    /// The port of the instances.
    pub port: u16,
    /// Absent in an attachment to be made: the cloud's default, 50.
    pub weight: Option<u8>,
}

/// A CLB instance whose default group is attached, or shall be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttachedLoadBalancer {
    /// `lb-…`
    pub id: String,
    /// Absent in an attachment to be made: the cloud's default.
    pub weight: Option<u8>,
}

/// An instance of a scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalingInstance {
    /// `i-…` or `eci-…`
    pub id: String,
    /// The scaling group that it belongs to.
    pub scaling_group_id: String,
    /// `InService`, `Protected`, `Standby`, `Removing`, …
    pub lifecycle: String,
}

/// An ALB, NLB or GWLB server group that is attached, or shall be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttachedGroup {
    /// `sgp-…`
    pub id: String,
    /// `ALB`, `NLB` or `GWLB`.
    pub kind: String,
    /// Absent for GWLB.
    pub port: Option<u16>,
    /// Absent for GWLB.
    pub weight: Option<u8>,
}

/// A scaling activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub status: ActivityStatus,
    /// The cloud's words about a failure.
    pub message: String,
}

/// How a scaling activity stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivityStatus {
    /// Still running.
    InProgress,
    /// Ended well.
    Successful,
    /// Ended; part of the instances failed.
    Warning,
    /// Ended badly.
    Failed,
    /// Not started.
    Rejected,
    /// Something that this version does not know.
    Unknown(String),
}

/// Whether instances follow an attachment that is made or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// They stay as they are.
    No,
    /// They stay as they are, and no activity is started for it, which an inactive scaling group would refuse.
    NoActivity,
    /// They join or leave the server group; a scaling activity does it.
    Yes,
}

impl Cloud {
    /// Scaling groups by id. Those that do not exist **or cannot be used** are left out without an error.
    ///
    /// # Errors
    ///
    /// [`super::Kind::Incomplete`] if the answer cannot be shown to be whole.
    ///
    /// Source: ESS 2014-08-28, `DescribeScalingGroups`.
    pub async fn describe_scaling_groups(&self, ids: &[&str]) -> Result<Vec<ScalingGroup>, Error> {
        let mut groups = Vec::new();
        for some in ids.chunks(IDS_PER_CALL) {
            groups.extend(self.describe_some(some).await?.1);
        }
        Ok(groups)
    }

    /// One scaling group, and the moment at which it was asked for; `None` if the list leaves it out. Objects that
    /// ask within a short window share a call, and `freshness` says how old an answer may be.
    ///
    /// # Errors
    ///
    /// As [`Cloud::describe_scaling_groups`].
    pub async fn scaling_group(
        &self,
        id: &str,
        freshness: Freshness,
    ) -> Result<Option<(Instant, ScalingGroup)>, Error> {
        let rows = &self.transport.shared().scaling_groups;
        let call = (Service::Ess, DESCRIBE_SCALING_GROUPS);
        let read = |cloud: Self, ids: Vec<String>| async move {
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            let (begun, groups) = cloud.describe_some(&ids).await?;
            let rows = groups.into_iter().map(|group| (group.id.clone(), group));
            Ok((begun, rows.collect()))
        };
        self.shared(rows, call, id, freshness, read).await
    }

    async fn describe_some(&self, ids: &[&str]) -> Result<(Instant, Vec<ScalingGroup>), Error> {
        let action = DESCRIBE_SCALING_GROUPS;
        let arguments = json!({"ScalingGroupIds": ids, "PageSize": 50});
        let call = self.ess(action, Effect::Reads, arguments);
        let (begun, answer) = self.read(&call).await?;
        let reply: Groups = decode(action, answer)?;
        let mut pages = Pages::new(action);
        let rows = reply.scaling_groups.scaling_group;
        pages.take(rows, reply.total_count, |row: &GroupRow| {
            row.scaling_group_id.clone()
        })?;
        let groups = pages.whole()?.into_iter().map(GroupRow::into_group);
        Ok((begun, groups.collect()))
    }

    /// One scaling activity; `None` if it is no longer known.
    ///
    /// # Errors
    ///
    /// The errors of any reading call.
    ///
    /// Source: ESS 2014-08-28, `DescribeScalingActivities`.
    pub async fn describe_scaling_activity(&self, id: &str) -> Result<Option<Activity>, Error> {
        let call = self.ess(
            ACTIVITIES,
            Effect::Reads,
            json!({"ScalingActivityIds": [id], "PageSize": 50}),
        );
        Ok(self
            .activities(call)
            .await?
            .into_iter()
            .find(|activity| activity.id == id))
    }

    /// Whether an activity runs in a scaling group.
    ///
    /// # Errors
    ///
    /// The errors of any reading call.
    ///
    /// Source: ESS 2014-08-28, `DescribeScalingActivities`.
    pub async fn scaling_group_is_busy(&self, group: &str) -> Result<bool, Error> {
        let arguments =
            json!({"ScalingGroupId": group, "StatusCode": "InProgress", "PageSize": 50});
        let call = self.ess(ACTIVITIES, Effect::Reads, arguments);
        let running = self.activities(call).await?;
        Ok(running
            .iter()
            .any(|activity| activity.status == ActivityStatus::InProgress))
    }

    async fn activities(&self, call: Call) -> Result<Vec<Activity>, Error> {
        let reply: Activities = decode(ACTIVITIES, self.send(&call).await?)?;
        Ok(reply
            .scaling_activities
            .scaling_activity
            .into_iter()
            .map(ActivityRow::into_activity)
            .collect())
    }

    /// Ids of every instance of a scaling group, in whatever state.
    ///
    /// # Errors
    ///
    /// [`super::Kind::Incomplete`] if the list cannot be shown to be whole.
    ///
    /// Source: ESS 2014-08-28, `DescribeScalingInstances`.
    pub async fn describe_scaling_instances(&self, group: &str) -> Result<BTreeSet<String>, Error> {
        let of_group = json!({"ScalingGroupId": group});
        let instances = settled(|| self.scaling_instances(of_group.clone())).await?;
        Ok(instances.into_iter().map(|row| row.instance_id).collect())
    }

    /// Those of `ids` that are instances of any scaling group, each with its group. The others are left out.
    ///
    /// # Errors
    ///
    /// [`super::Kind::Incomplete`] if the list cannot be shown to be whole.
    ///
    /// Source: ESS 2014-08-28, `DescribeScalingInstances`.
    pub async fn scaling_instances_among(
        &self,
        ids: &[&str],
    ) -> Result<Vec<ScalingInstance>, Error> {
        let mut instances = Vec::new();
        for some in ids.chunks(IDS_PER_CALL) {
            let among = json!({"InstanceIds": some});
            let found = settled(|| self.scaling_instances(among.clone())).await?;
            instances.extend(found.into_iter().map(InstanceRow::into_instance));
        }
        Ok(instances)
    }

    async fn scaling_instances(&self, of: Value) -> Result<Vec<InstanceRow>, Error> {
        let action = "DescribeScalingInstances";
        let mut pages = Pages::new(action);
        for page in 1.. {
            let mut arguments = of.clone();
            arguments["PageNumber"] = json!(page);
            arguments["PageSize"] = json!(INSTANCES_PER_PAGE);
            let call = self.ess(action, Effect::Reads, arguments);
            let reply: Instances = decode(action, self.send(&call).await?)?;
            let rows = reply.scaling_instances.scaling_instance;
            let full = rows.len() >= INSTANCES_PER_PAGE;
            pages.take(rows, Some(reply.total_count), |row| row.instance_id.clone())?;
            if !full || pages.len() >= reply.total_count {
                break;
            }
        }
        pages.whole()
    }

    /// Attaches up to 5 server groups to a scaling group.
    ///
    /// With force the answer refers to a scaling activity.
    ///
    /// # Errors
    ///
    /// [`super::Kind::Busy`] while an activity runs, [`super::Kind::ScalingGroupNotFound`] when the scaling group is gone.
    ///
    /// Source: ESS 2014-08-28, `AttachServerGroups`.
    pub async fn attach_server_groups(
        &self,
        group: &str,
        server_groups: &[AttachedGroup],
        force: Force,
        token: &str,
    ) -> Result<Answer, Error> {
        let arguments = json!({
            "ScalingGroupId": group, "ServerGroups": arguments_of(server_groups), "ForceAttach": force == Force::Yes, "ClientToken": token,
        });
        let call = self.ess("AttachServerGroups", Effect::Changes, arguments);
        self.change(call).await
    }

    /// Detaches up to 5 server groups from a scaling group.
    ///
    /// # Errors
    ///
    /// As [`Cloud::attach_server_groups`].
    ///
    /// Source: ESS 2014-08-28, `DetachServerGroups`.
    pub async fn detach_server_groups(
        &self,
        group: &str,
        server_groups: &[AttachedGroup],
        force: Force,
        token: &str,
    ) -> Result<Answer, Error> {
        let bare: Vec<_> = server_groups
            .iter()
            .map(|group| AttachedGroup {
                weight: None,
                ..group.clone()
            })
            .collect();
        let arguments = json!({
            "ScalingGroupId": group, "ServerGroups": arguments_of(&bare), "ForceDetach": force == Force::Yes, "ClientToken": token,
        });
        let call = self.ess("DetachServerGroups", Effect::Changes, arguments);
        self.change(call).await
    }

    /// Attaches CLB vServer groups, of up to 5 load balancers, to a scaling group. No activity is named.
    ///
    /// # Errors
    ///
    /// As [`Cloud::attach_server_groups`].
    ///
    /// Source: ESS 2014-08-28, `AttachVServerGroups`.
    pub async fn attach_vserver_groups(
        &self,
        group: &str,
        vserver_groups: &[AttachedVServerGroup],
        force: Force,
        token: &str,
    ) -> Result<Answer, Error> {
        let arguments = json!({
            "ScalingGroupId": group, "VServerGroups": by_load_balancer(vserver_groups, |group| group.weight),
            "ForceAttach": force == Force::Yes, "ClientToken": token,
        });
        self.change(self.ess("AttachVServerGroups", Effect::Changes, arguments))
            .await
    }

    /// Detaches CLB vServer groups, of up to 5 load balancers; the cloud ignores groups that are not attached.
    ///
    /// # Errors
    ///
    /// As [`Cloud::attach_server_groups`].
    ///
    /// Source: ESS 2014-08-28, `DetachVServerGroups`.
    pub async fn detach_vserver_groups(
        &self,
        group: &str,
        vserver_groups: &[AttachedVServerGroup],
        force: Force,
        token: &str,
    ) -> Result<Answer, Error> {
        let arguments = json!({
            "ScalingGroupId": group, "VServerGroups": by_load_balancer(vserver_groups, |_| None),
            "ForceDetach": force == Force::Yes, "ClientToken": token,
        });
        self.change(self.ess("DetachVServerGroups", Effect::Changes, arguments))
            .await
    }

    /// Attaches the default groups of up to 5 CLB instances; the answer refers to a scaling activity.
    ///
    /// # Errors
    ///
    /// As [`Cloud::attach_server_groups`].
    ///
    /// Source: ESS 2014-08-28, `AttachLoadBalancers`, with `Async` as its page advises.
    pub async fn attach_load_balancers(
        &self,
        group: &str,
        load_balancers: &[AttachedLoadBalancer],
        force: Force,
        token: &str,
    ) -> Result<Answer, Error> {
        let (weighted, plain): (Vec<_>, Vec<_>) = load_balancers
            .iter()
            .partition(|load_balancer| load_balancer.weight.is_some());
        let plain: Vec<_> = plain.iter().map(|plain| &plain.id).collect();
        let weighted: Vec<_> = weighted
            .iter()
            .map(|weighted| json!({"LoadBalancerId": weighted.id, "Weight": weighted.weight}))
            .collect();
        let arguments = json!({
            "ScalingGroupId": group, "LoadBalancers": plain, "LoadBalancerConfigs": weighted,
            "ForceAttach": force == Force::Yes, "Async": true, "ClientToken": token,
        });
        // The one action of these whose model knows no region.
        let action = "AttachLoadBalancers";
        let call = Call::new(Service::Ess, action, Effect::Changes, &arguments);
        self.change(call).await
    }

    /// Detaches the default groups of up to 5 CLB instances; the answer refers to a scaling activity, but for
    /// [`Force::NoActivity`].
    ///
    /// # Errors
    ///
    /// As [`Cloud::attach_server_groups`]; [`super::Kind::GroupNotFound`] if one of them is not attached.
    ///
    /// Source: ESS 2014-08-28, `DetachLoadBalancers`.
    pub async fn detach_load_balancers(
        &self,
        group: &str,
        load_balancers: &[&str],
        force: Force,
        token: &str,
    ) -> Result<Answer, Error> {
        let arguments = json!({
            "ScalingGroupId": group, "LoadBalancers": load_balancers, "ForceDetach": force == Force::Yes,
            "Async": force != Force::NoActivity, "ClientToken": token,
        });
        self.change(self.ess("DetachLoadBalancers", Effect::Changes, arguments))
            .await
    }

    fn ess(&self, action: &'static str, effect: Effect, mut arguments: Value) -> Call {
        arguments["RegionId"] = json!(self.region());
        Call::new(Service::Ess, action, effect, &arguments)
    }
}

const DESCRIBE_SCALING_GROUPS: &str = "DescribeScalingGroups";

const ACTIVITIES: &str = "DescribeScalingActivities";

/// Server groups as a call names them.
fn arguments_of(server_groups: &[AttachedGroup]) -> Vec<Value> {
    let one = |group: &AttachedGroup| json!({"ServerGroupId": group.id, "Type": group.kind, "Port": group.port, "Weight": group.weight});
    server_groups.iter().map(one).collect()
}

/// vServer groups as a call names them: grouped by load balancer.
fn by_load_balancer(
    vserver_groups: &[AttachedVServerGroup],
    weight: impl Fn(&AttachedVServerGroup) -> Option<u8>,
) -> Vec<Value> {
    let mut by_id: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for group in vserver_groups {
        by_id
            .entry(&group.load_balancer_id)
            .or_default()
            .push(json!({"VServerGroupId": group.id, "Port": group.port, "Weight": weight(group)}));
    }
    by_id
        .into_iter()
        .map(|(id, groups)| json!({"LoadBalancerId": id, "VServerGroupAttributes": groups}))
        .collect()
}

#[cfg(test)]
mod tests;
