use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use base::{Digest, Timestamp, random_token};
use serde_json::json;
use url::Url;
use wire::oauth::{ScopeSet, TokenResponse};

use super::ClientSettings;
use super::discover::Discovery;
use super::http_client::HttpClient;
use super::open_page;
use super::redirect_listener::{RedirectListener, with_query};
use super::tokens::Saved;
use crate::public_url::is_loopback;
use crate::terminal::plain;

/// How long a person may take in the browser.
pub(super) const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Why a refresh gave no token.
#[derive(Debug)]
pub enum RefreshFailure {
    /// The server says that this refresh token or this client is no more: sign in again.
    Dead(String),
    /// Anything else.
    Other(anyhow::Error),
}

/// Signs the person in with their browser and exchanges the code.
///
/// # Errors
/// Names the step.
pub async fn sign_in(
    settings: &ClientSettings,
    http: &HttpClient,
    discovery: &Discovery,
    scope: &ScopeSet,
    earlier: Option<&Saved>,
) -> anyhow::Result<Saved> {
    warn_of_other_hosts(settings, discovery);
    let listener = RedirectListener::bind(earlier.map(|saved| saved.redirect_port)).await?;
    let redirect_uri = listener.redirect_uri();
    let redirect_port = listener.port();
    // A registration holds for its own port; with another one we are somebody new to servers that compare ports.
    let client_id = match earlier {
        Some(saved) if saved.redirect_port == redirect_port => saved.client_id.clone(),
        _ => register(http, discovery, &redirect_uri).await?,
    };
    let verifier = random_token(&*settings.random, "");
    let state = random_token(&*settings.random, "");
    let challenge = Digest::of(&verifier).to_text();
    let scope_text = scope.to_string();
    let endpoint = endpoint(
        &discovery.server.authorization_endpoint,
        "authorization_endpoint",
    )?;
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", client_id.as_str()),
        ("redirect_uri", redirect_uri.as_str()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
        ("state", state.as_str()),
        ("resource", discovery.resource.as_str()),
    ];
    if !scope.is_empty() {
        parameters.push(("scope", scope_text.as_str()));
    }
    let url = with_query(&endpoint, &parameters);
    open_page::open(&settings.open_browser, &settings.progress, &url);
    let callback = listener.wait(&state, PATIENCE).await?;
    check_issuer(callback.issuer.as_deref(), discovery)?;
    let code = callback.outcome.map_err(|(error, description)| {
        let description = description.unwrap_or_default();
        match error.as_str() {
            "access_denied" => anyhow!(
                "access was not given in the browser ({error}{}{description})",
                colon(&description)
            ),
            _ => anyhow!(
                "the authorization server refused: {error}{}{description}",
                colon(&description)
            ),
        }
    })?;
    let token_endpoint = endpoint_of(discovery)?;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", redirect_uri.as_str()),
        ("client_id", client_id.as_str()),
        ("code_verifier", verifier.as_str()),
        ("resource", discovery.resource.as_str()),
    ];
    let (status, body) = http.post_form(&token_endpoint, &fields).await?;
    if status != 200 {
        bail!(
            "the code was not exchanged for a token: {}",
            refusal(status, &body)
        );
    }
    let token: TokenResponse = serde_json::from_value(body)
        .map_err(|_| anyhow!("the token endpoint's answer is not a token response"))?;
    Ok(Saved {
        resource: discovery.resource.clone(),
        token_endpoint: discovery.server.token_endpoint.clone(),
        client_id,
        redirect_port,
        expires_at: expiry(settings, &token),
        access_token: Some(token.access_token),
        refresh_token: token.refresh_token,
        scope: token.scope.to_string(),
    })
}

/// Asks for a new access token.
///
/// # Errors
/// Tells a dead refresh token from an outage.
pub async fn refresh(
    settings: &ClientSettings,
    http: &HttpClient,
    saved: &Saved,
) -> Result<Saved, RefreshFailure> {
    let Some(refresh_token) = &saved.refresh_token else {
        return Err(RefreshFailure::Dead("no refresh token was given".into()));
    };
    let url = endpoint(&saved.token_endpoint, "token_endpoint").map_err(RefreshFailure::Other)?;
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.as_str()),
        ("client_id", saved.client_id.as_str()),
        ("resource", saved.resource.as_str()),
    ];
    let (status, body) = http
        .post_form(&url, &fields)
        .await
        .map_err(RefreshFailure::Other)?;
    match status {
        200 => {}
        400 | 401 => return Err(RefreshFailure::Dead(refusal(status, &body))),
        _ => {
            return Err(RefreshFailure::Other(anyhow!(
                "the token was not refreshed: {}",
                refusal(status, &body)
            )));
        }
    }
    let token: TokenResponse = serde_json::from_value(body).map_err(|_| {
        RefreshFailure::Other(anyhow!(
            "the token endpoint's answer is not a token response"
        ))
    })?;
    Ok(Saved {
        expires_at: expiry(settings, &token),
        access_token: Some(token.access_token),
        // A server that does not rotate sends none back; the old one then stays good.
        refresh_token: token.refresh_token.or_else(|| saved.refresh_token.clone()),
        scope: token.scope.to_string(),
        ..saved.clone()
    })
}

