//! ALB and NLB: jobs, weights, and what each of the two does its own way.

use serde_json::{Value, json};
use server_group_sim::world::{Product, World};

use crate::cloud::{ALB, Cloud, NLB, ids, servers};

const ADD: &str = "AddServersToServerGroup";
const REMOVE: &str = "RemoveServersFromServerGroup";
const UPDATE: &str = "UpdateServerGroupServersAttribute";

fn fill(world: &mut World, product: Product, members: usize) {
    world.create_group(product, "sgp-1");
    for id in ids(members) {
        world.put_member("sgp-1", &id, "", 80, 100);
    }
}

async fn shop(product: Product, members: usize) -> Cloud {
    Cloud::with(|world| fill(world, product, members)).await
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is written in place by every caller"
)]
fn on(servers: Value) -> Value {
    json!({"ServerGroupId": "sgp-1", "Servers": servers})
}

fn weighing(count: usize, weight: u8) -> Value {
    ids(count)
        .map(|id| json!({"ServerId": id, "ServerType": "Ecs", "Port": 80, "Weight": weight}))
        .collect()
}

async fn job(cloud: &Cloud, version: &str, id: &Value) -> Value {
    let mut jobs = cloud
        .call(version, "ListAsynJobs", json!({"JobIds": [id]}))
        .await
        .ok();
    jobs["Jobs"][0].take()
}

#[tokio::test]
async fn a_job_is_processing_and_then_succeeded() {
    for (version, product) in [(ALB, Product::Alb), (NLB, Product::Nlb)] {
        let cloud = shop(product, 0).await;
        let id = cloud
            .call(version, ADD, on(servers(["i-1"], Some(80))))
            .await
            .ok()["JobId"]
            .clone();
        assert_eq!(job(&cloud, version, &id).await["Status"], "Processing");
        cloud.pass(2.0);
        assert_eq!(job(&cloud, version, &id).await["Status"], "Succeeded");
        assert_eq!(cloud.states(version, "sgp-1").await, ["i-1 Available"]);
    }
}

#[tokio::test]
async fn a_failed_job_says_why_and_leaves_what_it_named_as_it_was() {
    for (version, product) in [(ALB, Product::Alb), (NLB, Product::Nlb)] {
        let cloud = shop(product, 2).await;
        cloud.simulator.world().failing_jobs = 3;
        for (action, named) in [
            (ADD, servers(["i-new"], Some(80))),
            (REMOVE, servers(ids(1), Some(80))),
            (UPDATE, weighing(1, 0)),
        ] {
            let id = cloud.call(version, action, on(named)).await.ok()["JobId"].clone();
            cloud
                .simulator
                .world()
                .put_member("sgp-1", "i-other", "", 80, 100);
            cloud.pass(2.0);
            let job = job(&cloud, version, &id).await;
            assert_eq!(job["Status"], "Failed", "{action}");
            assert_eq!(job["ErrorCode"], "ResourceInUse.IP");
            let states = cloud.states(version, "sgp-1").await;
            assert_eq!(
                states,
                ["i-0000 Available", "i-0001 Available", "i-other Available"],
                "{action}: others are left alone"
            );
        }
        assert_eq!(cloud.simulator.world().serving("sgp-1"), 3);
        let after = cloud
            .call(version, ADD, on(servers(["i-new"], Some(80))))
            .await
            .ok();
        cloud.pass(2.0);
        assert_eq!(
            job(&cloud, version, &after["JobId"]).await["Status"],
            "Succeeded"
        );
    }
}

#[tokio::test]
async fn a_job_fails_for_the_server_that_makes_trouble() {
    let cloud = shop(Product::Alb, 0).await;
    cloud
        .simulator
        .world()
        .failing_servers
        .insert("i-0001".into());
    let id = cloud.alb(ADD, on(servers(ids(3), Some(80)))).await.ok()["JobId"].clone();
    cloud.pass(2.0);
    assert_eq!(job(&cloud, ALB, &id).await["Status"], "Failed");
    assert!(cloud.states(ALB, "sgp-1").await.is_empty());
}

#[tokio::test]
async fn a_job_can_go_on_for_ever() {
    let cloud = shop(Product::Nlb, 0).await;
    cloud.simulator.world().endless_jobs = 1;
    let id = cloud.nlb(ADD, on(servers(["i-1"], Some(80)))).await.ok()["JobId"].clone();
    cloud.pass(86_400.0);
    assert_eq!(job(&cloud, NLB, &id).await["Status"], "Processing");
    assert_eq!(cloud.states(NLB, "sgp-1").await, ["i-1 Adding"]);
}

