//! Events: once for each change, over the whole batch, and never in a loop.

use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::json;
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::world::Product;

use crate::stage::{Stage, eventually, instance, instances};

type Membership = ServerGroupMembership;

/// Reason, note and how often, of every event about `name`.
async fn told(stage: &Stage, name: &str) -> Vec<(String, String, i32)> {
    let events = Api::<Event>::namespaced(stage.client.clone(), &stage.namespace);
    let all = events.list(&ListParams::default()).await.unwrap();
    let about = all.into_iter().filter(|event| {
        let object = event.regarding.as_ref();
        object.and_then(|object| object.name.as_deref()) == Some(name)
    });
    let mut told: Vec<_> = about
        .map(|event| {
            (
                event.reason.unwrap_or_default(),
                event.note.unwrap_or_default(),
                event.series.map_or(1, |series| series.count),
            )
        })
        .collect();
    told.sort();
    told
}

fn reasons(told: &[(String, String, i32)]) -> Vec<&str> {
    told.iter().map(|(reason, ..)| reason.as_str()).collect()
}

/// Waits for `times` more looks at the group, which tell nothing new.
async fn looked(stage: &Stage, times: usize) {
    let looks = || {
        stage
            .simulator
            .world()
            .calls("DescribeVServerGroupAttribute")
    };
    let before = looks();
    eventually("more looks", async || {
        (looks() >= before + times).then_some(())
    })
    .await;
}

async fn clb(name: &str) -> Stage {
    let stage = Stage::new(name).await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_told_once_with_count_group_and_request() {
    let stage = clb("events").await;
    stage
        .simulator
        .world()
        .put_member("rsp-web", &instance(0), "", 80, 100);
    let beat = json!({"intervalSeconds": 30});
    stage
        .membership("web", "rsp-web", &instances(0, 46, Some(80)), beat.clone())
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .membership("web", "rsp-web", &instances(0, 21, Some(80)), beat)
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    looked(&stage, 5).await;
    let told = told(&stage, "web").await;
    assert_eq!(reasons(&told), ["Added", "Adopted", "Removed"], "{told:?}");
    let note = |reason: &str| &told.iter().find(|(said, ..)| said == reason).unwrap().1;
    assert!(
        note("Added").starts_with("added 45 servers to rsp-web (request "),
        "{told:?}"
    );
    assert!(
        note("Removed").starts_with("removed 25 servers from rsp-web (request "),
        "{told:?}"
    );
    assert_eq!(note("Adopted"), "adopted 1 server found at rsp-web");
    assert!(told.iter().all(|(.., count)| *count == 1), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_that_was_put_right_is_told_as_such() {
    let stage = clb("events-drift").await;
    let beat = json!({"intervalSeconds": 30});
    stage
        .membership("web", "rsp-web", &instances(0, 120, Some(80)), beat)
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    {
        let mut world = stage.simulator.world();
        (0..100).for_each(|number| world.delete_member("rsp-web", &instance(number)));
    }
    eventually("repaired", async || {
        (stage.simulator.world().serving("rsp-web") == 120).then_some(())
    })
    .await;
    stage.reason::<Membership>("web", "Converged").await;
    eventually("told", async || {
        let told = told(&stage, "web").await;
        (reasons(&told) == ["Added", "Added", "Repaired"]).then_some(())
    })
    .await;
    looked(&stage, 5).await;
    assert_eq!(told(&stage, "web").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_resolve_is_told_once() {
    let stage = clb("events-held").await;
    let beat = json!({"intervalSeconds": 30});
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), beat.clone())
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .membership("young", "rsp-web", &instances(2, 2, Some(80)), beat.clone())
        .await;
    stage.reason::<Membership>("young", "Conflict").await;
    stage.membership("web", "rsp-web", &[], beat).await;
    stage.reason::<Membership>("web", "LastServing").await;
    looked(&stage, 10).await;
    let web = told(&stage, "web").await;
    assert_eq!(reasons(&web), ["Added", "Held"], "{web:?}");
    assert!(web[1].1.contains("LastServing"), "{web:?}");
    let young = told(&stage, "young").await;
    assert!(reasons(&young).contains(&"Conflict"), "{young:?}");
    assert!(
        young
            .iter()
            .filter(|(reason, ..)| reason == "Conflict")
            .all(|(_, note, count)| *count == 1 && note.contains("/web")),
        "{young:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_tell_what_they_attach_and_detach() {
    let stage = Stage::new("events-ess").await;
    {
        let mut world = stage.simulator.world();
        world.create_scaling_group("asg-1", [instance(0)]);
        for id in ["sgp-1", "sgp-2"] {
            world.create_group(Product::Gwlb, id);
        }
    }
    let groups = |ids: &[&str]| -> Vec<_> {
        let one = |id: &&str| json!({"type": "GWLB", "id": id});
        ids.iter().map(one).collect()
    };
    stage
        .attachment("feed", "asg-1", &groups(&["sgp-1", "sgp-2"]), json!({}))
        .await;
    stage
        .reason::<ScalingGroupAttachment>("feed", "Converged")
        .await;
    stage
        .attachment("feed", "asg-1", &groups(&["sgp-1"]), json!({}))
        .await;
    stage
        .reason::<ScalingGroupAttachment>("feed", "Converged")
        .await;
    let told = told(&stage, "feed").await;
    assert_eq!(reasons(&told), ["Attached", "Detached"], "{told:?}");
    assert!(
        told[0]
            .1
            .starts_with("attached 2 server groups to asg-1 (request "),
        "{told:?}"
    );
}
