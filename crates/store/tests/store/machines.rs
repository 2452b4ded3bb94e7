//! Secrets of clients, credentials of MCP servers, and what machines do for themselves.

use std::sync::Arc;

use base::{Digest, OsRandom, random_token};
use domain::{
    AuditEventKind, ClientId, ClientSecret, GrantId, ResourceServerCredential, ResourceServerId,
    ServiceGrant, ServiceToken, ServiceTokenId, UserId, WithheldReason, WithheldScope,
};
use store::{InsertServiceToken, RevokeServiceToken, Store, UserDisabled};
use tokio::sync::Barrier;
use wire::oauth::Scope;

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{Fixture, at, event, redeem, scopes, server};

const RACERS: usize = 16;

fn secret(client: &ClientId, text: &str, seconds: i64) -> ClientSecret {
    ClientSecret {
        digest: Digest::of(text),
        client: client.clone(),
        created_at: at(seconds),
        expires_at: None,
    }
}

fn service_token(fixture: &Fixture, user: Option<&UserId>) -> ServiceToken {
    ServiceToken {
        id: ServiceTokenId::at(at(0), &OsRandom),
        digest: Digest::of(random_token(&OsRandom, "pct_")),
        server: fixture.server.slug.clone(),
        user: user.cloned(),
        name: "nightly ✓".into(),
        scopes: scopes("todo:read todo:write"),
        grant: GrantId::at(at(0), &OsRandom),
        created_at: at(0),
        expires_at: at(1000),
        revoked_at: None,
    }
}

async fn insert(store: &Store, token: &ServiceToken) {
    let made = event(AuditEventKind::ServiceTokenCreated);
    let inserted = store.insert_service_token(token, 100, made).await.unwrap();
    assert_eq!(inserted, InsertServiceToken::Inserted);
}

fn withheld() -> Vec<WithheldScope> {
    vec![WithheldScope {
        scope: Scope::parse("todo:delete").unwrap(),
        reason: WithheldReason::NotApproved,
    }]
}

