use std::time::Duration;

use authz::{Mode, Requirement};
use base::Clock as _;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::Answer;

use crate::support::{Rig, SLUG, SigningKey, entry};

fn challenge(answer: &Answer) -> String {
    let mut lines = answer.headers.get_all("www-authenticate").iter();
    let line = lines.next().expect("there is a challenge");
    assert_eq!(lines.next(), None, "one challenge");
    line.to_str().unwrap().to_owned()
}

/// The body without what differs between two refusals on purpose.
fn without_correlation_id(answer: &Answer) -> String {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    let data = &mut body["error"]["data"];
    let id = data["correlation_id"].as_str().unwrap();
    assert_eq!(id.len(), 16);
    assert_eq!(answer.headers["portcullis-correlation-id"], id);
    data["correlation_id"] = json!("*");
    body.to_string()
}

#[tokio::test]
async fn every_method_without_a_token_is_401_with_one_challenge_and_with_a_token_is_not() {
    let rig = Rig::start().await;
    let metadata = format!(
        "{}/.well-known/oauth-protected-resource/mcp/{SLUG}",
        rig.origin()
    );
    for method in [
        "POST", "GET", "HEAD", "DELETE", "PUT", "PATCH", "OPTIONS", "PROPFIND", "FOO",
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let body = Bytes::from_static(b"{}");
        let answer = Answer::read(rig.stranger().send(method.clone(), body.clone()).await).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method}");
        assert_eq!(
            challenge(&answer),
            format!("Bearer resource_metadata=\"{metadata}\", scope=\"note:read note:write\"")
        );
        let answer = Answer::read(rig.caller("note:read").send(method.clone(), body).await).await;
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{method}");
        assert!(!answer.headers.contains_key("www-authenticate"), "{method}");
    }
    for line in [
        format!("TRACE /mcp/{SLUG}"),
        format!("CONNECT 127.0.0.1:{}", rig.port),
    ] {
        let answer = rig.raw_request(&line, "").await;
        let refused = answer.starts_with("HTTP/1.1 405") || answer.starts_with("HTTP/1.1 404");
        assert!(refused, "{line}: {answer}");
    }
    let trace = rig.raw_request(&format!("TRACE /mcp/{SLUG}"), "").await;
    assert!(trace.starts_with("HTTP/1.1 405"), "{trace}");
    assert_eq!(rig.echo.requests().len(), 2, "GET and DELETE with a token");
}

#[tokio::test]
async fn a_bad_token_is_invalid_token_and_a_good_one_calls() {
    let rig = Rig::start().await;
    let good = rig.claims("note:read");
    let changed = |member: &str, value: Value| {
        let mut claims = good.clone();
        claims[member] = value;
        rig.key.sign("at+jwt", &claims)
    };
    let now = rig.clock.now().unix_seconds();
    let stranger_key = SigningKey::generate("access-1");
    let bad = [
        ("garbage", "garbage".to_owned()),
        ("expired", changed("exp", json!(now - 60))),
        (
            "foreign audience",
            changed("aud", json!("https://other.example/mcp")),
        ),
        (
            "foreign issuer",
            changed("iss", json!("https://other.example")),
        ),
        ("foreign key", stranger_key.sign("at+jwt", &good)),
        (
            "identity token",
            rig.identity_key.sign("portcullis-identity+jwt", &good),
        ),
        ("no access token", rig.key.sign("JWT", &good)),
    ];
    for (what, token) in bad {
        let client = rig.stranger().with_bearer(&token);
        let answer = client.call_tool("echo", json!({})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
        let line = challenge(&answer);
        assert!(
            line.starts_with("Bearer error=\"invalid_token\""),
            "{what}: {line}"
        );
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["error"], "invalid_token", "{what}");
    }
    assert_eq!(rig.echo.requests().len(), 0);
    let answer = rig
        .caller("note:read")
        .call_tool("echo", json!({"a": 1}))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.text(), r#"{"a":1}"#);
}

#[tokio::test]
async fn a_token_counts_only_in_one_authorization_header() {
    let rig = Rig::start().await;
    let token = rig.token("note:read");
    let host = format!("Host: 127.0.0.1:{}\r\nConnection: close\r\n", rig.port);
    let status = async |line: &str, headers: &str| {
        let answer = rig
            .raw(&format!("{line} HTTP/1.1\r\n{host}{headers}\r\n"), b"")
            .await;
        answer[9..12].to_owned()
    };
    let path = format!("GET /mcp/{SLUG}");
    let once = format!("Authorization: bEARER {token}\r\n");
    // The echo without sessions has no stream for a GET: that answer is the upstream's own.
    assert_eq!(status(&path, &once).await, "405");
    assert_eq!(status(&path, &once.repeat(2)).await, "401");
    assert_eq!(
        status(&format!("{path}?access_token={token}"), "").await,
        "401"
    );
    let cookie = format!("Cookie: access_token={token}\r\n");
    assert_eq!(status(&path, &cookie).await, "401");
    assert_eq!(status(&path, "Authorization: Basic YTpi\r\n").await, "401");
    for value in [
        "Bearer".to_owned(),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer {token},"),
        format!("Bearer {token} x"),
        format!("Bearer{token}"),
        format!("Bearer\t{token}"),
        format!("\"Bearer {token}\""),
        token.clone(),
    ] {
        let line = format!("Authorization: {value}\r\n");
        assert_eq!(status(&path, &line).await, "401", "{value}");
    }
}

