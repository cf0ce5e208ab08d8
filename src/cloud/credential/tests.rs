use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture, future::join_all};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use reqwest::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::{
    chance::Chance,
    cloud::{Cloud, NoAnswer, Signature, TransportConfig, Wire},
    timing::Timing,
};

const ROLE: &str = "acs:ram::1:role/operator";

/// The answer of a far side to the n-th request, from 0: status and text.
type Script = dyn Fn(usize, &Request) -> (u16, String) + Send + Sync;

/// A wire whose far side takes a second for each answer, and remembers what it was asked.
#[derive(Clone)]
struct FarSide {
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl FarSide {
    fn new(script: impl Fn(usize, &Request) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            asked: Arc::default(),
        }
    }

    /// Gives keys that last an hour, numbered.
    fn giving() -> Self {
        Self::new(|number, _| given(number))
    }

    fn transport(&self, seed: u64) -> Transport {
        let started = Instant::now();
        let timing = Timing::production()
            .with_chance(Chance::seeded(seed))
            .with_wall_clock(move || date(started.elapsed()));
        let config = TransportConfig {
            signature: Signature::V3,
            endpoints: "*=http://cloud.local".parse().unwrap(),
            timing,
        };
        Transport::over(Arc::new(self.clone()), config)
    }

    fn requests(&self) -> usize {
        self.asked.lock().len()
    }
}

impl Wire for FarSide {
    fn exchange(&self, request: Request) -> BoxFuture<'static, Result<Response, NoAnswer>> {
        let mut asked = self.asked.lock();
        let (status, text) = (self.script)(asked.len(), &request);
        asked.push(request);
        async move {
            sleep(Duration::from_secs(1)).await;
            let answer = axum::http::Response::builder().status(status);
            Ok(answer.body(text).unwrap().into())
        }
        .boxed()
    }
}

fn date(since: Duration) -> Timestamp {
    let begun: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    begun + SignedDuration::try_from(since).unwrap()
}

fn fields(number: usize, expires: Timestamp) -> Value {
    json!({
        "AccessKeyId": format!("STS.{number}"), "AccessKeySecret": "secret", "SecurityToken": "token",
        "Expiration": expires.to_string(),
    })
}

/// Keys that were asked for at once, and last an hour from the beginning; later ones last longer.
fn given(number: usize) -> (u16, String) {
    let hours = u32::try_from(number + 1).unwrap();
    let expires = date(Duration::from_hours(1) * hours);
    let answer = json!({"RequestId": "r", "Credentials": fields(number, expires)});
    (200, answer.to_string())
}

fn refusal(code: &str) -> (u16, String) {
    let answer = json!({"RequestId": "r", "Code": code, "Message": "no"});
    (400, answer.to_string())
}

fn place() -> Place {
    Place {
        region: "cn-hangzhou".into(),
        network: Network::Public,
    }
}

fn lasting(id: &str) -> Keys {
    Keys {
        id: id.into(),
        secret: "secret".into(),
        token: None,
    }
}

fn role() -> Role {
    Role {
        role_arn: ROLE.into(),
        external_id: None,
        session_name: None,
        duration_seconds: None,
        policy: None,
    }
}

fn assuming(transport: &Transport) -> Credential {
    Credential::fixed(lasting("key")).assuming(role(), transport, place())
}

