//! Lists, watches, and paths that lead nowhere.

use serde_json::{Value, json};

use super::{everywhere_in_pages, read_before_a_removal};
use crate::{
    ask::{delete, everywhere, get, lease, membership, metadata, patch, post, put},
    play::Play,
};

pub async fn pages(play: &mut Play) {
    let all = play.paths.memberships();
    play.expect(200, get(&format!("{all}?limit=2"))).await;
    for name in ["d", "a", "c", "b", "a-b"] {
        play.expect(201, post(&all, membership(json!({"name": name}))))
            .await;
    }
    let first = play.expect(200, get(&format!("{all}?limit=2"))).await;
    play.expect(200, delete(&play.paths.membership("c"), Value::Null))
        .await;
    play.expect(
        200,
        patch(
            &play.paths.membership("d"),
            json!({"spec": {"suspend": true}}),
        ),
    )
    .await;
    play.expect(201, post(&all, membership(json!({"name": "e"}))))
        .await;
    for limit in [1, 2, 3, 10] {
        let next = play
            .expect_with(200, |side| {
                let mut request = get(&format!("{all}?limit={limit}"));
                request
                    .query
                    .insert("continue".to_owned(), side.of(first, "continue"));
                request
            })
            .await;
        if limit == 1 {
            play.expect_with(200, |side| {
                let mut request = get(&format!("{all}?limit=1"));
                request
                    .query
                    .insert("continue".to_owned(), side.of(next, "continue"));
                request
            })
            .await;
        }
    }
    play.expect(200, get(&all)).await;
    play.expect(200, metadata(&format!("{all}?limit=2"))).await;
    play.expect(200, metadata(&all)).await;
    play.expect(200, metadata(&play.paths.attachments())).await;
    play.expect(400, get(&format!("{all}?limit=1&continue=bogus")))
        .await;
    let kind = "servergroupmemberships";
    everywhere_in_pages(play, kind).await;
    read_before_a_removal(play, kind, &all, "spec.serverGroup.id=rsp-web").await;
}

pub async fn watches(play: &mut Play) {
    let all = play.paths.memberships();
    let empty = play.expect(200, get(&format!("{all}?limit=1"))).await;
    let path = play.paths.membership("a");
    let made = play
        .expect(201, post(&all, membership(json!({"name": "a"}))))
        .await;
    play.expect_with(200, |side| put(&path, side.body(made)))
        .await;
    play.expect(200, patch(&path, json!({}))).await;
    play.expect(
        200,
        patch(&path, json!({"metadata": {"finalizers": ["a/b"]}})),
    )
    .await;
    play.expect(
        200,
        patch(
            &format!("{path}/status"),
            json!({"status": {"summary": "x"}}),
        ),
    )
    .await;
    play.expect(200, delete(&path, Value::Null)).await;
    play.expect(200, patch(&path, json!({"metadata": {"finalizers": []}})))
        .await;
    play.expect(201, post(&all, membership(json!({"name": "a"}))))
        .await;
    play.expect(200, delete(&path, Value::Null)).await;
    play.watch(&all, &all, empty, membership(json!({"name": "end"})))
        .await;
    play.watch(&all, &all, made, membership(json!({"name": "end-2"})))
        .await;
    let everywhere = everywhere("servergroupmemberships");
    play.watch(
        &everywhere,
        &all,
        empty,
        membership(json!({"name": "end-3"})),
    )
    .await;
    // Of what changed elsewhere nothing is told but that the time has come this far.
    let elsewhere = all.replace(&play.paths.0, "elsewhere");
    let waits = format!("{elsewhere}?watch=true&allowWatchBookmarks=true&timeoutSeconds=5");
    let real = play.real_version(empty);
    let memory = play.memory_version(empty);
    play.first_line(
        &format!("{waits}&resourceVersion={real}"),
        &format!("{waits}&resourceVersion={memory}"),
        true,
    )
    .await;
    play.compact_memory();
    let late = format!("{all}?watch=true&resourceVersion=1");
    play.first_line(&late, &late, false).await;
}

pub async fn paths(play: &mut Play) {
    let all = play.paths.memberships();
    play.expect(201, post(&all, membership(json!({"name": "a"}))))
        .await;
    let a = play.paths.membership("a");
    let namespace = play.paths.0.clone();
    let account = everywhere("cloudaccounts").replace("/cloudaccounts", "");
    for path in [
        "/apis/servergroup.alicloud.dev/v1alpha1/nothing",
        "/apis/servergroup.alicloud.dev/v1/cloudaccounts",
        "/apis/nothing.example.com/v1/things",
        "/apis/coordination.k8s.io/v1/nothing",
        "/api/v1/namespaces/nowhere/nothing",
        &format!("{account}/namespaces/{namespace}/cloudaccounts"),
        &format!("{account}/servergroupmemberships/a"),
        &format!("{a}/scale"),
    ] {
        play.expect(404, get(path)).await;
    }
    let body = membership(json!({"name": "b"}));
    play.expect(
        404,
        post(&everywhere("servergroupmemberships"), body.clone()),
    )
    .await;
    play.expect(
        405,
        post(
            "/apis/coordination.k8s.io/v1/leases",
            lease(json!({"name": "a"}), "a"),
        ),
    )
    .await;
    play.expect(400, put(&all, body.clone())).await;
    play.expect(400, patch(&all, json!({}))).await;
    play.expect(405, post(&format!("{a}/status"), body)).await;
    play.expect(405, delete(&format!("{a}/status"), Value::Null))
        .await;
}
