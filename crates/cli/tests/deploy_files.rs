//! The dashboard and the alert rules ask for metrics that exist.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use portcullis_cli::METRICS;
use serde_json::Value;

/// Made by whoever scrapes.
const BY_PROMETHEUS: [&str; 1] = ["up"];

fn file(name: &str) -> String {
    of_project(&format!("deploy/{name}"))
}

fn of_project(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// What `/metrics` can have, with the names that a histogram is asked for by.
fn registered() -> BTreeSet<String> {
    let [counters, gauges, durations, sizes] = METRICS;
    let of = |kind: &'static [&'static [(&'static str, &'static str)]]| {
        kind.iter().copied().flatten().map(|(name, _)| *name)
    };
    let mut names: BTreeSet<String> = of(counters).chain(of(gauges)).map(str::to_owned).collect();
    for name in of(durations).chain(of(sizes)) {
        names.extend(["bucket", "sum", "count"].map(|end| format!("{name}_{end}")));
    }
    names.extend(BY_PROMETHEUS.map(str::to_owned));
    names
}

/// The metrics of an expression: its words outside of strings, selectors, ranges and `by (…)` that are no functions.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut word = String::new();
    let mut depth = 0;
    let mut quoted = false;
    let mut labels = false;
    for character in expression.chars().chain([' ']) {
        match character {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
        let is_of_word = character.is_ascii_alphanumeric() || character == '_';
        if is_of_word && depth == 0 && !quoted {
            word.push(character);
            continue;
        }
        let ended = std::mem::take(&mut word);
        let is_call = character == '(';
        if labels && character == ')' {
            labels = false;
            continue;
        }
        labels |= ended == "by";
        let is_name = ended.starts_with(|first: char| first.is_ascii_alphabetic());
        // `sum by (le) (…)` and `rate(…)` are no metrics.
        let is_keyword = ["by", "sum", "max", "count", "or"].contains(&ended.as_str());
        if is_name && !is_call && !labels && !is_keyword {
            names.insert(ended);
        }
    }
    names
}

fn assert_registered(place: &str, expression: &str) {
    let known = registered();
    let asked = metrics_of(expression);
    assert!(!asked.is_empty(), "{place} asks for nothing: {expression}");
    for name in asked {
        assert!(known.contains(&name), "{place}: {name} is in no /metrics");
    }
    let count = |character| expression.matches(character).count();
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        assert_eq!(count(open), count(close), "{place}: {expression}");
    }
}

#[test]
fn the_names_in_an_expression_are_found_and_a_wrong_one_is_noticed() {
    let expression = r#"histogram_quantile(0.5, sum by (le, x) (rate(portcullis_a_bucket{b="c d"}[5m]))) / portcullis_d > 1"#;
    let expected = ["portcullis_a_bucket", "portcullis_d"].map(str::to_owned);
    assert_eq!(metrics_of(expression), BTreeSet::from(expected));
    assert!(!registered().contains("portcullis_calls"));
    assert!(registered().contains("portcullis_calls_total"));
    let wrong = std::panic::catch_unwind(|| assert_registered("here", "portcullis_nonsense"));
    assert!(wrong.is_err());
}

#[test]
fn every_panel_of_the_dashboard_shows_metrics_that_exist() {
    let dashboard: Value = serde_json::from_str(&file("grafana-dashboard.json")).unwrap();
    let mut expressions = 0;
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id");
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_registered(title, target["expr"].as_str().unwrap());
            expressions += 1;
        }
    }
    assert!(expressions > 30, "only {expressions} expressions were seen");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            let inner = query.strip_prefix("label_values(").unwrap();
            let (metric, _) = inner.split_once(',').unwrap();
            assert!(registered().contains(metric), "{query}");
        }
    }
}

/// One rule, as the lines of its members.
#[derive(Default)]
struct Rule {
    name: String,
    expression: String,
    severity: String,
    summary: String,
    description: String,
}

