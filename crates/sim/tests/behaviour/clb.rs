//! CLB: vServer groups and default groups.

use serde_json::{Value, json};
use server_group_sim::world::{Product, World};

use crate::cloud::{Cloud, backends, ids};

const ADD: &str = "AddVServerGroupBackendServers";
const REMOVE: &str = "RemoveVServerGroupBackendServers";
const SET: &str = "SetVServerGroupAttribute";

async fn web(members: usize) -> Cloud {
    Cloud::with(|world| fill(world, members)).await
}

fn fill(world: &mut World, members: usize) {
    world.create_group(Product::Clb, "rsp-web");
    for id in ids(members) {
        world.put_member("rsp-web", &id, "", 80, 100);
    }
}

fn on_web(backends: impl Into<String>) -> Value {
    json!({"VServerGroupId": "rsp-web", "BackendServers": backends.into()})
}

#[tokio::test]
async fn backends_come_at_once_and_go_at_once() {
    let cloud = web(0).await;
    let added = cloud
        .slb(ADD, on_web(backends(ids(20), 80, None)))
        .await
        .ok();
    let rows = added["BackendServers"]["BackendServer"].as_array().unwrap();
    assert_eq!(rows.len(), 20);
    assert_eq!(rows[0]["Weight"], 100, "the default");
    assert_eq!(rows[0]["Type"], "ecs");
    cloud.pass(1.0);
    let left = cloud
        .slb(REMOVE, on_web(backends(ids(19), 80, None)))
        .await
        .ok();
    assert_eq!(
        left["BackendServers"]["BackendServer"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(cloud.simulator.world().serving("rsp-web"), 1);
}

#[tokio::test]
async fn twenty_backends_go_into_one_call() {
    let cloud = web(30).await;
    for action in [ADD, REMOVE, SET] {
        let answer = cloud.slb(action, on_web(backends(ids(21), 80, None))).await;
        assert_eq!(answer.refusal(), "400 TooManyBackendServers", "{action}");
    }
    assert_eq!(cloud.simulator.world().serving("rsp-web"), 30);
}

#[tokio::test]
async fn absent_backends_are_ignored_by_a_removal() {
    let cloud = web(2).await;
    let three = backends(ids(3), 80, None);
    cloud.slb(REMOVE, on_web(three.clone())).await.ok();
    cloud.slb(REMOVE, on_web(three)).await.ok();
    assert_eq!(cloud.simulator.world().serving("rsp-web"), 0);
}

#[tokio::test]
async fn a_removal_too_soon_after_an_addition_finds_the_group_busy() {
    let cloud = web(0).await;
    cloud
        .slb(ADD, on_web(backends(ids(1), 80, None)))
        .await
        .ok();
    cloud.pass(0.9);
    let soon = cloud.slb(REMOVE, on_web(backends(ids(1), 80, None))).await;
    assert_eq!(soon.refusal(), "400 VServerGroupProcessing");
    cloud
        .slb(ADD, on_web(backends(["i-9"], 80, None)))
        .await
        .ok();
    cloud.pass(1.0);
    cloud
        .slb(REMOVE, on_web(backends(ids(1), 80, None)))
        .await
        .ok();
}

#[tokio::test]
async fn one_bad_backend_stops_the_whole_call() {
    let cloud = web(1).await;
    cloud.simulator.world().bad_servers.insert("i-0003".into());
    let bad = cloud
        .slb(ADD, on_web(backends(ids(9).skip(1), 80, None)))
        .await;
    assert_eq!(bad.refusal(), "400 ObtainIpFail");
    let twice = cloud.slb(ADD, on_web(backends(ids(2), 80, None))).await;
    assert_eq!(twice.refusal(), "400 InvalidBackendServers.Exists");
    cloud
        .simulator
        .world()
        .clinging_servers
        .insert("i-0000".into());
    let clings = cloud.slb(REMOVE, on_web(backends(ids(1), 80, None))).await;
    assert_eq!(clings.refusal(), "409 BackendServer.configuring");
    assert_eq!(cloud.simulator.world().serving("rsp-web"), 1);
}

#[tokio::test]
async fn weights_are_set_in_place_and_nothing_joins_or_leaves_by_that() {
    let cloud = web(2).await;
    cloud
        .slb(SET, on_web(backends(ids(1), 80, Some(0))))
        .await
        .ok();
    assert_eq!(cloud.simulator.world().serving("rsp-web"), 1);
    cloud
        .slb(SET, on_web(backends(ids(1), 80, None)))
        .await
        .ok();
    assert_eq!(
        cloud.simulator.world().serving("rsp-web"),
        1,
        "an absent weight changes nothing"
    );
    let stranger = cloud
        .slb(SET, on_web(backends(["i-0001", "i-9"], 80, Some(1))))
        .await;
    assert_eq!(stranger.refusal(), "400 InvalidBackendServers.NotExist");
    let heavy = cloud
        .slb(SET, on_web(backends(ids(1), 80, Some(101))))
        .await;
    assert_eq!(heavy.refusal(), "400 InvalidWeight.Malformed");
    let named = json!({"VServerGroupId": "rsp-web", "VServerGroupName": "web"});
    cloud.slb(SET, named).await.ok();
}

#[tokio::test]
async fn a_deleted_group_is_told_by_code_and_message() {
    let cloud = web(1).await;
    cloud.simulator.world().delete_group("rsp-web");
    for (action, params) in [
        (
            "DescribeVServerGroupAttribute",
            json!({"VServerGroupId": "rsp-web"}),
        ),
        (ADD, on_web(backends(ids(1), 80, None))),
        (REMOVE, on_web(backends(ids(1), 80, None))),
        (SET, on_web(backends(ids(1), 80, None))),
    ] {
        let answer = cloud.slb(action, params).await;
        assert_eq!(
            answer.body()["Message"],
            "The specified VServerGroupId does not exist."
        );
        assert_eq!(answer.refusal(), "404 InvalidParameter");
    }
}

#[tokio::test]
async fn other_parameters_that_are_wrong_have_the_same_code_and_another_message() {
    let cloud = web(1).await;
    for rows in [
        "{}",
        r#"[{"ServerId":"i-1"}]"#,
        r#"[{"ServerId":"i-1","Port":0}]"#,
        r#"[{'ServerId':"i-1",'Port':80}]"#,
        r#"[{"ServerId":"eni-1","Type":"ecs","Port":80}]"#,
    ] {
        let answer = cloud.slb(ADD, on_web(rows)).await;
        assert_eq!(answer.refusal(), "400 BackendServersMalformed", "{rows}");
    }
}

#[tokio::test]
async fn what_the_documentation_does_not_know_is_passed_over_and_noted() {
    let rows = |rows: &str| on_web(rows);
    let token = json!({"VServerGroupId": "rsp-web", "BackendServers": backends(ids(1), 80, None), "ClientToken": "t"});
    for (call, note) in [
        (
            rows(r#"[{"ServerId":"i-1","Port":80,"nodeName":"n1","Wait":1}]"#),
            "A backend server has no key NodeName. A backend server has no key Wait.",
        ),
        (
            rows("[{'ServerId':'i-1','Port':'80'}]"),
            "BackendServers is in single quotes.",
        ),
        (
            rows(r#"[{"ServerId":"i-1","Port":80,"ServerIp":"10.0.0.1"}]"#),
            "ServerIp does not go with a server of type ecs.",
        ),
        (token, "This action has no parameter ClientToken."),
    ] {
        let cloud = web(0).await;
        cloud.be_strict();
        let strict = cloud.slb(ADD, call.clone()).await.refusal();
        assert!(strict.starts_with("400 "), "{strict}");
        assert_eq!(cloud.simulator.world().serving("rsp-web"), 0);
        cloud.simulator.world().strict = false;
        cloud.slb(ADD, call).await.ok();
        assert_eq!(cloud.notes(), note);
        assert_eq!(cloud.simulator.world().serving("rsp-web"), 1);
    }
}

#[tokio::test]
async fn descriptions_have_eighty_characters_of_a_few_kinds() {
    let cloud = Cloud::with(|world| {
        fill(world, 0);
        world.create_load_balancer("lb-1");
    })
    .await;
    let (long, longer) = ("d".repeat(80), "d".repeat(81));
    for (number, (description, taken)) in [
        ("k8s/shop_web-0.1", true),
        (long.as_str(), true),
        (longer.as_str(), false),
        ("white space", false),
        ("a:b", false),
        ("é", false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut server = json!({"ServerId": format!("i-{number}"), "Description": description});
        let rows = json!([server]).to_string();
        let default = json!({"LoadBalancerId": "lb-1", "BackendServers": rows});
        server["Port"] = json!(80);
        let vserver = on_web(json!([server]).to_string());
        for (action, call) in [(ADD, vserver), ("AddBackendServers", default)] {
            let answer = cloud.slb(action, call).await;
            match taken {
                true => _ = answer.ok(),
                false => assert_eq!(answer.refusal(), "400 BackendServersMalformed", "{server}"),
            }
        }
    }
}

#[tokio::test]
async fn lower_camel_keys_and_both_forms_of_numbers_are_understood() {
    let cloud = web(0).await;
    let rows = r#"[{"serverId":"i-1","port":80,"weight":"7"},{"ServerId":"eni-1","Type":"eni","ServerIp":"10.0.0.1","Port":"80","Weight":8}]"#;
    cloud.slb(ADD, on_web(rows)).await.ok();
    let world = cloud.simulator.world();
    let weights: Vec<_> = world.groups["rsp-web"]
        .members
        .values()
        .map(|member| member.weight)
        .collect();
    assert_eq!(weights, [8, 7]);
}

#[tokio::test]
async fn an_empty_field_of_a_backend_is_an_absent_one() {
    let cloud = web(0).await;
    let rows = r#"[{"ServerId":"i-1","Port":80,"ServerIp":"","Description":"","Weight":null},{"ServerId":"eni-1","Type":"eni","ServerIp":"","Port":80}]"#;
    let listed = cloud.slb(ADD, on_web(rows)).await.ok();
    assert_eq!(cloud.notes(), "");
    let interface = &listed["BackendServers"]["BackendServer"][0];
    assert_eq!(interface["ServerId"], "eni-1");
    assert_ne!(interface["ServerIp"], "", "the one that it has");
}

#[tokio::test]
async fn addresses_of_one_interface_and_ports_of_one_server_are_members_of_their_own() {
    let cloud = web(0).await;
    let rows = json!([
        {"ServerId": "eni-1", "Type": "eni", "ServerIp": "10.0.0.1", "Port": 80},
        {"ServerId": "eni-1", "Type": "eni", "ServerIp": "10.0.0.2", "Port": 80},
        {"ServerId": "i-1", "Port": 80},
        {"ServerId": "i-1", "Port": 81},
    ]);
    cloud.slb(ADD, on_web(rows.to_string())).await.ok();
    cloud.pass(1.0);
    let one = json!([{"ServerId": "eni-1", "Type": "eni", "ServerIp": "10.0.0.2", "Port": 80}]);
    cloud.slb(REMOVE, on_web(one.to_string())).await.ok();
    let world = cloud.simulator.world();
    let left: Vec<_> = world.groups["rsp-web"]
        .members
        .keys()
        .map(|(id, ip, port)| format!("{id} {ip} {port}"))
        .collect();
    assert_eq!(left, ["eni-1 10.0.0.1 80", "i-1  80", "i-1  81"]);
}

#[tokio::test]
async fn a_locked_load_balancer_takes_no_changes() {
    let cloud = web(1).await;
    {
        let mut world = cloud.simulator.world();
        world.create_load_balancer("lb-1").status = "locked".into();
        world.groups.get_mut("rsp-web").unwrap().load_balancer = "lb-1".into();
    }
    let answer = cloud.slb(REMOVE, on_web(backends(ids(1), 80, None))).await;
    assert_eq!(answer.refusal(), "400 LbStatusNotSupport");
    cloud
        .slb(
            "DescribeVServerGroupAttribute",
            json!({"VServerGroupId": "rsp-web"}),
        )
        .await
        .ok();
}

#[tokio::test]
async fn a_group_has_a_quota() {
    let cloud = web(9).await;
    cloud
        .simulator
        .world()
        .groups
        .get_mut("rsp-web")
        .unwrap()
        .quota = 10;
    let more = cloud
        .slb(ADD, on_web(backends(["i-a", "i-b"], 80, None)))
        .await;
    assert_eq!(more.refusal(), "400 QuotaExceeded.BackendServersNumber");
    cloud
        .slb(ADD, on_web(backends(["i-a"], 80, None)))
        .await
        .ok();
}

#[tokio::test]
async fn backends_are_swapped_or_nothing_happens() {
    let cloud = web(2).await;
    let swap = |old: &str, new: &str| {
        json!({
            "VServerGroupId": "rsp-web", "OldBackendServers": backends([old], 80, None), "NewBackendServers": backends([new], 80, None),
        })
    };
    cloud.simulator.world().bad_servers.insert("i-bad".into());
    let modify = "ModifyVServerGroupBackendServers";
    assert_eq!(
        cloud.slb(modify, swap("i-0000", "i-bad")).await.refusal(),
        "400 ObtainIpFail"
    );
    cloud.slb(modify, swap("i-0000", "i-new")).await.ok();
    let ids = cloud.simulator.world().groups["rsp-web"].ids();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["i-0001", "i-new"]);
}

#[tokio::test]
async fn a_default_group_has_no_ports_and_writes_weights_as_text_where_they_change() {
    let cloud = Cloud::with(|world| _ = world.create_load_balancer("lb-1")).await;
    let on = |rows: Value| json!({"LoadBalancerId": "lb-1", "BackendServers": rows.to_string()});
    let added = cloud
        .slb(
            "AddBackendServers",
            on(json!([{"ServerId": "i-1", "Weight": "100"}, {"ServerId": "i-2"}])),
        )
        .await
        .ok();
    assert_eq!(added["BackendServers"]["BackendServer"][0]["Weight"], "100");
    let again = cloud
        .slb("AddBackendServers", on(json!([{"ServerId": "i-1"}])))
        .await;
    assert_eq!(again.refusal(), "400 InvalidBackendServers.Exists");
    let port = cloud
        .slb(
            "AddBackendServers",
            on(json!([{"ServerId": "i-3", "Port": 80, "Weight": 0}])),
        )
        .await;
    port.ok();
    assert_eq!(cloud.notes(), "A default group has no Port.");
    cloud
        .slb(
            "SetBackendServers",
            on(json!([{"ServerId": "i-1", "Weight": 0}])),
        )
        .await
        .ok();
    let seen = cloud
        .slb(
            "DescribeLoadBalancerAttribute",
            json!({"LoadBalancerId": "lb-1"}),
        )
        .await
        .ok();
    assert_eq!(seen["LoadBalancerStatus"], "active");
    assert_eq!(seen["BackendServers"]["BackendServer"][0]["Weight"], 0);
    let health = cloud
        .slb("DescribeHealthStatus", json!({"LoadBalancerId": "lb-1"}))
        .await
        .ok();
    assert_eq!(
        health["BackendServers"]["BackendServer"][1]["ServerHealthStatus"],
        "normal"
    );
    cloud.pass(1.0);
    cloud
        .slb(
            "RemoveBackendServers",
            on(json!([{"ServerId": "i-1"}, {"ServerId": "i-absent"}])),
        )
        .await
        .ok();
    assert_eq!(cloud.simulator.world().serving("lb-1"), 1);
    let gone = cloud
        .slb(
            "DescribeLoadBalancerAttribute",
            json!({"LoadBalancerId": "lb-2"}),
        )
        .await;
    assert_eq!(gone.refusal(), "404 InvalidLoadBalancerId.NotFound");
}

#[tokio::test]
async fn the_groups_of_a_load_balancer_are_listed_without_its_default_group() {
    let cloud = Cloud::with(|world| {
        world.create_load_balancer("lb-1");
        world.create_group(Product::Clb, "rsp-1").load_balancer = "lb-1".into();
        world.create_group(Product::Clb, "rsp-2");
    })
    .await;
    let params = json!({"LoadBalancerId": "lb-1", "IncludeListener": true});
    let listed = cloud.slb("DescribeVServerGroups", params).await.ok();
    let groups = listed["VServerGroups"]["VServerGroup"].as_array().unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["VServerGroupId"], "rsp-1");
    let tagged = json!({"LoadBalancerId": "lb-1", "Tag": [{"Key": "owner"}]});
    let listed = cloud.slb("DescribeVServerGroups", tagged).await.ok();
    assert_eq!(listed["VServerGroups"]["VServerGroup"], json!([]));
}
