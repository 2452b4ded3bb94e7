//! Who issues the tokens: the issuer, its metadata at every address where a client looks, and what that says.

mod issuer;
mod members;

use url::Url;

use crate::flaws::challenge::CHALLENGE_OTHER_ORIGIN;
use crate::flaws::reach::{HTTP_IN_METADATA, INTERNAL_HOST_IN_METADATA};
use crate::flaws::resource_metadata::{PRM_NAMED_MISSING, PRM_RESOURCE_HTTP, WELL_KNOWN_NOT_404};
use crate::flaws::server_metadata::{
    ASM_BEHIND_LOGIN, ASM_DIFFER, ASM_HTML, ASM_HTTP_ENDPOINT, ASM_MISSING,
    ASM_NEEDS_OWN_AUTHORITY, ASM_NOT_JSON, ASM_ONLY_APPENDED, ASM_ONLY_OIDC, ASM_REDIRECTS,
    ASM_SERVER_ERROR, ISSUER_HTTP,
};
use crate::look::Look;
use crate::metadata_hosts::is_plain_http;
use crate::resource_metadata::{is_json_type, report_content_type, well_known_not_404};
use crate::{Ask, Desk, Fetched, Finding, Flaw, Section};

/// The kinds of addresses.
pub(crate) const RFC_8414: &str = "RFC 8414";
pub(crate) const OPENID: &str = "OpenID, inserted";
pub(crate) const OPENID_APPENDED: &str = "OpenID, appended";
pub(crate) const APPENDED: &str = "RFC 8414, appended";

pub(crate) async fn examine(desk: &mut Desk) {
    let found_before = desk.notes.findings().len();
    let named = desk.scene.issuer.clone();
    let Some(issuer) = base(desk, named.as_deref()) else {
        desk.notes.not_examined(
            Section::ServerMetadata,
            "the resource metadata names no issuer that could be asked",
        );
        return;
    };
    if named.is_some() && desk.notes.has(INTERNAL_HOST_IN_METADATA) {
        desk.notes.not_examined(
            Section::ServerMetadata,
            "metadata names internal hosts; what stands there is not what clients reach",
        );
        return;
    }
    fetch(desk, &issuer).await;
    let needs_own = desk.notes.has(ASM_NEEDS_OWN_AUTHORITY);
    if named.is_some() && !needs_own {
        judge_addresses(desk, &issuer);
        content_types(desk);
        agree(desk);
    }
    let fetched = match desk.scene.server_documents.first() {
        Some(fetched) => Some(fetched.clone()),
        None => {
            let documents = &desk.scene.server_documents;
            documents
                .behind_redirect(
                    desk,
                    "authorization server metadata, where the redirect leads",
                )
                .await
        }
    };
    match fetched {
        Some(fetched) => {
            desk.scene.server_metadata = fetched.document.clone();
            if !needs_own {
                if let Some(named) = &named {
                    issuer::same(desk, named, &fetched);
                }
                members::examine(desk, &fetched);
            }
        }
        None => desk.notes.not_examined(
            Section::ServerMetadata,
            format!("what {issuer} says of itself: no metadata was found there"),
        ),
    }
    all_http(desk);
    if desk.notes.findings().len() == found_before && desk.scene.server_metadata.is_some() {
        desk.notes.well(
            Section::ServerMetadata,
            "one issuer, byte for byte, with everything that clients look for",
        );
    }
}

/// What the addresses are made from: the issuer, or the origin of the MCP server where old clients look without one.
fn base(desk: &mut Desk, named: Option<&str>) -> Option<Url> {
    match named {
        Some(named) => issuer::examine(desk, named),
        None => Url::parse(&desk.scene.url.origin().ascii_serialization()).ok(),
    }
}

