use anyhow::{Context as _, anyhow, bail, ensure};
use url::Url;
use wire::oauth::{
    AuthorizationServerMetadata, ProtectedResourceMetadata, ReadChallenge, ScopeSet,
};

use super::http_client::HttpClient;

/// Everything a client learns before it can ask for a token.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// What the token is asked for (RFC 8707).
    pub resource: String,
    /// Who gives it.
    pub server: AuthorizationServerMetadata,
    /// What to ask for.
    pub scope: ScopeSet,
}

/// From the MCP URL and its challenge to the authorization server.
///
/// # Errors
/// Says which document is missing or says the wrong thing.
pub async fn discover(
    http: &HttpClient,
    url: &Url,
    challenge: &ReadChallenge,
) -> anyhow::Result<Discovery> {
    let resource = resource_metadata(http, url, challenge).await?;
    let named =
        Url::parse(&resource.resource).context("the resource metadata names no valid resource")?;
    ensure!(
        named == *url,
        "the resource metadata is for {}, not for {url}; use the address it names with --url",
        resource.resource
    );
    let issuer = match resource.authorization_servers.as_slice() {
        [] => bail!("the resource metadata names no authorization server"),
        [first, ..] => {
            Url::parse(first).with_context(|| format!("the issuer {first} is no URL"))?
        }
    };
    let text = &resource.authorization_servers[0];
    let server = server_metadata(http, &issuer, text).await?;
    ensure!(
        server.issuer == *text,
        "the authorization server calls itself {}, but the resource names {text}; the two must be the same text",
        server.issuer
    );
    ensure!(
        server
            .code_challenge_methods_supported
            .iter()
            .any(|method| method == "S256"),
        "the authorization server {text} does not say that it knows PKCE with S256"
    );
    let scope = match &challenge.scope {
        Some(scope) => ScopeSet::parse_lenient(scope),
        None => resource.scopes_supported.into_iter().collect(),
    };
    Ok(Discovery {
        resource: resource.resource,
        server,
        scope,
    })
}

async fn resource_metadata(
    http: &HttpClient,
    url: &Url,
    challenge: &ReadChallenge,
) -> anyhow::Result<ProtectedResourceMetadata> {
    const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
    let addresses = match &challenge.resource_metadata {
        Some(address) => {
            let address = Url::parse(address)
                .with_context(|| format!("the challenge names {address:?}, which is no URL"))?;
            ensure!(
                address.origin() == url.origin(),
                "the challenge sends us to {address}, which is not on the origin of {url}"
            );
            vec![address]
        }
        None => vec![
            with_path(url, &format!("{WELL_KNOWN}{}", trimmed(url))),
            with_path(url, WELL_KNOWN),
        ],
    };
    for address in &addresses {
        if let Some(document) = http.document(address).await? {
            return Ok(document);
        }
    }
    Err(anyhow!(
        "{url} asks for a token, but does not say where to get one: nothing is at {}",
        addresses
            .iter()
            .map(Url::as_str)
            .collect::<Vec<_>>()
            .join(" or ")
    ))
}

async fn server_metadata(
    http: &HttpClient,
    issuer: &Url,
    text: &str,
) -> anyhow::Result<AuthorizationServerMetadata> {
    let path = trimmed(issuer);
    let addresses = [
        with_path(
            issuer,
            &format!("/.well-known/oauth-authorization-server{path}"),
        ),
        with_path(issuer, &format!("/.well-known/openid-configuration{path}")),
        with_path(issuer, &format!("{path}/.well-known/openid-configuration")),
    ];
    for address in &addresses {
        if let Some(document) = http.document(address).await? {
            return Ok(document);
        }
    }
    Err(anyhow!(
        "the authorization server {text} has no metadata at any of its addresses, such as {}",
        addresses[0]
    ))
}

fn trimmed(url: &Url) -> &str {
    url.path().trim_end_matches('/')
}

fn with_path(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    url.set_path(path);
    url.set_query(None);
    url
}
