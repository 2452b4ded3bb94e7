//! A whole authority on a SQLite file, spoken to in-process, with a clock that is moved by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use authz::{Condition, Entry, Operator, Policy};
use axum::Router;
use axum::body::{Body, to_bytes};
use base::{Clock as _, Digest, OsRandom, Secret, Timestamp, base64url};
use domain::{
    AuditEvent, AuditEventKind, Client, EmailAddress, McpServer, ServerSettings, ServerSlug,
    Upstream, User, UserRole,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use oauth::{Authority, AuthoritySettings, MasterKey};
use portcullis_server::{AppState, Peer, Settings, Side, router};
use serde_json::{Value, json};
use store::{ActivityLog, ActivityOptions, DatabaseUrl, Store, StoreOptions};
use tempfile::TempDir;
use testkit::{DocumentHost, MovableClock};
use tower::ServiceExt as _;
use url::form_urlencoded;

pub const PUBLIC_URL: &str = "http://localhost:4180";
pub const ISSUER: &str = "http://localhost:4180/servers/todo";
pub const RESOURCE: &str = "http://localhost:4180/mcp/todo";
pub const CALLBACK: &str = "http://localhost:51234/callback";
pub const EMAIL: &str = "alice@example.com";
pub const PASSWORD: &str = "four words will do";
/// The verifier and challenge of RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub struct World {
    pub clock: MovableClock,
    pub authority: Authority,
    pub state: AppState,
    pub store: Store,
    router: Router,
    _folder: TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

/// Remembers cookies as a browser does.
#[derive(Default, Clone)]
pub struct Browser {
    pub cookies: BTreeMap<String, String>,
    /// Sent as `Sec-Fetch-Site` with forms, as modern browsers do.
    pub fetch_site: Option<&'static str>,
    /// Where it connects from, as the accept loop would say.
    pub peer: Option<IpAddr>,
}

/// Parameters that differ from the usual ones; `None` leaves one out.
pub type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

/// The parameters of a form or query, by name; several values of one name are several entries.
pub type Fields = Vec<(String, String)>;

impl World {
    pub async fn new() -> Self {
        Self::with(PUBLIC_URL, ServerSettings::default()).await
    }

    pub async fn with(public_url: &str, settings: ServerSettings) -> Self {
        Self::with_documents(public_url, settings, None).await
    }

    /// With a web host for client ID metadata documents, which is reached under its own names.
    pub async fn with_documents(
        public_url: &str,
        settings: ServerSettings,
        documents: Option<(&DocumentHost, &[&str])>,
    ) -> Self {
        Self::with_room(public_url, settings, documents, 50).await
    }

    /// With room for so many clients that register themselves.
    pub async fn with_room(
        public_url: &str,
        settings: ServerSettings,
        documents: Option<(&DocumentHost, &[&str])>,
        registrations_max: i64,
    ) -> Self {
        let world = Self::bare(public_url, documents, registrations_max).await;
        world.add_server("todo", settings).await;
        world
    }

    /// Without an MCP server.
    pub async fn empty(public_url: &str, documents: Option<(&DocumentHost, &[&str])>) -> Self {
        Self::bare(public_url, documents, 50).await
    }

    async fn bare(
        public_url: &str,
        documents: Option<(&DocumentHost, &[&str])>,
        registrations_max: i64,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = MovableClock::default();
        let url = DatabaseUrl::Sqlite(folder.path().join("portcullis.db"));
        let store = Store::open(StoreOptions::new(url), &clock).await.unwrap();
        let authority = Authority::open(
            AuthoritySettings {
                public_url: public_url.to_owned(),
                admin_url: None,
                former_origins: Vec::new(),
                authority_id: "test".into(),
                hash_threads: 1,
                registrations_max,
                ca_file: documents.map(|(host, _)| host.write_ca(folder.path())),
                names: documents.map(|(host, names)| {
                    egress::Names::fixed(names.iter().map(|name| (*name, host.address())))
                }),
            },
            store.clone(),
            Arc::new(clock.clone()),
            Arc::new(OsRandom),
            MasterKey::from_bytes([7; 32]),
        )
        .await
        .unwrap();
        let state = AppState::new(authority.clone(), Settings::default());
        Self {
            clock,
            authority,
            router: router(state.clone(), Side::Whole),
            state,
            store,
            _folder: folder,
        }
    }

    /// From now on with an activity log.
    pub async fn keep_activity(&mut self, queue: store::ActivityQueue) -> ActivityLog {
        let url = DatabaseUrl::Sqlite(self._folder.path().join("activity.sqlite"));
        let options = ActivityOptions { url };
        let log = ActivityLog::open_with(options, queue, &self.clock)
            .await
            .unwrap();
        let settings = Settings {
            activity: Some(log.clone()),
            ..Settings::default()
        };
        self.state = AppState::new(self.authority.clone(), settings);
        self.router = router(self.state.clone(), Side::Whole);
        log
    }

    pub async fn add_server(&self, slug: &str, settings: ServerSettings) {
        let resource = format!("{}/mcp/{slug}", self.authority.public_url());
        self.add_server_at(slug, &resource, settings).await;
    }

    pub async fn add_server_at(&self, slug: &str, resource: &str, settings: ServerSettings) {
        let server = McpServer {
            settings,
            ..self.new_server(slug, resource)
        };
        let event = self.event(AuditEventKind::ServerAdded);
        self.store.insert_server(&server, event).await.unwrap();
        self.authority.reload().await.unwrap();
    }

    fn new_server(&self, slug: &str, resource: &str) -> McpServer {
        McpServer {
            slug: ServerSlug::parse(slug).unwrap(),
            name: format!("The {slug} server"),
            resource: resource.to_owned(),
            other_addresses: domain::OtherAddresses::default(),
            upstream: Upstream::Todo,
            settings: ServerSettings::default(),
            policy: policy(slug),
            policy_revision: 1,
            created_at: self.clock.now(),
        }
    }

    /// An MCP server whose policy is kept and cannot be read back, as that of a later release: a value in it is nested deeper
    /// than JSON is read.
    pub async fn add_unreadable_server(&self, slug: &str) {
        let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
        let tool = Entry {
            conditions: vec![Condition {
                argument: "/list".to_owned(),
                operator: Operator::Equals(deep),
            }],
            ..Entry::default()
        };
        let mut server =
            self.new_server(slug, &format!("{}/mcp/{slug}", self.authority.public_url()));
        server.policy.tools.insert("get".to_owned(), tool);
        let event = self.event(AuditEventKind::ServerAdded);
        self.store.insert_server(&server, event).await.unwrap();
        self.authority.reload().await.unwrap();
    }

    pub async fn add_alice(&self) -> User {
        self.add_user(EMAIL).await
    }

    pub async fn add_user(&self, email: &str) -> User {
        oauth::users::add(
            &self.store,
            &self.clock,
            &OsRandom,
            EmailAddress::parse(email).unwrap(),
            &Secret::new(PASSWORD.to_owned()),
            UserRole::Member,
        )
        .await
        .unwrap()
    }

    pub async fn add_client(&self, redirect_uris: &[&str]) -> Client {
        let server = self.authority.server("todo").unwrap();
        let uris: Vec<String> = redirect_uris.iter().map(|uri| (*uri).to_owned()).collect();
        let new = oauth::clients::NewClient {
            name: "By hand",
            redirect_uris: &uris,
            ..oauth::clients::NewClient::default()
        };
        let adding =
            oauth::clients::create(&self.store, &self.clock, &OsRandom, &server.server, new);
        adding.await.unwrap().client
    }

    pub fn event(&self, kind: AuditEventKind) -> AuditEvent {
        AuditEvent {
            at: self.clock.now(),
            kind,
            server: None,
            user: None,
            client: None,
            grant: None,
            detail: String::new(),
        }
    }

    pub async fn audit_kinds(&self) -> Vec<AuditEventKind> {
        let events = self.store.list_audit_events(0, 1000).await.unwrap();
        events.into_iter().map(|stored| stored.event.kind).collect()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The head of an answer; its body may never end.
    pub async fn open(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1024 * 1024).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path).body(Body::empty()).unwrap())
            .await
    }

    pub async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(encode(&owned(fields))))
            .unwrap();
        self.send(request).await
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        let request = request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }

    pub async fn token(&self, fields: &[(&str, &str)]) -> Answer {
        self.post_form("/servers/todo/token", fields).await
    }

    /// Registers Claude Code as it does it and gives its id.
    pub async fn register(&self) -> String {
        self.register_named("Claude Code (todo)").await
    }

    /// The same under another name.
    pub async fn register_named(&self, name: &str) -> String {
        let answer = self
            .post_json(
                "/servers/todo/register",
                &json!({
                    "client_name": name,
                    "redirect_uris": ["http://localhost:51234/callback"],
                    "grant_types": ["authorization_code", "refresh_token"],
                    "response_types": ["code"],
                    "token_endpoint_auth_method": "none",
                    "application_type": "native",
                }),
            )
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    /// From a client's address to a code, as a person does it.
    pub async fn code(&self, browser: &mut Browser, client_id: &str) -> String {
        self.code_with(browser, client_id, &[], None).await
    }

    pub async fn code_with(
        &self,
        browser: &mut Browser,
        client_id: &str,
        changes: Changes<'_>,
        ticked: Option<&[&str]>,
    ) -> String {
        let consent = self.consent_page(browser, client_id, changes).await;
        let answer = self.decide(browser, &consent, "approve", ticked).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.returned()["code"].clone()
    }

    /// The consent page, signing Alice in on the way when she is not.
    pub async fn consent_page(
        &self,
        browser: &mut Browser,
        client_id: &str,
        changes: Changes<'_>,
    ) -> Answer {
        let answer = browser.get(self, &authorize_path(client_id, changes)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        if answer.text.contains("name=\"decision\"") {
            return answer;
        }
        let answer = self.sign_in(browser, &answer, EMAIL, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let answer = browser.get(self, answer.location()).await;
        assert!(answer.text.contains("name=\"decision\""), "{}", answer.text);
        answer
    }

    pub async fn sign_in(
        &self,
        browser: &mut Browser,
        page: &Answer,
        email: &str,
        password: &str,
    ) -> Answer {
        let fields = [
            ("csrf", page.input("csrf").as_str()),
            ("request", page.input("request").as_str()),
            ("email", email),
            ("password", password),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        browser.post(self, "/sign-in", &fields).await
    }

    pub async fn decide(
        &self,
        browser: &mut Browser,
        page: &Answer,
        decision: &str,
        ticked: Option<&[&str]>,
    ) -> Answer {
        let mut fields = owned(&[
            ("csrf", page.input("csrf").as_str()),
            ("request", page.input("request").as_str()),
            ("decision", decision),
        ]);
        let all = page.checkboxes();
        let ticked = match ticked {
            Some(names) => names.iter().map(|name| (*name).to_owned()).collect(),
            None => all,
        };
        fields.extend(ticked.into_iter().map(|name| ("scope".to_owned(), name)));
        browser.post(self, "/servers/todo/authorize", &fields).await
    }

    pub async fn exchange(&self, client_id: &str, code: &str) -> Answer {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("client_id", client_id),
            ("redirect_uri", CALLBACK),
        ])
        .await
    }

    pub async fn refresh(&self, client_id: &str, refresh_token: &str) -> Answer {
        self.token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", client_id),
        ])
        .await
    }

    /// A client with tokens: its id and the token response.
    pub async fn connected(&self) -> (String, Value) {
        self.add_alice().await;
        let client_id = self.register().await;
        let mut browser = Browser::default();
        let code = self.code(&mut browser, &client_id).await;
        let answer = self.exchange(&client_id, &code).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        (client_id, answer.json())
    }

    pub async fn revoked_grants(&self) -> Vec<String> {
        let revoked = self
            .store
            .list_revoked_grants(-1, self.now())
            .await
            .unwrap();
        revoked
            .into_iter()
            .map(|(_, grant, _)| grant.as_str().to_owned())
            .collect()
    }
}

