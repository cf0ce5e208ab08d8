//! The calls that leave, how often they do, and what is known when no good answer comes back.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{body::Body, http::Response};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use super::*;
use crate::cloud::{
    Cloud, Environment, Kind, MemberChange, Outcome, ServerKind,
    stub::{CANARY, Stub, allowed, cloud_at, keys, ok, refusal, transport_to},
};
use server_group_core::product::Product;

/// Durations in which tests of deadlines do not take long.
fn quick() -> Timing {
    let mut timing = Timing::scaled(1000.0);
    timing.read_deadline = Duration::from_millis(300);
    timing.mutation_deadline = Duration::from_millis(300);
    timing
}

/// A changing call.
async fn change(cloud: &Cloud) -> Result<crate::cloud::Answer, Error> {
    let member = MemberChange {
        id: "i-1".into(),
        kind: ServerKind::Ecs,
        ip: None,
        port: None,
        weight: None,
        remote_ip: false,
    };
    cloud
        .add_members(Product::Gwlb, "sgp-1", &[member], "token-1")
        .await
}

/// A server that takes connections and hands each to `serve`.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (String, Ends)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    (url, Ends(task.abort_handle()))
}

struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn nobody_listens() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_was_sent() {
    let url = nobody_listens().await;
    let error = change(&cloud_at(&url, quick())).await.unwrap_err();
    assert_eq!(
        (error.kind, error.outcome),
        (Kind::Transient, Outcome::NotSent)
    );
    let message = error.to_string();
    assert!(message.contains("no connection to 127.0.0.1:"), "{message}");
    assert!(message.to_lowercase().contains("refused"), "{message}");
}

#[tokio::test]
async fn a_connection_that_breaks_after_sending_leaves_the_outcome_unknown() {
    let (url, _ends) = listen(|mut stream| async move {
        let mut request = [0; 64];
        stream.read_exact(&mut request).await.ok();
    })
    .await;
    let error = change(&cloud_at(&url, quick())).await.unwrap_err();
    assert_eq!(
        (error.kind, error.outcome),
        (Kind::Transient, Outcome::Unknown)
    );
}

#[tokio::test]
async fn a_change_without_an_answer_is_given_up_at_its_deadline() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let (url, _ends) = listen(move |stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let _held = stream;
            std::future::pending().await
        }
    })
    .await;
    let begun = Instant::now();
    let error = change(&cloud_at(&url, quick())).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::Unknown);
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_answer_that_trickles_meets_the_same_deadline() {
    let stub = Stub::start(|_, _| {
        let drops = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>("{"), ()))
        });
        Response::new(Body::from_stream(drops))
    })
    .await;
    let error = change(&cloud_at(&stub.url, quick())).await.unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.outcome),
        ("no answer in time", Outcome::Unknown)
    );
}

/// Each correction once began the deadline anew, so that a change could leave when the lease had long ended.
#[tokio::test]
async fn a_corrected_change_has_no_more_time_than_one() {
    let stub = Stub::start(|before, _| {
        let (status, body) = match before {
            0 => (
                400,
                json!({"RequestId": "r", "Code": "SignatureNonceUsed", "Message": "used"}),
            ),
            _ => (200, json!({"RequestId": "r"})),
        };
        let late = futures::stream::once(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok::<_, std::io::Error>(body.to_string())
        });
        Response::builder()
            .status(status)
            .body(Body::from_stream(late))
            .unwrap()
    })
    .await;
    let error = change(&cloud_at(&stub.url, quick())).await.unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.outcome),
        ("no answer in time", Outcome::Unknown)
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Stub::start(|_, _| ok(&json!({"RequestId": "r"}))).await;
    let to = elsewhere.url.clone();
    let stub = Stub::start(move |_, _| {
        Response::builder()
            .status(307)
            .header("location", &to)
            .body(Body::empty())
            .unwrap()
    })
    .await;
    let error = change(&stub.cloud()).await.unwrap_err();
    assert_eq!(error.kind, Kind::WrongEndpoint);
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let stub = Stub::start(move |_, _| {
        let counted = Arc::clone(&counted);
        let endless = futures::stream::repeat_with(move || {
            counted.fetch_add(1 << 20, Ordering::Relaxed);
            Ok::<_, std::io::Error>(vec![b' '; 1 << 20])
        });
        Response::new(Body::from_stream(endless))
    })
    .await;
    let error = change(&cloud_at(&stub.url, Timing::production()))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.outcome),
        (Kind::Malformed, Outcome::Unknown)
    );
    assert!(
        served.load(Ordering::Relaxed) < 8 * REPLY_MAX,
        "it stopped reading"
    );
}

