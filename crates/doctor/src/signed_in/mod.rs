//! What only somebody sees who has a token: what is issued, whether the MCP server takes it, how it is refreshed, and
//! whether its end is felt.
//!
//! [`examine`] leaves the session alive for the sections after it; [`finish`] then does what ends it.

mod acceptance;
mod authorize;
mod browser;
mod claims;
mod client;
mod code_replay;
mod mcp_session;
pub(crate) use mcp_session::{McpSession, answer};
mod refresh;
mod revocation;
mod step_up;
mod token_endpoint;
mod token_response;

use std::sync::Arc;
use std::time::Duration;

use base::Secret;
use serde::Serialize;

use crate::explain::shown;
use crate::{Desk, Exchange, Finding, Flaw, Section};

pub use browser::{Browser, Visit};
pub use client::Client;
use token_endpoint::TokenEndpoint;
use token_response::Tokens;

/// How long the doctor waits until a replaced refresh token must be refused: authorization servers forgive a repeat for up
/// to a minute.
pub const REUSE_AFTER: Duration = Duration::from_secs(65);

/// How the doctor comes by a token.
#[derive(Debug, Clone, Default)]
pub enum SignIn {
    /// Not at all.
    #[default]
    No,
    /// It was given one.
    Token(Secret<String>),
    /// As a client that acts for itself.
    ClientCredentials(Client),
    /// A person signs in.
    Browser(BrowserSignIn),
}

/// How a person signs in.
#[derive(Debug, Clone)]
pub struct BrowserSignIn {
    /// Their browser.
    pub browser: Arc<dyn Browser>,
    /// A client that is registered already; without it one is registered.
    pub client: Option<Client>,
    /// After how long a replaced refresh token is tried again. `None` leaves that out.
    pub reuse_after: Option<Duration>,
}

/// What was learned with a token, for the sections after this one. Never printed.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The access token.
    pub access_token: Secret<String>,
    /// The refresh token, where one was issued.
    pub refresh_token: Option<Secret<String>>,
    /// What the rest of this section goes on with.
    session: Option<Session>,
}

/// A session at the authorization server.
#[derive(Debug, Clone)]
struct Session {
    endpoint: TokenEndpoint,
    /// What tokens are asked for (RFC 8707).
    resource: String,
    /// The tokens now.
    tokens: Tokens,
    /// The first refresh token, once it was replaced and its successor was used.
    replaced: Option<Secret<String>>,
    /// Whether the MCP server takes the tokens.
    is_accepted: bool,
}

/// What the report says about the session.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// One line each.
    pub lines: Vec<String>,
}

/// Signs in as the plan says and looks at what was issued.
pub async fn examine(desk: &mut Desk) {
    let session = match desk.plan.sign_in.clone() {
        SignIn::No => return,
        SignIn::Token(token) => return with_token(desk, token).await,
        SignIn::ClientCredentials(client) => client::session(desk, client).await,
        SignIn::Browser(sign_in) => authorize::session(desk, &sign_in).await,
    };
    let Some(mut session) = session else {
        return;
    };
    keep(desk, &session);
    claims::check(desk, &session.tokens);
    session.is_accepted = acceptance::check(desk, &session.tokens).await;
    keep(desk, &session);
    if session.tokens.refresh.is_some() {
        refresh::check(desk, &mut session).await;
        keep(desk, &session);
        step_up::check(desk, &mut session).await;
        keep(desk, &session);
    }
}

/// What ends the session, when no other section needs it any more.
pub async fn finish(desk: &mut Desk) {
    let Some(mut session) = desk
        .scene
        .signed_in
        .as_mut()
        .and_then(|signed_in| signed_in.session.take())
    else {
        return;
    };
    let has_ended = match &desk.plan.sign_in {
        SignIn::Browser(sign_in) => {
            let sign_in = sign_in.clone();
            refresh::check_reuse(desk, &mut session, &sign_in).await
        }
        _ => false,
    };
    revocation::check(desk, &session, has_ended).await;
    if let SignIn::Browser(sign_in) = desk.plan.sign_in.clone() {
        code_replay::check(desk, &sign_in).await;
    }
}

