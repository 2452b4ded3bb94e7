use std::time::Duration;

use base::{Clock as _, SystemClock};
use clap::Subcommand;
use domain::{AuditEvent, AuditEventKind, McpServer, ServerAlias, ServerSlug};
use store::{ALIASES_MAX, AliasAdded};
use url::Url;

use super::{resource, same_place};
use crate::args::parse_mcp_url;
use crate::failure::usage;
use crate::maintenance::{Maintenance, date, table};
use crate::moment::Moment;
use crate::public_url::is_loopback;
use crate::terminal::{Terminal, plain};

/// How long a running authority may take for the first try.
const FIRST_TRY_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What `servers alias` does.
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// Let an MCP server answer at another URL too, once the running authority has proven that its host leads here. Tokens
    /// go on naming the server's own URL
    Add {
        /// Which
        #[arg(value_name = "SLUG", value_parser = ServerSlug::parse)]
        slug: ServerSlug,
        /// The other URL
        #[arg(value_name = "URL", value_parser = parse_mcp_url)]
        url: Url,
        /// When it ends [default: when it is removed]
        #[arg(long, value_name = "DATE", value_parser = Moment::parse)]
        until: Option<Moment>,
    },
    /// List the aliases, and which of them answer
    List {
        /// Of which [default: of all]
        #[arg(value_name = "SLUG", value_parser = ServerSlug::parse)]
        slug: Option<ServerSlug>,
    },
    /// End an alias within a second
    Remove {
        /// Which
        #[arg(value_name = "SLUG", value_parser = ServerSlug::parse)]
        slug: ServerSlug,
        /// The other URL
        #[arg(value_name = "URL", value_parser = parse_mcp_url)]
        url: Url,
    },
}

impl Maintenance {
    pub(super) async fn alias(&self, command: AliasCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            AliasCommand::Add { slug, url, until } => self.add_alias(&slug, &url, until, out).await,
            AliasCommand::List { slug } => self.list_aliases(slug.as_ref(), out).await,
            AliasCommand::Remove { slug, url } => self.remove_alias(&slug, &url, out).await,
        }
    }

    async fn add_alias(
        &self,
        slug: &ServerSlug,
        url: &Url,
        until: Option<Moment>,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server_without_policy(Some(slug), "SLUG").await?;
        let public_url = self.public_url().await?;
        let text = resource(url, &public_url)?;
        if is_loopback(url) && !Url::parse(&public_url).is_ok_and(|own| is_loopback(&own)) {
            return Err(usage(format!(
                "{text} is on this machine, and {public_url} is not: nobody else would reach it"
            )));
        }
        let now = SystemClock.now();
        let until = until.map(Moment::timestamp);
        if until.is_some_and(|until| until <= now) {
            return Err(usage("--until: that is over; give a date to come"));
        }
        let servers = self.store().list_servers_apart().await?.all();
        if let Some(other) = servers.iter().find(|other| same_place(other, &text)) {
            return Err(usage(taken(&text, other)));
        }
        let event = event(AuditEventKind::AliasAdded, slug, &text);
        match self.store().add_alias(slug, &text, until, event).await? {
            AliasAdded::Added => {}
            AliasAdded::Taken => return Err(usage(taken(&text, &server))),
            AliasAdded::TooMany => {
                return Err(usage(format!(
                    "{slug} has {ALIASES_MAX} aliases, which is the most; remove one"
                )));
            }
            AliasAdded::Unknown => return Err(usage(format!("{slug} is gone"))),
        }
        match self.first_try(slug, &text).await? {
            Some(alias) if alias.proven_at.is_some() => {
                out.line(format!("{slug} answers at {text}"));
            }
            Some(ServerAlias {
                failure: Some(why), ..
            }) => out.line(out.paint.warn(format!(
                "{text} is not proven and answers nobody: {}; it is tried again every minute",
                plain(&why, 300)
            ))),
            _ => out.line(format!(
                "{text} is declared; it answers when a running authority has proven it"
            )),
        }
        Ok(())
    }

    /// The alias after the running authority's first try; as it is when nobody seems to run.
    async fn first_try(&self, slug: &ServerSlug, url: &str) -> anyhow::Result<Option<ServerAlias>> {
        let end = tokio::time::Instant::now() + FIRST_TRY_WITHIN;
        loop {
            let servers = self.store().list_servers_apart().await?.all();
            let server = servers.into_iter().find(|server| server.slug == *slug);
            let aliases = server.map(|server| server.other_addresses.aliases);
            let alias = aliases
                .unwrap_or_default()
                .into_iter()
                .find(|alias| alias.url == url);
            let is_tried = alias
                .as_ref()
                .is_none_or(|alias| alias.proven_at.is_some() || alias.failure.is_some());
            if is_tried || !self.may_be_served() || tokio::time::Instant::now() >= end {
                return Ok(alias);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn list_aliases(&self, slug: Option<&ServerSlug>, out: &Terminal) -> anyhow::Result<()> {
        let servers = match slug {
            Some(slug) => vec![self.server_without_policy(Some(slug), "SLUG").await?],
            None => self.store().list_servers_apart().await?.all(),
        };
        let now = SystemClock.now();
        let mut table = table(out, &["SLUG", "ALIAS", "UNTIL", "STATE"]);
        for server in &servers {
            for alias in &server.other_addresses.aliases {
                let state = if alias.has_ended(now) {
                    "ended".to_owned()
                } else {
                    match (alias.is_live(now), &alias.failure) {
                        (true, None) => "answers".to_owned(),
                        (true, Some(why)) => format!("answers still, but: {}", plain(why, 200)),
                        (false, Some(why)) => format!("not proven: {}", plain(why, 200)),
                        (false, None) => "not proven yet".to_owned(),
                    }
                };
                table.add_row([
                    server.slug.to_string(),
                    plain(&alias.url, 200),
                    alias.until.map_or_else(String::new, date),
                    state,
                ]);
            }
        }
        out.line(table.trim_fmt());
        Ok(())
    }

    async fn remove_alias(
        &self,
        slug: &ServerSlug,
        url: &Url,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server_without_policy(Some(slug), "SLUG").await?;
        let given = url.as_str().trim_end_matches('/');
        let mut aliases = server.other_addresses.aliases.iter();
        let Some(alias) = aliases.find(|alias| alias.url.trim_end_matches('/') == given) else {
            return Err(usage(format!(
                "{url} is no alias of {slug}; `portcullis servers alias list` has them"
            )));
        };
        let event = event(AuditEventKind::AliasRemoved, slug, &alias.url);
        self.store().remove_alias(slug, &alias.url, event).await?;
        out.line(format!("{} answers nobody any more", alias.url));
        Ok(())
    }
}

fn taken(url: &str, other: &McpServer) -> String {
    format!("{url} is an address of {} already", other.slug)
}

fn event(kind: AuditEventKind, slug: &ServerSlug, detail: &str) -> AuditEvent {
    AuditEvent {
        at: SystemClock.now(),
        kind,
        server: Some(slug.clone()),
        user: None,
        client: None,
        grant: None,
        detail: detail.to_owned(),
    }
}
