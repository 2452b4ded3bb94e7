//! A new epoch as clients, people and MCP servers see it.

use std::time::Duration;

use authz::Revocations;
use http::StatusCode;
use portcullis_server::policy_feed;
use serde_json::Value;

use crate::machines::{JWT_BEARER, TOKEN};
use crate::support::{Browser, World, claims};

async fn revocations(world: &World) -> Revocations {
    let snapshot = policy_feed::snapshot(&world.authority).await.unwrap();
    snapshot.servers["todo"].revocations.clone()
}

/// What `authz::revoked` asks of a token about everybody.
fn is_older(revocations: &Revocations, tokens: &Value) -> bool {
    let iat = claims(tokens["access_token"].as_str().unwrap())["iat"]
        .as_i64()
        .unwrap();
    let issued = base::Timestamp::from_unix_seconds(iat);
    revocations.everybody.is_some_and(|moment| issued < moment)
}

#[tokio::test]
async fn tokens_of_the_very_second_before_an_epoch_are_refused_and_those_right_after_it_are_good() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    assert!(!is_older(&revocations(&world).await, &tokens));
    world
        .store
        .begin_epoch("as the test wants", world.now())
        .await
        .unwrap();
    assert!(is_older(&revocations(&world).await, &tokens));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let refused = world.refresh(&client, refresh).await;
    refused.assert_error(400, "invalid_grant", "");
    // Nobody is signed in any more; the client and the person are still known, and no time has passed.
    let mut browser = Browser::default();
    let code = world.code(&mut browser, &client).await;
    let answer = world.exchange(&client, &code).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(!is_older(&revocations(&world).await, &answer.json()));
}

#[tokio::test]
async fn a_code_and_a_session_from_before_an_epoch_are_dead() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let code = world.code(&mut browser, &client).await;
    let twin = world.code(&mut browser, &client).await;
    assert_eq!(world.exchange(&client, &twin).await.status, StatusCode::OK);
    world
        .store
        .begin_epoch("as the test wants", world.now())
        .await
        .unwrap();
    let refused = world.exchange(&client, &code).await;
    refused.assert_error(400, "invalid_grant", "");
    let account = browser.get(&world, "/account/tokens").await;
    assert_ne!(account.status, StatusCode::OK, "{}", account.text);
}

/// Which assertions were spent may be lost with what the database lost.
#[tokio::test]
async fn an_assertion_from_before_an_epoch_is_refused_for_as_long_as_it_could_be_good_and_a_newer_one_is_not()
 {
    let world = World::new().await;
    let keys = world.key_client("todo:read").await;
    let send = async |assertion: String| {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion.as_str()),
        ];
        world.post_form(TOKEN, &fields).await
    };
    let before = keys.assertion(&world, "1");
    assert_eq!(
        send(keys.assertion(&world, "2")).await.status,
        StatusCode::OK
    );
    world
        .store
        .begin_epoch("as the test wants", world.now())
        .await
        .unwrap();
    let refused = send(before).await;
    refused.assert_error(401, "invalid_client", "before the authority was restored");
    world.clock.advance(Duration::from_secs(1));
    let newer = send(keys.assertion(&world, "3")).await;
    assert_eq!(newer.status, StatusCode::OK, "{}", newer.text);
}
