use std::fmt;

use serde::Serialize;

use crate::{Caller, Decision, ListKind, ListStepUp, Policy, Viewer};

/// Who may call what, as somebody reads it who does not read policies: callers across, tools and the rest down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionTable {
    /// What the callers are called, in the order of the cells.
    pub callers: Vec<String>,
    /// One for each thing that the policy knows.
    pub rows: Vec<DecisionRow>,
}

/// One tool, resource, template or prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionRow {
    /// `tool`, `resource`, `resource template` or `prompt`.
    pub kind: &'static str,
    /// Its name or URI.
    pub name: String,
    /// What must be true of its arguments, in words.
    pub conditions: Vec<String>,
    /// For each caller: `yes`, `if asked: SCOPES`, or `no: REASON`.
    pub cells: Vec<String>,
}

/// What `policy` decides for these callers.
pub fn decision_table(policy: &Policy, callers: &[(String, Caller)]) -> DecisionTable {
    let viewers: Vec<_> = callers
        .iter()
        .map(|(_, caller)| Viewer::new(policy, caller, ListStepUp::Always))
        .collect();
    let rows = ListKind::ALL.into_iter().flat_map(|kind| {
        let viewers = &viewers;
        policy
            .entries(kind)
            .iter()
            .map(move |(name, entry)| DecisionRow {
                kind: word(kind),
                name: name.clone(),
                conditions: entry.conditions.iter().map(ToString::to_string).collect(),
                cells: viewers
                    .iter()
                    .map(|viewer| cell(&viewer.decision(kind, name)))
                    .collect(),
            })
    });
    DecisionTable {
        rows: rows.collect(),
        callers: callers.iter().map(|(name, _)| name.clone()).collect(),
    }
}

pub(crate) fn word(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Tools => "tool",
        ListKind::Resources => "resource",
        ListKind::ResourceTemplates => "resource template",
        ListKind::Prompts => "prompt",
        ListKind::Instructions => "instructions",
    }
}

pub(crate) fn cell(decision: &Decision) -> String {
    match decision {
        Decision::Allowed { .. } => "yes".to_owned(),
        Decision::NeedsScope { required, .. } => format!("if asked: {required}"),
        Decision::Denied { reason, .. } => format!("no: {}", reason.as_str().replace('_', " ")),
    }
}

impl fmt::Display for DecisionTable {
    /// In columns; conditions stand below their tool.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = |row: &DecisionRow| format!("{} {}", row.kind, row.name);
        let width = |texts: &mut dyn Iterator<Item = String>| {
            texts.map(|text| text.chars().count()).max().unwrap_or(0)
        };
        let first = width(&mut self.rows.iter().map(title));
        let widths: Vec<usize> = (0..self.callers.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| row.cells[column].clone());
                width(&mut std::iter::once(self.callers[column].clone()).chain(cells))
            })
            .collect();
        let line = |formatter: &mut fmt::Formatter<'_>, head: &str, cells: &[String]| {
            let mut line = format!("{head:first$}");
            for (cell, width) in cells.iter().zip(&widths) {
                line.push_str(&format!("  {cell:width$}"));
            }
            writeln!(formatter, "{}", line.trim_end())
        };
        line(formatter, "", &self.callers)?;
        for row in &self.rows {
            line(formatter, &title(row), &row.cells)?;
            for condition in &row.conditions {
                writeln!(formatter, "  only when {condition}")?;
            }
        }
        Ok(())
    }
}
