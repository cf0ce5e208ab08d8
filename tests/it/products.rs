//! What is particular to a product: jobs that fail or never end, and who is at fault.

use serde_json::{Value, json};
use server_group_operator::api::{ServerGroupMembership, status::HoldReason};
use server_group_sim::{
    When,
    fault::{Fault, What},
    world::{Product, Status},
};

use crate::stage::{Stage, events, instance, instances, message, told};

type Membership = ServerGroupMembership;

const ADD: &str = "AddServersToServerGroup";

/// A stage with one empty group, and the group's name.
async fn stage(name: &str, product: Product) -> (Stage, &'static str) {
    let stage = Stage::new(name).await;
    let group = match product {
        Product::Clb => "rsp-x",
        Product::Alb => "sgp-alb-x",
        Product::Nlb => "sgp-nlb-x",
        Product::Gwlb => "sgp-x",
    };
    stage
        .simulator
        .world()
        .create_group(product, group)
        .drain_seconds = 0.0;
    (stage, group)
}

fn port(product: Product) -> Option<u16> {
    (product != Product::Gwlb).then_some(80)
}

fn members(stage: &Stage, group: &str) -> usize {
    stage.simulator.world().groups[group].members.len()
}

fn parked(object: &Membership) -> Vec<String> {
    let status = object.status.as_ref().unwrap();
    let parked = status.parked.iter();
    parked.map(|parked| parked.server.clone()).collect()
}

/// What status shows as left alone for this reason.
fn held(object: &Membership, reason: HoldReason) -> Vec<String> {
    let held = object.status.iter().flat_map(|status| &status.held);
    held.filter(|held| held.reason == reason)
        .map(|held| held.server.clone())
        .collect()
}

/// The most calls that so many members take when one of them is bad: a refused batch of n costs 2⌈log₂ n⌉ more.
fn halved(product: Product, members: usize) -> usize {
    let limit = if product == Product::Clb { 20 } else { 200 };
    let batch = limit.min(members);
    let halvings = batch.next_power_of_two().ilog2();
    members.div_ceil(limit) + 2 * halvings as usize
}

