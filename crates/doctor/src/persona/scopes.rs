//! Which scopes a client asks for.

use known_clients::ScopeSource;
use serde_json::{Map, Value};
use wire::oauth::ReadChallenge;

use super::resource::{Resource, texts};
use super::server::Server;
use super::walk::Walk;

/// What the client will ask for, as far as it knows before it registers; `None` when it asks for nothing.
pub(super) fn before_registration(
    walk: &mut Walk<'_>,
    challenge: Option<&ReadChallenge>,
    resource: &Resource,
    server: &Server,
) -> Option<String> {
    let of_challenge: Vec<String> = challenge
        .and_then(|challenge| challenge.scope.as_deref())
        .map(|scope| {
            scope
                .split(' ')
                .filter(|scope| !scope.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    let of_server = texts(server.metadata.get("scopes_supported"));
    let sources = match walk.ways.scopes.as_slice() {
        [] => {
            walk.assume("where it takes scopes from");
            &[ScopeSource::Challenge, ScopeSource::ResourceMetadata][..]
        }
        known => known,
    };
    let scopes = sources.iter().map(|source| match source {
        ScopeSource::Challenge => of_challenge.clone(),
        ScopeSource::ResourceMetadata => resource.scopes.clone(),
        ScopeSource::ChallengeAndResourceMetadata => united(of_challenge.clone(), &resource.scopes),
        ScopeSource::ServerMetadata => of_server.clone(),
        ScopeSource::Registration => Vec::new(),
    });
    let mut scopes = scopes
        .into_iter()
        .find(|scopes| !scopes.is_empty())
        .unwrap_or_default();
    let offline = "offline_access".to_owned();
    if walk.client.quirks.asks_offline_access == Some(true) && of_server.contains(&offline) {
        scopes = united(scopes, &[offline]);
    }
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

/// What a client asks for that asks for what its registration was answered.
pub(super) fn of_registration(walk: &Walk<'_>, answer: &Map<String, Value>) -> Option<String> {
    let is_source = walk.ways.scopes.contains(&ScopeSource::Registration);
    let scope = answer.get("scope").and_then(Value::as_str)?;
    (is_source && !scope.is_empty()).then(|| scope.to_owned())
}

fn united(mut scopes: Vec<String>, more: &[String]) -> Vec<String> {
    for scope in more {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    scopes
}
