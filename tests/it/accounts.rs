//! What an account says of itself, and that it stays for as long as objects need it.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use server_group_operator::api::{
    ACCOUNT_FINALIZER, CloudAccount, ScalingGroupAttachment, ServerGroupMembership,
};

use crate::{
    kinds::Kind,
    stage::{Stage, eventually},
};

/// Somebody else's entry, which serves.
const OTHER: usize = 39;

fn accounts(stage: &Stage) -> Api<CloudAccount> {
    Api::all(stage.client.clone())
}

/// The account, once it is as wanted.
async fn account_is(stage: &Stage, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let (accounts, name) = (accounts(stage), stage.account());
    stage
        .eventually(what, || async {
            let account = accounts.get(&name).await.ok()?;
            let account = serde_json::to_value(account).unwrap();
            is(&account).then_some(account)
        })
        .await
}

fn ready(account: &Value) -> (&str, &str) {
    let conditions = account["status"]["conditions"].as_array();
    let mut ready = conditions.into_iter().flatten();
    let ready = ready.find(|condition| condition["type"] == "Ready");
    let text = |field| ready.and_then(|ready| ready[field].as_str()).unwrap_or("-");
    (text("status"), text("reason"))
}

fn message(account: &Value) -> String {
    account["status"]["conditions"][0]["message"].to_string()
}

