use std::io;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Browser, CALLBACK, EMAIL, PASSWORD, VERIFIER, World, authorize_path, pkce};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Every door is used rightly and wrongly at the finest log level; then all that was written anywhere but to the one who
/// asked is searched for the secrets.
#[tokio::test]
async fn no_log_event_or_audit_entry_ever_holds_a_secret() {
    let sink = Sink::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(sink.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let world = World::new().await;
    let mut events = world.state.events();
    let link = oauth::setup::create_link(&world.authority)
        .await
        .unwrap()
        .unwrap();
    world
        .get(link.strip_prefix("http://localhost:4180").unwrap())
        .await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let wrong_password = "canary wrong password";
    let page = browser.get(&world, &authorize_path(&client, &[])).await;
    world
        .sign_in(&mut browser, &page, EMAIL, wrong_password)
        .await;
    world
        .sign_in(&mut browser, &page, wrong_password, PASSWORD)
        .await;
    let page = world.consent_page(&mut browser, &client, &[]).await;
    let code = world.decide(&mut browser, &page, "approve", None).await;
    let code = code.returned()["code"].clone();
    let (wrong_verifier, _) = pkce("canary");
    world
        .token(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", &wrong_verifier),
            ("client_id", &client),
        ])
        .await;
    let tokens = world.exchange(&client, &code).await.json();
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    let first = tokens["refresh_token"].as_str().unwrap().to_owned();
    let second = world.refresh(&client, &first).await.json();
    let second = second["refresh_token"].as_str().unwrap().to_owned();
    world.refresh("cli_unknown", &second).await;
    world.refresh(&client, &second[..40]).await;
    world
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", &second),
            ("client_id", &client),
            ("resource", "https://else.example/"),
        ])
        .await;
    world
        .post_form(
            "/servers/todo/revoke",
            &[("token", &access), ("client_id", "cli_unknown")],
        )
        .await;
    world.exchange(&client, &code).await;
    let wrong = authorize_path(&client, &[("redirect_uri", Some("https://evil.example/"))]);
    assert_eq!(
        browser.get(&world, &wrong).await.status,
        StatusCode::BAD_REQUEST
    );
    world
        .get(&authorize_path(
            &client,
            &[("redirect_uri", Some(CALLBACK)), ("prompt", Some("none"))],
        ))
        .await;

    let mut written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert!(written.contains("refused"), "something was logged");
    while let Ok(event) = events.try_recv() {
        written.push_str(&format!("{event:?}\n"));
    }
    for stored in world.store.list_audit_events(0, 1000).await.unwrap() {
        written.push_str(&format!("{:?}\n", stored.event));
    }
    let (_, setup_token) = link.split_once("token=").unwrap();
    let signature = access.rsplit('.').next().unwrap();
    let mut canaries = vec![
        PASSWORD,
        wrong_password,
        VERIFIER,
        &wrong_verifier,
        &code,
        &first,
        &second,
        &second[..40],
        &access,
        signature,
        setup_token,
    ];
    canaries.extend(browser.cookies.values().map(String::as_str));
    for canary in canaries {
        assert!(canary.len() >= 8);
        assert!(
            !written.contains(canary),
            "{canary} was written:\n{written}"
        );
    }
    assert_eq!(
        browser.cookies.len(),
        3,
        "all three cookies were looked for"
    );
}
