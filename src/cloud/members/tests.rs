//! Member lists: whole, or an error; and what changes put on the wire.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::cloud::{
    Kind, Outcome,
    stub::{Asked, Stub, ok, refusal},
};

use super::*;

fn row(id: &str) -> Value {
    json!({"ServerGroupId": "sgp-1", "ServerId": id, "ServerType": "Ecs", "Port": 80, "Weight": 100, "Status": "Available"})
}

fn page(rows: &[Value], next: Option<&str>, total: impl Into<Value>) -> Value {
    let total = total.into();
    json!({"RequestId": "r", "Servers": rows, "NextToken": next, "TotalCount": total})
}

/// A server whose list of members has the pages that `pages` gives by token.
async fn listed(pages: impl Fn(Option<&str>) -> Value + Send + Sync + 'static) -> Stub {
    Stub::start(move |_, asked: &Asked| match asked.action.as_str() {
        "ListServerGroupServers" => ok(&pages(asked.parameter("NextToken"))),
        _ => {
            ok(&json!({"ServerGroups": [{"ServerGroupId": "sgp-1", "ServerGroupStatus": "Configuring"}], "TotalCount": 1}))
        }
    })
    .await
}

async fn incomplete(pages: impl Fn(Option<&str>) -> Value + Send + Sync + 'static) {
    let stub = listed(pages).await;
    let error = stub.cloud().members(Product::Nlb, "sgp-1").await;
    assert_eq!(error.unwrap_err().kind, Kind::Incomplete);
}

#[tokio::test]
async fn pages_are_joined_and_the_largest_are_asked_for() {
    for (product, size) in [
        (Product::Alb, "100"),
        (Product::Nlb, "100"),
        (Product::Gwlb, "1000"),
    ] {
        let stub = listed(|token| match token {
            None => page(&[row("i-1")], Some("t+/="), 2),
            Some(_) => page(&[row("i-2")], Some(""), "2"),
        })
        .await;
        let view = stub.cloud().members(product, "sgp-1").await.unwrap();
        let ids: Vec<_> = view
            .members
            .iter()
            .map(|member| member.id.as_str())
            .collect();
        assert_eq!(ids, ["i-1", "i-2"]);
        assert_eq!(view.status, GroupStatus::Configuring);
        let asked = stub.asked();
        assert_eq!(asked.len(), 3);
        assert_eq!(asked[0].parameter("MaxResults"), Some(size));
        assert_eq!(asked[1].parameter("NextToken"), Some("t+/="));
    }
}

#[tokio::test]
async fn a_row_that_comes_twice_makes_the_list_incomplete() {
    incomplete(|token| match token {
        None => page(&[row("i-1")], Some("2"), Value::Null),
        Some(_) => page(&[row("i-1")], None, Value::Null),
    })
    .await;
}

#[tokio::test]
async fn a_list_shorter_or_longer_than_its_total_is_incomplete() {
    incomplete(|_| page(&[row("i-1")], None, 2)).await;
    incomplete(|_| page(&[row("i-1"), row("i-2")], None, 1)).await;
}

#[tokio::test]
async fn a_page_named_twice_ends_instead_of_going_round() {
    incomplete(|token| match token {
        None => page(&[row("i-1")], Some("a"), Value::Null),
        Some(_) => page(&[row("i-2")], Some("a"), Value::Null),
    })
    .await;
}

/// Such a list was once read for ever, with the turn of its group held.
#[tokio::test]
async fn pages_that_bring_nothing_new_under_ever_new_names_end() {
    let next = |token: Option<&str>| format!("{}x", token.unwrap_or_default());
    incomplete(move |token| page(&[], Some(&next(token)), Value::Null)).await;
    incomplete(move |token| page(&[], Some(&next(token)), 2)).await;
    incomplete(move |token| {
        let next = next(token);
        page(&[row(&next)], Some(&next), 2)
    })
    .await;
}

#[tokio::test]
async fn a_list_that_shrinks_while_it_is_read_is_read_again() {
    let shrunk = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&shrunk);
    let stub = listed(move |token| match (token, first.load(Ordering::Relaxed)) {
        (None, false) => page(&[row("i-1"), row("i-2")], Some("2"), 4),
        (Some(_), false) => {
            // A member of the first page went: the second begins one row further on.
            first.store(true, Ordering::Relaxed);
            page(&[row("i-4")], None, 3)
        }
        (None, true) => page(&[row("i-2"), row("i-3")], Some("2"), 3),
        (Some(_), true) => page(&[row("i-4")], None, 3),
    })
    .await;
    let view = stub.cloud().members(Product::Alb, "sgp-1").await.unwrap();
    assert_eq!(view.members.len(), 3);
}

#[tokio::test]
async fn a_list_that_never_holds_still_is_given_up() {
    let stub = listed(|_| page(&[row("i-1")], None, 2)).await;
    stub.cloud()
        .members(Product::Gwlb, "sgp-1")
        .await
        .unwrap_err();
    assert_eq!(stub.asked().len(), 3);
}

