//! Sessions and people that end while something is under way.

use axum::body::Body;
use http::{Method, StatusCode, header};

use crate::support::{Browser, EMAIL, PASSWORD, World, request};

const BOB: &str = "bob@example.com";

async fn signed_in(world: &World, email: &str) -> Browser {
    let mut browser = Browser::default();
    let page = browser.get(world, "/sign-in").await;
    world.sign_in(&mut browser, &page, email, PASSWORD).await;
    assert_eq!(browser.get(world, "/admin").await.status, StatusCode::OK);
    browser
}

#[tokio::test]
async fn a_disabled_person_loses_every_session_and_token_at_once_and_nobody_else_does() {
    let world = World::new().await;
    let alice = world.add_alice().await;
    world.add_user(BOB).await;
    let (mut hers, mut her_phone) = (
        signed_in(&world, EMAIL).await,
        signed_in(&world, EMAIL).await,
    );
    let mut his = signed_in(&world, BOB).await;
    let client_id = world.register().await;
    let mut tokens = Vec::new();
    for browser in [&mut hers, &mut his] {
        let code = world.code(browser, &client_id).await;
        let answer = world.exchange(&client_id, &code).await;
        tokens.push(answer.json()["refresh_token"].as_str().unwrap().to_owned());
    }
    world.disable_user(&alice.id).await;

    for browser in [&mut hers, &mut her_phone] {
        assert_eq!(browser.get(&world, "/admin").await.location(), "/sign-in");
    }
    assert_eq!(his.get(&world, "/admin").await.status, StatusCode::OK);
    let refused = world.refresh(&client_id, &tokens[0]).await;
    assert_eq!(refused.json()["error"], "invalid_grant");
    let answer = world.refresh(&client_id, &tokens[1]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    // What the gateways learn within a quarter of a second: her grant alone.
    assert_eq!(world.revoked_grants().await.len(), 1);
    let feed = portcullis_server::policy_feed::snapshot(&world.authority)
        .await
        .unwrap();
    let told = &feed.servers["todo"].revocations.grants;
    assert!(told.until(&world.revoked_grants().await[0]).is_some());
}

#[tokio::test]
async fn who_is_disabled_in_between_does_not_get_to_the_end() {
    let world = World::new().await;
    let alice = world.add_alice().await;
    world.add_user(BOB).await;
    let client_id = world.register().await;
    // Each of the two has gone as far as: the sign-in page, the consent page, a code.
    let (mut on_form, mut on_consent, mut with_code) = (Vec::new(), Vec::new(), Vec::new());
    for email in [EMAIL, BOB] {
        let mut browser = Browser::default();
        let page = browser.get(&world, "/sign-in").await;
        on_form.push((browser, page, email));
        let mut browser = signed_in(&world, email).await;
        let page = world.consent_page(&mut browser, &client_id, &[]).await;
        on_consent.push((browser.clone(), page));
        with_code.push(world.code(&mut browser, &client_id).await);
    }
    world.disable_user(&alice.id).await;

    let mut ends = Vec::new();
    for (mut browser, page, email) in on_form {
        let answer = world.sign_in(&mut browser, &page, email, PASSWORD).await;
        ends.push(answer.status == StatusCode::SEE_OTHER);
    }
    assert_eq!(ends, [false, true], "the password");
    ends.clear();
    for (mut browser, page) in on_consent {
        let answer = world.decide(&mut browser, &page, "approve", None).await;
        ends.push(answer.status == StatusCode::OK && answer.text.contains("code="));
    }
    assert_eq!(ends, [false, true], "the approval");
    ends.clear();
    for code in with_code {
        let answer = world.exchange(&client_id, &code).await;
        ends.push(answer.status == StatusCode::OK);
    }
    assert_eq!(ends, [false, true], "the code");
}

#[tokio::test]
async fn strangers_cookies_keep_nobody_out_and_too_many_are_explained() {
    let world = World::new().await;
    world.add_alice().await;
    let browser = signed_in(&world, EMAIL).await;
    let own: Vec<_> = browser
        .cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let with = async |strangers: usize| {
        let mut line: Vec<_> = (0..strangers)
            .map(|number| format!("bomb{number}={}", "x".repeat(300)))
            .collect();
        line.extend(own.iter().cloned());
        let request = request(Method::GET, "/admin")
            .header(header::COOKIE, line.join("; "))
            .body(Body::empty())
            .unwrap();
        world.send(request).await
    };
    assert_eq!(with(100).await.status, StatusCode::OK);
    let answer = with(110).await;
    assert_eq!(answer.status.as_u16(), 431);
    assert!(
        answer.text.contains("Delete the cookies"),
        "{}",
        answer.text
    );
    assert!(!answer.text.contains("bomb"), "{}", answer.text);
    // Programs bring no cookies, and are not asked about them.
    let request = request(Method::GET, "/jwks.json")
        .header(header::COOKIE, "x".repeat(40_000))
        .body(Body::empty())
        .unwrap();
    assert_eq!(world.send(request).await.status, StatusCode::OK);
}
