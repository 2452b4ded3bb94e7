//! Static tokens for machines that cannot do OAuth.

use std::time::Duration;

use base::{Digest, OsRandom};
use domain::{AuditEventKind, UserId};
use http::StatusCode;
use oauth::service_tokens::{
    self, CreateServiceTokenError, CreatedServiceToken, EXCHANGED_LIFETIME, LIFETIME_MAX,
    NewServiceToken, Revoker, ServiceTokenFilter,
};
use wire::oauth::{ErrorCode, ScopeSet};

use crate::support::{RESOURCE, World, claims};

const HOUR: Duration = Duration::from_secs(3600);

impl World {
    async fn service_token(
        &self,
        owner: Option<&UserId>,
        scopes: &str,
        lifetime: Duration,
    ) -> Result<CreatedServiceToken, CreateServiceTokenError> {
        let server = self.authority.server("todo").unwrap();
        let new = NewServiceToken {
            server: &server.server,
            owner,
            name: "nightly build",
            scopes: &ScopeSet::parse_lenient(scopes),
            lifetime,
        };
        service_tokens::create(&self.store, self.now(), &OsRandom, new, owner).await
    }

    async fn exchanged(&self, slug: &str, text: &str) -> Result<String, oauth::Error> {
        let server = self.authority.server(slug).unwrap();
        service_tokens::exchange(&self.authority, &server, text).await
    }

    async fn assert_dead(&self, text: &str) {
        let error = self.exchanged("todo", text).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidGrant);
    }
}

#[tokio::test]
async fn a_token_of_a_person_is_exchanged_for_one_that_lives_minutes_with_their_subject() {
    let world = World::new().await;
    let alice = world.add_alice().await;
    let made = world
        .service_token(Some(&alice.id), "todo:read", HOUR)
        .await
        .unwrap();
    let text = made.text.expose();
    assert!(text.starts_with("pct_") && text.len() == 47, "256 bits");
    assert_eq!(made.token.digest, Digest::of(text));
    let access = world.exchanged("todo", text).await.unwrap();
    let claims = claims(&access);
    assert_eq!(claims["sub"], alice.id.as_str());
    assert_eq!(claims["client_id"], made.token.id.as_str());
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["scope"], "todo:read");
    assert_eq!(claims["grant_id"], made.token.grant.as_str());
    assert!(claims.get("auth_time").is_none());
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, EXCHANGED_LIFETIME.as_secs() as i64);
    let own = world.service_token(None, "todo:read", HOUR).await.unwrap();
    let access = world.exchanged("todo", own.text.expose()).await.unwrap();
    assert_eq!(self::claims(&access)["sub"], own.token.id.as_str());
    let kinds = world.audit_kinds().await;
    let created = AuditEventKind::ServiceTokenCreated;
    assert_eq!(kinds.iter().filter(|kind| **kind == created).count(), 2);
}

#[tokio::test]
async fn it_is_good_at_its_own_server_until_its_time_and_nowhere_else() {
    let world = World::new().await;
    world.add_server("other", Default::default()).await;
    let made = world.service_token(None, "todo:read", HOUR).await.unwrap();
    let text = made.text.expose();
    let error = world.exchanged("other", text).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidGrant);
    for wrong in ["", "pct_", "x", &text[..46], &format!("{text}A")] {
        world.assert_dead(wrong).await;
    }
    world.clock.advance(HOUR - Duration::from_secs(10));
    let access = world.exchanged("todo", text).await.unwrap();
    let claims = claims(&access);
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 10, "never beyond the token's own end");
    world.clock.advance(Duration::from_secs(10));
    world.assert_dead(text).await;
}

