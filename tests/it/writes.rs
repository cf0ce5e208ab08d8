//! Writes to Kubernetes that do not come out as they should, and what somebody else writes over them.

use kube::ResourceExt;
use serde_json::json;
use server_group_operator::api::{FINALIZER, ServerGroupMembership};
use server_group_sim::world::Product;

use crate::{
    rig::Rig,
    stage::{Stage, instances, timing},
};

type Membership = ServerGroupMembership;

/// A membership of two, at rest.
async fn at_rest(stage: &Stage, interval: u32) {
    let servers = instances(0, 2, Some(80));
    let spec = json!({"intervalSeconds": interval});
    stage.membership("web", "rsp-web", &servers, spec).await;
    stage.reason::<Membership>("web", "Converged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_one_write_of_which_was_answered_with_404_is_looked_after_as_ever() {
    let mut stage = Stage::without_operator("lost-write").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let rig = Rig::default();
    stage.start_with(rig.client(&stage), timing());
    at_rest(&stage, 30).await;
    rig.lose("/servergroupmemberships/web/status");
    stage.simulator.world().delete_member("rsp-web", "i-0001");
    stage
        .eventually("a 404", async || rig.all_lost().then_some(()))
        .await;
    stage
        .eventually("it is added again", async || {
            (stage.simulator.world().serving("rsp-web") == 2).then_some(())
        })
        .await;
}

/// As `kubectl replace` of a manifest does. A deletion would leave everything behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_that_somebody_took_away_is_put_back_at_rest() {
    let stage = Stage::new("stripped").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    // Nobody looks for drift meanwhile.
    at_rest(&stage, 86400).await;
    let held = |web: &Membership| web.finalizers().iter().any(|held| held == FINALIZER);
    let strip = json!({"metadata": {"finalizers": null}});
    stage.merge::<Membership>("web", &strip).await;
    stage.until("that it is held again", "web", held).await;
    let suspended = json!({"spec": {"suspend": true}, "metadata": {"finalizers": null}});
    stage.merge::<Membership>("web", &suspended).await;
    stage.until("that it is held again", "web", held).await;
}
