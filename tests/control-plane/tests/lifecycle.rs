//! A control plane starts, answers, lets the right people in, and never outlives who started it.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail their test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use control_plane::{ControlPlane, Error, Options, Patience, Program};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};

#[tokio::test]
async fn administrator_may_write_and_a_bound_service_account_may_do_what_its_role_says() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("access").await.unwrap();
    let config_map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("one".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    let post = PostParams::default();
    let admin = Api::namespaced(control_plane.admin().client().await.unwrap(), &namespace);
    admin.create(&post, &config_map).await.unwrap();

    let role = ClusterRole {
        metadata: ObjectMeta {
            name: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["configmaps".to_owned()]),
            verbs: vec!["get".to_owned()],
            ..PolicyRule::default()
        }]),
        ..ClusterRole::default()
    };
    let roles = Api::all(control_plane.admin().client().await.unwrap());
    roles.create(&post, &role).await.unwrap();
    let viewer = control_plane
        .service_account(&namespace, "viewer", &namespace)
        .await
        .unwrap();
    let viewer = Api::<ConfigMap>::namespaced(viewer.client().await.unwrap(), &namespace);
    assert_eq!(
        viewer.get("one").await.unwrap().metadata.name.as_deref(),
        Some("one")
    );
    let refused = viewer
        .delete("one", &DeleteParams::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.is_forbidden()),
        "{refused}"
    );
}

#[tokio::test]
async fn a_role_that_allows_nothing_is_an_error_and_not_a_puzzle() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("empty").await.unwrap();
    // Aggregates other roles, which takes a controller that does not run here.
    let refused = control_plane
        .service_account(&namespace, "viewer", "view")
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Error::NotBound { role } if role == "view"),
        "{refused}"
    );
}

#[test]
fn one_control_plane_serves_the_runtimes_of_all_tests() {
    let server = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let admin = ControlPlane::shared().await.admin();
            let namespaces = Api::<Namespace>::all(admin.client().await.unwrap());
            namespaces.get("default").await.unwrap();
            admin.server().to_owned()
        })
    };
    assert_eq!(server(), server());
}

