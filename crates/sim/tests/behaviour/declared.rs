//! What is said of groups, load balancers and interfaces when they are made, and what is set for all of them.

use serde_json::json;
use server_group_sim::world::Product;

use crate::cloud::{ALB, Cloud, ECS, GWLB, NLB, backends, ids, servers};

const ADD: &str = "AddServersToServerGroup";
const ADD_BACKENDS: &str = "AddVServerGroupBackendServers";

#[tokio::test]
async fn an_interface_is_found_by_its_addresses_before_it_is_a_member() {
    let cloud = Cloud::with(|world| {
        world.create_interface("eni-1", ["10.0.0.7", "10.0.0.8"].map(String::from));
        world.create_interface("eni-2", ["10.0.0.9".to_owned()]);
        world.create_group(Product::Nlb, "sgp-1");
    })
    .await;
    let asked = json!({"RegionId": "cn-hangzhou", "PrivateIpAddress": ["10.0.0.8", "10.0.0.10"]});
    let found = cloud
        .call(ECS, "DescribeNetworkInterfaces", asked)
        .await
        .ok();
    let rows = &found["NetworkInterfaceSets"]["NetworkInterfaceSet"];
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(rows[0]["NetworkInterfaceId"], "eni-1");
    assert_eq!(rows[0]["PrivateIpAddress"], "10.0.0.7");
    assert_eq!(
        rows[0]["PrivateIpSets"]["PrivateIpSet"],
        json!([
            {"PrivateIpAddress": "10.0.0.7", "Primary": true},
            {"PrivateIpAddress": "10.0.0.8", "Primary": false},
        ])
    );
    // Without an address it joins with its primary one.
    let server = json!([{"ServerId": "eni-2", "ServerType": "Eni", "Port": 80}]);
    let call = json!({"ServerGroupId": "sgp-1", "Servers": server});
    cloud.nlb(ADD, call).await.ok();
    let list = json!({"ServerGroupId": "sgp-1"});
    let list = cloud.nlb("ListServerGroupServers", list).await.ok();
    assert_eq!(list["Servers"][0]["ServerIp"], "10.0.0.9");
}

#[tokio::test]
async fn a_group_has_a_name_and_a_health_check_that_its_list_shows() {
    for (version, product, check) in [
        (ALB, Product::Alb, "HealthCheckConfig"),
        (NLB, Product::Nlb, "HealthCheck"),
        (GWLB, Product::Gwlb, "HealthCheckConfig"),
    ] {
        let cloud = Cloud::with(|world| {
            world.create_group(product, "sgp-1").name = Some("shop".into());
            let plain = world.create_group(product, "sgp-2");
            plain
                .health_check
                .insert("HealthyThreshold".into(), json!(3));
        })
        .await;
        let named = json!({"ServerGroupNames": ["shop"]});
        let list = cloud.call(version, "ListServerGroups", named).await.ok();
        assert_eq!(list["TotalCount"], 1);
        assert_eq!(list["ServerGroups"][0]["ServerGroupId"], "sgp-1");
        assert_eq!(list["ServerGroups"][0]["ServerGroupName"], "shop");
        let plain = json!({"ServerGroupIds": ["sgp-2"]});
        let list = cloud.call(version, "ListServerGroups", plain).await.ok();
        let group = &list["ServerGroups"][0];
        assert_eq!(group["ServerGroupName"], "sgp-2");
        assert_eq!(
            group[check],
            json!({"HealthCheckEnabled": false, "HealthyThreshold": 3})
        );
    }
}

#[tokio::test]
async fn a_load_balancer_has_an_address() {
    let cloud = Cloud::with(|world| {
        world.create_load_balancer("lb-1").address = "10.9.9.9".into();
        world.create_load_balancer("lb-2");
    })
    .await;
    let address = async |id: &str| {
        let call = json!({"LoadBalancerId": id});
        let seen = cloud.slb("DescribeLoadBalancerAttribute", call).await.ok();
        seen["Address"].as_str().unwrap().to_owned()
    };
    assert_eq!(address("lb-1").await, "10.9.9.9");
    assert!(address("lb-2").await.starts_with("10."));
}

#[tokio::test]
async fn as_many_backends_go_into_one_call_as_are_set() {
    let cloud = Cloud::with(|world| {
        world.create_group(Product::Clb, "rsp-1");
        world.backends_max = 40;
    })
    .await;
    let call = |count| json!({"VServerGroupId": "rsp-1", "BackendServers": backends(ids(count), 80, None)});
    let answer = cloud.slb(ADD_BACKENDS, call(41)).await;
    assert_eq!(answer.refusal(), "400 TooManyBackendServers");
    cloud.slb(ADD_BACKENDS, call(40)).await.ok();
}

#[tokio::test]
async fn a_group_that_something_else_holds_refuses_changes_until_it_is_let_go() {
    let cloud = Cloud::with(|world| {
        world.create_group(Product::Clb, "rsp-1").busy = Some("RspoolVipExist".into());
        world.create_group(Product::Nlb, "sgp-1").busy = Some("Conflict.Lock".into());
    })
    .await;
    let clb = json!({"VServerGroupId": "rsp-1", "BackendServers": backends(ids(1), 80, None)});
    let answer = cloud.slb(ADD_BACKENDS, clb.clone()).await;
    assert_eq!(answer.refusal(), "400 RspoolVipExist");
    let nlb = json!({"ServerGroupId": "sgp-1", "Servers": servers(["i-1"], Some(80))});
    let answer = cloud.nlb(ADD, nlb.clone()).await;
    assert_eq!(answer.refusal(), "400 Conflict.Lock");
    // Who only looks is answered.
    let list = json!({"ServerGroupId": "sgp-1"});
    let list = cloud.nlb("ListServerGroupServers", list).await.ok();
    assert_eq!(list["TotalCount"], 0);
    for group in cloud.simulator.world().groups.values_mut() {
        group.busy = None;
    }
    cloud.slb(ADD_BACKENDS, clb).await.ok();
    cloud.nlb(ADD, nlb).await.ok();
}
