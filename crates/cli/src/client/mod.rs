//! The built-in client: `portcullis tools` and `portcullis call`.
//!
//! It does what any MCP client does, from the first 401 to the call after a refresh, so that a newcomer sees an
//! authorized call without any host application, and a problem without any host application's help.

mod authorized;
mod discover;
mod doctor_browser;
#[cfg(test)]
mod hostile_metadata;
mod http_client;
mod login;
mod open_page;
mod print;
mod redirect_listener;
mod session;
mod tokens;
mod tool_arguments;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use base::{Clock, Random};
use serde_json::{Map, Value};
use url::Url;
use wire::oauth::ScopeSet;

use crate::args::CallArguments;
use crate::terminal::Terminal;

pub use doctor_browser::DoctorBrowser;

use authorized::Authorized;
use http_client::HttpClient;
use session::Session;
use tokens::TokenFile;

/// Opens an address in the person's browser; says whether a program took it.
pub type OpenBrowser = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What the client needs from outside.
#[derive(Clone)]
pub struct ClientSettings {
    /// Where tokens are kept between calls.
    pub token_file: PathBuf,
    /// Whether to ask the person even though a token is kept.
    pub sign_in_again: bool,
    /// What to ask for instead of what the server suggests.
    pub scope: Option<ScopeSet>,
    /// How a sign-in begins.
    pub open_browser: OpenBrowser,
    /// Where progress is told.
    pub progress: Terminal,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// A connection to one MCP server.
pub struct Client {
    session: Session,
}

impl Client {
    /// Signs in when needed and begins an MCP session.
    ///
    /// # Errors
    /// Says which step failed and why.
    pub async fn connect(settings: ClientSettings, url: Url) -> anyhow::Result<Self> {
        let http = HttpClient::new()?;
        let tokens = TokenFile::new(settings.token_file.clone());
        let authorized = Authorized::new(settings, http, tokens, url)?;
        Ok(Self {
            session: Session::begin(authorized).await?,
        })
    }

    /// Every page of the tools this person may see.
    ///
    /// # Errors
    /// When the server or the connection refuses.
    pub async fn tools(&mut self) -> anyhow::Result<Vec<Value>> {
        self.session.tools().await
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// When the server or the connection refuses. A tool that ran and failed is a result with `isError`.
    pub async fn call(
        &mut self,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> anyhow::Result<Value> {
        self.session.call(tool, arguments).await
    }

    /// Ends the MCP session.
    pub async fn close(self) {
        self.session.end().await;
    }
}

/// Runs `portcullis tools`.
///
/// # Errors
/// As [`Client`].
pub async fn run_tools(
    settings: ClientSettings,
    url: Url,
    raw: bool,
    out: &Terminal,
) -> anyhow::Result<()> {
    let mut client = Client::connect(settings, url).await?;
    let tools = client.tools().await;
    client.close().await;
    let tools = tools?;
    if raw {
        out.line(pretty(&Value::Array(tools)));
    } else {
        print::tools(&tools, out);
    }
    Ok(())
}

/// Runs `portcullis token`: nothing but the token, so that it can be put into a command.
///
/// # Errors
/// When none can be had.
pub async fn run_token(settings: ClientSettings, url: Url, out: &Terminal) -> anyhow::Result<()> {
    let tokens = TokenFile::new(settings.token_file.clone());
    let wanted = settings.scope.clone().unwrap_or_default();
    let mut authorized = Authorized::new(settings, HttpClient::new()?, tokens, url)?;
    out.line(authorized.token(&wanted).await?);
    Ok(())
}

/// Runs `portcullis call`. Says whether the tool succeeded.
///
/// # Errors
/// As [`Client`].
pub async fn run_call(
    settings: ClientSettings,
    url: Url,
    asked: &CallArguments,
    out: &Terminal,
) -> anyhow::Result<bool> {
    // What needs no server is refused before anybody has to sign in.
    let given = tool_arguments::read(&asked.arguments, asked.json.as_deref())?;
    let mut client = Client::connect(settings, url).await?;
    let answer = call(&mut client, &asked.tool, given).await;
    client.close().await;
    let result = answer?;
    if asked.client.raw {
        out.line(pretty(&result));
    } else {
        print::result(&result, out);
    }
    Ok(!print::is_error(&result))
}

async fn call(
    client: &mut Client,
    name: &str,
    given: tool_arguments::Given,
) -> anyhow::Result<Value> {
    let tools = client.tools().await?;
    let listed = tools
        .iter()
        .find(|tool| tool.get("name").and_then(Value::as_str) == Some(name));
    let arguments = given
        .for_tool(listed.unwrap_or(&Value::Null))
        .with_context(|| format!("the arguments of {name}"))?;
    let answer = client.call(name, arguments).await;
    // What is not listed is asked for all the same: it may lie behind a scope that can be had.
    if listed.is_none() && answer.is_err() {
        let names: Vec<&str> = tools
            .iter()
            .filter_map(|tool| tool.get("name")?.as_str())
            .collect();
        let there = match names.as_slice() {
            [] => "this sign-in may see none at all".into(),
            names => format!("this sign-in may see: {}", names.join(", ")),
        };
        return answer.with_context(|| format!("there is no tool {name:?}; {there}"));
    }
    answer
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a value serialises")
}
