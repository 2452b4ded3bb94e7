//! Introspection (RFC 7662).

use std::time::Duration;

use base::OsRandom;
use domain::{AuditEventKind, UserId, WithheldReason};
use http::{Method, StatusCode};
use oauth::resource_server::{NewCredential, OLDER_CREDENTIAL_LIFETIME};
use serde_json::{Value, json};

use crate::machines::TOKEN;
use crate::support::{Answer, Browser, ISSUER, RESOURCE, World, claims, request};

const INTROSPECT: &str = "/servers/todo/introspect";

async fn ask(world: &World, credential: &NewCredential, token: &str) -> Answer {
    let secret = credential.secret.expose();
    world
        .post_basic(
            INTROSPECT,
            credential.id.as_str(),
            secret,
            &[("token", token)],
        )
        .await
}

#[track_caller]
fn assert_inactive(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.text, r#"{"active":false}"#);
}

fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap()
}

#[tokio::test]
async fn an_mcp_server_learns_everything_about_a_token_that_is_for_it() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let credential = world.credential("todo").await;
    let access = text(&tokens, "access_token");
    let answer = ask(&world, &credential, access).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let told = answer.json();
    let claims = claims(access);
    assert_eq!(told["active"], true);
    assert_eq!(told["scope"], "todo:read todo:write");
    assert_eq!(told["client_id"], client.as_str());
    assert_eq!(told["token_type"], "Bearer");
    assert_eq!(told["iss"], ISSUER);
    assert_eq!(told["aud"], RESOURCE);
    for name in ["exp", "iat", "sub", "jti", "grant_id", "auth_time"] {
        assert_eq!(told[name], claims[name], "{name}");
    }
    for name in ["username", "withheld_scopes", "email"] {
        assert!(told.get(name).is_none(), "{name}");
    }
    // The credential is as good in the form, and any hint is only a hint.
    for hint in ["access_token", "refresh_token", "x"] {
        let fields = [
            ("token", access),
            ("token_type_hint", hint),
            ("client_id", credential.id.as_str()),
            ("client_secret", credential.secret.expose()),
        ];
        let answer = world.post_form(INTROSPECT, &fields).await;
        assert_eq!(answer.json(), told);
    }
}

/// IN-01: a token of another server is as inactive as none at all.
#[tokio::test]
async fn a_token_of_another_server_is_inactive_for_each_pair() {
    let world = World::new().await;
    world.add_server("other", Default::default()).await;
    let (_, tokens) = world.connected().await;
    let access = text(&tokens, "access_token");
    let todo = world.credential("todo").await;
    let other = world.credential("other").await;
    let at = async |slug: &str, credential: &NewCredential| {
        let path = format!("/servers/{slug}/introspect");
        let secret = credential.secret.expose();
        world
            .post_basic(&path, credential.id.as_str(), secret, &[("token", access)])
            .await
    };
    assert_eq!(at("todo", &todo).await.json()["active"], true);
    assert_inactive(&at("other", &other).await);
    // The credential of one server is unknown at another.
    at("todo", &other)
        .await
        .assert_error(401, "invalid_client", "credential");
    at("other", &todo)
        .await
        .assert_error(401, "invalid_client", "credential");
}

