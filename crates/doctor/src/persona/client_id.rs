use http::Method;
use known_clients::{JourneyStep, RegistrationWay, TokenAuth};
use serde_json::{Map, Value, json};

use super::server::Server;
use super::walk::{End, Step, Stopped, Walk};
use super::{compare, scopes};
use crate::flaws::{persona as own_flaw, registration as flaw, server_metadata};
use crate::{Ask, Exchange, Flaw};

/// Who the client is for this authorization server.
pub(super) struct Identity {
    pub client_id: String,
    pub redirect_uri: String,
    /// Return addresses that were declared as they stand, for comparison with [`Identity::redirect_uri`].
    pub declared: Vec<String>,
    /// Its `client_id` is the address of its document.
    pub by_document: bool,
    /// What it asks for because its registration was answered so.
    pub scope: Option<String>,
}

/// Comes by a `client_id` in the ways that this client tries, in its order.
pub(super) async fn obtain(
    walk: &mut Walk<'_>,
    server: &Server,
    asked: Option<&str>,
) -> Step<Identity> {
    let step = JourneyStep::Registration;
    let takes_documents = server.promises("client_id_metadata_document_supported");
    let lists_none = server.lists("token_endpoint_auth_methods_supported", "none");
    let mut missing = server_metadata::ASM_NO_REGISTRATION;
    for way in &walk.client.registration {
        match way {
            RegistrationWay::PreRegistered => {}
            RegistrationWay::MetadataDocument => {
                let Some(document) = walk.ways.document.as_deref().filter(|_| takes_documents)
                else {
                    continue;
                };
                if walk.ways.document_needs_none == Some(true) && !lists_none {
                    missing = server_metadata::ASM_CIMD_WITHOUT_NONE;
                    walk.note("does not use its metadata document, because none is not listed");
                    continue;
                }
                return by_document(walk, server, document);
            }
            RegistrationWay::Dynamic => {
                if let Some(endpoint) = server.text("registration_endpoint") {
                    return register(walk, server, endpoint, asked).await;
                }
            }
        }
    }
    if walk
        .client
        .registration
        .contains(&RegistrationWay::PreRegistered)
    {
        walk.note("needs a client_id that somebody enters");
    }
    let missing = walk.known_flaw(&[server_metadata::ASM_NEEDS_OWN_AUTHORITY, missing]);
    Err(walk.stopped(
        step,
        missing,
        "the server offers no way to come by a client_id that this client knows",
    ))
}

fn by_document(walk: &mut Walk<'_>, server: &Server, document: &str) -> Step<Identity> {
    if walk.ways.without_iss_promise.is_some() && !promises_iss(server) {
        return Err(End::NotExamined(
            "without a promise of iss its document and its return address have an id that only its maker knows".into(),
        ));
    }
    walk.note(format!("is {document}"));
    let declared = known_clients::pinned_document(document)
        .map(|pinned| super::resource::texts(pinned.document.get("redirect_uris")))
        .unwrap_or_default();
    Ok(Identity {
        client_id: document.to_owned(),
        redirect_uri: returns_to(walk, server),
        declared,
        by_document: true,
        scope: None,
    })
}

