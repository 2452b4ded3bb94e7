use std::sync::Arc;

use base::{Digest, random_token};
use http::Method;
use known_clients::{IssRule, JourneyStep};
use url::Url;

use super::client_id::{Identity, differ_in_port_only};
use super::compare;
use super::cookies::Cookies;
use super::resource::Resource;
use super::server::Server;
use super::walk::{End, Step, Stopped, Walk, resolved};
use crate::flaws::{endpoints, persona as flaw, server_metadata};
use crate::{Ask, Exchange, Flaw};

/// Redirects that a browser follows here before the doctor gives up.
const REDIRECTS_MAX: usize = 8;

/// What came of opening the page.
enum Opened {
    /// A page for the person.
    Page,
    /// A redirect back to the client, with this error.
    Returned(String),
    /// A redirect back to the client, with a code.
    Code,
    /// Anything else.
    Refused,
}

/// Opens the authorization address as the client's browser would, without a session.
pub(super) async fn open_page(
    walk: &mut Walk<'_>,
    resource: &Resource,
    server: &Server,
    identity: &Identity,
    asked: Option<String>,
) -> Step<()> {
    let step = JourneyStep::Authorization;
    let scope = identity.scope.clone().or(asked);
    let request = Request {
        redirect_uri: identity.redirect_uri.clone(),
        scope,
        resource: resource.sent.clone(),
    };
    let (opened, exchange) = open(walk, server, identity, &request, "opens the browser").await?;
    walk.note(format!(
        "opens {} → {}",
        server.authorization_endpoint,
        exchange.outcome()
    ));
    let why = match opened {
        Opened::Page => return way_back(walk, server),
        Opened::Code => {
            walk.note("is sent back with a code, though nobody signed in");
            return Ok(());
        }
        Opened::Returned(error) => format!("its browser is sent back with the error {error}"),
        Opened::Refused => format!(
            "its browser is shown {} instead of a page to sign in",
            exchange.outcome()
        ),
    };
    let (flaw, change) = reason(walk, server, identity, &request, &exchange).await?;
    Err(End::Stopped(Stopped {
        step,
        flaw,
        why,
        exchange: Some(exchange),
        change,
    }))
}

/// What can be said of the way back before anybody goes it.
fn way_back(walk: &Walk<'_>, server: &Server) -> Step<()> {
    let promised = server.promises("authorization_response_iss_parameter_supported");
    if walk.ways.iss == Some(IssRule::Needed) && !promised {
        let why = "it accepts no return without iss, and the metadata promises none";
        return Err(walk.stopped_by(
            JourneyStep::Callback,
            server_metadata::ASM_NO_ISS_PROMISE,
            why,
            None,
        ));
    }
    Ok(())
}

/// What varies between attempts to find out why a request is refused.
#[derive(Clone)]
struct Request {
    redirect_uri: String,
    scope: Option<String>,
    resource: Option<String>,
}

/// Finds out by changing one thing at a time.
async fn reason(
    walk: &mut Walk<'_>,
    server: &Server,
    identity: &Identity,
    request: &Request,
    exchange: &Arc<Exchange>,
) -> Step<(Flaw, String)> {
    if exchange.status().is_none() || exchange.status() == Some(404) {
        return Ok((endpoints::AUTHORIZE_MISSING, String::new()));
    }
    let declared = identity
        .declared
        .iter()
        .find(|uri| differ_in_port_only(uri, &request.redirect_uri));
    if let Some(declared) = declared {
        let other = Request {
            redirect_uri: declared.clone(),
            ..request.clone()
        };
        if is_page(
            walk,
            server,
            identity,
            &other,
            "the same with the port that was declared",
        )
        .await?
        {
            let change = "Leave the port out when return addresses on 127.0.0.1, [::1] and localhost are compared.";
            return Ok((flaw::LOOPBACK_PORT_COMPARED, change.into()));
        }
    }
    if let Some(scope) = &request.scope {
        let other = Request {
            scope: None,
            ..request.clone()
        };
        if is_page(walk, server, identity, &other, "the same without scope").await? {
            let change = format!(
                "Drop the scopes that cannot be granted and go on with the others; it asked for {scope:?}."
            );
            return Ok((flaw::EXTRA_SCOPE_FATAL, change));
        }
    }
    let published = walk.desk.scene.resource_metadata.as_ref();
    let published = published
        .and_then(|metadata| metadata.get("resource")?.as_str())
        .map(str::to_owned);
    if published != request.resource {
        let other = Request {
            resource: published,
            ..request.clone()
        };
        if is_page(
            walk,
            server,
            identity,
            &other,
            "the same with resource as published",
        )
        .await?
        {
            let change = match &request.resource {
                Some(sent) => format!("Take resource={sent} for the same resource."),
                None => "Take the server's only resource where a request names none.".to_owned(),
            };
            return Ok((flaw::RESOURCE_FORMS_REFUSED, change));
        }
    }
    let typed = walk.desk.scene.typed.trim().to_owned();
    if let Some(sent) = request.resource.as_ref().filter(|sent| **sent != typed) {
        let other = Request {
            resource: Some(typed.clone()),
            ..request.clone()
        };
        if is_page(
            walk,
            server,
            identity,
            &other,
            "the same with resource as typed",
        )
        .await?
        {
            return Ok((compare::resource_difference(&typed, sent), String::new()));
        }
    }
    if identity.by_document {
        let change = format!(
            "Let in {}, or do not promise client_id_metadata_document_supported.",
            identity.client_id
        );
        return Ok((flaw::CIMD_HOST_REFUSED, change));
    }
    let known = walk.known_flaw(&[
        endpoints::AUTHORIZE_REFUSES_REGISTERED,
        flaw::AUTHORIZE_NOT_A_PAGE,
    ]);
    Ok((
        known,
        format!(
            "Answer the authorization request of a client that returns to {} with a page.",
            request.redirect_uri
        ),
    ))
}

