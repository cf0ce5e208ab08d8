//! `drainSeconds`: weight 0 first, then the wait, then the removal; and every way out of it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use server_group_operator::api::ServerGroupMembership;
use server_group_sim::world::Product;

use crate::{
    leader::with_long_lease,
    stage::{SPEED, Stage, condition, control_plane, instance, instances, merge, timing},
};

type Membership = ServerGroupMembership;

/// Long enough that a test is over before the wait is.
const LONG: i64 = 3600;

async fn three(name: &str, product: Product) -> (Stage, &'static str) {
    let (mut stage, group) = empty(name, product).await;
    stage.start();
    (stage, group)
}

/// A stage with an empty group, on which nothing acts yet.
async fn empty(name: &str, product: Product) -> (Stage, &'static str) {
    let stage = Stage::without_operator(name).await;
    let group = match product {
        Product::Clb => "rsp-web",
        Product::Alb => "sgp-alb-web",
        _ => "sgp-nlb-web",
    };
    stage.simulator.world().create_group(product, group);
    (stage, group)
}

async fn list(stage: &Stage, group: &str, count: usize, seconds: i64, more: Value) {
    let mut fields = json!({"removal": {"drainSeconds": seconds}});
    merge(&mut fields, more);
    let servers = instances(0, count, Some(80));
    stage.membership("web", group, &servers, fields).await;
}

/// Weights by id.
fn weights(stage: &Stage, group: &str) -> Vec<u8> {
    let world = stage.simulator.world();
    let members = world.groups[group].members.values();
    members.map(|member| member.weight).collect()
}

fn draining(object: &Membership) -> usize {
    object
        .status
        .as_ref()
        .map_or(0, |status| status.draining.len())
}

/// When a call was last carried out whose action begins with one of these words.
fn at<const N: usize>(stage: &Stage, words: [&str; N]) -> f64 {
    let world = stage.simulator.world();
    let calls = world.changing_calls().filter(|call| call.acted);
    let named = calls.filter(|call| words.iter().any(|word| call.action.starts_with(word)));
    named.last().unwrap().at
}

/// When the wait is over that status shows, by the clock of the audit log.
fn until(stage: &Stage, web: &Membership) -> f64 {
    let until = web.status.as_ref().unwrap().draining[0].until.clone();
    let until = until.unwrap().0;
    let clock = || stage.simulator.world().now;
    loop {
        let before = clock();
        let left = until.duration_since(Timestamp::now());
        // The machine may have stood still between the two clocks; then they are read again.
        if clock() - before < 0.5 {
            return before + left.as_secs_f64() * SPEED;
        }
    }
}

