//! GWLB: states that take time, draining, pages, tokens, dry runs.

use serde_json::{Value, json};
use server_group_sim::world::Product;

use crate::cloud::{Cloud, GWLB, ids, servers};

const ADD: &str = "AddServersToServerGroup";
const REMOVE: &str = "RemoveServersFromServerGroup";

async fn firewalls(members: usize) -> Cloud {
    Cloud::with(|world| {
        world.create_group(Product::Gwlb, "sgp-fw").drain_seconds = 300.0;
        for id in ids(members) {
            world.put_member("sgp-fw", &id, "", 6081, 100);
        }
    })
    .await
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is written in place by every caller"
)]
fn on_fw(servers: Value) -> Value {
    json!({"ServerGroupId": "sgp-fw", "Servers": servers})
}

async fn status(cloud: &Cloud) -> String {
    let listed = cloud
        .gwlb("ListServerGroups", json!({"ServerGroupIds": ["sgp-fw"]}))
        .await
        .ok();
    listed["ServerGroups"][0]["ServerGroupStatus"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_server_is_adding_and_the_group_configuring_until_both_are_available() {
    let cloud = firewalls(0).await;
    let answer = cloud.gwlb(ADD, on_fw(servers(["i-1"], None))).await.ok();
    assert!(answer.get("JobId").is_none(), "there is no job to follow");
    assert_eq!(cloud.states(GWLB, "sgp-fw").await, ["i-1 Adding"]);
    assert_eq!(status(&cloud).await, "Configuring");
    assert_eq!(cloud.simulator.world().serving("sgp-fw"), 0);
    let busy = cloud.gwlb(ADD, on_fw(servers(["i-2"], None))).await;
    assert_eq!(busy.refusal(), "400 IncorrectStatus.ServerGroup");
    cloud.pass(2.0);
    assert_eq!(cloud.states(GWLB, "sgp-fw").await, ["i-1 Available"]);
    assert_eq!(status(&cloud).await, "Available");
}

#[tokio::test]
async fn a_server_drains_for_the_groups_time_and_is_absent_then() {
    let cloud = firewalls(2).await;
    cloud.gwlb(REMOVE, on_fw(servers(ids(1), None))).await.ok();
    assert_eq!(
        cloud.states(GWLB, "sgp-fw").await,
        ["i-0000 Removing", "i-0001 Available"]
    );
    cloud.pass(1.0);
    assert_eq!(
        cloud.states(GWLB, "sgp-fw").await,
        ["i-0000 Draining", "i-0001 Available"]
    );
    assert_eq!(
        status(&cloud).await,
        "Available",
        "draining does not keep the group busy"
    );
    cloud.pass(299.0);
    assert_eq!(cloud.states(GWLB, "sgp-fw").await.len(), 2);
    cloud.pass(1.0);
    assert_eq!(cloud.states(GWLB, "sgp-fw").await, ["i-0001 Available"]);
    assert_eq!(cloud.simulator.world().least_serving("sgp-fw"), Some(1));
}

#[tokio::test]
async fn a_draining_server_may_be_added_again_and_stays() {
    let cloud = firewalls(1).await;
    cloud.gwlb(REMOVE, on_fw(servers(ids(1), None))).await.ok();
    cloud.pass(1.0);
    cloud.gwlb(ADD, on_fw(servers(ids(1), None))).await.ok();
    assert_eq!(cloud.states(GWLB, "sgp-fw").await, ["i-0000 Adding"]);
    cloud.pass(400.0);
    assert_eq!(cloud.states(GWLB, "sgp-fw").await, ["i-0000 Available"]);
}

#[tokio::test]
async fn without_draining_a_server_is_gone_after_removing() {
    let cloud = firewalls(1).await;
    cloud
        .simulator
        .world()
        .groups
        .get_mut("sgp-fw")
        .unwrap()
        .drain_seconds = 0.0;
    cloud.gwlb(REMOVE, on_fw(servers(ids(1), None))).await.ok();
    cloud.pass(1.0);
    assert!(cloud.states(GWLB, "sgp-fw").await.is_empty());
}

#[tokio::test]
async fn a_removal_that_names_an_absent_or_busy_server_does_nothing() {
    let cloud = firewalls(3).await;
    let absent = cloud
        .gwlb(REMOVE, on_fw(servers(["i-0000", "i-absent"], None)))
        .await;
    assert_eq!(absent.refusal(), "404 ResourceNotFound.BackendServer");
    cloud.gwlb(REMOVE, on_fw(servers(ids(1), None))).await.ok();
    cloud.pass(1.0);
    let draining = cloud.gwlb(REMOVE, on_fw(servers(ids(2), None))).await;
    assert_eq!(draining.refusal(), "400 IncorrectStatus.BackendServer");
    assert_eq!(cloud.simulator.world().serving("sgp-fw"), 2);
    let gone = json!({"ServerGroupId": "sgp-gone", "Servers": servers(ids(1), None)});
    assert_eq!(
        cloud.gwlb(REMOVE, gone).await.refusal(),
        "404 ResourceNotFound.ServerGroup"
    );
}

#[tokio::test]
async fn two_hundred_servers_go_into_one_call() {
    let cloud = firewalls(0).await;
    let more = cloud.gwlb(ADD, on_fw(servers(ids(201), None))).await;
    assert_eq!(more.refusal(), "400 InvalidParameter");
    cloud.gwlb(ADD, on_fw(servers(ids(200), None))).await.ok();
    cloud.pass(2.0);
    assert_eq!(cloud.simulator.world().serving("sgp-fw"), 200);
}

#[tokio::test]
async fn only_the_one_port_and_no_weight_are_known() {
    let cloud = firewalls(0).await;
    cloud
        .gwlb(ADD, on_fw(servers(["i-1"], Some(6081))))
        .await
        .ok();
    let port = cloud.gwlb(ADD, on_fw(servers(["i-2"], Some(80)))).await;
    assert_eq!(port.refusal(), "400 InvalidParameter");
    let weight = json!([{"ServerId": "i-2", "ServerType": "Ecs", "Weight": 1}]);
    cloud.pass(2.0);
    cloud.gwlb(ADD, on_fw(weight)).await.ok();
    assert_eq!(
        cloud.notes(),
        "This action has no parameter Servers.1.Weight."
    );
}

#[tokio::test]
async fn servers_and_groups_have_types_that_have_to_fit() {
    let cloud = firewalls(0).await;
    cloud
        .simulator
        .world()
        .create_group(Product::Gwlb, "sgp-ip")
        .kind = "Ip".into();
    let ip = json!([{"ServerId": "10.0.0.1", "ServerType": "Ip"}]);
    let wrong = cloud.gwlb(ADD, on_fw(ip.clone())).await;
    assert_eq!(wrong.refusal(), "400 Mismatch.ServerType");
    let lie = json!([{"ServerId": "eni-1", "ServerType": "Ecs"}]);
    assert_eq!(
        cloud.gwlb(ADD, on_fw(lie)).await.refusal(),
        "400 Mismatch.ServerType"
    );
    cloud
        .gwlb(ADD, json!({"ServerGroupId": "sgp-ip", "Servers": ip}))
        .await
        .ok();
}

#[tokio::test]
async fn a_repeated_token_gets_the_first_answer_and_changes_nothing() {
    let cloud = firewalls(0).await;
    let mut first = on_fw(servers(["i-1"], None));
    first["ClientToken"] = json!("token-1");
    cloud.gwlb(ADD, first.clone()).await.ok();
    cloud.pass(2.0);
    cloud.simulator.world().delete_member("sgp-fw", "i-1");
    cloud.gwlb(ADD, first.clone()).await.ok();
    assert!(
        cloud.states(GWLB, "sgp-fw").await.is_empty(),
        "nothing was added"
    );
    assert!(
        cloud
            .simulator
            .world()
            .changing_calls()
            .last()
            .unwrap()
            .replayed
    );
    first["Servers"] = servers(["i-2"], None);
    let other = cloud.gwlb(ADD, first).await;
    assert_eq!(other.refusal(), "400 IdempotenceSignatureMismatch");
    let mut long = on_fw(servers(["i-2"], None));
    long["ClientToken"] = json!("t".repeat(65));
    assert_eq!(
        cloud.gwlb(ADD, long).await.refusal(),
        "400 InvalidParameter"
    );
}

#[tokio::test]
async fn a_refused_call_does_not_use_its_token_up() {
    let cloud = firewalls(0).await;
    cloud.simulator.world().bad_servers.insert("i-1".into());
    let mut call = on_fw(servers(["i-1"], None));
    call["ClientToken"] = json!("token-1");
    assert_eq!(
        cloud.gwlb(ADD, call.clone()).await.refusal(),
        "404 ResourceNotFound.Ecs"
    );
    cloud.simulator.world().bad_servers.clear();
    cloud.gwlb(ADD, call).await.ok();
    assert_eq!(cloud.states(GWLB, "sgp-fw").await.len(), 1);
}

#[tokio::test]
async fn a_dry_run_checks_everything_and_does_nothing() {
    let cloud = firewalls(1).await;
    let dry = |ids: &[&str]| {
        let mut call = on_fw(servers(ids.to_vec(), None));
        call["DryRun"] = json!("True");
        call
    };
    assert_eq!(
        cloud.gwlb(REMOVE, dry(&["i-0000"])).await.refusal(),
        "400 DryRunOperation"
    );
    assert_eq!(
        cloud.gwlb(ADD, dry(&["i-1"])).await.refusal(),
        "400 DryRunOperation"
    );
    let absent = cloud.gwlb(REMOVE, dry(&["i-absent"])).await;
    assert_eq!(
        absent.refusal(),
        "404 ResourceNotFound.BackendServer",
        "it would not have passed"
    );
    assert_eq!(cloud.states(GWLB, "sgp-fw").await, ["i-0000 Available"]);
}

#[tokio::test]
async fn an_addition_can_end_absent_though_it_was_accepted() {
    let cloud = firewalls(1).await;
    cloud.simulator.world().failing_servers.insert("i-1".into());
    cloud
        .gwlb(ADD, on_fw(servers(["i-1", "i-2"], None)))
        .await
        .ok();
    cloud.pass(2.0);
    assert_eq!(cloud.states(GWLB, "sgp-fw").await, ["i-0000 Available"]);
    assert_eq!(
        cloud.simulator.world().least_serving("sgp-fw"),
        Some(1),
        "nobody served meanwhile"
    );
}

#[tokio::test]
async fn members_come_in_pages_that_add_up() {
    let cloud = firewalls(45).await;
    let (mut token, mut seen, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let params = json!({"ServerGroupId": "sgp-fw", "NextToken": token});
        let page = cloud.gwlb("ListServerGroupServers", params).await.ok();
        assert_eq!(page["TotalCount"], 45);
        let rows = page["Servers"].as_array().unwrap();
        assert!(rows.len() <= 20, "20 unless asked otherwise");
        seen.extend(rows.iter().map(|row| row["ServerId"].clone()));
        pages += 1;
        match page["NextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((pages, seen.len()), (3, 45));
    for (size, refused) in [(0, true), (1, false), (1000, false), (1001, true)] {
        let params = json!({"ServerGroupId": "sgp-fw", "MaxResults": size});
        let answer = cloud.gwlb("ListServerGroupServers", params).await;
        assert_eq!(answer.status == 400, refused, "{size}");
    }
    let invented = json!({"ServerGroupId": "sgp-fw", "NextToken": "more"});
    assert_eq!(
        cloud
            .gwlb("ListServerGroupServers", invented)
            .await
            .refusal(),
        "400 InvalidParameter"
    );
}

#[tokio::test]
async fn groups_are_listed_by_twenty_ids_and_unknown_ones_left_out() {
    let cloud = firewalls(2).await;
    cloud
        .simulator
        .world()
        .create_group(Product::Alb, "sgp-alb");
    let listed = cloud
        .gwlb(
            "ListServerGroups",
            json!({"ServerGroupIds": ["sgp-fw", "sgp-gone", "sgp-alb"]}),
        )
        .await
        .ok();
    assert_eq!(listed["TotalCount"], 1);
    assert_eq!(listed["ServerGroups"][0]["ServerCount"], 2);
    assert_eq!(
        listed["ServerGroups"][0]["ConnectionDrainConfig"]["ConnectionDrainTimeout"],
        300
    );
    let more: Vec<_> = ids(21).collect();
    assert_eq!(
        cloud
            .gwlb("ListServerGroups", json!({"ServerGroupIds": more}))
            .await
            .refusal(),
        "400 InvalidParameter"
    );
}

#[tokio::test]
async fn a_group_can_be_kept_busy_or_unfinished_from_outside() {
    let cloud = firewalls(1).await;
    cloud
        .simulator
        .world()
        .groups
        .get_mut("sgp-fw")
        .unwrap()
        .forced_status = Some("Creating".into());
    assert_eq!(status(&cloud).await, "Creating");
    let answer = cloud.gwlb(REMOVE, on_fw(servers(ids(1), None))).await;
    assert_eq!(answer.refusal(), "400 IncorrectStatus.ServerGroup");
}