/// IN-02.
#[tokio::test]
async fn without_the_credential_nothing_is_told() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let access = text(&tokens, "access_token");
    let credential = world.credential("todo").await;
    let secret = credential.secret.expose().as_str();
    let id = credential.id.as_str();
    let machine = world.secret_client("todo:read").await;
    let token = ("token", access);
    for fields in [
        vec![token],
        vec![token, ("client_id", client.as_str())],
        vec![token, ("client_id", id)],
        vec![token, ("client_id", id), ("client_secret", "pcq_x")],
        vec![token, ("client_id", id), ("client_secret", &secret[..46])],
        vec![token, ("client_secret", secret)],
        vec![
            token,
            ("client_id", machine.id.as_str()),
            ("client_secret", machine.secret.as_str()),
        ],
        vec![("token", "nonsense")],
    ] {
        let answer = world.post_form(INTROSPECT, &fields).await;
        answer.assert_error(401, "invalid_client", "credential");
        assert_eq!(answer.header("www-authenticate"), "");
    }
    for (id, secret) in [(id, ""), (id, "pcq_x"), ("", secret), ("prs_x", secret)] {
        let answer = world.post_basic(INTROSPECT, id, secret, &[token]).await;
        answer.assert_error(401, "invalid_client", "credential");
        assert!(answer.header("www-authenticate").starts_with("Basic "));
    }
    let bearer = request(Method::POST, INTROSPECT)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Bearer {access}"))
        .body(axum::body::Body::from(format!("token={access}")))
        .unwrap();
    let answer = world.send(bearer).await;
    answer.assert_error(401, "invalid_client", "");
    let twice = [token, ("client_id", id), ("client_secret", secret)];
    world
        .post_basic(INTROSPECT, id, secret, &twice)
        .await
        .assert_error(400, "invalid_request", "twice");
    world
        .post_basic(INTROSPECT, id, secret, &[])
        .await
        .assert_error(400, "invalid_request", "token");
    assert_eq!(
        ask(&world, &credential, access).await.json()["active"],
        true
    );
}

/// IN-04, and everything else that is no access token.
#[tokio::test]
async fn a_refresh_token_and_whatever_else_is_no_access_token_is_inactive() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let credential = world.credential("todo").await;
    let access = text(&tokens, "access_token");
    let (signed, signature) = access.rsplit_once('.').unwrap();
    let header = base::base64url(r#"{"alg":"none","typ":"at+jwt"}"#);
    let unsigned = format!("{header}.{}.", signed.split_once('.').unwrap().1);
    let turned: String = signature.chars().rev().collect();
    for token in [
        text(&tokens, "refresh_token"),
        client.as_str(),
        signed,
        &format!("{signed}."),
        &format!("{signed}.{turned}"),
        &unsigned,
        "x",
        credential.secret.expose(),
    ] {
        assert_inactive(&ask(&world, &credential, token).await);
    }
    assert_eq!(
        ask(&world, &credential, access).await.json()["active"],
        true
    );
}

#[tokio::test]
async fn a_token_is_inactive_once_it_expired_or_was_revoked() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let credential = world.credential("todo").await;
    let access = text(&tokens, "access_token").to_owned();
    world.clock.advance(Duration::from_secs(3599));
    assert_eq!(
        ask(&world, &credential, &access).await.json()["active"],
        true
    );
    world.clock.advance(Duration::from_secs(1));
    assert_inactive(&ask(&world, &credential, &access).await);
    let answer = world.refresh(&client, text(&tokens, "refresh_token")).await;
    let fresh = text(&answer.json(), "access_token").to_owned();
    assert_eq!(
        ask(&world, &credential, &fresh).await.json()["active"],
        true
    );
    let revoke = [("token", fresh.as_str()), ("client_id", client.as_str())];
    world.post_form("/servers/todo/revoke", &revoke).await;
    assert_inactive(&ask(&world, &credential, &fresh).await);
}

/// RF-08 at the resource server's door: a person or client that is gone takes their tokens along.
#[tokio::test]
async fn a_token_is_inactive_once_its_person_or_client_is_disabled() {
    let world = World::new().await;
    let (_, tokens) = world.connected().await;
    let credential = world.credential("todo").await;
    let access = text(&tokens, "access_token").to_owned();
    let user = UserId::from_text(claims(&access)["sub"].as_str().unwrap());
    assert_eq!(
        ask(&world, &credential, &access).await.json()["active"],
        true
    );
    world.disable_user(&user).await;
    assert_inactive(&ask(&world, &credential, &access).await);

    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let credential = world.credential("todo").await;
    let access = text(&tokens, "access_token").to_owned();
    assert_eq!(
        ask(&world, &credential, &access).await.json()["active"],
        true
    );
    world.block_client(&client).await;
    assert_inactive(&ask(&world, &credential, &access).await);
}