fn held(account: &Value) -> bool {
    let finalizers = account["metadata"]["finalizers"].as_array();
    let mut finalizers = finalizers.into_iter().flatten();
    finalizers.any(|one| {
        one.as_str()
            .is_some_and(|one| one.starts_with(ACCOUNT_FINALIZER))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_says_as_whom_objects_act_and_how_many_use_it() {
    let stage = Stage::new("account-says").await;
    let new = account_is(&stage, "identified", |it| {
        ready(it) == ("True", "Identified")
    })
    .await;
    assert_eq!(new["status"]["accountId"], "1000000000000001");
    assert!(
        new["status"]["arn"]
            .as_str()
            .unwrap()
            .starts_with("acs:ram::1000000000000001:")
    );
    assert_eq!(
        new["status"]["observedGeneration"],
        new["metadata"]["generation"]
    );
    assert!(!held(&new), "nobody uses it");
    ServerGroupMembership::prepare(&stage);
    ServerGroupMembership::list(&stage, "web", 0..1, json!({})).await;
    stage
        .reason::<ServerGroupMembership>("web", "Converged")
        .await;
    let used = account_is(&stage, "held", held).await;
    let used = match used["status"]["usedBy"][0]["objects"].as_i64() {
        Some(_) => used,
        None => {
            account_is(&stage, "counted", |it| {
                it["status"]["usedBy"] != Value::Null
            })
            .await
        }
    };
    let used_by = json!([{"installation": stage.home, "objects": 1}]);
    assert_eq!(used["status"]["usedBy"], used_by);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_cloud_refuses_is_told_by_the_account_until_it_is_taken_again() {
    let stage = Stage::without_operator("account-refused").await;
    let key = stage.simulator.world().keys.remove("simulated-key");
    let key = key.expect("it is what the environment of the tests names");
    let mut stage = stage;
    stage.start();
    let refused = |it: &Value| ready(it) == ("False", "CredentialsUnavailable");
    let account = account_is(&stage, "refused", refused).await;
    assert!(account["status"]["lastError"].as_str().unwrap().len() > 20);
    stage
        .simulator
        .world()
        .keys
        .insert("simulated-key".into(), key);
    let account = account_is(&stage, "healed", |it| ready(it) == ("True", "Identified")).await;
    assert!(
        account["status"]["lastError"].is_string(),
        "it is still told what was wrong"
    );
}

/// `kubectl delete -f everything.yaml` once hung for ever where the account went first.
async fn deleted_first<K: Kind>(name: &str) {
    let stage = Stage::new(name).await;
    K::prepare(&stage);
    K::put(&stage, OTHER);
    K::list(&stage, "web", 0..2, json!({"suspend": false})).await;
    stage.reason::<K>("web", "Converged").await;
    account_is(&stage, "held", held).await;
    let (accounts, account) = (accounts(&stage), stage.account());
    accounts
        .delete(&account, &DeleteParams::default())
        .await
        .unwrap();
    let waits = account_is(&stage, "waiting", |it| ready(it) == ("False", "InUse")).await;
    assert!(message(&waits).contains("/web"), "{}", message(&waits));
    assert_eq!(K::present(&stage), [0, 1, OTHER]);
    stage.delete::<K>("web").await;
    stage.gone::<K>("web").await;
    assert_eq!(K::present(&stage), [OTHER]);
    eventually("the account goes", || async {
        accounts
            .get_opt(&account)
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_deleted_first_waits_for_its_objects_and_goes() {
    tokio::join!(
        deleted_first::<ServerGroupMembership>("account-first-m"),
        deleted_first::<ScalingGroupAttachment>("account-first-a"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_leaves_finalizers_and_numbers_of_others_alone() {
    let stage = Stage::new("account-shared").await;
    account_is(&stage, "identified", |it| {
        ready(it) == ("True", "Identified")
    })
    .await;
    let (accounts, name) = (accounts(&stage), stage.account());
    let other = format!("{ACCOUNT_FINALIZER}elsewhere");
    let finalizers = json!({"metadata": {"finalizers": [other]}});
    let params = PatchParams::default();
    accounts
        .patch(&name, &params, &Patch::Merge(&finalizers))
        .await
        .unwrap();
    let used_by = json!({"status": {"usedBy": [{"installation": "elsewhere", "objects": 7}]}});
    accounts
        .patch_status(&name, &params, &Patch::Merge(&used_by))
        .await
        .unwrap();
    ServerGroupMembership::prepare(&stage);
    ServerGroupMembership::list(&stage, "web", 0..1, json!({})).await;
    let both = account_is(&stage, "counted by both", |it| {
        it["status"]["usedBy"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
            && it["metadata"]["finalizers"]
                .as_array()
                .is_some_and(|all| all.len() == 2)
    })
    .await;
    assert_eq!(both["status"]["usedBy"][0]["objects"], 7);
    stage.delete::<ServerGroupMembership>("web").await;
    stage.gone::<ServerGroupMembership>("web").await;
    let left = account_is(&stage, "let go", |it| {
        it["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
    })
    .await;
    assert_eq!(left["metadata"]["finalizers"][0], other.as_str());
    let none = json!({"metadata": {"finalizers": null}});
    accounts
        .patch(&name, &params, &Patch::Merge(&none))
        .await
        .unwrap();
}

/// Gives the stage's namespace this label, or takes it away.
async fn label_namespace(stage: &Stage, team: Value) {
    let labels = json!({"metadata": {"labels": {"team": team}}});
    let namespaces = Api::<Namespace>::all(stage.client.clone());
    let (params, patch) = (PatchParams::default(), Patch::Merge(&labels));
    namespaces
        .patch(&stage.namespace, &params, &patch)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_by_labels_holds_for_as_long_as_the_namespace_has_them() {
    let stage = Stage::new("account-labels").await;
    let team = format!("of-{}", stage.namespace);
    stage
        .grant(&[json!({
            "name": "team", "namespaceSelector": {"matchLabels": {"team": team}}, "regions": ["*"],
            "serverGroups": ["*"], "servers": ["*"],
        })])
        .await;
    ServerGroupMembership::prepare(&stage);
    ServerGroupMembership::put(&stage, OTHER);
    ServerGroupMembership::list(&stage, "web", 0..2, json!({})).await;
    stage
        .reason::<ServerGroupMembership>("web", "NotGranted")
        .await;
    assert_eq!(stage.all_calls(), 0);
    label_namespace(&stage, json!(team)).await;
    stage
        .reason::<ServerGroupMembership>("web", "Converged")
        .await;
    label_namespace(&stage, Value::Null).await;
    stage
        .reason::<ServerGroupMembership>("web", "NotGranted")
        .await;
    let calls = stage.all_calls();
    stage.delete::<ServerGroupMembership>("web").await;
    let deleted = |web: &ServerGroupMembership| {
        web.metadata.deletion_timestamp.is_some()
            && crate::stage::ready(web).is_some_and(|(reason, at)| {
                reason == "NotGranted" && Some(at) == web.metadata.generation
            })
    };
    stage.until("its deletion is seen", "web", deleted).await;
    assert_eq!(
        stage.all_calls(),
        calls,
        "nothing is called without a grant"
    );
    label_namespace(&stage, json!(team)).await;
    stage.gone::<ServerGroupMembership>("web").await;
    assert_eq!(ServerGroupMembership::present(&stage), [OTHER]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_that_would_match_every_namespace_by_asking_nothing_is_refused() {
    let stage = Stage::without_operator("account-selector").await;
    for (selector, words) in [
        (json!({}), "asks nothing"),
        (json!({"matchLabels": {}}), "asks nothing"),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            "In and NotIn need values",
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
            "Exists and DoesNotExist take none",
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Has"}]}),
            "Unsupported value",
        ),
    ] {
        let grants = json!({"spec": {"grants": [{"name": "a", "namespaceSelector": selector}]}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&grants));
        let refused = accounts(&stage)
            .patch(&stage.account(), &params, &patch)
            .await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(words), "{selector}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_two_namespaces_looks_after_both_with_rights_in_them_alone() {
    let mut one = Stage::without_operator("account-two").await;
    let namespace = crate::stage::control_plane()
        .await
        .namespace("account-two")
        .await
        .unwrap();
    let two = one.beside_with_rights(namespace).await;
    one.start_for(&[&one.namespace.clone(), &two.namespace]);
    ServerGroupMembership::prepare(&one);
    ServerGroupMembership::list(&one, "web", 0..2, json!({})).await;
    one.reason::<ServerGroupMembership>("web", "Converged")
        .await;
    ServerGroupMembership::list(&two, "more", 2..4, json!({})).await;
    two.reason::<ServerGroupMembership>("more", "Converged")
        .await;
    assert_eq!(ServerGroupMembership::present(&one), [0, 1, 2, 3]);
    two.delete::<ServerGroupMembership>("more").await;
    two.gone::<ServerGroupMembership>("more").await;
    assert_eq!(ServerGroupMembership::present(&one), [0, 1]);
}
