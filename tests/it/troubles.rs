//! What goes wrong in the cloud: each trouble has a reason and says what to do, costs no more calls than the beat or the
//! backoff permits, and is over when it is over.

use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{
    fault::{Fault, What},
    world::{Product, World},
};

use crate::{
    kinds::Kind,
    stage::{Stage, condition, instance, instances, message},
};

type Membership = ServerGroupMembership;
type Attachment = ScalingGroupAttachment;

/// The slow beat is 24 to 27 s then.
pub fn often() -> Value {
    json!({"intervalSeconds": 30})
}

/// How long a trouble is watched, in simulated seconds, and how many passes fit: on the slow beat, and while it backs
/// off or while something moves, where delays grow to 30 s at least.
pub const STRETCH: f64 = 300.0;
pub const SLOW: usize = 13;
pub const GROWING: usize = 18;

/// Waits until `web` gives this reason, looks for the words of the advice, and counts calls for a while.
pub async fn troubled<K: Kind>(
    stage: &Stage,
    reason: &str,
    advice: &[&str],
    passes: usize,
    calls: usize,
) {
    let web = stage.reason::<K>("web", reason).await;
    says(&web, advice);
    let begun = stage.simulator.world().now;
    let before = stage.all_calls();
    stage.clock_shows(begun + STRETCH).await;
    let made = stage.all_calls() - before;
    // One pass may have been under way.
    let most = (passes + 1) * calls;
    assert!(
        made <= most,
        "{reason}: {made} calls in {STRETCH} s are more than {most}\n{}",
        stage.calls()
    );
    // Somebody still looks.
    let (calls, before) = (|| stage.all_calls(), stage.all_calls());
    stage.reached("one more call", before + 1, calls).await;
    stage.reason::<K>("web", reason).await;
}

fn says<K: Kind>(web: &K, advice: &[&str]) {
    let said = message(web);
    for words in advice {
        assert!(said.contains(words), "{words:?} is not in {said:?}");
    }
}

/// The trouble is over: the object finds out by itself.
async fn recovers<K: Kind>(stage: &Stage, end: impl FnOnce(&mut World)) {
    end(&mut stage.simulator.world());
    stage.reason::<K>("web", "Converged").await;
}

/// The trouble is over, and somebody says so: what was refused is tried by itself only after an hour.
async fn recovers_when_asked<K: Kind>(stage: &Stage, end: impl FnOnce(&mut World)) {
    end(&mut stage.simulator.world());
    stage.look_now::<K>("web").await;
    stage.reason::<K>("web", "Converged").await;
}

fn stalled<K: Kind>(web: &K) -> bool {
    condition(web, "Stalled").is_some_and(|(status, ..)| status == "True")
}