#[tokio::test]
async fn what_was_withheld_is_told_with_the_reason() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let credential = world.credential("todo").await;
    let mut browser = Browser::default();
    let asked = [("scope", Some("todo:read todo:write nonsense"))];
    let code = world
        .code_with(&mut browser, &client, &asked, Some(&["todo:read"]))
        .await;
    let tokens = world.exchange(&client, &code).await.json();
    let answer = ask(&world, &credential, text(&tokens, "access_token")).await;
    assert_eq!(answer.json()["scope"], "todo:read");
    let expected = json!([
        {"scope": "nonsense", "reason": "unknown", "description": WithheldReason::Unknown.in_words()},
        {"scope": "todo:write", "reason": "not_approved", "description": WithheldReason::NotApproved.in_words()},
    ]);
    let mut told = answer.json()["withheld_scopes"].clone();
    let name = |entry: &Value| entry["scope"].as_str().unwrap().to_owned();
    told.as_array_mut().unwrap().sort_by_key(name);
    assert_eq!(told, expected);
    // A refresh keeps both the approval and what was withheld.
    let answer = world.refresh(&client, text(&tokens, "refresh_token")).await;
    let answer = ask(&world, &credential, text(&answer.json(), "access_token")).await;
    assert_eq!(
        answer.json()["withheld_scopes"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn a_machine_is_told_what_it_may_not_have_and_its_token_has_no_auth_time() {
    let world = World::new().await;
    let client = world.secret_client("todo:read").await;
    let credential = world.credential("todo").await;
    let fields = [
        ("grant_type", "client_credentials"),
        ("scope", "todo:read todo:write nonsense offline_access"),
    ];
    let answer = world
        .post_basic(TOKEN, &client.id, &client.secret, &fields)
        .await;
    let told = ask(&world, &credential, text(&answer.json(), "access_token"))
        .await
        .json();
    assert_eq!(told["active"], true);
    assert_eq!(told["sub"], client.id.as_str());
    assert!(told.get("auth_time").is_none());
    let reasons: Vec<_> = told["withheld_scopes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["scope"].as_str().unwrap(),
                entry["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("nonsense", "unknown"),
            ("todo:write", "not_for_this_client")
        ]
    );
    world.block_client(&client.id).await;
    let token = answer.json();
    assert_inactive(&ask(&world, &credential, text(&token, "access_token")).await);
}

#[tokio::test]
async fn a_scope_that_the_server_has_no_more_is_withheld_as_removed() {
    let world = World::new().await;
    let (_, tokens) = world.connected().await;
    let credential = world.credential("todo").await;
    let server = world.authority.server("todo").unwrap();
    let mut policy = server.server.policy.clone();
    policy
        .scopes
        .retain(|scope| scope.name.as_str() != "todo:write");
    policy.tools.remove("add_todo");
    let event = world.event(AuditEventKind::PolicyPublished);
    world
        .store
        .publish_policy(&server.server.slug, 1, &policy, event)
        .await
        .unwrap();
    world.authority.reload().await.unwrap();
    let told = ask(&world, &credential, text(&tokens, "access_token"))
        .await
        .json();
    assert_eq!(told["scope"], "todo:read");
    assert_eq!(told["withheld_scopes"][0]["scope"], "todo:write");
    assert_eq!(told["withheld_scopes"][0]["reason"], "removed_since");
}

/// A policy in which everybody may read, writers write too, and `rules` hold.
fn with_roles(world: &World, rules: Value) -> authz::Policy {
    let server = world.authority.server("todo").unwrap();
    let mut policy = server.server.policy.clone();
    let roles = json!([
        {"id": "rol_reader", "name": "reader", "title": "", "scopes": {"only": "todo:read"}},
        {"id": "rol_writer", "name": "writer", "title": "", "scopes": {"only": "todo:read todo:write"}},
    ]);
    policy.roles = serde_json::from_value(roles).unwrap();
    policy.default_role = Some("rol_reader".to_owned());
    policy.subject_rules = serde_json::from_value(rules).unwrap();
    policy
}

async fn publish(world: &World, revision: i64, policy: &authz::Policy) {
    let slug = world.authority.server("todo").unwrap().server.slug.clone();
    let event = world.event(AuditEventKind::PolicyPublished);
    let published = world.store.publish_policy(&slug, revision, policy, event);
    assert_eq!(
        published.await,
        Ok(store::PublishOutcome::Published(revision + 1))
    );
}

#[tokio::test]
async fn a_token_opens_what_its_person_may_have_now_and_is_inactive_once_their_roles_changed() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let credential = world.credential("todo").await;
    publish(&world, 1, &with_roles(&world, json!([]))).await;
    world.authority.reload().await.unwrap();
    let access = text(&tokens, "access_token");
    let told = ask(&world, &credential, access).await.json();
    assert_eq!(told["scope"], "todo:read");
    assert_eq!(told["withheld_scopes"][0]["scope"], "todo:write");
    assert_eq!(told["withheld_scopes"][0]["reason"], "not_permitted");

    let role = store::GivenRole {
        server: world.authority.server("todo").unwrap().server.slug.clone(),
        role: "rol_writer".to_owned(),
        holder: domain::RoleHolder::from_text(told["sub"].as_str().unwrap()),
    };
    let event = world.event(AuditEventKind::RoleGiven);
    assert_eq!(world.store.give_role(role.clone(), event).await, Ok(true));
    assert_inactive(&ask(&world, &credential, access).await);
    let refreshed = world.refresh(&client, text(&tokens, "refresh_token")).await;
    let refreshed = refreshed.json();
    let told = ask(&world, &credential, text(&refreshed, "access_token")).await;
    assert_eq!(told.json()["scope"], "todo:read todo:write");
    assert_eq!(told.json()["roles"], json!(["rol_writer"]));

    // Taken again, a refreshed token is narrower, and what it lacks is named of it too.
    let event = world.event(AuditEventKind::RoleTaken);
    assert_eq!(world.store.take_role(role, event).await, Ok(true));
    let refreshed = world
        .refresh(&client, text(&refreshed, "refresh_token"))
        .await
        .json();
    let told = ask(&world, &credential, text(&refreshed, "access_token")).await;
    let told = told.json();
    assert_eq!(told["scope"], "todo:read");
    assert_eq!(told["withheld_scopes"][0]["scope"], "todo:write", "{told}");
    assert_eq!(told["withheld_scopes"][0]["reason"], "not_permitted");

    // Without roles everybody may have everything, and a token that is fetched in the same moment is good.
    let without = authz::Policy {
        roles: Vec::new(),
        default_role: None,
        ..with_roles(&world, json!([]))
    };
    publish(&world, 2, &without).await;
    let refreshed = world
        .refresh(&client, text(&refreshed, "refresh_token"))
        .await
        .json();
    let told = ask(&world, &credential, text(&refreshed, "access_token")).await;
    assert_eq!(told.json()["scope"], "todo:read todo:write");
}

/// A token is dated after the cut-off of a new policy, so a node that has not heard of that policy yet looks.
#[tokio::test]
async fn a_token_says_what_a_policy_asks_that_this_node_has_not_loaded() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    publish(&world, 1, &with_roles(&world, json!([]))).await;
    world.authority.reload().await.unwrap();
    let user = claims(text(&tokens, "access_token"))["sub"].clone();
    let user = UserId::from_text(user.as_str().unwrap());
    let mut refresh_token = text(&tokens, "refresh_token").to_owned();
    for (revision, is_member) in [(2, false), (3, true)] {
        let group = domain::Group {
            id: domain::GroupId::random(&OsRandom),
            name: format!("group {revision}"),
            created_at: world.now(),
        };
        let event = world.event(AuditEventKind::GroupAdded);
        world.store.insert_group(&group, event).await.unwrap();
        if is_member {
            let event = world.event(AuditEventKind::GroupJoined);
            let joined = world.store.join_group(&group.id, &user, event).await;
            assert_eq!(joined, Ok(true));
        }
        let rules = json!([{"id": "rul_1", "effect": "deny", "who": {"group": group.id.as_str()},
            "client": "any", "what": {"scopes": "todo:read"}}]);
        publish(&world, revision, &with_roles(&world, rules)).await;
        let refreshed = world.refresh(&client, &refresh_token).await.json();
        let said = claims(text(&refreshed, "access_token"));
        let groups = &said["groups"];
        if is_member {
            assert_eq!(*groups, json!([group.id.as_str()]), "{said}");
            assert_eq!(said["scope"], "", "{said}");
        } else {
            assert!(groups.is_null() || *groups == json!([]), "{said}");
            assert_eq!(said["scope"], "todo:read", "{said}");
        }
        refresh_token = text(&refreshed, "refresh_token").to_owned();
    }
}

