use std::time::Duration;

use authz::{Expected, TokenRefusal, VerifyingKeys, verify_access_token};
use base::OsRandom;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{ServerSettings, ServerSlug};
use http::{Method, StatusCode, header};
use oauth::resource_server::create_credential;
use serde_json::json;

use crate::support::{
    Browser, CALLBACK, CHALLENGE, ISSUER, RESOURCE, VERIFIER, World, claims, encode, owned, request,
};

fn verify(world: &World, token: &str) -> Result<(), TokenRefusal> {
    let expected = Expected {
        issuer: ISSUER,
        audience: RESOURCE,
        keys: &VerifyingKeys::from_jwks(&world.authority.access_jwks()),
        now: world.now(),
        leeway: Duration::ZERO,
    };
    verify_access_token(token, &expected).map(drop)
}

#[tokio::test]
async fn no_token_of_another_kind_opens_a_door() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let access = tokens["access_token"].as_str().unwrap();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let code = world.code(&mut Browser::default(), &client).await;
    // At an MCP server.
    for other in [
        refresh,
        &code,
        client.as_str(),
        "pct_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(
            verify(&world, other),
            Err(TokenRefusal::NotCompact),
            "{other}"
        );
    }
    assert_eq!(verify(&world, access), Ok(()));
    // At the token endpoint.
    for other in [access, &code, client.as_str()] {
        world
            .refresh(&client, other)
            .await
            .assert_error(400, "invalid_grant", "refresh");
    }
    for other in [access, refresh] {
        world
            .exchange(&client, other)
            .await
            .assert_error(400, "invalid_grant", "code");
    }
    // In a cookie.
    for other in [access, refresh, code.as_str()] {
        let mut browser = Browser::default();
        browser
            .cookies
            .insert("portcullis-login-test".into(), other.to_owned());
        assert_eq!(browser.get(&world, "/admin").await.location(), "/sign-in");
    }
    assert_eq!(world.refresh(&client, refresh).await.status, StatusCode::OK);
    assert_eq!(world.exchange(&client, &code).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_refresh_token_opens_no_server() {
    let world = World::new().await;
    let (_, tokens) = world.connected().await;
    let token = |name: &str| tokens[name].as_str().unwrap().to_owned();
    assert!(verify(&world, &token("refresh_token")).is_err());
    assert_eq!(verify(&world, &token("access_token")), Ok(()));
}

#[tokio::test]
async fn tokens_of_two_servers_have_each_their_own_audience() {
    let world = World::new().await;
    world.add_server("notes", ServerSettings::default()).await;
    world.add_alice().await;
    let mut browser = Browser::default();
    let mut tokens = Vec::new();
    for slug in ["todo", "notes"] {
        let body = json!({"redirect_uris": [CALLBACK]});
        let client = world
            .post_json(&format!("/servers/{slug}/register"), &body)
            .await
            .json();
        let client = client["client_id"].as_str().unwrap().to_owned();
        let query = encode(&owned(&[
            ("response_type", "code"),
            ("client_id", &client),
            ("redirect_uri", CALLBACK),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]));
        let path = format!("/servers/{slug}/authorize?{query}");
        let mut page = browser.get(&world, &path).await;
        if !page.text.contains("name=\"decision\"") {
            let answer = world
                .sign_in(
                    &mut browser,
                    &page,
                    crate::support::EMAIL,
                    crate::support::PASSWORD,
                )
                .await;
            page = browser.get(&world, answer.location()).await;
        }
        let mut fields = owned(&[
            ("csrf", page.input("csrf").as_str()),
            ("request", page.input("request").as_str()),
            ("decision", "approve"),
        ]);
        fields.extend(
            page.checkboxes()
                .into_iter()
                .map(|name| ("scope".to_owned(), name)),
        );
        let answer = browser
            .post(&world, &format!("/servers/{slug}/authorize"), &fields)
            .await;
        let code = answer.returned()["code"].clone();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("client_id", client.as_str()),
            ("code_verifier", VERIFIER),
        ];
        let answer = world
            .post_form(&format!("/servers/{slug}/token"), &fields)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(
            claims(&token)["aud"],
            format!("http://localhost:4180/mcp/{slug}")
        );
        assert_eq!(
            claims(&token)["iss"],
            format!("http://localhost:4180/servers/{slug}")
        );
        tokens.push(token);
    }
    assert_eq!(verify(&world, &tokens[0]), Ok(()));
    assert_eq!(verify(&world, &tokens[1]), Err(TokenRefusal::WrongIssuer));
}

/// JW-14 of the attack list: an access token is verified with the keys of access tokens, and what an upstream is told
/// with those of identities.
#[tokio::test]
async fn the_keys_of_one_purpose_verify_nothing_of_the_other() {
    let world = World::new().await;
    let (_, tokens) = world.connected().await;
    let token = tokens["access_token"].as_str().unwrap();
    let with_keys_at = async |path: &str| {
        let keys = serde_json::from_str(&world.get(path).await.text).unwrap();
        let expected = Expected {
            issuer: ISSUER,
            audience: RESOURCE,
            keys: &VerifyingKeys::from_jwks(&keys),
            now: world.now(),
            leeway: Duration::ZERO,
        };
        verify_access_token(token, &expected).map(drop)
    };
    assert_eq!(with_keys_at("/jwks.json").await, Ok(()));
    assert_eq!(
        with_keys_at("/identity/jwks.json").await,
        Err(TokenRefusal::UnknownKey)
    );
    let keys = async |path: &str| world.get(path).await.json()["keys"][0].clone();
    let access = keys("/jwks.json").await;
    let identity = keys("/identity/jwks.json").await;
    assert_ne!(access["x"], identity["x"], "the key itself is another");
}

#[tokio::test]
async fn an_introspection_answer_is_plain_json_whatever_is_asked_for_and_opens_no_server() {
    let world = World::new().await;
    let (_, tokens) = world.connected().await;
    let access = tokens["access_token"].as_str().unwrap();
    let slug = ServerSlug::parse("todo").unwrap();
    let (now, keep) = (world.now(), Duration::ZERO);
    let made = create_credential(&world.store, now, &OsRandom, &slug, keep).await;
    let made = made.unwrap().unwrap();
    let pair = format!("{}:{}", made.id.as_str(), made.secret.expose());
    for accept in [
        "application/json",
        "application/token-introspection+jwt",
        "application/jwt",
    ] {
        let request = request(Method::POST, "/servers/todo/introspect")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(
                header::AUTHORIZATION,
                format!("Basic {}", STANDARD.encode(&pair)),
            )
            .header(header::ACCEPT, accept)
            .body(encode(&owned(&[("token", access)])).into())
            .unwrap();
        let answer = world.send(request).await;
        assert_eq!(
            answer.header("content-type"),
            "application/json",
            "{accept}"
        );
        assert_eq!(answer.json()["active"], true);
        let refused = verify(&world, answer.text.trim());
        assert_eq!(refused, Err(TokenRefusal::NotCompact));
    }
    assert_eq!(verify(&world, access), Ok(()));
}
