//! The requests that the methods of [`Cloud`] send, against those that were recorded of the official SDKs: every
//! parameter has a name and a place that an SDK has for that action. (`tests/vectors.rs` compares whole requests, from
//! the input of the SDK on.)

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;
use server_group_core::product::Product;

use super::{
    AttachedGroup, AttachedLoadBalancer, AttachedVServerGroup, Cloud, Force, MemberChange,
    Parameters, ServerKind,
    stub::{Asked, Stub, refusal},
};

/// A parameter without the numbers of list items: where it travels, and its name.
type Name = (&'static str, String);

/// By service and action.
type Names = BTreeMap<(String, String), BTreeSet<Name>>;

/// Parameters that no recorded request has, but the documentation of the action does.
const DOCUMENTED: &[(&str, &str)] = &[
    ("DescribeScalingActivities", "ScalingGroupId"),
    ("DescribeScalingActivities", "StatusCode"),
    ("DescribeScalingInstances", "InstanceId.N"),
];

/// The lists of the older ESS version have other names; the recorded ones are of the current one.
const OLDER: &[(&str, &str)] = &[
    ("ServerGroups", "ServerGroup"),
    ("VServerGroups", "VServerGroup"),
    ("VServerGroupAttributes", "VServerGroupAttribute"),
    ("LoadBalancers", "LoadBalancer"),
    ("LoadBalancerConfigs", "LoadBalancerConfig"),
    ("ScalingGroupIds", "ScalingGroupId"),
    ("ScalingActivityIds", "ScalingActivityId"),
    ("InstanceIds", "InstanceId"),
];

/// `Servers.3.Port` is `Servers.N.Port`; of a list that travels as JSON the fields are named like `BackendServers[].Port`.
fn names(place: &'static str, parameters: &Parameters, older: bool) -> BTreeSet<Name> {
    let mut names = BTreeSet::new();
    for (name, value) in parameters {
        let part = |part: &str| match part.parse::<usize>() {
            Ok(_) => "N".to_owned(),
            Err(_) => {
                let old = OLDER.iter().find(|(new, _)| older && *new == part);
                old.map_or(part, |(_, old)| old).to_owned()
            }
        };
        let name = name.split('.').map(part).collect::<Vec<_>>().join(".");
        if let Ok(Value::Array(items)) = serde_json::from_str(value) {
            let fields = items.iter().filter_map(Value::as_object).flatten();
            names.extend(fields.map(|(field, _)| (place, format!("{name}[].{field}"))));
        }
        names.insert((place, name));
    }
    names
}

fn recorded() -> Names {
    let mut all = Names::new();
    for service in ["ess", "slb", "gwlb", "alb", "nlb", "sts"] {
        let file = format!(
            "{}/tests/wire-vectors/{service}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = fs::read_to_string(&file).unwrap();
        let vectors: Value = serde_json::from_str(&text).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            let action = case["action"].as_str().unwrap().to_owned();
            let entry = all.entry((service.to_owned(), action)).or_default();
            for place in ["query", "form"] {
                let fields = case["request"][place].as_object().into_iter().flatten();
                let fields = fields.map(|(name, value)| {
                    (name.clone(), value.as_str().unwrap_or_default().to_owned())
                });
                entry.append(&mut names(place, &fields.collect(), service == "ess"));
            }
        }
    }
    all
}

fn member(number: usize, weight: Option<u8>) -> MemberChange {
    MemberChange {
        id: format!("eni-{number}"),
        kind: ServerKind::Eni,
        ip: Some("10.0.0.1".to_owned()),
        port: Some(80),
        weight,
        remote_ip: false,
    }
}

/// Calls every method once, and returns what was asked under the name of the service.
async fn everything(cloud: &Cloud, stub: &Stub) -> Vec<(&'static str, Asked)> {
    let mut asked: Vec<(&'static str, Asked)> = Vec::new();
    let mut take = |service| {
        let new = stub.asked().split_off(asked.len());
        asked.extend(new.into_iter().map(|asked| (service, asked)));
    };
    for (service, product) in [
        ("slb", Product::Clb),
        ("alb", Product::Alb),
        ("nlb", Product::Nlb),
        ("gwlb", Product::Gwlb),
    ] {
        let weight = product.has_weights().then_some(10);
        let members = [member(1, weight), member(2, weight)];
        cloud.members(product, "g-1").await.ok();
        let mut added = members.clone();
        added[0].remote_ip = product == Product::Alb;
        cloud.add_members(product, "g-1", &added, "t").await.ok();
        cloud
            .remove_members(product, "g-1", &members, "t")
            .await
            .ok();
        if product.has_weights() {
            cloud.set_weights(product, "g-1", &members, "t").await.ok();
        }
        if matches!(product, Product::Alb | Product::Nlb) {
            cloud.jobs(product, &["job-1", "job-2"]).await.ok();
        }
        take(service);
    }
    cloud.load_balancer("lb-1").await.ok();
    take("slb");
    cloud.get_caller_identity().await.ok();
    take("sts");
    let groups = [AttachedGroup {
        id: "sgp-1".into(),
        kind: "ALB".into(),
        port: Some(80),
        weight: Some(10),
    }];
    let vserver_groups = [AttachedVServerGroup {
        load_balancer_id: "lb-1".into(),
        id: "rsp-1".into(),
        port: 80,
        weight: Some(10),
    }];
    let load_balancers = [AttachedLoadBalancer {
        id: "lb-1".into(),
        weight: Some(10),
    }];
    let force = Force::Yes;
    cloud
        .attach_server_groups("asg", &groups, force, "t")
        .await
        .ok();
    cloud
        .detach_server_groups("asg", &groups, force, "t")
        .await
        .ok();
    cloud
        .attach_vserver_groups("asg", &vserver_groups, force, "t")
        .await
        .ok();
    cloud
        .detach_vserver_groups("asg", &vserver_groups, force, "t")
        .await
        .ok();
    cloud
        .attach_load_balancers("asg", &load_balancers, force, "t")
        .await
        .ok();
    cloud
        .detach_load_balancers("asg", &["lb-1"], force, "t")
        .await
        .ok();
    cloud.describe_scaling_groups(&["asg"]).await.ok();
    cloud.describe_scaling_activity("asa").await.ok();
    cloud.scaling_group_is_busy("asg").await.ok();
    cloud.describe_scaling_instances("asg").await.ok();
    cloud.scaling_instances_among(&["i-1"]).await.ok();
    take("ess");
    asked
}

#[tokio::test]
async fn every_parameter_has_a_name_and_a_place_that_an_sdk_has_for_it() {
    let stub = Stub::start(|_, asked| match asked.action.as_str() {
        // So that the state of the group is asked for too.
        "ListServerGroupServers" => {
            super::stub::ok(&serde_json::json!({"Servers": [], "TotalCount": 0}))
        }
        _ => refusal(400, "InvalidParameter.Stub", "never mind"),
    })
    .await;
    let asked = everything(&stub.cloud(), &stub).await;
    let recorded = recorded();
    let (mut unknown, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for (service, asked) in asked {
        let action = (service.to_owned(), asked.action.clone());
        let known = recorded.get(&action).cloned().unwrap_or_default();
        let mut sent = names("query", &asked.query, false);
        sent.append(&mut names("form", &asked.form, false));
        for (place, name) in sent {
            let documented = DOCUMENTED.contains(&(asked.action.as_str(), name.as_str()));
            if !known.contains(&(place, name.clone())) && !documented {
                unknown.insert(format!("{service} {}: {place} {name}", asked.action));
            }
        }
        seen.insert(action);
    }
    assert_eq!(unknown, BTreeSet::new());
    assert_eq!(seen.len(), 31);
}
