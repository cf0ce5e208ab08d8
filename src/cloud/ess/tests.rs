//! Scaling groups: whole lists, both spellings of an attachment, and what changes put on the wire.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::cloud::{
    Kind,
    stub::{Asked, Stub, ok},
};

use super::*;

fn group(id: &str) -> Value {
    json!({"ScalingGroupId": id, "LifecycleState": "Active"})
}

fn groups(rows: &[Value], total: usize) -> Value {
    json!({"RequestId": "r", "ScalingGroups": {"ScalingGroup": rows}, "TotalCount": total})
}

#[tokio::test]
async fn both_lists_of_server_groups_are_joined_and_an_attachment_in_both_counts_once() {
    let stub = Stub::start(|_, _| {
        let mut row = group("asg-1");
        row["ServerGroups"] = json!({"ServerGroup": [
            {"ServerGroupId": "sgp-1", "Type": "ALB", "Port": 80, "Weight": 50},
            {"ServerGroupId": "sgp-gw", "Type": "GWLB", "Port": 6081, "Weight": 0},
        ]});
        row["AlbServerGroups"] = json!({"AlbServerGroup": [
            {"AlbServerGroupId": "sgp-1", "Port": 80, "Weight": 50},
            {"AlbServerGroupId": "sgp-1", "Port": 81, "Weight": "7"},
        ]});
        ok(&groups(&[row], 1))
    })
    .await;
    let found = stub
        .cloud()
        .describe_scaling_groups(&["asg-1"])
        .await
        .unwrap();
    let shown: Vec<_> = found[0]
        .server_groups
        .iter()
        .map(|group| {
            (
                group.kind.as_str(),
                group.id.as_str(),
                group.port,
                group.weight,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("ALB", "sgp-1", Some(80), Some(50)),
            ("GWLB", "sgp-gw", None, None),
            ("ALB", "sgp-1", Some(81), Some(7)),
        ]
    );
}

#[tokio::test]
async fn a_list_of_groups_that_is_not_whole_is_an_error() {
    for answer in [
        groups(&[group("asg-1")], 2),
        groups(&[group("asg-1"), group("asg-1")], 2),
    ] {
        let stub = Stub::start(move |_, _| ok(&answer)).await;
        let error = stub
            .cloud()
            .describe_scaling_groups(&["asg-1", "asg-2"])
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::Incomplete);
    }
    let stub = Stub::start(|_, _| ok(&json!({"RequestId": "r", "TotalCount": 0}))).await;
    let error = stub.cloud().describe_scaling_groups(&["asg-1"]).await;
    assert_eq!(error.unwrap_err().kind, Kind::Malformed);
}

/// A server of `total` instances whose first page begins `shift` rows later after it was read once.
async fn instances(total: usize, shift: usize) -> Stub {
    let reads = Arc::new(AtomicUsize::new(0));
    Stub::start(move |_, asked: &Asked| {
        let read = reads.fetch_add(1, Ordering::Relaxed);
        let gone = if read == 0 { 0 } else { shift };
        let page: usize = asked.parameter("PageNumber").unwrap().parse().unwrap();
        let rows: Vec<_> = (gone..total)
            .skip((page - 1) * 100)
            .take(100)
            .map(|n| json!({"InstanceId": format!("i-{n}"), "ScalingGroupId": "asg-1"}))
            .collect();
        ok(&json!({
            "RequestId": "r", "TotalCount": total - gone, "ScalingInstances": {"ScalingInstance": rows},
        }))
    })
    .await
}

#[tokio::test]
async fn every_page_of_instances_is_read() {
    for (total, calls) in [(0, 1), (99, 1), (100, 1), (101, 2), (250, 3)] {
        let stub = instances(total, 0).await;
        let found = stub
            .cloud()
            .describe_scaling_instances("asg-1")
            .await
            .unwrap();
        assert_eq!((found.len(), stub.asked().len()), (total, calls), "{total}");
    }
}

#[tokio::test]
async fn an_instance_that_leaves_between_two_pages_does_not_hide_another() {
    let stub = instances(150, 1).await;
    let found = stub
        .cloud()
        .describe_scaling_instances("asg-1")
        .await
        .unwrap();
    assert_eq!(found.len(), 149);
    assert!(
        found.contains("i-100"),
        "the row that slipped to the first page"
    );
}

#[tokio::test]
async fn a_detachment_names_type_and_port_but_no_weight_and_gwlb_neither() {
    let stub =
        Stub::start(|_, _| ok(&json!({"RequestId": "r", "ScalingActivityId": "asa-1"}))).await;
    let attached = |kind: &str, port, weight| AttachedGroup {
        id: format!("sgp-{kind}"),
        kind: kind.into(),
        port,
        weight,
    };
    let groups = [
        attached("ALB", Some(80), Some(5)),
        attached("GWLB", None, None),
    ];
    let answer = stub
        .cloud()
        .detach_server_groups("asg-1", &groups, Force::Yes, "token-1")
        .await
        .unwrap();
    assert_eq!(answer.reference.as_deref(), Some("asa-1"));
    let asked = &stub.asked()[0];
    let given: Vec<_> = asked
        .query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        given,
        [
            "ClientToken=token-1",
            "ForceDetach=true",
            "RegionId=cn-hangzhou",
            "ScalingGroupId=asg-1",
            "ServerGroup.1.Port=80",
            "ServerGroup.1.ServerGroupId=sgp-ALB",
            "ServerGroup.1.Type=ALB",
            "ServerGroup.2.ServerGroupId=sgp-GWLB",
            "ServerGroup.2.Type=GWLB",
        ]
    );
}