async fn is_page(
    walk: &mut Walk<'_>,
    server: &Server,
    identity: &Identity,
    request: &Request,
    what: &str,
) -> Step<bool> {
    let (opened, exchange) = open(walk, server, identity, request, what).await?;
    walk.note(format!("{what} → {}", exchange.outcome()));
    Ok(matches!(opened, Opened::Page))
}

async fn open(
    walk: &mut Walk<'_>,
    server: &Server,
    identity: &Identity,
    request: &Request,
    what: &str,
) -> Step<(Opened, Arc<Exchange>)> {
    let mut address = authorization_url(walk, server, identity, request);
    let mut last = None;
    let mut cookies = Cookies::default();
    for _ in 0..=REDIRECTS_MAX {
        let purpose = format!("as {}: {what}", walk.client.name);
        let mut ask = Ask::new(Method::GET, address.clone(), purpose)
            .header(
                "accept",
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            )
            .header("accept-language", "en");
        if let Some(kept) = cookies.header(&address) {
            ask = ask.header("cookie", &kept);
        }
        let exchange = walk.send(ask).await?;
        cookies.keep(&address, &exchange);
        let next = exchange.redirects_to().map(|to| resolved(&address, to));
        match next {
            Some(Some(next)) => {
                if let Some(returned) = returned(&request.redirect_uri, &next) {
                    return Ok((returned, exchange));
                }
                address = next;
                last = Some(exchange);
            }
            Some(None) => return Ok((Opened::Refused, exchange)),
            None if exchange.status() == Some(200) && exchange.is_html() => {
                return Ok((Opened::Page, exchange));
            }
            None => return Ok((Opened::Refused, exchange)),
        }
    }
    Ok((Opened::Refused, last.expect("the loop runs once")))
}

/// Whether `next` is the client's own address, and what it carries.
fn returned(redirect_uri: &str, next: &str) -> Option<Opened> {
    let (home, next) = (Url::parse(redirect_uri).ok()?, Url::parse(next).ok()?);
    let is_home = home.scheme() == next.scheme()
        && home.host() == next.host()
        && home.port() == next.port()
        && home.path() == next.path();
    if !is_home {
        return None;
    }
    let value = |name: &str| {
        next.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    Some(match (value("error"), value("code")) {
        (Some(error), _) => Opened::Returned(error),
        (None, Some(_)) => Opened::Code,
        (None, None) => Opened::Refused,
    })
}

/// The address that the browser is sent to.
fn authorization_url(
    walk: &Walk<'_>,
    server: &Server,
    identity: &Identity,
    request: &Request,
) -> String {
    let random = &*walk.desk.plan.random;
    let verifier = random_token(random, "");
    let challenge = Digest::of(verifier.as_bytes()).to_text();
    let state = random_token(random, "");
    let mut url = server.authorization_endpoint.clone();
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("response_type", "code");
        query.append_pair("client_id", &identity.client_id);
        query.append_pair("redirect_uri", &request.redirect_uri);
        query.append_pair("state", &state);
        query.append_pair("code_challenge", &challenge);
        query.append_pair("code_challenge_method", "S256");
        if let Some(scope) = &request.scope {
            query.append_pair("scope", scope);
            let asks_offline = scope.split(' ').any(|scope| scope == "offline_access");
            if asks_offline && walk.ways.prompts_for_consent == Some(true) {
                query.append_pair("prompt", "consent");
            }
        }
        if let Some(resource) = &request.resource {
            query.append_pair("resource", resource);
        }
    }
    url.to_string()
}
