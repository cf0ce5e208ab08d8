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
    assert_eq!(
        std::fs::read_dir(folder).unwrap().count(),
        generated.len(),
        "crds/ holds a file that nothing generates"
    );
}

/// Lines of the operator's own code that write a duration out, or read a clock that no test can set.
fn own_durations(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            own_durations(&path, found);
        } else if !["timing.rs", "tests.rs", "stub.rs"].contains(&name) {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let words = ["Duration::from_", "Timestamp::now", "SystemTime::now"];
            let lines = code.lines().filter(|line| {
                // Computed from what the struct says, or told by the cloud.
                let counted = ["from_secs_f64", "from_millis(longest)", "SignedDuration"];
                let counted = counted.iter().any(|word| line.contains(word));
                !counted && words.iter().any(|word| line.contains(word))
            });
            found.extend(lines.map(|line| format!("{}: {}", path.display(), line.trim())));
        }
    }
}

#[test]
fn every_duration_and_clock_comes_from_the_struct_that_main_hands_in() {
    let mut found = Vec::new();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    own_durations(std::path::Path::new(source), &mut found);
    assert!(
        found.is_empty(),
        "give it a name in src/timing.rs: {found:#?}"
    );
}
