//! What this program is made of: where it comes from, under which terms, and what is known to be wrong with it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::root;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Advisories about crates that we have: a crate, an id and the versions without the fault on each line.
const ADVISORIES: &str = include_str!("advisories.tsv");

/// Crates that must not come in, by what they would bring.
const UNWANTED: &[(&str, &[&str])] = &[
    (
        "something that makes more of a body than it is",
        &[
            "flate2",
            "miniz_oxide",
            "brotli",
            "zstd",
            "lz4",
            "snap",
            "async-compression",
        ],
    ),
    (
        "patterns whose time grows with more than the text",
        &["fancy-regex", "onig", "pcre2", "regress"],
    ),
    (
        "XML, with its entities",
        &["quick-xml", "xml-rs", "roxmltree", "libxml"],
    ),
];

/// The terms that one of must hold for each part of what we ship.
const LICENSES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

fn locked(text: &str) -> Vec<Locked> {
    let member = |block: &str, name: &str| {
        block.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(" = \"")?;
            Some(value.trim_end_matches('"').to_owned())
        })
    };
    text.split("[[package]]")
        .skip(1)
        .map(|block| Locked {
            name: member(block, "name").unwrap(),
            version: member(block, "version").unwrap(),
            source: member(block, "source"),
            checksum: member(block, "checksum"),
        })
        .collect()
}

fn lock() -> Vec<Locked> {
    locked(&std::fs::read_to_string(root().join("Cargo.lock")).unwrap())
}

/// What is wrong with where these come from; our own have no source.
fn strangers(packages: &[Locked], ours: &BTreeSet<String>) -> Vec<String> {
    let is_right = |package: &Locked| match (&package.source, &package.checksum) {
        (None, None) => ours.contains(&package.name),
        (Some(source), Some(sum)) => {
            source == REGISTRY
                && sum.len() == 64
                && sum.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        _ => false,
    };
    let wrong = packages.iter().filter(|package| !is_right(package));
    wrong.map(|package| package.name.clone()).collect()
}

/// What cargo says of this workspace.
pub fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().unwrap().iter()
}

#[test]
fn every_crate_is_of_the_one_registry_with_its_checksum_or_ours() {
    let metadata = metadata(&["--no-deps"]);
    let ours: BTreeSet<_> = packages(&metadata)
        .map(|package| package["name"].as_str().unwrap().to_owned())
        .collect();
    let packages = lock();
    assert!(packages.len() > 200);
    assert_eq!(strangers(&packages, &ours), Vec::<String>::new());

    // The twins, each with one thing changed.
    let sum = "a".repeat(64);
    let block = |rest: &str| {
        locked(&format!(
            "[[package]]\nname = \"x\"\nversion = \"1\"\n{rest}"
        ))
    };
    let good = format!("source = \"{REGISTRY}\"\nchecksum = \"{sum}\"");
    assert!(strangers(&block(&good), &ours).is_empty());
    for wrong in [
        String::new(),
        format!("source = \"{REGISTRY}\""),
        format!("source = \"git+https://example.com/x\"\nchecksum = \"{sum}\""),
        good.replace("a\"", "\""),
    ] {
        assert_eq!(strangers(&block(&wrong), &ours), ["x"], "{wrong}");
    }
}

