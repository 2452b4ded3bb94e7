//! What is tried at the authorization endpoint. Each refusal stands beside the request that is accepted.

use axum::body::Body;
use base::Digest;
use http::{Method, StatusCode, header};
use serde_json::json;

use crate::support::{
    Answer, Browser, CALLBACK, EMAIL, ISSUER, PASSWORD, RESOURCE, World, authorize_path, owned,
    request,
};

/// Spellings that one reader or another takes for the registered address, and that are not it.
fn near_misses(registered: &str) -> Vec<String> {
    let (scheme, rest) = registered.split_once("://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    let mut out: Vec<String> = [
        "/",
        "//",
        "?",
        "?x=1",
        "&x=1",
        "#",
        "#x",
        "%20",
        "%00",
        "%0a",
        "%2f",
        "/.",
        "/..",
        "/..;/",
        "/%2e",
        "/%2e%2e",
        ";x",
        "\\",
        ".",
        "*",
        "%",
        "%23",
        "a",
        "\t",
        " ",
        "@evil.example",
    ]
    .iter()
    .map(|end| format!("{registered}{end}"))
    .collect();
    for evil in [
        format!("{scheme}://{host}.evil.example/{path}"),
        format!("{scheme}://evil.example/{path}"),
        format!("{scheme}://evil.example/{host}/{path}"),
        format!("{scheme}://evil.example#{host}/{path}"),
        format!("{scheme}://evil.example?{host}/{path}"),
        format!("{scheme}://evil.example\\@{host}/{path}"),
        format!("{scheme}://{host}@evil.example/{path}"),
        format!("{scheme}://{host}%40evil.example/{path}"),
        format!("{scheme}://user@{host}/{path}"),
        format!("{scheme}://user:secret@{host}/{path}"),
        format!("{scheme}://a@b@{host}/{path}"),
        format!("{scheme}://@{host}/{path}"),
        format!("{scheme}://{host}./{path}"),
        format!("{scheme}://{host}\u{3002}evil.example/{path}"),
        format!("{scheme}://xn--{host}/{path}"),
        format!("{scheme}://{}/{path}", host.to_uppercase()),
        format!("{scheme}://{host}//{path}"),
        format!("{scheme}://{host}/./{path}"),
        format!("{scheme}://{host}/x/../{path}"),
        format!("{scheme}://{host}/x/..;/{path}"),
        format!("{scheme}://{host}/%2e/{path}"),
        format!("{scheme}://{host}/{}", path.to_uppercase()),
        format!("{scheme}://{host}/"),
        format!("{scheme}://{host}"),
        format!("{scheme}:/{host}/{path}"),
        format!("{scheme}:{host}/{path}"),
        format!("{scheme}:///{host}/{path}"),
        format!("//{host}/{path}"),
        format!("/{path}"),
        format!("{}://{host}/{path}", scheme.to_uppercase()),
        format!("ftp://{host}/{path}"),
        format!("javascript://{host}/{path}"),
        format!("{scheme}://{host}\\{path}"),
        format!(" {registered}"),
        format!("\t{registered}"),
        format!("{scheme}://{host}/{bare}?{query}&code=x"),
        format!("{scheme}://{host}/{bare}?{}", query.to_uppercase() + "x"),
        format!("{scheme}://{host}/{bare}%3F{query}"),
        format!("{scheme}://{host}/c%62?{query}"),
        format!("{scheme}://{host}/{bare}/x"),
        format!("{}s://{host}/{path}", scheme.trim_end_matches('s'))
            .replace(registered, "http://x/"),
    ] {
        out.push(evil);
    }
    // Of a loopback address scheme and host are read without regard to case: it is the same program.
    let same_program = format!("{}://{host}/{path}", scheme.to_uppercase());
    out.retain(|uri| uri != registered && (scheme != "http" || *uri != same_program));
    out.retain(|uri| scheme != "http" || *uri != registered.replace(host, &host.to_uppercase()));
    out
}

