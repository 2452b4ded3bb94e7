use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{Answer, McpClient};

use crate::support::{Rig, RigSettings, SLUG};

async fn get(url: String) -> Answer {
    Answer::read(McpClient::new(url).send(Method::GET, Bytes::new()).await).await
}

#[tokio::test]
async fn metadata_is_at_the_path_and_at_the_root_and_names_what_people_type() {
    let rig = Rig::start().await;
    for path in [format!("/mcp/{SLUG}"), String::new()] {
        let url = format!(
            "{}/.well-known/oauth-protected-resource{path}",
            rig.origin()
        );
        let answer = get(url).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            document,
            json!({
                "resource": rig.url(),
                "authorization_servers": [rig.issuer()],
                "scopes_supported": ["note:read", "note:write"],
                "bearer_methods_supported": ["header"],
                "resource_name": "Notes",
            })
        );
    }
}

#[tokio::test]
async fn metadata_and_challenge_answer_for_the_address_that_was_asked() {
    let rig = Rig::start().await;
    for (host, origin) in [
        (
            format!("localhost:{}", rig.port),
            format!("http://localhost:{}", rig.port),
        ),
        (
            format!("LOCALHOST:{}", rig.port),
            format!("http://localhost:{}", rig.port),
        ),
        (
            format!("[::1]:{}", rig.port),
            format!("http://[::1]:{}", rig.port),
        ),
        (
            "notes.example".to_owned(),
            "https://notes.example".to_owned(),
        ),
        (
            "notes.example:443".to_owned(),
            "https://notes.example".to_owned(),
        ),
    ] {
        for path in [format!("/mcp/{SLUG}"), format!("/mcp/{SLUG}/")] {
            let ask = async |path: &str| {
                let head =
                    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                rig.raw(&head, b"").await
            };
            let metadata = format!("/.well-known/oauth-protected-resource{path}");
            let document = ask(&metadata).await;
            let resource = format!("\"resource\":\"{origin}{path}\"");
            assert!(document.contains(&resource), "{document}");
            let challenge = ask(&path).await;
            let address = format!("resource_metadata=\"{origin}{metadata}\"");
            assert!(challenge.contains(&address), "{challenge}");
        }
    }
}

