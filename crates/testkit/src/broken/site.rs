//! The server as it should be, and where a break is put on top of it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Clock as _, OsRandom, SystemClock, random_token};
use serde_json::{Value, json};

use super::breaks::Break;
use super::documents::{self, RESOURCE_METADATA, SERVER_METADATA};
use super::exchange::{Answer, Ask};
use super::rules::Rules;
use super::token::{Expected, Key};
use super::{authority, mcp};

/// One server with everything it knows.
pub(super) struct Site {
    /// `http://127.0.0.1:4180`.
    pub origin: String,
    /// Hosts that it answers to.
    pub hosts: Vec<String>,
    pub key: Key,
    pub rules: Rules,
    pub broken: Option<&'static Break>,
    pub memory: Mutex<Memory>,
    /// How many bytes of floods were taken off our hands.
    pub flooded: Arc<AtomicU64>,
}

/// What changes while it runs.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Client id to return addresses.
    pub clients: HashMap<String, Vec<String>>,
    pub codes: HashMap<String, Code>,
    pub refresh_tokens: HashMap<String, RefreshToken>,
    /// Families that were ended.
    pub revoked: HashSet<String>,
    /// How many registrations there were, and how many calls of a page.
    pub registrations: usize,
    pub authorizations: HashSet<String>,
}

/// What a person approved.
#[derive(Debug, Clone, Default)]
pub(super) struct Code {
    pub client_id: String,
    pub redirect_uri: String,
    pub challenge: String,
    pub method: String,
    pub scope: String,
    pub is_spent: bool,
    pub family: String,
}

/// A link of a chain.
#[derive(Debug, Clone, Default)]
pub(super) struct RefreshToken {
    pub client_id: String,
    pub family: String,
    pub scope: String,
    /// What it was replaced by.
    pub successor: Option<String>,
}

impl Site {
    /// What the URL is that people type.
    pub fn resource(&self) -> String {
        format!("{}/mcp", self.origin)
    }

    /// The authorization server.
    pub fn issuer(&self) -> String {
        format!("{}/as", self.origin)
    }

    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unix seconds.
    pub fn now(&self) -> i64 {
        SystemClock.now().unix_ms() / 1000
    }

    pub fn expected<'e>(&'e self, issuer: &'e str, resource: &'e str) -> Expected<'e> {
        Expected {
            key: &self.key,
            issuer,
            resource,
            now: self.now(),
        }
    }

    /// The claims of a token as it is issued.
    pub fn claims(&self, client_id: &str, scope: &str, family: &str) -> Value {
        let now = self.now();
        let mut claims = json!({
            "iss": self.issuer(), "sub": "usr_notes", "aud": self.resource(), "exp": now + self.lifetime(), "iat": now,
            "jti": random_token(&OsRandom, ""), "client_id": client_id, "scope": scope, "grant_id": family,
        });
        (self.rules.claims)(&mut claims);
        claims
    }

    /// How long a token lives, in seconds.
    pub fn lifetime(&self) -> i64 {
        i64::try_from(self.rules.token_lifetime.as_secs()).expect("a lifetime is short")
    }

    /// Answers, with the break on top.
    pub fn answer(&self, ask: &Ask) -> Answer {
        let mut answer = self.well(ask);
        self.allow_pages(ask, &mut answer);
        if let Some(broken) = self.broken {
            (broken.change)(self, ask, &mut answer);
        }
        answer
    }

    fn well(&self, ask: &Ask) -> Answer {
        if self.rules.host_is_checked
            && !ask
                .header("host")
                .is_some_and(|host| self.hosts.iter().any(|known| known == host))
        {
            let error = json!({"error": "unknown_host", "error_description": "this server does not answer under that name"});
            return Answer::json(421, &error);
        }
        if ask.method == "OPTIONS" && !is_page(&ask.path) {
            return Answer::empty(204);
        }
        let path = ask.path.as_str();
        match path {
            "/mcp" | "/mcp/" => return mcp::answer(self, ask),
            "/as/authorize" => return authority::authorize(self, ask),
            "/as/approve" => return authority::approve(self, ask),
            "/as/token" => return authority::token(self, ask),
            "/as/register" => return authority::register(self, ask),
            "/as/revoke" => return authority::revoke(self, ask),
            _ => {}
        }
        if (self.rules.open_path)(path) {
            return mcp::open(self, ask);
        }
        match self.document(path) {
            Some(_) if !matches!(ask.method.as_str(), "GET" | "HEAD") => {
                Answer::json(405, &json!({"error": "method_not_allowed"}))
                    .with("allow", "GET, HEAD")
            }
            Some(document) => Answer::json(200, &document),
            None => Answer::json(404, &json!({"error": "not_found"})),
        }
    }

    fn document(&self, path: &str) -> Option<Value> {
        if let Some(suffix) = path.strip_prefix(RESOURCE_METADATA) {
            return match suffix {
                "" | "/mcp" => Some(documents::resource_metadata(self, &self.resource())),
                "/mcp/" => {
                    let slashed = format!("{}/", self.resource());
                    Some(documents::resource_metadata(self, &slashed))
                }
                _ => None,
            };
        }
        if SERVER_METADATA.contains(&path) {
            return Some(documents::server_metadata(self));
        }
        (path == "/as/jwks.json").then(|| json!({"keys": [self.key.jwk()]}))
    }

    /// Any page may read what programs read: no cookie opens anything here.
    fn allow_pages(&self, ask: &Ask, answer: &mut Answer) {
        if is_page(&ask.path) {
            return;
        }
        answer.set("access-control-allow-origin", "*");
        answer.set(
            "access-control-expose-headers",
            "WWW-Authenticate, Mcp-Session-Id, Mcp-Protocol-Version",
        );
        if ask.method == "OPTIONS" {
            answer.set(
                "access-control-allow-methods",
                "GET, HEAD, POST, DELETE, OPTIONS",
            );
            answer.set(
                "access-control-allow-headers",
                "Authorization, Content-Type, Accept, Mcp-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name, Last-Event-ID",
            );
        }
    }
}

/// Whether a person looks at `path`.
fn is_page(path: &str) -> bool {
    matches!(path, "/as/authorize" | "/as/approve")
}
