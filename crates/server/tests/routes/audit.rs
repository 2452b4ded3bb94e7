//! What is done leaves one event, which says what, who and where; what is only looked at leaves none.

use std::collections::BTreeSet;
use std::time::Duration;

use base::OsRandom;
use domain::{AuditEvent, AuditEventKind as Kind, KeyPurpose, ServiceTokenId};
use http::{Method, StatusCode};
use oauth::client_decision::{ClientDecision, decide};
use oauth::keys::{self, KeySettings, Rotation};
use oauth::service_tokens::{self, NewServiceToken, Revoker};
use serde_json::json;
use store::UserDeleted;
use testkit::DocumentHost;
use wire::oauth::ScopeSet;

use crate::machines::TOKEN;
use crate::support::{Browser, EMAIL, PASSWORD, VERIFIER, World, authorize_path, owned};
use crate::waiting::signed_in;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Kinds that no request of this file makes, each with the test that sees them.
const ELSEWHERE: &[(Kind, &str)] = &[
    (Kind::ServerAdded, "crates/cli/tests/audited.rs"),
    (Kind::ServerRemoved, "crates/cli/tests/audited.rs"),
    (Kind::ServerMoved, "crates/cli/tests/audited.rs"),
    (
        Kind::AuthorityMoved,
        "crates/store/tests/store/addresses.rs",
    ),
    (Kind::UserChanged, "crates/cli/tests/audited.rs"),
    (Kind::ClientChanged, "crates/cli/tests/audited.rs"),
    (Kind::AliasAdded, "crates/cli/tests/audited.rs"),
    (Kind::AliasRemoved, "crates/cli/tests/audited.rs"),
    (Kind::AliasProven, "crates/cli/tests/audited.rs"),
    (Kind::AliasLost, "crates/store/tests/store/addresses.rs"),
];

/// The audit log, read on from where it was read before.
struct Log<'a> {
    world: &'a World,
    read: i64,
    seen: BTreeSet<&'static str>,
}

impl<'a> Log<'a> {
    async fn new(world: &'a World) -> Self {
        let mut log = Self {
            world,
            read: 0,
            seen: BTreeSet::new(),
        };
        log.news().await;
        log
    }

    async fn news(&mut self) -> Vec<AuditEvent> {
        let news = self.world.store.list_audit_events(self.read, 1000).await;
        let news = news.unwrap();
        self.read = news.last().map_or(self.read, |stored| stored.id);
        let news: Vec<_> = news.into_iter().map(|stored| stored.event).collect();
        self.seen
            .extend(news.iter().map(|event| event.kind.as_str()));
        news
    }

    /// What was just done left one event of this kind, of this moment.
    async fn one(&mut self, kind: Kind) -> AuditEvent {
        let mut news = self.news().await;
        let kinds: Vec<_> = news.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [kind]);
        let event = news.remove(0);
        assert_eq!(event.at, self.world.now());
        event
    }

    /// The same of several at once, in the order of their names.
    async fn these(&mut self, kinds: &[Kind]) {
        let mut news: Vec<_> = self.news().await.iter().map(|event| event.kind).collect();
        news.sort_by_key(|kind| kind.as_str());
        assert_eq!(news, kinds);
    }

    /// The same among events of other kinds that belong to it.
    async fn one_among(&mut self, kind: Kind) -> AuditEvent {
        let mut news = self.news().await;
        news.retain(|event| event.kind == kind);
        assert_eq!(news.len(), 1, "{kind:?}");
        news.remove(0)
    }

    async fn nothing(&mut self) {
        assert_eq!(self.news().await, []);
    }
}

