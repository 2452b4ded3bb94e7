//! Tests that a page of `docs` names: whether they are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Reads "`file` name, name; `file`, all of it" and says what of it is missing. A file is under `crates/`, `tests/` or `examples/`.
pub fn missing(cell: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut named = false;
    for part in cell.split(';').map(str::trim) {
        let Some((file, names)) = part.strip_prefix('`').and_then(|rest| rest.split_once('`'))
        else {
            problems.push(format!("{part:?} names no file"));
            continue;
        };
        let Ok(text) = std::fs::read_to_string(path_of(file)) else {
            problems.push(format!("there is no file {file}"));
            continue;
        };
        let tests = tests_in(file, &text);
        for name in names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            named = true;
            let there = match name {
                "all of it" => !tests.is_empty(),
                name => tests.contains(name),
            };
            if !there {
                problems.push(format!("there is no test {name:?} in {file}"));
            }
        }
    }
    if !named && problems.is_empty() {
        problems.push("no test is named".into());
    }
    problems
}

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn path_of(file: &str) -> PathBuf {
    let outside = ["tests/", "xtask/", "examples/"];
    match outside.iter().any(|folder| file.starts_with(folder)) {
        true => root().join(file),
        false => root().join("crates").join(file),
    }
}

/// Functions under a test attribute, the titles of a script's checks, or the entries of a list of fuzz targets.
fn tests_in(file: &str, text: &str) -> BTreeSet<String> {
    if file.ends_with(".mjs") {
        return titles_in(text);
    }
    if file.starts_with("xtask/") {
        return functions_in(text, |_| true);
    }
    let mut tests = functions_in(text, |attribute| {
        attribute.contains("test]") || attribute.contains("::test(")
    });
    if file.ends_with("short_run.rs") {
        tests.extend(
            text.lines()
                .filter_map(|line| Some(line.trim().split_once(": \"")?.0.to_owned())),
        );
    }
    tests
}

fn functions_in(text: &str, is_test: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut under_test = is_test("");
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            under_test |= is_test(line);
        } else if let Some(rest) = line
            .strip_prefix("async fn ")
            .or_else(|| line.strip_prefix("fn "))
        {
            if under_test {
                let name = rest.split(['(', '<']).next().unwrap_or(rest);
                names.insert(name.to_owned());
            }
            under_test = is_test("");
        }
    }
    names
}

/// Without their commas, which separate names on a page.
fn titles_in(text: &str) -> BTreeSet<String> {
    let title = |rest: &str| {
        let quote = rest
            .chars()
            .next()
            .filter(|quote| ['\'', '"', '`'].contains(quote))?;
        let (title, _) = rest[1..].split_once(quote)?;
        // A title may begin with the look of the page that is tried.
        Some(title.trim_start_matches("${name}: ").replace(',', ""))
    };
    text.match_indices("check(")
        .filter_map(|(at, found)| title(&text[at + found.len()..]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_there_is_found_and_one_that_is_gone_is_missed() {
        let this = "a_test_that_is_there_is_found_and_one_that_is_gone_is_missed";
        let file = "`tests/stack/src/named_tests.rs`";
        assert_eq!(missing(&format!("{file} {this}")), Vec::<String>::new());
        assert_eq!(missing(&format!("{file}, all of it")), Vec::<String>::new());
        for cell in [
            format!("{file} a_test_that_is_gone"),
            format!("{file} {this}, a_test_that_is_gone"),
            format!("{file} missing"),
            format!("`tests/stack/src/gone.rs` {this}"),
            file.to_owned(),
            this.to_owned(),
            String::new(),
        ] {
            assert!(!missing(&cell).is_empty(), "{cell:?}");
        }
    }
}
