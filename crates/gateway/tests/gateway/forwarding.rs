use base::{Clock as _, base64url_decode};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::support::{Rig, RigSettings, SLUG};

fn claims_of(jwt: &str) -> (Value, Value) {
    let mut parts = jwt.split('.');
    let mut next = || {
        let bytes = base64url_decode(parts.next().unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    (next(), next())
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn the_caller_s_token_cookies_and_forgeries_never_reach_the_upstream() {
    let rig = Rig::with(RigSettings {
        operator_headers: vec![("authorization", "Bearer upstream-key"), ("x-api-key", "k")],
        ..RigSettings::default()
    })
    .await;
    let token = rig.token("note:read");
    let client = rig
        .stranger()
        .with_bearer(&token)
        .with_header("cookie", "session=canary")
        .with_header("forwarded", "for=1.2.3.4")
        .with_header("x-forwarded-for", "1.2.3.4")
        .with_header("portcullis-identity", "forged")
        .with_header("portcullis_identity", "forged")
        .with_header("x-user", "root")
        .with_header("dpop", "proof")
        .with_header("proxy-authorization", "Basic canary")
        .with_header("x-api-key", "forged")
        .with_header("traceparent", "00-a-b-01");
    let mut forged = client.clone();
    forged = forged.with_header("connection", "keep-alive, portcullis-identity, x-api-key");
    for client in [client, forged] {
        rig.echo.forget_requests();
        assert_eq!(
            client.call_tool("echo", json!({})).await.status,
            StatusCode::OK
        );
        let sent = &rig.echo.requests()[0];
        assert_eq!(
            names(&sent.headers),
            [
                "accept",
                "authorization",
                "content-length",
                "content-type",
                "host",
                "portcullis-identity",
                "traceparent",
                "x-api-key",
            ]
        );
        assert_eq!(sent.headers["authorization"], "Bearer upstream-key");
        assert_eq!(sent.headers["x-api-key"], "k");
        assert_eq!(
            sent.headers["host"],
            rig.echo.address().to_string().as_str()
        );
        let everything = format!("{sent:?}");
        for canary in [&token, "canary", "forged", "1.2.3.4"] {
            assert!(!everything.contains(canary), "{canary}");
        }
    }
}

#[tokio::test]
async fn the_upstream_is_told_when_the_client_is_proven_and_nothing_of_it_else() {
    let rig = Rig::start().await;
    for (said, told) in [(json!(true), json!(true)), (Value::Null, Value::Null)] {
        let mut claims = rig.claims("note:read");
        claims["client_proven"] = said.clone();
        if said.is_null() {
            claims.as_object_mut().unwrap().remove("client_proven");
        }
        let token = rig.key.sign("at+jwt", &claims);
        rig.echo.forget_requests();
        let client = rig.stranger().with_bearer(&token);
        assert_eq!(client.call_tool("echo", json!({})).await.status, 200);
        let sent = &rig.echo.requests()[0];
        let (_, claims) = claims_of(sent.headers["portcullis-identity"].to_str().unwrap());
        assert_eq!(claims["client_proven"], told);
    }
}

#[tokio::test]
async fn the_upstream_is_told_who_calls_by_a_token_of_its_own_kind() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    client.call_tool("echo", json!({})).await;
    client.call_tool("echo", json!({})).await;
    rig.clock.advance(std::time::Duration::from_secs(31));
    client.call_tool("echo", json!({})).await;
    let sent: Vec<String> = rig
        .echo
        .requests()
        .iter()
        .map(|request| {
            request.headers["portcullis-identity"]
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(sent[0], sent[1], "made once for a while");
    assert_ne!(sent[1], sent[2], "and then anew");
    let (header, claims) = claims_of(&sent[2]);
    assert_eq!(
        header,
        json!({"typ": "portcullis-identity+jwt", "alg": "ES256", "kid": "identity-1"})
    );
    let now = rig.clock.now().unix_seconds();
    assert_eq!(claims["iss"], rig.origin());
    assert_eq!(claims["aud"], SLUG);
    assert_eq!(claims["sub"], "usr_alice");
    assert_eq!(claims["client_id"], "cli_1");
    assert_eq!(claims["grant_id"], "grt_1");
    assert_eq!(claims["scope"], "note:read");
    assert_eq!(claims["iat"], now);
    assert_eq!(claims["exp"], now + 60);
    let (_, other) = {
        rig.caller_as("usr_bob", "cli_2", "note:read")
            .call_tool("echo", json!({}))
            .await;
        let sent = rig.echo.requests();
        claims_of(
            sent.last().unwrap().headers["portcullis-identity"]
                .to_str()
                .unwrap(),
        )
    };
    assert_eq!(other["sub"], "usr_bob");
    // Nobody can use it as an access token.
    let client = rig.stranger().with_bearer(&sent[2]);
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn what_is_sent_on_is_what_was_judged() {
    let rig = Rig::start().await;
    let body = " { \"id\" : 1.0e0 ,\n \"method\":\"tools\\/call\", \"jsonrpc\":\"2.0\" } ";
    let client = rig.caller("note:read");
    assert_eq!(
        client.post_bytes(body.into()).await.status,
        StatusCode::BAD_REQUEST,
        "1.0e0 is no id"
    );
    let body = "{\"params\":{\"arguments\":{\"b\":1.50,\"a\":\"\\u00e9\\/\",\"n\":12345678901234567890},\"name\":\"\\u0065cho\"}, \"id\":\"x\",\n\"method\":\"tools/call\",\"jsonrpc\":\"2.0\"}";
    let answer = client.post_bytes(body.into()).await;
    assert_eq!(answer.status, StatusCode::OK);
    let sent = &rig.echo.requests()[0];
    assert_eq!(
        std::str::from_utf8(&sent.body).unwrap(),
        "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"tools/call\",\"params\":{\"arguments\":{\"b\":1.50,\"a\":\"é/\",\"n\":12345678901234567890},\"name\":\"echo\"}}"
    );
}

#[tokio::test]
async fn modern_headers_are_rebuilt_and_parameters_pass() {
    let rig = Rig::start().await;
    let client = rig
        .caller("note:read")
        .with_header("mcp-param-region", "eu")
        .with_header("mcp-session-id", "left-over")
        .with_header("last-event-id", "7");
    let answer = client
        .modern("tools/call", json!({"name": "echo", "arguments": {}}))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let sent = &rig.echo.requests()[0];
    assert_eq!(sent.headers["mcp-protocol-version"], "2026-07-28");
    assert_eq!(sent.headers["mcp-method"], "tools/call");
    assert_eq!(sent.headers["mcp-name"], "echo");
    assert_eq!(sent.headers["mcp-param-region"], "eu");
    assert!(!sent.headers.contains_key("mcp-session-id"));
    assert!(!sent.headers.contains_key("last-event-id"));
}

#[tokio::test]
async fn a_probe_is_answered_by_the_upstream_itself() {
    let legacy = Rig::with_echo(|echo| echo.modern = false).await;
    let answer = legacy
        .caller("note:read")
        .modern("server/discover", json!({}))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.response()["error"]["code"], -32000);
    let modern = Rig::start().await;
    let answer = modern
        .caller("note:read")
        .modern("server/discover", json!({}))
        .await;
    assert_eq!(answer.result()["supportedVersions"][0], "2026-07-28");
}

#[tokio::test]
async fn what_an_upstream_says_besides_its_answer_stays_here() {
    let rig = Rig::with_echo(|echo| {
        echo.hostility = Some(testkit::echo::Hostility::NosyHeaders);
    })
    .await;
    let answer = rig.caller("note:read").request("ping", json!({})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        names(&answer.headers),
        [
            "cache-control",
            "content-length",
            "content-security-policy",
            "content-type",
            "date",
            "x-content-type-options",
        ]
    );
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(
        answer.headers["content-security-policy"],
        "default-src 'none'; sandbox"
    );
}
