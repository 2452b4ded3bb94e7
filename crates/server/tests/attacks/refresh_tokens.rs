use http::StatusCode;

use crate::support::World;

#[tokio::test]
async fn a_refresh_token_cut_padded_or_changed_anywhere_is_none() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let token = tokens["refresh_token"].as_str().unwrap();
    let mut others: Vec<String> = (0..token.len())
        .map(|end| token[..end].to_owned())
        .collect();
    others.extend((0..token.len()).map(|at| {
        let mut bytes = token.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    }));
    others.extend(["=", "A", " ", ".", "%20", "\n"].map(|more| format!("{token}{more}")));
    others.extend([
        token.to_lowercase(),
        token.to_uppercase(),
        token.replace("pcr_", "pcc_"),
    ]);
    for other in others.iter().filter(|other| other.as_str() != token) {
        let answer = world.refresh(&client, other).await;
        let error = if other.is_empty() {
            "invalid_request"
        } else {
            "invalid_grant"
        };
        answer.assert_error(400, error, "refresh");
    }
    assert!(world.revoked_grants().await.is_empty());
    assert_eq!(world.refresh(&client, token).await.status, StatusCode::OK);
}

/// Whichever comes first, nothing lives on: what a refresh gave belongs to a family that is over.
#[tokio::test]
async fn a_refresh_that_began_before_a_revocation_gives_nothing_after_it() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let mut token = tokens["refresh_token"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        let answer = world.refresh(&client, &token).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "without a revocation it goes on"
        );
        token = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    }
    let fields = [("token", token.as_str()), ("client_id", client.as_str())];
    let (refreshed, revoked) = tokio::join!(
        world.refresh(&client, &token),
        world.post_form("/servers/todo/revoke", &fields)
    );
    assert_eq!(revoked.status, StatusCode::OK);
    assert_eq!(world.revoked_grants().await.len(), 1);
    if refreshed.status == StatusCode::OK {
        let late = refreshed.json();
        let late = late["refresh_token"].as_str().unwrap();
        world
            .refresh(&client, late)
            .await
            .assert_error(400, "invalid_grant", "sign in again");
    }
    world
        .refresh(&client, &token)
        .await
        .assert_error(400, "invalid_grant", "sign in again");
}
