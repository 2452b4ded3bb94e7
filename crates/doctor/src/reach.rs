//! Whether clients reach the MCP server, and unchanged.

use std::collections::HashSet;
use std::sync::Arc;

use url::{Host, Url};

use crate::flaws::reach::{
    ADDRESS_NOT_PUBLIC, BOT_WALL_HOSTED_AGENTS, FLOODS, GATEWAY_HTML, HANGS, HTTP_NOT_LOOPBACK,
    HUGE_BODY, MCP_REDIRECT_LOOP, MCP_REDIRECTS, MCP_REDIRECTS_TO_HTTP, NAME_UNKNOWN,
    NOT_REACHABLE, SLASH_REDIRECTS, SLOW_ANSWER, TLS_EXPIRED, TLS_FAILS, TLS_NAME, TLS_UNTRUSTED,
    URL_SPACE_OR_DOT,
};
use crate::{Ask, Desk, Ended, Exchange, Failure, Finding, Flaw, Section};

/// User agents of clients that call from their makers' networks, and of libraries that such clients use.
const HOSTED_AGENTS: [&str; 4] = [
    "Claude-User",
    "openai-mcp/1.0.0",
    "python-httpx/0.28.1",
    "Bun/1.3.0",
];

/// Clients that follow redirects at all give up after so many.
const REDIRECTS_MAX: usize = 10;

pub(crate) async fn examine(desk: &mut Desk) {
    as_typed(desk);
    if !has_address(desk).await {
        return;
    }
    let ask = Ask::initialize(desk.scene.url.as_str(), "initialize without a token");
    let first = desk.send(ask).await;
    if !answers(desk, &first) {
        return;
    }
    let last = follow_redirects(desk, first).await;
    let Some(last) = last else {
        return;
    };
    body_ends(desk, &last);
    if is_error_page(desk, &last) {
        return;
    }
    desk.scene.is_reachable = true;
    if !desk.notes.has_any(&[FLOODS, HUGE_BODY]) {
        hosted_agents(desk, &last).await;
    }
    if desk.notes.findings().is_empty() {
        desk.notes
            .well(Section::Reach, "answers by itself, for every user agent");
    }
    desk.scene.without_token = Some(last);
}

fn as_typed(desk: &mut Desk) {
    let typed = desk.scene.typed.clone();
    let host_ends_with_dot = desk
        .scene
        .url
        .host_str()
        .is_some_and(|host| host.ends_with('.'));
    if typed.contains(char::is_whitespace) || host_ends_with_dot || typed.contains("%20") {
        let fault = if host_ends_with_dot {
            "its host ends with a dot"
        } else {
            "there is a space in it"
        };
        desk.notes.add(Finding::new(
            URL_SPACE_OR_DOT,
            format!("The URL is not what was meant: {fault}"),
            format!(
                "The URL is {typed:?}. Clients send it as it is and compare it as text with `resource`, so it never equals what the \
                 server calls itself."
            ),
            "Copy the URL again, without spaces and without a dot after the host.",
        ));
    }
    if desk.scene.url.scheme() == "http" && !desk.scene.is_loopback {
        desk.notes.add(Finding::new(
            HTTP_NOT_LOOPBACK,
            "The MCP URL is http",
            "Everybody between client and server can read and change tokens and calls. Hosted clients refuse http, and so do most \
             SDKs for authorization servers.",
            "Serve it over https and give people the https URL.",
        ));
    }
}