#[tokio::test]
async fn each_action_leaves_exactly_one_event_and_looking_leaves_none() {
    let names = ["claude.ai", "client.example"];
    let host = DocumentHost::start_as(&names).await;
    let world = World::empty("http://localhost:4180", Some((&host, &names))).await;
    let mut log = Log::new(&world).await;
    assert!(log.seen.contains(Kind::KeyCreated.as_str()));
    world.add_server("todo", Default::default()).await;
    log.news().await;

    people(&world, &mut log).await;
    let client = grants(&world, &mut log).await;
    clients(&world, &mut log, &client).await;
    machines(&world, &mut log).await;
    documents(&world, &mut log, &host).await;
    administration(&world, &mut log).await;
    roles_and_groups(&world, &mut log).await;
    signing_keys(&world, &mut log).await;
    world
        .store
        .begin_epoch("a test", world.now())
        .await
        .unwrap();
    log.one(Kind::EpochBegan).await;

    let elsewhere: BTreeSet<_> = ELSEWHERE.iter().map(|(kind, _)| kind.as_str()).collect();
    for kind in Kind::ALL {
        assert!(
            log.seen.contains(kind.as_str()) || elsewhere.contains(kind.as_str()),
            "nothing here makes a {kind:?}"
        );
    }
    // So that no excuse outlives its reason; the helper of these tests adds servers by hand.
    for kind in elsewhere {
        assert!(
            !log.seen.contains(kind) || kind == Kind::ServerAdded.as_str(),
            "{kind} is seen here"
        );
    }
}

/// So that the list above can fail.
#[test]
fn what_is_seen_elsewhere_is_named_there() {
    for (kind, file) in ELSEWHERE {
        let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("{kind:?}")), "{kind:?} in {file}");
    }
}

async fn people(world: &World, log: &mut Log<'_>) {
    let link = oauth::setup::create_link(&world.authority).await.unwrap();
    log.nothing().await;
    let token = link.unwrap().rsplit('=').next().unwrap().to_owned();
    let mut browser = Browser::default();
    let path = format!("/setup?token={token}");
    let page = browser.get(world, &path).await;
    log.nothing().await;
    let fields = owned(&[
        ("csrf", page.input("csrf").as_str()),
        ("token", &token),
        ("email", "first@example.com"),
        ("password", PASSWORD),
    ]);
    let made = browser.post(world, "/setup", &fields).await;
    made.assert_status(303);
    let event = log.one(Kind::SetupLinkUsed).await;
    assert!(event.user.is_some());

    let alice = world.add_alice().await;
    let event = log.one(Kind::UserAdded).await;
    assert_eq!(event.user.as_ref(), Some(&alice.id));

    let client = world.add_client(&[crate::support::CALLBACK]).await;
    let event = log.one(Kind::ClientAdded).await;
    assert_eq!(event.client.as_ref(), Some(&client.id));
    let mut hers = Browser::default();
    let path = authorize_path(client.id.as_str(), &[]);
    let page = hers.get(world, &path).await;
    log.nothing().await;
    world.sign_in(&mut hers, &page, EMAIL, "wrong").await;
    let event = log.one(Kind::SignInRefused).await;
    assert_eq!(event.user.as_ref(), Some(&alice.id));
    world.sign_in(&mut hers, &page, EMAIL, PASSWORD).await;
    let event = log.one(Kind::UserSignedIn).await;
    assert_eq!(event.user.as_ref(), Some(&alice.id));
    let home = hers.get(world, "/admin").await;
    log.nothing().await;
    let fields = owned(&[("csrf", home.input("csrf").as_str())]);
    hers.post(world, "/sign-out", &fields).await;
    let event = log.one(Kind::SignedOut).await;
    assert_eq!(event.user.as_ref(), Some(&alice.id));

    let disabled = oauth::users::disable(&world.store, world.now(), &alice).await;
    assert!(disabled.unwrap());
    log.one(Kind::UserDisabled).await;
    assert!(
        oauth::users::enable(&world.store, world.now(), &alice)
            .await
            .unwrap()
    );
    log.one(Kind::UserEnabled).await;

    let gone = world.add_user("gone@example.com").await;
    log.one(Kind::UserAdded).await;
    let delete = async || {
        oauth::users::delete(&world.store, world.now(), &gone.id)
            .await
            .unwrap()
    };
    assert_eq!(delete().await, UserDeleted::Deleted);
    let event = log.one(Kind::UserDeleted).await;
    assert_eq!(event.user.as_ref(), Some(&gone.id), "the opaque id");
    assert!(!event.detail.contains("gone@"), "{}", event.detail);
    // Whoever is gone is gone once, and who never was leaves nothing.
    assert_eq!(delete().await, UserDeleted::DeletedBefore);
    log.nothing().await;
}

