#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use authz::{Policy, Revocations, ServerSnapshot};
use base::{Clock as _, OsRandom, Secret, Timestamp};
use bytes::Bytes;
use http_body::{Body, Frame};
use testkit::MovableClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::oauth::JwkSet;

use super::*;
use crate::{
    AuthorityClient, AuthoritySettings, FeedGap, PolicyFeed, ServerCredential, policy_feed,
};

/// A body that comes in these pieces.
struct Pieces(VecDeque<&'static str>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.pop_front();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
    }
}

fn lines(pieces: &[&'static str], bytes_max: usize) -> Lines<Pieces> {
    Lines::new(Pieces(pieces.iter().copied().collect()), bytes_max)
}

#[tokio::test]
async fn lines_are_whole_however_they_come_and_a_broken_last_one_is_none() {
    let mut lines = lines(&["{\"a", "\":1}\n{}\n", "\n", "{\"b\":", "2}\n{\"cut"], 10);
    for wanted in ["{\"a\":1}", "{}", "", "{\"b\":2}"] {
        let line = lines.next().await.unwrap().unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), wanted);
    }
    assert_eq!(lines.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_line_that_is_too_long_ends_the_feed_and_one_that_just_fits_does_not() {
    let mut fits = lines(&["12345", "\n"], 5);
    assert_eq!(fits.next().await.unwrap().unwrap(), b"12345");
    let mut long = lines(&["12345", "6", "\n"], 5);
    let trouble = long.next().await.unwrap_err();
    assert!(matches!(trouble, FeedTrouble::Unreadable(_)), "{trouble}");
}

/// What one connection is answered after its request's head; then it ends.
type Script = Vec<String>;

/// An authority that answers each connection by the next script, and none after the last.
async fn authority(scripts: Vec<Script>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for script in scripts {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            for piece in script {
                stream.write_all(piece.as_bytes()).await.unwrap();
            }
        }
    });
    url
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/jsonl\r\nconnection: close\r\n\r\n";

fn slice_of(issuer: &str) -> String {
    let slice = FeedSlice {
        server: ServerSnapshot {
            slug: "todo".into(),
            name: "Todo".into(),
            issuer: issuer.into(),
            resource: "https://a.example/mcp/todo".into(),
            policy: Policy::default(),
            policy_revision: 1,
            keys: JwkSet::default(),
            revocations: Revocations::default(),
            documentation_url: None,
            former_resources: Vec::new(),
            former_issuers: Vec::new(),
            session_mac_key: Secret::new(vec![1]),
            argument_digest_key: Secret::new(vec![2]),
        },
        upstream: serde_json::Value::Null,
        aliases: Vec::new(),
        created_at: Timestamp::default(),
    };
    let message = FeedMessage::Snapshot(Box::new(slice));
    format!("{}\n", serde_json::to_string(&message).unwrap())
}

struct Followed {
    feed: PolicyFeed,
    clock: MovableClock,
    troubles: mpsc::UnboundedReceiver<FeedTrouble>,
    following: JoinHandle<()>,
}

/// Follows the authority at `connect_to`, whose `public_url` is another one.
fn follow(connect_to: String) -> Followed {
    let client = AuthorityClient::new(&AuthoritySettings {
        url: "https://a.example".into(),
        connect_to: Some(connect_to),
        ca_file: None,
        names: egress::Names::default(),
    })
    .unwrap();
    let credential = ServerCredential::parse("prs_id:pcq_secret").unwrap();
    let clock = MovableClock::default();
    let (publisher, feed) = policy_feed(Arc::new(clock.clone()));
    let (tell, troubles) = mpsc::unbounded_channel();
    let client = FeedClient::new(client.server("todo", &credential), Arc::new(OsRandom));
    let following = tokio::spawn(client.follow(publisher, move |news| {
        if let FeedNews::Trouble(trouble) = news {
            let _ = tell.send(trouble.clone());
        }
    }));
    Followed {
        feed,
        clock,
        troubles,
        following,
    }
}