async fn has_address(desk: &mut Desk) -> bool {
    let host = match desk.scene.url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return false,
    };
    let port = desk.scene.url.port_or_known_default().unwrap_or(443);
    let looking = desk.plan.names.addresses(&host, port);
    let found = match tokio::time::timeout(desk.plan.limits.connect, looking).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => Err("the resolver did not answer in time".to_owned()),
    };
    let addresses = match found {
        Ok(addresses) => addresses,
        Err(words) => {
            desk.notes.add(Finding::new(
                NAME_UNKNOWN,
                format!("{host} has no address"),
                format!("{words}. Nothing else could be examined."),
                "Check the name for typing errors, and that its DNS record is public.",
            ));
            return false;
        }
    };
    let special = addresses
        .iter()
        .find_map(|address| match egress::classify(address.ip()) {
            egress::AddressClass::SpecialUse(words) => Some((address.ip(), words)),
            _ => None,
        });
    if let Some((address, words)) = special {
        desk.notes.add(Finding::new(
            ADDRESS_NOT_PUBLIC,
            "Hosted clients cannot reach it",
            format!(
                "{host} leads to {address}, {words}. Claude, ChatGPT and other hosted clients call from the internet and refuse such \
                 addresses before they send anything; clients on people's machines are not concerned."
            ),
            "If hosted clients are to use it, give it a public IPv4 address or put it behind a tunnel or proxy that has one.",
        ));
    } else if addresses.iter().all(|address| {
        address.is_ipv6() && egress::classify(address.ip()) == egress::AddressClass::Public
    }) {
        desk.notes.add(Finding::new(
            ADDRESS_NOT_PUBLIC,
            "It has IPv6 addresses only",
            format!("{host} has no IPv4 address. Hosted clients call over IPv4."),
            "Add an IPv4 address (an A record).",
        ));
    }
    true
}

/// Whether there is an HTTP answer; says what is wrong when there is none.
fn answers(desk: &mut Desk, exchange: &Exchange) -> bool {
    let Err(failure) = &exchange.answer else {
        return true;
    };
    let host = desk.scene.url.host_str().unwrap_or_default().to_owned();
    let words = failure.words().to_owned();
    let finding = match failure {
        Failure::Name(_) => Finding::new(
            NAME_UNKNOWN,
            format!("{host} has no address"),
            words,
            "Check the name for typing errors, and that its DNS record is public.",
        ),
        Failure::Tls(_) => tls(&host, &words),
        Failure::Timeout(_) => Finding::new(
            HANGS,
            "The MCP URL takes the request and never answers",
            format!("{words}. Claude gives up after 10 seconds, other clients sooner or later."),
            "Answer a request without a token at once with 401, before the session, the upstream or a database is asked. If a proxy \
             stands before the server, look whether the request arrives.",
        ),
        Failure::Connect(_) => Finding::new(
            NOT_REACHABLE,
            format!("Nothing answers at {host}"),
            words,
            "Start the server, check the port, and open it in the firewall. A server that listens on 127.0.0.1 is reached from its \
             own machine only.",
        ),
        Failure::LimitReached(_) => {
            desk.notes.not_examined(Section::Reach, words);
            return false;
        }
        Failure::Url(_) | Failure::Exchange(_) => Finding::new(
            NOT_REACHABLE,
            format!("What answers at {host} speaks no HTTP"),
            words,
            "Check scheme and port: https where TLS is spoken, http where it is not.",
        ),
    };
    let finding = finding.shown_by(desk.wire.evidence(exchange));
    desk.notes.add(finding);
    false
}

fn tls(host: &str, words: &str) -> Finding {
    let lower = words.to_ascii_lowercase();
    let (flaw, title, change): (Flaw, String, &str) = if lower.contains("expired") {
        (
            TLS_EXPIRED,
            format!("The certificate of {host} has expired"),
            "Renew the certificate and see why its renewal did not run.",
        )
    } else if lower.contains("notvalidforname")
        || lower.contains("not valid for name")
        || lower.contains("certificate name")
    {
        (
            TLS_NAME,
            format!("The certificate is not for {host}"),
            "Get a certificate with this host in its subject alternative names, or use the host that it is for.",
        )
    } else if lower.contains("certificate")
        || lower.contains("unknownissuer")
        || lower.contains("revoked")
    {
        (
            TLS_UNTRUSTED,
            format!("Clients do not trust the certificate of {host}"),
            "Send the whole chain (the certificate and its intermediates) from a public certificate authority. For an authority of \
             your own, run the doctor with --ca-file; hosted clients will still refuse it.",
        )
    } else {
        (
            TLS_FAILS,
            format!("No TLS connection with {host}"),
            "Check that this port speaks TLS 1.2 or 1.3, and that https is right for it.",
        )
    };
    Finding::new(flaw, title, format!("{words}."), change)
}

