use authz::{Answer, ListKind, Mode, Policy, Reach, RuleClient, answer};
use domain::McpServer;
use serde_json::json;

use super::command::TableArguments;
use super::standings::{Alike, Standings};
use super::through::Through;
use crate::failure::usage;
use crate::maintenance::{Maintenance, table};
use crate::terminal::{Terminal, plain};

/// The widest name of a tool in the table; a longer one is cut.
const NAME_WIDTH: usize = 36;
/// A letter and the cells below it.
const COLUMN_WIDTH: usize = 6;

/// One element and what each kind of people gets.
struct Row {
    kind: ListKind,
    name: String,
    conditions: Vec<String>,
    cells: Vec<Answer>,
}

impl Maintenance {
    pub(super) async fn policy_table(
        &self,
        asked: TableArguments,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(&asked.server), "SERVER").await?;
        let revision = asked.revision.unwrap_or(server.policy_revision);
        let (_, policy) = self.policy_at(&server, revision).await?;
        let through = match &asked.client {
            Some(id) => self.known_client(&server, id).await?,
            None => Through::default(),
        };
        let standings = Standings::load(self.store(), &server.slug).await?;
        let person = match &asked.person {
            Some(person) => Some(self.person(person).await?),
            None => None,
        };
        let alike = match &person {
            None => standings.alike(&[&policy], &through),
            Some(user) => vec![Alike {
                caller: standings.caller(user.id.as_str(), &through),
                label: user.email.to_string(),
                people: vec![(user.id.to_string(), user.email.to_string())],
            }],
        };
        // Of a policy that only observes, what it would enforce.
        let enforcing = Policy {
            mode: Mode::Enforce,
            ..policy.clone()
        };
        let rows = rows(&enforcing, &alike);
        if asked.json {
            let callers = alike.iter().map(|one| {
                let people = one.people.iter().map(|(id, _)| id);
                json!({
                    "label": one.label,
                    "roles": one.caller.roles,
                    "groups": one.caller.groups,
                    "people": people.collect::<Vec<_>>(),
                })
            });
            let rows = rows.iter().map(|row| {
                json!({
                    "kind": row.kind.member(),
                    "name": row.name,
                    "conditions": row.conditions,
                    "cells": row.cells,
                })
            });
            let document = json!({
                "server": server.slug,
                "revision": revision,
                "mode": policy.mode,
                "client": asked.client,
                "callers": callers.collect::<Vec<_>>(),
                "rows": rows.collect::<Vec<_>>(),
            });
            out.line(serde_json::to_string_pretty(&document)?);
            return Ok(());
        }
        let head = format!("{}, policy revision {revision}", server.slug);
        out.line(out.paint.bold(head));
        out.line(format!(
            "what people reach who approved everything, through {}",
            plain(&through.words, 60)
        ));
        for note in notes(&policy, asked.client.is_some()) {
            out.line(out.paint.warn(note));
        }
        out.line("");
        if rows.is_empty() {
            out.line("nothing is mapped yet, so nobody reaches anything");
            return Ok(());
        }
        match person {
            Some(_) => one_person(&rows, out),
            None => everybody(&alike, &rows, out),
        }
        Ok(())
    }

    async fn known_client(&self, server: &McpServer, id: &str) -> anyhow::Result<Through> {
        let client = domain::ClientId::from_text(id);
        let is_known = client.is_metadata_document()
            || id.starts_with("svt_")
            || self
                .store()
                .find_client(&server.slug, &client)
                .await?
                .is_some();
        match is_known {
            true => Ok(Through::of(self.store(), &server.slug, id).await?),
            false => Err(usage(format!(
                "--client {}: {} has no such client; portcullis clients list shows them",
                plain(id, 60),
                server.slug
            ))),
        }
    }
}

fn rows(policy: &Policy, alike: &[Alike]) -> Vec<Row> {
    let callers: Vec<_> = alike.iter().map(|one| one.caller.at_most(policy)).collect();
    let mut rows = Vec::new();
    for kind in ListKind::ALL {
        for (name, entry) in policy.entries(kind) {
            let cells = callers
                .iter()
                .map(|caller| answer(policy, caller, kind, name));
            rows.push(Row {
                kind,
                name: name.clone(),
                conditions: entry.conditions.iter().map(ToString::to_string).collect(),
                cells: cells.collect(),
            });
        }
    }
    rows
}

/// What a reader must know who would take the table for more than it is.
fn notes(policy: &Policy, is_client_said: bool) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if !policy.enforced() {
        notes.push("it only observes: nothing is denied yet; this is what it would enforce");
    }
    let mut rules = policy.subject_rules.iter();
    if !is_client_said && rules.any(|rule| rule.client != RuleClient::Any) {
        notes.push("rules speak of clients: --client ID shows what people reach through that one");
    }
    notes
}