/// Registers, under a name that says who it really is.
async fn register(
    walk: &mut Walk<'_>,
    server: &Server,
    endpoint: &str,
    asked: Option<&str>,
) -> Step<Identity> {
    let step = JourneyStep::Registration;
    let Ok(url) = url::Url::parse(endpoint) else {
        let why = format!("registration_endpoint is {endpoint:?}, which is no absolute URL");
        return Err(walk.stopped_by(step, server_metadata::ASM_RELATIVE_ENDPOINT, why, None));
    };
    if !walk.desk.may_register(&url) {
        return Err(End::NotExamined(
            "it registers itself, which the doctor does only with --register".into(),
        ));
    }
    let redirect_uri = returns_to(walk, server);
    let mut redirect_uris: Vec<String> = walk
        .ways
        .registers
        .iter()
        .map(|uri| filled(walk, uri))
        .collect();
    if walk.ways.returns_to.is_none() && !redirect_uris.contains(&redirect_uri) {
        redirect_uris = vec![redirect_uri.clone()];
    }
    let body = request_body(walk, server, &redirect_uris, asked);
    let ask = walk.oauth_ask(Method::POST, endpoint, "registration");
    let ask = Ask {
        body: body.to_string().into(),
        ..ask
    }
    .header("content-type", "application/json");
    let exchange = walk.send(ask).await?;
    walk.note(format!("POST {endpoint} → {}", exchange.outcome()));
    if !exchange.is_success() {
        return Err(refused(walk, &redirect_uris, &exchange));
    }
    let Some(Value::Object(answer)) = exchange.json() else {
        let why = format!(
            "its registration is answered {}, which is no JSON object",
            exchange.outcome()
        );
        return Err(walk.stopped_by(step, flaw::REGISTER_REFUSED, why, Some(&exchange)));
    };
    for secret in ["client_secret", "registration_access_token"] {
        if let Some(secret) = answer.get(secret).and_then(Value::as_str) {
            walk.desk.wire.keep_secret(secret);
        }
    }
    tidy_up_later(walk, &answer);
    let stop = |flaw, why: &str| Err(walk.stopped_by(step, flaw, why, Some(&exchange)));
    if walk.ways.refuses_null == Some(true) && answer.values().any(Value::is_null) {
        return stop(
            flaw::REGISTER_NULL_MEMBERS,
            "the answer to its registration has a member that is null",
        );
    }
    if walk.ways.needs_registered_redirect_uris == Some(true)
        && !answer.contains_key("redirect_uris")
    {
        return stop(
            flaw::REGISTER_NO_REDIRECT_URIS,
            "the answer to its registration does not repeat redirect_uris",
        );
    }
    let Some(client_id) = answer.get("client_id").and_then(Value::as_str) else {
        return stop(
            flaw::REGISTER_NO_REDIRECT_URIS,
            "the answer to its registration has no client_id",
        );
    };
    Ok(Identity {
        client_id: client_id.to_owned(),
        redirect_uri,
        declared: redirect_uris,
        by_document: false,
        scope: scopes::of_registration(walk, &answer),
    })
}

/// A registration stays where it is made: there is no standard way to take it back that all servers have.
fn tidy_up_later(walk: &mut Walk<'_>, answer: &Map<String, Value>) {
    if answer
        .get("registration_client_uri")
        .is_some_and(Value::is_string)
    {
        walk.note("its registration can be removed at registration_client_uri");
    }
}

fn request_body(
    walk: &mut Walk<'_>,
    server: &Server,
    redirect_uris: &[String],
    asked: Option<&str>,
) -> Value {
    let mut body = walk.ways.registration_members.clone();
    body.insert(
        "client_name".into(),
        json!(format!("Portcullis doctor as {}", walk.client.name)),
    );
    body.insert("redirect_uris".into(), json!(redirect_uris));
    body.insert("response_types".into(), json!(["code"]));
    body.entry("grant_types")
        .or_insert(json!(["authorization_code", "refresh_token"]));
    let methods =
        super::resource::texts(server.metadata.get("token_endpoint_auth_methods_supported"));
    let method = match walk.ways.token_auth {
        Some(TokenAuth::None) => "none",
        Some(TokenAuth::NoneElsePost) if methods.iter().any(|method| method == "none") => "none",
        Some(TokenAuth::NoneElsePost) => "client_secret_post",
        Some(TokenAuth::FirstListed) => {
            methods.first().map_or("client_secret_post", String::as_str)
        }
        // A key of its maker's cannot be borrowed; its document lists none as well.
        Some(TokenAuth::PrivateKeyJwt) => "none",
        None => {
            walk.assume("how it authenticates at the token endpoint");
            "none"
        }
    };
    body.insert("token_endpoint_auth_method".into(), json!(method));
    if let (Some(true), Some(scope)) = (walk.ways.registers_scope, asked) {
        body.insert("scope".into(), json!(scope));
    }
    Value::Object(body)
}

