//! An MCP server whose URL is at another origin than the authority's.

use axum::body::Body;
use domain::ServerSettings;
use http::{Method, Request, StatusCode, header};

use crate::support::{
    Browser, ISSUER, PUBLIC_URL, RESOURCE, World, authorize_path, claims, request,
};

const FOREIGN: &str = "https://api.example.com/mcp";

async fn world() -> World {
    let world = World::empty(PUBLIC_URL, None).await;
    let settings = ServerSettings::default();
    world.add_server_at("todo", FOREIGN, settings).await;
    world.add_alice().await;
    world
}

#[tokio::test]
async fn a_client_may_name_it_in_each_spelling_and_its_tokens_are_for_the_canonical_one() {
    let world = world().await;
    let client_id = world.register().await;
    for asked in [
        Some(FOREIGN),
        Some("https://api.example.com/mcp/"),
        Some("HTTPS://API.example.com:443/mcp"),
        None,
    ] {
        let mut browser = Browser::default();
        let changes = [("resource", asked)];
        let code = world
            .code_with(&mut browser, &client_id, &changes, None)
            .await;
        let answer = world.exchange(&client_id, &code).await;
        assert_eq!(answer.status, StatusCode::OK, "{asked:?}: {}", answer.text);
        let answer = answer.json();
        let claims = claims(answer["access_token"].as_str().unwrap());
        assert_eq!(claims["aud"], FOREIGN, "{asked:?}");
        assert_eq!(claims["iss"], ISSUER, "{asked:?}");
    }
    // The address it would have at the authority is not its own.
    for asked in [RESOURCE, "https://other.example.com/mcp"] {
        let path = authorize_path(&client_id, &[("resource", Some(asked))]);
        let answer = Browser::default().get(&world, &path).await;
        assert_eq!(answer.returned()["error"], "invalid_target", "{asked}");
    }
}

#[tokio::test]
async fn the_authority_answers_nothing_at_its_origin() {
    let world = world().await;
    for path in [
        "/.well-known/oauth-authorization-server/servers/todo",
        "/servers/todo/.well-known/openid-configuration",
        "/jwks.json",
    ] {
        let there = Request::builder()
            .uri(path)
            .header(header::HOST, "api.example.com")
            .body(Body::empty())
            .unwrap();
        let status = world.send(there).await.status;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{path}");
        let here = request(Method::GET, path).body(Body::empty()).unwrap();
        assert_eq!(world.send(here).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_bare_origin_names_the_only_server_that_lives_there() {
    const PATH: &str = "/.well-known/oauth-authorization-server";
    let world = world().await;
    assert_eq!(world.get(PATH).await.status, StatusCode::NOT_FOUND);
    world.add_server("notes", ServerSettings::default()).await;
    let issuer = format!("{PUBLIC_URL}/servers/notes");
    assert_eq!(world.get(PATH).await.json()["issuer"], issuer);
    world.add_server("more", ServerSettings::default()).await;
    assert_eq!(world.get(PATH).await.status, StatusCode::NOT_FOUND);
}
