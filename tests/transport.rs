//! The client when the network or the far side misbehaves.

#![expect(
    clippy::unwrap_used,
    reason = "tests may unwrap, and helpers count as tests"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response},
    routing::any,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use server_group_core::product::Product;
use server_group_operator::{
    cloud::{
        Cloud, Credential, Endpoints, Error, Keys, Kind, MemberChange, Network, Outcome, Roots,
        ServerKind, Signature, Transport, TransportConfig,
    },
    leader::Leadership,
    timing::Timing,
};

/// What the far side does with the n-th request, from 0.
type Script = Arc<dyn Fn(usize) -> Reply + Send + Sync>;

enum Reply {
    Json(u16, Value),
    With(u16, Vec<(&'static str, String)>, Vec<u8>),
    Never,
    Break,
}

/// A far side, and the headers of every request it has seen.
struct FarSide {
    url: String,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
}

impl FarSide {
    async fn new(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
        let state: (Arc<Mutex<Vec<HeaderMap>>>, Script) = (Arc::clone(&seen), Arc::new(script));
        let app = Router::new().fallback(any(answer)).with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // Ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, seen }
    }

    fn cloud(&self) -> Cloud {
        cloud(&self.url, &quick())
    }

    fn requests(&self) -> usize {
        self.seen.lock().len()
    }
}

async fn answer(
    State((seen, script)): State<(Arc<Mutex<Vec<HeaderMap>>>, Script)>,
    headers: HeaderMap,
) -> Response<Body> {
    let number = {
        let mut seen = seen.lock();
        seen.push(headers);
        seen.len() - 1
    };
    match script(number) {
        Reply::Json(status, body) => Response::builder()
            .status(status)
            .body(body.to_string().into())
            .unwrap(),
        Reply::With(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(body.into()).unwrap()
        }
        Reply::Never => std::future::pending().await,
        Reply::Break => {
            let broken =
                futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("broken")) });
            Response::new(Body::from_stream(broken))
        }
    }
}

/// Waits are a hundred times shorter; deadlines stay, for a slow machine must not look like a far side that is silent.
fn quick() -> Timing {
    Timing::scaled(100.0)
}

/// Deadlines are half a second too.
fn impatient() -> Timing {
    let mut timing = quick();
    timing.read_deadline = Duration::from_millis(500);
    timing.mutation_deadline = Duration::from_millis(500);
    timing
}

fn cloud(url: &str, timing: &Timing) -> Cloud {
    cloud_trusting(&Roots::default(), url, timing)
}

/// As `main` does: clients are built with what the process has chosen.
fn choose_cryptography() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
}

fn cloud_trusting(roots: &Roots, url: &str, timing: &Timing) -> Cloud {
    choose_cryptography();
    let endpoints: Endpoints = format!("*={url}").parse().unwrap();
    let config = TransportConfig {
        signature: Signature::V3,
        endpoints,
        timing: timing.clone(),
    };
    let keys = Keys {
        id: "id".into(),
        secret: "canary-secret".to_owned().into(),
        token: Some("canary-token".to_owned().into()),
    };
    let leadership = Leadership::unopposed(Timing::production());
    let leave = leadership.permit(Duration::from_hours(1)).unwrap();
    let cloud = Cloud::new(
        &Transport::trusting(roots, config).unwrap(),
        Credential::fixed(keys),
        "cn-hangzhou",
        Network::Public,
    );
    cloud.with_leave(leave)
}

fn member() -> MemberChange {
    MemberChange {
        id: "i-1".into(),
        kind: ServerKind::Ecs,
        ip: None,
        port: Some(80),
        weight: None,
        remote_ip: false,
    }
}

async fn change(cloud: &Cloud) -> Error {
    cloud
        .add_members(Product::Clb, "rsp-1", &[member()], "token")
        .await
        .unwrap_err()
}

async fn read(cloud: &Cloud) -> Result<(), Error> {
    cloud.members(Product::Clb, "rsp-1").await.map(drop)
}

fn refusal(status: u16, code: &str) -> Reply {
    Reply::Json(
        status,
        json!({"RequestId": "R-1", "Code": code, "Message": "words."}),
    )
}

fn empty_list() -> Value {
    json!({"RequestId": "R-2", "BackendServers": {"BackendServer": []}})
}

fn empty_group() -> Reply {
    Reply::Json(200, empty_list())
}

#[tokio::test]
async fn only_a_refused_connection_proves_that_nothing_was_sent() {
    let error = change(&cloud("http://127.0.0.1:9", &quick())).await;
    assert_eq!(
        (error.kind, error.outcome),
        (Kind::Transient, Outcome::NotSent)
    );
    for reply in [|| Reply::Never, || Reply::Break] {
        let far = FarSide::new(move |_| reply()).await;
        let error = change(&cloud(&far.url, &impatient())).await;
        assert_eq!(
            (error.kind, error.outcome),
            (Kind::Transient, Outcome::Unknown),
            "{error}"
        );
        assert_eq!(far.requests(), 1, "a change is one attempt");
    }
}

