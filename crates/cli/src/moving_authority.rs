//! `portcullis move --public-url`: another origin for the authority itself.

use base::{Clock as _, SystemClock, Timestamp};
use domain::{McpServer, ServerSlug};
use store::{Dependents, MoveAuthority, Moved};

use crate::failure::usage;
use crate::maintenance::{Maintenance, date};
use crate::moving::{agreed, counted, is_at, kept_until};
use crate::public_url::PublicUrl;
use crate::terminal::Terminal;

impl Maintenance {
    /// Moves the authority, and with it every MCP server that is at its origin.
    ///
    /// # Errors
    /// In words, when it runs, when something else is at an address there, or when nobody said yes.
    pub(crate) async fn move_authority(
        &self,
        origin: &PublicUrl,
        keep_until: Option<Timestamp>,
        is_agreed: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let from = self.public_url().await?;
        let to = origin.as_str();
        if to == from {
            return Err(usage(format!("the authority is at {from} already")));
        }
        let now = SystemClock.now();
        let keep_until = kept_until(keep_until, now)?;
        let mut moving = Vec::new();
        out.line(format!("The authority moves from {from} to {to}:"));
        for server in self.store().list_servers().await? {
            let there = is_at(&server.resource, &from)
                .then(|| format!("{to}{}", &server.resource[from.len()..]));
            let dependents = self.store().count_dependents(&server.slug, now).await?;
            out.line(of_server(&server, there.as_deref(), dependents));
            if let Some(there) = there {
                moving.push((server.slug, server.resource, there));
            }
        }
        for line in consequences(&from, to, keep_until) {
            out.line(line);
        }
        if let Some(holder) = self.directory().holder().filter(|_| self.is_one_node()) {
            return Err(usage(format!(
                "it runs at the moment (process {}); stop it, move it, and start it again",
                holder.pid
            )));
        }
        if !is_agreed {
            agreed(&format!("Move the authority to {to}?"))?;
        }
        self.moved(MoveAuthority {
            from,
            to: to.to_owned(),
            keep_until,
            servers: moving,
            at: SystemClock.now(),
        })
        .await?;
        out.line(format!("The authority is at {to}. Start it again there."));
        Ok(())
    }

    async fn moved(&self, change: MoveAuthority) -> anyhow::Result<()> {
        let servers: Vec<ServerSlug> = change
            .servers
            .iter()
            .map(|(slug, ..)| slug.clone())
            .collect();
        match self.store().move_authority(change).await? {
            // The file of the data directory follows.
            Moved::Moved => self.public_url().await.map(|_| ()),
            Moved::Taken => Err(usage(format!(
                "one of {} cannot go there, because another MCP server has that address; `portcullis servers list` shows \
                 them",
                slugs(&servers)
            ))),
            Moved::Stale => Err(usage(
                "something was changed meanwhile; say it again to see what it means now",
            )),
        }
    }
}

fn of_server(server: &McpServer, there: Option<&str>, dependents: Dependents) -> String {
    let place = match there {
        Some(there) => format!("moves from {} to {there}", server.resource),
        None => format!("stays at {}", server.resource),
    };
    format!(
        "  {} {place}: {} of {}, {} and {} go on.",
        server.slug,
        counted(dependents.sign_ins, "sign-in"),
        counted(dependents.people, "person"),
        counted(dependents.clients, "client"),
        counted(dependents.service_tokens, "service token"),
    )
}

/// What it means, in words.
fn consequences(from: &str, to: &str, keep_until: Timestamp) -> [String; 7] {
    let until = date(keep_until);
    [
        format!("  Tokens of now are taken until they expire, and renewed at {from} until {until}."),
        "  Clients that look anew find another issuer: they register again and ask their people to sign in once.".to_owned(),
        "  Everybody is signed out of the pages and the dashboard: cookies belong to a host.".to_owned(),
        format!("  Gateways that run alone and MCP servers that introspect tokens have to be told {to} by {until}."),
        format!("  What checks tokens itself has to expect the new issuer as well as the old one for a day."),
        format!("  {to} has to lead here, with a certificate for its host; {from} has to go on doing so until {until}."),
        format!("  Every node has to be stopped, and started again with public_url = \"{to}\" where a file names it."),
    ]
}

fn slugs(slugs: &[ServerSlug]) -> String {
    let slugs: Vec<&str> = slugs.iter().map(ServerSlug::as_str).collect();
    slugs.join(", ")
}
