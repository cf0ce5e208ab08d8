//! The requests that the vendor's SDKs put on the wire, in both generations: the simulator knows every parameter of theirs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    client::{Request, exchange},
    cloud::Cloud,
};

/// Actions that nothing here has a use for.
const LEFT_OUT: [(&str, &str); 7] = [
    (
        "DescribeScalingActivityDetail",
        "it has no status, so nobody polls it",
    ),
    (
        "DescribeScalingGroupDetail",
        "it shows one group as DescribeScalingGroups does",
    ),
    (
        "EnterStandby",
        "the operator changes no instance of a scaling group",
    ),
    (
        "ExitStandby",
        "the operator changes no instance of a scaling group",
    ),
    (
        "SetInstancesProtection",
        "the operator changes no instance of a scaling group",
    ),
    ("SendSms", "of a service that is not simulated"),
    ("DescribeRegions", "of no use to a server group"),
];

/// Requests with descriptions that CLB does not take: an SDK sends whatever it is given.
const NOT_TAKEN: [&str; 2] = [
    "slb/AddVServerGroupBackendServers/two-with-description",
    "slb/AddVServerGroupBackendServers/unicode-description",
];

#[tokio::test]
async fn every_recorded_request_is_understood() {
    let cloud = Cloud::new().await;
    cloud.be_strict();
    let folder = std::env::var("WIRE_VECTORS").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire-vectors").to_owned()
    });
    let (mut ran, mut left_out) = (0, Vec::new());
    for file in [
        "alb",
        "alb-classic-sdk",
        "ecs",
        "ess",
        "ess-2014-08-28",
        "gwlb",
        "nlb",
        "nlb-classic-sdk",
        "slb",
        "slb-classic-sdk",
        "sts",
    ] {
        let text = std::fs::read_to_string(format!("{folder}/{file}.json")).unwrap();
        let recorded: Value = serde_json::from_str(&text).unwrap();
        let version = recorded["version"].as_str().unwrap();
        for case in recorded["cases"].as_array().unwrap() {
            let action = case["action"].as_str().unwrap();
            let reason = LEFT_OUT.iter().find(|(name, _)| *name == action);
            if let Some((_, reason)) = reason {
                left_out.push(format!("{}: {reason}", case["id"].as_str().unwrap()));
                continue;
            }
            let mut request = Request {
                query: pairs(&case["request"]["query"]),
                form: case["request"]["form"]
                    .is_object()
                    .then(|| pairs(&case["request"]["form"])),
                ..Request::new(version, action, &Value::Null)
            };
            // Only the server can say what a token for the next page looks like.
            for params in [Some(&mut request.query), request.form.as_mut()]
                .into_iter()
                .flatten()
            {
                params
                    .entry("NextToken".into())
                    .and_modify(|token| "page-0".clone_into(token));
            }
            // The older generation adds a region to everything, and its kind of signature tells that it is older.
            let wire = if recorded["signature"].as_str().unwrap().starts_with("V1") {
                request.v1(cloud.host)
            } else {
                request.v3(cloud.host)
            };
            let answer = exchange(cloud.host, &wire).await.unwrap();
            // Most groups do not exist here; what matters is that nothing about the request itself is found wrong.
            let code = match answer.status {
                200 => String::new(),
                _ => answer.body()["Code"].as_str().unwrap().to_owned(),
            };
            let id = case["id"].as_str().unwrap();
            if NOT_TAKEN.contains(&id) {
                assert_eq!(code, "BackendServersMalformed", "{id}");
                continue;
            }
            let wrong = [
                "Unsupported",
                "Missing",
                "Illegal",
                "Malformed",
                "InvalidAction",
                "InvalidVersion",
            ];
            assert!(
                !wrong.iter().any(|part| code.contains(part)),
                "{id}: {}",
                answer.text
            );
            ran += 1;
        }
    }
    println!(
        "{ran} recorded requests ran, {} left out: {left_out:?}",
        left_out.len()
    );
    // One that is added or gets lost changes this line.
    assert_eq!((ran, left_out.len()), (66, 5));
}

/// Without what belongs to the signature: this test's client signs anew.
fn pairs(object: &Value) -> BTreeMap<String, String> {
    let common = [
        "AccessKeyId",
        "Action",
        "Format",
        "Signature",
        "SignatureMethod",
        "SignatureNonce",
        "SignatureType",
        "SignatureVersion",
        "Timestamp",
        "Version",
    ];
    let fields = object.as_object().unwrap().iter();
    fields
        .filter(|(name, _)| !common.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}
