use std::time::Duration;

use base::Secret;
use domain::AuditEventKind;
use store::{ActivityLog, ActivityOptions, DatabaseUrl, Store, StoreError, StoreOptions};
use testkit::MovableClock;

use crate::databases::{TestDatabase, on_every_database};
use crate::fixture::{event, server, user};

async fn open(url: &DatabaseUrl) -> Result<Store, StoreError> {
    Store::open(StoreOptions::new(url.clone()), &MovableClock::default()).await
}

fn words(result: Result<Store, StoreError>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn a_database_is_opened_again_with_everything_in_it() {
    on_every_database(|database| async move {
        let store = database.open().await;
        store
            .insert_server(&server("todo"), event(AuditEventKind::ServerAdded))
            .await
            .unwrap();
        store.close().await;
        assert!(matches!(
            store.put_setting("a", "b").await,
            Err(StoreError::Unavailable(_))
        ));
        assert!(matches!(
            store.list_servers().await,
            Err(StoreError::Unavailable(_))
        ));
        let store = database.open().await;
        assert_eq!(store.list_servers().await.unwrap().len(), 1);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_one_of_this_version_opens() {
    on_every_database(|database| async move {
        database.open().await.close().await;
        database
            .tamper("INSERT INTO schema_version (version, name, applied_at) VALUES (99, 'authority', 0)")
            .await;
        let refused = open(&database.url).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Newer { found: 99, known: 5.. }),
            "{refused:?}"
        );
        database
            .tamper("DELETE FROM schema_version WHERE version = 99")
            .await;
        database.open().await.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_activity_log_is_not_taken_for_a_store() {
    on_every_database(|database| async move {
        let options = ActivityOptions {
            url: database.url.clone(),
        };
        let log = ActivityLog::open(options, &MovableClock::default())
            .await
            .unwrap();
        log.close().await;
        let said = words(open(&database.url).await);
        assert!(
            said.ends_with("the database holds the activity of Portcullis, not its authority"),
            "{said}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_no_sqlite_database_is_refused_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "Dear diary, today I was nearly a database.").unwrap();
    let said = words(open(&DatabaseUrl::Sqlite(path.clone())).await);
    assert!(said.contains("notes.txt: not an SQLite database"), "{said}");
    assert!(std::fs::read(&path).unwrap().starts_with(b"Dear diary"));
    std::fs::write(&path, "").unwrap();
    open(&DatabaseUrl::Sqlite(path))
        .await
        .unwrap()
        .close()
        .await;
}

#[tokio::test]
async fn the_sqlite_file_of_another_program_is_refused() {
    let database = TestDatabase::sqlite();
    let DatabaseUrl::Sqlite(path) = &database.url else {
        unreachable!("it is SQLite")
    };
    std::fs::write(path, "").unwrap();
    database.tamper("CREATE TABLE bookmarks (url TEXT)").await;
    let said = words(open(&database.url).await);
    assert!(said.ends_with("belongs to another program"), "{said}");
}

#[tokio::test]
async fn a_damaged_head_or_a_missing_folder_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("half.sqlite");
    std::fs::write(
        &path,
        [b"SQLite format 3\0".as_slice(), &[7; 4096]].concat(),
    )
    .unwrap();
    let said = words(open(&DatabaseUrl::Sqlite(path)).await);
    assert!(
        said.contains("half.sqlite: not an SQLite database"),
        "{said}"
    );
    let nowhere = directory.path().join("no").join("such.sqlite");
    let said = words(open(&DatabaseUrl::Sqlite(nowhere)).await);
    assert!(said.contains("such.sqlite cannot be made"), "{said}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = TestDatabase::sqlite();
    let store = database.open().await;
    let DatabaseUrl::Sqlite(path) = &database.url else {
        unreachable!("it is SQLite")
    };
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    store.close().await;
}

#[tokio::test]
async fn a_file_that_another_process_holds_locked_is_refused_in_words() {
    use sqlx::Connection as _;
    let database = TestDatabase::sqlite();
    database.open().await.close().await;
    let DatabaseUrl::Sqlite(path) = &database.url else {
        unreachable!("it is SQLite")
    };
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut other = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let said = words(open(&database.url).await);
    assert!(said.contains("is locked by another process"), "{said}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    database.open().await.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_the_same_file_side_by_side() {
    on_every_database(|database| async move {
        let server_process = database.open().await;
        let command_line = database.open().await;
        let mut tasks = Vec::new();
        for (name, store) in [("s", &server_process), ("c", &command_line)] {
            for number in 0..40 {
                let store = store.clone();
                let address = format!("{name}{number}@example.com");
                tasks.push(tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(number)).await;
                    store
                        .insert_user(&user(&address), event(AuditEventKind::UserAdded))
                        .await
                        .unwrap();
                }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(server_process.count_users().await.unwrap(), 80);
        let before = server_process.change_counter().await.unwrap();
        command_line
            .insert_server(&server("todo"), event(AuditEventKind::ServerAdded))
            .await
            .unwrap();
        assert_eq!(server_process.change_counter().await.unwrap(), before + 1);
        command_line.close().await;
        server_process.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_postgres_that_is_not_there_or_a_wrong_address_is_refused_without_the_password() {
    let url = |text: &str, schema: Option<&str>| DatabaseUrl::Postgres {
        url: Secret::new(text.to_owned()),
        schema: schema.map(str::to_owned),
    };
    let said = words(open(&url("postgres://u:hunter2@127.0.0.1:1/x", None)).await);
    assert!(said.starts_with("the database cannot be reached"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    let said = words(open(&url("postgres://u:hunter2@[bad/x", None)).await);
    assert_eq!(said, "the PostgreSQL address cannot be read");
    let said = words(open(&url("postgres://u@127.0.0.1:1/x", Some("a\"b"))).await);
    assert!(said.starts_with("the PostgreSQL schema"), "{said}");
}

/// Waits for up to `seconds`; also says how long it took.
async fn waiting(
    text: &str,
    schema: Option<&String>,
    seconds: u64,
) -> (Result<Store, StoreError>, Duration) {
    let mut options = StoreOptions::new(DatabaseUrl::Postgres {
        url: Secret::new(text.to_owned()),
        schema: schema.cloned(),
    });
    options.wait = Duration::from_secs(seconds);
    let begun = std::time::Instant::now();
    let opened = Store::open(options, &MovableClock::default()).await;
    (opened, begun.elapsed())
}

#[tokio::test]
async fn a_postgres_that_comes_later_is_waited_for_and_one_that_refuses_us_is_not() {
    let (nobody, took) = waiting("postgres://u@127.0.0.1:1/x", None, 2).await;
    assert!(words(nobody).starts_with("the database cannot be reached"));
    assert!((1..8).contains(&took.as_secs()), "{took:?}");
    let Some(database) = TestDatabase::postgres() else {
        return;
    };
    let DatabaseUrl::Postgres { url, schema } = &database.url else {
        unreachable!("it is PostgreSQL")
    };
    let (url, schema) = (url.expose(), schema.as_ref());
    let (before, rest) = url.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let (refused, took) = waiting(&format!("{before}@{server}/no_such_database"), schema, 60).await;
    assert!(words(refused).contains("no_such_database"));
    assert!(took < Duration::from_secs(30), "{took:?}");

    // At another port, where somebody listens after a while.
    let port = testkit::unused_port().await;
    let server = server.to_owned();
    let door = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .unwrap();
        loop {
            let (mut from, _) = listener.accept().await.unwrap();
            let mut to = tokio::net::TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
        }
    });
    let (opened, took) = waiting(&format!("{before}@127.0.0.1:{port}/{name}"), schema, 60).await;
    opened.unwrap().close().await;
    assert!(took > Duration::from_millis(1400), "{took:?}");
    door.abort();
}

#[tokio::test]
async fn a_postgres_that_may_lose_answered_writes_is_refused() {
    let Some(database) = TestDatabase::postgres() else {
        return;
    };
    let DatabaseUrl::Postgres { url, .. } = &database.url else {
        unreachable!("it is PostgreSQL")
    };
    let separator = if url.expose().contains('?') { '&' } else { '?' };
    let weak = format!("{}{separator}options[synchronous_commit]=off", url.expose());
    let said = words(
        open(&DatabaseUrl::Postgres {
            url: Secret::new(weak),
            schema: None,
        })
        .await,
    );
    assert!(said.contains("synchronous_commit = off"), "{said}");
}
