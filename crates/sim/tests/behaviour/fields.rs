//! What is accepted is stored and comes back: every field of a member, of every product.

use serde_json::{Value, json};
use server_group_sim::world::Product;

use crate::cloud::{ALB, Cloud, GWLB, NLB};

/// Puts `server` into a group of this kind, and lists the group.
async fn stored(version: &str, product: Product, kind: &str, server: &Value) -> Value {
    let cloud =
        Cloud::with(|world| kind.clone_into(&mut world.create_group(product, "sgp-1").kind)).await;
    let call = json!({"ServerGroupId": "sgp-1", "Servers": [server]});
    cloud
        .call(version, "AddServersToServerGroup", call)
        .await
        .ok();
    assert_eq!(cloud.notes(), "");
    cloud.pass(2.0);
    let list = json!({"ServerGroupId": "sgp-1"});
    let list = cloud
        .call(version, "ListServerGroupServers", list)
        .await
        .ok();
    list["Servers"][0].clone()
}

#[track_caller]
fn comes_back(sent: &Value, row: &Value) {
    for (name, value) in sent.as_object().unwrap() {
        assert_eq!(&row[name], value, "{name}");
    }
}

#[tokio::test]
async fn of_alb() {
    for remote in [true, false] {
        let address = json!({
            "ServerId": "172.16.1.5", "ServerType": "Ip", "ServerIp": "172.16.1.5", "Port": 8080, "Weight": 7,
            "Description": "in the old hall", "RemoteIpEnabled": remote,
        });
        comes_back(&address, &stored(ALB, Product::Alb, "Ip", &address).await);
    }
    let interface = json!({
        "ServerId": "eni-1", "ServerType": "Eni", "ServerIp": "10.0.0.9", "Port": 8080, "Weight": 0, "Description": "the first",
    });
    comes_back(
        &interface,
        &stored(ALB, Product::Alb, "Instance", &interface).await,
    );
}

#[tokio::test]
async fn of_nlb() {
    let interface = json!({
        "ServerId": "eni-1", "ServerType": "Eni", "ServerIp": "10.0.0.9", "Port": 8080, "Weight": 7, "Description": "the first",
    });
    comes_back(
        &interface,
        &stored(NLB, Product::Nlb, "Instance", &interface).await,
    );
}

#[tokio::test]
async fn of_gwlb() {
    let interface =
        json!({"ServerId": "eni-1", "ServerType": "Eni", "ServerIp": "10.0.0.9", "Port": 6081});
    comes_back(
        &interface,
        &stored(GWLB, Product::Gwlb, "Instance", &interface).await,
    );
}

#[tokio::test]
async fn of_clb() {
    let cloud = Cloud::with(|world| {
        world.create_load_balancer("lb-1");
        world.create_group(Product::Clb, "rsp-1").load_balancer = "lb-1".into();
    })
    .await;
    let mut interface = json!({
        "ServerId": "eni-1", "Type": "eni", "ServerIp": "10.0.0.9", "Weight": 7, "Description": "the-first",
    });
    let call = json!({"LoadBalancerId": "lb-1", "BackendServers": json!([interface]).to_string()});
    cloud.slb("AddBackendServers", call).await.ok();
    let list = json!({"LoadBalancerId": "lb-1"});
    let list = cloud.slb("DescribeLoadBalancerAttribute", list).await.ok();
    comes_back(&interface, &list["BackendServers"]["BackendServer"][0]);
    interface["Port"] = json!(8080);
    let call = json!({"VServerGroupId": "rsp-1", "BackendServers": json!([interface]).to_string()});
    cloud.slb("AddVServerGroupBackendServers", call).await.ok();
    let named = json!({"VServerGroupId": "rsp-1", "VServerGroupName": "shop"});
    cloud.slb("SetVServerGroupAttribute", named).await.ok();
    let list = json!({"VServerGroupId": "rsp-1"});
    let list = cloud.slb("DescribeVServerGroupAttribute", list).await.ok();
    comes_back(&interface, &list["BackendServers"]["BackendServer"][0]);
    assert_eq!(list["VServerGroupName"], "shop");
    let list = json!({"LoadBalancerId": "lb-1"});
    let list = cloud.slb("DescribeVServerGroups", list).await.ok();
    assert_eq!(
        list["VServerGroups"]["VServerGroup"][0]["VServerGroupName"],
        "shop"
    );
}
