//! People, servers, clients, codes and tokens to test with.

use std::time::Duration;

use authz::{Policy, Role, RoleScopes};
use base::{Digest, OsRandom, Secret, Timestamp, random_token};
use domain::{
    AuditEvent, AuditEventKind, AuthorizationCode, Client, ClientId, ClientRegistration, Consent,
    EmailAddress, GrantId, LoginSession, McpServer, RefreshToken, ServerSettings, ServerSlug,
    SessionId, Upstream, User, UserId, UserRole,
};
use store::{PublishOutcome, RedeemCode, Redeemed, RotateRefreshToken, Store};
use wire::oauth::{ClientRegistrationResponse, CodeChallenge, RedirectUri, ScopeSet};

/// 2026-11-20T00:00:00Z, plus `seconds`.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_795_132_800 + seconds)
}

pub fn event(kind: AuditEventKind) -> AuditEvent {
    AuditEvent {
        at: at(0),
        kind,
        server: Some(ServerSlug::parse("todo").unwrap()),
        user: None,
        client: None,
        grant: None,
        detail: String::from("for a test"),
    }
}

pub fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse_lenient(text)
}

pub fn server(slug: &str) -> McpServer {
    McpServer {
        slug: ServerSlug::parse(slug).unwrap(),
        name: format!("The {slug} server"),
        resource: format!("http://localhost:4180/mcp/{slug}"),
        other_addresses: domain::OtherAddresses::default(),
        upstream: Upstream::Stdio {
            command: "npx".into(),
            args: vec!["-y".into(), "ä \"quoted\"".into()],
            env: vec![],
            directory: "/tmp".into(),
        },
        settings: ServerSettings::default(),
        policy: Policy::default(),
        policy_revision: 1,
        created_at: at(0),
    }
}

pub fn user(email: &str) -> User {
    User {
        id: UserId::random(&OsRandom),
        email: EmailAddress::parse(email).unwrap(),
        name: email.split('@').next().unwrap().to_owned(),
        password_hash: Some(Secret::new("$argon2id$v=19$x".to_owned())),
        role: UserRole::Member,
        created_at: at(0),
        disabled_at: None,
    }
}

pub fn session(user: &User) -> LoginSession {
    LoginSession {
        id: SessionId::random(&OsRandom),
        cookie_digest: Digest::of(random_token(&OsRandom, "pcl_")),
        user: user.id.clone(),
        authenticated_at: at(0),
        expires_at: at(3600),
        ended_at: None,
    }
}

pub fn client(server: &McpServer) -> Client {
    let id = ClientId::random(&OsRandom);
    let redirect = "http://127.0.0.1:33418/callback";
    Client {
        metadata: ClientRegistrationResponse {
            client_id: id.to_string(),
            client_id_issued_at: at(0).unix_seconds(),
            redirect_uris: vec![redirect.into()],
            token_endpoint_auth_method: "none".into(),
            grant_types: vec!["authorization_code".into()],
            response_types: vec!["code".into()],
            client_name: Some("Inspector ✓".into()),
            scope: None,
            application_type: None,
            client_uri: None,
            logo_uri: None,
            software_id: None,
            software_version: None,
            other: serde_json::Map::new(),
        },
        id,
        server: server.slug.clone(),
        name: "Inspector ✓".into(),
        redirect_uris: vec![RedirectUri::parse(redirect).unwrap()],
        registration: ClientRegistration::Dynamic,
        authentication: domain::ClientAuthentication::none(),
        service_scopes: None,
        created_at: at(0),
        waiting_since: None,
        disabled_at: None,
    }
}

/// A person signed in to a server with a client.
#[derive(Clone)]
pub struct Fixture {
    pub store: Store,
    pub server: McpServer,
    pub user: User,
    pub session: LoginSession,
    pub client: Client,
}