/// Documents of clients: another one than before, another one than the pinned one, and one that waits for a decision.
async fn documents(world: &World, log: &mut Log<'_>, host: &DocumentHost) {
    let document = |id: &str, name: &str| {
        json!({
            "client_id": id,
            "client_name": name,
            "redirect_uris": ["http://localhost/callback"],
            "token_endpoint_auth_method": "none",
        })
    };
    let id = "https://client.example/oauth.json";
    host.set_json("/oauth.json", &document(id, "Example"));
    let mut browser = signed_in(world, EMAIL).await;
    log.one(Kind::UserSignedIn).await;
    world.code(&mut browser, id).await;
    log.one(Kind::ConsentGiven).await;
    host.set_json("/oauth.json", &document(id, "Somebody else"));
    world.clock.advance(Duration::from_secs(2 * 3600));
    let page = world.consent_page(&mut browser, id, &[]).await;
    log.nothing().await;
    world.decide(&mut browser, &page, "approve", None).await;
    let event = log.one_among(Kind::ClientDocumentChanged).await;
    assert_eq!(event.client.unwrap().as_str(), id);

    let pinned = "https://claude.ai/oauth/claude-code-client-metadata";
    let renamed = document(pinned, "Claude Code, renamed");
    host.set_json("/oauth/claude-code-client-metadata", &renamed);
    world.code(&mut browser, pinned).await;
    log.one_among(Kind::ClientDocumentDiffersFromPin).await;

    let server = world.authority.server("todo").unwrap();
    let waiting = domain::ClientId::from_text("https://client.example/other.json");
    let alice = world.store.list_users(None, 10).await.unwrap();
    let alice = alice
        .iter()
        .find(|user| user.email.as_str() == EMAIL)
        .unwrap();
    for turn in 0..2 {
        let asked = oauth::client_trust::ask(&world.authority, &server, &waiting, &alice.id);
        asked.await.unwrap();
        match turn {
            0 => drop(log.one(Kind::ClientAskedFor).await),
            _ => log.nothing().await,
        }
    }
}

/// Who may have what: each act once, and none for what was so before.
async fn roles_and_groups(world: &World, log: &mut Log<'_>) {
    let (store, now) = (&world.store, world.now());
    let member = world.add_user("member@example.com").await;
    log.one(Kind::UserAdded).await;
    let (group, _) = oauth::roles::add_group(store, now, &OsRandom, "staff")
        .await
        .unwrap();
    let event = log.one(Kind::GroupAdded).await;
    assert!(event.detail.contains("staff"), "{}", event.detail);
    for done in [true, false] {
        assert_eq!(
            oauth::roles::join(store, now, &group, &member.id)
                .await
                .unwrap(),
            done
        );
        match done {
            true => assert_eq!(
                log.one(Kind::GroupJoined).await.user.as_ref(),
                Some(&member.id)
            ),
            false => log.nothing().await,
        }
    }
    let given = store::GivenRole {
        server: domain::ServerSlug::parse("todo").unwrap(),
        role: "rol_reader".to_owned(),
        holder: domain::RoleHolder::Person(member.id.clone()),
    };
    for done in [true, false] {
        let giving = oauth::roles::give(store, now, given.clone(), "reader").await;
        assert_eq!(giving.unwrap(), done);
        match done {
            true => assert_eq!(
                log.one(Kind::RoleGiven).await.user.as_ref(),
                Some(&member.id)
            ),
            false => log.nothing().await,
        }
    }
    assert!(
        oauth::roles::take(store, now, given, "reader")
            .await
            .unwrap()
    );
    log.one(Kind::RoleTaken).await;
    assert!(
        oauth::roles::leave(store, now, &group, &member.id)
            .await
            .unwrap()
    );
    log.one(Kind::GroupLeft).await;
    oauth::roles::remove_group(store, now, &group)
        .await
        .unwrap();
    log.one(Kind::GroupRemoved).await;
}