#[tokio::test]
async fn a_token_is_good_under_every_alias() {
    let rig = Rig::start().await;
    let token = rig.token("note:read");
    for host in [
        format!("localhost:{}", rig.port),
        "notes.example".to_owned(),
    ] {
        for slash in ["", "/"] {
            let body = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
            let head = format!(
                "POST /mcp/{SLUG}{slash} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let answer = rig.raw(&head, body).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_unknown_host_is_421_and_names_the_setting_and_a_malformed_one_is_400() {
    let rig = Rig::start().await;
    let ask = async |hosts: &str| {
        rig.raw(
            &format!("GET /mcp/{SLUG} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"),
            b"",
        )
        .await
    };
    let foreign = ask("Host: evil.example\r\n").await;
    assert!(foreign.starts_with("HTTP/1.1 421"), "{foreign}");
    assert!(foreign.contains("--public-url"), "{foreign}");
    assert!(!foreign.to_lowercase().contains("www-authenticate"));
    let own = format!("Host: 127.0.0.1:{}\r\n", rig.port);
    assert!(ask(&own.repeat(2)).await.starts_with("HTTP/1.1 400"));
    // Some readers see our own host in each of these, and others do not.
    let here = format!("127.0.0.1:{}", rig.port);
    for host in [
        format!("{here}/"),
        format!("{here}?evil.example"),
        format!("{here}#evil.example"),
        format!("evil.example@{here}"),
        format!("{here}@evil.example"),
        format!("{here} evil.example"),
        format!("{here},evil.example"),
        format!("{here}\\evil.example"),
        format!("http://{here}"),
        format!("127.0.0.1.:{}", rig.port),
        format!("[::ffff:127.0.0.1]:{}", rig.port),
        format!("2130706433:{}", rig.port),
    ] {
        let answer = ask(&format!("Host: {host}\r\n")).await;
        let refused = answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 421");
        assert!(refused, "{host}: {answer}");
    }
    assert!(ask("").await.starts_with("HTTP/1.1 400"));
    assert!(ask(&own).await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn paths_that_are_only_nearly_ours_lead_nowhere() {
    let rig = Rig::start().await;
    for path in [
        "/mcp",
        "/mcp/",
        "/mcp//",
        "/mcp/nosuch",
        "/mcp/Notes",
        "/MCP/notes",
        "/mcp/notes//",
        "/mcp//notes",
        "//mcp/notes",
        "/mcp/notes/x",
        "/mcp/notes/../notes",
        "/mcp/./notes",
        "/mcp/notes%2f",
        "/mcp%2fnotes",
        "/mcp/%6eotes",
        "/mcp/notes;x",
        "/mcp/notes/.well-known/oauth-protected-resource",
        "/mcp/notes/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/notes",
        "/.well-known/oauth-protected-resource/mcp/nosuch",
        "/.well-known/oauth-protected-resource//mcp/notes",
    ] {
        let answer = rig.raw_request(&format!("GET {path}"), "").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(answer.contains("application/json"), "{path}");
        assert!(answer.contains("\"error\":\"not_found\""), "{path}");
    }
    assert_eq!(rig.echo.requests().len(), 0);
    for path in ["/mcp/notes", "/mcp/notes/", "/mcp/notes?x=1"] {
        let answer = rig.raw_request(&format!("GET {path}"), "").await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{path}: {answer}");
    }
    assert_eq!(rig.echo.requests().len(), 3);
    let reached = rig.echo.requests();
    assert!(reached.iter().all(|request| request.uri == "/mcp"));
}

#[tokio::test]
async fn the_root_document_is_there_only_while_it_is_unambiguous() {
    let rig = Rig::with(RigSettings {
        more_servers: vec!["other"],
        ..RigSettings::default()
    })
    .await;
    let well_known = format!("{}/.well-known/oauth-protected-resource", rig.origin());
    assert_eq!(get(well_known.clone()).await.status, StatusCode::NOT_FOUND);
    let own = get(format!("{well_known}/mcp/{SLUG}")).await;
    assert_eq!(own.status, StatusCode::OK);
}

#[tokio::test]
async fn metadata_is_read_only() {
    let rig = Rig::start().await;
    let url = format!("{}/.well-known/oauth-protected-resource", rig.origin());
    let client = McpClient::new(url);
    let head = client.send(Method::HEAD, Bytes::new()).await;
    assert_eq!(head.status(), StatusCode::OK);
    let posted = client.send(Method::POST, Bytes::new()).await;
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_preflight_is_answered_before_the_token_and_only_when_it_is_one() {
    let rig = Rig::start().await;
    let path = format!("OPTIONS /mcp/{SLUG}");
    let host = format!("Host: 127.0.0.1:{}\r\nConnection: close\r\n", rig.port);
    let ask = async |headers: &str| {
        rig.raw(&format!("{path} HTTP/1.1\r\n{host}{headers}\r\n"), b"")
            .await
            .to_lowercase()
    };
    let answer = ask(
        "Origin: http://localhost:6274\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: authorization, mcp-param-region, x-evil\r\n",
    )
    .await;
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    for allowed in [
        "authorization",
        "mcp-session-id",
        "last-event-id",
        "mcp-param-region",
    ] {
        assert!(answer.contains(allowed), "{allowed}: {answer}");
    }
    assert!(!answer.contains("x-evil"), "{answer}");
    assert!(ask("").await.starts_with("http/1.1 401"));
    let foreign =
        ask("Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n").await;
    assert!(foreign.starts_with("http/1.1 403"), "{foreign}");
}

#[tokio::test]
async fn pages_of_this_machine_may_read_the_challenge_and_foreign_ones_are_turned_away() {
    let rig = Rig::start().await;
    let local = rig
        .stranger()
        .with_header("origin", "http://localhost:6274");
    let answer = local.request("ping", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let exposed = answer.headers["access-control-expose-headers"]
        .to_str()
        .unwrap();
    assert!(exposed.contains("WWW-Authenticate"));
    for origin in ["https://evil.example", "null"] {
        let answer = rig
            .caller("note:read")
            .with_header("origin", origin)
            .request("ping", json!({}))
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}");
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
    assert_eq!(rig.echo.requests().len(), 0);
    let local = rig
        .caller("note:read")
        .with_header("origin", "http://127.0.0.1:1");
    assert_eq!(
        local.request("ping", json!({})).await.status,
        StatusCode::OK
    );
    let sent = &rig.echo.requests()[0];
    assert!(!sent.headers.contains_key("origin"));
}

#[tokio::test]
async fn the_resource_s_documentation_is_named_when_there_is_one() {
    let rig = Rig::start().await;
    let path = "/.well-known/oauth-protected-resource/mcp/notes";
    let address = "https://docs.example.com/notes";
    assert!(
        !rig.raw_request(&format!("GET {path}"), "")
            .await
            .contains("resource_documentation")
    );
    rig.publish(|server| server.documentation_url = Some(address.into()));
    let answer = rig.raw_request(&format!("GET {path}"), "").await;
    let told = format!("\"resource_documentation\":\"{address}\"");
    assert!(answer.contains(&told), "{answer}");
}
