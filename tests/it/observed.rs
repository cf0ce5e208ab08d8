//! What an operator tells of itself: metrics, log and readiness.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
};

use control_plane::{ControlPlane, Options};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, api::DeleteParams};
use serde_json::json;
use server_group_operator::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    metrics::Metrics,
};
use server_group_sim::{
    fault::{Fault, What},
    world::Product,
};

use crate::stage::{
    Rights, Stage, eventually, install, instance, instances, logs::Log, secrets, timing,
};

type Membership = ServerGroupMembership;

/// Head and body of an answer.
async fn get(address: &str, path: &str) -> (String, String) {
    let (address, path) = (address.to_owned(), path.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = asked.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The samples of an answer, by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, number) = line.rsplit_once(' ')?;
        let series = series.strip_prefix("server_group_operator_")?;
        Some((series.to_owned(), number.parse().unwrap()))
    };
    lines.filter_map(sample).collect()
}

async fn scrape(address: &str) -> BTreeMap<String, f64> {
    let (head, body) = get(address, "/metrics").await;
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    secrets::search(body.as_bytes());
    samples(&body)
}

/// A changing call: action, members, and the id of the answer, if there was one, and whether it said yes.
type Called = (String, usize, Option<(String, bool)>);

/// What the log says, group by group.
fn told(log: &Log, namespace: &str) -> BTreeMap<String, Vec<Called>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for line in log.about(namespace) {
        let Some(action) = line["action"].as_str() else {
            continue;
        };
        assert!(line["generation"].as_i64() > Some(0), "{line}");
        assert!(line["milliseconds"].is_u64(), "{line}");
        assert!(line["kind"].is_string(), "{line}");
        let accepted = line["message"] == "the cloud accepted a change";
        let request = line["request_id"].as_str();
        let members = usize::try_from(line["members"].as_u64().unwrap()).unwrap();
        let named = line["names"].as_str().unwrap().split(", ").count();
        assert_eq!(named, members, "all that the call names: {line}");
        let group = line["group"].as_str().unwrap().rsplit('/').next().unwrap();
        let calls = groups.entry(group.to_owned()).or_default();
        let answer = request.map(|request| (request.to_owned(), accepted));
        calls.push((action.to_owned(), members, answer));
    }
    groups
}

