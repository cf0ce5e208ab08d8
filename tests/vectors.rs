//! Recorded requests of the official SDKs and published signatures, against the code that the operator sends with.
//!
//! They are read from the folder that the variable `WIRE_VECTORS` names, else from `tests/wire-vectors`.

#![expect(
    clippy::unwrap_used,
    reason = "tests may unwrap, and helpers count as tests"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::Value;
use server_group_operator::{
    cloud::{
        Call, Caller, Credential, Effect, Endpoints, Keys, Network, Parameters, Prepared, Service,
        Signature, Transport, TransportConfig,
        sign::{self, V3Request},
    },
    timing::Timing,
};

fn folder() -> PathBuf {
    std::env::var_os("WIRE_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire-vectors"),
        PathBuf::from,
    )
}

fn read(name: &str) -> Value {
    let file = folder().join(name);
    let text =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn parameters(value: &Value) -> Parameters {
    let fields = value.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn every_v1_signature_vector() {
    let vectors = read("signature-v1.json");
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let id = text(case, "id");
        let mut signed = parameters(&case["query"]);
        signed.extend(parameters(&case["form"]));
        assert_eq!(
            sign::encode_all(&signed),
            text(case, "canonicalized_query"),
            "{id}"
        );
        assert_eq!(
            sign::v1_string_to_sign(text(case, "method"), "/", &signed),
            text(case, "string_to_sign"),
            "{id}"
        );
        let signature = sign::v1(
            text(case, "method"),
            "/",
            &signed,
            text(case, "access_key_secret"),
        );
        assert_eq!(signature, text(case, "signature"), "{id}");
    }
    println!("signature-v1.json: {} ran, none left out", cases.len());
    assert!(!cases.is_empty());
}

#[test]
fn every_v3_signature_vector() {
    let vectors = read("signature-v3.json");
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let id = text(case, "id");
        let (query, headers) = (parameters(&case["query"]), parameters(&case["headers"]));
        let payload_hash = sign::hash(text(case, "body").as_bytes());
        let (method, path) = (text(case, "method"), text(case, "path"));
        let request = V3Request {
            method,
            path,
            query: &query,
            headers: &headers,
            payload_hash: &payload_hash,
        };
        assert_eq!(request.canonical(), text(case, "canonical_request"), "{id}");
        assert_eq!(
            request.string_to_sign(),
            text(case, "string_to_sign"),
            "{id}"
        );
        let secret = text(case, "access_key_secret");
        assert_eq!(request.signature(secret), text(case, "signature"), "{id}");
        assert_eq!(
            request.authorization(text(case, "access_key_id"), secret),
            text(case, "authorization"),
            "{id}"
        );
    }
    println!("signature-v3.json: {} ran, none left out", cases.len());
    assert!(!cases.is_empty());
}

/// Recorded requests that are not run, each with its reason.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "credentials/oidc/",
        "the library asks with GET; the operator asks as the SDK does, which sts.json has",
    ),
    (
        "credentials/ram-role-arn/",
        "the library asks with GET and signs with V1; the operator asks as the SDK does, which sts.json has",
    ),
    (
        "credentials/imds/",
        "not signed; compared where the source is, in src/cloud/credential/tests.rs",
    ),
];

/// Current names of ESS lists, and those of the version that the operator speaks.
const OLDER_NAMES: &[(&str, &str)] = &[
    ("ServerGroups", "ServerGroup"),
    ("AlbServerGroups", "AlbServerGroup"),
    ("VServerGroups", "VServerGroup"),
    ("VServerGroupAttributes", "VServerGroupAttribute"),
    ("LoadBalancers", "LoadBalancer"),
    ("LoadBalancerConfigs", "LoadBalancerConfig"),
    ("ScalingGroupIds", "ScalingGroupId"),
    ("ScalingActivityIds", "ScalingActivityId"),
    ("InstanceIds", "InstanceId"),
];

/// The older NLB SDK spells an argument otherwise than the API does; on the wire it is right.
const SDK_SPELLING: (&str, &str) = ("Serverss", "Servers");

#[test]
fn every_recorded_request_vector() {
    let files = [
        ("ess.json", Signature::V3),
        ("slb.json", Signature::V3),
        ("gwlb.json", Signature::V3),
        ("alb.json", Signature::V3),
        ("nlb.json", Signature::V3),
        ("ecs.json", Signature::V3),
        ("sts.json", Signature::V3),
        ("ess-2014-08-28.json", Signature::V1),
        ("slb-classic-sdk.json", Signature::V1),
        ("alb-classic-sdk.json", Signature::V1),
        ("nlb-classic-sdk.json", Signature::V1),
        ("credentials.json", Signature::V3),
    ];
    let (mut ran, mut left_out) = (0, Vec::new());
    for (file, signature) in files {
        let vectors = read(file);
        for case in vectors["cases"].as_array().unwrap() {
            let id = text(case, "id");
            if let Some((_, reason)) = LEFT_OUT.iter().find(|(prefix, _)| id.starts_with(prefix)) {
                left_out.push(format!("{id}: {reason}"));
                continue;
            }
            compare(file, signature, &vectors, case);
            ran += 1;
        }
    }
    println!("recorded requests: {ran} ran, {} left out", left_out.len());
    for line in &left_out {
        println!("  {line}");
    }
    assert_eq!(ran + left_out.len(), 80, "all that was recorded");
}

