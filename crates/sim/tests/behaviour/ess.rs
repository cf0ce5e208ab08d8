//! Auto Scaling: attachments of every kind, instances that follow, activities.

use serde_json::{Value, json};
use server_group_sim::world::{Ending, Product};

use crate::cloud::{ALB, Cloud, ESS};

async fn scaling() -> Cloud {
    Cloud::with(|world| {
        for product in [Product::Alb, Product::Nlb, Product::Gwlb] {
            let name = format!("sgp-{}", product.service());
            world.create_group(product, &name).drain_seconds = 0.0;
        }
        world.create_load_balancer("lb-1");
        for id in ["rsp-1", "rsp-2"] {
            world.create_group(Product::Clb, id).load_balancer = "lb-1".into();
        }
        world.create_scaling_group("asg-1", ["i-1".into(), "i-2".into()]);
    })
    .await
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is written in place by every caller"
)]
fn groups(rows: Value) -> Value {
    json!({"ScalingGroupId": "asg-1", "ServerGroup": rows})
}

fn alb(weight: Option<u8>) -> Value {
    json!({"ServerGroupId": "sgp-alb", "Type": "ALB", "Port": 80, "Weight": weight})
}

async fn seen(cloud: &Cloud) -> Value {
    let mut listed = cloud
        .ess(
            "DescribeScalingGroups",
            json!({"ScalingGroupId": ["asg-1"]}),
        )
        .await
        .ok();
    // Absent when the list is empty.
    let group = listed.pointer_mut("/ScalingGroups/ScalingGroup/0");
    group.map(Value::take).unwrap_or_default()
}

#[tokio::test]
async fn without_force_only_instances_that_come_later_join() {
    let cloud = scaling().await;
    let rows = json!([alb(Some(50)), {"ServerGroupId": "sgp-gwlb", "Type": "GWLB"}]);
    let answer = cloud.ess("AttachServerGroups", groups(rows)).await.ok();
    assert!(answer.get("ScalingActivityId").is_none());
    assert_eq!(
        seen(&cloud).await["ServerGroups"]["ServerGroup"],
        json!([{"ServerGroupId": "sgp-alb", "Type": "ALB", "Port": 80, "Weight": 50}, {"ServerGroupId": "sgp-gwlb", "Type": "GWLB"}])
    );
    cloud.pass(60.0);
    assert!(cloud.states(ALB, "sgp-alb").await.is_empty());
    cloud.simulator.world().start_instance("asg-1", "i-3");
    assert_eq!(cloud.states(ALB, "sgp-alb").await, ["i-3 Adding"]);
    cloud.pass(2.0);
    let world = cloud.simulator.world();
    assert_eq!(
        (world.serving("sgp-alb"), world.serving("sgp-gwlb")),
        (1, 1)
    );
}

