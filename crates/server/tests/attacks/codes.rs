use std::collections::BTreeSet;
use std::time::Duration;

use base::{OsRandom, base64url_decode, random_token};
use http::StatusCode;

use crate::support::{Browser, CALLBACK, RESOURCE, VERIFIER, World, claims, pkce};

#[tokio::test]
async fn a_code_used_again_half_a_minute_later_ends_what_came_of_it() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let code = world.code(&mut browser, &client).await;
    let tokens = world.exchange(&client, &code).await.json();
    world.clock.advance(Duration::from_secs(30));
    // The twin: another code of the same person, half a minute later, used once.
    let twin = world.code(&mut browser, &client).await;
    let twin = world.exchange(&client, &twin).await;
    assert_eq!(twin.status, StatusCode::OK);
    world
        .exchange(&client, &code)
        .await
        .assert_error(400, "invalid_grant", "code");
    let grant = claims(tokens["access_token"].as_str().unwrap())["grant_id"].clone();
    assert_eq!(world.revoked_grants().await, [grant.as_str().unwrap()]);
    let live = twin.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(world.refresh(&client, &live).await.status, StatusCode::OK);
}

/// Every mix of four wrong parameters, with a live and with a dead code: each condition refuses alone, and no good one
/// makes up for a bad one.
#[tokio::test]
async fn each_mix_of_wrong_conditions_refuses_a_code_and_only_none_redeems_it() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let other = world.add_client(&[CALLBACK]).await;
    let (wrong_verifier, _) = pkce("wrong");
    let mut browser = Browser::default();
    for is_dead in [true, false] {
        let code = world.code(&mut browser, &client).await;
        if is_dead {
            world.clock.advance(Duration::from_secs(60));
        }
        for mix in (0..16u8).rev() {
            let wrong = |bit: u8| mix & (1 << bit) != 0;
            let pick = |bit, bad, good| if wrong(bit) { bad } else { good };
            let fields = [
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("client_id", pick(0, other.id.as_str(), client.as_str())),
                ("code_verifier", pick(1, wrong_verifier.as_str(), VERIFIER)),
                (
                    "redirect_uri",
                    pick(2, "http://localhost:1/callback", CALLBACK),
                ),
                (
                    "resource",
                    pick(3, "http://localhost:4180/mcp/notes", RESOURCE),
                ),
            ];
            let answer = world.token(&fields).await;
            if mix == 0 && !is_dead {
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            } else {
                let code = answer.json()["error"].as_str().unwrap().to_owned();
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{mix:04b}");
                assert!(
                    code == "invalid_grant" || code == "invalid_target",
                    "{code}"
                );
            }
        }
    }
    assert!(world.revoked_grants().await.is_empty());
}

#[tokio::test]
async fn a_code_is_redeemed_with_the_verifier_of_its_own_sign_in() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut codes = Vec::new();
    for victim in ["one", "two"] {
        let (verifier, challenge) = pkce(victim);
        let changes = [("code_challenge", Some(challenge.as_str()))];
        let mut browser = Browser::default();
        let code = world.code_with(&mut browser, &client, &changes, None).await;
        codes.push((code, verifier));
    }
    let exchange = async |code: &str, verifier: &str| {
        world
            .token(&[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("client_id", &client),
                ("code_verifier", verifier),
            ])
            .await
    };
    for (own, other) in [(0, 1), (1, 0)] {
        exchange(&codes[own].0, &codes[other].1)
            .await
            .assert_error(400, "invalid_grant", "code");
    }
    for (code, verifier) in &codes {
        assert_eq!(exchange(code, verifier).await.status, StatusCode::OK);
    }
}

#[test]
fn a_hundred_thousand_codes_are_all_different_and_of_256_bits() {
    let mut seen = BTreeSet::new();
    let mut ones = [0u32; 256];
    for _ in 0..100_000 {
        let code = random_token(&OsRandom, "pcc_");
        let bytes = base64url_decode(&code[4..]).unwrap();
        assert_eq!(bytes.len(), 32);
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += u32::from(bytes[bit / 8] >> (bit % 8) & 1);
        }
        assert!(seen.insert(code));
    }
    // Each bit is as often 1 as 0: 100,000 throws of a fair coin stay within 1 % of the half but once in 10^9.
    for (bit, count) in ones.iter().enumerate() {
        assert!((49_000..=51_000).contains(count), "bit {bit}: {count}");
    }
}

#[tokio::test]
async fn a_scope_with_the_code_widens_nothing() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    for (asked, granted) in [
        ("todo:read todo:write todo:delete", "todo:read todo:write"),
        ("todo:delete", "todo:read todo:write"),
        ("", "todo:read todo:write"),
    ] {
        let code = world.code(&mut browser, &client).await;
        let answer = world
            .token(&[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("client_id", &client),
                ("code_verifier", VERIFIER),
                ("scope", asked),
            ])
            .await;
        if answer.status == StatusCode::OK {
            let token = answer.json()["access_token"].as_str().unwrap().to_owned();
            assert_eq!(claims(&token)["scope"], granted, "{asked}");
        } else {
            answer.assert_error(400, "invalid_scope", "scope");
        }
    }
}