async fn with_token(desk: &mut Desk, token: Secret<String>) {
    desk.wire.keep_secret(token.expose());
    let tokens = Tokens::given(token);
    desk.scene.signed_in = Some(SignedIn {
        access_token: tokens.access.clone(),
        refresh_token: None,
        session: None,
    });
    claims::check(desk, &tokens);
    acceptance::check(desk, &tokens).await;
    desk.notes.not_examined(
        Section::SignedIn,
        "refresh, step-up and revocation: a token alone was given; --sign-in looks at them as well",
    );
}

/// Later sections find the newest tokens.
fn keep(desk: &mut Desk, session: &Session) {
    desk.scene.signed_in = Some(SignedIn {
        access_token: session.tokens.access.clone(),
        refresh_token: session.tokens.refresh.clone(),
        session: Some(session.clone()),
    });
}

fn say(desk: &mut Desk, line: impl Into<String>) {
    desk.notes
        .signed_in
        .get_or_insert_default()
        .lines
        .push(line.into());
}

fn not_examined(desk: &mut Desk, why: impl Into<String>) {
    desk.notes.not_examined(Section::SignedIn, why);
}

fn well(desk: &mut Desk, what: &str) {
    desk.notes.well(Section::SignedIn, what);
}

fn found(
    desk: &mut Desk,
    flaw: Flaw,
    words: [String; 3],
    shown_by: impl IntoIterator<Item = Arc<Exchange>>,
) {
    let [title, detail, change] = words;
    let mut finding = Finding::new(flaw, title, detail, change);
    for exchange in shown_by {
        finding = finding.shown_by(desk.wire.evidence(&exchange));
    }
    desk.notes.add(finding);
}

/// The same, shown by one exchange.
fn add(
    desk: &mut Desk,
    flaw: Flaw,
    exchange: &Arc<Exchange>,
    title: String,
    detail: &str,
    change: &str,
) {
    found(
        desk,
        flaw,
        [title, detail.to_owned(), change.to_owned()],
        [Arc::clone(exchange)],
    );
}

/// What tokens are asked for: what the resource calls itself, else what was typed.
fn resource(desk: &Desk) -> String {
    desk.scene
        .resource_metadata
        .as_ref()
        .and_then(|metadata| metadata.get("resource")?.as_str())
        .unwrap_or(&desk.scene.typed)
        .to_owned()
}

/// Which scopes a client would ask for: the challenge's, else the resource's, and offline_access where it is known.
fn scopes(desk: &Desk) -> Option<String> {
    let challenged = desk
        .scene
        .challenge
        .as_ref()
        .and_then(|challenge| challenge.scope.clone());
    let listed = || {
        let metadata = desk.scene.resource_metadata.as_ref()?;
        let scopes = metadata.get("scopes_supported")?.as_array()?;
        let scopes: Vec<&str> = scopes.iter().filter_map(|scope| scope.as_str()).collect();
        Some(scopes.join(" "))
    };
    let mut scopes = challenged.or_else(listed).unwrap_or_default();
    if desk
        .scene
        .server_lists("scopes_supported", "offline_access")
        && !scopes.split(' ').any(|scope| scope == "offline_access")
    {
        scopes.push_str(" offline_access");
    }
    let scopes = scopes.trim().to_owned();
    (!scopes.is_empty()).then_some(scopes)
}

/// What an error answer says, in one line.
fn refusal(exchange: &Exchange) -> String {
    let answer = exchange.json().unwrap_or_default();
    let text = |name: &str| {
        answer
            .get(name)
            .and_then(|text| text.as_str())
            .map(|text| shown(text, 200))
    };
    match (text("error"), text("error_description")) {
        (Some(error), Some(words)) => format!("{error} ({words})"),
        (Some(error), None) => error,
        (None, _) => exchange.outcome(),
    }
}

/// Whether an answer says nothing about what was asked: too many, out of order, or none at all.
fn is_busy(exchange: &Exchange) -> bool {
    matches!(exchange.status(), None | Some(429 | 502..=504))
}
