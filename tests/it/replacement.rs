//! All ten old members out, all ten new ones in: at no moment do fewer serve than promised (S3, S4).
//!
//! Each case runs on a CLB group, where a call is over when it is answered, and on an NLB group, where a job carries
//! it out.

use serde_json::{Value, json};
use server_group_operator::api::{ServerGroupMembership, status::HoldReason};
use server_group_sim::world::Product;

use crate::stage::{Stage, condition, instance, instances, message};

type Membership = ServerGroupMembership;

/// A group in which the ten old members serve.
struct Swap {
    stage: Stage,
    group: &'static str,
    removal: Value,
    /// Entries of the audit log before the swap began.
    before: usize,
}

impl Swap {
    async fn new(name: &str, product: Product, removal: Value) -> Self {
        let stage = Stage::new(name).await;
        let group = match product {
            Product::Clb => "rsp-web",
            _ => "sgp-nlb-web",
        };
        stage.simulator.world().create_group(product, group);
        let mut swap = Self {
            stage,
            group,
            removal,
            before: 0,
        };
        swap.list(0).await;
        swap.reason("Converged").await;
        swap.before = swap.stage.simulator.world().audit.len();
        swap
    }

    /// Lists ten servers from this number on.
    async fn list(&self, from: usize) {
        let servers = instances(from, 10, Some(80));
        let more = json!({"removal": self.removal, "intervalSeconds": 60});
        self.stage
            .membership("web", self.group, &servers, more)
            .await;
    }

    /// Gives the group room for so many.
    fn room(&self, quota: usize) {
        let mut world = self.stage.simulator.world();
        world.groups.get_mut(self.group).unwrap().quota = quota;
    }

    async fn reason(&self, reason: &str) -> Membership {
        self.stage.reason("web", reason).await
    }

    /// Old and new members that serve.
    fn serving(&self) -> (usize, usize) {
        let world = self.stage.simulator.world();
        let members = &world.groups[self.group];
        let (old, new) = members
            .ids()
            .into_iter()
            .partition::<Vec<_>, _>(|id| *id < instance(100));
        assert_eq!(old.len() + new.len(), members.serving(), "all serve");
        (old.len(), new.len())
    }

    /// The fewest that served since the swap began.
    fn least(&self) -> usize {
        let world = self.stage.simulator.world();
        let since = world.audit[self.before..].iter();
        let counts = since
            .flat_map(|entry| &entry.serving)
            .map(|serving| serving.after);
        counts.min().unwrap_or(10)
    }

    fn removals(&self) -> usize {
        let world = self.stage.simulator.world();
        let calls = world.changing_calls();
        calls
            .filter(|call| call.action.starts_with("Remove"))
            .count()
    }
}

fn parked(web: &Membership) -> Vec<String> {
    let parked = web.status.iter().flat_map(|status| &status.parked);
    parked.map(|parked| parked.server.clone()).collect()
}

/// How many old members wait for their replacement.
fn waiting(web: &Membership) -> usize {
    held(web, HoldReason::WaitsForReplacement).len()
}

/// What is left alone for this reason.
fn held(web: &Membership, reason: HoldReason) -> Vec<String> {
    let held = web.status.iter().flat_map(|status| &status.held);
    held.filter(|held| held.reason == reason)
        .map(|held| held.server.clone())
        .collect()
}

const PRODUCTS: [Product; 2] = [Product::Clb, Product::Nlb];

