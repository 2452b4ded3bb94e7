//! The signed-in part against servers with one flaw each: it names that flaw and no other.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::Secret;
use portcullis_doctor::signed_in::{Browser, BrowserSignIn, SignIn, Visit};
use portcullis_doctor::{Flaw, Plan, Report, Section, examine};
use testkit::broken;
use tokio::sync::Semaphore;
use url::Url;

/// What a person does in the browser.
#[derive(Debug, Clone, Copy)]
enum Person {
    SaysYes,
    StaysAway,
}

#[async_trait]
impl Browser for Person {
    async fn listen(&self) -> Result<Box<dyn Visit>, String> {
        Ok(Box::new(*self))
    }

    fn say(&self, _: &str) {}
}

#[async_trait]
impl Visit for Person {
    fn redirect_uri(&self) -> String {
        "http://127.0.0.1:9/callback".to_owned()
    }

    async fn open(
        self: Box<Self>,
        authorize: &Url,
        _: &str,
    ) -> Result<Vec<(String, String)>, String> {
        if matches!(*self, Self::StaysAway) {
            return Err("nobody came back from the browser".to_owned());
        }
        let back = broken::approve(authorize.as_str())
            .await
            .map_err(|error| error.to_string())?;
        let back = Url::parse(&back).unwrap();
        Ok(back.query_pairs().into_owned().collect())
    }
}

fn person(person: Person) -> SignIn {
    SignIn::Browser(BrowserSignIn {
        browser: Arc::new(person),
        client: None,
        reuse_after: Some(Duration::from_millis(20)),
    })
}

async fn examined(url: &str, sign_in: SignIn) -> Report {
    let mut plan = Plan::new(url);
    plan.sign_in = sign_in;
    examine(plan).await.unwrap()
}

fn found(report: &Report) -> Vec<&'static str> {
    let findings = report.findings.iter();
    findings.map(|finding| finding.flaw.id).collect()
}

/// What of this part was not looked at.
fn open(report: &Report) -> String {
    let open = report.not_examined.iter();
    let open = open.filter(|one| one.section == Section::SignedIn);
    open.map(|one| one.why.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_well_has_no_finding_and_everything_is_looked_at() {
    let server = broken::start_well().await;
    let report = examined(server.url(), person(Person::SaysYes)).await;
    assert_eq!(found(&report), Vec::<&str>::new(), "{:#?}", report.findings);
    assert_eq!(open(&report), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flaw_of_this_part_is_named_and_nothing_else() {
    // Only a client with a secret meets it, and the fixture knows none.
    let without_a_server = ["client-credentials-refused"];
    let of_this_part: Vec<Flaw> = Flaw::all()
        .filter(|flaw| flaw.section == Section::SignedIn)
        .filter(|flaw| !without_a_server.contains(&flaw.id))
        .collect();
    assert!(of_this_part.len() > 30, "{}", of_this_part.len());
    let at_once = Arc::new(Semaphore::new(6));
    let examined = of_this_part.into_iter().map(|flaw| {
        let at_once = Arc::clone(&at_once);
        tokio::spawn(async move {
            let _place = at_once.acquire().await.unwrap();
            let server = broken::start(flaw.id).await;
            let report = examined(server.url(), person(Person::SaysYes)).await;
            (found(&report) != [flaw.id])
                .then(|| format!("{}: {:?}; open: {}", flaw.id, found(&report), open(&report)))
        })
    });
    let mut wrong = Vec::new();
    for one in examined.collect::<Vec<_>>() {
        wrong.extend(one.await.unwrap());
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_given_is_looked_at_and_what_it_does_not_show_is_said() {
    let server = broken::start_well().await;
    let token = |token: String| SignIn::Token(Secret::new(token));
    let report = examined(server.url(), token(server.access_token())).await;
    assert_eq!(found(&report), Vec::<&str>::new(), "{:#?}", report.findings);
    assert!(open(&report).contains("--sign-in"), "{}", open(&report));

    let mut old = server.claims();
    old["exp"] = 1_700_000_000.into();
    let report = examined(server.url(), token(server.sign(&old))).await;
    assert!(!found(&report).contains(&"accepted-then-refused"));
    assert!(open(&report).contains("has ended"), "{}", open(&report));

    let report = examined(server.url(), token("opaque-and-unknown".to_owned())).await;
    assert!(
        found(&report).contains(&"accepted-then-refused"),
        "{:?}",
        found(&report)
    );
    assert!(report.signed_in.unwrap().lines[0].contains("opaque"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_stays_away_is_no_flaw_of_the_server() {
    let server = broken::start_well().await;
    let report = examined(server.url(), person(Person::StaysAway)).await;
    assert_eq!(found(&report), Vec::<&str>::new(), "{:#?}", report.findings);
    assert!(
        open(&report).contains("nobody came back"),
        "{}",
        open(&report)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_code_or_verifier_stands_in_what_may_be_shown() {
    let server = broken::start_well().await;
    let report = examined(server.url(), person(Person::SaysYes)).await;
    let mut seen = 0;
    for evidence in &report.exchanges {
        let shown = serde_json::to_string(evidence).unwrap();
        assert!(!shown.contains("eyJhbGciOi"), "{shown}");
        let texts = [&evidence.request_body, &evidence.body];
        for text in texts {
            for name in [
                "code=",
                "code_verifier=",
                "refresh_token=",
                "\"refresh_token\":\"",
            ] {
                for (at, _) in text.match_indices(name) {
                    let value = &text[at + name.len()..];
                    assert!(value.starts_with("[redacted"), "{name}: {text}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}
