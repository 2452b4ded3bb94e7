//! `portcullis clients`.

mod add;
mod command;
mod decide;
mod list;
mod show;

pub(crate) use add::public_keys;
pub use command::ClientsCommand;

use base::{Clock as _, SystemClock};
use domain::{Client, ClientId, ClientTrust, McpServer, ServerSlug, TrustDecision};
use oauth::administration;
use oauth::client_decision::ClientDecision;

use crate::failure::usage;
use crate::maintenance::Maintenance;
use crate::terminal::{Terminal, plain};
use command::OneClient;

/// A client that a command is about.
struct Found {
    id: ClientId,
    server: McpServer,
    /// What was registered; none for a client with a metadata document, which is its host's.
    client: Option<Client>,
    /// What was decided about one with a metadata document.
    trust: Option<ClientTrust>,
}

impl Found {
    fn name(&self) -> String {
        let name = match &self.client {
            Some(client) => Some(client.name.as_str()),
            None => known_clients::by_metadata_document(self.id.as_str())
                .map(|client| client.name.as_str()),
        };
        decide::named(&self.id, name)
    }
}

impl Maintenance {
    /// Runs `portcullis clients`.
    ///
    /// # Errors
    /// In words, when there is no such client or it cannot be done.
    pub async fn clients(&self, command: ClientsCommand, out: &Terminal) -> anyhow::Result<()> {
        let words = &Terminal::stderr();
        match command {
            ClientsCommand::Add(add) => self.add_client(add, out, words).await,
            ClientsCommand::List { json } => self.list_clients(json, out).await,
            ClientsCommand::Presets => {
                Self::list_presets(out);
                Ok(())
            }
            ClientsCommand::Show(one) => self.show_client(one, out).await,
            ClientsCommand::Approve(one) => {
                self.decide_client(one, ClientDecision::Approve, out).await
            }
            ClientsCommand::Block(one) => self.decide_client(one, ClientDecision::Block, out).await,
            ClientsCommand::Unblock(one) => {
                self.decide_client(one, ClientDecision::Unblock, out).await
            }
            ClientsCommand::Forget(one) => {
                self.decide_client(one, ClientDecision::Forget, out).await
            }
            ClientsCommand::RotateSecret { client, end_older } => {
                self.rotate_client_secret(client, end_older, out, words)
                    .await
            }
        }
    }

    /// The MCP server that was named, or the admin API, whose clients are added here as well.
    async fn server_of_clients(&self, slug: Option<&ServerSlug>) -> anyhow::Result<McpServer> {
        if slug.is_none_or(|slug| slug.as_str() != administration::SLUG) {
            return self.server(slug, "--server").await;
        }
        match administration::ensure(self.store(), SystemClock.now()).await? {
            true => Ok(administration::server(&self.public_url().await?)),
            false => self.server(slug, "--server").await,
        }
    }

    /// A registered client has one MCP server and is found at it. One with a metadata document may come to each.
    async fn one_client(&self, one: OneClient) -> anyhow::Result<Found> {
        let id = ClientId::from_text(one.id.as_str());
        if id.is_metadata_document() {
            let server = self
                .server_without_policy(one.server.as_ref(), "--server")
                .await?;
            return Ok(Found {
                trust: self.store().find_client_trust(&server.slug, &id).await?,
                client: None,
                server,
                id,
            });
        }
        let mut servers = self.store().list_servers_apart().await?.all();
        servers.push(administration::server(&self.public_url().await?));
        for server in servers {
            if one.server.as_ref().is_some_and(|slug| *slug != server.slug) {
                continue;
            }
            if let Some(client) = self.store().find_client(&server.slug, &id).await? {
                return Ok(Found {
                    id,
                    server,
                    client: Some(client),
                    trust: None,
                });
            }
        }
        Err(usage(format!(
            "{}: there is no such client{}; `portcullis clients list` shows all",
            plain(&one.id, 200),
            one.server
                .map_or_else(String::new, |slug| format!(" at {slug}"))
        )))
    }
}

/// What stands between a client and its use, in a word; nothing when nothing does.
fn state(client: &Client) -> &'static str {
    match (client.disabled_at, client.waiting_since) {
        (Some(_), _) => "blocked",
        (None, Some(_)) => "waits",
        (None, None) => "",
    }
}

fn trust_state(decision: TrustDecision) -> &'static str {
    match decision {
        TrustDecision::Waiting => "waits",
        TrustDecision::Approved => "approved",
        TrustDecision::Blocked => "blocked",
    }
}