#[tokio::test(flavor = "multi_thread")]
async fn with_room_the_new_ones_are_in_before_an_old_one_leaves() {
    for product in PRODUCTS {
        let swap = Swap::new("swap-room", product, json!({})).await;
        swap.list(100).await;
        swap.reason("Converged").await;
        assert_eq!((swap.serving(), swap.least()), ((0, 10), 10), "{product:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_new_server_keeps_one_old_one_and_no_more() {
    for product in PRODUCTS {
        let swap = Swap::new("swap-one-bad", product, json!({})).await;
        let bad = instance(105);
        swap.stage.simulator.world().bad_servers.insert(bad.clone());
        swap.list(100).await;
        let web = swap.reason("PartlyApplied").await;
        assert_eq!((swap.serving(), swap.least()), ((1, 9), 10), "{product:?}");
        assert!(parked(&web)[0].starts_with(&bad), "{:?}", parked(&web));
        assert_eq!((parked(&web).len(), waiting(&web)), (1, 1), "{product:?}");
        assert_eq!(held(&web, HoldReason::Parked), parked(&web), "{product:?}");
        swap.stage.simulator.world().bad_servers.clear();
        swap.stage.look_now::<Membership>("web").await;
        swap.reason("Converged").await;
        assert_eq!((swap.serving(), swap.least()), ((0, 10), 10), "{product:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_new_server_that_fails_in_a_job_keeps_one_old_one_and_no_more() {
    let swap = Swap::new("swap-job", Product::Nlb, json!({})).await;
    let failing = instance(105);
    swap.stage
        .simulator
        .world()
        .failing_servers
        .insert(failing.clone());
    swap.list(100).await;
    let web = swap.reason("PartlyApplied").await;
    assert_eq!((swap.serving(), swap.least()), ((1, 9), 10));
    assert!(parked(&web)[0].starts_with(&failing), "{:?}", parked(&web));
    assert_eq!((parked(&web).len(), waiting(&web)), (1, 1));
    assert_eq!(held(&web, HoldReason::Parked), parked(&web));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_bad_new_servers_remove_nobody_and_each_is_named() {
    for product in PRODUCTS {
        let swap = Swap::new("swap-all-bad", product, json!({})).await;
        let bad: Vec<_> = (100..110).map(instance).collect();
        let servers = bad.iter().cloned();
        swap.stage.simulator.world().bad_servers.extend(servers);
        swap.list(100).await;
        let web = swap.reason("PartlyApplied").await;
        assert_eq!((swap.serving(), swap.least()), ((10, 0), 10), "{product:?}");
        assert_eq!((swap.removals(), waiting(&web)), (0, 10), "{product:?}");
        let parked = parked(&web);
        assert_eq!(parked.len(), 10, "{product:?}: {parked:?}");
        assert_eq!(held(&web, HoldReason::Parked), parked, "{product:?}");
        for (parked, bad) in parked.iter().zip(&bad) {
            assert!(parked.starts_with(bad), "{product:?}: {parked} for {bad}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_a_swap_dips_no_further_than_min_serving() {
    for product in PRODUCTS {
        for (min_serving, max_unavailable, least) in
            [("80%", "50%", 8), ("9", "50%", 9), ("1", "50%", 5)]
        {
            let amount = |text: &str| match text.parse::<i64>() {
                Ok(count) => json!(count),
                Err(_) => json!(text),
            };
            let removal = json!({
                "minServing": amount(min_serving), "maxUnavailable": amount(max_unavailable),
            });
            let swap = Swap::new("swap-full", product, removal).await;
            swap.room(10);
            swap.list(100).await;
            swap.reason("Converged").await;
            assert_eq!(
                (swap.serving(), swap.least()),
                ((0, 10), least),
                "{product:?}, {min_serving}, {max_unavailable}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_a_swap_that_may_not_dip_removes_nobody_and_says_why() {
    for product in PRODUCTS {
        for none in [json!(0), json!("0%")] {
            let swap = Swap::new("swap-no-dip", product, json!({"maxUnavailable": none})).await;
            swap.room(10);
            swap.list(100).await;
            let web = swap.reason("QuotaExceeded").await;
            assert_eq!((swap.serving(), swap.least()), ((10, 0), 10), "{product:?}");
            assert_eq!((swap.removals(), waiting(&web)), (0, 10), "{product:?}");
            assert_eq!(condition(&web, "Stalled").unwrap().0, "True");
            let said = message(&web);
            assert!(
                said.contains("quota") && said.contains("raise it"),
                "{said}"
            );
            swap.room(11);
            // Whoever made room says so; else it is tried again after an hour.
            swap.stage.look_now::<Membership>("web").await;
            swap.reason("Converged").await;
            assert_eq!((swap.serving(), swap.least()), ((0, 10), 10), "{product:?}");
        }
    }
}
