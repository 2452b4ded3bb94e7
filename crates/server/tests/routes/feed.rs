use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::ServerSettings;
use portcullis_server::{FeedUpdate, policy_feed};
use tokio::sync::Notify;

use crate::support::{ISSUER, RESOURCE, World, claims};

#[tokio::test]
async fn a_snapshot_holds_the_servers_their_keys_and_what_was_revoked() {
    let world = World::new().await;
    let (client, tokens) = world.connected().await;
    let before = policy_feed::snapshot(&world.authority).await.unwrap();
    let todo = &before.servers["todo"];
    assert_eq!(
        (todo.issuer.as_str(), todo.resource.as_str()),
        (ISSUER, RESOURCE)
    );
    assert_eq!(todo.keys, world.authority.access_jwks());
    assert_eq!(todo.policy.scopes.len(), 3);
    assert!(todo.revocations.grants.is_empty());
    world
        .post_form(
            "/servers/todo/revoke",
            &[
                ("token", tokens["refresh_token"].as_str().unwrap()),
                ("client_id", &client),
            ],
        )
        .await;
    let after = policy_feed::snapshot(&world.authority).await.unwrap();
    assert!(after.change > before.change);
    let grant = claims(tokens["access_token"].as_str().unwrap())["grant_id"].clone();
    let until = after.servers["todo"]
        .revocations
        .grants
        .until(grant.as_str().unwrap())
        .unwrap();
    // It is remembered until the last access token of the grant is over.
    assert!(until >= world.now().after(Duration::from_secs(3600)));
}

#[tokio::test]
async fn a_change_is_felt_at_the_next_poll_and_at_once_after_a_wake_up() {
    let world = World::new().await;
    let seen: Arc<Mutex<Vec<FeedUpdate>>> = Arc::default();
    let wake = Arc::new(Notify::new());
    let feed = tokio::spawn(policy_feed::run(world.authority.clone(), wake.clone(), {
        let seen = seen.clone();
        move |update| seen.lock().unwrap().push(update)
    }));
    let servers_seen = |wanted: usize| {
        let seen = seen.clone();
        async move {
            for _ in 0..200 {
                let found = seen.lock().unwrap().iter().any(
                    |update| matches!(update, FeedUpdate::Snapshot(snapshot) if snapshot.servers.len() == wanted),
                );
                if found {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("no snapshot with {wanted} servers");
        }
    };
    servers_seen(1).await;
    world.add_server("notes", ServerSettings::default()).await;
    wake.notify_one();
    servers_seen(2).await;
    world.add_server("wiki", ServerSettings::default()).await;
    servers_seen(3).await;
    let contacts = seen.lock().unwrap().len();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let updates = seen.lock().unwrap().clone();
    assert!(updates.len() > contacts);
    assert!(matches!(updates.last(), Some(FeedUpdate::Contact)));
    feed.abort();
}

#[tokio::test]
async fn while_the_store_is_away_the_feed_says_nothing_and_does_not_end() {
    let world = World::new().await;
    let updates = Arc::new(Mutex::new(0));
    let feed = tokio::spawn(policy_feed::run(
        world.authority.clone(),
        Arc::new(Notify::new()),
        {
            let updates = updates.clone();
            move |_| *updates.lock().unwrap() += 1
        },
    ));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(*updates.lock().unwrap() >= 1);
    world.store.close().await;
    let before = *updates.lock().unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(*updates.lock().unwrap(), before);
    assert!(!feed.is_finished());
    feed.abort();
}
