//! `servers set --mode` and `--quarantine-from`: what the policy says as a whole.

use authz::{
    Caller, EntryState, ListKind, ListStepUp, Mode, Policy, QuarantineFrom, Requirement, visible,
};
use base::{Clock as _, SystemClock};
use domain::{DefinitionState, McpServer};
use oauth::drift;

use super::command::SetServer;
use crate::failure::usage;
use crate::maintenance::Maintenance;
use crate::terminal::Terminal;
use crate::tools::words;

impl Maintenance {
    /// Changes what `set` says of the policy, if it says anything.
    pub(super) async fn set_policy(
        &self,
        server: &McpServer,
        set: &SetServer,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let (mode, quarantine_from) = (
            set.mode.map(Mode::from),
            set.quarantine_from.map(QuarantineFrom::from),
        );
        if mode.is_none() && quarantine_from.is_none() {
            return Ok(());
        }
        if mode == Some(Mode::Enforce) {
            let unmapped = self.unmapped_tools(server).await?;
            out.line(preview(&server.policy, unmapped.len()));
            if !unmapped.is_empty() && !set.with_unmapped {
                return Err(usage(format!(
                    "--mode enforce: nobody decided about {}; nobody could call them. See portcullis tools list {}, or say \
                     --with-unmapped",
                    shown(&unmapped),
                    server.slug
                )));
            }
        }
        let mut said = Vec::new();
        said.extend(mode.map(|mode| format!("mode {mode:?}").to_lowercase()));
        said.extend(quarantine_from.map(|from| format!("quarantine from {from:?}").to_lowercase()));
        let detail = said.join(", ");
        let now = SystemClock.now();
        let change = |policy: &mut Policy| {
            policy.mode = mode.unwrap_or(policy.mode);
            policy.quarantine_from = quarantine_from.unwrap_or(policy.quarantine_from);
        };
        let revision = drift::edit(self.store(), now, &server.slug, &detail, change).await;
        let revision = revision.map_err(words)?;
        out.line(format!("{detail}; policy revision {revision}"));
        Ok(())
    }

    /// Tools that are listed and that nobody decided about.
    async fn unmapped_tools(&self, server: &McpServer) -> anyhow::Result<Vec<String>> {
        let kept = self.store().list_definitions(&server.slug).await?;
        let unmapped = kept.into_iter().filter(|one| {
            one.kind == ListKind::Tools
                && one.state == DefinitionState::Pending
                && !server.policy.tools.contains_key(&one.identity)
        });
        Ok(unmapped.map(|one| one.identity).collect())
    }
}

/// What somebody reaches who signs in for the first time and is asked for nothing but the default.
fn preview(policy: &Policy, unmapped: usize) -> String {
    let enforcing = Policy {
        mode: Mode::Enforce,
        ..policy.clone()
    };
    // Somebody without a role, through a client that nobody vouches for.
    let mut caller = Caller {
        subject: "usr_".to_owned(),
        client: "cli_".to_owned(),
        ..Caller::default()
    };
    let asked = &policy.default_scopes;
    caller.scopes = authz::grantable(&enforcing, &caller.facts(), asked).granted;
    let reached = |name: &&String| {
        visible(
            &enforcing,
            &caller,
            ListKind::Tools,
            name,
            ListStepUp::Never,
        )
    };
    let tools = &policy.tools;
    let count = |is: fn(&authz::Entry) -> bool| tools.values().filter(|entry| is(entry)).count();
    format!(
        "a person who comes for the first time reaches {} of {} tools ({} public, {} quarantined, {unmapped} unmapped)",
        tools.keys().filter(reached).count(),
        tools.len() + unmapped,
        count(|entry| entry.requirement == Requirement::Public),
        count(|entry| entry.state == EntryState::Quarantined),
    )
}

fn shown(names: &[String]) -> String {
    let named: Vec<String> = names
        .iter()
        .take(10)
        .map(|name| name.escape_debug().to_string())
        .collect();
    match names.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
