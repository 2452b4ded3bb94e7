//! `portcullis move`: another public address, with what breaks said before it does.

use std::time::Duration;

use anyhow::Context as _;
use base::{Clock as _, SystemClock, Timestamp};
use clap::Args;
use domain::{AuditEvent, AuditEventKind, McpServer, ServerSlug};
use store::{Dependents, Move, Moved};
use url::Url;

use crate::args::parse_mcp_url;
use crate::confirm::agreed;
use crate::failure::usage;
use crate::maintenance::{Maintenance, date};
use crate::moment::Moment;
use crate::public_url::{PublicUrl, is_loopback};
use crate::servers::{resource, same_place};
use crate::terminal::Terminal;

/// How long the old address is kept when nobody says.
pub(crate) const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// What `move` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis move weather https://weather.example.com/mcp
  portcullis move weather https://weather.example.com/mcp --keep-until 2027-06-30 --yes
  portcullis move --public-url https://mcp.example.com      the authority itself, with what is at its origin")]
pub struct MoveArguments {
    /// The MCP server
    #[arg(
        value_name = "SLUG",
        value_parser = ServerSlug::parse,
        required_unless_present = "public_url",
        requires = "url"
    )]
    pub slug: Option<ServerSlug>,
    /// The URL that people are to type
    #[arg(value_name = "NEW-URL", value_parser = parse_mcp_url)]
    pub url: Option<Url>,
    /// The origin that the authority itself is to have, with every MCP server at the one that it has
    #[arg(
        long,
        value_name = "NEW-ORIGIN",
        value_parser = PublicUrl::parse,
        conflicts_with = "slug"
    )]
    pub public_url: Option<PublicUrl>,
    /// Until when the old URL answers too [default: 90 days from now]
    #[arg(long, value_name = "DATE", value_parser = Moment::parse)]
    pub keep_until: Option<Moment>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

impl Maintenance {
    /// Runs `portcullis move`.
    ///
    /// # Errors
    /// In words, when it cannot be moved there, or nobody said yes.
    pub async fn move_address(&self, asked: MoveArguments, out: &Terminal) -> anyhow::Result<()> {
        let until = asked.keep_until.map(Moment::timestamp);
        match (&asked.public_url, &asked.slug, &asked.url) {
            (Some(origin), _, _) => self.move_authority(origin, until, asked.yes, out).await,
            (None, Some(slug), Some(url)) => {
                self.move_server(slug, url, until, asked.yes, out).await
            }
            _ => Err(usage("give SLUG and NEW-URL, or --public-url")),
        }
    }

    async fn move_server(
        &self,
        slug: &ServerSlug,
        url: &Url,
        keep_until: Option<Timestamp>,
        is_agreed: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server_without_policy(Some(slug), "SLUG").await?;
        let public_url = self.public_url().await?;
        let to = resource(url, &public_url)?;
        if is_loopback(url) && !Url::parse(&public_url).is_ok_and(|own| is_loopback(&own)) {
            return Err(usage(format!(
                "{to} is on this machine, and {public_url} is not: nobody else would reach it"
            )));
        }
        if server.resource.trim_end_matches('/') == to.trim_end_matches('/') {
            return Err(usage(format!("{slug} is at {} already", server.resource)));
        }
        let servers = self.store().list_servers_apart().await?.all();
        let is_taken = |other: &&McpServer| other.slug != *slug && same_place(other, &to);
        if let Some(other) = servers.iter().find(is_taken) {
            return Err(usage(format!(
                "{to} is an address of {} already",
                other.slug
            )));
        }
        let now = SystemClock.now();
        let keep_until = kept_until(keep_until, now)?;
        let dependents = self.store().count_dependents(slug, now).await?;
        for line in consequences(&server, &to, keep_until, dependents) {
            out.line(line);
        }
        if !is_agreed {
            agreed(&format!("Move {slug} to {to}?"))?;
        }
        let moved = self
            .store()
            .move_server(Move {
                slug: slug.clone(),
                from: server.resource.clone(),
                to: to.clone(),
                keep_until: Some(keep_until),
                event: AuditEvent {
                    at: SystemClock.now(),
                    kind: AuditEventKind::ServerMoved,
                    server: Some(slug.clone()),
                    user: None,
                    client: None,
                    grant: None,
                    detail: format!("{} to {to}", server.resource),
                },
            })
            .await
            .context("move")?;
        match moved {
            Moved::Moved => {
                out.line(format!("{slug}  {to}"));
                Ok(())
            }
            Moved::Taken => Err(usage(format!("{to} is an address of another MCP server"))),
            Moved::Stale => Err(usage(format!(
                "{slug} was moved or removed meanwhile; look again with `portcullis servers show {slug}`"
            ))),
        }
    }
}

/// What a move means, in words.
pub(crate) fn consequences(
    server: &McpServer,
    to: &str,
    keep_until: Timestamp,
    dependents: Dependents,
) -> Vec<String> {
    let from = &server.resource;
    vec![
        format!("{} moves from {from} to {to}:", server.slug),
        format!(
            "  {} of {}, {} and {} go on: at {from} until {}, and at {to} from now on.",
            counted(dependents.sign_ins, "sign-in"),
            counted(dependents.people, "person"),
            counted(dependents.clients, "client"),
            counted(dependents.service_tokens, "service token"),
            date(keep_until)
        ),
        format!(
            "  After {} whoever still has {from} is refused there, and has to be given {to}.",
            date(keep_until)
        ),
        "  Clients that are given the new URL ask their people to sign in once: they keep tokens by URL.".to_owned(),
        format!(
            "  Tokens from now on are for {to}. What checks tokens itself has to expect that; older tokens are taken until they expire."
        ),
        format!(
            "  {to} has to lead here, with a certificate for its host; {from} has to go on doing so, which is looked at every hour."
        ),
    ]
}

/// Until when an old address is kept, when a date was given or not.
pub(crate) fn kept_until(asked: Option<Timestamp>, now: Timestamp) -> anyhow::Result<Timestamp> {
    let until = asked.unwrap_or_else(|| now.after(KEPT));
    if until <= now {
        return Err(usage("--keep-until: that is over; give a date to come"));
    }
    Ok(until)
}

/// `1 person`, `2 people`.
pub(crate) fn counted(number: i64, word: &str) -> String {
    match (number, word) {
        (1, word) => format!("1 {word}"),
        (number, "person") => format!("{number} people"),
        (number, word) => format!("{number} {word}s"),
    }
}

pub(crate) fn is_at(resource: &str, origin: &str) -> bool {
    Url::parse(resource).is_ok_and(|url| url.origin().ascii_serialization() == origin)
}
