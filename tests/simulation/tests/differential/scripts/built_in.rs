//! Leases, events and namespaces.

use serde_json::{Value, json};

use super::changed;
use crate::{
    ask::{delete, event, get, lease, membership, metadata, patch, post, put},
    play::Play,
};

pub async fn leases(play: &mut Play) {
    let all = play.paths.leases();
    let path = format!("{all}/one");
    let begin = play.expect(200, get(&all)).await;
    play.expect(404, get(&path)).await;
    let made = play
        .expect(201, post(&all, lease(json!({"name": "one"}), "a")))
        .await;
    play.expect(409, post(&all, lease(json!({"name": "one"}), "b")))
        .await;
    play.expect_with(200, |side| put(&path, side.body(made)))
        .await;
    let hold = |holder: &'static str| {
        move |object: Value| {
            changed(object, |object| {
                object["spec"]["holderIdentity"] = json!(holder);
                object["spec"]["bogus"] = json!(1);
                object["status"] = json!({"a": 1});
            })
        }
    };
    let taken = play
        .expect_with(200, |side| put(&path, hold("b")(side.body(made))))
        .await;
    play.expect_with(409, |side| put(&path, hold("c")(side.body(made))))
        .await;
    let given_back = play
        .expect_with(200, |side| put(&path, hold("")(side.body(taken))))
        .await;
    // As the operator does it: a name and a version, nothing else of metadata.
    play.expect_with(200, |side| {
        let version = side.of(given_back, "resourceVersion");
        put(
            &path,
            lease(json!({"name": "one", "resourceVersion": version}), "d"),
        )
    })
    .await;
    play.expect(422, put(&path, lease(json!({"name": "one"}), "e")))
        .await;
    play.expect_with(409, |side| {
        put(
            &path,
            changed(side.body(made), |object| {
                object["metadata"]["uid"] = json!("another")
            }),
        )
    })
    .await;
    play.expect(200, patch(&path, json!({"spec": {"holderIdentity": null}})))
        .await;
    play.expect(
        200,
        patch(&path, json!({"metadata": {"finalizers": ["a/b"]}})),
    )
    .await;
    play.expect(200, delete(&path, Value::Null)).await;
    play.expect(200, patch(&path, json!({"metadata": {"finalizers": null}})))
        .await;
    play.expect(
        405,
        post(&format!("{all}/one"), lease(json!({"name": "one"}), "a")),
    )
    .await;
    play.expect(405, put(&all, lease(json!({"name": "one"}), "a")))
        .await;
    play.watch(&all, &all, begin, lease(json!({"name": "end"}), "a"))
        .await;
}

pub async fn new_leases(play: &mut Play) {
    let all = play.paths.leases();
    // What does not exist is made by a PUT, whatever version it names; not if it names a uid.
    for (code, name, metadata) in [
        (201, "two", json!({"name": "two"})),
        (
            201,
            "three",
            json!({"name": "three", "resourceVersion": "4"}),
        ),
        (
            409,
            "four",
            json!({"name": "four", "resourceVersion": "4", "uid": "u"}),
        ),
    ] {
        play.expect(code, put(&format!("{all}/{name}"), lease(metadata, "a")))
            .await;
    }
    play.expect(201, post(&all, json!({"metadata": {"name": "bare"}})))
        .await;
    play.expect(200, delete(&format!("{all}/two"), Value::Null))
        .await;
    play.expect(200, get(&all)).await;
    play.expect(200, get(&format!("{all}?limit=1"))).await;
    play.expect(200, metadata(&all)).await;
    play.expect(404, get(&format!("{all}/three/status"))).await;
    play.expect(
        500,
        post(
            &all,
            lease(json!({"name": "x", "resourceVersion": "4"}), "a"),
        ),
    )
    .await;
    let other = changed(lease(json!({"name": "x"}), "a"), |object| {
        object["kind"] = json!("X")
    });
    play.expect(400, post(&all, other)).await;
}

