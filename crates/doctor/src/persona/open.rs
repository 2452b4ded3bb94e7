use std::sync::Arc;

use http::Method;
use known_clients::{JourneyStep, Opening};
use serde_json::json;
use wire::oauth::ReadChallenge;

use super::compare::read_challenges;
use super::walk::{Step, Walk, named, resolved, same_origin, unreachable};
use crate::{Ask, Exchange, Flaw, flaws};

/// The version that a client names of which nothing else is known.
const SPECIFIED_VERSION: &str = "2025-11-25";

/// The first request of the client, and the challenge as the client reads it.
pub(super) async fn open(walk: &mut Walk<'_>) -> Step<Option<ReadChallenge>> {
    let opening = walk.or_specified(walk.ways.opens, Opening::Initialize, "its first request");
    let exchange = match opening {
        Opening::ResourceMetadata | Opening::ServerMetadata => return Ok(None),
        Opening::Initialize => ask(walk, initialize(walk)).await?,
        Opening::Get => {
            let mut get = Ask::new(Method::GET, url(walk), purpose(walk, "asks the MCP server"))
                .header("accept", "text/event-stream")
                .until("\n\n");
            if let Some(version) = &walk.ways.protocol_version {
                get = get.header("mcp-protocol-version", version);
            }
            ask(walk, get).await?
        }
        Opening::Head => {
            ask(
                walk,
                Ask::new(
                    Method::HEAD,
                    url(walk),
                    purpose(walk, "asks the MCP server"),
                ),
            )
            .await?
        }
        Opening::Discover => {
            let discovered = ask(walk, discover(walk)).await?;
            match discovered.status() {
                // A server of an earlier era does not know the method.
                Some(200 | 400 | 404 | 405 | 406) => ask(walk, initialize(walk)).await?,
                _ => discovered,
            }
        }
    };
    if let Err(failure) = &exchange.answer {
        let flaw = unreachable(&exchange, flaws::reach::NOT_REACHABLE);
        let why = format!("its first request gets no answer: {}", failure.words());
        return Err(walk.stopped_by(JourneyStep::Reach, flaw, why, Some(&exchange)));
    }
    if exchange.status() != Some(401) {
        let (step, flaw) = not_401(walk, opening, &exchange);
        let why = format!(
            "its first request is answered {} instead of 401",
            exchange.outcome()
        );
        return Err(walk.stopped_by(step, flaw, why, Some(&exchange)));
    }
    let headers = exchange.headers("www-authenticate");
    let first_only = walk.ways.reads_first_scheme_only == Some(true);
    let challenge = read_challenges(&headers, first_only);
    match &challenge {
        None if headers.is_empty() => walk.blame(flaws::challenge::NO_CHALLENGE),
        None if first_only && read_challenges(&headers, false).is_some() => {
            walk.blame(match headers.len() {
                1 => flaws::challenge::CHALLENGE_NOT_BEARER_FIRST,
                _ => flaws::challenge::CHALLENGE_SEVERAL_HEADERS_WRONG_FIRST,
            });
            walk.note("reads only the first word of the challenge, which is not Bearer");
        }
        None => walk.blame(flaws::challenge::CHALLENGE_UNPARSABLE),
        Some(_) => {}
    }
    Ok(challenge)
}

/// Sends it, following redirects within the origin; one to elsewhere is the answer.
async fn ask(walk: &mut Walk<'_>, ask: Ask) -> Step<Arc<Exchange>> {
    let mut ask = named(ask, walk.ways.mcp_user_agent.as_deref());
    for _ in 0..3 {
        let exchange = walk.send(ask.clone()).await?;
        walk.note(format!(
            "{} {} → {}",
            ask.method,
            ask.url,
            exchange.outcome()
        ));
        let next = exchange
            .redirects_to()
            .and_then(|to| resolved(&ask.url, to));
        match next {
            Some(next) if same_origin(&ask.url, &next) => ask.url = next,
            _ => return Ok(exchange),
        }
    }
    walk.send(ask).await
}

