//! The doctor signs in at our own authority, as a person and as a machine, and finds nothing.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base::{Clock as _, Secret, SystemClock};
use common::{EMAIL, Home, PASSWORD};
use doctor::signed_in::{Browser, BrowserSignIn, Client, SignIn, Visit};
use doctor::{Plan, Report, Section, examine};
use portcullis_cli::{Stack, UpOptions};
use testkit::person::Person;
use testkit::{Connection, MovableClock};
use url::Url;

/// A person who signs in and approves whatever they are asked.
#[derive(Debug, Clone, Default)]
struct Alice {
    said: Arc<Mutex<Vec<String>>>,
    /// The authority's clock, which goes on while the doctor says that it waits.
    clock: Option<Arc<MovableClock>>,
}

#[async_trait]
impl Browser for Alice {
    async fn listen(&self) -> Result<Box<dyn Visit>, String> {
        Ok(Box::new(Opened))
    }

    fn say(&self, line: &str) {
        self.said.lock().unwrap().push(line.to_owned());
        if let Some(clock) = self.clock.as_ref().filter(|_| line.starts_with("Waiting")) {
            clock.advance(Duration::from_secs(65));
        }
    }
}

struct Opened;

#[async_trait]
impl Visit for Opened {
    fn redirect_uri(&self) -> String {
        testkit::person::REDIRECT_URI.to_owned()
    }

    async fn open(
        self: Box<Self>,
        authorize: &Url,
        _: &str,
    ) -> Result<Vec<(String, String)>, String> {
        let place = format!("localhost:{}", authorize.port().unwrap());
        let mut web = Connection::open(&place).await.unwrap();
        let back = Person::visit(&mut web, authorize, EMAIL, PASSWORD).await;
        let back = back.map_err(|error| error.to_string())?;
        Ok(back.query_pairs().into_owned().collect())
    }
}

async fn examined(url: &str, sign_in: SignIn) -> Report {
    let mut plan = Plan::new(url);
    plan.sign_in = sign_in;
    examine(plan).await.unwrap()
}

/// What was found, and what of the signed-in part was not looked at.
fn told(report: &Report) -> (Vec<String>, Vec<String>) {
    let findings = report
        .findings
        .iter()
        .map(|finding| format!("{}: {}: {}", finding.flaw.id, finding.title, finding.detail))
        .collect();
    let open = report.not_examined.iter();
    let open = open
        .filter(|one| one.section == Section::SignedIn)
        .map(|one| one.why.clone())
        .collect();
    (findings, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_person_at_our_own_authority_it_looks_at_everything_and_finds_nothing() {
    let home = Home::new();
    let clock = Arc::new(MovableClock::at(SystemClock.now()));
    let stack = Stack::start(UpOptions {
        clock: clock.clone(),
        ..UpOptions::new(home.data())
    })
    .await
    .unwrap();
    home.add_user().await;
    let alice = Alice {
        clock: Some(clock),
        ..Alice::default()
    };
    let sign_in = SignIn::Browser(BrowserSignIn {
        browser: Arc::new(alice.clone()),
        client: None,
        reuse_after: Some(Duration::from_millis(50)),
    });
    let report = examined(&stack.mcp_url, sign_in).await;
    let (findings, open) = told(&report);
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(open, Vec::<String>::new());
    let well: Vec<&str> = report
        .well
        .iter()
        .filter(|well| well.section == Section::SignedIn)
        .map(|well| well.what.as_str())
        .collect();
    let mut expected = vec![
        "state and iss come back as they must",
        "the access token's issuer, audience, subject, expiry and signature",
        "the MCP server takes the token",
        "refresh: with and without resource, with scope, and five at once",
        "a call with too little scope is told what more is needed",
        "a replaced refresh token is refused later",
        "the MCP server feels the end of a session",
    ];
    if doctor::Flaw::by_id("code-replay-accepted").is_some() {
        expected.extend([
            "state and iss come back as they must",
            "a code is good once",
        ]);
    }
    assert_eq!(well, expected);
    // No secret stands in what may be shown to anybody.
    let shown = format!("{report:?}{}", serde_json::to_string(&report).unwrap());
    assert!(!shown.contains("eyJhbGciOi"), "{shown}");
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_machine_at_our_own_authority_it_finds_nothing() {
    let home = Home::new();
    let stack = home.stack().await;
    let add = ["clients", "add", "--name", "Nightly", "--secret"];
    let scopes = [
        "--service-scope",
        "todo:read",
        "--service-scope",
        "todo:write",
    ];
    let added = home.run(&[&add[..], &scopes].concat()).await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    let mut lines = added.stdout.lines();
    let (id, secret) = (lines.next().unwrap(), lines.next().unwrap());
    let client = |secret: &str| {
        SignIn::ClientCredentials(Client {
            id: id.to_owned(),
            secret: Some(Secret::new(secret.to_owned())),
        })
    };
    let (findings, open) = told(&examined(&stack.mcp_url, client(secret)).await);
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(open, Vec::<String>::new());

    let (findings, _) = told(&examined(&stack.mcp_url, client("another")).await);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0].starts_with("client-credentials-refused: "),
        "{findings:?}"
    );
    stack.shutdown().await;
}
