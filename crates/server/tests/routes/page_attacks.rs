//! What is tried with the pages themselves: their headers, their forms, and the words strangers put into them.

use axum::body::Body;
use domain::ServerSettings;
use http::{Method, Request, StatusCode, header};
use serde_json::json;

use crate::support::{
    Answer, Browser, EMAIL, PASSWORD, PUBLIC_URL, World, authorize_path, encode, owned, request,
};

/// A signed-in browser, and every page it can be shown, with errors and what is not there.
async fn every_page(world: &World) -> Vec<(String, Answer)> {
    let client = world.register().await;
    let mut browser = Browser::default();
    let path = authorize_path(&client, &[]);
    let sign_in = browser.get(world, &path).await;
    let answer = world.sign_in(&mut browser, &sign_in, EMAIL, PASSWORD).await;
    let consent = browser.get(world, answer.location()).await;
    let wrong = world
        .sign_in(&mut Browser::default(), &sign_in, EMAIL, "wrong")
        .await;
    let returning = world.decide(&mut browser, &consent, "approve", None).await;
    let denied = browser.get(world, &path).await;
    let denied = world.decide(&mut browser, &denied, "deny", None).await;
    let mut pages: Vec<(String, Answer)> = [
        ("sign-in", sign_in),
        ("wrong password", wrong),
        ("consent", consent),
        ("returning", returning),
        ("denied", denied),
    ]
    .into_iter()
    .map(|(name, page)| (name.to_owned(), page))
    .collect();
    for path in [
        "/admin",
        "/account/tokens",
        "/setup?token=x",
        "/servers/todo/authorize",
        "/servers/todo/authorize?request=x",
        "/servers/other/authorize",
        "/nowhere",
        "/assets/nothing.css",
    ] {
        pages.push((path.to_owned(), browser.get(world, path).await));
    }
    for path in [
        "/account/tokens",
        "/account/tokens/revoke",
        "/admin/clients",
    ] {
        pages.push((format!("POST {path}"), browser.post(world, path, &[]).await));
    }
    pages
}

#[tokio::test]
async fn every_page_error_and_missing_address_has_its_headers() {
    let world = World::new().await;
    world.add_alice().await;
    for (name, page) in every_page(&world).await {
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{name}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{name}: {policy}"
        );
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{name}"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{name}");
        assert_eq!(page.header("cache-control"), "no-store", "{name}");
        let content_type = page.header("content-type");
        if content_type.starts_with("text/html") {
            assert_eq!(content_type, "text/html; charset=utf-8", "{name}");
            assert_eq!(page.header("x-frame-options"), "DENY", "{name}");
            assert!(
                policy.contains("form-action 'self'") && policy.contains("base-uri 'none'"),
                "{name}"
            );
            assert!(!page.header("referrer-policy").is_empty(), "{name}");
        } else {
            assert_eq!(content_type, "application/json", "{name}");
        }
        // The dashboard is kept apart from windows that opened it; a popup of a client must not be.
        let is_own = ["/admin", "/account/tokens"].contains(&name.as_str());
        let apart = page.header("cross-origin-opener-policy") == "same-origin";
        assert_eq!(apart, is_own, "{name}");
    }
}

#[tokio::test]
async fn over_https_browsers_are_told_to_stay_there_and_over_loopback_http_they_are_not() {
    let public = World::with("https://mcp.example.com", ServerSettings::default()).await;
    let local = World::new().await;
    for path in ["/sign-in", "/jwks.json", "/nowhere"] {
        let get = |host: &str| {
            Request::builder()
                .uri(path)
                .header(header::HOST, host)
                .body(Body::empty())
                .unwrap()
        };
        let answer = public.send(get("mcp.example.com")).await;
        assert_eq!(
            answer.header("strict-transport-security"),
            "max-age=31536000",
            "{path}"
        );
        let answer = local.send(get("localhost:4180")).await;
        assert_eq!(answer.header("strict-transport-security"), "", "{path}");
    }
}

