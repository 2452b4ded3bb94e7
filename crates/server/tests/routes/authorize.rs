use base::Clock as _;
use http::StatusCode;
use serde_json::json;

use crate::support::{
    Browser, CALLBACK, Changes, EMAIL, ISSUER, PASSWORD, RESOURCE, World, authorize_path, owned,
    pkce,
};

async fn get(world: &World, client_id: &str, changes: Changes<'_>) -> crate::support::Answer {
    Browser::default()
        .get(world, &authorize_path(client_id, changes))
        .await
}

#[tokio::test]
async fn an_untrusted_client_or_address_gets_a_page_and_never_a_redirect() {
    let world = World::new().await;
    let client = world.register().await;
    let cases: [(&str, Changes<'_>, &str); 9] = [
        ("", &[], "client_id is missing"),
        ("cli_unknown", &[], "not registered"),
        (
            &client,
            &[("redirect_uri", None)],
            "redirect_uri is missing",
        ),
        (
            &client,
            &[("redirect_uri", Some("https://evil.example/cb"))],
            "not one that this application registered",
        ),
        (
            &client,
            &[("redirect_uri", Some("http://localhost:51234/callback/"))],
            "not one",
        ),
        (
            &client,
            &[("redirect_uri", Some("http://127.0.0.1:51234/callback"))],
            "not one",
        ),
        (
            &client,
            &[(
                "redirect_uri",
                Some("http://localhost@evil.example/callback"),
            )],
            "redirect_uri",
        ),
        (
            &client,
            &[("redirect_uri", Some("http://localhost:4180/callback"))],
            "this server itself",
        ),
        (
            &client,
            &[("redirect_uri", Some("javascript:alert(1)"))],
            "redirect_uri",
        ),
    ];
    for (client_id, changes, words) in cases {
        // However broken the rest is, nobody is redirected.
        for more in [
            None,
            Some(("prompt", Some("none"))),
            Some(("response_type", None)),
        ] {
            let mut changes = changes.to_vec();
            changes.extend(more);
            get(&world, client_id, &changes)
                .await
                .assert_page(400, words);
        }
    }
    for name in ["client_id", "redirect_uri"] {
        let path = format!("{}&{name}=x", authorize_path(&client, &[]));
        Browser::default()
            .get(&world, &path)
            .await
            .assert_page(400, "more than once");
    }
    // The accepted twin, on another port as RFC 8252 section 7.3 allows.
    let answer = get(
        &world,
        &client,
        &[("redirect_uri", Some("http://localhost:9/callback"))],
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn every_other_error_goes_to_the_client_with_state_and_iss() {
    let world = World::new().await;
    let client = world.register().await;
    let long_state = "s".repeat(4097);
    let cases: [(Changes<'_>, &str, &str); 15] = [
        (
            &[("response_type", None)],
            "invalid_request",
            "response_type",
        ),
        (
            &[("response_type", Some("token"))],
            "unsupported_response_type",
            "response_type",
        ),
        (
            &[("response_mode", Some("fragment"))],
            "invalid_request",
            "response_mode",
        ),
        (
            &[("code_challenge", None)],
            "invalid_request",
            "code_challenge",
        ),
        (
            &[("code_challenge", Some("short"))],
            "invalid_request",
            "code_challenge",
        ),
        (
            &[("code_challenge_method", None)],
            "invalid_request",
            "code_challenge_method",
        ),
        (
            &[("code_challenge_method", Some("plain"))],
            "invalid_request",
            "code_challenge_method",
        ),
        (
            &[("resource", Some("http://localhost:4180/mcp/other"))],
            "invalid_target",
            RESOURCE,
        ),
        (&[("request", Some("x"))], "invalid_request", "request"),
        (
            &[("request_uri", Some("https://evil.example/"))],
            "invalid_request",
            "request_uri",
        ),
        (&[("prompt", Some("none"))], "login_required", "signed in"),
        (
            &[("prompt", Some("none login"))],
            "invalid_request",
            "prompt",
        ),
        (&[("max_age", Some("soon"))], "invalid_request", "max_age"),
        (&[("state", Some(&long_state))], "invalid_request", "state"),
        (
            &[("scope", Some(&"s".repeat(8193)))],
            "invalid_request",
            "scope",
        ),
    ];
    for (changes, code, words) in cases {
        let answer = get(&world, &client, changes).await;
        assert_eq!(
            answer.status,
            StatusCode::SEE_OTHER,
            "{changes:?} {}",
            answer.text
        );
        assert!(answer.location().starts_with(&format!("{CALLBACK}?error=")));
        let returned = answer.returned();
        assert_eq!(returned["error"], code, "{changes:?}");
        assert!(
            returned["error_description"].contains(words),
            "{returned:?}"
        );
        assert_eq!(returned["iss"], ISSUER);
        if changes[0].0 == "state" {
            assert!(!returned.contains_key("state"));
        } else {
            assert_eq!(returned["state"], "a state/+=");
        }
    }
    let repeated = format!("{}&scope=a", authorize_path(&client, &[]));
    let returned = Browser::default().get(&world, &repeated).await.returned();
    assert_eq!(returned["error"], "invalid_request");
}

#[tokio::test]
async fn the_only_response_type_and_mode_are_accepted_when_they_are_spelled_out() {
    let world = World::new().await;
    let client = world.register().await;
    for (mode, status) in [
        (None, StatusCode::OK),
        (Some("query"), StatusCode::OK),
        (Some("form_post"), StatusCode::SEE_OTHER),
        (Some("query.jwt"), StatusCode::SEE_OTHER),
    ] {
        let answer = get(&world, &client, &[("response_mode", mode)]).await;
        assert_eq!(answer.status, status, "{mode:?}");
    }
    for other in ["code token", "code id_token", "none", "CODE"] {
        let answer = get(&world, &client, &[("response_type", Some(other))]).await;
        let error = &answer.returned()["error"];
        assert_eq!(error, "unsupported_response_type", "{other}");
    }
}

#[tokio::test]
async fn errors_are_redirected_to_an_https_address_only_once_it_is_trusted() {
    let world = World::new().await;
    world.add_alice().await;
    let mut browser = Browser::default();
    let register = async |uri: &str| {
        let body = json!({"redirect_uris": [uri]});
        world.post_json("/servers/todo/register", &body).await
    };
    let unknown = register("https://somebody.example/cb").await.json();
    let unknown = unknown["client_id"].as_str().unwrap();
    let bad = [
        ("redirect_uri", Some("https://somebody.example/cb")),
        ("resource", Some("https://else.example/")),
    ];
    browser
        .get(&world, &authorize_path(unknown, &bad))
        .await
        .assert_page(400, "resource");

    let claude = "https://claude.ai/api/mcp/auth_callback";
    let known = register(claude).await.json();
    let path = authorize_path(
        known["client_id"].as_str().unwrap(),
        &[("redirect_uri", Some(claude)), bad[1]],
    );
    assert_eq!(
        browser.get(&world, &path).await.returned()["error"],
        "invalid_target"
    );

    let by_hand = world.add_client(&["https://intranet.example/cb"]).await;
    let path = authorize_path(
        by_hand.id.as_str(),
        &[
            ("redirect_uri", Some("https://intranet.example/cb")),
            bad[1],
        ],
    );
    assert_eq!(
        browser.get(&world, &path).await.returned()["error"],
        "invalid_target"
    );

    // Approved once by this person: known to them from now on.
    world
        .code_with(&mut browser, unknown, &bad[..1], None)
        .await;
    let answer = browser.get(&world, &authorize_path(unknown, &bad)).await;
    assert_eq!(answer.returned()["error"], "invalid_target");
    Browser::default()
        .get(&world, &authorize_path(unknown, &bad))
        .await
        .assert_page(400, "resource");
}

#[tokio::test]
async fn the_spellings_of_the_resource_and_its_absence_are_accepted() {
    let world = World::new().await;
    let client = world.register().await;
    for resource in [
        None,
        Some(RESOURCE),
        Some("http://localhost:4180/mcp/todo/"),
        Some("http://127.0.0.1:4180/mcp/todo"),
    ] {
        let answer = get(&world, &client, &[("resource", resource)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{resource:?}");
    }
    let twice = format!("{}&resource={RESOURCE}", authorize_path(&client, &[]));
    assert_eq!(
        Browser::default().get(&world, &twice).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn asking_writes_nothing_however_often() {
    let world = World::new().await;
    let client = world.register().await;
    let before = world.audit_kinds().await.len();
    let mut browser = Browser::default();
    let path = authorize_path(&client, &[]);
    let first = browser.get(&world, &path).await;
    let second = browser.get(&world, &path).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_ne!(first.input("request"), second.input("request"));
    assert_eq!(world.audit_kinds().await.len(), before);
}

#[tokio::test]
async fn unknown_scopes_are_dropped_and_no_scope_means_the_default_set() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    for (asked, offered) in [
        (None, vec!["todo:read", "todo:write"]),
        (Some(""), vec!["todo:read", "todo:write"]),
        (
            Some("claudeai offline_access openid"),
            vec!["todo:read", "todo:write"],
        ),
        (
            Some("  todo:delete claudeai offline_access"),
            vec!["todo:delete"],
        ),
    ] {
        let page = world
            .consent_page(&mut browser, &client, &[("scope", asked)])
            .await;
        assert_eq!(page.checkboxes(), offered, "{asked:?}");
    }
}

#[tokio::test]
async fn the_whole_way_ends_in_a_page_that_returns_code_state_and_iss() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let page = world.consent_page(&mut browser, &client, &[]).await;
    assert!(page.text.contains("The todo server"));
    assert!(page.text.contains(RESOURCE));
    assert!(page.text.contains("Claude Code (todo)"));
    assert!(page.text.contains("See your todos") && page.text.contains("Add a todo"));
    let answer = world.decide(&mut browser, &page, "approve", None).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("location"));
    assert!(
        answer
            .returning_url()
            .starts_with(&format!("{CALLBACK}?code=pcc_"))
    );
    let returned = answer.returned();
    assert_eq!(returned["state"], "a state/+=");
    assert_eq!(returned["iss"], ISSUER);
    assert_eq!(returned.len(), 3);
}

#[tokio::test]
async fn saying_no_tells_the_client_so() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let page = world.consent_page(&mut browser, &client, &[]).await;
    let answer = world.decide(&mut browser, &page, "deny", None).await;
    assert_eq!(answer.status, StatusCode::OK);
    let returned = answer.returned();
    assert_eq!(returned["error"], "access_denied");
    assert_eq!(returned["state"], "a state/+=");
    assert_eq!(returned["iss"], ISSUER);
    assert!(!returned.contains_key("code"));
}

#[tokio::test]
async fn after_a_no_nobody_is_sent_to_an_https_address_that_is_neither_known_nor_approved_before() {
    let world = World::new().await;
    world.add_alice().await;
    let register = async |uri: &str| {
        let body = json!({"client_name": "App", "redirect_uris": [uri]});
        let client = world.post_json("/servers/todo/register", &body).await;
        client.json()["client_id"].as_str().unwrap().to_owned()
    };
    let deny = async |client: &str, uri: &str| {
        let mut browser = Browser::default();
        let asked = [("redirect_uri", Some(uri))];
        let page = world.consent_page(&mut browser, client, &asked).await;
        world.decide(&mut browser, &page, "deny", None).await
    };
    let unknown = "https://evil.example/cb";
    let stranger = register(unknown).await;
    let stays = deny(&stranger, unknown).await;
    stays.assert_status(200);
    assert!(!stays.headers.contains_key("location"));
    assert!(!stays.text.contains("http-equiv"), "{}", stays.text);
    assert!(stays.text.contains("Access denied"));
    assert!(stays.text.contains("Go back to <bdi>evil.example</bdi>"));
    let link = "href=\"https://evil.example/cb?error=access_denied&#38;";
    assert!(stays.text.contains(link), "{}", stays.text);

    // The address of a known client.
    let known = "https://claude.ai/api/mcp/auth_callback";
    let answer = deny(&register(known).await, known).await;
    assert!(answer.returning_url().starts_with(known));
    // The same address once this person has approved it, and not for ever: a no takes the yes back.
    let mut browser = Browser::default();
    let asked = [("redirect_uri", Some(unknown))];
    let page = world.consent_page(&mut browser, &stranger, &asked).await;
    world.decide(&mut browser, &page, "approve", None).await;
    let answer = deny(&stranger, unknown).await;
    assert_eq!(answer.returned()["error"], "access_denied");
    let answer = deny(&stranger, unknown).await;
    assert!(!answer.text.contains("http-equiv"));
}

#[tokio::test]
async fn a_form_sent_twice_gives_the_same_code_and_a_form_sent_after_the_exchange_gives_none() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let page = world.consent_page(&mut browser, &client, &[]).await;
    let first = world.decide(&mut browser, &page, "approve", None).await;
    let again = world
        .decide(&mut browser, &page, "approve", Some(&["todo:read"]))
        .await;
    assert_eq!(first.returned()["code"], again.returned()["code"]);
    let tokens = world.exchange(&client, &first.returned()["code"]).await;
    assert_eq!(
        tokens.json()["scope"],
        "offline_access todo:read todo:write"
    );
    world
        .decide(&mut browser, &page, "approve", None)
        .await
        .assert_page(400, "completed before");
}

#[tokio::test]
async fn a_form_sent_again_after_its_code_died_says_to_start_over() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let page = world.consent_page(&mut browser, &client, &[]).await;
    world.decide(&mut browser, &page, "approve", None).await;
    world.clock.advance(std::time::Duration::from_secs(61));
    world
        .decide(&mut browser, &page, "approve", None)
        .await
        .assert_page(400, "completed before");
}

#[tokio::test]
async fn only_what_was_ticked_is_granted_and_nothing_added_to_the_form_is() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let page = world.consent_page(&mut browser, &client, &[]).await;
    let answer = world
        .decide(
            &mut browser,
            &page,
            "approve",
            Some(&["todo:read", "todo:delete", "admin"]),
        )
        .await;
    let tokens = world.exchange(&client, &answer.returned()["code"]).await;
    assert_eq!(tokens.json()["scope"], "offline_access todo:read");
}

#[tokio::test]
async fn consent_needs_the_session_and_the_very_page_it_was_shown_to() {
    let world = World::new().await;
    world.add_alice().await;
    world.add_user("bob@example.com").await;
    let client = world.register().await;
    let mut alice = Browser::default();
    let page = world.consent_page(&mut alice, &client, &[]).await;
    let other_page = world.consent_page(&mut alice, &client, &[]).await;
    let fields = |csrf: &str, request: &str| {
        owned(&[
            ("csrf", csrf),
            ("request", request),
            ("decision", "approve"),
            ("scope", "todo:read"),
        ])
    };
    let path = "/servers/todo/authorize";

    // No token, another page's token, another browser, another person: asked again, nothing granted.
    let mut bob = Browser::default();
    let sign_in = bob.get(&world, &authorize_path(&client, &[])).await;
    world
        .sign_in(&mut bob, &sign_in, "bob@example.com", PASSWORD)
        .await;
    let request = page.input("request");
    let mut stranger = Browser::default();
    let (mut alice_again, mut alice_too) = (alice.clone(), alice.clone());
    for (browser, csrf) in [
        (&mut alice_again, String::new()),
        (&mut alice_too, other_page.input("csrf")),
        (&mut stranger, page.input("csrf")),
        (&mut bob, page.input("csrf")),
    ] {
        let answer = browser.post(&world, path, &fields(&csrf, &request)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        assert!(
            answer
                .location()
                .starts_with("/servers/todo/authorize?request=")
        );
    }
    // From another site, even with everything else right.
    let mut framed = alice.clone();
    framed.fetch_site = Some("cross-site");
    framed
        .post(&world, path, &fields(&page.input("csrf"), &request))
        .await
        .assert_page(400, "another site");
    // Changed, missing, or of another kind.
    alice
        .post(&world, path, &fields(&page.input("csrf"), &request[1..]))
        .await
        .assert_page(400, "not one of ours");
    alice
        .post(&world, path, &fields(&page.input("csrf"), ""))
        .await
        .assert_page(400, "request is missing");
    // The accepted twin.
    let answer = alice
        .post(&world, path, &fields(&page.input("csrf"), &request))
        .await;
    assert!(answer.returned().contains_key("code"));
}

#[tokio::test]
async fn a_sealed_request_lives_half_an_hour_and_belongs_to_its_server() {
    let world = World::new().await;
    world.add_alice().await;
    world
        .add_server("notes", domain::ServerSettings::default())
        .await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let page = world.consent_page(&mut browser, &client, &[]).await;
    let request = page.input("request");
    browser
        .get(
            &world,
            &format!("/servers/notes/authorize?request={request}"),
        )
        .await
        .assert_page(400, "another server");
    world.clock.advance(std::time::Duration::from_secs(30 * 60));
    let again = browser
        .get(
            &world,
            &format!("/servers/todo/authorize?request={request}"),
        )
        .await;
    assert_eq!(again.status, StatusCode::OK);
    world.clock.advance(std::time::Duration::from_secs(1));
    browser
        .get(
            &world,
            &format!("/servers/todo/authorize?request={request}"),
        )
        .await
        .assert_page(400, "30 minutes");
    // Nor is it good for a day because it was sealed by a clock that was ahead.
    world.clock.set(
        world
            .clock
            .now()
            .before(std::time::Duration::from_secs(24 * 3600)),
    );
    browser
        .get(
            &world,
            &format!("/servers/todo/authorize?request={request}"),
        )
        .await
        .assert_page(400, "30 minutes");
}

#[tokio::test]
async fn a_signed_in_person_is_asked_at_once_and_a_fresh_sign_in_is_had_when_wanted() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    world.code(&mut browser, &client).await;
    let page = browser.get(&world, &authorize_path(&client, &[])).await;
    assert!(page.text.contains("name=\"decision\""));
    assert!(page.text.contains("Allowed before"));

    world.clock.advance(std::time::Duration::from_secs(100));
    for (name, value, asked_again) in [
        ("prompt", "login", true),
        ("max_age", "99", true),
        ("max_age", "100", false),
        ("prompt", "consent", false),
        ("prompt", "select_account", false),
    ] {
        let path = authorize_path(&client, &[(name, Some(value))]);
        let page = browser.get(&world, &path).await;
        assert_eq!(
            page.text.contains("name=\"password\""),
            asked_again,
            "{name}={value}"
        );
    }
    let none = authorize_path(&client, &[("prompt", Some("none"))]);
    let returned = browser.get(&world, &none).await.returned();
    assert_eq!(returned["error"], "consent_required");

    let login = authorize_path(&client, &[("prompt", Some("login"))]);
    let page = browser.get(&world, &login).await;
    let answer = world.sign_in(&mut browser, &page, EMAIL, PASSWORD).await;
    let page = browser.get(&world, answer.location()).await;
    assert!(page.text.contains("name=\"decision\""));
}

#[tokio::test]
async fn another_account_can_be_chosen_on_the_consent_page() {
    let world = World::new().await;
    world.add_alice().await;
    world.add_user("bob@example.com").await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let page = world.consent_page(&mut browser, &client, &[]).await;
    let fields = owned(&[
        ("csrf", page.input("csrf").as_str()),
        ("request", page.input("request").as_str()),
    ]);
    let answer = browser.post(&world, "/sign-out", &fields).await;
    let page = browser.get(&world, answer.location()).await;
    assert!(page.text.contains("name=\"password\""));
    let answer = world
        .sign_in(&mut browser, &page, "bob@example.com", PASSWORD)
        .await;
    let page = browser.get(&world, answer.location()).await;
    assert!(page.text.contains("bob@example.com"));
}

#[tokio::test]
async fn a_hard_state_comes_back_byte_for_byte() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let hard = "vscode://x/%2F?a=b&c==+\u{e4} '\"<>\u{1f512}";
    let (_, challenge) = pkce("x");
    let page = world
        .consent_page(
            &mut browser,
            &client,
            &[("state", Some(hard)), ("code_challenge", Some(&challenge))],
        )
        .await;
    let answer = world.decide(&mut browser, &page, "approve", None).await;
    assert_eq!(answer.returned()["state"], hard);
    // Without one, none comes back.
    let page = world
        .consent_page(&mut browser, &client, &[("state", None)])
        .await;
    let answer = world.decide(&mut browser, &page, "approve", None).await;
    assert!(!answer.returned().contains_key("state"));
}