/// What an owner changes over the admin API names the owner, and what is refused or changes nothing is not there.
async fn administration(world: &World, log: &mut Log<'_>) {
    let token = world.owner_token().await;
    log.news().await;
    let path = "/servers/todo/policy";
    let shown = world.ask(Method::GET, path, &token, &json!({})).await;
    shown.assert_status(200);
    log.nothing().await;
    let mut policy = shown.json()["policy"].clone();
    let same = json!({ "base_revision": shown.json()["revision"], "policy": policy });
    world
        .ask(Method::PUT, path, &token, &same)
        .await
        .assert_status(200);
    log.nothing().await;
    policy["roles"] = json!([{ "id": "rol_reader", "name": "reader", "scopes": "all" }]);
    let other = json!({ "base_revision": shown.json()["revision"], "policy": policy });
    world
        .ask(Method::PUT, path, &token, &other)
        .await
        .assert_status(200);
    let event = log.one(Kind::PolicyPublished).await;
    assert!(event.user.is_some() && event.client.is_some());
    // Over a revision that is in force no more.
    let refused = world.ask(Method::PUT, path, &token, &other).await;
    refused.assert_status(412);
    log.nothing().await;
    let strict = json!({ "settings": { "strict_rotation": true } });
    let changed = world
        .ask(Method::PATCH, "/servers/todo", &token, &strict)
        .await;
    changed.assert_status(200);
    let event = log.one(Kind::ServerChanged).await;
    assert!(event.user.is_some() && event.client.is_some());
}

