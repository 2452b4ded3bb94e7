use std::path::Path;

use authz::{ListKind, Mode, Policy};
use base::{Clock as _, SystemClock};
use domain::{McpServer, ServerSlug};
use oauth::roll_back::{self, PlannedRollBack, RollBackError};
use serde_json::json;

use super::command::Preview;
use super::difference;
use super::history::not_kept;
use super::reach::Reached;
use super::replay::Replay;
use super::standings::Standings;
use crate::confirm::agreed;
use crate::failure::usage;
use crate::file::{PolicyInFile, consequences_of_policy};
use crate::maintenance::Maintenance;
use crate::terminal::{Terminal, plain};

/// As many elements of one kind of note are named.
const NAMED_MAX: usize = 10;

/// What another policy would change.
struct Changes {
    differences: Vec<authz::PolicyChange>,
    reached: Reached,
    replay: Replay,
    consequences: Vec<String>,
    standings: Standings,
}

impl Maintenance {
    pub(super) async fn preview_policy(
        &self,
        asked: Preview,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(&asked.server), "SERVER").await?;
        let slug = &server.slug;
        let (to, policy, notes) = match (&asked.file, asked.revision) {
            (Some(file), _) => {
                let PolicyInFile { policy, is_stale } = self.policy_in_file(file, slug).await?;
                let note = "the file was exported from another state than the store has now: `apply` will refuse it";
                let notes = is_stale.then(|| note.to_owned());
                (shown(file), policy, notes.into_iter().collect())
            }
            (None, Some(revision)) => {
                let planned = roll_back::plan(self.store(), &server, revision).await;
                let planned = planned.map_err(|error| words(&server, error))?;
                let notes = notes(&planned);
                (format!("revision {revision}"), planned.back.policy, notes)
            }
            (None, None) => return Err(usage("say --file or --revision")),
        };
        let changes = self.changes(&server, &policy).await?;
        if asked.json {
            let mut consequences = changes.consequences.clone();
            consequences.extend(notes);
            let document = json!({
                "server": slug,
                "in_force": server.policy_revision,
                "to": to,
                "changes": changes.differences,
                "consequences": consequences,
                "decisions": changes.reached.json(),
                "replay": changes.replay.json(),
            });
            out.line(serde_json::to_string_pretty(&document)?);
            return Ok(());
        }
        let head = format!("{slug}: revision {} → {to}", server.policy_revision);
        out.line(out.paint.bold(head));
        changes.show(&policy, &notes, out);
        Ok(())
    }

    pub(super) async fn roll_back_policy(
        &self,
        slug: &ServerSlug,
        revision: i64,
        yes: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(slug), "SERVER").await?;
        let planned = roll_back::plan(self.store(), &server, revision).await;
        let planned = planned.map_err(|error| words(&server, error))?;
        let head = format!(
            "{slug}: revision {} → as at {revision}",
            server.policy_revision
        );
        out.line(out.paint.bold(head));
        if planned.back.policy == server.policy {
            out.line("  nothing differs, so nothing was saved");
            for words in notes(&planned) {
                out.line(format!("  {}", out.paint.warn(plain(&words, 500))));
            }
            return Ok(());
        }
        let changes = self.changes(&server, &planned.back.policy).await?;
        changes.show(&planned.back.policy, &notes(&planned), out);
        if !yes {
            agreed("Publish this?")?;
        }
        let published = roll_back::publish(self.store(), SystemClock.now(), &server, planned).await;
        let new = published.map_err(|error| words(&server, error))?;
        out.line(format!(
            "{slug} is back at revision {revision}, as revision {new}"
        ));
        Ok(())
    }

    async fn changes(&self, server: &McpServer, policy: &Policy) -> anyhow::Result<Changes> {
        let now = SystemClock.now();
        let standings = Standings::load(self.store(), &server.slug).await?;
        Ok(Changes {
            differences: authz::policy_changes(&server.policy, policy),
            reached: Reached::of(server, policy, self.store(), &standings).await?,
            replay: self.replay(server, policy, &standings).await?,
            consequences: consequences_of_policy(server, policy, self.store(), now).await?,
            standings,
        })
    }
}

impl Changes {
    fn show(&self, policy: &Policy, notes: &[String], out: &Terminal) {
        difference::show(&self.differences, &self.standings, out);
        for words in self.consequences.iter().chain(notes) {
            let words = plain(words, 500);
            out.line(format!("  {}", out.paint.warn(format!("! {words}"))));
        }
        self.reached.show(out);
        let observes = policy.mode == Mode::Observe;
        let note =
            observes.then_some("it would only observe: nothing is denied, whatever it decides");
        self.replay.show(note, out);
    }
}

/// What comes back otherwise than it was.
fn notes(planned: &PlannedRollBack) -> Vec<String> {
    let back = &planned.back;
    let quarantined = named(
        &back.quarantined,
        "in quarantine, since they are not defined any more as they were accepted, or that was rejected",
    );
    let kept = named(
        &back.kept,
        "as they are, with what callers need now: since then another definition of them was accepted",
    );
    let of_nobody = planned.of_nobody.iter().map(|(rule, who)| {
        let (rule, who) = (rule.escape_debug(), who.escape_debug());
        format!("rule {rule} concerns nobody: {who} is gone")
    });
    let notes = quarantined.into_iter().chain(kept);
    notes.chain(of_nobody).collect()
}

fn named(elements: &[(ListKind, String)], what: &str) -> Option<String> {
    let (_, first) = elements.first()?;
    let mut names = first.escape_debug().to_string();
    for (_, name) in elements.iter().take(NAMED_MAX).skip(1) {
        names.push_str(&format!(", {}", name.escape_debug()));
    }
    let more = match elements.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("{what}: {names}{more}"))
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}

/// What whoever typed it can do about it.
fn words(server: &McpServer, error: RollBackError) -> anyhow::Error {
    match error {
        RollBackError::NotKept(revision) => not_kept(server, revision),
        RollBackError::Store(error) => error.into(),
        error => usage(error.to_string()),
    }
}
