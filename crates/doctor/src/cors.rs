//! What a client in a browser page may ask and see. MCP Inspector is one.

use http::Method;

use crate::flaws::cors::{
    CORS_CREDENTIALS, CORS_HEADERS_MISSING, CORS_NO_ORIGIN, CORS_NOT_EXPOSED,
    PREFLIGHT_NEEDS_TOKEN, PREFLIGHT_REFUSED,
};
use crate::flaws::reach::INTERNAL_HOST_IN_METADATA;
use crate::{Ask, Desk, Exchange, Finding, Flaw, Section};

/// Where MCP Inspector's page is. Servers on this machine that refuse foreign origins let this one in.
const ORIGIN: &str = "http://localhost:6274";

/// An address and how a page asks it.
struct Place {
    name: &'static str,
    url: String,
    method: Method,
    /// Headers that a page sends there and a browser asks about first.
    headers: &'static [&'static str],
    /// Sent to see what the answer itself allows; left out where that would change something.
    ask: Option<Ask>,
}

pub(crate) async fn examine(desk: &mut Desk) {
    if desk.notes.has(INTERNAL_HOST_IN_METADATA) {
        desk.notes.not_examined(
            Section::Cors,
            "metadata names hosts that clients do not reach",
        );
        return;
    }
    let found_before = desk.notes.findings().len();
    let places = places(desk);
    let names: Vec<&str> = places.iter().map(|place| place.name).collect();
    for place in places {
        let preflight_works = preflight(desk, &place).await;
        if let Some(ask) = place.ask.clone() {
            let exchange = desk.send(ask.header("origin", ORIGIN)).await;
            answer(desk, &place, &exchange, preflight_works);
        }
    }
    if desk.notes.findings().len() == found_before {
        desk.notes
            .well(Section::Cors, format!("pages may use {}", names.join(", ")));
    }
}

fn places(desk: &Desk) -> Vec<Place> {
    let url = desk.scene.url.to_string();
    let mut places = vec![Place {
        name: "the MCP URL",
        ask: Some(Ask::initialize(&url, "initialize from a page")),
        url,
        method: Method::POST,
        headers: &["authorization", "content-type", "mcp-protocol-version"],
    }];
    let documents = [
        ("the resource metadata", &desk.scene.resource_documents),
        (
            "the authorization server's metadata",
            &desk.scene.server_documents,
        ),
    ];
    for (name, documents) in documents {
        if let Some(fetched) = documents.first() {
            places.push(Place {
                name,
                url: fetched.url.clone(),
                method: Method::GET,
                headers: &["mcp-protocol-version"],
                ask: Some(Ask::get(&fetched.url, format!("{name} from a page"))),
            });
        }
    }
    if let Some(url) = desk.scene.endpoint("registration_endpoint") {
        places.push(Place {
            name: "the registration endpoint",
            url: url.into(),
            method: Method::POST,
            headers: &["content-type"],
            ask: None,
        });
    }
    if let Some(url) = desk.scene.endpoint("token_endpoint") {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", "portcullis-doctor"),
            ("client_id", "portcullis-doctor"),
        ];
        places.push(Place {
            name: "the token endpoint",
            ask: Some(Ask::post_form(
                url.as_str(),
                "the token endpoint from a page",
                &fields,
            )),
            url: url.into(),
            method: Method::POST,
            headers: &["content-type"],
        });
    }
    places
}

/// Whether a browser would go on after asking.
async fn preflight(desk: &mut Desk, place: &Place) -> bool {
    let ask = Ask::new(
        Method::OPTIONS,
        &place.url,
        format!("a browser's question to {}", place.name),
    )
    .header("origin", ORIGIN)
    .header("access-control-request-method", place.method.as_str())
    .header("access-control-request-headers", &place.headers.join(","));
    let exchange = desk.send(ask).await;
    if exchange.answer.is_err() {
        return true;
    }
    let outcome = exchange.outcome();
    if !exchange.is_success() {
        let (flaw, title, change) = if exchange.status() == Some(401) {
            (
                PREFLIGHT_NEEDS_TOKEN,
                "The browser's question is asked for a token",
                "Answer OPTIONS before the token is checked: browsers never send one with it.",
            )
        } else {
            (
                PREFLIGHT_REFUSED,
                "The browser's question is refused",
                "Answer OPTIONS with 204 and Access-Control-Allow-Origin, -Methods and -Headers.",
            )
        };
        add(
            desk,
            &exchange,
            flaw,
            title,
            place,
            &format!("OPTIONS is answered {outcome}"),
            change,
        );
        return false;
    }
    if allowed_origin(&exchange).is_none() {
        let seen = "the answer to OPTIONS has no Access-Control-Allow-Origin for the page";
        no_origin(desk, &exchange, place, seen);
        return false;
    }
    let allowed = list(&exchange, "access-control-allow-headers");
    let lacks: Vec<&str> = place
        .headers
        .iter()
        .copied()
        .filter(|header| {
            // The star does not stand for Authorization (Fetch standard, CORS-preflight fetch).
            let by_star = *header != "authorization" && allowed.iter().any(|name| name == "*");
            !by_star && !allowed.iter().any(|name| name == header)
        })
        .collect();
    if !lacks.is_empty() {
        add(
            desk,
            &exchange,
            CORS_HEADERS_MISSING,
            "Pages may not send the headers that MCP needs",
            place,
            &format!("Access-Control-Allow-Headers lacks {}", lacks.join(", ")),
            "Allow Authorization, Content-Type, Mcp-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name and Last-Event-ID, by name: \
             the star does not stand for Authorization.",
        );
    }
    true
}

