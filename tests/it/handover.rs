//! Two objects in two namespaces that claim one entry: it changes hands without ever leaving the group, and only to
//! one that acts (S1, S7). For members and for attachments.

use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};

use crate::{
    kinds::Kind,
    stage::{Stage, condition, merge, message},
    wide::Wide,
};

type Membership = ServerGroupMembership;
type Attachment = ScalingGroupAttachment;

/// The entry that both claim. The first object lists 0 and 1 besides, the second one 3 and 4.
const BOTH: usize = 2;
/// Somebody else's.
const OTHER: usize = 30;

fn first(with: bool) -> impl Iterator<Item = usize> {
    0..2 + usize::from(with)
}

fn second(with: bool) -> impl Iterator<Item = usize> {
    3 - usize::from(with)..5
}

/// Which of the two owns what both claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Older,
    Younger,
}

/// Two objects, of which one owns what both claim and the other one is in conflict.
struct Contest {
    wide: Wide,
    owner: Owner,
}

impl Contest {
    /// The claimant has these fields in its spec besides, and gives this reason.
    async fn new<K: Kind>(owner: Owner, more: Value, reason: &str) -> Self {
        let wide = Wide::new("contest").await;
        K::prepare(&wide.one);
        K::put(&wide.one, OTHER);
        let contest = Self { wide, owner };
        let Wide { one, two } = &contest.wide;
        let older = owner == Owner::Older;
        contest.list::<K>(one, "one", older, json!({})).await;
        one.reason::<K>("one", "Converged").await;
        contest.list::<K>(two, "two", !older, json!({})).await;
        two.reason::<K>("two", "Converged").await;
        contest.claims::<K>(more).await;
        let (stage, name) = contest.claimant();
        let claimant = stage.reason::<K>(name, reason).await;
        if reason == "Conflict" {
            let (holder, owner) = contest.holder();
            let said = message(&claimant);
            let by = format!("{}/{owner}", holder.namespace);
            assert!(said.contains(&by), "{by} is not in {said:?}");
            assert_eq!(condition(&claimant, "Stalled").unwrap().0, "True");
        }
        contest
    }

    fn holder(&self) -> (&Stage, &'static str) {
        match self.owner {
            Owner::Older => (&self.wide.one, "one"),
            Owner::Younger => (&self.wide.two, "two"),
        }
    }

    fn claimant(&self) -> (&Stage, &'static str) {
        match self.owner {
            Owner::Older => (&self.wide.two, "two"),
            Owner::Younger => (&self.wide.one, "one"),
        }
    }

    /// What the owner lists, with or without what both claim.
    async fn owns<K: Kind>(&self, with: bool, more: Value) {
        let (stage, name) = self.holder();
        self.list::<K>(stage, name, with, more).await;
    }

    /// The claimant lists what both claim.
    async fn claims<K: Kind>(&self, more: Value) {
        let (stage, name) = self.claimant();
        self.list::<K>(stage, name, true, more).await;
    }

    async fn list<K: Kind>(&self, stage: &Stage, name: &str, with: bool, more: Value) {
        let mut entries: Vec<_> = match name {
            "one" => first(with).collect(),
            _ => second(with).collect(),
        };
        let mut spec = beat();
        merge(&mut spec, more);
        // Twice the same entry is what admission cannot see.
        if spec.as_object_mut().unwrap().remove("twice").is_some() {
            entries.push(entries[0]);
        }
        K::list(stage, name, entries, spec).await;
    }

    /// Waits until the claimant holds what was contested, and nobody else does; it never left, and stays what it was.
    async fn changed_hands<K: Kind>(&self) {
        self.changed_hands_as::<K>("registered").await;
        let (stage, name) = self.holder();
        if stage.api::<K>().get_opt(name).await.unwrap().is_some() {
            let gave = |held: &K| !held.ledger("registered").contains(&BOTH);
            stage.until("a shorter ledger", name, gave).await;
        }
    }

