//! Asks our own listener over HTTP what a stranger could ask, and looks whether it answers as it must.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::Full;
use sdk::{AskedAddress, CanonicalResource, WELL_KNOWN_PATH};
use serde_json::Value;
use url::Url;
use wire::oauth::{AuthorizationServerMetadata, ProtectedResourceMetadata};

const BODY_BYTES_MAX: usize = 256 * 1024;

/// What to check.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Where the listener is: on this machine, whatever the public address.
    pub local: String,
    /// The origin that clients see.
    pub public_url: String,
    /// How the checks call themselves, so that they do not look like clients.
    pub user_agent: String,
    /// Slug and resource of each MCP server.
    pub servers: Vec<(String, String)>,
    /// An upstream of our own that must refuse whoever comes past the gateway.
    pub guarded: Option<Url>,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// How many checks were made.
    pub checks: usize,
    /// What is wrong, in words.
    pub findings: Vec<String>,
    /// How many tools each server lists to a caller without a token, by slug.
    pub open_tools: Vec<(String, usize)>,
}

/// Makes all checks.
pub async fn run(subject: &Subject) -> Outcome {
    let settings = egress::Settings {
        total_timeout: Duration::from_secs(10),
        ..egress::Settings::operator_chosen()
    };
    let mut checks = match egress::Client::new(settings) {
        Ok(client) => Checks {
            subject,
            client,
            outcome: Outcome::default(),
        },
        Err(error) => {
            return Outcome {
                findings: vec![format!("the checks could not be made: {error}")],
                ..Outcome::default()
            };
        }
    };
    for (slug, resource) in &subject.servers {
        checks.server(slug, resource).await;
    }
    checks.authority().await;
    checks.outcome
}

