//! Grants: how new they are where somebody is removed, and the statuses for which they count.

use server_group_core::reason::Reason;

use super::{
    scene::{REMOVE, Scene, group, ids, keys},
    *,
};
use crate::{
    api::status::Phase,
    controller::{authorize::authorize, open::Open},
};

impl Scene {
    /// What Kubernetes has of an account; no watch shows it.
    fn has_account(&self, name: &str, grant: &Value) {
        let account = account(name, grant);
        self.objects.lock().insert(name.into(), account);
    }
}

/// The watch of accounts lagged: the other object was taken for one without a grant, and what it lists was removed.
#[tokio::test]
async fn what_an_object_lists_that_was_granted_a_moment_ago_is_not_removed() {
    let scene = Scene::with(&[0, 1]).await;
    scene.has_account("late", &json!({}));
    let theirs = json!({"spec": {"accountName": "late"}});
    scene.membership("theirs", &[0], &[], &theirs);
    let name = scene.membership("ours", &[1], &[0, 1], &json!({}));
    for _ in 0..3 {
        scene.pass::<ServerGroupMembership>(&name).await;
    }
    assert_eq!((scene.removals(), scene.members()), (0, ids(&[0, 1])));
}

/// The watch of namespaces lagged: a grant that ended with a label went on.
#[tokio::test]
async fn a_grant_that_ended_with_the_label_of_a_namespace_removes_nothing() {
    let scene = Scene::with(&[0, 1]).await;
    let selected = json!({"namespaces": [], "namespaceSelector": {"matchLabels": {"team": "a"}}});
    scene.has_account("labelled", &selected);
    let known = serde_json::from_value::<CloudAccount>(account("labelled", &selected));
    scene.ctx.accounts.learn(&known.unwrap());
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    scene.ctx.accounts.learn_namespace("ns", 1, labels);
    let namespace = json!({"metadata": {"name": "ns", "resourceVersion": "2"}});
    scene.objects.lock().insert("ns".into(), namespace);
    let labelled = json!({"spec": {"accountName": "labelled"}});
    let name = scene.membership("a", &[1], &[0, 1], &labelled);
    scene.pass::<ServerGroupMembership>(&name).await;
    assert_eq!((scene.removals(), scene.members()), (0, ids(&[0, 1])));
}

/// A newer version of the operator wrote the account: what its objects want is not known.
#[tokio::test]
async fn nothing_is_removed_beside_an_object_whose_account_cannot_be_read() {
    let scene = Scene::with(&[0, 1]).await;
    scene.ctx.accounts.cannot_read("newer");
    let theirs = json!({"spec": {"accountName": "newer"}});
    scene.membership("theirs", &[0], &[], &theirs);
    let name = scene.membership("ours", &[1], &[0, 1], &json!({}));
    scene.pass::<ServerGroupMembership>(&name).await;
    assert_eq!((scene.removals(), scene.members()), (0, ids(&[0, 1])));
    let message = scene.message(&name);
    assert!(message.contains("CloudAccount newer"), "{message}");
}

/// A status that nobody may write for this group froze it, once its object was deleted.
#[tokio::test]
async fn a_call_of_an_object_that_is_gone_counts_as_far_as_it_was_granted() {
    let scene = Scene::with(&[1]).await;
    let open = Open {
        id: "forged".into(),
        by: "ns/forger".into(),
        action: REMOVE.into(),
        phase: Phase::Unsettled,
        names: keys(&[1]).into_iter().collect(),
        ..Open::default()
    };
    scene.ctx.orphans.take(vec![(group(), open)]);
    let name = scene.membership("a", &[0, 1], &[], &json!({}));
    scene.pass::<ServerGroupMembership>(&name).await;
    assert_eq!(scene.members(), ids(&[0, 1]));
}

/// What it had attached before was detached without any grant for it, as soon as it was no longer listed.
#[tokio::test]
async fn what_an_object_attached_needs_a_grant_to_be_detached() {
    let scene = Scene::with(&[]).await;
    let some = account("default", &json!({"serverGroups": ["sgp-1"]}));
    let some = serde_json::from_value::<CloudAccount>(some).unwrap();
    scene.ctx.accounts.learn(&some);
    let object = |registered: &[&str]| {
        json!({
            "spec": {"scalingGroupId": "asg-1", "serverGroups": [{"type": "GWLB", "id": "sgp-1"}]},
            "status": {"observedGeneration": 1, "ledger": {"uid": "x", "cloudAccountId": "", "adopted": [],
                "registered": registered}},
        })
    };
    let may = |registered: &[&str]| {
        let object = object(registered);
        let name = learn::<ScalingGroupAttachment>(&scene.ctx, &scene.objects, "x", &object);
        let known = scene.ctx.attachments.get(&name).unwrap();
        let refused = authorize(&scene.ctx.accounts, &**known).err();
        scene.ctx.attachments.forget(&**known);
        refused.map(|refused| (refused.reason(), refused.to_string()))
    };
    assert_eq!(may(&["GWLB/sgp-1"]), None);
    let (reason, words) = may(&["GWLB/sgp-1", "GWLB/sgp-2"]).unwrap();
    assert_eq!(reason, Reason::NotGranted);
    assert!(words.contains("sgp-2"), "{words}");
}
