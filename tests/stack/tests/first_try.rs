//! What makes the first try work with every client, asked of the whole stack: each as the client that needs it asks.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use cli::{Stack, UpOptions};
use http::{Method, Request, Response, StatusCode, header};
use serde_json::Value;
use testkit::Connection;
use testkit::person::text;

struct Bench {
    web: Connection,
    stack: Stack,
    mcp: String,
    issuer: String,
    _data: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let stack = Stack::start(UpOptions::new(data.path())).await.unwrap();
        Self {
            web: Connection::open(&format!("localhost:{}", stack.port))
                .await
                .unwrap(),
            mcp: path_of(&stack.mcp_url),
            issuer: path_of(&stack.issuer),
            stack,
            _data: data,
        }
    }

    async fn ask(&mut self, method: &str, path: &str) -> Response<Bytes> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request::builder().method(method).uri(path);
        self.web.send(request, Bytes::new()).await.unwrap()
    }

    async fn json(&mut self, path: &str) -> Value {
        let answer = self.ask("GET", path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}: {}", text(&answer));
        serde_json::from_slice(answer.body()).unwrap()
    }

    async fn resource_metadata(&mut self) -> Value {
        let path = format!("/.well-known/oauth-protected-resource{}", self.mcp);
        self.json(&path).await
    }

    async fn server_metadata(&mut self) -> Value {
        let path = format!("/.well-known/oauth-authorization-server{}", self.issuer);
        self.json(&path).await
    }
}

fn path_of(url: &str) -> String {
    url::Url::parse(url).unwrap().path().to_owned()
}

fn scopes(document: &Value) -> Vec<&str> {
    let listed = document["scopes_supported"].as_array().unwrap();
    listed.iter().map(|scope| scope.as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_kind_of_first_request_without_a_token_is_shown_the_way() {
    let mut bench = Bench::start().await;
    let mcp = bench.mcp.clone();
    for method in ["POST", "GET", "HEAD"] {
        let answer = bench.ask(method, &mcp).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method}");
        let lines: Vec<_> = answer
            .headers()
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .map(|line| line.to_str().unwrap())
            .collect();
        let [line] = lines[..] else {
            panic!("{method}: {lines:?}")
        };
        let origin = &bench.stack.authority_url;
        assert!(
            line.starts_with("Bearer ")
                && line.contains(&format!("resource_metadata=\"{origin}/"))
                && line.contains("scope=\"")
                && !line.contains("error="),
            "{line}"
        );
        assert!(!line.contains("offline_access"), "{line}");
    }
}

#[tokio::test]
async fn the_documents_agree_to_the_byte_and_hold_nothing_null() {
    let mut bench = Bench::start().await;
    let resource = bench.resource_metadata().await;
    let server = bench.server_metadata().await;
    assert_eq!(resource["resource"], bench.stack.mcp_url.as_str());
    assert_eq!(
        resource["authorization_servers"],
        serde_json::json!([bench.stack.issuer])
    );
    assert_eq!(server["issuer"], bench.stack.issuer.as_str());
    let root = bench.json("/.well-known/oauth-protected-resource").await;
    assert_eq!(root, resource);
    let issuer = bench.issuer.clone();
    for path in [
        format!("/.well-known/openid-configuration{issuer}"),
        format!("{issuer}/.well-known/openid-configuration"),
        format!("{issuer}/.well-known/oauth-authorization-server"),
        "/.well-known/oauth-authorization-server".to_owned(),
    ] {
        assert_eq!(bench.json(&path).await, server, "{path}");
    }
    for document in [&resource, &server] {
        for (name, value) in document.as_object().unwrap() {
            let empty = value.is_null() || value == "" || *value == serde_json::json!([]);
            assert!(!empty, "{name} is {value}");
        }
    }
    for name in [
        "response_types_supported",
        "jwks_uri",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
        "registration_endpoint",
    ] {
        assert!(!server[name].is_null(), "{name}");
    }
    assert_eq!(server["code_challenge_methods_supported"][0], "S256");
    assert_eq!(server["token_endpoint_auth_methods_supported"][0], "none");
    assert_eq!(server["client_id_metadata_document_supported"], true);
    assert_eq!(
        server["authorization_response_iss_parameter_supported"],
        true
    );
}

#[tokio::test]
async fn offline_access_is_known_to_the_authority_and_not_a_matter_of_the_resource() {
    let mut bench = Bench::start().await;
    let server = bench.server_metadata().await;
    let resource = bench.resource_metadata().await;
    assert!(scopes(&server).contains(&"offline_access"), "{server}");
    assert!(!scopes(&resource).contains(&"offline_access"), "{resource}");
    assert!(scopes(&resource).contains(&"todo:read"), "{resource}");
}

#[tokio::test]
async fn nothing_that_programs_ask_for_is_a_redirect_and_what_is_unknown_is_404_in_json() {
    let mut bench = Bench::start().await;
    let (mcp, issuer) = (bench.mcp.clone(), bench.issuer.clone());
    for method in ["GET", "POST"] {
        for path in [
            mcp.clone(),
            format!("{mcp}/"),
            format!("{issuer}/token"),
            format!("{issuer}/token/"),
            format!("{issuer}/register"),
            format!("{issuer}/register/"),
            format!("{issuer}/revoke"),
            format!("{issuer}/introspect"),
            "/jwks.json".to_owned(),
            "/.well-known/oauth-protected-resource/".to_owned(),
        ] {
            let status = bench.ask(method, &path).await.status();
            assert!(!status.is_redirection(), "{method} {path}: {status}");
            assert!(!status.is_server_error(), "{method} {path}: {status}");
        }
    }
    for path in [
        "/.well-known/oauth-protected-resource/mcp/other",
        "/.well-known/oauth-authorization-server/servers/other",
        "/.well-known/openid-configuration/mcp/todo",
        "/.well-known/anything-at-all",
        "/register",
        "/token",
    ] {
        let answer = bench.ask("GET", path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert!(body.is_object(), "{path}: {body}");
        assert!(
            !answer.headers().contains_key(header::WWW_AUTHENTICATE),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_page_of_any_origin_may_discover_register_and_read_the_challenge() {
    let mut bench = Bench::start().await;
    let (mcp, issuer) = (bench.mcp.clone(), bench.issuer.clone());
    for (path, method) in [
        ("/.well-known/oauth-protected-resource".to_owned(), "GET"),
        (
            format!("/.well-known/oauth-authorization-server{issuer}"),
            "GET",
        ),
        (format!("{issuer}/register"), "POST"),
        (format!("{issuer}/token"), "POST"),
        (mcp, "POST"),
    ] {
        let request = Request::options(&path)
            .header(header::ORIGIN, "http://localhost:6274")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, method)
            .header(
                header::ACCESS_CONTROL_REQUEST_HEADERS,
                "authorization, content-type, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, last-event-id",
            );
        let answer = bench.web.send(request, Bytes::new()).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        assert!(
            answer
                .headers()
                .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN),
            "{path}"
        );
        assert!(
            !answer
                .headers()
                .contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS),
            "{path}"
        );
    }
}
