//! The clients that people use, one by one: each registers in its own words, returns to its own address, and asks and
//! refreshes in its own way. The numbers are those of the project's table of clients, as in `docs/spec-map.md`.

use http::StatusCode;
use serde_json::{Value, json};
use testkit::DocumentHost;

use crate::support::{
    Browser, CALLBACK, PUBLIC_URL, RESOURCE, VERIFIER, World, authorize_path, claims,
};

const REGISTER: &str = "/servers/todo/register";
const EVERYTHING: &str = "todo:read todo:write todo:delete offline_access";

/// How a client gets its id.
enum Way {
    /// By these words.
    Registers(Value),
    /// A person enters it, with these addresses.
    Entered(&'static [&'static str]),
}
use Way::{Entered, Registers};

/// Registers with a name, return addresses and nothing else.
fn plain(name: &str, redirect_uris: &[&str]) -> Way {
    Registers(json!({"client_name": name, "redirect_uris": redirect_uris}))
}

/// Registers as most programs on a person's machine do.
fn native(name: &str, redirect_uris: &[&str]) -> Way {
    Registers(json!({
        "client_name": name, "redirect_uris": redirect_uris, "application_type": "native",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }))
}

/// Registers and would have a secret.
fn wants_secret(name: &str, redirect_uris: &[&str]) -> Way {
    Registers(json!({
        "client_name": name, "redirect_uris": redirect_uris, "token_endpoint_auth_method": "client_secret_post",
    }))
}

