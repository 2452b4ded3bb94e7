//! How clients prove that they are themselves (RFC 6749 section 2.3, RFC 7523 section 2.2).

use std::time::Duration;

use base::{Digest, OsRandom};
use http::{Method, StatusCode};
use oauth::client_secret;
use serde_json::{Value, json};

use crate::machines::{JWT_BEARER, KeyClient, TOKEN};
use crate::support::{Answer, Browser, CALLBACK, ISSUER, VERIFIER, World, request};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");
const KIND: (&str, &str) = ("client_assertion_type", JWT_BEARER);

async fn with_assertion(world: &World, assertion: &str) -> Answer {
    let fields = [GRANT, KIND, ("client_assertion", assertion)];
    world.post_form(TOKEN, &fields).await
}

#[track_caller]
fn assert_ok(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

/// CA-04: each client has one way, and both ways to send a secret are one.
#[tokio::test]
async fn only_the_registered_method_is_accepted_and_basic_and_post_are_alike() {
    let world = World::new().await;
    let secret = world.secret_client("todo:read").await;
    let keys = world.key_client("todo:read").await;
    let public = world.add_client(&[CALLBACK]).await.id.to_string();
    let stolen = secret.secret.as_str();

    assert_ok(&world.post_basic(TOKEN, &secret.id, stolen, &[GRANT]).await);
    let in_form = [GRANT, ("client_id", &secret.id), ("client_secret", stolen)];
    assert_ok(&world.post_form(TOKEN, &in_form).await);
    assert_ok(&with_assertion(&world, &keys.assertion(&world, "1")).await);

    for (id, words) in [
        (&secret.id, "client_secret_basic or client_secret_post"),
        (&keys.id, "private_key_jwt"),
    ] {
        let nothing = world.post_form(TOKEN, &[GRANT, ("client_id", id)]).await;
        nothing.assert_error(401, "invalid_client", words);
        assert_eq!(nothing.header("www-authenticate"), "");
        let empty = world.post_basic(TOKEN, id, "", &[GRANT]).await;
        empty.assert_error(401, "invalid_client", words);
    }
    for id in [&keys.id, &public] {
        let answer = world.post_basic(TOKEN, id, stolen, &[GRANT]).await;
        answer.assert_error(401, "invalid_client", "");
        let fields = [GRANT, ("client_id", id), ("client_secret", stolen)];
        world
            .post_form(TOKEN, &fields)
            .await
            .assert_error(401, "invalid_client", "");
    }
    for id in [&secret.id, &public] {
        let mut claims = keys.claims(&world, "2");
        claims["iss"] = json!(id);
        claims["sub"] = json!(id);
        with_assertion(&world, &keys.key.sign(&claims))
            .await
            .assert_error(401, "invalid_client", "");
    }
}

/// RFC 6749 section 5.2: the scheme is named to whom used the header, and to nobody else.
#[tokio::test]
async fn a_refused_header_is_answered_with_its_scheme_and_a_refused_form_is_not() {
    let world = World::new().await;
    let client = world.secret_client("todo:read").await;
    let header = world.post_basic(TOKEN, &client.id, "pck_x", &[GRANT]).await;
    header.assert_error(401, "invalid_client", "newest secret");
    assert!(header.header("www-authenticate").starts_with("Basic "));
    let fields = [
        GRANT,
        ("client_id", client.id.as_str()),
        ("client_secret", "pck_x"),
    ];
    let form = world.post_form(TOKEN, &fields).await;
    form.assert_error(401, "invalid_client", "newest secret");
    assert_eq!(form.header("www-authenticate"), "");
}

#[tokio::test]
async fn two_methods_at_once_are_refused_even_when_both_are_right() {
    let world = World::new().await;
    let secret = world.secret_client("todo:read").await;
    let keys = world.key_client("todo:read").await;
    let right = ("client_secret", secret.secret.as_str());
    world
        .post_basic(TOKEN, &secret.id, &secret.secret, &[GRANT, right])
        .await
        .assert_error(400, "invalid_request", "two ways");
    let assertion = keys.assertion(&world, "1");
    let proof = ("client_assertion", assertion.as_str());
    world
        .post_form(TOKEN, &[GRANT, KIND, proof, right])
        .await
        .assert_error(400, "invalid_request", "two ways");
    world
        .post_basic(TOKEN, &keys.id, "pck_x", &[GRANT, KIND, proof])
        .await
        .assert_error(400, "invalid_request", "two ways");
    // Nothing was spent by that.
    assert_ok(&world.post_form(TOKEN, &[GRANT, KIND, proof]).await);
}

#[tokio::test]
async fn halves_of_an_assertion_and_ids_that_disagree_are_refused() {
    let world = World::new().await;
    let keys = world.key_client("todo:read").await;
    let assertion = keys.assertion(&world, "1");
    let proof = ("client_assertion", assertion.as_str());
    let id = ("client_id", keys.id.as_str());
    world
        .post_form(TOKEN, &[GRANT, proof, id])
        .await
        .assert_error(400, "invalid_request", "client_assertion_type is missing");
    world
        .post_form(TOKEN, &[GRANT, KIND, id])
        .await
        .assert_error(400, "invalid_request", "client_assertion is missing");
    let saml = (
        "client_assertion_type",
        "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
    );
    world
        .post_form(TOKEN, &[GRANT, saml, proof])
        .await
        .assert_error(401, "invalid_client", "jwt-bearer");
    world
        .post_form(TOKEN, &[GRANT, KIND, proof, ("client_id", "cli_other")])
        .await
        .assert_error(401, "invalid_client", "");
    world
        .post_basic(TOKEN, "cli_other", "", &[GRANT, KIND, proof, id])
        .await
        .assert_error(400, "invalid_request", "differs");
    // RFC 7521 section 4.2: the client_id may be there, when it is the same.
    assert_ok(&world.post_form(TOKEN, &[GRANT, KIND, proof, id]).await);
}

/// A client that names itself in the form and in the header is read like one that does in one of them.
#[tokio::test]
async fn a_client_may_be_named_twice_alike_and_must_be_named_once() {
    let world = World::new().await;
    let client = world.secret_client("todo:read").await;
    let named = [GRANT, ("client_id", client.id.as_str())];
    assert_ok(
        &world
            .post_basic(TOKEN, &client.id, &client.secret, &named)
            .await,
    );
    assert_ok(
        &world
            .post_basic(TOKEN, &client.id, &client.secret, &[GRANT])
            .await,
    );
    world
        .post_basic(TOKEN, "", &client.secret, &named)
        .await
        .assert_error(400, "invalid_request", "differs");
    world
        .post_basic(TOKEN, "", &client.secret, &[GRANT])
        .await
        .assert_error(400, "invalid_request", "client_id is missing");
}

/// CA-06, CA-07: what is wrong with a secret by one byte, and what is empty, never matches.
#[tokio::test]
async fn a_secret_matches_whole_or_not_at_all() {
    let world = World::new().await;
    let client = world.secret_client("todo:read").await;
    let other = world.secret_client("todo:read").await;
    let good = client.secret.as_str();
    assert!(good.starts_with("pck_") && good.len() == 47, "256 bits");
    let turned: String = good.chars().rev().collect();
    let flipped = format!(
        "{}{}",
        &good[..46],
        if good.ends_with('A') { "E" } else { "A" }
    );
    let digest = Digest::of(good).to_text();
    for wrong in [
        &good[..46],
        &good[4..],
        &format!("{good}A"),
        &format!(" {good}"),
        &turned,
        &flipped,
        &good.to_uppercase(),
        &digest,
        &format!("pck_{digest}"),
        other.secret.as_str(),
    ] {
        let fields = [
            GRANT,
            ("client_id", client.id.as_str()),
            ("client_secret", wrong),
        ];
        let answer = world.post_form(TOKEN, &fields).await;
        answer.assert_error(401, "invalid_client", "newest secret");
    }
    assert_ok(&world.post_basic(TOKEN, &client.id, good, &[GRANT]).await);
    let kept = world.store.list_client_secrets(&client.client.id).await;
    assert_eq!(kept.unwrap()[0].digest, Digest::of(good));
}

/// Two are good at once while one replaces the other, and never three.
#[tokio::test]
async fn a_rotated_secret_stays_good_for_a_week_and_an_older_one_ends_at_once() {
    let world = World::new().await;
    let client = world.secret_client("todo:read").await;
    let rotate = async || {
        let keep_older = client_secret::OLDER_SECRET_LIFETIME;
        client_secret::rotate(
            &world.store,
            world.now(),
            &OsRandom,
            &client.client,
            keep_older,
        )
        .await
        .unwrap()
        .unwrap()
        .expose()
        .clone()
    };
    let works = async |secret: &str| {
        let answer = world.post_basic(TOKEN, &client.id, secret, &[GRANT]).await;
        answer.status == StatusCode::OK
    };
    let first = client.secret.clone();
    let second = rotate().await;
    assert!(works(&first).await && works(&second).await);
    let third = rotate().await;
    assert!(!works(&first).await && works(&second).await && works(&third).await);
    world.clock.advance(client_secret::OLDER_SECRET_LIFETIME);
    assert!(!works(&second).await && works(&third).await);
}

/// CA-01: sequentially, in a race, and after a restart.
#[tokio::test]
async fn an_assertion_is_good_once_whoever_sends_it_again() {
    let world = World::new().await;
    let keys = world.key_client("todo:read").await;
    let assertion = keys.assertion(&world, "once");
    assert_ok(&with_assertion(&world, &assertion).await);
    with_assertion(&world, &assertion)
        .await
        .assert_error(401, "invalid_client", "used before");
    // The same id in another assertion is the same id, and another id is another one.
    let mut claims = keys.claims(&world, "once");
    claims["exp"] = json!(world.now().unix_seconds() + 120);
    with_assertion(&world, &keys.key.sign(&claims))
        .await
        .assert_error(401, "invalid_client", "used before");
    assert_ok(&with_assertion(&world, &keys.assertion(&world, "twice")).await);
    // Another client may use the same words.
    let other = world.key_client("todo:read").await;
    assert_ok(&with_assertion(&world, &other.assertion(&world, "once")).await);
    // Housekeeping forgets an id only when its assertion has expired.
    world.store.purge_expired(world.now(), 100).await.unwrap();
    with_assertion(&world, &assertion)
        .await
        .assert_error(401, "invalid_client", "used before");
    world.clock.advance(Duration::from_secs(120));
    world.store.purge_expired(world.now(), 100).await.unwrap();
    with_assertion(&world, &assertion)
        .await
        .assert_error(401, "invalid_client", "expired");
}

#[tokio::test]
async fn of_sixteen_racers_with_one_assertion_exactly_one_gets_a_token() {
    let world = World::new().await;
    let keys = world.key_client("todo:read").await;
    for round in 0..4 {
        let assertion = keys.assertion(&world, &format!("race {round}"));
        let racers = (0..16).map(|_| with_assertion(&world, &assertion));
        let answers = crate::token::futures_join(racers).await;
        let won = answers
            .iter()
            .filter(|answer| answer.status == StatusCode::OK);
        assert_eq!(won.count(), 1);
        for lost in answers
            .iter()
            .filter(|answer| answer.status != StatusCode::OK)
        {
            lost.assert_error(401, "invalid_client", "used before");
        }
    }
}

/// CA-02 and CA-03 at the endpoint; authz has the whole table.
#[tokio::test]
async fn an_assertion_for_somebody_else_or_for_two_is_refused_and_ours_is_accepted() {
    let world = World::new().await;
    world.add_server("other", Default::default()).await;
    let keys = world.key_client("todo:read").await;
    let endpoint = format!("{ISSUER}/token");
    let other = "http://localhost:4180/servers/other";
    let check = async |name: &str, value: Value, jti: &str| {
        let mut claims = keys.claims(&world, jti);
        claims[name] = value;
        with_assertion(&world, &keys.key.sign(&claims)).await
    };
    for (index, (name, value)) in [
        ("aud", json!([ISSUER])),
        ("aud", json!([ISSUER, other])),
        ("aud", json!(other)),
        ("aud", json!("http://localhost:4180")),
        ("aud", json!(format!("{ISSUER}/"))),
        ("aud", json!(format!("{ISSUER}/introspect"))),
        ("iss", json!("cli_other")),
        ("sub", json!(null)),
        ("exp", json!(null)),
        ("exp", json!(world.now().unix_seconds() + 7200)),
        ("jti", json!(null)),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = check(name, value, &index.to_string()).await;
        answer.assert_error(401, "invalid_client", "client_assertion");
    }
    assert_ok(&check("aud", json!(ISSUER), "issuer").await);
    assert_ok(&check("aud", json!(endpoint), "endpoint").await);
}

/// TK-02: the way a client proves itself holds for every grant.
#[tokio::test]
async fn a_confidential_client_authenticates_for_the_code_and_for_each_refresh() {
    let world = World::new().await;
    world.add_alice().await;
    let secret = world.secret_client("").await;
    let keys = world.key_client("").await;
    code_and_refresh(&world, &secret.id, async |fields| {
        world
            .post_basic(TOKEN, &secret.id, &secret.secret, fields)
            .await
    })
    .await;
    let count = std::cell::Cell::new(0);
    code_and_refresh(&world, &keys.id, async |fields| {
        count.set(count.get() + 1);
        let assertion = keys.assertion(&world, &count.get().to_string());
        let mut fields = fields.to_vec();
        fields.extend([KIND, ("client_assertion", assertion.as_str())]);
        world.post_form(TOKEN, &fields).await
    })
    .await;
}

/// TK-02: no grant goes around the state of its client, and none around what it may have.
#[tokio::test]
async fn a_blocked_client_is_refused_with_every_grant_and_with_its_right_proof() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.secret_client("todo:read").await;
    let post = async |fields: &[(&str, &str)]| {
        world
            .post_basic(TOKEN, &client.id, &client.secret, fields)
            .await
    };
    let mut browser = Browser::default();
    let exchange = async |code: &str| {
        post(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ])
        .await
    };
    let code = world.code(&mut browser, &client.id).await;
    let answer = exchange(&code).await;
    assert_ok(&answer);
    let token = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token.as_str()),
    ];
    assert_ok(&post(&[GRANT]).await);
    let code = world.code(&mut browser, &client.id).await;
    world.block_client(&client.id).await;
    for answer in [
        exchange(&code).await,
        post(&refresh).await,
        post(&[GRANT]).await,
    ] {
        answer.assert_error(401, "invalid_client", "");
    }
}