/// Reads the few forms of YAML that the file is written in, and refuses every other.
fn rules(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut folded = false;
    for (number, line) in text.lines().enumerate() {
        let place = format!("line {}: {line}", number + 1);
        assert!(!line.contains('\t') && line.trim_end() == line, "{place}");
        let words = line.trim_start();
        let indent = line.len() - words.len();
        assert_eq!(indent % 2, 0, "{place}");
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        if folded && indent == 10 {
            let rule = rules.last_mut().unwrap();
            rule.expression.push_str(words);
            rule.expression.push(' ');
            continue;
        }
        folded = false;
        let (key, value) = words.split_once(':').expect(&place);
        let value = value.trim();
        let plain = |value: &str| {
            let quoted = value
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            let inner = quoted.expect(&place);
            assert!(!inner.contains(['"', '\\']), "{place}");
            inner.to_owned()
        };
        match (indent, key) {
            (0, "groups") | (4, "rules") | (8, "labels" | "annotations") => {
                assert_eq!(value, "", "{place}");
            }
            (2, "- name") => {}
            (6, "- alert") => rules.push(Rule {
                name: value.to_owned(),
                ..Rule::default()
            }),
            (8, "expr") if value == ">-" => folded = true,
            (8, "expr") => {
                // What YAML would take for something else than a plain word.
                assert!(!value.contains(": ") && !value.contains(" #"), "{place}");
                rules.last_mut().unwrap().expression = value.to_owned();
            }
            (8, "for") => {
                assert!(value.ends_with(['s', 'm', 'h']), "{place}");
            }
            (10, "severity") => rules.last_mut().unwrap().severity = value.to_owned(),
            (10, "summary") => rules.last_mut().unwrap().summary = plain(value),
            (10, "description") => rules.last_mut().unwrap().description = plain(value),
            _ => panic!("{place}"),
        }
    }
    rules
}

#[test]
fn every_alert_watches_metrics_that_exist_and_says_what_to_do() {
    let rules = rules(&file("alerts.yml"));
    assert!(rules.len() >= 15, "only {} rules were read", rules.len());
    let mut names = BTreeSet::new();
    for rule in &rules {
        assert!(rule.name.starts_with("Portcullis"), "{}", rule.name);
        assert!(names.insert(&rule.name), "{} stands twice", rule.name);
        assert_registered(&rule.name, &rule.expression);
        assert!(
            ["page", "ticket"].contains(&rule.severity.as_str()),
            "{}",
            rule.name
        );
        assert!(
            !rule.summary.is_empty() && !rule.description.is_empty(),
            "{}",
            rule.name
        );
    }
}

/// Alerts and their severities, as the table in `docs/operate.md` has them; every row says something in each column.
fn explained(page: &str) -> BTreeSet<(String, String)> {
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `Portcullis"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{row}");
        assert!(cells.iter().all(|cell| cell.len() > 3), "{row}");
        (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())
    })
    .collect()
}

#[test]
fn the_page_on_running_it_explains_each_alert_and_no_other() {
    let page = of_project("docs/operate.md");
    let explained = explained(&page);
    let of_rule = |rule: Rule| (rule.name, rule.severity);
    let rules: BTreeSet<_> = rules(&file("alerts.yml"))
        .into_iter()
        .map(of_rule)
        .collect();
    assert_eq!(explained, rules);
    let count = |page: &str| self::explained(page).len();
    assert_eq!(
        count(&page.replace("| `PortcullisDown`", "| `Down`")),
        rules.len() - 1
    );
}

/// The configuration of the containers, with secrets where the test has them.
#[test]
fn the_configuration_that_containers_get_is_one_that_serve_takes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let url = "postgres://portcullis:secret@postgres:5432/portcullis";
    std::fs::write(at.join("database_url"), url).unwrap();
    std::fs::write(at.join("master_key"), "A".repeat(43)).unwrap();
    let given = file("portcullis.toml");
    let text = given.replace("/run/secrets", at.to_str().unwrap());
    assert_ne!(text, given);
    let check = |text: &str| {
        let config = at.join("portcullis.toml");
        std::fs::write(&config, text).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["config", "check", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (taken, said) = check(&text);
    assert!(taken, "{said}");
    assert!(!said.contains("secret@"), "{said}");
    let (taken, said) = check(&text.replace("notice", "notise"));
    assert!(!taken);
    assert!(said.contains("notice"), "{said}");
}
