use std::time::Duration;

use axum::body::Body;
use domain::ServerSettings;
use http::{Method, StatusCode, header};
use portcullis_server::Peer;
use serde_json::{Value, json};

use crate::support::{Browser, World, authorize_path, request};

const REGISTER: &str = "/servers/todo/register";

fn cursor() -> Value {
    json!({
        "client_name": "Cursor",
        "redirect_uris": [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
        ],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

fn vs_code() -> Value {
    json!({
        "client_name": "Visual Studio Code",
        "client_uri": "https://code.visualstudio.com",
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "response_types": ["code"],
        "redirect_uris": [
            "https://insiders.vscode.dev/redirect", "https://vscode.dev/redirect", "http://127.0.0.1/", "http://127.0.0.1:33418/",
        ],
        "scope": "todo:read",
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    })
}

/// TypeScript SDK 1.x: name, addresses and scope, nothing else.
fn typescript() -> Value {
    json!({"client_name": "interop", "redirect_uris": ["http://127.0.0.1:9000/callback"], "scope": "todo:read"})
}

/// Copilot CLI: no scope.
fn copilot() -> Value {
    json!({
        "client_name": "GitHub Copilot CLI", "redirect_uris": ["http://127.0.0.1:41234/"],
        "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
    })
}

/// Copilot Studio wants a secret.
fn wants_secret() -> Value {
    json!({
        "client_name": "Copilot Studio", "redirect_uris": ["https://global.consent.azure-apim.net/redirect/x"],
        "token_endpoint_auth_method": "client_secret_post",
    })
}

#[tokio::test]
async fn the_bodies_of_real_clients_are_accepted_and_their_addresses_work_afterwards() {
    let world = World::new().await;
    for body in [cursor(), vs_code(), typescript(), copilot(), wants_secret()] {
        let answer = world.post_json(REGISTER, &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        assert_eq!(answer.header("cache-control"), "no-store");
        let client = answer.json();
        assert_eq!(client["redirect_uris"], body["redirect_uris"]);
        assert_eq!(client["client_name"], body["client_name"]);
        assert_eq!(client["token_endpoint_auth_method"], "none");
        assert_eq!(client["client_secret_expires_at"], 0);
        assert_eq!(client.get("scope"), body.get("scope"));
        assert!(client.get("client_secret").is_none());
        assert!(!answer.text.contains("null"));
        assert_eq!(
            client["grant_types"],
            json!(["authorization_code", "refresh_token"])
        );
        let client_id = client["client_id"].as_str().unwrap();
        for uri in body["redirect_uris"].as_array().unwrap() {
            let path = authorize_path(client_id, &[("redirect_uri", uri.as_str())]);
            let page = Browser::default().get(&world, &path).await;
            assert_eq!(page.status, StatusCode::OK, "{uri}: {}", page.text);
        }
    }
}

#[tokio::test]
async fn a_client_registered_without_scope_may_ask_for_all_the_server_has() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.post_json(REGISTER, &copilot()).await.json();
    let page = world
        .consent_page(
            &mut Browser::default(),
            client["client_id"].as_str().unwrap(),
            &[
                ("redirect_uri", Some("http://127.0.0.1:5/")),
                ("scope", Some("todo:delete todo:read")),
            ],
        )
        .await;
    assert_eq!(page.checkboxes(), ["todo:read", "todo:delete"]);
}

#[tokio::test]
async fn the_same_registration_again_is_the_same_client_and_a_changed_one_is_another() {
    let world = World::new().await;
    let first = world.post_json(REGISTER, &vs_code()).await;
    let again = world.post_json(REGISTER, &vs_code()).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert_eq!(first.text, again.text);
    let mut changed = vs_code();
    changed["client_name"] = "Visual Studio Code - Insiders".into();
    let other = world.post_json(REGISTER, &changed).await.json();
    assert_ne!(first.json()["client_id"], other["client_id"]);
    let at_another_server = {
        world.add_server("notes", ServerSettings::default()).await;
        world
            .post_json("/servers/notes/register", &vs_code())
            .await
            .json()
    };
    assert_ne!(first.json()["client_id"], at_another_server["client_id"]);
}

#[tokio::test]
async fn in_a_mixed_list_the_bad_addresses_are_dropped_and_alone_they_are_refused() {
    let world = World::new().await;
    let bad = [
        "javascript:alert(1)",
        "http://example.com/cb",
        "https://a.example/cb#x",
        "http://localhost:4180/admin",
        "https://user@a.example/",
        "not an address",
    ];
    let mut mixed: Vec<&str> = bad.to_vec();
    mixed.push("http://localhost:8787/callback");
    let answer = world
        .post_json(REGISTER, &json!({"redirect_uris": mixed}))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(
        answer.json()["redirect_uris"],
        json!(["http://localhost:8787/callback"])
    );
    for uri in bad {
        world
            .post_json(REGISTER, &json!({"redirect_uris": [uri]}))
            .await
            .assert_error(400, "invalid_redirect_uri", "redirect_uri");
    }
    for body in [json!({}), json!({"redirect_uris": []})] {
        world.post_json(REGISTER, &body).await.assert_error(
            400,
            "invalid_redirect_uri",
            "redirect_uris",
        );
    }
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_the_member_it_is_about() {
    let world = World::new().await;
    let uris = json!(["http://localhost/callback"]);
    for (body, member) in [
        (
            json!({"redirect_uris": uris, "client_name": 7}),
            "client_name",
        ),
        (
            json!({"redirect_uris": uris, "grant_types": ["password"]}),
            "grant_types",
        ),
        (
            json!({"redirect_uris": uris, "response_types": ["token"]}),
            "response_types",
        ),
        (json!([]), "object"),
    ] {
        world
            .post_json(REGISTER, &body)
            .await
            .assert_error(400, "invalid_client_metadata", member);
    }
    let large = json!({"redirect_uris": uris, "x": "y".repeat(70_000)});
    world
        .post_json(REGISTER, &large)
        .await
        .assert_error(413, "invalid_client_metadata", "65536");
    assert_eq!(world.audit_kinds().await.len(), 3, "two keys and a server");
}

#[tokio::test]
async fn registration_can_be_switched_off_and_is_limited_in_number() {
    let off = ServerSettings {
        dynamic_registration: domain::RegistrationMode::Off,
        ..ServerSettings::default()
    };
    let world = World::with("http://localhost:4180", off).await;
    world.post_json(REGISTER, &typescript()).await.assert_error(
        400,
        "unauthorized_client",
        "ask the owner",
    );

    let world = World::new().await;
    let body = |number: i32| json!({"redirect_uris": ["http://localhost/a"], "client_name": format!("n{number}")});
    for number in 0..50 {
        let answer = world.post_json(REGISTER, &body(number)).await;
        assert_eq!(answer.status, StatusCode::CREATED);
    }
    let answer = world.post_json(REGISTER, &body(50)).await;
    answer.assert_error(503, "temporarily_unavailable", "try again");
    assert_eq!(answer.header("retry-after"), "3600");
    let again = world.post_json(REGISTER, &body(7)).await;
    assert_eq!(
        again.status,
        StatusCode::CREATED,
        "who is there takes no room"
    );
}

#[tokio::test]
async fn a_list_filled_with_clients_that_nobody_approved_makes_room_and_keeps_the_used_one() {
    let world = World::new().await;
    let (used, tokens) = world.connected().await;
    let body = |number: i32| json!({"redirect_uris": ["http://localhost/a"], "client_name": format!("n{number}")});
    for number in 1..50 {
        world.post_json(REGISTER, &body(number)).await;
    }
    let late = async || world.post_json(REGISTER, &body(99)).await.status;
    assert_eq!(late().await, StatusCode::SERVICE_UNAVAILABLE);
    world.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(late().await, StatusCode::SERVICE_UNAVAILABLE, "too young");
    world.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(late().await, StatusCode::CREATED);
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let answer = world.refresh(&used, refresh_token).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

#[tokio::test]
async fn a_full_list_makes_room_for_a_tenth_and_no_more() {
    let world = World::new().await;
    let register = async |number: i32| {
        let body =
            json!({"redirect_uris": ["http://localhost/a"], "client_name": format!("n{number}")});
        world.post_json(REGISTER, &body).await.status
    };
    for number in 0..50 {
        assert_eq!(register(number).await, StatusCode::CREATED);
    }
    world.clock.advance(Duration::from_secs(40 * 60));
    for number in 50..55 {
        assert_eq!(register(number).await, StatusCode::CREATED, "{number}");
    }
    assert_eq!(register(55).await, StatusCode::SERVICE_UNAVAILABLE);
    let todo = domain::ServerSlug::parse("todo").unwrap();
    let count = world.store.count_dynamic_clients(&todo).await;
    assert_eq!(count.unwrap(), 50);
}

#[tokio::test]
async fn a_count_of_clients_is_believed_for_a_minute() {
    let world = World::new().await;
    let register = async |number: i32| {
        let body =
            json!({"redirect_uris": ["http://localhost/a"], "client_name": format!("n{number}")});
        world.post_json(REGISTER, &body).await.status
    };
    for number in 0..50 {
        assert_eq!(register(number).await, StatusCode::CREATED);
    }
    let todo = domain::ServerSlug::parse("todo").unwrap();
    let soon = world.now().after(Duration::from_secs(1));
    let forgotten = world.store.forget_unused_clients(&todo, soon, 1).await;
    assert_eq!(forgotten.unwrap(), 1);
    world.clock.advance(Duration::from_millis(59_999));
    assert_eq!(register(50).await, StatusCode::SERVICE_UNAVAILABLE);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(register(50).await, StatusCode::CREATED);
}

#[tokio::test]
async fn an_address_that_stands_twice_is_registered_once() {
    let world = World::new().await;
    let (one, other) = ("http://localhost/a", "http://localhost/b");
    let body = json!({"redirect_uris": [one, other, one]});
    let client = world.post_json(REGISTER, &body).await.json();
    assert_eq!(client["redirect_uris"], json!([one, other]));
}

#[tokio::test]
async fn a_registration_too_large_for_a_row_is_refused_and_a_roomy_one_is_kept() {
    let world = World::new().await;
    let body =
        |bytes: usize| json!({"redirect_uris": ["http://localhost/a"], "x": "y".repeat(bytes)});
    world
        .post_json(REGISTER, &body(17 * 1024))
        .await
        .assert_error(400, "invalid_client_metadata", "16384");
    let answer = world.post_json(REGISTER, &body(15 * 1024)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_web_page_may_not_register_without_end_through_a_browser_here_and_a_local_program_may() {
    let world = World::new().await;
    let register = async |origin: Option<&str>| {
        let mut request = request(Method::POST, REGISTER)
            .header(header::CONTENT_TYPE, "application/json")
            .extension(Peer("127.0.0.1".parse().unwrap()));
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let body = Body::from(copilot().to_string());
        world.send(request.body(body).unwrap()).await.status
    };
    for _ in 0..300 {
        let status = register(Some("https://evil.example")).await;
        assert_eq!(status, StatusCode::CREATED);
    }
    let status = register(Some("https://evil.example")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    for _ in 0..301 {
        assert_eq!(register(None).await, StatusCode::CREATED);
    }
}
