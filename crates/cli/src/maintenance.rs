//! Commands that work beside a running `up`: it notices what they wrote through the change counter.

use std::io::Read as _;

use anyhow::{Context as _, bail, ensure};
use base::{Clock as _, OsRandom, Secret, SystemClock};
use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use domain::{EmailAddress, McpServer, ServerSlug, User, UserRole};
use store::Store;
use url::Url;

use crate::args::UsersCommand;
use crate::authority_place::AuthorityPlace;
use crate::data_dir::DataDirectory;
use crate::failure::usage;
use crate::terminal::Terminal;

const PASSWORD_BYTES_MAX: u64 = 4096;
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

    /// Runs `portcullis users`.
    ///
    /// # Errors
    /// When the person cannot be added.
    pub async fn users(&self, command: UsersCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            UsersCommand::Add { email, .. } => self.add_user(email, out).await,
            UsersCommand::List { json } => self.list_users(json, out).await,
            UsersCommand::Disable { email } => self.disable_user(&email, out).await,
            UsersCommand::Enable { email } => self.enable_user(&email, out).await,
        }
    }

    /// The MCP URL that a client command means when it was given none.
    ///
    /// # Errors
    /// When there is no or more than one MCP server, or nobody serves it.
    pub async fn mcp_url(&self, must_run: bool) -> anyhow::Result<Url> {
        let server = self.server(None, "--url").await?;
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

    pub(crate) fn directory(&self) -> &DataDirectory {
        self.place.directory()
    }

    /// Finishes what was written.
    pub async fn close(self) {
        self.store.close().await;
    }

    async fn add_user(&self, email: EmailAddress, out: &Terminal) -> anyhow::Result<()> {
        let password = read_password()?;
        // Somebody must be able to open the dashboard, and the setup link ends with the first person.
        let role = match self.store.count_users().await? {
            0 => UserRole::Owner,
            _ => UserRole::Member,
        };
        let user = oauth::users::add(&self.store, &SystemClock, &OsRandom, email, &password, role)
            .await
            .context("users add")?;
        out.line(format!(
            "{}  {}  {}",
            user.id,
            user.email,
            user.role.as_str()
        ));
        Ok(())
    }

    async fn disable_user(&self, email: &EmailAddress, out: &Terminal) -> anyhow::Result<()> {
        let user = self.user(email).await?;
        let now = SystemClock.now();
        let done = oauth::users::disable(&self.store, now, &user).await;
        out.line(match done.context("users disable")? {
            true => format!("{email} is disabled"),
            false => format!("{email} was disabled before"),
        });
        Ok(())
    }

    async fn enable_user(&self, email: &EmailAddress, out: &Terminal) -> anyhow::Result<()> {
        let user = self.user(email).await?;
        let done = oauth::users::enable(&self.store, SystemClock.now(), &user).await?;
        out.line(match done {
            true => format!("{email} may sign in again"),
            false => format!("{email} was not disabled"),
        });
        Ok(())
    }

    async fn user(&self, email: &EmailAddress) -> anyhow::Result<User> {
        let user = self.store.find_user_by_email(email).await?;
        user.ok_or_else(|| usage(format!("{email}: there is no such person")))
    }

    async fn list_users(&self, json: bool, out: &Terminal) -> anyhow::Result<()> {
        let mut documents = Vec::new();
        let mut table = table(out, &["ID", "EMAIL", "ROLE", "ADDED"]);
        let mut after = None;
        loop {
            let page = self.store.list_users(after.as_ref(), PAGE).await?;
            documents.extend(page.iter().filter(|_| json).map(person));
            for user in &page {
                let role = match user.disabled_at {
                    Some(_) => "disabled",
                    None => user.role.as_str(),
                };
                table.add_row([
                    user.id.to_string(),
                    user.email.to_string(),
                    role.into(),
                    date(user.created_at),
                ]);
            }
            after = page.last().map(|user| user.id.clone());
            if page.len() < PAGE {
                break;
            }
        }
        match json {
            true => out.line(serde_json::to_string_pretty(&documents)?),
            false => out.line(table.trim_fmt()),
        }
        Ok(())
    }

    /// The MCP server that was named, or the only one. `flag` is what chooses among several.
    pub(crate) async fn server(
        &self,
        slug: Option<&ServerSlug>,
        flag: &str,
    ) -> anyhow::Result<McpServer> {
        let mut servers = self.store.list_servers().await?;
        let known = || {
            let slugs: Vec<&str> = servers.iter().map(|server| server.slug.as_str()).collect();
            slugs.join(", ")
        };
        match slug {
            Some(slug) => match servers.iter().position(|server| server.slug == *slug) {
                Some(index) => Ok(servers.swap_remove(index)),
                None => Err(usage(format!(
                    "--server {slug}: there is no such MCP server; there are: {}",
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

/// One person for a program.
fn person(user: &User) -> serde_json::Value {
    serde_json::json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "disabled": user.disabled_at.is_some(),
        "has_password": user.password_hash.is_some(),
        "added_at": moment(user.created_at),
    })
}

fn read_password() -> anyhow::Result<Secret<String>> {
    let mut text = String::new();
    std::io::stdin()
        .take(PASSWORD_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .context("--password-stdin: stdin is not text")?;
    let text = Secret::new(text);
    ensure!(
        text.expose().len() as u64 <= PASSWORD_BYTES_MAX,
        usage(format!(
            "--password-stdin: more than {PASSWORD_BYTES_MAX} bytes came"
        ))
    );
    let line = text.expose().lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(usage(
            "--password-stdin: the first line of stdin is empty; pipe the password into it",
        ));
    }
    Ok(Secret::new(line.to_owned()))
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
