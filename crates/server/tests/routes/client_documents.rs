//! Clients whose id is the address of a document: hosts that mean well, and hosts that do not.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use domain::{
    AuditEventKind, ClientId, DocumentKind, MetadataDocumentTrust, RegistrationMode,
    ServerSettings, TrustDecision,
};
use oauth::resource_server::NewCredential;
use serde_json::{Value, json};
use testkit::DocumentHost;
use testkit::document_host::Reply;

use crate::machines::{AssertionKey, JWT_BEARER};
use crate::support::{
    Answer, Browser, CALLBACK, ISSUER, PUBLIC_URL, VERIFIER, World, authorize_path,
};

const NAME: &str = "client.example";
const PATH: &str = "/oauth.json";
const URL: &str = "https://client.example/oauth.json";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority and a host with one good document.
struct Bench {
    world: World,
    host: DocumentHost,
    browser: Browser,
}

fn document() -> Value {
    document_at(URL)
}

fn document_at(url: &str) -> Value {
    json!({
        "client_id": url,
        "client_name": "Example",
        "redirect_uris": ["http://localhost/callback", "https://client.example/callback"],
        "token_endpoint_auth_method": "none",
    })
}

fn trusting(metadata_documents: MetadataDocumentTrust) -> ServerSettings {
    ServerSettings {
        metadata_documents,
        ..ServerSettings::default()
    }
}

impl Bench {
    async fn new() -> Self {
        Self::with(PUBLIC_URL, ServerSettings::default(), &[NAME]).await
    }

    async fn with(public_url: &str, settings: ServerSettings, names: &[&str]) -> Self {
        let host = DocumentHost::start_as(names).await;
        host.set_json(PATH, &document());
        let world = World::with_documents(public_url, settings, Some((&host, names))).await;
        world.add_alice().await;
        Self {
            world,
            host,
            browser: Browser::default(),
        }
    }

    /// What an anonymous browser is shown.
    async fn open(&self, client_id: &str) -> Answer {
        let path = authorize_path(client_id, &[]);
        Browser::default().get(&self.world, &path).await
    }

    async fn is_welcome(&self, client_id: &str) -> bool {
        let answer = self.open(client_id).await;
        match answer.status {
            StatusCode::OK => true,
            StatusCode::BAD_REQUEST | StatusCode::SERVICE_UNAVAILABLE => false,
            other => panic!("{other}: {}", answer.text),
        }
    }

    async fn consent_page(&mut self) -> Answer {
        self.world.consent_page(&mut self.browser, URL, &[]).await
    }

    /// Tokens of the client at [`URL`].
    async fn connected(&mut self) -> Value {
        let code = self.world.code(&mut self.browser, URL).await;
        let answer = self.world.exchange(URL, &code).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }

    async fn refreshed(&self, tokens: &Value) -> Answer {
        let token = tokens["refresh_token"].as_str().unwrap();
        self.world.refresh(URL, token).await
    }

    async fn audit(&self, kind: AuditEventKind) -> Vec<String> {
        let events = self.world.store.list_audit_events(0, 1000).await.unwrap();
        let mut details = Vec::new();
        for stored in events {
            if stored.event.kind == kind {
                details.push(stored.event.detail);
            }
        }
        details
    }
}

#[tokio::test]
async fn a_client_with_a_document_goes_the_whole_way_without_a_registration() {
    let mut bench = Bench::new().await;
    let metadata = bench
        .world
        .get("/.well-known/oauth-authorization-server/servers/todo")
        .await;
    assert_eq!(
        metadata.json()["client_id_metadata_document_supported"],
        true
    );
    let page = bench.consent_page().await;
    assert!(page.text.contains("Example"));
    assert!(page.text.contains(NAME));
    let tokens = bench.connected().await;
    let refreshed = bench.refreshed(&tokens).await;
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.text);
    let claims = crate::support::claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(claims["client_id"], URL);
    // One document, one request, however many steps.
    assert_eq!(bench.host.count(PATH), 1);
    // Another server of the authority has its own consents and the same document.
    bench
        .world
        .add_server("other", ServerSettings::default())
        .await;
    let id = ClientId::from_text(URL);
    let user = bench
        .world
        .store
        .list_users(None, 1)
        .await
        .unwrap()
        .remove(0);
    for (slug, expected) in [("todo", true), ("other", false)] {
        let slug = domain::ServerSlug::parse(slug).unwrap();
        let consent = bench
            .world
            .store
            .find_consent(&user.id, &slug, &id, CALLBACK)
            .await;
        assert_eq!(consent.unwrap().is_some(), expected, "{slug}");
    }
}

#[tokio::test]
async fn asking_for_a_client_with_a_document_writes_nothing_and_approving_it_does() {
    let mut bench = Bench::new().await;
    for _ in 0..3 {
        assert!(bench.is_welcome(URL).await);
    }
    bench.consent_page().await;
    let store = bench.world.store.clone();
    let kept = async || {
        let found = store.find_client_document(DocumentKind::Client, URL).await;
        found.unwrap()
    };
    assert_eq!(kept().await, None);
    bench.connected().await;
    assert_eq!(kept().await.unwrap().body, document().to_string());
}

#[tokio::test]
async fn ids_of_bad_form_are_refused_before_anything_is_fetched() {
    let bench = Bench::with(PUBLIC_URL, ServerSettings::default(), &[NAME, "localhost"]).await;
    for id in [
        "https://client.example",
        "https://client.example/a/../oauth.json",
        "https://client.example/%2e/oauth.json",
        "https://client.example/oauth.json#x",
        "https://user@client.example/oauth.json",
        "https://user:pw@client.example/oauth.json",
        "https://client.example/oauth.json\\",
        "https://client.example\\@evil.example/oauth.json",
        "https://client.example/oauth json",
        "https://CLIENT.example/oauth.json",
        "https://client.example./oauth.json",
        "https://2130706433/oauth.json",
        "https://client.example:0443/oauth.json",
        "https:/client.example/oauth.json",
        "HTTPS://client.example/oauth.json",
        "http://client.example/oauth.json",
        "ftp://client.example/oauth.json",
        "file:///etc/passwd",
        // Our own address would be made to ask itself.
        "https://localhost:4180/servers/todo/authorize",
    ] {
        assert!(!bench.is_welcome(id).await, "{id}");
    }
    let asked = bench.host.requests();
    // This authority speaks http, so the last one is another origin than its own.
    assert!(asked.iter().all(|(path, _)| path.starts_with("/servers")));
    assert!(bench.is_welcome(URL).await);
}