/// Row, way to an id, and the addresses it then asks to return to: a loopback one from another port.
fn clients() -> Vec<(&'static str, Way, Vec<&'static str>)> {
    let claude = [
        "https://claude.ai/api/mcp/auth_callback",
        "https://claude.com/api/mcp/auth_callback",
    ];
    let vs_code = [
        "https://insiders.vscode.dev/redirect",
        "https://vscode.dev/redirect",
        "http://127.0.0.1/",
        "http://127.0.0.1:33418/",
    ];
    let cursor = [
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost:8787/callback",
    ];
    let inspector = "http://127.0.0.1:6276/oauth/callback";
    let open_code = "http://127.0.0.1:19876/mcp/oauth/callback";
    let n8n = "https://n8n.example.org/rest/oauth2-credential/callback";
    let open_webui = "https://chat.example.org/oauth/clients/mcp:todo/callback";
    let libre_chat = "https://chat.example.org/api/mcp/todo/oauth/callback";
    let vertex = "https://antigravity.google/oauth-callback";
    let copilot_studio = "https://global.consent.azure-apim.net/redirect/my-20tool-5f1";
    let le_chat = "https://callback.mistral.ai/v1/integrations_auth/oauth2_callback";
    let perplexity = "https://www.perplexity.ai/rest/connections/oauth_callback";
    let cline_before = "vscode://saoudrizwan.claude-dev/mcp-auth/callback/3f9a";
    let roo_code = "vscode://rooveterinaryinc.roo-cline/mcp/auth/callback";
    vec![
        ("1a.1", plain("claudeai", &claude), claude.into()),
        (
            "1a.2",
            native("Claude Code (todo)", &["http://localhost:51234/callback"]),
            vec!["http://localhost:40001/callback"],
        ),
        (
            "1a.3",
            plain("ChatGPT", &["https://chatgpt.com/connector/oauth/AbC_12-x"]),
            vec!["https://chatgpt.com/connector/oauth/AbC_12-x"],
        ),
        (
            "1a.4",
            native("Codex", &["http://127.0.0.1:41000/callback/0a1b2c3d4e5f"]),
            vec!["http://127.0.0.1:52000/callback/0a1b2c3d4e5f"],
        ),
        (
            "1a.5",
            native("Visual Studio Code", &vs_code),
            vec![vs_code[0], vs_code[1], "http://127.0.0.1:50505/"],
        ),
        (
            "1a.6",
            plain("GitHub Copilot CLI", &["http://127.0.0.1:41234/"]),
            vec!["http://127.0.0.1:41235/"],
        ),
        ("1a.7", native("Cursor", &cursor), cursor.into()),
        (
            "1a.8",
            plain("Windsurf", &["http://localhost:8989/callback"]),
            vec!["http://localhost:9898/callback"],
        ),
        (
            "1a.8",
            plain("Devin", &["https://api.devin.ai/mcp/oauth/callback"]),
            vec!["https://api.devin.ai/mcp/oauth/callback"],
        ),
        (
            "1a.9",
            native("Zed", &["http://127.0.0.1:60001/callback"]),
            vec!["http://127.0.0.1:60002/callback"],
        ),
        (
            "1a.10",
            plain("JetBrains", &["jetbrains://gateway/oauth/callback"]),
            vec!["jetbrains://gateway/oauth/callback"],
        ),
        (
            "1a.11",
            native("goose", &["http://127.0.0.1:60011/oauth_callback"]),
            vec!["http://127.0.0.1:60012/oauth_callback"],
        ),
        (
            "1a.12",
            native(
                "Cline",
                &["http://127.0.0.1:1456/mcp/oauth/callback", cline_before],
            ),
            vec!["http://127.0.0.1:1461/mcp/oauth/callback", cline_before],
        ),
        ("1a.13", plain("Roo Code", &[roo_code]), vec![roo_code]),
        (
            "1a.14",
            plain("Continue", &["http://localhost:3000"]),
            vec!["http://localhost:3001/"],
        ),
        ("1a.15", plain("LibreChat", &[libre_chat]), vec![libre_chat]),
        (
            "1a.16",
            wants_secret("Open WebUI", &[open_webui]),
            vec![open_webui],
        ),
        (
            "1a.17",
            plain("n8n", &[n8n, "https://oauth.n8n.cloud/oauth2/callback"]),
            vec![n8n, "https://oauth.n8n.cloud/oauth2/callback"],
        ),
        (
            "1a.19",
            Registers(json!({
                "client_name": "Gemini CLI MCP Client", "redirect_uris": ["http://localhost:7777/oauth/callback"],
                "token_endpoint_auth_method": "none", "scope": EVERYTHING,
            })),
            vec!["http://localhost:7778/oauth/callback"],
        ),
        ("1a.20", plain("Antigravity", &[vertex]), vec![vertex]),
        ("1a.21", native("OpenCode", &[open_code]), vec![open_code]),
        (
            "1a.22",
            plain("Q DEV CLI", &["http://localhost:3128/callback"]),
            vec!["http://localhost:3129/callback"],
        ),
        (
            "1a.23",
            wants_secret("Copilot Studio", &[copilot_studio]),
            vec![copilot_studio],
        ),
        ("1a.24", wants_secret("Le Chat", &[le_chat]), vec![le_chat]),
        (
            "1a.26",
            plain("Perplexity", &[perplexity]),
            vec![perplexity],
        ),
        (
            "1a.28",
            Registers(json!({
                "client_name": "MCP CLI Client", "redirect_uris": ["http://localhost:3334/oauth/callback"],
                "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d", "software_version": "0.15.1",
                "application_type": "native", "token_endpoint_auth_method": "none",
            })),
            vec!["http://localhost:4444/oauth/callback"],
        ),
        (
            "1a.29",
            native("MCP Inspector", &[inspector]),
            vec![inspector],
        ),
        (
            "1a.30",
            native("FastMCP Client", &["http://localhost:60030/callback"]),
            vec!["http://localhost:60031/callback"],
        ),
        (
            "1a.32",
            Entered(&["https://app.example.org/login/oauth2/code/todo"]),
            vec!["https://app.example.org/login/oauth2/code/todo"],
        ),
        (
            "1a.33",
            Entered(&["https://oauth.pstmn.io/v1/callback"]),
            vec!["https://oauth.pstmn.io/v1/callback"],
        ),
    ]
}

#[tokio::test]
async fn each_client_registers_in_its_own_words_and_returns_to_its_own_address_alone() {
    let world = World::new().await;
    for (row, way, addresses) in clients() {
        let id = match way {
            Registers(body) => {
                let answer = world.post_json(REGISTER, &body).await;
                assert_eq!(answer.status, StatusCode::CREATED, "{row}: {}", answer.text);
                let client = answer.json();
                assert_eq!(client["redirect_uris"], body["redirect_uris"], "{row}");
                assert_eq!(client["client_name"], body["client_name"], "{row}");
                // Whoever would have a secret is told that it gets none, and takes the method it is told.
                assert_eq!(client["token_endpoint_auth_method"], "none", "{row}");
                assert!(client.get("client_secret").is_none(), "{row}");
                client["client_id"].as_str().unwrap().to_owned()
            }
            Entered(redirect_uris) => world.add_client(redirect_uris).await.id.to_string(),
        };
        for address in addresses {
            returns_to(&world, row, &id, address).await;
        }
    }
}