/// The request as it would go out.
fn built(
    signature: Signature,
    service: Service,
    case: &Value,
) -> (Prepared, Parameters, Parameters) {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let mut arguments = case["input"].clone();
    // The token of a call that nobody signs is no argument: it is all the keys there are.
    let token = arguments
        .as_object_mut()
        .and_then(|fields| fields.remove("OIDCToken"));
    let keys = match token {
        Some(token) => Keys::bearer(token.as_str().unwrap().into()),
        None => Keys {
            id: "id".into(),
            secret: "secret".to_owned().into(),
            token: None,
        },
    };
    let config = TransportConfig {
        signature,
        endpoints: Endpoints::default(),
        timing: Timing::production(),
    };
    let transport = Transport::new(config).unwrap();
    let credential = Credential::fixed(keys.clone());
    let caller = Caller {
        credential,
        region: "cn-hangzhou".into(),
        network: Network::Public,
        account: String::new(),
    };
    // Actions are names in the program; here they come from a file and live as long as the test.
    let action: &'static str = Box::leak(text(case, "action").to_owned().into_boxed_str());
    if let Some(value) = arguments
        .as_object_mut()
        .and_then(|fields| fields.remove(SDK_SPELLING.0))
    {
        arguments[SDK_SPELLING.1] = value;
    }
    let call = Call::new(service, action, Effect::Reads, &arguments);
    let prepared = transport.prepare(&caller, &call, &keys).unwrap();
    let query = decoded(prepared.url.query().unwrap_or_default());
    let form = decoded(prepared.body.as_deref().unwrap_or_default());
    (prepared, query, form)
}

fn decoded(encoded: &str) -> Parameters {
    let pairs = encoded.split('&').filter_map(|pair| pair.split_once('='));
    let plain = |text| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    pairs
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

fn compare(file: &str, signature: Signature, vectors: &Value, case: &Value) {
    let id = text(case, "id");
    let product = file.split(['.', '-']).next().unwrap();
    let service = Service::ALL
        .into_iter()
        .find(|service| service.name() == product)
        .unwrap();
    let (prepared, mut query, form) = built(signature, service, case);
    let request = &case["request"];
    let (mut expected, expected_form) =
        (parameters(&request["query"]), parameters(&request["form"]));
    if file == "ess.json" {
        expected = expected
            .into_iter()
            .map(|(name, value)| (in_older_names(&name), value))
            .collect();
    }
    let names = |value: &Value| -> BTreeSet<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let mut ignored = names(&vectors["volatile"]["query"]);
    ignored.extend(names(&vectors["common_query"]));
    if signature == Signature::V1 {
        ignored.extend(
            [
                "Action",
                "Format",
                "RegionId",
                "Version",
                "SignatureMethod",
                "SignatureVersion",
                "SignatureType",
            ]
            .map(String::from),
        );
        // The older SDKs put everything into the query; where it travels is compared with the current ones.
        query.extend(form.clone());
        expected.extend(expected_form.clone());
    } else {
        assert_eq!(
            comparable(&form),
            comparable(&expected_form),
            "form of {id}"
        );
        for (name, value) in parameters(&request["headers"]) {
            let version = name == "x-acs-version" && service == Service::Ess;
            if !version {
                assert_eq!(
                    prepared.headers.get(&name),
                    Some(&value),
                    "header {name} of {id}"
                );
            }
        }
        assert_eq!(
            prepared.body.is_some(),
            !request["form"].is_null(),
            "body of {id}"
        );
    }
    query.retain(|name, _| !ignored.contains(name));
    expected.retain(|name, _| !ignored.contains(name));
    assert_eq!(comparable(&query), comparable(&expected), "query of {id}");
    assert_eq!(
        (text(request, "method"), text(request, "path")),
        ("POST", prepared.url.path()),
        "{id}"
    );
}

fn in_older_names(name: &str) -> String {
    let older = |part: &str| {
        OLDER_NAMES
            .iter()
            .find(|(new, _)| *new == part)
            .map_or(part.to_owned(), |(_, old)| (*old).to_owned())
    };
    name.split('.').map(older).collect::<Vec<_>>().join(".")
}

/// JSON in a parameter is compared as JSON, numbers equal to their strings.
fn comparable(parameters: &Parameters) -> BTreeMap<String, Value> {
    let one = |(name, value): (&String, &String)| {
        let json = name
            .ends_with("BackendServers")
            .then(|| serde_json::from_str(value).ok())
            .flatten();
        (
            name.clone(),
            json.map_or_else(|| Value::String(value.clone()), numbers_as_text),
        )
    };
    parameters.iter().map(one).collect()
}

fn numbers_as_text(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Array(items) => Value::Array(items.into_iter().map(numbers_as_text).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name, numbers_as_text(value)))
                .collect(),
        ),
        other => other,
    }
}
