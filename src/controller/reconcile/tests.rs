use std::{collections::BTreeMap, ops::Range, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, put},
};
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use server_group_sim::{Options, Simulator, world::Product};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::*;
use crate::{
    api::{CloudAccount, ScalingGroupAttachment, ServerGroupMembership},
    cloud::{Environment, Signature, Transport, TransportConfig},
    controller::{
        KUBERNETES_REQUESTS_MAX,
        accounts::Accounts,
        identity::Identities,
        joined::Joined,
        lag::Lag,
        late_moves::LateCalls,
        memory::Memories,
        object::name_of,
        open::Orphans,
        parses::{self, What},
        registry::Registry,
        scaling_activity::Running,
        scope::Scope,
        signals::Signals,
        sources::Sources,
        stands,
        turns::Turns,
        upkeep::Bell,
        watches::Watches,
    },
    leader::Leadership,
    timing::Timing,
};

mod going;
mod granting;
mod lagging;
mod moving;
mod planning;
mod scene;

const SPEED: f64 = 100.0;

/// As much of an API server as a pass needs: it keeps objects, and counts their versions.
type Objects = Arc<Mutex<BTreeMap<String, Value>>>;

fn api_server(objects: &Objects) -> Client {
    type Named = Path<BTreeMap<String, String>>;
    async fn read(State(objects): State<Objects>, Path(path): Named) -> Json<Value> {
        Json(objects.lock()[&path["name"]].clone())
    }
    async fn write(
        State(objects): State<Objects>,
        Path(path): Named,
        Json(written): Json<Value>,
    ) -> Json<Value> {
        let mut objects = objects.lock();
        let object = objects.get_mut(&path["name"]).unwrap();
        let metadata = object["metadata"].as_object_mut().unwrap();
        // A write of status changes nothing else.
        if let Some(finalizers) = written["metadata"].get("finalizers")
            && written.get("status").is_none()
        {
            metadata.insert("finalizers".into(), finalizers.clone());
        }
        let version: u64 = metadata["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        metadata.insert("resourceVersion".into(), json!((version + 1).to_string()));
        if let Some(status) = written.get("status") {
            object["status"] = status.clone();
        }
        Json(object.clone())
    }
    async fn keep_event(State(objects): State<Objects>, Json(event): Json<Value>) -> Json<Value> {
        let name = event["metadata"]["name"].as_str().unwrap().to_owned();
        objects.lock().insert(name, event.clone());
        Json(event)
    }
    async fn list(State(objects): State<Objects>, Path(path): Named) -> Json<Value> {
        let objects = objects.lock();
        let of_kind = objects.values().filter(|object| {
            let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
            format!("{kind}s") == path["kind"]
        });
        let items: Vec<_> = of_kind.collect();
        Json(json!({"metadata": {"resourceVersion": "0"}, "items": items}))
    }
    let path = |rest| format!("/apis/servergroup.alicloud.dev/v1alpha1/{rest}");
    let server = Router::new()
        .route(&path("cloudaccounts/{name}"), get(read))
        .route("/api/v1/namespaces/{name}", get(read))
        .route(&path("{kind}"), get(list))
        .route(&path("namespaces/ns/{kind}/{name}"), get(read).patch(write))
        .route(&path("namespaces/ns/{kind}/{name}/status"), put(write))
        .fallback(keep_event)
        .with_state(Arc::clone(objects));
    Client::new(server, "ns")
}

/// An account that grants everything, but for what `grant` says.
fn account(name: &str, grant: &Value) -> Value {
    let mut whole = json!({
        "name": "all", "namespaces": ["*"], "regions": ["*"],
        "serverGroups": ["*"], "scalingGroups": ["*"], "loadBalancers": ["*"], "servers": ["*"],
    });
    scene::merge(&mut whole, grant);
    json!({
        "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "CloudAccount",
        "metadata": {"name": name, "uid": name, "resourceVersion": "7", "generation": 7},
        "spec": {"credentials": {"type": "Environment"}, "grants": [whole]},
    })
}

fn context(objects: &Objects, simulator: &Simulator) -> Context {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let timing = Timing::scaled(SPEED);
    let config = TransportConfig {
        signature: Signature::V3,
        endpoints: format!("*={}", simulator.url()).parse().unwrap(),
        timing: timing.clone(),
    };
    let environment = Environment::new(|name| match name {
        "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("simulated-key".into()),
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("simulated-secret".into()),
        _ => None,
    });
    let accounts = Accounts::default();
    let account = account("default", &json!({}));
    objects.lock().insert("default".into(), account.clone());
    accounts.learn(&serde_json::from_value::<CloudAccount>(account).unwrap());
    let (client, transport) = (api_server(objects), Transport::new(config).unwrap());
    let sources = Sources::new(
        client.clone(),
        transport.clone(),
        environment,
        "ns".into(),
        timing.clone(),
    );
    Context {
        client,
        transport,
        sources,
        identities: Identities::default(),
        leadership: Leadership::unopposed(timing.clone()),
        watches: Watches::new(&timing),
        timing,
        started: Instant::now(),
        accounts,
        memberships: Registry::default(),
        attachments: Registry::default(),
        scopes: Scope::of(&[]),
        membership_lists: Joined::default(),
        attachment_lists: Joined::default(),
        membership_memories: Memories::default(),
        attachment_memories: Memories::default(),
        read_only: false,
        signals: Signals::new().0,
        turns: Turns::default(),
        orphans: Orphans::default(),
        lag: Lag::default(),
        late_calls: LateCalls::default(),
        running: Running::default(),
        unreadable: Notify::new(),
        upkeep: Bell::default(),
        installation: "ns".into(),
        kubernetes: Semaphore::new(KUBERNETES_REQUESTS_MAX),
        instance: "test".into(),
    }
}

/// Takes in a new object, as a watch shows it.
fn learn<M: Managed>(ctx: &Context, objects: &Objects, name: &str, rest: &Value) -> Name {
    let mut spec = rest["spec"].clone();
    spec["regionId"] = json!("cn-hangzhou");
    let mut object = json!({
        "apiVersion": M::api_version(&()), "kind": M::kind(&()),
        "metadata": {"namespace": "ns", "name": name, "uid": name, "generation": 1, "resourceVersion": "1"},
        "spec": spec, "status": rest["status"],
    });
    for (name, value) in rest["metadata"].as_object().into_iter().flatten() {
        object["metadata"][name] = value.clone();
    }
    objects.lock().insert(name.into(), object.clone());
    let object: M = serde_json::from_value(object).unwrap();
    let name = name_of(&object);
    ctx.saw(object);
    name
}

fn server(number: usize) -> String {
    format!("i-{number:04}")
}

/// More passes than any object here needs.
const ENOUGH: usize = 1000;

/// A pass that somebody asked for.
fn asked() -> Work {
    Work {
        level: Level::Asked,
        also: BTreeSet::new(),
        grant: None,
    }
}

/// Lets passes over one object follow each other until it converges, and returns what the first of them parsed of everybody.
async fn parses_of_each_pass<M: Pipeline>(ctx: &Context, name: &Name) -> parses::Parses {
    let mut first = None;
    for _ in 0..ENOUGH {
        parses::take();
        reconcile::<M>(ctx, name, asked()).await;
        let parses = parses::take();
        assert!(parses.values().all(|times| *times == 1), "{parses:?}");
        let first = first.get_or_insert(parses);
        let object = M::registry(ctx).get(name).unwrap();
        if object
            .conditions()
            .iter()
            .any(|condition| condition.reason == "Converged")
        {
            return std::mem::take(first);
        }
    }
    let object = M::registry(ctx).get(name).unwrap();
    panic!("{name} does not converge: {:?}", object.conditions())
}

/// An object was parsed anew after each of its own writes, only to be left out of the others on its group.
#[tokio::test]
async fn an_object_and_its_status_are_parsed_at_most_once_a_pass() {
    let simulator = Simulator::start(Options {
        speed: SPEED,
        ..Options::default()
    });
    let simulator = simulator.await.unwrap();
    {
        let mut world = simulator.world();
        world.create_group(Product::Clb, "rsp-web");
        for number in 50..100 {
            world.put_member("rsp-web", &server(number), "", 80, 100);
        }
        world.create_load_balancer("lb-sim");
        world.create_scaling_group("asg-web", []);
    }
    let objects = Objects::default();
    let ctx = context(&objects, &simulator);
    let listed = |range: Range<usize>| -> Vec<_> {
        range
            .map(|number| json!({"id": server(number), "port": 80}))
            .collect()
    };
    let ledger = |uid: &str, range: Range<usize>| {
        let registered: Vec<_> = range
            .map(|number| format!("{}:80", server(number)))
            .collect();
        json!({"observedGeneration": 1, "ledger": {
            "uid": uid, "cloudAccountId": "", "registered": registered, "adopted": [],
        }})
    };
    // Some batches to add, some to remove, and a stranger.
    let web = learn::<ServerGroupMembership>(
        &ctx,
        &objects,
        "web",
        &json!({
            "spec": {"ownership": "Exclusive", "serverGroup": {"type": "CLB", "id": "rsp-web"}, "servers": listed(0..50)},
            "status": ledger("web", 50..90),
        }),
    );
    learn::<ServerGroupMembership>(
        &ctx,
        &objects,
        "beside",
        &json!({
            "spec": {"serverGroup": {"type": "CLB", "id": "rsp-web"}, "servers": listed(90..99)},
            "status": ledger("beside", 90..99),
        }),
    );
    let [feeds, _] = ["feeds", "too"].map(|name| {
        let groups = match name {
            "feeds" => {
                json!([{"type": "CLB", "id": "rsp-web", "port": 80, "loadBalancerId": "lb-sim"}])
            }
            _ => json!([]),
        };
        let spec = json!({"scalingGroupId": "asg-web", "serverGroups": groups});
        let object = json!({"spec": spec, "status": ledger(name, 0..0)});
        learn::<ScalingGroupAttachment>(&ctx, &objects, name, &object)
    });
    let parsed = |names: &[&str]| -> parses::Parses {
        let each = names.iter().flat_map(|name| {
            [What::Text, What::Status].map(|what| ((what, (*name).to_owned()), 1))
        });
        each.collect()
    };
    let parses = parses_of_each_pass::<ServerGroupMembership>(&ctx, &web).await;
    assert_eq!(parses, parsed(&["web", "beside", "feeds"]));
    let calls = |action| simulator.world().calls(action);
    assert!(calls("AddVServerGroupBackendServers") > 1);
    assert!(calls("RemoveVServerGroupBackendServers") > 1);
    let parses = parses_of_each_pass::<ScalingGroupAttachment>(&ctx, &feeds).await;
    assert_eq!(parses, parsed(&["feeds", "too"]));
    assert_eq!(calls("AttachVServerGroups"), 1);
}

/// Whatever the objects are called and however they stand, each metric has as many series as there are words for that.
#[tokio::test]
async fn ten_thousand_objects_have_no_more_than_two_thousand_series() {
    let objects = Objects::default();
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let ctx = Arc::new(context(&objects, &simulator));
    stands::read_when_asked(&ctx);
    let reasons = Reason::ALL;
    for number in 0..10_000_usize {
        let reason = reasons[number % reasons.len()].name();
        let condition = |kind: &str| {
            json!({"type": kind, "status": "True", "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let kinds = [
            &["Ready"][..],
            &["Ready", "Stalled"],
            &["Ready", "Reconciling"],
        ];
        let conditions: Vec<_> = kinds[number % 3]
            .iter()
            .map(|kind| condition(kind))
            .collect();
        let status = json!({"observedGeneration": 1, "conditions": conditions,
            "members": {"desired": 1, "serving": 1, "joining": 0, "leaving": 0, "foreign": 0, "held": 25},
            "held": [{"server": "i-1:80", "reason": "Parked"}]});
        let object = json!({
            "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "ServerGroupMembership",
            "metadata": {"namespace": format!("team-{}", number % 100), "name": format!("web-{number}"),
                "uid": number.to_string(), "generation": 1, "resourceVersion": "1"},
            "spec": {"accountName": format!("account-{}", number % 50), "regionId": "cn-hangzhou",
                "serverGroup": {"type": "CLB", "id": format!("rsp-{number}")}, "servers": []},
            "status": status,
        });
        let object: ServerGroupMembership = serde_json::from_value(object).unwrap();
        ctx.memberships.learn(object).unwrap();
    }
    let text = ctx.metrics().text();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series <= 2000, "{series}");
    let of_kind = |start: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(start));
        let numbers = lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
        numbers.sum()
    };
    assert!(
        (of_kind("server_group_operator_objects{") - 10_000.0).abs() < 0.5,
        "{text}"
    );
    assert!(
        (of_kind("server_group_operator_held{") - 250_000.0).abs() < 0.5,
        "{text}"
    );
    let changed = json!({
        "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "ServerGroupMembership",
        "metadata": {"namespace": "team-0", "name": "web-0", "uid": "0", "generation": 1, "resourceVersion": "2"},
        "spec": {"regionId": "cn-hangzhou", "serverGroup": {"type": "CLB", "id": "rsp-0"}, "servers": []},
    });
    let changed: ServerGroupMembership = serde_json::from_value(changed).unwrap();
    ctx.memberships.learn(changed.clone()).unwrap();
    let (tally, _) = ctx.memberships.tally();
    assert_eq!(tally.held["Parked"], 9_999);
    assert_eq!(tally.objects.values().sum::<usize>(), 10_000);
    ctx.memberships.forget(&changed).unwrap();
    assert_eq!(
        ctx.memberships.tally().0.objects.values().sum::<usize>(),
        9_999
    );
}