/// The address is accepted, and one beside it is not.
async fn returns_to(world: &World, row: &str, client_id: &str, address: &str) {
    let beside = format!("{}x", address.trim_end_matches('/'));
    for (address, status) in [
        (address, StatusCode::OK),
        (&beside, StatusCode::BAD_REQUEST),
    ] {
        let path = authorize_path(client_id, &[("redirect_uri", Some(address))]);
        let page = Browser::default().get(world, &path).await;
        assert_eq!(page.status, status, "{row}: {address}: {}", page.text);
    }
}

/// What Amazon Q sends when its registration failed.
#[tokio::test]
async fn a_made_up_client_id_is_answered_with_words_and_with_invalid_client() {
    let world = World::new().await;
    let path = authorize_path("Q DEV CLI", &[]);
    let page = Browser::default().get(&world, &path).await;
    page.assert_page(400, "not registered here");
    world
        .refresh("Q DEV CLI", "prt_x")
        .await
        .assert_error(401, "invalid_client", "register again");
}

/// Open WebUI on a home network: a code would cross it in clear.
#[tokio::test]
async fn plain_http_is_for_this_machine_and_the_words_say_so() {
    let world = World::new().await;
    let register = async |uri: &str| {
        let body = json!({"client_name": "Open WebUI", "redirect_uris": [uri]});
        world.post_json(REGISTER, &body).await
    };
    let path = "oauth/clients/mcp:todo/callback";
    register(&format!("http://192.168.1.5:3000/{path}"))
        .await
        .assert_error(400, "invalid_redirect_uri", "use https");
    let here = register(&format!("http://localhost:3000/{path}")).await;
    assert_eq!(here.status, StatusCode::CREATED, "{}", here.text);
}

#[tokio::test]
async fn each_client_with_a_document_is_known_by_it_and_returns_to_its_own_address_alone() {
    let file: Value =
        serde_json::from_str(include_str!("../../../known-clients/known-clients.json")).unwrap();
    let pinned: Vec<&Value> = file["clients"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|client| client["pinned_documents"].as_array())
        .flatten()
        .map(|pinned| &pinned["document"])
        .collect();
    let split = |document: &Value| {
        let id = document["client_id"].as_str().unwrap().to_owned();
        let (host, path) = id["https://".len()..].split_once('/').unwrap();
        (id.clone(), host.to_owned(), format!("/{path}"))
    };
    let hosts: Vec<String> = pinned.iter().map(|document| split(document).1).collect();
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let host = DocumentHost::start_as(&names).await;
    for document in &pinned {
        host.set_json(&split(document).2, document);
    }
    let documents = Some((&host, names.as_slice()));
    let world = World::with_documents(PUBLIC_URL, Default::default(), documents).await;
    for who in [
        "claude.ai/oauth/mcp-oauth-client-metadata",
        "claude.ai/oauth/claude-code-client-metadata",
        "chatgpt.com/oauth/client.json",
        "chatgpt.com/oauth/codex/client.json",
        "vscode.dev/oauth/client-metadata.json",
        "github.com/copilot/cli/client-metadata.json",
        "zed.dev/oauth/client-metadata.json",
        "goose-docs.ai/oauth/client-metadata.json",
        "opencode.ai/oauth/opencode/client.json",
        "grok.com/oauth/mcp-client.json",
    ] {
        let id = format!("https://{who}");
        let document = pinned.iter().find(|document| document["client_id"] == id);
        let document = document.unwrap_or_else(|| panic!("nobody pinned {id}"));
        for uri in document["redirect_uris"].as_array().unwrap() {
            returns_to(&world, who, &id, uri.as_str().unwrap()).await;
        }
        assert!(host.count(&split(document).2) > 0, "{who} was asked");
    }
}

