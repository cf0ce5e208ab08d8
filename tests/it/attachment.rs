//! Attachments of scaling groups from YAML to the cloud and back.

use serde_json::{Value, json};
use server_group_operator::{api::ScalingGroupAttachment, timing::Timing};
use server_group_sim::{
    When,
    audit::Entry,
    world::{Ending, Product},
};

use crate::{
    kinds::Kind,
    stage::{Stage, calls, condition, events, instance, merge, message, operation, timing, told},
};

type Attachment = ScalingGroupAttachment;

fn alb(number: usize, weight: u8) -> Value {
    json!({"type": "ALB", "id": format!("sgp-alb{number}"), "port": 80, "weight": weight})
}

fn gwlb(number: usize) -> Value {
    json!({"type": "GWLB", "id": format!("sgp-gw{number}")})
}

/// A scaling group of three instances and six groups of each product to attach it to.
async fn stage(name: &str) -> Stage {
    let stage = Stage::new(name).await;
    {
        let mut world = stage.simulator.world();
        for number in 0..6 {
            world.create_group(Product::Alb, &format!("sgp-alb{number}"));
            world
                .create_group(Product::Gwlb, &format!("sgp-gw{number}"))
                .drain_seconds = 0.0;
        }
        world.create_scaling_group("asg-web", (0..3).map(instance));
    }
    stage
}

