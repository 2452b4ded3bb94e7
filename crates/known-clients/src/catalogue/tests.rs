#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use wire::oauth::RedirectUri;

use super::*;
use crate::{
    IssRule, Journey, Opening, RedirectPattern, RegistrationWay, ResourceRule, ScopeSource,
    SentResource,
};

/// A metadata document is at most 5 kB (draft-ietf-oauth-client-id-metadata-document section 6.6).
const DOCUMENT_BYTES_MAX: usize = 5 * 1024;

/// Everything that is wrong with the file, in words that name the client.
fn problems(clients: &[KnownClient]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut ids = BTreeSet::new();
    let mut proofs = BTreeSet::new();
    for client in clients {
        let mut wrong = |what: String| problems.push(format!("{}: {what}", client.id));
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if client.id.is_empty() || !client.id.bytes().all(lower) {
            wrong("an id is made of a-z, 0-9 and -".into());
        }
        if !ids.insert(client.id.clone()) {
            wrong("its id is there twice".into());
        }
        if client.name.is_empty() || client.maker.is_empty() || client.sources.is_empty() {
            wrong("name, maker and sources are needed".into());
        }
        let documents = !client.metadata_documents.is_empty();
        if documents
            && !client
                .registration
                .contains(&RegistrationWay::MetadataDocument)
        {
            wrong("has metadata documents and does not register with one".into());
        }
        let of_documents = client.metadata_documents.iter().map(|url| url.as_str());
        let of_redirects = client
            .redirect_uris
            .iter()
            .filter(|uri| uri.has_fixed_host() && uri.kind() != RedirectUriKind::Loopback)
            .map(RedirectPattern::as_str);
        for address in of_documents.chain(of_redirects) {
            if !proofs.insert(address.to_owned()) {
                wrong(format!("{address} is there twice"));
            }
        }
        for name in &client.dcr_names {
            if name.as_str().starts_with('<') {
                wrong(format!("{} is everybody's name", name.as_str()));
            }
        }
        for what in problems_of_journey(client) {
            problems.push(format!("{}: {what}", client.id));
        }
        for pinned in &client.pinned_documents {
            problems.extend(
                problems_of_pinned(client, pinned)
                    .into_iter()
                    .map(|what| format!("{}: {what}", client.id)),
            );
        }
    }
    problems
}

/// What a journey says must not differ from what the entry says elsewhere.
fn problems_of_journey(client: &KnownClient) -> Vec<String> {
    let (journey, why_none) = match (&client.journey, &client.no_journey) {
        (Some(journey), None) => (journey, None),
        (None, Some(why)) => (&Journey::default(), Some(why)),
        (None, None) => return Vec::new(),
        (Some(_), Some(_)) => return vec!["has a journey and a reason for none".into()],
    };
    let mut problems = Vec::new();
    if why_none.is_some_and(|why| !why.ends_with('.')) {
        problems.push("the reason for no journey is a sentence".into());
    }
    let filled = |text: &str| {
        let text = text.replace("https://<host>/", "https://host.example/");
        let mut filled = String::new();
        for part in text.split('<') {
            match part.split_once('>') {
                Some(("port", rest)) => filled.extend(["50000", rest]),
                Some((_, rest)) => filled.extend(["x", rest]),
                None => filled.push_str(part),
            }
        }
        filled
    };
    let instead = journey.without_iss_promise.as_ref();
    let returns = journey.registers.iter().chain(&journey.returns_to);
    for address in returns.chain(instead.map(|instead| &instead.returns_to)) {
        let known = RedirectUri::parse(&filled(address))
            .is_ok_and(|uri| client.redirect_uris.iter().any(|known| known.matches(&uri)));
        if !known {
            problems.push(format!(
                "its journey returns to {address}, which is none of redirect_uris"
            ));
        }
    }
    for document in journey
        .document
        .iter()
        .chain(instead.map(|instead| &instead.document))
    {
        let known = |url: &str| {
            client
                .metadata_documents
                .iter()
                .any(|known| known.matches(url))
        };
        if !known(&filled(document)) {
            problems.push(format!(
                "its journey uses {document}, which is none of its metadata documents"
            ));
        }
    }
    let quirks = &client.quirks;
    let same = |quirk: Option<bool>, way: bool| quirk.is_none_or(|quirk| quirk == way);
    let compares = journey.resource_must.is_some_and(|rule| {
        !matches!(
            rule,
            ResourceRule::Parent | ResourceRule::Present | ResourceRule::SameTextOrOrigin
        )
    });
    if why_none.is_none()
        && !(same(quirks.compares_resource, compares)
            && same(quirks.needs_iss, journey.iss == Some(IssRule::Needed))
            && same(
                quirks.probes_with_head,
                journey.opens == Some(Opening::Head),
            )
            && same(
                quirks.asks_all_scopes,
                journey.scopes == [ScopeSource::ServerMetadata],
            )
            && same(quirks.address_depends_on_iss, instead.is_some())
            && same(
                quirks.sends_resource,
                journey.sends_as_resource != Some(SentResource::Nothing),
            ))
    {
        problems.push("its journey and its quirks say two things".into());
    }
    problems
}

