//! Objects that go: what a release removes, waits for, leaves behind, and tells.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    scene::{GROUP, REMOVE, Scene, deleted, group, ids, keys, merge},
    *,
};
use crate::{
    api::{FINALIZER, status::Phase},
    controller::{open::Open, record::Reference},
};

/// Its ledger stayed in status, and a member that somebody added again was removed at the next pass.
#[tokio::test]
async fn what_was_let_go_and_is_kept_by_somebody_elses_finalizer_removes_nothing() {
    let scene = Scene::with(&[0, 1]).await;
    let name = scene.membership("a", &[], &[0], &deleted(&["example.com/keep"]));
    let next = scene.pass::<ServerGroupMembership>(&name).await;
    assert!(matches!(next, Next::Never), "{next:?}");
    assert_eq!((scene.removals(), scene.members()), (0, ids(&[0, 1])));
}

/// Whoever led before had another member removed, which the list still shows: with it gone too, nobody would serve.
#[tokio::test]
async fn a_removal_that_the_list_does_not_show_yet_is_not_forgotten_at_a_takeover() {
    let scene = Scene::with(&[0, 1]).await;
    scene.ctx.lag.leads(scene.ctx.now(), [group()].into());
    let name = scene.membership("a", &[], &[0], &deleted(&[FINALIZER]));
    scene.pass::<ServerGroupMembership>(&name).await;
    assert_eq!(scene.removals(), 0);
    let message = scene.message(&name);
    assert!(
        message.contains("before this replica took over"),
        "{message}"
    );
    scene.simulator.world().delete_member(GROUP, &server(1));
    scene.until_it_goes(&name).await;
    assert_eq!((scene.removals(), scene.members()), (0, ids(&[0])));
    assert_eq!(scene.told("Retained").len(), 1);
}

/// The instances that a scaling group had taken out were counted as serving for as long as the list showed them.
#[tokio::test]
async fn who_was_moved_out_by_a_scaling_group_counts_only_if_a_later_list_shows_it() {
    let scene = Scene::with(&[0, 1]).await;
    let name = scene.membership("a", &[], &[0], &deleted(&[FINALIZER]));
    scene.ctx.lag.moved(group(), scene.ctx.now());
    scene.pass::<ServerGroupMembership>(&name).await;
    assert_eq!(scene.removals(), 0);
    scene.simulator.world().delete_member(GROUP, &server(1));
    scene.until_it_goes(&name).await;
    assert_eq!(scene.members(), ids(&[0]));
}