#[tokio::test]
async fn an_approval_is_taken_from_a_form_of_our_own_page_and_in_no_other_way() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let page = world.consent_page(&mut browser, &client, &[]).await;
    let fields = owned(&[
        ("csrf", page.input("csrf").as_str()),
        ("request", page.input("request").as_str()),
        ("decision", "approve"),
        ("scope", "todo:read"),
    ]);
    let before = world.audit_kinds().await.len();
    let path = "/servers/todo/authorize";
    // By GET: the question again, or nothing.
    let answer = browser
        .get(&world, &format!("{path}?{}", encode(&fields)))
        .await;
    assert!(!answer.text.contains("code=pcc_"), "{}", answer.text);
    let cookies = browser
        .cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("; ");
    let send = |content_type: &'static str,
                site: Option<&'static str>,
                origin: Option<&'static str>,
                body: String| {
        let mut request = request(Method::POST, path)
            .header(header::COOKIE, &cookies)
            .header(header::CONTENT_TYPE, content_type);
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        world.send(request.body(Body::from(body)).unwrap())
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    let json = json!({"decision": "approve", "request": page.input("request")}).to_string();
    for (content_type, body) in [
        ("text/plain", encode(&fields)),
        ("application/json", json.clone()),
        ("text/plain", json),
        ("multipart/form-data; boundary=x", encode(&fields)),
    ] {
        let answer = send(content_type, Some("same-origin"), None, body).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    for (site, origin) in [
        (Some("cross-site"), None),
        (Some("same-site"), None),
        (Some("none"), None),
        (None, Some("https://evil.example")),
        (None, Some("null")),
    ] {
        let answer = send(FORM, site, origin, encode(&fields)).await;
        answer.assert_page(400, "another site");
    }
    assert_eq!(world.audit_kinds().await.len(), before);
    // The accepted twins.
    for (site, origin) in [
        (Some("same-origin"), Some(PUBLIC_URL)),
        (None, Some(PUBLIC_URL)),
        (None, None),
    ] {
        let answer = send(FORM, site, origin, encode(&fields)).await;
        assert!(answer.returned().contains_key("code"));
    }
}

#[tokio::test]
async fn two_pages_loaded_at_once_are_both_good() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let first = world.consent_page(&mut browser, &client, &[]).await;
    let second = world.consent_page(&mut browser, &client, &[]).await;
    assert_ne!(first.input("csrf"), second.input("csrf"));
    for page in [first, second] {
        let answer = world.decide(&mut browser, &page, "approve", None).await;
        assert!(answer.returned().contains_key("code"));
    }
}

#[tokio::test]
async fn a_narrow_request_after_a_wide_approval_stays_narrow() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.add_client(&["https://intranet.example/cb"]).await;
    let uri = ("redirect_uri", Some("https://intranet.example/cb"));
    let mut browser = Browser::default();
    let wide = [uri, ("scope", Some("todo:read todo:write todo:delete"))];
    let page = world
        .consent_page(&mut browser, client.id.as_str(), &wide)
        .await;
    world.decide(&mut browser, &page, "approve", None).await;
    let narrow = authorize_path(client.id.as_str(), &[uri, ("scope", Some("todo:read"))]);
    let page = browser.get(&world, &narrow).await;
    assert!(page.text.contains("value=\"continue\""));
    let fields = owned(&[
        ("csrf", page.input("csrf").as_str()),
        ("request", page.input("request").as_str()),
        ("decision", "continue"),
        ("scope", "todo:delete"),
    ]);
    let answer = browser
        .post(&world, "/servers/todo/authorize", &fields)
        .await;
    let tokens = world
        .token(&[
            ("grant_type", "authorization_code"),
            ("code", &answer.returned()["code"]),
            ("code_verifier", crate::support::VERIFIER),
            ("client_id", client.id.as_str()),
        ])
        .await;
    assert_eq!(tokens.json()["scope"], "offline_access todo:read");
}

#[tokio::test]
async fn a_name_of_ten_thousand_letters_and_every_trick_pushes_nothing_away() {
    let world = World::new().await;
    world.add_alice().await;
    let evil = "https://evil.example/cb";
    let mut browser = Browser::default();
    for name in [
        "W".repeat(200),
        "\u{202e}edualC".to_owned(),
        "Claude\u{200b}\u{200d}\u{2060}".to_owned(),
        format!("Claude{}", "\u{301}".repeat(100)),
        "\u{2066}".repeat(100),
        "Cl\u{430}ude".to_owned(),
        "Claude".to_owned(),
        "</h1><script>alert(1)</script>".to_owned(),
    ] {
        let body = json!({"redirect_uris": [evil], "client_name": name});
        let registered = world.post_json("/servers/todo/register", &body).await;
        assert_eq!(
            registered.status,
            StatusCode::CREATED,
            "{}",
            registered.text
        );
        let client = registered.json()["client_id"].as_str().unwrap().to_owned();
        let page = world
            .consent_page(&mut browser, &client, &[("redirect_uri", Some(evil))])
            .await;
        assert!(page.text.contains("<bdi class=\"host\">evil.example</bdi>"));
        assert!(page.text.contains(">Unverified<"));
        assert!(!page.text.contains('\u{202e}') && !page.text.contains('\u{200b}'));
        assert!(!page.text.contains("<script") && !page.text.contains(&"W".repeat(61)));
        if name.contains("Cl") && !name.contains("edual") {
            assert!(page.text.contains("Take care"), "{name:?}");
        }
    }
    // Ten thousand are refused where they come in.
    let body = json!({"redirect_uris": [evil], "client_name": "W".repeat(10_000)});
    let registered = world.post_json("/servers/todo/register", &body).await;
    assert_ne!(registered.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn another_site_signs_nobody_out_even_without_their_cookie() {
    let world = World::new().await;
    world.add_alice().await;
    for (site, cleared) in [(Some("cross-site"), false), (Some("same-origin"), true)] {
        let mut browser = Browser {
            fetch_site: site,
            ..Browser::default()
        };
        let answer = browser.post(&world, "/sign-out", &[]).await;
        let clears = answer.header("set-cookie").contains("Max-Age=0");
        assert_eq!(clears, cleared, "{site:?}");
        assert_eq!(answer.status == StatusCode::OK, cleared, "{site:?}");
    }
}
