//! Health of the servers behind a listener. Listeners are named after the group that they send everything to.

use serde_json::{Value, json};
use server_group_sim::world::{Product, World};

use crate::cloud::{ALB, Cloud, GWLB, NLB, servers};

const HEALTH: &str = "GetListenerHealthStatus";
const PRODUCTS: [(&str, Product, u16); 3] = [
    (ALB, Product::Alb, 80),
    (NLB, Product::Nlb, 80),
    (GWLB, Product::Gwlb, 6081),
];

fn fill(world: &mut World, product: Product, port: u16) {
    world.create_group(product, "sgp-1").drain_seconds = 60.0;
    for id in ["i-1", "i-2"] {
        world.put_member("sgp-1", id, "", port, 100);
    }
}

/// The one group of a listener.
async fn info(cloud: &Cloud, version: &str, mut params: Value) -> Value {
    params["ListenerId"] = json!("lsn-sgp-1");
    let mut health = cloud.call(version, HEALTH, params).await.ok();
    let mut listener = health["ListenerHealthStatus"][0].take();
    assert_eq!(listener["ListenerId"], "lsn-sgp-1");
    assert_eq!(listener["ServerGroupInfos"].as_array().unwrap().len(), 1);
    listener["ServerGroupInfos"][0].take()
}

/// Servers with their health.
fn told(rows: &Value) -> Vec<String> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| {
        let text = |name: &str| row[name].as_str().unwrap();
        format!("{} {}", text("ServerId"), text("Status"))
    })
    .collect()
}

#[tokio::test]
async fn gwlb_tells_of_every_server_and_the_others_of_those_that_are_not_normal() {
    for (version, product, port) in PRODUCTS {
        let cloud = Cloud::with(|world| fill(world, product, port)).await;
        let port = (product != Product::Gwlb).then_some(port);
        let change = |id: &str| json!({"ServerGroupId": "sgp-1", "Servers": servers([id], port)});
        let (list, normal) = match product {
            Product::Gwlb => ("Servers", vec!["i-1 Healthy", "i-2 Healthy"]),
            _ => ("NonNormalServers", vec![]),
        };
        let seen = async || told(&info(&cloud, version, json!({})).await[list]);
        assert_eq!(seen().await, normal);
        let add = cloud.call(version, "AddServersToServerGroup", change("i-3"));
        add.await.ok();
        assert!(seen().await.contains(&"i-3 Initial".into()));
        cloud.pass(2.0);
        assert_eq!(seen().await.len(), normal.len() * 3 / 2);
        let remove = cloud.call(version, "RemoveServersFromServerGroup", change("i-3"));
        remove.await.ok();
        cloud.pass(1.0);
        assert!(seen().await.contains(&"i-3 Unused".into()), "it drains");
        cloud.pass(60.0);
        assert_eq!(seen().await, normal);
    }
}

#[tokio::test]
async fn a_server_of_weight_zero_is_unused() {
    for (version, product, port) in &PRODUCTS[..2] {
        let cloud = Cloud::with(|world| {
            fill(world, *product, *port);
            world.put_member("sgp-1", "i-1", "", *port, 0);
        })
        .await;
        let info = info(&cloud, version, json!({})).await;
        assert_eq!(told(&info["NonNormalServers"]), ["i-1 Unused"]);
    }
}

#[tokio::test]
async fn each_product_says_in_its_own_way_that_health_is_checked() {
    for ((version, product, port), (name, value)) in PRODUCTS.into_iter().zip([
        ("HealthCheckEnabled", json!("on")),
        ("HeathCheckEnabled", json!(true)),
        ("HealthCheckEnabled", json!(true)),
    ]) {
        let cloud = Cloud::with(|world| fill(world, product, port)).await;
        let info = info(&cloud, version, json!({})).await;
        assert_eq!(info[name], value, "{version}");
        assert_eq!(info["ServerGroupId"], "sgp-1");
    }
}

