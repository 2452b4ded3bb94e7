//! `docs/spec-map.md` names a test, or a reason, for every row of the specification that concerns us.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use stack_tests::named_tests::{missing, root};

/// The lists that are held whole, and how many rows each has: numbered from 1.
const LISTS: [(&str, u32); 11] = [
    ("J", 30),           // revision 2025-06-18
    ("N", 26),           // revision 2025-11-25
    ("A4-", 64),         // revision 2026-07-28
    ("SBP-", 12),        // its page of security best practices
    ("CIMD-", 18),       // client ID metadata documents, drafts -00 and -02
    ("D2-C", 5),         // the client credentials extension
    ("Clients 0.", 25),  // what makes the first try work with all of them
    ("Clients 1a.", 33), // who they are, and where they return
    ("Clients 1b.", 20), // how they ask and refresh
    ("Clients 1c.", 4),  // what hosted ones want
    ("Clients 2.", 71),  // how it was seen to fail
];

/// A row of one of the page's tables.
struct Row {
    first: String,
    last: String,
}

#[test]
fn every_row_has_a_test_that_exists_or_a_reason() {
    let known: BTreeSet<String> = LISTS
        .iter()
        .flat_map(|(list, count)| (1..=*count).map(move |number| format!("{list}{number}")))
        .collect();
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for row in rows() {
        problems.extend(problems_of(&row));
        for id in row.first.split(',').map(str::trim).filter(|id| is_id(id)) {
            if !known.contains(id) {
                problems.push(format!("{id} is in no list"));
            } else if !seen.insert(id.to_owned()) {
                problems.push(format!("{id} stands there twice"));
            }
        }
    }
    problems.extend(known.difference(&seen).map(|id| format!("{id} has no row")));
    assert!(
        problems.is_empty(),
        "docs/spec-map.md:\n{}",
        problems.join("\n")
    );
}

/// So that the test above can fail.
#[test]
fn a_row_without_test_or_reason_is_found() {
    let row = |last: &str| Row {
        first: "J1".into(),
        last: last.into(),
    };
    let this = "`tests/stack/tests/spec_map.rs` a_row_without_test_or_reason_is_found";
    for good in [this, "not here: the client decides"] {
        assert_eq!(problems_of(&row(good)), Vec::<String>::new());
    }
    for bad in ["", "–", "not here:", "`tests/stack/tests/spec_map.rs` gone"] {
        assert!(!problems_of(&row(bad)).is_empty(), "{bad:?}");
    }
    assert!(is_id("A4-12") && is_id("J3") && is_id("Clients 0.7") && is_id("D2-C1"));
    assert!(is_id("Clients 1a.33") && !is_id("Clients 1a") && !is_id("Clients 1d.1"));
    assert!(!is_id("RFC 6749 3.1") && !is_id("JSON-RPC 2.0") && !is_id("J"));
}

fn rows() -> Vec<Row> {
    let page = std::fs::read_to_string(root().join("docs/spec-map.md")).unwrap();
    page.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells.last() != Some(&"Test"))
        .map(|cells| Row {
            first: cells[0].to_owned(),
            last: cells[cells.len() - 1].to_owned(),
        })
        .collect()
}

fn is_id(text: &str) -> bool {
    LISTS.iter().any(|(list, _)| {
        text.strip_prefix(list)
            .is_some_and(|number| number.parse::<u32>().is_ok())
    })
}

fn problems_of(row: &Row) -> Vec<String> {
    let problems = match row.last.strip_prefix("not here:") {
        Some(reason) if reason.trim().len() > 10 => Vec::new(),
        Some(_) => vec!["gives no reason".to_owned()],
        None => missing(&row.last),
    };
    let name = &row.first;
    problems
        .into_iter()
        .map(|problem| format!("{name}: {problem}"))
        .collect()
}
