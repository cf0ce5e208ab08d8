//! Scripted faults, held calls, quotas, and the log that tells of them.

use serde_json::{Value, json};
use server_group_sim::{
    When,
    fault::{Fault, What},
    world::{Product, Rate},
};

use crate::{
    client::Request,
    cloud::{Cloud, GWLB, SLB, backends, ids},
};

const ADD: &str = "AddVServerGroupBackendServers";
const REMOVE: &str = "RemoveVServerGroupBackendServers";
const LIST: &str = "ListServerGroupServers";

async fn cloud() -> Cloud {
    Cloud::with(|world| {
        world.create_group(Product::Clb, "rsp-web");
        world.create_group(Product::Gwlb, "sgp-fw");
        for id in ids(3) {
            world.put_member("rsp-web", &id, "", 80, 100);
            world.put_member("sgp-fw", &id, "", 6081, 100);
        }
    })
    .await
}

fn change(action: &str, id: &str) -> Request {
    let params = json!({"RegionId": "cn-hangzhou", "VServerGroupId": "rsp-web", "BackendServers": backends([id], 80, None)});
    Request::new(SLB, action, &params)
}

fn list() -> Request {
    Request::new(GWLB, LIST, &json!({"ServerGroupId": "sgp-fw"}))
}

fn serving(cloud: &Cloud) -> usize {
    cloud.simulator.world().serving("rsp-web")
}

#[tokio::test]
async fn a_fault_befalls_the_calls_it_is_meant_for_and_as_many() {
    let cloud = cloud().await;
    cloud.fault(
        Fault::on(REMOVE, What::Throttle)
            .of("slb")
            .about("rsp-web")
            .after(1)
            .times(2)
            .every(1),
    );
    let mut refused = Vec::new();
    for number in 0..6 {
        let id = format!("i-{number:04}");
        refused.push(cloud.send(&change(REMOVE, &id)).await.status == 400);
        cloud.send(&list()).await.ok();
    }
    assert_eq!(refused, [false, true, false, true, false, false]);
}

#[tokio::test]
async fn throttling_does_nothing_and_may_say_when_to_come_back() {
    let cloud = cloud().await;
    cloud.fault(Fault::on(REMOVE, What::Throttle));
    cloud.fault(Fault::on(REMOVE, What::ThrottleFor { seconds: 7.0 }));
    let plain = cloud.send(&change(REMOVE, "i-0000")).await;
    assert!(!plain.headers.contains_key("x-acs-retry-after"));
    assert_eq!(plain.refusal(), "400 Throttling.User");
    let hinting = cloud.send(&change(REMOVE, "i-0000")).await;
    assert_eq!(hinting.headers["x-acs-retry-after"], "7000");
    assert!(hinting.headers["x-ratelimit-user-api"].contains("TimeLeft:7000"));
    assert_eq!(serving(&cloud), 3);
}

#[tokio::test]
async fn any_code_can_be_scripted() {
    let cloud = cloud().await;
    cloud.fault(Fault::on(
        REMOVE,
        What::Refuse {
            status: 503,
            code: "ServiceUnavailable".into(),
        },
    ));
    assert_eq!(
        cloud.send(&change(REMOVE, "i-0000")).await.refusal(),
        "503 ServiceUnavailable"
    );
    let (status, code, message) = (404, "InvalidParameter".into(), "Another one.".into());
    cloud.fault(Fault::on(
        REMOVE,
        What::RefuseWith {
            status,
            code,
            message,
        },
    ));
    assert_eq!(
        cloud.send(&change(REMOVE, "i-0000")).await.body()["Message"],
        "Another one."
    );
    assert_eq!(serving(&cloud), 3);
}

#[tokio::test]
async fn an_answer_is_lost_before_or_after_the_call_is_carried_out() {
    let cloud = cloud().await;
    cloud.fault(Fault::on(REMOVE, What::LoseAnswerBefore));
    assert!(cloud.attempt(&change(REMOVE, "i-0000")).await.is_none());
    assert_eq!(serving(&cloud), 3);
    cloud.fault(Fault::on(REMOVE, What::LoseAnswerAfter));
    assert!(cloud.attempt(&change(REMOVE, "i-0000")).await.is_none());
    assert_eq!(serving(&cloud), 2);
    let acted: Vec<_> = cloud
        .simulator
        .world()
        .changing_calls()
        .map(|call| call.acted)
        .collect();
    assert_eq!(acted, [false, true]);
}