#[tokio::test]
async fn a_change_is_sent_once_and_a_read_up_to_four_times() {
    for (status, code, outcome) in [
        (503, "ServiceUnavailable", Outcome::Unknown),
        (400, "Throttling.User", Outcome::Refused),
        (400, "IncorrectStatus.ServerGroup", Outcome::Refused),
    ] {
        let stub = Stub::start(move |_, _| refusal(status, code, "later")).await;
        let error = change(&stub.cloud()).await.unwrap_err();
        assert_eq!((error.outcome, stub.asked().len()), (outcome, 1), "{code}");
        assert_eq!(error.request_id.as_deref(), Some("r-1"));
        stub.cloud().get_caller_identity().await.unwrap_err();
        assert_eq!(stub.asked().len(), 5, "{code}");
    }
}

#[tokio::test]
async fn every_attempt_has_a_nonce_of_its_own() {
    let stub = Stub::start(|n, _| match n {
        3 => ok(&json!({"AccountId": "1"})),
        _ => refusal(500, "InternalError", "again"),
    })
    .await;
    stub.cloud().get_caller_identity().await.unwrap();
    let asked = stub.asked();
    let nonces: BTreeSet<_> = asked
        .iter()
        .map(|asked| asked.headers["x-acs-signature-nonce"].clone())
        .collect();
    assert_eq!(nonces.len(), 4);
}