async fn registered(world: &World, uri: &str) -> String {
    let body = json!({"redirect_uris": [uri], "client_name": "App"});
    let answer = world.post_json("/servers/todo/register", &body).await;
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn sixty_near_misses_of_each_registered_address_are_refused_and_the_address_is_not() {
    let world = World::new().await;
    for uri in [
        "https://app.example.com/cb?k=v",
        "http://127.0.0.1/cb",
        "http://localhost/cb",
        "com.example.app://host/cb",
    ] {
        let client = registered(&world, uri).await;
        let ask = async |redirect_uri: &str| {
            let changes = [
                ("redirect_uri", Some(redirect_uri)),
                // Open redirectors forget the check when the rest is wrong as well.
                ("scope", Some("none")),
            ];
            Browser::default()
                .get(&world, &authorize_path(&client, &changes))
                .await
        };
        let misses = near_misses(uri);
        assert!(misses.len() >= 60, "{}", misses.len());
        for miss in misses {
            let answer = ask(&miss).await;
            assert_ne!(answer.status, StatusCode::OK, "{miss} for {uri}");
            answer.assert_page(400, "This sign-in cannot go on");
            assert!(!answer.text.contains("href=\"http"), "{miss}");
        }
        assert_eq!(ask(uri).await.status, StatusCode::OK, "{uri}");
    }
}

#[tokio::test]
async fn of_a_loopback_address_the_port_alone_may_differ() {
    let world = World::new().await;
    let client = registered(&world, "http://127.0.0.1:1/cb?k=v").await;
    let status = async |uri: &str| {
        let path = authorize_path(&client, &[("redirect_uri", Some(uri))]);
        Browser::default().get(&world, &path).await.status
    };
    for refused in [
        "http://[::1]:1/cb?k=v",
        "http://127.0.0.2:1/cb?k=v",
        "http://localhost:1/cb?k=v",
        "http://127.1:1/cb?k=v",
        "http://2130706433:1/cb?k=v",
        "https://127.0.0.1:1/cb?k=v",
        "http://127.0.0.1:1/cb/?k=v",
        "http://127.0.0.1:1/cb?k=w",
        "http://127.0.0.1:1/cb",
        "http://127.0.0.1:99999/cb?k=v",
    ] {
        assert_eq!(status(refused).await, StatusCode::BAD_REQUEST, "{refused}");
    }
    for accepted in ["http://127.0.0.1:1/cb?k=v", "http://127.0.0.1:65535/cb?k=v"] {
        assert_eq!(status(accepted).await, StatusCode::OK, "{accepted}");
    }
}

#[tokio::test]
async fn a_page_about_an_address_shows_both_sides_as_text_and_hostile_ones_not_at_all() {
    let world = World::new().await;
    let client = registered(&world, "https://app.example.com/cb").await;
    let ask = async |uri: &str| {
        let path = authorize_path(&client, &[("redirect_uri", Some(uri))]);
        Browser::default().get(&world, &path).await
    };
    let page = ask("https://app.example.com/cb/").await;
    page.assert_page(400, "Asked for");
    assert!(
        page.text
            .contains("<code>https://app.example.com/cb/</code>")
    );
    assert!(
        page.text
            .contains("<code>https://app.example.com/cb</code>")
    );
    for hostile in [
        "https://x/<script>alert(1)</script>",
        "https://x/\"onload=alert(1)",
        "your bank calls: +1 555 0100",
        "javascript:alert(1)",
    ] {
        let page = ask(hostile).await;
        page.assert_page(400, "redirect_uri");
        assert!(!page.text.contains("alert(1)") && !page.text.contains("555 0100"));
    }
}

#[tokio::test]
async fn every_parameter_that_stands_twice_is_refused_and_a_repeated_resource_is_not() {
    let world = World::new().await;
    let client = world.register().await;
    let path = authorize_path(&client, &[]);
    for name in ["client_id", "redirect_uri"] {
        let answer = Browser::default()
            .get(&world, &format!("{path}&{name}=x"))
            .await;
        answer.assert_page(400, "more than once");
    }
    for name in [
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
        "response_type",
        "made_up",
    ] {
        let twice = format!("{path}&{name}=x&{name}=y");
        let answer = Browser::default().get(&world, &twice).await;
        assert_eq!(answer.returned()["error"], "invalid_request", "{name}");
    }
    for (more, status) in [
        (format!("&resource={RESOURCE}"), StatusCode::OK),
        ("&resource[]=x".to_owned(), StatusCode::OK),
        ("&made_up=x".to_owned(), StatusCode::OK),
    ] {
        let answer = Browser::default()
            .get(&world, &format!("{path}{more}"))
            .await;
        assert_eq!(answer.status, status, "{more}");
        assert!(!answer.text.contains("made_up"));
    }
}

/// A client's request as a form, from another site as browsers send it.
async fn post(world: &World, client_id: &str, changes: &[(&str, Option<&str>)]) -> Answer {
    let path = authorize_path(client_id, changes);
    let (_, query) = path.split_once('?').unwrap();
    let request = request(Method::POST, "/servers/todo/authorize")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site")
        .body(Body::from(query.to_owned()))
        .unwrap();
    world.send(request).await
}

#[tokio::test]
async fn a_request_that_comes_as_a_form_is_read_like_one_that_comes_by_get() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let long = "s".repeat(4097);
    let cases: [(&str, Option<&str>); 17] = [
        ("client_id", None),
        ("client_id", Some("cli_unknown")),
        ("redirect_uri", None),
        ("redirect_uri", Some("https://evil.example/cb")),
        ("redirect_uri", Some("http://localhost:51234/callback/")),
        ("response_type", None),
        ("response_type", Some("token")),
        ("response_mode", Some("fragment")),
        ("response_mode", Some("web_message")),
        ("code_challenge", None),
        ("code_challenge_method", Some("plain")),
        ("resource", Some("https://else.example/")),
        ("request", Some("x")),
        ("request_uri", Some("https://evil.example/")),
        ("prompt", Some("none login")),
        ("max_age", Some("soon")),
        ("state", Some(&long)),
    ];
    for change in cases {
        let by_get = Browser::default()
            .get(&world, &authorize_path(&client, &[change]))
            .await;
        let by_post = post(&world, &client, &[change]).await;
        assert_eq!(by_get.status, by_post.status, "{change:?}");
        // Each refusal has a correlation id of its own, at the end.
        let told = |answer: &Answer| {
            let address = answer.location();
            let end = address.find("&correlation_id=").unwrap_or(address.len());
            address[..end].to_owned()
        };
        assert_eq!(told(&by_get), told(&by_post), "{change:?}");
        assert_ne!(by_get.status, StatusCode::OK, "{change:?}");
    }
    // The accepted twin goes once around by GET, since a form of another site brings no cookies.
    let answer = post(&world, &client, &[]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let mut browser = Browser::default();
    let page = browser.get(&world, answer.location()).await;
    let answer = world.sign_in(&mut browser, &page, EMAIL, PASSWORD).await;
    let page = browser.get(&world, answer.location()).await;
    let answer = world.decide(&mut browser, &page, "approve", None).await;
    assert_eq!(answer.returned()["state"], "a state/+=");
    // prompt=none is answered for the person who is there, not for the form that has no cookies.
    let answer = post(&world, &client, &[("prompt", Some("none"))]).await;
    let page = browser.get(&world, answer.location()).await;
    assert_eq!(page.returned()["error"], "consent_required");

    // What stands in the address is never merged with what stands in the body.
    let path = authorize_path(&client, &[]);
    let (address, query) = path.split_once('?').unwrap();
    for address in [format!("{address}?scope=todo:delete"), path.clone()] {
        let request = request(Method::POST, &address)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(query.to_owned()))
            .unwrap();
        let answer = world.send(request).await;
        answer.assert_page(400, "belong in its body");
    }
    let huge = format!("{query}&x={}", "x".repeat(64 * 1024));
    let request = request(Method::POST, address)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(huge))
        .unwrap();
    world.send(request).await.assert_page(413, "65536 bytes");
}

