//! Keys that come and go while tokens under them are in use.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use authz::{Expected, TokenRefusal, VerifyingKeys, verify_access_token};
use base::{OsRandom, Timestamp, base64url_decode};
use domain::{AuditEventKind, KeyAlgorithm, KeyPurpose, ServerSettings};
use http::StatusCode;
use oauth::keys::{self, KeySettings, KeyState, RotateError, Rotation};
use serde_json::Value;
use wire::oauth::JwkSet;

use crate::support::{ISSUER, RESOURCE, World};

const MINUTE: Duration = Duration::from_secs(60);
/// What the gateway allows clocks to differ.
const LEEWAY: Duration = Duration::from_secs(5);

async fn rotate(world: &World, rotation: Rotation) -> Result<String, RotateError> {
    let sealer = world.authority.key_sealer();
    let now = world.now();
    let purpose = KeyPurpose::AccessToken;
    let key = keys::rotate(&world.store, sealer, &OsRandom, now, purpose, rotation).await?;
    world.authority.reload().await.unwrap();
    Ok(key.id.to_string())
}

fn verify(token: &str, keys: &VerifyingKeys, now: Timestamp) -> Result<(), TokenRefusal> {
    let expected = Expected {
        issuer: ISSUER,
        audience: RESOURCE,
        keys,
        now,
        leeway: LEEWAY,
    };
    verify_access_token(token, &expected).map(drop)
}