#[tokio::test]
async fn a_page_of_ours_never_speaks_in_the_words_of_an_untrusted_client() {
    let world = World::new().await;
    let body = json!({
        "client_name": "your bank, call +1 555 0100, then go back to Claude",
        "redirect_uris": ["https://evil.example/cb"],
    });
    let answer = world.post_json("/servers/todo/register", &body).await;
    let client = answer.json()["client_id"].as_str().unwrap().to_owned();
    let uri = ("redirect_uri", Some("https://evil.example/cb"));
    let page = get(&world, &client, &[uri, ("response_type", Some("token"))]).await;
    page.assert_page(400, "Go back to the application");
    assert!(!page.text.contains("555 0100"));
    let page = get(&world, &client, &[uri]).await;
    page.assert_page(200, "An app that calls itself");
}

#[tokio::test]
async fn a_state_of_any_printable_text_survives_and_control_characters_are_refused() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    for state in ["\"".repeat(4096), "ä".repeat(2048)] {
        let changes = [("state", Some(state.as_str()))];
        let mut browser = Browser::default();
        let page = world.consent_page(&mut browser, &client, &changes).await;
        let answer = world.decide(&mut browser, &page, "approve", None).await;
        assert_eq!(answer.returned()["state"], state);
    }
    let long = "\u{1}".repeat(4096);
    for state in ["\n", "a\u{7f}", &long] {
        let answer = get(&world, &client, &[("state", Some(state))]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert!(answer.location().contains("error=invalid_request"));
    }
}
