use domain::{AuditEventKind, FamilyEnd};
use store::{EndFamily, Redeemed, Rotated, StoreError};

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{Fixture, at, event, redeem, rotate, server, user};

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
async fn events_keep_their_order_and_their_times_though_the_clock_goes_back() {
    on_every_database(|database| async move {
        let mut expected = Vec::new();
        // The second time as another process, and then one whose clock is right.
        for times in [[1000, 900, 0], [500, 501, 1], [2000, 2001, 2002]] {
            let store = database.open().await;
            for seconds in times {
                let mut one = event(AuditEventKind::SignInRefused);
                one.at = at(seconds);
                store.insert_audit_event(one).await.unwrap();
                expected.push(at(seconds));
            }
            let listed = store.list_audit_events(0, 100).await.unwrap();
            let times: Vec<_> = listed.iter().map(|stored| stored.event.at).collect();
            assert_eq!(times, expected);
            store.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_has_a_thousand_rows_at_most_however_many_are_asked_for() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let many = "WITH RECURSIVE many (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < 1001)
            INSERT INTO audit_event (id, at, kind, detail) SELECT i, i, 'sign_in_refused', 'x' FROM many";
        database.tamper(many).await;
        for (asked, given) in [(999, 999), (1000, 1000), (1001, 1000), (usize::MAX, 1000)] {
            let page = store.list_audit_events(0, asked).await.unwrap();
            assert_eq!(page.len(), given, "{asked}");
        }
        store.close().await;
    })
    .await;
}

const AWAY: &str = "ALTER TABLE audit_event RENAME TO audit_event_away";
const BACK: &str = "ALTER TABLE audit_event_away RENAME TO audit_event";

/// Whatever leaves an event is not done when the event cannot be written, and is done when it can.
#[tokio::test]
async fn nothing_is_done_that_cannot_be_written_down() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        let (code, refresh) = (fixture.issued_code().await, fixture.refresh_token().await);
        let ending = fixture.refresh_token().await;
        database.tamper(AWAY).await;
        let before = database.content().await;
        for (name, done) in changes(&fixture, &code, &refresh, &ending).await {
            assert!(!done, "{name} was done and not written down");
        }
        assert!(database.content().await == before, "something is left");
        database.tamper(BACK).await;

        let events = store.list_audit_events(0, 1000).await.unwrap().len();
        let done = changes(&fixture, &code, &refresh, &ending).await;
        for (name, done) in &done {
            assert!(done, "{name}");
        }
        let after = store.list_audit_events(0, 1000).await.unwrap().len();
        assert_eq!(after - events, done.len());
        store.close().await;
    })
    .await;
}

