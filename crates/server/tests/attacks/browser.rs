use http::StatusCode;

use crate::support::{Browser, EMAIL, PASSWORD, World, authorize_path};

#[tokio::test]
async fn no_address_and_no_page_holds_a_session() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let page = browser.get(&world, &authorize_path(&client, &[])).await;
    let signed_in = world.sign_in(&mut browser, &page, EMAIL, PASSWORD).await;
    let consent = browser.get(&world, signed_in.location()).await;
    let approved = world
        .decide(&mut browser.clone(), &consent, "approve", None)
        .await;
    let home = browser.get(&world, "/admin").await;
    let session = browser.cookies["portcullis-login-test"].clone();
    assert!(session.len() > 40);
    for answer in [&page, &signed_in, &consent, &approved, &home] {
        assert!(!answer.text.contains(&session));
        assert!(!answer.location().contains(&session));
    }
    // Neither is one taken from an address.
    let path = format!("/admin?portcullis-login-test={session}&session={session}");
    let stranger = Browser::default().get(&world, &path).await;
    assert_eq!(stranger.location(), "/sign-in");
    assert_eq!(home.status, StatusCode::OK);
}

#[tokio::test]
async fn the_dashboard_is_kept_apart_from_windows_that_opened_it() {
    let world = World::new().await;
    world.add_alice().await;
    let mut browser = Browser::default();
    let page = browser.get(&world, "/sign-in").await;
    world.sign_in(&mut browser, &page, EMAIL, PASSWORD).await;
    let home = browser.get(&world, "/admin").await;
    assert_eq!(home.status, StatusCode::OK);
    assert_eq!(home.header("cross-origin-opener-policy"), "same-origin");
    // A sign-in in a popup must find its opener again.
    assert_eq!(page.header("cross-origin-opener-policy"), "");
}
