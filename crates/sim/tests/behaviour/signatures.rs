//! Who may call: signatures of both kinds, clocks, nonces, tokens, methods, versions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    client::{Request, date, exchange},
    cloud::{ALB, Cloud, ESS, GWLB, NLB, SLB, STS, servers},
};

fn identity() -> Request {
    Request::new(STS, "GetCallerIdentity", &json!({}))
}

/// The vectors of the documentation and of the SDKs, signed by this test's client.
#[test]
fn this_client_signs_every_v3_vector_as_the_sdks_do() {
    let vectors = vectors("signature-v3.json");
    let mut ran = 0;
    for vector in vectors["cases"].as_array().unwrap() {
        let headers = vector["headers"].as_object().unwrap();
        let own = [
            "host",
            "x-acs-action",
            "x-acs-version",
            "x-acs-date",
            "x-acs-signature-nonce",
            "x-acs-content-sha256",
            "content-type",
            "x-acs-security-token",
        ];
        // This client has a fixed set of headers and addresses: others cannot be put together with it.
        let fits = headers.keys().all(|name| own.contains(&name.as_str()));
        if !fits || headers["x-acs-version"] == "2014-05-26" {
            continue;
        }
        let text = |name: &str| headers[name].as_str().unwrap().to_owned();
        let request = Request {
            method: vector["method"].as_str().unwrap().into(),
            path: vector["path"].as_str().unwrap().into(),
            action: text("x-acs-action"),
            version: text("x-acs-version"),
            query: pairs(&vector["query"]),
            form: vector["form"].is_object().then(|| pairs(&vector["form"])),
            key: vector["access_key_id"].as_str().unwrap().into(),
            secret: vector["access_key_secret"].as_str().unwrap().into(),
            token: headers
                .get("x-acs-security-token")
                .map(|token| token.as_str().unwrap().into()),
            nonce: text("x-acs-signature-nonce"),
            date: text("x-acs-date"),
        };
        // The host is not an address here, so the canonical text is compared by what follows from it.
        let wire = request.v3_for(&text("host"));
        assert!(
            wire.contains(vector["signature"].as_str().unwrap()),
            "{}",
            vector["id"]
        );
        ran += 1;
    }
    assert!(ran >= 6, "only {ran} vectors ran");
}

