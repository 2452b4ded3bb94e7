//! A database of the first release goes on under this one: nobody signs in again.

use std::time::Duration;

use base::{Digest, Timestamp};
use domain::{
    AuditEventKind, ClientAuthentication, ClientId, ClientRegistration, MetadataDocumentTrust,
    RegistrationMode, ServerSlug, UserId,
};
use store::{Redeemed, Rotated};

use crate::databases::on_every_database;
use crate::fixture::{event, redeem, rotate, scopes};

const NOW: i64 = 1_795_224_200_000;

/// As that release wrote it. The digests are those of the words `first` (a refresh token) and `waiting` (a code).
pub const FIRST_RELEASE: &str = concat!(
    include_str!("../../migrations/0001_first.sql"),
    r#"
    CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL);
    INSERT INTO schema_version VALUES (1, 'authority', 1795224132664);
    INSERT INTO app_user VALUES
        ('usr_1', 'Ann@example.com', 'ann@example.com', 'Ann', '$argon2id$x', 'owner', 1795224132664, NULL);
    INSERT INTO login_session VALUES
        ('ses_1', 'c', 'usr_1', 1795224132664, 1895224132664, NULL);
    INSERT INTO mcp_server VALUES
        ('todo', 'Todo', 'http://localhost:4180/mcp/todo', '{"kind":"todo"}',
         '{"dynamic_registration":true,"access_token_seconds":3600,"refresh_token_seconds":7776000,"family_seconds":31536000,"strict_rotation":false,"sign_in":"invited"}',
         '{"mode":"enforce","scopes":[{"id":"todo:read","name":"todo:read","title":"See your todos","risk":"low","implies":""}],"default_scopes":"todo:read","tools":{},"resources":{},"resource_templates":{},"prompts":{}}',
         1, 1795224132799);
    INSERT INTO client VALUES
        ('cli_1', 'todo', 'Cursor', '["cursor://anysphere.cursor-mcp/oauth/callback","http://localhost:8787/callback"]', 'dynamic',
         'SjcToa49hSWHsX2y5Xpms3ZMWS_7Ix1jltV3Q64x3ZE',
         '{"client_id":"cli_1","client_id_issued_at":1795224159,"redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback","http://localhost:8787/callback"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"],"response_types":["code"],"client_name":"Cursor","software_id":"x","client_secret_expires_at":0,"custom":{"a":1}}',
         1795224159462, NULL),
        ('cli_2', 'todo', 'Blocked', '["https://b.example/cb"]', 'pre-registered', NULL,
         '{"client_id":"cli_2","client_id_issued_at":1795224159,"redirect_uris":["https://b.example/cb"],"token_endpoint_auth_method":"none","grant_types":[],"response_types":[],"client_secret_expires_at":0}',
         1795224159462, 1795224159463);
    INSERT INTO consent VALUES
        ('usr_1', 'cli_1', 'http://localhost:8787/callback', 'todo', 'todo:read', 1795224160000);
    INSERT INTO token_family VALUES
        ('grt_1', 'todo', 'cli_1', 'usr_1', 'todo:read', 1795224160000, 1795224160000, 1895224160000, NULL, NULL, NULL),
        ('grt_2', 'todo', 'cli_1', 'usr_1', 'todo:read', 1795224160000, 1795224160000, 1895224160000, 1795224161000, 'revoked', 1795310561000);
    INSERT INTO signing_key VALUES
        ('key_1', 'access-token', 'ES256', 'sealed', '{"kty":"EC"}', 1795224132801, NULL),
        ('key_2', 'identity', 'ES256', 'sealed', '{"kty":"EC"}', 1795224132802, NULL);
    INSERT INTO refresh_token VALUES
        ('p5N7ZLjKpY8Dchu2us9ceMsjX-vg5wsbhM2ZVBRhoI4', 'grt_1', 0, 1895224160000, NULL, NULL, NULL);
    INSERT INTO authorization_code VALUES
        ('gM-j5_KN3k32RDa2UiMK_yjXd5EW0TacIe8rvzcmHXE', 'todo', 'cli_1', 'usr_1', 'ses_1', 'http://localhost:8787/callback',
         'iMnq5o6zALKXGivsnlom_0F5_WYda32GHkxlV7mq7hQ', 'todo:read', 1795224160000, 'grt_3', 1795224160000, 1795224220000);
    UPDATE change SET counter = 7;
    "#
);

