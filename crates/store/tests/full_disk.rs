//! A disk that is full, by the limit that a shell can set on the size of a file. In a process of its own, since the limit
//! is the process's.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

use portcullis_store::{DatabaseUrl, Store, StoreError, StoreOptions};
use testkit::MovableClock;

const FOLDER: &str = "PORTCULLIS_TEST_FULL_DISK";
const VALUE_BYTES: usize = 8 * 1024;

async fn open(folder: &Path) -> Result<Store, StoreError> {
    let url = DatabaseUrl::Sqlite(folder.join("portcullis.db"));
    Store::open(StoreOptions::new(url), &MovableClock::default()).await
}

fn name(number: usize) -> String {
    format!("test.{number}")
}

fn value(number: usize) -> String {
    format!("{number:>width$}", width = VALUE_BYTES)
}

#[tokio::test]
async fn on_a_full_disk_writes_fail_closed_and_with_room_again_they_work() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return fill(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.unwrap().close().await;
    // A signal would end the process where a full disk gives an error, so it is not listened to.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("on_a_full_disk_writes_fail_closed_and_with_room_again_they_work")
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let acknowledged: usize = said
        .lines()
        .find_map(|line| line.split("acknowledged ").nth(1))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(acknowledged > 10, "there was room for some");

    let store = open(folder.path()).await.unwrap();
    assert_eq!(store.check_integrity().await.unwrap(), Vec::<String>::new());
    for number in 0..acknowledged {
        let found = store.find_setting(&name(number)).await.unwrap();
        assert_eq!(found, Some(value(number)), "{number} was acknowledged");
    }
    store.put_setting("test.after", "room again").await.unwrap();
    store.close().await;
}

/// Writes until there is no room, then goes on for a while: every refusal is the one that becomes a 503.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
async fn fill(folder: &Path) {
    let store = open(folder).await.unwrap();
    let mut acknowledged = 0;
    loop {
        match store
            .put_setting(&name(acknowledged), &value(acknowledged))
            .await
        {
            Ok(()) => acknowledged += 1,
            Err(StoreError::Unavailable(words)) => {
                assert!(!words.is_empty());
                break;
            }
            Err(other) => panic!("not the error of an outage: {other:?}"),
        }
        assert!(acknowledged < 10_000, "the limit is not felt");
    }
    for number in 0..20 {
        let refused = store
            .put_setting(&format!("late.{number}"), &value(number))
            .await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
        let read = store.find_setting(&name(0)).await.unwrap();
        assert_eq!(read, Some(value(0)), "what is there can be read");
    }
    println!("acknowledged {acknowledged}");
}
