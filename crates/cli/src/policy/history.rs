use anyhow::Context as _;
use authz::Policy;
use domain::{McpServer, PolicyOrigin, PolicyRevision, ServerSlug};
use serde_json::{Value, json};

use super::difference;
use super::standings::Standings;
use crate::failure::usage;
use crate::file::policy_as_toml;
use crate::maintenance::{Maintenance, date, moment, table};
use crate::terminal::{Terminal, plain};

impl Maintenance {
    pub(super) async fn policy_history(
        &self,
        slug: &ServerSlug,
        limit: usize,
        as_json: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(slug), "SERVER").await?;
        let store = self.store();
        let revisions = store.list_policy_revisions(slug, None, limit).await?;
        let missing = missing(server.policy_revision, &revisions);
        if as_json {
            let missing = missing.iter().map(|(from, to)| json!([from, to]));
            let document = json!({
                "server": slug,
                "in_force": server.policy_revision,
                "revisions": revisions.iter().map(document).collect::<Vec<_>>(),
                "not_kept": missing.collect::<Vec<_>>(),
            });
            out.line(serde_json::to_string_pretty(&document)?);
            return Ok(());
        }
        let standings = Standings::load(store, slug).await?;
        let by = |one: &PolicyRevision| match (&one.by, &one.through) {
            (Some(id), _) => standings.name(id.as_str()).to_owned(),
            (None, Some(machine)) => machine.to_string(),
            (None, None) => whose(one.origin).to_owned(),
        };
        let mut rows: Vec<(i64, [String; 5])> = revisions
            .iter()
            .map(|one| {
                let when = one.at.map_or_else(|| "–".to_owned(), date);
                let number = one.revision.to_string();
                let made_by = made_by(one.origin);
                let detail = plain(&standings.named(&one.detail), 120);
                (one.revision, [number, when, by(one), made_by, detail])
            })
            .collect();
        rows.extend(missing.into_iter().map(|(from, to)| {
            let number = match from == to {
                true => from.to_string(),
                false => format!("{from}-{to}"),
            };
            let words =
                "not kept: a look at the server, or saved by a release that keeps none".to_owned();
            (
                to,
                [number, "–".into(), "unknown".into(), "–".into(), words],
            )
        }));
        rows.sort_by_key(|(revision, _)| -revision);
        let mut table = table(out, &["REVISION", "SAVED", "BY", "MADE BY", "WHAT"]);
        for (_, row) in rows {
            table.add_row(row);
        }
        out.line(table.trim_fmt());
        if out.interactive {
            out.line("");
            out.line(out.paint.dim(format!(
                "revision {} is in force; portcullis policy diff {slug} FROM TO says what differs",
                server.policy_revision
            )));
        }
        Ok(())
    }

    pub(super) async fn show_policy(
        &self,
        slug: &ServerSlug,
        revision: Option<i64>,
        as_json: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let mut server = self.server(Some(slug), "SERVER").await?;
        let in_force = server.policy_revision;
        let shown = revision.unwrap_or(in_force);
        let (kept, policy) = self.policy_at(&server, shown).await?;
        if as_json {
            let mut document = kept
                .as_ref()
                .map_or_else(|| json!({ "revision": shown }), document);
            document["in_force"] = json!(shown == in_force);
            document["policy"] = serde_json::to_value(&policy)?;
            out.line(serde_json::to_string_pretty(&document)?);
            return Ok(());
        }
        let head = format!("# {slug}, policy revision {shown}");
        let in_force = match shown == in_force {
            true => ", in force".to_owned(),
            false => format!("; revision {in_force} is in force"),
        };
        out.line(format!("{head}{in_force}"));
        if let Some(kept) = kept {
            let when = kept
                .at
                .map_or_else(String::new, |at| format!("saved {}, ", date(at)));
            let standings = Standings::load(self.store(), slug).await?;
            let detail = plain(&standings.named(&kept.detail), 200);
            out.line(
                format!("# {when}made by {}: {detail}", made_by(kept.origin))
                    .trim_end_matches([':', ' ']),
            );
        }
        server.policy = policy;
        out.write(&policy_as_toml(&server)?);
        Ok(())
    }

    pub(super) async fn diff_policies(
        &self,
        slug: &ServerSlug,
        from: i64,
        to: Option<i64>,
        as_json: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(slug), "SERVER").await?;
        let to = to.unwrap_or(server.policy_revision);
        let (_, before) = self.policy_at(&server, from).await?;
        let (_, after) = self.policy_at(&server, to).await?;
        let changes = authz::policy_changes(&before, &after);
        if as_json {
            let document = json!({ "server": slug, "from": from, "to": to, "changes": changes });
            out.line(serde_json::to_string_pretty(&document)?);
            return Ok(());
        }
        let standings = Standings::load(self.store(), slug).await?;
        out.line(out.paint.bold(format!("{slug}: revision {from} → {to}")));
        difference::show(&changes, &standings, out);
        Ok(())
    }

    /// The policy of a revision, with what is known of it.
    pub(super) async fn policy_at(
        &self,
        server: &McpServer,
        revision: i64,
    ) -> anyhow::Result<(Option<PolicyRevision>, Policy)> {
        let slug = &server.slug;
        let found = self.store().find_policy_revision(slug, revision).await;
        let found = found.with_context(|| {
            format!("revision {revision} of {slug} cannot be read by this release, if a newer one saved it")
        })?;
        match found {
            Some((kept, policy)) => Ok((Some(kept), policy)),
            // Saved by a node of a release that keeps none.
            None if revision == server.policy_revision => Ok((None, server.policy.clone())),
            None => Err(not_kept(server, revision)),
        }
    }
}

