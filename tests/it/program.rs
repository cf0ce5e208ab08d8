//! The program as a person meets it: what it says when something is missing.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use crate::stage::control_plane;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server-group-operator"));
    for (name, _) in std::env::vars()
        .filter(|(name, _)| name.starts_with("SERVER_GROUP_OPERATOR_") || name == "KUBECONFIG")
    {
        command.env_remove(name);
    }
    command.env("HOME", std::env::temp_dir().join("nobody"));
    command.stdin(Stdio::null());
    command
}

fn ended(command: &mut Command) -> (i32, String) {
    let output: Output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

const UNREACHABLE: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "a",
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:9"}}], "users": [{"name": "a", "user": {"token": "x"}}]}"#;

#[test]
fn a_wrong_or_missing_kubeconfig_ends_it_with_what_to_do() {
    let (code, text) = ended(program().arg("run"));
    assert_eq!(code, 1);
    assert!(text.contains("--kubeconfig"), "{text}");
    let (code, text) = ended(program().args(["run", "--kubeconfig", "/nowhere/config"]));
    assert_eq!(code, 1);
    assert!(text.contains("/nowhere/config"), "{text}");
    let (code, text) = ended(
        program()
            .arg("run")
            .arg("--kubeconfig")
            .arg(file("broken", "{not yaml")),
    );
    assert_eq!(code, 1);
    assert!(text.contains("kubeconfig"), "{text}");
}

#[test]
fn wrong_usage_ends_it_with_code_2() {
    for (flags, words) in [
        (vec!["run", "--endpoint", "s3=http://x"], "ess, slb"),
        (vec!["run", "--endpoint", "ess"], "PRODUCT=URL"),
        (vec!["run", "--signature", "v2"], "v1"),
        (vec!["run", "--listen", "here"], "--listen"),
        (vec!["walk"], "walk"),
        (vec![], "Usage"),
    ] {
        let (code, text) = ended(program().args(&flags));
        assert_eq!(code, 2, "{flags:?}: {text}");
        assert!(text.contains(words), "{flags:?}: {text}");
    }
}

#[test]
fn a_busy_port_ends_it() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let config = file("unreachable-busy", UNREACHABLE);
    let (code, text) = ended(
        program()
            .args(["run", "--listen", &address])
            .arg("--kubeconfig")
            .arg(config),
    );
    assert_eq!(code, 1);
    assert!(
        text.contains(&address) && text.contains("--listen"),
        "{text}"
    );
}

#[test]
fn help_names_every_flag_and_its_variable() {
    let output = program().args(["run", "--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "--kubeconfig",
        "--endpoint",
        "--signature",
        "--listen",
        "--leader-elect",
        "--operator-namespace",
        "--ca-file",
        "SERVER_GROUP_OPERATOR_ENDPOINT",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
}

#[test]
fn crds_prints_what_can_be_applied() {
    let output = program().arg("crds").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("kind: CustomResourceDefinition").count(), 3);
}

#[test]
fn permissions_prints_a_policy_for_manifests() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples");
    let account = format!("{examples}/account.yaml");
    let web = format!("{examples}/clb/1-forty-five.yaml");
    let mut command = program();
    command.args(["permissions", "-f", &account, "-f", &web]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let policy: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(policy["Version"], "1");
    let (code, text) = ended(program().args(["permissions", "-f", &account]));
    assert_eq!(code, 1);
    assert!(text.contains("no ServerGroupMembership"), "{text}");
}

/// A running program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// How long it may say nothing before a test fails.
const SILENT_MAX: Duration = Duration::from_mins(1);

/// Starts it and reads its log until a line has `words`.
fn says(command: &mut Command, words: &str) -> (Running, String) {
    let (running, said) = listen(command);
    let line = hear(&said, words).pop();
    (running, line.unwrap())
}

/// Starts it; what it logs arrives line by line.
fn listen(command: &mut Command) -> (Running, mpsc::Receiver<String>) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = child.stderr.take().unwrap();
    let running = Running(child);
    let (sender, said) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(log).lines();
        lines
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    (running, said)
}

