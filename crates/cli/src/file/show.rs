use serde_json::json;
use toml::Value;

use super::apply::Planned;
use super::differences::{Action, Field, Step};
use crate::terminal::{Terminal, plain};

/// More of what stays as it is helps nobody.
const LEFT_MAX: usize = 20;

impl Planned {
    /// For a person.
    pub(super) fn show(&self, out: &Terminal) {
        for step in &self.steps {
            show_step(step, out);
        }
        for left in self.wanted.left.iter().take(LEFT_MAX) {
            out.line(out.paint.dim(format!(
                "{} is not in the file and stays; {}",
                plain(&left.path, 300),
                left.hint
            )));
        }
        if self.wanted.left.len() > LEFT_MAX {
            let more = self.wanted.left.len() - LEFT_MAX;
            out.line(
                out.paint
                    .dim(format!("{more} more are not in the file and stay")),
            );
        }
        if !self.steps.is_empty() || !self.wanted.left.is_empty() {
            out.line("");
        }
        out.line(self.summary());
    }

    /// `1 created, 2 changed, 0 removed`.
    pub(super) fn summary(&self) -> String {
        if self.steps.is_empty() {
            return "nothing to change".to_owned();
        }
        let count = |action| {
            self.steps
                .iter()
                .filter(|step| step.action == action)
                .count()
        };
        format!(
            "{} to create, {} to change, {} to remove",
            count(Action::Create),
            count(Action::Change),
            count(Action::Remove)
        )
    }

    /// For a program.
    pub(super) fn json(&self) -> serde_json::Value {
        let left = self.wanted.left.iter();
        json!({
            "base": self.base,
            "store": self.base_now,
            "stale": self.is_stale(),
            "changes": self.steps,
            "left": left
                .map(|left| json!({ "path": left.path, "hint": left.hint }))
                .collect::<Vec<_>>(),
        })
    }
}

fn show_step(step: &Step, out: &Terminal) {
    let action = match step.action {
        Action::Create => out.paint.good("created"),
        Action::Change => out.paint.warn("changed"),
        Action::Remove => out.paint.bad("removed"),
    };
    let path = plain(&step.path, 300);
    out.line(format!("{}  {action}", out.paint.bold(path)));
    let names = step.fields.iter().map(|field| plain(&field.field, 200));
    let names: Vec<String> = names.collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or_default().min(40);
    for (field, name) in step.fields.iter().zip(&names) {
        let label = out.paint.dim(format!("{name:width$}"));
        out.line(format!("  {label}  {}", told(field)));
    }
    for words in &step.consequences {
        out.line(format!(
            "  {}",
            out.paint.warn(format!("! {}", plain(words, 500)))
        ));
    }
}

fn told(field: &Field) -> String {
    match (&field.old, &field.new) {
        (Some(old), Some(new)) => format!("{} → {}", words(old), words(new)),
        (None, Some(new)) => words(new),
        (Some(old), None) => format!("{} → gone", words(old)),
        (None, None) => String::new(),
    }
}

/// A value in one line: as the file has it, or what matters of a table.
fn words(value: &Value) -> String {
    let text = match value {
        Value::Table(table) => {
            let some = |keys: &[&str]| {
                let said = keys.iter().filter_map(|key| {
                    let value = table.get(*key)?;
                    Some(format!("{key} {}", words(value)))
                });
                said.collect::<Vec<_>>().join(", ")
            };
            let count = |key: &str| match table.get(key) {
                Some(Value::Table(entries)) => entries.len(),
                _ => 0,
            };
            if table.contains_key("mode") {
                format!(
                    "{}, {} tools",
                    some(&["mode", "default_scopes"]),
                    count("tools")
                )
            } else if table.contains_key("kind") {
                some(&["kind", "url", "command", "env"])
            } else if table.contains_key("title") {
                some(&["name", "needs", "access", "risk"])
            } else {
                let all: Vec<&str> = table.keys().map(String::as_str).collect();
                some(&all)
            }
        }
        Value::Array(list) if list.iter().any(Value::is_table) => {
            let names = list.iter().filter_map(|one| one.get("name"));
            names.map(words).collect::<Vec<_>>().join(", ")
        }
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let all: Vec<String> = list.iter().map(ToString::to_string).collect();
            format!("[{}]", all.join(", "))
        }
        other => other.to_string(),
    };
    match text.as_str() {
        "" => "nothing".to_owned(),
        text => plain(text, 300),
    }
}
