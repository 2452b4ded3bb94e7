use std::time::Duration;

use axum::body::Body;
use domain::{AuditEventKind, UserRole};
use http::{Method, StatusCode, header};
use portcullis_server::Peer;

use crate::support::{Browser, EMAIL, PASSWORD, World, authorize_path, encode, owned, request};

async fn sign_in(
    world: &World,
    browser: &mut Browser,
    email: &str,
    password: &str,
) -> crate::support::Answer {
    let page = browser.get(world, "/sign-in").await;
    world.sign_in(browser, &page, email, password).await
}

#[tokio::test]
async fn the_setup_link_makes_the_owner_once_and_signs_their_browser_in() {
    let world = World::new().await;
    let link = oauth::setup::create_link(&world.authority)
        .await
        .unwrap()
        .unwrap();
    let path = link.strip_prefix("http://localhost:4180").unwrap();
    let mut browser = Browser::default();
    // Looking spends nothing.
    for _ in 0..3 {
        assert_eq!(browser.get(&world, path).await.status, StatusCode::OK);
    }
    let page = browser.get(&world, path).await;
    let fields = |email: &str, password: &str| {
        owned(&[
            ("token", page.input("token").as_str()),
            ("csrf", page.input("csrf").as_str()),
            ("email", email),
            ("password", password),
        ])
    };
    for (email, password, words) in [
        ("alice", PASSWORD, "e-mail"),
        (EMAIL, "short", "10 characters"),
        (EMAIL, "password123", "first that anybody tries"),
    ] {
        browser
            .post(&world, "/setup", &fields(email, password))
            .await
            .assert_page(422, words);
    }
    let answer = browser
        .post(&world, "/setup", &fields(EMAIL, PASSWORD))
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.location(), "/admin");
    let home = browser.get(&world, "/admin").await;
    assert_eq!(home.status, StatusCode::OK);
    assert!(home.text.contains(EMAIL) && home.text.contains("/mcp/todo"));

    browser
        .post(&world, "/setup", &fields("eve@example.com", PASSWORD))
        .await
        .assert_page(410, "");
    browser.get(&world, path).await.assert_page(410, "");
    let users = world.store.list_users(None, 10).await.unwrap();
    assert_eq!(users.len(), 1);
    assert_eq!(users[0].role, UserRole::Owner);
    assert!(
        oauth::setup::create_link(&world.authority)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_setup_link_dies_after_a_day_and_when_a_newer_one_is_made() {
    let world = World::new().await;
    let link = |authority: oauth::Authority| async move {
        let link = oauth::setup::create_link(&authority)
            .await
            .unwrap()
            .unwrap();
        link.strip_prefix("http://localhost:4180")
            .unwrap()
            .to_owned()
    };
    let first = link(world.authority.clone()).await;
    let second = link(world.authority.clone()).await;
    world.get(&first).await.assert_page(410, "");
    assert_eq!(world.get(&second).await.status, StatusCode::OK);
    world.clock.advance(Duration::from_secs(24 * 3600));
    world.get(&second).await.assert_page(410, "");
    world.get("/setup?token=x").await.assert_page(410, "");
    world.get("/setup").await.assert_page(410, "");
}

#[tokio::test]
async fn the_right_password_opens_and_everything_else_says_the_same() {
    let world = World::new().await;
    world.add_alice().await;
    for (email, password) in [
        (EMAIL, "wrong password"),
        (EMAIL, ""),
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
    ] {
        let mut browser = Browser::default();
        let answer = sign_in(&world, &mut browser, email, password).await;
        answer.assert_page(403, "The e-mail address or the password is wrong");
        assert!(!answer.text.contains(PASSWORD));
        assert_eq!(browser.get(&world, "/admin").await.location(), "/sign-in");
    }
    let mut browser = Browser::default();
    let answer = sign_in(&world, &mut browser, "ALICE@example.com", PASSWORD).await;
    assert_eq!(answer.location(), "/admin");
    assert_eq!(browser.get(&world, "/admin").await.status, StatusCode::OK);
    let kinds = world.audit_kinds().await;
    assert!(kinds.contains(&AuditEventKind::SignInRefused));
    assert!(kinds.contains(&AuditEventKind::UserSignedIn));
}

#[tokio::test]
async fn a_sign_in_form_from_another_site_or_browser_is_refused() {
    let world = World::new().await;
    world.add_alice().await;
    let mut browser = Browser::default();
    let page = browser.get(&world, "/sign-in").await;
    let mut other = Browser::default();
    world
        .sign_in(&mut other, &page, EMAIL, PASSWORD)
        .await
        .assert_page(403, "expired");
    let mut foreign = browser.clone();
    foreign.fetch_site = Some("cross-site");
    world
        .sign_in(&mut foreign, &page, EMAIL, PASSWORD)
        .await
        .assert_page(403, "expired");
    // A second tab replaced the cookie, and the browser vouches for its own page.
    let mut vouched = Browser {
        fetch_site: Some("same-origin"),
        ..Browser::default()
    };
    let answer = world.sign_in(&mut vouched, &page, EMAIL, PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let answer = world.sign_in(&mut browser, &page, EMAIL, PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_owners_own_browser_is_not() {
    let world = World::new().await;
    world.add_alice().await;
    let mut own = Browser::default();
    let answer = sign_in(&world, &mut own, EMAIL, PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    own.cookies.retain(|name, _| name.contains("device"));

    for _ in 0..10 {
        let answer = sign_in(&world, &mut Browser::default(), EMAIL, "a wrong guess").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    let answer = sign_in(&world, &mut Browser::default(), EMAIL, PASSWORD).await;
    answer.assert_page(429, "too many failed sign-ins");
    assert_eq!(answer.header("retry-after"), "60");

    let answer = sign_in(&world, &mut own.clone(), EMAIL, PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "the owner gets in");
    world.clock.advance(Duration::from_secs(60));
    let answer = sign_in(&world, &mut Browser::default(), EMAIL, PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "one a minute");
}

#[tokio::test]
async fn one_address_may_not_try_account_after_account_and_the_next_address_may() {
    let world = World::new().await;
    world.add_alice().await;
    let from = |address: &str| Browser {
        peer: Some(address.parse().unwrap()),
        ..Browser::default()
    };
    let network = |host: usize| format!("2001:db8:0:1::{host:x}");
    for number in 0..30 {
        let email = format!("person{number}@example.com");
        let answer = sign_in(&world, &mut from(&network(number)), &email, "a guess").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{number}");
    }
    sign_in(&world, &mut from(&network(99)), EMAIL, PASSWORD)
        .await
        .assert_page(429, "too many failed sign-ins");
    let answer = sign_in(&world, &mut from("192.0.2.1"), EMAIL, PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let answer = sign_in(&world, &mut from("127.0.0.1"), EMAIL, PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn one_guesser_behind_the_local_proxy_locks_nobody_out_and_one_far_away_is_stopped() {
    for (address, outcome) in [
        ("127.0.0.1", StatusCode::SEE_OTHER),
        ("::ffff:127.0.0.1", StatusCode::SEE_OTHER),
        ("192.0.2.1", StatusCode::TOO_MANY_REQUESTS),
    ] {
        let world = World::new().await;
        world.add_alice().await;
        let attempt = async |email: &str, password: &str| {
            let request = request(Method::POST, "/sign-in")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header("sec-fetch-site", "same-origin")
                .extension(Peer(address.parse().unwrap()))
                .body(Body::from(encode(&owned(&[
                    ("email", email),
                    ("password", password),
                ]))))
                .unwrap();
            world.send(request).await.status
        };
        for number in 0..30 {
            let email = format!("somebody-{number}@example.com");
            assert_eq!(attempt(&email, "a guess").await, StatusCode::FORBIDDEN);
        }
        assert_eq!(attempt(EMAIL, PASSWORD).await, outcome, "{address}");
        // One account is tried no faster from here than from anywhere.
        let account = "bob@example.com";
        for _ in 0..10 {
            attempt(account, "a guess").await;
        }
        let status = attempt(account, "a guess").await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{address}");
    }
}

#[tokio::test]
async fn each_sign_in_is_a_new_session_and_signing_out_ends_it_on_the_server() {
    let world = World::new().await;
    world.add_alice().await;
    let mut browser = Browser::default();
    let page = browser.get(&world, "/sign-in").await;
    world.sign_in(&mut browser, &page, EMAIL, PASSWORD).await;
    let first = browser.clone();
    world.sign_in(&mut browser, &page, EMAIL, PASSWORD).await;
    assert_ne!(
        first.cookies["portcullis-login-test"],
        browser.cookies["portcullis-login-test"]
    );
    let replaced = first.clone().get(&world, "/admin").await;
    assert_eq!(replaced.location(), "/sign-in");

    let home = browser.get(&world, "/admin").await;
    let stolen = browser.clone();
    browser
        .post(&world, "/sign-out", &owned(&[("csrf", "x")]))
        .await
        .assert_page(400, "still signed in");
    assert_eq!(browser.get(&world, "/admin").await.status, StatusCode::OK);
    let answer = browser
        .post(
            &world,
            "/sign-out",
            &owned(&[("csrf", home.input("csrf").as_str())]),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!browser.cookies.contains_key("portcullis-login-test"));
    let after = stolen.clone().get(&world, "/admin").await;
    assert_eq!(after.location(), "/sign-in");
}

#[tokio::test]
async fn a_session_ends_after_two_weeks() {
    let world = World::new().await;
    world.add_alice().await;
    let mut browser = Browser::default();
    sign_in(&world, &mut browser, EMAIL, PASSWORD).await;
    world
        .clock
        .advance(oauth::session::SESSION_LIFETIME - Duration::from_secs(1));
    assert_eq!(browser.get(&world, "/admin").await.status, StatusCode::OK);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.get(&world, "/admin").await.location(), "/sign-in");
}

#[tokio::test]
async fn before_anybody_exists_the_sign_in_page_points_at_the_terminal() {
    let world = World::new().await;
    let client = world.register().await;
    let path = authorize_path(&client, &[]);
    let page = Browser::default().get(&world, &path).await;
    assert!(page.text.contains("Nobody has an account here yet"));
    world.add_alice().await;
    let page = Browser::default().get(&world, &path).await;
    assert!(!page.text.contains("Nobody has an account here yet"));
}