fn vserver_group(
    load_balancer: &str,
    id: &str,
    port: u16,
    weight: Option<u8>,
) -> AttachedVServerGroup {
    AttachedVServerGroup {
        load_balancer_id: load_balancer.into(),
        id: id.into(),
        port,
        weight,
    }
}

#[tokio::test]
async fn clb_attachments_are_read_with_ports_and_weights() {
    let stub = Stub::start(|_, _| {
        let mut row = group("asg-1");
        row["SystemSuspended"] = json!(true);
        row["VServerGroups"] = json!({"VServerGroup": [{"LoadBalancerId": "lb-1", "VServerGroupAttributes": {
            "VServerGroupAttribute": [
                {"VServerGroupId": "rsp-1", "Port": 80, "Weight": 50},
                {"VServerGroupId": "rsp-1", "Port": 81, "Weight": 60},
            ],
        }}]});
        row["LoadBalancerIds"] = json!({"LoadBalancerId": ["lb-2", "lb-3"]});
        row["LoadBalancerConfigs"] =
            json!({"LoadBalancerConfig": [{"LoadBalancerId": "lb-2", "Weight": 70}]});
        ok(&groups(&[row], 1))
    })
    .await;
    let found = stub
        .cloud()
        .describe_scaling_groups(&["asg-1"])
        .await
        .unwrap()
        .remove(0);
    assert!(found.suspended);
    assert_eq!(
        found.vserver_groups,
        [
            vserver_group("lb-1", "rsp-1", 80, Some(50)),
            vserver_group("lb-1", "rsp-1", 81, Some(60)),
        ]
    );
    let weights: Vec<_> = found
        .load_balancers
        .iter()
        .map(|found| (found.id.as_str(), found.weight))
        .collect();
    assert_eq!(weights, [("lb-2", Some(70)), ("lb-3", None)]);
}

#[tokio::test]
async fn vserver_groups_are_named_by_load_balancer_and_detached_without_weight() {
    let stub = Stub::start(|_, _| ok(&json!({"RequestId": "r"}))).await;
    let groups = [
        vserver_group("lb-2", "rsp-3", 80, Some(10)),
        vserver_group("lb-1", "rsp-1", 80, None),
        vserver_group("lb-2", "rsp-4", 81, Some(20)),
    ];
    let cloud = stub.cloud();
    cloud
        .attach_vserver_groups("asg-1", &groups, Force::No, "t")
        .await
        .unwrap();
    cloud
        .detach_vserver_groups("asg-1", &groups, Force::Yes, "t")
        .await
        .unwrap();
    let asked = stub.asked();
    for (name, attach, detach) in [
        ("VServerGroup.1.LoadBalancerId", Some("lb-1"), Some("lb-1")),
        ("VServerGroup.1.VServerGroupAttribute.1.Weight", None, None),
        (
            "VServerGroup.2.VServerGroupAttribute.2.VServerGroupId",
            Some("rsp-4"),
            Some("rsp-4"),
        ),
        (
            "VServerGroup.2.VServerGroupAttribute.2.Weight",
            Some("20"),
            None,
        ),
        ("ForceAttach", Some("false"), None),
        ("ForceDetach", None, Some("true")),
    ] {
        assert_eq!(asked[0].parameter(name), attach, "{name}");
        assert_eq!(asked[1].parameter(name), detach, "{name}");
    }
}

#[tokio::test]
async fn default_groups_are_attached_with_their_weights_and_an_activity_to_follow() {
    let stub =
        Stub::start(|_, _| ok(&json!({"RequestId": "r", "ScalingActivityId": "asa-1"}))).await;
    let load_balancers =
        [("lb-1", None), ("lb-2", Some(30))].map(|(id, weight)| AttachedLoadBalancer {
            id: id.into(),
            weight,
        });
    let cloud = stub.cloud();
    let answer = cloud
        .attach_load_balancers("asg-1", &load_balancers, Force::Yes, "t")
        .await
        .unwrap();
    assert_eq!(answer.reference.as_deref(), Some("asa-1"));
    cloud
        .detach_load_balancers("asg-1", &["lb-1"], Force::No, "t")
        .await
        .unwrap();
    let asked = stub.asked();
    assert_eq!(asked[0].parameter("LoadBalancer.1"), Some("lb-1"));
    assert_eq!(asked[0].parameter("LoadBalancer.2"), None);
    assert_eq!(
        asked[0].parameter("LoadBalancerConfig.1.LoadBalancerId"),
        Some("lb-2")
    );
    assert_eq!(
        asked[0].parameter("LoadBalancerConfig.1.Weight"),
        Some("30")
    );
    assert_eq!(asked[1].parameter("Async"), Some("true"));
}

#[tokio::test]
async fn instances_are_found_by_id_whatever_their_group() {
    let stub = Stub::start(|_, _| {
        let rows = json!([{"InstanceId": "i-1", "ScalingGroupId": "asg-9", "LifecycleState": "Standby"}]);
        ok(&json!({"RequestId": "r", "TotalCount": 1, "ScalingInstances": {"ScalingInstance": rows}}))
    })
    .await;
    let found = stub
        .cloud()
        .scaling_instances_among(&["i-1", "i-2"])
        .await
        .unwrap();
    assert_eq!(
        (
            found[0].scaling_group_id.as_str(),
            found[0].lifecycle.as_str()
        ),
        ("asg-9", "Standby")
    );
    assert_eq!(stub.asked()[0].parameter("InstanceId.2"), Some("i-2"));
    assert_eq!(stub.asked()[0].parameter("ScalingGroupId"), None);
}
