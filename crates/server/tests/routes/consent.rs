//! What a person is asked, when they are not asked, and what becomes of the answer.

use std::time::Duration;

use base::Digest;
use domain::{ServerSettings, WithheldReason};
use http::StatusCode;
use serde_json::json;
use testkit::DocumentHost;

use crate::support::{
    Answer, Browser, CALLBACK, EMAIL, PASSWORD, PUBLIC_URL, World, authorize_path, owned,
};

const CLAUDE: &str = "https://claude.ai/oauth/client.json";
const CLAUDE_CALLBACK: &str = "https://claude.ai/api/mcp/auth_callback";

/// A world with Claude's metadata document, and the host that serves it.
pub async fn with_claude(settings: ServerSettings) -> (World, DocumentHost) {
    let host = DocumentHost::start_as(&["claude.ai"]).await;
    host.set_json("/oauth/client.json", &document("Claude"));
    let world = World::with_documents(PUBLIC_URL, settings, Some((&host, &["claude.ai"]))).await;
    world.add_alice().await;
    (world, host)
}

fn document(name: &str) -> serde_json::Value {
    json!({
        "client_id": CLAUDE,
        "client_name": name,
        "redirect_uris": [
            CLAUDE_CALLBACK,
            "https://claude.com/api/mcp/auth_callback",
            "http://localhost/callback",
        ],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    })
}

fn claude(changes: &[(&str, Option<&str>)]) -> String {
    let mut all = vec![("redirect_uri", Some(CLAUDE_CALLBACK))];
    all.extend_from_slice(changes);
    authorize_path(CLAUDE, &all)
}

/// What a page of the authorization endpoint asks for.
fn kind(page: &Answer) -> &'static str {
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    if page.text.contains("name=\"password\"") {
        "sign-in"
    } else if page.text.contains("value=\"continue\"") {
        "goes on"
    } else if page.text.contains("value=\"approve\"") {
        "asks"
    } else if page.text.contains("owner") {
        "waits"
    } else {
        panic!("neither: {}", page.text)
    }
}

async fn sign_in(world: &World, browser: &mut Browser, email: &str) {
    let page = browser.get(world, "/sign-in").await;
    let fields = owned(&[
        ("csrf", page.input("csrf").as_str()),
        ("email", email),
        ("password", PASSWORD),
    ]);
    let answer = browser.post(world, "/sign-in", &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
}

async fn go_on(world: &World, browser: &mut Browser, page: &Answer) -> Answer {
    let fields = owned(&[
        ("csrf", page.input("csrf").as_str()),
        ("request", page.input("request").as_str()),
        ("decision", "continue"),
    ]);
    browser
        .post(world, "/servers/todo/authorize", &fields)
        .await
}

#[tokio::test]
async fn a_client_that_its_https_host_proves_is_asked_once_and_goes_on_by_itself_after_that() {
    let (world, _host) = with_claude(ServerSettings::default()).await;
    let mut browser = Browser::default();
    sign_in(&world, &mut browser, EMAIL).await;
    let page = browser.get(&world, &claude(&[])).await;
    assert_eq!(kind(&page), "asks");
    assert!(page.text.contains(">Verified<") && page.text.contains(">claude.ai<"));
    let csp = page.header("content-security-policy");
    assert!(!csp.contains("script-src"), "{csp}");
    world.decide(&mut browser, &page, "approve", None).await;

    let before = world.audit_kinds().await.len();
    let page = browser.get(&world, &claude(&[])).await;
    assert_eq!(kind(&page), "goes on");
    let again = browser.get(&world, &claude(&[])).await;
    assert_eq!(kind(&again), "goes on");
    assert_eq!(
        world.audit_kinds().await.len(),
        before,
        "nothing is written"
    );
    let csp = page.header("content-security-policy");
    assert!(csp.contains("default-src 'none'; script-src 'self';") && !csp.contains("unsafe"));

    let answer = go_on(&world, &mut browser, &page).await;
    let code = answer.returned()["code"].clone();
    let tokens = world
        .token(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", crate::support::VERIFIER),
            ("client_id", CLAUDE),
            ("redirect_uri", CLAUDE_CALLBACK),
        ])
        .await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text);
    assert_eq!(
        tokens.json()["scope"],
        "offline_access todo:read todo:write"
    );
    // The tab beside it has its own request and its own code.
    let other = go_on(&world, &mut browser, &again).await;
    assert_ne!(other.returned()["code"], code);
}

