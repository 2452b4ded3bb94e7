//! Whoever was refused holds a reference, and whoever runs `up` finds it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Home, Ran, Up};
use testkit::Connection;

/// A browser that comes with a registration that is not known; gives the reference on the page.
async fn refused_page(up: &Up, client_id: &str) -> String {
    let authority = up.url("authority_url");
    let mut browser = Connection::open(authority.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let path = format!("/servers/todo/authorize?client_id={client_id}&response_type=code");
    let request = http::Request::get(path);
    let answer = browser.send(request, "").await.unwrap();
    assert_eq!(answer.status(), 400);
    let reference = answer.headers()["portcullis-correlation-id"].to_str();
    reference.unwrap().to_owned()
}

fn lines_with<'a>(ran: &'a Ran, text: &str) -> Vec<&'a str> {
    let lines = ran.stdout.lines().chain(ran.stderr.lines());
    lines.filter(|line| line.contains(text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_of_a_refusal_stands_in_the_terminals_line_and_in_a_log_that_goes_elsewhere()
{
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    let first = refused_page(&up, "cli_gone").await;
    // The same trouble again is another reference.
    let second = refused_page(&up, "cli_gone").await;
    let ran = up.stop().await;
    for reference in [first, second] {
        let found = lines_with(&ran, &reference);
        let line = format!(
            "authorize refused: the client is not registered (invalid_client) ref {reference}"
        );
        assert!(
            found.iter().any(|found| found.ends_with(&line)),
            "no line of the terminal: {found:?}"
        );
        let logged = |found: &&str| found.contains("INFO") && found.contains("correlation.id=");
        assert!(found.iter().any(logged), "not in the log: {found:?}");
    }
    // Nothing else became talkative.
    let other = lines_with(&ran, "INFO");
    assert!(
        other
            .iter()
            .all(|line| line.contains("portcullis_server::respond: refused")),
        "{other:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_asked_for_less_says_less_and_the_line_still_has_the_reference() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0", "--log", "error"]).await;
    let reference = refused_page(&up, "cli_gone").await;
    let ran = up.stop().await;
    let found = lines_with(&ran, &reference);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with(&format!(" ref {reference}")),
        "{found:?}"
    );
}