/// A client's whole way, with each refusal beside it.
async fn grants(world: &World, log: &mut Log<'_>) -> String {
    let client = world.register().await;
    let event = log.one(Kind::ClientRegistered).await;
    assert_eq!(event.client.unwrap().as_str(), client);
    assert_eq!(event.server.unwrap().as_str(), "todo");

    let mut browser = signed_in(world, EMAIL).await;
    log.one(Kind::UserSignedIn).await;
    let page = world.consent_page(&mut browser, &client, &[]).await;
    log.nothing().await;
    world.decide(&mut browser, &page, "deny", None).await;
    log.one(Kind::ConsentRefused).await;
    let page = world.consent_page(&mut browser, &client, &[]).await;
    let answer = world.decide(&mut browser, &page, "approve", None).await;
    let code = answer.returned()["code"].clone();
    let approved = log.one(Kind::ConsentGiven).await;
    assert_eq!(approved.client.as_ref().unwrap().as_str(), client);
    assert!(approved.user.is_some());

    let tokens = world.exchange(&client, &code).await.json();
    let redeemed = log.one(Kind::CodeRedeemed).await;
    assert!(redeemed.grant.is_some());
    let first = tokens["refresh_token"].as_str().unwrap().to_owned();
    let second = world.refresh(&client, &first).await.json();
    let refreshed = log.one(Kind::TokenRefreshed).await;
    assert_eq!(refreshed.grant, redeemed.grant);
    let second = second["refresh_token"].as_str().unwrap().to_owned();
    world.refresh(&client, &second).await.assert_status(200);
    log.one(Kind::TokenRefreshed).await;
    world.clock.advance(Duration::from_secs(120));
    world.refresh(&client, &first).await.assert_status(400);
    let reused = log.one(Kind::RefreshTokenReused).await;
    assert_eq!(reused.grant, redeemed.grant);

    let code = world.code(&mut browser, &client).await;
    world.exchange(&client, &code).await.assert_status(200);
    log.news().await;
    world.exchange(&client, &code).await.assert_status(400);
    log.one(Kind::CodeReplayed).await;

    let code = world.code(&mut browser, &client).await;
    let tokens = world.exchange(&client, &code).await.json();
    log.news().await;
    let fields = [
        ("token", tokens["refresh_token"].as_str().unwrap()),
        ("client_id", client.as_str()),
    ];
    let revoked = world.post_form("/servers/todo/revoke", &fields).await;
    revoked.assert_status(200);
    log.one(Kind::GrantRevoked).await;

    // Who is refused without anything having changed leaves none: a stranger must not be able to fill the log.
    let wrong = [
        ("grant_type", "authorization_code"),
        ("code", "pcc_unknown"),
        ("client_id", client.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let refused = world.token(&wrong).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    log.nothing().await;
    client
}

async fn clients(world: &World, log: &mut Log<'_>, client: &str) {
    let server = world.authority.server("todo").unwrap();
    let id = domain::ClientId::from_text(client);
    let now = world.now();
    for (decision, kind) in [
        (ClientDecision::Block, Kind::ClientBlocked),
        (ClientDecision::Unblock, Kind::ClientUnblocked),
        (ClientDecision::Forget, Kind::ClientForgotten),
    ] {
        let decided = decide(&world.store, now, &server.server, &id, decision, None).await;
        decided.unwrap();
        let event = log.one(kind).await;
        assert_eq!(event.client.as_ref(), Some(&id));
        // Once more changes nothing, and nothing is written.
        let decided = decide(&world.store, now, &server.server, &id, decision, None).await;
        decided.unwrap();
        log.nothing().await;
    }
    approval(world, log).await;
}

async fn approval(world: &World, log: &mut Log<'_>) {
    let settings = domain::ServerSettings {
        dynamic_registration: domain::RegistrationMode::Approved,
        ..domain::ServerSettings::default()
    };
    world.add_server("waits", settings).await;
    log.news().await;
    let body = serde_json::json!({
        "client_name": "One that waits",
        "redirect_uris": ["http://localhost:51234/callback"],
    });
    let answer = world.post_json("/servers/waits/register", &body).await;
    log.one(Kind::ClientRegistered).await;
    let id = domain::ClientId::from_text(answer.json()["client_id"].as_str().unwrap());
    let server = world.authority.server("waits").unwrap();
    let (now, approve) = (world.now(), ClientDecision::Approve);
    let decided = decide(&world.store, now, &server.server, &id, approve, None);
    decided.await.unwrap();
    log.one(Kind::ClientApproved).await;
}

async fn machines(world: &World, log: &mut Log<'_>) {
    let machine = world.secret_client("todo:read").await;
    log.these(&[Kind::ClientAdded, Kind::ClientSecretCreated])
        .await;
    let fields = [("grant_type", "client_credentials")];
    let answer = world
        .post_basic(TOKEN, &machine.id, &machine.secret, &fields)
        .await;
    answer.assert_status(200);
    log.one(Kind::ClientTokenIssued).await;
    let rotated =
        oauth::client_secret::rotate(&world.store, world.now(), &OsRandom, &machine.client, DAY);
    assert!(rotated.await.unwrap().is_some());
    log.one(Kind::ClientSecretCreated).await;
    world.credential("todo").await;
    log.one(Kind::ServerCredentialCreated).await;

    let server = world.authority.server("todo").unwrap();
    let boss = world.add_user("boss@example.com").await;
    log.one(Kind::UserAdded).await;
    let new = NewServiceToken {
        server: &server.server,
        owner: None,
        name: "nightly build",
        scopes: &ScopeSet::parse_lenient("todo:read"),
        lifetime: DAY,
    };
    let now = world.now();
    let made = service_tokens::create(&world.store, now, &OsRandom, new, Some(&boss.id)).await;
    let id: ServiceTokenId = made.unwrap().token.id;
    let event = log.one(Kind::ServiceTokenCreated).await;
    assert_eq!(event.user, Some(boss.id));
    let revoked = service_tokens::revoke(&world.store, now, &id, Revoker::Admin).await;
    assert!(revoked.unwrap());
    log.one(Kind::ServiceTokenRevoked).await;
    let again = service_tokens::revoke(&world.store, now, &id, Revoker::Admin).await;
    assert!(!again.unwrap());
    log.nothing().await;
}

async fn signing_keys(world: &World, log: &mut Log<'_>) {
    let (store, sealer) = (&world.store, world.authority.key_sealer());
    let rotate = async |rotation| {
        let purpose = KeyPurpose::AccessToken;
        let rotated = keys::rotate(store, sealer, &OsRandom, world.now(), purpose, rotation);
        rotated.await.unwrap();
    };
    let settings = KeySettings {
        rotated_every: Some(30 * DAY),
        ..keys::settings(store).await.unwrap()
    };
    keys::save_settings(store, settings, world.now())
        .await
        .unwrap();
    log.one(Kind::KeySettingsChanged).await;
    rotate(Rotation::Planned).await;
    log.one(Kind::KeyCreated).await;
    world.clock.advance(DAY * 2);
    assert_eq!(keys::purge(store, world.now()).await.unwrap(), 1);
    log.one(Kind::KeyRemoved).await;
    // The new one, and that the one before it is good no more.
    rotate(Rotation::Emergency).await;
    log.these(&[Kind::KeyCreated, Kind::KeyWithdrawn]).await;
    // An owner looks at everything.
    signed_in(world, "owner@example.com").await;
    log.news().await;
    let mut browser = Browser::default();
    for path in ["/sign-in", "/admin", "/account/tokens", "/jwks.json"] {
        browser.get(world, path).await;
    }
    log.nothing().await;
}
