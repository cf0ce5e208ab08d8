//! What is never removed: the promise, schedule by schedule.

use kube::ResourceExt;
use serde_json::{Value, json};
use server_group_operator::api::ServerGroupMembership;
use server_group_sim::{
    When,
    world::{Product, World},
};

use crate::stage::{Stage, condition, events, instance, instances, overwrite_status};

type Membership = ServerGroupMembership;

async fn forty_five(name: &str) -> Stage {
    let stage = Stage::new(name).await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("web", "rsp-web", &instances(0, 45, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_applied_to_45_owned_members_removes_nothing() {
    let stage = forty_five("empty-list").await;
    let changes = stage.changes();
    stage.membership("web", "rsp-web", &[], json!({})).await;
    let web: Membership = stage.reason("web", "LastServing").await;
    assert_eq!(condition(&web, "Stalled").unwrap().0, "True");
    assert_eq!(stage.changes(), changes);
    assert_eq!(stage.simulator.world().serving("rsp-web"), 45);
    stage
        .membership(
            "web",
            "rsp-web",
            &[],
            json!({"removal": {"allowEmpty": true}}),
        )
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_owner_deleted_without_allow_empty_leaves_everything() {
    let stage = forty_five("delete-retained").await;
    let changes = stage.changes();
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    assert_eq!(stage.changes(), changes);
    assert_eq!(stage.simulator.world().serving("rsp-web"), 45);
    let notes = events(&stage, "Retained").await;
    assert!(
        notes.len() == 1 && notes[0].contains("rsp-web"),
        "{notes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_owner_deleted_with_allow_empty_takes_everything_along() {
    let stage = forty_five("delete-released").await;
    stage
        .simulator
        .world()
        .put_member("rsp-web", "i-other", "", 80, 0);
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 45, Some(80)),
            json!({"removal": {"allowEmpty": true}}),
        )
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    assert_eq!(
        stage.simulator.world().groups["rsp-web"].ids().len(),
        1,
        "somebody else's member stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retain_and_suspend_leave_everything_when_deleted() {
    for (name, more) in [
        ("retain", json!({"deletionPolicy": "Retain"})),
        ("suspended", json!({"suspend": true})),
    ] {
        let stage = Stage::new(name).await;
        stage
            .simulator
            .world()
            .create_group(Product::Clb, "rsp-web");
        stage
            .simulator
            .world()
            .put_member("rsp-web", "i-other", "", 80, 100);
        stage
            .membership("web", "rsp-web", &instances(0, 3, Some(80)), json!({}))
            .await;
        stage.reason::<Membership>("web", "Converged").await;
        stage
            .membership("web", "rsp-web", &instances(0, 3, Some(80)), more)
            .await;
        stage.delete::<Membership>("web").await;
        stage.gone::<Membership>("web").await;
        assert_eq!(stage.simulator.world().serving("rsp-web"), 4, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_list_contradicts_itself_is_released_all_the_same() {
    let stage = forty_five("invalid-deleted").await;
    stage
        .simulator
        .world()
        .put_member("rsp-web", "i-other", "", 80, 100);
    let mut twice = instances(0, 45, Some(80));
    twice.push(twice[0].clone());
    stage.membership("web", "rsp-web", &twice, json!({})).await;
    stage.reason::<Membership>("web", "InvalidSpec").await;
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn abandon_lets_an_object_go_that_no_account_can_release() {
    let stage = forty_five("abandon").await;
    stage.grant(&[]).await;
    // Under the grant that is gone, the object would be let go: its members are the last that serve.
    stage.reason::<Membership>("web", "NotGranted").await;
    stage.delete::<Membership>("web").await;
    stage.reason::<Membership>("web", "NotGranted").await;
    stage.annotate::<Membership>("web", "abandon", "true").await;
    stage.gone::<Membership>("web").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 45);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_wiped_by_hand_removes_no_stranger() {
    let mut stage = forty_five("status-wiped").await;
    stage
        .simulator
        .world()
        .put_member("rsp-web", "i-other", "", 80, 100);
    // One that runs would adopt the longer list again before it hears of the shorter one.
    stage.kill().await;
    overwrite_status(
        &stage.api::<Membership>(),
        "web",
        json!({"observedGeneration": -1}),
    )
    .await;
    stage
        .membership("web", "rsp-web", &instances(0, 20, Some(80)), json!({}))
        .await;
    stage.start();
    let web: Membership = stage.reason("web", "Converged").await;
    assert_eq!(
        stage.simulator.world().serving("rsp-web"),
        46,
        "what cannot be shown to be ours stays"
    );
    assert_eq!(web.status.unwrap().ledger.unwrap().adopted.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_copied_to_a_new_object_authorises_nothing() {
    let stage = forty_five("status-copied").await;
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 45, Some(80)),
            json!({"deletionPolicy": "Retain"}),
        )
        .await;
    let old: Membership = stage.reason("web", "Converged").await;
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    let new = stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 5, Some(80)),
            json!({"suspend": true}),
        )
        .await;
    assert_ne!(new.uid(), old.uid());
    stage.reason::<Membership>("web", "Suspended").await;
    overwrite_status(
        &stage.api::<Membership>(),
        "web",
        serde_json::to_value(&old.status).unwrap(),
    )
    .await;
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 5, Some(80)),
            json!({"suspend": false}),
        )
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 45);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_leaders_status_write_is_refused() {
    let stage = forty_five("stale-leader").await;
    let api = stage.api::<Membership>();
    let mut stale = api.get("web").await.unwrap();
    stage
        .membership("web", "rsp-web", &instances(0, 40, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stale
        .status
        .as_mut()
        .unwrap()
        .ledger
        .as_mut()
        .unwrap()
        .registered
        .clear();
    let refused = api
        .replace_status("web", &kube::api::PostParams::default(), &stale)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.is_conflict()),
        "{refused}"
    );
}

/// 260 members lose 240; something happens while the tenth of twelve batches is under way.
async fn between_batches(name: &str, meanwhile: impl AsyncFn(&Stage)) -> Stage {
    between_batches_with(json!({}), name, meanwhile).await
}

/// The same, where the shorter list has these fields beside it.
async fn between_batches_with(more: Value, name: &str, meanwhile: impl AsyncFn(&Stage)) -> Stage {
    let stage = Stage::new(name).await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    stage
        .membership("web", "rsp-web", &instances(0, 260, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let mut seen = 0;
    let mut held = stage.simulator.hold(When::After, move |call| {
        seen += usize::from(call.action == "RemoveVServerGroupBackendServers");
        seen == 10
    });
    stage
        .membership("web", "rsp-web", &instances(0, 20, Some(80)), more)
        .await;
    stage.awaited("the call", held.arrived()).await;
    meanwhile(&stage).await;
    held.release();
    stage
}

const LEFT_AFTER_TEN: usize = 260 - 200;

/// The least that served after any removal.
fn least_serving_after_a_removal(world: &World) -> usize {
    let removals = world.changing_calls();
    let removals = removals.filter(|call| call.action.starts_with("Remove") && call.acted);
    let serving = removals.flat_map(|call| &call.serving);
    serving.map(|serving| serving.after).min().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_listed_again_between_batches_stays() {
    let stage = between_batches("relisted", async |stage: &Stage| {
        stage
            .membership("web", "rsp-web", &instances(0, 260, Some(80)), json!({}))
            .await;
    })
    .await;
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(
        stage
            .simulator
            .world()
            .calls("RemoveVServerGroupBackendServers"),
        10
    );
    assert_eq!(stage.simulator.world().serving("rsp-web"), 260);
    let least = least_serving_after_a_removal(&stage.simulator.world());
    assert_eq!(least, LEFT_AFTER_TEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_stops_between_batches_when_suspended() {
    let stage = between_batches("suspended-between", async |stage: &Stage| {
        stage
            .membership(
                "web",
                "rsp-web",
                &instances(0, 20, Some(80)),
                json!({"suspend": true}),
            )
            .await;
    })
    .await;
    stage.reason::<Membership>("web", "Suspended").await;
    assert_eq!(
        stage
            .simulator
            .world()
            .calls("RemoveVServerGroupBackendServers"),
        10
    );
    assert_eq!(stage.simulator.world().serving("rsp-web"), LEFT_AFTER_TEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_stops_between_batches_when_the_grant_is_gone() {
    let stage = between_batches("grant-gone-between", async |stage: &Stage| {
        stage.grant(&[]).await;
    })
    .await;
    stage.reason::<Membership>("web", "NotGranted").await;
    assert_eq!(
        stage
            .simulator
            .world()
            .calls("RemoveVServerGroupBackendServers"),
        10
    );
    assert_eq!(stage.simulator.world().serving("rsp-web"), LEFT_AFTER_TEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_serving_between_batches_is_not_counted_on() {
    let floor = json!({"intervalSeconds": 30, "removal": {"minServing": 20}});
    let stage = between_batches_with(floor, "silenced-between", async |stage: &Stage| {
        let mut world = stage.simulator.world();
        for number in 0..10 {
            world.put_member("rsp-web", &instance(number), "", 80, 0);
        }
    })
    .await;
    let held = |web: &Membership| {
        let held = web.status.as_ref().unwrap().members;
        held.is_some_and(|members| members.held == 10)
    };
    stage.until("the last ten are held", "web", held).await;
    {
        let world = stage.simulator.world();
        assert_eq!(world.groups["rsp-web"].members.len(), 30);
        assert_eq!(least_serving_after_a_removal(&world), 20);
    }
    {
        let mut world = stage.simulator.world();
        for number in 0..10 {
            world.put_member("rsp-web", &instance(number), "", 80, 100);
        }
    }
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(stage.simulator.world().serving("rsp-web"), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_replacement_never_serves_with_fewer() {
    let stage = forty_five("replacement").await;
    let before = stage.simulator.world().audit.len();
    stage
        .membership("web", "rsp-web", &instances(100, 45, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let world = stage.simulator.world();
    assert_eq!(world.serving("rsp-web"), 45);
    let counts = world.audit[before..]
        .iter()
        .flat_map(|entry| &entry.serving)
        .map(|serving| serving.after);
    assert_eq!(counts.min(), Some(45), "additions go first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_replacement_without_room_dips_by_what_is_allowed() {
    for (allowed, least) in [(json!("25%"), 8), (json!(4), 6), (json!(1), 9)] {
        let stage = Stage::new("no-room").await;
        stage
            .simulator
            .world()
            .create_group(Product::Clb, "rsp-web")
            .quota = 10;
        let removal = json!({"removal": {"maxUnavailable": allowed}});
        stage
            .membership(
                "web",
                "rsp-web",
                &instances(0, 10, Some(80)),
                removal.clone(),
            )
            .await;
        stage.reason::<Membership>("web", "Converged").await;
        let before = stage.simulator.world().audit.len();
        stage
            .membership("web", "rsp-web", &instances(100, 10, Some(80)), removal)
            .await;
        stage.reason::<Membership>("web", "Converged").await;
        let world = stage.simulator.world();
        let counts = world.audit[before..]
            .iter()
            .flat_map(|entry| &entry.serving)
            .map(|serving| serving.after);
        assert_eq!(counts.min(), Some(least), "{allowed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_stays_used_up_is_said() {
    let stage = Stage::new("quota").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web")
        .quota = 10;
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 12, Some(80)),
            json!({"intervalSeconds": 30}),
        )
        .await;
    let web: Membership = stage.reason("web", "QuotaExceeded").await;
    assert_eq!(condition(&web, "Stalled").unwrap().0, "True");
    assert_eq!(
        stage.simulator.world().serving("rsp-web"),
        10,
        "what fits is in"
    );
    let looks = || {
        stage
            .simulator
            .world()
            .calls("DescribeVServerGroupAttribute")
    };
    let (changes, seen) = (stage.changes(), looks());
    stage.reached("ten more looks", seen + 10, looks).await;
    let later: Membership = stage.reason("web", "QuotaExceeded").await;
    assert_eq!(stage.changes(), changes, "nothing is tried in vain");
    assert_eq!(later.status, web.status);
    assert_eq!(later.resource_version(), web.resource_version());
    stage
        .simulator
        .world()
        .groups
        .get_mut("rsp-web")
        .unwrap()
        .quota = 20;
    // Whoever raised it says so; else it is tried again after an hour.
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 12, Some(80)),
            json!({"intervalSeconds": 60}),
        )
        .await;
    stage.reason::<Membership>("web", "Converged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_read_empty_by_mistake_is_read_again_before_anything_changes() {
    let stage = forty_five("read-empty").await;
    let fault = server_group_sim::fault::Fault::on(
        "DescribeVServerGroupAttribute",
        server_group_sim::fault::What::Truncate,
    );
    let before = {
        let mut world = stage.simulator.world();
        world.faults.push(fault);
        world.audit.len()
    };
    // One is to be removed, so that there is something that an empty view could get wrong.
    stage
        .membership("web", "rsp-web", &instances(0, 44, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    let world = stage.simulator.world();
    let later = &world.audit[before..];
    let misread = later.iter().position(|call| call.fault.is_some()).unwrap();
    let changed = later.iter().position(|call| call.changes).unwrap();
    let whole = later[misread + 1..changed]
        .iter()
        .any(|call| call.action == "DescribeVServerGroupAttribute");
    assert!(misread < changed && whole, "{later:#?}");
    let changes = later.iter().filter(|call| call.changes);
    let changes: Vec<_> = changes
        .map(|call| (call.action.as_str(), call.names.join(" ")))
        .collect();
    assert_eq!(
        changes,
        [("RemoveVServerGroupBackendServers", "i-0044:80".to_owned())]
    );
}
