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
