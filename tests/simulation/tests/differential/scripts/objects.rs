//! What is written to an object, and how it ends.

use serde_json::{Value, json};

use super::changed;
use crate::{
    ask::{delete, get, membership, patch, post, put, request},
    play::Play,
};

pub async fn create(play: &mut Play) {
    let all = play.paths.memberships();
    let rich = changed(
        membership(json!({
            "name": "a", "bogus": 1, "finalizers": [], "labels": {}, "annotations": {"x": ""},
            "generation": 7, "uid": "u", "creationTimestamp": "2020-01-01T00:00:00Z",
            "deletionTimestamp": "2020-01-01T00:00:00Z", "ownerReferences": null,
        })),
        |object| {
            object["bogus"] = json!({"deep": true});
            object["spec"]["bogus"] = json!(1);
            object["spec"]["serverGroup"]["bogus"] = json!(1);
            object["spec"]["servers"][0]["weight"] = Value::Null;
            object["spec"]["removal"] = json!({"drainSeconds": 5});
            object["spec"]["mode"] = Value::Null;
            object["status"] = json!({"summary": "not yours"});
        },
    );
    play.expect(201, post(&all, rich.clone())).await;
    play.expect(409, post(&all, rich)).await;
    let path = play.paths.membership("a");
    play.expect(200, get(&path)).await;
    play.expect(200, get(&format!("{path}/status"))).await;
    let named = membership(json!({"name": "b", "generateName": "g-"}));
    play.expect(201, post(&all, named)).await;
    let unnamed = membership(json!({"generateName": "g-", "finalizers": ["a/b", "a/b"]}));
    play.expect(201, post(&all, unnamed.clone())).await;
    play.expect(201, post(&all, unnamed)).await;
    // Its answer has the code of a conflict: the server looks at the body, not at the path.
    play.expect(409, post(&path, membership(json!({"name": "a"}))))
        .await;
    play.expect(422, post(&all, membership(json!({})))).await;
    let elsewhere = membership(json!({"name": "c", "namespace": "elsewhere"}));
    play.expect(400, post(&all, elsewhere)).await;
    let other = changed(membership(json!({"name": "c"})), |object| {
        object["kind"] = json!("X")
    });
    play.expect(422, post(&all, other)).await;
    play.expect(400, post(&all, json!({"metadata": {"name": "c"}})))
        .await;
    play.expect(400, post(&all, json!([]))).await;
    let versioned = membership(json!({"name": "c", "resourceVersion": "5"}));
    play.expect(500, post(&all, versioned)).await;
    for (field, wrong) in [
        ("servers", Value::Null),
        ("servers", json!({})),
        ("mode", json!("Bogus")),
        ("intervalSeconds", json!(1)),
        ("suspend", json!("yes")),
        ("regionId", json!("x".repeat(40))),
        (
            "servers",
            json!(vec![json!({"id": "i-1", "port": 80}); 1001]),
        ),
        ("serverGroup", json!({"type": "CLB"})),
        ("servers", json!([{"port": 80}])),
        ("removal", json!({"minServing": true})),
    ] {
        let wrong = changed(membership(json!({"name": "c"})), |object| {
            object["spec"][field] = wrong.clone();
        });
        play.expect(422, post(&all, wrong)).await;
    }
}

pub async fn replace(play: &mut Play) {
    let path = play.paths.membership("a");
    let made = membership(json!({"name": "a"}));
    let first = play
        .expect(201, post(&play.paths.memberships(), made))
        .await;
    // The first write stores the default of status, and is a change therefore.
    let second = play
        .expect_with(200, |side| put(&path, side.body(first)))
        .await;
    play.expect_with(200, |side| put(&path, side.body(second)))
        .await;
    play.expect_with(409, |side| put(&path, side.body(first)))
        .await;
    let third = play
        .expect_with(200, |side| {
            let object = changed(side.body(second), |object| {
                object["spec"]["servers"] = json!([]);
                object["spec"]["removal"] = Value::Null;
                object["status"] = json!({"summary": "not yours"});
                object["metadata"]["labels"] = json!({"a": "b"});
                object["metadata"]["generation"] = json!(77);
            });
            put(&path, object)
        })
        .await;
    let fourth = play
        .expect_with(200, |side| {
            let object = changed(side.body(third), |object| {
                object["metadata"] = json!({
                    "name": "a", "resourceVersion": object["metadata"]["resourceVersion"], "finalizers": ["a/b"],
                });
            });
            put(&path, object)
        })
        .await;
    for (code, field, value) in [
        (422, "resourceVersion", Value::Null),
        (409, "uid", json!("another")),
        (400, "name", json!("b")),
        (400, "name", Value::Null),
        (400, "namespace", json!("elsewhere")),
        (422, "deletionTimestamp", json!("2020-01-01T00:00:00Z")),
        (500, "resourceVersion", json!("x")),
        (200, "creationTimestamp", json!("2020-01-01T00:00:00Z")),
    ] {
        play.expect_with(code, |side| {
            let object = changed(side.body(fourth), |object| {
                object["metadata"][field] = value.clone()
            });
            put(&path, object)
        })
        .await;
    }
    play.expect_with(422, |side| {
        put(
            &path,
            changed(side.body(fourth), |object| {
                object["spec"]["mode"] = json!("Bogus")
            }),
        )
    })
    .await;
    let missing = play.paths.membership("b");
    for metadata in [
        json!({"name": "b"}),
        json!({"name": "b", "resourceVersion": "1", "uid": "u"}),
    ] {
        play.expect(404, put(&missing, membership(metadata))).await;
    }
}

