use axum::routing::get;
use axum::{Extension, Router};
use portcullis::VerifiedCaller;

use super::*;

async fn whoami(
    Extension(caller): Extension<Arc<VerifiedCaller>>,
    headers: http::HeaderMap,
) -> String {
    assert!(!headers.contains_key(header::AUTHORIZATION));
    caller.principal().subject.to_string()
}

fn app(protection: &Protection) -> Router {
    let layer = |scope: &str| protection.require_scope(scope).unwrap();
    Router::new()
        .route("/notes", get(whoami).layer(layer("note:read")))
        .route("/unheard", get(whoami).layer(layer("note:unheard")))
        .fallback_service(protection.protect(Mcp::new(|asked| result(&asked, &json!({}), false))))
}

fn request(path: &str, token: &str) -> http::request::Builder {
    let request = Request::get(path).header(header::HOST, "notes.example");
    match token {
        "" => request,
        token => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
    }
}

#[tokio::test]
async fn a_plain_route_lets_callers_with_its_scope_through_and_says_what_the_others_lack() {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    let app = app(&protection);
    let get = async |path: &str, token: &str| {
        send(
            &app,
            request(path, token)
                .body(axum::body::Body::empty())
                .unwrap(),
        )
        .await
    };
    let with = |scope: &str| issuer.token(RESOURCE).scope(scope).mint();
    let let_in = get("/notes", &with("note:read")).await;
    assert_eq!(
        (let_in.status, let_in.json),
        (StatusCode::OK, json!("usr_test"))
    );

    let metadata = "https://notes.example/.well-known/oauth-protected-resource/mcp";
    let anonymous = get("/notes", "").await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    let expected =
        format!("Bearer resource_metadata=\"{metadata}\", scope=\"note:read note:write\"");
    assert_eq!(anonymous.challenge.unwrap(), expected);
    for bad in [
        issuer.token(RESOURCE).scope("note:read").expired().mint(),
        issuer
            .token("https://other.example/mcp")
            .scope("note:read")
            .mint(),
        issuer
            .token(RESOURCE)
            .scope("note:read")
            .issuer("https://other.test")
            .mint(),
        TestIssuer::new().token(RESOURCE).scope("note:read").mint(),
    ] {
        let refused = get("/notes", &bad).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(
            refused
                .challenge
                .unwrap()
                .contains("error=\"invalid_token\"")
        );
    }
    let refused = get("/notes", &with("note:write")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let challenge = refused.challenge.unwrap();
    assert!(
        challenge.contains("error=\"insufficient_scope\""),
        "{challenge}"
    );
    assert!(
        challenge.contains("scope=\"note:read note:write\""),
        "{challenge}"
    );

    // What nobody can have is no challenge.
    let refused = get("/unheard", &with("note:read note:unheard")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.challenge, None);
    assert_eq!(refused.json["error"], "access_denied");
}

#[tokio::test]
async fn metadata_preflight_hosts_and_pages_are_as_at_the_gateway() {
    let issuer = TestIssuer::new();
    let allowed = ["https://app.example"];
    let protection = builder(&issuer).allowed_origins(allowed).start().unwrap();
    let app = app(&protection);
    let ask = async |request: http::request::Builder| {
        send(&app, request.body(axum::body::Body::empty()).unwrap()).await
    };
    let paths = protection.metadata_paths();
    assert_eq!(paths[0], "/.well-known/oauth-protected-resource/mcp");
    for path in &paths {
        let document = ask(request(path, "")).await;
        assert_eq!(document.status, StatusCode::OK, "{path}");
        assert_eq!(
            document.json["authorization_servers"],
            json!(["https://issuer.test"])
        );
    }
    let lone = protection.metadata();
    let document = send(&lone, request(&paths[0], "").body(()).unwrap()).await;
    assert_eq!(document.json["resource"], RESOURCE);
    let elsewhere = send(&lone, request("/mcp", "").body(()).unwrap()).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);

    let token = issuer.token(RESOURCE).scope("note:read").mint();
    for (origin, status) in [
        ("https://app.example", StatusCode::OK),
        ("https://evil.example", StatusCode::FORBIDDEN),
    ] {
        let from = request("/notes", &token).header(header::ORIGIN, origin);
        assert_eq!(ask(from).await.status, status, "{origin}");
    }
    let preflight = request("/notes", "")
        .method("OPTIONS")
        .header(header::ORIGIN, "https://app.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET");
    assert_eq!(ask(preflight).await.status, StatusCode::NO_CONTENT);
    let elsewhere = Request::get("/notes")
        .header(header::HOST, "evil.example")
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    assert_eq!(ask(elsewhere).await.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(
        ask(request("/nowhere", &token)).await.status,
        StatusCode::NOT_FOUND
    );
}
