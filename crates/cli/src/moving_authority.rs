//! `portcullis move --public-url`: another origin for the authority itself.

use anyhow::Context as _;
use base::{Clock as _, SystemClock, Timestamp};
use domain::{McpServer, ServerSlug};
use store::{Dependents, MoveAuthority, Moved};
use url::Url;

use crate::confirm::agreed;
use crate::failure::usage;
use crate::maintenance::{Maintenance, date};
use crate::moving::{counted, is_at, kept_until};
use crate::public_url::PublicUrl;
use crate::servers::resource;
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
        let servers = self.store().list_servers_apart().await?.all();
        for server in &servers {
            refuse_own_paths(server, &from, to)?;
        }
        out.line(format!("The authority moves from {from} to {to}:"));
        for server in servers {
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
        if !is_agreed {
            agreed(&format!("Move the authority to {to}?"))?;
        }
        // Held to the end, so that nothing starts in between.
        let _lock = match self.is_one_node() {
            true => Some(self.directory().lock().map_err(|error| {
                usage(format!("{error:#}\n  stop it, move it, and start it again"))
            })?),
            false => None,
        };
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

/// A server that is to be where the authority itself answers would be gone after the next start.
fn refuse_own_paths(server: &McpServer, from: &str, to: &str) -> anyhow::Result<()> {
    let aliases = server.other_addresses.aliases.iter();
    let urls = std::iter::once(&server.resource).chain(aliases.map(|alias| &alias.url));
    for url in urls {
        let there = match is_at(url, from) {
            true => format!("{to}{}", &url[from.len()..]),
            false => url.clone(),
        };
        let there = Url::parse(&there).with_context(|| format!("{there} is no URL"))?;
        resource(&there, to).map_err(|_| {
            usage(format!(
                "{} is at {url}, and at {there} the authority itself would answer; give it another address first",
                server.slug
            ))
        })?;
    }
    Ok(())
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
fn consequences(from: &str, to: &str, keep_until: Timestamp) -> [String; 8] {
    let until = date(keep_until);
    [
        format!("  Tokens of now are taken until they expire, and renewed at {from} until {until}."),
        "  Clients that look anew find another issuer: they register again and ask their people to sign in once.".to_owned(),
        "  So does who was about to sign in at the old one: what comes back names the new issuer (RFC 9207).".to_owned(),
        "  Everybody is signed out of the pages and the dashboard: cookies belong to a host.".to_owned(),
        format!("  Gateways that run alone and MCP servers that introspect tokens have to be told {to} by {until}."),
        "  What checks tokens or Portcullis-Identity itself has to expect the new issuer at once, beside the old one for a day.".to_owned(),
        format!("  {to} has to lead here, with a certificate for its host; {from} has to go on doing so until {until}."),
        format!("  Every node has to be stopped, and started again with public_url = \"{to}\" where a file names it."),
    ]
}

fn slugs(slugs: &[ServerSlug]) -> String {
    let slugs: Vec<&str> = slugs.iter().map(ServerSlug::as_str).collect();
    slugs.join(", ")
}
