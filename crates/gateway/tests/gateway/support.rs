use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use authz::{
    Entry, FeedSnapshot, Policy, Requirement, Revocations, Risk, ScopeDeclaration, ServerSnapshot,
};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{Clock as _, Secret, base64url};
use gateway::{CallRecorded, Gateway, IdentityKey, Limits, ServerSettings, Settings, Upstream};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sdk::{FeedPublisher, policy_feed};
use serde_json::{Value, json};
use testkit::echo::{Echo, EchoSettings};
use testkit::{McpClient, MovableClock, SeededRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use wire::oauth::{Jwk, JwkSet, Scope, ScopeSet};

pub const SLUG: &str = "notes";

/// A gateway in front of an echo server, with an authority that exists only as a key.
pub struct Rig {
    pub port: u16,
    pub echo: Echo,
    pub clock: MovableClock,
    pub gateway: Gateway,
    pub publisher: FeedPublisher,
    pub key: SigningKey,
    pub identity_key: SigningKey,
    pub records: Mutex<mpsc::Receiver<CallRecorded>>,
}

/// What differs between rigs.
pub struct RigSettings {
    pub echo: EchoSettings,
    pub limits: Limits,
    pub upstream: Option<Upstream>,
    pub operator_headers: Vec<(&'static str, &'static str)>,
    pub more_servers: Vec<&'static str>,
    pub opaque_tokens: Option<Arc<dyn sdk::OpaqueTokens>>,
    /// How many records find room that nobody takes.
    pub record_places: usize,
}

impl Default for RigSettings {
    fn default() -> Self {
        Self {
            echo: EchoSettings {
                record: true,
                ..EchoSettings::default()
            },
            limits: Limits {
                head_timeout: Duration::from_secs(2),
                connect_timeout: Duration::from_secs(2),
                ..Limits::default()
            },
            upstream: None,
            operator_headers: Vec::new(),
            more_servers: Vec::new(),
            opaque_tokens: None,
            record_places: 1024,
        }
    }
}

impl Rig {
    /// Lets time pass while the authority is heard of all along.
    pub fn pass(&self, seconds: u64) {
        const STEP: u64 = 240;
        for begun in (0..seconds).step_by(STEP as usize) {
            self.clock
                .advance(Duration::from_secs(STEP.min(seconds - begun)));
            self.publisher.contact();
        }
    }

    pub async fn start() -> Self {
        Self::with(RigSettings::default()).await
    }

    pub async fn with_echo(change: impl FnOnce(&mut EchoSettings)) -> Self {
        let mut settings = RigSettings::default();
        change(&mut settings.echo);
        Self::with(settings).await
    }

    pub async fn with(settings: RigSettings) -> Self {
        let echo = Echo::start(settings.echo).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let clock = MovableClock::default();
        let (publisher, feed) = policy_feed(Arc::new(clock.clone()));
        let key = SigningKey::generate("access-1");
        let identity_key = SigningKey::generate("identity-1");
        let (sender, records) = mpsc::channel(settings.record_places);
        let upstream = settings.upstream.unwrap_or_else(|| Upstream::Http {
            url: echo.url().parse().unwrap(),
            headers: settings
                .operator_headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
        });
        let servers = std::iter::once(SLUG)
            .chain(settings.more_servers)
            .map(|slug| ServerSettings {
                slug: slug.into(),
                resource: format!("http://127.0.0.1:{port}/mcp/{slug}"),
                aliases: Vec::new(),
                upstream: upstream.clone(),
            })
            .collect();
        let gateway = Gateway::new(
            Settings {
                public_url: format!("http://127.0.0.1:{port}"),
                alias_origins: vec!["https://notes.example".into()],
                former_origins: Vec::new(),
                reserved_paths: vec!["admin".into(), String::new()],
                allowed_origins: Vec::new(),
                servers,
                identity_key: IdentityKey {
                    kid: identity_key.kid.clone(),
                    pkcs8: Secret::new(identity_key.pkcs8()),
                },
                opaque_tokens: settings.opaque_tokens,
                other_issuers: std::collections::HashMap::new(),
                limits: settings.limits,
            },
            feed,
            sender,
            Arc::new(clock.clone()),
            Arc::new(SeededRandom::new(7)),
        )
        .unwrap();
        tokio::spawn(serve(listener, gateway.clone()));
        let rig = Self {
            port,
            echo,
            clock,
            gateway,
            publisher,
            key,
            identity_key,
            records: Mutex::new(records),
        };
        rig.publish(|_| {});
        rig
    }

    /// Publishes a snapshot with the policy of this file, changed by `change`.
    pub fn publish(&self, change: impl FnOnce(&mut ServerSnapshot)) {
        let mut server = ServerSnapshot {
            slug: SLUG.into(),
            name: "Notes".into(),
            issuer: self.issuer(),
            resource: self.url(),
            former_resources: Vec::new(),
            former_issuers: Vec::new(),
            policy: policy(),
            policy_revision: 1,
            keys: JwkSet {
                keys: vec![self.key.jwk()],
            },
            revocations: Revocations::default(),
            documentation_url: None,
            session_mac_key: Secret::new(vec![9; 32]),
            argument_digest_key: Secret::new(vec![8; 32]),
        };
        change(&mut server);
        self.publisher.publish(Arc::new(FeedSnapshot {
            change: 1,
            servers: HashMap::from([(SLUG.to_owned(), Arc::new(server))]),
        }));
    }

    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("{}/mcp/{SLUG}", self.origin())
    }

    pub fn issuer(&self) -> String {
        format!("{}/servers/{SLUG}", self.origin())
    }

    /// The claims of a good token of alice's.
    pub fn claims(&self, scope: &str) -> Value {
        let now = self.clock.now().unix_seconds();
        json!({
            "iss": self.issuer(),
            "sub": "usr_alice",
            "aud": self.url(),
            "exp": now + 3600,
            "iat": now,
            "jti": "jti-1",
            "client_id": "cli_1",
            "scope": scope,
            "grant_id": "grt_1",
        })
    }

    pub fn token(&self, scope: &str) -> String {
        self.key.sign("at+jwt", &self.claims(scope))
    }

    /// A client without a token.
    pub fn stranger(&self) -> McpClient {
        McpClient::new(self.url()).with_header("accept", "application/json, text/event-stream")
    }

    /// Alice's client, with a token of this scope.
    pub fn caller(&self, scope: &str) -> McpClient {
        self.stranger().with_bearer(&self.token(scope))
    }

    /// Another person's client.
    pub fn caller_as(&self, subject: &str, client: &str, scope: &str) -> McpClient {
        let mut claims = self.claims(scope);
        claims["sub"] = json!(subject);
        claims["client_id"] = json!(client);
        claims["grant_id"] = json!(format!("grt_{subject}"));
        self.stranger()
            .with_bearer(&self.key.sign("at+jwt", &claims))
    }

    /// Sends `head` as it stands, then `body`, and reads until the connection closes.
    pub async fn raw(&self, head: &str, body: &[u8]) -> String {
        self.raw_bytes(head.as_bytes(), body).await
    }

    /// As [`Rig::raw`], for heads that are no text.
    pub async fn raw_bytes(&self, head: &[u8], body: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(head).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        // A refused body may make the connection end with a reset.
        let _ = tokio::time::timeout(Duration::from_secs(5), reading)
            .await
            .unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A request line, the usual headers and a token; for addresses and methods that no client library would send.
    pub async fn raw_request(&self, line: &str, more: &str) -> String {
        let port = self.port;
        let token = self.token("note:read");
        self.raw(
            &format!(
                "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n{more}\r\n"
            ),
            b"",
        )
        .await
    }

    pub async fn next_record(&self) -> CallRecorded {
        let mut records = self.records.lock().await;
        tokio::time::timeout(Duration::from_secs(5), records.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

async fn serve(listener: TcpListener, gateway: Gateway) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(gateway.clone());
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

/// Alice may read; `write_note` can be had; `delete_note` needs what the server does not declare; `secret` is denied.
pub fn policy() -> Policy {
    let needs = |names: &str| entry(Requirement::AnyOf(vec![ScopeSet::parse_lenient(names)]));
    let scope = |name: &str, risk| ScopeDeclaration {
        id: format!("scp_{name}"),
        name: Scope::parse(name).unwrap(),
        title: name.into(),
        risk,
        implies: ScopeSet::new(),
    };
    let map = |entries: Vec<(&str, Entry)>| -> BTreeMap<String, Entry> {
        entries
            .into_iter()
            .map(|(name, entry)| (name.to_owned(), entry))
            .collect()
    };
    Policy {
        scopes: vec![
            scope("note:read", Risk::Low),
            scope("note:write", Risk::Medium),
        ],
        default_scopes: ScopeSet::parse_lenient("note:read note:write"),
        tools: map(vec![
            ("echo", needs("note:read")),
            ("write_note", needs("note:write")),
            ("delete_note", needs("note:admin")),
            ("secret", entry(Requirement::Denied)),
            ("slow", entry(Requirement::Public)),
            ("count", entry(Requirement::Public)),
        ]),
        resources: map(vec![
            ("note://1", needs("note:read")),
            ("note://2", needs("note:write")),
        ]),
        resource_templates: map(vec![("note://{number}", needs("note:write"))]),
        prompts: map(vec![("summarize", needs("note:read"))]),
        ..Policy::default()
    }
}

pub fn entry(requirement: Requirement) -> Entry {
    serde_json::from_value(json!({"requirement": requirement, "title": "a tool"})).unwrap()
}

pub struct SigningKey {
    pub kid: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    pub fn generate(kid: &str) -> Self {
        Self {
            kid: kid.into(),
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        }
    }

    pub fn pkcs8(&self) -> Vec<u8> {
        self.pair.to_pkcs8v1().unwrap().as_ref().to_vec()
    }

    pub fn jwk(&self) -> Jwk {
        let point = self.pair.public_key().as_ref();
        Jwk {
            kty: "EC".into(),
            kid: Some(self.kid.clone()),
            key_use: Some("sig".into()),
            alg: Some("ES256".into()),
            crv: Some("P-256".into()),
            x: Some(base64url(&point[1..33])),
            y: Some(base64url(&point[33..65])),
            n: None,
            e: None,
        }
    }

    pub fn sign(&self, typ: &str, claims: &Value) -> String {
        let header = json!({"typ": typ, "alg": "ES256", "kid": self.kid});
        let signed = format!(
            "{}.{}",
            base64url(header.to_string()),
            base64url(claims.to_string())
        );
        let signature = self
            .pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        format!("{signed}.{}", base64url(signature.as_ref()))
    }
}

/// An upstream that does exactly what a test says: each connection is one request, given as text, and the connection
/// itself to answer on.
pub async fn scripted<F, Fut>(script: F) -> Upstream
where
    F: Fn(String, TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let script = Arc::new(script);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let script = Arc::clone(&script);
            tokio::spawn(async move {
                let request = read_request(&mut stream).await;
                script(request, stream).await;
            });
        }
    });
    Upstream::Http {
        url: url.parse().unwrap(),
        headers: Vec::new(),
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let mut piece = [0u8; 4096];
        let read = stream.read(&mut piece).await.unwrap_or(0);
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let head = head.to_lowercase();
            let length = head
                .split_once("content-length: ")
                .and_then(|(_, rest)| rest.lines().next()?.parse().ok());
            body.len() >= length.unwrap_or(0)
        });
        if whole || read == 0 {
            return text;
        }
    }
}

/// The head of an answer whose body ends with the connection.
pub fn head(content_type: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n")
}

/// A gateway in front of a scripted upstream.
pub async fn rig_before(upstream: Upstream) -> Rig {
    Rig::with(RigSettings {
        upstream: Some(upstream),
        ..RigSettings::default()
    })
    .await
}