#[tokio::test]
async fn a_listener_is_that_of_a_group_of_its_product() {
    for ((version, product, port), code) in PRODUCTS.into_iter().zip([
        "404 ResourceNotFound.Listener",
        "404 ResourceNotFound.listener",
        "404 ResourceNotFound.Listener",
    ]) {
        let cloud = Cloud::with(|world| {
            fill(world, product, port);
            world.create_group(Product::Clb, "rsp-1");
        })
        .await;
        for id in ["sgp-1", "lsn-sgp-2", "lsn-rsp-1", "lsn-sgp-1@80@x"] {
            let params = json!({"ListenerId": id});
            let answer = cloud.call(version, HEALTH, params).await;
            assert_eq!(answer.refusal(), code, "{id}");
        }
    }
    let cloud = Cloud::with(|world| fill(world, Product::Nlb, 80)).await;
    let params = json!({"RegionId": "cn-hangzhou", "ListenerId": "lsn-sgp-1@443"});
    let health = cloud.nlb(HEALTH, params).await.ok();
    assert_eq!(health["ListenerHealthStatus"][0]["ListenerPort"], 443);
}

#[tokio::test]
async fn servers_of_gwlb_are_filtered_by_every_filter_that_is_given() {
    let cloud = Cloud::with(|world| fill(world, Product::Gwlb, 6081)).await;
    let filter = |name: &str, values: &[&str]| json!({"Name": name, "Values": values});
    let found = async |filters: Value| {
        told(&info(&cloud, GWLB, json!({"Filter": filters})).await["Servers"])
    };
    let healthy = filter("Status", &["Initial", "Healthy"]);
    assert_eq!(found(json!([healthy])).await.len(), 2);
    let one = filter("ServerId", &["i-2", "i-3"]);
    assert_eq!(found(json!([healthy, one])).await, ["i-2 Healthy"]);
    let timeout = filter("ReasonCode", &["CONNECT_TIMEOUT"]);
    assert!(found(json!([timeout])).await.is_empty());
    let elsewhere = filter("ServerIp", &["192.0.2.1"]);
    assert!(found(json!([elsewhere])).await.is_empty());
    let many: Value = (0..21).map(|_| healthy.clone()).collect();
    let values: Vec<_> = (0..21).map(|number| number.to_string()).collect();
    for wrong in [
        many,
        json!([filter("Weight", &["1"])]),
        json!([{"Name": "ServerId", "Values": values}]),
    ] {
        let params = json!({"ListenerId": "lsn-sgp-1", "Filter": wrong});
        let answer = cloud.gwlb(HEALTH, params).await;
        assert_eq!(answer.refusal(), "400 InvalidParameter");
    }
}

#[tokio::test]
async fn pages_and_rules_are_asked_for_where_there_are_any() {
    for ((version, product, port), most) in PRODUCTS.into_iter().zip([Some(30), None, Some(1000)]) {
        let cloud = Cloud::with(|world| fill(world, product, port)).await;
        let refused = async |name: &str, value: Value| {
            let params = json!({"ListenerId": "lsn-sgp-1", name: value});
            cloud.call(version, HEALTH, params).await.refusal()
        };
        let Some(most) = most else {
            info(&cloud, version, json!({"MaxResults": 1})).await;
            assert_eq!(cloud.notes(), "This action has no parameter MaxResults.");
            continue;
        };
        info(&cloud, version, json!({"MaxResults": most})).await;
        for (name, value) in [
            ("MaxResults", json!(most + 1)),
            ("NextToken", json!("invented")),
        ] {
            assert_eq!(refused(name, value).await, "400 InvalidParameter");
        }
    }
    let cloud = Cloud::with(|world| fill(world, Product::Alb, 80)).await;
    let rules = json!({"ListenerId": "lsn-sgp-1", "IncludeRule": true});
    let health = cloud.alb(HEALTH, rules).await.ok();
    assert_eq!(health["RuleHealthStatus"], json!([]));
}
