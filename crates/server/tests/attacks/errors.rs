use http::{Method, StatusCode, header};
use serde_json::json;

use crate::support::{Browser, World, authorize_path, request};

const CODE: &str = "pcc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Answers of every kind: good ones, refusals, and what is said while the store is away.
async fn answers(world: &World) -> Vec<(&'static str, crate::support::Answer)> {
    let (client, tokens) = world.connected().await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let body = json!({"redirect_uris": ["http://localhost/x"]});
    let mut all = vec![
        ("tokens", world.refresh(&client, refresh).await),
        (
            "registered",
            world.post_json("/servers/todo/register", &body).await,
        ),
        (
            "revoked",
            world
                .post_form(
                    "/servers/todo/revoke",
                    &[("token", "x"), ("client_id", &client)],
                )
                .await,
        ),
        ("unknown client", world.exchange("cli_unknown", CODE).await),
        ("unknown code", world.exchange(&client, CODE).await),
        ("no grant type", world.token(&[]).await),
        (
            "bad registration",
            world.post_json("/servers/todo/register", &json!({})).await,
        ),
        ("nothing here", world.get("/x%27%22%3Cy%3E").await),
        ("wrong method", world.get("/servers/todo/token").await),
        ("page", world.get("/sign-in").await),
        (
            "refused page",
            world.get(&authorize_path("cli_unknown", &[])).await,
        ),
        (
            "metadata",
            world
                .get("/.well-known/oauth-authorization-server/servers/todo")
                .await,
        ),
        ("keys", world.get("/jwks.json").await),
    ];
    world.store.close().await;
    all.push(("refresh, store away", world.refresh(&client, refresh).await));
    all.push((
        "register, store away",
        world.post_json("/servers/todo/register", &body).await,
    ));
    all.push((
        "page, store away",
        world.get(&authorize_path(&client, &[])).await,
    ));
    all
}

#[tokio::test]
async fn every_answer_with_a_secret_or_an_error_is_kept_by_nobody() {
    for (name, answer) in answers(&World::new().await).await {
        let cache_control = answer.header("cache-control");
        if matches!(name, "metadata" | "keys") {
            assert!(
                cache_control.starts_with("public"),
                "{name}: {cache_control}"
            );
        } else {
            assert_eq!(cache_control, "no-store", "{name}");
        }
    }
}

#[tokio::test]
async fn every_answer_with_a_body_has_a_type_and_forbids_sniffing() {
    for (name, answer) in answers(&World::new().await).await {
        if answer.text.is_empty() {
            continue;
        }
        let content_type = answer.header("content-type");
        let is_page = answer.text.starts_with("<!");
        let expected = if is_page {
            "text/html; charset=utf-8"
        } else {
            "application/json"
        };
        assert_eq!(content_type, expected, "{name}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{name}");
    }
}

