use std::time::Duration;

use domain::{AuditEventKind, ServerSettings};
use http::StatusCode;
use serde_json::Value;

use crate::support::{CALLBACK, PUBLIC_URL, RESOURCE, World, claims};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn refresh_token(response: &Value) -> String {
    response["refresh_token"].as_str().unwrap().to_owned()
}

async fn refreshed(world: &World, client: &str, token: &str) -> String {
    let answer = world.refresh(client, token).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    refresh_token(&answer.json())
}

async fn refused(world: &World, client: &str, token: &str) {
    world
        .refresh(client, token)
        .await
        .assert_error(400, "invalid_grant", "sign in again");
}

#[tokio::test]
async fn a_refresh_gives_a_fresh_access_token_and_the_next_refresh_token() {
    let world = World::new().await;
    let (client, first) = world.connected().await;
    world.clock.advance(Duration::from_secs(3000));
    let answer = world.refresh(&client, &refresh_token(&first)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-control"), "no-store");
    let second = answer.json();
    assert_ne!(refresh_token(&first), refresh_token(&second));
    assert_eq!(second["scope"], first["scope"]);
    let before = claims(first["access_token"].as_str().unwrap());
    let after = claims(second["access_token"].as_str().unwrap());
    for same in [
        "iss",
        "aud",
        "sub",
        "client_id",
        "grant_id",
        "scope",
        "auth_time",
    ] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_ne!(before["jti"], after["jti"]);
    assert_eq!(after["exp"], world.now().unix_seconds() + 3600);
}

#[tokio::test]
async fn the_same_refresh_again_gives_the_same_successor_for_a_minute_whatever_happened_meanwhile()
{
    let world = World::new().await;
    let (client, first) = world.connected().await;
    let first = refresh_token(&first);
    let second = refreshed(&world, &client, &first).await;
    assert_eq!(refreshed(&world, &client, &first).await, second);
    let third = refreshed(&world, &client, &second).await;
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(refreshed(&world, &client, &first).await, second);
    assert_eq!(refreshed(&world, &client, &second).await, third);
    assert!(world.revoked_grants().await.is_empty());
    refreshed(&world, &client, &third).await;
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again_as_long_as_the_successor_is_unused() {
    let world = World::new().await;
    let (client, first) = world.connected().await;
    let first = refresh_token(&first);
    let second = refreshed(&world, &client, &first).await;
    world.clock.advance(DAY);
    assert_eq!(refreshed(&world, &client, &first).await, second);
    world.clock.advance(DAY * 30);
    assert_eq!(refreshed(&world, &client, &first).await, second);
    refreshed(&world, &client, &second).await;
}

#[tokio::test]
async fn a_spent_token_after_its_minute_with_a_used_successor_ends_the_family() {
    let world = World::new().await;
    let (client, response) = world.connected().await;
    let first = refresh_token(&response);
    let second = refreshed(&world, &client, &first).await;
    let third = refreshed(&world, &client, &second).await;
    world.clock.advance(Duration::from_secs(61));
    refused(&world, &client, &first).await;
    refused(&world, &client, &third).await;
    refused(&world, &client, &second).await;
    let grant = claims(response["access_token"].as_str().unwrap())["grant_id"].clone();
    assert_eq!(world.revoked_grants().await, [grant.as_str().unwrap()]);
    let kinds = world.audit_kinds().await;
    assert!(kinds.contains(&AuditEventKind::RefreshTokenReused));
}

/// Claude Desktop, Claude Code and a second window share one token store: none of them is a thief.
#[tokio::test]
async fn five_parallel_refreshes_all_succeed_with_one_successor_and_every_access_token_lives() {
    let world = World::new().await;
    let (client, first) = world.connected().await;
    let first = refresh_token(&first);
    let credential = world.credential("todo").await;
    let racers = (0..5).map(|_| world.refresh(&client, &first));
    let answers = crate::token::futures_join(racers).await;
    let mut successors: Vec<String> = Vec::new();
    for answer in answers {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let tokens = answer.json();
        successors.push(refresh_token(&tokens));
        let access = ("token", tokens["access_token"].as_str().unwrap());
        let told = world
            .post_basic(
                "/servers/todo/introspect",
                credential.id.as_str(),
                credential.secret.expose(),
                &[access],
            )
            .await;
        assert_eq!(told.json()["active"], true, "{}", told.text);
    }
    successors.dedup();
    assert_eq!(successors.len(), 1);
    let kinds = world.audit_kinds().await;
    let refreshed_once = AuditEventKind::TokenRefreshed;
    let events = kinds.iter().filter(|kind| **kind == refreshed_once);
    assert_eq!(events.count(), 1, "one rotation, however many asked");
    refreshed(&world, &client, &successors[0]).await;
}

#[tokio::test]
async fn a_laptop_that_slept_for_an_hour_repeats_its_refresh_and_goes_on() {
    let world = World::new().await;
    let (client, first) = world.connected().await;
    let first = refresh_token(&first);
    // The answer reached nobody: the lid was closed.
    let lost = refreshed(&world, &client, &first).await;
    world.clock.advance(Duration::from_secs(3600));
    let again = refreshed(&world, &client, &first).await;
    assert_eq!(again, lost);
    let third = refreshed(&world, &client, &again).await;
    world.clock.advance(DAY);
    refreshed(&world, &client, &third).await;
    assert!(world.revoked_grants().await.is_empty());
}

/// Somebody has to learn of it; a token that is dead for another reason says nothing of the kind.
#[tokio::test]
async fn a_reuse_is_told_to_everybody_who_refreshes_and_a_revocation_is_not_called_one() {
    let told = "an old refresh token was used again after its successor";
    let world = World::new().await;
    let (client, first) = world.connected().await;
    let first = refresh_token(&first);
    let second = refreshed(&world, &client, &first).await;
    let third = refreshed(&world, &client, &second).await;
    world.clock.advance(Duration::from_secs(61));
    for token in [&first, &third, &second] {
        let answer = world.refresh(&client, token).await;
        answer.assert_error(400, "invalid_grant", told);
    }

    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let token = refresh_token(&tokens);
    let fields = [("token", token.as_str()), ("client_id", client.as_str())];
    world.post_form("/servers/todo/revoke", &fields).await;
    let answer = world.refresh(&client, &token).await;
    answer.assert_error(400, "invalid_grant", "sign in again");
    assert!(!answer.text.contains(told), "{}", answer.text);
}

/// RF-08: whatever was switched off since, the refresh notices, and says what the client has to do.
#[tokio::test]
async fn a_refresh_after_the_person_the_client_or_the_grant_was_ended_is_refused() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let token = refreshed(&world, &client, &refresh_token(&tokens)).await;
    let claims = claims(tokens["access_token"].as_str().unwrap());
    let user = domain::UserId::from_text(claims["sub"].as_str().unwrap());
    world.disable_user(&user).await;
    refused(&world, &client, &token).await;

    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let token = refreshed(&world, &client, &refresh_token(&tokens)).await;
    world.block_client(&client).await;
    let answer = world.refresh(&client, &token).await;
    answer.assert_error(401, "invalid_client", "register again");

    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let token = refreshed(&world, &client, &refresh_token(&tokens)).await;
    let fields = [("token", token.as_str()), ("client_id", client.as_str())];
    world.post_form("/servers/todo/revoke", &fields).await;
    refused(&world, &client, &token).await;
}

#[tokio::test]
async fn strict_rotation_takes_any_repeat_for_theft() {
    let settings = ServerSettings {
        strict_rotation: true,
        ..ServerSettings::default()
    };
    let world = World::with(PUBLIC_URL, settings).await;
    let (client, first) = world.connected().await;
    let first = refresh_token(&first);
    let second = refreshed(&world, &client, &first).await;
    refused(&world, &client, &first).await;
    refused(&world, &client, &second).await;
    assert_eq!(world.revoked_grants().await.len(), 1);
}

#[tokio::test]
async fn eight_refreshes_at_once_all_get_the_one_successor() {
    let world = std::sync::Arc::new(World::new().await);
    let (client, first) = world.connected().await;
    let first = refresh_token(&first);
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let (world, client, first) = (world.clone(), client.clone(), first.clone());
            tokio::spawn(async move { refreshed(&world, &client, &first).await })
        })
        .collect();
    let mut successors = Vec::new();
    for racer in racers {
        successors.push(racer.await.unwrap());
    }
    successors.dedup();
    assert_eq!(successors.len(), 1);
    refreshed(&world, &client, &successors[0]).await;
}