/// Single use across processes and restarts: the database alone decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_that_spend_one_assertion_id_exactly_one_is_first() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        for round in 0..25 {
            let id = Digest::of(format!("cli_1\n{round}"));
            let start = Arc::new(Barrier::new(RACERS));
            let mut racers = Vec::new();
            for racer in 0..RACERS {
                let store = stores[racer % 2].clone();
                let start = Arc::clone(&start);
                racers.push(tokio::spawn(async move {
                    start.wait().await;
                    store.spend_assertion_id(id, at(60)).await.unwrap()
                }));
            }
            let mut first = 0;
            for racer in racers {
                first += usize::from(racer.await.unwrap());
            }
            assert_eq!(first, 1);
        }
        for store in stores {
            store.close().await;
        }
        let store = database.open().await;
        let again = store.spend_assertion_id(Digest::of("cli_1\n0"), at(60));
        assert!(!again.await.unwrap(), "it is remembered over a restart");
        let other = store.spend_assertion_id(Digest::of("cli_2\n0"), at(60));
        assert!(other.await.unwrap());
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_assertion_id_is_kept_a_day_longer_than_its_time_for_slow_clocks_and_not_for_ever() {
    on_every_store(|store| async move {
        let id = Digest::of("id");
        assert!(store.spend_assertion_id(id, at(60)).await.unwrap());
        let a_day_later = 60 + 24 * 3600;
        store.purge_expired(at(a_day_later), 10).await.unwrap();
        assert!(!store.spend_assertion_id(id, at(60)).await.unwrap());
        store.purge_expired(at(a_day_later + 1), 10).await.unwrap();
        assert!(store.spend_assertion_id(id, at(60)).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_client_has_two_secrets_at_most_and_the_older_one_has_an_end() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let client = &fixture.client.id;
        let add = async |text: &str, seconds: i64| {
            let made = event(AuditEventKind::ClientSecretCreated);
            let secret = secret(client, text, seconds);
            let slug = &fixture.server.slug;
            let added = store.add_client_secret(slug, secret, at(seconds + 100), made);
            assert!(added.await.unwrap());
        };
        for (seconds, text) in ["one", "two", "three"].into_iter().enumerate() {
            add(text, i64::try_from(seconds).unwrap()).await;
        }
        let kept = store.list_client_secrets(client).await.unwrap();
        let kept: Vec<_> = kept
            .iter()
            .map(|secret| (secret.digest, secret.expires_at))
            .collect();
        let expected = [
            (Digest::of("three"), None),
            (Digest::of("two"), Some(at(102))),
        ];
        assert_eq!(kept, expected);
        let made = event(AuditEventKind::ClientSecretCreated);
        let nobody = secret(&ClientId::from_text("cli_nobody"), "x", 5);
        let slug = &fixture.server.slug;
        let added = store.add_client_secret(slug, nobody, at(9), made.clone());
        assert!(!added.await.unwrap());
        let elsewhere = server("other").slug;
        let added = store.add_client_secret(&elsewhere, secret(client, "y", 5), at(9), made);
        assert!(!added.await.unwrap(), "it is another server's client");
    })
    .await;
}

#[tokio::test]
async fn a_credential_is_found_at_its_own_server_and_only_two_are_kept() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let slug = &fixture.server.slug;
        let mut ids = Vec::new();
        for seconds in 0..3 {
            let credential = ResourceServerCredential {
                id: ResourceServerId::random(&OsRandom),
                server: slug.clone(),
                digest: Digest::of("secret"),
                created_at: at(seconds),
                expires_at: None,
            };
            ids.push(credential.id.clone());
            let made = event(AuditEventKind::ServerCredentialCreated);
            let added = store.add_resource_server_credential(credential, at(100), made);
            assert!(added.await.unwrap());
        }
        let find = async |id| {
            store
                .find_resource_server_credential(slug, id)
                .await
                .unwrap()
        };
        assert!(find(&ids[0]).await.is_none());
        assert_eq!(find(&ids[1]).await.unwrap().expires_at, Some(at(100)));
        assert_eq!(find(&ids[2]).await.unwrap().expires_at, None);
        let other = server("other").slug;
        let found = store.find_resource_server_credential(&other, &ids[2]);
        assert!(found.await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_service_token_comes_back_as_it_was_and_its_end_is_in_the_feed() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let token = service_token(&fixture, Some(&fixture.user.id));
        insert(&store, &token).await;
        let found = store
            .find_service_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert!(!found.ended && !found.user_disabled);
        assert_eq!(format!("{:?}", found.token), format!("{token:?}"));
        let grant = store.find_grant(&token.grant).await.unwrap().unwrap();
        assert_eq!(grant.client.as_str(), token.id.as_str());
        assert_eq!(grant.subject, fixture.user.id.as_str());
        assert!(grant.person_is_live && !grant.ended);

        let counter = store.change_counter().await.unwrap();
        let revoke = |owner: Option<&UserId>| RevokeServiceToken {
            id: token.id.clone(),
            owner: owner.cloned(),
            revocation_until: at(500),
            now: at(10),
            event: event(AuditEventKind::ServiceTokenRevoked),
        };
        let stranger = UserId::random(&OsRandom);
        let revoked = store.revoke_service_token(revoke(Some(&stranger)));
        assert!(!revoked.await.unwrap());
        assert_eq!(store.change_counter().await.unwrap(), counter);
        let revoked = store.revoke_service_token(revoke(Some(&fixture.user.id)));
        assert!(revoked.await.unwrap());
        assert!(store.change_counter().await.unwrap() > counter);
        let ended = store.list_revoked_grants(-1, at(11)).await.unwrap();
        assert_eq!(
            ended,
            [(token.server.clone(), token.grant.clone(), at(500))]
        );
        let found = store
            .find_service_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert!(found.ended);
        assert_eq!(found.token.revoked_at, Some(at(10)));
        let again = store.revoke_service_token(revoke(None)).await;
        assert!(!again.unwrap());
    })
    .await;
}