#[tokio::test]
async fn an_expired_token_is_refused_though_it_was_kept_and_a_fresh_one_is_not() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    rig.clock.advance(Duration::from_secs(3600 + 60));
    rig.publisher.contact();
    let answer = client.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let fresh = rig.caller("note:read");
    assert_eq!(
        fresh.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_revoked_grant_is_refused_with_its_kept_token_and_another_grant_is_not() {
    let rig = Rig::start().await;
    let alice = rig.caller("note:read");
    let bob = rig.caller_as("usr_bob", "cli_1", "note:read");
    assert_eq!(
        alice.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    let until = rig.clock.now().after(Duration::from_secs(3600));
    rig.publish(|server| {
        server.revocations.grants = [("grt_1".into(), until)].into_iter().collect();
    });
    let answer = alice.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(challenge(&answer).contains("error=\"invalid_token\""));
    assert_eq!(
        bob.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn keys_that_left_the_set_verify_nothing_more() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    let next = SigningKey::generate("access-2");
    rig.publish(|server| server.keys.keys = vec![next.jwk()]);
    let answer = client.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let token = next.sign("at+jwt", &rig.claims("note:read"));
    let client = rig.stranger().with_bearer(&token);
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn unknown_unmapped_denied_and_unobtainable_tools_read_the_same_and_reach_nobody() {
    let rig = Rig::with_echo(|echo| {
        echo.tools.push(testkit::echo::tool(
            "unmapped_tool",
            "Not in the policy.",
            json!({}),
        ));
    })
    .await;
    let client = rig.caller("note:read note:write");
    for modern in [false, true] {
        let mut bodies = Vec::new();
        for name in ["nosuch_tool", "unmapped_tool", "secret", "delete_note"] {
            let params = json!({"name": name, "arguments": {}});
            let answer = if modern {
                client.modern("tools/call", params).await
            } else {
                client.request("tools/call", params).await
            };
            assert_eq!(answer.status, StatusCode::OK, "{name}");
            assert_eq!(answer.response()["error"]["code"], -32602, "{name}");
            assert!(!answer.headers.contains_key("www-authenticate"));
            bodies.push(without_correlation_id(&answer).replace(name, "NAME"));
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        assert!(bodies[0].contains("Unknown tool: NAME"));
    }
    assert_eq!(rig.echo.requests().len(), 0);
    let allowed = client.call_tool("write_note", json!({})).await;
    assert_eq!(allowed.status, StatusCode::OK);
    assert_eq!(rig.echo.requests().len(), 1);
}

#[tokio::test]
async fn scope_that_can_be_had_is_asked_for_in_the_way_of_each_era() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    let params = json!({"name": "write_note", "arguments": {}});
    let legacy = client.request("tools/call", params.clone()).await;
    assert_eq!(legacy.status, StatusCode::FORBIDDEN);
    let line = challenge(&legacy);
    assert!(
        line.starts_with("Bearer error=\"insufficient_scope\""),
        "{line}"
    );
    // Clients of this era ask for what stands here instead of what they have.
    assert!(line.ends_with("scope=\"note:read note:write\""), "{line}");
    let modern = client.modern("tools/call", params.clone()).await;
    assert_eq!(modern.status, StatusCode::FORBIDDEN);
    assert!(challenge(&modern).ends_with("scope=\"note:write\""));
    let body: Value = serde_json::from_slice(&modern.body).unwrap();
    assert_eq!(body["error"], "insufficient_scope");
    assert_eq!(rig.echo.requests().len(), 0);
    let wide = rig.caller("note:read note:write");
    assert_eq!(
        wide.request("tools/call", params).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn resources_and_prompts_are_refused_as_if_they_were_not_there() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    for (modern, code) in [(false, -32002), (true, -32602)] {
        for uri in ["note://nosuch/deep", "file:///etc/passwd"] {
            let params = json!({"uri": uri});
            let answer = if modern {
                client.modern("resources/read", params).await
            } else {
                client.request("resources/read", params).await
            };
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.response()["error"]["code"], code, "{uri}");
            assert_eq!(answer.response()["error"]["message"], "Resource not found");
        }
    }
    let prompt = client
        .request("prompts/get", json!({"name": "nosuch"}))
        .await;
    assert_eq!(prompt.response()["error"]["code"], -32602);
    let completion = json!({"ref": {"type": "ref/prompt", "name": "nosuch"}, "argument": {"name": "a", "value": ""}});
    let completion = client.request("completion/complete", completion).await;
    assert_eq!(completion.response()["error"]["code"], -32602);
    assert_eq!(rig.echo.requests().len(), 0);

    let read = client
        .request("resources/read", json!({"uri": "note://1"}))
        .await;
    assert_eq!(read.result()["contents"][0]["text"], "a note");
    let prompt = client
        .request("prompts/get", json!({"name": "summarize"}))
        .await;
    assert!(prompt.response()["error"].is_null());
    let completion = json!({"ref": {"type": "ref/prompt", "name": "summarize"}, "argument": {"name": "a", "value": ""}});
    let completion = client.request("completion/complete", completion).await;
    assert_eq!(completion.result()["completion"]["values"][0], "1");
    let other = client
        .request("resources/read", json!({"uri": "note://2"}))
        .await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn unknown_methods_are_refused_as_the_era_prescribes_and_ping_passes() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    for method in ["tasks/list", "admin/reset", "Tools/call"] {
        let legacy = client.request(method, json!({"name": "echo"})).await;
        assert_eq!(legacy.status, StatusCode::OK, "{method}");
        assert_eq!(legacy.response()["error"]["code"], -32601, "{method}");
        let modern = client.modern(method, json!({})).await;
        assert_eq!(modern.status, StatusCode::NOT_FOUND, "{method}");
        assert_eq!(modern.response()["error"]["code"], -32601, "{method}");
    }
    // A method that only the other era has is unknown, whatever it is about, also where its parameters are missing.
    for params in [json!({}), json!({"uri": "secret://1"})] {
        for method in ["resources/subscribe", "resources/unsubscribe"] {
            let modern = client.modern(method, params.clone()).await;
            assert_eq!(modern.status, StatusCode::NOT_FOUND, "{method}");
            assert_eq!(modern.response()["error"]["code"], -32601, "{method}");
            let legacy = client.request(method, params.clone()).await;
            assert_eq!(legacy.status, StatusCode::OK, "{method}");
            assert_ne!(legacy.response()["error"]["code"], -32601, "{method}");
        }
    }
    let call = json!({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo"}});
    assert_eq!(client.post(&call).await.status, StatusCode::BAD_REQUEST);
    let nameless = client.request("tools/call", json!({})).await;
    assert_eq!(nameless.response()["error"]["code"], -32602);
    assert_eq!(rig.echo.requests().len(), 0);
    assert_eq!(client.request("ping", json!({})).await.result(), json!({}));
    let notified = client.notify("notifications/initialized").await;
    assert_eq!(notified.status, StatusCode::ACCEPTED);
    let answered = json!({"jsonrpc": "2.0", "id": 5, "result": {}});
    assert_eq!(client.post(&answered).await.status, StatusCode::ACCEPTED);
    assert_eq!(rig.echo.requests().len(), 3);
}

#[tokio::test]
async fn with_a_stale_policy_the_answer_is_503_and_never_401() {
    let rig = Rig::start().await;
    rig.clock.advance(Duration::from_secs(5 * 60));
    let client = rig.caller("note:read");
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    rig.clock.advance(Duration::from_secs(1));
    for client in [rig.caller("note:read"), rig.stranger()] {
        let answer = client.call_tool("echo", json!({})).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "5");
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
    rig.publisher.contact();
    let client = rig.caller("note:read");
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_policy_change_is_in_force_for_the_next_call() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    rig.publish(|server| {
        server
            .policy
            .tools
            .insert("echo".into(), entry(Requirement::Denied));
    });
    let answer = client.call_tool("echo", json!({})).await;
    assert_eq!(answer.response()["error"]["code"], -32602);
    rig.publish(|_| {});
    assert_eq!(client.call_tool("echo", json!({})).await.text(), "{}");
}

#[tokio::test]
async fn observe_mode_enforces_nothing_but_the_token_and_says_what_it_would_refuse() {
    let rig = Rig::start().await;
    rig.publish(|server| server.policy.mode = Mode::Observe);
    let answer = rig.stranger().call_tool("secret", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    rig.next_record().await;
    let answer = rig
        .caller("note:read")
        .call_tool("secret", json!({"x": 1}))
        .await;
    assert_eq!(answer.text(), r#"{"x":1}"#);
    let record = rig.next_record().await;
    assert!(
        record.reason.starts_with("observed only"),
        "{}",
        record.reason
    );
}
