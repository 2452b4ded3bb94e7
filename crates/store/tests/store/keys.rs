use domain::{AuditEventKind, KeyAlgorithm, KeyId, KeyPurpose, SigningKeyRecord};
use store::KeyAdded;

use crate::databases::on_every_store;
use crate::fixture::{at, event};

fn key(id: &str, purpose: KeyPurpose, signs_from: i64) -> SigningKeyRecord {
    SigningKeyRecord {
        id: KeyId::from_text(id),
        purpose,
        algorithm: KeyAlgorithm::EdDsa,
        sealed_private_key: "sealed".into(),
        public_jwk: "{}".into(),
        created_at: at(1),
        signs_from: at(signs_from),
        token_seconds_max: 3600,
        withdrawn_at: None,
    }
}

#[tokio::test]
async fn signing_keys_come_back_in_the_order_of_their_turns_and_each_is_counted_as_a_change() {
    on_every_store(|store| async move {
        let created = || vec![event(AuditEventKind::KeyCreated)];
        let before = store.change_counter().await.unwrap();
        let late = key("key_a", KeyPurpose::Identity, 20);
        let early = key("key_b", KeyPurpose::AccessToken, 10);
        for key in [&late, &early] {
            let added = store.add_signing_key(key, None, false, created()).await;
            assert_eq!(added.unwrap(), KeyAdded::Added);
        }
        assert_eq!(store.change_counter().await.unwrap(), before + 2);
        assert_eq!(store.list_signing_keys().await.unwrap(), [early, late]);
    })
    .await;
}

#[tokio::test]
async fn a_key_is_added_only_after_the_one_that_its_maker_knew_as_the_newest() {
    on_every_store(|store| async move {
        let created = || vec![event(AuditEventKind::KeyCreated)];
        let add = async |id: &str, after: Option<&str>, withdraw| {
            let after = after.map(KeyId::from_text);
            let key = key(id, KeyPurpose::AccessToken, 10);
            let added = store.add_signing_key(&key, after.as_ref(), withdraw, created());
            added.await.unwrap()
        };
        assert_eq!(add("key_1", None, false).await, KeyAdded::Added);
        assert_eq!(add("key_2", None, false).await, KeyAdded::Stale);
        assert_eq!(add("key_2", Some("key_1"), false).await, KeyAdded::Added);
        assert_eq!(add("key_3", Some("key_1"), true).await, KeyAdded::Stale);
        assert_eq!(add("key_3", Some("key_2"), true).await, KeyAdded::Added);
        let withdrawn: Vec<_> = store
            .list_signing_keys()
            .await
            .unwrap()
            .into_iter()
            .map(|key| (key.id.to_string(), key.withdrawn_at))
            .collect();
        assert_eq!(
            withdrawn,
            [
                ("key_1".into(), Some(at(1))),
                ("key_2".into(), Some(at(1))),
                ("key_3".into(), None)
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn of_sixteen_nodes_that_make_a_key_at_once_one_succeeds() {
    on_every_store(|store| async move {
        let racers = (0..16).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let key = key(&format!("key_{number}"), KeyPurpose::AccessToken, 10);
                let events = vec![event(AuditEventKind::KeyCreated)];
                store.add_signing_key(&key, None, false, events).await
            })
        });
        let racers: Vec<_> = racers.collect();
        let mut added = 0;
        for racer in racers {
            added += usize::from(racer.await.unwrap().unwrap() == KeyAdded::Added);
        }
        assert_eq!(added, 1);
        assert_eq!(store.list_signing_keys().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_longest_token_of_a_key_only_grows_and_a_deleted_key_is_gone_once() {
    on_every_store(|store| async move {
        let one = key("key_1", KeyPurpose::AccessToken, 10);
        let events = vec![event(AuditEventKind::KeyCreated)];
        store
            .add_signing_key(&one, None, false, events)
            .await
            .unwrap();
        for (seconds, kept) in [(7200, 7200), (60, 7200)] {
            store.raise_token_seconds(&one.id, seconds).await.unwrap();
            let listed = store.list_signing_keys().await.unwrap();
            assert_eq!(listed[0].token_seconds_max, kept);
        }
        let removed = || event(AuditEventKind::KeyRemoved);
        assert!(store.delete_signing_key(&one.id, removed()).await.unwrap());
        assert!(!store.delete_signing_key(&one.id, removed()).await.unwrap());
        assert!(store.list_signing_keys().await.unwrap().is_empty());
    })
    .await;
}
