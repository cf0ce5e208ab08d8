//! Objects whose status says something that this version does not know: a newer one wrote it, and was rolled back.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{When, audit::Entry, world::Product};

use crate::{
    kinds::Kind,
    rig::Rig,
    stage::{Stage, control_plane, eventually, instances, message, timing, told},
};

type Membership = ServerGroupMembership;

/// Objects of a kind as anybody may read them.
fn objects<K: Kind>(stage: &Stage) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<K>(&());
    Api::namespaced_with(stage.client.clone(), &stage.namespace, &kind)
}

/// Has the API server take every hold, as the definition of a newer version would.
async fn take_any_hold<K: Kind>() {
    let client = control_plane().await.admin().client().await.unwrap();
    let definitions = Api::<CustomResourceDefinition>::all(client);
    let name = format!("{}.{}", K::plural(&()), K::group(&()));
    let reason = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/held/items/properties/reason/enum";
    let patch = json!([{"op": "remove", "path": reason}]);
    let patch: kube::api::Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
    let params = PatchParams::default();
    match definitions.patch(&name, &params, &patch).await {
        // Another test has done so.
        Err(kube::Error::Api(status)) if status.code == 422 => {}
        patched => _ = patched.unwrap(),
    }
}

/// Says of `name` that it holds this back, for that reason.
async fn hold<K: Kind>(stage: &Stage, name: &str, held: Value) {
    let objects = objects::<K>(stage);
    let fields = json!({"status": {"held": held}});
    let written = || async {
        let (params, patch) = (PatchParams::default(), Patch::Merge(&fields));
        let written = objects.patch_status(name, &params, &patch).await;
        written.ok()
    };
    eventually("the API server takes the hold", written).await;
}

async fn one_bad_object<K: Kind>(name: &str) {
    take_any_hold::<K>().await;
    let mut stage = Stage::new(name).await;
    K::prepare(&stage);
    K::list(&stage, "web", 0..3, json!({})).await;
    stage.reason::<K>("web", "Converged").await;
    K::list(&stage, "other", 10..12, json!({})).await;
    stage.reason::<K>("other", "Converged").await;
    let held =
        json!([{"server": "i-0001:80", "serverGroup": "GWLB/sgp-0001", "reason": "FromTheFuture"}]);
    hold::<K>(&stage, "web", held.clone()).await;
    told(&stage, "Unreadable", "FromTheFuture").await;
    K::heard(&stage).await;

    // The others go on, also after a restart, whose list has it from the start.
    stage.stop().await;
    hold::<K>(&stage, "web", json!([])).await;
    K::list(&stage, "web", 1..4, json!({})).await;
    hold::<K>(&stage, "web", held).await;
    let left = objects::<K>(&stage).get("web").await.unwrap();
    stage.start();
    K::list(&stage, "other", 10..13, json!({})).await;
    stage.reason::<K>("other", "Converged").await;
    assert_eq!(K::present(&stage), [0, 1, 2, 10, 11, 12]);

    // What it claims on its group is not known, so nothing is removed there.
    K::list(&stage, "other", 11..13, json!({})).await;
    let waits = stage.reason::<K>("other", "Conflict").await;
    assert!(message(&waits).contains("/web"), "{}", message(&waits));
    assert_eq!(K::present(&stage), [0, 1, 2, 10, 11, 12]);
    let now = objects::<K>(&stage).get("web").await.unwrap();
    assert_eq!(now.data["status"], left.data["status"], "it is left alone");

    hold::<K>(&stage, "web", json!([])).await;
    stage.reason::<K>("web", "Converged").await;
    stage.reason::<K>("other", "Converged").await;
    assert_eq!(K::present(&stage), [1, 2, 3, 11, 12]);
}

/// The list of the whole kind once failed, and nobody was looked at any more.
#[tokio::test]
async fn a_membership_that_cannot_be_read_is_told_and_left_alone_and_the_others_go_on() {
    one_bad_object::<Membership>("unreadable-memberships").await;
}

#[tokio::test]
async fn an_attachment_that_cannot_be_read_is_told_and_left_alone_and_the_others_go_on() {
    one_bad_object::<ScalingGroupAttachment>("unreadable-attachments").await;
}

/// The last look at the cloud is not the last question.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_when_only_the_last_question_shows_an_object_that_cannot_be_read() {
    take_any_hold::<Membership>().await;
    let mut stage = Stage::without_operator("unreadable-late").await;
    let rig = Rig::default();
    stage.start_with(rig.client(&stage), timing());
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-web");
        world.put_member("rsp-web", "i-other", "", 80, 100);
    }
    // No look but those that the test is about.
    let seldom = json!({"intervalSeconds": 86400});
    let list = async |name: &str, group: &str, first, count| {
        let servers = instances(first, count, Some(80));
        stage
            .membership(name, group, &servers, seldom.clone())
            .await
    };
    list("web", "rsp-web", 0, 3).await;
    stage.reason::<Membership>("web", "Converged").await;
    // The first look plans the removal, the second is the one before it is sent.
    let mut looks = 0;
    let mut look = stage.simulator.hold(When::Before, move |call: &Entry| {
        looks += usize::from(call.action == "DescribeVServerGroupAttribute");
        looks == 2
    });
    list("web", "rsp-web", 0, 2).await;
    stage.awaited("the second look", look.arrived()).await;
    let held =
        json!([{"server": "i-0007:80", "serverGroup": "CLB/rsp-web", "reason": "FromTheFuture"}]);
    rig.stall("servergroupmemberships");
    // A watch that waits already still shows one thing.
    list("first", "rsp-other", 8, 1).await;
    list("bad", "rsp-web", 7, 1).await;
    hold::<Membership>(&stage, "bad", held).await;
    look.release();
    stage.reason::<Membership>("web", "Conflict").await;
    let removed = stage
        .simulator
        .world()
        .calls("RemoveVServerGroupBackendServers");
    assert_eq!(removed, 0, "{}", stage.calls());
}