fn one_person(rows: &[Row], out: &Terminal) {
    let mut table = table(out, &["TOOL", "REACHES", "BY"]);
    for row in rows {
        for cell in &row.cells {
            let mut by = cell.rule.escape_debug().to_string();
            if cell.reach != Reach::Denied && !row.conditions.is_empty() {
                by = format!("{by}; only when {}", row.conditions.join(" and "));
            }
            table.add_row([plain(&named(row), 80), cell.answer.clone(), plain(&by, 200)]);
        }
    }
    out.line(table.trim_fmt());
}

/// A letter for each kind of people, and blocks of as many as the terminal is wide.
fn everybody(alike: &[Alike], rows: &[Row], out: &Terminal) {
    let letters: Vec<String> = (0..alike.len()).map(letter).collect();
    for (letter, one) in letters.iter().zip(alike) {
        let who = match one.people.as_slice() {
            [(_, email)] if *email == one.label => String::new(),
            _ => format!(": {}", one.who()),
        };
        let width = out.width.saturating_sub(6);
        let text = plain(&format!("{}{who}", one.label), width);
        out.line(format!(
            "  {} {text}",
            out.paint.bold(format!("{letter:3}"))
        ));
    }
    let names: Vec<String> = rows.iter().map(|row| cut(&named(row))).collect();
    let first = names
        .iter()
        .map(|name| console::measure_text_width(name))
        .max();
    let first = first.unwrap_or_default().max("TOOL".len());
    let at_once = (out.width.saturating_sub(first) / COLUMN_WIDTH).max(1);
    let padded = |text: &str, width: usize| {
        console::pad_str(text, width, console::Alignment::Left, None).into_owned()
    };
    for (block, letters) in letters.chunks(at_once).enumerate() {
        out.line("");
        let heads = letters
            .iter()
            .map(|letter| format!("  {}", padded(letter, COLUMN_WIDTH - 2)));
        let head = format!("{}{}", padded("TOOL", first), heads.collect::<String>());
        out.line(out.paint.bold(head.trim_end()));
        for (row, name) in rows.iter().zip(&names) {
            let cells = &row.cells[block * at_once..][..letters.len()];
            let mut line = padded(name, first);
            for cell in cells {
                line.push_str("  ");
                line.push_str(&padded(
                    word(cell, !row.conditions.is_empty()),
                    COLUMN_WIDTH - 2,
                ));
            }
            out.line(line.trim_end());
        }
    }
    out.line("");
    if rows.iter().any(|row| !row.conditions.is_empty()) {
        out.line(out.paint.dim("yes*  with some arguments alone"));
    }
    out.line(out.paint.dim("--person PERSON says why"));
}

fn word(answer: &Answer, has_conditions: bool) -> &'static str {
    match (answer.reach, has_conditions) {
        (Reach::Allowed, false) => "yes",
        (Reach::Allowed, true) => "yes*",
        (Reach::IfAsked, _) => "ask",
        (Reach::Denied, _) => "–",
    }
}

/// What it is called; what is no tool says so.
fn named(row: &Row) -> String {
    let name = row.name.escape_debug();
    match row.kind {
        ListKind::Tools => name.to_string(),
        ListKind::Prompts => format!("prompt {name}"),
        ListKind::Resources => format!("resource {name}"),
        ListKind::ResourceTemplates => format!("template {name}"),
        ListKind::Instructions => name.to_string(),
    }
}

/// By columns, since a character may be two wide.
fn cut(name: &str) -> String {
    console::truncate_str(&plain(name, 200), NAME_WIDTH, "…").into_owned()
}

/// `A` to `Z`, then `AA` and so on.
fn letter(index: usize) -> String {
    let last = char::from(b'A' + u8::try_from(index % 26).unwrap_or_default());
    match index / 26 {
        0 => last.to_string(),
        more => format!("{}{last}", letter(more - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_go_on_after_z() {
        let letters = [0, 1, 25, 26, 27, 701, 702].map(letter);
        assert_eq!(letters, ["A", "B", "Z", "AA", "AB", "ZZ", "AAA"]);
    }

    #[test]
    fn a_name_that_is_long_or_wide_is_cut_to_the_columns_there_are() {
        for name in ["x".repeat(500), "寅".repeat(100), "a\u{301}".repeat(100)] {
            assert!(
                console::measure_text_width(&cut(&name)) <= NAME_WIDTH,
                "{name}"
            );
        }
        assert_eq!(cut("add_todo"), "add_todo");
    }
}
