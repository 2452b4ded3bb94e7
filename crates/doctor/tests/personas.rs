//! Each client against servers that are well and servers with one flaw.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use portcullis_doctor::persona::{Journey, table};
use portcullis_doctor::{Flaw, Plan, Report, Section, examine};
use testkit::broken;

/// Examines a server as all clients.
async fn as_all(flaw: Option<&str>) -> Report {
    let server = match flaw {
        Some(flaw) => broken::start(flaw).await,
        None => broken::start_well().await,
    };
    let mut plan = Plan::new(server.url());
    plan.personas = vec!["all".to_owned()];
    plan.limits.requests_max = 1_000;
    examine(plan).await.unwrap()
}

fn of<'a>(report: &'a Report, client: &str) -> &'a Journey {
    let journey = report
        .clients
        .iter()
        .find(|journey| journey.client == client);
    journey.unwrap_or_else(|| panic!("{client} was not run"))
}

/// `step flaw` where the client stops, `page` where it comes to the page.
fn end(journey: &Journey) -> String {
    match (&journey.stop, &journey.not_examined) {
        (Some(stop), _) => format!("{} {}", stop.step, stop.flaw.unwrap_or("?")),
        (None, Some(_)) => "not examined".to_owned(),
        (None, None) => "page".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_comes_to_the_sign_in_page_of_a_server_without_a_flaw() {
    let report = as_all(None).await;
    assert!(report.clients.len() >= 30, "{}", report.clients.len());
    for journey in &report.clients {
        assert_eq!(end(journey), "page", "{journey:#?}");
        assert!(!journey.steps.is_empty());
    }
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

/// What each flaw stops, and the clients beside it whom it does not stop.
const STOPS: &[(&str, &[&str], &str, &[&str])] = &[
    (
        "head-not-401",
        &["gemini-cli"],
        "challenge head-not-401",
        &["codex", "vscode"],
    ),
    (
        "get-not-401",
        &["codex", "mcp-remote", "goose"],
        "challenge get-not-401",
        &["gemini-cli", "vscode"],
    ),
    (
        "401-depends-on-protocol-version",
        &["codex"],
        "challenge 401-depends-on-protocol-version",
        &["mcp-remote", "vscode"],
    ),
    (
        "bot-wall-hosted-agents",
        &["claude"],
        "reach bot-wall-hosted-agents",
        &["claude-code", "vscode"],
    ),
    (
        "no-401",
        &["vscode", "typescript-sdk-2"],
        "challenge no-401",
        &["claude-code"],
    ),
    (
        "challenge-other-origin",
        &["gemini-cli"],
        "resource-metadata challenge-other-origin",
        &["zed"],
    ),
    // Takes it, sends it, and is refused by a server that knows its resource by another name.
    (
        "prm-resource-origin",
        &["python-sdk"],
        "authorization prm-resource-origin",
        &["csharp-sdk"],
    ),
    (
        "prm-resource-origin",
        &["vscode", "gemini-cli", "claude-code", "go-sdk"],
        "resource-metadata prm-resource-origin",
        &["csharp-sdk", "rmcp"],
    ),
    (
        "prm-resource-slash",
        &["vscode", "claude", "csharp-sdk"],
        "resource-metadata prm-resource-slash",
        &["typescript-sdk-1", "rmcp"],
    ),
    (
        "prm-resource-other-host",
        &["vscode", "typescript-sdk-1", "python-sdk"],
        "resource-metadata prm-resource-other-host",
        &["rmcp", "cursor"],
    ),
    (
        "prm-resource-missing",
        &["rmcp", "vscode"],
        "resource-metadata prm-resource-missing",
        &["cursor"],
    ),
    (
        "prm-server-error",
        &["python-sdk", "fastmcp"],
        "resource-metadata prm-server-error",
        &["n8n"],
    ),
    (
        "prm-missing",
        &["vscode", "zed"],
        "resource-metadata prm-missing",
        &["n8n"],
    ),
    (
        "issuer-slash",
        &["typescript-sdk-2", "python-sdk", "csharp-sdk"],
        "server-metadata issuer-slash",
        &["typescript-sdk-1", "vscode"],
    ),
    (
        "issuer-other",
        &["zed", "rmcp"],
        "server-metadata issuer-other",
        &["typescript-sdk-1"],
    ),
    (
        "asm-no-s256",
        &["claude", "chatgpt", "go-sdk"],
        "server-metadata asm-no-s256",
        &["claude-code", "vscode"],
    ),
    (
        "asm-no-response-types",
        &["typescript-sdk-1", "mcp-inspector", "librechat"],
        "server-metadata asm-no-response-types",
        &["python-sdk", "rmcp"],
    ),
    (
        "asm-null-members",
        &["typescript-sdk-1", "typescript-sdk-2"],
        "server-metadata asm-null-members",
        &["python-sdk"],
    ),
    (
        "asm-server-error",
        &["typescript-sdk-1"],
        "server-metadata asm-server-error",
        &[],
    ),
    (
        "asm-no-token-endpoint",
        &["cursor", "rmcp"],
        "server-metadata asm-no-token-endpoint",
        &[],
    ),
    (
        "asm-no-registration",
        &["cursor", "claude", "gemini-cli"],
        "registration asm-no-registration",
        &[],
    ),
    (
        "asm-no-iss-promise",
        &["gemini-cli"],
        "callback asm-no-iss-promise",
        &["python-sdk", "cursor"],
    ),
    (
        "register-refuses-mixed",
        &["cursor"],
        "registration register-refuses-mixed",
        &["opencode", "perplexity"],
    ),
    (
        "register-refuses-loopback",
        &["opencode", "gemini-cli"],
        "registration register-refuses-loopback",
        &["perplexity", "zed"],
    ),
    (
        "register-no-redirect-uris",
        &["mcp-remote"],
        "registration register-no-redirect-uris",
        &["fastmcp", "cursor"],
    ),
    (
        "register-null-members",
        &["mcp-inspector"],
        "registration register-null-members",
        &["fastmcp"],
    ),
    (
        "loopback-port-compared",
        &["claude-code", "zed"],
        "authorization loopback-port-compared",
        &["claude", "opencode"],
    ),
    (
        "cimd-host-refused",
        &["claude", "chatgpt", "grok"],
        "authorization cimd-host-refused",
        &["cursor", "gemini-cli"],
    ),
    (
        "extra-scope-fatal",
        &["cursor", "claude-code"],
        "authorization extra-scope-fatal",
        &["zed", "vscode"],
    ),
    (
        "resource-forms-refused",
        &["copilot-studio"],
        "authorization resource-forms-refused",
        &["zed", "cursor"],
    ),
    (
        "known-redirect-refused",
        &["copilot-studio"],
        "registration known-redirect-refused",
        &["perplexity"],
    ),
    (
        "self-hosted-redirect-refused",
        &["librechat"],
        "registration self-hosted-redirect-refused",
        &["perplexity"],
    ),
    (
        "authorize-not-a-page",
        &["cursor"],
        "authorization authorize-not-a-page",
        &["zed"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_flaw_stops_the_clients_that_trip_over_it_and_not_those_beside_them() {
    let mut wrong = Vec::new();
    for (flaw, stopped, how, passing) in STOPS {
        let report = as_all(Some(flaw)).await;
        let expected = stopped
            .iter()
            .map(|client| (client, *how))
            .chain(passing.iter().map(|client| (client, "page")));
        for (client, expected) in expected {
            let journey = of(&report, client);
            if end(journey) != expected {
                wrong.push(format!(
                    "{flaw}: {client} ends at {}, not {expected}: {:#?}",
                    end(journey),
                    journey.steps
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_client_shows_is_one_finding_with_its_change_and_what_it_shows() {
    for flaw in Flaw::all().filter(|flaw| flaw.section == Section::Personas) {
        let flaw = flaw.id;
        let report = as_all(Some(flaw)).await;
        let ids: Vec<&str> = report
            .findings
            .iter()
            .map(|finding| finding.flaw.id)
            .collect();
        assert_eq!(ids, [flaw]);
        let finding = &report.findings[0];
        assert!(
            !finding.evidence.is_empty() && !finding.change.is_empty(),
            "{finding:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_one_word_of_the_challenge_says_so_and_goes_on_without_it() {
    let report = as_all(Some("challenge-not-bearer-first")).await;
    let misses = |client: &str| {
        of(&report, client)
            .steps
            .iter()
            .any(|step| step.contains("only the first word"))
    };
    assert!(misses("typescript-sdk-1") && misses("mcp-inspector"));
    assert!(!misses("python-sdk") && !misses("vscode"));
    assert_eq!(end(of(&report, "typescript-sdk-1")), "page");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_none_one_client_registers_where_another_shows_its_document() {
    let report = as_all(Some("asm-cimd-without-none")).await;
    let steps = |client: &str| of(&report, client).steps.join("\n");
    assert!(steps("claude").contains("POST ") && steps("claude").contains("none is not listed"));
    assert!(
        steps("claude-code").contains("is https://claude.ai/oauth/claude-code-client-metadata")
    );
    assert!(
        !steps("claude-code").contains("POST "),
        "{}",
        steps("claude-code")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_clients_ask_alike_is_asked_once_and_a_client_that_asks_otherwise_is_heard() {
    let server = broken::start_well().await;
    let sent = async |clients: &[&str]| {
        let mut plan = Plan::new(server.url());
        plan.personas = clients.iter().map(|client| (*client).to_owned()).collect();
        examine(plan).await.unwrap().requests
    };
    let none = sent(&[]).await;
    let one = sent(&["perplexity"]).await;
    let two = sent(&["perplexity", "devin"]).await;
    assert!(one > none);
    // Its registration and its page are its own; what it reads is what the other has read.
    assert_eq!(two - one, 2, "{none} {one} {two}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_no_client_is_said_and_nobody_is_run() {
    let server = broken::start_well().await;
    let mut plan = Plan::new(server.url());
    plan.personas = vec!["curser".to_owned()];
    let report = examine(plan).await.unwrap();
    assert!(report.clients.is_empty());
    assert!(
        report
            .not_examined
            .iter()
            .any(|entry| entry.why.contains("\"curser\""))
    );
}

/// `UPDATE_DOCS=1` writes it anew.
#[test]
fn the_page_of_the_doctor_shows_the_ways_of_the_clients_as_they_are_run() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/doctor-clients.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- clients -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of clients -->").unwrap();
    let right = format!(
        "{before}<!-- clients -->\n{}<!-- end of clients -->{after}",
        table::markdown()
    );
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &right).unwrap();
    }
    assert!(
        page == right || std::env::var_os("UPDATE_DOCS").is_some(),
        "run this test with UPDATE_DOCS=1"
    );
}
