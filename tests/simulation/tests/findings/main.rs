//! Schedules in which a rule was broken once: each file in `findings` is one, named after what went wrong.

use std::path::Path;

use serde::Deserialize;
use simulation::{plan::Happening, schedule::Schedule, workload::Workload};

/// A schedule as it is kept.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Finding {
    workload: String,
    seed: u64,
    #[serde(default)]
    quiet: bool,
    plan: Vec<Happening>,
}

#[test]
fn what_was_found_once_does_not_happen_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut broken = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let finding: Finding = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let schedule = Schedule {
            workload: Workload::named(&finding.workload).expect("a workload"),
            seed: finding.seed,
            plan: Some(finding.plan),
            quiet: finding.quiet,
        };
        if let Some(how) = schedule.play().broken {
            broken.push(format!("{}: {how}", file.file_stem().unwrap().display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