/// Three members, of which the last drains.
async fn one_drains(stage: &Stage, group: &str) -> Membership {
    list(stage, group, 3, LONG, json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    // What was set by hand is what is given back.
    stage
        .simulator
        .world()
        .put_member(group, &instance(2), "", 80, 70);
    list(stage, group, 2, LONG, json!({})).await;
    let web: Membership = stage.reason("web", "Draining").await;
    assert_eq!(weights(stage, group), [100, 100, 0]);
    let status = web.status.as_ref().unwrap();
    assert_eq!((status.draining.len(), status.draining[0].weight), (1, 70));
    assert_eq!(status.summary.as_deref(), Some("2/2 serving, 1 leaving"));
    web
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_sent_nothing_and_removed_when_the_wait_is_over() {
    // Long enough to be seen.
    const WAIT: i64 = 1500;
    let drains = async |product| {
        let (stage, group) = three("drain", product).await;
        list(&stage, group, 3, WAIT, json!({})).await;
        stage.reason::<Membership>("web", "Converged").await;
        list(&stage, group, 1, WAIT, json!({})).await;
        let web: Membership = stage.reason("web", "Draining").await;
        assert_eq!(condition(&web, "InSync").unwrap().0, "False");
        assert_eq!(weights(&stage, group), [100, 0, 0]);
        let said = until(&stage, &web);
        let web: Membership = stage.reason("web", "Converged").await;
        assert_eq!((draining(&web), weights(&stage, group)), (0, vec![100]));
        let (silent, removed) = (at(&stage, ["Set", "Update"]), at(&stage, ["Remove"]));
        assert!(removed - silent >= 1500.0, "{} s", removed - silent);
        // Both clocks are read one after the other.
        assert!(removed >= said - 1.0, "{} s early", said - removed);
        // Status writes whole seconds, a hundred of which pass in one, and the answer takes as long as the machine does.
        assert!(said - silent < 5000.0, "{} s", said - silent);
    };
    tokio::join!(
        drains(Product::Clb),
        drains(Product::Alb),
        drains(Product::Nlb)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_wanted_again_gets_its_weight_back() {
    for product in [Product::Clb, Product::Alb, Product::Nlb] {
        let (stage, group) = three("drain-back", product).await;
        one_drains(&stage, group).await;
        list(&stage, group, 3, LONG, json!({})).await;
        let web: Membership = stage.reason("web", "Converged").await;
        assert_eq!(
            (draining(&web), weights(&stage, group)),
            (0, vec![100, 100, 70])
        );
        let removals = stage
            .simulator
            .world()
            .changing_calls()
            .filter(|call| call.action.starts_with("Remove"))
            .count();
        assert_eq!(removals, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_survives_a_restart_and_ends_when_it_said_it_would() {
    let (mut stage, group) = three("drain-restart", Product::Clb).await;
    let before = one_drains(&stage, group).await;
    stage.kill().await;
    stage.start();
    stage.reason::<Membership>("web", "Draining").await;
    list(&stage, group, 2, LONG, json!({"intervalSeconds": 60})).await;
    let after: Membership = stage.reason("web", "Draining").await;
    assert_eq!(
        before.status.unwrap().draining,
        after.status.unwrap().draining,
        "written once"
    );
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(weights(&stage, group), [100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drains_stays_as_it_is_while_suspended_or_planning() {
    for rest in [json!({"suspend": true}), json!({"mode": "Plan"})] {
        let (stage, group) = three("drain-rest", Product::Clb).await;
        one_drains(&stage, group).await;
        let reason = if rest["suspend"] == true {
            "Suspended"
        } else {
            "Planned"
        };
        list(&stage, group, 2, 60, rest).await;
        let web: Membership = stage.reason("web", reason).await;
        let before = stage.changes();
        assert_eq!(draining(&web), 1, "and is shown");
        stage.delete::<Membership>("web").await;
        stage.gone::<Membership>("web").await;
        assert_eq!(
            (stage.changes(), weights(&stage, group)),
            (before, vec![100, 100, 0])
        );
    }
}

/// It was called in sync, and the plan became another one with nothing but time.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_what_drains_and_is_not_in_sync() {
    let (stage, group) = three("drains-in-plan", Product::Clb).await;
    one_drains(&stage, group).await;
    list(&stage, group, 2, LONG, json!({"mode": "Plan"})).await;
    let web: Membership = stage.reason("web", "Planned").await;
    assert_eq!(condition(&web, "InSync").unwrap().0, "False");
    let plan = web.status.unwrap().plan.unwrap();
    assert_eq!(plan.remove, ["i-0002:80"]);
    assert_eq!(
        draining(&stage.api::<Membership>().get("web").await.unwrap()),
        1
    );
}

/// The other one saw a stranger at weight 0 and took it out at once.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_exclusive_objects_one_waits_for_the_drain_that_the_other_began() {
    const WAIT: f64 = 1000.0;
    let (stage, group) = three("two-exclusive", Product::Clb).await;
    let fields = json!({
        "ownership": "Exclusive", "removal": {"drainSeconds": WAIT}, "intervalSeconds": 30,
    });
    for (name, first) in [("web", 0), ("api", 5)] {
        let servers = instances(first, 2, Some(80));
        stage
            .membership(name, group, &servers, fields.clone())
            .await;
        stage.reason::<Membership>(name, "Converged").await;
    }
    stage
        .simulator
        .world()
        .put_member(group, &instance(9), "", 80, 100);
    let call = |action: &str| {
        let world = stage.simulator.world();
        let calls = world.changing_calls().filter(|call| call.action == action);
        calls.map(|call| call.at).next()
    };
    let removed = stage
        .eventually("it is gone", async || {
            call("RemoveVServerGroupBackendServers")
        })
        .await;
    let silenced = call("SetVServerGroupAttribute").unwrap();
    assert!(removed - silenced >= WAIT, "after {} s", removed - silenced);
}

async fn beyond_its_end(rest: Value, reason: &str) {
    let (stage, group) = three("drain-beyond", Product::Clb).await;
    // Long enough to be told to rest before it is over.
    let seconds = 3600;
    list(&stage, group, 3, seconds, json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    list(&stage, group, 2, seconds, json!({})).await;
    let web: Membership = stage.reason("web", "Draining").await;
    let over = until(&stage, &web);
    let mut often = json!({"intervalSeconds": 30});
    merge(&mut often, rest);
    list(&stage, group, 2, seconds, often).await;
    stage.reason::<Membership>("web", reason).await;
    let changes = stage.changes();
    assert!(stage.simulator.world().now < over, "not over yet");
    stage.clock_shows(over + 300.0).await;
    let web: Membership = stage.reason("web", reason).await;
    assert_eq!((stage.changes(), draining(&web)), (changes, 1));
    assert_eq!(weights(&stage, group), [100, 100, 0]);
    list(&stage, group, 2, seconds, json!({})).await;
    let web: Membership = stage.reason("web", "Converged").await;
    assert_eq!((draining(&web), weights(&stage, group)), (0, vec![100; 2]));
    assert_eq!(stage.changes(), changes + 1, "it has waited long enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_ends_while_suspended_or_planning_is_carried_on_afterwards() {
    tokio::join!(
        beyond_its_end(json!({"suspend": true}), "Suspended"),
        beyond_its_end(json!({"mode": "Plan"}), "Planned"),
    );
}

/// Whoever began the drain does nothing any more, and the other one once waited for it for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_a_suspended_object_began_is_ended_by_the_other_exclusive_one() {
    let (stage, group) = three("exclusive-idle", Product::Clb).await;
    let apply = async |name: &str, first: usize, more: Value| {
        let mut fields = json!({
            "ownership": "Exclusive", "removal": {"drainSeconds": LONG}, "intervalSeconds": 30,
        });
        merge(&mut fields, more);
        let servers = instances(first, 2, Some(80));
        stage.membership(name, group, &servers, fields).await;
    };
    apply("web", 0, json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .simulator
        .world()
        .put_member(group, &instance(9), "", 80, 100);
    let drains = |web: &Membership| draining(web) == 1;
    stage.until("the drain", "web", drains).await;
    apply("web", 0, json!({"suspend": true})).await;
    stage.reason::<Membership>("web", "Suspended").await;
    apply("api", 5, json!({})).await;
    stage.reason::<Membership>("api", "Converged").await;
    assert_eq!(weights(&stage, group), [100; 4], "the stranger is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_hands_while_it_drains_gets_its_weight_back() {
    let (stage, group) = three("drain-hands", Product::Clb).await;
    one_drains(&stage, group).await;
    stage
        .membership("other", group, &instances(2, 1, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("other", "Converged").await;
    let web: Membership = stage.reason("web", "Converged").await;
    assert_eq!(
        (draining(&web), weights(&stage, group)),
        (0, vec![100, 100, 70])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retained_while_it_drains_gets_its_weight_back() {
    let (stage, group) = three("drain-retain", Product::Clb).await;
    one_drains(&stage, group).await;
    list(&stage, group, 2, LONG, json!({"deletionPolicy": "Retain"})).await;
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    assert_eq!(weights(&stage, group), [100, 100, 70]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_drains_too() {
    let (stage, group) = three("drain-release", Product::Clb).await;
    stage
        .simulator
        .world()
        .put_member(group, "i-other", "", 80, 100);
    list(&stage, group, 2, 60, json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    assert_eq!(weights(&stage, group), [100]);
    {
        let world = stage.simulator.world();
        let silenced = world
            .changing_calls()
            .filter(|call| call.action.starts_with("Set"));
        let silenced: Vec<_> = silenced
            .map(|call| (call.names.len(), &call.serving))
            .collect();
        assert_eq!(silenced.len(), 1);
        assert_eq!((silenced[0].0, silenced[0].1[0].after), (2, 1));
    }
    let waited = at(&stage, ["Remove"]) - at(&stage, ["Set"]);
    assert!(waited >= 60.0, "{waited} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retained_while_others_serve_gets_its_weight_back_and_nothing_else_is_touched() {
    let (stage, group) = three("drain-retain-others", Product::Clb).await;
    stage
        .simulator
        .world()
        .put_member(group, "i-other", "", 80, 100);
    one_drains_beside(&stage, group).await;
    list(&stage, group, 2, LONG, json!({"deletionPolicy": "Retain"})).await;
    stage.delete::<Membership>("web").await;
    stage.gone::<Membership>("web").await;
    assert_eq!(weights(&stage, group), [100, 100, 70, 100]);
}

/// As [`one_drains`], where somebody else serves too.
async fn one_drains_beside(stage: &Stage, group: &str) {
    list(stage, group, 3, LONG, json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    stage
        .simulator
        .world()
        .put_member(group, &instance(2), "", 80, 70);
    list(stage, group, 2, LONG, json!({})).await;
    stage.reason::<Membership>("web", "Draining").await;
    assert_eq!(weights(stage, group), [100, 100, 0, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_survives_a_change_of_leader_and_ends_on_time() {
    let mut stage = Stage::without_operator("drain-leader").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let timing = with_long_lease();
    let client = control_plane().await.admin().client().await.unwrap();
    stage.candidate = Some("first");
    stage.start_with(client.clone(), timing.clone());
    let seconds = 3000;
    list(&stage, "rsp-web", 3, seconds, json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    list(&stage, "rsp-web", 2, seconds, json!({})).await;
    let before: Membership = stage.reason("web", "Draining").await;
    let silent = stage.simulator.world().changing_calls().last().unwrap().at;
    stage.candidate = Some("second");
    let _second = stage.run_with(client, timing);
    stage.stop().await;
    let after: Membership = stage.reason("web", "Converged").await;
    assert_eq!(weights(&stage, "rsp-web"), [100, 100]);
    assert_eq!(before.status.unwrap().draining.len(), 1);
    assert_eq!(draining(&after), 0);
    let removed = stage.simulator.world().changing_calls().last().unwrap().at;
    assert!(removed - silent >= 3000.0, "{} s", removed - silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_by_the_clouds_clock_whoever_leads() {
    let (mut stage, group) = empty("drain-clocks", Product::Clb).await;
    stage.simulator.world().clock_ahead = 7200;
    let off = |hours| {
        let off = SignedDuration::from_hours(hours);
        timing().with_wall_clock(move || Timestamp::now().saturating_add(off).unwrap())
    };
    stage.start_with(stage.operator_client(), off(-1));
    list(&stage, group, 3, 3000, json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    list(&stage, group, 2, 3000, json!({})).await;
    stage.reason::<Membership>("web", "Draining").await;
    stage.kill().await;
    stage.start_with(stage.operator_client(), off(1));
    stage.reason::<Membership>("web", "Converged").await;
    assert_eq!(weights(&stage, group), [100, 100]);
    let waited = at(&stage, ["Remove"]) - at(&stage, ["Set"]);
    // The cloud tells its time in whole seconds, a hundred of which pass in one; an hour would be out of sight.
    assert!((2900.0..6000.0).contains(&waited), "{waited} s");
}

/// Clocks that are off by less than what is corrected: the cloud's is 4 s ahead of the first operator's, and right by the
/// second one's.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_not_cut_short_when_leaders_clocks_differ_by_seconds() {
    let (mut stage, group) = empty("drain-small", Product::Clb).await;
    stage.simulator.world().clock_ahead = 4;
    let off = |seconds| {
        let off = SignedDuration::from_secs(seconds);
        timing().with_wall_clock(move || Timestamp::now().saturating_add(off).unwrap())
    };
    stage.start_with(stage.operator_client(), off(0));
    list(&stage, group, 3, 3000, json!({})).await;
    stage.reason::<Membership>("web", "Converged").await;
    list(&stage, group, 2, 3000, json!({})).await;
    stage.reason::<Membership>("web", "Draining").await;
    stage.kill().await;
    stage.start_with(stage.operator_client(), off(4));
    stage.reason::<Membership>("web", "Converged").await;
    let waited = at(&stage, ["Remove"]) - at(&stage, ["Set"]);
    assert!((2900.0..6000.0).contains(&waited), "{waited} s");
}