impl Fixture {
    pub async fn new(store: &Store) -> Self {
        let server = server("todo");
        let user = user("alice@example.com");
        let session = session(&user);
        let client = client(&server);
        let added = event(AuditEventKind::ServerAdded);
        store.insert_server(&server, added.clone()).await.unwrap();
        store.insert_user(&user, added.clone()).await.unwrap();
        store
            .insert_login_session(&session, added.clone())
            .await
            .unwrap();
        store.insert_client(&client, None, added).await.unwrap();
        Self {
            store: store.clone(),
            server,
            user,
            session,
            client,
        }
    }

    /// Publishes a policy with roles of these ids, over the one that is there.
    pub async fn publish_roles(&self, ids: &[&str]) {
        let slug = &self.server.slug;
        let server = self.store.find_server(slug).await.unwrap().unwrap();
        let roles = ids.iter().map(|id| Role {
            id: (*id).to_owned(),
            name: (*id).to_owned(),
            title: String::new(),
            scopes: RoleScopes::All,
        });
        let policy = Policy {
            roles: roles.collect(),
            ..Policy::default()
        };
        let event = event(AuditEventKind::PolicyPublished);
        let revision = server.policy_revision;
        let published = self.store.publish_policy(slug, revision, &policy, event);
        let expected = PublishOutcome::Published(revision + 1);
        assert_eq!(published.await, Ok(expected));
    }

    /// A code that is not in the store yet.
    pub fn code(&self) -> AuthorizationCode {
        AuthorizationCode {
            digest: Digest::of(random_token(&OsRandom, "pcc_")),
            server: self.server.slug.clone(),
            client: self.client.id.clone(),
            user: self.user.id.clone(),
            session: self.session.id.clone(),
            redirect_uri: "http://127.0.0.1:50000/callback".into(),
            code_challenge: CodeChallenge::parse(&Digest::of("verifier").to_text()).unwrap(),
            scopes: scopes("todo:read todo:write"),
            withheld: Vec::new(),
            authenticated_at: at(0),
            grant: GrantId::random(&OsRandom),
            issued_at: at(0),
            expires_at: at(60),
            redeemed_at: None,
        }
    }

    pub fn consent(&self) -> Consent {
        Consent {
            user: self.user.id.clone(),
            server: self.server.slug.clone(),
            client: self.client.id.clone(),
            redirect_uri: "http://127.0.0.1:50000/callback".into(),
            scopes: scopes("todo:read todo:write"),
            approved_at: at(0),
        }
    }

    /// A code in the store.
    pub async fn issued_code(&self) -> AuthorizationCode {
        let code = self.code();
        self.store
            .insert_code(
                code.clone(),
                self.consent(),
                event(AuditEventKind::ConsentGiven),
            )
            .await
            .unwrap();
        code
    }

    /// The first refresh token of a redeemed code.
    pub async fn refresh_token(&self) -> RefreshToken {
        let code = self.issued_code().await;
        let redeem = redeem(&code, at(1));
        let refresh = redeem.refresh.clone().unwrap();
        assert_eq!(
            self.store.redeem_code(redeem).await.unwrap(),
            Redeemed::Fresh
        );
        refresh
    }
}

/// The redemption of `code` at `now`.
pub fn redeem(code: &AuthorizationCode, now: Timestamp) -> RedeemCode {
    RedeemCode {
        digest: code.digest,
        family_expires_at: now.after(Duration::from_secs(1000)),
        refresh: Some(RefreshToken {
            digest: Digest::of(random_token(&OsRandom, "pcr_")),
            family: code.grant.clone(),
            generation: 0,
            expires_at: now.after(Duration::from_secs(500)),
            spent: None,
        }),
        now,
        event: event(AuditEventKind::CodeRedeemed),
    }
}

/// The rotation of `token` at `now`.
pub fn rotate(token: &RefreshToken, now: Timestamp) -> RotateRefreshToken {
    RotateRefreshToken {
        digest: token.digest,
        salt: vec![0, 1, 2, 255],
        successor: RefreshToken {
            digest: Digest::of(random_token(&OsRandom, "pcr_")),
            family: token.family.clone(),
            generation: token.generation + 1,
            expires_at: now.after(Duration::from_secs(500)),
            spent: None,
        },
        now,
        event: event(AuditEventKind::TokenRefreshed),
    }
}
