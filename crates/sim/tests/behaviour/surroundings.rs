//! What only answers: listeners, tags, load balancers of NLB, attributes of groups.

use serde_json::json;
use server_group_sim::world::Product;

use crate::cloud::{ALB, Cloud, GWLB, NLB};

#[tokio::test]
async fn a_listener_of_a_classic_load_balancer_is_created_started_and_listed() {
    let cloud = Cloud::with(|world| world.create_load_balancer("lb-1").listeners.clear()).await;
    let create = json!({
        "LoadBalancerId": "lb-1", "ListenerPort": 80, "Bandwidth": -1, "Scheduler": "rr", "VServerGroupId": "rsp-1",
        "HealthCheckType": "tcp",
    });
    let tcp = "CreateLoadBalancerTCPListener";
    cloud.slb(tcp, create.clone()).await.ok();
    assert_eq!(
        cloud.slb(tcp, create).await.refusal(),
        "400 ListenerAlreadyExists"
    );
    let list = json!({"LoadBalancerId": ["lb-1"], "ListenerProtocol": "tcp"});
    let describe = "DescribeLoadBalancerListeners";
    let listed = cloud.slb(describe, list.clone()).await.ok();
    assert_eq!(
        listed["Listeners"],
        json!([{
            "LoadBalancerId": "lb-1", "ListenerPort": 80, "ListenerProtocol": "tcp", "Status": "stopped", "Bandwidth": -1,
            "Scheduler": "rr", "VServerGroupId": "rsp-1", "TCPListenerConfig": {"HealthCheckType": "tcp"},
        }])
    );
    let start = json!({"LoadBalancerId": "lb-1", "ListenerPort": 80, "ListenerProtocol": "tcp"});
    cloud.slb("StartLoadBalancerListener", start).await.ok();
    let listed = cloud.slb(describe, list).await.ok();
    assert_eq!(listed["Listeners"][0]["Status"], "running");
    let balancer = json!({"LoadBalancerId": "lb-1"});
    let balancer = cloud
        .slb("DescribeLoadBalancerAttribute", balancer)
        .await
        .ok();
    assert_eq!(
        balancer["ListenerPortsAndProtocol"]["ListenerPortAndProtocol"],
        json!([{"ListenerPort": 80, "ListenerProtocol": "tcp"}])
    );
    let absent = json!({"LoadBalancerId": "lb-1", "ListenerPort": 81});
    let absent = cloud.slb("StartLoadBalancerListener", absent).await;
    assert_eq!(absent.refusal(), "404 InvalidParameter");
}

#[tokio::test]
async fn a_listener_that_a_load_balancer_was_made_with_is_listed_too() {
    let cloud = Cloud::with(|world| _ = world.create_load_balancer("lb-1")).await;
    let listed = cloud
        .slb("DescribeLoadBalancerListeners", json!({}))
        .await
        .ok();
    assert_eq!(listed["TotalCount"], 1);
    assert_eq!(listed["Listeners"][0]["Status"], "running");
}

#[tokio::test]
async fn a_listener_of_nlb_is_created_by_a_job_and_listed() {
    let cloud = Cloud::with(|world| {
        world.create_group(Product::Nlb, "sgp-1");
        world.put_member("sgp-1", "i-1", "", 80, 0);
    })
    .await;
    let create = json!({
        "LoadBalancerId": "nlb-1", "ListenerPort": 80, "ListenerProtocol": "TCP", "ServerGroupId": "sgp-1",
        "ListenerDescription": "1", "ProxyProtocolEnabled": "True",
    });
    let made = cloud.nlb("CreateListener", create.clone()).await.ok();
    let job = json!({"JobId": made["JobId"]});
    let job = cloud.nlb("GetJobStatus", job).await.ok();
    assert_eq!(job["Status"], "Succeeded");
    let again = cloud.nlb("CreateListener", create).await;
    assert_eq!(again.refusal(), "400 ResourceAlreadyExist.Listener");
    for (asked, count) in [
        (json!({"LoadBalancerIds": ["nlb-1"]}), 1),
        (json!({"LoadBalancerIds": ["nlb-2"]}), 0),
        (
            json!({"ListenerIds": [made["ListenerId"]], "ListenerProtocol": "TCP"}),
            1,
        ),
    ] {
        let listed = cloud.nlb("ListListeners", asked).await.ok();
        assert_eq!(listed["TotalCount"], count);
        if count > 0 {
            let row = &listed["Listeners"][0];
            assert_eq!(
                (&row["ListenerPort"], &row["ListenerDescription"]),
                (&json!(80), &json!("1"))
            );
            assert_eq!(
                (&row["ListenerStatus"], &row["ProxyProtocolEnabled"]),
                (&json!("Running"), &json!(true))
            );
        }
    }
    let health = json!({"ListenerId": made["ListenerId"]});
    let health = cloud.nlb("GetListenerHealthStatus", health).await.ok();
    let group = &health["ListenerHealthStatus"][0]["ServerGroupInfos"][0];
    assert_eq!(group["ServerGroupId"], "sgp-1");
}

