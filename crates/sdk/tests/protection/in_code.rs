use portcullis::{MissingScope, VerifiedCaller, require_scope};

use super::*;

/// Its tool `about` needs a scope in its code.
fn demanding(scope: &'static str, as_events: bool) -> Mcp {
    Mcp::new(move |asked| {
        let said = match require_scope(&asked.head.extensions, scope) {
            Ok(caller) => format!("welcome {}", caller.principal().subject),
            Err(missing) => missing.to_string(),
        };
        result(&asked, &json!({"said": said}), as_events)
    })
}

#[tokio::test]
async fn what_code_requires_is_a_challenge_when_it_can_be_had() {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    let with = |scope: &str| issuer.token(RESOURCE).scope(scope).mint();
    for (modern, asked_for) in [(false, "note:read note:write"), (true, "note:write")] {
        let call = message("tools/call", json!({"name": "about"}), modern);
        let service = protection.protect(demanding("note:write", false));
        let refused = ask(&service, &with("note:read"), &call).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let challenge = refused.challenge.unwrap();
        assert!(
            challenge.contains("error=\"insufficient_scope\""),
            "{challenge}"
        );
        assert!(
            challenge.contains(&format!("scope=\"{asked_for}\"")),
            "{challenge}"
        );
        let let_in = ask(&service, &with("note:read note:write"), &call).await;
        assert_eq!(let_in.json["result"]["said"], "welcome usr_test");

        // The head of a stream is gone by then; it says it in the answer.
        let service = protection.protect(demanding("note:write", true));
        let refused = ask(&service, &with("note:read"), &call).await;
        assert_eq!(refused.status, StatusCode::OK);
        let said = refused.json["result"]["said"].as_str().unwrap();
        assert!(said.contains("needs the scope note:write"), "{said}");
    }
}

#[tokio::test]
async fn what_nobody_can_have_is_no_challenge_and_lets_nobody_in() {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    let call = message("tools/call", json!({"name": "about"}), false);
    for scope in ["note:unheard", "not a scope", ""] {
        let service = protection.protect(demanding(scope, false));
        let token = issuer
            .token(RESOURCE)
            .scope("note:read note:unheard")
            .mint();
        let refused = ask(&service, &token, &call).await;
        assert_eq!(refused.status, StatusCode::OK);
        assert_eq!(refused.json["result"]["said"], "this is not permitted");
        assert_eq!(refused.challenge, None);
    }
}

#[tokio::test]
async fn without_the_layer_nobody_is_known_and_nobody_is_let_in() {
    let extensions = http::Extensions::new();
    let missing = require_scope(&extensions, "note:read").unwrap_err();
    assert_eq!(missing, MissingScope::NoCaller);
    assert!(extensions.get::<Arc<VerifiedCaller>>().is_none());
}

/// A server with routes of its own behind the layer needs the rest of the request as well.
#[tokio::test]
async fn the_server_sees_the_address_and_what_others_left_in_the_request() {
    #[derive(Clone)]
    struct Left;
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    let service = protection.protect(Mcp::new(|asked| {
        let left = asked.head.extensions.get::<Left>().is_some();
        let uri = asked.head.uri.to_string();
        result(&asked, &json!({"uri": uri, "left": left}), false)
    }));
    let call = message("ping", json!({}), false);
    let token = issuer.token(RESOURCE).mint();
    let request = post(&token, &call).uri("/mcp?a=b").extension(Left);
    let answer = send(
        &service,
        request.body(Full::from(call.to_string())).unwrap(),
    )
    .await;
    assert_eq!(
        answer.json["result"],
        json!({"uri": "/mcp?a=b", "left": true})
    );
}

#[tokio::test]
async fn a_client_with_a_document_is_one_that_is_known_when_its_token_says_that_it_is_proven() {
    let issuer = TestIssuer::new();
    let mut policy = policy();
    let unknown = json!([{"id": "rul_1", "effect": "deny", "who": "anyone", "client": "unverified",
        "what": {"tools": ["write"]}}]);
    policy.subject_rules = serde_json::from_value(unknown).unwrap();
    let protection = builder(&issuer).policy(policy).start().unwrap();
    let service = protection.protect(Mcp::new(|asked| result(&asked, &json!({}), false)));
    let call = message("tools/call", json!({"name": "write"}), false);
    let token = || {
        let token = issuer.token(RESOURCE).scope("note:write");
        token.client("https://claude.ai/client.json")
    };
    let known = ask(&service, &token().client_proven().mint(), &call).await;
    assert!(known.json["result"].is_object(), "{:?}", known.json);
    let unknown = ask(&service, &token().mint(), &call).await;
    assert_eq!(unknown.json["error"]["code"], -32602, "{:?}", unknown.json);
}