#[tokio::test]
async fn the_document_must_name_its_own_address_byte_for_byte() {
    let bench = Bench::new().await;
    for (path, named, is_good) in [
        ("/a", "https://client.example/a", true),
        ("/b", "https://client.example/b/", false),
        ("/c", "https://client.example:443/c", false),
        ("/d", "https://CLIENT.example/d", false),
        ("/E", "https://client.example/e", false),
    ] {
        bench.host.set_json(path, &document_at(named));
        let id = format!("https://client.example{path}");
        assert_eq!(bench.is_welcome(&id).await, is_good, "{path}");
    }
}

#[tokio::test]
async fn shared_secrets_and_private_keys_in_a_document_are_refused() {
    let bench = Bench::new().await;
    let key = json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"});
    let mut private = key.clone();
    private["d"] = json!("eA");
    for (number, (changes, is_good)) in [
        (
            json!({"token_endpoint_auth_method": "client_secret_basic"}),
            false,
        ),
        (
            json!({"token_endpoint_auth_method": "client_secret_post"}),
            false,
        ),
        (
            json!({"token_endpoint_auth_method": "client_secret_jwt"}),
            false,
        ),
        (
            json!({"token_endpoint_auth_methods_supported": ["none", "client_secret_post"]}),
            false,
        ),
        (json!({"client_secret": "x"}), false),
        (json!({"client_secret_expires_at": 0}), false),
        (json!({"jwks": {"keys": [private]}}), false),
        (
            json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [key]}}),
            true,
        ),
        (json!({"token_endpoint_auth_method": "none"}), true),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("https://client.example/{number}");
        let mut document = document_at(&id);
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        bench.host.set_json(&format!("/{number}"), &document);
        assert_eq!(bench.is_welcome(&id).await, is_good, "{changes}");
    }
}

#[tokio::test]
async fn only_a_200_of_json_in_utf8_without_tricks_is_a_document() {
    let bench = Bench::new().await;
    let text = |id: &str| document_at(id).to_string();
    let utf16 =
        |id: &str| -> Vec<u8> { text(id).encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let with_bom = |id: &str| [b"\xef\xbb\xbf", text(id).as_bytes()].concat();
    let twice = |id: &str| text(id).replacen('{', "{\"client_name\":\"Other\",", 1);
    let id = |number: usize| format!("https://client.example/{number}");
    let target = bench.host.url(PATH);
    let answer = |status: u16, id: &str| Reply::Answer {
        status,
        headers: vec![("content-type", "application/json".into())],
        body: text(id).into(),
    };
    let refresh = |id: &str| {
        format!(
            "<meta http-equiv=\"refresh\" content=\"0;url={target}\">{}",
            text(id)
        )
    };
    let replies = [
        (Reply::typed("application/json", text(&id(0))), true),
        (
            Reply::typed("application/json;charset=utf-8", text(&id(1))),
            true,
        ),
        (Reply::typed("application/oauth+json", text(&id(2))), true),
        (Reply::typed("text/html", text(&id(3))), false),
        (Reply::typed("text/plain", text(&id(4))), false),
        (
            Reply::typed("application/json;charset=utf-16", utf16(&id(5))),
            false,
        ),
        (Reply::typed("application/json", utf16(&id(6))), false),
        (Reply::typed("application/json", with_bom(&id(7))), false),
        (Reply::typed("application/json", twice(&id(8))), false),
        (Reply::typed("application/json", refresh(&id(9))), false),
        (answer(201, &id(10)), false),
        (answer(206, &id(11)), false),
        (answer(404, &id(12)), false),
        (answer(500, &id(13)), false),
        (Reply::redirect(301, &target), false),
        (Reply::redirect(302, &target), false),
        (Reply::redirect(303, &target), false),
        (Reply::redirect(307, &target), false),
        (Reply::redirect(308, &target), false),
        (
            Reply::typed("application/json", text(&id(19))).with("content-encoding", "gzip"),
            false,
        ),
        (
            Reply::typed(
                "application/json",
                format!("{}{}", text(&id(20)), " ".repeat(5120)),
            ),
            false,
        ),
    ];
    for (number, (reply, is_good)) in replies.into_iter().enumerate() {
        bench.host.set(&format!("/{number}"), reply);
        assert_eq!(bench.is_welcome(&id(number)).await, is_good, "{number}");
        // The budget of a host is thirty a minute; this test is about something else.
    }
    assert_eq!(bench.host.count(PATH), 0, "a redirect was followed");
}

#[tokio::test]
async fn a_hostile_host_costs_bounded_time_and_only_its_own_request() {
    let mut bench = Bench::new().await;
    bench.host.set("/large", Reply::Large { bytes: 1 << 30 });
    bench.host.set(
        "/drip",
        Reply::Drip {
            every: Duration::from_millis(100),
        },
    );
    bench.host.set("/hang", Reply::Hang);
    let started = Instant::now();
    let (large, drip, hang, good) = tokio::join!(
        bench.is_welcome("https://client.example/large"),
        bench.is_welcome("https://client.example/drip"),
        bench.is_welcome("https://client.example/hang"),
        async {
            let good = bench.is_welcome(URL).await;
            assert!(
                started.elapsed() < Duration::from_secs(3),
                "held up by others"
            );
            good
        },
    );
    assert_eq!((large, drip, hang, good), (false, false, false, true));
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    assert!(bench.host.bytes_sent() < 32 << 20);
    // Asking again at once does not make us wait again.
    let started = Instant::now();
    assert!(!bench.is_welcome("https://client.example/drip").await);
    assert!(started.elapsed() < Duration::from_secs(1));
    bench.connected().await;
}

#[tokio::test]
async fn failures_are_never_kept_as_documents_and_are_retried_after_a_pause_that_grows() {
    let bench = Bench::new().await;
    bench.host.set(PATH, Reply::status(500));
    assert!(!bench.is_welcome(URL).await);
    bench.host.set_json(PATH, &document());
    // Ten seconds nobody asks again.
    assert!(!bench.is_welcome(URL).await);
    bench.world.clock.advance(Duration::from_secs(9));
    assert!(!bench.is_welcome(URL).await);
    assert_eq!(bench.host.count(PATH), 1);
    bench.world.clock.advance(Duration::from_secs(1));
    assert!(bench.is_welcome(URL).await);
    assert_eq!(bench.host.count(PATH), 2);

    bench
        .host
        .set("/other", Reply::typed("application/json", "{}"));
    for (pause, asked) in [(0, 1), (10, 2), (10, 2), (10, 3), (30, 3), (10, 4)] {
        bench.world.clock.advance(Duration::from_secs(pause));
        assert!(!bench.is_welcome("https://client.example/other").await);
        assert_eq!(bench.host.count("/other"), asked, "{pause}");
    }
}

#[tokio::test]
async fn a_document_is_fetched_again_when_its_host_says_so_within_five_minutes_and_a_day() {
    for (said, kept, until) in [
        ("max-age=600", MINUTE * 9, MINUTE * 10),
        ("no-store", MINUTE * 4, MINUTE * 5),
        ("max-age=31536000", HOUR * 23, DAY),
        ("public", MINUTE * 59, HOUR),
    ] {
        let bench = Bench::new().await;
        let reply = Reply::json(&document()).with("cache-control", said);
        bench.host.set(PATH, reply);
        assert!(bench.is_welcome(URL).await);
        bench.world.clock.advance(kept);
        assert!(bench.is_welcome(URL).await);
        assert_eq!(bench.host.count(PATH), 1, "{said}");
        bench.world.clock.advance(until - kept);
        assert!(bench.is_welcome(URL).await);
        assert_eq!(bench.host.count(PATH), 2, "{said}");
    }
}

#[tokio::test]
async fn a_crowd_that_asks_for_one_document_costs_one_request_and_one_for_many_a_budget() {
    let bench = Bench::new().await;
    let slow = Reply::After(
        Duration::from_millis(200),
        Box::new(Reply::json(&document())),
    );
    bench.host.set(PATH, slow);
    let crowd = (0..300).map(|_| bench.open(URL));
    let answers = futures_util::future::join_all(crowd).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(bench.host.count(PATH), 1);

    let ids: Vec<String> = (0..300)
        .map(|number| format!("https://client.example/{number}"))
        .collect();
    let crowd = ids.iter().map(|id| bench.open(id));
    let answers = futures_util::future::join_all(crowd).await;
    assert!(answers.iter().all(|answer| answer.status != StatusCode::OK));
    assert!(
        bench.host.requests().len() <= 31,
        "{}",
        bench.host.requests().len()
    );
    // Whoever was welcome before still is, without another request.
    assert!(bench.is_welcome(URL).await);
}

#[tokio::test]
async fn what_was_good_goes_on_while_its_host_is_away_and_not_for_ever() {
    let mut bench = Bench::new().await;
    let tokens = bench.connected().await;
    bench.host.set(PATH, Reply::status(503));
    bench.world.clock.advance(DAY * 7);
    assert!(bench.is_welcome(URL).await);
    bench.world.clock.advance(MINUTE * 20);
    assert!(!bench.is_welcome(URL).await, "a week is over");
    // What a person approved goes on.
    let refreshed = bench.refreshed(&tokens).await;
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.text);
    // And everything does when the host is back.
    bench.host.set_json(PATH, &document());
    bench.world.clock.advance(MINUTE * 20);
    assert!(bench.is_welcome(URL).await);
}

