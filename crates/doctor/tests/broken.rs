//! Each server with one flaw is told exactly that flaw, the one without is told none, and whatever a server does costs
//! bounded time and memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base::Secret;
use portcullis_doctor::attack::Materials;
use portcullis_doctor::signed_in::{Browser, BrowserSignIn, SignIn, Visit};
use portcullis_doctor::{Flaw, Limits, Plan, Report, Section, examine, persona};
use testkit::broken::{self, BrokenServer};
use tokio::sync::Semaphore;
use url::Url;

/// Most of the time of one is waiting.
const AT_ONCE: usize = 12;

/// Ids that begin a person's session.
const SIGNED_IN: [&str; 1] = ["code-replay-accepted"];

/// A person who says yes to everything.
#[derive(Debug)]
struct Robot;

struct Tab;

#[async_trait]
impl Browser for Robot {
    async fn listen(&self) -> Result<Box<dyn Visit>, String> {
        Ok(Box::new(Tab))
    }

    fn say(&self, _: &str) {}
}

#[async_trait]
impl Visit for Tab {
    fn redirect_uri(&self) -> String {
        "http://127.0.0.1:49152/callback".to_owned()
    }

    async fn open(
        self: Box<Self>,
        authorize: &Url,
        _: &str,
    ) -> Result<Vec<(String, String)>, String> {
        let back = broken::approve(authorize.as_str())
            .await
            .map_err(|error| error.to_string())?;
        let back = Url::parse(&back).map_err(|error| error.to_string())?;
        Ok(back.query_pairs().into_owned().collect())
    }
}

fn plan(server: &BrokenServer, signs_in: bool, folder: &tempfile::TempDir) -> Plan {
    let mut plan = Plan::new(server.url());
    if let Some(pem) = server.ca_pem() {
        let path = folder.path().join(format!("{:p}.pem", server));
        std::fs::write(&path, pem).expect("the folder can be written");
        plan.ca_file = Some(path);
    }
    plan.limits = Limits {
        answer: Duration::from_secs(6),
        ..Limits::default()
    };
    plan.attack_materials = Materials {
        signing_key_pem: Some(Secret::new(server.signing_key_pem())),
        ..Materials::default()
    };
    if signs_in {
        plan.sign_in = SignIn::Browser(BrowserSignIn {
            browser: Arc::new(Robot),
            client: None,
            reuse_after: Some(Duration::from_millis(10)),
        });
    }
    plan
}

/// What of a title is the same in every run.
fn steady(title: &str) -> String {
    let mut out = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("127.0.0.1:") {
        out.push_str(before);
        out.push_str("127.0.0.1:PORT");
        rest = after.trim_start_matches(|one: char| one.is_ascii_digit());
    }
    out.push_str(rest);
    match out.split_once(" took ") {
        Some((before, _)) => format!("{before} took long"),
        None => out,
    }
}

async fn examined(flaw: Option<&str>) -> Report {
    let folder = tempfile::tempdir().expect("a folder");
    let server = match flaw {
        Some(flaw) => broken::start(flaw).await,
        None => broken::start_well().await,
    };
    let signs_in = flaw.is_none_or(|flaw| {
        SIGNED_IN.contains(&flaw)
            || Flaw::by_id(flaw).is_some_and(|flaw| flaw.section == Section::SignedIn)
    });
    let mut plan = plan(&server, signs_in, &folder);
    let is_of_client = flaw
        .is_none_or(|flaw| Flaw::by_id(flaw).is_some_and(|flaw| flaw.section == Section::Personas));
    if is_of_client {
        let clients = persona::choose("all").expect("all are known");
        plan.personas = clients.iter().map(|client| client.id.clone()).collect();
    }
    examine(plan).await.expect("the plan is good")
}

fn findings(report: &Report) -> Vec<(&'static str, String)> {
    report
        .findings
        .iter()
        .map(|finding| (finding.flaw.id, steady(&finding.title)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_without_a_flaw_has_no_finding_and_everything_was_looked_at() {
    let report = examined(None).await;
    assert_eq!(findings(&report), [], "{:#?}", report.findings);
    assert_eq!(report.not_examined, []);
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_server_is_told_exactly_its_flaw() {
    let only = std::env::var("PORTCULLIS_BROKEN").unwrap_or_default();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let begun = Instant::now();
    let mut all = Vec::new();
    for flaw in broken::flaws() {
        if !only.is_empty() && !only.split(',').any(|one| one == flaw) {
            continue;
        }
        let places = Arc::clone(&places);
        all.push(tokio::spawn(async move {
            let _place = places.acquire().await.expect("never closed");
            (flaw, examined(Some(flaw)).await)
        }));
    }
    let mut wrong = Vec::new();
    let mut table = BTreeMap::new();
    for one in all {
        let (flaw, report) = one.await.expect("no examination panics");
        let found = findings(&report);
        match &found[..] {
            [(id, title)] if *id == flaw => {
                table.insert(flaw, title.clone());
            }
            _ => wrong.push(format!(
                "{flaw}: {found:?}; not examined: {:?}",
                report.not_examined
            )),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        begun.elapsed() < Duration::from_secs(120),
        "{:?}",
        begun.elapsed()
    );
    if only.is_empty() {
        assert!(table.len() >= 100, "{}", table.len());
        let lines: Vec<String> = table
            .iter()
            .map(|(flaw, title)| format!("{flaw}: {title}"))
            .collect();
        insta::assert_snapshot!("broken", lines.join("\n"));
    }
}

/// A flaw that nothing shows is one that nobody knows to be found.
#[test]
fn every_flaw_of_the_doctor_has_a_server_or_a_reason() {
    let reasons = BTreeMap::from([
        (
            "address-not-public",
            "only a name outside this machine has such an address",
        ),
        (
            "asm-needs-own-authority",
            "the host of somebody else would be asked",
        ),
        (
            "client-credentials-refused",
            "the server knows no client with a secret",
        ),
        (
            "http-not-loopback",
            "only a server outside this machine has it",
        ),
        ("issuer-http", "only an issuer outside this machine has it"),
    ]);
    let servers = broken::flaws();
    let mut without: Vec<&str> = Flaw::all()
        .map(|flaw| flaw.id)
        .filter(|id| !servers.contains(id))
        .collect();
    without.sort_unstable();
    let expected: Vec<&str> = reasons.into_keys().collect();
    assert_eq!(without, expected);
    for server in servers {
        assert!(Flaw::by_id(server).is_some(), "{server} is no flaw");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hangs_floods_huge_bodies_and_redirects_without_end_cost_little() {
    for flaw in ["hangs", "floods", "huge-body", "mcp-redirect-loop"] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = broken::start(flaw).await;
        let mut plan = plan(&server, false, &folder);
        plan.limits.answer = Duration::from_secs(1);
        plan.limits.total = Duration::from_secs(10);
        let begun = Instant::now();
        let report = examine(plan).await.expect("the plan is good");
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "{flaw}: {:?}",
            begun.elapsed()
        );
        assert_eq!(
            report.findings.first().map(|finding| finding.flaw.id),
            Some(flaw)
        );
        assert!(report.requests <= 400, "{flaw}: {}", report.requests);
        // What is read, and what lay in buffers on the way when the connection was closed.
        let requests = u64::from(report.requests);
        assert!(
            server.bytes_flooded() < requests * 12 * 1024 * 1024,
            "{flaw}: {} bytes in {requests} requests",
            server.bytes_flooded()
        );
    }
}