impl Browser {
    pub async fn get(&mut self, world: &World, path: &str) -> Answer {
        let mut request = request(Method::GET, path).header(header::ACCEPT, "text/html");
        if !self.cookies.is_empty() {
            request = request.header(header::COOKIE, self.cookie_line());
        }
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        self.keep(&answer);
        answer
    }

    pub async fn post(&mut self, world: &World, path: &str, fields: &[(String, String)]) -> Answer {
        let mut request = request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if !self.cookies.is_empty() {
            request = request.header(header::COOKIE, self.cookie_line());
        }
        if let Some(site) = self.fetch_site {
            request = request.header("sec-fetch-site", site);
        }
        if let Some(peer) = self.peer {
            request = request.extension(Peer(peer));
        }
        let answer = world
            .send(request.body(Body::from(encode(fields))).unwrap())
            .await;
        self.keep(&answer);
        answer
    }

    fn cookie_line(&self) -> String {
        let pairs: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    fn keep(&mut self, answer: &Answer) {
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    /// The value of a hidden or text input.
    pub fn input(&self, name: &str) -> String {
        let (_, rest) = self
            .text
            .split_once(&format!("name=\"{name}\" value=\""))
            .unwrap_or_else(|| panic!("no input {name} in {}", self.text));
        unescape(rest.split('"').next().unwrap())
    }

    pub fn checkboxes(&self) -> Vec<String> {
        self.text
            .split("type=\"checkbox\" name=\"scope\" value=\"")
            .skip(1)
            .map(|rest| unescape(rest.split('"').next().unwrap()))
            .collect()
    }

    /// Where the returning page goes.
    pub fn returning_url(&self) -> String {
        let (_, rest) = self
            .text
            .split_once("http-equiv=\"refresh\" content=\"")
            .unwrap_or_else(|| panic!("no refresh in {}", self.text));
        let content = unescape(rest.split('"').next().unwrap());
        content.split_once("url=").unwrap().1.to_owned()
    }

    /// The parameters that the client gets, from the returning page or the redirect.
    pub fn returned(&self) -> BTreeMap<String, String> {
        let address = if self.status == StatusCode::SEE_OTHER {
            self.location().to_owned()
        } else {
            self.returning_url()
        };
        let query = address.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect()
    }

    /// Asserts an OAuth error in JSON whose description contains `words`.
    #[track_caller]
    pub fn assert_error(&self, status: u16, code: &str, words: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let body = self.json();
        assert_eq!(body["error"], code, "{}", self.text);
        let description = body["error_description"].as_str().unwrap();
        assert!(description.contains(words), "{description}");
        assert!(body["correlation_id"].is_string());
        assert_eq!(self.header("cache-control"), "no-store");
    }

    #[track_caller]
    pub fn assert_status(&self, status: u16) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
    }

    /// Asserts a page of ours, with `words`, that sends nobody anywhere.
    #[track_caller]
    pub fn assert_page(&self, status: u16, words: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
        assert!(!self.headers.contains_key("location"));
        assert!(!self.text.contains("http-equiv=\"refresh\""));
        let text = unescape(&self.text);
        assert!(text.contains(words), "{words} is not in {text}");
    }
}

pub fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:4180")
}

