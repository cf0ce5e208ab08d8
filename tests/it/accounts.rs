//! What an account says of itself, and that it stays for as long as objects need it.

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