#[tokio::test]
async fn however_often_and_by_whomever_it_is_asked_every_tab_still_completes() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let path = authorize_path(&client, &[]);
    let before = world.audit_kinds().await.len();
    // A link scanner, twice, before the person; the client itself, as FastMCP does; and a preview.
    for method in [Method::HEAD, Method::GET, Method::HEAD, Method::GET] {
        let scanner = request(method, &path).body(Body::empty()).unwrap();
        let answer = world.send(scanner).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(world.audit_kinds().await.len(), before);
    // Five tabs are opened, and one of them signs in.
    let mut browser = Browser::default();
    let mut tabs = Vec::new();
    for _ in 0..5 {
        tabs.push(browser.get(&world, &path).await);
    }
    let first = world.sign_in(&mut browser, &tabs[0], EMAIL, PASSWORD).await;
    let mut pages = vec![browser.get(&world, first.location()).await];
    // The others are reloaded, sent all the same, or scanned on the way.
    pages.push(browser.get(&world, &path).await);
    let third = world.sign_in(&mut browser, &tabs[2], EMAIL, PASSWORD).await;
    pages.push(browser.get(&world, third.location()).await);
    let scanner = request(Method::GET, third.location())
        .body(Body::empty())
        .unwrap();
    assert_eq!(world.send(scanner).await.status, StatusCode::OK);
    pages.push(browser.get(&world, &path).await);
    let mut codes = Vec::new();
    // The sign-in in the third tab made a new session, and the pages before it ask again.
    for page in pages.iter().rev() {
        let mut answer = world.decide(&mut browser, page, "approve", None).await;
        if answer.status == StatusCode::SEE_OTHER {
            let page = browser.get(&world, answer.location()).await;
            answer = world.decide(&mut browser, &page, "approve", None).await;
        }
        let code = answer.returned()["code"].clone();
        let tokens = world.exchange(&client, &code).await;
        assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text);
        codes.push(code);
    }
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 4, "each tab has its own code");
}