#[tokio::test]
async fn what_people_and_clients_had_under_the_first_release_goes_on() {
    on_every_database(|database| async move {
        database.of_the_first_release(FIRST_RELEASE).await;
        let store = database.open().await;
        let now = Timestamp::from_unix_ms(NOW);
        let todo = ServerSlug::parse("todo").unwrap();
        let client = ClientId::from_text("cli_1");

        let servers = store.list_servers().await.unwrap();
        let settings = &servers[0].settings;
        assert_eq!(settings.dynamic_registration, RegistrationMode::Open);
        assert_eq!(settings.metadata_documents, MetadataDocumentTrust::Open);
        let found = store.find_client(&todo, &client).await.unwrap().unwrap();
        assert_eq!(found.registration, ClientRegistration::Dynamic);
        assert_eq!(found.authentication, ClientAuthentication::none());
        assert_eq!((found.service_scopes, found.waiting_since), (None, None));
        assert_eq!(found.redirect_uris.len(), 2);
        let clients = store.list_clients(None, 10).await.unwrap();
        let blocked = clients[1].disabled_at;
        assert_eq!((clients.len(), blocked.is_some()), (2, true));

        let person = UserId::from_text("usr_1");
        let consent = store
            .find_consent(&person, &todo, &client, "http://localhost:8787/callback")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(consent.scopes, scopes("todo:read"));

        let keys = store.list_signing_keys().await.unwrap();
        assert_eq!(keys.len(), 2);
        for key in &keys {
            assert_eq!(key.signs_from, key.created_at);
            assert!(key.token_seconds_max >= 3600 && key.withdrawn_at.is_none());
        }
        let revoked = store.list_revoked_grants(-1, now).await.unwrap();
        assert_eq!(revoked[0].1.as_str(), "grt_2");
        assert_eq!(revoked.len(), 1);

        let first = Digest::of("first");
        let state = store.find_refresh_token(first).await.unwrap().unwrap();
        assert!(!state.client_disabled && !state.user_disabled);
        assert_eq!(
            state.client_authentication,
            Some(ClientAuthentication::none())
        );
        assert!(state.family.withheld.is_empty() && state.family.ended.is_none());
        // Nobody wrote down where its code went; of the one that still waits it is known.
        assert_eq!(state.family.redirect_uri, None);
        let mut rotation = rotate(&state.token, now);
        rotation.now = now;
        rotation.successor.expires_at = now.after(Duration::from_secs(60));
        let rotated = store.rotate_refresh_token(rotation).await;
        assert_eq!(rotated, Ok(Rotated::Fresh));
        let code = store.find_code(Digest::of("waiting")).await.unwrap();
        let code = code.unwrap().code;
        assert!(code.withheld.is_empty());
        let redeemed = store.redeem_code(redeem(&code, now)).await;
        assert_eq!(redeemed, Ok(Redeemed::Fresh));
        let families = store.list_families_of(&person, None, 10).await.unwrap();
        let of_the_code = families.iter().find(|family| family.id == code.grant);
        let redirect_uri = of_the_code.unwrap().redirect_uri.as_deref();
        assert_eq!(redirect_uri, Some("http://localhost:8787/callback"));
        store
            .insert_audit_event(event(AuditEventKind::ClientApproved))
            .await
            .unwrap();
        assert_eq!(store.check_integrity().await.unwrap(), Vec::<String>::new());
        store.close().await;
        database.open().await.close().await;
    })
    .await;
}
