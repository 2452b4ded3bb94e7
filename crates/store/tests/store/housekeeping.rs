use domain::AuditEventKind;
use store::StoreError;

use crate::databases::on_every_store;
use crate::fixture::{Fixture, at, event, server, user};

const DAY: i64 = 24 * 3600;

#[tokio::test]
async fn a_setting_is_kept_and_the_first_value_wins_where_it_must() {
    on_every_store(|store| async move {
        assert_eq!(store.find_setting("public_url").await.unwrap(), None);
        let first = store.find_or_put_setting("public_url", "a").await.unwrap();
        let second = store.find_or_put_setting("public_url", "b").await.unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("a", "a"));
        store.put_setting("public_url", "c").await.unwrap();
        assert_eq!(
            store.find_setting("public_url").await.unwrap().as_deref(),
            Some("c")
        );
    })
    .await;
}

#[tokio::test]
async fn events_are_listed_in_order_page_by_page() {
    on_every_store(|store| async move {
        for number in 0..150 {
            let mut one = event(AuditEventKind::SignInRefused);
            one.at = at(number);
            one.detail = number.to_string();
            store.insert_audit_event(one).await.unwrap();
        }
        let mut listed = Vec::new();
        let mut after = 0;
        loop {
            let page = store.list_audit_events(after, 40).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.id;
            listed.extend(page.into_iter().map(|stored| stored.event.detail));
        }
        let expected: Vec<_> = (0..150).map(|number| number.to_string()).collect();
        assert_eq!(listed, expected);
    })
    .await;
}

#[tokio::test]
async fn what_is_long_over_is_purged_in_bounded_steps_and_what_lives_stays() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        for _ in 0..3 {
            fixture.refresh_token().await;
        }
        let link = base::Digest::of("pcs_");
        store.replace_setup_token(link, at(1)).await.unwrap();
        assert_eq!(store.purge_expired(at(DAY), 100).await.unwrap(), 0);
        // Codes ended at 60, tokens at 501, families at 1001, the session at 3600, the link at 1.
        assert_eq!(store.purge_expired(at(DAY + 61), 2).await.unwrap(), 3);
        assert_eq!(store.purge_expired(at(DAY + 61), 2).await.unwrap(), 1);
        assert_eq!(store.purge_expired(at(2 * DAY), 100).await.unwrap(), 4);
        assert_eq!(
            store.purge_expired(at(2 * DAY + 1002), 100).await.unwrap(),
            3
        );
        assert_eq!(store.purge_expired(at(9 * DAY), 100).await.unwrap(), 0);
        assert_eq!(store.count_users().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_character_u_0000_is_refused_by_the_name_of_its_field_and_the_same_text_without_it_is_kept()
 {
    on_every_store(|store| async move {
        let refused = |field| Err(StoreError::NulCharacter(field));
        let mut bad = server("todo");
        bad.name = "a\0b".into();
        let added = || event(AuditEventKind::ServerAdded);
        assert_eq!(store.insert_server(&bad, added()).await, refused("name"));
        assert_eq!(store.put_setting("a", "\0").await, refused("value"));
        let mut note = added();
        note.detail = "\0".into();
        assert_eq!(store.insert_audit_event(note).await, refused("detail"));
        let mut person = user("alice@example.com");
        person.name = "\0".into();
        assert_eq!(
            store.insert_user(&person, added()).await.err(),
            Some(StoreError::NulCharacter("name"))
        );
        let fixture = Fixture::new(&store).await;
        let mut client = crate::fixture::client(&fixture.server);
        client.name = "\0".into();
        assert_eq!(
            store.insert_client(&client, None, added()).await.err(),
            Some(StoreError::NulCharacter("client_name"))
        );
        let mut code = fixture.code();
        code.redirect_uri.push('\0');
        assert_eq!(
            store
                .insert_code(code, fixture.consent(), added())
                .await
                .err(),
            Some(StoreError::NulCharacter("redirect_uri"))
        );
        // What no field check covers is refused at the statement, and only this write is lost.
        let mut other = fixture.code();
        other.grant = domain::GrantId::from_text("gra_\0");
        assert_eq!(
            store
                .insert_code(other, fixture.consent(), added())
                .await
                .err(),
            Some(StoreError::NulCharacter("a text"))
        );
        store.put_setting("a", "b").await.unwrap();
    })
    .await;
}