async fn lives(product: Product) {
    let (stage, group) = stage("lives", product).await;
    let port = port(product);
    stage
        .membership("x", group, &instances(0, 30, port), json!({}))
        .await;
    stage.reason::<Membership>("x", "Converged").await;
    assert_eq!(stage.simulator.world().serving(group), 30);
    stage
        .membership("x", group, &instances(20, 20, port), json!({}))
        .await;
    stage.reason::<Membership>("x", "Converged").await;
    assert_eq!(stage.simulator.world().serving(group), 20);
    stage
        .simulator
        .world()
        .put_member(group, "i-other", "", port.unwrap_or(6081), 100);
    stage.delete::<Membership>("x").await;
    stage.gone::<Membership>("x").await;
    let world = stage.simulator.world();
    assert_eq!(
        world.groups[group].ids().into_iter().collect::<Vec<_>>(),
        ["i-other"]
    );
    assert_eq!(world.violations().count(), 0, "no malformed request");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alb_group_lives_its_life() {
    lives(Product::Alb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nlb_group_lives_its_life() {
    lives(Product::Nlb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_are_changed_in_place_and_an_absent_one_is_never_touched() {
    for product in [Product::Alb, Product::Nlb] {
        let (stage, group) = stage("weights", product).await;
        let weighted = |weight: u8| -> Vec<Value> {
            let mut servers = instances(0, 5, Some(80));
            for server in &mut servers[1..] {
                server["weight"] = json!(weight);
            }
            servers
        };
        stage.membership("x", group, &weighted(10), json!({})).await;
        stage.reason::<Membership>("x", "Converged").await;
        stage
            .simulator
            .world()
            .put_member(group, &instance(0), "", 80, 77);
        stage.membership("x", group, &weighted(20), json!({})).await;
        stage.reason::<Membership>("x", "Converged").await;
        let world = stage.simulator.world();
        let members = world.groups[group].members.values();
        let weights: Vec<_> = members.map(|member| member.weight).collect();
        assert_eq!(weights, [77, 20, 20, 20, 20], "{product:?}");
        let changes: Vec<_> = world.changing_calls().skip(1).collect();
        assert_eq!(changes.len(), 1, "{product:?}");
        assert_eq!(changes[0].action, "UpdateServerGroupServersAttribute");
        assert_eq!(changes[0].names.len(), 4, "{product:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_server_is_told_apart() {
    let (stage, group) = stage("types", Product::Nlb).await;
    let servers = [
        json!({"id": "i-1", "port": 80}),
        json!({"id": "i-1", "port": 81}),
        json!({"id": "eni-1", "ip": "10.1.0.1", "port": 80}),
        json!({"id": "eni-1", "ip": "10.1.0.2", "port": 80}),
        json!({"id": "eci-1", "port": 80}),
    ];
    stage.membership("x", group, &servers, json!({})).await;
    stage.reason::<Membership>("x", "Converged").await;
    assert_eq!(members(&stage, group), 5);
    stage
        .membership(
            "x",
            group,
            &[servers[0].clone(), servers[3].clone()],
            json!({}),
        )
        .await;
    stage.reason::<Membership>("x", "Converged").await;
    let world = stage.simulator.world();
    let left: Vec<_> = world.groups[group]
        .members
        .keys()
        .map(|(id, ip, port)| (id.as_str(), ip.as_str() == "10.1.0.2", *port))
        .collect();
    assert_eq!(left, [("eni-1", true, 80), ("i-1", false, 80)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_outside_of_the_vpc_if_it_was_added_so_and_stays_what_it_is() {
    let (stage, group) = stage("on-premises", Product::Alb).await;
    "Ip".clone_into(&mut stage.simulator.world().groups.get_mut(group).unwrap().kind);
    let inside = json!({"id": "10.0.0.1", "port": 80});
    let hall = |remote: bool| json!({"id": "172.16.1.5", "port": 80, "weight": 10, "remoteIpEnabled": remote});
    let remote = || {
        let world = stage.simulator.world();
        let mut members = world.groups[group].members.iter();
        let found = members.find(|((id, ..), _)| id == "172.16.1.5");
        found.map(|(_, member)| (member.remote_ip, member.weight))
    };
    let list = async |hall: Option<Value>| {
        let servers: Vec<_> = hall.into_iter().chain([inside.clone()]).collect();
        stage.membership("x", group, &servers, json!({})).await
    };
    list(Some(hall(true))).await;
    stage.reason::<Membership>("x", "Converged").await;
    assert_eq!(remote(), Some((true, 10)));
    let mut otherwise = hall(false);
    otherwise["weight"] = json!(20);
    list(Some(otherwise)).await;
    let x: Membership = stage.reason("x", "PartlyApplied").await;
    assert_eq!(held(&x, HoldReason::Immutable), ["172.16.1.5:80"]);
    assert!(message(&x).contains("remoteIpEnabled"), "{}", message(&x));
    assert_eq!(remote(), Some((true, 20)), "only the weight was changed");
    list(None).await;
    stage.reason::<Membership>("x", "Converged").await;
    assert_eq!(remote(), None);
    list(Some(hall(false))).await;
    stage.reason::<Membership>("x", "Converged").await;
    assert_eq!(remote(), Some((false, 10)));
    assert_eq!(stage.simulator.world().violations().count(), 0);
}

/// The list of the cloud has an address in its long form.
async fn leaves_as_the_list_spells_it(name: &str, product: Product) {
    const LONG: &str = "2001:0db8:0:0:0:0:0:1";
    let (stage, group) = stage(name, product).await;
    {
        let mut world = stage.simulator.world();
        "Ip".clone_into(&mut world.groups.get_mut(group).unwrap().kind);
        world.put_member(group, LONG, LONG, 80, 100);
    }
    let (stays, leaves) = (
        json!({"id": "10.0.0.1", "port": 80}),
        json!({"id": "2001:db8::1", "port": 80}),
    );
    stage
        .membership("x", group, &[stays.clone(), leaves], json!({}))
        .await;
    let x: Membership = stage.reason("x", "Converged").await;
    assert_eq!(
        x.status.unwrap().ledger.unwrap().adopted,
        ["[2001:db8::1]:80"]
    );
    stage.membership("x", group, &[stays], json!({})).await;
    stage.reason::<Membership>("x", "Converged").await;
    let world = stage.simulator.world();
    assert_eq!(
        world.groups[group].ids(),
        ["10.0.0.1"].map(String::from).into()
    );
    assert_eq!(world.violations().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alb_address_in_another_spelling_is_one_member_and_leaves_as_the_list_spells_it() {
    leaves_as_the_list_spells_it("spelled-alb", Product::Alb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nlb_address_in_another_spelling_is_one_member_and_leaves_as_the_list_spells_it() {
    leaves_as_the_list_spells_it("spelled-nlb", Product::Nlb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alb_group_of_addresses_and_one_of_functions() {
    let (stage, group) = stage("addresses", Product::Alb).await;
    "Ip".clone_into(&mut stage.simulator.world().groups.get_mut(group).unwrap().kind);
    "Fc".clone_into(
        &mut stage
            .simulator
            .world()
            .create_group(Product::Alb, "sgp-alb-f")
            .kind,
    );
    let function = "acs:fc:cn-hangzhou:1:services/s.LATEST/functions/f";
    stage
        .membership(
            "x",
            group,
            &[
                json!({"id": "10.0.0.1", "port": 80}),
                json!({"id": "10.0.0.2", "port": 80}),
            ],
            json!({}),
        )
        .await;
    stage
        .membership("f", "sgp-alb-f", &[json!({"id": function})], json!({}))
        .await;
    stage.reason::<Membership>("x", "Converged").await;
    stage.reason::<Membership>("f", "Converged").await;
    stage
        .membership(
            "x",
            group,
            &[json!({"id": "10.0.0.2", "port": 80})],
            json!({}),
        )
        .await;
    stage.reason::<Membership>("x", "Converged").await;
    let world = stage.simulator.world();
    assert_eq!(
        world.groups[group].ids().into_iter().collect::<Vec<_>>(),
        ["10.0.0.2"]
    );
    assert_eq!(
        world.groups["sgp-alb-f"]
            .ids()
            .into_iter()
            .collect::<Vec<_>>(),
        [function]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_not_success() {
    for product in [Product::Alb, Product::Nlb] {
        let (stage, group) = stage("failed-job", product).await;
        stage.simulator.world().failing_jobs = 1;
        stage
            .membership("x", group, &instances(0, 5, Some(80)), json!({}))
            .await;
        stage.reason::<Membership>("x", "Converged").await;
        assert_eq!(stage.simulator.world().serving(group), 5);
        assert_eq!(
            stage.simulator.world().calls("AddServersToServerGroup"),
            2,
            "sent once more"
        );
        let failed = events(&stage, "Failed").await;
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert!(
            failed[0].contains("job job-") && failed[0].contains("failed"),
            "{failed:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_succeeded_is_not_believed_when_a_member_is_absent() {
    for product in [Product::Alb, Product::Nlb] {
        let (stage, group) = stage("believed-job", product).await;
        // It ends when the test says so.
        stage.simulator.world().durations.adding = 1e6;
        stage
            .membership("x", group, &instances(0, 5, Some(80)), json!({}))
            .await;
        stage
            .eventually("sent", async || (stage.changes() == 1).then_some(()))
            .await;
        {
            let mut world = stage.simulator.world();
            world.delete_member(group, &instance(3));
            world.durations.adding = 2.0;
            world.pass(1e6);
        }
        stage.reason::<Membership>("x", "Converged").await;
        let world = stage.simulator.world();
        assert_eq!(world.serving(group), 5, "{product:?}");
        let added: Vec<_> = world.changing_calls().map(|call| &call.names).collect();
        assert_eq!(added.len(), 2, "{product:?}: {added:?}");
        let absent = |names: &[String]| names.len() == 1 && names[0].starts_with("i-0003");
        assert!(absent(added[1]), "{product:?}: {added:?}");
        assert!(world.jobs.values().all(|job| job.status == "Succeeded"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_end_in_15_minutes_is_named_and_waited_for() {
    let (stage, group) = stage("endless-job", Product::Alb).await;
    stage.simulator.world().endless_jobs = 1;
    stage
        .membership("x", group, &instances(0, 5, Some(80)), json!({}))
        .await;
    let named = |object: &Membership| message(object).contains("does not end");
    let x = stage.until("the job named", "x", named).await;
    let (failure, request) = {
        let world = stage.simulator.world();
        let accepted = world.changing_calls().next().unwrap();
        let waited = world.now - accepted.at;
        assert!(waited >= 900.0, "named after {waited} s");
        let (id, _) = world.jobs.first_key_value().unwrap();
        let failure = format!("job {id} of {ADD} failed: it does not end");
        (failure, accepted.request_id.clone())
    };
    assert!(message(&x).contains(&failure), "{}", message(&x));
    let note = format!("{failure} (request {request})");
    assert_eq!(told(&stage, "Failed", "does not end").await, [note]);
    stage
        .membership("x", group, &instances(0, 7, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("x", "Changing").await;
    assert_eq!(
        stage.changes(),
        1,
        "nothing is sent to a group that is busy"
    );
    end_jobs(&stage, group);
    stage.reason::<Membership>("x", "Converged").await;
    assert_eq!(stage.simulator.world().serving(group), 7);
    assert_eq!(stage.changes(), 2, "and then what is missing");
}

/// Has everything that the group is about end now.
fn end_jobs(stage: &Stage, group: &str) {
    let mut world = stage.simulator.world();
    let now = world.now;
    world.jobs.values_mut().for_each(|job| job.until = now);
    let group = world.groups.get_mut(group).unwrap();
    group.busy_until = now;
    let members = group.members.values_mut();
    members.for_each(|member| member.until = now);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_fails_in_a_job_does_not_stop_199() {
    for product in [Product::Nlb, Product::Gwlb] {
        let (stage, group) = stage("bad-in-job", product).await;
        stage.simulator.world().failing_servers.insert(instance(77));
        stage
            .membership("x", group, &instances(0, 200, port(product)), json!({}))
            .await;
        let x: Membership = stage.reason("x", "PartlyApplied").await;
        assert_eq!(stage.simulator.world().serving(group), 199);
        assert_eq!(parked(&x).len(), 1);
        let bad = parked(&x).remove(0);
        assert!(bad.starts_with("i-0077"), "{bad}");
        let calls = stage.simulator.world().calls(ADD);
        assert!(calls <= 2 + 2 * 8, "{calls} calls");
        let request = {
            let world = stage.simulator.world();
            let about = world.changing_calls();
            let about =
                about.filter(|call| call.names.iter().any(|name| name.starts_with("i-0077")));
            about.last().unwrap().request_id.clone()
        };
        let reason = &x.status.as_ref().unwrap().parked[0].reason;
        let note = format!("left alone for a while, 1: {bad} ({reason}, request {request})");
        let failed = told(&stage, "Failed", "left alone").await;
        let parked: Vec<_> = failed
            .iter()
            .filter(|note| note.starts_with("left"))
            .collect();
        assert_eq!(parked, [&note], "{product:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_fails_on_its_way_out_in_a_job_does_not_stop_the_others() {
    let (stage, group) = stage("bad-out-job", Product::Alb).await;
    stage
        .membership("x", group, &instances(0, 100, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("x", "Converged").await;
    stage.simulator.world().failing_servers.insert(instance(7));
    stage
        .membership("x", group, &instances(50, 50, Some(80)), json!({}))
        .await;
    let x: Membership = stage.reason("x", "PartlyApplied").await;
    assert_eq!(held(&x, HoldReason::Parked), parked(&x));
    assert_eq!(members(&stage, group), 51);
    assert_eq!(
        parked(&x),
        ["i-0007:80"].map(|key| {
            let ip = stage.simulator.world().groups[group]
                .members
                .keys()
                .find(|(id, ..)| id == "i-0007")
                .unwrap()
                .1
                .clone();
            key.replace(':', &format!("@{ip}:"))
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_is_refused_at_once_does_not_stop_199() {
    for product in [Product::Clb, Product::Alb, Product::Nlb, Product::Gwlb] {
        let (stage, group) = stage("bad-at-once", product).await;
        stage.simulator.world().bad_servers.insert(instance(77));
        stage
            .membership("x", group, &instances(0, 200, port(product)), json!({}))
            .await;
        let x: Membership = stage.reason("x", "PartlyApplied").await;
        assert_eq!(stage.simulator.world().serving(group), 199);
        assert_eq!(parked(&x).len(), 1);
        assert_eq!(held(&x, HoldReason::Parked), parked(&x), "{product:?}");
        let (changes, most) = (stage.changes(), halved(product, 200));
        assert!(changes <= most, "{product:?}: {changes} calls, not {most}");
        let failed = told(&stage, "Failed", "i-0077").await;
        assert_eq!(failed.len(), 1, "{failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_is_refused_on_its_way_out_does_not_stop_99() {
    for product in [Product::Clb, Product::Alb, Product::Nlb, Product::Gwlb] {
        let (stage, group) = stage("bad-out", product).await;
        let port = port(product);
        stage
            .membership("x", group, &instances(0, 120, port), json!({}))
            .await;
        stage.reason::<Membership>("x", "Converged").await;
        stage.simulator.world().clinging_servers.insert(instance(7));
        let before = stage.changes();
        stage
            .membership("x", group, &instances(100, 20, port), json!({}))
            .await;
        let x: Membership = stage.reason("x", "PartlyApplied").await;
        // The bad one and the twenty that are listed.
        assert_eq!(members(&stage, group), 21, "{product:?}");
        assert!(parked(&x)[0].starts_with("i-0007"), "{:?}", parked(&x));
        assert_eq!(held(&x, HoldReason::Parked), parked(&x), "{product:?}");
        // It may only have been busy: that batch is sent once more before it is halved.
        let (changes, most) = (stage.changes() - before, halved(product, 100) + 1);
        assert!(changes <= most, "{product:?}: {changes} calls, not {most}");
        let failed = told(&stage, "Failed", "i-0007").await;
        assert_eq!(failed.len(), 1, "{failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_clings_does_not_stop_the_others() {
    let (stage, group) = stage("clings", Product::Nlb).await;
    stage
        .membership("x", group, &instances(0, 40, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("x", "Converged").await;
    stage.simulator.world().clinging_servers.insert(instance(7));
    stage
        .membership("x", group, &instances(20, 20, Some(80)), json!({}))
        .await;
    let alone = |_: &Membership| members(&stage, group) == 21;
    stage.until("the others gone", "x", alone).await;
    stage.reason::<Membership>("x", "PartlyApplied").await;
    let before = stage.changes();
    stage.simulator.world().clinging_servers.clear();
    // A new generation tries what was parked.
    stage
        .membership(
            "x",
            group,
            &instances(20, 20, Some(80)),
            json!({"intervalSeconds": 600}),
        )
        .await;
    stage.reason::<Membership>("x", "Converged").await;
    assert_eq!(stage.changes(), before + 1);
    let world = stage.simulator.world();
    assert!(
        world.groups[group]
            .members
            .values()
            .all(|member| member.status == Status::Available)
    );
}

/// What the simulator says of a job that failed.
const WORDS: &str = "ResourceInUse.IP: The address is already in use.";

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_named_in_status_and_in_an_event_with_the_words_of_the_cloud() {
    for product in [Product::Alb, Product::Nlb] {
        let (stage, group) = stage("failed-in-status", product).await;
        stage.simulator.world().failing_jobs = 1;
        // The second try waits, so that what its intent says is there to be read.
        let mut tries = 0;
        let mut second = stage.simulator.hold(When::Before, move |call| {
            tries += usize::from(call.action == ADD);
            tries == 2
        });
        stage
            .membership("x", group, &instances(0, 5, Some(80)), json!({}))
            .await;
        stage.awaited("the call", second.arrived()).await;
        let x = stage.api::<Membership>().get("x").await.unwrap();
        let (failure, request) = {
            let world = stage.simulator.world();
            let (id, job) = world.jobs.first_key_value().unwrap();
            let polls = world.audit.iter();
            let polls = polls.filter(|call| call.action == "ListAsynJobs" && call.at >= job.until);
            assert!(polls.count() <= 2, "{product:?}:\n{}", stage.calls());
            let request = world.changing_calls().next().unwrap().request_id.clone();
            (format!("job {id} of {ADD} failed: {WORDS}"), request)
        };
        assert!(message(&x).contains(&failure), "{}", message(&x));
        second.release();
        stage.reason::<Membership>("x", "Converged").await;
        assert_eq!(stage.simulator.world().serving(group), 5);
        assert_eq!(stage.changes(), 2, "sent once more");
        let note = format!("{failure} (request {request})");
        assert_eq!(events(&stage, "Failed").await, [note], "{product:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_that_cannot_be_changed_is_parked_and_left_alone() {
    let (stage, group) = stage("bad-weight", Product::Alb).await;
    stage
        .membership("x", group, &instances(0, 8, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("x", "Converged").await;
    stage.simulator.world().failing_servers.insert(instance(3));
    let mut servers = instances(0, 8, Some(80));
    for server in &mut servers {
        server["weight"] = json!(10);
    }
    stage
        .membership("x", group, &servers, json!({"intervalSeconds": 30}))
        .await;
    let x: Membership = stage.reason("x", "PartlyApplied").await;
    assert_eq!(parked(&x).len(), 1, "{:?}", parked(&x));
    let looks = || stage.simulator.world().calls("ListServerGroupServers");
    let (changes, seen) = (stage.changes(), looks());
    stage.reached("ten more looks", seen + 10, looks).await;
    assert_eq!(stage.changes(), changes, "it is not tried again and again");
    let light = stage.simulator.world().groups[group]
        .members
        .values()
        .filter(|member| member.weight == 10)
        .count();
    assert_eq!(light, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_refused_and_then_added_by_hand_is_not_ours_to_take_along() {
    let (stage, group) = stage("refused-then-by-hand", Product::Clb).await;
    stage.simulator.world().bad_servers.insert(instance(1));
    stage
        .membership(
            "x",
            group,
            &instances(0, 2, Some(80)),
            json!({"intervalSeconds": 30}),
        )
        .await;
    let x: Membership = stage.reason("x", "PartlyApplied").await;
    let ledger = x.status.unwrap().ledger.unwrap();
    assert_eq!(ledger.registered, ["i-0000:80"]);
    stage
        .simulator
        .world()
        .put_member(group, &instance(1), "", 80, 100);
    let x: Membership = stage.reason("x", "Converged").await;
    assert_eq!(x.status.unwrap().ledger.unwrap().adopted, ["i-0001:80"]);
    stage.delete::<Membership>("x").await;
    stage.gone::<Membership>("x").await;
    let world = stage.simulator.world();
    let left: Vec<_> = world.groups[group].ids().into_iter().collect();
    assert_eq!(left, [instance(1)]);
}

/// It once stayed in the ledger together with what was not answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_refused_before_an_answer_was_lost_is_not_ours_either() {
    let (stage, group) = stage("refused-then-lost", Product::Clb).await;
    {
        let mut world = stage.simulator.world();
        world.bad_servers.insert(instance(1));
        let add = "AddVServerGroupBackendServers";
        // Nine calls find the bad one of the first twenty.
        let fault = Fault::on(add, What::LoseAnswerAfter).after(9);
        world.faults.push(fault);
    }
    let servers = instances(0, 25, Some(80));
    stage
        .membership("x", group, &servers, json!({"intervalSeconds": 30}))
        .await;
    let x: Membership = stage.reason("x", "PartlyApplied").await;
    let ledger = x.status.unwrap().ledger.unwrap();
    assert!(!ledger.registered.contains(&"i-0001:80".to_owned()));
    assert_eq!(ledger.registered.len(), 24);
    let lost =
        |call: &server_group_sim::audit::Entry| call.fault.is_some() && call.names.len() == 5;
    assert!(stage.simulator.world().audit.iter().any(lost));
    stage
        .simulator
        .world()
        .put_member(group, &instance(1), "", 80, 100);
    stage.reason::<Membership>("x", "Converged").await;
    stage.delete::<Membership>("x").await;
    stage.gone::<Membership>("x").await;
    let world = stage.simulator.world();
    let left: Vec<_> = world.groups[group].ids().into_iter().collect();
    assert_eq!(left, [instance(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_one_interface_are_told_apart_in_clb_and_gwlb_groups() {
    for product in [Product::Clb, Product::Gwlb] {
        let (stage, group) = stage("interfaces", product).await;
        let with_port = |mut server: Value| {
            if let Some(port) = port(product) {
                server["port"] = json!(port);
            }
            server
        };
        let servers = [
            json!({"id": "i-1"}),
            json!({"id": "eni-1", "ip": "10.1.0.1"}),
            json!({"id": "eni-1", "ip": "10.1.0.2"}),
            json!({"id": "eci-1"}),
        ]
        .map(with_port);
        stage.membership("x", group, &servers, json!({})).await;
        stage.reason::<Membership>("x", "Converged").await;
        assert_eq!(members(&stage, group), 4);
        let fewer = [servers[0].clone(), servers[2].clone()];
        stage.membership("x", group, &fewer, json!({})).await;
        stage.reason::<Membership>("x", "Converged").await;
        let world = stage.simulator.world();
        let left: Vec<_> = world.groups[group]
            .members
            .keys()
            .map(|(id, ip, _)| (id.as_str(), ip == "10.1.0.2"))
            .collect();
        assert_eq!(left, [("eni-1", true), ("i-1", false)], "{product:?}");
        assert_eq!(world.violations().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gwlb_group_and_an_nlb_group_of_addresses() {
    for product in [Product::Gwlb, Product::Nlb] {
        let (stage, group) = stage("of-addresses", product).await;
        "Ip".clone_into(&mut stage.simulator.world().groups.get_mut(group).unwrap().kind);
        let server = |id: &str| match port(product) {
            Some(port) => json!({"id": id, "port": port}),
            None => json!({"id": id}),
        };
        let two = [server("10.0.0.1"), server("10.0.0.2")];
        stage.membership("x", group, &two, json!({})).await;
        stage.reason::<Membership>("x", "Converged").await;
        stage.membership("x", group, &two[1..], json!({})).await;
        stage.reason::<Membership>("x", "Converged").await;
        let world = stage.simulator.world();
        let left: Vec<_> = world.groups[group].ids().into_iter().collect();
        assert_eq!(left, ["10.0.0.2"], "{product:?}");
    }
}
