//! What is generated is up to date.

use std::path::Path;

#[test]
fn the_definitions_in_crds_are_those_of_the_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let generated = server_group_operator::cli::generated_crds().unwrap();
    for (name, yaml) in &generated {
        let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            committed == *yaml,
            "crds/{name} does not match the Rust types; run `make generate`"
        );
    }
    // The kustomization beside them has no ending.
    let files = std::fs::read_dir(folder).unwrap();
    let definitions = files.filter(|file| file.as_ref().unwrap().path().extension().is_some());
    assert_eq!(
        definitions.count(),
        generated.len(),
        "crds/ holds a file that nothing generates"
    );
}

#[test]
fn the_page_about_metrics_is_that_of_the_code() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let committed = std::fs::read_to_string(page).unwrap_or_default();
    assert!(
        committed == server_group_operator::metrics::reference(),
        "docs/metrics.md does not match src/metrics.rs; run `make generate`"
    );
}

/// What may stand behind `Duration::` and before `::now` in the operator's own code.
const DURATIONS: [&str; 3] = ["ZERO", "MAX", "try_from"];
const CLOCKS: [&str; 2] = ["Instant", "Freshness"];

/// Computed from what the struct says, or told by the cloud.
const COUNTED: [&str; 3] = [
    "Duration::from_secs_f64(seconds)",
    "Duration::from_millis(longest)",
    "SignedDuration::from_secs(self.0.ahead.load(Ordering::Relaxed))",
];

/// What of `text` writes a duration out, reads a clock that no test can set, or hides that it does. `Instant` is tokio's.
fn own_durations(text: &str) -> Vec<&str> {
    // Tests come last.
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let lines = code.lines().filter(|line| {
        let line = COUNTED.iter().fold((*line).to_owned(), |line, counted| {
            line.replace(counted, "")
        });
        let mut durations = line.split("Duration::").skip(1);
        let writes = durations.any(|rest| {
            let name = rest.split(|c| !word(c)).next().unwrap();
            !DURATIONS.contains(&name)
        });
        let clocks: Vec<_> = line.split("::now").collect();
        let reads = clocks[..clocks.len() - 1].iter().any(|before| {
            let name = before.rsplit(|c| !word(c)).next().unwrap();
            !CLOCKS.contains(&name)
        });
        let hides = [
            "SystemTime",
            "std::time::Instant",
            "Duration as ",
            "Instant as ",
            "Timestamp as ",
        ];
        writes || reads || hides.iter().any(|words| line.contains(words))
    });
    let from_std = code
        .split("use std::")
        .skip(1)
        .map(|rest| rest.split(';').next().unwrap());
    lines
        .chain(from_std.filter(|list| list.contains("Instant")))
        .collect()
}

#[test]
fn every_duration_and_clock_comes_from_the_struct_that_main_hands_in() {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                // What is beside a file called tests.rs in a folder of that name is tests too.
                folders.extend((name != "tests").then_some(path));
            } else if !["timing.rs", "tests.rs", "stub.rs"].contains(&name) {
                let text = std::fs::read_to_string(&path).unwrap();
                let lines = own_durations(&text).into_iter();
                found.extend(lines.map(|line| format!("{}: {}", path.display(), line.trim())));
            }
        }
    }
    assert!(
        found.is_empty(),
        "give it a name in src/timing.rs: {found:#?}"
    );
}

#[test]
fn a_duration_or_clock_is_found_however_it_is_written() {
    for line in [
        "sleep(Duration::from_secs(3))",
        "std::time::Duration::new(3, 0)",
        "Duration::from_secs_f64(0.5)",
        "jiff::SignedDuration::from_mins(1)",
        "let now = SystemTime::now();",
        "let now = std::time::Instant::now();",
        "use std::{fs, time::{Duration, Instant}};",
        "use std::time::Instant;",
        "jiff::Timestamp::now()",
        "let clock = Zoned::now;",
        "use std::time::Duration as Span;",
    ] {
        let behind = format!("#[cfg(test)]\nmod stub;\n{line}\n");
        assert!(!own_durations(&behind).is_empty(), "{line}");
    }
    let allowed = "use tokio::time::Instant;\nInstant::now() + Duration::ZERO\n#[cfg(test)]\nmod tests {\nTimestamp::now()";
    assert_eq!(own_durations(allowed), Vec::<&str>::new());
}
