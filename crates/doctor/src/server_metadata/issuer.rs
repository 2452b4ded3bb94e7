//! Whose tokens they are: the issuer as text.

use url::Url;

use crate::flaws::server_metadata::{
    ASM_NEEDS_OWN_AUTHORITY, ISSUER_HTTP, ISSUER_MISSING, ISSUER_OTHER, ISSUER_QUERY, ISSUER_SLASH,
};
use crate::metadata_hosts::{is_plain_http, report_internal};
use crate::{Desk, Fetched, Finding, Flaw};

/// Login services that register no MCP clients and take no `resource`: the end of their host names, and how to call them.
const LOGIN_SERVICES: [(&str, &str); 6] = [
    ("login.microsoftonline.com", "Microsoft Entra ID"),
    ("sts.windows.net", "Microsoft Entra ID"),
    ("login.microsoftonline.us", "Microsoft Entra ID"),
    ("accounts.google.com", "Google"),
    ("amazonaws.com", "Amazon Cognito"),
    ("amazoncognito.com", "Amazon Cognito"),
];

/// Looks at the issuer as the resource metadata names it; the URL that addresses are made from.
pub(super) fn examine(desk: &mut Desk, named: &str) -> Option<Url> {
    let shown_by = desk.scene.resource_documents.first()?.exchange.clone();
    let Ok(url) = Url::parse(named) else {
        report(
            desk,
            &shown_by,
            ISSUER_OTHER,
            "The issuer is no URL",
            format!("authorization_servers has {named:?}."),
            "Write the issuer exactly as the authorization server's metadata does.",
        );
        return None;
    };
    let document = [("authorization_servers", named)];
    if report_internal(desk, "The resource metadata", document, &shown_by) {
        return Some(url);
    }
    let host = url.host_str().unwrap_or_default();
    let service = LOGIN_SERVICES
        .iter()
        .find(|(end, _)| host == *end || host.ends_with(&format!(".{end}")));
    if let Some((_, service)) = service {
        report(
            desk,
            &shown_by,
            ASM_NEEDS_OWN_AUTHORITY,
            format!("{service} cannot be an MCP client's authorization server"),
            format!(
                "The issuer is {named}. {service} registers no clients by itself, takes no metadata documents, and refuses or ignores \
                 resource, so no MCP client can sign in without an id that you made for it."
            ),
            format!(
                "Put an authorization server in front that speaks MCP to clients and sends people to {service} to sign in; Portcullis is one."
            ),
        );
        return Some(url);
    }
    if url.query().is_some() || url.fragment().is_some() {
        report(
            desk,
            &shown_by,
            ISSUER_QUERY,
            "The issuer has a query or a fragment",
            format!("It is {named}. Clients cannot make the address of its metadata from it."),
            "Use an issuer with a path instead, such as https://auth.example.com/tenant.",
        );
    } else if is_plain_http(&url) {
        report(
            desk,
            &shown_by,
            ISSUER_HTTP,
            "The issuer is http",
            format!("authorization_servers names {named}. Clients refuse to sign in there."),
            "Name the https issuer, and make the authorization server call itself the same.",
        );
    }
    Some(url)
}

/// Whether the metadata calls itself what the resource metadata calls it.
pub(super) fn same(desk: &mut Desk, named: &str, fetched: &Fetched) {
    let own = fetched
        .document
        .as_ref()
        .and_then(|document| document.get("issuer"))
        .cloned();
    let exchange = fetched.exchange.clone();
    let own = match own {
        Some(serde_json::Value::String(own)) => own,
        Some(serde_json::Value::Null) => return,
        _ => {
            report(
                desk,
                &exchange,
                ISSUER_MISSING,
                "The authorization server's metadata has no issuer",
                "Clients compare it with the address that they asked and stop without it.",
                format!("Add \"issuer\": \"{named}\"."),
            );
            return;
        }
    };
    if own == named {
        return;
    }
    let document = [("issuer", own.as_str())];
    if report_internal(
        desk,
        "The authorization server's metadata",
        document,
        &exchange,
    ) {
        return;
    }
    let parsed = Url::parse(&own).ok();
    let only_scheme = parsed.as_ref().is_some_and(is_plain_http)
        && own.strip_prefix("http://") == named.strip_prefix("https://");
    let change = format!(
        "Write the same text in both: \"issuer\" of the authorization server and \"authorization_servers\" of the resource metadata. \
         Without a slash at the end, all clients agree: {}.",
        named.trim_end_matches('/')
    );
    if own.trim_end_matches('/') == named.trim_end_matches('/') {
        report(
            desk,
            &exchange,
            ISSUER_SLASH,
            "The issuer differs by a slash at the end",
            format!(
                "The resource metadata names {named:?}, the authorization server calls itself {own:?}. TypeScript SDK 2, Python, C# and \
                 rmcp compare the text and stop."
            ),
            change,
        );
    } else if only_scheme {
        report(
            desk,
            &exchange,
            ISSUER_HTTP,
            "The authorization server calls itself http",
            format!(
                "The resource metadata names {named:?}, the authorization server calls itself {own:?}."
            ),
            change,
        );
    } else if desk.notes.has(ISSUER_QUERY) {
        // Named with a query and served without one: the same fault.
    } else {
        report(
            desk,
            &exchange,
            ISSUER_OTHER,
            "The authorization server calls itself something else",
            format!(
                "The resource metadata names {named:?}, the metadata found for it says issuer {own:?}. Clients that compare (nearly \
                 all) stop; those that do not would take tokens of somebody else for its own."
            ),
            change,
        );
    }
}

fn report(
    desk: &mut Desk,
    exchange: &crate::Exchange,
    flaw: Flaw,
    title: impl Into<String>,
    detail: impl Into<String>,
    change: impl Into<String>,
) {
    let finding = Finding::new(flaw, title, detail, change).shown_by(desk.wire.evidence(exchange));
    desk.notes.add(finding);
}
