//! What scripts do by HTTP.

use serde_json::{Value, json};

use crate::{
    client::{Answer, exchange},
    cloud::{Cloud, servers},
};

pub(crate) async fn deeds(cloud: &Cloud, deeds: Value) -> Answer {
    let body = deeds.to_string();
    let wire = format!(
        "POST /_sim/do HTTP/1.1\r\nhost: sim\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    exchange(cloud.host, &wire).await.unwrap()
}

async fn get(cloud: &Cloud, path: &str) -> String {
    let wire = format!("GET {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n");
    exchange(cloud.host, &wire).await.unwrap().text
}

#[tokio::test]
async fn everything_can_be_made_and_changed_by_deeds() {
    let cloud = Cloud::new().await;
    let all = json!([
        {"createGroup": {"product": "GWLB", "id": "sgp-1", "drainSeconds": 8, "members": [{"id": "i-1"}]}},
        {"createGroup": {"product": "ALB", "id": "sgp-ip", "type": "Ip"}},
        {"createLoadBalancer": {"id": "lb-1", "address": "10.9.9.9", "listeners": [], "members": [{"id": "i-1", "weight": 50}]}},
        {"createInterface": {"id": "eni-1", "addresses": ["10.0.0.7"]}},
        {"createGroup": {"product": "NLB", "id": "sgp-named", "name": "shop", "healthCheck": {"HealthCheckEnabled": true}}},
        {"setGroup": {"id": "sgp-named", "busy": "Conflict.Lock"}},
        {"backendsPerCall": 40},
        {"setLoadBalancer": {"id": "lb-1", "status": "locked"}},
        {"createGroup": {"product": "CLB", "id": "rsp-1", "loadBalancer": "lb-1"}},
        {"setGroup": {"id": "sgp-1", "status": "Configuring", "quota": 5}},
        {"putMembers": {"group": "rsp-1", "members": [{"id": "i-1", "port": 80}, {"id": "i-2", "port": 80, "weight": 0}]}},
        {"deleteMembers": {"group": "rsp-1", "ids": ["i-2"]}},
        {"createScalingGroup": {"id": "asg-1", "instances": ["i-1"], "attached": [{"type": "GWLB", "group": "sgp-1"}]}},
        {"setScalingGroup": {"id": "asg-1", "suspended": true}},
        {"startInstance": {"scalingGroup": "asg-1", "id": "i-2"}},
        {"stopInstance": {"scalingGroup": "asg-1", "id": "i-1"}},
        {"detach": {"scalingGroup": "asg-1", "group": "sgp-1"}},
        {"servers": {"bad": ["i-bad"], "clinging": ["i-1"], "failing": ["i-3"]}},
        {"badServers": {"ids": ["i-worse"]}},
        {"deny": {"actions": ["AttachServerGroups"]}},
        {"strict": true},
        {"jobs": {"failing": 1, "endless": 2}},
        {"endings": ["Failed", "Vanished"]},
        {"durations": {"adding": 9.0}},
        {"rates": {"documented": true, "rates": [{"service": "ess", "calls": 1}]}},
        {"clock": {"ahead": 5}},
        {"fault": {"service": "slb", "action": "SetBackendServers", "times": 2, "what": {"late": {"seconds": 5}}}},
        {"fault": {"what": "throttle"}},
        {"deleteGroup": {"id": "sgp-ip"}},
        {"releaseHanging": {}},
        {"pass": {"seconds": 100}},
    ]);
    let answer = deeds(&cloud, all).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "done\n"));
    let world = cloud.simulator.world();
    assert!((world.now - 100.0).abs() < 0.001);
    assert_eq!(
        world.groups["sgp-1"].ids().into_iter().collect::<Vec<_>>(),
        ["i-2"]
    );
    assert_eq!(world.groups["rsp-1"].ids().len(), 1);
    assert_eq!(
        (
            world.serving("lb-1"),
            world.load_balancers["lb-1"].status.as_str()
        ),
        (1, "locked")
    );
    assert_eq!(
        (
            world.bad_servers.len(),
            world.clinging_servers.len(),
            world.failing_servers.len()
        ),
        (2, 1, 1)
    );
    assert_eq!(
        (world.failing_jobs, world.endless_jobs, world.endings.len()),
        (1, 2, 2)
    );
    assert_eq!((world.faults.len(), world.clock_ahead), (2, 5));
    assert!(world.strict && world.backends_max == 40);
    let balancer = &world.load_balancers["lb-1"];
    assert_eq!(balancer.address, "10.9.9.9");
    assert!(balancer.listeners.is_empty() && world.interfaces.contains_key("eni-1"));
    let named = &world.groups["sgp-named"];
    assert_eq!(named.name.as_deref(), Some("shop"));
    assert_eq!(named.busy.as_deref(), Some("Conflict.Lock"));
    assert_eq!(named.health_check["HealthCheckEnabled"], true);
    assert_eq!(
        world.rates[0].calls, 1,
        "what is given comes before what is documented"
    );
    assert!(!world.groups.contains_key("sgp-ip") && world.scaling_groups["asg-1"].suspended);
}

