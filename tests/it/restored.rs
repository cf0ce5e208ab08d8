//! Objects that a backup tool or an older etcd brought back, with a status that is absent, old, or another object's:
//! nothing is removed that cannot be shown to be ours, and afterwards everything converges.

use kube::api::{DeleteParams, ObjectMeta, PostParams};
use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::When;

use crate::{
    kinds::Kind,
    stage::{Stage, overwrite_status},
};

type Membership = ServerGroupMembership;
type Attachment = ScalingGroupAttachment;

fn often() -> Value {
    json!({"intervalSeconds": 30})
}

/// A stage with `web`, which registered the first six entries.
async fn six<K: Kind>(name: &str) -> Stage {
    let stage = Stage::new(name).await;
    K::prepare(&stage);
    K::list(&stage, "web", 0..6, often()).await;
    stage.reason::<K>("web", "Converged").await;
    stage
}

/// Loses `copy` without its release, and makes it again as it was: under another uid, without its status.
async fn lose_and_restore<K: Kind>(stage: &Stage, copy: &K) -> K {
    let api = stage.api::<K>();
    let none = json!({"metadata": {"finalizers": []}});
    stage.merge::<K>("web", &none).await;
    api.delete("web", &DeleteParams::default()).await.unwrap();
    stage.gone::<K>("web").await;
    let mut restored = copy.clone();
    *restored.meta_mut() = ObjectMeta {
        name: Some("web".to_owned()),
        finalizers: copy.meta().finalizers.clone(),
        ..ObjectMeta::default()
    };
    let restored = api.create(&PostParams::default(), &restored).await.unwrap();
    assert_ne!(restored.meta().uid, copy.meta().uid);
    restored
}

fn status<K: Kind>(object: &K) -> Value {
    serde_json::to_value(object).unwrap()["status"].clone()
}

/// Waits until the group was looked at so often again, and the object rests.
async fn looked<K: Kind>(stage: &Stage, times: usize) -> K {
    let looks = || stage.simulator.world().calls(K::LOOKS);
    let before = looks();
    stage.reached("more looks", before + times, looks).await;
    stage.reason("web", "Converged").await
}

