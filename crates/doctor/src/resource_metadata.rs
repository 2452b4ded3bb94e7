//! How the MCP server describes itself, at every address where a client looks.

mod members;

use url::Url;

use crate::flaws::resource_metadata::{
    PRM_BEHIND_LOGIN, PRM_DIFFER, PRM_HTML, PRM_MISSING, PRM_NAMED_MISSING, PRM_NOT_JSON,
    PRM_ONLY_PATH, PRM_ONLY_ROOT, PRM_REDIRECTS, PRM_SERVER_ERROR, WELL_KNOWN_NOT_404,
    WRONG_CONTENT_TYPE,
};
use crate::look::Look;
use crate::{Ask, Desk, Fetched, Finding, Flaw, Section};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The kinds of addresses.
pub(crate) const NAMED: &str = "named by the challenge";
pub(crate) const WITH_PATH: &str = "with the path";
pub(crate) const AT_ROOT: &str = "at the root";

pub(crate) async fn examine(desk: &mut Desk) {
    let found_before = desk.notes.findings().len();
    fetch(desk).await;
    judge_addresses(desk);
    content_types(desk);
    agree(desk);
    let fetched = match desk.scene.resource_documents.first() {
        Some(fetched) => Some(fetched.clone()),
        None => {
            let documents = &desk.scene.resource_documents;
            documents
                .behind_redirect(desk, "resource metadata, where the redirect leads")
                .await
        }
    };
    if let Some(fetched) = fetched {
        desk.scene.resource_metadata = fetched.document.clone();
        members::examine(desk, &fetched);
    }
    unknown_well_known(desk).await;
    if desk.notes.findings().len() == found_before {
        desk.notes.well(
            Section::ResourceMetadata,
            "the same document at every address, for exactly this URL",
        );
    }
}

/// Where clients look, in their order, each address once.
fn addresses(desk: &Desk) -> Vec<(&'static str, String)> {
    let url = &desk.scene.url;
    let origin = url.origin().ascii_serialization();
    let query = url
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let root = format!("{origin}{WELL_KNOWN}");
    let path = url.path();
    let mut addresses = Vec::new();
    if path != "/" || !query.is_empty() {
        let path = if path == "/" { "" } else { path };
        addresses.push((WITH_PATH, format!("{origin}{WELL_KNOWN}{path}{query}")));
    }
    addresses.push((AT_ROOT, root));
    let named = desk
        .scene
        .challenge
        .as_ref()
        .and_then(|challenge| challenge.resource_metadata.as_deref())
        .and_then(|text| Url::parse(text).ok())
        .filter(|named| matches!(named.scheme(), "http" | "https"));
    if let Some(named) = named
        && !addresses.iter().any(|(_, known)| known == named.as_str())
    {
        addresses.insert(0, (NAMED, named.into()));
    }
    addresses
}

async fn fetch(desk: &mut Desk) {
    for (place, url) in addresses(desk) {
        let ask = Ask::get(&url, format!("resource metadata {place}"));
        let exchange = desk.send(ask).await;
        let fetched = Fetched::new(place, &url, exchange);
        desk.scene.resource_documents.fetched.push(fetched);
    }
}

/// What is wrong with the addresses themselves: one cause, the one that most clients meet.
fn judge_addresses(desk: &mut Desk) {
    let all = desk.scene.resource_documents.fetched.clone();
    let has_document = all.iter().any(|fetched| fetched.document.is_some());
    let at = |place: &str| all.iter().find(|fetched| fetched.place == place);
    let Some(main) = at(WITH_PATH).or_else(|| at(AT_ROOT)) else {
        return;
    };
    let change = format!(
        "Serve the resource metadata as JSON, without a token, at {} and let the challenge name that address.",
        main.url
    );
    if let Some((flaw, title)) = fault(&Look::of(&main.exchange)) {
        add(desk, flaw, title, main, &change);
        return;
    }
    if !has_document {
        let named = at(NAMED).and_then(|named| Some((fault(&Look::of(&named.exchange))?, named)));
        match named {
            Some(((flaw, title), named)) => add(desk, flaw, title, named, &change),
            None => add(
                desk,
                PRM_MISSING,
                "There is no resource metadata".to_owned(),
                main,
                &change,
            ),
        }
        return;
    }
    if let Some(named) = at(NAMED)
        && named.document.is_none()
    {
        let title = "The address in the challenge has no metadata".to_owned();
        add(desk, PRM_NAMED_MISSING, title, named, &change);
    }
    if main.document.is_none() {
        let title = match at(AT_ROOT).filter(|root| root.document.is_some()) {
            Some(_) => "The resource metadata is only at the root of the host",
            None => "The resource metadata is only where the challenge says",
        };
        add(desk, PRM_ONLY_ROOT, title.to_owned(), main, &change);
    } else if let Some(root) = at(AT_ROOT).filter(|root| root.place != main.place) {
        match Look::of(&root.exchange) {
            Look::Document => {}
            Look::Nothing => add(
                desk,
                PRM_ONLY_PATH,
                "The resource metadata is not at the root of the host".to_owned(),
                root,
                &format!(
                    "When this host has one MCP server only, serve the same document at {} too.",
                    root.url
                ),
            ),
            other => well_known_not_404(desk, root, &other),
        }
    }
}

