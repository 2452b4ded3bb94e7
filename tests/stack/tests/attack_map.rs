//! `docs/attack-map.md` names a test, or a reason, for every attack that concerns the authorization server, the gateway or how
//! they are run.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use stack_tests::named_tests::{missing, root};

/// The groups of attacks and how many there are in each, numbered from 1: a row that is missing from the page is as
/// wrong as one that nobody knows.
const GROUPS: &[(&str, u32)] = &[
    ("AZ", 28), // the authorization endpoint and redirect addresses
    ("CO", 21), // codes and PKCE
    ("CN", 18), // consent and the confused deputy
    ("RG", 18), // registration
    ("CM", 17), // client ID metadata documents
    ("TK", 8),  // the token endpoint
    ("RF", 13), // refresh tokens
    ("RV", 5),  // revocation
    ("IN", 4),  // introspection
    ("CA", 8),  // client authentication
    ("RI", 6),  // resource indicators
    ("JW", 15), // JWTs
    ("JK", 6),  // key sets
    ("MD", 10), // metadata
    ("SE", 8),  // login sessions
    ("PW", 11), // passwords
    ("UI", 16), // what a browser is shown
    ("TI", 11), // tools that are not what they say
    ("SF", 14), // outgoing requests
    ("DS", 13), // denial of service and limits
    ("CR", 16), // storage and crashes
    ("KY", 6),  // keys
    ("LG", 7),  // logs and audit
    ("SC", 6),  // the supply chain
    ("GH", 25), // HTTP at the gateway
    ("GJ", 18), // messages that two readers read differently
    ("GS", 20), // scopes and state per tool
    ("ST", 8),  // streams
    ("SD", 10), // the library
    ("AD", 14), // the dashboard and the admin API
];

#[derive(Debug)]
struct Row {
    id: String,
    attack: String,
    refused: String,
    accepted: String,
}

#[test]
fn every_attack_has_a_test_that_exists_or_a_reason() {
    let rows = rows();
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for row in &rows {
        if !seen.insert(row.id.clone()) {
            problems.push(format!("{} stands there twice", row.id));
        }
        problems.extend(problems_of(row));
    }
    let known = known();
    problems.extend(known.difference(&seen).map(|id| format!("{id} has no row")));
    problems.extend(
        seen.difference(&known)
            .map(|id| format!("{id} is no attack we know")),
    );
    assert!(
        problems.is_empty(),
        "docs/attack-map.md:\n{}",
        problems.join("\n")
    );
    assert_eq!(rows.len(), 380);
}

/// So that the test above can fail.
#[test]
fn a_row_without_test_or_reason_and_a_test_that_is_gone_are_found() {
    let row = |refused: &str, accepted: &str| Row {
        id: "AZ-01".into(),
        attack: "an address that is not registered".into(),
        refused: refused.into(),
        accepted: accepted.into(),
    };
    let this = "`tests/stack/tests/attack_map.rs` every_attack_has_a_test_that_exists_or_a_reason";
    assert_eq!(problems_of(&row(this, "same")), Vec::<String>::new());
    assert_eq!(
        problems_of(&row("not here: no such feature yet", "–")),
        Vec::<String>::new()
    );
    for (refused, accepted) in [
        ("", ""),
        (this, ""),
        ("–", "–"),
        ("not here:", "–"),
        (
            "`tests/stack/tests/attack_map.rs` a_test_that_is_gone",
            "same",
        ),
        ("`tests/stack/tests/attack_map.rs` problems_of", "same"),
        (
            "`tests/stack/tests/gone.rs` every_attack_has_a_test_that_exists_or_a_reason",
            "same",
        ),
        (
            this,
            "`tests/stack/tests/attack_map.rs` a_twin_that_is_gone",
        ),
        ("every_attack_has_a_test_that_exists_or_a_reason", "same"),
    ] {
        assert!(
            !problems_of(&row(refused, accepted)).is_empty(),
            "{refused:?} {accepted:?}"
        );
    }
}

fn known() -> BTreeSet<String> {
    GROUPS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}-{number:02}")))
        .collect()
}

fn rows() -> Vec<Row> {
    let page = std::fs::read_to_string(root().join("docs/attack-map.md")).unwrap();
    page.lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_uppercase())
        .filter(|line| {
            line.split(['-', ' '])
                .nth(2)
                .is_some_and(|part| part.parse::<u32>().is_ok())
        })
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 4, "a row has four cells: {line}");
            Row {
                id: cells[0].to_owned(),
                attack: cells[1].to_owned(),
                refused: cells[2].to_owned(),
                accepted: cells[3].to_owned(),
            }
        })
        .collect()
}

fn problems_of(row: &Row) -> Vec<String> {
    let id = &row.id;
    if row.attack.is_empty() {
        return vec![format!("{id} does not say what it is")];
    }
    if let Some(reason) = row.refused.strip_prefix("not here:") {
        return match reason.trim().len() {
            0..=10 => vec![format!("{id} gives no reason")],
            _ => Vec::new(),
        };
    }
    let mut problems = missing(&row.refused);
    if row.accepted != "same" {
        problems.extend(missing(&row.accepted));
    }
    problems
        .iter()
        .map(|problem| format!("{id}: {problem}"))
        .collect()
}

/// How many there are of each group, for whoever changes the page.
#[test]
fn the_page_counts_its_rows_right() {
    let page = std::fs::read_to_string(root().join("docs/attack-map.md")).unwrap();
    let mut tested: BTreeMap<bool, u32> = BTreeMap::new();
    for row in rows() {
        *tested
            .entry(!row.refused.starts_with("not here:"))
            .or_default() += 1;
    }
    let line = format!(
        "{} attacks: {} have a test, {} have a reason.",
        tested.values().sum::<u32>(),
        tested.get(&true).unwrap_or(&0),
        tested.get(&false).unwrap_or(&0)
    );
    assert!(
        page.contains(&line),
        "docs/attack-map.md should say: {line}"
    );
}
