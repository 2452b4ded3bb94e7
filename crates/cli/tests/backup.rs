//! Backups, made beside a running authority and restored in other places.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Home, Up};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_elsewhere_and_what_was_issued_before_it_is_dead() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    home.add_user().await;
    let ran = home.run_signing_in(&["call", "list_todos"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let add = ["people", "add", "bob@example.com", "--password-stdin"];
    assert_eq!(home.run_with(&add, "a long enough password").await.code, 0);
    let file = home.data().join("one.backup");
    let file = file.to_str().unwrap();
    let ran = home.run(&["backup", file]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("verified"), "{}", ran.stdout);
    let ran = home.run(&["backup", "verify", file]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let sealed = std::fs::read(file).unwrap();
    // A second one of the same name is refused, and the first stays as it was.
    let ran = home.run(&["backup", file]).await;
    assert!(
        ran.code != 0 && ran.stderr.contains("name a folder"),
        "{}",
        ran.stderr
    );
    assert_eq!(std::fs::read(file).unwrap(), sealed);
    let holds = |text: &[u8]| sealed.windows(text.len()).any(|window| window == text);
    assert!(!holds(b"SQLite format 3") && !holds(b"example.com"));

    let deleted = home
        .run(&["people", "delete", "bob@example.com", "--yes"])
        .await;
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);

    // While it runs, and over what is there, only when asked.
    let ran = home.run(&["restore", file, "--replace"]).await;
    assert_ne!(ran.code, 0);
    let ran = home.run(&["call", "list_todos"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    up.stop().await;
    let ran = home.run(&["restore", file]).await;
    assert!(
        ran.code != 0 && ran.stderr.contains("--replace"),
        "{}",
        ran.stderr
    );

    // A damaged, a shortened and a foreign one leave everything as it was.
    let other = home.data().join("other.backup");
    let mut changed = sealed.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for (bytes, words) in [
        (&changed[..], "damaged"),
        (&sealed[..sealed.len() - 1], "damaged"),
        (&b"a letter"[..], "is no backup"),
    ] {
        std::fs::write(&other, bytes).unwrap();
        let other = other.to_str().unwrap();
        for command in [
            &["backup", "verify", other][..],
            &["restore", other, "--replace"],
        ] {
            let ran = home.run(command).await;
            assert!(
                ran.code != 0 && ran.stderr.contains(words),
                "{}",
                ran.stderr
            );
        }
    }
    let wrong = home.data().join("wrong.key");
    std::fs::write(&wrong, "A".repeat(43)).unwrap();
    let wrong = wrong.to_str().unwrap();
    let ran = home
        .run(&["restore", file, "--replace", "--master-key-file", wrong])
        .await;
    assert!(ran.stderr.contains("another master key"), "{}", ran.stderr);

    let ran = home
        .run(&["restore", file, "--replace", "--rotate-keys"])
        .await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("deleted again: 1"), "{}", ran.stdout);
    let people = home.run(&["people", "list"]).await.stdout;
    assert!(
        people.contains(common::EMAIL) && !people.contains("bob"),
        "{people}"
    );
    let up = Up::start(&home, &[]).await;
    // The tokens from before are refused, so the person signs in again; everything else is there.
    let ran = home.run_signing_in(&["call", "list_todos"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.code_seen.is_some(), "a token from before was taken");
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["portcullis.db", "activity.db"] {
        let mode = std::fs::metadata(home.data().join(name)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{name}");
    }
    up.stop().await;
}
