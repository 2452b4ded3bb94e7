use known_clients::{JourneyStep, ServerMetadataPlace as Place};
use serde_json::{Map, Value, json};
use url::Url;

use super::compare;
use super::resource::Resource;
use super::walk::{Looked, Step, Troubles, Walk};
use crate::flaws::server_metadata as flaw;

const TROUBLES: Troubles = Troubles {
    redirects: flaw::ASM_REDIRECTS,
    html: flaw::ASM_HTML,
    not_json: flaw::ASM_NOT_JSON,
    behind_login: flaw::ASM_BEHIND_LOGIN,
    server_error: flaw::ASM_SERVER_ERROR,
};

/// Members of the metadata that a strict reader does not take as null.
const MEMBERS: [&str; 14] = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "registration_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
    "jwks_uri",
    "scopes_supported",
    "response_types_supported",
    "grant_types_supported",
    "token_endpoint_auth_methods_supported",
    "code_challenge_methods_supported",
    "service_documentation",
    "client_id_metadata_document_supported",
];

/// What OpenID Connect Discovery section 3 demands beyond RFC 8414.
const OPENID_MEMBERS: [&str; 3] = [
    "jwks_uri",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
];

/// What the client knows of the authorization server.
pub(super) struct Server {
    pub metadata: Map<String, Value>,
    pub authorization_endpoint: Url,
}

impl Server {
    /// Whether `member` lists `value`.
    pub fn lists(&self, member: &str, value: &str) -> bool {
        self.metadata
            .get(member)
            .and_then(Value::as_array)
            .is_some_and(|list| list.iter().any(|item| item == value))
    }

    /// Whether `member` is true.
    pub fn promises(&self, member: &str) -> bool {
        self.metadata.get(member) == Some(&Value::Bool(true))
    }

    /// The text of `member`.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.metadata.get(member).and_then(Value::as_str)
    }
}

/// Looks where this client looks for the metadata of its authorization server, and reads it as the client does.
pub(super) async fn find(walk: &mut Walk<'_>, resource: &Resource) -> Step<Server> {
    let step = JourneyStep::ServerMetadata;
    let Ok(issuer) = Url::parse(&resource.issuer) else {
        let why = format!("the issuer {:?} is no URL", resource.issuer);
        return Err(walk.stopped(step, flaw::ISSUER_OTHER, why));
    };
    if let Some((flaw, why)) = walk.refuses_address(&issuer) {
        return Err(walk.stopped_by(step, flaw, why, None));
    }
    let places = match (resource.only_at_root, walk.ways.server_metadata.as_slice()) {
        (true, _) => vec![Place::OauthAtRoot],
        (false, []) => {
            walk.assume("the order in which it looks for the authorization server's metadata");
            vec![
                Place::OauthInserted,
                Place::OpenidInserted,
                Place::OpenidAppended,
            ]
        }
        (false, places) => places.to_vec(),
    };
    let mut asked: Vec<String> = Vec::new();
    for place in places {
        let address = address(place, &issuer);
        if asked.contains(&address) {
            continue;
        }
        let (looked, exchange) = walk
            .look(&address, "authorization server metadata", &TROUBLES)
            .await?;
        asked.push(address);
        match looked {
            Looked::Found(metadata) => {
                let is_openid = matches!(place, Place::OpenidInserted | Place::OpenidAppended);
                return accepted(walk, &resource.issuer, metadata, is_openid);
            }
            Looked::Not(trouble) => {
                let passed_over = exchange.status() == Some(502)
                    && walk.ways.server_metadata_502_is_passed_over == Some(true);
                let is_error = matches!(exchange.status(), Some(500..) | None) && !passed_over;
                if is_error && walk.ways.server_metadata_error_is_fatal == Some(true) {
                    let cause = trouble.unwrap_or(flaw::ASM_SERVER_ERROR);
                    let why = format!(
                        "a failure to answer for the metadata ends it: {}",
                        exchange.outcome()
                    );
                    return Err(walk.stopped_by(step, cause, why, Some(&exchange)));
                }
                if let Some(trouble) = trouble {
                    walk.blame(trouble);
                }
            }
        }
    }
    let missing = walk.known_flaw(&[
        flaw::ASM_NEEDS_OWN_AUTHORITY,
        flaw::ASM_ONLY_APPENDED,
        flaw::ASM_MISSING,
    ]);
    if walk.ways.guesses_endpoints == Some(true) {
        walk.blame(missing);
        return Ok(guessed(walk, &issuer));
    }
    let why = format!("it finds no metadata of {}", resource.issuer);
    Err(walk.stopped(step, missing, why))
}

/// Where `place` is for this issuer.
fn address(place: Place, issuer: &Url) -> String {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let path = issuer.path().trim_end_matches('/');
    let mut url = issuer.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&match place {
        Place::OauthInserted => format!("{OAUTH}{path}"),
        Place::OpenidInserted => format!("{OPENID}{path}"),
        Place::OpenidAppended => format!("{path}{OPENID}"),
        Place::OauthAtRoot => OAUTH.to_owned(),
    });
    url.to_string()
}

