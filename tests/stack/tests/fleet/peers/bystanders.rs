//! A steady honest load on what does not need the peer that fails.

use std::fmt;
use std::time::{Duration, Instant};

use http::{Request, header};
use serde_json::{Value, json};

use super::Peer;
use super::world::World;

const PAUSE: Duration = Duration::from_millis(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// What they saw.
#[derive(Default)]
pub struct Bystanders {
    took: Vec<Duration>,
    failed: Vec<String>,
}

impl Bystanders {
    /// Calls of a healthy MCP server, metadata, and refreshes unless the database fails: all at once, for `window`.
    pub async fn watch(world: &World, peer: Peer, window: Duration) -> Self {
        let (calls, metadata, refreshes) = tokio::join!(
            world.calls(window),
            world.metadata(window),
            world.refreshes(peer, window)
        );
        let mut all = Self::default();
        for one in [calls, metadata, refreshes] {
            match one {
                Ok(seen) => {
                    all.took.extend(seen.took);
                    all.failed.extend(seen.failed);
                }
                Err(error) => all.failed.push(format!("{error:#}")),
            }
        }
        all.took.sort_unstable();
        all
    }

    pub fn p99(&self) -> Duration {
        let index = (self.took.len() * 99).div_ceil(100).saturating_sub(1);
        self.took.get(index).copied().unwrap_or_default()
    }

    pub fn all_served(&self) -> Result<(), String> {
        if self.took.len() < 30 {
            return Err(format!("the load did nothing: {self}"));
        }
        match self.failed.first() {
            Some(first) => Err(format!("{self}, first: {first}")),
            None => Ok(()),
        }
    }

    async fn ask(
        &mut self,
        connection: &mut testkit::Connection,
        request: http::request::Builder,
        body: String,
    ) -> anyhow::Result<Value> {
        let begun = Instant::now();
        let answer = tokio::time::timeout(ANSWER_LIMIT, connection.send(request, body)).await??;
        self.took.push(begun.elapsed());
        if answer.status() != 200 {
            self.failed.push(answer.status().to_string());
        }
        tokio::time::sleep(PAUSE).await;
        Ok(serde_json::from_slice(answer.body()).unwrap_or_default())
    }
}

impl fmt::Display for Bystanders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} of {} served",
            self.took.len() - self.failed.len().min(self.took.len()),
            self.took.len()
        )
    }
}

impl World {
    async fn calls(&self, window: Duration) -> anyhow::Result<Bystanders> {
        let mut seen = Bystanders::default();
        let mut connection = self.open().await?;
        let begun = Instant::now();
        while begun.elapsed() < window {
            let request = call("well", &self.well);
            seen.ask(&mut connection, request, call_body()).await?;
        }
        Ok(seen)
    }

    async fn metadata(&self, window: Duration) -> anyhow::Result<Bystanders> {
        let mut seen = Bystanders::default();
        let mut connection = self.open().await?;
        let begun = Instant::now();
        while begun.elapsed() < window {
            let request = Request::get("/.well-known/oauth-protected-resource/mcp/well");
            seen.ask(&mut connection, request, String::new()).await?;
        }
        Ok(seen)
    }

    async fn refreshes(&self, peer: Peer, window: Duration) -> anyhow::Result<Bystanders> {
        let mut seen = Bystanders::default();
        if peer == Peer::Database {
            return Ok(seen);
        }
        let mut connection = self.open().await?;
        let begun = Instant::now();
        let mut refresh = self.refresh.lock().await;
        while begun.elapsed() < window {
            let request = Request::post(format!("{}/token", self.person.issuer_path))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            let form = self.person.refresh_form(&refresh);
            let granted = seen.ask(&mut connection, request, form).await?;
            if let Some(next) = granted["refresh_token"].as_str() {
                *refresh = next.to_owned();
            }
        }
        Ok(seen)
    }
}

pub fn call(server: &str, access: &str) -> http::request::Builder {
    Request::post(format!("/mcp/{server}"))
        .header(header::AUTHORIZATION, format!("Bearer {access}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
}

pub fn call_body() -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "echo", "arguments": {"word": "honest"}}})
    .to_string()
}
