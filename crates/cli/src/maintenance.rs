//! Commands that work beside a running `up`: it notices what they wrote through the change counter.

use anyhow::{Context as _, bail};
use base::SystemClock;
use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use domain::{McpServer, ServerSlug};
use store::{ActivityLog, ActivityQueue, Store, StoreError};
use url::Url;

use crate::authority_place::AuthorityPlace;
use crate::data_dir::DataDirectory;
use crate::failure::usage;
use crate::terminal::Terminal;

/// Rows that are read at once.
pub(crate) const PAGE: usize = 500;

/// The store of an authority that was started before.
pub struct Maintenance {
    place: AuthorityPlace,
    store: Store,
}

impl Maintenance {
    /// Opens it.
    ///
    /// # Errors
    /// When no authority lives in the directory, or a newer version wrote it.
    pub async fn open(place: AuthorityPlace) -> anyhow::Result<Self> {
        let store = place.open_store().await?;
        match place.public_url(&store).await {
            Ok(_) => Ok(Self { place, store }),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// The MCP URL that a client command means when it was given none.
    ///
    /// # Errors
    /// When there is no or more than one MCP server, or nobody serves it.
    pub async fn mcp_url(&self, must_run: bool) -> anyhow::Result<Url> {
        let server = self.server_without_policy(None, "--url").await?;
        if must_run && self.place.is_one_node() && self.directory().holder().is_none() {
            bail!(
                "nobody serves {}: start `portcullis up` with this data directory ({}) first",
                server.resource,
                self.directory().path().display()
            );
        }
        Url::parse(&server.resource)
            .with_context(|| format!("the resource {:?} is no URL", server.resource))
    }

    /// The authority's origin.
    pub(crate) async fn public_url(&self) -> anyhow::Result<String> {
        self.place.public_url(&self.store).await
    }

    /// Whether one process alone can serve this authority.
    pub(crate) fn is_one_node(&self) -> bool {
        self.place.is_one_node()
    }

    /// Whether a process may be serving this authority; certain only where one locks the directory.
    pub(crate) fn may_be_served(&self) -> bool {
        !self.place.is_one_node() || self.directory().holder().is_some()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Opens the activity log beside the store.
    pub(crate) async fn open_activity(&self) -> anyhow::Result<ActivityLog> {
        self.place
            .open_activity(ActivityQueue::default(), &SystemClock)
            .await
    }

    pub(crate) fn directory(&self) -> &DataDirectory {
        self.place.directory()
    }

    /// Finishes what was written.
    pub async fn close(self) {
        self.store.close().await;
    }

    /// The MCP server that was named, or the only one. `flag` is what chooses among several.
    pub(crate) async fn server(
        &self,
        slug: Option<&ServerSlug>,
        flag: &str,
    ) -> anyhow::Result<McpServer> {
        let (server, unreadable) = self.find(slug, flag).await?;
        match unreadable {
            None => Ok(server),
            Some(error) => Err(error.into()),
        }
    }

    /// The same for what is not about its policy: when that cannot be read, an empty one stands in it, which is never to be
    /// saved.
    pub(crate) async fn server_without_policy(
        &self,
        slug: Option<&ServerSlug>,
        flag: &str,
    ) -> anyhow::Result<McpServer> {
        Ok(self.find(slug, flag).await?.0)
    }

    /// Also one whose policy cannot be read, with the reason.
    async fn find(
        &self,
        slug: Option<&ServerSlug>,
        flag: &str,
    ) -> anyhow::Result<(McpServer, Option<StoreError>)> {
        let apart = self.store.list_servers_apart().await?;
        let readable = apart.readable.into_iter().map(|server| (server, None));
        let closed = apart.closed.into_iter();
        let closed = closed.map(|(server, error)| (server, Some(error)));
        let mut servers: Vec<_> = readable.chain(closed).collect();
        servers.sort_by(|(one, _), (two, _)| one.slug.cmp(&two.slug));
        let known = || {
            let slugs = servers.iter().map(|(server, _)| server.slug.as_str());
            slugs.collect::<Vec<_>>().join(", ")
        };
        match slug {
            Some(slug) => match servers.iter().position(|(server, _)| server.slug == *slug) {
                Some(index) => Ok(servers.swap_remove(index)),
                None => Err(usage(format!(
                    "{flag} {slug}: there is no such MCP server; there are: {}",
                    known()
                ))),
            },
            None if servers.len() == 1 => Ok(servers.swap_remove(0)),
            None if servers.is_empty() => {
                bail!("this authority protects nothing yet; run `portcullis up` first")
            }
            None => Err(usage(format!(
                "there are several MCP servers ({}); choose one with {flag}",
                known()
            ))),
        }
    }
}

pub(crate) fn table(out: &Terminal, heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // In a pipe every row is one line, whatever its length.
    if out.interactive {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(out.width).unwrap_or(u16::MAX));
    }
    // The table must know what is style and what is text, or it would count and break escape sequences.
    let bold = out.paint.colour;
    table.set_header(heads.iter().map(|head| match bold {
        true => Cell::new(head).add_attribute(Attribute::Bold),
        false => Cell::new(head),
    }));
    table
}

/// A time for a program: RFC 3339, in UTC.
pub(crate) fn moment(at: base::Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_ms())
        .map(|at| at.to_string())
        .unwrap_or_default()
}

pub(crate) fn date(at: base::Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_ms())
        .map(|at| {
            at.to_zoned(jiff::tz::TimeZone::system())
                .strftime("%Y-%m-%d %H:%M")
                .to_string()
        })
        .unwrap_or_default()
}
