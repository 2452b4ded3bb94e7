//! `servers set --mode`, `--quarantine-from` and `--list-step-up`: what the policy says as a whole.

use authz::Mode;
use base::{Clock as _, SystemClock};
use domain::McpServer;
use oauth::launch::{self, FirstReach, Launch};

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
        let launch = Launch {
            mode: set.mode.map(Into::into),
            quarantine_from: set.quarantine_from.map(Into::into),
            list_step_up: set.list_step_up.map(Into::into),
        };
        if launch.is_empty() {
            return Ok(());
        }
        if launch.mode == Some(Mode::Enforce) {
            let reach = launch::first_reach(self.store(), server).await?;
            out.line(in_words(&reach));
            if !reach.unmapped.is_empty() && !set.with_unmapped {
                return Err(usage(format!(
                    "--mode enforce: nobody decided about {}; nobody could call them. See portcullis tools list {}, or say \
                     --with-unmapped",
                    shown(&reach.unmapped),
                    server.slug
                )));
            }
        }
        let revision = launch::change(self.store(), SystemClock.now(), server, launch).await;
        let revision = revision.map_err(words)?;
        out.line(format!("{}; policy revision {revision}", launch.words()));
        Ok(())
    }
}

fn in_words(reach: &FirstReach) -> String {
    format!(
        "a person who comes for the first time reaches {} of {} tools ({} public, {} quarantined, {} unmapped)",
        reach.reached,
        reach.tools,
        reach.public,
        reach.quarantined,
        reach.unmapped.len(),
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