#[tokio::test]
async fn a_load_balancer_of_nlb_exists_if_its_id_looks_like_one() {
    let cloud = Cloud::new().await;
    let of = async |id: &str| {
        let call = json!({"LoadBalancerId": id});
        cloud.nlb("GetLoadBalancerAttribute", call).await
    };
    let seen = of("nlb-1").await.ok();
    assert_eq!(seen["LoadBalancerStatus"], "Active");
    assert!(seen["DNSName"].as_str().unwrap().starts_with("nlb-1."));
    assert_eq!(
        of("lb-1").await.refusal(),
        "404 ResourceNotFound.loadBalancer"
    );
}

#[tokio::test]
async fn tags_are_kept_for_each_product_and_come_back() {
    let cloud = Cloud::new().await;
    let tags = json!([{"Key": "owner", "Value": "shop"}, {"Key": "bare"}]);
    let call = json!({"ResourceType": "instance", "ResourceId": ["lb-1"], "Tag": tags});
    cloud.slb("TagResources", call).await.ok();
    let call = json!({"ResourceType": "loadbalancer", "ResourceId": ["nlb-1"], "Tag": [{"Key": "a", "Value": "b"}]});
    cloud.nlb("TagResources", call).await.ok();
    let list = json!({"ResourceType": "instance", "ResourceId": ["lb-1", "nlb-1"]});
    let listed = cloud.slb("ListTagResources", list).await.ok();
    let row = |key: &str, value: &str| json!({"ResourceId": "lb-1", "ResourceType": "instance", "TagKey": key, "TagValue": value});
    assert_eq!(
        listed["TagResources"]["TagResource"],
        json!([row("bare", ""), row("owner", "shop")])
    );
    let list = json!({"ResourceType": "loadbalancer"});
    let listed = cloud.nlb("ListTagResources", list).await.ok();
    assert_eq!(listed["TagResources"][0]["TagKey"], "a");
}

#[tokio::test]
async fn name_and_health_check_of_a_group_are_stored_and_come_back() {
    for (version, product, check, job) in [
        (ALB, Product::Alb, "HealthCheckConfig", true),
        (NLB, Product::Nlb, "HealthCheck", true),
        (GWLB, Product::Gwlb, "HealthCheckConfig", false),
    ] {
        let cloud = Cloud::with(|world| _ = world.create_group(product, "sgp-1")).await;
        let config = json!({
            "HealthCheckEnabled": true, "HealthCheckConnectPort": 0, "HealthCheckHttpCode": ["http_2xx", "http_3xx"],
        });
        let call = json!({"ServerGroupId": "sgp-1", "ServerGroupName": "shop", "HealthCheckConfig": config});
        let update = "UpdateServerGroupAttribute";
        let answer = cloud.call(version, update, call).await.ok();
        assert_eq!(cloud.notes(), "");
        assert_eq!(answer["JobId"].is_string(), job);
        let list = cloud
            .call(version, "ListServerGroups", json!({}))
            .await
            .ok();
        let row = &list["ServerGroups"][0];
        assert_eq!(
            (&row["ServerGroupName"], &row[check]),
            (&json!("shop"), &config)
        );
        let call = json!({"ServerGroupId": "sgp-1", "Scheduler": "Wlc"});
        cloud.call(version, update, call).await.ok();
        assert_eq!(
            cloud.notes(),
            "This action has no parameter Scheduler.",
            "it is not kept"
        );
    }
}
