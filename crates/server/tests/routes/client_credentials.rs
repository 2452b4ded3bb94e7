//! Clients that act for themselves (RFC 6749 section 4.4).

use domain::AuditEventKind;
use http::StatusCode;
use serde_json::json;

use crate::machines::{JWT_BEARER, TOKEN};
use crate::support::{CALLBACK, ISSUER, RESOURCE, World, claims};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

#[tokio::test]
async fn a_client_gets_a_token_for_itself_and_no_refresh_token() {
    let world = World::new().await;
    let client = world.secret_client("todo:read todo:delete").await;
    let answer = world
        .post_basic(TOKEN, &client.id, &client.secret, &[GRANT])
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    let response = answer.json();
    assert_eq!(response["token_type"], "Bearer");
    assert_eq!(response["expires_in"], 3600);
    // What the admin gave it, since it asked for nothing less.
    assert_eq!(response["scope"], "todo:delete todo:read");
    assert!(response.get("refresh_token").is_none());
    let claims = claims(response["access_token"].as_str().unwrap());
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["sub"], client.id.as_str());
    assert_eq!(claims["client_id"], client.id.as_str());
    assert_eq!(claims["scope"], "todo:delete todo:read");
    assert!(claims.get("auth_time").is_none());
    assert!(claims["grant_id"].as_str().unwrap().starts_with("gra_"));
    let events = world.store.list_audit_events(0, 1000).await.unwrap();
    let event = &events.last().unwrap().event;
    assert_eq!(event.kind, AuditEventKind::ClientTokenIssued);
    assert_eq!(event.grant.as_ref().unwrap().as_str(), claims["grant_id"]);
    assert!(event.user.is_none());
}

/// The extension for OAuth client credentials, C3: the `client_id` is in the assertion alone.
#[tokio::test]
async fn an_assertion_alone_names_the_client() {
    let world = World::new().await;
    let client = world.key_client("todo:read").await;
    let assertion = client.assertion(&world, "1");
    let fields = [
        GRANT,
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion.as_str()),
        ("scope", "todo:read"),
        ("resource", RESOURCE),
    ];
    let answer = world.post_form(TOKEN, &fields).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let claims = claims(answer.json()["access_token"].as_str().unwrap());
    assert_eq!(claims["sub"], client.id.as_str());
}

#[tokio::test]
async fn scopes_are_asked_of_the_clients_of_the_servers_and_never_more() {
    let world = World::new().await;
    let client = world.secret_client("todo:read todo:write").await;
    let ask = async |scope: &str| {
        let fields = [GRANT, ("scope", scope)];
        world
            .post_basic(TOKEN, &client.id, &client.secret, &fields)
            .await
    };
    for (asked, granted) in [
        ("todo:read", "todo:read"),
        (" todo:read  todo:write ", "todo:read todo:write"),
        ("todo:read todo:delete", "todo:read"),
        ("todo:read offline_access openid", "todo:read"),
    ] {
        let answer = ask(asked).await;
        assert_eq!(answer.json()["scope"], granted, "{asked}");
    }
    for asked in ["todo:delete", "nonsense", "offline_access"] {
        let answer = ask(asked).await;
        answer.assert_error(400, "invalid_scope", "todo:read todo:write");
    }
}