#[tokio::test]
async fn a_document_that_its_host_took_back_is_gone_after_a_day() {
    for (reply, days) in [
        (Reply::status(410), 1),
        (Reply::status(404), 1),
        (
            Reply::json(&json!({"client_id": URL, "redirect_uris": []})),
            1,
        ),
        // A page that asks whether we are a robot is no answer.
        (Reply::status(403), 7),
        (Reply::typed("text/html", "<h1>Are you human?</h1>"), 7),
    ] {
        let bench = Bench::new().await;
        assert!(bench.is_welcome(URL).await);
        bench.host.set(PATH, reply.clone());
        bench.world.clock.advance(DAY * days);
        assert!(bench.is_welcome(URL).await, "{reply:?}");
        bench.world.clock.advance(MINUTE * 20);
        assert!(!bench.is_welcome(URL).await, "{reply:?}");
    }
}

#[tokio::test]
async fn a_pinned_document_stands_in_for_a_host_that_takes_us_for_a_robot() {
    let id = "https://claude.ai/oauth/claude-code-client-metadata";
    let bench = Bench::with(PUBLIC_URL, ServerSettings::default(), &["claude.ai", NAME]).await;
    let path = "/oauth/claude-code-client-metadata";
    bench.host.set(path, Reply::status(403));
    assert!(bench.is_welcome(id).await);
    // A client of the same host that nobody pinned is not made up.
    assert!(!bench.is_welcome("https://claude.ai/oauth/other").await);
    bench.world.clock.advance(MINUTE);

    // The live one counts as soon as it comes, and that it says something else is written down, not fatal.
    let mut live = document_at(id);
    live["client_name"] = json!("Claude Code, renamed");
    bench.host.set_json(path, &live);
    let mut browser = Browser::default();
    let page = bench.world.consent_page(&mut browser, id, &[]).await;
    assert!(page.text.contains("Claude Code, renamed"));
    bench.world.code(&mut browser, id).await;
    let differs = bench
        .audit(AuditEventKind::ClientDocumentDiffersFromPin)
        .await;
    assert_eq!(differs.len(), 1);
    assert!(differs[0].contains("client_name"), "{differs:?}");
    let kept = bench
        .world
        .store
        .list_client_documents("", 10)
        .await
        .unwrap();
    assert!(!oauth::client_id_metadata::differences_from_pin(&kept[0]).is_empty());
}

#[tokio::test]
async fn a_return_address_that_left_the_document_is_refused_in_the_middle_of_a_sign_in() {
    let mut bench = Bench::new().await;
    let reply = Reply::json(&document()).with("cache-control", "max-age=300");
    bench.host.set(PATH, reply);
    let page = bench.consent_page().await;
    let mut evil = document();
    evil["redirect_uris"] = json!(["https://evil.example/callback"]);
    bench.host.set_json(PATH, &evil);
    // While the document is fresh the page still works: that is the price of a cache, five minutes at most.
    bench.world.clock.advance(MINUTE * 5);
    let answer = bench
        .world
        .decide(&mut bench.browser, &page, "approve", None)
        .await;
    answer.assert_page(400, "not registered any more");
}

