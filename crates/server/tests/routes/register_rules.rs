//! What a registration may hold, by the rules of the server, and what an admin decides about it afterwards.

use std::time::Duration;

use axum::body::Body;
use domain::{
    AuditEventKind, ClientId, NativeSchemes, RegistrationMode, ServerSettings,
    ServerSettingsChange, ServerSlug,
};
use http::{Method, StatusCode, header};
use oauth::client_decision::{ClientDecision, Decided, decide};
use portcullis_server::{Peer, policy_feed};
use serde_json::{Value, json};

use crate::support::{Browser, PUBLIC_URL, World, authorize_path, claims, request};

const REGISTER: &str = "/servers/todo/register";
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn change(world: &World, change: ServerSettingsChange) {
    let slug = ServerSlug::parse("todo").unwrap();
    let event = world.event(AuditEventKind::ServerChanged);
    let changed = world.store.change_server_settings(&slug, change, event);
    changed.await.unwrap();
    // What the policy feed of a running authority does four times a second.
    policy_feed::snapshot(&world.authority).await.unwrap();
}

async fn decided(world: &World, client: &str, decision: ClientDecision) -> Decided {
    let server = world.authority.server("todo").unwrap();
    let id = ClientId::from_text(client);
    let decided = decide(
        &world.store,
        world.now(),
        &server.server,
        &id,
        decision,
        None,
    );
    decided.await.unwrap()
}

fn codex(port: u16, path: &str) -> Value {
    json!({
        "client_name": "Codex", "application_type": "native", "token_endpoint_auth_method": "none",
        "redirect_uris": [format!("http://127.0.0.1:{port}{path}")],
    })
}

/// Bodies as these clients send them, each with something that a strict reader would refuse.
#[tokio::test]
async fn odd_members_of_real_clients_are_no_reason_to_refuse_and_come_back_without_nulls() {
    let world = World::new().await;
    let inspector = json!({
        "redirect_uris": ["http://localhost:6274/oauth/callback"], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "client_name": "MCP Inspector", "client_uri": "https://github.com/modelcontextprotocol/inspector",
        "scope": "", "application_type": "native",
    });
    let claude = json!({
        "client_name": "claudeai", "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"], "scope": " claudeai",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
    });
    let gemini = json!({
        "client_name": "Gemini CLI MCP Client", "redirect_uris": ["http://localhost:7777/oauth/callback"],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "token_endpoint_auth_method": "none", "scope": "todo:read todo:write todo:delete offline_access",
    });
    let mcp_remote = json!({
        "redirect_uris": ["http://localhost:3334/oauth/callback"], "client_name": "MCP CLI Client",
        "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d", "software_version": "0.15.1",
        "client_uri": "", "logo_uri": null, "contacts": [], "tos_uri": "about:blank",
    });
    for body in [inspector, claude, gemini, mcp_remote] {
        let answer = world.post_json(REGISTER, &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let client = answer.json();
        for name in [
            "client_name",
            "redirect_uris",
            "software_id",
            "software_version",
        ] {
            assert_eq!(client.get(name), body.get(name), "{name}");
        }
        assert!(client["client_id_issued_at"].is_i64());
        assert_eq!(client["client_secret_expires_at"], 0);
        assert!(
            !answer.text.contains("null") && !answer.text.contains("\"\""),
            "{}",
            answer.text
        );
        assert!(client.get("client_secret").is_none());
    }
}

#[tokio::test]
async fn an_address_that_differs_by_connector_or_tool_is_registered_and_is_then_the_only_one() {
    let world = World::new().await;
    for (name, uri, another) in [
        (
            "ChatGPT",
            "https://chatgpt.com/connector/oauth/AbC_12-x",
            "https://chatgpt.com/connector/oauth/other",
        ),
        (
            "Copilot Studio",
            "https://global.consent.azure-apim.net/redirect/my-20tool-5f1",
            "https://global.consent.azure-apim.net/redirect/other",
        ),
        (
            "Open WebUI",
            "https://chat.example.org/oauth/clients/mcp:todo/callback",
            "https://chat.example.com/oauth/clients/mcp:todo/callback",
        ),
    ] {
        let body = json!({"client_name": name, "redirect_uris": [uri]});
        let client = world.post_json(REGISTER, &body).await.json();
        let page = async |uri: &str| {
            let path = authorize_path(
                client["client_id"].as_str().unwrap(),
                &[("redirect_uri", Some(uri))],
            );
            Browser::default().get(&world, &path).await
        };
        page(uri).await.assert_status(200);
        page(another).await.assert_status(400);
    }
}

