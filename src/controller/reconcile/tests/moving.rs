//! Forced calls of scaling groups: when they are over, and what others make of it.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    scene::{GROUP, Scene, deleted, group, ids, keys, merge},
    *,
};
use crate::{
    api::{FINALIZER, status::Phase},
    cloud::Cloud,
    controller::{
        object::Object as _, open::Open, record::Reference, scaling_activity::move_is_over,
        turns::GroupId,
    },
};

const DETACH: &str = "DetachVServerGroups";

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

/// A client that asks as the account of the scene.
async fn cloud(ctx: &Context) -> Cloud {
    let account = ctx.accounts.get("default").unwrap();
    let (region, identity) = ("cn-hangzhou", &account.identity);
    let credential = ctx.sources.of("default", identity, region);
    let cloud = Cloud::new(&ctx.transport, credential, region, identity.network);
    cloud.pinned().await.unwrap()
}

/// Fifteen minutes were taken for the end of a call that had no answer, though its scaling group moved instances all the
/// time: another call took out who was left.
#[tokio::test]
async fn a_forced_call_without_an_answer_is_not_over_while_its_scaling_group_is_busy() {
    let scene = Scene::with(&[0, 1]).await;
    let (ctx, cloud) = (&scene.ctx, cloud(&scene.ctx).await);
    scene.simulator.world().create_scaling_group("asg-1", []);
    let mut turn = ctx.turns.take(&group()).unwrap();
    let call = forced_call(Phase::Unsettled, "asg-1");
    let mut over =
        async |lands| move_is_over(ctx, &group(), &mut turn, &cloud, &call, "asg-1", lands).await;
    scene.busy("asg-1");
    assert!(!over(Duration::ZERO).await, "something runs");
    scene.simulator.world().activities.clear();
    assert!(!over(Duration::from_hours(1)).await, "it may begin yet");
    while !over(Duration::ZERO).await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// It was found to be over, and its instances counted as serving for as long as the list showed them. And each look found it
/// over anew, so that for as long as no object could close it nothing was removed.
#[tokio::test]
async fn whoever_finds_a_forced_call_over_takes_the_lag_of_lists_into_account_once() {
    let scene = Scene::with(&[0, 1]).await;
    let ctx = &scene.ctx;
    scene.simulator.world().create_scaling_group("asg-1", []);
    let cloud = cloud(ctx).await;
    let mut turn = ctx.turns.take(&group()).unwrap();
    let call = forced_call(Phase::Accepted, "asg-1");
    let lags = || ctx.lag.shown_from(&group(), ctx.now(), &ctx.timing) > ctx.now();
    let mut over = async || {
        let lands = Duration::ZERO;
        move_is_over(ctx, &group(), &mut turn, &cloud, &call, "asg-1", lands).await
    };
    scene.busy("asg-1");
    assert!(!over().await && !lags());
    scene.simulator.world().activities.clear();
    while !over().await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(lags());
    tokio::time::sleep(ctx.timing.listing_lag).await;
    assert!(over().await && !lags(), "that is not news any more");
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
    scene.changes::<ScalingGroupAttachment>("feeds", |object| {
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

/// An attachment to the group whose forced detach had no answer, settled, and may land until then.
fn settled_detach(name: &str, scaling_group: &str, until: Timestamp) -> Value {
    let key = format!("CLB/lb-sim/{GROUP}:80");
    json!({
        "spec": {"scalingGroupId": scaling_group, "serverGroups": []},
        "status": {"observedGeneration": 1,
            "ledger": {"uid": name, "cloudAccountId": "", "registered": [key], "adopted": []},
            "operation": {"id": "op", "action": DETACH, "phase": "Settled", "epoch": 1,
                "serverGroups": [key], "until": until}},
    })
}

/// Instances whose forced detach had settled counted as serving. The membership let go of everybody else, and then the
/// detach landed.
#[tokio::test]
async fn instances_that_a_settled_forced_detach_may_still_take_do_not_count_as_serving() {
    for asked in [true, false] {
        let scene = Scene::with(&[0, 1]).await;
        scene
            .simulator
            .world()
            .create_scaling_group("asg-1", [server(1)]);
        if !asked {
            scene.deny(&["DescribeScalingInstances"]);
        }
        let late = Timestamp::now() + Duration::from_secs(1);
        let detach = settled_detach("feeds", "asg-1", late);
        learn::<ScalingGroupAttachment>(&scene.ctx, &scene.objects, "feeds", &detach);
        let name = scene.membership("a", &[], &[0], &deleted(&[FINALIZER]));
        scene.until_it_goes(&name).await;
        assert!(
            Timestamp::now() > late,
            "it waits, and nobody leaves before"
        );
        assert_eq!(scene.members(), ids(&[1]));
    }
}

/// What was known of the call was forgotten with its object, its status or its grant, though it could land all the same.
#[tokio::test]
async fn a_settled_forced_detach_is_known_whatever_becomes_of_its_object() {
    for deed in ["abandoned", "emptied", "not granted"] {
        let scene = Scene::with(&[0, 1]).await;
        scene
            .simulator
            .world()
            .create_scaling_group("asg-1", [server(1)]);
        let late = Timestamp::now() + Duration::from_mins(15);
        let detach = settled_detach("feeds", "asg-1", late);
        let feeds = learn::<ScalingGroupAttachment>(&scene.ctx, &scene.objects, "feeds", &detach);
        let name = scene.membership("a", &[], &[0], &json!({}));
        scene.pass::<ServerGroupMembership>(&name).await;
        match deed {
            "abandoned" => {
                let feeds = scene.ctx.attachments.get(&feeds).unwrap();
                let gone = scene.ctx.attachments.forget(&**feeds).unwrap();
                scene.ctx.gone::<ScalingGroupAttachment>(gone);
            }
            "emptied" => scene.changes::<ScalingGroupAttachment>("feeds", |object| {
                object["status"] = json!({});
            }),
            _ => scene.changes::<ScalingGroupAttachment>("feeds", |object| {
                object["spec"]["accountName"] = json!("other");
            }),
        }
        scene.changes::<ServerGroupMembership>("a", |object| merge(object, &deleted(&[FINALIZER])));
        for _ in 0..10 {
            scene.pass::<ServerGroupMembership>(&name).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!((scene.removals(), scene.members().len()), (0, 2), "{deed}");
    }
}

/// The detach landed in time, and took longer than that: for a moment nothing said that its instances were about to go.
#[tokio::test]
async fn a_late_detach_that_landed_counts_for_as_long_as_it_takes() {
    let scene = Scene::with(&[0, 1]).await;
    scene
        .simulator
        .world()
        .create_scaling_group("asg-1", [server(1)]);
    let ctx = &scene.ctx;
    ctx.late_calls.note(group(), "asg-1", Some(80), ctx.now());
    scene.busy("asg-1");
    let name = scene.membership("a", &[], &[0], &deleted(&[FINALIZER]));
    for _ in 0..10 {
        scene.pass::<ServerGroupMembership>(&name).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!((scene.removals(), scene.members().len()), (0, 2));
    scene.simulator.world().activities.clear();
    scene.until_it_goes(&name).await;
    assert_eq!(scene.members(), ids(&[1]));
}

/// Its name stood in `status.settled` alone, and nobody found the object by it.
#[test]
fn a_call_that_settled_before_the_last_one_still_names_its_group() {
    let until = Timestamp::now() + Duration::from_mins(15);
    let mut object = settled_detach("feeds", "asg-1", until);
    object["status"]["settled"] = json!([{"action": DETACH, "until": until,
        "serverGroups": ["CLB/lb-sim/rsp-before:80"]}]);
    merge(
        &mut object,
        &json!({"metadata": {"name": "feeds", "namespace": "ns"}}),
    );
    object["spec"]["regionId"] = json!("cn-hangzhou");
    let object: ScalingGroupAttachment = serde_json::from_value(object).unwrap();
    let before = GroupId::new("cn-hangzhou", "CLB", "rsp-before");
    assert!(object.other_groups().contains(&before));
}

/// Two attachments took out the instances of two scaling groups, one after the other: the call of the first one had
/// settled, and landed after that of the second.
#[tokio::test]
async fn a_forced_detach_counts_on_nobody_whom_another_ones_settled_detach_may_still_take() {
    let scene = Scene::with(&[0, 1]).await;
    {
        let mut world = scene.simulator.world();
        world.create_scaling_group("asg-1", [server(0)]);
        world.create_scaling_group("asg-2", [server(1)]);
        world.attach("asg-2", "CLB", GROUP, Some(80), Some(100));
        world.create_group(Product::Gwlb, "sgp-stays");
        world.attach("asg-2", "GWLB", "sgp-stays", None, None);
    }
    let late = Timestamp::now() + Duration::from_mins(15);
    let detach = settled_detach("feeds", "asg-1", late);
    learn::<ScalingGroupAttachment>(&scene.ctx, &scene.objects, "feeds", &detach);
    let mut second = settled_detach("second", "asg-2", late);
    second["spec"]["forceDetach"] = json!(true);
    second["spec"]["serverGroups"] = json!([{"type": "GWLB", "id": "sgp-stays"}]);
    second["status"]["operation"] = Value::Null;
    let name = learn::<ScalingGroupAttachment>(&scene.ctx, &scene.objects, "second", &second);
    for _ in 0..10 {
        scene.pass::<ScalingGroupAttachment>(&name).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let object = scene.ctx.attachments.get(&name).unwrap();
    let ready = object.conditions().iter().find(|one| one.type_ == "Ready");
    assert_eq!(ready.unwrap().reason, "LastServing");
    assert_eq!(scene.simulator.world().calls(DETACH), 0);
}