#[tokio::test]
async fn success_denial_and_error_all_carry_the_issuer_of_the_metadata() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let metadata = world
        .get("/.well-known/oauth-authorization-server/servers/todo")
        .await
        .json();
    assert_eq!(metadata["issuer"], ISSUER);
    assert_eq!(
        metadata["authorization_response_iss_parameter_supported"],
        true
    );
    let mut browser = Browser::default();
    let page = world.consent_page(&mut browser, &client, &[]).await;
    for decision in ["deny", "approve"] {
        let answer = world.decide(&mut browser, &page, decision, None).await;
        assert_eq!(answer.returned()["iss"], ISSUER, "{decision}");
    }
    let broken = authorize_path(&client, &[("response_type", Some("token"))]);
    let answer = browser.get(&world, &broken).await;
    assert_eq!(answer.returned()["iss"], ISSUER);
    let none = authorize_path(&client, &[("prompt", Some("none"))]);
    let answer = browser.get(&world, &none).await;
    assert_eq!(answer.returned()["iss"], ISSUER);
}

#[tokio::test]
async fn nothing_on_the_way_can_be_changed_and_nothing_changed_is_believed() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let page = world.consent_page(&mut browser, &client, &[]).await;
    let sealed = page.input("request");
    let good = owned(&[
        ("csrf", page.input("csrf").as_str()),
        ("request", &sealed),
        ("decision", "approve"),
        ("scope", "todo:read"),
    ]);
    let path = "/servers/todo/authorize";
    for at in (0..sealed.len()).step_by(37) {
        let mut changed = sealed.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let answer = browser
            .get(&world, &format!("{path}?request={changed}"))
            .await;
        answer.assert_page(400, "not one of ours");
        let mut fields = good.clone();
        fields[1].1 = changed;
        let answer = browser.post(&world, path, &fields).await;
        answer.assert_page(400, "not one of ours");
    }
    // Fields that are added count for nothing.
    let mut more = good.clone();
    for (name, value) in [
        ("redirect_uri", "https://evil.example/"),
        ("state", "evil"),
        ("code_challenge", "evil"),
        ("resource", "https://else.example/"),
    ] {
        more.push((name.to_owned(), value.to_owned()));
    }
    more.push(("scope".to_owned(), "todo:delete".to_owned()));
    let answer = browser.post(&world, path, &more).await;
    let returned = answer.returned();
    assert!(answer.returning_url().starts_with(CALLBACK));
    assert_eq!(returned["state"], "a state/+=");
    let code = &returned["code"];
    let found = world.store.find_code(Digest::of(code)).await.unwrap();
    assert_eq!(found.unwrap().code.scopes.to_string(), "todo:read");
}