#[tokio::test]
async fn whatever_grew_or_differs_is_asked_again_and_the_same_is_not() {
    let (world, host) = with_claude(ServerSettings::default()).await;
    world.add_user("bob@example.com").await;
    let mut browser = Browser::default();
    sign_in(&world, &mut browser, EMAIL).await;
    let page = browser.get(&world, &claude(&[])).await;
    world.decide(&mut browser, &page, "approve", None).await;

    let asked_as = async |browser: &mut Browser, changes: &[(&str, Option<&str>)]| {
        kind(&browser.get(&world, &claude(changes)).await)
    };
    world.clock.advance(Duration::from_secs(1));
    let wider = Some("todo:read todo:write todo:delete");
    for (changes, expected) in [
        (&[][..], "goes on"),
        (&[("scope", Some("todo:read"))], "goes on"),
        (&[("scope", wider)], "asks"),
        (&[("prompt", Some("consent"))], "asks"),
        (&[("prompt", Some("select_account"))], "asks"),
        (&[("prompt", Some("login"))], "sign-in"),
        (&[("prompt", Some("login consent"))], "sign-in"),
        (&[("prompt", Some("create"))], "goes on"),
        (&[("login_hint", Some(EMAIL))], "goes on"),
        (&[("login_hint", Some("bob@example.com"))], "asks"),
        (&[("login_hint", Some("a nickname"))], "goes on"),
        // Approved there it may be a hundred times: another host, or any program, receives the answer.
        (
            &[(
                "redirect_uri",
                Some("https://claude.com/api/mcp/auth_callback"),
            )],
            "asks",
        ),
        (
            &[("redirect_uri", Some("http://localhost:1/callback"))],
            "asks",
        ),
    ] {
        assert_eq!(
            asked_as(&mut browser, changes).await,
            expected,
            "{changes:?}"
        );
    }
    let elsewhere = [("redirect_uri", Some("http://localhost:1/callback"))];
    let page = browser.get(&world, &claude(&elsewhere)).await;
    world.decide(&mut browser, &page, "approve", None).await;
    let page = browser.get(&world, &claude(&elsewhere)).await;
    assert_eq!(kind(&page), "asks");
    assert!(page.text.contains("Unverified") && page.text.contains("Allowed before"));

    let mut bob = Browser::default();
    sign_in(&world, &mut bob, "bob@example.com").await;
    assert_eq!(asked_as(&mut bob, &[]).await, "asks");

    // The document says something else than what was approved.
    world.clock.advance(Duration::from_secs(8 * 24 * 3600));
    let mut changed = document("Claude, renewed");
    changed["redirect_uris"] = json!([CLAUDE_CALLBACK, "https://claude.ai/other"]);
    host.set_json("/oauth/client.json", &changed);
    assert_eq!(asked_as(&mut browser, &[]).await, "asks");
}

#[tokio::test]
async fn a_client_that_nothing_proves_is_asked_about_each_time() {
    let world = World::new().await;
    world.add_alice().await;
    let mut browser = Browser::default();
    sign_in(&world, &mut browser, EMAIL).await;
    let uris = [
        "https://somebody.example/cb",
        "http://127.0.0.1:1/cb",
        "cursor://anysphere.cursor-mcp/oauth/callback",
    ];
    for uri in uris {
        let body = json!({"redirect_uris": [uri], "client_name": "Claude"});
        let registered = world.post_json("/servers/todo/register", &body).await;
        let client = registered.json()["client_id"].as_str().unwrap().to_owned();
        let path = authorize_path(&client, &[("redirect_uri", Some(uri))]);
        for _ in 0..2 {
            let page = browser.get(&world, &path).await;
            assert_eq!(kind(&page), "asks", "{uri}");
            world.decide(&mut browser, &page, "approve", None).await;
            // A form that claims otherwise is asked again.
            let page = browser.get(&world, &path).await;
            let answer = go_on(&world, &mut browser, &page).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER);
            assert!(answer.location().contains("authorize?request="));
        }
    }
    // The accepted twin: the owner added it, and its host alone receives the answer.
    let by_hand = world
        .add_client(&["https://intranet.example/cb", "http://127.0.0.1:1/cb"])
        .await;
    for (uri, then) in [
        ("https://intranet.example/cb", "goes on"),
        ("http://127.0.0.1:1/cb", "asks"),
    ] {
        let path = authorize_path(by_hand.id.as_str(), &[("redirect_uri", Some(uri))]);
        let page = browser.get(&world, &path).await;
        assert!(page.text.contains("Added by the owner"));
        world.decide(&mut browser, &page, "approve", None).await;
        assert_eq!(kind(&browser.get(&world, &path).await), then, "{uri}");
    }
}