/// What it is that the first request is not answered 401.
fn not_401(walk: &Walk<'_>, opening: Opening, exchange: &Exchange) -> (JourneyStep, Flaw) {
    let status = exchange.status().unwrap_or_default();
    let neutral = walk
        .desk
        .scene
        .without_token
        .as_ref()
        .and_then(|exchange| exchange.status());
    let posts = matches!(opening, Opening::Initialize | Opening::Discover);
    if let Some(to) = exchange.redirects_to() {
        let elsewhere =
            resolved(&exchange.ask.url, to).is_none_or(|to| !same_origin(&exchange.ask.url, &to));
        return (
            JourneyStep::Reach,
            match elsewhere {
                true => walk.known_flaw(&[
                    flaws::reach::MCP_REDIRECTS_TO_HTTP,
                    flaws::reach::MCP_REDIRECTS,
                ]),
                false => walk.known_flaw(&[
                    flaws::reach::SLASH_REDIRECTS,
                    flaws::reach::MCP_REDIRECT_LOOP,
                ]),
            },
        );
    }
    let only_by_name = walk.ways.mcp_user_agent.is_some() && posts && neutral == Some(401);
    if only_by_name && (status == 403 || status == 429 || status == 503 || exchange.is_html()) {
        return (JourneyStep::Reach, flaws::reach::BOT_WALL_HOSTED_AGENTS);
    }
    let by_version = flaws::challenge::DEPENDS_ON_PROTOCOL_VERSION;
    let flaw = match opening {
        Opening::Head => walk.known_flaw(&[
            flaws::challenge::DEPENDS_ON_ACCEPT,
            flaws::challenge::HEAD_NOT_401,
        ]),
        Opening::Get if walk.ways.protocol_version.is_some() => {
            walk.known_flaw(&[by_version, flaws::challenge::GET_NOT_401])
        }
        Opening::Get => flaws::challenge::GET_NOT_401,
        _ if neutral == Some(401) && walk.ways.protocol_version.is_some() => by_version,
        _ if status == 200
            && exchange
                .json()
                .is_some_and(|body| body.get("error").is_some()) =>
        {
            flaws::challenge::ERROR_IN_200
        }
        _ if status == 200 => walk.known_flaw(&[
            flaws::challenge::ERROR_IN_200,
            flaws::challenge::OPEN_SERVER,
        ]),
        _ => walk.known_flaw(&[flaws::reach::GATEWAY_HTML, flaws::challenge::NO_401]),
    };
    (JourneyStep::Challenge, flaw)
}

fn url(walk: &Walk<'_>) -> String {
    walk.desk.scene.url.to_string()
}

fn purpose(walk: &Walk<'_>, what: &str) -> String {
    format!("as {}: {what}", walk.client.name)
}

fn initialize(walk: &Walk<'_>) -> Ask {
    let mut version = SPECIFIED_VERSION;
    // Whoever opens with `server/discover` says another version with `initialize`.
    if walk.ways.opens != Some(Opening::Discover) {
        version = walk.ways.protocol_version.as_deref().unwrap_or(version);
    }
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": version,
            "capabilities": {},
            "clientInfo": {"name": "portcullis-doctor", "version": env!("CARGO_PKG_VERSION")},
        },
    });
    Ask::mcp(url(walk), purpose(walk, "initialize"), &body)
}

fn discover(walk: &Walk<'_>) -> Ask {
    let version = walk
        .ways
        .protocol_version
        .as_deref()
        .unwrap_or("2026-07-28");
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "server/discover",
        "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientInfo": {"name": "portcullis-doctor", "version": env!("CARGO_PKG_VERSION")},
            "io.modelcontextprotocol/clientCapabilities": {},
        }},
    });
    Ask::mcp(url(walk), purpose(walk, "server/discover"), &body)
        .header("mcp-protocol-version", version)
        .header("mcp-method", "server/discover")
}