fn answer(desk: &mut Desk, place: &Place, exchange: &Exchange, preflight_works: bool) {
    if exchange.answer.is_err() {
        return;
    }
    if exchange
        .header("access-control-allow-credentials")
        .is_some_and(|value| value.trim() == "true")
    {
        credentials(desk, exchange, place);
        return;
    }
    if !preflight_works {
        return;
    }
    if allowed_origin(exchange).is_none() {
        no_origin(
            desk,
            exchange,
            place,
            "the answer has no Access-Control-Allow-Origin for the page",
        );
        return;
    }
    if place.name == "the MCP URL" && exchange.status() == Some(401) {
        let exposed = list(exchange, "access-control-expose-headers");
        let lacks: Vec<&str> = ["www-authenticate", "mcp-session-id"]
            .into_iter()
            .filter(|header| !exposed.iter().any(|name| name == header || name == "*"))
            .collect();
        if !lacks.is_empty() {
            add(
                desk,
                exchange,
                CORS_NOT_EXPOSED,
                "Pages do not see the challenge",
                place,
                &format!("Access-Control-Expose-Headers lacks {}", lacks.join(", ")),
                "Send Access-Control-Expose-Headers: WWW-Authenticate, Mcp-Session-Id, Mcp-Protocol-Version with every answer.",
            );
        }
    }
}

fn credentials(desk: &mut Desk, exchange: &Exchange, place: &Place) {
    let origin = exchange
        .header("access-control-allow-origin")
        .unwrap_or("nobody");
    let (title, follows) = if origin.trim() == "*" {
        (
            "Credentials are allowed to every origin",
            "Browsers refuse the two together when a page sends cookies. Whoever makes that work by answering the page's own origin lets \
             pages of others use the person's cookies.",
        )
    } else {
        (
            "Pages of others may use the person's cookies",
            "A page of that origin may send the person's cookies along and read the answer.",
        )
    };
    let finding = Finding::new(
        CORS_CREDENTIALS,
        title,
        format!(
            "At {} ({}), Access-Control-Allow-Credentials is true, for the origin {origin}. {follows}",
            place.name, place.url
        ),
        "Leave Access-Control-Allow-Credentials out, and answer Access-Control-Allow-Origin: *.",
    )
    .shown_by(desk.wire.evidence(exchange));
    desk.notes.add(finding);
}

fn no_origin(desk: &mut Desk, exchange: &Exchange, place: &Place, seen: &str) {
    add(
        desk,
        exchange,
        CORS_NO_ORIGIN,
        "Pages may not read the answers",
        place,
        seen,
        "Answer Access-Control-Allow-Origin: * at the MCP URL, both metadata documents, the registration and the token endpoint; nothing \
         there depends on cookies.",
    );
}

fn add(
    desk: &mut Desk,
    exchange: &Exchange,
    flaw: Flaw,
    title: &str,
    place: &Place,
    seen: &str,
    change: &str,
) {
    let finding = Finding::new(
        flaw,
        title,
        format!(
            "At {} ({}), {seen}. MCP Inspector and other clients in a browser see an opaque network error.",
            place.name, place.url
        ),
        change,
    )
    .shown_by(desk.wire.evidence(exchange));
    desk.notes.add(finding);
}

fn allowed_origin(exchange: &Exchange) -> Option<&str> {
    exchange
        .header("access-control-allow-origin")
        .filter(|origin| matches!(origin.trim(), "*" | ORIGIN))
}

fn list(exchange: &Exchange, name: &str) -> Vec<String> {
    exchange
        .headers(name)
        .iter()
        .flat_map(|line| line.split(','))
        .map(|word| word.trim().to_ascii_lowercase())
        .collect()
}