#[tokio::test]
async fn a_deed_that_cannot_be_done_is_told() {
    let cloud = Cloud::new().await;
    let unknown = deeds(
        &cloud,
        json!([{"deleteMembers": {"group": "sgp-0", "ids": []}}]),
    )
    .await;
    assert_eq!(
        (unknown.status, unknown.text.as_str()),
        (400, "there is no sgp-0\n")
    );
    let product = deeds(
        &cloud,
        json!([{"createGroup": {"product": "XLB", "id": "sgp-0"}}]),
    )
    .await;
    assert!(product.text.contains("XLB is no product"));
    let misspelt = deeds(
        &cloud,
        json!([{"createGroup": {"product": "ALB", "id": "sgp-0", "drain": 1}}]),
    )
    .await;
    assert_eq!(misspelt.status, 422, "{}", misspelt.text);
}

#[tokio::test]
async fn people_and_scripts_read_the_log_and_the_groups() {
    let cloud = Cloud::new().await;
    deeds(
        &cloud,
        json!([{"createGroup": {"product": "GWLB", "id": "sgp-1", "drainSeconds": 0}}]),
    )
    .await;
    let add = json!({"ServerGroupId": "sgp-1", "Servers": servers(["i-1", "i-2"], None)});
    cloud.gwlb("AddServersToServerGroup", add).await.ok();
    cloud.pass(2.0);
    let entries: Value = serde_json::from_str(&get(&cloud, "/_sim/audit").await).unwrap();
    assert_eq!(entries[0]["action"], "AddServersToServerGroup");
    assert_eq!(
        entries[1]["serving"],
        json!([{"group": "sgp-1", "before": 0, "after": 2}])
    );
    let later: Value = serde_json::from_str(&get(&cloud, "/_sim/audit?since=1").await).unwrap();
    assert_eq!(later.as_array().unwrap().len(), 1);
    let lines = get(&cloud, "/_sim/audit?text").await;
    assert!(
        lines.contains("gwlb  AddServersToServerGroup sgp-1 [2]"),
        "{lines}"
    );
    assert!(lines.contains("sgp-1 serving 0→2"), "{lines}");
    let groups: Value = serde_json::from_str(&get(&cloud, "/_sim/groups").await).unwrap();
    assert_eq!(groups["groups"]["sgp-1"]["serving"], 2);
    assert_eq!(groups["groups"]["sgp-1"]["status"], "Available");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_ids() {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let cloud = Cloud::new().await;
        let answer = cloud.gwlb("ListServerGroups", json!({})).await.ok();
        answers.push(answer["RequestId"].clone());
    }
    assert_eq!(answers[0], answers[1]);
}