#[tokio::test]
async fn revoking_ends_it_everywhere_and_only_its_owner_or_an_admin_can() {
    let world = World::new().await;
    let alice = world.add_alice().await;
    let bob = world.add_user("bob@example.com").await;
    let made = world
        .service_token(Some(&alice.id), "todo:read", HOUR)
        .await
        .unwrap();
    let id = &made.token.id;
    let by = async |revoker| {
        let revoked = service_tokens::revoke(&world.store, world.now(), id, revoker);
        revoked.await.unwrap()
    };
    assert!(!by(Revoker::Owner(&bob.id)).await);
    assert!(world.exchanged("todo", made.text.expose()).await.is_ok());
    assert!(world.revoked_grants().await.is_empty());
    assert!(by(Revoker::Owner(&alice.id)).await);
    world.assert_dead(made.text.expose()).await;
    assert_eq!(world.revoked_grants().await, [made.token.grant.as_str()]);
    assert!(!by(Revoker::Admin).await, "it was revoked already");
    let other = world
        .service_token(Some(&alice.id), "todo:read", HOUR)
        .await
        .unwrap();
    let revoked =
        service_tokens::revoke(&world.store, world.now(), &other.token.id, Revoker::Admin);
    assert!(revoked.await.unwrap());
    world.assert_dead(other.text.expose()).await;
}

#[tokio::test]
async fn a_disabled_owner_takes_it_along_and_a_machines_own_lives_on() {
    let world = World::new().await;
    let alice = world.add_alice().await;
    let hers = world
        .service_token(Some(&alice.id), "todo:read", HOUR)
        .await
        .unwrap();
    let own = world.service_token(None, "todo:read", HOUR).await.unwrap();
    assert!(world.exchanged("todo", hers.text.expose()).await.is_ok());
    world.disable_user(&alice.id).await;
    world.assert_dead(hers.text.expose()).await;
    assert!(world.exchanged("todo", own.text.expose()).await.is_ok());
}

/// Somebody has to be able to open the dashboard.
#[tokio::test]
async fn a_person_is_disabled_and_enabled_again_and_the_only_owner_is_not() {
    let world = World::new().await;
    let alice = world.add_alice().await;
    let password = base::Secret::new(crate::support::PASSWORD.to_owned());
    let owner = oauth::users::add(
        &world.store,
        &world.clock,
        &OsRandom,
        domain::EmailAddress::parse("owner@example.com").unwrap(),
        &password,
        domain::UserRole::Owner,
    );
    let owner = owner.await.unwrap();
    let now = world.now();
    let refused = oauth::users::disable(&world.store, now, &owner).await;
    assert!(refused.unwrap_err().to_string().contains("no other owner"));
    let hers = world
        .service_token(Some(&alice.id), "todo:read", HOUR)
        .await
        .unwrap();
    let disabled = oauth::users::disable(&world.store, now, &alice).await;
    assert!(disabled.unwrap());
    world.assert_dead(hers.text.expose()).await;
    assert_eq!(world.revoked_grants().await, [hers.token.grant.as_str()]);
    assert!(
        oauth::users::enable(&world.store, now, &alice)
            .await
            .unwrap()
    );
    // What ended stays ended, and a new one is good.
    world.assert_dead(hers.text.expose()).await;
    let again = world
        .service_token(Some(&alice.id), "todo:read", HOUR)
        .await
        .unwrap();
    assert!(world.exchanged("todo", again.text.expose()).await.is_ok());
}

#[tokio::test]
async fn each_wrong_wish_is_refused_alone() {
    use CreateServiceTokenError as No;
    let world = World::new().await;
    let wish = async |name: &str, scopes: &str, lifetime| {
        let server = world.authority.server("todo").unwrap();
        let new = NewServiceToken {
            server: &server.server,
            owner: None,
            name,
            scopes: &ScopeSet::parse_lenient(scopes),
            lifetime,
        };
        let made = service_tokens::create(&world.store, world.now(), &OsRandom, new, None).await;
        made.map(|made| made.token)
    };
    let long = "n".repeat(101);
    for name in ["", "  ", "two\nlines", long.as_str()] {
        assert!(matches!(wish(name, "todo:read", HOUR).await, Err(No::Name)));
    }
    let unknown = wish("x", "todo:read nonsense", HOUR).await.unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "todo has no scope nonsense; it has: todo:delete todo:read todo:write"
    );
    assert!(matches!(wish("x", "", HOUR).await, Err(No::NoScope)));
    let second = Duration::from_secs(1);
    for lifetime in [second * 59, LIFETIME_MAX + second] {
        let made = wish("x", "todo:read", lifetime).await;
        assert!(matches!(made, Err(No::Lifetime)));
    }
    for lifetime in [second * 60, LIFETIME_MAX] {
        assert!(wish("x", "todo:read", lifetime).await.is_ok());
    }
}

