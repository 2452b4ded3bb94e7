use known_clients::{
    JourneyStep, ResourceMetadataPlace as Place, SentResource, WithoutResourceMetadata as Without,
};
use serde_json::{Map, Value};
use url::Url;
use wire::oauth::ReadChallenge;

use super::compare;
use super::walk::{Looked, Step, Troubles, Walk, same_origin};
use crate::flaws::{self, resource_metadata as flaw};

const TROUBLES: Troubles = Troubles {
    redirects: flaw::PRM_REDIRECTS,
    html: flaw::PRM_HTML,
    not_json: flaw::PRM_NOT_JSON,
    behind_login: flaw::PRM_BEHIND_LOGIN,
    server_error: flaw::PRM_SERVER_ERROR,
};

/// Members of the metadata that a strict reader does not take as null.
const MEMBERS: [&str; 5] = [
    "resource",
    "authorization_servers",
    "scopes_supported",
    "bearer_methods_supported",
    "resource_name",
];

/// What the client knows of the protected resource.
pub(super) struct Resource {
    /// The issuer that it goes to.
    pub issuer: String,
    /// It asks for the issuer's metadata only at the root of the host, as clients did before there was such metadata.
    pub only_at_root: bool,
    /// What it sends as `resource`.
    pub sent: Option<String>,
    /// `scopes_supported`, when there is one.
    pub scopes: Vec<String>,
}

/// Looks where this client looks, and compares as it compares.
pub(super) async fn find(walk: &mut Walk<'_>, challenge: Option<&ReadChallenge>) -> Step<Resource> {
    if walk.ways.opens == Some(known_clients::Opening::ServerMetadata) {
        walk.assume("whom it takes for the authorization server");
        if let Some(issuer) = walk.desk.scene.issuer.clone() {
            return Ok(without(walk, issuer, false));
        }
        let issuer = origin(walk);
        return Ok(without(walk, issuer, false));
    }
    match document(walk, challenge).await? {
        Some(document) => described(walk, &document),
        None => undescribed(walk),
    }
}

async fn document(
    walk: &mut Walk<'_>,
    challenge: Option<&ReadChallenge>,
) -> Step<Option<Map<String, Value>>> {
    let mut places = walk.ways.resource_metadata.clone();
    if places.is_empty() {
        walk.assume("the order in which it looks for the resource metadata");
        places = vec![Place::Challenge, Place::Path, Place::Root];
    }
    let named = challenge.and_then(|challenge| challenge.resource_metadata.clone());
    let mut asked: Vec<String> = Vec::new();
    let mut only_place = false;
    for place in places {
        let is_named = matches!(
            place,
            Place::Challenge | Place::ChallengeOfSameOrigin | Place::ChallengeOnSameOrigin
        );
        let Some(address) = address(walk, place, named.as_deref())? else {
            continue;
        };
        if only_place || asked.contains(&address) {
            continue;
        }
        let (looked, exchange) = walk.look(&address, "resource metadata", &TROUBLES).await?;
        asked.push(address);
        match looked {
            Looked::Found(document) => return Ok(Some(document)),
            Looked::Not(trouble) => {
                let is_error = matches!(exchange.status(), Some(429 | 500..) | None);
                if is_error && walk.ways.resource_metadata_error_is_fatal == Some(true) {
                    let cause = trouble.unwrap_or(flaw::PRM_SERVER_ERROR);
                    let why = format!(
                        "a failure to answer for the resource metadata ends it: {}",
                        exchange.outcome()
                    );
                    return Err(walk.stopped_by(
                        JourneyStep::ResourceMetadata,
                        cause,
                        why,
                        Some(&exchange),
                    ));
                }
                if let Some(trouble) = trouble {
                    walk.blame(trouble);
                } else if is_named && !walk.desk.notes.has(flaw::PRM_MISSING) {
                    walk.blame(flaw::PRM_NAMED_MISSING);
                }
                only_place = is_named && walk.ways.challenge_is_only_place == Some(true);
            }
        }
    }
    Ok(None)
}

/// Where `place` is for this server.
fn address(walk: &mut Walk<'_>, place: Place, named: Option<&str>) -> Step<Option<String>> {
    const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
    let typed = walk.desk.scene.url.clone();
    let at = |path: &str| {
        let mut url = typed.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.set_path(path);
        Some(url.to_string())
    };
    let path = typed.path().trim_end_matches('/');
    Ok(match place {
        Place::Path => at(&format!("{WELL_KNOWN}{path}")),
        Place::Root => at(WELL_KNOWN),
        Place::Appended => at(&format!("{path}{WELL_KNOWN}")),
        Place::Challenge | Place::ChallengeOfSameOrigin | Place::ChallengeOnSameOrigin => {
            let Some(named) = named else {
                return Ok(None);
            };
            if Url::parse(named).is_err() {
                walk.blame(flaws::challenge::CHALLENGE_RELATIVE_URL);
                walk.note(format!(
                    "passes over resource_metadata {named:?}, which is no absolute URL"
                ));
                return Ok(None);
            }
            if place != Place::Challenge && !same_origin(named, typed.as_str()) {
                let other = flaws::challenge::CHALLENGE_OTHER_ORIGIN;
                if place == Place::ChallengeOnSameOrigin {
                    let why = format!(
                        "resource_metadata {named} is on another origin than the MCP server"
                    );
                    return Err(walk.stopped_by(JourneyStep::ResourceMetadata, other, why, None));
                }
                walk.blame(other);
                walk.note(format!(
                    "passes over resource_metadata {named}, which is on another origin"
                ));
                return Ok(None);
            }
            Some(named.to_owned())
        }
    })
}

