//! The admin API: who is let in, and what each address does.

use axum::body::Body;
use base::{OsRandom, Secret};
use domain::{AuditEventKind, ClientId, EmailAddress, ServerSlug, User, UserId, UserRole};
use http::{Method, StatusCode, header};
use oauth::administration;
use oauth::clients::{NewClient, NewClientProof};
use portcullis_server::{AppState, Side, router};
use serde_json::{Value, json};
use store::{Applied, Apply, Change};
use tower::ServiceExt as _;
use wire::oauth::ScopeSet;

use crate::support::{
    Answer, CALLBACK, CHALLENGE, PASSWORD, PUBLIC_URL, VERIFIER, World, claims, encode, owned,
    request,
};
use crate::waiting::signed_in;

const API: &str = "/admin/api/v1";
const RESOURCE: &str = "http://localhost:4180/admin/api/v1";
const ISSUER: &str = "/servers/portcullis-admin";
const OWNER: &str = "owner@example.com";
const BOTH: &str = "portcullis:read portcullis:write";

/// What changes something, each with a body that would.
fn changing() -> Vec<(Method, &'static str, Value)> {
    vec![
        (
            Method::POST,
            "/servers",
            json!({ "slug": "notes", "upstream": "http://127.0.0.1:9/mcp" }),
        ),
        (Method::DELETE, "/servers/todo", json!({})),
        (
            Method::PATCH,
            "/servers/todo",
            json!({ "settings": { "strict_rotation": true } }),
        ),
        (
            Method::PUT,
            "/servers/todo/policy",
            json!({ "base_revision": 1, "policy": {} }),
        ),
        (
            Method::POST,
            "/servers/todo/policy/rollback",
            json!({ "base_revision": 1, "revision": 1 }),
        ),
        (
            Method::POST,
            "/servers/todo/tools/approve",
            json!({ "elements": [{ "name": "x", "fingerprint": "y" }] }),
        ),
        (
            Method::POST,
            "/servers/todo/tools/reject",
            json!({ "elements": [{ "name": "x", "fingerprint": "y" }] }),
        ),
        (
            Method::POST,
            "/servers/todo/tools/map",
            json!({ "name": "list_todos", "requirement": "public" }),
        ),
        (Method::DELETE, "/grants/gra_unknown", json!({})),
    ]
}

const LOOKING: [&str; 11] = [
    "",
    "/servers",
    "/servers/todo",
    "/servers/todo/scopes",
    "/servers/todo/tools",
    "/servers/todo/drift",
    "/servers/todo/policy",
    "/servers/todo/policy/revisions",
    "/grants",
    "/audit",
    "/audit/export",
];

impl World {
    async fn person(&self, email: &str, role: UserRole) -> User {
        let email = EmailAddress::parse(email).unwrap();
        let password = Secret::new(PASSWORD.to_owned());
        let adding = oauth::users::add(&self.store, &self.clock, &OsRandom, email, &password, role);
        adding.await.unwrap()
    }

    /// What a person's program gets who approves all that it asks for.
    async fn admin_tokens(&self, email: &str, scope: &str) -> Value {
        let registration = json!({
            "client_name": "A script",
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
        });
        let registered = self
            .post_json(&format!("{ISSUER}/register"), &registration)
            .await;
        registered.assert_status(201);
        let client = registered.json()["client_id"].as_str().unwrap().to_owned();
        let mut browser = signed_in(self, email).await;
        let query = encode(&owned(&[
            ("response_type", "code"),
            ("client_id", &client),
            ("redirect_uri", CALLBACK),
            ("state", "s"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", RESOURCE),
            ("scope", scope),
        ]));
        let page = browser
            .get(self, &format!("{ISSUER}/authorize?{query}"))
            .await;
        page.assert_status(200);
        let mut fields = owned(&[
            ("csrf", page.input("csrf").as_str()),
            ("request", page.input("request").as_str()),
            ("decision", "approve"),
        ]);
        let boxes = page.checkboxes();
        fields.extend(boxes.into_iter().map(|name| ("scope".to_owned(), name)));
        let answer = browser
            .post(self, &format!("{ISSUER}/authorize"), &fields)
            .await;
        answer.assert_status(200);
        let code = answer.returned()["code"].clone();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
            ("client_id", client.as_str()),
            ("redirect_uri", CALLBACK),
        ];
        let answer = self.post_form(&format!("{ISSUER}/token"), &fields).await;
        answer.assert_status(200);
        answer.json()
    }