#[tokio::test]
async fn prompt_none_succeeds_where_nothing_has_to_be_asked_and_nowhere_else() {
    let (world, _host) = with_claude(ServerSettings::default()).await;
    let mut browser = Browser::default();
    let none = claude(&[("prompt", Some("none"))]);
    // Nobody is signed in.
    let answer = browser.get(&world, &none).await;
    assert_eq!(answer.returned()["error"], "login_required");
    assert!(answer.location().starts_with(CLAUDE_CALLBACK));
    sign_in(&world, &mut browser, EMAIL).await;
    let answer = browser.get(&world, &none).await;
    assert_eq!(answer.returned()["error"], "consent_required");
    let page = browser.get(&world, &claude(&[])).await;
    world.decide(&mut browser, &page, "approve", None).await;
    let page = browser.get(&world, &none).await;
    assert_eq!(kind(&page), "goes on");
    let answer = go_on(&world, &mut browser, &page).await;
    assert!(answer.returned().contains_key("code"));
    // Each thing that would need the person.
    for (more, error) in [
        (("scope", Some("todo:delete")), "consent_required"),
        (("max_age", Some("0")), "login_required"),
        (("login_hint", Some("bob@example.com")), "consent_required"),
    ] {
        world.clock.advance(Duration::from_secs(1));
        let path = claude(&[("prompt", Some("none")), more]);
        let answer = browser.get(&world, &path).await;
        assert_eq!(answer.returned()["error"], error, "{more:?}");
    }
    let path = claude(&[("prompt", Some("none consent"))]);
    let answer = browser.get(&world, &path).await;
    assert_eq!(answer.returned()["error"], "invalid_request");
}

#[tokio::test]
async fn a_sign_in_as_fresh_as_asked_is_had_and_the_hint_fills_the_form() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    sign_in(&world, &mut browser, EMAIL).await;
    // In the very same moment it is fresh enough; later it is not.
    let zero = authorize_path(&client, &[("max_age", Some("0"))]);
    assert_eq!(kind(&browser.get(&world, &zero).await), "asks");
    world.clock.advance(Duration::from_secs(1));
    let hint = [("max_age", Some("0")), ("login_hint", Some(EMAIL))];
    let page = browser.get(&world, &authorize_path(&client, &hint)).await;
    assert_eq!(kind(&page), "sign-in");
    assert!(page.text.contains(&format!("value=\"{EMAIL}\"")));
    let answer = world.sign_in(&mut browser, &page, EMAIL, PASSWORD).await;
    let page = browser.get(&world, answer.location()).await;
    assert_eq!(kind(&page), "asks");
    world.clock.advance(Duration::from_secs(1));
    let login = authorize_path(&client, &[("prompt", Some("login"))]);
    let page = browser.get(&world, &login).await;
    let answer = world.sign_in(&mut browser, &page, EMAIL, PASSWORD).await;
    let page = browser.get(&world, answer.location()).await;
    assert_eq!(kind(&page), "asks");
}

#[tokio::test]
async fn the_page_says_whom_the_client_expected_and_keeps_quiet_when_it_is_the_same() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    for (hint, told) in [("bob@example.com", true), ("ALICE@example.com", false)] {
        let page = world
            .consent_page(&mut browser, &client, &[("login_hint", Some(hint))])
            .await;
        assert_eq!(page.text.contains("The app expected"), told, "{hint}");
    }
}

