use authz::{GoneElements, ListKind, Requirement, Severity};
use domain::ServerSlug;
use oauth::elements::{self, Element};
use serde_json::{Value, json};
use wire::oauth::ScopeSet;

use crate::maintenance::{Maintenance, table};
use crate::terminal::{Terminal, plain};

impl Maintenance {
    pub(super) async fn list_tools(
        &self,
        slug: &ServerSlug,
        json: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(slug), "SERVER").await?;
        let elements = elements::list(self.store(), &server, None).await?;
        let gone = elements::gone(self.store(), &server, &elements).await?;
        let gone = GoneElements::of(&gone);
        let renamed_from = |one: &Element| {
            let new = one.entry.is_none().then(|| one.proposed()).flatten()?;
            gone.renamed_from(&new).map(|old| old.identity().to_owned())
        };
        if json {
            let all: Vec<Value> = elements
                .iter()
                .map(|one| document(one, one.risk(&server), renamed_from(one)))
                .collect();
            out.line(serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        let heads = ["TOOL", "STATE", "NEEDS", "RISK", "WAITS", "NOTE"];
        let mut table = table(out, &heads);
        let mut waiting = 0;
        for one in &elements {
            // Whoever opens the list looks for tools; of the rest only what waits is news.
            if one.kind != ListKind::Tools && one.waiting().is_none() {
                continue;
            }
            waiting += usize::from(one.waiting().is_some());
            let mut notes: Vec<String> = one.flags.iter().map(|flag| flag.words()).collect();
            notes.extend(
                renamed_from(one).map(|old| format!("seems to be {} renamed", old.escape_debug())),
            );
            if one.went_back() {
                notes.push("is as it was accepted again".to_owned());
            }
            let state = match one.is_pinned() {
                true => format!("{}, pinned", one.state()),
                false => one.state().to_owned(),
            };
            table.add_row([
                one.identity.escape_debug().to_string(),
                state,
                one.needs(),
                one.risk(&server)
                    .map(|risk| format!("{risk:?}").to_lowercase())
                    .unwrap_or_default(),
                one.severity()
                    .map(Severity::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                plain(&notes.join("; "), 200),
            ]);
        }
        out.line(table.trim_fmt());
        if out.interactive && waiting > 0 {
            out.line("");
            out.line(out.paint.dim(format!(
                "{waiting} wait: portcullis tools diff {slug} TOOL, then approve or reject"
            )));
        }
        Ok(())
    }
}

fn document(one: &Element, risk: Option<authz::Risk>, renamed_from: Option<String>) -> Value {
    let needs = match one.entry.as_ref().map(|entry| &entry.requirement) {
        Some(Requirement::AnyOf(sets)) => {
            let sets: Vec<String> = sets.iter().map(ScopeSet::to_string).collect();
            json!(sets)
        }
        _ => Value::Null,
    };
    let flags: Vec<String> = one.flags.iter().map(|flag| flag.words()).collect();
    json!({
        "kind": one.kind.member(),
        "name": one.identity,
        "state": one.state(),
        "pinned": one.is_pinned(),
        "needs": needs,
        "risk": risk,
        "flags": flags,
        "renamed_from": renamed_from,
        "accepted": one.entry.as_ref().and_then(|entry| entry.fingerprint.clone()),
        "waiting": one.waiting().map(|waiting| waiting.fingerprint),
        "severity": one.severity(),
    })
}
