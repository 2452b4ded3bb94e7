//! A backup or a restore that is killed or told to stop in the middle.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base::Random as _;
use stack_tests::binary;
use tempfile::TempDir;
use testkit::SeededRandom;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::super::support::{PASSWORD, count, seed, start_of, stop};
use super::faults::{Disk, Fault};
use super::scene::{Ran, command, integrity};

/// More operations than any command has.
const ALL: u64 = 1 << 40;

/// What a restore exchanges.
const FILES: [&str; 4] = ["portcullis.db", "activity.db", "todo.db", "authority.json"];

/// An authority of `up` that does not run, on a disk on which commands can be killed.
struct Still {
    disk: Disk,
    outer: TempDir,
}

impl Still {
    async fn start() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let still = Self {
            disk: Disk::new(outer.path()),
            outer,
        };
        make_authority(&still.disk.folder, "old@example.com").await;
        still
    }

    fn data(&self) -> PathBuf {
        self.disk.folder.join("data")
    }

    fn file(&self, name: &str) -> String {
        self.disk.folder.join(name).display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command_on(&self.data(), arguments);
        command.envs(self.disk.environment());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments), "").await
    }

    async fn must_run(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments).await;
        assert!(ran.worked, "{arguments:?}: {}", ran.err);
        ran
    }

    /// How many operations a command has on this disk.
    async fn operations(&self, arguments: &[&str]) -> u64 {
        self.disk.fails_after(ALL, Fault::Kills, Duration::ZERO);
        self.must_run(arguments).await;
        let done = ALL - self.disk.left();
        self.disk.heals();
        assert!(done > 20, "{arguments:?} has only {done} operations");
        done
    }

    /// Runs a command that is killed, or whose disk fails, after so many operations. A command that did not work says so
    /// and names a file, unless it was killed.
    async fn interrupted(&self, arguments: &[&str], fault: Fault, spared: u64) -> Ran {
        self.disk.fails_after(spared, fault, Duration::ZERO);
        let ran = self.run(arguments).await;
        let met = self.disk.heals() > 0;
        let at = format!("{} after {spared} operations", fault.name());
        assert!(met || ran.worked, "{at}: {}", ran.err);
        if fault == Fault::Kills {
            assert!(met != ran.worked, "{at}: {}", ran.err);
        } else if !ran.worked {
            let named = ran.err.contains(&*self.disk.folder.to_string_lossy());
            assert!(ran.err.contains("error: ") && named, "{at}: {}", ran.err);
        }
        ran
    }

    /// What lies in the data directory and is no part of an authority.
    fn leftovers(&self) -> Vec<String> {
        let mut names = names_in(&self.data());
        names.retain(|name| name.starts_with('.') || name.ends_with(".tmp"));
        names
    }

    /// Which file each of an authority's is.
    fn files(&self) -> BTreeMap<&'static str, u64> {
        FILES
            .into_iter()
            .map(|name| {
                (
                    name,
                    std::fs::metadata(self.data().join(name)).unwrap().ino(),
                )
            })
            .collect()
    }
}

/// All that is done here shares a master key, as a backup that is restored elsewhere needs it.
const MASTER_KEY: (&str, &str) = (
    "PORTCULLIS_MASTER_KEY",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
);

async fn make_authority(folder: &Path, email: &str) {
    let key = (MASTER_KEY.0, MASTER_KEY.1.to_owned());
    let server = start_of(binary(), folder, &[key]).await;
    server.add_user(email, PASSWORD).await.unwrap();
    stop(server).await;
}

fn command_on(data: &Path, arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command
        .arg("--data-dir")
        .arg(data)
        .env(MASTER_KEY.0, MASTER_KEY.1);
    command
}