#[tokio::test]
async fn what_was_asked_for_and_not_given_is_kept_with_its_reason() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    let scope = Some("todo:read todo:write claudeai offline_access");
    let page = world
        .consent_page(&mut browser, &client, &[("scope", scope)])
        .await;
    let answer = world
        .decide(&mut browser, &page, "approve", Some(&["todo:read"]))
        .await;
    let code = answer.returned()["code"].clone();
    let found = world.store.find_code(Digest::of(&code)).await.unwrap();
    let withheld: Vec<_> = found
        .unwrap()
        .code
        .withheld
        .into_iter()
        .map(|withheld| (withheld.scope.to_string(), withheld.reason))
        .collect();
    assert_eq!(
        withheld,
        [
            ("todo:write".to_owned(), WithheldReason::NotApproved),
            ("claudeai".to_owned(), WithheldReason::Unknown),
        ]
    );
}

#[tokio::test]
async fn who_carries_the_code_by_hand_is_sent_nowhere_and_has_five_minutes() {
    let world = World::new().await;
    world.add_alice().await;
    let client = world.register().await;
    let mut browser = Browser::default();
    for (by_hand, seconds, accepted) in [
        (true, 299, true),
        (true, 300, false),
        (false, 59, true),
        (false, 60, false),
    ] {
        let page = world.consent_page(&mut browser, &client, &[]).await;
        let mut fields = owned(&[
            ("csrf", page.input("csrf").as_str()),
            ("request", page.input("request").as_str()),
            ("decision", "approve"),
            ("scope", "todo:read"),
        ]);
        if by_hand {
            fields.push(("return".to_owned(), "by-hand".to_owned()));
        }
        let answer = browser
            .post(&world, "/servers/todo/authorize", &fields)
            .await;
        assert_eq!(answer.text.contains("http-equiv=\"refresh\""), !by_hand);
        assert!(answer.text.contains(&format!("{CALLBACK}?code=pcc_")));
        let (_, code) = answer.text.split_once("<code>pcc_").unwrap();
        let code = format!("pcc_{}", code.split('<').next().unwrap());
        world.clock.advance(Duration::from_secs(seconds));
        let tokens = world.exchange(&client, &code).await;
        assert_eq!(
            tokens.status == StatusCode::OK,
            accepted,
            "{by_hand} {seconds}"
        );
    }
}

#[tokio::test]
async fn what_a_person_unticks_or_denies_later_is_not_given_by_itself_the_next_time() {
    let (world, _host) = with_claude(ServerSettings::default()).await;
    let mut browser = Browser::default();
    sign_in(&world, &mut browser, EMAIL).await;
    let page = browser.get(&world, &claude(&[])).await;
    world.decide(&mut browser, &page, "approve", None).await;
    let anew = claude(&[("prompt", Some("consent"))]);

    // Asked again and left as it was: remembered as before.
    let page = browser.get(&world, &anew).await;
    world.decide(&mut browser, &page, "approve", None).await;
    assert_eq!(kind(&browser.get(&world, &claude(&[])).await), "goes on");

    // Asked again and narrowed: the rest is not given behind the person's back.
    let page = browser.get(&world, &anew).await;
    let ticked: &[&str] = &["todo:read"];
    world
        .decide(&mut browser, &page, "approve", Some(ticked))
        .await;
    assert_eq!(kind(&browser.get(&world, &claude(&[])).await), "asks");
    let narrow = claude(&[("scope", Some("todo:read"))]);
    assert_eq!(kind(&browser.get(&world, &narrow).await), "goes on");

    // Asked again about the narrow part and denied: a no is not a yes the next time.
    let narrow_anew = claude(&[("scope", Some("todo:read")), ("prompt", Some("consent"))]);
    let page = browser.get(&world, &narrow_anew).await;
    world.decide(&mut browser, &page, "deny", None).await;
    assert_eq!(kind(&browser.get(&world, &narrow).await), "asks");
}
