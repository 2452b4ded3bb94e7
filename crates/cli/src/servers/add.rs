use anyhow::Context as _;
use base::{Clock as _, SystemClock};
use domain::{AuditEvent, AuditEventKind, McpServer, ServerSlug};
use store::StoreError;
use url::Url;

use super::command::AddServer;
use crate::child_env::ChildEnv;
use crate::confirm::agreed;
use crate::failure::usage;
use crate::maintenance::Maintenance;
use crate::public_url::is_loopback;
use crate::stack::{look, mapped, new_server};
use crate::target::{self, Target};
use crate::terminal::{Terminal, plain};
use crate::tool_scope;

/// The longest name that people see.
const NAME_MAX: usize = 100;

/// A server's name for people, as it was said.
///
/// # Errors
/// In words, when it cannot be one.
pub(crate) fn name(said: &str) -> Result<String, String> {
    let name = said.trim();
    match !name.is_empty() && plain(name, NAME_MAX) == name {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "1 to {NAME_MAX} characters on one line, without marks that hide or turn text"
        )),
    }
}

impl Maintenance {
    /// Adds an MCP server, after a look at it.
    pub(super) async fn add_server(&self, add: AddServer, out: &Terminal) -> anyhow::Result<()> {
        if let Some(set) = add
            .env
            .iter()
            .find(|one| matches!(one, ChildEnv::Set(_, _)))
        {
            return Err(usage(format!(
                "--env {}: values are not kept; give the name alone and set it where the authority runs",
                set.name()
            )));
        }
        let overrides = tool_scope::overrides(&add.tool_scope)?;
        let target = Target::read(
            add.target.as_deref(),
            &add.child,
            &add.env,
            add.upstream_header_file,
        )?;
        let public_url = self.public_url().await?;
        let now = SystemClock.now();
        let mut server = new_server(&add.slug, target.to_upstream(None)?, &public_url, now);
        if let Some(url) = &add.url {
            server.resource = resource(url, &public_url)?;
        }
        let others = self.store().list_servers_apart().await?.all();
        if let Some(other) = others
            .iter()
            .find(|other| same_place(other, &server.resource))
        {
            return Err(usage(format!(
                "{} is where {} is already; choose another --url",
                server.resource, other.slug
            )));
        }
        if let Some(said) = &add.name {
            server.name = name(said).map_err(|words| usage(format!("--name: {words}")))?;
        }

        let found = match add.unseen {
            true => None,
            false => look(&server, &[], &overrides, out).await?,
        };
        let event = AuditEvent {
            at: now,
            kind: AuditEventKind::ServerAdded,
            server: Some(server.slug.clone()),
            user: None,
            client: None,
            grant: None,
            detail: target::describe(&server.upstream),
        };
        match self.store().insert_server(&server, event).await {
            Ok(()) => {}
            Err(StoreError::Conflict(what)) => {
                return Err(usage(format!("{what} is there, or was: {}", told(&server))));
            }
            Err(error) => return Err(error).context("servers add"),
        }
        out.line(format!("{}  {}", server.slug, server.resource));
        match found {
            Some(found) => {
                let mapped =
                    mapped(self.store(), &SystemClock, &server.slug, &found, &overrides).await?;
                for (scope, tools) in &mapped.scopes {
                    out.line(format!("  {scope}  {}", tools.join(", ")));
                }
            }
            None => out.line(
                out.paint
                    .dim("  its tools are mapped when it first answers the authority"),
            ),
        }
        Ok(())
    }

    /// Removes an MCP server.
    pub(super) async fn remove_server(
        &self,
        slug: &ServerSlug,
        is_agreed: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(slug), "SLUG").await?;
        if !is_agreed {
            out.line(format!(
                "{} answers nobody from then on: every token and registration at {slug} ends, and its slug is never given again. \
                 It cannot be taken back.",
                server.resource
            ));
            agreed(&format!("Remove {slug}?"))?;
        }
        let event = AuditEvent {
            at: SystemClock.now(),
            kind: AuditEventKind::ServerRemoved,
            server: Some(slug.clone()),
            user: None,
            client: None,
            grant: None,
            detail: server.resource.clone(),
        };
        let removed = self.store().remove_server(slug, event).await?;
        anyhow::ensure!(removed, "the MCP server {slug} is gone");
        out.line(format!(
            "{slug} is removed; {} answers nobody",
            server.resource
        ));
        Ok(())
    }
}

/// Whether `server` has `url` as its resource or as an alias, in either slash form.
pub(crate) fn same_place(server: &McpServer, url: &str) -> bool {
    let aliases = server.other_addresses.aliases.iter();
    aliases
        .map(|alias| &alias.url)
        .chain([&server.resource])
        .any(|own| own.trim_end_matches('/') == url.trim_end_matches('/'))
}

fn told(server: &McpServer) -> String {
    format!(
        "{} at {}; choose another slug (one that was removed is never given again), or another --url",
        server.slug, server.resource
    )
}

/// The one `aud` of its tokens: as people type it, without the slash that an origin ends in.
pub(crate) fn resource(url: &Url, public_url: &str) -> anyhow::Result<String> {
    if url.scheme() != "https" && !is_loopback(url) {
        return Err(usage("--url: http is only for this machine; use https"));
    }
    let text = match url.path() {
        "/" => url.as_str().trim_end_matches('/'),
        _ => url.as_str(),
    };
    let place = sdk::CanonicalResource::parse(text)
        .map_err(|error| usage(format!("--url {text}: {error}")))?;
    let first = place.path().split('/').nth(1).unwrap_or_default();
    if first == ".well-known"
        || (place.origin() == public_url && server::OWN_PATHS.contains(&first))
    {
        return Err(usage(format!(
            "--url {text}: the authority itself answers there; choose another path"
        )));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_is_one_line_that_is_read_as_it_stands() {
        for good in ["Weather", " Wetter – für alle ", "天気", &"x".repeat(100)] {
            assert_eq!(name(good).unwrap(), good.trim());
        }
        for bad in [
            "",
            " ",
            "a\nb",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\tb",
            &"x".repeat(101),
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_resource_is_https_or_of_this_machine_and_an_origin_has_no_slash() {
        let read = |text: &str| resource(&Url::parse(text).unwrap(), "https://mcp.example.com");
        for (text, kept) in [
            ("https://a.example/mcp", "https://a.example/mcp"),
            ("https://A.example:443/mcp/", "https://a.example/mcp/"),
            ("https://a.example/", "https://a.example"),
            ("http://localhost:4180/x", "http://localhost:4180/x"),
        ] {
            assert_eq!(read(text).unwrap(), kept);
        }
        assert!(read("https://a.example/admin").is_ok());
        for bad in [
            "http://a.example/mcp",
            "https://a.example/mcp?x=1",
            "https://a.example/.well-known/x",
            "https://mcp.example.com/admin",
            "https://mcp.example.com/sign-in/x",
            "https://mcp.example.com/",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
