//! An MCP server whose policy this node cannot read.

use domain::{AuditEventKind, ServerSettings, ServerSlug};
use http::{Method, StatusCode, header};

use crate::machines::basic;
use crate::support::{Answer, PUBLIC_URL, World, request};

fn asserts_unavailable(answer: &Answer, error: &str) {
    let what = &answer.text;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
    let after = answer.headers[header::RETRY_AFTER].to_str().unwrap();
    assert_eq!(after, "30", "{what}");
    assert!(what.contains(error), "{what}");
}

#[tokio::test]
async fn a_server_whose_policy_cannot_be_read_is_away_for_a_while_and_no_stranger() {
    let world = World::new().await;
    let credential = world.credential("todo").await;
    world.add_unreadable_server("later").await;
    let told_at = async |slug: &str, method: Method, name: &str| {
        let (id, secret) = (credential.id.as_str(), credential.secret.expose());
        let path = format!("/servers/{slug}/{name}");
        let request = request(method, &path)
            .header("authorization", basic(id, secret))
            .header("content-type", "application/json");
        world.send(request.body("{}".into()).unwrap()).await
    };
    let told = async |method: Method, name: &str| told_at("later", method, name).await;
    let of_clients = [
        (Method::GET, ".well-known/oauth-authorization-server"),
        (Method::GET, "identity/jwks.json"),
        (Method::POST, "token"),
        (Method::POST, "register"),
        (Method::POST, "revoke"),
        (Method::POST, "introspect"),
    ];
    let of_gateways = [
        (Method::GET, "feed"),
        (Method::POST, "manifest"),
        (Method::POST, "activity"),
        (Method::POST, "alias-proof"),
    ];
    for (method, name) in of_clients {
        asserts_unavailable(&told(method, name).await, r#""temporarily_unavailable""#);
    }
    for (method, name) in of_gateways {
        let reason = format!("\"{}\"", wire::gateway::POLICY_UNREADABLE);
        asserts_unavailable(&told(method, name).await, &reason);
    }
    let page = world.get("/servers/later/authorize?client_id=x").await;
    asserts_unavailable(&page, "tell whoever runs this server");
    // The twins: one that can be read, and one that is not there.
    let metadata = ".well-known/oauth-authorization-server";
    for (slug, status) in [("todo", StatusCode::OK), ("other", StatusCode::NOT_FOUND)] {
        for (method, name) in [(Method::GET, metadata), (Method::POST, "manifest")] {
            let answer = told_at(slug, method, name).await;
            assert_eq!(answer.status, status, "{slug} {name}");
        }
    }
}

#[tokio::test]
async fn the_bare_origin_names_no_server_while_two_live_there_of_which_one_cannot_be_read() {
    let world = World::empty(PUBLIC_URL, None).await;
    let bare = "/.well-known/oauth-authorization-server";
    world.add_unreadable_server("later").await;
    let alone = world.get(bare).await;
    asserts_unavailable(&alone, r#""temporarily_unavailable""#);
    world.add_server("todo", ServerSettings::default()).await;
    assert_eq!(world.get(bare).await.status, StatusCode::NOT_FOUND);
    let later = ServerSlug::parse("later").unwrap();
    let removed = world.event(AuditEventKind::ServerRemoved);
    world.store.remove_server(&later, removed).await.unwrap();
    world.authority.reload().await.unwrap();
    assert_eq!(world.get(bare).await.status, StatusCode::OK);
}