pub async fn stage<K: Kind>(name: &str, entries: usize) -> Stage {
    let stage = Stage::new(name).await;
    K::prepare(&stage);
    K::list(&stage, "web", 0..entries, often()).await;
    stage.reason::<K>("web", "Converged").await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_room_says_so_and_takes_what_fits() {
    let stage = stage::<Membership>("no-room", 3).await;
    let room = |world: &mut World, quota| world.groups.get_mut("rsp-web").unwrap().quota = quota;
    room(&mut stage.simulator.world(), 5);
    Membership::list(&stage, "web", 0..7, often()).await;
    // A look, a batch that is halved, and a look for the removals.
    let advice = ["quota", "raise it"];
    troubled::<Membership>(&stage, "QuotaExceeded", &advice, SLOW, 4).await;
    assert_eq!(Membership::present(&stage), [0, 1, 2, 3, 4]);
    recovers_when_asked::<Membership>(&stage, |world| room(world, 7)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaling_group_without_room_says_so_and_takes_what_fits() {
    let stage = stage::<Attachment>("no-room-ess", 3).await;
    stage.simulator.world().attachments_max = 5;
    Attachment::list(&stage, "web", 0..7, often()).await;
    let advice = ["quota", "raise it"];
    troubled::<Attachment>(&stage, "QuotaExceeded", &advice, SLOW, 4).await;
    assert_eq!(Attachment::present(&stage), [0, 1, 2, 3, 4]);
    recovers_when_asked::<Attachment>(&stage, |world| world.attachments_max = 7).await;
}

async fn throttled<K: Kind>(name: &str) {
    let stage = stage::<K>(name, 2).await;
    let fault = Fault::on(K::ADDS, What::Throttle).times(u32::MAX);
    stage.simulator.world().faults.push(fault);
    K::list(&stage, "web", 0..3, often()).await;
    stage.reason::<K>("web", "Changing").await;
    let web = stage.reason::<K>("web", "Retrying").await;
    says(&web, &[K::ADDS, "Throttling"]);
    // Each pass looks at first.
    let tries = || {
        let world = stage.simulator.world();
        let calls = world.audit.split(|call| call.action == K::LOOKS);
        let tries = calls.map(|calls| calls.iter().filter(|call| call.action == K::ADDS).count());
        tries.filter(|tries| *tries > 0).collect::<Vec<_>>()
    };
    // The first was the addition of the two.
    assert_eq!(tries()[..2], [1, 6]);
    stage.reached("two more passes", 5, || tries().len()).await;
    assert_eq!(tries()[..4], [1, 6, 6, 6]);
    recovers::<K>(&stage, |world| world.faults.clear()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_throttled_without_end_is_tried_six_times_a_pass() {
    tokio::join!(
        throttled::<Membership>("throttled-on"),
        throttled::<Attachment>("throttled-on-ess"),
    );
}

async fn configuring(product: Product, id: &str) {
    let stage = Stage::new("configuring").await;
    let busy = Some(String::from("Configuring"));
    stage
        .simulator
        .world()
        .create_group(product, id)
        .forced_status = busy;
    let port = (product != Product::Gwlb).then_some(80);
    stage
        .membership("web", id, &instances(0, 2, port), often())
        .await;
    // The group, its servers.
    let advice = [id, "is Configuring", "until it is Available"];
    troubled::<Membership>(&stage, "Changing", &advice, GROWING, 2).await;
    assert_eq!(stage.changes(), 0);
    let group = |world: &mut World| world.groups.get_mut(id).unwrap().forced_status = None;
    recovers::<Membership>(&stage, group).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_being_configured_is_waited_for() {
    tokio::join!(
        configuring(Product::Alb, "sgp-alb-web"),
        configuring(Product::Nlb, "sgp-nlb-web"),
        configuring(Product::Gwlb, "sgp-web"),
    );
}

async fn deleted(product: Product, id: &str) {
    let stage = Stage::new("deleted").await;
    stage.simulator.world().create_group(product, id);
    let port = (product != Product::Gwlb).then_some(80);
    stage
        .membership("web", id, &instances(0, 2, port), often())
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.simulator.world().delete_group(id);
    let changes = stage.changes();
    let web: Membership = stage.reason("web", "GroupNotFound").await;
    let advice = [id, "does not exist", "check spec.serverGroup"];
    says(&web, &advice);
    assert!(stalled(&web));
    assert_eq!(web.status.unwrap().ledger.unwrap().registered.len(), 2);
    assert_eq!(stage.changes(), changes);
    recovers::<Membership>(&stage, |world| _ = world.create_group(product, id)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_group_that_was_deleted_is_not_found() {
    tokio::join!(
        deleted(Product::Clb, "rsp-web"),
        deleted(Product::Alb, "sgp-alb-web"),
        deleted(Product::Nlb, "sgp-nlb-web"),
        deleted(Product::Gwlb, "sgp-web"),
    );
}

async fn load_balancer(status: &str) {
    let stage = stage::<Membership>("locked", 2).await;
    let set = |world: &mut World, status: &str| {
        status.clone_into(&mut world.load_balancers.get_mut("lb-web").unwrap().status);
    };
    {
        let mut world = stage.simulator.world();
        world.create_load_balancer("lb-web");
        let group = world.groups.get_mut("rsp-web").unwrap();
        "lb-web".clone_into(&mut group.load_balancer);
        set(&mut world, status);
    }
    Membership::list(&stage, "web", 0..3, often()).await;
    let reason = "LoadBalancerUnusable";
    let known = |web: &Membership| stalled(web) && message(web).contains(status);
    stage.until("its state is seen", "web", known).await;
    let advice = ["LbStatusNotSupport", status, "running and not locked"];
    troubled::<Membership>(&stage, reason, &advice, GROWING, 2).await;
    recovers::<Membership>(&stage, |world| set(world, "active")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_that_is_stopped_or_locked_is_tried_again_ever_later() {
    tokio::join!(load_balancer("inactive"), load_balancer("locked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_from_ecs_is_parked_by_name_and_tried_hourly() {
    let stage = stage::<Membership>("ecs-gone", 2).await;
    stage.simulator.world().bad_servers.insert(instance(2));
    Membership::list(&stage, "web", 0..4, often()).await;
    let advice = ["the rest is done", "see whether it exists"];
    troubled::<Membership>(&stage, "PartlyApplied", &advice, SLOW, 1).await;
    let web: Membership = stage.reason("web", "PartlyApplied").await;
    let parked = web.status.unwrap().parked;
    assert_eq!((parked.len(), parked[0].server.as_str()), (1, "i-0002:80"));
    assert!(parked[0].reason.contains("ObtainIpFail"), "{parked:?}");
    assert_eq!(Membership::present(&stage), [0, 1, 3]);
    // Or by the hour; a person who put it right does not wait.
    recovers_when_asked::<Membership>(&stage, |world| world.bad_servers.clear()).await;
}

async fn gone_from_ecs(product: Product, id: &str) {
    let stage = Stage::new("gone-from-ecs").await;
    stage
        .simulator
        .world()
        .create_group(product, id)
        .drain_seconds = 0.0;
    let port = (product != Product::Gwlb).then_some(80);
    let list = async |count| {
        let servers = instances(0, count, port);
        stage.membership("web", id, &servers, often()).await
    };
    list(4).await;
    stage.reason::<Membership>("web", "Converged").await;
    // One is known to be gone when it is to leave, the other one to stay.
    let gone = [1, 3].map(instance);
    stage.simulator.world().bad_servers.extend(gone);
    let changes = stage.changes();
    list(3).await;
    stage.reason::<Membership>("web", "Converged").await;
    let world = stage.simulator.world();
    let left: Vec<_> = world.groups[id].ids().into_iter().collect();
    assert_eq!(left, [0, 1, 2].map(instance), "{product:?}");
    assert_eq!(world.changing_calls().count(), changes + 1, "{product:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_from_ecs_can_always_be_removed() {
    tokio::join!(
        gone_from_ecs(Product::Clb, "rsp-web"),
        gone_from_ecs(Product::Alb, "sgp-alb-web"),
        gone_from_ecs(Product::Nlb, "sgp-nlb-web"),
        gone_from_ecs(Product::Gwlb, "sgp-web"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ram_denies_stalls_with_the_permission_to_add() {
    let stage = stage::<Membership>("denied", 2).await;
    let add = "AddVServerGroupBackendServers";
    stage.simulator.world().denied.insert(add.to_owned());
    Membership::list(&stage, "web", 0..3, often()).await;
    let advice = [add, "Forbidden.RAM", "compare the role"];
    troubled::<Membership>(&stage, "Denied", &advice, SLOW, 2).await;
    let look = Membership::LOOKS;
    stage.simulator.world().denied.insert(look.to_owned());
    let advice = [look, "Forbidden.RAM", "compare the role"];
    let told = |web: &Membership| message(web).contains(look);
    stage.until("the read is named", "web", told).await;
    troubled::<Membership>(&stage, "Denied", &advice, SLOW, 1).await;
    recovers_when_asked::<Membership>(&stage, |world| world.denied.clear()).await;
    let stage = self::stage::<Attachment>("denied-ess", 2).await;
    let attach = "AttachServerGroups";
    stage.simulator.world().denied.insert(attach.to_owned());
    Attachment::list(&stage, "web", 0..3, often()).await;
    let advice = [attach, "Forbidden.Unauthorized", "compare the role"];
    troubled::<Attachment>(&stage, "Denied", &advice, SLOW, 2).await;
    recovers_when_asked::<Attachment>(&stage, |world| world.denied.clear()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_group_that_is_gone_from_an_attachment_is_not_found() {
    let stage = stage::<Attachment>("attached-gone", 2).await;
    stage.simulator.world().delete_group("sgp-0001");
    let advice = ["sgp-0001", "does not exist", "check its id"];
    troubled::<Attachment>(&stage, "GroupNotFound", &advice, SLOW, 2).await;
    let web: Attachment = stage.reason("web", "GroupNotFound").await;
    assert!(stalled(&web));
    assert_eq!(Attachment::present(&stage), [0]);
    recovers_when_asked::<Attachment>(&stage, |world| {
        _ = world.create_group(Product::Gwlb, "sgp-0001");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_that_was_deleted_is_named_and_stops_nothing_else() {
    let stage = Stage::new("lb-deleted").await;
    {
        let mut world = stage.simulator.world();
        world.create_scaling_group("asg-web", [instance(0)]);
        world.create_group(Product::Gwlb, "sgp-0001");
        for id in ["lb-1", "lb-2", "lb-3"] {
            world.create_load_balancer(id);
        }
    }
    let list = async |balancers: &[&str]| {
        let balancers = balancers.iter().map(|id| json!({"id": id}));
        let spec = json!({
            "scalingGroupId": "asg-web", "serverGroups": [{"type": "GWLB", "id": "sgp-0001"}],
            "loadBalancers": balancers.collect::<Vec<_>>(), "intervalSeconds": 30,
        });
        stage.apply::<Attachment>("web", &spec).await
    };
    let attached = || {
        let world = stage.simulator.world();
        let had = world.scaling_groups["asg-web"].attachments.iter();
        let mut ids: Vec<_> = had.map(|had| had.group.clone()).collect();
        ids.sort();
        ids
    };
    list(&["lb-1", "lb-2"]).await;
    stage.reason::<Attachment>("web", "Converged").await;
    stage.simulator.world().delete_group("lb-2");
    let advice = ["lb-2", "does not exist", "check its id"];
    troubled::<Attachment>(&stage, "GroupNotFound", &advice, SLOW, 1).await;
    list(&["lb-1", "lb-2", "lb-3"]).await;
    stage
        .eventually("the other is attached", async || {
            (attached() == ["lb-1", "lb-3", "sgp-0001"]).then_some(())
        })
        .await;
    let web: Attachment = stage.reason("web", "GroupNotFound").await;
    says(&web, &advice);
    assert!(stalled(&web));
    stage.delete::<Attachment>("web").await;
    stage.gone::<Attachment>("web").await;
    assert!(attached().is_empty());
}

async fn unlisted(gone: bool) {
    let stage = stage::<Attachment>("asg-inactive", 2).await;
    let found = {
        let mut world = stage.simulator.world();
        let found = world.scaling_groups.get_mut("asg-web").unwrap();
        found.inactive = true;
        let found = found.clone();
        gone.then(|| world.scaling_groups.remove("asg-web"));
        found
    };
    let advice = ["asg-web", "or is inactive", "whether the group is enabled"];
    troubled::<Attachment>(&stage, "GroupNotFound", &advice, SLOW, 1).await;
    let web: Attachment = stage.reason("web", "GroupNotFound").await;
    assert!(stalled(&web));
    assert_eq!(web.ledger("registered"), [0, 1]);
    recovers::<Attachment>(&stage, |world| {
        let mut found = found;
        found.inactive = false;
        world.scaling_groups.insert("asg-web".to_owned(), found);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaling_group_that_is_inactive_or_gone_is_not_listed() {
    tokio::join!(unlisted(false), unlisted(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_attach_to_a_disabled_scaling_group_is_tried_again_ever_later() {
    let stage = stage::<Attachment>("asg-disabled", 2).await;
    let code = "IncorrectScalingGroupStatus";
    let refuse = What::Refuse {
        status: 400,
        code: code.into(),
    };
    let fault = Fault::on("AttachServerGroups", refuse).times(u32::MAX);
    stage.simulator.world().faults.push(fault);
    let mut forced = often();
    forced["forceAttach"] = json!(true);
    Attachment::list(&stage, "web", 0..3, forced).await;
    let advice = [code, "see whether it is enabled"];
    // The scaling group, its activities, the call.
    troubled::<Attachment>(&stage, "ScalingGroupUnusable", &advice, GROWING, 3).await;
    recovers_when_asked::<Attachment>(&stage, |world| world.faults.clear()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaling_group_that_the_system_suspended_is_attached_and_said() {
    let stage = stage::<Attachment>("asg-suspended", 2).await;
    let suspend = |world: &mut World, suspended| {
        world.scaling_groups.get_mut("asg-web").unwrap().suspended = suspended;
    };
    suspend(&mut stage.simulator.world(), true);
    Attachment::list(&stage, "web", 0..3, often()).await;
    let told = |web: &Attachment| message(web).contains("suspended asg-web");
    stage.until("the remark", "web", told).await;
    let advice = [
        "matches the spec",
        "suspended asg-web",
        "until that is resumed",
    ];
    troubled::<Attachment>(&stage, "Converged", &advice, SLOW, 1).await;
    assert_eq!(Attachment::present(&stage), [0, 1, 2]);
    suspend(&mut stage.simulator.world(), false);
    let silent = |web: &Attachment| !message(web).contains("suspended");
    stage.until("the remark is gone", "web", silent).await;
}