#[tokio::test]
async fn service_tokens_are_listed_by_server_and_person_and_counted_by_both() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let hers = service_token(&fixture, Some(&fixture.user.id));
        let own = service_token(&fixture, None);
        insert(&store, &hers).await;
        insert(&store, &own).await;
        let list = async |slug: Option<&str>, user: Option<&UserId>| {
            let slug = slug.map(|slug| server(slug).slug);
            let listed = store.list_service_tokens(slug.as_ref(), user, None, 10);
            listed.await.unwrap().len()
        };
        assert_eq!(list(None, None).await, 2);
        assert_eq!(list(Some("todo"), None).await, 2);
        assert_eq!(list(Some("other"), None).await, 0);
        assert_eq!(list(None, Some(&fixture.user.id)).await, 1);
        // Each owner has room of their own.
        let made = || event(AuditEventKind::ServiceTokenCreated);
        let more = service_token(&fixture, None);
        let full = store.insert_service_token(&more, 1, made()).await;
        assert_eq!(full.unwrap(), InsertServiceToken::TooMany);
        let kept = store.find_service_token(more.digest).await;
        assert!(kept.unwrap().is_none());
        let room = store.insert_service_token(&more, 2, made()).await;
        assert_eq!(room.unwrap(), InsertServiceToken::Inserted);
        // They stay in sight for a season, and go then.
        store
            .purge_expired(at(1000 + 89 * 86_400), 10)
            .await
            .unwrap();
        assert_eq!(list(None, None).await, 3);
        store
            .purge_expired(at(1001 + 90 * 86_400), 10)
            .await
            .unwrap();
        assert_eq!(list(None, None).await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_was_withheld_goes_from_the_code_to_the_family_and_to_a_machines_grant() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let mut code = fixture.code();
        code.withheld = withheld();
        let given = event(AuditEventKind::ConsentGiven);
        store
            .insert_code(code.clone(), fixture.consent(), given)
            .await
            .unwrap();
        let found = store.find_code(code.digest).await.unwrap().unwrap();
        assert_eq!(found.code.withheld, withheld());
        let redeem = redeem(&code, at(1));
        let token = redeem.refresh.clone().unwrap();
        store.redeem_code(redeem).await.unwrap();
        let found = store.find_refresh_token(token.digest).await.unwrap();
        assert_eq!(found.unwrap().family.withheld, withheld());
        let grant = store.find_grant(&code.grant).await.unwrap().unwrap();
        assert_eq!(grant.withheld, withheld());
        assert!(grant.client_is_live && grant.person_is_live);

        let machine = ServiceGrant {
            id: GrantId::at(at(1), &OsRandom),
            server: fixture.server.slug.clone(),
            client: fixture.client.id.clone(),
            subject: fixture.client.id.to_string(),
            scopes: scopes("todo:read"),
            withheld: withheld(),
            created_at: at(1),
            expires_at: at(3601),
        };
        let issued = event(AuditEventKind::ClientTokenIssued);
        store
            .insert_service_grant(machine.clone(), issued)
            .await
            .unwrap();
        let grant = store.find_grant(&machine.id).await.unwrap().unwrap();
        assert_eq!(grant.withheld, withheld());
        assert_eq!(grant.subject, fixture.client.id.as_str());
        assert!(grant.client_is_live && !grant.person_is_live);
        let nobody = GrantId::at(at(1), &OsRandom);
        assert!(store.find_grant(&nobody).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_disabled_person_loses_sessions_and_grants_and_nobody_else_does() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let token = fixture.refresh_token().await;
        let hers = service_token(&fixture, Some(&fixture.user.id));
        let own = service_token(&fixture, None);
        insert(&store, &hers).await;
        insert(&store, &own).await;
        let gone = event(AuditEventKind::UserDisabled);
        let disabled = store.disable_user(&fixture.user.id, at(500), gone.clone());
        assert_eq!(disabled.await.unwrap(), UserDisabled::Disabled);
        let session = store
            .find_login_session(fixture.session.cookie_digest)
            .await;
        let session = session.unwrap();
        assert!(session.is_none_or(|(session, user)| {
            session.ended_at.is_some() && user.disabled_at.is_some()
        }));
        let found = store
            .find_refresh_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert!(found.user_disabled && found.family.ended.is_some());
        let found = store
            .find_service_token(hers.digest)
            .await
            .unwrap()
            .unwrap();
        assert!(found.user_disabled && found.ended && found.token.revoked_at.is_some());
        let found = store.find_service_token(own.digest).await.unwrap().unwrap();
        assert!(!found.user_disabled && !found.ended);
        let ended = store.list_revoked_grants(-1, at(11)).await.unwrap();
        assert_eq!(ended.len(), 2);
        let again = store.disable_user(&fixture.user.id, at(500), gone);
        assert_eq!(again.await.unwrap(), UserDisabled::Unchanged);

        let back = event(AuditEventKind::UserEnabled);
        let enabled = store.enable_user(&fixture.user.id, back.clone());
        assert!(enabled.await.unwrap());
        assert!(!store.enable_user(&fixture.user.id, back).await.unwrap());
        let found = store
            .find_refresh_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert!(!found.user_disabled && found.family.ended.is_some());
        let found = store
            .find_service_token(hers.digest)
            .await
            .unwrap()
            .unwrap();
        assert!(!found.user_disabled && found.ended);
    })
    .await;
}