pub async fn status(play: &mut Play) {
    let path = play.paths.membership("a");
    let there = format!("{path}/status");
    let made = membership(json!({"name": "a", "finalizers": ["a/b"]}));
    let first = play
        .expect(201, post(&play.paths.memberships(), made))
        .await;
    let write = |object: Value| {
        changed(object, |object| {
            object["status"] = json!({
                "summary": "2 of 2", "bogus": 1, "observedGeneration": null,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Converged", "message": "",
                    "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z", "bogus": 1,
                }],
                "ledger": {"uid": "u", "registered": ["i-1:80"]},
            });
            object["spec"]["suspend"] = json!(true);
            object["metadata"]["labels"] = json!({"a": "b"});
            object["metadata"]["finalizers"] = json!([]);
        })
    };
    let second = play
        .expect_with(200, |side| put(&there, write(side.body(first))))
        .await;
    play.expect_with(200, |side| put(&there, write(side.body(second))))
        .await;
    play.expect_with(409, |side| put(&there, write(side.body(first))))
        .await;
    play.expect(200, get(&path)).await;
    for (code, field, value) in [
        (422, "resourceVersion", Value::Null),
        (409, "uid", json!("another")),
        (400, "name", json!("b")),
    ] {
        play.expect_with(code, |side| {
            let object = changed(side.body(second), |object| {
                object["metadata"][field] = value.clone()
            });
            put(&there, object)
        })
        .await;
    }
    let third = play
        .expect_with(200, |side| {
            put(
                &there,
                changed(side.body(second), |object| object["status"] = Value::Null),
            )
        })
        .await;
    play.expect_with(200, |side| put(&path, side.body(third)))
        .await;
    for (code, body) in [
        (
            200,
            json!({"status": {"summary": "x"}, "spec": {"suspend": true}, "metadata": {"labels": {"a": "b"}}}),
        ),
        (200, json!({"status": {"summary": "x"}})),
        (
            200,
            json!({"metadata": {"uid": "another", "finalizers": null}}),
        ),
        (
            409,
            json!({"metadata": {"resourceVersion": "1"}, "status": {"summary": "y"}}),
        ),
        (
            422,
            json!({"metadata": {"resourceVersion": null}, "status": {"summary": "y"}}),
        ),
        (422, json!({"status": {"summary": 5}})),
        (422, json!({"status": {"conditions": [{"type": "Ready"}]}})),
        (200, json!({"status": null})),
        (200, json!({})),
    ] {
        play.expect(code, patch(&there, body)).await;
    }
    let missing = format!("{}/status", play.paths.membership("b"));
    play.expect(404, put(&missing, membership(json!({"name": "b"}))))
        .await;
    play.expect(404, patch(&missing, json!({}))).await;
}

