//! What is wished for a deletion, before it and while it is under way: `suspend`, `mode`, `deletionPolicy` and
//! `abandon` in every combination, with and without a request to look, for both kinds. What stays, what goes, and that
//! the object ends, also when its group does.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{
    When,
    audit::Entry,
    fault::{Fault, What},
};

use crate::{
    kinds::Kind,
    stage::{Stage, timing},
};

type Membership = ServerGroupMembership;
type Attachment = ScalingGroupAttachment;

/// Somebody else's entry, which serves.
const OTHER: usize = 39;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be wished without the others"
)]
struct Wish {
    suspend: bool,
    plan: bool,
    retain: bool,
    abandon: bool,
    look: bool,
}

const RELEASE: Wish = Wish {
    suspend: false,
    plan: false,
    retain: false,
    abandon: false,
    look: false,
};
const SUSPEND: Wish = Wish {
    suspend: true,
    ..RELEASE
};
const PLAN: Wish = Wish {
    plan: true,
    ..RELEASE
};
const RETAIN: Wish = Wish {
    retain: true,
    ..RELEASE
};
const ABANDON: Wish = Wish {
    abandon: true,
    ..RELEASE
};

impl Wish {
    fn all() -> impl Iterator<Item = Self> {
        (0..32).map(|bits| Self {
            suspend: bits & 1 > 0,
            plan: bits & 2 > 0,
            retain: bits & 4 > 0,
            abandon: bits & 8 > 0,
            look: bits & 16 > 0,
        })
    }

    /// Whether what was registered stays. A request to look says nothing about that.
    fn keeps(self) -> bool {
        self.suspend || self.plan || self.retain || self.abandon
    }

    fn spec(self) -> Value {
        json!({
            "suspend": self.suspend,
            "mode": if self.plan { "Plan" } else { "Enforce" },
            "deletionPolicy": if self.retain { "Retain" } else { "Release" },
        })
    }

    /// Writes it into `web`, which lists `count` entries.
    async fn say<K: Kind>(self, stage: &Stage, count: usize) {
        // Both at once: an abandoned object may be gone a moment later.
        let mut annotations = json!({});
        if self.abandon {
            annotations["servergroup.alicloud.dev/abandon"] = json!("true");
        }
        if self.look {
            annotations["servergroup.alicloud.dev/reconcile-at"] = json!("now");
        }
        if self.abandon || self.look {
            let fields = json!({"metadata": {"annotations": annotations}});
            stage.merge::<K>("web", &fields).await;
        }
        // An apply to an object that is gone would make another one.
        if !self.abandon || self.spec() != RELEASE.spec() {
            K::list(stage, "web", 0..count, self.spec()).await;
        }
    }
}

/// A stage with `web`, which registered so many entries, beside somebody else's.
async fn registered<K: Kind>(stage: &Stage, count: usize) {
    K::prepare(stage);
    K::put(stage, OTHER);
    let mine = (0..count).filter(|entry| *entry != OTHER);
    K::list(stage, "web", mine, RELEASE.spec()).await;
    stage.reason::<K>("web", "Converged").await;
}