#[tokio::test]
async fn a_late_call_lands_after_newer_ones() {
    let cloud = cloud().await;
    cloud.fault(Fault::on(ADD, What::Late { seconds: 40.0 }));
    assert!(cloud.attempt(&change(ADD, "i-late")).await.is_none());
    cloud.send(&change(REMOVE, "i-0000")).await.ok();
    cloud.pass(39.0);
    assert_eq!(serving(&cloud), 2);
    cloud.pass(1.0);
    assert_eq!(serving(&cloud), 3);
    let world = cloud.simulator.world();
    let last = world.audit.last().unwrap();
    assert_eq!(
        (last.action.as_str(), last.fault.as_deref()),
        (ADD, Some("landed late"))
    );
    assert_eq!((last.serving[0].before, last.serving[0].after), (2, 3));
    assert!((last.at - 40.0).abs() < 0.001, "{}", last.at);
}

#[tokio::test]
async fn a_late_call_with_a_token_that_was_used_since_does_nothing() {
    let cloud = cloud().await;
    let add = json!({
        "ServerGroupId": "sgp-fw", "Servers": [{"ServerId": "i-9", "ServerType": "Ecs"}], "ClientToken": "token-1",
    });
    cloud.fault(Fault::on(
        "AddServersToServerGroup",
        What::Late { seconds: 10.0 },
    ));
    let first = Request::new(GWLB, "AddServersToServerGroup", &add);
    assert!(cloud.attempt(&first).await.is_none());
    cloud.gwlb("AddServersToServerGroup", add).await.ok();
    cloud.pass(5.0);
    cloud.simulator.world().delete_member("sgp-fw", "i-9");
    cloud.pass(5.0);
    let world = cloud.simulator.world();
    assert!(!world.groups["sgp-fw"].ids().contains("i-9"));
    assert!(world.audit.last().unwrap().replayed);
}

#[tokio::test]
async fn a_call_can_be_delivered_twice() {
    let cloud = cloud().await;
    cloud.fault(Fault::on(ADD, What::Again { seconds: 5.0 }));
    cloud.send(&change(ADD, "i-9")).await.ok();
    cloud.simulator.world().delete_member("rsp-web", "i-9");
    cloud.pass(5.0);
    assert_eq!(serving(&cloud), 4, "the second one lands");
}

#[tokio::test]
async fn a_call_can_be_carried_out_in_part() {
    let cloud = cloud().await;
    let params = json!({"VServerGroupId": "rsp-web", "BackendServers": backends(ids(3), 80, None)});
    cloud.fault(Fault::on(REMOVE, What::Partly { first: 2 }));
    assert_eq!(
        cloud.slb(REMOVE, params).await.refusal(),
        "500 InternalError"
    );
    assert_eq!(serving(&cloud), 1);
    let rows =
        json!([{"ServerId": "i-8", "ServerType": "Ecs"}, {"ServerId": "i-9", "ServerType": "Ecs"}]);
    let add = json!({"ServerGroupId": "sgp-fw", "Servers": rows, "ClientToken": "token-1"});
    cloud.fault(Fault::on(
        "AddServersToServerGroup",
        What::Partly { first: 1 },
    ));
    assert_eq!(
        cloud
            .gwlb("AddServersToServerGroup", add.clone())
            .await
            .status,
        500
    );
    assert_eq!(cloud.simulator.world().groups["sgp-fw"].members.len(), 4);
    cloud.pass(2.0);
    let again = cloud.gwlb("AddServersToServerGroup", add).await;
    assert_eq!(
        again.refusal(),
        "400 DuplicatedParam.Server",
        "the token did not remember it"
    );
    let part = cloud
        .simulator
        .world()
        .changing_calls()
        .next()
        .cloned()
        .unwrap();
    assert_eq!(
        (part.acted, part.code.as_deref()),
        (true, Some("InternalError"))
    );
}