    async fn admin_token(&self, email: &str, scope: &str) -> String {
        let tokens = self.admin_tokens(email, scope).await;
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// An owner's token for everything.
    pub async fn owner_token(&self) -> String {
        self.person(OWNER, UserRole::Owner).await;
        self.admin_token(OWNER, BOTH).await
    }

    pub async fn ask(&self, method: Method, path: &str, token: &str, body: &Value) -> Answer {
        let body = match method {
            Method::GET | Method::DELETE => Body::empty(),
            _ => Body::from(body.to_string()),
        };
        let request = request(method, &format!("{API}{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .unwrap();
        self.send(request).await
    }

    async fn look(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::GET, path, token, &Value::Null).await
    }

    async fn give_role(&self, user: &UserId, role: UserRole) {
        let change = Change::UpdateUser {
            user: user.clone(),
            name: "somebody".to_owned(),
            role,
            event: self.event(AuditEventKind::UserChanged),
        };
        let expected = self.store.read_declared().await.unwrap().digest();
        let changes = vec![change];
        let applied = self.store.apply(Apply { expected, changes }).await;
        assert_eq!(applied.unwrap(), Applied::Done);
    }
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str, field: Option<&str>) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{}", answer.text);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["field"].as_str(), field, "{}", answer.text);
    let id = problem["correlation_id"].as_str().unwrap();
    assert_eq!(answer.header("portcullis-correlation-id"), id);
}

#[tokio::test]
async fn without_a_token_the_challenge_leads_to_the_issuer_and_with_one_it_is_answered() {
    let world = World::new().await;
    let answer = world.get(&format!("{API}/servers")).await;
    assert_problem(&answer, 401, "unauthorized", None);
    let challenge = answer.header("www-authenticate");
    assert_eq!(
        challenge,
        "Bearer resource_metadata=\"http://localhost:4180/.well-known/oauth-protected-resource/admin/api/v1\", \
         scope=\"portcullis:read\""
    );
    let metadata = world
        .get("/.well-known/oauth-protected-resource/admin/api/v1")
        .await;
    let metadata = metadata.json();
    assert_eq!(metadata["resource"], RESOURCE);
    let issuer = "http://localhost:4180/servers/portcullis-admin";
    assert_eq!(metadata["authorization_servers"], json!([issuer]));
    let server = world
        .get("/.well-known/oauth-authorization-server/servers/portcullis-admin")
        .await;
    assert_eq!(server.json()["issuer"], issuer);

    let token = world.owner_token().await;
    let said = claims(&token);
    assert_eq!(
        (&said["iss"], &said["aud"]),
        (&json!(issuer), &json!(RESOURCE))
    );
    assert_eq!(said["scope"], BOTH);
    let answer = world.look("/servers", &token).await;
    answer.assert_status(200);
    assert_eq!(answer.json()["items"][0]["slug"], "todo");
    assert_eq!(answer.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn with_a_dashboard_apart_the_public_listener_has_no_admin_api() {
    let world = World::new().await;
    let token = world.owner_token().await;
    let ask = async |app: AppState, side: Side| {
        let request = request(Method::GET, &format!("{API}/servers"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let answer = router(app, side).oneshot(request).await.unwrap();
        answer.status()
    };
    let apart = || world.state.at("http://localhost:4180");
    assert_eq!(ask(world.state.clone(), Side::Whole).await, StatusCode::OK);
    assert_eq!(
        ask(world.state.clone(), Side::Public).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(ask(apart(), Side::Admin).await, StatusCode::OK);
    // And what a client needs to get a token is on the public one alone.
    let path = format!("{ISSUER}/authorize");
    let authorize = request(Method::GET, &path).body(Body::empty()).unwrap();
    let answer = router(apart(), Side::Admin)
        .oneshot(authorize)
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_cookie_of_an_owner_opens_nothing_and_neither_does_a_token_elsewhere() {
    let world = World::new().await;
    let token = world.owner_token().await;
    let browser = signed_in(&world, OWNER).await;
    let cookies: Vec<String> = browser
        .cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let with = |name: header::HeaderName, value: String, path: String| {
        let request = request(Method::GET, &path).header(name, value);
        world.send(request.body(Body::empty()).unwrap())
    };
    let servers = || format!("{API}/servers");
    let cookie = with(header::COOKIE, cookies.join("; "), servers()).await;
    assert_problem(&cookie, 401, "unauthorized", None);
    let basic = with(header::AUTHORIZATION, format!("Basic {token}"), servers()).await;
    assert_problem(&basic, 401, "invalid_token", None);
    let two = with(
        header::AUTHORIZATION,
        format!("Bearer {token} {token}"),
        servers(),
    )
    .await;
    assert_problem(&two, 401, "invalid_token", None);
    let query = format!("{API}/servers?access_token={token}");
    assert_problem(&world.get(&query).await, 401, "unauthorized", None);
    let bearer = with(header::AUTHORIZATION, format!("bearer {token}"), servers()).await;
    bearer.assert_status(200);
    // No page elsewhere is told that it may send one.
    let preflight = request(Method::OPTIONS, &servers())
        .header(header::ORIGIN, "https://elsewhere.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET");
    let preflight = world.send(preflight.body(Body::empty()).unwrap()).await;
    assert!(
        !preflight
            .headers
            .contains_key("access-control-allow-origin")
    );
}

#[tokio::test]
async fn a_token_of_an_mcp_server_is_refused_and_one_of_the_admin_api_is_unknown_to_the_server() {
    let world = World::new().await;
    let (_, tokens) = world.connected().await;
    let foreign = tokens["access_token"].as_str().unwrap();
    let token = world.owner_token().await;
    let answer = world.look("/servers", foreign).await;
    assert_problem(&answer, 401, "invalid_token", None);
    assert!(
        answer
            .header("www-authenticate")
            .contains("error=\"invalid_token\"")
    );
    world.look("/servers", &token).await.assert_status(200);

    let credential = world.credential("todo").await;
    let (id, secret) = (credential.id.as_str(), credential.secret.expose());
    let active = async |token: &str| {
        let fields = [("token", token)];
        let path = "/servers/todo/introspect";
        world.post_basic(path, id, secret, &fields).await.json()["active"].clone()
    };
    assert_eq!(active(foreign).await, true);
    assert_eq!(active(&token).await, false);
    // Nor is it in what gateways are sent, and nobody can have a credential for it.
    let snapshot = portcullis_server::policy_feed::snapshot(&world.authority).await;
    assert!(snapshot.unwrap().servers.keys().eq(["todo"]));
    let path = "/servers/portcullis-admin/feed";
    assert_eq!(world.get(path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_may_look_may_not_change_and_is_told_which_scope_that_takes() {
    let world = World::new().await;
    world.person(OWNER, UserRole::Owner).await;
    let reading = world.admin_token(OWNER, "portcullis:read").await;
    let writing = world.admin_token(OWNER, BOTH).await;
    for path in LOOKING {
        world.look(path, &reading).await.assert_status(200);
    }
    for (method, path, body) in changing() {
        let answer = world.ask(method.clone(), path, &reading, &body).await;
        assert_problem(&answer, 403, "insufficient_scope", None);
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.contains("error=\"insufficient_scope\""),
            "{challenge}"
        );
        assert!(
            challenge.contains(&format!("scope=\"{BOTH}\"")),
            "{challenge}"
        );
        let answer = world.ask(method, path, &writing, &body).await;
        assert_ne!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    // A preview changes nothing.
    let body = json!({ "revision": 7 });
    let answer = world
        .ask(
            Method::POST,
            "/servers/todo/policy/preview",
            &reading,
            &body,
        )
        .await;
    assert_problem(&answer, 404, "not_found", None);
    // Whoever may change may look, with that scope alone.
    let only = world.admin_token(OWNER, "portcullis:write").await;
    world.look("/servers", &only).await.assert_status(200);
}

#[tokio::test]
async fn a_member_gets_no_scope_and_an_owner_who_is_none_any_more_is_refused_at_once() {
    let world = World::new().await;
    let first = world.person(OWNER, UserRole::Owner).await;
    world.person("member@example.com", UserRole::Member).await;
    let second = world.person("second@example.com", UserRole::Owner).await;
    let member = world.admin_token("member@example.com", BOTH).await;
    assert_eq!(claims(&member)["scope"], "");
    let tokens = world.admin_tokens("second@example.com", BOTH).await;
    let token = tokens["access_token"].as_str().unwrap();
    for path in LOOKING.into_iter().chain(["/nothing"]) {
        assert_problem(&world.look(path, &member).await, 403, "no_owner", None);
    }
    for (method, path, body) in changing() {
        let answer = world.ask(method, path, &member, &body).await;
        assert_problem(&answer, 403, "no_owner", None);
    }
    world.look("/servers", token).await.assert_status(200);
    world.give_role(&second.id, UserRole::Member).await;
    assert_problem(&world.look("/servers", token).await, 403, "no_owner", None);
    world.give_role(&second.id, UserRole::Owner).await;
    world.look("/servers", token).await.assert_status(200);
    world.disable_user(&second.id).await;
    assert_problem(
        &world.look("/servers", token).await,
        401,
        "invalid_token",
        None,
    );
    let first = world.admin_token(first.email.as_str(), BOTH).await;
    world.look("/servers", &first).await.assert_status(200);
}

#[tokio::test]
async fn a_policy_that_a_machine_saved_says_which_machine() {
    let world = World::new().await;
    let (id, token) = machine(&world, BOTH).await;
    let shown = world.look("/servers/todo/policy", &token).await.json();
    let mut policy = shown["policy"].clone();
    policy["tools"]["list_todos"]["requirement"] = json!("denied");
    let body = json!({ "base_revision": 1, "policy": policy });
    world
        .ask(Method::PUT, "/servers/todo/policy", &token, &body)
        .await
        .assert_status(200);
    let revisions = world.look("/servers/todo/policy/revisions", &token).await;
    let saved = &revisions.json()["items"][0];
    assert_eq!(
        (&saved["by"], &saved["through"]),
        (&Value::Null, &json!(id))
    );
}

/// A client that an owner added, with the token that it gets for itself.
async fn machine(world: &World, scopes: &str) -> (String, String) {
    let server = &world.authority.administration().unwrap().server;
    let new = NewClient {
        name: "Nightly",
        redirect_uris: &[],
        proof: NewClientProof::Secret,
        service_scopes: ScopeSet::parse_lenient(scopes),
    };
    let added = oauth::clients::create(&world.store, &world.clock, &OsRandom, server, new).await;
    let added = added.unwrap();
    let (id, secret) = (added.client.id.to_string(), added.secret.unwrap());
    let path = format!("{ISSUER}/token");
    let fields = [("grant_type", "client_credentials")];
    let answer = world.post_basic(&path, &id, secret.expose(), &fields).await;
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    (id, token)
}

#[tokio::test]
async fn a_client_that_an_owner_added_acts_for_itself_with_what_it_was_given_until_it_is_blocked() {
    let world = World::new().await;
    let (id, token) = machine(&world, "portcullis:read").await;
    world.look("/servers", &token).await.assert_status(200);
    let who = world.look("", &token).await.json();
    assert_eq!(who, json!({ "user": null, "client": id }));
    let (method, path, body) = changing().remove(0);
    let answer = world.ask(method, path, &token, &body).await;
    assert_problem(&answer, 403, "insufficient_scope", None);
    let block = store::EndClient {
        server: administration::slug(),
        client: ClientId::from_text(&*id),
        now: world.now(),
        issued_before: world.now(),
        remembered_until: world.now(),
        event: world.event(AuditEventKind::ClientBlocked),
    };
    world.store.block_client(block).await.unwrap().unwrap();
    assert_problem(
        &world.look("/servers", &token).await,
        401,
        "invalid_token",
        None,
    );
}

#[tokio::test]
async fn clients_of_the_admin_api_that_nobody_added_return_to_the_own_machine_alone() {
    let world = World::new().await;
    let register = async |issuer: &str, address: &str| {
        let body = json!({ "client_name": "A", "redirect_uris": [address] });
        world.post_json(&format!("{issuer}/register"), &body).await
    };
    let https = "https://app.example/callback";
    let refused = register(ISSUER, https).await;
    refused.assert_error(400, "invalid_redirect_uri", "own machine");
    register(ISSUER, "com.example.app:/back")
        .await
        .assert_status(400);
    register(ISSUER, CALLBACK).await.assert_status(201);
    register("/servers/todo", https).await.assert_status(201);
    let taken = world.store.slug_is_taken(&administration::slug()).await;
    assert!(taken.unwrap(), "an MCP server could have this slug");
}

#[tokio::test]
async fn a_policy_is_written_over_the_revision_that_was_read_and_says_who_did_it() {
    let world = World::new().await;
    let token = world.owner_token().await;
    let path = "/servers/todo/policy";
    let shown = world.look(path, &token).await;
    assert_eq!(shown.header("etag"), "\"1\"");
    let mut policy = shown.json()["policy"].clone();
    policy["tools"]["list_todos"]["requirement"] = json!("denied");
    let put = async |base: Value, policy: &Value| {
        let body = json!({ "base_revision": base, "policy": policy, "detail": "no lists today" });
        world.ask(Method::PUT, path, &token, &body).await
    };
    let body = json!({ "policy": policy });
    let unsaid = world.ask(Method::PUT, path, &token, &body).await;
    assert_problem(&unsaid, 428, "precondition_required", None);
    assert_problem(&put(json!(7), &policy).await, 412, "stale", None);
    let preview = json!({ "policy": policy });
    let preview = world
        .ask(
            Method::POST,
            "/servers/todo/policy/preview",
            &token,
            &preview,
        )
        .await;
    preview.assert_status(200);
    assert_eq!(preview.json()["changes"][0]["name"], "list_todos");
    let answer = put(json!(1), &policy).await;
    answer.assert_status(200);
    assert_eq!(answer.json(), json!({ "revision": 2 }));
    assert_problem(&put(json!(1), &policy).await, 412, "stale", None);
    let after = world.look(path, &token).await.json();
    let entry = &after["policy"]["tools"]["list_todos"];
    assert_eq!(
        (&entry["requirement"], &entry["pinned"]),
        (&json!("denied"), &json!(true))
    );

    let said = claims(&token);
    let events = world
        .look("/audit?kind=policy_published", &token)
        .await
        .json();
    let event = events["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(event["user"], said["sub"]);
    assert_eq!(event["client"], said["client_id"]);
    assert_eq!(event["detail"], "no lists today");
    let revisions = world
        .look("/servers/todo/policy/revisions", &token)
        .await
        .json();
    assert_eq!(revisions["items"][0]["by"], said["sub"]);
    assert_eq!(revisions["items"][0]["through"], said["client_id"]);
    let diff = world
        .look("/servers/todo/policy/diff?from=1&to=2", &token)
        .await
        .json();
    assert_eq!(diff["changes"], preview.json()["changes"]);
    let earlier = world
        .look("/servers/todo/policy/revisions/1", &token)
        .await
        .json();
    assert_eq!(earlier["in_force"], false);

    // And back, by the tag of what is in force.
    let back = request(Method::POST, &format!("{API}/servers/todo/policy/rollback"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::IF_MATCH, "\"2\"")
        .body(Body::from(json!({ "revision": 1 }).to_string()))
        .unwrap();
    let back = world.send(back).await;
    assert_eq!(back.json(), json!({ "revision": 3 }), "{}", back.text);
    assert_eq!(back.header("etag"), "\"3\"");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named_and_its_twin_is_answered() {
    let world = World::new().await;
    let token = world.owner_token().await;
    for (path, field) in [
        ("/servers?limit=0", "limit"),
        ("/servers?limit=201", "limit"),
        ("/servers?limt=1", "limt"),
        ("/audit?kind=nothing", "kind"),
        ("/audit?from=yesterday", "from"),
        ("/audit?limit=1&limit=2", "limit"),
        ("/grants?server=A", "server"),
        ("/servers/todo/tools?kind=hammers", "kind"),
        ("/servers/todo/policy/diff", "from"),
    ] {
        let answer = world.look(path, &token).await;
        assert_problem(&answer, 400, "invalid_request", Some(field));
    }
    for path in [
        "/servers?limit=1",
        "/servers?limit=200",
        "/audit?kind=user_added&from=2020-01-01T00:00:00Z",
        "/grants?server=todo",
        "/servers/todo/tools?kind=tools&limit=1",
    ] {
        world.look(path, &token).await.assert_status(200);
    }
    for path in [
        "/servers/unknown",
        "/servers/unknown/policy",
        "/servers/portcullis-admin",
        "/x",
    ] {
        assert_problem(&world.look(path, &token).await, 404, "not_found", None);
    }
    let map = async |body: &Value| {
        world
            .ask(Method::POST, "/servers/todo/tools/map", &token, body)
            .await
    };
    for (body, field) in [
        (json!({ "requirement": "public" }), "name"),
        (json!({ "name": 7, "requirement": "public" }), "name"),
        (
            json!({ "name": "list_todos", "requirement": "open" }),
            "requirement",
        ),
        (
            json!({ "name": "list_todos", "requirement": { "any_of": ["todo:none"] } }),
            "requirement",
        ),
        (
            json!({ "name": "list_todos", "requirement": "public", "kind": "x" }),
            "kind",
        ),
        (
            json!({ "name": "list_todos", "requirement": "public", "force": true }),
            "force",
        ),
        (
            json!({ "name": "unknown", "requirement": "public" }),
            "name",
        ),
    ] {
        let answer = map(&body).await;
        assert_problem(&answer, 400, "invalid_request", Some(field));
    }
    let good = json!({ "name": "list_todos", "requirement": { "any_of": ["todo:write"] } });
    map(&good).await.assert_status(200);

    let patch = async |body: Value| {
        world
            .ask(Method::PATCH, "/servers/todo", &token, &body)
            .await
    };
    let short = patch(json!({ "settings": { "access_token_seconds": 59 } })).await;
    let field = Some("settings.access_token_seconds");
    assert_problem(&short, 400, "invalid_request", field);
    let answer =
        patch(json!({ "settings": { "access_token_seconds": 60 }, "mode": "observe" })).await;
    answer.assert_status(200);
    assert_eq!(answer.json()["settings"]["access_token_seconds"], 60);
    assert_eq!(answer.json()["policy"]["mode"], "observe");
    // The mode has a gate of its own.
    let mut policy = world.look("/servers/todo/policy", &token).await.json();
    policy["policy"]["mode"] = json!("enforce");
    let body = json!({ "base_revision": policy["revision"], "policy": policy["policy"] });
    let answer = world
        .ask(Method::PUT, "/servers/todo/policy", &token, &body)
        .await;
    assert_problem(&answer, 400, "invalid_request", Some("policy.mode"));
}

#[tokio::test]
async fn a_server_is_added_and_removed_and_its_slug_is_never_given_again() {
    let world = World::new().await;
    let token = world.owner_token().await;
    let add = async |body: Value| world.ask(Method::POST, "/servers", &token, &body).await;
    let long = |bytes: usize| format!("http://127.0.0.1/{}", "x".repeat(bytes - 17));
    let named = |slug: &str, upstream: &str| json!({ "slug": slug, "upstream": upstream });
    let good = "https://notes.internal/mcp?key=hush";
    for (body, field) in [
        (named("No", good), "slug"),
        (named("notes", "file:///etc/passwd"), "upstream"),
        (
            named("notes", "https://me:secret@a.example/mcp"),
            "upstream",
        ),
        (named("notes", "https://a.example/mcp#x"), "upstream"),
        (named("notes", &long(2049)), "upstream"),
        (json!({ "slug": "notes" }), "upstream"),
        (
            json!({ "slug": "notes", "upstream": good, "command": ["sh"] }),
            "command",
        ),
        (
            json!({ "slug": "notes", "upstream": good, "name": "a\u{202e}b" }),
            "name",
        ),
        (
            json!({ "slug": "notes", "upstream": good, "url": "http://a.example/mcp" }),
            "url",
        ),
        (
            json!({ "slug": "notes", "upstream": good, "url": format!("{PUBLIC_URL}/admin/x") }),
            "url",
        ),
    ] {
        assert_problem(&add(body).await, 400, "invalid_request", Some(field));
    }
    let url = "https://notes.example/mcp";
    let body = json!({ "slug": "notes", "upstream": good, "url": url, "name": " Notes " });
    let added = add(body).await;
    added.assert_status(201);
    let shown = world.look("/servers/notes", &token).await.json();
    assert_eq!(shown, added.json());
    assert_eq!(
        (&shown["name"], &shown["resource"]),
        (&json!("Notes"), &json!(url))
    );
    // What a query holds is shown to nobody.
    assert_eq!(shown["upstream"]["url"], "https://notes.internal/mcp?…");
    let audit = world.look("/audit?kind=server_added", &token).await;
    assert!(!audit.text.contains("hush"), "{}", audit.text);

    let mut elsewhere = named("other", good);
    elsewhere["url"] = json!(format!("{url}/"));
    assert_problem(&add(elsewhere).await, 409, "conflict", None);
    assert_problem(&add(named("notes", good)).await, 409, "conflict", None);
    add(named("longest", &long(2048))).await.assert_status(201);

    let remove = async || {
        world
            .ask(Method::DELETE, "/servers/notes", &token, &json!({}))
            .await
    };
    remove().await.assert_status(204);
    assert_problem(&remove().await, 404, "not_found", None);
    world.look("/servers/todo", &token).await.assert_status(200);
    assert_problem(&add(named("notes", good)).await, 409, "conflict", None);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_json_is_refused_unread() {
    let world = World::new().await;
    let token = world.owner_token().await;
    let send = async |path: &str, method: Method, kind: &str, body: String| {
        let request = request(method, &format!("{API}{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .unwrap();
        world.send(request).await
    };
    let padded = |bytes: usize| {
        let body = json!({ "name": "list_todos", "requirement": "public" }).to_string();
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    let map = "/servers/todo/tools/map";
    let json = "application/json";
    let large = send(map, Method::POST, json, padded(64 * 1024 + 1)).await;
    assert_problem(&large, 413, "invalid_request", None);
    let fits = send(map, Method::POST, json, padded(64 * 1024)).await;
    fits.assert_status(200);
    let policy = |bytes: usize| {
        let body = json!({ "policy": {} }).to_string();
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    let put = "/servers/todo/policy";
    let large = send(put, Method::PUT, json, policy(4 * 1024 * 1024 + 1)).await;
    assert_problem(&large, 413, "invalid_request", None);
    let fits = send(put, Method::PUT, json, policy(4 * 1024 * 1024)).await;
    assert_problem(&fits, 400, "invalid_request", Some("policy"));
    // A form of a page elsewhere is no JSON, whatever stands in it.
    let text = send(map, Method::POST, "text/plain", padded(100)).await;
    assert_problem(&text, 415, "invalid_request", None);
    let twice = r#"{"name":"list_todos","name":"add_todo","requirement":"public"}"#;
    let twice = send(map, Method::POST, json, twice.to_owned()).await;
    assert_problem(&twice, 400, "invalid_request", Some(""));
}

#[tokio::test]
async fn what_a_request_names_has_an_end_and_what_just_fits_is_read() {
    let world = World::new().await;
    let token = world.owner_token().await;
    let client = |bytes: usize| format!("/grants?client={}", "c".repeat(bytes));
    world.look(&client(2048), &token).await.assert_status(200);
    let long = world.look(&client(2049), &token).await;
    assert_problem(&long, 400, "invalid_request", Some("client"));
    let reject = async |count: usize| {
        let one = json!({ "name": "x", "fingerprint": "y" });
        let body = json!({ "elements": vec![one; count] });
        let path = "/servers/todo/tools/reject";
        world.ask(Method::POST, path, &token, &body).await
    };
    // Nothing of that name waits.
    assert_problem(&reject(200).await, 409, "conflict", None);
    for count in [0, 201] {
        let answer = reject(count).await;
        assert_problem(&answer, 400, "invalid_request", Some("elements"));
    }
    let shown = world.look("/servers/todo/policy", &token).await.json();
    let put = async |characters: usize| {
        let body = json!({
            "base_revision": 1, "policy": shown["policy"], "detail": "ö".repeat(characters),
        });
        world
            .ask(Method::PUT, "/servers/todo/policy", &token, &body)
            .await
    };
    put(500).await.assert_status(200);
    let long = put(501).await;
    assert_problem(&long, 400, "invalid_request", Some("detail"));
}

#[tokio::test]
async fn what_a_server_lists_anew_waits_until_the_very_definition_is_approved() {
    let world = World::new().await;
    let token = world.owner_token().await;
    let credential = world.credential("todo").await;
    let tool = |name: &str, description: &str| json!({ "name": name, "description": description, "inputSchema": { "type": "object" } });
    let manifest = json!({ "inventory": { "tools": [
        tool("sing", "Sings."), tool("drop_all", "Drops everything."),
    ] } });
    let basic = crate::machines::basic(credential.id.as_str(), credential.secret.expose());
    let sent = request(Method::POST, "/servers/todo/manifest")
        .header(header::AUTHORIZATION, basic)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(manifest.to_string()))
        .unwrap();
    world.send(sent).await.assert_status(200);

    // Nobody could call them.
    world
        .ask(
            Method::PATCH,
            "/servers/todo",
            &token,
            &json!({ "mode": "observe" }),
        )
        .await
        .assert_status(200);
    let enforce = json!({ "mode": "enforce" });
    let answer = world
        .ask(Method::PATCH, "/servers/todo", &token, &enforce)
        .await;
    assert_problem(&answer, 409, "conflict", None);
    let enforce = json!({ "mode": "enforce", "with_unmapped": true });
    world
        .ask(Method::PATCH, "/servers/todo", &token, &enforce)
        .await
        .assert_status(200);

    let waiting = world.look("/servers/todo/drift", &token).await.json();
    let waiting = waiting["items"].as_array().unwrap().clone();
    let names: Vec<&str> = waiting
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, ["drop_all", "sing"]);
    assert_eq!(waiting[1]["state"], "unmapped");
    assert_eq!(waiting[1]["definition"]["description"], "Sings.");
    let decide = async |word: &str, one: &Value, fingerprint: &Value| {
        let body = json!({ "elements": [{ "name": one["name"], "fingerprint": fingerprint }] });
        let path = format!("/servers/todo/tools/{word}");
        world.ask(Method::POST, &path, &token, &body).await
    };
    let other = decide("approve", &waiting[1], &json!("other")).await;
    assert_problem(&other, 409, "conflict", None);
    let fingerprint = &waiting[1]["waiting"];
    decide("approve", &waiting[1], fingerprint)
        .await
        .assert_status(200);
    let fingerprint = &waiting[0]["waiting"];
    decide("reject", &waiting[0], fingerprint)
        .await
        .assert_status(200);
    let tools = world.look("/servers/todo/tools", &token).await.json();
    let state = |name: &str| {
        let mut items = tools["items"].as_array().unwrap().iter();
        let found = items.find(|one| one["name"] == name).unwrap();
        found["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (state("sing"), state("drop_all")),
        ("mapped".into(), "rejected".into())
    );
    let waiting = world.look("/servers/todo/drift", &token).await.json();
    assert_eq!(waiting["items"], json!([]));
    // Page by page it is the same list.
    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let page = world
            .look(&format!("/servers/todo/tools?limit=2{after}"), &token)
            .await
            .json();
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(Value::Array(paged), tools["items"]);
}

#[tokio::test]
async fn a_grant_that_is_revoked_ends_at_once_and_its_neighbour_goes_on() {
    let world = World::new().await;
    let token = world.owner_token().await;
    let (client, tokens) = world.connected().await;
    let listed = world.look("/grants", &token).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let of_client = world
        .look(&format!("/grants?client={client}"), &token)
        .await
        .json();
    let grant = &of_client["items"][0];
    assert_eq!(grant["server"], "todo");
    assert_eq!(grant["email"], "alice@example.com");
    let path = format!("/grants/{}", grant["id"].as_str().unwrap());
    let revoke = async || world.ask(Method::DELETE, &path, &token, &Value::Null).await;
    revoke().await.assert_status(204);
    assert_eq!(
        world.revoked_grants().await,
        [grant["id"].as_str().unwrap()]
    );
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let answer = world.refresh(&client, refresh).await;
    answer.assert_error(400, "invalid_grant", "");
    assert_problem(&revoke().await, 404, "not_found", None);
    let said = claims(&token);
    let slug = ServerSlug::parse("todo").unwrap();
    let user = UserId::from_text(grant["subject"].as_str().unwrap());
    let client = domain::ClientId::from_text(client);
    let consent = world
        .store
        .find_consent(&user, &slug, &client, CALLBACK)
        .await;
    assert!(
        consent.unwrap().is_none(),
        "it would be given again without a question"
    );
    let event = world
        .store
        .list_newest_audit_events(1)
        .await
        .unwrap()
        .remove(0)
        .event;
    assert_eq!(event.kind, AuditEventKind::GrantRevoked);
    assert_eq!(event.user.unwrap().as_str(), said["sub"]);
    assert_eq!(event.client.unwrap().as_str(), said["client_id"]);
    // Also the one that asks.
    world.look("/servers", &token).await.assert_status(200);
    let own = format!("/grants/{}", said["grant_id"].as_str().unwrap());
    let answer = world.ask(Method::DELETE, &own, &token, &Value::Null).await;
    answer.assert_status(204);
    assert_problem(
        &world.look("/servers", &token).await,
        401,
        "invalid_token",
        None,
    );
}

#[tokio::test]
async fn the_audit_log_is_read_page_by_page_and_exported_whole() {
    let world = World::new().await;
    let token = world.owner_token().await;
    world.connected().await;
    let all = world.look("/audit?limit=200", &token).await.json();
    let all = all["items"].as_array().unwrap().clone();
    assert!(all.len() > 5);
    let first = world.look("/audit?limit=3", &token).await.json();
    assert_eq!(first["items"], json!(all[..3]));
    let next = first["next"].as_str().unwrap();
    let second = world
        .look(&format!("/audit?limit=200&after={next}"), &token)
        .await;
    assert_eq!(second.json()["items"], json!(all[3..]));
    assert_eq!(second.json()["next"], Value::Null);
    let export = world.look("/audit/export", &token).await;
    assert_eq!(export.header("content-type"), "application/jsonl");
    let lines: Vec<Value> = export
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, all);
    let of_todo = world.look("/audit?server=todo", &token).await.json();
    let of_todo = of_todo["items"].as_array().unwrap().clone();
    assert!(!of_todo.is_empty() && of_todo.iter().all(|event| event["server"] == "todo"));
    let after = world
        .look("/audit?from=2999-01-01T00:00:00Z", &token)
        .await
        .json();
    assert_eq!(after["items"], json!([]));
}

#[tokio::test]
async fn one_client_of_a_person_has_six_hundred_requests_at_once_and_then_waits() {
    let world = World::new().await;
    let token = world.owner_token().await;
    for _ in 0..600 {
        let answer = world.look("", &token).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let answer = world.look("", &token).await;
    assert_problem(&answer, 429, "too_many_requests", None);
    assert_eq!(answer.header("retry-after"), "1");
    // Another grant of the same client, which costs it nothing, helps it to nothing.
    let other = world.admin_token(OWNER, BOTH).await;
    let answer = world.look("", &other).await;
    assert_problem(&answer, 429, "too_many_requests", None);
    world.clock.advance(std::time::Duration::from_secs(1));
    world.look("", &other).await.assert_status(200);
}