/// Where clients look, in their order.
fn addresses(issuer: &Url) -> Vec<(&'static str, String)> {
    let origin = issuer.origin().ascii_serialization();
    let path = issuer.path().trim_end_matches('/');
    let oauth = "/.well-known/oauth-authorization-server";
    let openid = "/.well-known/openid-configuration";
    let mut addresses = vec![
        (RFC_8414, format!("{origin}{oauth}{path}")),
        (OPENID, format!("{origin}{openid}{path}")),
    ];
    if !path.is_empty() {
        addresses.push((OPENID_APPENDED, format!("{origin}{path}{openid}")));
        addresses.push((APPENDED, format!("{origin}{path}{oauth}")));
    }
    addresses
}

async fn fetch(desk: &mut Desk, issuer: &Url) {
    for (place, url) in addresses(issuer) {
        // Not in the specification: only asked to explain why nothing was found.
        if place == APPENDED && desk.scene.server_documents.first().is_some() {
            continue;
        }
        let ask = Ask::get(&url, format!("authorization server metadata ({place})"));
        let exchange = desk.send(ask).await;
        let fetched = Fetched::new(place, &url, exchange);
        desk.scene.server_documents.fetched.push(fetched);
    }
}

fn judge_addresses(desk: &mut Desk, issuer: &Url) {
    let all = desk.scene.server_documents.fetched.clone();
    let at = |place: &str| all.iter().find(|fetched| fetched.place == place);
    let Some(main) = at(RFC_8414) else { return };
    let change = format!(
        "Serve the metadata of the issuer {issuer} as JSON, without a token, at {}.",
        main.url
    );
    let look = Look::of(&main.exchange);
    if let Some((flaw, title)) = fault(&look) {
        add(desk, flaw, title, main, &change);
        return;
    }
    if main.document.is_some() {
        let openid = at(OPENID).map(|openid| (openid, Look::of(&openid.exchange)));
        if let Some((openid, look @ (Look::Page | Look::NotJson | Look::ServerError))) = openid
            && !desk.notes.has(WELL_KNOWN_NOT_404)
        {
            well_known_not_404(desk, openid, &look);
        }
        return;
    }
    let openid = [OPENID, OPENID_APPENDED]
        .into_iter()
        .filter_map(at)
        .find(|fetched| fetched.document.is_some());
    match (
        openid,
        at(APPENDED).filter(|fetched| fetched.document.is_some()),
    ) {
        (Some(openid), _) => add(
            desk,
            ASM_ONLY_OIDC,
            "The metadata is at the OpenID address only".to_owned(),
            openid,
            &change,
        ),
        (None, Some(appended)) => add(
            desk,
            ASM_ONLY_APPENDED,
            "The metadata is behind the issuer's path, where no client looks".to_owned(),
            appended,
            &change,
        ),
        (None, None) => add(
            desk,
            ASM_MISSING,
            "The authorization server has no metadata".to_owned(),
            main,
            &change,
        ),
    }
}

fn fault(look: &Look) -> Option<(Flaw, String)> {
    Some(match look {
        Look::Document | Look::Nothing => return None,
        Look::Login => (
            ASM_BEHIND_LOGIN,
            "The authorization server's metadata asks for a token".to_owned(),
        ),
        Look::Page => (
            ASM_HTML,
            "A page answers instead of the authorization server's metadata".to_owned(),
        ),
        Look::NotJson => (
            ASM_NOT_JSON,
            "The authorization server's metadata is no JSON object".to_owned(),
        ),
        Look::ServerError => (
            ASM_SERVER_ERROR,
            "The authorization server's metadata is answered with a server error".to_owned(),
        ),
        Look::NoAnswer(words) => (
            ASM_MISSING,
            format!("The authorization server does not answer: {words}"),
        ),
        Look::Redirect(_) => (
            ASM_REDIRECTS,
            "The authorization server's metadata is behind a redirect".to_owned(),
        ),
    })
}

