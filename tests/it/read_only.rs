//! `run --read-only`: the first day in production. Everything is looked at and shown, and nothing is changed.

use kube::{Api, ResourceExt};
use serde_json::json;
use server_group_operator::api::{CloudAccount, ScalingGroupAttachment, ServerGroupMembership};

use crate::{
    kinds::Kind,
    stage::{Stage, message},
};

/// Somebody else's entry, which serves.
const OTHER: usize = 39;

async fn first_day<K: Kind>(name: &str) {
    let mut stage = Stage::without_operator(name).await;
    K::prepare(&stage);
    K::put(&stage, OTHER);
    stage.read_only = true;
    stage.start();
    K::list(&stage, "web", 0..3, json!({"intervalSeconds": 30})).await;
    let shown = stage.reason::<K>("web", "Planned").await;
    assert!(message(&shown).contains("to add 3"), "{}", message(&shown));
    assert!(
        message(&shown).contains("--read-only"),
        "{}",
        message(&shown)
    );
    let looks = stage.all_calls();
    let often = || stage.all_calls();
    stage.reached("it goes on looking", looks + 3, often).await;
    let web = stage.api::<K>().get("web").await.unwrap();
    assert!(web.finalizers().is_empty(), "{:?}", web.finalizers());
    let accounts = Api::<CloudAccount>::all(stage.client.clone());
    let account = accounts.get(&stage.account()).await.unwrap();
    assert!(
        account.finalizers().is_empty(),
        "{:?}",
        account.finalizers()
    );
    assert_eq!((stage.changes(), K::present(&stage)), (0, vec![OTHER]));
    stage.stop().await;
    stage.read_only = false;
    stage.start();
    stage.reason::<K>("web", "Converged").await;
    assert_eq!(K::present(&stage), [0, 1, 2, OTHER]);
    // Somebody turns it back, and deletes an object that has something to release.
    stage.stop().await;
    stage.read_only = true;
    let changes = stage.changes();
    stage.start();
    stage.delete::<K>("web").await;
    let waits = |web: &K| message(web).contains("--read-only");
    stage.until("it says what it waits for", "web", waits).await;
    assert_eq!(stage.changes(), changes);
    stage.stop().await;
    stage.read_only = false;
    stage.start();
    stage.gone::<K>("web").await;
    assert_eq!(K::present(&stage), [OTHER]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_operator_shows_what_it_would_do_and_changes_nothing() {
    tokio::join!(
        first_day::<ServerGroupMembership>("read-only-m"),
        first_day::<ScalingGroupAttachment>("read-only-a"),
    );
}
