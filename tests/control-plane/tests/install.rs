//! `install.sh` leaves a whole cache: with two at once, with no network, with a bad archive, and
//! after being killed. `curl` and `go` are stand-ins on the `PATH`: these tests are about the script.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail their test")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::{env, fs, thread};

use control_plane::Patience;

const PROGRAMS: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kubectl",
];

#[test]
fn two_at_once_build_each_program_once_and_leave_one_whole_cache() {
    let place = Place::new("two");
    place.stub("curl", UNREACHABLE);
    place.stub("go", BUILD_SLOWLY);

    let runs = [place.start(), place.start()];
    let outputs = runs.map(|run| run.wait_with_output().unwrap());

    for output in &outputs {
        assert!(output.status.success(), "{}", stderr(output));
    }
    place.assert_whole("built");
    assert_eq!(
        place.built(),
        PROGRAMS.len(),
        "the second waited for the first"
    );
}

#[test]
fn an_unreachable_archive_is_asked_for_once_and_for_seconds_and_then_built() {
    let place = Place::new("unreachable");
    place.stub("curl", "#!/bin/sh\necho \"$*\" >>\"$ROOT/asked\"\nexit 6\n");
    place.stub("go", BUILD);

    let output = place.start().wait_with_output().unwrap();

    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("building from source instead"),
        "{}",
        stderr(&output)
    );
    let asked = fs::read_to_string(place.root.join("asked")).unwrap();
    assert_eq!(asked.lines().count(), 1, "{asked}");
    assert!(asked.contains("--connect-timeout 4 "), "{asked}");
    place.assert_whole("built");
}

#[test]
fn an_archive_with_another_checksum_is_not_unpacked() {
    let place = Place::new("checksum");
    place.stub("curl", DOWNLOAD);
    place.stub("go", BUILD);

    let output = place.start().wait_with_output().unwrap();

    assert!(
        stderr(&output).contains("has the wrong checksum"),
        "{}",
        stderr(&output)
    );
    place.assert_whole("built");
}

#[test]
fn an_archive_spares_every_build_but_that_of_the_program_it_lacks() {
    let place = Place::new("archive");
    place.stub("curl", DOWNLOAD);
    place.stub("sha512sum", "#!/bin/sh\ncat >/dev/null\n");
    place.stub("go", BUILD);

    let output = place.start().wait_with_output().unwrap();

    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(place.built(), 1);
    for (program, origin) in PROGRAMS
        .iter()
        .zip(["released", "released", "built", "released"])
    {
        assert_eq!(place.origin(program), origin, "{program}");
    }
}

#[test]
fn programs_that_the_environment_names_are_left_alone() {
    let place = Place::new("assets");
    place.stub("curl", UNREACHABLE);
    place.stub("go", BUILD);
    let assets = place.root.join("assets");
    fs::create_dir(&assets).unwrap();
    for program in ["etcd", "kube-apiserver", "kubectl"] {
        executable(&assets.join(program), "#!/bin/sh\n");
    }

    let run = place
        .command()
        .env("KUBEBUILDER_ASSETS", &assets)
        .output()
        .unwrap();

    assert!(run.status.success(), "{}", stderr(&run));
    assert_eq!(
        fs::read_to_string(place.root.join("built")).unwrap(),
        "kube-controller-manager\n"
    );
}

#[test]
fn a_killed_run_holds_no_lock_and_the_next_one_finishes() {
    let place = Place::new("killed");
    place.stub("curl", UNREACHABLE);
    place.stub("go", BUILD_UNTIL_TOLD);
    let mut first = place.start();
    let mut patience = Patience::default();
    while !place.root.join("building").exists() {
        let pause = patience.look(()).expect("the build does not start");
        thread::sleep(pause);
    }
    first.kill().unwrap();
    first.wait().unwrap();

    place.stub("go", BUILD);
    let output = place.start().wait_with_output().unwrap();

    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        !place.root.join("ended").exists(),
        "it waited for the orphan"
    );
    fs::write(place.root.join("end"), "").unwrap();
    place.assert_whole("built");
}