/// Goes where redirects lead, by hand, and says what is wrong with them. `None` when there is no end.
async fn follow_redirects(desk: &mut Desk, first: Arc<Exchange>) -> Option<Arc<Exchange>> {
    let Some(place) = first.redirects_to().map(str::to_owned) else {
        return Some(first);
    };
    let begin = desk.scene.url.clone();
    let mut seen = HashSet::from([begin.to_string()]);
    let mut at = begin.clone();
    let mut place = place;
    let mut last = Arc::clone(&first);
    let mut to_http = false;
    for hop in 0.. {
        let Ok(next) = at.join(&place) else { break };
        to_http |= at.scheme() == "https" && next.scheme() == "http";
        if hop >= REDIRECTS_MAX || !seen.insert(next.to_string()) {
            desk.notes.add(
                Finding::new(
                    MCP_REDIRECT_LOOP,
                    "Redirects lead in a circle",
                    format!("From {begin} they come back to {next}, or never end. No client gets an answer."),
                    "Answer at the MCP URL itself. A proxy that forces https, with a server behind it that does too and does not \
                     know that TLS ended at the proxy, is the usual cause.",
                )
                .shown_by(desk.wire.evidence(&last)),
            );
            return None;
        }
        at = next;
        last = desk
            .send(Ask::initialize(at.as_str(), "where the redirect leads"))
            .await;
        match last.redirects_to() {
            Some(further) => place = further.to_owned(),
            None => break,
        }
    }
    let status = first.status().unwrap_or_default();
    if last.is_html() && !matches!(last.status(), Some(401)) {
        // A login for people; the challenge section has the words for it.
        return Some(first);
    }
    let text = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
    let finding = if to_http {
        Finding::new(
            MCP_REDIRECTS_TO_HTTP,
            "A redirect leads from https to http",
            format!(
                "{begin} answers {status} and sends clients to {at}, where a token would travel in the clear."
            ),
            "Make the redirect https, or better: answer at the MCP URL itself.",
        )
    } else if text(&begin) == text(&at) {
        Finding::new(
            SLASH_REDIRECTS,
            "The MCP URL redirects to itself with another end",
            format!(
                "{begin} answers {status} and sends clients to {at}. Some clients do not follow, others lose the Authorization header \
                 on the way, so that they sign in again and again."
            ),
            format!("Serve both forms without a redirect, or give people {at} as the MCP URL."),
        )
    } else {
        Finding::new(
            MCP_REDIRECTS,
            "The MCP URL redirects",
            format!(
                "{begin} answers {status} and sends clients to {at}. Clients do not follow to another origin, or drop the token there."
            ),
            format!("Give people {at} as the MCP URL, or answer at {begin} itself."),
        )
    };
    let finding = finding.shown_by(desk.wire.evidence(&first));
    desk.notes.add(finding);
    if last.answer.is_err() {
        desk.notes.not_examined(
            Section::Reach,
            format!("{at}, where the redirect leads: {}", last.outcome()),
        );
        return None;
    }
    desk.scene.url = at;
    Some(last)
}

fn body_ends(desk: &mut Desk, exchange: &Exchange) {
    let Ok(answer) = &exchange.answer else {
        return;
    };
    let streams = exchange.media_type().as_deref() == Some("text/event-stream");
    let finding = match answer.ended {
        Ended::TooLarge if answer.headers.contains_key("content-length") => Finding::new(
            HUGE_BODY,
            "The answer to a request without a token is huge",
            format!(
                "Content-Length is {}. Clients read such answers into memory.",
                exchange.header("content-length").unwrap_or("unreadable")
            ),
            "Answer 401 with a short JSON body or none.",
        ),
        Ended::TooLarge => Finding::new(
            FLOODS,
            "The answer to a request without a token does not end",
            format!(
                "After {} bytes there was still more; the doctor stopped reading.",
                answer.body.len()
            ),
            "Answer 401 with a short JSON body or none.",
        ),
        Ended::TooSlow if !streams => Finding::new(
            FLOODS,
            "The answer to a request without a token does not end",
            format!(
                "Its head came, and of its body {} bytes; then it stayed open until the doctor gave up.",
                answer.body.len()
            ),
            "Answer 401 with a short JSON body or none, and end it.",
        ),
        _ => return,
    };
    let finding = finding.shown_by(desk.wire.evidence(exchange));
    desk.notes.add(finding);
}

