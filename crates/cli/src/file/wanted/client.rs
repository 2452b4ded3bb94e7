use std::collections::BTreeMap;

use domain::{AuthMethod, ClientId, ClientKeys, McpServer};
use oauth::clients::{NewClient, NewClientProof};
use url::Url;

use super::super::document::{Client, Server};
use super::super::problems::{Problems, join};
use super::{Context, Left, Wanted, policy};
use crate::clients::public_keys;

/// Reads the clients that `said` has at `server`.
pub(super) fn read_all(
    server: &McpServer,
    said: &Server,
    with: &Context<'_>,
    wanted: &mut Wanted,
    problems: &mut Problems<'_>,
) {
    let outer = join(&join("servers", server.slug.as_str()), "clients");
    let known = with.now.clients.iter();
    let known: BTreeMap<&str, &domain::Client> = known
        .filter(|known| known.server == server.slug)
        .map(|known| (known.id.as_str(), known))
        .collect();
    for (id, said) in &said.clients {
        let path = join(&outer, id);
        let before = known.get(id.as_str()).copied();
        if said.removed {
            if before.is_none() {
                problems.say(&path, "there is no such client to remove");
            }
            continue;
        }
        let client = read(server, id, said, before, &path, with, problems);
        wanted.declared.clients.extend(client);
    }
    for (id, client) in known {
        if said.clients.contains_key(id) {
            continue;
        }
        wanted.left.push(Left {
            path: join(&outer, id),
            hint: "write removed = true to forget it",
        });
        wanted.declared.clients.push(client.clone());
    }
}

fn read(
    server: &McpServer,
    id: &str,
    said: &Client,
    before: Option<&domain::Client>,
    path: &str,
    with: &Context<'_>,
    problems: &mut Problems<'_>,
) -> Option<domain::Client> {
    let shown = before.and_then(|before| Client::of(before).ok());
    let with_block = |shown: &Client| Client {
        blocked: said.blocked,
        ..shown.clone()
    };
    let mut client = match (before, &shown) {
        (Some(before), Some(shown)) if with_block(shown) == *said => before.clone(),
        _ => {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if before.is_none() && (id.is_empty() || id.len() > 100 || !id.bytes().all(is_good)) {
                let words = "a client_id has 1 to 100 of A-Z a-z 0-9 - . _ ~ here";
                problems.say(path, words);
            }
            let scopes_path = join(path, "service_scopes");
            let service_scopes = said.service_scopes.as_deref().unwrap_or_default();
            let new = NewClient {
                name: &said.name,
                redirect_uris: &said.redirect_uris,
                proof: proof(said, path, problems)?,
                service_scopes: policy::set(service_scopes, &scopes_path, problems),
            };
            if problems.has(path) {
                return None;
            }
            let id = ClientId::from_text(id);
            let created_at = before.map_or(with.at, |before| before.created_at);
            match oauth::clients::describe(server, new, id, created_at) {
                Ok(client) => client,
                Err(error) => {
                    problems.say(path, error);
                    return None;
                }
            }
        }
    };
    client.disabled_at = match (said.blocked, before.and_then(|before| before.disabled_at)) {
        (true, Some(since)) => Some(since),
        (true, None) => Some(with.at),
        (false, _) => None,
    };
    Some(client)
}

fn proof(said: &Client, path: &str, problems: &mut Problems<'_>) -> Option<NewClientProof> {
    let has_keys = said.jwks.is_some() || said.jwks_uri.is_some();
    match (said.authentication.as_slice(), has_keys) {
        ([AuthMethod::None], false) => Some(NewClientProof::Public),
        ([AuthMethod::ClientSecret], false) => Some(NewClientProof::Secret),
        ([AuthMethod::PrivateKeyJwt], true) => keys(said, path, problems).map(NewClientProof::Keys),
        ([AuthMethod::PrivateKeyJwt], false) => {
            let words = "private_key_jwt needs the public keys: jwks, or jwks_uri";
            problems.say(&join(path, "authentication"), words);
            None
        }
        ([_], true) => {
            let words = "jwks and jwks_uri are for authentication = [\"private_key_jwt\"] only";
            problems.say(&join(path, "authentication"), words);
            None
        }
        _ => {
            let words = "must be one of [\"none\"], [\"client_secret\"] and [\"private_key_jwt\"]";
            problems.say(&join(path, "authentication"), words);
            None
        }
    }
}

fn keys(said: &Client, path: &str, problems: &mut Problems<'_>) -> Option<ClientKeys> {
    match (&said.jwks, &said.jwks_uri) {
        (Some(_), Some(_)) => {
            problems.say(path, "jwks and jwks_uri are both said; leave one out");
            None
        }
        (None, address) => {
            let address = address.as_deref().unwrap_or_default();
            let url = Url::parse(address).ok();
            if url.is_some_and(|url| url.scheme() == "https" && url.host().is_some()) {
                return Some(ClientKeys::Remote(address.to_owned()));
            }
            problems.say(&join(path, "jwks_uri"), "must be an https address");
            None
        }
        (Some(text), None) => public_keys(text)
            .map(ClientKeys::Inline)
            .map_err(|words| problems.say(&join(path, "jwks"), words))
            .ok(),
    }
}
