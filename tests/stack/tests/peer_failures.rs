//! `docs/peer-failures.md` names a test, or a reason, for each failure that was seen in a product like this one.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use stack_tests::named_tests::{missing, root};

/// Where it was seen, and how many there are of each, numbered from 1.
const GROUPS: [(&str, usize); 3] = [("AS", 33), ("SK", 29), ("GD", 10)];

struct Row {
    id: String,
    seen: String,
    here: String,
    tests: String,
}

#[test]
fn every_failure_has_a_test_that_exists_or_a_reason() {
    let page = page();
    let rows = rows(&page);
    let mut problems: Vec<String> = rows.iter().flat_map(problems_of).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let known: Vec<String> = GROUPS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}-{number:02}")))
        .collect();
    if ids != known {
        let there: BTreeSet<&str> = ids.into_iter().collect();
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        let differ: Vec<_> = known.symmetric_difference(&there).collect();
        problems.push(format!(
            "not each row once and in order, or unknown: {differ:?}"
        ));
    }
    let reasons = rows.iter().filter(|row| row.reason().is_some()).count();
    let counts = format!(
        "{} failures: {} have a test, {reasons} have a reason.",
        rows.len(),
        rows.len() - reasons
    );
    if !page.contains(&counts) {
        problems.push(format!("it should say: {counts}"));
    }
    assert!(
        problems.is_empty(),
        "docs/peer-failures.md:\n{}",
        problems.join("\n")
    );
}

/// So that the test above can fail.
#[test]
fn a_row_without_test_or_reason_is_found() {
    let row = |here: &str, tests: &str| Row {
        id: "AS-01".into(),
        seen: "a token that is none".into(),
        here: here.into(),
        tests: tests.into(),
    };
    let this = "`tests/stack/tests/peer_failures.rs` a_row_without_test_or_reason_is_found";
    for good in [
        row("refused", this),
        row("", "not here: there is no such thing"),
    ] {
        assert_eq!(problems_of(&good), Vec::<String>::new());
    }
    for bad in [
        row("", this),
        row("refused", ""),
        row("refused", "–"),
        row("", "not here:"),
        row("refused", "`tests/stack/tests/peer_failures.rs` gone"),
    ] {
        assert!(!problems_of(&bad).is_empty(), "{:?}", bad.tests);
    }
}

impl Row {
    fn reason(&self) -> Option<&str> {
        self.tests.strip_prefix("not here:").map(str::trim)
    }
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/peer-failures.md")).unwrap()
}

fn rows(page: &str) -> Vec<Row> {
    page.lines()
        .filter(|line| {
            GROUPS
                .iter()
                .any(|(group, _)| line.starts_with(&format!("| {group}-")))
        })
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [id, seen, here, tests] = cells[..] else {
                panic!("a row has four cells: {line}");
            };
            Row {
                id: id.to_owned(),
                seen: seen.to_owned(),
                here: here.to_owned(),
                tests: tests.to_owned(),
            }
        })
        .collect()
}

fn problems_of(row: &Row) -> Vec<String> {
    let problems = match row.reason() {
        _ if row.seen.is_empty() => vec!["it does not say what was seen".to_owned()],
        Some(reason) if reason.len() <= 10 => vec!["it gives no reason".to_owned()],
        Some(_) => Vec::new(),
        None if row.here.is_empty() => vec!["it does not say what happens here".to_owned()],
        None => missing(&row.tests),
    };
    problems
        .iter()
        .map(|problem| format!("{}: {problem}", row.id))
        .collect()
}
