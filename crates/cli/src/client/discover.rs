use anyhow::{Context as _, anyhow, bail, ensure};
use url::Url;
use wire::oauth::{AuthorizationServerMetadata, ProtectedResourceMetadata, ScopeSet};

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

/// The parts of a Bearer challenge that matter to a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadChallenge {
    /// Where the resource describes itself.
    pub resource_metadata: Option<String>,
    /// What to ask for.
    pub scope: Option<String>,
    /// Why, when a token was sent.
    pub error: Option<String>,
    /// In words.
    pub error_description: Option<String>,
}

/// Reads a `WWW-Authenticate` line; `None` when it is not a Bearer challenge.
///
/// Spec: RFC 9110 section 11.6.1; RFC 6750 section 3.
pub fn read_challenge(line: &str) -> Option<ReadChallenge> {
    let (scheme, mut rest) = line.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut challenge = ReadChallenge::default();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut characters = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((at, character)) = characters.next() {
                    match character {
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                        other => value.push(other),
                    }
                }
                (value, quoted.get(end..).unwrap_or_default())
            }
            None => {
                let end = after.find([',', ' ']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        let slot = match name.as_str() {
            "resource_metadata" => &mut challenge.resource_metadata,
            "scope" => &mut challenge.scope,
            "error" => &mut challenge.error,
            "error_description" => &mut challenge.error_description,
            _ => {
                rest = after;
                continue;
            }
        };
        slot.get_or_insert(value);
        rest = after;
    }
    Some(challenge)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_challenge_is_read_whatever_its_order_and_quoting() {
        let read = read_challenge(
            "Bearer error=\"invalid_token\", error_description=\"it \\\"expired\\\"\", resource_metadata=\"http://l/x?a=b\", scope=\"a b\", x=y",
        )
        .unwrap();
        assert_eq!(read.error.as_deref(), Some("invalid_token"));
        assert_eq!(read.error_description.as_deref(), Some("it \"expired\""));
        assert_eq!(read.resource_metadata.as_deref(), Some("http://l/x?a=b"));
        assert_eq!(read.scope.as_deref(), Some("a b"));
        assert_eq!(
            read_challenge("bearer scope=a").unwrap().scope.as_deref(),
            Some("a")
        );
        assert_eq!(read_challenge("Basic realm=\"x\""), None);
    }
}
