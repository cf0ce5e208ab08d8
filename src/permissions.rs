//! The smallest RAM policy under which the objects of some manifests can be looked after: `server-group-operator permissions`.
//!
//! A statement for the calls that change something names the groups, where the cloud's documentation has a resource for
//! them. Reads are allowed on everything: several objects share one read of a list, and a list names no resource.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use server_group_core::{
    attachment::{AttachmentKey, Family},
    product::Product,
};

use crate::{
    api::{CloudAccount, Mode, Ownership, ScalingGroupAttachment, ServerGroupMembership},
    cloud::{add_action, attachment_action, list_action, remove_action, service, weight_action},
    controller::{attachment, membership, object::Object},
};

/// A policy as RAM takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    /// The version of the language.
    version: &'static str,
    /// What is allowed.
    statement: Vec<Statement>,
}

/// Actions that are allowed on the same resources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: &'static str,
    action: BTreeSet<String>,
    resource: BTreeSet<String>,
}

/// The objects of our kinds in some manifests.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    memberships: Vec<ServerGroupMembership>,
    attachments: Vec<ScalingGroupAttachment>,
    accounts: Vec<CloudAccount>,
}

impl Manifests {
    /// Takes in the documents of one file. Those of other kinds are passed over.
    ///
    /// # Errors
    ///
    /// It is no YAML, or an object of ours is not as its definition has it: which one, and what is wrong.
    pub fn read(&mut self, yaml: &str) -> anyhow::Result<()> {
        for document in serde_saphyr::from_multiple::<Value>(yaml)? {
            let ours = document["apiVersion"]
                .as_str()
                .is_some_and(|version| version.starts_with("servergroup.alicloud.dev/"));
            match document["kind"].as_str() {
                Some("ServerGroupMembership") if ours => self.memberships.push(object(document)?),
                Some("ScalingGroupAttachment") if ours => self.attachments.push(object(document)?),
                Some("CloudAccount") if ours => self.accounts.push(object(document)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// The account that the policy is for: the one that is `asked` for, or the only one that objects use.
    ///
    /// # Errors
    ///
    /// There are no such objects, or they use several accounts.
    pub fn account<'m>(&'m self, asked: Option<&'m str>) -> anyhow::Result<&'m str> {
        let named = self.account_names();
        let account = match (asked, named.len()) {
            (Some(account), _) => account,
            (None, 1) => named.first().copied().unwrap_or_default(),
            (None, 0) => anyhow::bail!(
                "there is no ServerGroupMembership and no ScalingGroupAttachment in these files"
            ),
            (None, _) => {
                let named: Vec<_> = named.into_iter().collect();
                anyhow::bail!(
                    "the objects use several accounts, each of which needs a policy of its own: choose one with --account, \
                     of {}",
                    named.join(", ")
                )
            }
        };
        anyhow::ensure!(
            named.contains(account),
            "no object in these files uses the account {account:?}"
        );
        Ok(account)
    }

    /// The policy for the objects that use `account`.
    ///
    /// # Errors
    ///
    /// An object contradicts itself: which one, and how.
    pub fn policy(&self, account: &str) -> anyhow::Result<Policy> {
        let mut needs = Needs::default();
        for object in of(&self.memberships, account) {
            let fed = self.feeds(account, object);
            needs
                .membership(object, fed)
                .map_err(|why| wrong("ServerGroupMembership", object, &why))?;
        }
        for object in of(&self.attachments, account) {
            needs
                .attachment(object)
                .map_err(|why| wrong("ScalingGroupAttachment", object, &why))?;
        }
        Ok(needs.into_policy())
    }

    /// The role that `account` assumes, if its manifest is among these: then the policy belongs to the role, and the keys
    /// of the account's source need no more than to assume it.
    #[must_use]
    pub fn assumed_role(&self, account: &str) -> Option<&str> {
        let mut accounts = self.accounts.iter();
        let found = accounts.find(|found| found.metadata.name.as_deref() == Some(account))?;
        let role = found.spec.assume_role.as_ref()?;
        Some(&role.role_arn)
    }

    fn account_names(&self) -> BTreeSet<&str> {
        let memberships = self
            .memberships
            .iter()
            .map(|object| object.spec.account_name.as_str());
        let attachments = self
            .attachments
            .iter()
            .map(|object| object.spec.account_name.as_str());
        memberships.chain(attachments).collect()
    }

    /// Whether an attachment in these files feeds the group of a membership: then ESS is asked whose its members are.
    fn feeds(&self, account: &str, object: &ServerGroupMembership) -> bool {
        let group = &object.spec.server_group.id;
        let mut listed = of(&self.attachments, account).flat_map(|other| {
            let keys = attachment::parse::parse(&other.spec).unwrap_or_default();
            let here = other.spec.region_id == object.spec.region_id;
            keys.into_keys().filter(move |_| here)
        });
        listed.any(|key| key.server_group().is_some_and(|(_, id)| id == group))
    }
}

fn of<'m, M: Object>(objects: &'m [M], account: &'m str) -> impl Iterator<Item = &'m M> {
    let uses = move |object: &&M| object.account_name() == account;
    objects.iter().filter(uses)
}

fn object<T: DeserializeOwned>(document: Value) -> anyhow::Result<T> {
    let kind = document["kind"].as_str().unwrap_or_default().to_owned();
    let name = document["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    serde_json::from_value(document).map_err(|error| anyhow::anyhow!("{kind} {name}: {error}"))
}

fn wrong(kind: &str, object: &impl kube::Resource, why: &str) -> anyhow::Error {
    let name = object.meta().name.as_deref().unwrap_or_default();
    anyhow::anyhow!("{kind} {name}: {why}")
}

/// Resources by action.
#[derive(Default)]
struct Needs(BTreeMap<String, BTreeSet<String>>);

const ANY: &str = "*";

impl Needs {
    fn allow(&mut self, service: &str, action: &str, resource: impl Into<String>) {
        let resources = self.0.entry(format!("{service}:{action}")).or_default();
        resources.insert(resource.into());
    }

    fn membership(&mut self, object: &ServerGroupMembership, fed: bool) -> Result<(), String> {
        let spec = &object.spec;
        let parsed = membership::parse::parse(spec).map_err(|invalid| invalid.to_string())?;
        let product = parsed.product;
        let service = service(product).name();
        self.allow(service, list_action(product), ANY);
        match product {
            // A vServer group has no state of its own; its load balancer tells why a change is refused.
            Product::Clb => self.allow(service, "DescribeLoadBalancerAttribute", ANY),
            Product::Alb | Product::Nlb => {
                self.allow(service, "ListServerGroups", ANY);
                self.allow(service, "ListAsynJobs", ANY);
            }
            Product::Gwlb => self.allow(service, "ListServerGroups", ANY),
        }
        if fed || spec.ownership == Ownership::Exclusive {
            for action in [
                "DescribeScalingGroups",
                "DescribeScalingInstances",
                "DescribeScalingActivities",
            ] {
                self.allow("ess", action, ANY);
            }
        }
        if spec.mode == Mode::Plan {
            return Ok(());
        }
        // Source: the pages of AddServersToServerGroup and RemoveServersFromServerGroup; of CLB, the load balancer is the
        // resource, which a vServer group does not name.
        let group = match product {
            Product::Clb => format!("acs:slb:{}:*:loadbalancer/*", spec.region_id),
            Product::Alb | Product::Nlb | Product::Gwlb => format!(
                "acs:{}:{}:*:servergroup/{}",
                service, spec.region_id, spec.server_group.id
            ),
        };
        self.allow(service, add_action(product), &group);
        self.allow(service, remove_action(product), &group);
        let weighs = spec.servers.iter().any(|server| server.weight.is_some());
        if product.has_weights() && (weighs || spec.removal.drain_seconds > 0) {
            self.allow(service, weight_action(product), &group);
        }
        Ok(())
    }

    fn attachment(&mut self, object: &ScalingGroupAttachment) -> Result<(), String> {
        let spec = &object.spec;
        let keys = attachment::parse::parse(spec).map_err(|invalid| invalid.to_string())?;
        self.allow("ess", "DescribeScalingGroups", ANY);
        self.allow("ess", "DescribeScalingActivities", ANY);
        if spec.force_detach {
            self.allow("ess", "DescribeScalingInstances", ANY);
        }
        let enforces = spec.mode == Mode::Enforce;
        let group = format!(
            "acs:ess:{}:*:scalinggroup/{}",
            spec.region_id, spec.scaling_group_id
        );
        for key in keys.keys() {
            if enforces {
                for attaches in [true, false] {
                    self.allow("ess", attachment_action(key.family(), attaches), &group);
                }
            }
            self.fed_group(
                key,
                enforces && (spec.force_attach || spec.force_detach),
                spec.force_detach,
            );
        }
        Ok(())
    }

    /// A call that moves instances looks at the group that they join or leave first.
    fn fed_group(&mut self, key: &AttachmentKey, looks_at_state: bool, looks_at_members: bool) {
        // The default group of a load balancer is CLB's as well.
        let product = key
            .server_group()
            .map_or(Product::Clb, |(product, _)| product);
        let service = service(product).name();
        if looks_at_state && product != Product::Clb {
            self.allow(service, "ListServerGroups", ANY);
        }
        if looks_at_members {
            let action = match key.family() {
                Family::LoadBalancers => "DescribeLoadBalancerAttribute",
                Family::ServerGroups | Family::VServerGroups => list_action(product),
            };
            self.allow(service, action, ANY);
        }
    }

    fn into_policy(self) -> Policy {
        let mut by_resource: BTreeMap<BTreeSet<String>, BTreeSet<String>> = BTreeMap::new();
        for (action, resource) in self.0 {
            by_resource.entry(resource).or_default().insert(action);
        }
        let statement = by_resource.into_iter().map(|(resource, action)| Statement {
            effect: "Allow",
            action,
            resource,
        });
        Policy {
            version: "1",
            statement: statement.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(yaml: &str) -> Vec<String> {
        let mut manifests = Manifests::default();
        manifests.read(yaml).unwrap();
        let account = manifests.account(None).unwrap().to_owned();
        let policy = manifests.policy(&account).unwrap();
        let statements = policy.statement.into_iter();
        statements
            .map(|statement| {
                let join = |all: BTreeSet<String>| all.into_iter().collect::<Vec<_>>().join(" ");
                format!("{} on {}", join(statement.action), join(statement.resource))
            })
            .collect()
    }

    fn membership(group: &str, more: &str) -> String {
        format!(
            "apiVersion: servergroup.alicloud.dev/v1alpha1\nkind: ServerGroupMembership\nmetadata: {{name: web}}\n\
             spec:\n  regionId: cn-hangzhou\n  serverGroup: {group}\n  servers: [{{id: i-1, port: 80}}]\n{more}"
        )
    }

    #[test]
    fn a_plan_needs_reads_alone() {
        let found = policy(&membership("{type: NLB, id: sgp-x}", "  mode: Plan\n"));
        assert_eq!(
            found,
            ["nlb:ListAsynJobs nlb:ListServerGroupServers nlb:ListServerGroups on *"]
        );
    }

    #[test]
    fn changes_name_the_group_where_the_cloud_has_a_resource_for_it() {
        let clb = policy(&membership("{type: CLB, id: rsp-x}", ""));
        let expected = [
            "slb:DescribeLoadBalancerAttribute slb:DescribeVServerGroupAttribute on *",
            "slb:AddVServerGroupBackendServers slb:RemoveVServerGroupBackendServers on acs:slb:cn-hangzhou:*:loadbalancer/*",
        ];
        assert_eq!(clb, expected);
        let alb = policy(&membership("{type: ALB, id: sgp-x}", ""));
        let changes = "alb:AddServersToServerGroup alb:RemoveServersFromServerGroup on acs:alb:cn-hangzhou:*:servergroup/sgp-x";
        assert_eq!(alb[1], changes);
    }

    #[test]
    fn weights_and_drains_need_one_action_more() {
        let drains = policy(&membership(
            "{type: ALB, id: sgp-x}",
            "  removal: {drainSeconds: 30}\n",
        ));
        assert!(
            drains[1].contains("alb:UpdateServerGroupServersAttribute"),
            "{drains:?}"
        );
        let weighs =
            membership("{type: CLB, id: rsp-x}", "").replace("port: 80", "port: 80, weight: 7");
        assert!(policy(&weighs)[1].contains("slb:SetVServerGroupAttribute"));
    }

    #[test]
    fn ess_is_asked_where_the_list_is_the_whole_truth_or_an_attachment_feeds_the_group() {
        let asks = |yaml: &str| policy(yaml)[0].contains("ess:DescribeScalingInstances");
        let web = membership("{type: NLB, id: sgp-x}", "");
        assert!(!asks(&web));
        assert!(asks(&format!("{web}  ownership: Exclusive\n")));
        let attachment = |id: &str| {
            format!(
                "---\napiVersion: servergroup.alicloud.dev/v1alpha1\nkind: ScalingGroupAttachment\nmetadata: {{name: shop}}\n\
                 spec:\n  regionId: cn-hangzhou\n  scalingGroupId: asg-x\n  serverGroups: [{{type: NLB, id: {id}, port: 80, weight: 50}}]\n"
            )
        };
        assert!(asks(&format!("{web}{}", attachment("sgp-x"))));
        assert!(!asks(&format!("{web}{}", attachment("sgp-y"))));
    }

    #[test]
    fn addresses_ask_for_no_more_wherever_they_are() {
        let inside = membership("{type: ALB, id: sgp-x}", "");
        let outside = inside.replace("id: i-1", "id: 172.16.1.5, remoteIpEnabled: true");
        assert_ne!(inside, outside);
        assert_eq!(policy(&outside), policy(&inside));
    }

    #[test]
    fn an_attachment_that_moves_instances_looks_at_the_groups_too() {
        let gentle = include_str!("../deploy/examples/scaling-group/1-five.yaml");
        let group = "acs:ess:cn-hangzhou:*:scalinggroup/asg-shop";
        let expected = [
            "ess:DescribeScalingActivities ess:DescribeScalingGroups on *".to_owned(),
            format!("ess:AttachServerGroups ess:DetachServerGroups on {group}"),
        ];
        assert_eq!(policy(gentle), expected);
        let forced = policy(&format!("{gentle}\n  forceDetach: true\n"));
        let reads = "alb:ListServerGroupServers alb:ListServerGroups ess:DescribeScalingActivities ess:DescribeScalingGroups \
                     ess:DescribeScalingInstances gwlb:ListServerGroupServers gwlb:ListServerGroups nlb:ListServerGroupServers \
                     nlb:ListServerGroups on *";
        assert_eq!(forced[0], reads);
    }

    #[test]
    fn what_cannot_be_answered_is_said() {
        let mut manifests = Manifests::default();
        manifests.read("kind: Pod").unwrap();
        let nothing = manifests.account(None).unwrap_err().to_string();
        assert!(nothing.contains("no ServerGroupMembership"), "{nothing}");
        let web = membership("{type: NLB, id: sgp-x}", "");
        manifests.read(&web).unwrap();
        assert_eq!(manifests.account(None).unwrap(), "default");
        manifests
            .read(&format!("{web}  accountName: other\n"))
            .unwrap();
        let several = manifests.account(None).unwrap_err().to_string();
        assert!(
            several.contains("--account") && several.contains("default, other"),
            "{several}"
        );
        assert_eq!(manifests.account(Some("other")).unwrap(), "other");
        assert!(manifests.account(Some("third")).is_err());
        let unknown = manifests
            .read(&web.replace("regionId", "region"))
            .unwrap_err()
            .to_string();
        assert!(unknown.contains("ServerGroupMembership web: "), "{unknown}");
    }
}