/// What a scaling group moved is noted by whoever finds the call over: here the object of the call.
#[tokio::test]
async fn a_call_that_moved_instances_is_noted_at_the_groups_that_it_moved_them_in() {
    let scene = Scene::with(&[0]).await;
    scene.simulator.world().create_scaling_group("asg-web", []);
    let object = json!({
        "spec": {"scalingGroupId": "asg-web", "serverGroups": []},
        "status": {"observedGeneration": 1,
            "ledger": {"uid": "feeds", "cloudAccountId": "", "registered": [], "adopted": []},
            "operation": {"id": "op", "action": "DetachVServerGroups", "phase": "Accepted", "epoch": 1,
                "serverGroups": [format!("CLB/lb-sim/{GROUP}:80")], "reference": "asa-1"}},
    });
    let name = learn::<ScalingGroupAttachment>(&scene.ctx, &scene.objects, "feeds", &object);
    let noted = || {
        let now = scene.ctx.now();
        scene.ctx.lag.shown_from(&group(), now, &scene.ctx.timing) > now
    };
    assert!(!noted());
    for _ in 0..ENOUGH {
        scene.pass::<ScalingGroupAttachment>(&name).await;
        let object = scene.ctx.attachments.get(&name).unwrap();
        if object.record().operation.is_none() {
            assert!(noted());
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the call is not over");
}

/// Nobody follows the call any more, and ESS tells nothing: the members waited for it for ever.
#[tokio::test]
async fn a_call_of_an_object_that_is_gone_is_not_waited_for_without_end_if_ess_cannot_be_asked() {
    let mut scene = Scene::with(&[1]).await;
    scene.ctx.timing.linger = Duration::from_millis(300);
    scene.deny(&[
        "DescribeScalingActivities",
        "DescribeScalingActivityDetail",
        "DescribeScalingGroups",
    ]);
    let open = Open {
        id: "op".into(),
        by: "ns/feeds".into(),
        action: "DetachVServerGroups".into(),
        phase: Phase::Accepted,
        reference: Some(Reference::Id("asa-1".into())),
        moved_by: Some("asg-web".into()),
        began_here: true,
        ..Open::default()
    };
    scene.ctx.orphans.take(vec![(group(), open)]);
    let name = scene.membership("a", &[0, 1], &[], &json!({}));
    scene.pass::<ServerGroupMembership>(&name).await;
    assert_eq!(scene.members(), ids(&[1]), "it may still run");
    parses_of_each_pass::<ServerGroupMembership>(&scene.ctx, &name).await;
    assert_eq!(scene.members(), ids(&[0, 1]));
}

/// The other object listed what it could not take over, and the deletion waited for it without a word.
#[tokio::test]
async fn a_deletion_waits_for_a_taker_by_name_and_not_for_ever() {
    let mut scene = Scene::with(&[0, 1]).await;
    scene.ctx.timing.handover_max = Duration::from_millis(300);
    let name = scene.membership("giver", &[], &[0], &deleted(&[FINALIZER]));
    scene.membership("taker", &[0], &[], &json!({}));
    scene.pass::<ServerGroupMembership>(&name).await;
    let message = scene.message(&name);
    assert!(
        message.contains("waits for ns/taker: i-0000:80"),
        "{message}"
    );
    scene.until_it_goes(&name).await;
    assert_eq!((scene.removals(), scene.members()), (0, ids(&[0, 1])));
    assert!(!scene.held_by_us("giver"));
}

/// Its object went, somebody else added the member, and the old call took it.
#[tokio::test]
async fn an_object_whose_removal_may_still_land_stays_on_record_until_it_cannot() {
    let scene = Scene::with(&[1]).await;
    let settled = |until: Timestamp| {
        let settled =
            json!([{"action": REMOVE, "until": until.to_string(), "servers": keys(&[0])}]);
        let mut object = deleted(&[FINALIZER]);
        merge(&mut object, &json!({"status": {"settled": settled}}));
        object
    };
    let now = Timestamp::now();
    let hour = SignedDuration::from_hours(1);
    let late = scene.membership("late", &[], &[], &settled(now + hour));
    let next = scene.pass::<ServerGroupMembership>(&late).await;
    assert!(matches!(next, Next::After(..)), "{next:?}");
    assert!(scene.held_by_us("late"));
    let message = scene.message(&late);
    assert!(message.contains("up to 15 minutes"), "{message}");
    let over = scene.membership("over", &[], &[], &settled(now - hour));
    scene.pass::<ServerGroupMembership>(&over).await;
    assert!(!scene.held_by_us("over"));
    let abandon =
        json!({"metadata": {"annotations": {"servergroup.alicloud.dev/abandon": "true"}}});
    let mut object = settled(now + hour);
    merge(&mut object, &abandon);
    let abandoned = scene.membership("abandoned", &[], &[], &object);
    scene.pass::<ServerGroupMembership>(&abandoned).await;
    assert!(!scene.held_by_us("abandoned"));
}

/// It had told of what was adopted, and then said nothing of the rest that an `abandon` left.
#[tokio::test]
async fn what_was_told_to_stay_does_not_hide_what_stays_besides() {
    let scene = Scene::with(&[0, 1, 2]).await;
    scene.deny(&[REMOVE]);
    let mut object = deleted(&[FINALIZER]);
    merge(
        &mut object,
        &json!({"status": {"ledger": {"adopted": keys(&[1])}}}),
    );
    let name = scene.membership("a", &[], &[0], &object);
    scene.pass::<ServerGroupMembership>(&name).await;
    let told = scene.told("Left");
    assert!(told.len() == 1 && told[0].contains("i-0001:80"), "{told:?}");
    let annotate = json!({"servergroup.alicloud.dev/abandon": "true"});
    scene.changes::<ServerGroupMembership>("a", |object| {
        object["metadata"]["annotations"] = annotate;
    });
    scene.until_it_goes(&name).await;
    let told = scene.told("Left");
    assert!(
        told.len() == 2 && told.iter().any(|note| note.contains("i-0000:80")),
        "{told:?}"
    );
}

/// It came back each time, was left to whoever brings it, and the object went without a word.
#[tokio::test]
async fn what_comes_back_until_the_object_goes_is_told_to_stay() {
    let scene = Scene::with(&[0, 1]).await;
    let parked = json!({"status": {"parked": [{"server": "i-0000:80", "reason": "Contended"}]}});
    let mut object = deleted(&[FINALIZER]);
    merge(&mut object, &parked);
    let name = scene.membership("a", &[], &[0], &object);
    scene.until_it_goes(&name).await;
    assert_eq!((scene.removals(), scene.members()), (0, ids(&[0, 1])));
    let told = scene.told("Left");
    assert!(
        told.len() == 1 && told[0].contains("they came back however often"),
        "{told:?}"
    );
}