#[tokio::test]
async fn a_refresh_token_dies_unused_and_its_family_dies_however_used() {
    let settings = ServerSettings {
        refresh_token_seconds: 10 * 24 * 3600,
        family_seconds: 25 * 24 * 3600,
        ..ServerSettings::default()
    };
    let world = World::with(PUBLIC_URL, settings.clone()).await;
    let (client, first) = world.connected().await;
    world.clock.advance(DAY * 10);
    refused(&world, &client, &refresh_token(&first)).await;
    assert!(world.revoked_grants().await.is_empty(), "it was no theft");

    let world = World::with(PUBLIC_URL, settings).await;
    let (client, first) = world.connected().await;
    world.clock.advance(DAY * 9);
    let second = refreshed(&world, &client, &refresh_token(&first)).await;
    world.clock.advance(DAY * 9);
    let third = refreshed(&world, &client, &second).await;
    world.clock.advance(DAY * 7);
    refused(&world, &client, &third).await;
}

#[tokio::test]
async fn scopes_are_narrowed_on_request_and_never_widened() {
    let world = World::new().await;
    let (client, first) = world.connected().await;
    let mut token = refresh_token(&first);
    for (asked, granted) in [
        ("todo:read", "todo:read"),
        ("todo:read todo:delete", "todo:read"),
        ("todo:read claudeai offline_access", "todo:read"),
        ("offline_access", "todo:read todo:write"),
        ("claudeai", "todo:read todo:write"),
    ] {
        let answer = world
            .token(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", &token),
                ("client_id", &client),
                ("scope", asked),
            ])
            .await;
        let response = answer.json();
        assert_eq!(
            response["scope"],
            format!("offline_access {granted}"),
            "{asked}"
        );
        assert_eq!(
            claims(response["access_token"].as_str().unwrap())["scope"],
            granted
        );
        token = refresh_token(&response);
    }
    world
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", &token),
            ("client_id", &client),
            ("scope", "todo:delete"),
        ])
        .await
        .assert_error(400, "invalid_scope", "approved");
    refreshed(&world, &client, &token).await;
}

