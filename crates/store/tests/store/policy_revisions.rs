//! Every policy that was in force can be read again and published again.

use std::sync::Arc;

use authz::{Entry, ListKind, Policy, Returning};
use base::{Digest, Timestamp};
use domain::{
    AuditEventKind, CallOutcome, CallRecord, DefinitionState, McpServer, PolicyOrigin,
    PolicyRevision, ServerSlug, StoredDefinition, UserId,
};
use store::{
    ActivityLog, ActivityOptions, Applied, Apply, Change, DecideOutcome, LOOKS_MAX, PublishOutcome,
    REVISIONS_MAX, RecordedCall, RollBack, RollBackOutcome, SeenDefinitions, Store,
};
use testkit::MovableClock;
use tokio::sync::Barrier;
use wire::mcp::Json;
use wire::mcp::definition::Definition;

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{Fixture, at, event, scopes, server};
use crate::upgrade::FIRST_RELEASE;

fn published() -> domain::AuditEvent {
    event(AuditEventKind::PolicyPublished)
}

/// One that is told from others by a tool of this name.
fn policy(tool: &str) -> Policy {
    let mut policy = Policy::default();
    policy.tools.insert(tool.to_owned(), Entry::default());
    policy
}

async fn with_todo(store: &Store) -> McpServer {
    let todo = server("todo");
    let added = event(AuditEventKind::ServerAdded);
    store.insert_server(&todo, added).await.unwrap();
    todo
}

async fn save(store: &Store, revision: i64, policy: &Policy) -> PublishOutcome {
    let slug = ServerSlug::parse("todo").unwrap();
    store
        .publish_policy(&slug, revision, policy, published())
        .await
        .unwrap()
}

async fn kept(store: &Store) -> Vec<PolicyRevision> {
    let slug = ServerSlug::parse("todo").unwrap();
    store
        .list_policy_revisions(&slug, None, 1000)
        .await
        .unwrap()
}

async fn numbers(store: &Store) -> Vec<i64> {
    let kept = kept(store).await;
    kept.iter().map(|one| one.revision).collect()
}

async fn policy_of(store: &Store, revision: i64) -> Option<Policy> {
    let slug = ServerSlug::parse("todo").unwrap();
    let found = store.find_policy_revision(&slug, revision).await.unwrap();
    found.map(|(_, policy)| policy)
}

fn definition(name: &str, words: &str) -> StoredDefinition {
    let tool = Json::object([
        ("name", Json::from(name)),
        ("description", Json::from(words)),
    ]);
    let read = Definition::read(ListKind::Tools, tool).unwrap();
    StoredDefinition::seen(&read, DefinitionState::Pending, at(5))
}

fn roll_back(expected: i64, of: i64, policy: &Policy, returning: &[&StoredDefinition]) -> RollBack {
    let returning = returning.iter();
    RollBack {
        server: ServerSlug::parse("todo").unwrap(),
        expected_revision: expected,
        of_revision: of,
        policy: policy.clone(),
        returning: returning
            .map(|one| Returning {
                kind: one.kind,
                identity: one.identity.clone(),
                fingerprint: Some(one.fingerprint.clone()),
            })
            .collect(),
        event: published(),
    }
}