#[tokio::test]
async fn a_hanging_call_is_not_carried_out_and_breaks_when_released() {
    let cloud = cloud().await;
    cloud.fault(Fault::on(REMOVE, What::Hang));
    let call = change(REMOVE, "i-0000");
    let hanging = cloud.attempt(&call);
    tokio::pin!(hanging);
    let noted = async {
        while cloud.simulator.world().changing_calls().count() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = &mut hanging => panic!("answered: {answer:?}"),
        () = noted => {}
    }
    let released = async {
        loop {
            cloud.simulator.release_hanging();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = hanging => assert!(answer.is_none()),
        () = released => {}
    }
    assert_eq!(serving(&cloud), 3);
}

#[tokio::test]
async fn lists_can_be_made_to_lie() {
    let cloud = cloud().await;
    let answers = async |what: What| {
        cloud.fault(Fault::on(LIST, what));
        cloud.send(&list()).await.ok()
    };
    let truth = cloud.send(&list()).await.ok();
    assert_eq!(
        (
            truth["TotalCount"].as_u64(),
            truth["Servers"].as_array().unwrap().len()
        ),
        (Some(3), 3)
    );
    let short = answers(What::Truncate).await;
    assert_eq!(
        (
            short["TotalCount"].as_u64(),
            short["Servers"].as_array().unwrap().len()
        ),
        (Some(3), 2)
    );
    cloud.fault(Fault::on("DescribeVServerGroupAttribute", What::Truncate));
    let empty = cloud
        .slb(
            "DescribeVServerGroupAttribute",
            json!({"VServerGroupId": "rsp-web"}),
        )
        .await
        .ok();
    assert_eq!(
        empty["BackendServers"]["BackendServer"],
        json!([]),
        "without a total nothing tells"
    );
    let double = answers(What::Repeat).await;
    assert_eq!(double["Servers"][0], double["Servers"][2]);
    let wrong = answers(What::WrongTotal).await;
    assert_eq!(
        (
            wrong["TotalCount"].as_u64(),
            wrong["Servers"].as_array().unwrap().len()
        ),
        (Some(4), 3)
    );
    let circle = answers(What::RepeatToken).await;
    let token = circle["NextToken"].as_str().unwrap();
    cloud.fault(Fault::on(LIST, What::RepeatToken));
    let next = Request::new(
        GWLB,
        LIST,
        &json!({"ServerGroupId": "sgp-fw", "NextToken": token}),
    );
    assert_eq!(cloud.send(&next).await.ok()["NextToken"], token, "for ever");
}

#[tokio::test]
async fn stale_reads_show_what_was_read_before() {
    let cloud = cloud().await;
    let describe = Request::new(
        SLB,
        "DescribeVServerGroupAttribute",
        &json!({"RegionId": "cn-hangzhou", "VServerGroupId": "rsp-web"}),
    );
    let read = async || {
        let again = Request {
            nonce: cloud.simulator.world().audit.len().to_string(),
            ..describe.clone()
        };
        cloud.send(&again).await.ok()["BackendServers"]["BackendServer"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(read().await, 3);
    cloud.send(&change(REMOVE, "i-0000")).await.ok();
    cloud.fault(Fault::on("DescribeVServerGroupAttribute", What::Stale).times(2));
    assert_eq!((read().await, read().await, read().await), (3, 3, 2));
}

#[tokio::test]
async fn bodies_can_be_of_any_kind() {
    let cloud = cloud().await;
    let text = "[[[[".repeat(1000);
    for (what, begins, length) in [
        (What::Html, "<html>", None),
        (What::Body { text: text.clone() }, "[[[[", Some(4000)),
        (What::Cut, "{", None),
        (What::Huge, "  ", Some(16 << 20)),
    ] {
        cloud.fault(Fault::on(LIST, what));
        let answer = cloud.send(&list()).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.starts_with(begins));
        assert!(serde_json::from_str::<Value>(&answer.text).is_err());
        if let Some(length) = length {
            assert_eq!(answer.text.len(), length);
        }
    }
    cloud.fault(Fault::on(LIST, What::Redirect));
    let elsewhere = cloud.send(&list()).await;
    assert_eq!(elsewhere.status, 302);
    assert!(elsewhere.headers.contains_key("location"));
}

#[tokio::test]
async fn a_call_is_stopped_before_it_is_carried_out() {
    let cloud = cloud().await;
    let mut held = cloud
        .simulator
        .hold(When::Before, |call| call.names == ["i-0001:80"]);
    cloud.send(&change(REMOVE, "i-0000")).await.ok();
    let call = change(REMOVE, "i-0001");
    let check = async {
        held.arrived().await;
        assert_eq!(serving(&cloud), 2);
        held.release();
    };
    let (answer, ()) = tokio::join!(cloud.send(&call), check);
    answer.ok();
    assert_eq!(serving(&cloud), 1);
}

#[tokio::test]
async fn a_call_is_stopped_after_it_was_carried_out() {
    let cloud = cloud().await;
    let mut held = cloud
        .simulator
        .hold(When::After, |call| call.action == REMOVE);
    let call = change(REMOVE, "i-0000");
    let check = async {
        held.arrived().await;
        assert_eq!(serving(&cloud), 2);
        held.drop_connection();
    };
    let (answer, ()) = tokio::join!(cloud.attempt(&call), check);
    assert!(answer.is_none());
}

#[tokio::test]
async fn a_stopped_call_whose_connection_is_broken_is_never_carried_out() {
    let cloud = cloud().await;
    let mut held = cloud.simulator.hold(When::Before, |call| call.changes);
    let call = change(REMOVE, "i-0000");
    let check = async {
        held.arrived().await;
        held.drop_connection();
    };
    let (answer, ()) = tokio::join!(cloud.attempt(&call), check);
    assert!(answer.is_none());
    assert_eq!(
        (
            serving(&cloud),
            cloud.simulator.world().changing_calls().count()
        ),
        (3, 0)
    );
}

#[tokio::test]
async fn a_call_whose_client_gave_up_is_carried_out_when_it_is_released() {
    let cloud = cloud().await;
    let mut held = cloud.simulator.hold(When::Before, |call| call.changes);
    let call = change(REMOVE, "i-0000");
    tokio::select! {
        _ = cloud.attempt(&call) => panic!("it was held"),
        () = held.arrived() => {}
    }
    held.release();
    while serving(&cloud) == 3 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn calls_are_taken_within_their_quota() {
    let cloud = cloud().await;
    cloud.simulator.world().rates = Rate::documented();
    for _ in 0..90 {
        cloud.send(&change(REMOVE, "i-absent")).await.ok();
    }
    cloud.pass(20.0);
    let more = cloud.send(&change(REMOVE, "i-0000")).await;
    assert_eq!(more.headers["x-acs-retry-after"], "40000");
    assert_eq!(more.refusal(), "400 Throttling.User");
    cloud.send(&change(ADD, "i-new")).await.ok();
    cloud.send(&list()).await.ok();
    cloud.pass(40.0);
    cloud.send(&change(REMOVE, "i-0000")).await.ok();
}

#[tokio::test]
async fn a_quota_for_each_second_is_counted_by_the_second() {
    let cloud = cloud().await;
    cloud.simulator.world().rates = Rate::documented();
    cloud
        .simulator
        .world()
        .create_group(Product::Nlb, "sgp-nlb");
    let list = async || cloud.nlb(LIST, json!({"ServerGroupId": "sgp-nlb"})).await;
    for _ in 0..20 {
        list().await.ok();
    }
    assert_eq!(list().await.refusal(), "400 Throttling.User");
    cloud.pass(1.0);
    list().await.ok();
}

#[tokio::test]
async fn the_log_has_every_call_with_who_served_before_and_after() {
    let cloud = cloud().await;
    cloud.send(&change(REMOVE, "i-0000")).await.ok();
    cloud.send(&list()).await.ok();
    let wrong = Request {
        secret: "guessed".into(),
        ..list()
    };
    cloud.send(&wrong).await.refusal();
    cloud.send(&change(REMOVE, "i-absent")).await.ok();
    let world = cloud.simulator.world();
    let [removed, listed, refused, ignored] = world.audit.as_slice() else {
        panic!("{} entries", world.audit.len());
    };
    assert_eq!(
        (removed.service.as_str(), removed.resource.as_str()),
        ("slb", "rsp-web")
    );
    assert_eq!(removed.names, ["i-0000:80"]);
    assert_eq!(
        (removed.serving[0].before, removed.serving[0].after),
        (3, 2)
    );
    assert_eq!(
        (removed.key.as_str(), removed.nonce.is_empty()),
        ("simulated-key", false)
    );
    assert!(removed.changes && !listed.changes);
    assert_eq!(refused.code.as_deref(), Some("SignatureDoesNotMatch"));
    assert_eq!(
        (ignored.serving[0].before, ignored.serving[0].after),
        (2, 2),
        "the group it named"
    );
    assert_eq!(
        [1, 2, 3, 4],
        [
            removed.number,
            listed.number,
            refused.number,
            ignored.number
        ]
    );
    assert_eq!((world.calls(REMOVE), world.calls(LIST)), (2, 1));
}