/// Nothing is asked for by any version or from another place, so that nobody who publishes under a name gets in unseen.
#[test]
fn every_dependency_is_asked_for_by_version_or_is_in_this_workspace() {
    let metadata = metadata(&["--no-deps"]);
    let mut asked = 0;
    for package in packages(&metadata) {
        for dependency in package["dependencies"].as_array().unwrap() {
            let named = format!("{} of {}", dependency["name"], package["name"]);
            match dependency["path"].as_str() {
                Some(path) => assert!(
                    std::path::Path::new(path).starts_with(root().canonicalize().unwrap()),
                    "{named}"
                ),
                None => {
                    assert_eq!(dependency["source"], REGISTRY, "{named}");
                    let version = dependency["req"].as_str().unwrap();
                    assert!(
                        version.contains(|char: char| char.is_ascii_digit()),
                        "{named}"
                    );
                    assert!(!version.contains(['*', '>']), "{named}: {version}");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 100);
}

/// What of `packages` an advisory is about; and the crates that advisories are about and nobody has.
fn faulty(packages: &[Locked], advisories: &str) -> (Vec<String>, Vec<String>) {
    let (mut faulty, mut absent) = (Vec::new(), Vec::new());
    for line in advisories.lines().filter(|line| !line.starts_with('#')) {
        let [name, advisory, patched] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert!(advisory.starts_with("RUSTSEC-20"), "{line}");
        let mut found = packages
            .iter()
            .filter(|package| package.name == name)
            .peekable();
        if found.peek().is_none() {
            absent.push(name.to_owned());
        }
        for package in found.filter(|package| !is_among(&package.version, patched)) {
            faulty.push(format!("{name} {}: {advisory}", package.version));
        }
    }
    (faulty, absent)
}

/// Whether the version is in one of the ranges, which `|` divides.
fn is_among(version: &str, ranges: &str) -> bool {
    let version = numbers(version);
    ranges.split('|').any(|range| {
        range.split(',').map(str::trim).all(|bound| {
            let (comparison, bound) = bound.split_once(' ').unwrap();
            match comparison {
                ">=" => version >= numbers(bound),
                "<" => version < numbers(bound),
                other => panic!("{other}"),
            }
        })
    })
}

#[test]
fn nothing_with_a_known_fault_is_locked() {
    let packages = lock();
    let (found, absent) = faulty(&packages, ADVISORIES);
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(absent, Vec::<String>::new(), "here no more; leave them out");

    // Each advisory is one that a lock can have against it.
    let listed = ADVISORIES.lines().filter(|line| !line.starts_with('#'));
    let old: String = listed
        .clone()
        .map(|line| line.split('\t').next().unwrap())
        .map(|name| format!("[[package]]\nname = \"{name}\"\nversion = \"0.0.1\"\n"))
        .collect();
    let (found, _) = faulty(&locked(&old), ADVISORIES);
    assert!(found.len() >= listed.count() && !found.is_empty());
    for (version, ranges, is_in) in [
        ("0.4.15", ">= 0.4.16", false),
        ("0.4.16", ">= 0.4.16", true),
        ("0.9.9", ">= 0.10.0", false),
        ("1.38.3", ">= 1.38.2, < 1.39.0 | >= 1.44.2", true),
        ("1.40.0", ">= 1.38.2, < 1.39.0 | >= 1.44.2", false),
        ("1.44.2", ">= 1.38.2, < 1.39.0 | >= 1.44.2", true),
    ] {
        assert_eq!(is_among(version, ranges), is_in, "{version} {ranges}");
    }
}

/// Of what is a release; what comes before one counts as it.
fn numbers(version: &str) -> Vec<u64> {
    let numbers = version.split(['-', '+']).next().unwrap().split('.');
    numbers.map(|number| number.parse().unwrap()).collect()
}

#[test]
fn what_would_unpack_backtrack_or_expand_is_not_here() {
    let packages = lock();
    for (what, names) in UNWANTED {
        for package in &packages {
            assert!(
                !names.contains(&package.name.as_str()),
                "{} brings {what}",
                package.name
            );
        }
    }
    // So that the list can fail: a name in the lock is found.
    assert!(packages.iter().any(|package| package.name == "h2"));
}

#[test]
fn everything_that_is_linked_may_be_shipped() {
    let metadata = metadata(&[]);
    let mut looked_at = 0;
    for package in packages(&metadata) {
        let terms = package["license"].as_str();
        let terms = terms.unwrap_or_else(|| panic!("{} has no license", package["name"]));
        assert!(may_be_shipped(terms), "{}: {terms}", package["name"]);
        looked_at += 1;
    }
    assert!(looked_at > 200);
    for (terms, may) in [
        ("MIT", true),
        ("MIT/GPL-3.0", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND GPL-3.0", false),
        ("GPL-3.0-only", false),
        ("AGPL-3.0 OR SSPL-1.0", false),
    ] {
        assert_eq!(may_be_shipped(terms), may, "{terms}");
    }
}

/// Reads what stands in manifests: alternatives in parentheses at most, joined by `AND`.
fn may_be_shipped(terms: &str) -> bool {
    terms.split(" AND ").all(|all| {
        let all = all.trim_start_matches('(').trim_end_matches(')');
        all.split(" OR ")
            .flat_map(|one| one.split('/'))
            .any(|one| LICENSES.contains(&one.trim()))
    })
}

/// What the tests install is pinned as well, and runs nothing while it is installed, but for the one that is Node.js.
#[test]
fn what_the_tests_install_is_pinned_and_runs_nothing_by_itself() {
    let read = |name: &str| std::fs::read_to_string(root().join("tests").join(name)).unwrap();
    let lock: Value = serde_json::from_str(&read("package-lock.json")).unwrap();
    let mut scripts = BTreeSet::new();
    let mut installed = 0;
    for (path, package) in lock["packages"].as_object().unwrap() {
        if path.is_empty() {
            continue;
        }
        installed += 1;
        let sum = package["integrity"].as_str().unwrap_or_default();
        assert!(sum.starts_with("sha512-") && sum.len() > 90, "{path}");
        if package["hasInstallScript"] == true {
            scripts.insert(path.as_str());
        }
    }
    assert!(installed > 50);
    assert_eq!(scripts, BTreeSet::from(["node_modules/node"]));
    let asked: Value = serde_json::from_str(&read("package.json")).unwrap();
    for (name, version) in asked["dependencies"].as_object().unwrap() {
        let version = version.as_str().unwrap();
        assert!(
            version.starts_with(|char: char| char.is_ascii_digit()),
            "{name} {version}"
        );
    }
    for line in read("interop/requirements.txt").lines() {
        let exact = line.split_once("==").is_some_and(|(_, version)| {
            !version.is_empty() && !version.contains(['*', ',', '>', '<'])
        });
        assert!(exact || line.starts_with('#'), "{line}");
    }
}

/// Whoever builds a release builds what was locked.
#[test]
fn a_release_is_built_from_the_lock_alone() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    for file in ["xtask/src/dist.rs", "deploy/Dockerfile.source"] {
        assert!(read(file).contains("--locked"), "{file}");
    }
    // And with no feature but the default ones, of which there are none.
    let metadata = metadata(&["--no-deps"]);
    for package in packages(&metadata) {
        let default = &package["features"]["default"];
        let is_empty = default.as_array().is_none_or(Vec::is_empty);
        assert!(is_empty || package["name"] != "portcullis-cli", "{default}");
    }
    for file in ["xtask/src/dist.rs", "deploy/Dockerfile.source"] {
        assert!(!read(file).contains("--features"), "{file}");
        assert!(!read(file).contains("--all-features"), "{file}");
    }
}