async fn before<K: Kind>() {
    let stage = Stage::new("wish-before").await;
    for wish in Wish::all() {
        registered::<K>(&stage, 3).await;
        wish.say::<K>(&stage, 3).await;
        stage.delete::<K>("web").await;
        stage.gone::<K>("web").await;
        let left = match wish.keeps() {
            true => vec![0, 1, 2, OTHER],
            false => vec![OTHER],
        };
        assert_eq!(K::present(&stage), left, "{wish:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_membership_registered_leaves_unless_any_wish_keeps_it() {
    before::<Membership>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attachment_registered_leaves_unless_any_wish_keeps_it() {
    before::<Attachment>().await;
}

/// Something is wished while the first of two calls that release everything is under way.
async fn meanwhile<K: Kind>(wish: Wish) {
    let stage = Stage::new("wish-meanwhile").await;
    let count = K::LIMIT * 2 - 2;
    registered::<K>(&stage, count).await;
    let mut held = stage
        .simulator
        .hold(When::After, |call| call.action == K::REMOVES);
    stage.delete::<K>("web").await;
    stage.awaited("the call", held.arrived()).await;
    wish.say::<K>(&stage, count).await;
    held.release();
    stage.gone::<K>("web").await;
    let mut left: Vec<_> = (K::LIMIT..count).collect();
    if !wish.keeps() {
        left.clear();
    }
    left.push(OTHER);
    assert_eq!(K::present(&stage), left, "{wish:?}\n{}", stage.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_in_the_middle_of_a_release_keeps_what_is_left_and_the_object_ends() {
    let wishes = Wish::all().filter(|wish| *wish != ABANDON);
    let both = |wish| async move {
        tokio::join!(meanwhile::<Membership>(wish), meanwhile::<Attachment>(wish));
    };
    // A few at a time: each mostly waits.
    futures::stream::iter(wishes)
        .for_each_concurrent(4, both)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoning_in_the_middle_of_a_release_keeps_what_is_left() {
    meanwhile::<Membership>(ABANDON).await;
    meanwhile::<Attachment>(ABANDON).await;
}

/// Deleted with `first` wished, while it is not known what became of a removal; then `last` is wished.
async fn unsettled<K: Kind>(first: Wish, last: Wish) {
    let mut stage = Stage::without_operator("wish-unsettled").await;
    let mut timing = timing();
    timing.settle_after_send = match last.abandon {
        // Longer than the test takes: it is not waited for.
        true => Duration::from_mins(10),
        // Long enough to be seen open three times, all rows at once, also by a slow machine.
        false => Duration::from_secs(30),
    };
    let settles = timing.settle_after_send;
    stage.start_with(stage.operator_client(), timing);
    registered::<K>(&stage, 4).await;
    // With a token it is sent once more at once, and not answered again.
    let lost = Fault::on(K::REMOVES, What::LoseAnswerAfter).times(K::TRIES);
    stage.simulator.world().faults.push(lost);
    K::list(&stage, "web", 0..3, json!({})).await;
    let open = |web: &K| {
        let status = serde_json::to_value(web).unwrap()["status"].clone();
        status["operation"]["phase"] == "Unsettled"
            && status["observedGeneration"] == json!(web.meta().generation)
    };
    stage.until("an unsettled removal", "web", open).await;
    // On a slow machine the call may have settled before anybody sees that it was waited for.
    let sent = Instant::now();
    let waits = async |what| {
        let api = stage.api::<K>();
        let seen = async || {
            let web = api.get_opt("web").await.unwrap();
            let waits = web.as_ref().is_some_and(&open);
            (waits || sent.elapsed() >= settles).then_some(())
        };
        stage.eventually(what, seen).await;
    };
    K::list(&stage, "web", 0..3, first.spec()).await;
    stage.delete::<K>("web").await;
    waits("a deletion that waits").await;
    last.say::<K>(&stage, 3).await;
    if !last.abandon {
        waits("one that still waits").await;
    }
    stage.gone::<K>("web").await;
    let left = match last == RELEASE {
        true => vec![OTHER],
        false => vec![0, 1, 2, OTHER],
    };
    assert_eq!(K::present(&stage), left, "{first:?}, then {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_an_unsettled_removal_and_the_last_wish_decides() {
    let rows = [
        (RELEASE, RELEASE),
        (RELEASE, SUSPEND),
        (RELEASE, PLAN),
        (RELEASE, RETAIN),
        (SUSPEND, RELEASE),
        (PLAN, RELEASE),
        (RETAIN, RELEASE),
        (SUSPEND, RETAIN),
    ];
    // All at once, because most of the time goes by while they wait.
    let both = |(first, last)| async move {
        tokio::join!(
            unsettled::<Membership>(first, last),
            unsettled::<Attachment>(first, last)
        )
    };
    futures::future::join_all(rows.map(both)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_object_does_not_wait_for_an_unsettled_removal() {
    for first in [RELEASE, SUSPEND, PLAN, RETAIN] {
        unsettled::<Membership>(first, ABANDON).await;
        unsettled::<Attachment>(first, ABANDON).await;
    }
}

fn looks(call: &Entry) -> bool {
    call.action == Membership::LOOKS
}

/// When calls of `action` were refused, from a place in the audit log on.
fn refusals(stage: &Stage, action: &str, from: usize) -> Vec<f64> {
    let world = stage.simulator.world();
    let refused = world.audit[from..].iter();
    let refused = refused.filter(|call| call.action == action && call.code.is_some());
    refused.map(|call| call.at).collect()
}

/// That one answer was not enough.
fn half_a_minute_apart(refused: &[f64]) {
    assert!(refused.len() >= 2, "{refused:?}");
    let apart = refused[refused.len() - 1] - refused[0];
    assert!(apart >= 30.0, "{apart} s apart");
}

/// Deletes `web`, and its group before anything else is seen of it. `then` happens once the first look was refused for
/// that, and before the operator hears of it.
async fn with_its_group(then: impl FnOnce(&Stage)) -> (Stage, usize) {
    let stage = Stage::new("wish-gone").await;
    registered::<Membership>(&stage, 3).await;
    let mut first = stage.simulator.hold(When::Before, looks);
    stage.delete::<Membership>("web").await;
    stage.awaited("the call", first.arrived()).await;
    let mut refused = stage.simulator.hold(When::After, looks);
    stage.simulator.world().delete_group("rsp-web");
    let deleted = stage.simulator.world().audit.len();
    first.release();
    stage.awaited("the call", refused.arrived()).await;
    then(&stage);
    refused.release();
    (stage, deleted)
}

/// Brings the group back with everybody in it.
fn back(stage: &Stage) {
    Membership::prepare(stage);
    for entry in [0, 1, 2, OTHER] {
        Membership::put(stage, entry);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_from_a_deleted_group_ends_after_two_answers_half_a_minute_apart() {
    let (stage, deleted) = with_its_group(|_| {}).await;
    stage.gone::<Membership>("web").await;
    half_a_minute_apart(&refusals(&stage, Membership::LOOKS, deleted));
    assert_eq!(Membership::removals(&stage), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_back_after_one_such_answer_is_released_as_ever() {
    let (stage, deleted) = with_its_group(back).await;
    stage.gone::<Membership>("web").await;
    assert_eq!(refusals(&stage, Membership::LOOKS, deleted).len(), 1);
    assert_eq!(Membership::present(&stage), [OTHER]);
    assert_eq!(Membership::removals(&stage), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_back_and_is_gone_again_takes_two_more_answers() {
    let mut held = None;
    let (stage, _) = with_its_group(|stage| {
        back(stage);
        let removes = |call: &Entry| call.action == Membership::REMOVES;
        held = Some(stage.simulator.hold(When::Before, removes));
    })
    .await;
    let mut held = held.unwrap();
    stage.awaited("the call", held.arrived()).await;
    let deleted = {
        let mut world = stage.simulator.world();
        world.delete_group("rsp-web");
        (world.now, world.audit.len())
    };
    // The answer from before would be old enough then, if it counted.
    stage.clock_shows(deleted.0 + 40.0).await;
    held.release();
    stage.gone::<Membership>("web").await;
    half_a_minute_apart(&refusals(&stage, Membership::LOOKS, deleted.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_from_a_deleted_scaling_group_ends_after_two_answers_half_a_minute_apart() {
    let stage = Stage::new("wish-unlisted").await;
    registered::<Attachment>(&stage, 3).await;
    let mut first = stage
        .simulator
        .hold(When::Before, |call| call.action == Attachment::LOOKS);
    stage.delete::<Attachment>("web").await;
    stage.awaited("the call", first.arrived()).await;
    let deleted = {
        let mut world = stage.simulator.world();
        world.scaling_groups.remove("asg-web");
        world.audit.len()
    };
    first.release();
    stage.gone::<Attachment>("web").await;
    // The list leaves it out without an error: only the detach tells.
    half_a_minute_apart(&refusals(&stage, Attachment::REMOVES, deleted));
}