/// Its lines up to one that has `words`, which is the last.
fn hear(said: &mpsc::Receiver<String>, words: &str) -> Vec<String> {
    let mut text = Vec::new();
    // It says what it waits for once a minute, for ever.
    while text.len() < 100 {
        match said.recv_timeout(SILENT_MAX) {
            Ok(line) => {
                let found = line.contains(words);
                text.push(line);
                if found {
                    return text;
                }
            }
            Err(why) => panic!("it says no more, and {words:?} is not in {text:#?}: {why}"),
        }
    }
    panic!("{words:?} is not in {text:#?}");
}

/// An address that nobody listens on. Its port is below those that systems hand out by themselves, so that none is handed
/// out before the program takes it.
fn free_address() -> String {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let mut addresses = (first..30_001).map(|port| format!("127.0.0.1:{port}"));
    addresses
        .find(|address| TcpListener::bind(address).is_ok())
        .unwrap()
}

fn get(address: &str, path: &str) -> String {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn an_api_server_that_does_not_answer_is_waited_for_unready() {
    let address = free_address();
    let mut command = program();
    command
        .args(["run", "--listen", &address])
        .arg("--kubeconfig")
        .arg(file("unreachable", UNREACHABLE));
    let (_running, line) = says(&mut command, "waiting");
    assert!(
        line.contains("does not answer") && line.contains("kubeconfig"),
        "{line}"
    );
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 503"));
}

/// Its memory has keys in it.
#[test]
fn a_crash_leaves_no_core_dump() {
    let folder = std::env::temp_dir().join(format!("core-dumps-of-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let dumps = |script: &str, words: Option<&str>| {
        let mut command = Command::new("sh");
        let script = format!("ulimit -c unlimited 2>/dev/null; {script}");
        command.args(["-c", &script]).current_dir(&folder);
        let mut running = match words {
            Some(words) => says(&mut command, words).0,
            None => Running(command.spawn().unwrap()),
        };
        let id = running.0.id().to_string();
        let aborted = Command::new("kill").args(["-ABRT", &id]).status().unwrap();
        assert!(aborted.success());
        running.0.wait().unwrap().core_dumped()
    };
    let program = env!("CARGO_BIN_EXE_server-group-operator");
    let config = file("no-core-dump", UNREACHABLE);
    let ours = format!(
        "exec {program} run --listen {} --kubeconfig {}",
        free_address(),
        config.display()
    );
    // Where nothing is ever dumped, ours is not either.
    println!(
        "another process is dumped: {}",
        dumps("exec sleep 60", None)
    );
    assert!(!dumps(&ours, Some("waiting")), "there are keys in it");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stands_by_says_so_once_and_for_whom_and_takes_over_from_one_that_was_killed()
 {
    let control_plane = control_plane().await;
    let namespace = control_plane.namespace("stands-by").await.unwrap();
    let replica = |name: &str| {
        let mut command = program();
        command
            .args([
                "run",
                "--listen",
                "127.0.0.1:0",
                "--operator-namespace",
                &namespace,
            ])
            .arg("--kubeconfig")
            .arg(control_plane.kubeconfig())
            .env("HOSTNAME", name);
        command
    };
    let (mut first, mut second) = (replica("first"), replica("second"));
    let heard = tokio::task::spawn_blocking(move || {
        let (first, _) = says(&mut first, "leading");
        let (second, said) = listen(&mut second);
        let mut heard = hear(&said, "standing by");
        drop(first);
        // It looks at the lease seven times until that is over.
        heard.extend(hear(&said, "leading"));
        drop(second);
        heard
    });
    let heard = heard.await.unwrap();
    let stands_by = heard.iter().filter(|line| line.contains("standing by"));
    let stands_by: Vec<_> = stands_by.collect();
    assert_eq!(stands_by.len(), 1, "{heard:#?}");
    assert!(stands_by[0].contains("first-"), "{stands_by:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_named_and_missing_definitions_are_waited_for() {
    let control_plane = control_plane().await;
    let namespace = control_plane.namespace("no-rights").await.unwrap();
    let access = control_plane
        .service_account(&namespace, "nobody", "system:discovery")
        .await
        .unwrap();
    let config = file("no-rights", &access.kubeconfig());
    let mut command = program();
    command
        .args(["run", "--listen", "127.0.0.1:0"])
        .arg("--kubeconfig")
        .arg(config);
    let (_running, line) = tokio::task::spawn_blocking(move || says(&mut command, "waiting"))
        .await
        .unwrap();
    assert!(line.contains("deploy/rbac"), "{line}");
    let bare = control_plane::ControlPlane::start(&control_plane::Options::default())
        .await
        .unwrap();
    let mut command = program();
    command
        .args(["run", "--listen", "127.0.0.1:0"])
        .arg("--kubeconfig")
        .arg(bare.kubeconfig());
    let (_running, line) = tokio::task::spawn_blocking(move || says(&mut command, "waiting"))
        .await
        .unwrap();
    assert!(
        line.contains("kubectl apply --server-side -f crds/"),
        "{line}"
    );
}

mod account {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use server_group_operator::{api::ServerGroupMembership, cloud::Environment};
    use server_group_sim::world::Product;

    use crate::stage::{Stage, instances, message, timing};

    #[tokio::test(flavor = "multi_thread")]
    async fn missing_keys_wrong_keys_and_an_unreachable_endpoint_show_in_status() {
        let mut stage = Stage::without_operator("no-keys").await;
        stage
            .simulator
            .world()
            .create_group(Product::Clb, "rsp-web");
        stage
            .membership("web", "rsp-web", &instances(0, 3, Some(80)), json!({}))
            .await;
        let client = stage.operator_client();
        stage.start_as(client.clone(), timing(), Environment::new(|_| None), None);
        let web: ServerGroupMembership = stage.reason("web", "CredentialsUnavailable").await;
        assert!(
            message(&web).contains("ALIBABA_CLOUD_ACCESS_KEY_ID"),
            "{}",
            message(&web)
        );
        assert_eq!(stage.all_calls(), 0);
        stage.kill().await;
        stage.start_as(
            client.clone(),
            timing(),
            Environment::new(|name| Some(format!("wrong {name}"))),
            None,
        );
        let wrong =
            |web: &ServerGroupMembership| message(web).contains("InvalidAccessKeyId.NotFound");
        stage.until("the cloud's words", "web", wrong).await;
        stage.kill().await;
        let nowhere = Some("http://127.0.0.1:9".to_owned());
        stage.start_as(client, timing(), Stage::environment(), nowhere);
        let web: ServerGroupMembership = stage.reason("web", "Retrying").await;
        assert!(message(&web).contains("endpoint"), "{}", message(&web));
    }

    /// A panic in a pass once ended the whole program, and did so again after each restart.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_pass_that_panics_takes_nobody_along_and_is_tried_again() {
        let mut stage = Stage::without_operator("panics").await;
        // The look at the account may be the first that asks.
        let asked = AtomicUsize::new(0);
        let environment = Environment::new(move |name| {
            let asked = asked.fetch_add(1, Ordering::SeqCst);
            assert!(asked >= 2, "this panic is part of the test");
            Stage::variable(name)
        });
        for group in ["rsp-web", "rsp-api"] {
            stage.simulator.world().create_group(Product::Clb, group);
            let servers = instances(0, 3, Some(80));
            let name = group.strip_prefix("rsp-").unwrap();
            stage.membership(name, group, &servers, json!({})).await;
        }
        let client = stage.operator_client();
        stage.start_as(client, timing(), environment, None);
        stage
            .reason::<ServerGroupMembership>("web", "Converged")
            .await;
        stage
            .reason::<ServerGroupMembership>("api", "Converged")
            .await;
    }
}