#[tokio::test]
async fn job_status_of_nlb_has_no_word_for_failure() {
    let cloud = shop(Product::Nlb, 1).await;
    cloud.simulator.world().failing_jobs = 1;
    let failing = cloud.nlb(REMOVE, on(servers(ids(1), Some(80)))).await.ok()["JobId"].clone();
    cloud.pass(2.0);
    let status = cloud
        .nlb("GetJobStatus", json!({"JobId": failing}))
        .await
        .ok();
    assert_eq!(status["Status"], "processing");
    let fine = cloud.nlb(REMOVE, on(servers(ids(1), Some(80)))).await.ok()["JobId"].clone();
    cloud.pass(2.0);
    let status = cloud.nlb("GetJobStatus", json!({"JobId": fine})).await.ok();
    assert_eq!(status["Status"], "Succeeded");
    let unknown = cloud.nlb("GetJobStatus", json!({"JobId": "job-0"})).await;
    assert_eq!(unknown.refusal(), "404 ResourceNotFound.JobId");
    let jobs = cloud.nlb("ListAsynJobs", json!({})).await.ok();
    assert_eq!(jobs["TotalCount"], "2", "a text, as documented");
}

#[tokio::test]
async fn weights_change_in_place_by_forty_or_two_hundred() {
    for (version, product, most) in [(ALB, Product::Alb, 40), (NLB, Product::Nlb, 200)] {
        let cloud = shop(product, most + 1).await;
        let more = cloud.call(version, UPDATE, on(weighing(most + 1, 0))).await;
        assert_eq!(more.status, 400);
        cloud
            .call(version, UPDATE, on(weighing(most, 0)))
            .await
            .ok();
        assert!(
            cloud
                .states(version, "sgp-1")
                .await
                .contains(&"i-0000 Configuring".into())
        );
        cloud.pass(2.0);
        assert_eq!(cloud.simulator.world().serving("sgp-1"), 1);
        let absent = cloud
            .call(version, UPDATE, on(servers(["i-absent"], Some(80))))
            .await;
        assert_eq!(absent.refusal(), "404 ResourceNotFound.BackendServer");
        let heavy = cloud.call(version, UPDATE, on(weighing(1, 101))).await;
        assert_eq!(heavy.status, 400);
    }
}

#[tokio::test]
async fn a_refused_update_changes_none_of_those_it_names() {
    let cloud = shop(Product::Alb, 1).await;
    let two = json!([
        {"ServerId": "i-0000", "ServerType": "Ecs", "Port": 80, "Weight": 0}, {"ServerId": "i-absent", "ServerType": "Ecs", "Port": 80},
    ]);
    assert_eq!(
        cloud.alb(UPDATE, on(two)).await.refusal(),
        "404 ResourceNotFound.BackendServer"
    );
    assert_eq!(cloud.simulator.world().serving("sgp-1"), 1);
}

#[tokio::test]
async fn each_writes_its_codes_its_own_way() {
    let gone = json!({"ServerGroupId": "sgp-gone", "Servers": servers(["i-1"], Some(80))});
    let nlb = shop(Product::Nlb, 1).await;
    let alb = shop(Product::Alb, 1).await;
    assert_eq!(
        nlb.nlb(ADD, gone.clone()).await.refusal(),
        "404 ResourceNotFound.serverGroup"
    );
    assert_eq!(
        alb.alb(ADD, gone).await.refusal(),
        "404 ResourceNotFound.ServerGroup"
    );
    let nothing = json!({"ServerGroupId": "sgp-1"});
    assert_eq!(
        nlb.nlb(ADD, nothing.clone()).await.refusal(),
        "400 MissingParam"
    );
    assert_eq!(
        alb.alb(ADD, nothing).await.refusal(),
        "400 MissingParameter"
    );
    for (cloud, version, code) in [
        (&nlb, NLB, "400 IncorrectStatus.serverGroup"),
        (&alb, ALB, "400 IncorrectStatus.ServerGroup"),
    ] {
        cloud
            .call(version, ADD, on(servers(["i-1"], Some(80))))
            .await
            .ok();
        let busy = cloud
            .call(version, ADD, on(servers(["i-2"], Some(80))))
            .await;
        assert_eq!(busy.refusal(), code);
    }
}

