use authz::{NameFlag, Requirement};
use base::{Clock as _, SystemClock};
use oauth::drift::{self, DriftError, LookedAt, Verdict};
use oauth::elements::{self, Element};

use super::command::{Approve, Map, OneTool};
use super::diff;
use crate::confirm::agreed;
use crate::failure::usage;
use crate::maintenance::Maintenance;
use crate::terminal::Terminal;

impl Maintenance {
    pub(super) async fn approve_tools(&self, asked: Approve, out: &Terminal) -> anyhow::Result<()> {
        let server = self.server(Some(&asked.server), "SERVER").await?;
        let one = asked.tool.map(|tool| OneTool {
            server: asked.server,
            tool,
            kind: asked.kind,
        });
        let looked_at = match (one, asked.fingerprint) {
            (Some(one), Some(fingerprint)) => {
                let element = self.element(&server, &one).await?;
                vec![LookedAt {
                    kind: element.kind,
                    identity: element.identity,
                    fingerprint,
                }]
            }
            (Some(one), None) => {
                let element = self.element(&server, &one).await?;
                let tool = one.tool;
                diff::show(&server, &element, out);
                let waiting = element.waiting();
                let waiting = waiting.ok_or_else(|| DriftError::NothingWaits(tool.clone()));
                let waiting = waiting.map_err(words)?;
                if element.went_back() {
                    return Err(usage(format!(
                        "{} went back to the accepted definition, which a server may do for a gateway alone; to lift the \
                         quarantine, say so: portcullis tools approve {} {} --fingerprint {}",
                        tool.escape_debug(),
                        server.slug,
                        tool.escape_debug(),
                        waiting.fingerprint
                    )));
                }
                if !asked.yes {
                    agreed("Approve this?")?;
                }
                vec![waiting]
            }
            (None, _) => {
                let mut waiting = Vec::new();
                for element in elements::list(self.store(), &server, None).await? {
                    let Some(one) = element.waiting() else {
                        continue;
                    };
                    if let Some(why) = not_in_passing(&element, &one) {
                        let name = element.identity.escape_debug();
                        out.line(out.paint.warn(format!("  {name} is left out: {why}")));
                        continue;
                    }
                    diff::show(&server, &element, out);
                    waiting.push(one);
                }
                if waiting.is_empty() {
                    out.line("nothing waits");
                    return Ok(());
                }
                if !asked.yes {
                    agreed(&format!("Approve these {}?", waiting.len()))?;
                }
                waiting
            }
        };
        let now = SystemClock.now();
        let decided = drift::decide(
            self.store(),
            now,
            &server.slug,
            Verdict::Approve,
            &looked_at,
        );
        let revision = decided.await.map_err(words)?;
        for one in &looked_at {
            out.line(format!("{} is approved", one.identity.escape_debug()));
        }
        out.line(format!("policy revision {revision}"));
        Ok(())
    }

    pub(super) async fn reject_tool(
        &self,
        one: &OneTool,
        fingerprint: Option<String>,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(&one.server), "SERVER").await?;
        let element = self.element(&server, one).await?;
        let waiting = element.waiting();
        let waiting = waiting.ok_or_else(|| DriftError::NothingWaits(one.tool.clone()));
        let waiting = waiting.map_err(words)?;
        let looked_at = [LookedAt {
            fingerprint: fingerprint.unwrap_or_else(|| waiting.fingerprint.clone()),
            ..waiting
        }];
        let now = SystemClock.now();
        let decided = drift::decide(self.store(), now, &server.slug, Verdict::Reject, &looked_at);
        decided.await.map_err(words)?;
        let name = one.tool.escape_debug();
        out.line(format!("{name} is rejected; it stays hidden"));
        Ok(())
    }

    pub(super) async fn map_tool(&self, asked: Map, out: &Terminal) -> anyhow::Result<()> {
        let server = self.server(Some(&asked.one.server), "SERVER").await?;
        let requirement = match asked.to {
            to if to.public => Requirement::Public,
            to if to.deny => Requirement::Denied,
            to => Requirement::AnyOf(to.any_of),
        };
        let element = self.element(&server, &asked.one).await?;
        let now = SystemClock.now();
        let mapping = drift::map(
            self.store(),
            now,
            &server.slug,
            (element.kind, &element.identity),
            &requirement,
        );
        let revision = mapping.await.map_err(words)?;
        let name = asked.one.tool.escape_debug();
        out.line(format!("{name} is mapped and pinned"));
        out.line(format!("policy revision {revision}"));
        Ok(())
    }
}

/// Why nobody approves it among others, when they should not.
fn not_in_passing(element: &Element, waiting: &LookedAt) -> Option<String> {
    let alone = format!("is approved by --fingerprint {} alone", waiting.fingerprint);
    if element.flags.iter().any(NameFlag::is_grave) {
        return Some(element.flags[0].words());
    }
    if element.went_back() {
        return Some(format!(
            "it went back to the accepted definition, and {alone}"
        ));
    }
    let is_kept = element.proposed().is_some();
    (!is_kept).then(|| {
        format!("it is longer than 64 KiB and was not kept: look at the server itself; it {alone}")
    })
}

/// What whoever typed it can do about it.
pub(crate) fn words(error: DriftError) -> anyhow::Error {
    match error {
        DriftError::Store(error) => error.into(),
        error => usage(error.to_string()),
    }
}
