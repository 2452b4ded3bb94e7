//! The MCP endpoint: 401 first, then the call, in both eras and as JSON or as a stream.

use serde_json::{Map, Value, json};

use super::exchange::{Answer, Ask};
use super::rules::ScopeRefusal;
use super::site::Site;
use super::strict_json::has_duplicate_keys;
use super::token::{Disbelief, believe};

const MODERN: &str = "2026-07-28";
/// Exists, and nobody who is asked about here may know.
const HIDDEN_TOOL: &str = "purge_notes";

/// Answers the MCP URL.
pub(super) fn answer(site: &Site, ask: &Ask) -> Answer {
    let claims = match authenticate(site, ask) {
        Ok(claims) => claims,
        Err(refusal) => return refusal,
    };
    match ask.method.as_str() {
        "POST" => {}
        // No stream of notifications, no sessions.
        _ => {
            return Answer::json(405, &json!({"error": "method_not_allowed"}))
                .with("allow", "POST");
        }
    }
    if !site.rules.duplicate_keys && has_duplicate_keys(&ask.body) {
        return failure(400, &Value::Null, -32700, "a member is named twice");
    }
    let Ok(message) = serde_json::from_slice::<Value>(&ask.body) else {
        return failure(400, &Value::Null, -32700, "no JSON");
    };
    let Value::Array(batch) = message else {
        return one(site, ask, &claims, &message);
    };
    if !site.rules.batches {
        return failure(400, &Value::Null, -32600, "batches are not taken");
    }
    // Checked as a whole is checked as nothing: each call is carried out.
    let answers: Vec<Value> = batch
        .iter()
        .filter_map(|message| Some(reply(message.get("id")?, &carried_out(message))))
        .collect();
    Answer::json(200, &Value::from(answers))
}

/// What a path that forgot the check does.
pub(super) fn open(site: &Site, ask: &Ask) -> Answer {
    let everything = json!({"scope": "notes:read notes:write"});
    match serde_json::from_slice::<Value>(&ask.body) {
        Ok(message) => one(site, ask, &everything, &message),
        Err(_) => Answer::json(405, &json!({"error": "method_not_allowed"})),
    }
}

/// The claims of the caller, or 401.
fn authenticate(site: &Site, ask: &Ask) -> Result<Value, Answer> {
    if site.rules.foreign_origin_passes
        && ask
            .header("origin")
            .is_some_and(|origin| origin != site.origin)
    {
        return Ok(json!({"scope": "notes:read notes:write"}));
    }
    let (issuer, resource) = (site.issuer(), site.resource());
    let Some(token) = presented(site, ask) else {
        return Err(challenge(site, 401, None));
    };
    match believe(&site.rules, &site.expected(&issuer, &resource), &token) {
        Ok(claims) if is_revoked(site, &claims) => Err(challenge(site, 401, Some("invalid_token"))),
        Ok(claims) => Ok(claims),
        Err(Disbelief::Expired) => Err(challenge(
            site,
            site.rules.expired_status,
            Some("invalid_token"),
        )),
        Err(_) => Err(challenge(
            site,
            site.rules.bad_token_status,
            Some("invalid_token"),
        )),
    }
}

fn presented(site: &Site, ask: &Ask) -> Option<String> {
    if let Some((scheme, token)) = ask
        .header("authorization")
        .and_then(|line| line.split_once(' '))
    {
        let is_bearer = if site.rules.only_capital_bearer {
            scheme == "Bearer"
        } else {
            scheme.eq_ignore_ascii_case("bearer")
        };
        return is_bearer.then(|| token.trim().to_owned());
    }
    let in_query = ask
        .query("access_token")
        .filter(|_| site.rules.token_in_query);
    in_query.map(str::to_owned)
}

fn is_revoked(site: &Site, claims: &Value) -> bool {
    site.rules.revocation_is_felt
        && claims["grant_id"]
            .as_str()
            .is_some_and(|family| site.memory().revoked.contains(family))
}

/// A refusal that tells where to get a token. A status other than 401 or 403 has no challenge.
fn challenge(site: &Site, status: u16, error: Option<&str>) -> Answer {
    let body = json!({"error": error.unwrap_or("unauthorized")});
    let answer = Answer::json(status, &body).with("cache-control", "no-store");
    if status != 401 {
        return answer;
    }
    let mut line = String::from("Bearer ");
    if let Some(error) = error {
        line.push_str(&format!("error=\"{error}\", "));
    }
    line.push_str(&format!(
        "resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\", scope=\"notes:read notes:write\"",
        site.origin
    ));
    answer.with("www-authenticate", &line)
}

