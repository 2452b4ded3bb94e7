use std::sync::Arc;

use anyhow::Context as _;
use base::{Clock, Random, Secret, random_token};
use domain::{McpServer, Upstream};
use oauth::Authority;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use super::upstreams::TodoAddress;
use crate::data_dir::DataDirectory;

/// Starts the bundled todo server on a random loopback port behind a random bearer, when something needs it.
///
/// # Errors
/// When no port is free.
pub async fn start(
    servers: &[McpServer],
    authority: &Authority,
    identity_keys: watch::Receiver<String>,
    directory: &DataDirectory,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Option<TodoAddress>> {
    let Some(server) = servers
        .iter()
        .find(|server| server.upstream == Upstream::Todo)
    else {
        return Ok(None);
    };
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("no port on 127.0.0.1 is free")?;
    let port = listener.local_addr()?.port();
    let bearer = random_token(random, "");
    let settings = todo::Settings {
        listener,
        bearer: bearer.clone(),
        database: directory.file("todo.db"),
        identity_keys,
        issuer: authority.public_url().to_owned(),
        audience: server.slug.to_string(),
        now: Arc::new(move || clock.now().unix_seconds()),
    };
    tasks.spawn(async move {
        if let Err(error) = todo::serve(settings).await {
            tracing::error!(%error, "the bundled todo server ended");
        }
    });
    Ok(Some(TodoAddress {
        url: Url::parse(&format!("http://127.0.0.1:{port}/mcp"))?,
        bearer: Secret::new(bearer),
    }))
}