/// Which flaw it is that a registration is refused.
fn refused(walk: &Walk<'_>, redirect_uris: &[String], exchange: &std::sync::Arc<Exchange>) -> End {
    let body = exchange.json();
    let member = |name: &str| {
        body.as_ref()
            .and_then(|body| body.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let error = member("error");
    let flaw = match (exchange.status(), error) {
        (Some(429), _) => flaw::REGISTER_RATE_LIMIT,
        (_, "invalid_redirect_uri") => redirect_flaw(walk, redirect_uris),
        _ => walk.known_flaw(&[
            flaw::REGISTER_REFUSES_UNKNOWN_MEMBER,
            flaw::REGISTER_REFUSES_MIXED,
            flaw::REGISTER_REFUSES_LOOPBACK,
            flaw::REGISTER_REFUSED,
        ]),
    };
    let why = match error {
        "" => format!("its registration is answered {}", exchange.outcome()),
        error => format!(
            "its registration is refused: {error} {}",
            member("error_description")
        )
        .trim_end()
        .to_owned(),
    };
    End::Stopped(Stopped {
        step: JourneyStep::Registration,
        flaw,
        why,
        exchange: Some(exchange.clone()),
        change: format!(
            "Accept the return addresses of {}: {}.",
            walk.client.name,
            redirect_uris.join(", ")
        ),
    })
}

fn redirect_flaw(walk: &Walk<'_>, redirect_uris: &[String]) -> Flaw {
    let is_loopback =
        |uri: &String| url::Url::parse(uri).is_ok_and(|url| crate::scene::is_loopback(&url));
    let loopbacks = redirect_uris.iter().filter(|uri| is_loopback(uri)).count();
    let is_of_anybody = walk
        .ways
        .registers
        .iter()
        .any(|uri| uri.starts_with("https://<host>/"));
    if is_of_anybody {
        own_flaw::SELF_HOSTED_REDIRECT_REFUSED
    } else if loopbacks == redirect_uris.len() {
        flaw::REGISTER_REFUSES_LOOPBACK
    } else if loopbacks > 0 {
        flaw::REGISTER_REFUSES_MIXED
    } else {
        walk.known_flaw(&[flaw::REGISTER_REFUSED, own_flaw::KNOWN_REDIRECT_REFUSED])
    }
}

fn promises_iss(server: &Server) -> bool {
    server.promises("authorization_response_iss_parameter_supported")
}

/// Where it returns to.
fn returns_to(walk: &mut Walk<'_>, server: &Server) -> String {
    if let Some(instead) = walk
        .ways
        .without_iss_promise
        .as_ref()
        .filter(|_| !promises_iss(server))
    {
        return filled(walk, &instead.returns_to);
    }
    match walk
        .ways
        .returns_to
        .as_ref()
        .or(walk.ways.registers.first())
    {
        Some(uri) => filled(walk, uri),
        None => {
            walk.assume("its return address, which is the program's");
            filled(walk, "http://localhost:<port>/callback")
        }
    }
}

/// With its placeholders filled: the port, a host that nobody has, and ids.
fn filled(walk: &Walk<'_>, pattern: &str) -> String {
    let mut out = String::new();
    for part in pattern.split('<') {
        match part.split_once('>') {
            Some(("port", rest)) => out.extend([walk.port.to_string().as_str(), rest]),
            Some(("host", rest)) => out.extend([walk.client.id.as_str(), ".example.com", rest]),
            Some((_, rest)) => out.extend(["portcullis-doctor", rest]),
            None => out.push_str(part),
        }
    }
    out
}

/// Whether the two are the same but for the port of a loopback address.
pub(super) fn differ_in_port_only(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (url::Url::parse(one), url::Url::parse(other)) else {
        return false;
    };
    compare::is_private(&one)
        && one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.path() == other.path()
        && one.port() != other.port()
}