#[tokio::test]
async fn a_client_whose_scopes_all_left_the_server_gets_no_token_and_another_does() {
    let world = World::new().await;
    let reads = world.secret_client("todo:read").await;
    let writes = world.secret_client("todo:write").await;
    let server = world.authority.server("todo").unwrap();
    let mut policy = server.server.policy.clone();
    policy
        .scopes
        .retain(|scope| scope.name.as_str() != "todo:write");
    policy.tools.remove("add_todo");
    let event = world.event(AuditEventKind::PolicyPublished);
    let published = world
        .store
        .publish_policy(&server.server.slug, 1, &policy, event);
    published.await.unwrap();
    world.authority.reload().await.unwrap();
    for (client, status) in [(&reads, StatusCode::OK), (&writes, StatusCode::BAD_REQUEST)] {
        let answer = world
            .post_basic(TOKEN, &client.id, &client.secret, &[GRANT])
            .await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

#[tokio::test]
async fn only_a_client_with_proof_and_scopes_of_its_own_may() {
    let world = World::new().await;
    let public = world.add_client(&[CALLBACK]).await;
    world
        .post_form(TOKEN, &[GRANT, ("client_id", public.id.as_str())])
        .await
        .assert_error(400, "unauthorized_client", "cannot act for itself");
    let without = world.secret_client("").await;
    world
        .post_basic(TOKEN, &without.id, &without.secret, &[GRANT])
        .await
        .assert_error(400, "unauthorized_client", "scope of its own");
    let with = world.secret_client("todo:read").await;
    let answer = world
        .post_basic(TOKEN, &with.id, &with.secret, &[GRANT])
        .await;
    assert_eq!(answer.status, StatusCode::OK);
}

/// RI-01 to RI-06: one audience, this server's; every spelling of it, nothing else.
#[tokio::test]
async fn the_resource_is_checked_and_both_texts_are_shown() {
    let world = World::new().await;
    world.add_server("other", Default::default()).await;
    let client = world.secret_client("todo:read").await;
    let ask = async |resource: &[&str]| {
        let mut fields = vec![GRANT];
        fields.extend(resource.iter().map(|resource| ("resource", *resource)));
        world
            .post_basic(TOKEN, &client.id, &client.secret, &fields)
            .await
    };
    for resource in [
        &[] as &[&str],
        &[RESOURCE],
        &["http://localhost:4180/mcp/todo/"],
        &["HTTP://127.0.0.1:4180/mcp/todo"],
        &[RESOURCE, RESOURCE],
    ] {
        let answer = ask(resource).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{resource:?}: {}",
            answer.text
        );
        let claims = claims(answer.json()["access_token"].as_str().unwrap());
        assert_eq!(claims["aud"], RESOURCE);
    }
    for resource in [
        &["http://localhost:4180/mcp/other"] as &[&str],
        &[RESOURCE, "http://localhost:4180/mcp/other"],
        &["http://localhost:4180"],
        &["https://localhost:4180/mcp/todo"],
        &["http://localhost:4180/mcp/todo#part"],
        &["/mcp/todo"],
        &["http://localhost:4180/mcp/TODO"],
    ] {
        let answer = ask(resource).await;
        answer.assert_error(400, "invalid_target", RESOURCE);
        answer.assert_error(400, "invalid_target", resource.last().unwrap());
        answer.assert_error(400, "invalid_target", "differ at character");
    }
}

#[tokio::test]
async fn the_grant_of_a_machine_is_revoked_and_stands_in_the_feed() {
    let world = World::new().await;
    let client = world.secret_client("todo:read").await;
    let answer = world
        .post_basic(TOKEN, &client.id, &client.secret, &[GRANT])
        .await;
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert!(world.revoked_grants().await.is_empty());
    let revoke = "/servers/todo/revoke";
    let answer = world
        .post_basic(revoke, &client.id, &client.secret, &[("token", &token)])
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let grant = claims(&token)["grant_id"].clone();
    assert_eq!(world.revoked_grants().await, [grant.as_str().unwrap()]);
}

/// TK-01: neither what OAuth 2.1 left out, nor what has a name here and no answer yet.
#[tokio::test]
async fn grants_that_are_not_promised_are_unsupported_and_the_promised_are_the_answered() {
    let world = World::new().await;
    let client = world.secret_client("todo:read").await;
    for grant in [
        "password",
        "implicit",
        "token",
        "",
        "CLIENT_CREDENTIALS",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
    ] {
        let fields = [
            ("grant_type", grant),
            ("username", "alice@example.com"),
            ("password", "four words will do"),
            ("assertion", "x"),
            ("subject_token", "x"),
            ("device_code", "x"),
        ];
        let answer = world
            .post_basic(TOKEN, &client.id, &client.secret, &fields)
            .await;
        let code = match grant {
            "" => "invalid_request",
            _ => "unsupported_grant_type",
        };
        answer.assert_error(400, code, "grant_type");
    }
    let metadata = world
        .get("/.well-known/oauth-authorization-server/servers/todo")
        .await
        .json();
    assert_eq!(
        metadata["grant_types_supported"],
        json!(["authorization_code", "refresh_token", "client_credentials"])
    );
}