fn add(desk: &mut Desk, flaw: Flaw, title: String, fetched: &Fetched, change: &str) {
    let everywhere: Vec<String> = desk
        .scene
        .server_documents
        .fetched
        .iter()
        .map(|fetched| format!("{}: {}", fetched.url, fetched.exchange.outcome()))
        .collect();
    let finding = Finding::new(flaw, title, format!("{}.", everywhere.join("; ")), change)
        .shown_by(desk.wire.evidence(&fetched.exchange));
    desk.notes.add(finding);
}

fn content_types(desk: &mut Desk) {
    let wrong = desk.scene.server_documents.fetched.iter().find(|fetched| {
        fetched.document.is_some() && !is_json_type(fetched.exchange.media_type().as_deref())
    });
    if let Some(fetched) = wrong.cloned() {
        report_content_type(desk, "The authorization server's metadata", &fetched);
    }
}

fn agree(desk: &mut Desk) {
    let documents: Vec<Fetched> = desk
        .scene
        .server_documents
        .fetched
        .iter()
        .filter(|fetched| fetched.document.is_some())
        .cloned()
        .collect();
    let Some((first, others)) = documents.split_first() else {
        return;
    };
    let value = |fetched: &Fetched, member: &str| {
        fetched
            .document
            .as_ref()
            .and_then(|document| document.get(member))
            .map_or_else(|| "absent".to_owned(), ToString::to_string)
    };
    for other in others {
        let members = ["issuer", "authorization_endpoint", "token_endpoint"];
        let Some(member) = members
            .into_iter()
            .find(|member| value(first, member) != value(other, member))
        else {
            continue;
        };
        let finding = Finding::new(
            ASM_DIFFER,
            "The addresses of the authorization server's metadata disagree",
            format!(
                "{member} is {} at {} and {} at {}. Which one a client reads depends on the client.",
                value(first, member),
                first.url,
                value(other, member),
                other.url
            ),
            "Serve the same JSON at every address.",
        )
        .shown_by(desk.wire.evidence(&first.exchange))
        .shown_by(desk.wire.evidence(&other.exchange));
        desk.notes.add(finding);
        return;
    }
}

/// Several URLs that are http where the MCP URL is https have one cause, which is named instead of each of them.
fn all_http(desk: &mut Desk) {
    if desk.scene.url.scheme() != "https" {
        return;
    }
    let challenge_is_http = desk
        .scene
        .challenge
        .as_ref()
        .and_then(|challenge| challenge.resource_metadata.as_deref())
        .and_then(|text| Url::parse(text).ok())
        .is_some_and(|url| is_plain_http(&url) || url.scheme() == "http");
    let mut symptoms: Vec<Flaw> = [PRM_RESOURCE_HTTP, ISSUER_HTTP, ASM_HTTP_ENDPOINT]
        .into_iter()
        .filter(|flaw| desk.notes.has(*flaw))
        .collect();
    if challenge_is_http && desk.notes.has(CHALLENGE_OTHER_ORIGIN) {
        symptoms.push(CHALLENGE_OTHER_ORIGIN);
    }
    if symptoms.len() < 2 {
        return;
    }
    let mut finding = Finding::new(
        HTTP_IN_METADATA,
        "URLs in metadata are http although the server is reached over https",
        String::new(),
        format!(
            "Configure one public base URL, {}, and make every URL from it; or let the server trust X-Forwarded-Proto of its proxy.",
            desk.scene.url.origin().ascii_serialization()
        ),
    );
    let mut details = Vec::new();
    for flaw in symptoms {
        if let Some(symptom) = desk.notes.withdraw(flaw) {
            details.push(symptom.detail);
            finding.evidence.extend(symptom.evidence);
        }
    }
    // The address in the challenge is http as well, and https alone is served.
    if challenge_is_http {
        desk.notes.withdraw(PRM_NAMED_MISSING);
    }
    finding.detail = format!(
        "A proxy ends TLS, and the server behind it does not know. {}",
        details.join(" ")
    );
    desk.notes.add(finding);
}
