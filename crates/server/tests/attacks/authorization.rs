use http::{Method, StatusCode, header};
use serde_json::json;

use crate::support::{
    Browser, CALLBACK, CHALLENGE, Changes, VERIFIER, World, authorize_path, claims, encode, owned,
    request,
};

async fn get(world: &World, client_id: &str, changes: Changes<'_>) -> crate::support::Answer {
    Browser::default()
        .get(world, &authorize_path(client_id, changes))
        .await
}

#[tokio::test]
async fn an_address_with_a_star_means_only_itself() {
    let world = World::new().await;
    for (registered, asked) in [
        ("https://*.example.com/cb", "https://a.example.com/cb"),
        ("https://app.example.com/*", "https://app.example.com/cb"),
        ("https://app.example.com/cb", "https://app.example.com/cb/x"),
        (
            "https://app.example.com/cb?*",
            "https://app.example.com/cb?x",
        ),
    ] {
        let body = json!({"redirect_uris": [registered, "http://localhost/cb"]});
        let client = world.post_json("/servers/todo/register", &body).await;
        let client = client.json()["client_id"].as_str().unwrap().to_owned();
        get(&world, &client, &[("redirect_uri", Some(asked))])
            .await
            .assert_page(400, "redirect_uri");
        let twin = get(
            &world,
            &client,
            &[("redirect_uri", Some("http://localhost:9/cb"))],
        )
        .await;
        assert_eq!(twin.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_parameter_that_nobody_knows_is_ignored_and_nowhere_repeated() {
    let world = World::new().await;
    let client = world.register().await;
    let plain = get(&world, &client, &[]).await;
    let odd = get(
        &world,
        &client,
        &[
            ("unheard_of", Some("<script>kanarienvogel</script>")),
            ("kanarienvogel", Some("1")),
        ],
    )
    .await;
    assert_eq!((plain.status, odd.status), (StatusCode::OK, StatusCode::OK));
    assert!(!odd.text.contains("kanarienvogel"));
    let refused = get(
        &world,
        &client,
        &[
            ("response_type", None),
            ("unheard_of", Some("kanarienvogel")),
        ],
    )
    .await;
    assert_eq!(refused.status, StatusCode::SEE_OTHER);
    assert!(!refused.location().contains("kanarienvogel"));
}

#[tokio::test]
async fn an_authorization_request_in_a_body_passes_the_same_checks() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let post = async |address: &str, body: &str| {
        let request = request(Method::POST, address)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.to_owned().into())
            .unwrap();
        world.send(request).await
    };
    let path = authorize_path(&client, &[]);
    let (address, query) = path.split_once('?').unwrap();
    // Query and body are never merged.
    for body in [query, "", "scope=todo:delete"] {
        post(&path, body).await.assert_page(400, "body");
    }
    let with = |name: &str, value: Option<&str>| {
        let path = authorize_path(&client, &[(name, value)]);
        path.split_once('?').unwrap().1.to_owned()
    };
    for (name, value) in [
        ("redirect_uri", Some("https://evil.example/cb")),
        ("client_id", Some("cli_unknown")),
    ] {
        let answer = post(address, &with(name, value)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}");
        assert!(!answer.headers.contains_key(header::LOCATION));
    }
    let twice = format!("{query}&redirect_uri=https%3A%2F%2Fevil.example");
    post(address, &twice)
        .await
        .assert_page(400, "more than once");
    let large = format!("{query}&x={}", "y".repeat(70_000));
    assert_eq!(
        post(address, &large).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    for (name, value) in [("code_challenge", None), ("response_type", Some("token"))] {
        let answer = post(address, &with(name, value)).await;
        assert_eq!(answer.returned().get("code"), None);
        assert!(answer.returned().contains_key("error"), "{name}");
    }
    let answer = post(address, query).await;
    assert!(
        answer.status == StatusCode::OK
            || answer
                .location()
                .starts_with("/servers/todo/authorize?request=")
    );
}

#[tokio::test]
async fn no_other_challenge_method_is_taken_in_any_spelling() {
    let world = World::new().await;
    let client = world.register().await;
    for method in [
        "plain",
        "Plain",
        "s256",
        "S512",
        "S256 ",
        "none",
        "S256,plain",
        "",
    ] {
        let answer = get(&world, &client, &[("code_challenge_method", Some(method))]).await;
        assert_eq!(answer.returned()["error"], "invalid_request", "{method:?}");
    }
    // A verifier in place of its digest is what `plain` would send: it is of the right length, and never matches.
    world.add_alice().await;
    let mut browser = Browser::default();
    let plain = [("code_challenge", Some(VERIFIER))];
    let code = world.code_with(&mut browser, &client, &plain, None).await;
    world
        .exchange(&client, &code)
        .await
        .assert_error(400, "invalid_grant", "code");
    let s256 = [("code_challenge", Some(CHALLENGE))];
    let code = world.code_with(&mut browser, &client, &s256, None).await;
    assert_eq!(world.exchange(&client, &code).await.status, StatusCode::OK);
}

#[tokio::test]
async fn of_two_copies_of_the_consent_page_the_first_still_counts() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let first = world.consent_page(&mut browser, &client, &[]).await;
    let second = world.consent_page(&mut browser, &client, &[]).await;
    for page in [first, second] {
        let answer = world.decide(&mut browser, &page, "approve", None).await;
        let code = answer.returned()["code"].clone();
        assert_eq!(world.exchange(&client, &code).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_narrow_request_after_a_wide_grant_gets_the_narrow_scope() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let wide = [("scope", Some("todo:read todo:write todo:delete"))];
    let code = world.code_with(&mut browser, &client, &wide, None).await;
    let wide = world.exchange(&client, &code).await.json();
    let scope = |token: &serde_json::Value| {
        claims(token["access_token"].as_str().unwrap())["scope"].clone()
    };
    assert_eq!(scope(&wide), "todo:delete todo:read todo:write");
    let narrow = [("scope", Some("todo:read"))];
    let code = world.code_with(&mut browser, &client, &narrow, None).await;
    let narrow = world.exchange(&client, &code).await.json();
    assert_eq!(scope(&narrow), "todo:read");
    // And the other way round: what was granted before does not tick itself into a wider request.
    let page = world
        .consent_page(&mut browser, &client, &[("scope", Some("todo:read"))])
        .await;
    assert_eq!(page.checkboxes(), ["todo:read"]);
    let mut fields = owned(&[
        ("csrf", page.input("csrf").as_str()),
        ("request", page.input("request").as_str()),
        ("decision", "approve"),
        ("scope", "todo:read"),
        ("scope", "todo:delete"),
    ]);
    fields.push(("redirect_uri".into(), "https://evil.example/".into()));
    let answer = browser
        .post(&world, "/servers/todo/authorize", &fields)
        .await;
    assert!(answer.returning_url().starts_with(CALLBACK));
    let code = answer.returned()["code"].clone();
    let tokens = world.exchange(&client, &code).await.json();
    assert_eq!(scope(&tokens), "todo:read");
    assert!(!encode(&fields).is_empty());
}

/// Whoever runs on the person's machine can send a known client's id and listen on its loopback address.
#[tokio::test]
async fn a_known_clients_name_on_this_machine_is_asked_about_each_time_and_on_its_host_once() {
    const CLAUDE: &str = "https://claude.ai/oauth/client.json";
    const ON_ITS_HOST: &str = "https://claude.ai/api/mcp/auth_callback";
    const ON_THIS_MACHINE: &str = "http://localhost:51999/callback";
    let host = testkit::DocumentHost::start_as(&["claude.ai"]).await;
    let document = json!({
        "client_id": CLAUDE,
        "client_name": "Claude",
        "redirect_uris": [ON_ITS_HOST, "http://localhost/callback"],
        "token_endpoint_auth_method": "none",
    });
    host.set_json("/oauth/client.json", &document);
    let settings = domain::ServerSettings::default();
    let documents = Some((&host, &["claude.ai"][..]));
    let world = World::with_documents(crate::support::PUBLIC_URL, settings, documents).await;
    world.add_alice().await;
    let mut browser = Browser::default();
    for (address, shown, is_asked_again) in [
        (ON_ITS_HOST, "claude.ai", false),
        (ON_THIS_MACHINE, "localhost", true),
    ] {
        let changes = [("redirect_uri", Some(address))];
        let page = world.consent_page(&mut browser, CLAUDE, &changes).await;
        assert!(page.text.contains(shown), "{address}");
        let answer = world.decide(&mut browser, &page, "approve", None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        for _ in 0..2 {
            let again = browser.get(&world, &authorize_path(CLAUDE, &changes)).await;
            let asks = again.text.contains("value=\"approve\"");
            assert_eq!(asks, is_asked_again, "{address}");
        }
    }
}