struct Checks<'a> {
    subject: &'a Subject,
    client: egress::Client,
    outcome: Outcome,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Checks<'_> {
    async fn server(&mut self, slug: &str, resource: &str) {
        // Others were left out, which was told.
        let Ok(parts) = CanonicalResource::parse(resource) else {
            return;
        };
        let origin = parts.origin();
        let address = AskedAddress {
            origin: origin.into(),
            path: parts.path().into(),
        };
        let mcp = match parts.path() {
            "" => "/",
            path => path,
        };
        let metadata_url = address.metadata_url();
        let metadata = metadata_url.strip_prefix(origin).unwrap_or_default();

        // Every method is challenged, GET and HEAD included: clients probe with them.
        for method in [Method::POST, Method::GET, Method::HEAD, Method::DELETE] {
            let answer = self.ask_of(origin, method.clone(), mcp, &[], "").await;
            let challenge = answer.header(header::WWW_AUTHENTICATE);
            let named = format!("resource_metadata=\"{metadata_url}\"");
            let good = answer.status == StatusCode::UNAUTHORIZED
                && challenge.starts_with("Bearer ")
                && challenge.contains(&named)
                && !challenge.contains("error=")
                && answer
                    .headers
                    .get_all(header::WWW_AUTHENTICATE)
                    .iter()
                    .count()
                    == 1;
            self.expect(good, || {
                format!("{method} {mcp} without a token answers {} {challenge:?}, not 401 with one Bearer challenge naming {metadata_url}", answer.status)
            });
        }
        let answer = self
            .ask_of(origin, Method::POST, mcp, &JSON, TOOLS_LIST)
            .await;
        let listed = answer
            .json()
            .and_then(|body| {
                body.pointer("/result/tools")
                    .and_then(Value::as_array)
                    .map(Vec::len)
            })
            .unwrap_or(0);
        self.outcome.open_tools.push((slug.to_owned(), listed));
        self.expect(
            listed == 0 && answer.status == StatusCode::UNAUTHORIZED,
            || {
                format!(
                    "tools/list of {slug} without a token answers {} with {listed} tools",
                    answer.status
                )
            },
        );
        let garbage = [JSON[0], ("authorization", "Bearer not.a.token")];
        let answer = self
            .ask_of(origin, Method::POST, mcp, &garbage, TOOLS_LIST)
            .await;
        let refused = answer.status == StatusCode::UNAUTHORIZED
            && answer
                .header(header::WWW_AUTHENTICATE)
                .contains("error=\"invalid_token\"");
        self.expect(refused, || {
            format!(
                "{mcp} with a token that is none answers {}, not 401 invalid_token",
                answer.status
            )
        });
        let answer = self
            .ask_of(origin, Method::OPTIONS, mcp, &PREFLIGHT, "")
            .await;
        self.expect(allows_any_origin(&answer), || {
            format!(
                "a browser's preflight of {mcp} answers {}: no CORS",
                answer.status
            )
        });

        self.resource_metadata(origin, metadata, slug, resource)
            .await;
        let root = self
            .ask_of(origin, Method::GET, WELL_KNOWN_PATH, &[], "")
            .await;
        let is_named_at_root = metadata == WELL_KNOWN_PATH || self.lives_alone_at(origin);
        self.only_one(is_named_at_root, &root, WELL_KNOWN_PATH);
        self.server_metadata(slug).await;
    }

    /// Whether one server is at this origin, and no other.
    fn lives_alone_at(&self, origin: &str) -> bool {
        let there = self.subject.servers.iter().filter(|(_, resource)| {
            CanonicalResource::parse(resource)
                .is_ok_and(|resource| same_machine(resource.origin()) == same_machine(origin))
        });
        there.count() == 1
    }

    async fn resource_metadata(&mut self, origin: &str, path: &str, slug: &str, resource: &str) {
        let issuer = self.issuer(slug);
        let answer = self.ask_of(origin, Method::GET, path, &[], "").await;
        let document: Option<ProtectedResourceMetadata> = serde_json::from_slice(&answer.body).ok();
        let good = answer.status == StatusCode::OK
            && document.is_some_and(|document| {
                document.resource == resource && document.authorization_servers == [issuer.clone()]
            });
        self.expect(good, || {
            format!(
                "{path} answers {} and does not name {resource} and {issuer}",
                answer.status
            )
        });
    }

    async fn server_metadata(&mut self, slug: &str) {
        let issuer = self.issuer(slug);
        let path = format!("/servers/{slug}");
        for address in [
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("/.well-known/openid-configuration{path}"),
            format!("{path}/.well-known/openid-configuration"),
            format!("{path}/.well-known/oauth-authorization-server"),
        ] {
            let answer = self.ask(Method::GET, &address, &[], "").await;
            let document: Option<AuthorizationServerMetadata> =
                serde_json::from_slice(&answer.body).ok();
            let good = answer.status == StatusCode::OK
                && document.is_some_and(|document| {
                    document.issuer == issuer
                        && document.code_challenge_methods_supported == ["S256"]
                        && document.authorization_response_iss_parameter_supported
                });
            self.expect(good, || {
                format!(
                    "{address} answers {} and is not the metadata of {issuer}",
                    answer.status
                )
            });
        }
        let is_named = self.lives_alone_at(&self.subject.public_url);
        for address in [
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration",
        ] {
            let answer = self.ask(Method::GET, address, &[], "").await;
            self.only_one(is_named, &answer, address);
        }
        let token = format!("{path}/token");
        let answer = self.ask(Method::OPTIONS, &token, &PREFLIGHT, "").await;
        self.expect(allows_any_origin(&answer), || {
            format!(
                "a browser's preflight of {token} answers {}: no CORS",
                answer.status
            )
        });
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self
            .ask(
                Method::POST,
                &token,
                &form,
                "grant_type=authorization_code&code=x",
            )
            .await;
        let error = answer
            .json()
            .and_then(|body| body.get("error")?.as_str().map(str::to_owned));
        self.expect(answer.status.is_client_error() && error.is_some(), || {
            format!(
                "{token} answers nonsense with {}, not with an OAuth error",
                answer.status
            )
        });
    }

    /// A bare origin names its server only while there is one.
    fn only_one(&mut self, is_one: bool, answer: &Answer, address: &str) {
        let status = answer.status;
        let expected = if is_one {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        let good = status == expected && answer.json().is_some();
        self.expect(good, || {
            format!("{address} answers {status}, not {expected} in JSON")
        });
    }

    async fn authority(&mut self) {
        for path in ["/jwks.json", "/identity/jwks.json"] {
            let answer = self.ask(Method::GET, path, &[], "").await;
            let keys = answer.json();
            let good = keys
                .as_ref()
                .and_then(|keys| keys.get("keys")?.as_array())
                .is_some_and(|keys| {
                    // `d` is what makes a key private.
                    !keys.is_empty()
                        && keys
                            .iter()
                            .all(|key| key.get("d").is_none() && key.get("kid").is_some())
                });
            self.expect(good, || {
                format!(
                    "{path} answers {} and is not a set of public keys",
                    answer.status
                )
            });
        }
        for path in ["/.well-known/nothing", "/mcp/nothing-here", "/nothing"] {
            let answer = self.ask(Method::GET, path, &[], "").await;
            let good = answer.status == StatusCode::NOT_FOUND && answer.json().is_some();
            self.expect(good, || {
                format!("{path} answers {}, not 404 in JSON", answer.status)
            });
        }
        if let Some(url) = self.subject.guarded.clone() {
            let answer = self
                .ask_at(url.as_str(), Method::POST, &JSON, TOOLS_LIST, None)
                .await;
            self.expect(answer.status == StatusCode::UNAUTHORIZED, || {
                format!(
                    "the bundled server at {url} answers {} to whoever comes past the gateway",
                    answer.status
                )
            });
        }
        let answer = self.ask(Method::GET, "/admin", &[], "").await;
        self.expect(answer.status != StatusCode::OK, || {
            "/admin opens without a sign-in".into()
        });
    }

    fn issuer(&self, slug: &str) -> String {
        format!("{}/servers/{slug}", self.subject.public_url)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.ask_of(&self.subject.public_url, method, path, headers, body)
            .await
    }

    /// Asks our listener as a client would that was led to it by the name in `origin`.
    async fn ask_of(
        &self,
        origin: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let url = format!("{}{path}", self.subject.local);
        // A listener behind a public address knows that address and no other.
        let host = origin.split_once("://").map(|(_, host)| host);
        self.ask_at(&url, method, headers, body, host).await
    }

    async fn ask_at(
        &self,
        url: &str,
        method: Method,
        headers: &[(&str, &str)],
        body: &str,
        host: Option<&str>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::USER_AGENT, &self.subject.user_agent);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let unreadable = |text: String| Answer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers: HeaderMap::new(),
            body: text.into(),
        };
        let request = match request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))) {
            Ok(request) => request,
            Err(error) => return unreadable(error.to_string()),
        };
        match self.client.fetch(request, BODY_BYTES_MAX).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                Answer {
                    status: parts.status,
                    headers: parts.headers,
                    body,
                }
            }
            Err(error) => unreadable(error.to_string()),
        }
    }

    fn expect(&mut self, good: bool, finding: impl FnOnce() -> String) {
        self.outcome.checks += 1;
        if !good {
            self.outcome.findings.push(finding());
        }
    }
}

const TOOLS_LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;

const JSON: [(&str, &str); 2] = [
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
];

const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", "http://localhost:6274"),
    ("access-control-request-method", "POST"),
    (
        "access-control-request-headers",
        "authorization, content-type",
    ),
];

/// The loopback names stand for one another.
fn same_machine(origin: &str) -> String {
    origin
        .replace("://127.0.0.1", "://localhost")
        .replace("://[::1]", "://localhost")
}

fn allows_any_origin(answer: &Answer) -> bool {
    answer.status.is_success()
        && !answer
            .header(header::ACCESS_CONTROL_ALLOW_ORIGIN)
            .is_empty()
}