pub async fn patches(play: &mut Play) {
    let path = play.paths.membership("a");
    let made = membership(json!({"name": "a"}));
    let first = play
        .expect(201, post(&play.paths.memberships(), made))
        .await;
    play.expect(200, patch(&path, json!({}))).await;
    for (code, body) in [
        (200, json!({})),
        (200, json!({"status": {"summary": "not yours"}})),
        (
            200,
            json!({"spec": {"intervalSeconds": 60, "bogus": 1, "removal": {"drainSeconds": 5}}}),
        ),
        (200, json!({"spec": {"intervalSeconds": 60}})),
        (
            200,
            json!({"spec": {"intervalSeconds": null, "removal": null}}),
        ),
        (200, json!({"metadata": {"labels": {"a": "b", "c": "d"}}})),
        (
            200,
            json!({"metadata": {"labels": {"a": null}, "annotations": {"x": "y"}}}),
        ),
        (
            200,
            json!({"metadata": {"labels": null, "annotations": {"x": null}}}),
        ),
        (
            200,
            json!({"metadata": {"generation": 50, "creationTimestamp": "2020-01-01T00:00:00Z"}}),
        ),
        (200, json!({"metadata": {"finalizers": ["a/b", "c/d"]}})),
        (200, json!({"metadata": {"finalizers": ["c/d"]}})),
        (200, json!({"metadata": {"finalizers": []}})),
        (
            409,
            json!({"metadata": {"resourceVersion": "1", "finalizers": ["a/b"]}}),
        ),
        (409, json!({"metadata": {"resourceVersion": "1"}})),
        (422, json!({"metadata": {"resourceVersion": ""}})),
        (422, json!({"metadata": {"uid": "another"}})),
        (
            422,
            json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}),
        ),
        (422, json!({"spec": {"servers": null}})),
        (
            422,
            json!({"spec": {"mode": "Bogus", "intervalSeconds": 1}}),
        ),
        (422, json!({"kind": "X"})),
        (400, json!({"metadata": {"name": "b"}})),
        (400, json!({"metadata": {"namespace": "elsewhere"}})),
        (400, json!([])),
    ] {
        play.expect(code, patch(&path, body)).await;
    }
    let finalizers =
        |version: String| json!({"metadata": {"resourceVersion": version, "finalizers": ["a/b"]}});
    play.expect_with(409, |side| {
        patch(&path, finalizers(side.of(first, "resourceVersion")))
    })
    .await;
    let now = play.expect(200, get(&path)).await;
    play.expect_with(200, |side| {
        patch(&path, finalizers(side.of(now, "resourceVersion")))
    })
    .await;
    for unknown in ["application/strategic-merge-patch+json", "text/plain"] {
        play.expect(415, request("PATCH", &path, unknown, json!({})))
            .await;
    }
    play.expect(404, patch(&play.paths.membership("b"), json!({})))
        .await;
}

pub async fn deletion(play: &mut Play) {
    let (all, path) = (play.paths.memberships(), play.paths.membership("a"));
    let begin = play.expect(200, get(&all)).await;
    let held = membership(json!({"name": "a", "finalizers": ["a/b", "c/d"]}));
    let made = play.expect(201, post(&all, held)).await;
    for wrong in [json!({"uid": "another"}), json!({"resourceVersion": "1"})] {
        play.expect(409, delete(&path, json!({"preconditions": wrong})))
            .await;
    }
    let deleted = play
        .expect_with(200, |side| {
            let (uid, version) = (side.of(made, "uid"), side.of(made, "resourceVersion"));
            let these = json!({"uid": uid, "resourceVersion": version});
            delete(&path, json!({"preconditions": these}))
        })
        .await;
    play.expect(200, delete(&path, Value::Null)).await;
    play.expect(
        409,
        delete(&path, json!({"preconditions": {"uid": "another"}})),
    )
    .await;
    for (code, body) in [
        (
            422,
            json!({"metadata": {"finalizers": ["a/b", "c/d", "e/f"]}}),
        ),
        (200, json!({"metadata": {"finalizers": ["c/d"]}})),
        (422, json!({"metadata": {"finalizers": ["a/b"]}})),
        (
            200,
            json!({"metadata": {"deletionTimestamp": null, "deletionGracePeriodSeconds": null}}),
        ),
        (
            200,
            json!({"spec": {"suspend": true}, "metadata": {"labels": {"a": "b"}}}),
        ),
    ] {
        play.expect(code, patch(&path, body)).await;
    }
    play.expect(
        200,
        patch(
            &format!("{path}/status"),
            json!({"status": {"summary": "x"}}),
        ),
    )
    .await;
    play.expect_with(409, |side| put(&path, side.body(deleted)))
        .await;
    play.expect(409, post(&all, membership(json!({"name": "a"}))))
        .await;
    let last = json!({"metadata": {"finalizers": null}, "spec": {"suspend": false}});
    play.expect(200, patch(&path, last)).await;
    play.expect(404, get(&path)).await;
    play.expect(404, patch(&path, json!({}))).await;
    play.expect(404, delete(&path, Value::Null)).await;
    play.expect_with(404, |side| put(&path, side.body(deleted)))
        .await;
    play.expect(201, post(&all, membership(json!({"name": "a"}))))
        .await;
    play.expect_with(409, |side| {
        delete(
            &path,
            json!({"preconditions": {"uid": side.of(made, "uid")}}),
        )
    })
    .await;
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
    play.expect(200, delete(&path, options)).await;
    // An object that was never written after it was made, and one that loses its finalizer by a PUT.
    let held = membership(json!({"name": "b", "finalizers": ["a/b"]}));
    play.expect(201, post(&all, held)).await;
    let path = play.paths.membership("b");
    let waits = play.expect(200, delete(&path, Value::Null)).await;
    play.expect_with(200, |side| {
        put(
            &path,
            changed(side.body(waits), |object| {
                object["metadata"]["finalizers"] = json!([])
            }),
        )
    })
    .await;
    play.watch(&all, &all, begin, membership(json!({"name": "end"})))
        .await;
}