/// What leaves an event, each with whether it was done.
async fn changes(
    fixture: &Fixture,
    code: &domain::AuthorizationCode,
    refresh: &domain::RefreshToken,
    ending: &domain::RefreshToken,
) -> Vec<(&'static str, bool)> {
    let store = &fixture.store;
    let other = user("bob@example.com");
    let another = server("notes");
    let client = crate::fixture::client(&fixture.server);
    let some = || event(AuditEventKind::UserAdded);
    let redeemed = store.redeem_code(redeem(code, at(2))).await;
    let rotated = store.rotate_refresh_token(rotate(refresh, at(2))).await;
    let end = EndFamily {
        family: ending.family.clone(),
        now: at(2),
        reason: FamilyEnd::Revoked,
        revocation_until: at(3600),
        event: event(AuditEventKind::GrantRevoked),
    };
    let issued = fixture.code();
    let consent = fixture.consent();
    vec![
        ("a person", store.insert_user(&other, some()).await.is_ok()),
        (
            "a server",
            store.insert_server(&another, some()).await.is_ok(),
        ),
        (
            "a sign-in",
            store
                .insert_login_session(&crate::fixture::session(&fixture.user), some())
                .await
                .is_ok(),
        ),
        (
            "a registration",
            store.insert_client(&client, None, some()).await.is_ok(),
        ),
        (
            "an approval",
            store.insert_code(issued, consent, some()).await.is_ok(),
        ),
        ("a redemption", redeemed == Ok(Redeemed::Fresh)),
        ("a refresh", rotated == Ok(Rotated::Fresh)),
        ("a revocation", store.end_family(end).await == Ok(true)),
    ]
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
async fn audit_events_go_at_the_end_of_their_time_in_bounded_steps_and_the_newest_never_does() {
    on_every_database(|database| async move {
        let store = database.open().await;
        for number in 0..10 {
            let mut one = event(AuditEventKind::SignInRefused);
            one.at = at(number);
            store.insert_audit_event(one).await.unwrap();
        }
        let left = async || store.list_audit_events(0, 100).await.unwrap().len();
        assert_eq!(store.purge_audit_events(at(0), 100).await.unwrap(), 0);
        assert_eq!(store.purge_audit_events(at(5), 3).await.unwrap(), 3);
        assert_eq!(store.purge_audit_events(at(5), 3).await.unwrap(), 2);
        assert_eq!(
            (
                store.purge_audit_events(at(5), 3).await.unwrap(),
                left().await
            ),
            (0, 5)
        );
        assert_eq!(store.purge_audit_events(at(DAY), 100).await.unwrap(), 4);
        assert_eq!(
            (
                store.purge_audit_events(at(DAY), 100).await.unwrap(),
                left().await
            ),
            (0, 1)
        );
        let kept = store.list_audit_events(0, 100).await.unwrap();
        assert_eq!(kept[0].event.at, at(9));
        store.close().await;
        // A database from which more was taken would look like an older copy of itself.
        let store = database.open().await;
        assert_eq!(store.epoch().number, 1);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_nobody_any_more_is_purged_and_what_may_be_needed_stays() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        fixture.issued_code().await;
        store.close().await;
        // In milliseconds, 1795132800000 being the fixture's beginning; of each pair one is just over and one not yet.
        database
            .tamper(
                "INSERT INTO acme_order (domain, directory, failures, next_try_at) VALUES
                     ('over.example', 'd', 1, 1792454400000),
                     ('tried.example', 'd', 1, 1792627200000), ('first.example', 'd', 0, 0);
                 INSERT INTO acme_certificate VALUES
                     ('over.example', 'd', 'c', 's', 0, 1725926400000, 0),
                     ('used.example', 'd', 'c', 's', 0, 1726099200000, 0);
                 INSERT INTO lease VALUES
                     ('left', 'n', 1792454400000), ('held', 'n', 1795132800000);
                 INSERT INTO gateway_key VALUES
                     ('todo', 'over', '{}', 1794960000000), ('todo', 'good', '{}', 1795132800000);
                 INSERT INTO client_document VALUES
                     ('client', 'https://used.example/c', '{}', 'd', 1760659200000, 0, 0);
                 INSERT INTO client_consent (user_id, server, client_id, redirect_uri, scopes, approved_at)
                     SELECT id, 'todo', 'https://used.example/c', 'r', '', 1760486400000 FROM app_user;
                 INSERT INTO client_consent (user_id, server, client_id, redirect_uri, scopes, approved_at)
                     SELECT id, 'todo', 'https://left.example/c', 'r', '', 1760486400000 FROM app_user;
                 INSERT INTO client_consent (user_id, server, client_id, redirect_uri, scopes, approved_at)
                     SELECT id, 'todo', 'https://lately.example/c', 'r', '', 1760659200000 FROM app_user;",
            )
            .await;
        let store = database.open().await;
        assert_eq!(store.purge_expired(at(0), 100).await.unwrap(), 5);
        assert_eq!(store.purge_expired(at(0), 100).await.unwrap(), 0);
        let left = database.content().await.join("\n");
        for gone in ["over.example", "'left'", "left.example", "'over'"] {
            assert!(!left.contains(gone), "{gone}");
        }
        for kept in ["tried.example", "first.example", "used.example", "lately.example", "held"] {
            assert!(left.contains(kept), "{kept}");
        }
        let consents = store.list_consents_of(&fixture.user.id, None, 10).await.unwrap();
        assert_eq!(consents.len(), 3, "that of the registered client stays too");
        store.close().await;
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
