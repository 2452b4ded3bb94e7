use base::Timestamp;
use domain::{AuditEventKind, McpServer, OtherAddresses, ServerSettings, ServerSlug, Upstream};
use store::{Store, StoreError};
use url::{Host, Url};
use wire::oauth::{CanonicalResource, ResourceError};

use crate::Act;

/// The longest name that people see, in characters.
pub const NAME_CHARS_MAX: usize = 100;

/// Why a URL cannot be the resource of an MCP server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum PlaceMistake {
    #[error("http is only for this machine; use https")]
    Plain,
    #[error(transparent)]
    Resource(#[from] ResourceError),
    #[error("the authority itself answers there; choose another path")]
    Own,
}

/// Why a server was not added, in words for whoever wanted it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum AddServerError {
    #[error("{0} is where {1} is already; choose another URL")]
    Taken(String, ServerSlug),
    #[error("{0} is there, or was: a slug that was removed is never given again")]
    Conflict(&'static str),
    #[error(transparent)]
    Store(StoreError),
}

/// A server with all defaults, at its usual address.
pub fn new_server(
    slug: &ServerSlug,
    upstream: Upstream,
    public_url: &str,
    now: Timestamp,
) -> McpServer {
    McpServer {
        name: name_of(slug),
        resource: format!("{public_url}/mcp/{slug}"),
        slug: slug.clone(),
        other_addresses: OtherAddresses::default(),
        upstream,
        settings: ServerSettings::default(),
        policy: authz::Policy::default(),
        policy_revision: 1,
        created_at: now,
    }
}

/// For people: `weather-now` → `Weather now`.
fn name_of(slug: &ServerSlug) -> String {
    let spaced = slug.as_str().replace('-', " ");
    let mut characters = spaced.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

/// A server's name for people, as it was said.
///
/// # Errors
/// In words, when it cannot be one.
pub fn name(said: &str) -> Result<String, String> {
    let name = said.trim();
    let is_read_as_it_stands = !name.is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && name.chars().all(|character| {
            let is_space = character == ' ' || !character.is_whitespace();
            is_space && !character.is_control() && !authz::is_invisible(character)
        });
    match is_read_as_it_stands {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "1 to {NAME_CHARS_MAX} characters on one line, without marks that hide or turn text"
        )),
    }
}

/// The one `aud` of a server's tokens: as people type it, without the slash that an origin ends in. `own_paths` are the first
/// segments of the paths at which the authority itself answers.
///
/// # Errors
/// When it cannot be one.
pub fn resource(url: &Url, public_url: &str, own_paths: &[&str]) -> Result<String, PlaceMistake> {
    if url.scheme() != "https" && !is_loopback(url) {
        return Err(PlaceMistake::Plain);
    }
    let text = match url.path() {
        "/" => url.as_str().trim_end_matches('/'),
        _ => url.as_str(),
    };
    let place = CanonicalResource::parse(text)?;
    let first = place.path().split('/').nth(1).unwrap_or_default();
    if first == ".well-known" || (place.origin() == public_url && own_paths.contains(&first)) {
        return Err(PlaceMistake::Own);
    }
    Ok(text.to_owned())
}

/// Whether the host of `url` is this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A URL as it may stand in a log or an answer: its query may hold a key.
pub fn without_query(url: &str) -> String {
    match url.split_once('?') {
        Some((address, _)) => format!("{address}?…"),
        None => url.to_owned(),
    }
}

/// Whether `server` has `url` as its resource or as an alias, in either slash form.
pub fn same_place(server: &McpServer, url: &str) -> bool {
    let aliases = server.other_addresses.aliases.iter();
    aliases
        .map(|alias| &alias.url)
        .chain([&server.resource])
        .any(|own| own.trim_end_matches('/') == url.trim_end_matches('/'))
}

/// Adds it, unless another one is at its address. `detail` says where its calls go, without secrets.
///
/// # Errors
/// When its address or its slug is taken, or the store fails.
pub async fn add(
    store: &Store,
    act: impl Into<Act>,
    server: &McpServer,
    detail: &str,
) -> Result<(), AddServerError> {
    let others = store.list_servers_apart().await;
    let others = others.map_err(AddServerError::Store)?.all();
    if let Some(other) = others
        .iter()
        .find(|other| same_place(other, &server.resource))
    {
        let taken = AddServerError::Taken(server.resource.clone(), other.slug.clone());
        return Err(taken);
    }
    let act = act.into();
    let event = act.event(AuditEventKind::ServerAdded, Some(&server.slug), detail);
    match store.insert_server(server, event).await {
        Ok(()) => Ok(()),
        Err(StoreError::Conflict(what)) => Err(AddServerError::Conflict(what)),
        Err(error) => Err(AddServerError::Store(error)),
    }
}

/// Removes it: every token and registration at it ends, and its slug is never given again. Whether it was there.
///
/// # Errors
/// When the store fails.
pub async fn remove(
    store: &Store,
    act: impl Into<Act>,
    server: &McpServer,
) -> Result<bool, StoreError> {
    let act = act.into();
    let slug = &server.slug;
    let event = act.event(AuditEventKind::ServerRemoved, Some(slug), &*server.resource);
    store.remove_server(slug, event).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_is_one_line_that_is_read_as_it_stands() {
        for good in ["Weather", " Wetter – für alle ", "天気", &"x".repeat(100)] {
            assert_eq!(name(good).unwrap(), good.trim());
        }
        for bad in [
            "",
            " ",
            "a\nb",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\tb",
            &"x".repeat(101),
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_resource_is_https_or_of_this_machine_and_an_origin_has_no_slash() {
        let read = |text: &str| {
            resource(
                &Url::parse(text).unwrap(),
                "https://mcp.example.com",
                &["", "admin", "sign-in"],
            )
        };
        for (text, kept) in [
            ("https://a.example/mcp", "https://a.example/mcp"),
            ("https://A.example:443/mcp/", "https://a.example/mcp/"),
            ("https://a.example/", "https://a.example"),
            ("http://localhost:4180/x", "http://localhost:4180/x"),
        ] {
            assert_eq!(read(text).unwrap(), kept);
        }
        assert!(read("https://a.example/admin").is_ok());
        for bad in [
            "http://a.example/mcp",
            "https://a.example/mcp?x=1",
            "https://a.example/.well-known/x",
            "https://mcp.example.com/admin",
            "https://mcp.example.com/sign-in/x",
            "https://mcp.example.com/",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