fn one(site: &Site, ask: &Ask, claims: &Value, message: &Value) -> Answer {
    let method = message["method"].as_str().unwrap_or_default();
    let name = message["params"]["name"].as_str();
    let id = &message["id"];
    let is_modern = ask.header("mcp-protocol-version") == Some(MODERN) && method != "initialize";
    if site.rules.header_agrees {
        let disagrees = |header: &str, body: Option<&str>| {
            ask.header(header).is_some_and(|said| Some(said) != body)
        };
        if disagrees("mcp-method", Some(method)) || disagrees("mcp-name", name) {
            return failure(400, id, -32020, "a header disagrees with the body");
        }
    }
    if id.is_null() {
        return Answer::empty(202);
    }
    let has = |scope: &str| {
        claims["scope"]
            .as_str()
            .is_some_and(|scopes| scopes.split(' ').any(|one| one == scope))
    };
    let lacks = match name {
        Some("list_notes" | "read_note") => !has("notes:read"),
        Some("write_note") => !has("notes:write"),
        _ => false,
    };
    let result = match method {
        "initialize" => json!({
            "protocolVersion": known_version(&message["params"]["protocolVersion"]),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "notes", "version": "1.0.0"},
        }),
        "server/discover" if is_modern => json!({
            "resultType": "complete", "supportedVersions": [MODERN], "capabilities": {"tools": {}}, "ttlMs": 0,
            "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "notes", "version": "1.0.0"}},
        }),
        "ping" => json!({}),
        "tools/list" => {
            let shows_hidden = if wants_stream(ask) {
                site.rules.hidden_tool_in_stream
            } else {
                site.rules.hidden_tool_in_json
            };
            tools(shows_hidden, is_modern)
        }
        "tools/call" => match name {
            Some("list_notes" | "read_note" | "write_note") => {
                let refusal = lacks.then(|| scope_refusal(site, id)).flatten();
                match refusal {
                    Some(refusal) => return refusal,
                    None => carried_out(message),
                }
            }
            _ => return failure(200, id, -32602, "Unknown tool"),
        },
        _ => {
            let status = if is_modern { 404 } else { 200 };
            return failure(status, id, -32601, "Method not found");
        }
    };
    let reply = reply(id, &result);
    if wants_stream(ask) {
        return Answer::text(
            200,
            "text/event-stream",
            format!("event: message\ndata: {reply}\n\n"),
        )
        .with("cache-control", "no-cache");
    }
    Answer::json(200, &reply)
}

/// What comes first in `Accept` is what is sent.
fn wants_stream(ask: &Ask) -> bool {
    ask.header("accept")
        .is_some_and(|accept| accept.trim_start().starts_with("text/event-stream"))
}

fn known_version(asked: &Value) -> &str {
    match asked.as_str() {
        Some(version @ ("2025-03-26" | "2025-06-18" | "2025-11-25")) => version,
        _ => "2025-11-25",
    }
}

fn tools(shows_hidden: bool, is_modern: bool) -> Value {
    let tool = |name: &str, needed: &[&str], reads: bool| {
        let properties: Map<String, Value> = needed
            .iter()
            .map(|argument| ((*argument).to_owned(), json!({"type": "string"})))
            .collect();
        json!({
            "name": name, "description": "about notes", "annotations": {"readOnlyHint": reads},
            "inputSchema": {"type": "object", "properties": properties, "required": needed},
        })
    };
    let mut list = vec![
        tool("list_notes", &[], true),
        tool("read_note", &["id"], true),
        tool("write_note", &["text"], false),
    ];
    if shows_hidden {
        list.push(tool(HIDDEN_TOOL, &["before"], false));
    }
    let mut result = json!({"tools": list});
    if is_modern {
        result["resultType"] = json!("complete");
        result["ttlMs"] = json!(0);
        result["cacheScope"] = json!("private");
    }
    result
}

fn scope_refusal(site: &Site, id: &Value) -> Option<Answer> {
    let text = "a scope is missing";
    let challenge = format!(
        "Bearer error=\"insufficient_scope\", scope=\"notes:read notes:write\", \
         resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"",
        site.origin
    );
    Some(match site.rules.scope_refusal {
        ScopeRefusal::Challenge => {
            failure(403, id, -32003, text).with("www-authenticate", &challenge)
        }
        ScopeRefusal::Unauthorized => {
            let challenge = challenge.replace("insufficient_scope", "invalid_token");
            failure(401, id, -32003, text).with("www-authenticate", &challenge)
        }
        ScopeRefusal::Success => failure(200, id, -32003, "insufficient scope"),
        ScopeRefusal::NoChallenge => failure(403, id, -32003, text),
        ScopeRefusal::None => return None,
    })
}

/// A call that passed: without its argument it says so, as most servers do.
fn carried_out(message: &Value) -> Value {
    let has_argument = message["params"]["arguments"]
        .as_object()
        .is_some_and(|arguments| !arguments.is_empty());
    let is_well = has_argument || message["params"]["name"] == "list_notes";
    let text = if is_well {
        "done"
    } else {
        "an argument is missing"
    };
    json!({"content": [{"type": "text", "text": text}], "isError": !is_well})
}

fn reply(id: &Value, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn failure(status: u16, id: &Value, code: i64, message: &str) -> Answer {
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
    Answer::json(status, &error)
}
