//! Claims at a bad moment: made at once, and made in the middle of a removal. Who owns an entry is decided right before
//! each batch (S7).

use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::When;

use crate::{
    kinds::Kind,
    stage::{Stage, eventually},
    wide::Wide,
};

type Membership = ServerGroupMembership;
type Attachment = ScalingGroupAttachment;

/// Somebody else's entry.
const OTHER: usize = 39;

fn beat() -> Value {
    json!({"intervalSeconds": 30})
}

/// Waits for the next second, which is all that tells the age of two objects apart.
async fn next_second<K: Kind>(older: &K) {
    let born = older.meta().creation_timestamp.clone().unwrap().0;
    eventually("the next second", async || {
        (jiff::Timestamp::now().as_second() > born.as_second()).then_some(())
    })
    .await;
}

/// Both list entry 2 before anybody holds it.
async fn from_the_start<K: Kind>(older_in_one: bool) {
    let mut wide = Wide::without_operator("claims-age").await;
    K::prepare(&wide.one);
    K::put(&wide.one, OTHER);
    let (older, younger): (&Stage, &Stage) = match older_in_one {
        true => (&wide.one, &wide.two),
        false => (&wide.two, &wide.one),
    };
    let first = K::list(older, "x", 0..3, beat()).await;
    next_second(&first).await;
    K::list(younger, "x", 2..5, beat()).await;
    wide.start();
    let (older, younger): (&Stage, &Stage) = match older_in_one {
        true => (&wide.one, &wide.two),
        false => (&wide.two, &wide.one),
    };
    let owner = older.reason::<K>("x", "Converged").await;
    younger.reason::<K>("x", "Conflict").await;
    assert_eq!(owner.ledger("registered"), [0, 1, 2]);
    older.delete::<K>("x").await;
    older.gone::<K>("x").await;
    let heir = younger.reason::<K>("x", "Converged").await;
    assert_eq!(heir.ledger("registered"), [2, 3, 4]);
    assert_eq!(K::present(older), [2, 3, 4, OTHER]);
    assert_eq!(K::calls_about(older, K::REMOVES, 2), 0);
    assert_eq!(K::calls_about(older, K::ADDS, 2), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_list_an_entry_from_the_start_the_older_owns_it() {
    tokio::join!(
        from_the_start::<Membership>(true),
        from_the_start::<Membership>(false),
        from_the_start::<Attachment>(true),
        from_the_start::<Attachment>(false),
    );
}

/// While the first batch of a removal is under way, an object in another namespace lists an entry of the second.
async fn between_batches<K: Kind>(deleted: bool) {
    let wide = Wide::new("claims-batches").await;
    let Wide { one, two } = &wide;
    K::prepare(one);
    K::put(one, OTHER);
    let (count, last) = (K::LIMIT * 2 - 2, K::LIMIT * 2 - 3);
    K::list(one, "one", 0..count, beat()).await;
    one.reason::<K>("one", "Converged").await;
    // The first entry stays listed, unless all of them go.
    let from = usize::from(!deleted);
    let mut held = one
        .simulator
        .hold(When::After, |call| call.action == K::REMOVES);
    if deleted {
        one.delete::<K>("one").await;
    } else {
        K::list(one, "one", 0..from, beat()).await;
    }
    one.awaited("the call", held.arrived()).await;
    K::list(two, "two", [last], beat()).await;
    K::heard(two).await;
    held.release();
    if deleted {
        one.gone::<K>("one").await;
    } else {
        one.reason::<K>("one", "Converged").await;
    }
    let heir = two.reason::<K>("two", "Converged").await;
    assert_eq!(heir.ledger("registered"), [last], "{}", one.calls());
    let left: Vec<_> = (0..from).chain([last, OTHER]).collect();
    assert_eq!(K::present(one), left, "{}", one.calls());
    assert_eq!(K::calls_about(one, K::REMOVES, last), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_claimed_between_two_batches_of_a_removal_changes_hands() {
    for deleted in [false, true] {
        tokio::join!(
            between_batches::<Membership>(deleted),
            between_batches::<Attachment>(deleted),
        );
    }
}
