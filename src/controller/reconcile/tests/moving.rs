//! Forced calls of scaling groups: when they are over, and what others make of it.

use std::time::Duration;

use super::{
    scene::{GROUP, Scene, deleted, group, keys},
    *,
};
use crate::{
    api::{FINALIZER, status::Phase},
    controller::{open::Open, record::Reference},
};

const DETACH: &str = "DetachVServerGroups";

/// A scaling group of these instances, which an attachment has attached at port 80 and is to detach by force.
fn to_detach(scene: &Scene, name: &str, scaling_group: &str, instances: &[usize]) -> Name {
    {
        let mut world = scene.simulator.world();
        world.create_scaling_group(
            scaling_group,
            instances.iter().map(|number| server(*number)),
        );
        world.attach(scaling_group, "CLB", GROUP, Some(80), Some(50));
        world.create_group(Product::Gwlb, "sgp-gw");
        world.attach(scaling_group, "GWLB", "sgp-gw", None, None);
    }
    let object = json!({
        "metadata": {"finalizers": [FINALIZER]},
        "spec": {"scalingGroupId": scaling_group, "forceDetach": true,
            "serverGroups": [{"type": "GWLB", "id": "sgp-gw"}]},
        "status": {"observedGeneration": 1, "ledger": {"uid": name, "cloudAccountId": "", "adopted": [],
            "registered": [format!("CLB/lb-sim/{GROUP}:80"), "GWLB/sgp-gw"]}},
    });
    learn::<ScalingGroupAttachment>(&scene.ctx, &scene.objects, name, &object)
}

fn forced_call(phase: Phase, scaling_group: &str) -> Open {
    Open {
        id: "op".into(),
        by: "ns/gone".into(),
        action: DETACH.into(),
        phase,
        reference: (phase == Phase::Accepted).then_some(Reference::AnyActivity),
        moved_by: Some(scaling_group.into()),
        began_here: true,
        ..Open::default()
    }
}

fn detached(scene: &Scene) -> usize {
    scene.simulator.world().calls(DETACH)
}

/// A pass, with the turns that it asks for.
async fn pass(scene: &Scene, name: &Name) {
    let work = Work {
        also: [group()].into(),
        ..asked()
    };
    Box::pin(reconcile::<ScalingGroupAttachment>(&scene.ctx, name, work)).await;
}

/// Fifteen minutes were taken for the end of a call that had no answer, though its scaling group moved instances all the
/// time: both left, and nobody served.
#[tokio::test]
async fn a_forced_call_without_an_answer_is_not_over_while_its_scaling_group_is_busy() {
    let mut scene = Scene::with(&[0, 1]).await;
    scene.ctx.timing.linger = Duration::from_millis(300);
    let name = to_detach(&scene, "two", "asg-2", &[1]);
    scene
        .simulator
        .world()
        .create_scaling_group("asg-1", [server(0)]);
    scene.busy("asg-1");
    let orphan = || vec![(group(), forced_call(Phase::Unsettled, "asg-1"))];
    scene.ctx.orphans.take(orphan());
    let until = Instant::now() + 3 * scene.ctx.timing.linger;
    while Instant::now() < until {
        scene.ctx.orphans.take(orphan());
        pass(&scene, &name).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(detached(&scene), 0);
}

/// It was found to be over, and its instances counted as serving for as long as the list showed them.
#[tokio::test]
async fn whoever_finds_a_forced_call_over_takes_the_lag_of_lists_into_account() {
    let scene = Scene::with(&[0, 1]).await;
    let name = to_detach(&scene, "two", "asg-2", &[1]);
    scene
        .simulator
        .world()
        .create_scaling_group("asg-1", [server(0)]);
    let call = forced_call(Phase::Accepted, "asg-1");
    scene.ctx.orphans.take(vec![(group(), call)]);
    let noted = || {
        let now = scene.ctx.now();
        scene.ctx.lag.shown_from(&group(), now, &scene.ctx.timing) > now
    };
    for _ in 0..ENOUGH {
        pass(&scene, &name).await;
        if noted() {
            assert_eq!(detached(&scene), 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!(
        "the lag was not noted, and {} were detached",
        detached(&scene)
    );
}

/// Each look found the same call over anew, so that for as long as its object could not close it nothing was removed.
#[tokio::test]
async fn a_forced_call_that_its_object_cannot_close_holds_removals_for_as_long_as_lists_lag() {
    let scene = Scene::with(&[0, 1]).await;
    scene.simulator.world().create_scaling_group("asg-1", []);
    let twice = json!([
        {"type": "CLB", "id": GROUP, "loadBalancerId": "lb-sim", "port": 80, "weight": 50},
        {"type": "CLB", "id": GROUP, "loadBalancerId": "lb-sim", "port": 80, "weight": 60},
    ]);
    let object = json!({
        "metadata": {"finalizers": [FINALIZER]},
        "spec": {"scalingGroupId": "asg-1", "serverGroups": twice},
        "status": {"observedGeneration": 1,
            "ledger": {"uid": "feeds", "cloudAccountId": "", "registered": [], "adopted": []},
            "operation": {"id": "op", "action": DETACH, "phase": "Accepted", "epoch": 1,
                "serverGroups": [format!("CLB/lb-sim/{GROUP}:80")],
                "reference": "any activity of the scaling group"}},
    });
    learn::<ScalingGroupAttachment>(&scene.ctx, &scene.objects, "feeds", &object);
    let name = scene.membership("a", &[], &[0], &deleted(&[FINALIZER]));
    scene.until_it_goes(&name).await;
    assert_eq!(scene.removals(), 1);
}

/// The member was handed over to a scaling group that was never attached, and stayed for ever.
#[tokio::test]
async fn an_instance_changes_hands_once_its_scaling_group_is_attached_and_not_before() {
    let scene = Scene::with(&[0, 1]).await;
    scene
        .simulator
        .world()
        .create_scaling_group("asg-1", [server(0)]);
    let feeds = |ledger: &[String]| {
        let listed = json!([{"type": "CLB", "id": GROUP, "loadBalancerId": "lb-sim", "port": 80, "weight": 50}]);
        json!({
            "spec": {"scalingGroupId": "asg-1", "serverGroups": listed},
            "status": {"observedGeneration": 1,
                "ledger": {"uid": "feeds", "cloudAccountId": "", "registered": ledger, "adopted": []}},
        })
    };
    learn::<ScalingGroupAttachment>(&scene.ctx, &scene.objects, "feeds", &feeds(&[]));
    let name = scene.membership("a", &[1], &[0, 1], &json!({}));
    let registered = |name: &Name| scene.ctx.memberships.get(name).unwrap().ledger().clone();
    for _ in 0..3 {
        scene.pass::<ServerGroupMembership>(&name).await;
    }
    assert_eq!(registered(&name).registered.len(), 2, "it is still ours");
    assert_eq!((scene.removals(), scene.members().len()), (0, 2));
    let message = scene.message(&name);
    assert!(message.contains("ns/feeds"), "{message}");
    let attached = [format!("CLB/lb-sim/{GROUP}:80")];
    scene.changes_attachment("feeds", |object| {
        object["status"]["ledger"]["registered"] = json!(attached);
    });
    for _ in 0..3 {
        scene.pass::<ServerGroupMembership>(&name).await;
    }
    let registered = registered(&name).registered;
    let texts: Vec<_> = registered.iter().map(ToString::to_string).collect();
    assert_eq!(texts, keys(&[1]));
    assert_eq!((scene.removals(), scene.members().len()), (0, 2));
}
