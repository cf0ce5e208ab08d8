//! Lists that lag behind weight 0, and weights that have to be given back.

use std::time::Duration;

use server_group_sim::fault::{Fault, What as Trouble};

use super::{
    scene::{Scene, deleted, group, ids, merge},
    *,
};
use crate::api::FINALIZER;

const LIST: &str = "DescribeVServerGroupAttribute";
const WEIGH: &str = "SetVServerGroupAttribute";

fn drained_slowly() -> Value {
    let mut object = deleted(&[FINALIZER]);
    let removal = json!({"drainSeconds": 3600});
    merge(&mut object, &json!({"spec": {"removal": removal}}));
    object
}

/// The other one was sent weight 0 as well, since the list still showed the weight of the first: nobody served.
#[tokio::test]
async fn who_was_sent_weight_0_serves_nobody_though_the_list_does_not_show_it_yet() {
    let mut scene = Scene::with(&[0, 1]).await;
    scene.ctx.timing.listing_lag = Duration::from_hours(1);
    let one = scene.membership("one", &[], &[0], &drained_slowly());
    let other = scene.membership("other", &[], &[1], &drained_slowly());
    // It looks, looks again right before the call, and from then on the list lags.
    let lags = Fault::on(LIST, Trouble::Stale).after(2).times(u32::MAX);
    scene.simulator.world().faults.push(lags);
    scene.pass::<ServerGroupMembership>(&one).await;
    let weighed = || scene.simulator.world().calls(WEIGH);
    assert_eq!(weighed(), 1);
    while scene.message(&other).is_empty() {
        scene.pass::<ServerGroupMembership>(&other).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!((weighed(), scene.removals()), (1, 0));
}

/// Its weight could not be given back, and it stayed at weight 0 for ever.
#[tokio::test]
async fn an_object_whose_members_stay_does_not_go_before_they_have_their_weight_back() {
    let scene = Scene::with(&[0, 1]).await;
    let refuse = Trouble::Refuse {
        status: 400,
        code: "SomethingElse".into(),
    };
    let fault = Fault::on(WEIGH, refuse).times(u32::MAX);
    scene.simulator.world().faults.push(fault);
    let mut object = deleted(&[FINALIZER]);
    let draining = json!([{"server": "i-0000:80", "until": "2026-01-01T00:00:00Z", "weight": 100}]);
    merge(
        &mut object,
        &json!({"spec": {"deletionPolicy": "Retain"}, "status": {
            "ledger": {"cloudAccountId": "1000000000000001"}, "draining": draining,
        }}),
    );
    {
        let mut world = scene.simulator.world();
        world.delete_member("rsp-web", "i-0000");
        world.put_member("rsp-web", "i-0000", "", 80, 0);
    }
    let name = scene.membership("a", &[], &[0], &object);
    for _ in 0..5 {
        scene.pass::<ServerGroupMembership>(&name).await;
    }
    assert!(scene.held_by_us("a"), "{}", scene.message(&name));
    scene.simulator.world().faults.clear();
    let annotate = json!({"servergroup.alicloud.dev/reconcile-at": "now"});
    scene.changes::<ServerGroupMembership>("a", |object| {
        object["metadata"]["annotations"] = annotate
    });
    scene.until_it_goes(&name).await;
    assert_eq!(scene.simulator.world().serving("rsp-web"), 2);
}

/// Another finalizer keeps it, and its release went on to the last batch.
#[tokio::test]
async fn a_release_ends_where_somebody_takes_our_finalizer_away() {
    let members: Vec<_> = (0..30).collect();
    let scene = Scene::with(&members).await;
    let name = scene.membership("a", &[], &members[..25], &deleted(&[FINALIZER, "x/keep"]));
    // Seen by Kubernetes alone until the intent is written.
    scene.objects.lock().get_mut("a").unwrap()["metadata"]["finalizers"] = json!(["x/keep"]);
    scene.pass::<ServerGroupMembership>(&name).await;
    scene.pass::<ServerGroupMembership>(&name).await;
    assert_eq!((scene.removals(), scene.members().len()), (0, 30));
}

/// The older one was taken for the owner of what it lists, though it names a group of its own account.
#[tokio::test]
async fn members_of_one_group_in_another_cloud_account_claim_nothing_here() {
    let scene = Scene::with(&[0, 1]).await;
    let elsewhere = json!({"status": {"ledger": {"cloudAccountId": "222"}}});
    scene.membership("0-older", &[0, 1], &[], &elsewhere);
    let name = scene.membership("a", &[0, 1], &[], &json!({}));
    parses_of_each_pass::<ServerGroupMembership>(&scene.ctx, &name).await;
    let ledger = scene.ctx.memberships.get(&name).unwrap().ledger().clone();
    assert_eq!(ledger.adopted.len(), 2);
    assert_eq!(scene.members(), ids(&[0, 1]));
}

/// What one may not read, another does not read for it.
#[tokio::test]
async fn a_look_that_was_made_with_another_key_is_not_shared() {
    let scene = Scene::with(&[0, 1]).await;
    let one = scene.membership("one", &[0], &[0], &json!({}));
    let other = scene.membership("other", &[1], &[1], &json!({}));
    let looks = || scene.simulator.world().calls(LIST);
    scene.pass::<ServerGroupMembership>(&one).await;
    scene.pass::<ServerGroupMembership>(&other).await;
    assert_eq!(looks(), 1, "with one key they share it");
    scene.ctx.turns.take(&group()).unwrap().view_by = Some("another key".into());
    let third = scene.membership("third", &[1], &[], &json!({}));
    scene.pass::<ServerGroupMembership>(&third).await;
    assert_eq!(looks(), 2);
}