#[tokio::test]
async fn an_answer_without_its_list_or_with_rows_of_another_group_is_malformed_not_empty() {
    let mut stray = row("i-1");
    stray["ServerGroupId"] = json!("sgp-2");
    for answer in [
        json!({"RequestId": "r"}),
        json!({"Servers": null}),
        page(&[stray], None, 1),
        page(&[json!({"ServerType": "Ecs"})], None, 1),
    ] {
        let stub = listed(move |_| answer.clone()).await;
        let error = stub.cloud().members(Product::Gwlb, "sgp-1").await;
        assert_eq!(error.unwrap_err().kind, Kind::Malformed);
    }
    let stub = Stub::start(|_, _| ok(&json!({"RequestId": "r", "VServerGroupId": "rsp-1"}))).await;
    let error = stub.cloud().members(Product::Clb, "rsp-1").await;
    assert_eq!(error.unwrap_err().kind, Kind::Malformed);
}

#[tokio::test]
async fn states_and_types_of_later_versions_are_kept_not_guessed() {
    let stub = listed(|_| {
        let mut row = row("x-1");
        row["Status"] = json!("Hibernating");
        row["ServerType"] = json!("Quantum");
        page(&[row], None, 1)
    })
    .await;
    let view = stub.cloud().members(Product::Alb, "sgp-1").await.unwrap();
    assert_eq!(
        view.members[0].status,
        MemberStatus::Unknown("Hibernating".into())
    );
    assert_eq!(view.members[0].kind, ServerKind::Unknown("Quantum".into()));
}

#[tokio::test]
async fn only_the_member_lists_own_code_says_that_the_group_is_gone() {
    for (product, status, code, message, kind) in [
        (
            Product::Gwlb,
            404,
            "ResourceNotFound.ServerGroup",
            "",
            Kind::GroupNotFound,
        ),
        (
            Product::Nlb,
            404,
            "ResourceNotFound.serverGroup",
            "",
            Kind::GroupNotFound,
        ),
        (
            Product::Clb,
            404,
            "InvalidParameter",
            "The specified VServerGroupId does not exist.",
            Kind::GroupNotFound,
        ),
        (
            Product::Clb,
            404,
            "InvalidParameter",
            "The specified RegionId does not exist.",
            Kind::Invalid,
        ),
        (
            Product::Gwlb,
            404,
            "InvalidAccessKeyId.NotFound",
            "",
            Kind::Credentials,
        ),
        (
            Product::Gwlb,
            404,
            "InvalidAction.NotFound",
            "",
            Kind::WrongEndpoint,
        ),
    ] {
        let stub = Stub::start(move |_, _| refusal(status, code, message)).await;
        let error = stub.cloud().members(product, "g").await.unwrap_err();
        assert_eq!(error.kind, kind, "{code} {message}");
    }
    // The group list leaves it out: that proves nothing.
    let stub = Stub::start(|_, asked: &Asked| match asked.action.as_str() {
        "ListServerGroupServers" => ok(&page(&[], None, 0)),
        _ => ok(&json!({"ServerGroups": [], "TotalCount": 0})),
    })
    .await;
    let view = stub.cloud().members(Product::Gwlb, "sgp-1").await.unwrap();
    assert_eq!(view.status, GroupStatus::Unknown(String::new()));
}

#[tokio::test]
async fn clb_rows_serve_and_several_addresses_of_one_interface_are_several_members() {
    let stub = Stub::start(|_, _| {
        let rows = json!([
            {"ServerId": "i-1", "Port": 80, "Weight": "100", "Type": "ecs", "ServerIp": ""},
            {"ServerId": "eni-1", "Port": "80", "Weight": 0, "Type": "eni", "ServerIp": "10.0.0.1"},
            {"ServerId": "eni-1", "Port": 80, "Weight": 50, "Type": "eni", "ServerIp": "10.0.0.2"},
        ]);
        ok(&json!({"RequestId": "r", "BackendServers": {"BackendServer": rows}}))
    })
    .await;
    let view = stub.cloud().members(Product::Clb, "rsp-1").await.unwrap();
    let weights: Vec<_> = view.members.iter().map(|member| member.weight).collect();
    assert_eq!(weights, [Some(100), Some(0), Some(50)]);
    assert!(
        view.members
            .iter()
            .all(|member| member.status == MemberStatus::Available)
    );
    assert_eq!(view.members[0].ip, None);
}

fn member(id: &str, weight: Option<u8>) -> MemberChange {
    MemberChange {
        id: id.into(),
        kind: ServerKind::Eni,
        ip: Some("10.0.0.4".to_owned()),
        port: Some(80),
        weight,
        remote_ip: false,
    }
}

