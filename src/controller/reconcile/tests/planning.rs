//! Plans that are shown: what a list would do, and in whose place.

use super::{
    scene::{Scene, keys},
    *,
};
use crate::api::status::Plan;

fn shown(scene: &Scene, name: &Name) -> (Plan, String) {
    let object = scene.ctx.memberships.get(name).unwrap();
    let status = object.status.clone().unwrap();
    (status.plan.unwrap(), scene.message(name))
}

/// It said "to remove 0", and called all that the live object has in conflict.
#[tokio::test]
async fn a_plan_beside_the_live_object_shows_what_its_list_would_do() {
    let scene = Scene::with(&[0, 1, 2]).await;
    scene.membership("live", &[0, 1, 2], &[0, 1, 2], &json!({}));
    scene.membership(
        "other-plan",
        &[0, 1, 4],
        &[],
        &json!({"spec": {"mode": "Plan"}}),
    );
    let name = scene.membership("plan", &[0, 1, 3], &[], &json!({"spec": {"mode": "Plan"}}));
    scene.pass::<ServerGroupMembership>(&name).await;
    let (plan, message) = shown(&scene, &name);
    assert_eq!((plan.add, plan.remove), (keys(&[3]), keys(&[2])));
    assert!(
        message.contains(
            "to add 1, to remove 1, to update 0, as if this object stood in the place of ns/live"
        ),
        "{message}"
    );
    let held = scene.ctx.memberships.get(&name).unwrap();
    let held = held.status.as_ref().unwrap().held.len();
    assert_eq!(
        (held, scene.told("Conflict").len()),
        (1, 0),
        "only what waits for its replacement is held"
    );
}

/// So that a gate can compare what a pull request was shown with what the live object would do.
#[tokio::test]
async fn a_plan_beside_the_live_object_has_the_hash_of_the_live_one_s_own() {
    let (beside, own) = (Scene::with(&[0, 1, 2]).await, Scene::with(&[0, 1, 2]).await);
    let planning = json!({"spec": {"mode": "Plan"}});
    beside.membership("live", &[0, 1, 2], &[0, 1, 2], &json!({}));
    let name = beside.membership("plan", &[0, 1, 3], &[], &planning);
    beside.pass::<ServerGroupMembership>(&name).await;
    let live = own.membership("live", &[0, 1, 3], &[0, 1, 2], &planning);
    own.pass::<ServerGroupMembership>(&live).await;
    assert_eq!(shown(&beside, &name).0, shown(&own, &live).0);
}

/// For a minute it was not among what would leave, and then the plan had another hash.
#[tokio::test]
async fn a_plan_counts_a_stranger_from_the_first_look_on() {
    let scene = Scene::with(&[0, 1]).await;
    let exclusive = json!({"spec": {"mode": "Plan", "ownership": "Exclusive"}});
    let name = scene.membership("plan", &[0], &[0], &exclusive);
    scene.pass::<ServerGroupMembership>(&name).await;
    let (plan, message) = shown(&scene, &name);
    assert_eq!(plan.remove, keys(&[1]), "{message}");
    assert_eq!(scene.removals(), 0);
}

#[tokio::test]
async fn a_plan_of_attachments_beside_the_live_object_shows_what_its_list_would_do() {
    let scene = Scene::with(&[]).await;
    {
        let mut world = scene.simulator.world();
        world.create_scaling_group("asg-web", []);
        for id in ["sgp-1", "sgp-2", "sgp-3"] {
            world.create_group(Product::Gwlb, id);
        }
        for id in ["sgp-1", "sgp-2"] {
            world.attach("asg-web", "GWLB", id, None, None);
        }
    }
    let attachment = |name: &str, groups: &[&str], mode: &str, registered: &[&str]| {
        let groups: Vec<_> = groups
            .iter()
            .map(|id| json!({"type": "GWLB", "id": id}))
            .collect();
        let object = json!({
            "spec": {"scalingGroupId": "asg-web", "serverGroups": groups, "mode": mode},
            "status": {"observedGeneration": 1, "ledger": {
                "uid": name, "cloudAccountId": "", "registered": registered, "adopted": [],
            }},
        });
        learn::<ScalingGroupAttachment>(&scene.ctx, &scene.objects, name, &object)
    };
    attachment(
        "live",
        &["sgp-1", "sgp-2"],
        "Enforce",
        &["GWLB/sgp-1", "GWLB/sgp-2"],
    );
    let name = attachment("plan", &["sgp-1", "sgp-3"], "Plan", &[]);
    scene.pass::<ScalingGroupAttachment>(&name).await;
    let plan = scene.ctx.attachments.get(&name).unwrap();
    let plan = plan.status.clone().unwrap().plan.unwrap();
    assert_eq!(
        (plan.add, plan.remove),
        (vec!["GWLB/sgp-3".to_owned()], vec!["GWLB/sgp-2".to_owned()])
    );
}