#[tokio::test]
async fn additions_are_refused_for_what_is_wrong_with_a_server() {
    let cloud = shop(Product::Nlb, 1).await;
    {
        let mut world = cloud.simulator.world();
        world.bad_servers.insert("i-bad".into());
        world.groups.get_mut("sgp-1").unwrap().quota = 2;
    }
    let taken = cloud.simulator.world().groups["sgp-1"]
        .members
        .keys()
        .next()
        .unwrap()
        .1
        .clone();
    let same_address =
        json!([{"ServerId": "eni-1", "ServerType": "Eni", "ServerIp": taken, "Port": 80}]);
    for (servers, refusal) in [
        (servers(["i-bad"], Some(80)), "404 ResourceNotFound.Ecs"),
        (servers(["i-0000"], Some(80)), "400 DuplicatedParam.Server"),
        (
            servers(["i-1", "i-1"], Some(80)),
            "400 DuplicatedParam.Server",
        ),
        (
            servers(["i-1", "i-2"], Some(80)),
            "400 QuotaExceeded.QuotaInsufficient",
        ),
        (same_address, "400 ResourceInUse.IP"),
    ] {
        assert_eq!(cloud.nlb(ADD, on(servers)).await.refusal(), refusal);
    }
}

#[tokio::test]
async fn ports_and_types_are_those_of_the_product() {
    let nlb = shop(Product::Nlb, 0).await;
    nlb.nlb(ADD, on(servers(["i-1"], None))).await.ok();
    nlb.pass(2.0);
    let zero = nlb.simulator.world().groups["sgp-1"]
        .members
        .keys()
        .next()
        .unwrap()
        .2;
    assert_eq!(zero, 0, "the default port of NLB");
    let alb = shop(Product::Alb, 0).await;
    assert_eq!(
        alb.alb(ADD, on(servers(["i-1"], None))).await.refusal(),
        "400 MissingParameter"
    );
    alb.simulator
        .world()
        .create_group(Product::Alb, "sgp-fc")
        .kind = "Fc".into();
    let function =
        json!([{"ServerId": "acs:fc:cn-hangzhou:1:services/s/functions/f", "ServerType": "Fc"}]);
    alb.alb(ADD, json!({"ServerGroupId": "sgp-fc", "Servers": function}))
        .await
        .ok();
    assert_eq!(
        nlb.nlb(ADD, on(function)).await.refusal(),
        "400 Mismatch.ServerType"
    );
    let weight = json!([{"ServerId": "i-1", "ServerType": "Ecs", "Port": 80, "Weight": 1}]);
    _ = alb.alb(REMOVE, on(weight)).await;
    assert_eq!(
        alb.notes(),
        "This action has no parameter Servers.1.Weight.",
        "removals have no weights"
    );
}

#[tokio::test]
async fn descriptions_have_a_length_and_are_no_links_in_alb() {
    let long = "ü".repeat(256);
    let longer = "ü".repeat(257);
    for (description, alb, nlb) in [
        ("x", false, false),
        ("xy", true, true),
        (long.as_str(), true, true),
        (longer.as_str(), false, false),
        ("http of the shop", true, true),
        ("see https://shop", true, true),
        ("http://shop", false, true),
        ("https://shop", false, true),
    ] {
        for (version, product, taken, code) in [
            (ALB, Product::Alb, alb, "400 InvalidParameter"),
            (NLB, Product::Nlb, nlb, "400 IllegalParam"),
        ] {
            let cloud = shop(product, 1).await;
            let server = |id: &str| json!([{"ServerId": id, "ServerType": "Ecs", "Port": 80, "Description": description}]);
            for (action, servers) in [(ADD, server("i-new")), (UPDATE, server("i-0000"))] {
                let answer = cloud.call(version, action, on(servers)).await;
                match taken {
                    true => _ = answer.ok(),
                    false => assert_eq!(answer.refusal(), code, "{action} {description}"),
                }
                cloud.pass(2.0);
            }
        }
    }
}

#[tokio::test]
async fn some_leave_and_others_join_in_one_call_of_alb() {
    let cloud = shop(Product::Alb, 1).await;
    let params = json!({
        "ServerGroupId": "sgp-1", "AddedServers": servers(["i-new"], Some(80)), "RemovedServers": servers(ids(1), Some(80)),
    });
    cloud.alb("ReplaceServersInServerGroup", params).await.ok();
    cloud.pass(2.0);
    assert_eq!(cloud.states(ALB, "sgp-1").await, ["i-new Available"]);
}