pub fn owned(fields: &[(&str, &str)]) -> Fields {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub fn encode(fields: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// The address a client opens, with parameters changed or left out.
pub fn authorize_path(client_id: &str, changes: Changes<'_>) -> String {
    let mut fields = owned(&[
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", CALLBACK),
        ("state", "a state/+="),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", RESOURCE),
        ("scope", "todo:read todo:write"),
    ]);
    for (name, value) in changes {
        fields.retain(|(found, _)| found != name);
        if let Some(value) = value {
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    format!("/servers/todo/authorize?{}", encode(&fields))
}

/// The claims of a JWT, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base::base64url_decode(payload).unwrap()).unwrap()
}

/// A PKCE pair made of `seed`.
pub fn pkce(seed: &str) -> (String, String) {
    let verifier = base64url(Digest::of(seed).as_bytes());
    let challenge = Digest::of(&verifier).to_text();
    (verifier, challenge)
}

fn policy(slug: &str) -> Policy {
    let tool = |title: &str, scope: &str| json!({"requirement": {"any_of": [format!("{slug}:{scope}")]}, "title": title, "description": ""});
    let scope = |name: &str, title: &str, risk: &str| json!({"id": name, "name": format!("{slug}:{name}"), "title": title, "risk": risk});
    serde_json::from_value(json!({
        "mode": "enforce",
        "scopes": [
            scope("read", "See your todos", "low"),
            scope("write", "Change your todos", "medium"),
            scope("delete", "Delete your todos", "high"),
        ],
        "default_scopes": format!("{slug}:read {slug}:write"),
        "tools": {
            "list_todos": tool("List todos", "read"),
            "add_todo": tool("Add a todo", "write"),
            "delete_todo": tool("Delete a todo", "delete"),
        },
        "resources": {}, "resource_templates": {}, "prompts": {},
    }))
    .unwrap()
}

fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    for (escaped, plain) in [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&amp;", "&"),
    ] {
        out = out.replace(escaped, plain);
    }
    out
}
