use base::{Clock as _, SystemClock};
use domain::ServerSlug;
use oauth::new_server::{self, AddServerError, PlaceMistake, new_server};
use url::Url;

use super::command::AddServer;
use crate::child_env::ChildEnv;
use crate::confirm::agreed;
use crate::failure::usage;
use crate::maintenance::Maintenance;
use crate::stack::{look, mapped};
use crate::target::{self, Target};
use crate::terminal::Terminal;
use crate::tool_scope;

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
        if let Some(said) = &add.name {
            server.name =
                new_server::name(said).map_err(|words| usage(format!("--name: {words}")))?;
        }

        let found = match add.unseen {
            true => None,
            false => look(&server, &[], &overrides, out).await?,
        };
        let where_to = target::describe(&server.upstream);
        new_server::add(self.store(), now, &server, &where_to)
            .await
            .map_err(|error| match error {
                AddServerError::Taken(..) => usage(format!("{error} with --url")),
                AddServerError::Conflict(_) => usage(error.to_string()),
                AddServerError::Store(error) => anyhow::Error::from(error).context("servers add"),
            })?;
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
        let removed = new_server::remove(self.store(), SystemClock.now(), &server).await?;
        anyhow::ensure!(removed, "the MCP server {slug} is gone");
        out.line(format!(
            "{slug} is removed; {} answers nobody",
            server.resource
        ));
        Ok(())
    }
}

/// The one `aud` of its tokens, in the words of `--url`.
pub(crate) fn resource(url: &Url, public_url: &str) -> anyhow::Result<String> {
    new_server::resource(url, public_url, &server::OWN_PATHS).map_err(|mistake| match mistake {
        PlaceMistake::Plain => usage(format!("--url: {mistake}")),
        _ => usage(format!("--url {url}: {mistake}")),
    })
}