#[tokio::test]
async fn functions_are_added_and_removed_and_never_replaced() {
    let cloud = shop(Product::Alb, 0).await;
    cloud
        .simulator
        .world()
        .create_group(Product::Alb, "sgp-fc")
        .kind = "Fc".into();
    let function = |name: &str| {
        let id = format!("acs:fc:cn-hangzhou:1:services/s/functions/{name}");
        json!([{"ServerId": id, "ServerType": "Fc"}])
    };
    let old = json!({"ServerGroupId": "sgp-fc", "Servers": function("old")});
    cloud.alb(ADD, old.clone()).await.ok();
    cloud.pass(2.0);
    let swap = json!({
        "ServerGroupId": "sgp-fc", "AddedServers": function("new"), "RemovedServers": function("old"),
    });
    let answer = cloud.alb("ReplaceServersInServerGroup", swap).await;
    assert_eq!(answer.refusal(), "400 Mismatch.ServerType");
    assert_eq!(cloud.simulator.world().serving("sgp-fc"), 1);
    cloud.alb(REMOVE, old).await.ok();
}

#[tokio::test]
async fn groups_and_members_show_what_their_product_shows() {
    let cloud = shop(Product::Nlb, 1).await;
    cloud
        .simulator
        .world()
        .groups
        .get_mut("sgp-1")
        .unwrap()
        .drain_seconds = 10.0;
    let group = cloud
        .nlb("ListServerGroups", json!({"RegionId": "cn-hangzhou"}))
        .await
        .ok()["ServerGroups"][0]
        .clone();
    assert_eq!(group["ConnectionDrainEnabled"], true);
    assert_eq!(group["ConnectionDrainTimeout"], 10);
    let member = cloud
        .nlb("ListServerGroupServers", json!({"ServerGroupId": "sgp-1"}))
        .await
        .ok()["Servers"][0]
        .clone();
    assert_eq!(member["Weight"], 100);
    assert!(member["ZoneId"].is_string());
    let region = cloud
        .alb("ListServerGroups", json!({"RegionId": "cn-hangzhou"}))
        .await;
    region.ok();
    assert_eq!(
        cloud.notes(),
        "This action has no parameter RegionId.",
        "the host decides"
    );
    let large = cloud
        .nlb(
            "ListServerGroupServers",
            json!({"ServerGroupId": "sgp-1", "MaxResults": 101}),
        )
        .await;
    assert_eq!(large.refusal(), "400 IllegalParam");
    cloud.nlb(REMOVE, on(servers(ids(1), Some(80)))).await.ok();
    cloud.pass(1.0);
    assert_eq!(cloud.states(NLB, "sgp-1").await, ["i-0000 Draining"]);
    cloud.pass(10.0);
    assert!(cloud.states(NLB, "sgp-1").await.is_empty());
}

#[tokio::test]
async fn tokens_are_of_one_product_and_action() {
    let cloud = shop(Product::Alb, 0).await;
    cloud
        .simulator
        .world()
        .create_group(Product::Nlb, "sgp-nlb");
    let mut call = on(servers(["i-1"], Some(80)));
    call["ClientToken"] = json!("token-1");
    let first = cloud.alb(ADD, call.clone()).await.ok();
    let again = cloud.alb(ADD, call.clone()).await.ok();
    assert_eq!(first["JobId"], again["JobId"]);
    assert_ne!(first["RequestId"], again["RequestId"]);
    call["ServerGroupId"] = json!("sgp-nlb");
    let elsewhere = cloud.nlb(ADD, call).await.ok();
    assert_ne!(elsewhere["JobId"], first["JobId"]);
}

#[tokio::test]
async fn an_empty_parameter_is_an_absent_one() {
    let cloud = shop(Product::Nlb, 0).await;
    let bare = |id: &str| json!({"ServerId": id, "ServerType": "Ecs", "Port": 80, "ServerIp": "", "Description": ""});
    let mut call = on(json!([bare("i-1"), bare("i-2")]));
    call["ClientToken"] = json!("");
    cloud.nlb(ADD, call).await.ok();
    cloud.pass(2.0);
    let listed = json!({"ServerGroupId": "sgp-1", "NextToken": "", "ServerIds": [""]});
    let listed = cloud.nlb("ListServerGroupServers", listed).await.ok();
    let rows = listed["Servers"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_ne!(rows[0]["ServerIp"], rows[1]["ServerIp"]);
    assert!(rows.iter().all(|row| row["ServerIp"] != ""));
    cloud.nlb(REMOVE, on(json!([bare("i-1")]))).await.ok();
    assert_eq!(
        cloud.notes(),
        "",
        "a description that is empty is none that a removal does not have"
    );
    let nobody = json!({"ServerGroupId": "", "Servers": servers(["i-1"], Some(80))});
    assert_eq!(cloud.nlb(ADD, nobody).await.refusal(), "400 MissingParam");
}