async fn id(credential: &Credential) -> Result<String, Unavailable> {
    credential.keys().await.map(|keys| keys.id)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_who_need_keys_at_once_ask_once() {
    let far = FarSide::giving();
    let credential = assuming(&far.transport(1));
    let all = join_all((0..100).map(|_| id(&credential))).await;
    assert!(all.iter().all(|id| id.as_deref() == Ok("STS.0")));
    assert_eq!(far.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_are_renewed_early_each_source_at_another_moment_and_nobody_waits() {
    let mut renewed = std::collections::BTreeSet::new();
    for seed in 0..10 {
        let far = FarSide::giving();
        let credential = assuming(&far.transport(seed));
        let begun = Instant::now();
        id(&credential).await.unwrap();
        while far.requests() == 1 {
            advance(Duration::from_secs(10)).await;
            let asked = Instant::now();
            assert_eq!(id(&credential).await.unwrap(), "STS.0");
            assert_eq!(asked.elapsed(), Duration::ZERO);
            tokio::task::yield_now().await;
        }
        let after = begun.elapsed();
        assert!((39..=46).contains(&(after.as_secs() / 60)), "{after:?}");
        renewed.insert(after);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(id(&credential).await.unwrap(), "STS.1");
    }
    assert!(renewed.len() > 3, "{renewed:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_renewed_are_used_while_they_last_and_then_it_is_said_why() {
    let far = FarSide::new(|number, _| match number {
        0 => given(0),
        _ => refusal("NoPermission"),
    });
    let credential = assuming(&far.transport(1));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_mins(58) {
        assert_eq!(id(&credential).await.unwrap(), "STS.0");
        sleep(Duration::from_secs(1)).await;
    }
    assert!((2..20).contains(&far.requests()), "{}", far.requests());
    sleep(Duration::from_mins(2)).await;
    let error = id(&credential).await.unwrap_err();
    assert_eq!(error.kind, Kind::Credentials);
    for part in ["NoPermission", ROLE, "sts:AssumeRole"] {
        assert!(error.message.contains(part), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_once_a_backoff_and_found_when_it_works_again() {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let far = FarSide::new(move |number, _| match is_broken.load(Ordering::SeqCst) {
        true => refusal("NoPermission"),
        false => given(number),
    });
    let credential = assuming(&far.transport(1));
    for _ in 0..600 {
        let all = join_all((0..10).map(|_| id(&credential))).await;
        assert!(all.iter().all(Result::is_err));
        sleep(Duration::from_secs(1)).await;
    }
    assert!((4..15).contains(&far.requests()), "{}", far.requests());
    broken.store(false, Ordering::SeqCst);
    sleep(Duration::from_mins(5)).await;
    id(&credential).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keys_that_the_cloud_does_not_take_any_longer_are_replaced_and_new_ones_not_for_ever() {
    let far = FarSide::new(|number, request| match action(request) {
        "AssumeRole" => given(number + 10),
        _ => refusal("InvalidSecurityToken.Expired"),
    });
    let transport = far.transport(1);
    let credential = assuming(&transport);
    let cloud = Cloud::new(&transport, credential, "cn-hangzhou", Network::Public);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_mins(10) {
        cloud.get_caller_identity().await.unwrap_err();
        sleep(Duration::from_secs(1)).await;
    }
    let asked = far.asked.lock();
    let asked = asked.iter().filter(|asked| action(asked) == "AssumeRole");
    assert!((4..15).contains(&asked.count()));
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_used_for_long_and_are_revoked_are_replaced_within_the_call() {
    let far = FarSide::new(|number, request| {
        let key = request.headers().get("x-acs-accesskey-id");
        match action(request) {
            "AssumeRole" => given(number),
            _ if number > 2 && key.is_some_and(|key| key == "STS.0") => {
                refusal("InvalidSecurityToken.Expired")
            }
            _ => (200, json!({"AccountId": "1"}).to_string()),
        }
    });
    let transport = far.transport(1);
    let credential = assuming(&transport);
    let cloud = Cloud::new(&transport, credential, "cn-hangzhou", Network::Public);
    cloud.get_caller_identity().await.unwrap();
    sleep(Duration::from_mins(20)).await;
    cloud.get_caller_identity().await.unwrap();
    cloud.get_caller_identity().await.unwrap();
    let asked: Vec<_> = far.asked.lock().iter().map(action_of).collect();
    let identity = "GetCallerIdentity";
    assert_eq!(
        asked,
        [
            "AssumeRole",
            identity,
            identity,
            identity,
            "AssumeRole",
            identity
        ]
    );
}

fn action(request: &Request) -> &str {
    let action = request.headers().get("x-acs-action");
    action.map_or("", |action| action.to_str().unwrap())
}

fn action_of(request: &Request) -> String {
    action(request).to_owned()
}

/// A Secret that somebody changes, and how often it was read.
fn secret(
    held: &Arc<Mutex<Result<Keys, Unavailable>>>,
) -> (Credential, Arc<AtomicUsize>, Transport) {
    let reads = Arc::new(AtomicUsize::new(0));
    let (held, counted) = (Arc::clone(held), Arc::clone(&reads));
    let read: ReadSecret = Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let held = held.lock().clone();
        async move { held }.boxed()
    });
    let transport = FarSide::giving().transport(1);
    (Credential::secret(read, &transport), reads, transport)
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_read_once_for_all_and_a_rotated_one_is_found_within_seconds() {
    let held = Arc::new(Mutex::new(Ok(lasting("one"))));
    let (credential, reads, transport) = secret(&held);
    for _ in 0..100 {
        assert_eq!(id(&credential).await.unwrap(), "one");
    }
    assert_eq!(reads.load(Ordering::SeqCst), 1);
    *held.lock() = Ok(lasting("two"));
    advance(transport.timing().keys_age_max).await;
    assert_eq!(id(&credential).await.unwrap(), "two");
    // Keys that the cloud does not take are read again at once.
    let two = credential.keys().await.ok().unwrap();
    *held.lock() = Ok(lasting("three"));
    assert!(credential.refused(&two));
    assert_eq!(id(&credential).await.unwrap(), "three");
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_a_deleted_secret_are_not_used_on_and_those_of_one_out_of_reach_are() {
    let held = Arc::new(Mutex::new(Ok(lasting("one"))));
    let (credential, _, transport) = secret(&held);
    id(&credential).await.unwrap();
    *held.lock() = Err(Unavailable::passing("no answer"));
    for _ in 0..10 {
        advance(transport.timing().keys_age_max).await;
        assert_eq!(id(&credential).await.unwrap(), "one");
    }
    *held.lock() = Err(Unavailable::because("it is gone"));
    advance(transport.timing().keys_age_max).await;
    assert_eq!(id(&credential).await.unwrap_err().message, "it is gone");
    *held.lock() = Ok(lasting("two"));
    advance(transport.timing().keys_age_max).await;
    assert_eq!(id(&credential).await.unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_pinned_stay_whatever_the_source_has() {
    let held = Arc::new(Mutex::new(Ok(lasting("one"))));
    let (credential, _, transport) = secret(&held);
    let pinned = credential.pinned().await.unwrap();
    *held.lock() = Ok(lasting("two"));
    advance(transport.timing().keys_age_max).await;
    assert_eq!(id(&credential).await.unwrap(), "two");
    assert_eq!(id(&pinned).await.unwrap(), "one");
    let one = pinned.keys().await.ok().unwrap();
    assert!(!pinned.refused(&one), "it has no others");
}

#[tokio::test(start_paused = true)]
async fn the_metadata_service_is_asked_as_recorded() {
    let far = FarSide::new(|_, request| {
        let text = match request.url().path() {
            "/latest/api/token" => "AQAAAMetadataToken==".to_owned(),
            path if path.ends_with('/') => "op-worker-role".to_owned(),
            _ => {
                let mut answer = fields(0, date(Duration::from_hours(6)));
                answer["Code"] = json!("Success");
                answer.to_string()
            }
        };
        (200, text)
    });
    let credential = Credential::instance_role(InstanceRole::default(), &far.transport(1));
    assert_eq!(id(&credential).await.unwrap(), "STS.0");
    let recorded = include_str!("../../../tests/wire-vectors/credentials.json");
    let recorded: Value = serde_json::from_str(recorded).unwrap();
    let cases = recorded["cases"].as_array().unwrap().iter();
    let steps = cases.filter(|case| {
        case["id"]
            .as_str()
            .unwrap()
            .contains("/imds/discover-role/")
    });
    let steps: Vec<_> = steps.map(|case| case["request"].clone()).collect();
    let asked = far.asked.lock();
    let asked = asked.iter().map(|request| {
        let headers = request.headers().iter();
        let headers: BTreeMap<_, _> = headers
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert!(request.url().query().is_none() && request.body().is_none());
        json!({
            "method": request.method().as_str(), "path": request.url().path(), "query": {}, "form": null,
            "headers": headers,
        })
    });
    assert_eq!(asked.collect::<Vec<_>>(), steps);
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_role_or_service_says_what_to_do() {
    for (token, role, named, kind) in [
        ((403, "no"), (200, ""), "turn it on", Kind::Credentials),
        ((500, "no"), (200, ""), "oddly", Kind::Transient),
        ((200, "t"), (404, ""), "no RAM role", Kind::Credentials),
        ((200, "t"), (200, ""), "no RAM role", Kind::Credentials),
        ((200, "t"), (200, "../x"), "oddly", Kind::Transient),
        (
            (200, "t"),
            (200, "gone"),
            "no role \"gone\"",
            Kind::Credentials,
        ),
    ] {
        let far = FarSide::new(move |_, request| {
            let path = request.url().path();
            let (status, text) = match request.method() == Method::PUT {
                true => token,
                false if path.ends_with('/') => role,
                false => (404, ""),
            };
            (status, text.to_owned())
        });
        let credential = Credential::instance_role(InstanceRole::default(), &far.transport(1));
        let error = id(&credential).await.unwrap_err();
        assert!(error.message.contains(named), "{error}");
        assert_eq!(error.kind, kind, "{error}");
    }
}

fn rrsa(token: &Arc<Mutex<&'static str>>) -> Environment {
    let token = Arc::clone(token);
    Environment::new(|name| match name {
        "ALIBABA_CLOUD_ROLE_ARN" => Some(ROLE.into()),
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN" => Some("acs:ram::1:oidc-provider/ack".into()),
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE" => Some("/token".into()),
        _ => None,
    })
    .with_files(move |path| match path {
        "/token" => Ok((*token.lock()).into()),
        _ => Err("entity not found".into()),
    })
}

#[tokio::test(start_paused = true)]
async fn the_token_of_the_service_account_is_read_again_for_each_set_of_keys_and_nothing_is_signed()
{
    let (far, token) = (FarSide::giving(), Arc::new(Mutex::new("first\n")));
    let transport = far.transport(1);
    let credential = Credential::oidc(Oidc::default(), rrsa(&token), &transport, place());
    assert_eq!(id(&credential).await.unwrap(), "STS.0");
    *token.lock() = "second";
    sleep(Duration::from_mins(61)).await;
    assert_eq!(id(&credential).await.unwrap(), "STS.1");
    let asked = far.asked.lock();
    let tokens = asked.iter().map(|request| {
        assert!(!request.headers().contains_key("authorization"));
        let mut pairs = request.url().query_pairs();
        pairs.find(|(name, _)| name == "OIDCToken").unwrap().1
    });
    assert_eq!(tokens.collect::<Vec<_>>(), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_service_account_lacks_is_named_and_nothing_is_asked() {
    let token = Arc::new(Mutex::new("a b"));
    let elsewhere = Oidc {
        token_file: Some("/elsewhere".into()),
        ..Oidc::default()
    };
    let far = FarSide::giving();
    for (oidc, environment, named) in [
        (Oidc::default(), rrsa(&token), "holds no token"),
        (elsewhere, rrsa(&token), "/elsewhere"),
        (
            Oidc::default(),
            Environment::new(|_| None),
            "ALIBABA_CLOUD_ROLE_ARN",
        ),
    ] {
        let credential = Credential::oidc(oidc, environment, &far.transport(1), place());
        let error = id(&credential).await.unwrap_err();
        assert!(error.message.contains(named), "{error}");
        assert_eq!(error.kind, Kind::Credentials);
    }
    assert_eq!(far.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn keys_of_a_clock_that_is_wrong_are_no_keys() {
    let far = FarSide::new(|_, _| {
        let answer = json!({"Credentials": fields(0, date(Duration::from_secs(30)))});
        (200, answer.to_string())
    });
    let error = id(&assuming(&far.transport(1))).await.unwrap_err();
    assert!(error.message.contains("clock"), "{error}");
}

#[tokio::test]
async fn the_simulated_cloud_takes_what_each_source_gives() {
    let simulator = server_group_sim::Simulator::start(server_group_sim::Options::default());
    let simulator = simulator.await.unwrap();
    let transport =
        crate::cloud::stub::transport_to(&simulator.url(), Signature::V3, Timing::production());
    let key = Keys {
        id: "simulated-key".into(),
        secret: "simulated-secret".into(),
        token: None,
    };
    let token = Arc::new(Mutex::new("token"));
    let elsewhere = Role {
        role_arn: "acs:ram::3:role/far".into(),
        external_id: Some("team-a".into()),
        session_name: Some("session".into()),
        duration_seconds: Some(900),
        policy: Some("{}".into()),
    };
    let fixed = Credential::fixed(key);
    let instance = Credential::instance_role(InstanceRole::default(), &transport);
    let oidc = Credential::oidc(Oidc::default(), rrsa(&token), &transport, place());
    for (credential, account) in [
        (instance.clone(), "1000000000000001"),
        (oidc.clone(), "1"),
        (fixed.assuming(elsewhere.clone(), &transport, place()), "3"),
        (
            instance.assuming(elsewhere.clone(), &transport, place()),
            "3",
        ),
        (oidc.assuming(elsewhere, &transport, place()), "3"),
    ] {
        let cloud = Cloud::new(&transport, credential, "cn-hangzhou", Network::Public);
        let identity = cloud.get_caller_identity().await.unwrap();
        assert_eq!(identity.account_id, account);
    }
}