#[tokio::test]
async fn the_deadline_is_for_the_whole_exchange() {
    let far = FarSide::new(|_| Reply::Never).await;
    let begun = Instant::now();
    change(&cloud(&far.url, &impatient())).await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "the deadline is half a second"
    );
}

#[tokio::test]
async fn a_failing_far_side_leaves_a_change_unknown_and_a_read_repeated() {
    for (status, code) in [(500, "InternalError"), (503, "ServiceUnavailable")] {
        let far = FarSide::new(move |number| {
            if number < 2 {
                refusal(status, code)
            } else {
                empty_group()
            }
        })
        .await;
        read(&far.cloud()).await.unwrap();
        assert_eq!(far.requests(), 3);
        let far = FarSide::new(move |_| refusal(status, code)).await;
        assert_eq!(change(&far.cloud()).await.outcome, Outcome::Unknown);
        assert_eq!(far.requests(), 1);
    }
    let far = FarSide::new(|_| Reply::With(502, vec![], b"<html>bad gateway".to_vec())).await;
    assert_eq!(change(&far.cloud()).await.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn what_is_no_answer_of_the_api_is_malformed_and_unknown() {
    for reply in [
        || {
            Reply::With(
                200,
                vec![("content-type", "text/html".into())],
                b"<html>sign in</html>".to_vec(),
            )
        },
        || Reply::With(200, vec![], vec![b' '; 16 << 20]),
        || Reply::Json(200, json!([1, 2])),
        || Reply::Json(200, json!({"Unexpected": true})),
        || Reply::Json(403, json!({"no": "code"})),
    ] {
        let far = FarSide::new(move |_| reply()).await;
        let error = change(&far.cloud()).await;
        assert_eq!(
            (error.kind, error.outcome),
            (Kind::Malformed, Outcome::Unknown),
            "{error}"
        );
        let far = FarSide::new(move |_| reply()).await;
        assert!(read(&far.cloud()).await.is_err(), "never an empty list");
    }
}

#[tokio::test]
async fn a_refusal_says_what_happened_and_carries_the_request_id() {
    let far = FarSide::new(|_| refusal(400, "ObtainIpFail")).await;
    let error = change(&far.cloud()).await;
    assert_eq!(
        (error.kind, error.outcome),
        (Kind::NotReady, Outcome::Refused)
    );
    let text = error.to_string();
    assert_eq!(
        text,
        "AddVServerGroupBackendServers failed with ObtainIpFail: words (request R-1)"
    );
    let far = FarSide::new(|_| {
        Reply::Json(
            400,
            json!({"requestId": "R-1", "code": "Throttling.User", "message": "slow"}),
        )
    })
    .await;
    assert_eq!(
        change(&far.cloud()).await.kind,
        Kind::Throttled,
        "keys in lower case"
    );
}

#[tokio::test]
async fn hints_about_waiting_are_taken() {
    let with = |header: &'static str, value: &'static str| {
        move |_| {
            Reply::With(
                400,
                vec![(header, value.into())],
                json!({"Code": "Throttling"}).to_string().into_bytes(),
            )
        }
    };
    for (header, value, expected) in [
        ("x-acs-retry-after", "700", Some(700)),
        (
            "x-ratelimit-user-api",
            "Limit:10,Remain:0,TimeLeft:250",
            Some(250),
        ),
        ("x-ratelimit-user", "TimeLeft:90", Some(90)),
        ("x-other", "1", None),
    ] {
        let far = FarSide::new(with(header, value)).await;
        assert_eq!(
            change(&far.cloud()).await.retry_after,
            expected.map(Duration::from_millis),
            "{header}"
        );
    }
}

#[tokio::test]
async fn a_used_nonce_is_replaced_at_once_even_for_a_change() {
    let far = FarSide::new(|number| match number {
        0 => refusal(400, "SignatureNonceUsed"),
        _ => Reply::Json(200, json!({"RequestId": "R-2"})),
    })
    .await;
    far.cloud()
        .add_members(Product::Clb, "rsp-1", &[member()], "token")
        .await
        .unwrap();
    let seen = far.seen.lock();
    assert_eq!(seen.len(), 2);
    assert_ne!(
        seen[0]["x-acs-signature-nonce"],
        seen[1]["x-acs-signature-nonce"]
    );
}

#[tokio::test]
async fn a_clock_that_is_off_is_learnt_once() {
    let theirs = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(3);
    let date = theirs.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let refused = move || {
        Reply::With(
            400,
            vec![("date", date.clone())],
            json!({"Code": "InvalidTimeStamp.Expired"})
                .to_string()
                .into_bytes(),
        )
    };
    let script = refused.clone();
    let far = FarSide::new(move |number| if number == 0 { script() } else { empty_group() }).await;
    read(&far.cloud()).await.unwrap();
    {
        let seen = far.seen.lock();
        let sent: jiff::Timestamp = seen[1]["x-acs-date"].to_str().unwrap().parse().unwrap();
        assert!(
            (sent.as_second() - theirs.as_second()).abs() < 60,
            "{sent} against {theirs}"
        );
    }
    let far = FarSide::new(move |_| refused()).await;
    assert_eq!(read(&far.cloud()).await.unwrap_err().kind, Kind::ClockSkew);
    assert_eq!(far.requests(), 2);
}

/// Ids of a page's rows, the token of the next page, and the total.
type Page = (Vec<&'static str>, Option<&'static str>, usize);

#[tokio::test]
async fn a_list_is_whole_or_an_error() {
    let row = |id: &str| json!({"ServerId": id, "ServerIp": "10.0.0.1", "ServerType": "Ecs", "Port": 6081, "Status": "Available"});
    let page = move |rows: Vec<Value>, token: Option<&str>, total: usize| {
        Reply::Json(
            200,
            json!({"Servers": rows, "NextToken": token, "TotalCount": total}),
        )
    };
    let group = || {
        Reply::Json(
            200,
            json!({"ServerGroups": [{"ServerGroupId": "sgp-1", "ServerGroupStatus": "Available"}]}),
        )
    };
    let whole = FarSide::new(move |number| match number {
        0 => page(vec![row("i-1")], Some("more"), 2),
        1 => page(vec![row("i-2")], None, 2),
        _ => group(),
    })
    .await;
    assert_eq!(
        whole
            .cloud()
            .members(Product::Gwlb, "sgp-1")
            .await
            .unwrap()
            .members
            .len(),
        2
    );
    let broken: [fn(usize) -> Page; 3] = [
        // A row is missing.
        |_| (vec!["i-1"], None, 2),
        // A row comes twice.
        |number| {
            if number % 2 == 0 {
                (vec!["i-1"], Some("more"), 2)
            } else {
                (vec!["i-1"], None, 2)
            }
        },
        // A page is named twice.
        |_| (vec!["i-1"], Some("more"), 9),
    ];
    for script in broken {
        let far = FarSide::new(move |number| {
            let (rows, token, total) = script(number);
            page(rows.into_iter().map(row).collect(), token, total)
        })
        .await;
        let error = far
            .cloud()
            .members(Product::Gwlb, "sgp-1")
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::Incomplete, "{error}");
    }
}

#[tokio::test]
async fn no_error_and_no_debug_text_carries_a_secret() {
    let far = FarSide::new(|_| refusal(400, "SignatureDoesNotMatch")).await;
    let error = change(&far.cloud()).await;
    let transport = Transport::new(TransportConfig {
        signature: Signature::V1,
        endpoints: format!("*={}", far.url).parse().unwrap(),
        timing: quick(),
    })
    .unwrap();
    let keys = Keys {
        id: "id".into(),
        secret: "canary-secret".to_owned().into(),
        token: Some("canary-token".to_owned().into()),
    };
    let caller = server_group_operator::cloud::Caller {
        credential: Credential::fixed(keys.clone()),
        region: "cn-hangzhou".into(),
        network: Network::Public,
        account: String::new(),
    };
    let call = server_group_operator::cloud::Call::new(
        server_group_operator::cloud::Service::Sts,
        "GetCallerIdentity",
        server_group_operator::cloud::Effect::Reads,
        &Value::Null,
    );
    let prepared = transport.prepare(&caller, &call, &keys).unwrap();
    for text in [
        format!("{error} {error:?}"),
        format!("{caller:?} {call:?}"),
        format!("{prepared:?}"),
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
}

/// A far side that speaks TLS on this machine, with a certificate of an authority that nobody knows: where it answers, and
/// the certificate of that authority as PEM. It answers one connection after the other with an empty group.
async fn far_side_behind_an_unknown_authority() -> (String, String) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    choose_cryptography();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let (server, key) = (
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap(),
        KeyPair::generate().unwrap(),
    );
    let certificate = server.signed_by(&key, &issuer).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    // Ends with the test's runtime.
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Whoever does not believe the certificate hangs up.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut asked = [0; 8192];
            _ = stream.read(&mut asked).await;
            let body = empty_list().to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            _ = stream.write_all(answer.as_bytes()).await;
            _ = stream.shutdown().await;
        }
    });
    (url, pem)
}

#[tokio::test]
async fn an_authority_is_believed_in_once_a_file_names_it() {
    let (url, pem) = far_side_behind_an_unknown_authority().await;
    let file = std::env::temp_dir().join(format!("authority-{}.pem", std::process::id()));
    std::fs::write(&file, pem).unwrap();
    let roots = Roots::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    for (roots, believes) in [(Roots::default(), false), (roots, true)] {
        let cloud = cloud_trusting(&roots, &url, &impatient());
        let read = read(&cloud).await;
        assert_eq!(read.is_ok(), believes, "{read:?}");
    }
}

#[test]
fn a_file_without_certificates_is_refused_with_what_to_write() {
    choose_cryptography();
    let file = std::env::temp_dir().join(format!("no-authority-{}.pem", std::process::id()));
    for (text, words) in [
        ("nothing", "BEGIN CERTIFICATE"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "damaged",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let refused = Roots::read(&file).map(drop).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    std::fs::remove_file(&file).unwrap();
    let missing = Roots::read(&file).map(drop).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
}