/// Goes through both grants with proof, after each was refused without.
async fn code_and_refresh(
    world: &World,
    id: &str,
    proven: impl AsyncFn(&[(&str, &str)]) -> Answer,
) {
    let code = world.code(&mut Browser::default(), id).await;
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    let mut unproven = exchange.to_vec();
    unproven.push(("client_id", id));
    world.post_form(TOKEN, &unproven).await.assert_error(
        401,
        "invalid_client",
        "as it was registered",
    );
    let answer = proven(&exchange).await;
    assert_ok(&answer);
    let token = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    world
        .refresh(id, &token)
        .await
        .assert_error(401, "invalid_client", "as it was registered");
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token.as_str()),
    ];
    assert_ok(&proven(&refresh).await);
}

/// CO-05, RF-09: with its own proof, another client still gets nothing of this one's.
#[tokio::test]
async fn a_proven_client_cannot_use_the_code_or_token_of_another() {
    let world = World::new().await;
    world.add_alice().await;
    let owner = world.secret_client("").await;
    let thief = world.secret_client("").await;
    let code = world.code(&mut Browser::default(), &owner.id).await;
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    world
        .post_basic(TOKEN, &thief.id, &thief.secret, &exchange)
        .await
        .assert_error(400, "invalid_grant", "");
    let answer = world
        .post_basic(TOKEN, &owner.id, &owner.secret, &exchange)
        .await;
    assert_ok(&answer);
    let token = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token.as_str()),
    ];
    world
        .post_basic(TOKEN, &thief.id, &thief.secret, &refresh)
        .await
        .assert_error(400, "invalid_grant", "");
    assert_ok(
        &world
            .post_basic(TOKEN, &owner.id, &owner.secret, &refresh)
            .await,
    );
}