fn header(token: &str) -> Value {
    let header = base64url_decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

/// A client that refreshes whenever it wants a token.
struct Refresher {
    client_id: String,
    refresh_token: String,
}

impl Refresher {
    async fn connect(world: &World) -> Self {
        let (client_id, tokens) = world.connected().await;
        Self {
            client_id,
            refresh_token: tokens["refresh_token"].as_str().unwrap().to_owned(),
        }
    }

    async fn token(&mut self, world: &World) -> String {
        let answer = world.refresh(&self.client_id, &self.refresh_token).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let tokens = answer.json();
        self.refresh_token = tokens["refresh_token"].as_str().unwrap().to_owned();
        tokens["access_token"].as_str().unwrap().to_owned()
    }
}

async fn served(world: &World) -> VerifyingKeys {
    let answer = world.get("/jwks.json").await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let set: JwkSet = serde_json::from_str(&answer.text).unwrap();
    VerifyingKeys::from_jwks(&set)
}

#[tokio::test]
async fn a_hundred_rotations_under_load_refuse_no_honest_token() {
    let world = World::new().await;
    let mut client = Refresher::connect(&world).await;
    // Somebody outside who keeps the key set for exactly as long as we say that they may.
    let (mut kept, mut read_at) = (served(&world).await, world.now());
    let mut live: Vec<(String, Timestamp)> = Vec::new();
    let (mut rotations, mut signers, mut most) = (0, BTreeSet::new(), 0);
    while rotations < 100 || !live.is_empty() {
        if rotations < 100 {
            match rotate(&world, Rotation::Planned).await {
                Ok(_) => rotations += 1,
                Err(RotateError::UnderWay { signs_from, .. }) => assert!(signs_from > world.now()),
                Err(error) => panic!("{error}"),
            }
            let token = client.token(&world).await;
            signers.insert(header(&token)["kid"].as_str().unwrap().to_owned());
            live.push((token, world.now().after(Duration::from_secs(3600))));
        }
        keys::purge(&world.store, world.now()).await.unwrap();
        world.authority.reload().await.unwrap();
        let current = VerifyingKeys::from_jwks(&world.authority.access_jwks());
        most = most.max(current.len());
        if world.now().since(read_at) >= keys::JWKS_MAX_AGE {
            (kept, read_at) = (served(&world).await, world.now());
        }
        for (token, _) in &live {
            assert_eq!(verify(token, &current, world.now()), Ok(()));
            assert_eq!(verify(token, &kept, world.now()), Ok(()));
        }
        // Twice in the life of a kept key set.
        world.clock.advance(keys::JWKS_MAX_AGE / 2);
        live.retain(|(_, ends)| world.now() < *ends);
    }
    assert!(signers.len() >= 99, "{}", signers.len());
    assert!(most <= 10, "{most} keys at once");
    // Once nothing is left that they signed, they are gone.
    world.clock.advance(15 * MINUTE);
    keys::purge(&world.store, world.now()).await.unwrap();
    world.authority.reload().await.unwrap();
    assert_eq!(world.authority.access_jwks().keys.len(), 1);
}

#[tokio::test]
async fn a_stolen_key_dies_at_once_and_its_clients_go_on_without_a_sign_in() {
    let world = World::new().await;
    let mut client = Refresher::connect(&world).await;
    let old = client.token(&world).await;
    let before = VerifyingKeys::from_jwks(&world.authority.access_jwks());
    assert_eq!(verify(&old, &before, world.now()), Ok(()));
    let planned = rotate(&world, Rotation::Planned).await.unwrap();
    let stays = rotate(&world, Rotation::Emergency).await.unwrap();

    let feed = portcullis_server::policy_feed::snapshot(&world.authority)
        .await
        .unwrap();
    let pushed = VerifyingKeys::from_jwks(&feed.servers["todo"].keys);
    for keys in [pushed, served(&world).await] {
        let refused = verify(&old, &keys, world.now());
        assert_eq!(refused, Err(TokenRefusal::UnknownKey));
        assert!(keys.contains(&stays) && !keys.contains(&planned));
        let new = client.token(&world).await;
        assert_eq!(header(&new)["kid"], stays);
        assert_eq!(verify(&new, &keys, world.now()), Ok(()));
    }
    let kinds = world.audit_kinds().await;
    let withdrawn = |kind: &&AuditEventKind| **kind == AuditEventKind::KeyWithdrawn;
    assert_eq!(kinds.iter().filter(withdrawn).count(), 2);
    // After the last token that it signed has ended, nothing remembers the key.
    world.clock.advance(62 * MINUTE);
    assert_eq!(keys::purge(&world.store, world.now()).await.unwrap(), 2);
}

#[tokio::test]
async fn each_algorithm_signs_when_it_is_chosen_and_verifies_beside_the_others() {
    let world = World::new().await;
    let mut client = Refresher::connect(&world).await;
    let mut tokens = vec![client.token(&world).await];
    for algorithm in [
        KeyAlgorithm::EdDsa,
        KeyAlgorithm::Rs256,
        KeyAlgorithm::Es256,
    ] {
        let settings = KeySettings {
            algorithm,
            rotated_every: None,
        };
        keys::save_settings(&world.store, settings, world.now())
            .await
            .unwrap();
        rotate(&world, Rotation::Planned).await.unwrap();
        world.clock.advance(keys::PUBLISHED_AHEAD);
        let token = client.token(&world).await;
        assert_eq!(header(&token)["alg"], algorithm.as_str());
        tokens.push(token);
    }
    let keys = VerifyingKeys::from_jwks(&world.authority.access_jwks());
    assert_eq!(keys.len(), 4);
    for token in &tokens {
        assert_eq!(verify(token, &keys, world.now()), Ok(()));
    }
    // Our own endpoints know them all, too.
    for token in &tokens {
        let answer = world
            .post_form(
                "/servers/todo/revoke",
                &[("token", token), ("client_id", &client.client_id)],
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    assert_eq!(world.revoked_grants().await.len(), 1);
}

#[tokio::test]
async fn keys_are_rotated_when_they_are_old_unless_that_is_off() {
    let world = World::new().await;
    let (store, sealer) = (&world.store, world.authority.key_sealer());
    let due = async || {
        keys::rotate_when_due(store, sealer, &OsRandom, world.now())
            .await
            .unwrap()
    };
    let day = Duration::from_secs(24 * 3600);
    world.clock.advance(90 * day - MINUTE);
    assert_eq!(due().await, 0);
    world.clock.advance(MINUTE);
    assert_eq!(due().await, 2, "access tokens and identity");
    assert_eq!(due().await, 0, "once is enough");
    let mut settings = keys::settings(store).await.unwrap();
    assert_eq!(settings.rotated_every, Some(90 * day));
    settings.rotated_every = None;
    keys::save_settings(store, settings, world.now())
        .await
        .unwrap();
    world.clock.advance(1000 * day);
    assert_eq!(due().await, 0);
    settings.rotated_every = Some(day);
    keys::save_settings(store, settings, world.now())
        .await
        .unwrap();
    assert_eq!(due().await, 2);
}

#[tokio::test]
async fn a_key_outlives_the_longest_token_it_signed_even_when_lifetimes_became_shorter() {
    let world = World::new().await;
    let lifetime = async |seconds| {
        let mut server = world.authority.server("todo").unwrap().server.clone();
        server.settings.access_token_seconds = seconds;
        let event = world.event(AuditEventKind::ServerChanged);
        world.store.update_server(&server, event).await.unwrap();
        world.authority.reload().await.unwrap();
    };
    let mut client = Refresher::connect(&world).await;
    lifetime(24 * 3600).await;
    let long = client.token(&world).await;
    lifetime(300).await;
    rotate(&world, Rotation::Planned).await.unwrap();
    world.clock.advance(23 * 60 * MINUTE);
    keys::purge(&world.store, world.now()).await.unwrap();
    world.authority.reload().await.unwrap();
    let keys = VerifyingKeys::from_jwks(&world.authority.access_jwks());
    assert_eq!(verify(&long, &keys, world.now()), Ok(()));
    world.clock.advance(2 * 60 * MINUTE);
    assert_eq!(keys::purge(&world.store, world.now()).await.unwrap(), 1);
}

#[tokio::test]
async fn nodes_that_rotate_at_once_make_one_key_and_change_over_together() {
    let world = World::new().await;
    let racers = (0..8).map(|_| {
        let (authority, now) = (world.authority.clone(), world.now());
        tokio::spawn(async move {
            let (store, sealer) = (authority.store(), authority.key_sealer());
            let purpose = KeyPurpose::AccessToken;
            keys::rotate(store, sealer, &OsRandom, now, purpose, Rotation::Planned).await
        })
    });
    let racers: Vec<_> = racers.collect();
    let mut made = 0;
    for racer in racers {
        made += usize::from(racer.await.unwrap().is_ok());
    }
    assert_eq!(made, 1);
    let records = world.store.list_signing_keys().await.unwrap();
    let states: HashMap<_, _> = keys::states(&records, world.now())
        .into_iter()
        .filter(|(record, _)| record.purpose == KeyPurpose::AccessToken)
        .map(|(record, state)| (record.id.clone(), state))
        .collect();
    let from = world.now().after(keys::PUBLISHED_AHEAD);
    assert_eq!(states.len(), 2);
    assert!(states.values().any(|state| *state == KeyState::Signs));
    let published = |state: &KeyState| *state == KeyState::Published(from);
    assert!(states.values().any(published));
}

#[tokio::test]
async fn key_sets_and_metadata_are_served_while_the_store_is_gone() {
    let world = World::with(crate::support::PUBLIC_URL, ServerSettings::default()).await;
    let paths = [
        "/jwks.json",
        "/identity/jwks.json",
        "/.well-known/oauth-authorization-server/servers/todo",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(world.get(path).await.text);
    }
    world.store.close().await;
    for (path, before) in paths.iter().zip(before) {
        let began = std::time::Instant::now();
        let answer = world.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.text, before);
        assert!(began.elapsed() < Duration::from_millis(200), "{path}");
    }
    // What does need the store says that it is gone.
    let answer = world.refresh("cli_x", "pcr_x").await;
    assert_ne!(answer.status, StatusCode::OK);
}