fn problems_of_pinned(client: &KnownClient, pinned: &PinnedDocument) -> Vec<String> {
    let mut problems = Vec::new();
    let url = &pinned.url;
    if !client
        .metadata_documents
        .iter()
        .any(|known| known.is_exact() && known.as_str() == url)
    {
        problems.push(format!("{url} is none of its metadata documents"));
    }
    if pinned.document.get("client_id") != Some(&json!(url)) {
        problems.push(format!("the client_id of {url} is another"));
    }
    for never in ["jwks", "client_secret"] {
        if pinned.document.contains_key(never) {
            problems.push(format!("{url} holds {never}"));
        }
    }
    if serde_json::to_vec(&pinned.document).unwrap().len() > DOCUMENT_BYTES_MAX {
        problems.push(format!("{url} is too big"));
    }
    let digits =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let day: Vec<&str> = pinned.pinned_on.split('-').collect();
    if !matches!(day.as_slice(), [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
    {
        problems.push(format!("{url} was pinned on no day"));
    }
    let uris = pinned
        .document
        .get("redirect_uris")
        .and_then(Value::as_array);
    let uris = uris.map(Vec::as_slice).unwrap_or_default();
    if uris.is_empty() {
        problems.push(format!("{url} returns nowhere"));
    }
    for uri in uris {
        let known = uri
            .as_str()
            .and_then(|text| RedirectUri::parse(text).ok())
            .is_some_and(|uri| client.redirect_uris.iter().any(|known| known.matches(&uri)));
        if !known {
            problems.push(format!(
                "{url} returns to {uri}, which is none of redirect_uris"
            ));
        }
    }
    problems
}

#[test]
fn each_client_has_a_journey_or_an_honest_reason_for_none() {
    let without: Vec<_> = all()
        .iter()
        .filter(|client| client.journey.is_some() == client.no_journey.is_some())
        .map(|client| client.id.as_str())
        .collect();
    assert_eq!(without, Vec::<&str>::new());
    assert!(
        all()
            .iter()
            .filter(|client| client.journey.is_some())
            .count()
            >= 30
    );
}

#[test]
fn a_client_built_on_a_library_has_the_ways_of_the_library_where_it_says_nothing_itself() {
    let journey = |id: &str| find(id).unwrap().journey.as_ref().unwrap();
    let (library, client) = (journey("typescript-sdk-2"), journey("mcp-remote"));
    assert_eq!(client.issuer_must, library.issuer_must);
    assert_eq!((client.opens, library.opens), (Some(Opening::Get), None));
    for bad in [
        json!({"journey": {"basis": "nobody"}}),
        json!({"journey": {"basis": "mcp-remote"}}),
    ] {
        let mut file: Value =
            serde_json::from_str(include_str!("../../known-clients.json")).unwrap();
        let clients = file["clients"].as_array_mut().unwrap();
        clients[0]["journey"] = bad["journey"].clone();
        assert!(parse(&file.to_string()).is_err(), "{bad}");
    }
}

fn uri(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap()
}

#[test]
fn the_file_that_is_shipped_is_right() {
    assert_eq!(problems(all()), Vec::<String>::new());
    assert!(all().len() >= 40);
}

#[test]
fn a_file_with_a_mistake_is_noticed_and_the_same_file_without_it_is_not() {
    let good = json!({
        "id": "x", "name": "X", "maker": "Y", "sources": ["report"], "registration": ["metadata-document"],
        "metadata_documents": ["https://x.example/client.json"], "redirect_uris": ["https://x.example/cb"],
        "pinned_documents": [{
            "url": "https://x.example/client.json", "pinned_on": "2026-01-02", "source": "report",
            "document": {"client_id": "https://x.example/client.json", "redirect_uris": ["https://x.example/cb"]}
        }]
    });
    let problems_with = |change: &dyn Fn(&mut Value)| {
        let mut client = good.clone();
        change(&mut client);
        match parse(&json!({"clients": [client]}).to_string()) {
            Ok(clients) => problems(&clients),
            Err(error) => vec![error.to_string()],
        }
    };
    assert_eq!(problems_with(&|_| {}), Vec::<String>::new());
    let mistakes: [&dyn Fn(&mut Value); 20] = [
        &|client| client["id"] = json!("X Y"),
        &|client| client["sources"] = json!([]),
        &|client| client["sources"] = json!(["hearsay"]),
        &|client| client["registration"] = json!(["dynamic"]),
        &|client| client["dcr_names"] = json!(["<name>"]),
        &|client| client["redirect_uri"] = json!("https://x.example/cb"),
        &|client| client["quirks"] = json!({"flies": true}),
        &|client| client["redirect_uris"] = json!(["https://x.example/cb", "https://x.example/cb"]),
        &|client| client["redirect_uris"] = json!(["https://x.example/other"]),
        &|client| {
            client["pinned_documents"][0]["document"]["client_id"] =
                json!("https://y.example/client.json")
        },
        &|client| client["pinned_documents"][0]["document"]["jwks"] = json!({"keys": []}),
        &|client| client["pinned_documents"][0]["pinned_on"] = json!("yesterday"),
        &|client| client["metadata_documents"] = json!(["https://x.example/<id>/client.json"]),
        &|client| client["journey"] = json!({"flies": true}),
        &|client| client["journey"] = json!({"opens": "politely"}),
        &|client| client["journey"] = json!({"registers": ["https://x.example/other"]}),
        &|client| client["journey"] = json!({"document": "https://x.example/other.json"}),
        &|client| client["no_journey"] = json!("Nobody knows"),
        &|client| {
            client["journey"] = json!({});
            client["no_journey"] = json!("Nobody knows.");
        },
        &|client| {
            client["journey"] = json!({"opens": "get"});
            client["quirks"] = json!({"probes_with_head": true});
        },
    ];
    for (number, mistake) in mistakes.iter().enumerate() {
        assert_ne!(
            problems_with(mistake),
            Vec::<String>::new(),
            "mistake {number}"
        );
    }
}

#[test]
fn an_address_of_a_maker_is_known_and_one_that_looks_like_it_is_not() {
    for (text, id) in [
        ("https://claude.ai/api/mcp/auth_callback", "claude"),
        ("https://claude.com/api/mcp/auth_callback", "claude"),
        (
            "https://chatgpt.com/connector_platform_oauth_redirect",
            "chatgpt",
        ),
        ("https://chatgpt.com/connector/oauth/AbC_12-x", "chatgpt"),
        ("https://vscode.dev/redirect", "vscode"),
        ("https://insiders.vscode.dev/redirect", "vscode"),
        ("https://www.cursor.com/agents/mcp/oauth/callback", "cursor"),
        ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor"),
        (
            "https://global.consent.azure-apim.net/redirect/my-tool",
            "copilot-studio",
        ),
    ] {
        assert_eq!(
            by_redirect_uri(&uri(text)).map(|client| client.id.as_str()),
            Some(id),
            "{text}"
        );
    }
    for text in [
        "https://claude.ai/api/mcp/auth_callback/",
        "https://claude.ai/api/mcp/auth_callback?next=x",
        "https://claude.ai.evil.example/api/mcp/auth_callback",
        "https://evil.example/claude.ai/api/mcp/auth_callback",
        "https://chatgpt.com/connector/oauth/a/b",
        "https://global.consent.azure-apim.net/redirected",
        // Everybody's: a loopback address, and the path of a program that people host themselves.
        "http://localhost:4000/callback",
        "https://n8n.evil.example/rest/oauth2-credential/callback",
    ] {
        assert!(by_redirect_uri(&uri(text)).is_none(), "{text}");
    }
}

#[test]
fn a_client_is_found_by_its_document_its_name_and_its_scheme() {
    let document = |url| by_metadata_document(url).map(|client| client.id.as_str());
    assert_eq!(
        document("https://claude.ai/oauth/claude-code-client-metadata"),
        Some("claude-code")
    );
    assert_eq!(
        document("https://chatgpt.com/oauth/codex/client.json"),
        Some("codex")
    );
    assert_eq!(
        document("https://chatgpt.com/oauth/codex/abc/client.json"),
        Some("codex")
    );
    assert_eq!(
        document("https://chatgpt.com/oauth/abc/client.json"),
        Some("chatgpt")
    );
    assert_eq!(document("https://claude.ai/oauth/other"), None);
    assert_eq!(
        by_dcr_name("Claude Code (notes)").unwrap().id,
        "claude-code"
    );
    assert_eq!(by_dcr_name("Claude").unwrap().id, "claude");
    assert!(by_dcr_name("Nobody").is_none());
    assert!(known_scheme("cursor") && known_scheme("vscode") && known_scheme("Cursor"));
    assert!(!known_scheme("https") && !known_scheme("evil"));
    assert_eq!(find("cursor").unwrap().name, "Cursor");
    assert!(find("Cursor").is_none());
}

#[test]
fn a_pinned_document_is_found_by_its_address_alone() {
    let pinned = pinned_document("https://chatgpt.com/oauth/client.json").unwrap();
    assert_eq!(
        pinned.document["jwks_uri"],
        "https://chatgpt.com/oauth/jwks.json"
    );
    assert!(pinned_document("https://chatgpt.com/oauth/abc/client.json").is_none());
}

#[test]
fn a_preset_holds_every_address_that_can_be_registered() {
    let preset = |id: &str| {
        let uris = find(id).unwrap().preset_redirect_uris();
        uris.iter()
            .map(|uri| uri.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        preset("claude-code"),
        ["http://localhost/callback", "http://127.0.0.1/callback"]
    );
    assert_eq!(
        preset("chatgpt"),
        ["https://chatgpt.com/connector_platform_oauth_redirect"]
    );
    assert_eq!(find("chatgpt").unwrap().open_redirect_uris().count(), 1);
    assert!(preset("n8n").contains(&"https://oauth.n8n.cloud/oauth2/callback".to_owned()));
}

/// The page shows an entry to copy; it must be one that works as it stands.
#[test]
fn the_example_in_how_to_add_is_a_client_that_would_be_accepted() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/how-to-add.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split_once("## A known client").unwrap().1;
    let example = section
        .split_once("```json")
        .unwrap()
        .1
        .split_once("```")
        .unwrap()
        .0;
    let example: Value = serde_json::from_str(example).unwrap();
    let mut file: Value = serde_json::from_str(include_str!("../../known-clients.json")).unwrap();
    file["clients"]
        .as_array_mut()
        .unwrap()
        .push(example.clone());
    let clients = parse(&file.to_string()).unwrap();
    assert_eq!(problems(&clients), Vec::<String>::new());
    let added = clients.last().unwrap();
    assert!(
        added
            .redirect_uris
            .iter()
            .any(|known| known.matches(&uri("http://127.0.0.1:5000/callback")))
    );
}