fn vectors(file: &str) -> Value {
    let folder = std::env::var("WIRE_VECTORS").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire-vectors").to_owned()
    });
    let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn pairs(object: &Value) -> BTreeMap<String, String> {
    let fields = object.as_object().unwrap().iter();
    fields
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

#[tokio::test]
async fn both_signatures_are_taken_in_query_and_in_form() {
    let cloud = Cloud::with(|world| {
        world.create_group(server_group_sim::world::Product::Gwlb, "sgp-1");
    })
    .await;
    let list = Request::new(
        GWLB,
        "ListServerGroupServers",
        &json!({"ServerGroupId": "sgp-1"}),
    );
    for (number, request) in [identity(), list.clone(), list.into_form()]
        .iter()
        .enumerate()
    {
        let fresh = |kind: &str| Request {
            nonce: format!("{kind}-{number}"),
            ..request.clone()
        };
        for wire in [fresh("v3").v3(cloud.host), fresh("v1").v1(cloud.host)] {
            exchange(cloud.host, &wire).await.unwrap().ok();
        }
    }
}

#[tokio::test]
async fn the_format_of_an_older_signature_is_json_in_any_case() {
    let cloud = Cloud::new().await;
    let asking_for = |format: &str| Request {
        query: [("Format".to_owned(), format.to_owned())].into(),
        ..identity()
    };
    let vectors = vectors("signature-v1.json");
    let recorded = vectors["cases"].as_array().unwrap().iter();
    let recorded = recorded.filter(|vector| vector["signed_by"] == "alibabacloud-tea-openapi");
    let formats = recorded.map(|vector| vector["query"]["Format"].as_str().unwrap());
    for format in formats.chain(["JSON", "Json"]) {
        let wire = asking_for(format).v1(cloud.host);
        exchange(cloud.host, &wire).await.unwrap().ok();
    }
    let xml = exchange(cloud.host, &asking_for("XML").v1(cloud.host)).await;
    assert_eq!(xml.unwrap().refusal(), "400 InvalidParameter");
}

#[tokio::test]
async fn a_region_that_the_older_sdks_add_to_everything_is_wrong_with_the_newer_signature_only() {
    let cloud = Cloud::new().await;
    for (version, action) in [
        (ALB, "ListAsynJobs"),
        (NLB, "ListAsynJobs"),
        (GWLB, "ListServerGroups"),
    ] {
        let call = || Request::new(version, action, &json!({"RegionId": "cn-hangzhou"}));
        let wire = call().v1(cloud.host);
        exchange(cloud.host, &wire).await.unwrap().ok();
        assert_eq!(cloud.notes(), "", "{version}");
        cloud.send(&call()).await.ok();
        let note = "This action has no parameter RegionId.";
        assert_eq!(cloud.notes(), note, "{version}");
    }
}

#[tokio::test]
async fn a_path_before_the_api_is_part_of_the_signature() {
    let cloud = Cloud::new().await;
    let under = Request {
        path: "/sts".into(),
        ..identity()
    };
    cloud.send(&under).await.ok();
    let moved = under.v3(cloud.host).replace("POST /sts?", "POST /other?");
    let answer = exchange(cloud.host, &moved).await.unwrap();
    assert_eq!(answer.refusal(), "400 SignatureDoesNotMatch");
}

#[tokio::test]
async fn wrong_keys_are_refused_by_name() {
    let cloud = Cloud::new().await;
    let secret = Request {
        secret: "guessed".into(),
        ..identity()
    };
    let key = Request {
        key: "nobody".into(),
        ..identity()
    };
    for (request, refusal) in [
        (secret, "400 SignatureDoesNotMatch"),
        (key, "404 InvalidAccessKeyId.NotFound"),
    ] {
        assert_eq!(cloud.send(&request).await.refusal(), refusal);
        let older = exchange(cloud.host, &request.v1(cloud.host)).await.unwrap();
        assert_eq!(older.refusal(), refusal);
    }
    cloud
        .simulator
        .world()
        .keys
        .get_mut("simulated-key")
        .unwrap()
        .inactive = true;
    assert_eq!(
        cloud.send(&identity()).await.refusal(),
        "404 InvalidAccessKeyId.Inactive"
    );
}

#[tokio::test]
async fn what_was_signed_cannot_be_changed() {
    let cloud = Cloud::new().await;
    let call = Request::new(
        GWLB,
        "RemoveServersFromServerGroup",
        &json!({"ServerGroupId": "sgp-1", "Servers": servers(["i-1"], None)}),
    );
    let query = call.v3(cloud.host).replace("i-1", "i-2");
    let body = call
        .clone()
        .into_form()
        .v3(cloud.host)
        .replace("i-1", "i-2");
    let action = call
        .v3(cloud.host)
        .replace("RemoveServersFrom", "AddServersTo");
    let older = call.into_form().v1(cloud.host).replace("i-1", "i-2");
    for wire in [query, body, action, older] {
        let answer = exchange(cloud.host, &wire).await.unwrap();
        assert_eq!(answer.refusal(), "400 SignatureDoesNotMatch", "{wire}");
    }
    let unsigned = identity()
        .v3(cloud.host)
        .replace("authorization:", "x-other:");
    let answer = exchange(cloud.host, &unsigned).await.unwrap();
    assert_eq!(answer.refusal(), "400 IncompleteSignature");
    let extra = identity()
        .v3(cloud.host)
        .replace("authorization:", "x-acs-extra: 1\r\nauthorization:");
    let answer = exchange(cloud.host, &extra).await.unwrap();
    assert_eq!(
        answer.refusal(),
        "400 IncompleteSignature",
        "every x-acs header has to be signed"
    );
}

#[tokio::test]
async fn a_date_may_be_fifteen_minutes_off_and_no_more() {
    let cloud = Cloud::new().await;
    for (seconds, taken) in [(-890, true), (890, true), (-910, false), (910, false)] {
        for signed in [Request::v3, Request::v1] {
            let request = Request {
                date: date(seconds),
                ..identity()
            };
            let answer = exchange(cloud.host, &signed(&request, cloud.host))
                .await
                .unwrap();
            if taken {
                answer.ok();
            } else {
                assert_eq!(answer.refusal(), "400 InvalidTimeStamp.Expired");
            }
        }
    }
    let request = Request {
        date: "yesterday".into(),
        ..identity()
    };
    assert_eq!(
        cloud.send(&request).await.refusal(),
        "400 InvalidTimeStamp.Format"
    );
}

#[tokio::test]
async fn the_servers_clock_can_be_ahead_and_every_answer_tells_its_date() {
    let cloud = Cloud::with(|world| world.clock_ahead = 3600).await;
    let ahead = |told: &str| {
        let told = jiff::fmt::rfc2822::parse(told).unwrap();
        told.timestamp().as_second() - jiff::Timestamp::now().as_second()
    };
    let refused = cloud.send(&identity()).await;
    let told = ahead(&refused.headers["date"]);
    assert!((3590..=3610).contains(&told), "{told}");
    assert_eq!(refused.refusal(), "400 InvalidTimeStamp.Expired");
    let adjusted = Request {
        date: date(3600),
        ..identity()
    };
    let answer = cloud.send(&adjusted).await;
    let told = ahead(&answer.headers["date"]);
    assert!((3590..=3610).contains(&told), "{told}");
    answer.ok();
}

#[tokio::test]
async fn a_nonce_counts_once_for_each_key() {
    let cloud = Cloud::new().await;
    let request = identity();
    cloud.send(&request).await.ok();
    let again = cloud.send(&request).await;
    assert_eq!(again.refusal(), "400 SignatureNonceUsed");
    let older = exchange(cloud.host, &request.v1(cloud.host)).await.unwrap();
    assert_eq!(older.refusal(), "400 SignatureNonceUsed");
}

#[tokio::test]
async fn methods_and_versions_that_are_not_offered_are_told_apart_from_what_is_gone() {
    let cloud = Cloud::new().await;
    let get = |version: &str, action: &str, params: Value| Request {
        method: "GET".into(),
        ..Request::new(version, action, &params)
    };
    let describe = json!({"RegionId": "cn-hangzhou"});
    cloud
        .send(&get(ESS, "DescribeScalingGroups", describe.clone()))
        .await
        .ok();
    let answer = cloud.send(&get(GWLB, "ListServerGroups", json!({}))).await;
    assert_eq!(answer.refusal(), "405 UnsupportedHTTPMethod");
    let answer = cloud
        .call("1999-12-31", "ListServerGroups", json!({}))
        .await;
    assert_eq!(answer.refusal(), "404 InvalidVersion");
    let answer = cloud.call(SLB, "ListServerGroups", json!({})).await;
    assert_eq!(answer.refusal(), "404 InvalidAction.NotFound");
}

#[tokio::test]
async fn parameters_that_an_action_does_not_have_are_passed_over_and_noted() {
    let cloud = Cloud::with(|world| {
        for id in ["asg-1", "asg-2"] {
            world.create_scaling_group(id, []);
        }
    })
    .await;
    // The newer version's name under the older version.
    let plural = cloud
        .ess(
            "DescribeScalingGroups",
            json!({"ScalingGroupIds": ["asg-1"]}),
        )
        .await
        .ok();
    assert_eq!(plural["TotalCount"], 2, "nothing was asked for by name");
    assert_eq!(
        cloud.notes(),
        "This action has no parameter ScalingGroupIds.1."
    );
    let gap = Request {
        query: pairs(
            &json!({"RegionId": "cn-hangzhou", "ScalingGroupId.1": "asg-1", "ScalingGroupId.3": "asg-3"}),
        ),
        ..Request::new(ESS, "DescribeScalingGroups", &json!({}))
    };
    cloud.send(&gap).await.ok();
    assert_eq!(
        cloud.notes(),
        "This action has no parameter ScalingGroupId.3."
    );
    assert_eq!(cloud.simulator.world().violations().count(), 2);
}

#[tokio::test]
async fn who_asks_for_it_has_them_refused() {
    let cloud = Cloud::new().await;
    cloud.be_strict();
    let unknown = cloud
        .ess("DescribeScalingGroups", json!({"Scaling": "asg-1"}))
        .await;
    assert_eq!(unknown.refusal(), "400 UnsupportedParameter");
    assert_eq!(cloud.notes(), "");
    assert_eq!(cloud.simulator.world().violations().count(), 1);
}

#[tokio::test]
async fn the_newer_scaling_api_has_plural_names_and_flat_answers() {
    let cloud = Cloud::with(|world| {
        world.create_scaling_group("asg-1", []);
        world.attach("asg-1", "ALB", "sgp-1", Some(80), Some(50));
    })
    .await;
    let newer = "2022-02-22";
    let params = json!({"RegionId": "cn-hangzhou", "ScalingGroupIds": ["asg-1"]});
    let groups = cloud
        .call(newer, "DescribeScalingGroups", params)
        .await
        .ok();
    assert_eq!(
        groups["ScalingGroups"][0]["ServerGroups"],
        json!([{"ServerGroupId": "sgp-1", "Type": "ALB", "Port": 80, "Weight": 50}])
    );
    let params = json!({"RegionId": "cn-hangzhou", "ScalingGroupId": ["asg-1"]});
    let singular = cloud.call(newer, "DescribeScalingGroups", params).await;
    singular.ok();
    assert!(cloud.notes().contains("ScalingGroupId"));
}
