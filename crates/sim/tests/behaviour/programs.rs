//! The requests that unmodified programs send: the cloud takes them, and so does the simulator.
//!
//! Each stands in `tests/programs` with the world that its program finds, what was there besides, and what came of it.

use std::collections::BTreeMap;

use serde_json::Value;
use server_group_sim::world::{Activity, Ending, Job, Product};

use crate::{
    admin::deeds,
    client::{Request, exchange},
    cloud::Cloud,
};

/// The ids of a job and of a scaling activity that requests name.
const JOB: &str = "job-000094-9499D4D4";
const ACTIVITY: &str = "asa-000003-F31A4686";

#[tokio::test]
async fn the_cloud_controller_manager_is_answered() {
    assert_eq!(play("cloud-controller-manager").await, 26);
}

#[tokio::test]
async fn the_terraform_provider_is_answered() {
    assert_eq!(play("terraform-provider").await, 34);
}

/// Sends all requests of a program, each to a world of its own; returns how many there were.
async fn play(program: &str) -> usize {
    let path = format!(
        "{}/tests/programs/{program}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let requests = recorded["requests"].as_array().unwrap();
    for request in requests {
        let cloud = Cloud::new().await;
        for given in [&recorded["world"], &request["given"]] {
            if given.is_array() {
                assert_eq!(deeds(&cloud, given.clone()).await.text, "done\n");
            }
        }
        make_job_and_activity(&cloud);
        for earlier in request["after"].as_array().into_iter().flatten() {
            let earlier = requests.iter().find(|other| other["action"] == *earlier);
            send(&cloud, earlier.unwrap()).await;
        }
        let body = send(&cloud, request).await;
        compare(&cloud, request, &body);
    }
    requests.len()
}

async fn send(cloud: &Cloud, recorded: &Value) -> Value {
    let text = |name: &str| recorded[name].as_str().unwrap();
    let parameters = recorded["parameters"].as_object().unwrap().iter();
    let request = Request {
        query: parameters
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        ..Request::new(text("version"), text("action"), &Value::Null)
    };
    let wire = match text("signature") {
        "V1" => request.v1(cloud.host),
        _ => request.v3(cloud.host),
    };
    let answer = exchange(cloud.host, &wire).await.unwrap();
    assert_eq!(answer.status, 200, "{recorded:#}: {}", answer.text);
    answer.body()
}

/// Holds what the request says came of it against what did.
fn compare(cloud: &Cloud, request: &Value, body: &Value) {
    let noted = request["notes"].as_array().into_iter().flatten();
    let noted: Vec<_> = noted.map(|note| note.as_str().unwrap()).collect();
    let notes = cloud.simulator.world().audit.last().unwrap().notes.clone();
    assert_eq!(notes, noted, "{request:#}");
    let each = |name: &str| request[name].as_object().cloned().unwrap_or_default();
    for (place, value) in each("shows") {
        assert_eq!(body.pointer(&place), Some(&value), "{place} of {body:#}");
    }
    if let Some(seconds) = request["seconds"].as_f64() {
        cloud.pass(seconds);
    }
    let world = cloud.simulator.world();
    for (group, count) in each("serving") {
        assert_eq!(world.serving(&group), count, "{request:#}");
    }
    for (group, names) in each("attached") {
        let attached = world.scaling_groups[&group].attachments.iter().map(|had| {
            let port = had.port.map(|port| format!(":{port}"));
            format!("{}/{}{}", had.kind, had.group, port.unwrap_or_default())
        });
        assert_eq!(names, attached.collect::<Value>(), "{request:#}");
    }
}

fn make_job_and_activity(cloud: &Cloud) {
    let mut world = cloud.simulator.world();
    let job = Job {
        product: Product::Nlb,
        status: "Processing".into(),
        until: f64::INFINITY,
        group: "sgp-n1".into(),
        action: "AddServersToServerGroup".into(),
        fails: false,
        before: BTreeMap::new(),
    };
    world.jobs.insert(JOB.into(), job);
    let activity = Activity {
        group: "asg-1".into(),
        status: "Successful".into(),
        until: 0.0,
        end: Ending::Successful,
        moves: Vec::new(),
    };
    world.activities.insert(ACTIVITY.into(), activity);
}
