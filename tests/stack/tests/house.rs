//! The house rule: a crate uses only what `ARCHITECTURE.md` says it uses.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[path = "house/binary.rs"]
mod binary;
#[path = "house/limits.rs"]
mod limits;
#[path = "house/source.rs"]
mod source;
#[path = "house/supply_chain.rs"]
mod supply_chain;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Crate -> (floor, crates it may use), read from the table in `ARCHITECTURE.md`.
fn planned() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut plan = BTreeMap::new();
    for line in page
        .lines()
        .filter(|line| line.starts_with("| ") && line.matches(" | ").count() == 3)
    {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let Some(name) = cells[1]
            .strip_prefix('`')
            .and_then(|cell| cell.strip_suffix('`'))
        else {
            continue;
        };
        let uses = cells[3]
            .split(',')
            .map(|word| word.trim().to_owned())
            .filter(|word| word != "–")
            .collect();
        plan.insert(name.to_owned(), (cells[0].to_owned(), uses));
    }
    plan
}

/// Folder name -> folder names of the workspace crates it depends on, by kind of dependency.
fn actual() -> BTreeMap<String, Vec<(String, Option<String>)>> {
    let metadata = supply_chain::metadata(&["--no-deps"]);
    let crates_folder = root().canonicalize().unwrap().join("crates");
    let folder = |path: &str| {
        let path = Path::new(path).canonicalize().unwrap();
        path.strip_prefix(&crates_folder)
            .ok()?
            .components()
            .next()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
    };
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let Some(name) = folder(package["manifest_path"].as_str().unwrap()) else {
            continue;
        };
        let uses = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|dependency| {
                let used = folder(dependency["path"].as_str()?)?;
                Some((used, dependency["kind"].as_str().map(str::to_owned)))
            })
            .collect();
        found.insert(name, uses);
    }
    found
}

#[test]
fn the_table_in_architecture_md_is_the_truth_that_cargo_knows() {
    let plan = planned();
    let actual = actual();
    let names: BTreeSet<_> = actual.keys().cloned().collect();
    assert_eq!(
        names,
        plan.keys().cloned().collect::<BTreeSet<_>>(),
        "crates/ and the table name different crates"
    );

    for (name, uses) in &actual {
        let (floor, allowed) = &plan[name];
        let everything = allowed.contains("everything above");
        // A crate's own tests may ask it for more features than others do.
        for (used, kind) in uses.iter().filter(|(used, _)| used != name) {
            let (used_floor, _) = &plan[used];
            if kind.as_deref() == Some("dev") {
                // Tests may use the test kit; anything else of theirs has to be below as well.
                assert!(
                    used_floor == "tests" || used_floor < floor || allowed.contains(used),
                    "{name} tests with {used}"
                );
                continue;
            }
            assert!(
                everything || allowed.contains(used),
                "{name} uses {used}, and the table does not say so"
            );
            assert_ne!(used_floor, "tests", "{name} ships {used}");
            assert!(
                used_floor <= floor || used_floor == "leaf",
                "{name} (floor {floor}) uses {used} (floor {used_floor})"
            );
            assert!(
                floor != "4" || used_floor != "4",
                "{name} and {used} are neighbours and must not know each other"
            );
        }
    }
}

#[test]
fn only_cli_has_a_binary_and_only_store_and_todo_speak_sql() {
    let manifest = |name: &str| {
        std::fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap()
    };
    for name in actual().keys() {
        let text = manifest(name);
        assert_eq!(text.contains("[[bin]]"), name == "cli", "{name}");
        assert!(
            !text.contains("sqlx") || ["store", "todo"].contains(&name.as_str()),
            "{name} speaks SQL"
        );
        // Whoever tests a tower service may do it with axum.
        let shipped = text.split("[dev-dependencies]").next().unwrap();
        assert!(
            !shipped.contains("axum") || name == "server" || name == "cli",
            "{name} uses a web framework"
        );
    }
}

/// RUSTSEC-2023-0071: the one pure library whose private RSA operations tell the key by their time. Ours is AWS-LC.
#[test]
fn private_keys_are_used_by_one_library_alone() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for leaking in ["rsa", "openssl", "native-tls"] {
        assert!(
            !lock.contains(&format!("name = \"{leaking}\"\n")),
            "{leaking} is among the dependencies"
        );
    }
    assert!(lock.contains("name = \"aws-lc-rs\"\n"));
}
