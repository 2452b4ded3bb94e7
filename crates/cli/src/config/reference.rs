//! `docs/configuration.md`, made from the schema.

use std::fmt::Write as _;

use serde_json::Value;

use super::environment::variable;
use super::schema::{Kind, Shape};

const BEGINNING: &str = "\
# Configuration

Made by `portcullis config reference`; do not edit. `portcullis config schema` prints the same as a JSON schema for editors.

`portcullis serve --config portcullis.toml` reads one TOML file. The smallest is one line:

    public_url = \"https://mcp.example.com\"

Every other setting has a default. Unknown keys are refused with the nearest known name, their line and column. Times are written with
their unit (`90s`, `30m`, `12h`, `90d`), sizes too (`64KiB`, `4MiB`). A variable of the environment counts over the file: its name is
`PORTCULLIS__` and the keys in capitals with two underscores between them, so `PORTCULLIS__LIMITS__REQUEST_BODY=8MiB`; a list is
written with commas or as TOML. Secrets may come from files, by the setting that ends in `_file`. `portcullis config check` says what
would run, where each value comes from, and what is wrong.

MCP servers, scopes and people are not in the file: `portcullis servers`, `users` and `clients` change them while it runs. Give those
commands the same `--config`.
";

/// The page.
pub fn page(document: &Value) -> String {
    let mut page = BEGINNING.to_owned();
    page.push_str("\n## At the top\n\n");
    keys(&mut page, &[], &Shape::root(document));
    page
}

/// The keys of a section, then the sections in it.
fn keys(page: &mut String, path: &[&str], shape: &Shape<'_>) {
    let (sections, plain): (Vec<_>, Vec<_>) = shape
        .keys()
        .into_iter()
        .partition(|(_, shape)| shape.kind() == Kind::Table);
    for (key, shape) in &plain {
        setting(page, &[path, &[key]].concat(), shape);
    }
    for (section, shape) in &sections {
        let path = [path, &[section]].concat();
        let words = flowing(shape.words());
        let _ = writeln!(page, "\n## [{}]\n\n{words}\n", path.join("."));
        keys(page, &path, shape);
    }
}

fn setting(page: &mut String, path: &[&str], shape: &Shape<'_>) {
    let key = path.last().copied().unwrap_or_default();
    let _ = writeln!(page, "**`{key}`** {}  ", form(shape));
    let _ = writeln!(page, "{}  ", flowing(shape.words()));
    for (choice, words) in shape.choices() {
        let _ = writeln!(page, "`{choice}`: {}  ", flowing(words));
    }
    if shape.kind() == Kind::List && shape.item().kind() == Kind::Table {
        for (inner, shape) in shape.item().keys() {
            let _ = writeln!(page, "`{inner}`: {}  ", flowing(shape.words()));
        }
    }
    let _ = writeln!(page, "`{}`\n", variable(path));
}

/// Its kind, default and limits in a few words.
fn form(shape: &Shape<'_>) -> String {
    let item = shape.item();
    let mut words = vec![match shape.kind() {
        // Written as a heading of its own.
        Kind::Table => String::new(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer => match shape.range() {
            (Some(least), Some(most)) => format!("number from {least} to {most}"),
            _ => "number".to_owned(),
        },
        Kind::List if item.kind() == Kind::Table => "list of tables".to_owned(),
        Kind::List => format!("list{}", examples(&item)),
        Kind::Text if !shape.choices().is_empty() => "one word".to_owned(),
        Kind::Text if shape.is_secret() => "secret text".to_owned(),
        Kind::Text => format!("text{}", examples(shape)),
    }];
    match shape.default() {
        Value::Null => {}
        Value::Array(list) if list.is_empty() => {}
        other => words.push(format!("default `{other}`")),
    }
    words.join(", ")
}

fn examples(shape: &Shape<'_>) -> String {
    let examples = shape.examples();
    match examples.is_empty() {
        true => String::new(),
        false => {
            let quoted: Vec<String> = examples.iter().map(|one| format!("`{one}`")).collect();
            format!(" such as {}", quoted.join(", "))
        }
    }
}

/// Rustdoc's line ends are where the source had room.
fn flowing(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