#[tokio::test]
async fn an_error_tells_nothing_of_what_is_inside() {
    let inside = [
        "sqlx",
        "SQLite",
        "sqlite",
        "postgres",
        "SELECT",
        "INSERT",
        "panicked",
        ".rs:",
        "/tmp",
        "/home",
        "database",
        "stack",
        "Err(",
        "Some(",
        "None",
        "StoreError",
        "argon2",
    ];
    for (name, answer) in answers(&World::new().await).await {
        if matches!(name, "metadata" | "keys" | "page") || answer.status.is_success() {
            continue;
        }
        for word in inside {
            assert!(
                !answer.text.contains(word),
                "{name}: {word} in {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn errors_of_two_that_fail_at_once_are_their_own() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let mut refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
    let twice = |name: &'static str| [(name, "1"), (name, "2"), ("grant_type", "refresh_token")];
    let (one, two) = (twice("alpha"), twice("beta"));
    for _ in 0..20 {
        let (one, two, three, good) = tokio::join!(
            world.token(&one),
            world.token(&two),
            world.exchange("cli_gamma", CODE),
            world.refresh(&client, &refresh)
        );
        // Whoever asks rightly among them gets tokens, and nobody's error.
        assert_eq!(good.status, StatusCode::OK, "{}", good.text);
        assert!(good.json().get("error").is_none(), "{}", good.text);
        refresh = good.json()["refresh_token"].as_str().unwrap().to_owned();
        for answer in [&one, &two, &three] {
            assert!(!answer.text.contains(&refresh) && answer.json()["access_token"].is_null());
        }
        assert!(one.text.contains("alpha") && !one.text.contains("beta"));
        assert!(two.text.contains("beta") && !two.text.contains("alpha"));
        for answer in [&one, &two] {
            assert_eq!(answer.json()["error"], "invalid_request");
            assert!(!answer.text.contains("gamma"));
        }
        assert_eq!(three.json()["error"], "invalid_client");
        let id = |answer: &crate::support::Answer| answer.json()["correlation_id"].clone();
        assert_ne!(id(&one), id(&two));
        assert_ne!(id(&two), id(&three));
    }
}

#[tokio::test]
async fn no_redirect_of_ours_makes_a_browser_repeat_a_form() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let asked = browser.get(&world, &authorize_path(&client, &[])).await;
    let wrong = world
        .sign_in(&mut browser, &asked, "a@example.com", "wrong")
        .await;
    let signed_in = world
        .sign_in(
            &mut browser,
            &asked,
            crate::support::EMAIL,
            crate::support::PASSWORD,
        )
        .await;
    let consent = browser.get(&world, signed_in.location()).await;
    let approved = world.decide(&mut browser, &consent, "approve", None).await;
    let without_session = world
        .decide(&mut Browser::default(), &consent, "approve", None)
        .await;
    let refused = browser
        .get(&world, &authorize_path(&client, &[("response_type", None)]))
        .await;
    let home = Browser::default().get(&world, "/admin").await;
    let mut redirects = 0;
    for answer in [
        wrong,
        signed_in,
        consent,
        approved,
        without_session,
        refused,
        home,
    ] {
        let status = answer.status;
        assert!(
            !status.is_redirection() || status == StatusCode::SEE_OTHER,
            "{status}"
        );
        redirects += u32::from(status == StatusCode::SEE_OTHER);
    }
    assert!(redirects >= 3, "there were redirects to look at");
    // Approval is no redirect at all.
    let consent = world.consent_page(&mut browser, &client, &[]).await;
    let approved = world.decide(&mut browser, &consent, "approve", None).await;
    assert_eq!(approved.status, StatusCode::OK);
}

#[tokio::test]
async fn headers_of_a_proxy_prove_no_client() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    for name in [
        "x-client-cert",
        "x-ssl-client-verify",
        "x-forwarded-client-cert",
        "client-cert",
        "x-forwarded-user",
        "x-remote-user",
        "portcullis-identity",
    ] {
        let post = async |client_id: &str| {
            let body =
                format!("grant_type=refresh_token&refresh_token={refresh}&client_id={client_id}");
            let request = request(Method::POST, "/servers/todo/token")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(name, &client)
                .body(body.into())
                .unwrap();
            world.send(request).await
        };
        post("cli_other")
            .await
            .assert_error(401, "invalid_client", "client_id");
        assert_eq!(post(&client).await.status, StatusCode::OK, "{name}");
    }
    let mut stranger = Browser::default();
    let request = request(Method::GET, "/admin")
        .header("x-forwarded-user", crate::support::EMAIL)
        .header("x-remote-user", crate::support::EMAIL)
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.location(), "/sign-in");
    assert_eq!(
        stranger.get(&world, "/sign-in").await.status,
        StatusCode::OK
    );
}

/// One id in the answer's header, in its body or address, in the event, and with that in the log.
#[tokio::test]
async fn each_refusal_carries_the_id_under_which_its_reason_is_found() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut events = world.state.events();
    let mut browser = Browser::default();
    let sign_in = browser.get(&world, "/sign-in").await;
    let answers = [
        world.token(&[]).await,
        world.exchange("cli_unknown", CODE).await,
        world.post_json("/servers/todo/register", &json!({})).await,
        world.post_form("/servers/todo/revoke", &[]).await,
        world.get(&authorize_path("cli_unknown", &[])).await,
        world
            .get(&authorize_path(&client, &[("response_type", None)]))
            .await,
        world
            .sign_in(&mut browser, &sign_in, "a@example.com", "wrong")
            .await,
    ];
    let mut refused = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let portcullis_server::EventKind::Refused { correlation_id, .. } = event.kind {
            refused.push(correlation_id);
        }
    }
    assert_eq!(refused.len(), answers.len());
    for (answer, logged) in answers.iter().zip(&refused) {
        let id = answer.header("portcullis-correlation-id");
        assert_eq!(id, logged, "{}", answer.text);
        assert!(id.len() >= 12);
        if answer.header("content-type") == "application/json" {
            assert_eq!(answer.json()["correlation_id"], id);
        } else if answer.status == StatusCode::SEE_OTHER {
            assert_eq!(answer.returned()["correlation_id"], id);
        }
    }
    assert!(answers[4].text.contains(&refused[4]), "a page shows it");
    // What is no refusal has none.
    for good in [sign_in, world.get(&authorize_path(&client, &[])).await] {
        assert_eq!(good.header("portcullis-correlation-id"), "");
    }
}
