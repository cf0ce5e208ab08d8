//! The other two kinds of the operator.

use serde_json::{Value, json};

use super::{changed, everywhere_in_pages, read_before_a_removal};
use crate::{
    ask::{account, attachment, delete, everywhere, get, metadata, patch, post, put},
    play::Play,
};

pub async fn accounts(play: &mut Play) {
    let all = everywhere("cloudaccounts");
    let name = play.paths.0.clone();
    let path = format!("{all}/{name}");
    let begin = play
        .expect(200, metadata(&format!("{all}?limit=1000")))
        .await;
    let body = changed(account(json!({"name": name})), |object| {
        object["status"] = json!({"a": 1});
    });
    let made = play.expect(201, post(&all, body.clone())).await;
    play.expect(409, post(&all, body)).await;
    play.expect(200, get(&path)).await;
    play.expect_with(200, |side| put(&path, side.body(made)))
        .await;
    for (code, body) in [
        (200, json!({"metadata": {"labels": {"a": "b"}}})),
        (200, json!({"spec": {"network": "Vpc"}})),
        (
            422,
            json!({"spec": {"grants": [{"name": "x"}, {"name": "x"}]}}),
        ),
        (200, json!({"spec": {"grants": null, "network": null}})),
        (200, json!({"status": {"a": 1}})),
    ] {
        play.expect(code, patch(&path, body)).await;
    }
    let there = format!("{path}/status");
    let now = play.expect(200, get(&there)).await;
    play.expect_with(200, |side| {
        let told = changed(side.body(now), |object| {
            object["status"] = json!({"observedGeneration": 3, "accountId": "1"});
        });
        put(&there, told)
    })
    .await;
    play.expect(404, get(&format!("{all}/{name}-other"))).await;
    let second = account(json!({"name": format!("{name}-2")}));
    play.expect(201, post(&all, second)).await;
    everywhere_in_pages(play, "cloudaccounts").await;
    play.expect(200, delete(&format!("{path}-2"), Value::Null))
        .await;
    play.expect(200, delete(&path, Value::Null)).await;
    let end = format!("{name}-end");
    play.watch(&all, &all, begin, account(json!({"name": end})))
        .await;
    // It belongs to no namespace: others would find it.
    play.expect(200, delete(&format!("{all}/{end}"), Value::Null))
        .await;
}

pub async fn attachments(play: &mut Play) {
    let all = play.paths.attachments();
    let path = format!("{all}/a");
    let there = format!("{path}/status");
    let begin = play.expect(200, get(&format!("{all}?limit=1"))).await;
    let made = play
        .expect(201, post(&all, attachment(json!({"name": "a"}))))
        .await;
    play.expect(201, post(&all, attachment(json!({"name": "b"}))))
        .await;
    play.expect(200, get(&path)).await;
    play.expect(200, metadata(&format!("{all}?limit=1"))).await;
    play.expect_with(200, |side| {
        let object = changed(side.body(made), |object| {
            object["status"] = json!({"summary": "x", "observedGeneration": 1});
            object["spec"] = json!({});
        });
        put(&there, object)
    })
    .await;
    let now = play.expect(200, get(&path)).await;
    play.expect_with(200, |side| {
        let version = side.of(now, "resourceVersion");
        patch(
            &path,
            json!({"metadata": {"resourceVersion": version, "finalizers": ["a/b"]}}),
        )
    })
    .await;
    play.list_all(get(&format!("{all}?limit=1"))).await;
    let kind = "scalinggroupattachments";
    everywhere_in_pages(play, kind).await;
    read_before_a_removal(play, kind, &all, "spec.scalingGroupId=asg-web").await;
    play.expect(
        200,
        patch(&path, json!({"spec": {"force": null, "suspend": true}})),
    )
    .await;
    play.expect(200, delete(&path, Value::Null)).await;
    play.expect(200, patch(&path, json!({"metadata": {"finalizers": null}})))
        .await;
    play.watch(&all, &all, begin, attachment(json!({"name": "end"})))
        .await;
    let everywhere = everywhere("scalinggroupattachments");
    play.watch(
        &everywhere,
        &all,
        begin,
        attachment(json!({"name": "end-2"})),
    )
    .await;
}
