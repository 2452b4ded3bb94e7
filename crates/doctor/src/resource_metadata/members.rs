//! What the resource metadata says.

use serde_json::{Map, Value};
use url::Url;

use crate::flaws::resource_metadata::{
    PRM_BEARER_METHODS, PRM_NO_SERVERS, PRM_NULL_MEMBERS, PRM_RESOURCE_HTTP, PRM_RESOURCE_MISSING,
    PRM_RESOURCE_ORIGIN, PRM_RESOURCE_OTHER_HOST, PRM_RESOURCE_OTHER_PATH, PRM_RESOURCE_SLASH,
    PRM_SCOPES_MISSING, PRM_SEVERAL_SERVERS,
};
use crate::metadata_hosts::{null_members, report_internal};
use crate::{Desk, Fetched, Finding, Flaw};

pub(super) fn examine(desk: &mut Desk, fetched: &Fetched) {
    let Some(document) = fetched.document.clone() else {
        return;
    };
    nulls(desk, fetched, &document);
    resource(desk, fetched, &document);
    servers(desk, fetched, &document);
    scopes(desk, fetched, &document);
    bearer_methods(desk, fetched, &document);
}

fn add(
    desk: &mut Desk,
    fetched: &Fetched,
    flaw: Flaw,
    title: impl Into<String>,
    detail: impl Into<String>,
    change: impl Into<String>,
) {
    let finding =
        Finding::new(flaw, title, detail, change).shown_by(desk.wire.evidence(&fetched.exchange));
    desk.notes.add(finding);
}

fn nulls(desk: &mut Desk, fetched: &Fetched, document: &Map<String, Value>) {
    let nulls = null_members(document);
    if !nulls.is_empty() {
        add(
            desk,
            fetched,
            PRM_NULL_MEMBERS,
            "Members of the resource metadata are null",
            format!(
                "{} has no value but is there. Clients on the TypeScript SDK fail with \"expected string, received null\".",
                nulls.join(", ")
            ),
            "Leave members without a value out.",
        );
    }
}

fn resource(desk: &mut Desk, fetched: &Fetched, document: &Map<String, Value>) {
    let asked = desk.scene.url.clone();
    let typed = desk.scene.typed.trim().to_owned();
    let should = if asked.as_str() == format!("{typed}/") {
        typed.clone()
    } else {
        asked.to_string()
    };
    let change = format!("Set resource to {should}, the URL that people type.");
    let text = match document.get("resource") {
        Some(Value::String(text)) => text.clone(),
        // A null is a finding of its own.
        Some(Value::Null) => return,
        _ => {
            add(
                desk,
                fetched,
                PRM_RESOURCE_MISSING,
                "The resource metadata names no resource",
                "Clients compare resource with the URL that was typed and stop without it.",
                change,
            );
            return;
        }
    };
    if text == typed
        || text == asked.as_str()
        || format!("{text}/") == asked.as_str() && asked.path() == "/"
    {
        return;
    }
    let Ok(named) = Url::parse(&text) else {
        add(
            desk,
            fetched,
            PRM_RESOURCE_MISSING,
            "resource is no URL",
            format!("It is {text:?}."),
            change,
        );
        return;
    };
    if named == asked {
        return;
    }
    let named_members = [("resource", text.as_str())];
    if report_internal(
        desk,
        "The resource metadata",
        named_members,
        &fetched.exchange,
    ) {
        return;
    }
    let same_host = named.host() == asked.host();
    let same_port = named.port_or_known_default() == asked.port_or_known_default();
    let (flaw, title, who) = if same_host && named.scheme() != asked.scheme() {
        (
            PRM_RESOURCE_HTTP,
            format!(
                "resource is {}, the MCP URL is {}",
                named.scheme(),
                asked.scheme()
            ),
            "Every client compares the scheme. A server behind a proxy that ends TLS, and does not know it, does this.",
        )
    } else if !same_host || !same_port {
        (
            PRM_RESOURCE_OTHER_HOST,
            "resource names another host".to_owned(),
            "Every client refuses it: the metadata is of another server.",
        )
    } else if named.path().trim_end_matches('/') == asked.path().trim_end_matches('/') {
        (
            PRM_RESOURCE_SLASH,
            "resource and the MCP URL differ by a slash at the end".to_owned(),
            "VS Code, Gemini CLI and Claude compare the whole text and refuse; others ask for a token whose audience does not fit.",
        )
    } else if named.path() == "/" {
        (
            PRM_RESOURCE_ORIGIN,
            "resource is the origin only, without the path".to_owned(),
            "VS Code, Gemini CLI, Claude and the Go SDK want the whole URL; the TypeScript, Python and C# SDKs take the origin.",
        )
    } else {
        (
            PRM_RESOURCE_OTHER_PATH,
            "resource names another path".to_owned(),
            "Clients refuse it, or ask for a token of another resource (invalid_target).",
        )
    };
    add(
        desk,
        fetched,
        flaw,
        title,
        format!("resource is {text}, the MCP URL is {should}. {who}"),
        change,
    );
}

fn servers(desk: &mut Desk, fetched: &Fetched, document: &Map<String, Value>) {
    let listed = document.get("authorization_servers");
    let servers: Vec<String> = listed
        .and_then(Value::as_array)
        .map(|items| {
            items
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    if servers.is_empty() && !matches!(listed, Some(Value::Null)) {
        add(
            desk,
            fetched,
            PRM_NO_SERVERS,
            "The resource metadata names no authorization server",
            "Clients do not know where to sign in; old ones try the MCP server's own origin.",
            "Add authorization_servers with the issuer of your authorization server, exactly as its own metadata writes it.",
        );
    }
    if servers.len() > 1 {
        add(
            desk,
            fetched,
            PRM_SEVERAL_SERVERS,
            format!("{} authorization servers are named", servers.len()),
            format!(
                "{}. Claude and most SDKs take the first and never try another.",
                servers.join(", ")
            ),
            "Name one authorization server.",
        );
    }
    desk.scene.issuer = servers.into_iter().next();
}

fn scopes(desk: &mut Desk, fetched: &Fetched, document: &Map<String, Value>) {
    let challenge_has = desk
        .scene
        .challenge
        .as_ref()
        .is_some_and(|challenge| challenge.scope.is_some());
    let listed = document.get("scopes_supported");
    let has = listed
        .and_then(Value::as_array)
        .is_some_and(|items| !items.is_empty());
    if !has && !challenge_has && !matches!(listed, Some(Value::Null)) {
        add(
            desk,
            fetched,
            PRM_SCOPES_MISSING,
            "Nothing says which scopes to ask for",
            "Neither the challenge nor the resource metadata names scopes. Clients then ask for none, or for every scope of the \
             authorization server.",
            "List the scopes of everyday use in scopes_supported of the resource metadata, and in scope of the challenge.",
        );
    }
}

fn bearer_methods(desk: &mut Desk, fetched: &Fetched, document: &Map<String, Value>) {
    let Some(methods) = document
        .get("bearer_methods_supported")
        .and_then(Value::as_array)
    else {
        return;
    };
    let has = |word: &str| methods.iter().any(|method| method == word);
    if has("header") && !has("query") && !has("body") {
        return;
    }
    add(
        desk,
        fetched,
        PRM_BEARER_METHODS,
        "Tokens are to be sent otherwise than in the Authorization header",
        format!(
            "bearer_methods_supported is {}. MCP clients send tokens in the header only; tokens in URLs end in logs.",
            Value::from(methods.clone())
        ),
        "Take tokens in the Authorization header only and say bearer_methods_supported: [\"header\"].",
    );
}
