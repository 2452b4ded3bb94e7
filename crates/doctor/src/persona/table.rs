//! The ways of the clients as a table for `docs/doctor.md`.

use known_clients::{
    IssRule, IssuerRule, Journey, KnownClient, Opening, PrivateHosts, RegistrationWay,
    ResourceMetadataPlace as Place, ResourceRule, ScopeSource, WithoutResourceMetadata as Without,
};

/// One row per client with a journey, then the others with the reason for none. `?` is what nobody has established.
pub fn markdown() -> String {
    let mut page = String::from(
        "| Client | Begins with | Looks for the resource's metadata | `resource` must be | `issuer` must be | Its `client_id` | Scopes from | Also stops at |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let clients = known_clients::all();
    for client in clients {
        if let Some(ways) = &client.journey {
            page.push_str(&row(client, ways));
        }
    }
    page.push_str("\nNot run, because too little is established:\n\n");
    for client in clients {
        if let Some(why) = &client.no_journey {
            page.push_str(&format!("- {}: {why}\n", client.name));
        }
    }
    page
}

fn row(client: &KnownClient, ways: &Journey) -> String {
    let cells = [
        format!("`{}`", client.id),
        begins(ways),
        looks(ways),
        ways.resource_must.map_or("?", resource_rule).to_owned(),
        ways.issuer_must.map_or("?", issuer_rule).to_owned(),
        client_id(client, ways),
        scopes(client, ways),
        stops(ways),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn begins(ways: &Journey) -> String {
    let what = match ways.opens {
        Some(Opening::Initialize) => "`initialize`",
        Some(Opening::Discover) => "`server/discover`",
        Some(Opening::Get) => "GET",
        Some(Opening::Head) => "HEAD",
        Some(Opening::ResourceMetadata) => "the resource's metadata",
        Some(Opening::ServerMetadata) => "the server's metadata",
        None => "?",
    };
    match &ways.protocol_version {
        Some(version) => format!("{what} ({version})"),
        None => what.to_owned(),
    }
}

fn looks(ways: &Journey) -> String {
    if ways.resource_metadata.is_empty() {
        return "?".to_owned();
    }
    let places: Vec<&str> = ways
        .resource_metadata
        .iter()
        .map(|place| match place {
            Place::Challenge => "challenge",
            Place::ChallengeOfSameOrigin => "challenge (another origin is passed over)",
            Place::ChallengeOnSameOrigin => "challenge (another origin ends it)",
            Place::Path => "path",
            Place::Appended => "behind the path",
            Place::Root => "root",
        })
        .collect();
    let mut cell = places.join(", ");
    match ways.without_resource_metadata {
        Some(Without::OriginIsIssuer) => cell.push_str("; else the origin is the issuer"),
        Some(Without::OriginAtRootOnly) => {
            cell.push_str("; else the origin is the issuer, by RFC 8414 only")
        }
        Some(Without::AddressIsIssuer) => cell.push_str("; else the MCP URL is the issuer"),
        Some(Without::Stops) | None => {}
    }
    cell
}

fn resource_rule(rule: ResourceRule) -> &'static str {
    match rule {
        ResourceRule::SameText => "the same text",
        ResourceRule::SameAddress => "the same URL",
        ResourceRule::SameTextOrOrigin => "the same text or the origin",
        ResourceRule::Parent => "the URL or above it",
        ResourceRule::Present => "there",
    }
}

fn issuer_rule(rule: IssuerRule) -> &'static str {
    match rule {
        IssuerRule::SameText => "the same text",
        IssuerRule::MayLackSlash => "the same text; a slash may be missing",
        IssuerRule::RootSlashEither => "the same text but for a host's slash",
        IssuerRule::SameAddress => "the same URL",
    }
}

fn client_id(client: &KnownClient, ways: &Journey) -> String {
    let in_order = client.registration.iter().filter_map(|way| match way {
        RegistrationWay::PreRegistered => Some("entered"),
        RegistrationWay::MetadataDocument => ways.document.as_ref().map(|_| "document"),
        RegistrationWay::Dynamic => Some("registers"),
    });
    in_order.collect::<Vec<_>>().join(", ")
}

fn scopes(client: &KnownClient, ways: &Journey) -> String {
    let mut cell = ways
        .scopes
        .iter()
        .map(|source| match source {
            ScopeSource::Challenge => "challenge",
            ScopeSource::ResourceMetadata => "resource",
            ScopeSource::ChallengeAndResourceMetadata => "challenge and resource",
            ScopeSource::ServerMetadata => "all of the server",
            ScopeSource::Registration => "its registration's answer",
        })
        .collect::<Vec<_>>()
        .join(", else ");
    if cell.is_empty() {
        cell.push('?');
    }
    if client.quirks.asks_offline_access == Some(true) {
        cell.push_str("; + `offline_access`");
    }
    cell
}

fn stops(ways: &Journey) -> String {
    let mut reasons: Vec<String> = Vec::new();
    let mut add = |holds: bool, reason: &str| {
        if holds {
            reasons.push(reason.to_owned());
        }
    };
    add(
        ways.reads_first_scheme_only == Some(true),
        "`Bearer` not first (does not see it)",
    );
    add(
        ways.resource_metadata_error_is_fatal == Some(true),
        "5xx for the resource's metadata",
    );
    add(
        ways.server_metadata_error_is_fatal == Some(true),
        "5xx for the server's metadata",
    );
    add(ways.refuses_null == Some(true), "`null`");
    add(ways.needs_pkce_promise == Some(true), "no `S256`");
    add(ways.refuses_http == Some(true), "http");
    add(
        ways.refuses_http_token_endpoint == Some(true),
        "an http token endpoint",
    );
    add(ways.iss == Some(IssRule::Needed), "no `iss`");
    add(
        ways.iss == Some(IssRule::OnlyAsPromised),
        "`iss` without its promise",
    );
    add(
        ways.document_needs_none == Some(true),
        "a document without `none` (registers instead)",
    );
    add(
        matches!(
            ways.refuses_private_hosts,
            Some(PrivateHosts::Refused | PrivateHosts::LiteralsRefused)
        ),
        "private hosts",
    );
    add(
        ways.refuses_private_hosts == Some(PrivateHosts::UnlessServerIsPrivate),
        "private hosts of a public server",
    );
    for member in &ways.needs_server_members {
        add(true, &format!("no `{member}`"));
    }
    reasons.join(", ")
}