/// Whether something before the server answers for it.
fn is_error_page(desk: &mut Desk, exchange: &Exchange) -> bool {
    let status = exchange.status().unwrap_or_default();
    let text = exchange.text();
    let is_challenge_page = exchange.header("cf-mitigated").is_some()
        || (exchange.is_html()
            && ["Just a moment", "Attention Required", "captcha"]
                .iter()
                .any(|words| text.contains(words)));
    let finding = if is_challenge_page {
        Finding::new(
            BOT_WALL_HOSTED_AGENTS,
            "A bot wall answers for the server",
            format!(
                "The answer is {} with a page that asks whether one is a person. No MCP client passes it.",
                exchange.outcome()
            ),
            "Make exceptions in the bot rules for the MCP URL, /.well-known/oauth-* and the OAuth endpoints.",
        )
    } else if status >= 500 && exchange.is_html() {
        Finding::new(
            GATEWAY_HTML,
            format!("An error page answers, status {status}"),
            "What stands before the server (a proxy, a load balancer, a platform) answers with a page of its own: the server behind it \
             is down, listens elsewhere, or did not answer in time.",
            "Look into the proxy's log for this request; start the server, or correct where the proxy sends it.",
        )
    } else {
        return false;
    };
    let finding = finding.shown_by(desk.wire.evidence(exchange));
    desk.notes.add(finding);
    true
}

async fn hosted_agents(desk: &mut Desk, usual: &Exchange) {
    let mut blocked = Vec::new();
    let mut shown = None;
    for agent in HOSTED_AGENTS {
        let ask = Ask::initialize(desk.scene.url.as_str(), format!("initialize as {agent}"))
            .header("user-agent", agent);
        let exchange = desk.send(ask).await;
        if matches!(exchange.answer, Err(Failure::LimitReached(_))) {
            return;
        }
        if exchange.status() != usual.status() {
            blocked.push(format!("{agent}: {}", exchange.outcome()));
            shown.get_or_insert(exchange);
        }
    }
    if let Some(exchange) = shown {
        desk.notes.add(
            Finding::new(
                BOT_WALL_HOSTED_AGENTS,
                "Hosted clients are answered differently",
                format!(
                    "The doctor is answered {}, but {}. A bot rule at the edge does this; the server itself never sees the request.",
                    usual.outcome(),
                    blocked.join("; ")
                ),
                "Make exceptions in the bot rules (\"Block AI bots\") for the MCP URL, /.well-known/oauth-* and the OAuth endpoints.",
            )
            .shown_by(desk.wire.evidence(&exchange)),
        );
    }
}

/// Says which answers were slow, at the end, when all were seen.
pub(crate) fn slowest(desk: &mut Desk) {
    let limit = desk.plan.limits.slow.as_millis();
    let mut slow: Vec<_> = desk
        .wire
        .log()
        .into_iter()
        .filter(|seen| seen.failed.is_none() && u128::from(seen.took_ms) > limit)
        .collect();
    slow.sort_by_key(|seen| std::cmp::Reverse(seen.took_ms));
    let Some(slowest) = slow.first() else {
        return;
    };
    let finding = Finding::new(
        SLOW_ANSWER,
        format!("An answer took {} ms", slowest.took_ms),
        format!(
            "{} was the slowest of {} slow answers. Claude gives up after 10 seconds, and a cold start on the first login looks like a \
             server that is down.",
            slowest.purpose,
            slow.len()
        ),
        "Keep the server warm, and do nothing slow before the token is checked.",
    )
    .shown_by(slowest.clone());
    desk.notes.add(finding);
}