#[tokio::test]
async fn a_used_nonce_is_replaced_at_once_even_for_a_change() {
    let stub = Stub::start(|n, _| match n {
        0 => refusal(400, "SignatureNonceUsed", "used"),
        _ => ok(&json!({"RequestId": "r-2"})),
    })
    .await;
    assert_eq!(change(&stub.cloud()).await.unwrap().request_id, "r-2");
    assert_eq!(stub.asked().len(), 2);
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_by_the_clouds_date() {
    let theirs = Timestamp::now() + jiff::SignedDuration::from_hours(3);
    let date = rfc2822::to_string(&theirs.to_zoned(jiff::tz::TimeZone::UTC))
        .unwrap()
        .replace("+0000", "GMT");
    let close = move |asked: &crate::cloud::stub::Asked| {
        let ours: Timestamp = asked.headers["x-acs-date"].parse().unwrap();
        (theirs.as_second() - ours.as_second()).abs() < 60
    };
    let stub = Stub::start(move |_, asked| {
        let mut answer = match close(asked) {
            true => ok(&json!({"RequestId": "r"})),
            false => refusal(400, "InvalidTimeStamp.Expired", "your clock"),
        };
        answer
            .headers_mut()
            .insert("date", date.parse().expect("a date is a header value"));
        answer
    })
    .await;
    let cloud = stub.cloud();
    change(&cloud).await.unwrap();
    assert_eq!(stub.asked().len(), 2, "one correction");
    change(&cloud).await.unwrap();
    assert_eq!(stub.asked().len(), 3, "and it is remembered");
}

/// Two seconds after the last questions, a call left again with another date. Somebody had edited its object meanwhile.
#[tokio::test]
async fn a_change_that_was_refused_late_is_not_corrected_before_whoever_sends_it_has_asked_again() {
    let stub = Stub::start(|_, _| refusal(400, "InvalidTimeStamp.Expired", "your clock")).await;
    let mut timing = quick();
    timing.last_answer_max = Duration::ZERO;
    let error = change(&cloud_at(&stub.url, timing)).await.unwrap_err();
    assert_eq!(
        (error.kind, error.outcome),
        (Kind::ClockSkew, Outcome::NotSent)
    );
    assert_eq!(stub.asked().len(), 1);
}

#[tokio::test]
async fn a_clock_that_cannot_be_corrected_is_said_after_one_try() {
    let stub = Stub::start(|_, _| refusal(400, "InvalidTimeStamp.Expired", "your clock")).await;
    let error = change(&stub.cloud()).await.unwrap_err();
    assert_eq!((error.kind, stub.asked().len()), (Kind::ClockSkew, 2));
}

#[tokio::test]
async fn an_expired_token_is_replaced_by_the_one_the_source_has_now() {
    let reads = Arc::new(AtomicUsize::new(0));
    let environment = Environment::new(move |name| {
        let read = reads.fetch_add(1, Ordering::Relaxed);
        let generation = read / 3;
        name.ends_with("TOKEN")
            .then(|| format!("token-{generation}"))
            .or_else(|| Some("x".into()))
    });
    let stub = Stub::start(
        |_, asked| match asked.headers["x-acs-security-token"].as_str() {
            "token-0" => refusal(400, "InvalidSecurityToken.Expired", "expired"),
            _ => ok(&json!({"RequestId": "r"})),
        },
    )
    .await;
    let cloud = Cloud::new(
        &transport_to(&stub.url, Signature::V3, quick()),
        Credential::environment(environment),
        "cn-hangzhou",
        Network::Public,
    );
    change(&allowed(cloud.clone())).await.unwrap();
    assert_eq!(stub.asked().len(), 2);
}

#[tokio::test]
async fn without_keys_nothing_leaves() {
    let stub = Stub::start(|_, _| ok(&json!({}))).await;
    let cloud = Cloud::new(
        &transport_to(&stub.url, Signature::V3, quick()),
        Credential::environment(Environment::new(|_| None)),
        "cn-hangzhou",
        Network::Public,
    );
    let error = change(&cloud).await.unwrap_err();
    assert_eq!(
        (error.kind, error.outcome),
        (Kind::Credentials, Outcome::NotSent)
    );
    assert!(error.message.contains("ALIBABA_CLOUD_ACCESS_KEY_ID"));
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn a_hint_of_the_cloud_is_waited_out() {
    let stub = Stub::start(|n, _| {
        let mut answer = match n {
            0 => refusal(400, "Throttling.Api", "slow down"),
            _ => ok(&json!({"AccountId": "1"})),
        };
        answer
            .headers_mut()
            .insert("x-acs-retry-after", "150".parse().expect("a number"));
        answer
    })
    .await;
    let begun = Instant::now();
    stub.cloud().get_caller_identity().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn an_accepted_change_with_an_answer_of_another_shape_is_unknown() {
    for body in [json!([]), json!({}), json!({"RequestId": 5})] {
        let stub = Stub::start(move |_, _| ok(&body)).await;
        let error = change(&stub.cloud()).await.unwrap_err();
        assert_eq!(
            (error.kind, error.outcome),
            (Kind::Malformed, Outcome::Unknown)
        );
    }
}

#[tokio::test]
async fn an_override_keeps_its_path_and_the_path_is_signed() {
    for signature in [Signature::V3, Signature::V1] {
        let stub = Stub::start(|_, _| ok(&json!({"RequestId": "r"}))).await;
        let transport = transport_to(&format!("{}all", stub.url), signature, quick());
        let cloud = Cloud::new(
            &transport,
            Credential::fixed(keys()),
            "cn-hangzhou",
            Network::Vpc,
        );
        change(&allowed(cloud.clone())).await.unwrap();
        assert_eq!(stub.asked()[0].path, "/all");
    }
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_key_shows_in_errors_debug_output_or_logs_whatever_the_cloud_repeats() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let token = crate::cloud::sign::encode(&format!("token-{CANARY}"));
    let twice = crate::cloud::sign::encode(&token);
    let mut shown = String::new();
    for (code, message) in [
        (
            "SignatureDoesNotMatch",
            format!(
                "Specified signature is not matched with our calculation. server string to sign is:POST&%2F&SecurityToken%3D{twice}"
            ),
        ),
        (
            "InvalidParameter",
            format!("parameter SecurityToken={token} is odd, as is token-{CANARY}"),
        ),
        ("Forbidden.RAM", format!("secret-{CANARY} may not")),
        ("InternalError", twice.clone()),
    ] {
        for signature in [Signature::V3, Signature::V1] {
            let told = message.clone();
            let stub = Stub::start(move |_, _| refusal(400, code, &told)).await;
            let transport = transport_to(&stub.url, signature, quick());
            let cloud = Cloud::new(
                &transport,
                Credential::fixed(keys()),
                "cn-hangzhou",
                Network::Public,
            );
            let error = change(&allowed(cloud.clone())).await.unwrap_err();
            tracing::warn!(%error, ?error, caller = ?cloud.caller, "it failed");
            write!(shown, "{error} {error:?}").unwrap();
        }
    }
    let error = change(&cloud_at(&nobody_listens().await, quick()))
        .await
        .unwrap_err();
    write!(shown, "{error} {error:?} {:?}", Credential::fixed(keys())).unwrap();
    shown.push_str(&String::from_utf8(log.0.lock().clone()).unwrap());
    assert!(shown.contains("it failed"), "the log was captured");
    for form in [CANARY, &crate::cloud::sign::encode(CANARY), &token, &twice] {
        assert!(!shown.contains(form), "{form} shows");
    }
    assert!(shown.contains("not matched with our calculation"));
}

/// A wall clock that shows an hour more once the process is said to have slept.
fn sleeper() -> (Timing, Arc<AtomicBool>) {
    let slept = Arc::new(AtomicBool::new(false));
    let is = Arc::clone(&slept);
    // No deadline of these tests is about how fast an answer comes.
    let timing = Timing::scaled(1000.0).with_wall_clock(move || {
        let hours = i64::from(is.load(Ordering::SeqCst));
        Timestamp::now() + SignedDuration::from_hours(hours)
    });
    (timing, slept)
}

#[tokio::test]
async fn a_process_that_sleeps_between_leave_and_wire_does_not_send_when_it_wakes_up() {
    let stub = Stub::start(|_, _| ok(&json!({"RequestId": "r"}))).await;
    let (timing, slept) = sleeper();
    let cloud = cloud_at(&stub.url, timing);
    // From here on everything is signed afresh, which the cloud would take.
    slept.store(true, Ordering::SeqCst);
    let error = change(&cloud).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::NotSent);
    assert_eq!(stub.asked().len(), 0);
    slept.store(false, Ordering::SeqCst);
    change(&cloud).await.unwrap();
}

#[tokio::test]
async fn a_correction_asks_again_whether_it_may_still_be_sent() {
    let (timing, slept) = sleeper();
    let stub = Stub::start(move |_, _| {
        slept.store(true, Ordering::SeqCst);
        refusal(400, "SignatureNonceUsed", "used")
    })
    .await;
    let error = change(&cloud_at(&stub.url, timing)).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::NotSent);
    assert_eq!(stub.asked().len(), 1);
}

#[tokio::test]
async fn nothing_is_changed_without_leave() {
    let stub = Stub::start(|_, _| ok(&json!({"RequestId": "r"}))).await;
    let transport = transport_to(&stub.url, Signature::V3, quick());
    let credential = Credential::fixed(keys());
    let cloud = Cloud::new(&transport, credential, "cn-hangzhou", Network::Public);
    assert_eq!(change(&cloud).await.unwrap_err().outcome, Outcome::NotSent);
    assert_eq!(stub.asked().len(), 0);
}
