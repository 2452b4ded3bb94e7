use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;
use wire::oauth::{RedirectUri, RedirectUriKind};

use crate::{KnownClient, PinnedDocument};

/// The file, read once. A bad one fails this crate's tests, so it is never in a binary.
static CATALOGUE: LazyLock<Vec<KnownClient>> = LazyLock::new(|| {
    parse(include_str!("../known-clients.json")).expect("the tests have read this very file")
});

pub(crate) fn parse(text: &str) -> Result<Vec<KnownClient>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        clients: Vec<Value>,
    }
    let mut clients = serde_json::from_str::<File>(text)?.clients;
    fill_in_libraries(&mut clients)?;
    clients.into_iter().map(serde_json::from_value).collect()
}

/// Gives each client that is built on a library what the library's own journey says and its own does not.
fn fill_in_libraries(clients: &mut [Value]) -> Result<(), serde_json::Error> {
    let journeys: HashMap<String, Value> = clients
        .iter()
        .filter_map(|client| Some((client["id"].as_str()?.to_owned(), client["journey"].clone())))
        .collect();
    for client in clients {
        let Some(library) = client["journey"]["basis"].as_str() else {
            continue;
        };
        let Some(Value::Object(of_library)) = journeys.get(library) else {
            return Err(serde::de::Error::custom(format!(
                "{library} is a basis and has no journey"
            )));
        };
        if of_library.contains_key("basis") {
            return Err(serde::de::Error::custom(format!(
                "{library} is a basis and has one"
            )));
        }
        if let Some(own) = client["journey"].as_object_mut() {
            for (member, value) in of_library {
                own.entry(member).or_insert_with(|| value.clone());
            }
        }
    }
    Ok(())
}

/// All of them, as they stand in the file.
pub fn all() -> &'static [KnownClient] {
    &CATALOGUE
}

/// The one with this id.
pub fn find(id: &str) -> Option<&'static KnownClient> {
    all().iter().find(|client| client.id == id)
}

/// Whose metadata document is at `url`. The address is its `client_id`, so this is who it is. An address that is
/// written out goes before one with placeholders: `codex/client.json` would fit ChatGPT's as well.
pub fn by_metadata_document(url: &str) -> Option<&'static KnownClient> {
    let documented = |exact: bool| {
        all().iter().find(|client| {
            client
                .metadata_documents
                .iter()
                .any(|pattern| pattern.is_exact() == exact && pattern.matches(url))
        })
    };
    documented(true).or_else(|| documented(false))
}

/// Whose return address this is: an https address on its maker's own host, which proves who receives, or one with a
/// private-use scheme, which proves nothing but is nobody's web site. Loopback addresses and those of programs that
/// people host themselves can be anybody's, so they are nobody's here.
pub fn by_redirect_uri(uri: &RedirectUri) -> Option<&'static KnownClient> {
    if uri.kind() == RedirectUriKind::Loopback {
        return None;
    }
    all().iter().find(|client| {
        client
            .redirect_uris
            .iter()
            .any(|pattern| pattern.has_fixed_host() && pattern.matches(uri))
    })
}

/// Which client calls itself so when it registers. A guess for words on a screen, never proof.
pub fn by_dcr_name(name: &str) -> Option<&'static KnownClient> {
    all()
        .iter()
        .find(|client| client.dcr_names.iter().any(|pattern| pattern.matches(name)))
}

/// Whether a known client returns to this private-use scheme, such as `cursor`.
pub fn known_scheme(scheme: &str) -> bool {
    all()
        .iter()
        .flat_map(|client| &client.redirect_uris)
        .any(|pattern| {
            pattern.kind() == RedirectUriKind::PrivateUseScheme
                && pattern
                    .as_str()
                    .split_once(':')
                    .is_some_and(|(known, _)| known.eq_ignore_ascii_case(scheme))
        })
}

/// The copy of the document at `url`, if one is shipped.
pub fn pinned_document(url: &str) -> Option<&'static PinnedDocument> {
    all()
        .iter()
        .flat_map(|client| &client.pinned_documents)
        .find(|pinned| pinned.url == url)
}

#[cfg(test)]
mod tests;