async fn register(
    http: &HttpClient,
    discovery: &Discovery,
    redirect_uri: &str,
) -> anyhow::Result<String> {
    let Some(address) = &discovery.server.registration_endpoint else {
        bail!(
            "{} does not let clients register themselves, so this built-in client cannot sign in there",
            discovery.server.issuer
        );
    };
    let url = endpoint(address, "registration_endpoint")?;
    let request = json!({
        "client_name": "Portcullis CLI",
        "redirect_uris": [redirect_uri],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "native",
        "software_id": "portcullis-cli",
        "software_version": env!("CARGO_PKG_VERSION"),
    });
    let (status, body) = http
        .post(&url, "application/json", request.to_string().into())
        .await?;
    ensure!(
        status == 201 || status == 200,
        "the client was not registered: {}",
        refusal(status, &body)
    );
    body.get("client_id")
        .and_then(|id| id.as_str())
        .map(str::to_owned)
        .context("the registration's answer has no client_id")
}

/// Spec: RFC 9207 section 2.4.
pub(super) fn check_issuer(came: Option<&str>, discovery: &Discovery) -> anyhow::Result<()> {
    let expected = discovery.server.issuer.as_str();
    match came {
        Some(came) => ensure!(
            came == expected,
            "the answer in the browser came from {came}, but the sign-in was at {expected}; nothing was sent to either"
        ),
        None => ensure!(
            !discovery
                .server
                .authorization_response_iss_parameter_supported,
            "the answer in the browser has no iss, though {expected} promises one; nothing was sent"
        ),
    }
    Ok(())
}

fn endpoint_of(discovery: &Discovery) -> anyhow::Result<Url> {
    endpoint(&discovery.server.token_endpoint, "token_endpoint")
}

/// An address that a stranger's document names, and that a browser is opened with: only the web, without credentials.
pub(super) fn endpoint(address: &str, member: &str) -> anyhow::Result<Url> {
    let url = Url::parse(address)
        .with_context(|| format!("the authorization server's {member} {address:?} is no URL"))?;
    ensure!(
        url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)),
        "the authorization server's {member} {address:?} is not followed: it must be https, except on localhost"
    );
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "the authorization server's {member} {address:?} is not followed: it has a user name or password"
    );
    Ok(url)
}

/// Metadata that names somebody else's host beside its own is how a sign-in is led astray; some large providers do so
/// honestly, so the person is told instead of stopped.
fn warn_of_other_hosts(settings: &ClientSettings, discovery: &Discovery) {
    for other in other_hosts(discovery) {
        settings.progress.line(format!(
            "Note: {} sends this sign-in to {} as well. Go on only if you trust both.",
            plain(&discovery.server.issuer, 200),
            plain(&other, 200)
        ));
    }
}

/// The hosts that the metadata names and that are not the issuer's.
pub(super) fn other_hosts(discovery: &Discovery) -> Vec<String> {
    let host = |address: &str| {
        let url = Url::parse(address).ok()?;
        url.host_str().map(str::to_owned)
    };
    let server = &discovery.server;
    let own = host(&server.issuer);
    let mut others: Vec<String> = [
        Some(&server.authorization_endpoint),
        Some(&server.token_endpoint),
        server.registration_endpoint.as_ref(),
    ]
    .into_iter()
    .flatten()
    .filter_map(|address| host(address))
    .filter(|other| Some(other) != own.as_ref())
    .collect();
    others.sort_unstable();
    others.dedup();
    others
}

fn expiry(settings: &ClientSettings, token: &TokenResponse) -> Timestamp {
    let lifetime = u64::try_from(token.expires_in).unwrap_or(0);
    settings.clock.now().after(Duration::from_secs(lifetime))
}

/// What an error answer says, in one line. Read by hand: other servers have codes of their own.
fn refusal(status: u16, body: &serde_json::Value) -> String {
    let member = |name: &str| {
        let text = body.get(name).and_then(|value| value.as_str());
        plain(text.unwrap_or_default(), 500)
    };
    let (error, description) = (member("error"), member("error_description"));
    if error.is_empty() {
        return format!("status {status}");
    }
    format!("{error}{}{description}", colon(&description))
}

fn colon(description: &str) -> &'static str {
    if description.is_empty() { "" } else { ": " }
}
