use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{AuditEventKind, ServerSettings};
use http::{Method, StatusCode, header};
use serde_json::json;

use crate::support::{
    Browser, CALLBACK, Changes, ISSUER, RESOURCE, VERIFIER, World, claims, encode, owned, pkce,
    request,
};

struct Fixture {
    world: World,
    client: String,
    code: String,
}

async fn fixture() -> Fixture {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let code = world.code(&mut Browser::default(), &client).await;
    Fixture {
        world,
        client,
        code,
    }
}

impl Fixture {
    fn fields(&self, changes: Changes<'_>) -> Vec<(String, String)> {
        let mut fields = owned(&[
            ("grant_type", "authorization_code"),
            ("code", &self.code),
            ("code_verifier", VERIFIER),
            ("client_id", &self.client),
            ("redirect_uri", CALLBACK),
            ("resource", RESOURCE),
        ]);
        for (name, value) in changes {
            fields.retain(|(found, _)| found != name);
            if let Some(value) = value {
                fields.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        fields
    }

    async fn post(&self, changes: Changes<'_>) -> crate::support::Answer {
        let fields = self.fields(changes);
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.world.token(&fields).await
    }

    async fn assert_still_good(&self) {
        let answer = self.post(&[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_code_becomes_an_at_jwt_and_a_refresh_token() {
    let fixture = fixture().await;
    let answer = fixture.post(&[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let response = answer.json();
    assert_eq!(response["token_type"], "Bearer");
    assert_eq!(response["expires_in"], 3600);
    assert_eq!(response["scope"], "offline_access todo:read todo:write");
    let refresh = response["refresh_token"].as_str().unwrap();
    assert!(refresh.starts_with("pcr_") && refresh.len() == 47);
    let token = response["access_token"].as_str().unwrap();
    let claims = claims(token);
    let now = fixture.world.now().unix_seconds();
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["client_id"], fixture.client.as_str());
    assert_eq!(claims["scope"], "todo:read todo:write");
    assert_eq!(claims["iat"], now);
    assert_eq!(claims["exp"], now + 3600);
    assert_eq!(claims["auth_time"], now);
    assert!(claims["sub"].as_str().unwrap().starts_with("usr_"));
    assert!(claims["grant_id"].as_str().unwrap().starts_with("gra_"));

    // What the gateway does with it.
    let expected = authz::Expected {
        issuer: ISSUER,
        audience: RESOURCE,
        keys: &authz::VerifyingKeys::from_jwks(&fixture.world.authority.access_jwks()),
        now: fixture.world.now(),
        leeway: Duration::ZERO,
    };
    authz::verify_access_token(token, &expected).unwrap();
}

#[tokio::test]
async fn each_wrong_parameter_refuses_alone_and_leaves_the_code_good() {
    let fixture = fixture().await;
    let (other_verifier, _) = pkce("other");
    let unknown_code = format!("pcc_{}", "A".repeat(43));
    let other_client = fixture
        .world
        .add_client(&["http://localhost:51234/callback"])
        .await;
    let cases: [(Changes<'_>, u16, &str, &str); 17] = [
        (
            &[("grant_type", None)],
            400,
            "invalid_request",
            "grant_type",
        ),
        (
            &[("grant_type", Some("password"))],
            400,
            "unsupported_grant_type",
            "grant_type",
        ),
        (&[("code", None)], 400, "invalid_request", "code"),
        (&[("code", Some("x"))], 400, "invalid_grant", "code"),
        (
            &[("code", Some(&unknown_code))],
            400,
            "invalid_grant",
            "code",
        ),
        (
            &[("code_verifier", None)],
            400,
            "invalid_request",
            "code_verifier",
        ),
        (
            &[("code_verifier", Some("short"))],
            400,
            "invalid_request",
            "code_verifier",
        ),
        (
            &[("code_verifier", Some(&other_verifier))],
            400,
            "invalid_grant",
            "code",
        ),
        (&[("client_id", None)], 400, "invalid_request", "client_id"),
        (
            &[("client_id", Some("cli_unknown"))],
            401,
            "invalid_client",
            "client_id",
        ),
        (
            &[("client_id", Some(other_client.id.as_str()))],
            400,
            "invalid_grant",
            "code",
        ),
        (
            &[("client_secret", Some("secret"))],
            401,
            "invalid_client",
            "secret",
        ),
        (
            &[("redirect_uri", Some("http://localhost:1/callback"))],
            400,
            "invalid_grant",
            "code",
        ),
        (
            &[("resource", Some("http://localhost:4180/mcp/notes"))],
            400,
            "invalid_target",
            RESOURCE,
        ),
        (&[("x", Some("a\u{0}b"))], 400, "invalid_request", "x"),
        (
            &[("code_verifier", Some("\u{0}"))],
            400,
            "invalid_request",
            "code_verifier",
        ),
        (&[("resource", Some("#"))], 400, "invalid_target", RESOURCE),
    ];
    for (changes, status, code, words) in cases {
        fixture
            .post(changes)
            .await
            .assert_error(status, code, words);
    }
    fixture.assert_still_good().await;
}

#[tokio::test]
async fn what_may_be_left_out_may_be_left_out() {
    let fixture = fixture().await;
    let answer = fixture
        .post(&[
            ("redirect_uri", None),
            ("resource", None),
            ("client_secret", Some("")),
        ])
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

#[tokio::test]
async fn repeated_parameters_are_refused_and_a_repeated_resource_is_not() {
    let fixture = fixture().await;
    for name in ["code", "client_id", "grant_type", "code_verifier", "scope"] {
        let mut fields = fixture.fields(&[("scope", Some("todo:read"))]);
        let value = fields
            .iter()
            .find(|(found, _)| found == name)
            .unwrap()
            .1
            .clone();
        fields.push((name.to_owned(), value));
        let request = request(Method::POST, "/servers/todo/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encode(&fields).into())
            .unwrap();
        fixture
            .world
            .send(request)
            .await
            .assert_error(400, "invalid_request", name);
    }
    let mut fields = fixture.fields(&[]);
    fields.push(("resource".into(), format!("{RESOURCE}/")));
    let request = request(Method::POST, "/servers/todo/token")
        .header(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=utf-8",
        )
        .body(encode(&fields).into())
        .unwrap();
    assert_eq!(fixture.world.send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_code_lives_sixty_seconds() {
    let fixture = fixture().await;
    fixture.world.clock.advance(Duration::from_secs(60));
    fixture
        .post(&[])
        .await
        .assert_error(400, "invalid_grant", "code");
    let other = self::fixture().await;
    other.world.clock.advance(Duration::from_secs(59));
    other.assert_still_good().await;
}

#[tokio::test]
async fn a_replay_by_the_right_client_ends_what_came_of_the_code() {
    let fixture = fixture().await;
    let tokens = fixture.post(&[]).await.json();
    fixture
        .post(&[])
        .await
        .assert_error(400, "invalid_grant", "code");
    let grant = claims(tokens["access_token"].as_str().unwrap())["grant_id"].clone();
    assert_eq!(json!(fixture.world.revoked_grants().await), json!([grant]));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    fixture
        .world
        .refresh(&fixture.client, refresh)
        .await
        .assert_error(400, "invalid_grant", "sign in again");
    let kinds = fixture.world.audit_kinds().await;
    assert!(kinds.contains(&AuditEventKind::CodeReplayed));
}

#[tokio::test]
async fn a_replay_by_a_stranger_changes_nothing() {
    let fixture = fixture().await;
    let tokens = fixture.post(&[]).await.json();
    let (wrong, _) = pkce("stranger");
    let other = fixture.world.add_client(&[CALLBACK]).await;
    fixture
        .post(&[("code_verifier", Some(&wrong))])
        .await
        .assert_error(400, "invalid_grant", "code");
    fixture
        .post(&[("client_id", Some(other.id.as_str()))])
        .await
        .assert_error(400, "invalid_grant", "code");
    assert!(fixture.world.revoked_grants().await.is_empty());
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let answer = fixture.world.refresh(&fixture.client, refresh).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn of_sixteen_racers_exactly_one_gets_tokens() {
    for _ in 0..5 {
        let fixture = fixture().await;
        let racers = (0..16).map(|_| fixture.post(&[]));
        let answers = futures_join(racers).await;
        let fresh = answers
            .iter()
            .filter(|answer| answer.status == StatusCode::OK)
            .count();
        assert_eq!(fresh, 1);
    }
}

pub async fn futures_join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    // Polled together on one thread: each gets as far as the store before the next begins.
    let mut pending: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in pending.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn basic_with_an_empty_secret_is_accepted_raw_and_form_encoded() {
    for encode_id in [false, true] {
        let fixture = fixture().await;
        let id = if encode_id {
            fixture.client.replace('_', "%5F").replace('-', "%2D")
        } else {
            fixture.client.clone()
        };
        let basic = format!("Basic {}", STANDARD.encode(format!("{id}:")));
        for client_id in [Some("cli_other"), None] {
            let request = request(Method::POST, "/servers/todo/token")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(header::AUTHORIZATION, &basic)
                .body(encode(&fixture.fields(&[("client_id", client_id)])).into())
                .unwrap();
            let answer = fixture.world.send(request).await;
            match client_id {
                Some(_) => answer.assert_error(400, "invalid_request", "client_id differs"),
                None => assert_eq!(answer.status, StatusCode::OK, "{}", answer.text),
            }
        }
    }
    let fixture = fixture().await;
    let basic = STANDARD.encode(format!("{}:secret", fixture.client));
    let request = request(Method::POST, "/servers/todo/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, format!("Basic {basic}"))
        .body(encode(&fixture.fields(&[])).into())
        .unwrap();
    let answer = fixture.world.send(request).await;
    answer.assert_error(401, "invalid_client", "secret");
    assert!(answer.header("www-authenticate").starts_with("Basic "));
}

#[tokio::test]
async fn only_a_form_in_the_body_is_read() {
    let fixture = fixture().await;
    let body = encode(&fixture.fields(&[]));
    let post = |path: String, content_type: &'static str, body: String| {
        let request = request(Method::POST, &path)
            .header(header::CONTENT_TYPE, content_type)
            .body(body.into())
            .unwrap();
        fixture.world.send(request)
    };
    let form = "application/x-www-form-urlencoded";
    post(
        "/servers/todo/token".into(),
        "application/json",
        body.clone(),
    )
    .await
    .assert_error(415, "invalid_request", form);
    post(format!("/servers/todo/token?{body}"), form, String::new())
        .await
        .assert_error(400, "invalid_request", "body");
    post(
        "/servers/todo/token".into(),
        form,
        format!("{body}&x={}", "y".repeat(70_000)),
    )
    .await
    .assert_error(413, "invalid_request", "65536");
    fixture.assert_still_good().await;
}

#[tokio::test]
async fn a_code_of_one_server_is_unknown_at_another() {
    let fixture = fixture().await;
    fixture
        .world
        .add_server("notes", ServerSettings::default())
        .await;
    let fields = fixture.fields(&[("resource", None)]);
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    fixture
        .world
        .post_form("/servers/notes/token", &fields)
        .await
        .assert_error(401, "invalid_client", "not registered");
    fixture.assert_still_good().await;
}

/// CO-19: what changed while the code was on its way counts.
#[tokio::test]
async fn a_person_or_client_that_ends_before_the_code_is_redeemed_gets_nothing() {
    for which in ["nobody", "person", "client"] {
        let world = World::new().await;
        let alice = world.add_alice().await;
        let client = world.register().await;
        let code = world.code(&mut Browser::default(), &client).await;
        match which {
            "person" => world.disable_user(&alice.id).await,
            "client" => world.block_client(&client).await,
            _ => {}
        }
        let answer = world.exchange(&client, &code).await;
        match which {
            "person" => answer.assert_error(400, "invalid_grant", "start the sign-in again"),
            "client" => answer.assert_error(401, "invalid_client", "register again"),
            _ => assert_eq!(answer.status, StatusCode::OK),
        }
    }
}
