//! What a request without a token is answered, by every method and however it is asked.

mod methods;
mod parameters;

use serde_json::{Value, json};
use wire::oauth::read_challenge;

use crate::flaws::challenge::{
    CHALLENGE_NOT_BEARER_FIRST, CHALLENGE_SEVERAL_HEADERS_WRONG_FIRST, ERROR_IN_200, NO_401,
    NO_CHALLENGE, OPEN_SERVER,
};
use crate::{Ask, Desk, Exchange, Finding, Section};

const ANSWER_401: &str = "Check the token before anything else, and answer a request without one with status 401 and \
                          `WWW-Authenticate: Bearer resource_metadata=\"...\", scope=\"...\"`.";

pub(crate) async fn examine(desk: &mut Desk) {
    let Some(exchange) = desk.scene.without_token.clone() else {
        return;
    };
    let found_before = desk.notes.findings().len();
    match exchange.status() {
        Some(401) => {
            bearer_challenge(desk, &exchange);
            methods::examine(desk).await;
        }
        Some(200..=299) => success(desk, &exchange).await,
        _ => {
            not_401(desk, &exchange);
            // Clients that look at other statuses find it there; the doctor goes on with it.
            remember(desk, &exchange);
        }
    }
    if desk.notes.findings().len() == found_before {
        desk.notes.well(
            Section::Challenge,
            "401 with one Bearer challenge for every method, version and media type",
        );
    }
}

fn not_401(desk: &mut Desk, exchange: &Exchange) {
    let status = exchange.status().unwrap_or_default();
    let detail = match status {
        403 => "403 says that a token is not enough, so clients do not begin to sign in.",
        404 => {
            "404 says that nothing is there: a wrong path, or a server that hides from people without a token."
        }
        405 => {
            "405 says that POST is not known there: a wrong path, or a server of the old HTTP+SSE transport."
        }
        300..=399 => "People are sent to a login page, which a client cannot use.",
        500.. => "The server fails when there is no token, instead of asking for one.",
        _ => "Clients begin to sign in only when they see 401.",
    };
    desk.notes.add(
        Finding::new(
            NO_401,
            format!("A missing token is answered {status}, not 401"),
            detail,
            ANSWER_401,
        )
        .shown_by(desk.wire.evidence(exchange)),
    );
}

/// A 200 without a token: an error in disguise, a server that asks for a token later, or one that is open.
async fn success(desk: &mut Desk, exchange: &Exchange) {
    if exchange.is_html() {
        desk.notes.add(
            Finding::new(
                NO_401,
                "A page for people answers, not an MCP server",
                format!("The answer is {}.", exchange.outcome()),
                ANSWER_401,
            )
            .shown_by(desk.wire.evidence(exchange)),
        );
        return;
    }
    let message = message(exchange);
    if message.as_ref().is_some_and(is_error) {
        desk.notes.add(
            Finding::new(
                ERROR_IN_200,
                "A missing token is answered with an error inside a 200",
                "The message says that something is wrong, but its HTTP status is 200. Clients show a failed call and never begin \
                 to sign in.",
                ANSWER_401,
            )
            .shown_by(desk.wire.evidence(exchange)),
        );
        return;
    }
    let call = json!({
        "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": "portcullis-doctor-no-such-tool", "arguments": {}},
    });
    let ask = Ask::mcp(
        desk.scene.url.as_str(),
        "tools/call without a token, of a tool that does not exist",
        &call,
    )
    .until("\"jsonrpc\"");
    let called = desk.send(ask).await;
    if called.status() == Some(401) {
        desk.notes.well(
            Section::Challenge,
            "initialize is open and tool calls ask for a token",
        );
        desk.notes.not_examined(
            Section::Challenge,
            "clients that sign in at the first answer only: this server asks for a token later, at the first call",
        );
        bearer_challenge(desk, &called);
        return;
    }
    desk.notes.add(
        Finding::new(
            OPEN_SERVER,
            "Anybody can use this server without a token",
            format!(
                "initialize is answered {} and a tool call {}, both without a token.",
                exchange.outcome(),
                called.outcome()
            ),
            "If it is meant to be open, take its OAuth metadata away, or clients will ask people to sign in. Otherwise: check \
             the token before anything else and answer 401 without one.",
        )
        .shown_by(desk.wire.evidence(exchange))
        .shown_by(desk.wire.evidence(&called)),
    );
}