fn names_in(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// So many points among `operations`, evenly from a seeded beginning.
fn points(operations: u64, wanted: u64, seed: u64) -> Vec<u64> {
    let mut bytes = [0; 8];
    SeededRandom::new(seed).fill(&mut bytes);
    let wanted = wanted.clamp(1, operations);
    let start = u64::from_le_bytes(bytes) % operations;
    (0..wanted)
        .map(|index| (start + index * operations / wanted) % operations)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_a_backup_is_killed_or_stopped_the_next_one_finds_nothing_of_it() {
    if !cfg!(target_os = "linux") {
        println!("kills at an operation are made on Linux only");
        return;
    }
    let still = Still::start().await;
    let file = still.file("one.backup");
    let backup = ["backup", &*file];
    let operations = still.operations(&backup).await;
    let kills = points(operations, count("PORTCULLIS_RESTORES", 6), seed());
    for &spared in &kills {
        std::fs::remove_file(&file).unwrap();
        let ran = still.interrupted(&backup, Fault::Kills, spared).await;
        if !ran.worked && Path::new(&file).exists() {
            // After it had its name.
            still.must_run(&["backup", "verify", &file]).await;
            std::fs::remove_file(&file).unwrap();
        }
        if !Path::new(&file).exists() {
            still.must_run(&backup).await;
        }
        assert_eq!(still.leftovers(), Vec::<String>::new(), "at {spared}");
        let left = names_in(&still.disk.folder);
        assert!(
            !left.iter().any(|name| name.contains("unfinished")),
            "at {spared}: {left:?}"
        );
    }
    for signal in ["-INT", "-TERM"] {
        std::fs::remove_file(&file).unwrap();
        // Slow, so that the signal comes in the middle.
        still.disk.fails(Fault::Slow, Duration::from_millis(700));
        let child = still.command(&backup).spawn().unwrap();
        while !still
            .leftovers()
            .iter()
            .any(|name| name.starts_with(".backup"))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let id = child.id().unwrap().to_string();
        let begun = Instant::now();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.unwrap().success());
        let ran = Ran::of_child(child).await;
        let took = begun.elapsed();
        still.disk.heals();
        assert!(
            !ran.worked && ran.err.contains("stopped by a signal"),
            "{}",
            ran.err
        );
        assert!(
            took < Duration::from_secs(5),
            "{signal} was heard after {took:?}"
        );
        assert_eq!(still.leftovers(), Vec::<String>::new(), "{signal}");
        assert!(!Path::new(&file).exists(), "{signal}");
        still.must_run(&backup).await;
    }
    println!(
        "disk: a backup killed at {} of its {operations} operations, and stopped by SIGINT and SIGTERM, left nothing \
         that the next one did not remove, seed {}",
        kills.len(),
        seed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_a_restore_is_killed_the_old_authority_stands_whole_or_the_backup_does() {
    if !cfg!(target_os = "linux") {
        println!("kills at an operation are made on Linux only");
        return;
    }
    let still = Still::start().await;
    let elsewhere = still.outer.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    make_authority(&elsewhere, "new@example.com").await;
    let (old, new) = (still.file("old.backup"), still.file("new.backup"));
    let made = Ran::of(
        &mut command_on(&elsewhere.join("data"), &["backup", &new]),
        "",
    )
    .await;
    assert!(made.worked, "{}", made.err);
    still.must_run(&["backup", &old]).await;
    let restore = ["restore", &*new, "--replace"];
    let back = ["restore", &*old, "--replace"];
    let operations = still.operations(&restore).await;
    still.must_run(&back).await;
    // The steps in which files change their places are the last.
    let number = count("PORTCULLIS_RESTORES", 6).max(2);
    let last = operations.min(60);
    let mut at = points(operations, number / 2, seed());
    at.extend(
        points(last, number - number / 2, seed())
            .iter()
            .map(|at| operations - last + at),
    );
    let mut tries: Vec<_> = at.iter().map(|&spared| (Fault::Kills, spared)).collect();
    let failing = [
        Fault::Full,
        Fault::WriteFails,
        Fault::SyncFails,
        Fault::ReadOnly,
    ];
    for (turn, fault) in failing.into_iter().enumerate() {
        let mine = at.iter().skip(turn).step_by(failing.len());
        tries.extend(mine.map(|&spared| (fault, spared)));
    }
    let (mut stood, mut finished) = (0, 0);
    for &(fault, spared) in &tries {
        let before = still.files();
        let ran = still.interrupted(&restore, fault, spared).await;
        let left = still.leftovers().join(" ");
        let users = still.must_run(&["users", "list"]).await;
        let after = still.files();
        let is_new = users.out.contains("new@");
        let at = format!("{} after {spared} operations", fault.name());
        assert!(is_new != users.out.contains("old@"), "{at}: {}", users.out);
        assert!(
            is_new || !ran.worked,
            "{at}: it worked, and the old authority stands"
        );
        for name in FILES {
            assert_eq!(before[name] != after[name], is_new, "{name}: {at}");
        }
        if left.contains(".exchange") {
            assert!(
                is_new && users.err.contains("the backup stands"),
                "{at}: {}",
                users.err
            );
        } else if left.contains(".restore") && !ran.worked {
            let said = users.err.contains("what was here before it stands");
            assert!(!is_new && said, "{at}: {}", users.err);
        }
        assert_eq!(still.leftovers(), Vec::<String>::new(), "{at}");
        match is_new {
            true => finished += 1,
            false => stood += 1,
        }
        if is_new {
            let found = integrity(&still.data().join("portcullis.db")).await;
            assert_eq!(found, Vec::<String>::new(), "{at}");
            still.must_run(&back).await;
        }
    }
    println!(
        "disk: a restore of {operations} operations was killed {} times and had a failing disk {} times: {stood} times the \
         old authority stood whole, {finished} times the backup, and the next command said which, seed {}",
        at.len(),
        tries.len() - at.len(),
        seed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_on_a_disk_that_fails_says_so_and_the_next_one_works() {
    if !cfg!(target_os = "linux") {
        println!("a failing disk is simulated on Linux only");
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let disk = Disk::new(outer.path());
    let each = count("PORTCULLIS_RESTORES", 6).div_ceil(6);
    let mut refused = 0;
    let mut tried = 0;
    for fault in [
        Fault::Full,
        Fault::WriteFails,
        Fault::SyncFails,
        Fault::ReadOnly,
        Fault::Kills,
    ] {
        for spared in points(60, each, seed() + tried) {
            let data = disk.folder.join(format!("data{tried}"));
            let port = testkit::unused_port().await.to_string();
            let arguments = [
                "up",
                "--no-open",
                "--ready-json",
                "--port",
                &*port,
                "--data-dir",
            ];
            tried += 1;
            let mut first = command(&arguments);
            first.arg(&data).envs(disk.environment());
            disk.fails_after(spared, fault, Duration::ZERO);
            let mut child = first.spawn().unwrap();
            let ended = tokio::time::timeout(Duration::from_secs(4), child.wait()).await;
            let at = format!("{} after {spared} operations", fault.name());
            if ended.is_err() {
                // It serves: all that a start needs was written before.
                child.kill().await.unwrap();
            } else {
                let ran = Ran::of_child(child).await;
                let named = ran.err.contains(&*disk.folder.to_string_lossy());
                let said = ran.err.contains("error: ") && named;
                assert!(
                    !ran.worked && (said || fault == Fault::Kills),
                    "{at}: {}",
                    ran.err
                );
                refused += 1;
            }
            disk.heals();
            let mut next = command(&arguments);
            next.arg(&data).envs(disk.environment());
            let mut child = next.spawn().unwrap();
            let mut line = String::new();
            let mut stdout = BufReader::new(child.stdout.take().unwrap());
            let ready = tokio::time::timeout(Duration::from_secs(60), stdout.read_line(&mut line));
            ready.await.unwrap().unwrap();
            if line.is_empty() {
                panic!(
                    "{at}, and then it does not start: {}",
                    Ran::of_child(child).await.err
                );
            }
            child.kill().await.unwrap();
        }
    }
    println!(
        "disk: of {tried} first starts with a failing disk or a SIGKILL in the middle {refused} ended, each that was not \
         killed with an error that names a file, and the others served; each next start worked, seed {}",
        seed()
    );
}
