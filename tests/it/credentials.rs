//! Where keys come from: each source on the real API server, with the rights that are shipped, and the simulated cloud.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use server_group_operator::{
    api::{CloudAccount, ServerGroupMembership},
    cloud::Environment,
};
use server_group_sim::world::Key;

use crate::{
    kinds::Kind,
    stage::{Stage, control_plane, merge, message, timing},
};

/// The name that the shipped role lets the operator read.
const SECRET: &str = "server-group-operator-keys";
const ROLE: &str = "acs:ram::3000000000000003:role/far";

/// Lets the account have its keys from `source`, which may name a role to assume too.
async fn act_as(stage: &Stage, source: Value) {
    let mut account = json!({
        "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "CloudAccount",
        "metadata": {"name": stage.account()},
        "spec": {"grants": [{
            "name": "all", "namespaces": [stage.namespace], "regions": ["*"],
            "serverGroups": ["*"], "scalingGroups": ["*"], "loadBalancers": ["*"], "servers": ["*"],
        }]},
    });
    merge(&mut account["spec"], source);
    let params = PatchParams::apply("test").force();
    Api::<CloudAccount>::all(stage.client.clone())
        .patch(&stage.account(), &params, &Patch::Apply(&account))
        .await
        .unwrap();
}

fn secrets(stage: &Stage) -> Api<Secret> {
    Api::namespaced(stage.client.clone(), &stage.home)
}

/// Puts these keys into the Secret, and nothing else.
async fn put_secret(stage: &Stage, keys: Value) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": keys});
    let params = PatchParams::apply("test").force();
    secrets(stage)
        .patch(SECRET, &params, &Patch::Apply(&secret))
        .await
        .unwrap();
}

/// How often the cloud carried out `action`.
fn asked(stage: &Stage, action: &str) -> usize {
    let world = stage.simulator.world();
    let asked = world.audit.iter().filter(|call| call.action == action);
    asked.filter(|call| call.acted).count()
}

fn often() -> Value {
    json!({"intervalSeconds": 30})
}

async fn list(stage: &Stage, entries: usize) -> ServerGroupMembership {
    ServerGroupMembership::list(stage, "web", 0..entries, often()).await
}

async fn unavailable(stage: &Stage, said: &[&str]) {
    let told = |web: &ServerGroupMembership| {
        let message = message(web);
        said.iter().all(|part| message.contains(part))
    };
    let what = format!("told {said:?}");
    stage
        .until::<ServerGroupMembership>(&what, "web", told)
        .await;
    stage
        .reason::<ServerGroupMembership>("web", "CredentialsUnavailable")
        .await;
}

async fn converged(stage: &Stage) -> Value {
    let web = stage
        .reason::<ServerGroupMembership>("web", "Converged")
        .await;
    serde_json::to_value(web).unwrap()
}