#[tokio::test]
async fn a_request_that_one_browser_began_gives_another_nothing_of_its_own() {
    let world = World::new().await;
    world.add_alice().await;
    world.add_user("bob@example.com").await;
    let client = world.register().await;
    // The attacker begins and hands the address over; the victim is asked, as themselves, and by name.
    let mut attacker = Browser::default();
    let begun = attacker.get(&world, &authorize_path(&client, &[])).await;
    let address = format!("/servers/todo/authorize?request={}", begun.input("request"));
    let mut victim = Browser::default();
    let page = victim.get(&world, &address).await;
    let answer = world.sign_in(&mut victim, &page, EMAIL, PASSWORD).await;
    let page = victim.get(&world, answer.location()).await;
    assert!(page.text.contains(EMAIL) && page.text.contains("value=\"approve\""));
    // What the victim approves is worth nothing in the attacker's browser, and the other way round.
    let answer = world
        .sign_in(&mut attacker, &begun, "bob@example.com", PASSWORD)
        .await;
    let his = attacker.get(&world, answer.location()).await;
    for (browser, page) in [(&mut attacker, &page), (&mut victim, &his)] {
        let answer = world.decide(browser, page, "approve", None).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "asked again");
    }
    // The very same request gives two people two codes.
    let hers = world.decide(&mut victim, &page, "approve", None).await;
    let his = world.decide(&mut attacker, &his, "approve", None).await;
    assert_ne!(hers.returned()["code"], his.returned()["code"]);
}

#[tokio::test]
async fn long_values_are_refused_cleanly_and_those_below_the_limit_come_back_whole() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    for length in [1024, 4096] {
        let state = "s".repeat(length);
        let mut browser = Browser::default();
        let page = world
            .consent_page(&mut browser, &client, &[("state", Some(&state))])
            .await;
        let answer = world.decide(&mut browser, &page, "approve", None).await;
        assert_eq!(answer.returned()["state"], state);
    }
    for (name, length) in [("state", 4097), ("scope", 8193)] {
        let long = "s".repeat(length);
        let path = authorize_path(&client, &[(name, Some(&long))]);
        let answer = Browser::default().get(&world, &path).await;
        assert_eq!(answer.returned()["error"], "invalid_request", "{name}");
    }
    for name in ["state", "scope", "nonce"] {
        let path = authorize_path(&client, &[(name, Some(&"s".repeat(40_000)))]);
        let answer = Browser::default().get(&world, &path).await;
        answer.assert_page(400, "longer than 32 KiB");
    }
    let nonce = authorize_path(&client, &[("nonce", Some(&"n".repeat(1024)))]);
    let answer = Browser::default().get(&world, &nonce).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.text.contains("nnnn"));
}

#[tokio::test]
async fn a_client_that_is_unknown_or_blocked_redirects_nobody_whatever_it_sends() {
    let world = World::new().await;
    let client = world.register().await;
    for prompt in ["none", "login", "consent"] {
        for id in ["cli_unknown", "https://", "x", "' OR 1=1 --"] {
            let changes = [
                ("redirect_uri", Some("https://evil.example/")),
                ("prompt", Some(prompt)),
                ("scope", Some("\"")),
            ];
            let answer = Browser::default()
                .get(&world, &authorize_path(id, &changes))
                .await;
            answer.assert_page(400, "not known here");
        }
    }
    let server = world.authority.server("todo").unwrap();
    let id = domain::ClientId::from_text(client.as_str());
    let path = authorize_path(&client, &[]);
    let answer = Browser::default().get(&world, &path).await;
    assert_eq!(answer.status, StatusCode::OK);
    oauth::client_decision::decide(
        &world.store,
        world.now(),
        &server.server,
        &id,
        oauth::client_decision::ClientDecision::Block,
        None,
    )
    .await
    .unwrap();
    let answer = Browser::default().get(&world, &path).await;
    answer.assert_page(400, "not known here");
}

#[tokio::test]
async fn every_redirect_is_303() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let mut redirects = Vec::new();
    let page = browser.get(&world, &authorize_path(&client, &[])).await;
    redirects.push(world.sign_in(&mut browser, &page, EMAIL, PASSWORD).await);
    let page = browser.get(&world, redirects[0].location()).await;
    redirects.push(browser.get(&world, "/sign-in").await);
    let broken = authorize_path(&client, &[("response_type", Some("token"))]);
    redirects.push(browser.get(&world, &broken).await);
    redirects.push(post(&world, &client, &[]).await);
    redirects.push(browser.get(&world, "/").await);
    let fields = owned(&[
        ("csrf", page.input("csrf").as_str()),
        ("request", page.input("request").as_str()),
    ]);
    redirects.push(browser.post(&world, "/sign-out", &fields).await);
    for answer in redirects {
        assert_eq!(
            answer.status,
            StatusCode::SEE_OTHER,
            "{}",
            answer.location()
        );
    }
}
