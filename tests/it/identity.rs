//! Whose cloud account it is: a ledger that was written for one is not used in another.

use serde_json::json;
use server_group_operator::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    cloud::Environment,
};
use server_group_sim::world::Key;

use crate::{
    kinds::Kind,
    stage::{Stage, condition, message, timing},
};

/// Somebody else's entry, which serves.
const OTHER: usize = 39;

/// Starts an operator whose key belongs to another cloud account.
fn start_elsewhere(stage: &mut Stage) {
    let environment = Environment::new(|name| match name {
        "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("other-key".into()),
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("other-secret".into()),
        _ => None,
    });
    let key = Key::lasting("other-secret".into(), "2000000000000002".into());
    stage.simulator.world().keys.insert("other-key".into(), key);
    let client = stage.operator_client();
    stage.start_as(client, timing(), environment, None);
}

async fn another_account<K: Kind>() {
    let mut stage = Stage::new("account-changed").await;
    K::prepare(&stage);
    K::put(&stage, OTHER);
    let often = json!({"intervalSeconds": 30});
    K::list(&stage, "web", 0..3, often.clone()).await;
    stage.reason::<K>("web", "Converged").await;
    stage.kill().await;
    let before = stage.simulator.world().audit.len();
    start_elsewhere(&mut stage);
    K::list(&stage, "web", 0..2, often).await;
    let web = stage.reason::<K>("web", "AccountChanged").await;
    assert_eq!(condition(&web, "Stalled").unwrap().0, "True");
    let said = message(&web);
    assert!(said.contains("1000000000000001"), "{said}");
    assert!(said.contains("2000000000000002"), "{said}");
    stage.delete::<K>("web").await;
    let begun = stage.simulator.world().now;
    stage.clock_shows(begun + 300.0).await;
    let web = stage.reason::<K>("web", "AccountChanged").await;
    assert_eq!(web.ledger("registered"), [0, 1, 2]);
    {
        let world = stage.simulator.world();
        let asked = world.audit[before..].iter();
        // What the one that was killed had sent may arrive after its end.
        let mut asked = asked.filter(|call| call.key == "other-key");
        assert!(asked.all(|call| call.action == "GetCallerIdentity"));
    }
    assert_eq!(K::present(&stage), [0, 1, 2, OTHER]);
    // The credentials are restored, and the deletion goes on.
    stage.kill().await;
    stage.start();
    stage.gone::<K>("web").await;
    assert_eq!(K::present(&stage), [OTHER]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_another_cloud_account_is_not_used_and_its_object_stays() {
    tokio::join!(
        another_account::<ServerGroupMembership>(),
        another_account::<ScalingGroupAttachment>(),
    );
}