/// What the cloud thinks of whoever keys were not good.
fn refusals(stage: &Stage) -> Vec<String> {
    let world = stage.simulator.world();
    let codes = world.audit.iter().filter_map(|call| call.code.clone());
    codes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_from_a_secret_are_rotated_without_a_restart_and_without_a_failed_call() {
    let mut stage = Stage::without_operator("keys-secret").await;
    act_as(
        &stage,
        json!({"credentials": {"type": "Secret", "secret": {"name": SECRET}}}),
    )
    .await;
    ServerGroupMembership::prepare(&stage);
    stage.start();
    list(&stage, 1).await;
    unavailable(&stage, &["may not read the Secret", "deploy/rbac"]).await;
    stage.grant_shipped_role().await;
    unavailable(&stage, &["there is no Secret", &stage.home]).await;
    put_secret(&stage, json!({"accessKeyId": "simulated-key"})).await;
    unavailable(&stage, &["has no accessKeySecret"]).await;
    assert_eq!(stage.simulator.world().audit.len(), 0, "nothing was asked");
    let first = json!({"accessKeyId": "simulated-key", "accessKeySecret": "simulated-secret\n"});
    put_secret(&stage, first).await;
    converged(&stage).await;

    let key = Key::lasting("other-secret".into(), "1000000000000001".into());
    stage.simulator.world().keys.insert("other-key".into(), key);
    let second = json!({"accessKeyId": "other-key", "accessKeySecret": "other-secret"});
    put_secret(&stage, second).await;
    let by_other_key = || {
        let world = stage.simulator.world();
        let by_it = world.audit.iter().filter(|call| call.key == "other-key");
        by_it.count()
    };
    stage
        .reached("calls with the new key", 2, by_other_key)
        .await;
    stage.simulator.world().keys.remove("simulated-key");
    list(&stage, 2).await;
    converged(&stage).await;
    assert_eq!(refusals(&stage), [""; 0]);

    let gone = DeleteParams::default();
    secrets(&stage).delete(SECRET, &gone).await.unwrap();
    unavailable(&stage, &["there is no Secret"]).await;
    assert_eq!(ServerGroupMembership::present(&stage), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_a_service_account_is_assumed_once_for_all_passes() {
    let mut stage = Stage::without_operator("keys-oidc").await;
    let environment = Environment::new(|name| match name {
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN" => Some("acs:ram::1:oidc-provider/ack".into()),
        _ => None,
    });
    let environment = environment.with_files(|path| match path {
        "/tokens/token" => Ok("a-token".into()),
        _ => Err("entity not found".into()),
    });
    let role = json!({"roleArn": ROLE});
    act_as(
        &stage,
        json!({"credentials": {"type": "OIDC", "oidc": role}}),
    )
    .await;
    ServerGroupMembership::prepare(&stage);
    stage.start_as(stage.operator_client(), timing(), environment, None);
    list(&stage, 1).await;
    unavailable(&stage, &["rrsa-tokens/token", "entity not found"]).await;
    let role = json!({"roleArn": ROLE, "tokenFile": "/tokens/token"});
    act_as(
        &stage,
        json!({"credentials": {"type": "OIDC", "oidc": role}}),
    )
    .await;
    let web = converged(&stage).await;
    assert_eq!(
        web["status"]["ledger"]["cloudAccountId"],
        "3000000000000003"
    );
    let looks = || asked(&stage, ServerGroupMembership::LOOKS);
    stage.reached("looks", 5, looks).await;
    assert_eq!(asked(&stage, "AssumeRoleWithOIDC"), 1);
    assert_eq!(asked(&stage, "GetCallerIdentity"), 1);
    let world = stage.simulator.world();
    let signed = world.audit.iter().filter(|call| !call.key.is_empty());
    assert!(signed.into_iter().all(|call| call.key.starts_with("STS.")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_instance_is_found_or_named() {
    let mut stage = Stage::without_operator("keys-instance").await;
    let source =
        |role: Value| json!({"credentials": {"type": "InstanceRole", "instanceRole": role}});
    act_as(&stage, source(json!({"roleName": "another"}))).await;
    ServerGroupMembership::prepare(&stage);
    stage.start_as(
        stage.operator_client(),
        timing(),
        Environment::new(|_| None),
        None,
    );
    list(&stage, 1).await;
    unavailable(&stage, &["another", "roleName"]).await;
    act_as(&stage, json!({"credentials": {"type": "InstanceRole"}})).await;
    converged(&stage).await;
    act_as(&stage, source(json!({"roleName": "simulated-role"}))).await;
    list(&stage, 2).await;
    converged(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_on_top_and_a_denied_one_says_what_to_allow_and_heals() {
    let mut stage = Stage::without_operator("keys-role").await;
    let role = json!({
        "roleArn": ROLE, "externalId": "team-a", "sessionName": "sgo", "durationSeconds": 900, "policy": "{}",
    });
    act_as(
        &stage,
        json!({"credentials": {"type": "Environment"}, "assumeRole": role}),
    )
    .await;
    let deny = "sts:AssumeRole".to_owned();
    stage.simulator.world().denied.insert(deny.clone());
    ServerGroupMembership::prepare(&stage);
    stage.start();
    list(&stage, 1).await;
    unavailable(&stage, &["AssumeRole failed", ROLE]).await;
    stage.simulator.world().denied.remove(&deny);
    let web = converged(&stage).await;
    assert_eq!(
        web["status"]["ledger"]["cloudAccountId"],
        "3000000000000003"
    );
    assert_eq!(asked(&stage, "AssumeRole"), 1);
    let world = stage.simulator.world();
    let by_key = world
        .audit
        .iter()
        .filter(|call| call.key == "simulated-key");
    assert!(by_key.into_iter().all(|call| call.action == "AssumeRole"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_takes_its_own_fields_alone() {
    let accounts = Api::<CloudAccount>::all(control_plane().await.admin().client().await.unwrap());
    let (secret, role) = (json!({"name": "keys"}), json!({"roleArn": ROLE}));
    let nothing = json!({});
    for (spec, refused) in [
        (json!({"type": "Secret", "secret": secret}), None),
        (json!({"type": "OIDC"}), None),
        (json!({"type": "OIDC", "oidc": role}), None),
        (json!({"type": "OIDC", "oidc": nothing}), None),
        (json!({"type": "InstanceRole"}), None),
        (
            json!({"type": "InstanceRole", "instanceRole": {"roleName": "a"}}),
            None,
        ),
        (json!({"type": "Magic"}), Some("supported values")),
        (json!({"type": "Secret"}), Some("secret is required")),
        (json!({"type": "Secret", "secret": nothing}), Some("name")),
        (
            json!({"type": "Secret", "secret": {"name": "a/b"}}),
            Some("should match"),
        ),
        (
            json!({"type": "Environment", "secret": secret}),
            Some("secret is required"),
        ),
        (
            json!({"type": "Environment", "oidc": nothing}),
            Some("oidc is for"),
        ),
        (
            json!({"type": "OIDC", "instanceRole": nothing}),
            Some("instanceRole is for"),
        ),
        (
            json!({"type": "OIDC", "oidc": {"roleArn": "role"}}),
            Some("should match"),
        ),
        (
            json!({"type": "InstanceRole", "oidc": role}),
            Some("oidc is for"),
        ),
        (
            json!({"type": "InstanceRole", "instanceRole": {"roleName": "../a"}}),
            Some("should match"),
        ),
    ] {
        let account = json!({
            "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "CloudAccount",
            "metadata": {"name": "sources"}, "spec": {"credentials": spec},
        });
        let params = PatchParams::apply("test").dry_run();
        let outcome = accounts
            .patch("sources", &params, &Patch::Apply(&account))
            .await;
        match (outcome, refused) {
            (Ok(_), None) => {}
            (Err(error), Some(words)) => {
                assert!(error.to_string().contains(words), "{spec}: {error}")
            }
            (Ok(_), Some(_)) => panic!("{spec} was taken"),
            (Err(error), None) => panic!("{spec}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_of_the_documentation_are_taken() {
    let accounts = Api::<CloudAccount>::all(control_plane().await.admin().client().await.unwrap());
    let text = include_str!("../../docs/accounts.md");
    let blocks = text.split("```yaml\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    let examples = blocks.filter(|block| block.contains("kind: CloudAccount"));
    let mut taken = 0;
    for example in examples {
        let account: Value = serde_saphyr::from_str(example).unwrap();
        let name = account["metadata"]["name"].as_str().unwrap();
        let params = PatchParams::apply("test").dry_run();
        let outcome = accounts.patch(name, &params, &Patch::Apply(&account)).await;
        assert!(outcome.is_ok(), "{name}: {}", outcome.unwrap_err());
        taken += 1;
    }
    assert_eq!(taken, 5);
}
