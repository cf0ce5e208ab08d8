//! Events: once for each change, over the whole batch, and never in a loop.

use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::json;
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{When, world::Product};

use crate::{
    stage::{Stage, instance, instances, timing},
    wire::{Point, Tripwire, wired},
};

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

fn once((reason, note): (&str, String)) -> (String, String, i32) {
    (reason.to_owned(), note, 1)
}

fn reasons(told: &[(String, String, i32)]) -> Vec<&str> {
    told.iter().map(|(reason, ..)| reason.as_str()).collect()
}

/// Entries of port 80 as an event names them.
fn entries(numbers: std::ops::Range<usize>) -> String {
    let entries: Vec<_> = numbers
        .map(|number| format!("{}:80", instance(number)))
        .collect();
    entries.join(", ")
}

/// The cloud's ids of the answers to calls of `action` that were carried out, or of those that were refused.
fn requests(stage: &Stage, action: &str, acted: bool) -> Vec<String> {
    let world = stage.simulator.world();
    let calls = world.changing_calls();
    calls
        .filter(|call| call.action == action && call.acted == acted)
        .map(|call| call.request_id.clone())
        .collect()
}

/// The last one that was carried out.
fn request(stage: &Stage, action: &str) -> String {
    requests(stage, action, true).pop().unwrap()
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
    stage.reached("more looks", before + times, looks).await;
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
    let (added, removed) = (
        request(&stage, "AddVServerGroupBackendServers"),
        request(&stage, "RemoveVServerGroupBackendServers"),
    );
    let notes = [
        (
            "Added",
            format!(
                "added 45 servers to rsp-web (request {added}): {} and 25 more",
                entries(1..21)
            ),
        ),
        (
            "Adopted",
            "adopted 1 server found at rsp-web: i-0000:80".to_owned(),
        ),
        (
            "Removed",
            format!(
                "removed 25 servers from rsp-web (request {removed}): {} and 5 more",
                entries(21..41)
            ),
        ),
    ];
    assert_eq!(told, notes.map(once));
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
    stage
        .eventually("repaired", async || {
            (stage.simulator.world().serving("rsp-web") == 120).then_some(())
        })
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .eventually("told", async || {
            let told = told(&stage, "web").await;
            (reasons(&told) == ["Added", "Added", "Repaired"]).then_some(())
        })
        .await;
    looked(&stage, 5).await;
    let told = told(&stage, "web").await;
    assert_eq!(told.len(), 3, "{told:?}");
    let request = request(&stage, "AddVServerGroupBackendServers");
    let note =
        format!("the cloud had drifted from the spec; changes accepted: 100 (request {request})");
    assert_eq!(told[2], once(("Repaired", note)));
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
    assert_eq!(reasons(&web), ["Added", "Held", "Stalled"], "{web:?}");
    assert!(web[1].1.contains("LastServing"), "{web:?}");
    assert!(
        web[2].1.starts_with("LastServing: going on would leave"),
        "{web:?}"
    );
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
async fn every_change_of_a_group_has_its_event() {
    let stage = clb("events-every").await;
    let drain = || json!({"removal": {"drainSeconds": 30}});
    let mut servers = instances(0, 3, Some(80));
    stage.membership("web", "rsp-web", &servers, drain()).await;
    stage.reason::<Membership>("web", "Converged").await;
    servers[0]["weight"] = json!(50);
    stage.membership("web", "rsp-web", &servers, drain()).await;
    stage.reason::<Membership>("web", "Converged").await;
    servers.pop();
    stage.membership("web", "rsp-web", &servers, drain()).await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    let weights = requests(&stage, "SetVServerGroupAttribute", true);
    let [reweighed, drained] = &weights[..] else {
        panic!("{weights:?}");
    };
    let (added, removed) = (
        request(&stage, "AddVServerGroupBackendServers"),
        request(&stage, "RemoveVServerGroupBackendServers"),
    );
    let notes = [
        ("Added", format!("added 3 servers to rsp-web (request {added}): {}", entries(0..3))),
        ("Drained", format!("sent weight 0 to 1 server in rsp-web (request {drained}): i-0002:80")),
        ("Removed", format!("removed 1 server from rsp-web (request {removed}): i-0002:80")),
        ("Retained", "releasing would leave nobody serving in rsp-web, so its members stay (2). To have them removed, list \
                      them in a new object with the annotation servergroup.alicloud.dev/take-over, and delete that one, \
                      whose spec.removal.allowEmpty is true".to_owned()),
        ("Reweighed", format!("reweighed 1 server in rsp-web (request {reweighed}): i-0000:80")),
    ];
    assert_eq!(told(&stage, "web").await, notes.map(once));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_an_attachment_has_its_event() {
    let stage = Stage::new("events-every-ess").await;
    {
        let mut world = stage.simulator.world();
        world.create_scaling_group("asg-1", [instance(0)]);
        for id in ["sgp-1", "sgp-2"] {
            world.create_group(Product::Gwlb, id);
        }
        world.attach("asg-1", "GWLB", "sgp-1", None, None);
    }
    let groups = ["sgp-1", "sgp-2"].map(|id| json!({"type": "GWLB", "id": id}));
    let forced = json!({"forceAttach": true, "forceDetach": true});
    stage.attachment("feed", "asg-1", &groups, forced).await;
    stage
        .reason::<ScalingGroupAttachment>("feed", "Converged")
        .await;
    stage
        .eventually("the instance serves", async || {
            (stage.simulator.world().serving("sgp-2") == 1).then_some(())
        })
        .await;
    stage.delete::<ScalingGroupAttachment>("feed").await;
    stage.gone::<ScalingGroupAttachment>("feed").await;
    let attached = request(&stage, "AttachServerGroups");
    let notes = [
        ("Adopted", "adopted 1 server group found at asg-1: GWLB/sgp-1".to_owned()),
        ("Attached", format!("attached 1 server group to asg-1 (request {attached}): GWLB/sgp-2")),
        ("Retained", "detaching from asg-1 by force would leave a server group without anybody who serves, so everything \
                      stays (2). To have it detached, list them in a new object with the annotation \
                      servergroup.alicloud.dev/take-over, and delete that one, with spec.forceDetach false, or \
                      spec.removal.allowEmpty true".to_owned()),
    ];
    assert_eq!(told(&stage, "feed").await, notes.map(once));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_coming_back_is_told_once_as_left_alone() {
    let stage = clb("events-contended").await;
    let spec = json!({"ownership": "Exclusive", "intervalSeconds": 30});
    stage
        .membership("web", "rsp-web", &instances(0, 2, Some(80)), spec)
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let remove = "RemoveVServerGroupBackendServers";
    for times in 1..=4 {
        stage
            .simulator
            .world()
            .put_member("rsp-web", "i-other", "", 80, 100);
        if times <= 3 {
            stage
                .eventually("removed", async || {
                    (stage.simulator.world().calls(remove) == times).then_some(())
                })
                .await;
            stage.reason::<Membership>("web", "Converged").await;
        }
    }
    stage.reason::<Membership>("web", "Contended").await;
    looked(&stage, 10).await;
    let mut left = told(&stage, "web").await;
    left.retain(|(reason, ..)| ["Failed", "Held"].contains(&reason.as_str()));
    let words = "Contended: removed, and back 3 times; it is left to whoever brings it";
    let notes = [
        (
            "Failed",
            format!("left alone for a while, 1: i-other:80 ({words})"),
        ),
        ("Held", "left alone: i-other:80 (Contended)".to_owned()),
    ];
    assert_eq!(left, notes.map(once));
}

/// Starts an operator, kills it when it is about to write for the `at`th time after `play`, and starts another.
async fn killed_before_write(stage: &mut Stage, at: usize, play: impl AsyncFnOnce(&Stage)) {
    let when = When::Before;
    let wire = Tripwire::new(Some(Point { at, when }));
    stage.start_with(wired(stage, &wire), timing());
    play(stage).await;
    stage.awaited("the write", wire.tripped.notified()).await;
    stage.kill().await;
    stage.start();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_told_once_though_the_write_that_keeps_it_is_refused() {
    let stage = clb("events-refused").await;
    let beat = || json!({"intervalSeconds": 30});
    let there = |stage: &Stage| {
        let mut world = stage.simulator.world();
        (0..3).for_each(|number| world.put_member("rsp-web", &instance(number), "", 80, 100));
    };
    there(&stage);
    let list = "DescribeVServerGroupAttribute";
    let mut seen = stage
        .simulator
        .hold(When::After, move |call| call.action == list);
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), beat())
        .await;
    stage.awaited("the call", seen.arrived()).await;
    // Somebody else writes before the pass does.
    stage.look_now::<Membership>("web").await;
    seen.release();
    stage.reason::<Membership>("web", "Converged").await;
    looked(&stage, 3).await;
    let note = format!("adopted 3 servers found at rsp-web: {}", entries(0..3));
    let adopted = ("Adopted", note);
    assert_eq!(told(&stage, "web").await, [once(adopted.clone())]);
    assert_eq!(stage.changes(), 0);
    let mut stage = Stage::without_operator("events-killed").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    there(&stage);
    // Nothing is registered, so that the first write is the last.
    killed_before_write(&mut stage, 0, async |stage| {
        stage
            .membership("web", "rsp-web", &instances(0, 3, Some(80)), beat())
            .await;
    })
    .await;
    stage.reason::<Membership>("web", "Converged").await;
    looked(&stage, 3).await;
    assert_eq!(told(&stage, "web").await, [once(adopted)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_is_told_once_whatever_is_looked_at_and_whoever_looks() {
    let mut stage = Stage::without_operator("events-parked").await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-web");
        world.bad_servers.insert(instance(1));
    }
    // The finalizer, the intent, and then what was refused.
    killed_before_write(&mut stage, 2, async |stage| {
        let beat = json!({"intervalSeconds": 30});
        let servers = instances(0, 3, Some(80));
        stage.membership("web", "rsp-web", &servers, beat).await;
    })
    .await;
    stage.reason::<Membership>("web", "PartlyApplied").await;
    let refused = requests(&stage, "AddVServerGroupBackendServers", false);
    let refused = refused.last().unwrap();
    looked(&stage, 10).await;
    stage.stop().await;
    let changes = stage.changes();
    stage.start();
    // It does not know how long ago that was, and tries once.
    stage
        .eventually("tried", async || (stage.changes() > changes).then_some(()))
        .await;
    looked(&stage, 10).await;
    assert_eq!(stage.changes(), changes + 1);
    let web: Membership = stage.reason("web", "PartlyApplied").await;
    let reason = &web.status.unwrap().parked[0].reason;
    let mut failed = told(&stage, "web").await;
    failed.retain(|(reason, ..)| reason == "Failed");
    let note = format!("left alone for a while, 1: i-0001:80 ({reason}, request {refused})");
    assert_eq!(failed, [once(("Failed", note))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_is_told_though_the_write_that_says_so_is_refused() {
    let stage = clb("events-parked-refused").await;
    stage.simulator.world().bad_servers.insert(instance(0));
    let add = "AddVServerGroupBackendServers";
    let mut refused = stage
        .simulator
        .hold(When::After, move |call| call.action == add);
    let beat = json!({"intervalSeconds": 30});
    stage
        .membership("web", "rsp-web", &instances(0, 1, Some(80)), beat)
        .await;
    stage.awaited("the call", refused.arrived()).await;
    // Somebody else writes what is not about the operator.
    stage.label::<Membership>("web").await;
    refused.release();
    stage.reason::<Membership>("web", "PartlyApplied").await;
    looked(&stage, 5).await;
    assert_eq!(stage.changes(), 1, "it is not tried again");
    assert_eq!(reasons(&told(&stage, "web").await), ["Failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retained_is_told_once_though_letting_go_is_refused() {
    let stage = clb("events-retained-refused").await;
    let servers = instances(0, 1, Some(80));
    stage
        .membership("web", "rsp-web", &servers, json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let list = "DescribeVServerGroupAttribute";
    let mut seen = stage
        .simulator
        .hold(When::After, move |call| call.action == list);
    stage.delete::<Membership>("web").await;
    stage.awaited("the call", seen.arrived()).await;
    stage.label::<Membership>("web").await;
    seen.release();
    stage.gone::<Membership>("web").await;
    assert_eq!(reasons(&told(&stage, "web").await), ["Added", "Retained"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_told_once_though_the_operator_dies_over_it() {
    let mut stage = Stage::without_operator("events-job").await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Nlb, "sgp-nlb-web");
        world.failing_jobs = 1;
        // The first look at the job shows how it ended.
        world.durations.adding = 0.0;
    }
    // The finalizer, the intent, the job, and then the intent of the second try.
    killed_before_write(&mut stage, 3, async |stage| {
        let servers = instances(0, 3, Some(80));
        stage
            .membership("web", "sgp-nlb-web", &servers, json!({}))
            .await;
    })
    .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.changes(), 2);
    let told = told(&stage, "web").await;
    assert_eq!(reasons(&told), ["Added", "Added", "Failed"], "{told:?}");
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
    let (attached, detached) = (
        request(&stage, "AttachServerGroups"),
        request(&stage, "DetachServerGroups"),
    );
    let notes = [
        (
            "Attached",
            format!(
                "attached 2 server groups to asg-1 (request {attached}): GWLB/sgp-1, GWLB/sgp-2"
            ),
        ),
        (
            "Detached",
            format!("detached 1 server group from asg-1 (request {detached}): GWLB/sgp-2"),
        ),
    ];
    assert_eq!(told, notes.map(once));
}