/// What whoever typed the number of a revision that is not there can do about it.
pub(super) fn not_kept(server: &McpServer, revision: i64) -> anyhow::Error {
    let slug = &server.slug;
    let why = match revision > server.policy_revision {
        true => format!("revision {} is in force", server.policy_revision),
        false => {
            "the newest thousand are, the newest hundred of those that a look at the server made, and none that a release \
             without revisions saved"
                .to_owned()
        }
    };
    usage(format!(
        "revision {revision} of {slug} is not kept: {why}; portcullis policy history {slug} shows those that are"
    ))
}

fn document(one: &PolicyRevision) -> Value {
    json!({
        "revision": one.revision,
        "at": one.at.map(moment),
        "by": one.by,
        "through": one.through,
        "made_by": one.origin.as_str(),
        "of_revision": one.origin.of_revision(),
        "detail": one.detail,
    })
}

/// The revisions between those that were found that are not there, each run of them as its first and last; also one in
/// force that is not.
fn missing(in_force: i64, found: &[PolicyRevision]) -> Vec<(i64, i64)> {
    let mut missing = Vec::new();
    let mut expected = in_force;
    if found.is_empty() {
        missing.push((expected, expected));
    }
    for one in found {
        if one.revision < expected {
            missing.push((one.revision + 1, expected));
        }
        expected = one.revision - 1;
    }
    missing
}

fn whose(origin: PolicyOrigin) -> &'static str {
    match origin {
        PolicyOrigin::Inventory => "portcullis",
        PolicyOrigin::Unknown => "unknown",
        _ => "command line",
    }
}

fn made_by(origin: PolicyOrigin) -> String {
    match origin {
        PolicyOrigin::Added => "the server was added".to_owned(),
        PolicyOrigin::Change => "a change".to_owned(),
        PolicyOrigin::Apply => "a file".to_owned(),
        PolicyOrigin::Inventory => "a look at the server".to_owned(),
        PolicyOrigin::Decision => "a decision over tools".to_owned(),
        PolicyOrigin::RollBack(revision) => format!("rollback to {revision}"),
        PolicyOrigin::Unknown => "an earlier release".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_missing_between_the_first_and_the_one_in_force_is_said_once() {
        let of = |revisions: &[i64]| {
            let found = revisions.iter().map(|revision| PolicyRevision {
                server: ServerSlug::parse("todo").unwrap(),
                revision: *revision,
                at: None,
                by: None,
                through: None,
                origin: PolicyOrigin::Unknown,
                detail: String::new(),
            });
            found.collect::<Vec<_>>()
        };
        for (in_force, found, expected) in [
            (3, &[3, 2, 1][..], &[][..]),
            // What is older than the oldest was forgotten or is on the next page.
            (9, &[9, 8], &[]),
            (9, &[9, 5, 4, 2], &[(6, 8), (3, 3)]),
            (9, &[7], &[(8, 9)]),
            (9, &[], &[(9, 9)]),
        ] {
            assert_eq!(missing(in_force, &of(found)), expected, "{found:?}");
        }
    }
}