#[tokio::test]
async fn kubectl_speaks_to_it_and_it_says_the_pinned_minor_version() {
    let control_plane = ControlPlane::shared().await;
    let output = control_plane
        .kubectl()
        .unwrap()
        .args(["version", "-o", "yaml"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("gitVersion: v1.36.").count(), 2, "{text}");
}

#[tokio::test]
async fn manifests_are_applied_or_refused_with_kubectls_words() {
    let control_plane = ControlPlane::shared().await;
    let directory = scratch("manifests");
    let path = directory.join("namespace.yaml");
    fs::write(
        &path,
        "{apiVersion: v1, kind: Namespace, metadata: {name: applied}}",
    )
    .unwrap();
    control_plane.apply(&path).unwrap();
    let namespaces = Api::<Namespace>::all(control_plane.admin().client().await.unwrap());
    namespaces.get("applied").await.unwrap();

    fs::write(
        &path,
        "{apiVersion: v1, kind: Namespace, metadata: {name: Not_A_Name}}",
    )
    .unwrap();
    let refused = control_plane.apply(&path).unwrap_err().to_string();
    assert!(refused.contains("Not_A_Name"), "{refused}");
    fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn controller_manager_ends_a_deleted_namespace() {
    let options = Options {
        controller_manager: true,
        ..Options::default()
    };
    let control_plane = ControlPlane::start(&options).await.unwrap();
    let name = control_plane.namespace("doomed").await.unwrap();
    let namespaces = Api::<Namespace>::all(control_plane.admin().client().await.unwrap());
    namespaces
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    let mut patience = Patience::default();
    while let Some(doomed) = namespaces.get_opt(&name).await.unwrap() {
        let moved = patience.pause(doomed.metadata.resource_version).await;
        moved.unwrap_or_else(|why| {
            let words = control_plane.last_words();
            panic!("{name} is still there: {why}\n{words}")
        });
    }
}

#[test]
fn a_server_that_ends_at_once_is_reported_with_its_last_words() {
    let directory = scratch("words");
    executable(
        &directory.join("kube-apiserver"),
        "#!/bin/sh
echo 'not in the mood'; exit 1
",
    );
    let output = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .args(["up", "--dir"])
        .arg(directory.join("servers"))
        .env("KUBEBUILDER_ASSETS", &directory)
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("kube-apiserver ended"), "{message}");
    assert!(message.contains("not in the mood"), "{message}");
    wait_until_gone(&directory.join("servers"));
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_port_lost_to_somebody_else_is_another_try_with_other_ports() {
    ends_once(
        "port",
        Program::ApiServer,
        "bind: address already in use",
        &[],
    );
}

#[test]
fn a_controller_manager_that_ends_at_once_is_another_try() {
    let words = "timed out waiting for apiserver to be healthy";
    let program = Program::ControllerManager;
    ends_once("controllers", program, words, &["--controller-manager"]);
}

/// The control plane comes up although `program` ends at once the first time.
fn ends_once(name: &str, program: Program, words: &str, arguments: &[&str]) {
    let directory = scratch(name);
    let real = control_plane::find(program).unwrap();
    let script = format!(
        "#!/bin/sh\n\
         if mkdir '{0}/tried'; then echo '{words}'; exit 1; fi\n\
         exec '{1}' \"$@\"\n",
        directory.display(),
        real.display(),
    );
    executable(&directory.join(program.name()), &script);
    let (mut up, _stdout) = up(&directory.join("servers"), Some(&directory), arguments);
    assert!(directory.join("tried").exists());
    up.kill().unwrap();
    up.wait().unwrap();
    wait_until_gone(&directory);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_missing_program_is_a_failure_that_says_how_to_get_it() {
    let nowhere = scratch("nowhere");
    let output = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .args(["find", "etcd"])
        .env_remove("KUBEBUILDER_ASSETS")
        .env("XDG_CACHE_HOME", &nowhere)
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("etcd is not installed: run `make control-plane`"),
        "{message}"
    );
    assert!(
        message.contains(&nowhere.display().to_string()),
        "{message}"
    );
    fs::remove_dir_all(nowhere).unwrap();
}

#[test]
fn killed_without_a_word_it_leaves_no_server_behind() {
    let directory = scratch("killed");
    let (mut up, _stdout) = up(&directory, None, &[]);
    let servers = servers_of(&directory);
    assert_eq!(servers.len(), 2, "etcd and kube-apiserver run");

    // SIGKILL: no destructor, no handler.
    up.kill().unwrap();
    up.wait().unwrap();
    wait_until_gone(&directory);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn ends_when_stdin_ends() {
    let directory = scratch("stdin");
    let (mut up, _stdout) = up(&directory, None, &[]);
    drop(up.stdin.take());
    assert!(up.wait().unwrap().success());
    wait_until_gone(&directory);
    fs::remove_dir_all(directory).unwrap();
}

/// Runs `control-plane up` until it has printed where its kubeconfig is.
fn up(
    directory: &Path,
    assets: Option<&Path>,
    arguments: &[&str],
) -> (Child, BufReader<ChildStdout>) {
    let mut up = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    if let Some(assets) = assets {
        up.env("KUBEBUILDER_ASSETS", assets);
    }
    // The pipe goes with the `Child`, so a test that fails leaves nothing running either.
    let mut up = up
        .args(["up", "--until-stdin-ends", "--dir"])
        .arg(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(up.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(
        Path::new(line.trim()),
        directory.canonicalize().unwrap().join("kubeconfig")
    );
    (up, stdout)
}

/// The ids of the servers that run in `directory`; the supervisor's own command line names no flag.
fn servers_of(directory: &Path) -> Vec<String> {
    let flag = [
        format!("--data-dir={}", directory.display()),
        format!("--cert-dir={}", directory.display()),
    ];
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter(|process| {
            let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            flag.iter().any(|flag| arguments.contains(flag))
        })
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}

fn wait_until_gone(directory: &Path) {
    let mut patience = Patience::default();
    loop {
        let servers = servers_of(directory);
        if servers.is_empty() {
            return;
        }
        match patience.look(servers) {
            Ok(pause) => std::thread::sleep(pause),
            Err(why) => panic!("still running: {:?}: {why}", servers_of(directory)),
        }
    }
}

/// Another process writes the file: were it open for writing here, any child that another test
/// starts at this moment would inherit it, and a file open for writing cannot be executed.
fn executable(path: &Path, content: &str) {
    let mut writer = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer
        .stdin
        .take()
        .unwrap()
        .write_all(content.as_bytes())
        .unwrap();
    assert!(writer.wait().unwrap().success());
}

fn scratch(name: &str) -> std::path::PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory.canonicalize().unwrap()
}