/// Two credentials are good at once while one replaces the other, and never three.
#[tokio::test]
async fn a_rotated_credential_stays_good_for_a_week_and_an_older_one_ends_at_once() {
    let world = World::new().await;
    let (_, tokens) = world.connected().await;
    let access = text(&tokens, "access_token");
    let works = async |credential: &NewCredential| {
        ask(&world, credential, access).await.status == StatusCode::OK
    };
    let first = world.credential("todo").await;
    let second = world.credential("todo").await;
    assert!(works(&first).await && works(&second).await);
    let third = world.credential("todo").await;
    assert!(!works(&first).await && works(&second).await && works(&third).await);
    world.clock.advance(OLDER_CREDENTIAL_LIFETIME);
    assert!(!works(&second).await && works(&third).await);
    let kept = world
        .store
        .find_resource_server_credential(&domain::ServerSlug::parse("todo").unwrap(), &third.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.digest, base::Digest::of(third.secret.expose()));
    let nobody = domain::ServerSlug::parse("nobody").unwrap();
    let made = oauth::resource_server::create_credential(
        &world.store,
        world.now(),
        &OsRandom,
        &nobody,
        OLDER_CREDENTIAL_LIFETIME,
    );
    assert!(made.await.unwrap().is_none());
}

/// TK-04, TK-05 for this endpoint.
#[tokio::test]
async fn only_a_posted_form_is_read() {
    let world = World::new().await;
    let (_, tokens) = world.connected().await;
    let access = text(&tokens, "access_token");
    let credential = world.credential("todo").await;
    let (id, secret) = (credential.id.as_str(), credential.secret.expose());
    let get = world.get(INTROSPECT).await;
    assert_eq!(get.status, StatusCode::METHOD_NOT_ALLOWED);
    let in_query = format!("{INTROSPECT}?token={access}");
    world
        .post_basic(&in_query, id, secret, &[])
        .await
        .assert_error(400, "invalid_request", "body");
    let json = request(Method::POST, INTROSPECT)
        .header("content-type", "application/json")
        .header("authorization", crate::machines::basic(id, secret))
        .body(axum::body::Body::from(json!({"token": access}).to_string()))
        .unwrap();
    world
        .send(json)
        .await
        .assert_error(415, "invalid_request", "");
    let repeated = [("token", access), ("token", access)];
    world
        .post_basic(INTROSPECT, id, secret, &repeated)
        .await
        .assert_error(400, "invalid_request", "token");
}

#[tokio::test]
async fn one_server_asks_as_often_as_a_busy_one_does_and_another_is_not_held_up_by_it() {
    let world = World::new().await;
    world.add_server("other", Default::default()).await;
    let credential = world.credential("todo").await;
    for _ in 0..5_000 {
        assert_inactive(&ask(&world, &credential, "x").await);
    }
    let answer = ask(&world, &credential, "x").await;
    answer.assert_error(503, "temporarily_unavailable", "try again");
    assert!(!answer.header("retry-after").is_empty());
    let other = world.credential("other").await;
    let answer = world
        .post_basic(
            "/servers/other/introspect",
            other.id.as_str(),
            other.secret.expose(),
            &[("token", "x")],
        )
        .await;
    assert_inactive(&answer);
    world.clock.advance(Duration::from_secs(1));
    assert_inactive(&ask(&world, &credential, "x").await);
}
