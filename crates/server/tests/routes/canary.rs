use std::io;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use tracing_subscriber::fmt::MakeWriter;

use crate::machines::{JWT_BEARER, TOKEN};
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

    let machines = machines(&world).await;

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
    canaries.extend(machines.iter().map(String::as_str));
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

/// The same for clients with secrets and keys, MCP servers that ask, and static tokens: gives their secrets.
async fn machines(world: &World) -> Vec<String> {
    let grant = ("grant_type", "client_credentials");
    let client = world.secret_client("todo:read").await;
    let answer = world
        .post_basic(TOKEN, &client.id, &client.secret, &[grant])
        .await;
    let access = answer.json()["access_token"].as_str().unwrap().to_owned();
    let wrong = client.secret[..46].to_owned();
    world.post_basic(TOKEN, &client.id, &wrong, &[grant]).await;
    let twice = [grant, ("client_secret", client.secret.as_str())];
    world
        .post_basic(TOKEN, &client.id, &client.secret, &twice)
        .await;
    let keys = world.key_client("todo:read").await;
    let assertion = keys.assertion(world, "1");
    let fields = [
        grant,
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion.as_str()),
    ];
    for _ in 0..2 {
        world.post_form(TOKEN, &fields).await;
    }
    let credential = world.credential("todo").await;
    let id = credential.id.as_str();
    let secret = credential.secret.expose().clone();
    let introspect = "/servers/todo/introspect";
    let token = [("token", access.as_str())];
    world.post_basic(introspect, id, &secret, &token).await;
    world
        .post_basic(introspect, id, &secret[..46], &token)
        .await;
    let server = world.authority.server("todo").unwrap();
    let new = oauth::service_tokens::NewServiceToken {
        server: &server.server,
        owner: None,
        name: "canary",
        scopes: &server.server.policy.default_scopes,
        lifetime: std::time::Duration::from_secs(3600),
    };
    let made =
        oauth::service_tokens::create(&world.store, world.now(), &base::OsRandom, new, None).await;
    let service_token = made.unwrap().text.expose().clone();
    for text in [&service_token, &service_token[..46]] {
        let exchanged = oauth::service_tokens::exchange(&world.authority, &server, text).await;
        if let Err(error) = exchanged {
            tracing::info!(%error, cause = error.cause(), "refused");
        }
    }
    let revoke = [("token", service_token.as_str())];
    world.post_form("/servers/todo/revoke", &revoke).await;
    vec![
        client.secret,
        wrong,
        access,
        assertion,
        secret,
        service_token,
    ]
}