/// CA-08: no proxy is believed to have checked a client's certificate.
#[tokio::test]
async fn a_header_that_claims_a_client_certificate_proves_nothing() {
    let world = World::new().await;
    let client = world.secret_client("todo:read").await;
    let body = format!("grant_type=client_credentials&client_id={}", client.id);
    for name in [
        "x-forwarded-client-cert",
        "x-ssl-client-cert",
        "client-cert",
        "x-client-cert",
    ] {
        let request = request(Method::POST, TOKEN)
            .header("content-type", "application/x-www-form-urlencoded")
            .header(name, "Hash=0;Subject=\"CN=anything\"")
            .body(axum::body::Body::from(body.clone()))
            .unwrap();
        world
            .send(request)
            .await
            .assert_error(401, "invalid_client", "as it was registered");
    }
}

/// The metadata says what is true: each method that it names works above.
#[tokio::test]
async fn the_metadata_names_the_methods_with_none_first() {
    let world = World::new().await;
    let answer = world
        .get("/.well-known/oauth-authorization-server/servers/todo")
        .await;
    let metadata = answer.json();
    let methods = json!([
        "none",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt"
    ]);
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], methods);
    assert_eq!(
        metadata["revocation_endpoint_auth_methods_supported"],
        methods
    );
    assert_eq!(
        metadata["token_endpoint_auth_signing_alg_values_supported"],
        json!(["ES256", "EdDSA", "RS256"])
    );
    assert_eq!(
        metadata["introspection_endpoint"],
        format!("{ISSUER}/introspect")
    );
}