fn described(walk: &mut Walk<'_>, document: &Map<String, Value>) -> Step<Resource> {
    let step = JourneyStep::ResourceMetadata;
    let null = MEMBERS
        .iter()
        .find(|name| document.get(**name).is_some_and(Value::is_null));
    if let (Some(name), Some(true)) = (null, walk.ways.refuses_null) {
        return Err(walk.stopped_by(
            step,
            flaw::PRM_NULL_MEMBERS,
            format!("{name} is null"),
            None,
        ));
    }
    let typed = walk.desk.scene.typed.trim().to_owned();
    let resource = document.get("resource").and_then(Value::as_str);
    match (resource, walk.ways.resource_must) {
        (None, Some(_)) => {
            return Err(walk.stopped_by(
                step,
                flaw::PRM_RESOURCE_MISSING,
                "the metadata names no resource",
                None,
            ));
        }
        (Some(resource), Some(rule)) if !compare::resource_is_accepted(rule, &typed, resource) => {
            let why = format!(
                "the metadata is of {resource:?}, and it was asked to connect to {typed:?}"
            );
            return Err(walk.stopped_by(
                step,
                compare::resource_difference(&typed, resource),
                why,
                None,
            ));
        }
        (_, None) => walk.assume("how it compares resource"),
        _ => {}
    }
    let servers = document
        .get("authorization_servers")
        .and_then(Value::as_array);
    let first = servers
        .and_then(|servers| servers.first())
        .and_then(Value::as_str);
    let Some(issuer) = first else {
        walk.blame(flaw::PRM_NO_SERVERS);
        walk.note("the metadata names no authorization server");
        return undescribed(walk);
    };
    let mut known = without(walk, issuer.to_owned(), false);
    known.scopes = texts(document.get("scopes_supported"));
    if let (Some(SentResource::Metadata | SentResource::MetadataOrTyped), Some(resource)) =
        (walk.ways.sends_as_resource, resource)
    {
        known.sent = Some(resource.to_owned());
    }
    Ok(known)
}

fn undescribed(walk: &mut Walk<'_>) -> Step<Resource> {
    // A path that was taken or a root that was not asked says nothing about the other: the section before knows.
    let missing = walk.known_flaw(&[flaw::PRM_ONLY_ROOT, flaw::PRM_ONLY_PATH, flaw::PRM_MISSING]);
    let found_otherwise = missing != flaw::PRM_MISSING;
    if found_otherwise {
        walk.blame(missing);
    }
    walk.blame(flaw::PRM_MISSING);
    let issuer = match walk.ways.without_resource_metadata {
        Some(Without::OriginIsIssuer | Without::OriginAtRootOnly) => origin(walk),
        Some(Without::AddressIsIssuer) => walk.desk.scene.url.to_string(),
        Some(Without::Stops) => {
            return Err(walk.stopped(
                JourneyStep::ResourceMetadata,
                missing,
                "it finds no resource metadata",
            ));
        }
        None => {
            let why =
                "it finds no resource metadata, and nobody has established that it does without";
            return Err(walk.stopped(JourneyStep::ResourceMetadata, missing, why));
        }
    };
    walk.note(format!(
        "finds no resource metadata and takes {issuer} for the authorization server"
    ));
    let only_at_root = walk.ways.without_resource_metadata == Some(Without::OriginAtRootOnly);
    Ok(without(walk, issuer, only_at_root))
}

/// What is known without metadata.
fn without(walk: &mut Walk<'_>, issuer: String, only_at_root: bool) -> Resource {
    let typed = walk.desk.scene.url.to_string();
    let sent = match walk.ways.sends_as_resource {
        Some(SentResource::Nothing | SentResource::Metadata) => None,
        Some(SentResource::TypedWithoutSlash) => Some(typed.trim_end_matches('/').to_owned()),
        Some(SentResource::Typed | SentResource::MetadataOrTyped) => Some(typed),
        None => {
            walk.assume("what it sends as resource");
            Some(walk.desk.scene.typed.trim().to_owned())
        }
    };
    Resource {
        issuer,
        only_at_root,
        sent,
        scopes: Vec::new(),
    }
}

fn origin(walk: &Walk<'_>) -> String {
    walk.desk.scene.url.origin().ascii_serialization()
}

/// The texts of a list.
pub(super) fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    list.iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