#[tokio::test]
async fn each_way_to_save_a_policy_leaves_its_revision_with_what_made_it() {
    on_every_store(|store| async move {
        let todo = with_todo(&store).await;
        let by = Some(UserId::from_text("usr_ann"));
        let by_ann = domain::AuditEvent {
            user: by.clone(),
            at: at(7),
            detail: "role \u{202e} 'added'".into(),
            ..published()
        };
        let (two, four) = (policy("two"), policy("four"));
        let saved = store.publish_policy(&todo.slug, 1, &two, by_ann);
        assert_eq!(saved.await, Ok(PublishOutcome::Published(2)));
        let seen = SeenDefinitions::default();
        let looked = policy("three");
        let saved = store.publish_inventory(
            &todo.slug,
            2,
            Some((&looked, PolicyOrigin::Inventory)),
            seen.clone(),
            published(),
        );
        assert_eq!(saved.await, Ok(PublishOutcome::Published(3)));
        // A look that changes no policy is no revision.
        let saved = store.publish_inventory(&todo.slug, 3, None, seen, published());
        assert_eq!(saved.await, Ok(PublishOutcome::Published(3)));
        let saved = store.decide_definitions(&todo.slug, 3, &four, Vec::new(), published());
        assert_eq!(saved.await, Ok(DecideOutcome::Published(4)));
        let change = Change::PublishPolicy {
            slug: todo.slug.clone(),
            expected_revision: 4,
            policy: Box::new(policy("five")),
            event: published(),
        };
        let expected = store.read_declared().await.unwrap().digest();
        let apply = |expected: Digest| Apply {
            expected,
            changes: vec![change.clone()],
        };
        assert_eq!(store.apply(apply(expected)).await, Ok(Applied::Done));
        assert_eq!(store.apply(apply(expected)).await, Ok(Applied::Stale));
        let back = store.roll_back_policy(roll_back(5, 2, &policy("two"), &[]));
        assert_eq!(back.await, Ok(RollBackOutcome::Published(6)));

        use PolicyOrigin::{Added, Apply as File, Change as Changed, Decision, Inventory};
        let kept = kept(&store).await;
        let origins: Vec<_> = kept.iter().map(|one| (one.revision, one.origin)).collect();
        assert_eq!(
            origins,
            [
                (6, PolicyOrigin::RollBack(2)),
                (5, File),
                (4, Decision),
                (3, Inventory),
                (2, Changed),
                (1, Added),
            ]
        );
        assert_eq!((kept[4].at, &kept[4].by), (Some(at(7)), &by));
        assert_eq!(kept[4].detail, "role \u{202e} 'added'");
        assert_eq!((kept[0].at, &kept[0].by), (Some(at(0)), &None));
        for (revision, tool) in [
            (2, "two"),
            (3, "three"),
            (4, "four"),
            (5, "five"),
            (6, "two"),
        ] {
            assert_eq!(policy_of(&store, revision).await, Some(policy(tool)));
        }
        assert_eq!(policy_of(&store, 1).await, Some(Policy::default()));
        assert_eq!(policy_of(&store, 7).await, None);
        let page = store.list_policy_revisions(&todo.slug, Some(3), 1).await;
        assert_eq!(page.unwrap()[0].revision, 2);

        let removed = event(AuditEventKind::ServerRemoved);
        assert!(store.remove_server(&todo.slug, removed).await.unwrap());
        assert_eq!(numbers(&store).await, Vec::<i64>::new());
    })
    .await;
}

#[tokio::test]
async fn a_rollback_is_refused_over_another_revision_and_over_another_definition() {
    on_every_store(|store| async move {
        let todo = with_todo(&store).await;
        let (add, other) = (
            definition("add", "Adds."),
            definition("add", "Adds, and tells me."),
        );
        assert_eq!(
            save(&store, 1, &policy("add")).await,
            PublishOutcome::Published(2)
        );
        let back = async |expected, returning: &[&StoredDefinition]| {
            let roll_back = roll_back(expected, 1, &Policy::default(), returning);
            store.roll_back_policy(roll_back).await.unwrap()
        };
        assert_eq!(back(1, &[]).await, RollBackOutcome::Stale(2));
        let see = async |one: &StoredDefinition| {
            let seen = SeenDefinitions {
                kept: vec![one.clone()],
                ..SeenDefinitions::default()
            };
            let revision = *numbers(&store).await.first().unwrap();
            let saved = store.publish_inventory(&todo.slug, revision, None, seen, published());
            assert_eq!(saved.await, Ok(PublishOutcome::Published(revision)));
        };
        see(&other).await;
        let refused = RollBackOutcome::Changed("add".into());
        assert_eq!(back(2, &[&add]).await, refused);
        // It is defined as it was accepted.
        see(&add).await;
        assert_eq!(back(2, &[&add]).await, RollBackOutcome::Published(3));
        // Somebody said no to that very definition.
        let no = add.clone().decided(DefinitionState::Rejected, at(9));
        let x = policy("x");
        let decided = store.decide_definitions(&todo.slug, 3, &x, vec![no], published());
        assert_eq!(decided.await, Ok(DecideOutcome::Published(4)));
        assert_eq!(back(4, &[&add]).await, refused);
        assert_eq!(back(4, &[]).await, RollBackOutcome::Published(5));
        assert_eq!(numbers(&store).await, [5, 4, 3, 2, 1]);
        let nobody = RollBack {
            server: ServerSlug::parse("nobody").unwrap(),
            ..roll_back(1, 1, &Policy::default(), &[])
        };
        assert_eq!(
            store.roll_back_policy(nobody).await,
            Ok(RollBackOutcome::Unknown)
        );
    })
    .await;
}

const RACERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_saves_at_once_each_revision_is_there_once_and_is_what_its_saver_wrote() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        with_todo(&stores[0]).await;
        let mut revision = 1;
        for round in 0..10 {
            let start = Arc::new(Barrier::new(RACERS));
            let mut racers = Vec::new();
            for racer in 0..RACERS {
                let (store, start) = (stores[racer % 2].clone(), Arc::clone(&start));
                let policy = policy(&format!("{round} {racer}"));
                racers.push(tokio::spawn(async move {
                    start.wait().await;
                    let back = roll_back(revision, 1, &policy, &[]);
                    let saved = match racer % 3 {
                        0 => matches!(
                            store.roll_back_policy(back).await.unwrap(),
                            RollBackOutcome::Published(_)
                        ),
                        _ => matches!(
                            save(&store, revision, &policy).await,
                            PublishOutcome::Published(_)
                        ),
                    };
                    saved.then_some(policy)
                }));
            }
            let mut saved = Vec::new();
            for racer in racers {
                saved.extend(racer.await.unwrap());
            }
            assert_eq!(saved.len(), 1);
            revision += 1;
            assert_eq!(
                policy_of(&stores[0], revision).await.as_ref(),
                saved.first()
            );
        }
        let expected: Vec<i64> = (1..=revision).rev().collect();
        assert_eq!(numbers(&stores[0]).await, expected);
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_release_without_revisions_saved_is_kept_by_the_next_save_and_a_gap_stays_one() {
    on_every_database(|database| async move {
        database.of_the_first_release(FIRST_RELEASE).await;
        let store = database.open().await;
        // The policy that was there.
        let first = kept(&store).await;
        assert_eq!((first[0].origin, first[0].at), (PolicyOrigin::Unknown, None));
        let present = store.list_servers().await.unwrap().remove(0).policy;
        assert_eq!(policy_of(&store, 1).await, Some(present));
        // A node of the release before saves twice.
        let old = "UPDATE mcp_server SET policy_revision = policy_revision + 2, \
                   policy = replace(policy, '\"tools\":{}', '\"tools\":{\"old\":{\"requirement\":\"denied\",\"title\":\"\"}}')";
        database.tamper(old).await;
        assert_eq!(numbers(&store).await, [1]);
        assert_eq!(save(&store, 1, &policy("new")).await, PublishOutcome::Stale(3));
        assert_eq!(save(&store, 3, &policy("new")).await, PublishOutcome::Published(4));
        assert_eq!(numbers(&store).await, [4, 3, 1]);
        let of_old = policy_of(&store, 3).await.unwrap();
        assert!(of_old.tools.contains_key("old"));
        assert_eq!(policy_of(&store, 2).await, None);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_thousand_revisions_are_kept_and_fewer_when_they_are_long_and_the_newest_always() {
    on_every_database(|database| async move {
        let store = database.open().await;
        with_todo(&store).await;
        database
            .tamper("UPDATE mcp_server SET policy_revision = 5000")
            .await;
        // As if each had been saved: the numbers 3999 to 5000.
        database
            .tamper(
                "INSERT INTO policy_revision (server, revision, origin, detail, size, policy) \
                 SELECT 'todo', 3999 + a.n * 100 + b.n * 10 + c.n, 'change', '', 2, '{}' FROM \
                 (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 \
                  UNION SELECT 7 UNION SELECT 8 UNION SELECT 9 UNION SELECT 10) AS a, \
                 (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 \
                  UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) AS b, \
                 (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 \
                  UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) AS c WHERE a.n * 100 + b.n * 10 + c.n <= 1001",
            )
            .await;
        let oldest = |kept: Vec<i64>| (kept.len(), kept.last().copied());
        assert_eq!(save(&store, 5000, &policy("a")).await, PublishOutcome::Published(5001));
        let max = usize::try_from(REVISIONS_MAX).unwrap();
        assert_eq!(oldest(numbers(&store).await), (max, Some(4002)));
        // Three of 16 MiB are more than there is room for beside the newest.
        database
            .tamper("UPDATE policy_revision SET size = 16 * 1024 * 1024 - 1000 WHERE revision IN (5001, 5000, 4990)")
            .await;
        assert_eq!(save(&store, 5001, &policy("b")).await, PublishOutcome::Published(5002));
        assert_eq!(oldest(numbers(&store).await), (12, Some(4991)));
        database
            .tamper("UPDATE policy_revision SET size = 99999999 WHERE revision = 5002")
            .await;
        assert_eq!(save(&store, 5002, &policy("c")).await, PublishOutcome::Published(5003));
        assert_eq!(numbers(&store).await, [5003]);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn looks_at_the_server_push_out_looks_and_nothing_that_a_person_saved() {
    for (of_looks, looks, people) in [(true, LOOKS_MAX, 5), (false, 1, 155)] {
        on_every_database(|database| async move {
            let store = database.open().await;
            let todo = with_todo(&store).await;
            for revision in 1..4 {
                let saved = save(&store, revision, &policy("a")).await;
                assert_eq!(saved, PublishOutcome::Published(revision + 1));
            }
            database
                .tamper("UPDATE mcp_server SET policy_revision = 500")
                .await;
            // As if each had been saved: the numbers 300 to 449.
            database
                .tamper(
                    "INSERT INTO policy_revision (server, revision, origin, detail, size, policy) \
                     SELECT 'todo', n, 'change', '', 2, '{}' FROM (WITH RECURSIVE counted(n) AS \
                     (SELECT 300 UNION ALL SELECT n + 1 FROM counted WHERE n < 449) SELECT n FROM counted) AS numbers",
                )
                .await;
            if of_looks {
                database
                    .tamper("UPDATE policy_revision SET origin = 'inventory' WHERE revision BETWEEN 300 AND 449")
                    .await;
            }
            let look = async |revision, tool| {
                let policy = policy(tool);
                let seen = SeenDefinitions::default();
                let saved =
                    store.publish_inventory(&todo.slug, revision, Some((&policy, PolicyOrigin::Inventory)), seen, published());
                assert_eq!(saved.await, Ok(PublishOutcome::Published(revision + 1)));
            };
            look(500, "b").await;
            let count = async |of_looks: bool| {
                let kept = kept(&store).await.into_iter();
                let kept = kept.filter(|one| (one.origin == PolicyOrigin::Inventory) == of_looks);
                i64::try_from(kept.count()).unwrap()
            };
            assert_eq!((count(true).await, count(false).await), (looks, people));
            // Also when they are long.
            database
                .tamper("UPDATE policy_revision SET size = 5 * 1024 * 1024 WHERE revision >= 448")
                .await;
            look(501, "c").await;
            assert_eq!((count(true).await, count(false).await), (2, people));
            assert_eq!(policy_of(&store, 2).await, Some(policy("a")));
            store.close().await;
        })
        .await;
    }
}

#[tokio::test]
async fn what_nodes_of_the_release_before_saved_pushes_out_nothing_that_a_person_saved() {
    for (origin, unknown, people) in [("unknown", LOOKS_MAX + 1, 3), ("change", 1, 153)] {
        on_every_database(|database| async move {
            let store = database.open().await;
            with_todo(&store).await;
            // What was in force when revisions began to be kept.
            database
                .tamper("UPDATE policy_revision SET origin = 'unknown' WHERE revision = 1")
                .await;
            assert_eq!(save(&store, 1, &policy("a")).await, PublishOutcome::Published(2));
            database
                .tamper("UPDATE mcp_server SET policy_revision = 500")
                .await;
            database
                .tamper(
                    "INSERT INTO policy_revision (server, revision, origin, detail, size, policy) \
                     SELECT 'todo', n, 'unknown', '', 2, '{}' FROM (WITH RECURSIVE counted(n) AS \
                     (SELECT 300 UNION ALL SELECT n + 1 FROM counted WHERE n < 449) SELECT n FROM counted) AS numbers",
                )
                .await;
            // What that node left in force is in force as somebody's.
            database
                .tamper(
                    "INSERT INTO policy_revision (server, revision, origin, detail, size, policy) \
                     VALUES ('todo', 500, 'change', '', 2, '{}')",
                )
                .await;
            if origin == "change" {
                database
                    .tamper("UPDATE policy_revision SET origin = 'change' WHERE revision BETWEEN 300 AND 449")
                    .await;
            }
            assert_eq!(save(&store, 500, &policy("b")).await, PublishOutcome::Published(501));
            let count = async |of_unknown: bool| {
                let kept = kept(&store).await.into_iter();
                let kept = kept.filter(|one| (one.origin == PolicyOrigin::Unknown) == of_unknown);
                i64::try_from(kept.count()).unwrap()
            };
            assert_eq!((count(true).await, count(false).await), (unknown, people));
            assert_eq!(policy_of(&store, 1).await, Some(Policy::default()));
            assert_eq!(policy_of(&store, 2).await, Some(policy("a")));
            store.close().await;
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_node_that_knows_of_no_revisions_left_of_a_removed_server_goes_a_day_later() {
    on_every_database(|database| async move {
        const DAY: i64 = 24 * 3600;
        let store = database.open().await;
        with_todo(&store).await;
        save(&store, 1, &policy("a")).await;
        assert_eq!(store.purge_expired(at(9 * DAY), 10).await, Ok(0));
        // At the fixture's beginning.
        database
            .tamper("UPDATE mcp_server SET removed_at = 1795132800000")
            .await;
        assert_eq!(store.purge_expired(at(DAY), 10).await, Ok(0));
        assert_eq!(numbers(&store).await, [2, 1]);
        assert_eq!(store.purge_expired(at(DAY + 1), 10).await, Ok(2));
        assert_eq!(numbers(&store).await, Vec::<i64>::new());
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn calls_of_rarer_kinds_than_are_told_apart_are_counted() {
    on_every_database(|database| async move {
        let options = ActivityOptions {
            url: database.url.clone(),
        };
        let log = ActivityLog::open(options, &MovableClock::default())
            .await
            .unwrap();
        // 5,000 tools, each called once.
        database
            .tamper(
                "INSERT INTO call_record (id, at, server, subject, client_id, method, name, outcome, reason, status, duration_us) \
                 SELECT 1 + n, 0, 'todo', 'usr_1', 'cli_1', 'tools/call', 'tool_' || n, 'allowed', '', 200, 1 FROM \
                 (WITH RECURSIVE counted(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < 4999) \
                 SELECT n FROM counted) AS numbers",
            )
            .await;
        let slug = ServerSlug::parse("todo").unwrap();
        let counted = async || {
            let counted = log.count_recorded_calls(&slug, Timestamp::from_unix_ms(0)).await.unwrap();
            (counted.calls.len(), counted.rarer)
        };
        assert_eq!(counted().await, (5_000, 0));
        database
            .tamper(
                "INSERT INTO call_record (id, at, server, subject, client_id, method, name, outcome, reason, status, duration_us) \
                 SELECT 6000 + id, 0, server, subject, client_id, method, 'other', outcome, reason, status, duration_us \
                 FROM call_record WHERE id < 8",
            )
            .await;
        // Seven calls of one kind are told, and one of the others is not any more.
        assert_eq!(counted().await, (5_000, 1));
        log.close().await;
    })
    .await;
}

#[tokio::test]
async fn calls_are_counted_by_person_client_and_tool_and_live_grants_say_what_they_have() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        fixture.refresh_token().await;
        let held = store.list_held_scopes(&fixture.server.slug, at(10)).await;
        let held = held.unwrap();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].subject, fixture.user.id.as_str());
        assert_eq!(held[0].scopes, scopes("todo:read todo:write"));
        assert_eq!(held[0].redirect_uri, Some(fixture.consent().redirect_uri));
        let later = store
            .list_held_scopes(&fixture.server.slug, at(100_000))
            .await;
        assert_eq!(later, Ok(Vec::new()));
        store.close().await;
    })
    .await;
    on_every_database(|database| async move {
        let options = ActivityOptions {
            url: database.url.clone(),
        };
        let clock = MovableClock::default();
        let log = ActivityLog::open(options.clone(), &clock).await.unwrap();
        let call = |seconds: i64, tool: &str| CallRecord {
            at: at(seconds),
            server: "todo".into(),
            subject: Some("usr_1".into()),
            client: Some("cli_1".into()),
            grant: None,
            method: "tools/call".into(),
            name: Some(tool.into()),
            arguments_digest: None,
            arguments: None,
            decision: None,
            cause: None,
            rule: None,
            policy_revision: None,
            judged_us: None,
            outcome: CallOutcome::Allowed,
            reason: String::new(),
            status: 200,
            duration_us: 1,
            correlation_id: None,
        };
        for record in [
            call(0, "before"),
            call(100, "add"),
            call(101, "list"),
            call(102, "add"),
            CallRecord {
                server: "notes".into(),
                ..call(103, "add")
            },
            CallRecord {
                method: "tools/list".into(),
                ..call(104, "add")
            },
            CallRecord {
                subject: None,
                ..call(105, "add")
            },
            CallRecord {
                subject: Some("usr_2".into()),
                ..call(106, "add")
            },
        ] {
            log.record(record);
        }
        log.close().await;
        let log = ActivityLog::open(options, &clock).await.unwrap();
        let slug = ServerSlug::parse("todo").unwrap();
        let counted = log.count_recorded_calls(&slug, at(50)).await.unwrap();
        let of = |subject: &str, tool: &str, count| RecordedCall {
            subject: subject.into(),
            client: "cli_1".into(),
            tool: tool.into(),
            count,
        };
        let expected = [
            of("usr_1", "add", 2),
            of("usr_1", "list", 1),
            of("usr_2", "add", 1),
        ];
        assert_eq!(
            (counted.calls.as_slice(), counted.cut_at),
            (&expected[..], None)
        );
        log.close().await;
    })
    .await;
}