fn attached(stage: &Stage) -> Vec<String> {
    let world = stage.simulator.world();
    let mut groups: Vec<_> = world.scaling_groups["asg-web"]
        .attachments
        .iter()
        .map(|had| had.group.clone())
        .collect();
    groups.sort();
    groups
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_attachments_take_three_calls_and_one_read_when_idle() {
    let stage = stage("twelve").await;
    let twelve: Vec<_> = (0..6)
        .map(|number| alb(number, 50))
        .chain((0..6).map(gwlb))
        .collect();
    stage
        .attachment("web", "asg-web", &twelve, json!({"intervalSeconds": 30}))
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    assert_eq!(stage.simulator.world().calls("AttachServerGroups"), 3);
    assert_eq!(attached(&stage).len(), 12);
    let before = stage.all_calls();
    let reads = || stage.simulator.world().calls("DescribeScalingGroups");
    let seen = reads();
    stage.reached("three more passes", seen + 3, reads).await;
    assert!(
        stage.all_calls() - before <= reads() - seen + 1,
        "a pass with nothing to do is one read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaling_group_of_five_loses_one_and_then_another_by_force() {
    let stage = stage("five").await;
    let five: Vec<_> = (0..3)
        .map(|number| alb(number, 50))
        .chain((0..2).map(gwlb))
        .collect();
    stage
        .attachment("web", "asg-web", &five, json!({"forceAttach": true}))
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    stage
        .eventually("instances serve", || async {
            (stage.simulator.world().serving("sgp-alb0") == 3).then_some(())
        })
        .await;
    stage
        .attachment("web", "asg-web", &five[1..], json!({}))
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    assert_eq!(
        attached(&stage),
        ["sgp-alb1", "sgp-alb2", "sgp-gw0", "sgp-gw1"]
    );
    assert_eq!(
        stage.simulator.world().serving("sgp-alb0"),
        3,
        "without force instances stay"
    );
    stage
        .simulator
        .world()
        .put_member("sgp-alb1", "i-other", "", 80, 100);
    // It ends when the test says so.
    stage.simulator.world().durations.activity = 1e6;
    stage
        .attachment("web", "asg-web", &five[2..], json!({"forceDetach": true}))
        .await;
    let follows =
        |web: &Attachment| operation(web).is_some_and(|open| open["reference"].is_string());
    stage
        .until("the activity is in status", "web", follows)
        .await;
    stage.simulator.world().pass(1e6);
    stage.reason::<Attachment>("web", "Converged").await;
    assert_eq!(attached(&stage), ["sgp-alb2", "sgp-gw0", "sgp-gw1"]);
    stage
        .eventually("instances leave", || async {
            (stage.simulator.world().serving("sgp-alb1") == 1).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_detach_that_would_leave_nobody_is_held() {
    let stage = stage("forced-held").await;
    stage
        .attachment(
            "web",
            "asg-web",
            &[alb(0, 50), alb(1, 50)],
            json!({"forceAttach": true}),
        )
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    stage
        .eventually("instances serve", || async {
            (stage.simulator.world().serving("sgp-alb1") == 3).then_some(())
        })
        .await;
    stage
        .attachment(
            "web",
            "asg-web",
            &[alb(0, 50)],
            json!({"forceDetach": true, "intervalSeconds": 30}),
        )
        .await;
    let web: Attachment = stage.reason("web", "LastServing").await;
    assert_eq!(condition(&web, "Stalled").unwrap().0, "True");
    assert_eq!(stage.simulator.world().calls("DetachServerGroups"), 0);
    stage
        .simulator
        .world()
        .put_member("sgp-alb1", "i-other", "", 80, 100);
    stage.reason::<Attachment>("web", "Converged").await;
    stage
        .eventually("only the other serves", || async {
            (stage.simulator.world().serving("sgp-alb1") == 1).then_some(())
        })
        .await;
}

/// Every way for an activity to end, and what is to be said of it.
const ENDINGS: [(Ending, &str); 5] = [
    (Ending::Successful, ""),
    (Ending::Vanished, ""),
    (Ending::Warning, "ended with warnings"),
    (
        Ending::Failed,
        "failed: OperationDenied: The load balancer refused the instances.",
    ),
    (
        Ending::Rejected,
        "failed: it was rejected: OperationDenied: The load balancer refused the instances.",
    ),
];

/// Applies `after` where `before` is attached, by force, which takes one `action` whose activity ends so.
async fn followed(
    before: &[Value],
    after: &[Value],
    force: &str,
    action: &'static str,
    (ending, said): (Ending, &str),
) {
    let stage = stage("activity").await;
    stage.attachment("web", "asg-web", before, json!({})).await;
    stage.reason::<Attachment>("web", "Converged").await;
    stage
        .simulator
        .world()
        .put_member("sgp-alb1", "i-other", "", 80, 100);
    stage.simulator.world().endings.push_back(ending);
    let earlier = stage.changes();
    // A second try waits, so that what its intent says is there to be read.
    let mut tries = 0;
    let mut second = stage.simulator.hold(When::Before, move |call| {
        tries += usize::from(call.action == action);
        tries == 2
    });
    stage
        .attachment("web", "asg-web", after, json!({force: true}))
        .await;
    let again = matches!(ending, Ending::Failed | Ending::Rejected);
    let named = || {
        let world = stage.simulator.world();
        let begun = world.changing_calls().nth(earlier).unwrap();
        let (id, _) = world.activities.first_key_value().unwrap();
        let note = format!("scaling activity {id} of {action} {said}");
        (note, begun.request_id.clone())
    };
    if again {
        stage.awaited("the call", second.arrived()).await;
        let web = stage.api::<Attachment>().get("web").await.unwrap();
        let (failure, _) = named();
        assert!(message(&web).contains(&failure), "{}", message(&web));
        second.release();
    }
    stage.reason::<Attachment>("web", "Converged").await;
    let wanted: Vec<_> = after.iter().map(|group| group["id"].clone()).collect();
    assert_eq!(json!(attached(&stage)), json!(wanted), "{ending:?}");
    let calls = stage.changes() - earlier;
    assert_eq!(calls, 1 + usize::from(again), "{ending:?}");
    if said.is_empty() {
        assert!(events(&stage, "Failed").await.is_empty(), "{ending:?}");
        return;
    }
    let (note, request) = named();
    let failed = told(&stage, "Failed", &note).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    let end = format!("(request {request})");
    assert!(failed[0].ends_with(&end), "{end} is not in {failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_the_activity_of_a_forced_detach_is_followed_and_named() {
    let both = [alb(0, 50), alb(1, 50)];
    for ending in ENDINGS {
        let action = "DetachServerGroups";
        followed(&both, &both[..1], "forceDetach", action, ending).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_the_activity_of_a_forced_attach_is_followed_and_named() {
    let both = [alb(0, 50), alb(1, 50)];
    for ending in ENDINGS {
        let action = "AttachServerGroups";
        followed(&both[..1], &both, "forceAttach", action, ending).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_fails_twice_is_parked_and_said() {
    let stage = stage("activity-twice").await;
    stage
        .attachment("web", "asg-web", &[alb(0, 50), alb(1, 50)], json!({}))
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    stage
        .simulator
        .world()
        .put_member("sgp-alb1", "i-other", "", 80, 100);
    stage
        .simulator
        .world()
        .endings
        .extend([Ending::Failed, Ending::Failed]);
    stage
        .attachment(
            "web",
            "asg-web",
            &[alb(0, 50)],
            json!({"forceDetach": true}),
        )
        .await;
    let web: Attachment = stage.reason("web", "PartlyApplied").await;
    let parked = web.status.unwrap().parked;
    assert_eq!(parked[0].server_group, "ALB/sgp-alb1:80");
    assert!(
        parked[0].reason.contains("OperationDenied"),
        "{}",
        parked[0].reason
    );
    assert_eq!(stage.simulator.world().calls("DetachServerGroups"), 2);
}

/// It once was detached in one pass and attached again in a later one, as an attachment of ours.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_adopted_is_attached_again_at_its_new_weight_at_once_and_stays_adopted() {
    let stage = stage("weight-adopted").await;
    for number in 0..2 {
        let group = format!("sgp-alb{number}");
        let mut world = stage.simulator.world();
        world.attach("asg-web", "ALB", &group, Some(80), Some(50));
    }
    stage
        .attachment("web", "asg-web", &[alb(0, 60), alb(1, 50)], json!({}))
        .await;
    let web: Attachment = stage.reason("web", "Converged").await;
    let ledger = web.status.unwrap().ledger.unwrap();
    assert_eq!(ledger.adopted, ["ALB/sgp-alb0:80", "ALB/sgp-alb1:80"]);
    {
        let world = stage.simulator.world();
        let calls: Vec<_> = world.audit.iter().map(|call| &*call.action).collect();
        let detached = calls
            .iter()
            .position(|action| *action == "DetachServerGroups");
        assert_eq!(
            calls[detached.unwrap() + 1],
            "AttachServerGroups",
            "{calls:?}"
        );
    }
    stage.delete::<Attachment>("web").await;
    stage.gone::<Attachment>("web").await;
    assert_eq!(attached(&stage), ["sgp-alb0", "sgp-alb1"]);
}

/// One failure once counted for ever, so that the first of the next change left it alone for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_failed_once_is_forgotten_with_the_next_success() {
    let stage = stage("activity-again").await;
    let forced = json!({"forceAttach": true, "intervalSeconds": 30});
    let both = [alb(0, 50), alb(1, 50)];
    stage
        .attachment("web", "asg-web", &both[..1], forced.clone())
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    stage.simulator.world().endings.push_back(Ending::Failed);
    stage.attachment("web", "asg-web", &both, forced).await;
    stage.reason::<Attachment>("web", "Converged").await;
    let before = calls(&stage, Attachment::LOOKS);
    {
        let mut world = stage.simulator.world();
        world.endings.push_back(Ending::Failed);
        let attachments = &mut world.scaling_groups.get_mut("asg-web").unwrap().attachments;
        attachments.retain(|attachment| attachment.group != "sgp-alb1");
    }
    stage
        .eventually("it is attached again, at the second try", async || {
            (stage.simulator.world().calls("AttachServerGroups") == 5).then_some(())
        })
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    assert_eq!(attached(&stage), ["sgp-alb0", "sgp-alb1"]);
    // In an hour it would be looked at 120 times.
    let looks = calls(&stage, Attachment::LOOKS) - before;
    assert!(looks < 60, "it was left alone for {looks} looks");
}

/// The write that told of it was refused, and the same end was taken in once more.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_activity_counts_once_also_when_its_write_is_refused() {
    let mut stage = stage("activity-409").await;
    stage.stop().await;
    let mut timing = timing();
    timing.job_patience = Timing::production().job_patience;
    stage.start_with(stage.operator_client(), timing);
    stage
        .attachment("web", "asg-web", &[alb(0, 50), alb(1, 50)], json!({}))
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    {
        let mut world = stage.simulator.world();
        world.put_member("sgp-alb1", "i-other", "", 80, 100);
        world.endings.push_back(Ending::Failed);
        // It ends when the test says so.
        world.durations.activity = 1e6;
    }
    stage
        .attachment(
            "web",
            "asg-web",
            &[alb(0, 50)],
            json!({"forceDetach": true}),
        )
        .await;
    let follows =
        |web: &Attachment| operation(web).is_some_and(|open| open["reference"].is_string());
    stage
        .until("the activity is in status", "web", follows)
        .await;
    let poll = |call: &Entry| call.action == "DescribeScalingActivities";
    let mut held = stage.simulator.hold(When::Before, poll);
    stage.awaited("the call", held.arrived()).await;
    {
        let mut world = stage.simulator.world();
        world.pass(1e6);
        world.durations.activity = 4.0;
    }
    stage.label::<Attachment>("web").await;
    held.release();
    stage.reason::<Attachment>("web", "Converged").await;
    assert_eq!(attached(&stage), ["sgp-alb0"]);
    assert_eq!(events(&stage, "Failed").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_weight_is_detached_and_attached_again() {
    let stage = stage("weight").await;
    stage
        .attachment("web", "asg-web", &[alb(0, 50), alb(1, 50)], json!({}))
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    stage
        .attachment(
            "web",
            "asg-web",
            &[alb(0, 60), alb(1, 70)],
            json!({"forceDetach": true}),
        )
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    told(
        &stage,
        "Attached",
        "instances that are in the group already keep theirs",
    )
    .await;
    let world = stage.simulator.world();
    let weights: Vec<_> = world.scaling_groups["asg-web"]
        .attachments
        .iter()
        .filter_map(|had| had.weight)
        .collect();
    assert_eq!(weights, [60, 70]);
    assert!(
        world.activities.is_empty(),
        "the detach of a weight that changes is never forced"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_lost_its_value_is_told_as_no_opinion() {
    let stage = stage("no-opinion").await;
    let nothing = json!({"loadBalancers": []});
    stage
        .attachment("web", "asg-web", &[alb(0, 50)], nothing.clone())
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    let mut spec = json!({"scalingGroupId": "asg-web"});
    merge(&mut spec, nothing);
    let applied: Attachment = stage.apply("web", &spec).await;
    let generation = applied.metadata.generation;
    let web: Attachment = stage
        .until("looked at", "web", |web: &Attachment| {
            let status = web.status.as_ref();
            status.is_some_and(|status| Some(status.observed_generation) == generation)
        })
        .await;
    let words = message(&web);
    assert!(words.contains("spec.serverGroups has no value"), "{words}");
    assert!(words.ends_with("ALB/sgp-alb0:80"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_detaches_nothing_and_deletion_detaches_what_was_attached() {
    let stage = stage("empty").await;
    stage
        .simulator
        .world()
        .attach("asg-web", "GWLB", "sgp-gw5", None, None);
    stage
        .attachment("web", "asg-web", &[alb(0, 50), gwlb(5)], json!({}))
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    let changes = stage.changes();
    stage.attachment("web", "asg-web", &[], json!({})).await;
    let web: Attachment = stage.reason("web", "LastServing").await;
    assert!(message(&web).contains("allowEmpty"), "{}", message(&web));
    assert_eq!(stage.changes(), changes);
    stage.delete::<Attachment>("web").await;
    stage.gone::<Attachment>("web").await;
    assert_eq!(attached(&stage), ["sgp-gw5"], "what was adopted stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_from_an_inactive_or_deleted_scaling_group_ends() {
    for gone in [false, true] {
        let stage = stage("unlisted").await;
        stage
            .attachment(
                "web",
                "asg-web",
                &[alb(0, 50)],
                json!({"intervalSeconds": 30}),
            )
            .await;
        stage.reason::<Attachment>("web", "Converged").await;
        if gone {
            stage.simulator.world().scaling_groups.remove("asg-web");
        } else {
            stage
                .simulator
                .world()
                .scaling_groups
                .get_mut("asg-web")
                .unwrap()
                .inactive = true;
        }
        stage.reason::<Attachment>("web", "GroupNotFound").await;
        stage.delete::<Attachment>("web").await;
        stage.gone::<Attachment>("web").await;
        if !gone {
            assert!(attached(&stage).is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_somebody_detached_is_attached_again() {
    let stage = stage("detached-by-hand").await;
    stage
        .attachment(
            "web",
            "asg-web",
            &[alb(0, 50), gwlb(0)],
            json!({"intervalSeconds": 30}),
        )
        .await;
    stage.reason::<Attachment>("web", "Converged").await;
    stage
        .simulator
        .world()
        .scaling_groups
        .get_mut("asg-web")
        .unwrap()
        .attachments
        .clear();
    stage
        .eventually("both are back", || async {
            (attached(&stage).len() == 2).then_some(())
        })
        .await;
}
