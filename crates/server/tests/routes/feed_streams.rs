//! The policy feed over HTTP.

use std::sync::Arc;
use std::time::Duration;

use authz::{FeedMessage, FeedSlice};
use axum::body::{Body, BodyDataStream};
use base::OsRandom;
use domain::{AuditEventKind, ServerSettings, ServerSlug};
use futures_util::StreamExt as _;
use http::{Method, Request, StatusCode};
use oauth::resource_server::{NewCredential, create_credential};
use portcullis_server::{FeedUpdate, policy_feed};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::support::{World, claims, request};

const FEED: &str = "/servers/todo/feed";
/// Longer than two beats.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the store as a node does, until it is dropped.
struct Reading(JoinHandle<()>);

impl Reading {
    async fn begin(world: &World) -> Self {
        let board = world.state.feed();
        let first = policy_feed::snapshot(&world.authority).await.unwrap();
        board.publish(Arc::new(first));
        let wake = Arc::new(Notify::new());
        Self(tokio::spawn(policy_feed::run(
            world.authority.clone(),
            wake,
            move |update| match update {
                FeedUpdate::Snapshot(snapshot) => board.publish(snapshot),
                FeedUpdate::Contact => board.contact(),
            },
        )))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Lines {
    body: BodyDataStream,
}

impl Lines {
    /// The next line; `None` when the stream has ended.
    async fn next(&mut self) -> Option<String> {
        let next = tokio::time::timeout(PATIENCE, self.body.next());
        let line = next.await.expect("a line or an end in time")?.unwrap();
        // A stream in this process has one line in each frame.
        let line = String::from_utf8(line.to_vec()).unwrap();
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
        Some(line)
    }

    async fn slice(&mut self) -> FeedSlice {
        loop {
            let line = self.next().await.expect("the stream goes on");
            if let FeedMessage::Snapshot(slice) = serde_json::from_str(&line).unwrap() {
                return *slice;
            }
        }
    }

    /// What comes until the end.
    async fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(line) = self.next().await {
            rest.push(line);
        }
        rest
    }
}

fn asking(path: &str, credential: &NewCredential) -> Request<Body> {
    let (id, secret) = (credential.id.as_str(), credential.secret.expose());
    request(Method::GET, path)
        .header("authorization", crate::machines::basic(id, secret))
        .body(Body::empty())
        .unwrap()
}

async fn open(world: &World, path: &str, credential: &NewCredential) -> Lines {
    let answer = world.open(asking(path, credential)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/jsonl");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    Lines {
        body: answer.into_body().into_data_stream(),
    }
}

async fn new_credential(world: &World, slug: &str, keep_older: Duration) -> NewCredential {
    let slug = ServerSlug::parse(slug).unwrap();
    let made = create_credential(&world.store, world.now(), &OsRandom, &slug, keep_older);
    made.await.unwrap().unwrap()
}

#[tokio::test]
async fn a_feed_says_everything_at_once_then_each_change_and_that_it_is_alive() {
    let world = World::new().await;
    let _reading = Reading::begin(&world).await;
    let (client, tokens) = world.connected().await;
    let credential = world.credential("todo").await;
    let mut feed = open(&world, FEED, &credential).await;
    let first = feed.slice().await;
    assert_eq!(first.server.keys, world.authority.access_jwks());
    assert_eq!(first.server.policy.scopes.len(), 3);
    assert_eq!(first.upstream["kind"], "todo");
    assert!(first.server.revocations.grants.is_empty());

    let refresh = tokens["refresh_token"].as_str().unwrap();
    let fields = [("token", refresh), ("client_id", &client)];
    world.post_form("/servers/todo/revoke", &fields).await;
    let felt = tokio::time::timeout(Duration::from_secs(1), feed.slice()).await;
    let access = claims(tokens["access_token"].as_str().unwrap());
    let grant = access["grant_id"].as_str().unwrap();
    assert!(
        felt.unwrap()
            .server
            .revocations
            .grants
            .until(grant)
            .is_some()
    );

    let contact: Value = serde_json::from_str(&feed.next().await.unwrap()).unwrap();
    assert_eq!(contact, serde_json::json!({"kind": "contact"}));
}

/// A gateway of one server must learn nothing of another one, nor be able to make its session ids.
#[tokio::test]
async fn the_feed_of_one_server_has_nothing_of_another_and_does_not_hear_its_changes() {
    let world = World::new().await;
    world.add_server("other", ServerSettings::default()).await;
    let _reading = Reading::begin(&world).await;
    let (client, tokens) = world.connected().await;
    let (todo, other) = (
        world.credential("todo").await,
        world.credential("other").await,
    );
    let mut feed = open(&world, "/servers/other/feed", &other).await;
    let before = feed.next().await.unwrap();
    let mut feed_of_todo = open(&world, FEED, &todo).await;
    let of_todo = feed_of_todo.slice().await;
    let of_other: FeedMessage = serde_json::from_str(&before).unwrap();
    let FeedMessage::Snapshot(of_other) = of_other else {
        panic!("{before}");
    };
    assert_ne!(
        of_todo.server.session_mac_key.expose(),
        of_other.server.session_mac_key.expose()
    );
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let fields = [("token", refresh), ("client_id", &client)];
    world.post_form("/servers/todo/revoke", &fields).await;
    // The twin hears it.
    let heard = feed_of_todo.slice().await;
    assert_eq!(heard.server.revocations.grants.len(), 1);
    let mut said = vec![before];
    for _ in 0..2 {
        said.push(feed.next().await.unwrap());
    }
    assert_eq!(said[1..], ["{\"kind\":\"contact\"}\n"; 2]);
    for word in [
        "/todo",
        "todo:",
        grant_of(&tokens).as_str(),
        client.as_str(),
    ] {
        assert!(!said.concat().contains(word), "{word}");
    }
}

fn grant_of(tokens: &Value) -> String {
    let claims = claims(tokens["access_token"].as_str().unwrap());
    claims["grant_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_the_credential_of_that_server_opens_its_feed() {
    let world = World::new().await;
    world.add_server("other", ServerSettings::default()).await;
    let _reading = Reading::begin(&world).await;
    let todo = world.credential("todo").await;
    let other = world.credential("other").await;
    let wrong = NewCredential {
        id: todo.id.clone(),
        secret: other.secret.clone(),
    };
    for credential in [&other, &wrong] {
        let answer = world.send(asking(FEED, credential)).await;
        answer.assert_error(401, "invalid_client", "portcullis servers credential");
        assert!(answer.header("www-authenticate").starts_with("Basic "));
    }
    let answer = world.get(FEED).await;
    answer.assert_error(401, "invalid_client", "portcullis servers credential");
    let answer = world.send(asking("/servers/nobody/feed", &todo)).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    open(&world, FEED, &todo).await.slice().await;
    open(&world, "/servers/other/feed", &other)
        .await
        .slice()
        .await;
}

#[tokio::test]
async fn a_credential_that_was_replaced_or_has_run_out_ends_its_feed() {
    let world = World::new().await;
    let _reading = Reading::begin(&world).await;
    let week = Duration::from_secs(7 * 24 * 3600);
    let first = new_credential(&world, "todo", week).await;
    let mut of_first = open(&world, FEED, &first).await;
    of_first.slice().await;
    // The one before stays good for a week.
    let second = new_credential(&world, "todo", week).await;
    let mut of_second = open(&world, FEED, &second).await;
    of_second.slice().await;
    assert!(of_first.next().await.is_some());
    world.clock.advance(week);
    assert!(of_first.rest().await.len() < 3);
    assert!(of_second.next().await.is_some());
    // And ends at once when it was stolen.
    let third = new_credential(&world, "todo", Duration::ZERO).await;
    let ended = tokio::time::timeout(Duration::from_secs(1), of_second.rest());
    assert!(ended.await.is_ok());
    let answer = world.send(asking(FEED, &second)).await;
    answer.assert_error(401, "invalid_client", "credential");
    open(&world, FEED, &third).await.slice().await;
}

#[tokio::test]
async fn a_feed_ends_with_its_server_and_with_its_node() {
    let world = World::new().await;
    world.add_server("other", ServerSettings::default()).await;
    let _reading = Reading::begin(&world).await;
    let (todo, other) = (
        world.credential("todo").await,
        world.credential("other").await,
    );
    let mut of_todo = open(&world, FEED, &todo).await;
    let mut of_other = open(&world, "/servers/other/feed", &other).await;
    of_todo.slice().await;
    of_other.slice().await;
    let slug = ServerSlug::parse("other").unwrap();
    let event = world.event(AuditEventKind::ServerRemoved);
    assert!(world.store.remove_server(&slug, event).await.unwrap());
    assert!(of_other.rest().await.len() < 2);
    assert!(of_todo.next().await.is_some());
    world.state.feed().close();
    assert!(of_todo.rest().await.len() < 2);
}

#[tokio::test]
async fn a_credential_has_so_many_feeds_and_a_place_is_free_when_one_has_gone() {
    let world = World::new().await;
    let _reading = Reading::begin(&world).await;
    let first = world.credential("todo").await;
    let second = world.credential("todo").await;
    let mut feeds = Vec::new();
    for _ in 0..64 {
        feeds.push(open(&world, FEED, &first).await);
    }
    let answer = world.send(asking(FEED, &first)).await;
    answer.assert_error(503, "temporarily_unavailable", "");
    assert_eq!(answer.header("retry-after"), "10");
    open(&world, FEED, &second).await.slice().await;
    feeds.pop();
    open(&world, FEED, &first).await.slice().await;
}

/// Who cannot read what was revoked must not be told that nothing was.
#[tokio::test]
async fn while_the_store_is_away_a_feed_is_silent() {
    let world = World::new().await;
    let _reading = Reading::begin(&world).await;
    let credential = world.credential("todo").await;
    let mut feed = open(&world, FEED, &credential).await;
    feed.slice().await;
    assert!(feed.next().await.unwrap().contains("contact"));
    world.store.close().await;
    let silent = tokio::time::timeout(Duration::from_secs(5), feed.body.next()).await;
    assert!(silent.is_err());
}