/// What happened, group by group.
fn happened(stage: &Stage) -> BTreeMap<String, Vec<Called>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    let world = stage.simulator.world();
    for call in world.changing_calls() {
        let lost = call.fault.is_some() && call.acted;
        let answer = (!lost).then(|| (call.request_id.clone(), call.acted));
        let calls = groups.entry(call.resource.clone()).or_default();
        calls.push((call.action.clone(), call.names.len(), answer));
    }
    groups
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_run_tells_the_history_of_the_cloud() {
    let log = Log::of_process();
    let stage = Stage::new("history").await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-web");
        world.create_group(Product::Alb, "sgp-alb-web");
        world.create_group(Product::Alb, "sgp-alb-grown");
        world.create_scaling_group("asg-web", (0..3).map(instance));
        let refused = What::Refuse {
            status: 400,
            code: "OperationDenied.Busy".to_owned(),
        };
        let refused = Fault::on("RemoveVServerGroupBackendServers", refused);
        let lost = Fault::on("AddServersToServerGroup", What::LoseAnswerAfter);
        world.faults.extend([refused, lost]);
    }
    let servers = |count| instances(0, count, Some(80));
    let nothing = || json!({});
    stage
        .membership("web", "rsp-web", &servers(45), nothing())
        .await;
    stage
        .membership("alb", "sgp-alb-web", &servers(3), nothing())
        .await;
    let group = json!({"type": "ALB", "id": "sgp-alb-grown", "port": 80, "weight": 50});
    stage
        .attachment("grows", "asg-web", &[group], nothing())
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.reason::<Membership>("alb", "Converged").await;
    stage
        .reason::<ScalingGroupAttachment>("grows", "Converged")
        .await;
    stage
        .membership("web", "rsp-web", &servers(40), nothing())
        .await;
    let fewer = async || (stage.simulator.world().serving("rsp-web") == 40).then_some(());
    stage.eventually("five have left", fewer).await;
    stage.reason::<Membership>("web", "Converged").await;
    let (happened, told) = (happened(&stage), told(&log, &stage.namespace));
    assert_eq!(told, happened);
    let all: Vec<_> = told.values().flatten().collect();
    assert!(all.iter().any(|(.., answer)| answer.is_none()), "{all:?}");
    let refused = |call: &&&Called| call.2.as_ref().is_some_and(|(_, accepted)| !accepted);
    assert!(all.iter().any(|call| refused(&call)), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_stalls_or_recovers_is_logged_once() {
    let log = Log::of_process();
    let stage = Stage::new("stalls-logged").await;
    stage
        .membership("web", "rsp-late", &instances(0, 2, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "GroupNotFound").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-late");
    stage.look_now::<Membership>("web").await;
    stage.reason::<Membership>("web", "Converged").await;
    let lines = log.about(&stage.namespace);
    let turns = lines.iter().filter(|line| line["action"].is_null());
    let turns: Vec<_> = turns
        .map(|line| {
            let message = line["message"].as_str().unwrap().split(':').next();
            (
                line["level"].as_str().unwrap(),
                message.unwrap(),
                line["reason"].as_str(),
            )
        })
        .filter(|(_, message, _)| ["stalled", "recovered"].contains(message))
        .collect();
    assert_eq!(turns.len(), 2, "{lines:#?}");
    assert_eq!(turns[0], ("WARN", "stalled", Some("GroupNotFound")));
    assert_eq!((turns[1].0, turns[1].1), ("INFO", "recovered"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_happened_and_how_things_stand() {
    let mut stage = Stage::without_operator("metrics").await;
    let address = stage.serves();
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-web");
        let throttled = Fault::on("AddVServerGroupBackendServers", What::Throttle);
        world.faults.push(throttled);
    }
    stage
        .membership("web", "rsp-web", &instances(0, 45, Some(80)), json!({}))
        .await;
    stage
        .membership("lost", "rsp-lost", &instances(0, 2, Some(80)), json!({}))
        .await;
    stage.start();
    stage.reason::<Membership>("web", "Converged").await;
    stage.reason::<Membership>("lost", "GroupNotFound").await;
    let told = scrape(&address).await;
    let is = |series: &str| told.get(series).copied();
    let add = "product=\"slb\",action=\"AddVServerGroupBackendServers\"";
    assert_eq!(
        is(&format!("cloud_calls_total{{{add},outcome=\"ok\"}}")),
        Some(3.0),
        "{told:#?}"
    );
    assert_eq!(
        is(&format!("cloud_calls_total{{{add},outcome=\"throttled\"}}")),
        Some(1.0)
    );
    assert_eq!(
        is(&format!("cloud_call_duration_seconds_count{{{add}}}")),
        Some(4.0)
    );
    let share = is(&format!("cloud_rate_share_ratio{{{add}}}"));
    assert!(share.is_some_and(|share| share <= 0.9), "{told:#?}");
    let kind = "kind=\"ServerGroupMembership\"";
    assert_eq!(
        is(&format!(
            "changes_accepted_total{{{kind},change=\"Added\"}}"
        )),
        Some(45.0)
    );
    assert_eq!(
        is(&format!(
            "objects{{{kind},situation=\"Ready\",reason=\"Converged\"}}"
        )),
        Some(1.0)
    );
    assert_eq!(
        is(&format!(
            "objects{{{kind},situation=\"Stalled\",reason=\"GroupNotFound\"}}"
        )),
        Some(1.0)
    );
    assert!(is(&format!("reconciles_total{{{kind},verdict=\"Converged\"}}")) >= Some(1.0));
    assert_eq!(is("leading"), Some(1.0));
    assert_eq!(is(&format!("watch_failing_seconds{{{kind}}}")), Some(0.0));
    assert_eq!(is(&format!("drift_found_total{{{kind}}}")), None);
    assert!(told.len() < 2000, "{}", told.len());
    let described: BTreeSet<_> = Metrics::default()
        .described()
        .iter()
        .map(|metric| {
            let name = metric.name.strip_prefix("server_group_operator_");
            name.unwrap().to_owned()
        })
        .collect();
    for series in told.keys() {
        let name = series.split('{').next().unwrap();
        let of_histogram = ["_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end));
        let names = of_histogram.into_iter().flatten().chain([name]);
        let known: Vec<_> = names.filter(|name| described.contains(*name)).collect();
        assert_eq!(known.len(), 1, "{series}");
        let word = stage.namespace.as_str();
        assert!(
            !series.contains(word) && !series.contains("rsp-"),
            "{series}"
        );
    }
    for gone in (0..3).map(instance) {
        stage.simulator.world().delete_member("rsp-web", &gone);
    }
    stage.look_now::<Membership>("web").await;
    let drift = format!("drift_found_total{{{kind}}}");
    let found = || async {
        let told = scrape(&address).await;
        (told.get(&drift) == Some(&1.0)).then_some(())
    };
    eventually("drift is found", found).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_deleted_makes_the_replica_unready_until_it_is_back() {
    let log = Log::of_process();
    let bare = ControlPlane::start(&Options::default()).await.unwrap();
    let bare: &'static ControlPlane = Box::leak(Box::new(bare));
    install(bare).await;
    let namespace = bare.namespace("unready").await.unwrap();
    let mut stage = Stage::at(bare, namespace.clone(), namespace, Rights::Here).await;
    let address = stage.serves();
    stage.start_with(stage.operator_client(), timing());
    let answers = |code: &'static str| {
        let address = address.clone();
        move || {
            let address = address.clone();
            async move {
                let (head, body) = get(&address, "/readyz").await;
                head.contains(code).then_some(body)
            }
        }
    };
    eventually("it is ready", answers(" 200 ")).await;
    let definitions = Api::<CustomResourceDefinition>::all(stage.client.clone());
    let name = "scalinggroupattachments.servergroup.alicloud.dev";
    definitions
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
    let body = eventually("it is unready", answers(" 503 ")).await;
    assert!(
        body.contains("the watch of ScalingGroupAttachment has failed"),
        "{body}"
    );
    assert!(get(&address, "/healthz").await.0.contains(" 200 "));
    let told = scrape(&address).await;
    let failing = |kind: &str| told[&format!("watch_failing_seconds{{kind=\"{kind}\"}}")];
    assert!(failing("ScalingGroupAttachment") > 0.0, "{told:#?}");
    assert!(failing("CloudAccount") <= 0.0, "{told:#?}");
    install(bare).await;
    eventually("it is ready again", answers(" 200 ")).await;
    let lines = log.lines();
    for (level, words) in [
        ("ERROR", "a watch has failed"),
        ("INFO", "a watch works again"),
    ] {
        let told = lines.iter().filter(|line| {
            let message = line["message"].as_str().unwrap();
            line["level"] == level && message.starts_with(words)
        });
        let kinds: Vec<_> = told.map(|line| line["kind"].clone()).collect();
        // Other tests take rights away meanwhile.
        assert!(
            kinds.contains(&"ScalingGroupAttachment".into()),
            "{words}: {kinds:?}"
        );
    }
}