pub async fn events(play: &mut Play) {
    let (all, core) = (play.paths.events(), play.paths.core_events());
    let namespace = play.paths.0.clone();
    let begin = play.expect(200, get(&all)).await;
    let one = event(json!({"name": "a.1", "namespace": namespace}), &namespace);
    play.expect(201, post(&all, one.clone())).await;
    play.expect(409, post(&all, one)).await;
    let generated = event(json!({"generateName": "a-"}), &namespace);
    play.expect(
        201,
        post(&all, changed(generated, |event| event["bogus"] = json!(1))),
    )
    .await;
    let old = json!({
        "metadata": {"name": "b"}, "type": "Normal", "reason": "R", "message": "m", "count": 1,
        "involvedObject": {"kind": "X", "name": "a", "namespace": namespace},
        "source": {"component": "c"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
    });
    play.expect(201, post(&core, old)).await;
    for (all, name) in [(&all, "a.1"), (&all, "b"), (&core, "a.1"), (&core, "b")] {
        play.expect(200, get(&format!("{all}/{name}"))).await;
    }
    play.expect(200, get(&format!("{core}?limit=1"))).await;
    play.expect(200, delete(&format!("{core}/b"), Value::Null))
        .await;
    play.expect(404, get(&format!("{all}/b"))).await;
    play.expect(200, delete(&format!("{all}/a.1"), Value::Null))
        .await;
    for watched in [&all, &core] {
        let name = if *watched == all { "end" } else { "end-2" };
        let end = event(json!({"name": name}), &namespace);
        play.watch(watched, &all, begin, end).await;
    }
    let nowhere = all.replace(&namespace, "nowhere");
    play.expect(404, post(&nowhere, event(json!({"name": "a"}), "nowhere")))
        .await;
}

pub async fn namespaces(play: &mut Play) {
    let path = play.paths.namespace();
    let all = play.paths.memberships();
    let name = play.paths.0.clone();
    let there = play.expect(200, get(&path)).await;
    play.expect_with(200, |side| put(&path, side.body(there)))
        .await;
    play.expect(
        409,
        post("/api/v1/namespaces", json!({"metadata": {"name": name}})),
    )
    .await;
    let generated = json!({
        "metadata": {"generateName": format!("{name}-"), "labels": {"a": "b"}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"},
    });
    let other = play
        .expect(201, post("/api/v1/namespaces", generated))
        .await;
    play.expect(
        404,
        post(
            &all.replace(&name, "nowhere"),
            membership(json!({"name": "a"})),
        ),
    )
    .await;
    play.expect(404, get(&format!("{}/a", all.replace(&name, "nowhere"))))
        .await;
    play.expect(200, get(&all.replace(&name, "nowhere"))).await;
    let held = membership(json!({"name": "a", "finalizers": ["a/b"]}));
    play.expect(201, post(&all, held.clone())).await;
    play.expect(200, patch(&path, json!({"metadata": {"labels": {"a": "b"}}, "spec": {"finalizers": null}, "status": {"phase": "X"}}))).await;
    play.expect(
        409,
        delete(&path, json!({"preconditions": {"uid": "another"}})),
    )
    .await;
    play.expect(200, delete(&path, Value::Null)).await;
    play.expect(200, delete(&path, Value::Null)).await;
    play.expect(200, get(&path)).await;
    play.expect(403, post(&all, held)).await;
    play.expect(403, post(&all, membership(json!({"name": "b"}))))
        .await;
    let events = play.paths.events();
    play.expect(403, post(&events, event(json!({"name": "a"}), &name)))
        .await;
    play.expect(
        403,
        put(
            &format!("{}/a", play.paths.leases()),
            lease(json!({"name": "a"}), "a"),
        ),
    )
    .await;
    let a = play.paths.membership("a");
    play.expect(200, patch(&a, json!({"spec": {"suspend": true}})))
        .await;
    play.expect(
        200,
        patch(&format!("{a}/status"), json!({"status": {"summary": "x"}})),
    )
    .await;
    play.expect(200, delete(&a, Value::Null)).await;
    play.expect(200, patch(&a, json!({"metadata": {"finalizers": null}})))
        .await;
    play.expect_with(200, |side| {
        delete(
            &format!("/api/v1/namespaces/{}", side.of(other, "name")),
            Value::Null,
        )
    })
    .await;
    play.expect(404, delete("/api/v1/namespaces/nowhere", Value::Null))
        .await;
}