/// The flaw when something other than a document or nothing is there.
fn fault(look: &Look) -> Option<(Flaw, String)> {
    Some(match look {
        Look::Document | Look::Nothing => return None,
        Look::Login => (
            PRM_BEHIND_LOGIN,
            "The resource metadata asks for a token".to_owned(),
        ),
        Look::Page => (
            PRM_HTML,
            "A page answers instead of the resource metadata".to_owned(),
        ),
        Look::NotJson => (
            PRM_NOT_JSON,
            "The resource metadata is no JSON object".to_owned(),
        ),
        Look::ServerError => (
            PRM_SERVER_ERROR,
            "The resource metadata is answered with a server error".to_owned(),
        ),
        Look::NoAnswer(_) => (
            PRM_SERVER_ERROR,
            "The resource metadata is not answered".to_owned(),
        ),
        Look::Redirect(_) => (
            PRM_REDIRECTS,
            "The resource metadata is behind a redirect".to_owned(),
        ),
    })
}

fn add(desk: &mut Desk, flaw: Flaw, title: String, fetched: &Fetched, change: &str) {
    let everywhere: Vec<String> = desk
        .scene
        .resource_documents
        .fetched
        .iter()
        .map(|fetched| format!("{}: {}", fetched.url, fetched.exchange.outcome()))
        .collect();
    let finding = Finding::new(flaw, title, format!("{}.", everywhere.join("; ")), change)
        .shown_by(desk.wire.evidence(&fetched.exchange));
    desk.notes.add(finding);
}

fn content_types(desk: &mut Desk) {
    let wrong = desk
        .scene
        .resource_documents
        .fetched
        .iter()
        .find(|fetched| {
            fetched.document.is_some() && !is_json_type(fetched.exchange.media_type().as_deref())
        });
    if let Some(fetched) = wrong.cloned() {
        report_content_type(desk, "The resource metadata", &fetched);
    }
}

/// Whether readers that look at the media type take it for JSON.
pub(crate) fn is_json_type(media_type: Option<&str>) -> bool {
    media_type.is_some_and(|kind| kind == "application/json" || kind.ends_with("+json"))
}

pub(crate) fn report_content_type(desk: &mut Desk, what: &str, fetched: &Fetched) {
    let finding = Finding::new(
        WRONG_CONTENT_TYPE,
        format!("{what} is not called JSON"),
        format!(
            "{} has the media type {}. Strict clients do not read it.",
            fetched.url,
            fetched
                .exchange
                .media_type()
                .unwrap_or_else(|| "none".to_owned())
        ),
        "Send Content-Type: application/json.",
    )
    .shown_by(desk.wire.evidence(&fetched.exchange));
    desk.notes.add(finding);
}

fn agree(desk: &mut Desk) {
    let documents: Vec<Fetched> = desk
        .scene
        .resource_documents
        .fetched
        .iter()
        .filter(|fetched| fetched.document.is_some())
        .cloned()
        .collect();
    let Some((first, others)) = documents.split_first() else {
        return;
    };
    for other in others {
        let differs = ["resource", "authorization_servers"]
            .into_iter()
            .find(|member| {
                first
                    .document
                    .as_ref()
                    .and_then(|document| document.get(*member))
                    != other
                        .document
                        .as_ref()
                        .and_then(|document| document.get(*member))
            });
        let Some(member) = differs else { continue };
        let value = |fetched: &Fetched| {
            fetched
                .document
                .as_ref()
                .and_then(|document| document.get(member))
                .map_or_else(|| "absent".to_owned(), ToString::to_string)
        };
        let finding = Finding::new(
            PRM_DIFFER,
            "The addresses of the resource metadata disagree",
            format!(
                "{member} is {} at {} and {} at {}. Clients that read the second one ask for tokens of another resource \
                 (invalid_target) or from another server.",
                value(first),
                first.url,
                value(other),
                other.url
            ),
            format!("Serve one document at both addresses; on a host with several MCP servers, answer 404 at {}.", other.url),
        )
        .shown_by(desk.wire.evidence(&first.exchange))
        .shown_by(desk.wire.evidence(&other.exchange));
        desk.notes.add(finding);
        return;
    }
}

/// What is answered where nothing is meant to be.
async fn unknown_well_known(desk: &mut Desk) {
    if desk.notes.has_any(&[
        PRM_HTML,
        PRM_BEHIND_LOGIN,
        PRM_SERVER_ERROR,
        WELL_KNOWN_NOT_404,
    ]) {
        return;
    }
    let url = format!(
        "{}/.well-known/portcullis-doctor-nothing-here",
        desk.scene.url.origin().ascii_serialization()
    );
    let exchange = desk
        .send(Ask::get(&url, "a well-known address that nobody serves"))
        .await;
    let look = Look::of(&exchange);
    if matches!(look, Look::Nothing | Look::NoAnswer(_)) {
        return;
    }
    let fetched = Fetched::new("unknown", &url, exchange);
    well_known_not_404(desk, &fetched, &look);
}

pub(crate) fn well_known_not_404(desk: &mut Desk, fetched: &Fetched, look: &Look) {
    let words = match look {
        Look::Document | Look::NotJson => "is taken for metadata",
        Look::Page => "is read as JSON, which fails in another way in each client",
        Look::Login => "makes clients believe that they must sign in to read metadata",
        Look::Redirect(_) => "is followed, or not, and a page is found",
        _ => "makes clients give up instead of looking at the next address",
    };
    let finding = Finding::new(
        WELL_KNOWN_NOT_404,
        format!("An unknown well-known address is answered {}", fetched.exchange.outcome()),
        format!("Clients try several addresses and go on when one is 404. What {} answers {words}.", fetched.url),
        "Answer 404 for every address below /.well-known/ that is not served, before the login and the pages of the site.",
    )
    .shown_by(desk.wire.evidence(&fetched.exchange));
    desk.notes.add(finding);
}
