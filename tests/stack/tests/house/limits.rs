//! `docs/limits.md` names each limit on what strangers send, and a test at its edge.

use std::collections::BTreeSet;
use std::path::Path;

use stack_tests::named_tests::missing;

use super::root;
use super::source::files;

/// The crates that read what strangers send.
const READERS: &[&str] = &[
    "wire", "authz", "sdk", "gateway", "oauth", "server", "egress",
];

/// `FILE NAME` of each limit on one of the page's lists, with what is named as its test.
fn on_the_page() -> Vec<(String, Option<String>)> {
    let page = std::fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let mut limits = Vec::new();
    for line in page.lines() {
        let Some((file, rest)) = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once("` "))
        else {
            continue;
        };
        let cells: Vec<&str> = rest
            .trim_end_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect();
        assert!(cells.len() == 2 || cells.len() == 3, "{line}");
        assert!(cells[1].len() > 8, "{line}");
        for name in cells[0].split(", ") {
            let test = cells.get(2).map(|test| (*test).to_owned());
            limits.push((format!("{file} {name}"), test));
        }
    }
    limits
}

/// The limits that stand in `text`.
fn limits_in(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        let rest = ["pub(crate) ", "pub(super) ", "pub "]
            .iter()
            .find_map(|prefix| line.strip_prefix(prefix))
            .unwrap_or(line);
        let Some((name, value)) = rest
            .strip_prefix("const ")
            .and_then(|rest| rest.split_once(": "))
        else {
            continue;
        };
        // One that only takes another's value, or says that there is one, is no limit of its own.
        let is_value = value
            .split_once("= ")
            .is_some_and(|(_, value)| !value.contains("::BYTES_MAX"));
        if is_value && (name.ends_with("_MAX") || name.contains("_MAX_")) {
            found.insert(name.to_owned());
        }
    }
    found
}

fn in_the_source() -> BTreeSet<String> {
    let crates = root().join("crates");
    let mut found = BTreeSet::new();
    for reader in READERS {
        for path in files(&crates.join(reader).join("src"), ".rs") {
            let name = path.strip_prefix(&crates).unwrap().display().to_string();
            if !name.contains("tests") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(
                    limits_in(&text)
                        .into_iter()
                        .map(|limit| format!("{name} {limit}")),
                );
            }
        }
    }
    found
}

#[test]
fn every_limit_on_what_strangers_send_has_a_test_at_its_edge_or_a_reason() {
    let page = on_the_page();
    let mut problems = Vec::new();
    let mut named = BTreeSet::new();
    for (limit, test) in &page {
        if !named.insert(limit.clone()) {
            problems.push(format!("{limit} stands there twice"));
        }
        let (file, name) = limit.split_once(' ').unwrap();
        let there = std::fs::read_to_string(root().join("crates").join(Path::new(file)))
            .is_ok_and(|text| limits_in(&text).contains(name));
        if !there {
            problems.push(format!("there is no {limit}"));
        }
        if let Some(test) = test {
            problems.extend(missing(test));
        }
    }
    let source = in_the_source();
    assert!(source.len() > 80, "{}", source.len());
    problems.extend(
        source
            .difference(&named)
            .map(|limit| format!("{limit} is not there")),
    );
    assert!(
        problems.is_empty(),
        "docs/limits.md:\n{}",
        problems.join("\n")
    );
}

/// So that the test above can fail.
#[test]
fn limits_are_read_out_of_source() {
    let text = "pub(crate) const A_MAX: usize = 5;\n const B_MAX: usize = other::BYTES_MAX;\nconst C_MAX: usize;\n\
                pub const D_MAX_AGE: Duration = Duration::from_secs(1);\nconst FIVE: usize = 5;";
    let found: Vec<_> = limits_in(text).into_iter().collect();
    assert_eq!(found, ["A_MAX", "D_MAX_AGE"]);
}