#[tokio::test]
async fn a_document_that_changed_is_written_down_and_what_was_approved_before_is_asked_again() {
    let mut bench = Bench::new().await;
    let tokens = bench.connected().await;
    let since = async |bench: &Bench| {
        let kept = bench
            .world
            .store
            .find_client_document(DocumentKind::Client, URL)
            .await;
        kept.unwrap().unwrap().changed_at
    };
    let before = since(&bench).await;
    bench.world.clock.advance(HOUR * 2);
    bench.connected().await;
    assert_eq!(since(&bench).await, before, "it says the same");
    assert!(
        bench
            .audit(AuditEventKind::ClientDocumentChanged)
            .await
            .is_empty()
    );

    let mut changed = document();
    changed["client_name"] = json!("Somebody else");
    bench.host.set_json(PATH, &changed);
    bench.world.clock.advance(HOUR * 2);
    let page = bench.consent_page().await;
    assert!(page.text.contains("Somebody else"));
    bench.connected().await;
    assert!(since(&bench).await > before);
    let details = bench.audit(AuditEventKind::ClientDocumentChanged).await;
    assert_eq!(details, ["client_name"]);
    // The tokens that were given go on: the consent is bound to its return address, which nobody took away.
    assert_eq!(bench.refreshed(&tokens).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_fetch_that_fails_is_told_in_the_same_words() {
    let bench = Bench::with(
        PUBLIC_URL,
        ServerSettings::default(),
        &[NAME, "other.example"],
    )
    .await;
    let closed = testkit::unused_port().await;
    bench.host.set(
        "/secret",
        Reply::typed("application/json", "{\"canary\":\"c4n4ry\"}"),
    );
    bench.host.set("/text", Reply::typed("text/html", "c4n4ry"));
    bench.host.set(
        "/moved",
        Reply::redirect(302, "https://client.example/c4n4ry"),
    );
    bench.host.set("/error", Reply::status(500));
    let mut told = BTreeSet::new();
    for id in [
        "https://client.example/secret".to_owned(),
        "https://client.example/text".to_owned(),
        "https://client.example/moved".to_owned(),
        "https://client.example/error".to_owned(),
        "https://client.example/nothing".to_owned(),
        format!("https://localhost:{closed}/closed"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/inside".to_owned(),
        "https://no-such-name.invalid/x".to_owned(),
        "https://192.0.2.1:22/ssh".to_owned(),
    ] {
        let page = bench.open(&id).await;
        page.assert_page(503, "could not be read now; try again in a moment");
        let token = bench.world.refresh(&id, "pcr_x").await;
        token.assert_error(503, "temporarily_unavailable", "could not be read now");
        for answer in [page, token] {
            assert!(!answer.text.contains("c4n4ry"), "{id}");
            let reference = answer.header("portcullis-correlation-id");
            // The reference is another one each time, and nothing else differs.
            let text = answer.text.replace(reference, "");
            told.insert((answer.header("retry-after").to_owned(), text));
        }
    }
    assert_eq!(told.len(), 2, "one page and one answer: {told:?}");
    assert!(bench.is_welcome(URL).await, "a good document of that host");
    // What can never be read, or is not wanted here, is told at once, and by no fetch.
    let malformed = bench.open("https://client.example/a/../b").await;
    malformed.assert_page(400, "has a dot segment");
    // What means to be a document is told what is wrong with it.
    let almost = "https://client.example/almost";
    bench
        .host
        .set_json("/almost", &json!({"client_id": almost}));
    let answer = bench.open(almost).await;
    answer.assert_page(400, "redirect_uris is missing");
    let answer = bench.world.refresh(almost, "pcr_x").await;
    answer.assert_error(401, "invalid_client", "redirect_uris is missing");
}

#[tokio::test]
async fn the_log_has_the_reason_why_a_document_could_not_be_read_also_while_its_host_is_left_alone()
{
    let bench = Bench::with(PUBLIC_URL, ServerSettings::default(), &[NAME]).await;
    bench.host.set("/error", Reply::status(500));
    bench.host.set("/text", Reply::typed("text/html", "hello"));
    let server = bench.world.authority.server("todo").unwrap();
    for (id, reason) in [
        ("https://client.example/error", "status 500"),
        ("https://client.example/text", "Content-Type is not JSON"),
        ("https://10.0.0.1/inside", "10.0.0.1"),
    ] {
        for attempt in ["at first", "again at once"] {
            let query = authorize_path(id, &[]);
            let query = query.split_once('?').unwrap().1;
            let parameters = oauth::Parameters::parse(query.as_bytes()).unwrap();
            let refused =
                oauth::authorize::validate(&bench.world.authority, &server, &parameters, None)
                    .await
                    .unwrap_err();
            let cause = refused.error().cause().unwrap();
            assert!(
                cause.contains(id) && cause.contains(reason),
                "{attempt}: {cause}"
            );
        }
    }
}

#[tokio::test]
async fn a_public_authority_asks_nobody_on_this_machine_and_one_on_loopback_may() {
    let public = Bench::with("https://auth.example", ServerSettings::default(), &[NAME]).await;
    let path = authorize_path(URL, &[("resource", Some("https://auth.example/mcp/todo"))]);
    let request = axum::http::Request::get(&path)
        .header("host", "auth.example")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = public.world.send(request).await;
    answer.assert_page(503, "could not be read now");
    let own = "https://auth.example/jwks.json";
    let refused = public.world.authority.client_documents().keys(own, None);
    assert!(refused.await.is_err());
    assert_eq!(public.host.connections(), 0);
    assert!(Bench::new().await.is_welcome(URL).await);
}

#[tokio::test]
async fn hosts_are_allowed_by_whole_labels_and_an_approved_client_in_any_case() {
    let allowed = MetadataDocumentTrust::AllowedHosts(vec!["client.example".into()]);
    let names = [NAME, "evil-client.example", "client.example.evil"];
    let bench = Bench::with(PUBLIC_URL, trusting(allowed), &names).await;
    for evil in [
        "https://evil-client.example/oauth.json",
        "https://client.example.evil/oauth.json",
    ] {
        bench.host.set_json(PATH, &document_at(evil));
        let answer = bench.open(evil).await;
        answer.assert_page(400, "does not accept applications of this host");
    }
    assert_eq!(
        bench.host.connections(),
        0,
        "who is not welcome costs nothing"
    );
    let approved = ClientId::from_text("https://client.example.evil/oauth.json");
    let slug = domain::ServerSlug::parse("todo").unwrap();
    let decide = async |decision| {
        let store = &bench.world.store;
        let now = bench.world.now();
        let decided = oauth::client_trust::decide(store, now, &slug, &approved, decision, None);
        decided.await.unwrap();
    };
    bench.host.set_json(PATH, &document_at(approved.as_str()));
    decide(TrustDecision::Approved).await;
    assert!(bench.is_welcome(approved.as_str()).await);
    decide(TrustDecision::Blocked).await;
    assert!(!bench.is_welcome(approved.as_str()).await);
    bench.host.set_json(PATH, &document());
    assert!(bench.is_welcome(URL).await);
}

#[tokio::test]
async fn a_server_without_documents_fetches_none_and_says_what_to_do_instead() {
    let off = |registration| ServerSettings {
        dynamic_registration: registration,
        ..trusting(MetadataDocumentTrust::Off)
    };
    for (settings, words) in [
        (off(RegistrationMode::Open), "register instead"),
        (off(RegistrationMode::Off), "ask its owner"),
    ] {
        let bench = Bench::with(PUBLIC_URL, settings, &[NAME]).await;
        bench.open(URL).await.assert_page(400, words);
        assert_eq!(bench.host.connections(), 0);
        let metadata = bench
            .world
            .get("/.well-known/oauth-authorization-server/servers/todo")
            .await;
        let flag = &metadata.json()["client_id_metadata_document_supported"];
        assert!(flag.is_null() || flag == false);
    }
}

#[tokio::test]
async fn a_blocked_client_loses_what_it_holds_at_that_server_and_an_approved_one_does_not() {
    for (decision, is_welcome) in [
        (TrustDecision::Approved, true),
        (TrustDecision::Blocked, false),
    ] {
        let mut bench = Bench::new().await;
        let tokens = bench.connected().await;
        let slug = domain::ServerSlug::parse("todo").unwrap();
        let id = ClientId::from_text(URL);
        let now = bench.world.now();
        oauth::client_trust::decide(&bench.world.store, now, &slug, &id, decision, None)
            .await
            .unwrap();
        assert_eq!(bench.is_welcome(URL).await, is_welcome);
        let refreshed = bench.refreshed(&tokens).await;
        assert_eq!(
            refreshed.status == StatusCode::OK,
            is_welcome,
            "{}",
            refreshed.text
        );
        let now = bench.world.now();
        let cut_off = bench.world.store.list_client_cut_offs(now).await.unwrap();
        assert_eq!(cut_off.is_empty(), is_welcome);
    }
}

/// A client that proves itself with a key at its `jwks_uri`.
async fn keyed(key: &AssertionKey) -> Bench {
    let bench = Bench::new().await;
    let mut document = document();
    document["token_endpoint_auth_method"] = json!("private_key_jwt");
    document["jwks_uri"] = json!("https://client.example/jwks.json");
    bench.host.set_json(PATH, &document);
    set_keys(&bench, key, "k1");
    bench
}

fn set_keys(bench: &Bench, key: &AssertionKey, key_id: &str) {
    let mut set = serde_json::to_value(key.jwks()).unwrap();
    set["keys"][0]["kid"] = json!(key_id);
    bench.host.set_json("/jwks.json", &set);
}

async fn redeem(bench: &mut Bench, assertion: Option<&str>) -> Answer {
    let code = bench.world.code(&mut bench.browser, URL).await;
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
        ("client_id", URL),
        ("redirect_uri", CALLBACK),
    ];
    if let Some(assertion) = assertion {
        fields.push(("client_assertion_type", JWT_BEARER));
        fields.push(("client_assertion", assertion));
    }
    bench.world.token(&fields).await
}

fn assertion(bench: &Bench, key: &AssertionKey, id: &str) -> String {
    let now = bench.world.now().unix_seconds();
    key.sign(&json!({
        "iss": URL, "sub": URL, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": id,
    }))
}

#[tokio::test]
async fn a_client_that_says_private_key_jwt_must_prove_itself_with_its_key() {
    let key = AssertionKey::generate();
    let mut bench = keyed(&key).await;
    let good = assertion(&bench, &key, "1");
    let answer = redeem(&mut bench, Some(&good)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let answer = redeem(&mut bench, None).await;
    assert_eq!(answer.json()["error"], "invalid_client");
    let stranger = assertion(&bench, &AssertionKey::generate(), "2");
    let answer = redeem(&mut bench, Some(&stranger)).await;
    assert_eq!(answer.json()["error"], "invalid_client");
    assert_eq!(bench.host.count("/jwks.json"), 1);
}

/// A policy by which everybody may read, and through clients of `client.example` write too.
async fn writing_through_the_host_alone(world: &World) {
    let server = world.authority.server("todo").unwrap();
    let mut policy = server.server.policy.clone();
    let roles = json!([{"id": "rol_reader", "name": "reader", "title": "", "scopes": {"only": "todo:read"}}]);
    policy.roles = serde_json::from_value(roles).unwrap();
    policy.default_role = Some("rol_reader".to_owned());
    let rules = json!([{"id": "rul_1", "effect": "allow", "who": "anyone",
        "client": {"verified_host": NAME}, "what": {"scopes": "todo:write"}}]);
    policy.subject_rules = serde_json::from_value(rules).unwrap();
    let event = world.event(AuditEventKind::PolicyPublished);
    let published = world
        .store
        .publish_policy(&server.server.slug, 1, &policy, event);
    published.await.unwrap();
    world.authority.reload().await.unwrap();
}

/// Whether the client of this token response is proven, and its scopes; asked of the token and of introspection.
async fn proven(world: &World, credential: &NewCredential, tokens: &Value) -> (bool, String) {
    let token = tokens["access_token"].as_str().unwrap();
    let claims = crate::support::claims(token);
    let fields = [
        ("client_id", credential.id.as_str()),
        ("client_secret", credential.secret.expose()),
        ("token", token),
    ];
    let told = world.post_form("/servers/todo/introspect", &fields).await;
    let told = told.json();
    assert_eq!(told["active"], true);
    assert_eq!(told["client_proven"], claims["client_proven"]);
    assert_eq!(told["scope"], claims["scope"]);
    let scope = claims["scope"].as_str().unwrap().to_owned();
    match &claims["client_proven"] {
        Value::Null => (false, scope),
        Value::Bool(true) => (true, scope),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_a_host_is_given_is_had_where_the_code_goes_to_that_host_and_by_no_program_that_names_its_document()
 {
    let mut bench = Bench::new().await;
    writing_through_the_host_alone(&bench.world).await;
    let credential = bench.world.credential("todo").await;
    for (redirect_uri, is_proven, scope) in [
        (CALLBACK, false, "todo:read"),
        (
            "https://client.example/callback",
            true,
            "todo:read todo:write",
        ),
        // The person's approval of the one is none of the other's.
        (CALLBACK, false, "todo:read"),
    ] {
        let changes = [("redirect_uri", Some(redirect_uri))];
        let page = bench
            .world
            .consent_page(&mut bench.browser, URL, &changes)
            .await;
        // What will not be given is said before.
        assert_eq!(page.text.contains("class=\"withheld\""), !is_proven);
        let answer = bench
            .world
            .decide(&mut bench.browser, &page, "approve", None)
            .await;
        let code = answer.returned()["code"].clone();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
            ("client_id", URL),
        ];
        let tokens = bench.world.token(&fields).await;
        assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text);
        let tokens = tokens.json();
        let expected = (is_proven, scope.to_owned());
        let found = proven(&bench.world, &credential, &tokens).await;
        assert_eq!(found, expected, "{redirect_uri}");
        // The refresh token, its repeat, and its successor are of the same client.
        let refreshed = bench.refreshed(&tokens).await.json();
        let repeated = bench.refreshed(&tokens).await.json();
        let again = bench.refreshed(&refreshed).await.json();
        for tokens in [refreshed, repeated, again] {
            let found = proven(&bench.world, &credential, &tokens).await;
            assert_eq!(found, expected, "{redirect_uri}");
        }
    }
}

#[tokio::test]
async fn a_key_in_the_document_proves_the_client_wherever_its_code_goes() {
    let key = AssertionKey::generate();
    let mut bench = keyed(&key).await;
    writing_through_the_host_alone(&bench.world).await;
    let credential = bench.world.credential("todo").await;
    let good = assertion(&bench, &key, "1");
    let tokens = redeem(&mut bench, Some(&good)).await.json();
    let expected = (true, "todo:read todo:write".to_owned());
    assert_eq!(proven(&bench.world, &credential, &tokens).await, expected);
    let again = assertion(&bench, &key, "2");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ("client_id", URL),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", again.as_str()),
    ];
    let refreshed = bench.world.token(&fields).await.json();
    assert_eq!(
        proven(&bench.world, &credential, &refreshed).await,
        expected
    );
}

#[tokio::test]
async fn a_key_that_left_the_key_set_is_refused_when_its_time_is_over_and_the_new_one_works() {
    let (old, new) = (AssertionKey::generate(), AssertionKey::generate());
    let mut bench = keyed(&old).await;
    let first = assertion(&bench, &old, "1");
    assert_eq!(
        redeem(&mut bench, Some(&first)).await.status,
        StatusCode::OK
    );
    set_keys(&bench, &new, "k1");
    bench.world.clock.advance(HOUR);
    let late = assertion(&bench, &old, "2");
    let answer = redeem(&mut bench, Some(&late)).await;
    assert_eq!(answer.json()["error"], "invalid_client", "{}", answer.text);
    let good = assertion(&bench, &new, "3");
    assert_eq!(redeem(&mut bench, Some(&good)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_that_is_not_there_makes_us_look_again_at_most_once_a_minute() {
    let key = AssertionKey::generate();
    let bench = keyed(&key).await;
    let documents = bench.world.authority.client_documents();
    let address = "https://client.example/jwks.json";
    let has = async |key_id: &str| {
        let set = documents.keys(address, Some(key_id)).await.unwrap();
        set.keys[0].kid.as_deref() == Some(key_id)
    };
    assert!(has("k1").await);
    set_keys(&bench, &key, "k2");
    assert!(!has("k2").await);
    assert_eq!(bench.host.count("/jwks.json"), 1);
    bench.world.clock.advance(MINUTE);
    assert!(has("k2").await);
    assert!(!has("k3").await);
    assert_eq!(bench.host.count("/jwks.json"), 2);
}

#[tokio::test]
async fn a_hostile_key_host_costs_bounded_time_and_nobody_elses_keys() {
    let bench = keyed(&AssertionKey::generate()).await;
    let documents = bench.world.authority.client_documents();
    let many =
        json!({"keys": vec![json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"}); 33]});
    bench.host.set_json("/many", &many);
    bench.host.set("/large", Reply::Large { bytes: 1 << 30 });
    bench.host.set("/hang", Reply::Hang);
    bench
        .host
        .set("/html", Reply::typed("text/html", "{\"keys\":[]}"));
    bench.host.set(
        "/private",
        Reply::json(&json!({"keys": [{"kty": "oct", "k": "eA"}]})),
    );
    let started = Instant::now();
    for path in ["/many", "/large", "/html", "/private", "/moved", "/hang"] {
        let address = format!("https://client.example{path}");
        let refused = documents.keys(&address, None).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "temporarily_unavailable", "{path}");
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    for inside in [
        "https://10.0.0.1/jwks.json",
        "https://169.254.169.254/",
        "http://client.example/jwks.json",
    ] {
        assert!(documents.keys(inside, None).await.is_err(), "{inside}");
    }
    let good = documents
        .keys("https://client.example/jwks.json", Some("k1"))
        .await;
    assert_eq!(good.unwrap().keys.len(), 1);
}

/// A picture whose bytes are also text, as the answers here are read.
fn picture(shade: u8) -> Vec<u8> {
    [b"GIF89a\x40\0\x40\0\0\0\0".as_slice(), &[shade]].concat()
}

#[tokio::test]
async fn a_logo_is_shown_from_our_own_copy_and_only_when_it_is_a_picture() {
    for (reply, is_shown) in [
        (Reply::typed("image/gif", picture(1)), true),
        // What its host calls it does not matter, what it is does.
        (Reply::typed("text/html", picture(1)), true),
        (
            Reply::typed(
                "image/svg+xml",
                "<svg xmlns=\"http://www.w3.org/2000/svg\"><script/></svg>",
            ),
            false,
        ),
        (
            Reply::typed("image/gif", "<html><script>1</script></html>"),
            false,
        ),
        (
            Reply::typed("image/gif", [picture(1), vec![0; 64 * 1024]].concat()),
            false,
        ),
        (
            Reply::redirect(302, "https://client.example/real.png"),
            false,
        ),
        (Reply::status(404), false),
    ] {
        let mut bench = Bench::new().await;
        let mut document = document();
        document["logo_uri"] = json!("https://client.example/logo.png");
        bench.host.set_json(PATH, &document);
        bench.host.set("/logo.png", reply.clone());
        bench
            .host
            .set("/real.png", Reply::typed("image/gif", picture(1)));
        let page = bench.consent_page().await;
        assert!(!page.text.contains("client.example/logo.png"), "{reply:?}");
        let address = page.text.split("\"/client-logos/").nth(1);
        let address =
            address.map(|rest| format!("/client-logos/{}", rest.split('"').next().unwrap()));
        assert_eq!(address.is_some(), is_shown, "{reply:?}");
        let Some(address) = address else { continue };
        let logo = bench.world.get(&address).await;
        assert_eq!(logo.status, StatusCode::OK);
        assert_eq!(logo.header("content-type"), "image/gif");
        assert_eq!(logo.header("x-content-type-options"), "nosniff");
        assert!(logo.header("content-security-policy").contains("sandbox"));
    }
}

#[tokio::test]
async fn a_logo_that_changes_has_another_address_and_an_unknown_one_is_a_404() {
    let mut bench = Bench::new().await;
    let mut document = document();
    document["logo_uri"] = json!("https://client.example/logo.png");
    bench.host.set_json(PATH, &document);
    bench
        .host
        .set("/logo.png", Reply::typed("image/gif", picture(1)));
    let first = bench.consent_page().await;
    bench.connected().await;
    bench
        .host
        .set("/logo.png", Reply::typed("image/gif", picture(2)));
    bench.world.clock.advance(HOUR);
    let address = |page: &Answer| {
        let rest = page.text.split("/client-logos/").nth(1).unwrap().to_owned();
        rest.split('"').next().unwrap().to_owned()
    };
    let again = bench.consent_page().await;
    assert_eq!(address(&first), address(&again), "a day is not over");
    bench.world.clock.advance(DAY);
    let later = bench.consent_page().await;
    assert_ne!(address(&first), address(&later));
    for unknown in ["x", "", &"a".repeat(43), "..%2f..%2fetc"] {
        let answer = bench.world.get(&format!("/client-logos/{unknown}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{unknown}");
    }
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart_while_the_host_is_away() {
    let mut bench = Bench::new().await;
    let tokens = bench.connected().await;
    // A second authority on the same store, whose memory is empty and which cannot reach the host.
    let again = oauth::Authority::open(
        oauth::AuthoritySettings {
            public_url: PUBLIC_URL.to_owned(),
            admin_url: None,
            former_origins: Vec::new(),
            authority_id: "test".into(),
            hash_threads: 1,
            registrations_max: 50,
            ca_file: None,
            names: Some(egress::Names::with(|_, _| Some(Vec::new()))),
        },
        bench.world.store.clone(),
        std::sync::Arc::new(bench.world.clock.clone()),
        std::sync::Arc::new(base::OsRandom),
        oauth::MasterKey::from_bytes([7; 32]),
    )
    .await
    .unwrap();
    bench.world.clock.advance(DAY * 30);
    let server = again.server("todo").unwrap();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ("client_id", URL),
    ];
    let body = crate::support::encode(&crate::support::owned(&form));
    let parameters = oauth::Parameters::parse(body.as_bytes()).unwrap();
    let response = oauth::token::token(&again, &server, &parameters, None).await;
    assert!(response.is_ok(), "{:?}", response.err());
}

#[tokio::test]
async fn what_was_fetched_anew_for_an_approved_client_is_kept_and_for_others_is_not() {
    let mut bench = Bench::new().await;
    let tokens = bench.connected().await;
    bench.world.clock.advance(HOUR * 2);
    assert_eq!(bench.refreshed(&tokens).await.status, StatusCode::OK);
    let kept = async |url: &str| {
        let store = &bench.world.store;
        let kept = store.find_client_document(DocumentKind::Client, url).await;
        kept.unwrap().map(|kept| kept.fetched_at)
    };
    assert_eq!(kept(URL).await, Some(bench.world.now()));
    // Whoever says to be a client at the token endpoint writes nothing.
    let stranger = "https://client.example/stranger";
    bench.host.set_json("/stranger", &document_at(stranger));
    let answer = bench.world.refresh(stranger, "pcr_nothing").await;
    assert_eq!(answer.json()["error"], "invalid_grant");
    assert_eq!(bench.host.count("/stranger"), 1);
    assert_eq!(kept(stranger).await, None);
}

#[tokio::test]
async fn an_emptied_or_broken_key_set_wipes_no_good_keys_at_once_and_does_after_its_time() {
    for (reply, hours) in [
        (Reply::json(&json!({"keys": []})), 1),
        (Reply::json(&json!({"keys": [{"kty": "new"}]})), 1),
        (Reply::status(404), 1),
        (Reply::status(500), 24),
        (Reply::typed("text/html", "<h1>Are you human?</h1>"), 24),
        (Reply::Large { bytes: 10 << 20 }, 24),
    ] {
        let bench = keyed(&AssertionKey::generate()).await;
        let documents = bench.world.authority.client_documents();
        let address = "https://client.example/jwks.json";
        assert!(documents.keys(address, Some("k1")).await.is_ok());
        bench.host.set("/jwks.json", reply.clone());
        bench.world.clock.advance(HOUR * hours);
        assert!(
            documents.keys(address, Some("k1")).await.is_ok(),
            "{reply:?}"
        );
        bench.world.clock.advance(MINUTE * 20);
        let gone = documents.keys(address, Some("k1")).await.unwrap_err();
        assert_eq!(gone.code().as_str(), "temporarily_unavailable", "{reply:?}");
    }
}

#[tokio::test]
async fn a_rotation_is_seen_within_a_minute_while_others_ask_for_nonsense() {
    let key = AssertionKey::generate();
    let bench = keyed(&key).await;
    let documents = bench.world.authority.client_documents();
    let address = "https://client.example/jwks.json";
    assert!(documents.keys(address, Some("k1")).await.is_ok());
    set_keys(&bench, &key, "k2");
    bench.world.clock.advance(MINUTE);
    // Key ids that nobody has, and addresses of the same host that nobody knows.
    for number in 0..100 {
        let id = format!("https://client.example/{number}");
        assert!(!bench.is_welcome(&id).await);
    }
    let mut is_seen = false;
    for number in 0..1000 {
        let set = documents
            .keys(address, Some(&number.to_string()))
            .await
            .unwrap();
        is_seen |= set.keys[0].kid.as_deref() == Some("k2");
    }
    assert!(is_seen);
    assert_eq!(bench.host.count("/jwks.json"), 2);
}

#[tokio::test]
async fn a_return_address_on_another_origin_than_the_document_is_shown_and_not_remembered() {
    let mut bench = Bench::new().await;
    let mut document = document();
    document["redirect_uris"] = json!([
        "https://elsewhere.example/callback",
        "https://client.example/callback"
    ]);
    bench.host.set_json(PATH, &document);
    for (address, host, is_asked_again) in [
        (
            "https://elsewhere.example/callback",
            "elsewhere.example",
            true,
        ),
        ("https://client.example/callback", "client.example", false),
    ] {
        let changes = [("redirect_uri", Some(address))];
        let page = bench
            .world
            .consent_page(&mut bench.browser, URL, &changes)
            .await;
        assert!(page.text.contains(host), "{address}");
        let answer = bench
            .world
            .decide(&mut bench.browser, &page, "approve", None)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let path = authorize_path(URL, &changes);
        let again = bench.browser.get(&bench.world, &path).await;
        let asks = again.text.contains("value=\"approve\"");
        assert_eq!(asks, is_asked_again, "{address}: {}", again.text);
    }
}

#[tokio::test]
async fn an_owner_who_wants_to_be_asked_from_now_on_signs_nobody_out_and_a_block_does() {
    let mut bench = Bench::new().await;
    let tokens = bench.connected().await;
    let slug = domain::ServerSlug::parse("todo").unwrap();
    let change = domain::ServerSettingsChange {
        metadata_documents: Some(MetadataDocumentTrust::Ask),
        ..domain::ServerSettingsChange::default()
    };
    let event = bench.world.event(AuditEventKind::ServerChanged);
    let store = bench.world.store.clone();
    store
        .change_server_settings(&slug, change, event)
        .await
        .unwrap();
    bench.world.authority.reload().await.unwrap();
    let refreshed = bench.refreshed(&tokens).await;
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.text);
    let page = bench
        .browser
        .get(&bench.world, &authorize_path(URL, &[]))
        .await;
    assert!(!page.text.contains("value=\"approve\""), "{}", page.text);
    let now = bench.world.now();
    let id = ClientId::from_text(URL);
    oauth::client_trust::decide(&store, now, &slug, &id, TrustDecision::Blocked, None)
        .await
        .unwrap();
    let refused = bench.refreshed(&refreshed.json()).await;
    refused.assert_error(401, "invalid_client", "blocked");
}

#[tokio::test]
async fn a_client_that_nobody_decided_about_waits_and_only_a_form_puts_it_on_the_list() {
    let mut bench = Bench::with(PUBLIC_URL, trusting(MetadataDocumentTrust::Ask), &[NAME]).await;
    let store = bench.world.store.clone();
    let listed = async || store.list_client_trust(None, 10).await.unwrap();
    let path = authorize_path(URL, &[]);
    let page = bench.browser.get(&bench.world, &path).await;
    let signed_in = bench
        .world
        .sign_in(
            &mut bench.browser,
            &page,
            crate::support::EMAIL,
            crate::support::PASSWORD,
        )
        .await;
    let page = bench.browser.get(&bench.world, signed_in.location()).await;
    assert!(!page.text.contains("value=\"approve\""), "{}", page.text);
    assert!(listed().await.is_empty());
    let server = bench.world.authority.server("todo").unwrap();
    let user = store.list_users(None, 1).await.unwrap().remove(0);
    let id = ClientId::from_text(URL);
    for _ in 0..2 {
        oauth::client_trust::ask(&bench.world.authority, &server, &id, &user.id)
            .await
            .unwrap();
    }
    let waiting = listed().await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].decision, TrustDecision::Waiting);
    assert_eq!(bench.audit(AuditEventKind::ClientAskedFor).await.len(), 1);
    // A client that waits gets no token either.
    let answer = bench.world.refresh(URL, "pcr_nothing").await;
    assert_ne!(answer.status, StatusCode::OK);
    let now = bench.world.now();
    let slug = &server.server.slug;
    oauth::client_trust::decide(&store, now, slug, &id, TrustDecision::Approved, None)
        .await
        .unwrap();
    bench.connected().await;
}

#[tokio::test]
async fn an_approval_that_was_remembered_counts_no_more_when_the_document_changed() {
    for (name, is_asked_again) in [("Example", false), ("Somebody else", true)] {
        let mut bench = Bench::new().await;
        let changes = [("redirect_uri", Some("https://client.example/callback"))];
        let page = bench
            .world
            .consent_page(&mut bench.browser, URL, &changes)
            .await;
        let answer = bench
            .world
            .decide(&mut bench.browser, &page, "approve", None)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let mut document = document();
        document["client_name"] = json!(name);
        bench.host.set_json(PATH, &document);
        bench.world.clock.advance(HOUR * 2);
        let path = authorize_path(URL, &changes);
        let again = bench.browser.get(&bench.world, &path).await;
        let asks = again.text.contains("value=\"approve\"");
        assert_eq!(asks, is_asked_again, "{name}: {}", again.text);
    }
}