#[tokio::test]
async fn an_address_outside_of_the_vpc_is_added_as_the_sdk_adds_it() {
    let recorded: Value =
        serde_json::from_str(include_str!("../../../tests/wire-vectors/alb.json")).unwrap();
    let mut cases = recorded["cases"].as_array().unwrap().iter();
    let case = cases.find(|case| case["id"] == "alb/AddServersToServerGroup/ip-remote");
    let form = &case.unwrap()["request"]["form"];
    let stub = Stub::start(|_, _| ok(&json!({"RequestId": "r", "JobId": "job-1"}))).await;
    let address = |id: &str, remote_ip| MemberChange {
        id: id.into(),
        kind: ServerKind::Ip,
        ip: None,
        port: Some(443),
        weight: None,
        remote_ip,
    };
    let members = [address("10.0.0.5", true), address("10.0.0.6", false)];
    let cloud = stub.cloud();
    cloud
        .add_members(Product::Alb, "sgp-1", &members, "t")
        .await
        .unwrap();
    let added = &stub.asked()[0];
    for name in [
        "Servers.1.RemoteIpEnabled",
        "Servers.1.ServerId",
        "Servers.1.ServerType",
        "Servers.1.Port",
        "Servers.2.ServerId",
        "Servers.2.ServerType",
    ] {
        assert_eq!(added.parameter(name), form[name].as_str(), "{name}");
    }
    let absent = added.parameter("Servers.2.RemoteIpEnabled");
    assert_eq!(absent, None, "false is what its absence means");
    // No other action has it.
    cloud
        .remove_members(Product::Alb, "sgp-1", &members, "t")
        .await
        .unwrap();
    let removed = &stub.asked()[1];
    assert_eq!(removed.parameter("Servers.1.RemoteIpEnabled"), None);
}

#[tokio::test]
async fn where_an_address_is_may_be_written_in_several_ways_or_not_at_all() {
    let stub = listed(|_| {
        let rows = [json!(true), json!("False"), json!(null), json!("")].into_iter();
        let rows = rows.enumerate().map(|(number, remote)| {
            let mut row = row(&format!("10.0.0.{number}"));
            row["RemoteIpEnabled"] = remote;
            row
        });
        let mut rows: Vec<_> = rows.collect();
        rows.push(row("10.0.0.9"));
        page(&rows, None, 5)
    })
    .await;
    let view = stub.cloud().members(Product::Alb, "sgp-1").await.unwrap();
    let remote: Vec<_> = view.members.iter().map(|member| member.remote_ip).collect();
    assert_eq!(remote, [Some(true), Some(false), None, None, None]);
}

#[tokio::test]
async fn a_removal_names_the_member_in_full_and_no_weight() {
    for product in [Product::Clb, Product::Alb, Product::Nlb] {
        let stub = Stub::start(|_, _| ok(&json!({"RequestId": "r", "JobId": "job-1"}))).await;
        let answer = stub
            .cloud()
            .remove_members(product, "g", &[member("eni-1", Some(7))], "token-1")
            .await
            .unwrap();
        assert_eq!(answer.reference.as_deref(), Some("job-1"));
        let asked = &stub.asked()[0];
        if product == Product::Clb {
            let rows: Value =
                serde_json::from_str(asked.parameter("BackendServers").unwrap()).unwrap();
            assert_eq!(
                rows,
                json!([{"ServerId": "eni-1", "Type": "eni", "ServerIp": "10.0.0.4", "Port": "80"}])
            );
            assert_eq!(asked.parameter("ClientToken"), None, "CLB takes none");
        } else {
            assert_eq!(asked.parameter("Servers.1.ServerIp"), Some("10.0.0.4"));
            assert_eq!(asked.parameter("Servers.1.Weight"), None);
            assert_eq!(asked.parameter("ClientToken"), Some("token-1"));
        }
        assert_eq!(asked.parameter("DryRun"), None);
    }
}

#[tokio::test]
async fn a_long_alb_removal_travels_as_a_form_because_urls_have_bounds() {
    let stub = Stub::start(|_, _| ok(&json!({"RequestId": "r"}))).await;
    let members: Vec<_> = (0..200)
        .map(|n| member(&format!("eni-{n}"), None))
        .collect();
    for some in [&members[..40], &members[..]] {
        stub.cloud()
            .remove_members(Product::Alb, "sgp-1", some, "token-1")
            .await
            .unwrap();
    }
    let asked = stub.asked();
    assert!(asked[0].form.is_empty());
    assert_eq!(asked[1].form.len(), 200 * 4);
    assert_eq!(asked[1].query["ServerGroupId"], "sgp-1");
}

#[tokio::test]
async fn a_refused_change_says_whether_one_member_is_at_fault() {
    let stub = Stub::start(|_, _| refusal(400, "ObtainIpFail", "no address")).await;
    let error = stub
        .cloud()
        .add_members(Product::Clb, "rsp-1", &[member("eni-1", None)], "t")
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.outcome),
        (Kind::NotReady, Outcome::Refused)
    );
}