#[tokio::test]
async fn a_foreign_resource_client_or_token_is_refused_and_nothing_is_spent() {
    let world = World::new().await;
    let (client, first) = world.connected().await;
    let first = refresh_token(&first);
    let other = world.add_client(&[CALLBACK]).await;
    let post = |client: String, token: String, resource: &'static str| {
        let world = &world;
        async move {
            world
                .token(&[
                    ("grant_type", "refresh_token"),
                    ("refresh_token", &token),
                    ("client_id", &client),
                    ("resource", resource),
                ])
                .await
        }
    };
    post(client.clone(), first.clone(), "https://else.example/mcp")
        .await
        .assert_error(400, "invalid_target", RESOURCE);
    post(other.id.as_str().to_owned(), first.clone(), RESOURCE)
        .await
        .assert_error(400, "invalid_grant", "sign in again");
    post("cli_unknown".into(), first.clone(), RESOURCE)
        .await
        .assert_error(401, "invalid_client", "not registered");
    for broken in [
        String::new() + &first[..46],
        format!("{first}A"),
        first.to_lowercase(),
    ] {
        refused(&world, &client, &broken).await;
    }
    world
        .token(&[("grant_type", "refresh_token"), ("client_id", &client)])
        .await
        .assert_error(400, "invalid_request", "refresh_token");
    assert!(world.revoked_grants().await.is_empty());
    let answer = post(client.clone(), first, RESOURCE).await;
    assert_eq!(answer.status, StatusCode::OK);
}