#[tokio::test]
async fn a_program_on_another_port_is_the_same_client_and_hears_the_address_it_asked_for() {
    let world = World::new().await;
    let register = async |body: Value| world.post_json(REGISTER, &body).await.json();
    let first = register(codex(41000, "/callback")).await;
    let again = register(codex(52000, "/callback")).await;
    assert_eq!(first["client_id"], again["client_id"]);
    assert_eq!(
        again["redirect_uris"],
        json!(["http://127.0.0.1:52000/callback"])
    );
    let other = register(codex(41000, "/elsewhere")).await;
    assert_ne!(first["client_id"], other["client_id"]);
    assert_eq!(world.store.list_clients(None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_new_version_of_a_program_is_the_same_client_and_hears_what_is_registered() {
    let world = World::new().await;
    let register = async |body: &Value| {
        let answer = world.post_json(REGISTER, body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()
    };
    let body = json!({
        "client_name": "MCP CLI Client", "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d",
        "software_version": "0.15.1", "scope": "todo:read",
        "redirect_uris": ["http://localhost:3334/oauth/callback"],
    });
    let first = register(&body).await;
    let mut updated = body.clone();
    updated["software_version"] = json!("0.16.0");
    updated["scope"] = json!("todo:read todo:write");
    updated["contacts"] = json!(["thief@example.com"]);
    updated["client_name"] = json!("Approve this");
    updated["client_uri"] = json!("https://thief.example/");
    // Not one word of the repeat is in the answer, nor in the record.
    assert_eq!(register(&updated).await, first);
    let client = world.store.list_clients(None, 10).await.unwrap().remove(0);
    assert_eq!(client.id.as_str(), first["client_id"]);
    assert_eq!(client.name, "MCP CLI Client");
    assert_eq!(client.metadata.software_version.as_deref(), Some("0.15.1"));
    // Other software, or another address, is another client.
    for (name, value) in [
        ("software_id", json!("another")),
        (
            "redirect_uris",
            json!(["http://localhost:3334/oauth/elsewhere"]),
        ),
    ] {
        let mut other = body.clone();
        other[name] = value;
        assert_ne!(register(&other).await["client_id"], first["client_id"]);
    }
    assert_eq!(world.store.list_clients(None, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_registration_repeated_without_end_keeps_out_nothing_new_of_its_software() {
    let world = World::new().await;
    let register = async |body: Value, address: String| {
        let request = request(Method::POST, REGISTER)
            .header(header::CONTENT_TYPE, "application/json")
            .extension(Peer(address.parse().unwrap()));
        let body = Body::from(body.to_string());
        world.send(request.body(body).unwrap()).await.status
    };
    let codex = |path: &str| json!({"client_name": "Codex", "redirect_uris": [format!("http://127.0.0.1{path}")]});
    // More often than new records of one software may come, and from fewer addresses than one may use.
    for number in 0..700 {
        let address = format!("203.0.113.{}", number / 100);
        assert_eq!(
            register(codex("/callback"), address).await,
            StatusCode::CREATED
        );
    }
    let new = register(codex("/callback/new"), "203.0.113.99".into()).await;
    assert_eq!(new, StatusCode::CREATED);
}

/// What comes through a proxy or tunnel comes from this machine.
#[tokio::test]
async fn behind_a_proxy_a_flood_of_one_software_or_host_stops_and_on_a_laptop_programs_are_free() {
    for public_url in ["https://auth.example", PUBLIC_URL] {
        let is_public = public_url != PUBLIC_URL;
        let settings = ServerSettings::default();
        let world = World::with_room(public_url, settings, None, 5_000).await;
        let host = public_url.split("://").nth(1).unwrap();
        let register = async |body: Value, origin: Option<&str>| {
            let mut request = http::Request::post(REGISTER)
                .header(header::HOST, host)
                .header(header::CONTENT_TYPE, "application/json")
                .extension(Peer("127.0.0.1".parse().unwrap()));
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            let body = Body::from(body.to_string());
            world.send(request.body(body).unwrap()).await.status
        };
        let body = |software: &str, uri: &str| json!({"client_name": "x", "software_id": software, "redirect_uris": [uri]});
        let limited = if is_public {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::CREATED
        };
        for number in 0..600 {
            let uri = format!("https://flood.example/{number}");
            let status = register(body("flood", &uri), None).await;
            assert_eq!(status, StatusCode::CREATED);
        }
        let new = "https://honest.example/cb";
        assert_eq!(register(body("flood", new), None).await, limited);
        let same_host = "https://flood.example/new";
        assert_eq!(register(body("other", same_host), None).await, limited);
        assert_eq!(
            register(body("other", new), None).await,
            StatusCode::CREATED,
            "others still register"
        );
        // Everybody's browser comes from the proxy too, so they do not share one address.
        if is_public {
            for _ in 0..301 {
                let status = register(body("other", new), Some("https://app.example")).await;
                assert_eq!(status, StatusCode::CREATED);
            }
        }
    }
}

#[tokio::test]
async fn a_name_and_software_id_of_another_client_give_their_bearer_nothing() {
    let world = World::new().await;
    let register = async |uri: &str| {
        let body = json!({
            "client_name": "Claude", "software_id": "4NRB1-0XZABZI9E6-5SM3R",
            "redirect_uris": [uri],
        });
        let client = world.post_json(REGISTER, &body).await.json();
        client["client_id"].as_str().unwrap().to_owned()
    };
    let honest = register("https://claude.ai/api/mcp/auth_callback").await;
    let thief = register("https://thief.example/cb").await;
    assert_ne!(honest, thief);
    let page = async |client: &str, uri: &str| {
        let path = authorize_path(client, &[("redirect_uri", Some(uri))]);
        Browser::default().get(&world, &path).await
    };
    page(&honest, "https://claude.ai/api/mcp/auth_callback")
        .await
        .assert_status(200);
    page(&honest, "https://thief.example/cb")
        .await
        .assert_status(400);
    page(&thief, "https://claude.ai/api/mcp/auth_callback")
        .await
        .assert_status(400);
}

#[tokio::test]
async fn a_web_application_may_not_return_to_the_persons_machine_and_a_native_one_may() {
    let world = World::new().await;
    let register = async |kind: Option<&str>, uris: &[&str]| {
        let mut body = json!({"redirect_uris": uris});
        if let Some(kind) = kind {
            body["application_type"] = kind.into();
        }
        world.post_json(REGISTER, &body).await
    };
    for uri in [
        "http://localhost:8787/callback",
        "cursor://anysphere.cursor-mcp/oauth/callback",
    ] {
        register(Some("web"), &[uri]).await.assert_error(
            400,
            "invalid_redirect_uri",
            "application_type is web",
        );
        for kind in [Some("native"), None, Some("something else")] {
            let answer = register(kind, &[uri]).await;
            assert_eq!(
                answer.status,
                StatusCode::CREATED,
                "{kind:?} {}",
                answer.text
            );
        }
    }
    let web = register(
        Some("web"),
        &["https://a.example/cb", "http://localhost/cb"],
    )
    .await;
    assert_eq!(web.json()["redirect_uris"], json!(["https://a.example/cb"]));
    // VS Code is native and has an https address besides.
    let native = ["https://vscode.dev/redirect", "http://127.0.0.1/"];
    let answer = register(Some("native"), &native).await;
    assert_eq!(answer.json()["redirect_uris"], json!(native));
}

#[tokio::test]
async fn private_use_schemes_follow_the_setting_from_one_request_to_the_next() {
    let world = World::new().await;
    let register = async |uri: &str| {
        let body = json!({"redirect_uris": [uri], "client_name": uri});
        world.post_json(REGISTER, &body).await
    };
    let cursor = "cursor://anysphere.cursor-mcp/oauth/callback";
    let reverse = "com.example.app:/cb";
    let strange = "strange://cb";
    for (schemes, accepted, refused) in [
        (NativeSchemes::Any, vec![cursor, reverse, strange], vec![]),
        (NativeSchemes::Known, vec![cursor, reverse], vec![strange]),
        (
            NativeSchemes::Off,
            vec!["http://localhost/cb"],
            vec![cursor, reverse, strange],
        ),
    ] {
        let schemes = ServerSettingsChange {
            native_schemes: Some(schemes),
            ..ServerSettingsChange::default()
        };
        change(&world, schemes).await;
        for uri in accepted {
            register(uri).await.assert_status(201);
        }
        for uri in refused {
            register(uri)
                .await
                .assert_error(400, "invalid_redirect_uri", "scheme");
        }
    }
    let mixed = json!({"redirect_uris": [cursor, "http://localhost:8787/callback"]});
    let answer = world.post_json(REGISTER, &mixed).await;
    assert_eq!(
        answer.json()["redirect_uris"],
        json!(["http://localhost:8787/callback"])
    );
}

#[tokio::test]
async fn registration_is_switched_off_and_on_again_from_one_request_to_the_next() {
    let world = World::new().await;
    let metadata = async || {
        let path = "/.well-known/oauth-authorization-server/servers/todo";
        world.get(path).await.json()
    };
    let mode = |mode| ServerSettingsChange {
        dynamic_registration: Some(mode),
        ..ServerSettingsChange::default()
    };
    let body = codex(1, "/callback");
    assert!(metadata().await.get("registration_endpoint").is_some());
    change(&world, mode(RegistrationMode::Off)).await;
    let refused = world.post_json(REGISTER, &body).await;
    refused.assert_error(400, "unauthorized_client", "ask the owner");
    assert!(metadata().await.get("registration_endpoint").is_none());
    change(&world, mode(RegistrationMode::Open)).await;
    world.post_json(REGISTER, &body).await.assert_status(201);
}

#[tokio::test]
async fn a_client_that_waited_and_registers_again_where_anybody_may_need_not_wait() {
    let settings = ServerSettings {
        dynamic_registration: RegistrationMode::Approved,
        ..ServerSettings::default()
    };
    let world = World::with(PUBLIC_URL, settings).await;
    let body = codex(1, "/callback");
    let client = world.post_json(REGISTER, &body).await.json();
    let again = world.post_json(REGISTER, &body).await.json();
    assert_eq!(client["client_id"], again["client_id"]);
    let waits = async || {
        let page = world.store.list_clients(None, 2).await.unwrap();
        assert_eq!(page.len(), 1);
        page[0].waiting_since.is_some()
    };
    assert!(waits().await);
    let open = ServerSettingsChange {
        dynamic_registration: Some(RegistrationMode::Open),
        ..ServerSettingsChange::default()
    };
    change(&world, open).await;
    let again = world.post_json(REGISTER, &body).await.json();
    assert_eq!(client["client_id"], again["client_id"]);
    assert!(!waits().await);
}

#[tokio::test]
async fn a_blocked_client_is_refused_on_every_path_at_once_and_another_notices_nothing() {
    let world = World::new().await;
    let (blocked, tokens) = world.connected().await;
    let other = world.register_named("Another").await;
    let code = world.code(&mut Browser::default(), &other).await;
    let others = world.exchange(&other, &code).await.json();
    assert_eq!(
        decided(&world, &blocked, ClientDecision::Block).await,
        Decided::Done { ended: 1 }
    );
    assert_eq!(
        decided(&world, &blocked, ClientDecision::Block).await,
        Decided::Unchanged
    );

    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let refused = world.refresh(&blocked, refresh_token).await;
    refused.assert_error(401, "invalid_client", "");
    let page = Browser::default()
        .get(&world, &authorize_path(&blocked, &[]))
        .await;
    page.assert_status(400);
    let body = json!({
        "client_name": "Claude Code (todo)", "redirect_uris": ["http://localhost:51234/callback"],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "token_endpoint_auth_method": "none", "application_type": "native",
    });
    let again = world.post_json(REGISTER, &body).await;
    again.assert_error(400, "unauthorized_client", "disabled");

    // A gateway refuses the access token it has, by the moment it was issued.
    let feed = policy_feed::snapshot(&world.authority).await.unwrap();
    let revocations = &feed.servers["todo"].revocations;
    let issued = claims(tokens["access_token"].as_str().unwrap())["iat"]
        .as_i64()
        .unwrap();
    assert!(revocations.clients[&blocked].unix_seconds() > issued);
    assert!(!revocations.clients.contains_key(&other));
    let kept = world
        .refresh(&other, others["refresh_token"].as_str().unwrap())
        .await;
    kept.assert_status(200);

    assert_eq!(
        decided(&world, &blocked, ClientDecision::Unblock).await,
        Decided::Done { ended: 0 }
    );
    let ended = world.refresh(&blocked, refresh_token).await;
    ended.assert_error(400, "invalid_grant", "");
    let page = Browser::default()
        .get(&world, &authorize_path(&blocked, &[]))
        .await;
    page.assert_status(200);
}

#[tokio::test]
async fn a_forgotten_client_is_unknown_and_may_register_anew() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    assert_eq!(
        decided(&world, &client, ClientDecision::Forget).await,
        Decided::Done { ended: 1 }
    );
    let refused = world
        .refresh(&client, tokens["refresh_token"].as_str().unwrap())
        .await;
    refused.assert_error(401, "invalid_client", "not registered");
    assert_ne!(world.register().await, client);
}

#[tokio::test]
async fn an_unused_registration_goes_after_a_week_and_one_with_a_live_refresh_token_stays() {
    let world = World::new().await;
    let (used, tokens) = world.connected().await;
    let unused = world.register_named("Never approved").await;
    world.clock.advance(6 * DAY);
    let young = world.register_named("Young").await;
    let sweep = async || {
        oauth::idle_clients::forget(&world.store, world.now())
            .await
            .unwrap()
    };
    assert_eq!(sweep().await, 0);
    world.clock.advance(DAY + Duration::from_secs(1));
    assert_eq!(sweep().await, 1);
    let page = async |client: &str| {
        let path = authorize_path(client, &[]);
        Browser::default().get(&world, &path).await.status
    };
    assert_eq!(page(&unused).await, StatusCode::BAD_REQUEST);
    assert_eq!(page(&young).await, StatusCode::OK);

    // Unused for eighty days, which is less than a refresh token may lie.
    world.clock.advance(80 * DAY);
    assert_eq!(sweep().await, 1, "the young one");
    let answer = world
        .refresh(&used, tokens["refresh_token"].as_str().unwrap())
        .await;
    answer.assert_status(200);
}