/// How a client asks and refreshes, beyond what all do.
struct Flow {
    row: &'static str,
    /// `resource` when it asks, and when it redeems the code and refreshes.
    resource: [Option<&'static str>; 2],
    scope: Option<&'static str>,
    prompt: Option<&'static str>,
    /// What the refresh asks for; `granted` stands for what the token response said.
    refresh_scope: Option<&'static str>,
}

const DEFAULT: &str = "todo:read todo:write";
const ALL: &str = "todo:delete todo:read todo:write";
const ITS_URL: [Option<&str>; 2] = [Some(RESOURCE); 2];
const GRANTED: Option<&str> = Some("granted");

fn flows() -> Vec<(Flow, &'static str)> {
    let flow = |row, resource, scope, prompt, refresh_scope| Flow {
        row,
        resource,
        scope,
        prompt,
        refresh_scope,
    };
    let offline = Some("todo:read todo:write offline_access");
    let consent = Some("consent");
    let challenge = Some(DEFAULT);
    vec![
        (flow("1b.1", ITS_URL, offline, consent, None), DEFAULT),
        // Without resource metadata the first SDK knows no resource.
        (flow("1b.1", [None; 2], challenge, None, None), DEFAULT),
        (flow("1b.2", ITS_URL, offline, consent, None), DEFAULT),
        (flow("1b.3", ITS_URL, offline, consent, None), DEFAULT),
        (flow("1b.4", ITS_URL, offline, None, GRANTED), DEFAULT),
        (
            flow("1b.5", ITS_URL, Some(" claudeai"), None, None),
            DEFAULT,
        ),
        (flow("1b.5", ITS_URL, Some(EVERYTHING), None, None), ALL),
        (flow("1b.6", ITS_URL, offline, consent, None), DEFAULT),
        // An earlier build left the resource out of the refresh.
        (
            flow("1b.7", [Some(RESOURCE), None], offline, None, None),
            DEFAULT,
        ),
        (flow("1b.8", ITS_URL, offline, None, None), DEFAULT),
        (flow("1b.9", ITS_URL, challenge, None, None), DEFAULT),
        (flow("1b.10", ITS_URL, challenge, None, None), DEFAULT),
        (flow("1b.11", ITS_URL, offline, None, None), DEFAULT),
        (flow("1b.12", [None; 2], None, None, None), DEFAULT),
        (flow("1b.13", ITS_URL, challenge, None, None), DEFAULT),
        (flow("1b.14", ITS_URL, Some(EVERYTHING), None, GRANTED), ALL),
        (flow("1b.15", ITS_URL, challenge, None, None), DEFAULT),
        (flow("1b.16", ITS_URL, Some(EVERYTHING), None, None), ALL),
        (
            flow("1b.17", [None; 2], Some("openid todo:read"), None, None),
            "todo:read",
        ),
        (flow("1b.18", ITS_URL, challenge, None, None), DEFAULT),
        (flow("1b.19", ITS_URL, Some(EVERYTHING), None, None), ALL),
        (flow("1b.20", [None; 2], None, None, None), DEFAULT),
    ]
}

#[tokio::test]
async fn each_client_asks_and_refreshes_in_its_own_way_and_gets_the_scopes_it_asked_for() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    for (flow, granted) in flows() {
        let row = flow.row;
        let changes = [
            ("resource", flow.resource[0]),
            ("scope", flow.scope),
            ("prompt", flow.prompt),
        ];
        let code = world.code_with(&mut browser, &client, &changes, None).await;
        let send = async |fields: &[(&str, &str)], resource: Option<&str>, scope: Option<&str>| {
            let mut fields = fields.to_vec();
            fields.push(("client_id", &client));
            fields.extend(resource.map(|resource| ("resource", resource)));
            fields.extend(scope.map(|scope| ("scope", scope)));
            world.token(&fields).await
        };
        let redeem = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ];
        let answer = send(&redeem, flow.resource[1], None).await;
        assert_eq!(answer.status, StatusCode::OK, "{row}: {}", answer.text);
        let mut tokens = answer.json();
        for _ in 0..2 {
            let said = tokens["scope"].as_str().unwrap().to_owned();
            let access = claims(tokens["access_token"].as_str().unwrap());
            assert_eq!(access["scope"], granted, "{row}");
            assert_eq!(access["aud"], RESOURCE, "{row}");
            assert!(tokens["expires_in"].as_u64().unwrap() >= 600, "{row}");
            let refresh_token = tokens["refresh_token"].as_str().unwrap().to_owned();
            let refresh = [
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh_token.as_str()),
            ];
            let scope = flow.refresh_scope.map(|_| said.as_str());
            // The twin: the same with the resource of somebody else spends nothing.
            send(&refresh, Some("https://other.example/mcp"), scope)
                .await
                .assert_error(400, "invalid_target", "other.example");
            let answer = send(&refresh, flow.resource[1], scope).await;
            assert_eq!(answer.status, StatusCode::OK, "{row}: {}", answer.text);
            tokens = answer.json();
        }
    }
}