#[test]
fn without_network_and_go_it_says_what_to_do() {
    let place = Place::new("nothing");
    place.stub("curl", UNREACHABLE);
    for program in [
        "bash", "cat", "cut", "dirname", "flock", "mkdir", "mktemp", "rm", "sed",
    ] {
        place.link(program);
    }
    for program in ["sha256sum", "sleep", "tr", "uname"] {
        place.link(program);
    }

    let output = place
        .command()
        .env("PATH", place.root.join("bin"))
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("etcd is missing: install Go"),
        "{}",
        stderr(&output)
    );
}

const UNREACHABLE: &str = "#!/bin/sh\necho 'curl: (6) Could not resolve host' >&2\nexit 6\n";

/// Leaves an archive as released, whatever it was asked for.
const DOWNLOAD: &str = r#"#!/bin/bash
while (($#)); do [[ $1 == --output ]] && file=$2; shift; done
cd "$ROOT" && mkdir -p controller-tools/envtest
for program in etcd kube-apiserver kubectl; do echo released >controller-tools/envtest/$program; done
tar -czf "$file" controller-tools
"#;

/// Leaves the word `built` where the program should go, and notes its name.
const BUILD: &str = r#"#!/bin/bash
while (($#)); do [[ $1 == -o ]] && file=$2; shift; done
basename "$file" >>"$ROOT/built"
echo built >"$file"
"#;

/// Writes half of it first, for whoever would look too early.
const BUILD_SLOWLY: &str = r#"#!/bin/bash
while (($#)); do [[ $1 == -o ]] && file=$2; shift; done
basename "$file" >>"$ROOT/built"
echo half >"$file"
sleep 0.3
echo built >"$file"
"#;

/// Outlives the script, as a compiler does: until it is told, or for minutes.
const BUILD_UNTIL_TOLD: &str = r#"#!/bin/bash
touch "$ROOT/building"
for ((i = 0; i < 3000; i++)); do
  [[ -e $ROOT/end ]] && exit 1
  sleep 0.1
done
touch "$ROOT/ended"
"#;

/// An empty cache, and a `PATH` that begins with stand-ins.
struct Place {
    root: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("install")
            .join(name);
        _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("bin")).unwrap();
        Self { root }
    }

    fn stub(&self, program: &str, script: &str) {
        executable(&self.root.join("bin").join(program), script);
    }

    fn link(&self, program: &str) {
        let path = env::var("PATH").unwrap();
        let original = env::split_paths(&path).map(|directory| directory.join(program));
        let original = original.into_iter().find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(original, self.root.join("bin").join(program)).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh"));
        let path = format!(
            "{}:{}",
            self.root.join("bin").display(),
            env::var("PATH").unwrap()
        );
        command
            .env("PATH", path)
            .env("ROOT", &self.root)
            .env("XDG_CACHE_HOME", self.root.join("cache"))
            .env_remove("KUBEBUILDER_ASSETS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self) -> Child {
        self.command().spawn().unwrap()
    }

    fn cache(&self) -> PathBuf {
        let printed = self.command().arg("--print").output().unwrap().stdout;
        PathBuf::from(String::from_utf8(printed).unwrap().trim())
    }

    fn origin(&self, program: &str) -> String {
        fs::read_to_string(self.cache().join(program))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// How often a program was built.
    fn built(&self) -> usize {
        fs::read_to_string(self.root.join("built"))
            .unwrap()
            .lines()
            .count()
    }

    /// All four programs, executable, and nothing else that can be seen or that takes room.
    fn assert_whole(&self, origin: &str) {
        let cache = self.cache();
        let mut names: Vec<_> = fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".lock")
            .collect();
        names.sort();
        assert_eq!(names, PROGRAMS);
        for program in PROGRAMS {
            assert_eq!(self.origin(program), origin, "{program}");
            let mode = fs::metadata(cache.join(program))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o111, 0o111, "{program}");
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

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