#[tokio::test]
async fn what_was_heard_is_in_force_for_five_minutes_after_the_feed_was_cut() {
    let good = slice_of("https://a.example/servers/todo");
    let cut = vec![
        OK.to_owned(),
        good.clone(),
        "{\"kind\":\"contact\"}\n".to_owned(),
    ];
    let mut followed = follow(authority(vec![cut]).await);
    assert_eq!(followed.troubles.recv().await, Some(FeedTrouble::Ended));
    let Followed { feed, clock, .. } = &followed;
    let snapshot = feed.current(clock.now()).unwrap();
    assert_eq!(snapshot.servers["todo"].name, "Todo");
    clock.advance(Duration::from_secs(300));
    assert!(feed.current(clock.now()).is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(feed.current(clock.now()).unwrap_err(), FeedGap::Stale);
    followed.following.abort();

    // The twin comes back in between.
    let mut followed = follow(
        authority(vec![
            vec![OK.to_owned(), good.clone()],
            vec!["HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned()],
            vec![OK.to_owned(), good],
        ])
        .await,
    );
    assert_eq!(followed.troubles.recv().await, Some(FeedTrouble::Ended));
    followed.clock.advance(Duration::from_secs(301));
    let busy = followed.troubles.recv().await.unwrap();
    assert!(busy.to_string().contains("503"), "{busy}");
    assert_eq!(followed.troubles.recv().await, Some(FeedTrouble::Ended));
    let now = followed.clock.now();
    assert!(followed.feed.current(now).is_ok());
    followed.following.abort();
}

#[tokio::test]
async fn a_feed_of_another_issuer_puts_nothing_in_force_and_a_wrong_credential_is_named() {
    let other = slice_of("https://b.example/servers/todo");
    let refused = "HTTP/1.1 401 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let scripts = vec![vec![OK.to_owned(), other], vec![refused.to_owned()]];
    let mut followed = follow(authority(scripts).await);
    let trouble = followed.troubles.recv().await.unwrap().to_string();
    assert!(
        trouble.contains("https://b.example/servers/todo") && trouble.contains("public_url"),
        "{trouble}"
    );
    let trouble = followed.troubles.recv().await.unwrap().to_string();
    assert!(
        trouble.contains("prs_id") && trouble.contains("portcullis servers credential todo"),
        "{trouble}"
    );
    assert!(!trouble.contains("pcq_secret"), "{trouble}");
    let now = followed.clock.now();
    assert_eq!(followed.feed.current(now).unwrap_err(), FeedGap::Never);
    followed.following.abort();
}

#[tokio::test]
async fn a_server_that_was_removed_is_judged_no_more_and_a_404_of_a_proxy_changes_nothing() {
    let good = slice_of("https://a.example/servers/todo");
    let not_found = |body: &str| {
        let length = body.len();
        format!("HTTP/1.1 404 No\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let scripts = vec![
        vec![OK.to_owned(), good],
        vec![not_found("<h1>nobody is behind me</h1>")],
        vec![not_found("{\"error\":\"not_found\"}")],
    ];
    let mut followed = follow(authority(scripts).await);
    let now = followed.clock.now();
    for (wanted, servers) in [("ended", 1), ("404", 1), ("no MCP server todo", 0)] {
        let trouble = followed.troubles.recv().await.unwrap().to_string();
        assert!(trouble.contains(wanted), "{trouble}");
        assert_eq!(followed.feed.current(now).unwrap().servers.len(), servers);
    }
    followed.following.abort();
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_here_or_at_the_authority_is_in_force_no_longer_and_other_trouble_changes_nothing()
 {
    let issuer = "https://a.example/servers/todo";
    let good = slice_of(issuer);
    let with_rest = |slice: &str, rest: &str| {
        let rest = format!("\"policy_rest\":{rest},\"upstream\"");
        assert!(slice.contains("\"upstream\""));
        slice.replacen("\"upstream\"", &rest, 1)
    };
    let later = r#"{"invented_later":1}"#;
    let unavailable = |error: &str| {
        let body = format!("{{\"error\":\"{error}\"}}");
        let length = body.len();
        format!("HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let ok = || OK.to_owned();
    let cases = [
        (vec![ok(), with_rest(&good, later)], "same release", 0),
        (vec![ok(), with_rest(&good, r#"{"roles":[]}"#)], "ended", 1),
        (vec![ok(), "{\"kind\":\"later\"}\n".to_owned()], "older", 1),
        (
            vec![
                ok(),
                with_rest(&slice_of("https://b.example/servers/todo"), later),
            ],
            "older",
            1,
        ),
        (vec![unavailable("policy_unreadable")], "all its nodes", 0),
        (vec![unavailable("temporarily_unavailable")], "503", 1),
    ];
    for (script, words, servers) in cases {
        let scripts = vec![vec![ok(), good.clone()], script];
        let mut followed = follow(authority(scripts).await);
        let now = followed.clock.now();
        assert_eq!(followed.troubles.recv().await, Some(FeedTrouble::Ended));
        assert_eq!(followed.feed.current(now).unwrap().servers.len(), 1);
        let trouble = followed.troubles.recv().await.unwrap();
        assert!(trouble.to_string().contains(words), "{trouble}");
        assert_eq!(trouble.closes(), servers == 0);
        assert_eq!(followed.feed.current(now).unwrap().servers.len(), servers);
        followed.following.abort();
    }
}

/// A thousand gateways that lost one authority neither hammer at it nor come all at once; one that is back is found soon.
#[test]
fn tries_of_a_lost_authority_become_rarer_and_do_not_come_together() {
    let mut pauses = vec![PAUSE_MIN];
    for _ in 0..6 {
        pauses.push(longer(pauses[pauses.len() - 1]));
    }
    let milliseconds: Vec<_> = pauses.iter().map(Duration::as_millis).collect();
    assert_eq!(milliseconds, [250, 500, 1000, 2000, 4000, 5000, 5000]);

    let authority = AuthorityClient::new(&AuthoritySettings {
        url: "https://a.example".into(),
        connect_to: None,
        ca_file: None,
        names: egress::Names::default(),
    })
    .unwrap();
    let credential = ServerCredential::parse("prs_id:pcq_secret").unwrap();
    let client = FeedClient::new(authority.server("todo", &credential), Arc::new(OsRandom));
    let spread: Vec<_> = (0..1000).map(|_| client.spread(PAUSE_MAX)).collect();
    assert!(
        spread
            .iter()
            .all(|pause| *pause >= PAUSE_MAX / 2 && *pause <= PAUSE_MAX)
    );
    // In each tenth of the time between comes about a tenth of them.
    for tenth in 0..10 {
        let begins = PAUSE_MAX / 2 + PAUSE_MAX / 20 * tenth;
        let within = |pause: &&Duration| (begins..begins + PAUSE_MAX / 20).contains(*pause);
        let come = spread.iter().filter(within).count();
        assert!((50..200).contains(&come), "{come} in tenth {tenth}");
    }
}