    async fn changed_hands_as<K: Kind>(&self, part: &str) {
        let (stage, name) = self.claimant();
        let claimant = stage.reason::<K>(name, "Converged").await;
        assert!(claimant.ledger(part).contains(&BOTH), "{claimant:?}");
        self.never_left::<K>();
    }

    fn never_left<K: Kind>(&self) {
        let stage = &self.wide.one;
        assert!(K::present(stage).contains(&BOTH), "{}", stage.calls());
        let calls = [K::ADDS, K::REMOVES].map(|action| K::calls_about(stage, action, BOTH));
        assert_eq!(calls, [1, 0], "{}", stage.calls());
    }

    async fn owner_rests<K: Kind>(&self) -> K {
        let (stage, name) = self.holder();
        stage.reason(name, "Converged").await
    }
}

fn beat() -> Value {
    json!({"intervalSeconds": 30})
}

const OWNERS: [Owner; 2] = [Owner::Older, Owner::Younger];

async fn taken_off_the_list<K: Kind>(owner: Owner) {
    let mut contest = Contest::new::<K>(owner, json!({}), "Conflict").await;
    contest.owns::<K>(false, beat()).await;
    contest.changed_hands::<K>().await;
    contest.owner_rests::<K>().await;
    contest.never_left::<K>();
    // And back again, while nobody is there to see in which order it was written.
    contest.wide.one.kill().await;
    contest.owner = match owner {
        Owner::Older => Owner::Younger,
        Owner::Younger => Owner::Older,
    };
    contest.owns::<K>(false, beat()).await;
    contest.claims::<K>(json!({})).await;
    contest.wide.start();
    contest.changed_hands::<K>().await;
    contest.owner_rests::<K>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_its_owner_no_longer_lists_changes_hands_across_namespaces() {
    for owner in OWNERS {
        Box::pin(taken_off_the_list::<Membership>(owner)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_its_owner_no_longer_lists_changes_hands_across_namespaces() {
    for owner in OWNERS {
        Box::pin(taken_off_the_list::<Attachment>(owner)).await;
    }
}

/// The owner is deleted, also while it is suspended: then it lets go of everything without a call.
async fn owner_deleted<K: Kind>(owner: Owner, suspended: bool) {
    let contest = Contest::new::<K>(owner, json!({}), "Conflict").await;
    let (stage, name) = contest.holder();
    if suspended {
        contest.owns::<K>(true, json!({"suspend": true})).await;
        stage.reason::<K>(name, "Suspended").await;
    }
    stage.delete::<K>(name).await;
    stage.gone::<K>(name).await;
    // Who is let go at once hands nothing over: what it leaves behind is found.
    let part = if suspended { "adopted" } else { "registered" };
    contest.changed_hands_as::<K>(part).await;
    assert_eq!(
        K::removals(stage),
        usize::from(!suspended),
        "{}",
        stage.calls()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_owner_leaves_behind_changes_hands_across_namespaces() {
    for owner in OWNERS {
        for suspended in [false, true] {
            Box::pin(owner_deleted::<Membership>(owner, suspended)).await;
            Box::pin(owner_deleted::<Attachment>(owner, suspended)).await;
        }
    }
}

/// The claimant does not act: it gets nothing, and the owner removes what it no longer lists.
async fn idle_claimant<K: Kind>(owner: Owner, more: Value, reason: &str, deleted: bool) {
    let contest = Contest::new::<K>(owner, more, reason).await;
    let (holder, name) = contest.holder();
    if deleted {
        holder.delete::<K>(name).await;
        holder.gone::<K>(name).await;
    } else {
        contest.owns::<K>(false, beat()).await;
        contest.owner_rests::<K>().await;
        let forgot = |held: &K| !held.ledger("registered").contains(&BOTH);
        holder.until("a shorter ledger", name, forgot).await;
    }
    let what = format!("{reason}, deleted: {deleted}\n{}", holder.calls());
    assert!(!K::present(holder).contains(&BOTH), "{what}");
    assert_eq!(K::calls_about(holder, K::REMOVES, BOTH), 1, "{what}");
    let (stage, name) = contest.claimant();
    let claimant = stage.reason::<K>(name, reason).await;
    let held = [claimant.ledger("registered"), claimant.ledger("adopted")].concat();
    assert!(!held.contains(&BOTH), "{what}");
    // Once it acts, it puts back what it lists.
    contest
        .claims::<K>(json!({"suspend": false, "mode": "Enforce"}))
        .await;
    let claimant = stage.reason::<K>(name, "Converged").await;
    assert!(claimant.ledger("registered").contains(&BOTH), "{what}");
    assert!(K::present(stage).contains(&BOTH), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimant_that_does_not_act_is_handed_nothing() {
    for (more, reason) in [
        (json!({"suspend": true}), "Suspended"),
        (json!({"mode": "Plan"}), "Planned"),
        (json!({"twice": true}), "InvalidSpec"),
    ] {
        for deleted in [false, true] {
            tokio::join!(
                idle_claimant::<Membership>(Owner::Older, more.clone(), reason, deleted),
                idle_claimant::<Attachment>(Owner::Older, more.clone(), reason, deleted),
                idle_claimant::<Membership>(Owner::Younger, more.clone(), reason, deleted),
                idle_claimant::<Attachment>(Owner::Younger, more.clone(), reason, deleted),
            );
        }
    }
}

/// An owner that does not act keeps what it holds, listed or not, until it acts again.
async fn idle_owner<K: Kind>(owner: Owner, more: Value, reason: &str) {
    let contest = Contest::new::<K>(owner, json!({}), "Conflict").await;
    contest.owns::<K>(false, more).await;
    let (holder, name) = contest.holder();
    let held = holder.reason::<K>(name, reason).await;
    assert!(held.ledger("registered").contains(&BOTH), "{held:?}");
    let (stage, claimant) = contest.claimant();
    let looks = || stage.simulator.world().calls(K::LOOKS);
    let before = looks();
    stage.reached("more looks", before + 5, looks).await;
    stage.reason::<K>(claimant, "Conflict").await;
    let held = holder.reason::<K>(name, reason).await;
    assert!(held.ledger("registered").contains(&BOTH), "{held:?}");
    contest
        .owns::<K>(false, json!({"suspend": false, "mode": "Enforce"}))
        .await;
    contest.changed_hands::<K>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_does_not_act_keeps_what_it_holds_until_it_acts() {
    for (more, reason) in [
        (json!({"suspend": true}), "Suspended"),
        (json!({"mode": "Plan"}), "Planned"),
        (json!({"twice": true}), "InvalidSpec"),
    ] {
        tokio::join!(
            idle_owner::<Membership>(Owner::Older, more.clone(), reason),
            idle_owner::<Attachment>(Owner::Older, more.clone(), reason),
            idle_owner::<Membership>(Owner::Younger, more.clone(), reason),
            idle_owner::<Attachment>(Owner::Younger, more.clone(), reason),
        );
    }
}

/// A claimant that no grant covers lists nothing as far as others are concerned.
async fn claimant_without_grant<K: Kind>(owner: Owner) {
    let contest = Contest::new::<K>(owner, json!({}), "Conflict").await;
    let ((holder, _), (stage, name)) = (contest.holder(), contest.claimant());
    holder.grant_all(&[&holder.namespace]).await;
    stage.reason::<K>(name, "NotGranted").await;
    contest.owns::<K>(false, beat()).await;
    contest.owner_rests::<K>().await;
    assert!(!K::present(holder).contains(&BOTH), "{}", holder.calls());
    holder
        .grant_all(&[&holder.namespace, &stage.namespace])
        .await;
    let claimant = stage.reason::<K>(name, "Converged").await;
    assert!(claimant.ledger("registered").contains(&BOTH));
    assert!(K::present(holder).contains(&BOTH), "{}", holder.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimant_without_a_grant_is_handed_nothing() {
    for owner in OWNERS {
        tokio::join!(
            claimant_without_grant::<Membership>(owner),
            claimant_without_grant::<Attachment>(owner),
        );
    }
}