/// The metadata, if the client accepts it.
fn accepted(
    walk: &mut Walk<'_>,
    expected: &str,
    metadata: Map<String, Value>,
    is_openid: bool,
) -> Step<Server> {
    let step = JourneyStep::ServerMetadata;
    let stop = |walk: &Walk<'_>, flaw, why: String| Err(walk.stopped_by(step, flaw, why, None));
    let is_null = |name: &&str| metadata.get(*name).is_some_and(Value::is_null);
    if let (Some(name), Some(true)) = (
        MEMBERS.iter().find(|name| is_null(name)),
        walk.ways.refuses_null,
    ) {
        return stop(walk, flaw::ASM_NULL_MEMBERS, format!("{name} is null"));
    }
    let is_missing = |name: &&str| !metadata.contains_key(*name);
    let needed: Vec<&str> = walk
        .ways
        .needs_server_members
        .iter()
        .map(String::as_str)
        .collect();
    if let Some(name) = needed.iter().find(|name| is_missing(name)) {
        let flaw = match *name {
            "response_types_supported" => flaw::ASM_NO_RESPONSE_TYPES,
            _ => flaw::ASM_NO_TOKEN_ENDPOINT,
        };
        return stop(walk, flaw, format!("the metadata has no {name}"));
    }
    if is_openid
        && walk.ways.needs_openid_members == Some(true)
        && let Some(name) = OPENID_MEMBERS.iter().find(|name| is_missing(name))
    {
        return stop(
            walk,
            flaw::ASM_OIDC_INCOMPLETE,
            format!("the OpenID document has no {name}"),
        );
    }
    match (
        metadata.get("issuer").and_then(Value::as_str),
        walk.ways.issuer_must,
    ) {
        (_, None) => walk.assume("how it compares issuer"),
        (None, Some(_)) => {
            return stop(
                walk,
                flaw::ISSUER_MISSING,
                "the metadata has no issuer".into(),
            );
        }
        (Some(issuer), Some(rule)) if !compare::issuer_is_accepted(rule, expected, issuer) => {
            let why = format!("the metadata is of {issuer:?}, and {expected:?} was asked for");
            return stop(walk, compare::issuer_difference(expected, issuer), why);
        }
        _ => {}
    }
    let lists_s256 = metadata
        .get("code_challenge_methods_supported")
        .and_then(Value::as_array)
        .is_some_and(|methods| methods.iter().any(|method| method == "S256"));
    if walk.ways.needs_pkce_promise == Some(true) && !lists_s256 {
        return stop(
            walk,
            flaw::ASM_NO_S256,
            "code_challenge_methods_supported does not list S256".into(),
        );
    }
    let authorization_endpoint = endpoint(
        walk,
        &metadata,
        "authorization_endpoint",
        flaw::ASM_NO_AUTHORIZATION_ENDPOINT,
    )?;
    let token_endpoint = endpoint(
        walk,
        &metadata,
        "token_endpoint",
        flaw::ASM_NO_TOKEN_ENDPOINT,
    )?;
    for address in [&authorization_endpoint, &token_endpoint] {
        if let Some((flaw, why)) = walk.refuses_address(address) {
            return stop(walk, flaw, why);
        }
    }
    let is_plain = token_endpoint.scheme() == "http" && !crate::scene::is_loopback(&token_endpoint);
    if is_plain && walk.ways.refuses_http_token_endpoint == Some(true) {
        return stop(
            walk,
            flaw::ASM_HTTP_ENDPOINT,
            format!("the token endpoint {token_endpoint} is http"),
        );
    }
    Ok(Server {
        metadata,
        authorization_endpoint,
    })
}

fn endpoint(
    walk: &Walk<'_>,
    metadata: &Map<String, Value>,
    member: &str,
    missing: crate::Flaw,
) -> Step<Url> {
    let step = JourneyStep::ServerMetadata;
    let Some(text) = metadata.get(member).and_then(Value::as_str) else {
        return Err(walk.stopped_by(step, missing, format!("the metadata has no {member}"), None));
    };
    Url::parse(text).map_err(|_| {
        let why = format!("{member} is {text:?}, which is no absolute URL");
        walk.stopped_by(step, flaw::ASM_RELATIVE_ENDPOINT, why, None)
    })
}

/// What clients did before there was metadata: everything at the root.
fn guessed(walk: &mut Walk<'_>, issuer: &Url) -> Server {
    walk.note("finds no metadata and tries /authorize, /token and /register");
    let at = |path: &str| {
        let mut url = issuer.clone();
        url.set_query(None);
        url.set_path(path);
        url
    };
    let metadata = json!({"registration_endpoint": at("/register").as_str()});
    Server {
        metadata: metadata.as_object().cloned().unwrap_or_default(),
        authorization_endpoint: at("/authorize"),
    }
}
