//! What holds for every address: hosts, methods, headers, CORS.

use axum::body::Body;
use http::{Method, Request, StatusCode, header};

use crate::support::{Browser, World, authorize_path, request};

#[tokio::test]
async fn an_unknown_host_is_misdirected_and_the_loopback_spellings_are_not() {
    let world = World::new().await;
    let get = |host: &'static str| {
        let request = Request::builder()
            .uri("/jwks.json")
            .header(header::HOST, host)
            .body(Body::empty())
            .unwrap();
        world.send(request)
    };
    for host in ["localhost:4180", "127.0.0.1:4180", "[::1]:4180"] {
        assert_eq!(get(host).await.status, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "localhost", "localhost:4181"] {
        let answer = get(host).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
        assert!(
            answer.json()["error_description"]
                .as_str()
                .unwrap()
                .contains("--public-url")
        );
    }
}

#[tokio::test]
async fn unknown_addresses_are_a_404_in_json() {
    let world = World::new().await;
    for path in [
        "/x",
        "/.well-known/x",
        "/.well-known/oauth-authorization-server/servers/unknown",
        "/.well-known/oauth-authorization-server/mcp/todo",
        "/servers/unknown/authorize",
        "/servers/%FF/authorize",
        "/servers/t%6Fdo%2Fx/authorize",
        "/servers/todo",
        "/servers/todo/introspection",
        "/assets/x.css",
        "/",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["error"], "not_found", "{path}");
    }
    for path in ["token", "register", "revoke"] {
        let answer = world
            .post_form(&format!("/servers/unknown/{path}"), &[])
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn wrong_methods_are_a_405_that_names_the_right_one() {
    let world = World::new().await;
    for (method, path, allowed) in [
        (Method::GET, "/servers/todo/token", "POST"),
        (Method::GET, "/servers/todo/register", "POST"),
        (Method::GET, "/servers/todo/revoke", "POST"),
        (Method::GET, "/servers/todo/introspect", "POST"),
        (Method::PUT, "/servers/todo/authorize", "GET"),
        (Method::POST, "/jwks.json", "GET"),
        (Method::TRACE, "/sign-in", "GET"),
    ] {
        let request = request(method.clone(), path).body(Body::empty()).unwrap();
        let answer = world.send(request).await;
        assert_eq!(
            answer.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert!(answer.header("allow").contains(allowed), "{method} {path}");
        assert_eq!(answer.json()["error"], "method_not_allowed");
    }
}

#[tokio::test]
async fn programs_may_come_from_any_origin_and_pages_are_for_ours_alone() {
    let world = World::new().await;
    let preflight = |path: &'static str| {
        let request = request(Method::OPTIONS, path)
            .header(header::ORIGIN, "https://inspector.example")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(
                header::ACCESS_CONTROL_REQUEST_HEADERS,
                "authorization,mcp-protocol-version",
            )
            .body(Body::empty())
            .unwrap();
        world.send(request)
    };
    for path in [
        "/servers/todo/token",
        "/servers/todo/register",
        "/servers/todo/revoke",
        "/jwks.json",
        "/.well-known/oauth-authorization-server/servers/todo",
        "/.well-known/anything",
    ] {
        let answer = preflight(path).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let headers = answer.header("access-control-allow-headers");
        assert!(headers.contains("Authorization") && headers.contains("Mcp-Protocol-Version"));
        assert!(
            !answer
                .headers
                .contains_key("access-control-allow-credentials")
        );
    }
    for path in ["/servers/todo/authorize", "/sign-in", "/setup", "/admin"] {
        let answer = preflight(path).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn every_page_forbids_scripts_frames_sniffing_and_storing() {
    let world = World::new().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    for path in [
        "/sign-in".to_owned(),
        "/setup?token=x".to_owned(),
        authorize_path(&client, &[]),
        authorize_path("cli_unknown", &[]),
    ] {
        let answer = browser.get(&world, &path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(policy.contains("form-action 'self'") && !policy.contains("unsafe"));
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.header("referrer-policy").is_empty());
    }
}

#[tokio::test]
async fn the_style_sheet_of_a_page_is_served_and_may_be_kept() {
    let world = World::new().await;
    let page = world.get("/sign-in").await;
    let (_, rest) = page.text.split_once("href=\"/assets/").unwrap();
    let path = format!("/assets/{}", rest.split('"').next().unwrap());
    let answer = world.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("cache-control").contains("immutable"));
    let again = request(Method::GET, &path)
        .header(header::IF_NONE_MATCH, answer.header("etag"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(world.send(again).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn https_cookies_are_host_bound_and_secure() {
    let world = World::with("https://mcp.example.com", domain::ServerSettings::default()).await;
    let request = Request::builder()
        .uri("/sign-in")
        .header(header::HOST, "mcp.example.com")
        .body(Body::empty())
        .unwrap();
    let answer = world.send(request).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-portcullis-form="));
    assert!(
        cookie.contains("; Secure")
            && cookie.contains("; HttpOnly")
            && cookie.contains("; SameSite=Lax")
    );
}

#[tokio::test]
async fn without_its_store_everything_says_later_and_nothing_says_no() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let mut browser = Browser::default();
    let sign_in = browser.get(&world, "/sign-in").await;
    let consent = world.consent_page(&mut browser.clone(), &client, &[]).await;
    world.store.close().await;

    let answers = [
        world.refresh(&client, refresh).await,
        world
            .exchange(&client, &format!("pcc_{}", "A".repeat(43)))
            .await,
        world
            .post_form(
                "/servers/todo/revoke",
                &[("token", refresh), ("client_id", &client)],
            )
            .await,
        world
            .post_json(
                "/servers/todo/register",
                &serde_json::json!({"redirect_uris": ["http://localhost/x"]}),
            )
            .await,
    ];
    for answer in answers {
        answer.assert_error(503, "temporarily_unavailable", "again");
        assert_eq!(answer.header("retry-after"), "1");
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
    let pages = [
        browser.get(&world, &authorize_path(&client, &[])).await,
        world
            .sign_in(
                &mut browser,
                &sign_in,
                crate::support::EMAIL,
                crate::support::PASSWORD,
            )
            .await,
        world.decide(&mut browser, &consent, "approve", None).await,
    ];
    for page in &pages[..2] {
        page.assert_page(503, "Too busy");
        assert_eq!(page.header("retry-after"), "1");
    }
    // Not signed in as far as this browser goes: it is asked again, which then says later.
    assert_eq!(pages[2].status, StatusCode::SEE_OTHER);
    assert_eq!(world.get("/jwks.json").await.status, StatusCode::OK);
    let metadata = "/.well-known/oauth-authorization-server/servers/todo";
    assert_eq!(world.get(metadata).await.status, StatusCode::OK);
    portcullis_server::policy_feed::snapshot(&world.authority)
        .await
        .unwrap_err();
}