/// The JSON-RPC message in an answer, whether it is plain or the first of an event stream.
fn message(exchange: &Exchange) -> Option<Value> {
    if let Some(message) = exchange.json() {
        return Some(message);
    }
    exchange
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .find_map(|data| serde_json::from_str(data.trim()).ok())
}

fn is_error(message: &Value) -> bool {
    message.get("error").is_some_and(|error| !error.is_null())
        || message.pointer("/result/isError") == Some(&Value::Bool(true))
}

/// What the `WWW-Authenticate` headers say, and whether clients find the Bearer challenge in them.
fn bearer_challenge(desk: &mut Desk, exchange: &Exchange) {
    let lines = exchange.headers("www-authenticate");
    let Some(bearer) = lines.iter().position(|line| bearer_part(line).is_some()) else {
        let detail = match lines.first() {
            None => "There is no WWW-Authenticate header, so most clients show a failed connection instead of a login."
                .to_owned(),
            Some(line) => format!(
                "WWW-Authenticate says {:?}, which is no Bearer challenge, so MCP clients do not begin to sign in.",
                first_words(line)
            ),
        };
        desk.notes.add(
            Finding::new(
                NO_CHALLENGE,
                "The 401 has no Bearer challenge",
                detail,
                "Send `WWW-Authenticate: Bearer resource_metadata=\"https://.../.well-known/oauth-protected-resource/...\", \
                 scope=\"...\"` with each 401.",
            )
            .shown_by(desk.wire.evidence(exchange)),
        );
        return;
    };
    let is_first_word = read_challenge(&lines[bearer]).is_some();
    let (flaw, words) = if !is_first_word {
        (
            Some(CHALLENGE_NOT_BEARER_FIRST),
            "the header begins with another scheme",
        )
    } else if bearer > 0 {
        (
            Some(CHALLENGE_SEVERAL_HEADERS_WRONG_FIRST),
            "a header with another scheme comes before it",
        )
    } else {
        (None, "")
    };
    if let Some(flaw) = flaw {
        desk.notes.add(
            Finding::new(
                flaw,
                "Many clients do not see the Bearer challenge",
                format!(
                    "There is one, but {words}: {:?}. Clients on the TypeScript SDK look at the first word only.",
                    first_words(&lines[0])
                ),
                "Send one WWW-Authenticate header that begins with Bearer; leave other schemes out for MCP clients.",
            )
            .shown_by(desk.wire.evidence(exchange)),
        );
    }
    let part = bearer_part(&lines[bearer]).unwrap_or_default().to_owned();
    parameters::examine(desk, exchange, &part);
    remember(desk, exchange);
}

/// Keeps the challenge for later sections.
fn remember(desk: &mut Desk, exchange: &Exchange) {
    desk.scene.challenge = exchange
        .headers("www-authenticate")
        .iter()
        .filter_map(|line| bearer_part(line))
        .find_map(read_challenge);
}

/// Where `Bearer` begins as a scheme in a header that may hold several challenges.
fn bearer_part(line: &str) -> Option<&str> {
    let lower = line.to_ascii_lowercase();
    let mut from = 0;
    while let Some(found) = lower[from..].find("bearer") {
        let at = from + found;
        let before = lower[..at].trim_end();
        let after = lower[at + 6..].chars().next();
        // Quoted text before it with an odd number of quotes: it stands inside a value.
        let is_quoted = before.matches('"').count() % 2 == 1;
        if (before.is_empty() || before.ends_with(','))
            && matches!(after, None | Some(' ' | ','))
            && !is_quoted
        {
            return line.get(at..);
        }
        from = at + 6;
    }
    None
}

fn first_words(line: &str) -> String {
    line.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_is_found_as_a_scheme_and_not_inside_a_value() {
        assert_eq!(bearer_part("Bearer a=\"b\""), Some("Bearer a=\"b\""));
        assert_eq!(
            bearer_part("Basic realm=\"x, Bearer y\", bearer scope=\"a\""),
            Some("bearer scope=\"a\"")
        );
        assert_eq!(bearer_part("Basic realm=\"Bearer x\""), None);
        assert_eq!(bearer_part("Bearerish a=b"), None);
        assert_eq!(bearer_part("bearer"), Some("bearer"));
    }
}
