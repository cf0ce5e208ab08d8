//! What a person asks for by an annotation: it is done, whatever it says and whoever writes meanwhile.

use serde_json::json;
use server_group_operator::api::ServerGroupMembership;
use server_group_sim::{When, audit::Entry, world::Product};

use crate::stage::{Stage, instance, instances, ready};

type Membership = ServerGroupMembership;

async fn stage(name: &str, members: usize) -> Stage {
    let stage = Stage::new(name).await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    list(&stage, members).await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
}

async fn list(stage: &Stage, members: usize) {
    let servers = instances(0, members, Some(80));
    let exclusive = json!({"ownership": "Exclusive", "intervalSeconds": 30});
    stage
        .membership("web", "rsp-web", &servers, exclusive)
        .await;
}

fn handled(web: &Membership) -> Option<String> {
    web.status.as_ref()?.last_handled_reconcile_at.clone()
}

/// Status takes 256 characters, and was once not written at all any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_reconcile_at_keeps_nothing_from_being_done() {
    let stage = stage("asked-endlessly", 2).await;
    let endless = "é".repeat(300);
    stage
        .annotate::<Membership>("web", "reconcile-at", &endless)
        .await;
    let echoed = |web: &Membership| handled(web).is_some_and(|echo| endless.starts_with(&echo));
    stage.until("its echo", "web", echoed).await;
    list(&stage, 3).await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
}

/// The request was once forgotten with the first write that somebody else's made impossible, and echoed as done.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_look_now_counts_until_status_says_that_it_was_seen() {
    let stage = stage("asked-409", 2).await;
    let present = || {
        let world = stage.simulator.world();
        world.groups["rsp-web"].ids().contains(&instance(9))
    };
    // A stranger that comes back each time it is removed, until it is left alone.
    stage
        .eventually("it is left alone", async || {
            if !present() {
                let mut world = stage.simulator.world();
                world.put_member("rsp-web", &instance(9), "", 80, 100);
            }
            let web = stage.api::<Membership>().get("web").await.unwrap();
            let reason = ready(&web).map(|(reason, _)| reason);
            (reason.as_deref() == Some("Contended")).then_some(())
        })
        .await;
    let look = |call: &Entry| call.action == "DescribeVServerGroupAttribute";
    stage.look_now::<Membership>("web").await;
    let mut held = stage.simulator.hold(When::Before, look);
    stage.awaited("the call", held.arrived()).await;
    // What the pass was begun with cannot be written any more.
    stage.label::<Membership>("web").await;
    held.release();
    let echoed = |web: &Membership| handled(web).as_deref() == Some("now");
    stage.until("its echo", "web", echoed).await;
    stage.reason::<Membership>("web", "Converged").await;
    assert!(!present(), "it was tried again");
}