/// RV-01 for clients that prove themselves.
#[tokio::test]
async fn a_confidential_client_revokes_with_its_proof_and_not_without() {
    let world = World::new().await;
    let secret = world.secret_client("todo:read").await;
    let keys = world.key_client("todo:read").await;
    revoke_with(&world, &secret.id, async |path, fields| {
        world
            .post_basic(path, &secret.id, &secret.secret, fields)
            .await
    })
    .await;
    let count = std::cell::Cell::new(0);
    let keys: &KeyClient = &keys;
    revoke_with(&world, &keys.id, async |path, fields| {
        count.set(count.get() + 1);
        let mut claims = keys.claims(&world, &count.get().to_string());
        claims["aud"] = json!(format!("{ISSUER}/token"));
        let assertion = keys.key.sign(&claims);
        let mut fields = fields.to_vec();
        fields.extend([KIND, ("client_assertion", assertion.as_str())]);
        world.post_form(path, &fields).await
    })
    .await;
}

async fn revoke_with(
    world: &World,
    id: &str,
    proven: impl AsyncFn(&str, &[(&str, &str)]) -> Answer,
) {
    let answer = proven(TOKEN, &[GRANT]).await;
    assert_ok(&answer);
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let before = world.revoked_grants().await.len();
    let revoke = "/servers/todo/revoke";
    world
        .post_form(revoke, &[("token", &token), ("client_id", id)])
        .await
        .assert_error(401, "invalid_client", "as it was registered");
    assert_eq!(world.revoked_grants().await.len(), before);
    let answer = proven(revoke, &[("token", &token)]).await;
    assert_ok(&answer);
    assert_eq!(world.revoked_grants().await.len(), before + 1);
}