/// Backup of a list of four, taken before two more were listed and registered.
async fn under_another_uid<K: Kind>(with_status: bool, running: bool) {
    let mut stage = six::<K>("restored-uid").await;
    K::list(&stage, "web", 0..4, json!({"suspend": true})).await;
    let copy = stage.reason::<K>("web", "Suspended").await;
    assert_eq!(copy.ledger("registered").len(), 6);
    if !running {
        stage.kill().await;
    }
    lose_and_restore(&stage, &copy).await;
    if with_status {
        overwrite_status(&stage.api::<K>(), "web", status(&copy)).await;
    }
    if !running {
        stage.start();
    }
    K::list(&stage, "web", 0..4, json!({"suspend": false})).await;
    let web = stage.reason::<K>("web", "Converged").await;
    let what = format!("status: {with_status}, running: {running}");
    assert_eq!(K::present(&stage), [0, 1, 2, 3, 4, 5], "{what}");
    assert_eq!(web.ledger("adopted"), [0, 1, 2, 3], "{what}");
    assert!(web.ledger("registered").is_empty(), "{what}");
    assert_eq!(K::removals(&stage), 0, "{what}");
    // What was adopted goes when it is taken off the list, and stays when the object goes.
    K::list(&stage, "web", 0..2, often()).await;
    stage.reason::<K>("web", "Converged").await;
    assert_eq!(K::present(&stage), [0, 1, 4, 5], "{what}");
    stage.delete::<K>("web").await;
    stage.gone::<K>("web").await;
    assert_eq!(K::present(&stage), [0, 1, 4, 5], "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_restored_under_another_uid_removes_nothing_and_adopts_what_it_lists() {
    for (with_status, running) in [(false, false), (false, true), (true, false), (true, true)] {
        under_another_uid::<Membership>(with_status, running).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_restored_under_another_uid_removes_nothing_and_adopts_what_it_lists() {
    for (with_status, running) in [(false, false), (false, true), (true, false), (true, true)] {
        under_another_uid::<Attachment>(with_status, running).await;
    }
}

/// The status is lost, and the object is not; the list is one of four by then.
async fn without_a_status_under_the_same_uid<K: Kind>() {
    let mut stage = six::<K>("restored-wiped").await;
    stage.kill().await;
    let never_looked_at = json!({"observedGeneration": -1});
    overwrite_status(&stage.api::<K>(), "web", never_looked_at).await;
    K::list(&stage, "web", 0..4, json!({"intervalSeconds": 30})).await;
    stage.start();
    let web = looked::<K>(&stage, 5).await;
    assert_eq!(K::present(&stage), [0, 1, 2, 3, 4, 5]);
    assert_eq!(web.ledger("adopted"), [0, 1, 2, 3]);
    assert!(web.ledger("registered").is_empty());
    assert_eq!(K::removals(&stage), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_that_lost_its_status_removes_nothing_and_adopts_what_it_lists() {
    without_a_status_under_the_same_uid::<Membership>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_lost_its_status_removes_nothing_and_adopts_what_it_lists() {
    without_a_status_under_the_same_uid::<Attachment>().await;
}

/// A stage on which the first six entries gave way to those from 3 to 8, and the status of before that.
async fn moved_on<K: Kind>(name: &str) -> (Stage, Value) {
    let mut stage = six::<K>(name).await;
    let old = stage.reason::<K>("web", "Converged").await;
    K::list(&stage, "web", 3..9, often()).await;
    stage.reason::<K>("web", "Converged").await;
    assert_eq!(K::present(&stage), [3, 4, 5, 6, 7, 8]);
    stage.kill().await;
    (stage, status(&old))
}

/// The ledger says 0 to 5; 0, 1 and 2 are gone, and 6, 7 and 8 are missing from it.
async fn with_an_older_status<K: Kind>() {
    let (mut stage, old) = moved_on::<K>("restored-status").await;
    let removals = K::removals(&stage);
    overwrite_status(&stage.api::<K>(), "web", old).await;
    stage.start();
    K::list(&stage, "web", 3..9, json!({"intervalSeconds": 60})).await;
    let web = stage.reason::<K>("web", "Converged").await;
    assert_eq!(web.ledger("adopted"), [6, 7, 8]);
    let forgotten = |web: &K| web.ledger("registered") == [3, 4, 5];
    stage
        .until("what is gone leaves the ledger", "web", forgotten)
        .await;
    assert_eq!(K::removals(&stage), removals);
    // From now on it is somebody else's if it comes back.
    K::put(&stage, 0);
    looked::<K>(&stage, 5).await;
    assert_eq!(K::present(&stage), [0, 3, 4, 5, 6, 7, 8]);
    // What is left of the old ledger is ours all the same.
    K::list(&stage, "web", 4..9, often()).await;
    stage.reason::<K>("web", "Converged").await;
    assert_eq!(K::present(&stage), [0, 4, 5, 6, 7, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_with_an_older_status_removes_nothing_and_forgets_what_is_gone() {
    with_an_older_status::<Membership>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_with_an_older_status_removes_nothing_and_forgets_what_is_gone() {
    with_an_older_status::<Attachment>().await;
}

/// The whole object is as it was, as after an older etcd: what it listed comes back, what was added since stays.
async fn with_an_older_status_and_list<K: Kind>() {
    let (mut stage, old) = moved_on::<K>("restored-whole").await;
    let removals = K::removals(&stage);
    K::list(&stage, "web", 0..6, often()).await;
    overwrite_status(&stage.api::<K>(), "web", old).await;
    stage.start();
    looked::<K>(&stage, 5).await;
    assert_eq!(K::present(&stage), (0..9).collect::<Vec<_>>());
    assert_eq!(K::removals(&stage), removals);
    // Six were registered by it; the other three cannot be shown to be anybody's.
    K::put(&stage, 20);
    stage.delete::<K>("web").await;
    stage.gone::<K>("web").await;
    assert_eq!(K::present(&stage), [6, 7, 8, 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_restored_as_a_whole_leaves_what_was_added_since() {
    with_an_older_status_and_list::<Membership>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_restored_as_a_whole_leaves_what_was_added_since() {
    with_an_older_status_and_list::<Attachment>().await;
}

/// 0 and 1 were given up, and another object took them on; the old ledger claims them.
async fn what_is_anothers_now<K: Kind>() {
    let (mut stage, old) = moved_on::<K>("restored-other").await;
    stage.start();
    K::list(&stage, "other", 0..2, often()).await;
    stage.reason::<K>("other", "Converged").await;
    stage.kill().await;
    let removals = K::removals(&stage);
    overwrite_status(&stage.api::<K>(), "web", old).await;
    stage.start();
    looked::<K>(&stage, 5).await;
    let other = stage.reason::<K>("other", "Converged").await;
    let web = stage.reason::<K>("web", "Converged").await;
    assert_eq!(other.ledger("registered"), [0, 1]);
    assert!(!web.ledger("registered").contains(&0), "{web:?}");
    assert_eq!(K::present(&stage), [0, 1, 3, 4, 5, 6, 7, 8]);
    assert_eq!(K::removals(&stage), removals);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_with_an_older_status_leaves_what_another_one_took_on() {
    what_is_anothers_now::<Membership>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_with_an_older_status_leaves_what_another_one_took_on() {
    what_is_anothers_now::<Attachment>().await;
}

/// The backup was taken while 0, 1 and 2 were being removed.
async fn an_open_operation<K: Kind>(same_uid: bool) {
    let mut stage = six::<K>("restored-open").await;
    let mut held = stage
        .simulator
        .hold(When::Before, |call| call.action == K::REMOVES);
    K::list(&stage, "web", 3..9, often()).await;
    stage.awaited("the call", held.arrived()).await;
    let copy = stage.api::<K>().get("web").await.unwrap();
    assert!(status(&copy)["operation"].is_object(), "{copy:?}");
    held.release();
    stage.reason::<K>("web", "Converged").await;
    stage.kill().await;
    let (removals, changes) = (K::removals(&stage), stage.changes());
    let mut expected = vec![3, 4, 5, 6, 7, 8];
    if !same_uid {
        lose_and_restore(&stage, &copy).await;
        // Somebody else's by now, and nothing says otherwise.
        K::put(&stage, 0);
        expected.insert(0, 0);
    }
    overwrite_status(&stage.api::<K>(), "web", status(&copy)).await;
    stage.start();
    let web = looked::<K>(&stage, 5).await;
    // Settled, it stays as long as a call of it may still land.
    let phase = &status(&web)["operation"]["phase"];
    assert!(phase.is_null() || phase == "Settled", "{web:?}");
    assert_eq!(K::present(&stage), expected);
    assert_eq!((K::removals(&stage), stage.changes()), (removals, changes));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_was_open_in_a_backup_is_settled_and_not_repeated() {
    for same_uid in [true, false] {
        an_open_operation::<Membership>(same_uid).await;
        an_open_operation::<Attachment>(same_uid).await;
    }
}
