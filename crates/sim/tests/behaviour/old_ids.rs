//! Ids from before 2017, which do not tell what they are of.

use serde_json::{Value, json};
use server_group_sim::world::Product;

use crate::cloud::{Cloud, ECS};

const INSTANCE: &str = "AY140700000000000000";
const BALANCER: &str = "15200000001-cn-hangzhou-dg-a01";
const SCALING_GROUP: &str = "AG6Cxxxxxxxxxxxxxxx0000";

#[tokio::test]
async fn an_old_instance_is_a_member_of_every_product() {
    for product in [Product::Alb, Product::Nlb, Product::Gwlb] {
        let cloud = Cloud::with(|world| _ = world.create_group(product, "sgp-1")).await;
        let port = (product != Product::Gwlb).then_some(80);
        let server = json!([{"ServerId": INSTANCE, "ServerType": "Ecs", "Port": port}]);
        let call = json!({"ServerGroupId": "sgp-1", "Servers": server});
        let version = match product {
            Product::Alb => crate::cloud::ALB,
            Product::Nlb => crate::cloud::NLB,
            _ => crate::cloud::GWLB,
        };
        cloud
            .call(version, "AddServersToServerGroup", call)
            .await
            .ok();
        cloud.pass(2.0);
        let list = json!({"ServerGroupId": "sgp-1"});
        let list = cloud
            .call(version, "ListServerGroupServers", list)
            .await
            .ok();
        let row = &list["Servers"][0];
        assert_eq!(
            (&row["ServerId"], &row["ServerType"]),
            (&json!(INSTANCE), &json!("Ecs"))
        );
    }
    let cloud = Cloud::with(|world| _ = world.create_group(Product::Clb, "rsp-1")).await;
    let rows = json!([{"ServerId": INSTANCE, "Port": 80}]).to_string();
    let call = json!({"VServerGroupId": "rsp-1", "BackendServers": rows});
    let listed = cloud.slb("AddVServerGroupBackendServers", call).await.ok();
    assert_eq!(listed["BackendServers"]["BackendServer"][0]["Type"], "ecs");
    let asked = json!({"RegionId": "cn-hangzhou", "InstanceIds": json!([INSTANCE]).to_string()});
    let found = cloud.call(ECS, "DescribeInstances", asked).await.ok();
    assert_eq!(found["TotalCount"], 1);
}

#[tokio::test]
async fn an_old_load_balancer_is_attached_to_an_old_scaling_group() {
    let cloud = Cloud::with(|world| {
        world.create_load_balancer(BALANCER);
        world.create_group(Product::Clb, "rsp-1").load_balancer = BALANCER.into();
        world.create_scaling_group(SCALING_GROUP, [INSTANCE.to_owned()]);
    })
    .await;
    let group = json!([{"LoadBalancerId": BALANCER, "VServerGroupAttribute": [{"VServerGroupId": "rsp-1", "Port": 80}]}]);
    for (action, name, what) in [
        ("AttachVServerGroups", "VServerGroup", group),
        ("AttachLoadBalancers", "LoadBalancer", json!([BALANCER])),
    ] {
        let mut call = json!({"ScalingGroupId": SCALING_GROUP, "ForceAttach": true});
        call[name] = what;
        cloud.ess(action, call).await.ok();
        cloud.pass(4.0);
    }
    for group in ["rsp-1", BALANCER] {
        assert_eq!(cloud.simulator.world().serving(group), 1, "{group}");
    }
    let asked = json!({"ScalingGroupId": [SCALING_GROUP]});
    let found = cloud.ess("DescribeScalingGroups", asked).await.ok();
    let group: &Value = &found["ScalingGroups"]["ScalingGroup"][0];
    assert_eq!(
        group["LoadBalancerIds"]["LoadBalancerId"],
        json!([BALANCER])
    );
    let balancer = json!({"LoadBalancerId": BALANCER});
    let balancer = cloud
        .slb("DescribeLoadBalancerAttribute", balancer)
        .await
        .ok();
    let rows = &balancer["BackendServers"]["BackendServer"];
    assert_eq!(rows[0]["ServerId"], INSTANCE);
}