#[tokio::test]
async fn the_hundred_and_first_live_token_is_refused_and_a_revoked_one_makes_room() {
    let world = World::new().await;
    let alice = world.add_alice().await;
    for _ in 0..100 {
        let made = world
            .service_token(Some(&alice.id), "todo:read", HOUR)
            .await;
        made.unwrap();
    }
    let more = world
        .service_token(Some(&alice.id), "todo:read", HOUR)
        .await;
    assert!(matches!(more, Err(CreateServiceTokenError::TooMany)));
    // Nobody else is held up by it.
    assert!(world.service_token(None, "todo:read", HOUR).await.is_ok());
    let filter = ServiceTokenFilter {
        owner: Some(&alice.id),
        ..ServiceTokenFilter::default()
    };
    let hers = service_tokens::list(&world.store, filter).await.unwrap();
    assert_eq!(hers.len(), 100);
    let by = Revoker::Owner(&alice.id);
    service_tokens::revoke(&world.store, world.now(), &hers[0].id, by)
        .await
        .unwrap();
    let again = world
        .service_token(Some(&alice.id), "todo:read", HOUR)
        .await;
    assert!(again.is_ok());
}

/// Whoever found it in public may end it; nobody learns from the answer whether it was one.
#[tokio::test]
async fn its_holder_revokes_it_without_being_a_client() {
    let world = World::new().await;
    let made = world.service_token(None, "todo:read", HOUR).await.unwrap();
    let revoke = "/servers/todo/revoke";
    let unknown = format!("pct_{}", "A".repeat(43));
    let answer = world.post_form(revoke, &[("token", &unknown)]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(world.exchanged("todo", made.text.expose()).await.is_ok());
    for _ in 0..2 {
        let answer = world
            .post_form(revoke, &[("token", made.text.expose())])
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.text, "");
    }
    world.assert_dead(made.text.expose()).await;
}

/// It is a secret of its own kind: no endpoint of OAuth takes it for another.
#[tokio::test]
async fn it_is_no_refresh_token_no_secret_and_no_code() {
    let world = World::new().await;
    let client = world.secret_client("todo:read").await;
    let made = world.service_token(None, "todo:read", HOUR).await.unwrap();
    let text = made.text.expose();
    world
        .post_basic(
            "/servers/todo/token",
            &client.id,
            &client.secret,
            &[("grant_type", "refresh_token"), ("refresh_token", text)],
        )
        .await
        .assert_error(400, "invalid_grant", "");
    world
        .post_basic(
            "/servers/todo/token",
            made.token.id.as_str(),
            text,
            &[("grant_type", "client_credentials")],
        )
        .await
        .assert_error(401, "invalid_client", "");
}

/// No client of that id is registered, and the MCP server that asks learns that the token is good all the same.
#[tokio::test]
async fn what_it_was_exchanged_for_is_active_at_introspection_until_it_is_revoked() {
    let world = World::new().await;
    let made = world.service_token(None, "todo:read", HOUR).await.unwrap();
    let text = made.text.expose();
    let access = world.exchanged("todo", text).await.unwrap();
    let credential = world.credential("todo").await;
    let is_active = async || {
        let (id, secret) = (credential.id.as_str(), credential.secret.expose());
        let fields = [("token", access.as_str())];
        let path = "/servers/todo/introspect";
        let answer = world.post_basic(path, id, secret, &fields).await;
        answer.json()["active"].clone()
    };
    assert_eq!(is_active().await, true);
    let fields = [("token", text.as_str())];
    let revoked = world.post_form("/servers/todo/revoke", &fields).await;
    assert_eq!(revoked.status, StatusCode::OK);
    assert_eq!(is_active().await, false);
}