#[tokio::test]
async fn with_force_the_instances_follow_by_an_activity() {
    let cloud = scaling().await;
    let mut attach = groups(json!([alb(Some(50))]));
    attach["ForceAttach"] = json!(true);
    let id =
        cloud.ess("AttachServerGroups", attach.clone()).await.ok()["ScalingActivityId"].clone();
    let status = async || {
        let listed = cloud
            .ess(
                "DescribeScalingActivities",
                json!({"ScalingActivityId": [id]}),
            )
            .await
            .ok();
        listed["ScalingActivities"]["ScalingActivity"][0]["StatusCode"].clone()
    };
    assert_eq!(status().await, "InProgress");
    attach["ServerGroup"] = json!([{"ServerGroupId": "sgp-gwlb", "Type": "GWLB"}]);
    let second = cloud.ess("AttachServerGroups", attach).await;
    assert_eq!(second.refusal(), "400 ScalingActivityInProgress");
    cloud.pass(4.0);
    assert_eq!(status().await, "Successful");
    let busy = cloud
        .alb("ListServerGroups", json!({"ServerGroupIds": ["sgp-alb"]}))
        .await
        .ok();
    assert_eq!(
        busy["ServerGroups"][0]["ServerGroupStatus"], "Configuring",
        "its members are moving"
    );
    cloud.pass(2.0);
    assert_eq!(cloud.simulator.world().serving("sgp-alb"), 2);
    let mut detach = groups(json!([alb(None)]));
    detach["ForceDetach"] = json!(true);
    cloud.ess("DetachServerGroups", detach).await.ok();
    cloud.pass(4.0);
    cloud.pass(1.0);
    assert!(cloud.states(ALB, "sgp-alb").await.is_empty());
    assert!(
        seen(&cloud).await["ServerGroups"]["ServerGroup"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn detaching_without_force_leaves_the_instances_where_they_are() {
    let cloud = scaling().await;
    {
        let mut world = cloud.simulator.world();
        world.attach("asg-1", "ALB", "sgp-alb", Some(80), Some(50));
        world.put_member("sgp-alb", "i-1", "", 80, 50);
    }
    cloud
        .ess("DetachServerGroups", groups(json!([alb(None)])))
        .await
        .ok();
    cloud
        .ess("DetachServerGroups", groups(json!([alb(None)])))
        .await
        .ok();
    cloud.pass(60.0);
    assert_eq!(cloud.simulator.world().serving("sgp-alb"), 1);
    assert!(
        cloud.simulator.world().scaling_groups["asg-1"]
            .attachments
            .is_empty()
    );
}

#[tokio::test]
async fn an_activity_ends_in_each_of_its_ways() {
    for (ending, status, left, attached) in [
        (Ending::Successful, json!("Successful"), 0, 0),
        (Ending::Warning, json!("Warning"), 1, 0),
        (Ending::Failed, json!("Failed"), 2, 1),
        (Ending::Rejected, json!("Rejected"), 2, 1),
        (Ending::Vanished, Value::Null, 0, 0),
    ] {
        let cloud = scaling().await;
        {
            let mut world = cloud.simulator.world();
            world.attach("asg-1", "ALB", "sgp-alb", Some(80), Some(50));
            world.put_member("sgp-alb", "i-1", "", 80, 50);
            world.put_member("sgp-alb", "i-2", "", 80, 50);
            world.endings.push_back(ending);
        }
        let mut detach = groups(json!([alb(None)]));
        detach["ForceDetach"] = json!(true);
        let id = cloud.ess("DetachServerGroups", detach).await.ok()["ScalingActivityId"].clone();
        cloud.pass(4.0);
        cloud.pass(1.0);
        let listed = cloud
            .ess(
                "DescribeScalingActivities",
                json!({"ScalingActivityId": [id]}),
            )
            .await
            .ok();
        assert_eq!(
            listed["ScalingActivities"]["ScalingActivity"][0]["StatusCode"],
            status
        );
        let world = cloud.simulator.world();
        assert_eq!(world.groups["sgp-alb"].members.len(), left, "{ending:?}");
        assert_eq!(
            world.scaling_groups["asg-1"].attachments.len(),
            attached,
            "{ending:?}"
        );
    }
}

#[tokio::test]
async fn activities_are_asked_for_by_group_or_by_id_and_not_by_both() {
    let cloud = scaling().await;
    for params in [
        json!({}),
        json!({"ScalingGroupId": "asg-1", "ScalingActivityId": ["asa-1"]}),
    ] {
        assert_eq!(
            cloud
                .ess("DescribeScalingActivities", params)
                .await
                .refusal(),
            "400 InvalidParameter"
        );
    }
    let none = cloud
        .ess(
            "DescribeScalingActivities",
            json!({"ScalingActivityId": ["asa-1"]}),
        )
        .await
        .ok();
    assert_eq!(none["TotalCount"], 0, "what nobody remembers is left out");
    let many: Vec<_> = (0..50).map(|number| format!("asa-{number}")).collect();
    let many = json!({"ScalingActivityId": many, "PageSize": 50});
    let none = cloud.ess("DescribeScalingActivities", many).await.ok();
    assert_eq!(none["TotalCount"], 0, "no number of ids is too many");
}

#[tokio::test]
async fn an_inactive_group_is_left_out_and_refuses_force() {
    let cloud = scaling().await;
    cloud
        .simulator
        .world()
        .scaling_groups
        .get_mut("asg-1")
        .unwrap()
        .inactive = true;
    assert!(seen(&cloud).await.is_null());
    cloud
        .ess("AttachServerGroups", groups(json!([alb(Some(50))])))
        .await
        .ok();
    let mut forced = groups(json!([alb(None)]));
    forced["ForceDetach"] = json!(true);
    assert_eq!(
        cloud.ess("DetachServerGroups", forced).await.refusal(),
        "400 IncorrectScalingGroupStatus"
    );
    cloud
        .ess("DetachServerGroups", groups(json!([alb(None)])))
        .await
        .ok();
}

#[tokio::test]
async fn unknown_scaling_groups_are_left_out_of_lists_and_not_found_by_calls_that_name_them() {
    let cloud = scaling().await;
    let listed = cloud
        .ess(
            "DescribeScalingGroups",
            json!({"ScalingGroupId": ["asg-0", "asg-1"]}),
        )
        .await
        .ok();
    assert_eq!(listed["TotalCount"], 1);
    let mut named = groups(json!([alb(Some(50))]));
    named["ScalingGroupId"] = json!("asg-0");
    assert_eq!(
        cloud.ess("AttachServerGroups", named).await.refusal(),
        "404 InvalidScalingGroupId.NotFound"
    );
    let many: Vec<_> = (0..21).map(|number| format!("asg-{number}")).collect();
    assert_eq!(
        cloud
            .ess("DescribeScalingGroups", json!({"ScalingGroupId": many}))
            .await
            .refusal(),
        "400 InvalidParameter"
    );
}

#[tokio::test]
async fn type_port_and_weight_have_to_go_together() {
    let cloud = scaling().await;
    for row in [
        json!({"ServerGroupId": "sgp-alb", "Type": "ALB", "Weight": 1}),
        json!({"ServerGroupId": "sgp-alb", "Type": "ALB", "Port": 80}),
        json!({"ServerGroupId": "sgp-alb", "Type": "ALB", "Port": 0, "Weight": 1}),
        json!({"ServerGroupId": "sgp-alb", "Type": "ALB", "Port": 80, "Weight": 101}),
        json!({"ServerGroupId": "sgp-alb", "Type": "Alb", "Port": 80, "Weight": 1}),
        json!({"ServerGroupId": "sgp-gwlb", "Type": "GWLB", "Port": 6081}),
        json!({"ServerGroupId": "sgp-gwlb", "Type": "GWLB", "Weight": 1}),
    ] {
        let answer = cloud.ess("AttachServerGroups", groups(json!([row]))).await;
        assert_eq!(answer.refusal(), "400 InvalidParameter", "{row}");
    }
    let elsewhere = json!([{"ServerGroupId": "sgp-alb", "Type": "NLB", "Port": 80, "Weight": 1}]);
    assert_eq!(
        cloud
            .ess("AttachServerGroups", groups(elsewhere))
            .await
            .refusal(),
        "404 ResourceNotFound.ServerGroup"
    );
    let weight = cloud
        .ess("DetachServerGroups", groups(json!([alb(Some(1))])))
        .await;
    weight.ok();
    assert_eq!(
        cloud.notes(),
        "This action has no parameter ServerGroup.1.Weight.",
        "detaching has no weight"
    );
}

#[tokio::test]
async fn five_groups_go_into_one_call_and_thirty_of_a_kind_into_a_scaling_group() {
    let cloud = scaling().await;
    let ports = |from: u16, count: u16| -> Value {
        let rows = (from..from + count).map(
            |port| json!({"ServerGroupId": "sgp-alb", "Type": "ALB", "Port": port, "Weight": 1}),
        );
        rows.collect()
    };
    assert_eq!(
        cloud
            .ess("AttachServerGroups", groups(ports(1, 6)))
            .await
            .refusal(),
        "400 InvalidParameter"
    );
    for call in 0..6 {
        cloud
            .ess("AttachServerGroups", groups(ports(1 + 5 * call, 5)))
            .await
            .ok();
    }
    cloud
        .ess("AttachServerGroups", groups(ports(1, 5)))
        .await
        .ok();
    assert_eq!(
        cloud
            .ess("AttachServerGroups", groups(ports(31, 1)))
            .await
            .refusal(),
        "400 QuotaExceeded.AlbServerGroup"
    );
    cloud
        .ess(
            "AttachServerGroups",
            groups(json!([{"ServerGroupId": "sgp-gwlb", "Type": "GWLB"}])),
        )
        .await
        .ok();
}

#[tokio::test]
async fn an_attachment_keeps_its_weight_when_it_is_attached_again() {
    let cloud = scaling().await;
    cloud
        .ess("AttachServerGroups", groups(json!([alb(Some(50))])))
        .await
        .ok();
    cloud
        .ess("AttachServerGroups", groups(json!([alb(Some(70))])))
        .await
        .ok();
    let attached = seen(&cloud).await["ServerGroups"]["ServerGroup"].clone();
    assert_eq!(
        attached,
        json!([{"ServerGroupId": "sgp-alb", "Type": "ALB", "Port": 80, "Weight": 50}])
    );
}

#[tokio::test]
async fn a_repeated_token_gets_the_same_activity_and_another_call_with_it_is_refused() {
    let cloud = scaling().await;
    let mut attach = groups(json!([alb(Some(50))]));
    attach["ForceAttach"] = json!(true);
    attach["ClientToken"] = json!("token-1");
    let first = cloud.ess("AttachServerGroups", attach.clone()).await.ok();
    cloud
        .simulator
        .world()
        .scaling_groups
        .get_mut("asg-1")
        .unwrap()
        .attachments
        .clear();
    let again = cloud.ess("AttachServerGroups", attach.clone()).await.ok();
    assert_eq!(first["ScalingActivityId"], again["ScalingActivityId"]);
    assert!(
        cloud.simulator.world().scaling_groups["asg-1"]
            .attachments
            .is_empty(),
        "nothing was done"
    );
    attach["ForceAttach"] = json!(false);
    assert_eq!(
        cloud.ess("AttachServerGroups", attach).await.refusal(),
        "400 IDEMPOTENCE_SIGNATURE_MISMATCH"
    );
}

#[tokio::test]
async fn the_older_operation_attaches_alb_groups_that_only_the_older_view_shows() {
    let cloud = scaling().await;
    let row = json!([{"AlbServerGroupId": "sgp-alb", "Port": 80, "Weight": 7}]);
    let call = json!({"ScalingGroupId": "asg-1", "AlbServerGroup": row, "ForceAttach": true});
    assert!(cloud.ess("AttachAlbServerGroups", call).await.ok()["ScalingActivityId"].is_string());
    let group = seen(&cloud).await;
    assert_eq!(group["AlbServerGroups"]["AlbServerGroup"], row);
    assert_eq!(group["ServerGroups"]["ServerGroup"], json!([]));
    cloud
        .ess(
            "AttachServerGroups",
            groups(json!([{"ServerGroupId": "sgp-alb", "Type": "ALB", "Port": 81, "Weight": 7}])),
        )
        .await
        .ok();
    let group = seen(&cloud).await;
    assert_eq!(
        group["AlbServerGroups"]["AlbServerGroup"]
            .as_array()
            .unwrap()
            .len(),
        2,
        "the newer ones are in both"
    );
    assert_eq!(
        group["ServerGroups"]["ServerGroup"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    cloud
        .ess("DetachServerGroups", groups(json!([alb(None)])))
        .await
        .ok();
    let left = seen(&cloud).await["AlbServerGroups"]["AlbServerGroup"].clone();
    assert_eq!(left[0]["Port"], 81, "either operation detaches either");
    let gone = json!({"ScalingGroupId": "asg-1", "AlbServerGroup": [{"AlbServerGroupId": "sgp-gone", "Port": 80}]});
    assert_eq!(
        cloud.ess("DetachAlbServerGroups", gone).await.refusal(),
        "400 AlbServerGroup.NotExist"
    );
}

fn vserver(groups: &Value) -> Value {
    json!({"ScalingGroupId": "asg-1", "VServerGroup": [{"LoadBalancerId": "lb-1", "VServerGroupAttribute": groups}]})
}

#[tokio::test]
async fn vserver_groups_are_attached_without_an_activity_to_follow() {
    let cloud = scaling().await;
    let rows = json!([
        {"VServerGroupId": "rsp-1", "Port": 80, "Weight": 10}, {"VServerGroupId": "rsp-1", "Port": 80, "Weight": 20}, {"VServerGroupId": "rsp-2", "Port": 81},
    ]);
    let mut call = vserver(&rows);
    call["ForceAttach"] = json!(true);
    assert!(
        cloud
            .ess("AttachVServerGroups", call)
            .await
            .ok()
            .get("ScalingActivityId")
            .is_none()
    );
    let attached = seen(&cloud).await["VServerGroups"]["VServerGroup"].clone();
    assert_eq!(
        attached,
        json!([{"LoadBalancerId": "lb-1", "VServerGroupAttributes": {"VServerGroupAttribute": [
            {"VServerGroupId": "rsp-1", "Port": 80, "Weight": 10}, {"VServerGroupId": "rsp-2", "Port": 81, "Weight": 50},
        ]}}]),
        "of duplicates the first wins, and the default weight is 50"
    );
    cloud.pass(4.0);
    assert_eq!(
        cloud.simulator.world().serving("rsp-1"),
        2,
        "CLB takes them at once"
    );
    let mut detach = vserver(
        &json!([{"VServerGroupId": "rsp-1", "Port": 80}, {"VServerGroupId": "rsp-1", "Port": 99}]),
    );
    detach["ForceDetach"] = json!(true);
    cloud.ess("DetachVServerGroups", detach).await.ok();
    cloud.pass(4.0);
    let world = cloud.simulator.world();
    assert_eq!((world.serving("rsp-1"), world.serving("rsp-2")), (0, 2));
}

#[tokio::test]
async fn vserver_groups_are_those_of_the_load_balancer_that_is_named() {
    let cloud = scaling().await;
    cloud
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-other")
        .load_balancer = "lb-other".into();
    let other = vserver(&json!([{"VServerGroupId": "rsp-other", "Port": 80}]));
    assert_eq!(
        cloud.ess("AttachVServerGroups", other).await.refusal(),
        "400 InvalidVServerGroupId.ForLoadBalancer"
    );
    let mut unknown = vserver(&json!([{"VServerGroupId": "rsp-1", "Port": 80}]));
    unknown["VServerGroup"][0]["LoadBalancerId"] = json!("lb-0");
    assert_eq!(
        cloud.ess("AttachVServerGroups", unknown).await.refusal(),
        "404 InvalidLoadBalancerId.NotFound"
    );
    cloud
        .simulator
        .world()
        .attach("asg-1", "CLB", "rsp-1", Some(80), Some(50));
    cloud.simulator.world().create_load_balancer("lb-2");
    let mut elsewhere = vserver(&json!([{"VServerGroupId": "rsp-1", "Port": 80}]));
    elsewhere["VServerGroup"][0]["LoadBalancerId"] = json!("lb-2");
    cloud.ess("DetachVServerGroups", elsewhere).await.ok();
    assert_eq!(
        cloud.simulator.world().scaling_groups["asg-1"]
            .attachments
            .len(),
        1,
        "that triple is not attached"
    );
    let six: Value = (0..6).map(|number| json!({"LoadBalancerId": format!("lb-{number}"), "VServerGroupAttribute": [{"VServerGroupId": "rsp-1", "Port": 80}]})).collect();
    let many = json!({"ScalingGroupId": "asg-1", "VServerGroup": six});
    assert_eq!(
        cloud.ess("AttachVServerGroups", many).await.refusal(),
        "400 InvalidParameter"
    );
}

#[tokio::test]
async fn default_groups_are_attached_with_an_activity_when_asked_asynchronously() {
    let cloud = scaling().await;
    let call = json!({
        "ScalingGroupId": "asg-1", "LoadBalancer": ["lb-1"], "ForceAttach": true, "Async": true,
        "LoadBalancerConfig": [{"LoadBalancerId": "lb-1", "Weight": 30}],
    });
    assert!(cloud.ess("AttachLoadBalancers", call).await.ok()["ScalingActivityId"].is_string());
    let group = seen(&cloud).await;
    assert_eq!(group["LoadBalancerIds"]["LoadBalancerId"], json!(["lb-1"]));
    assert_eq!(
        group["LoadBalancerConfigs"]["LoadBalancerConfig"],
        json!([{"LoadBalancerId": "lb-1", "Weight": 30}])
    );
    cloud.pass(4.0);
    assert_eq!(cloud.simulator.world().serving("lb-1"), 2);
    let detach = json!({"ScalingGroupId": "asg-1", "LoadBalancer": ["lb-1"], "ForceDetach": true});
    assert!(
        cloud
            .ess("DetachLoadBalancers", detach.clone())
            .await
            .ok()
            .get("ScalingActivityId")
            .is_none()
    );
    cloud.pass(4.0);
    assert_eq!(cloud.simulator.world().serving("lb-1"), 0);
    let again = cloud.ess("DetachLoadBalancers", detach).await;
    assert_eq!(
        again.refusal(),
        "404 InvalidLoadBalancerId.NotFound",
        "it is not attached"
    );
}

#[tokio::test]
async fn default_groups_are_attached_and_detached_with_or_without_a_region() {
    let cloud = scaling().await;
    let call = json!({"ScalingGroupId": "asg-1", "LoadBalancer": ["lb-1"]});
    for action in ["AttachLoadBalancers", "DetachLoadBalancers"] {
        cloud.call(ESS, action, call.clone()).await.ok();
    }
    cloud.ess("AttachLoadBalancers", call.clone()).await.ok();
    cloud.ess("DetachLoadBalancers", call).await.ok();
    let elsewhere = cloud.call(ESS, "DetachServerGroups", groups(json!([alb(None)])));
    assert_eq!(elsewhere.await.refusal(), "400 MissingParameter");
}

#[tokio::test]
async fn a_load_balancer_has_to_run_and_to_check_health() {
    let cloud = scaling().await;
    let attach = json!({"ScalingGroupId": "asg-1", "LoadBalancer": ["lb-1"]});
    let set = |status: &str, checks: bool| {
        let mut world = cloud.simulator.world();
        let balancer = world.load_balancers.get_mut("lb-1").unwrap();
        status.clone_into(&mut balancer.status);
        balancer.checks_health = checks;
    };
    set("inactive", true);
    assert_eq!(
        cloud
            .ess("AttachLoadBalancers", attach.clone())
            .await
            .refusal(),
        "400 IncorrectLoadBalancerStatus"
    );
    set("active", false);
    assert_eq!(
        cloud
            .ess("AttachLoadBalancers", attach.clone())
            .await
            .refusal(),
        "400 IncorrectLoadBalancerHealthCheck"
    );
    set("active", true);
    cloud.ess("AttachLoadBalancers", attach).await.ok();
}

#[tokio::test]
async fn a_deleted_server_group_is_forgotten_after_a_while() {
    let cloud = scaling().await;
    cloud
        .ess("AttachServerGroups", groups(json!([alb(Some(50))])))
        .await
        .ok();
    cloud.simulator.world().delete_group("sgp-alb");
    cloud.pass(59.0);
    assert_eq!(
        seen(&cloud).await["ServerGroups"]["ServerGroup"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    cloud.pass(1.0);
    assert!(
        seen(&cloud).await["ServerGroups"]["ServerGroup"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn instances_are_found_by_group_by_id_and_by_state() {
    let cloud = scaling().await;
    {
        let mut world = cloud.simulator.world();
        world.create_scaling_group("asg-2", ["i-3".into()]);
        let group = world.scaling_groups.get_mut("asg-1").unwrap();
        group.states.insert("i-2".into(), "Removing".into());
    }
    for (params, expected) in [
        (json!({"ScalingGroupId": "asg-1"}), vec!["i-1", "i-2"]),
        (json!({"InstanceId": ["i-3", "i-absent"]}), vec!["i-3"]),
        (json!({"LifecycleState": "InService"}), vec!["i-1", "i-3"]),
        (json!({"PageSize": 1, "PageNumber": 2}), vec!["i-2"]),
    ] {
        let listed = cloud.ess("DescribeScalingInstances", params).await.ok();
        let rows = listed["ScalingInstances"]["ScalingInstance"]
            .as_array()
            .unwrap();
        let ids: Vec<_> = rows
            .iter()
            .map(|row| row["InstanceId"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected);
    }
    for (action, most) in [
        ("DescribeScalingGroups", 50),
        ("DescribeScalingInstances", 100),
    ] {
        cloud.ess(action, json!({"PageSize": most})).await.ok();
        assert_eq!(
            cloud
                .ess(action, json!({"PageSize": most + 1}))
                .await
                .refusal(),
            "400 InvalidParameter"
        );
    }
    let limits = cloud.ess("DescribeLimitation", json!({})).await.ok();
    assert_eq!(limits["MaxNumberOfAlbServerGroup"], 30);
}

#[tokio::test]
async fn a_stopped_instance_leaves_what_its_group_feeds() {
    let cloud = scaling().await;
    {
        let mut world = cloud.simulator.world();
        world.attach("asg-1", "ALB", "sgp-alb", Some(80), Some(50));
        world.put_member("sgp-alb", "i-1", "", 80, 50);
        world.stop_instance("asg-1", "i-1");
    }
    assert_eq!(cloud.states(ALB, "sgp-alb").await, ["i-1 Removing"]);
    cloud.pass(1.0);
    assert!(cloud.states(ALB, "sgp-alb").await.is_empty());
    assert!(
        !cloud.simulator.world().scaling_groups["asg-1"]
            .instances
            .contains("i-1")
    );
}
