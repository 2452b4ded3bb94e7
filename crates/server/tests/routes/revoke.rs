use http::StatusCode;

use crate::support::{CALLBACK, World, claims};

const REVOKE: &str = "/servers/todo/revoke";

#[tokio::test]
async fn revoking_either_token_ends_the_whole_grant() {
    for which in ["refresh_token", "access_token"] {
        for hint in [None, Some("refresh_token"), Some("access_token"), Some("x")] {
            let world = World::new().await;
            let (client, tokens) = world.connected().await;
            let mut fields = vec![
                ("token", tokens[which].as_str().unwrap()),
                ("client_id", client.as_str()),
            ];
            fields.extend(hint.map(|hint| ("token_type_hint", hint)));
            let answer = world.post_form(REVOKE, &fields).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.text, "");
            let grant = claims(tokens["access_token"].as_str().unwrap())["grant_id"].clone();
            assert_eq!(world.revoked_grants().await, [grant.as_str().unwrap()]);
            world
                .refresh(&client, tokens["refresh_token"].as_str().unwrap())
                .await
                .assert_error(400, "invalid_grant", "sign in again");
            let again = world.post_form(REVOKE, &fields).await;
            assert_eq!(again.status, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn a_token_of_another_client_or_of_nobody_is_answered_alike_and_nothing_ends() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let other = world.add_client(&[CALLBACK]).await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let access = tokens["access_token"].as_str().unwrap();
    let (signed, signature) = access.rsplit_once('.').unwrap();
    let turned: String = signature.chars().rev().collect();
    let forged = format!("{signed}.A{}", &turned[1..]);
    let unknown = format!("pcr_{}", "A".repeat(43));
    for (client_id, token) in [
        (other.id.as_str(), refresh),
        (other.id.as_str(), access),
        (client.as_str(), forged.as_str()),
        (client.as_str(), unknown.as_str()),
        (client.as_str(), "x"),
    ] {
        let answer = world
            .post_form(REVOKE, &[("token", token), ("client_id", client_id)])
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.text, "");
    }
    assert!(world.revoked_grants().await.is_empty());
    let answer = world.refresh(&client, refresh).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn an_incomplete_or_unauthenticated_revocation_is_refused() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    world
        .post_form(REVOKE, &[("client_id", &client)])
        .await
        .assert_error(400, "invalid_request", "token");
    world
        .post_form(REVOKE, &[("token", refresh)])
        .await
        .assert_error(400, "invalid_request", "client_id");
    world
        .post_form(REVOKE, &[("token", refresh), ("client_id", "cli_x")])
        .await
        .assert_error(401, "invalid_client", "client_id");
    assert!(world.revoked_grants().await.is_empty());
}
