//! A PostgreSQL standby that was behind when it was promoted.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base::Secret;
use sqlx::Connection as _;
use store::{DatabaseUrl, Redeemed, Rotated, Store, StoreError, StoreOptions};
use testkit::MovableClock;

use crate::epoch::{Issued, all_is_dead, all_lives, spend_and_revoke};
use crate::fixture::{Fixture, at, redeem, rotate};

const PATIENCE: Duration = Duration::from_secs(60);

/// The account that PostgreSQL runs as when the test is root; it refuses to be root.
const NOBODY: u32 = 65534;

/// One server on a port and in a folder of its own.
struct Server {
    process: Option<Child>,
    data: PathBuf,
    port: u16,
}

fn programs() -> Option<PathBuf> {
    std::env::var_os("PORTCULLIS_TEST_POSTGRES_URL")?;
    (15..30)
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
        .chain(std::env::split_paths(&std::env::var_os("PATH")?))
        .find(|folder| folder.join("initdb").is_file())
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    fn at(data: PathBuf, port: u16) -> Self {
        Self {
            process: None,
            data,
            port,
        }
    }

    fn start(&mut self, programs: &Path) {
        let mut postgres = command(&programs.join("postgres"));
        postgres
            .arg("-D")
            .arg(&self.data)
            .args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k", ""])
            .args(["-c", "wal_level=replica", "-c", "max_wal_senders=4"])
            .args(["-c", "hot_standby=on", "-c", "shared_buffers=16MB"])
            .current_dir(self.data.parent().unwrap());
        self.process = Some(postgres.spawn().unwrap());
        let started = Instant::now();
        loop {
            let ready = Command::new(programs.join("pg_isready"))
                .args(["-h", "127.0.0.1", "-q", "-p", &self.port.to_string()])
                .status()
                .unwrap();
            if ready.success() {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = Command::new("kill")
                .args(["-INT", &process.id().to_string()])
                .status();
            let _ = process.wait();
        }
    }

    async fn ask(&self, sql: &'static str) -> String {
        let mut connection = sqlx::PgConnection::connect(&self.url()).await.unwrap();
        let answer = sqlx::query_scalar(sql)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        answer
    }

    /// Waits until the standby answers `wanted`.
    async fn says(&self, sql: &'static str, wanted: &str) {
        let started = Instant::now();
        while self.ask(sql).await != wanted {
            assert!(started.elapsed() < PATIENCE, "{sql} never says {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    async fn open(&self) -> Result<Store, StoreError> {
        let url = DatabaseUrl::Postgres {
            url: Secret::new(self.url()),
            schema: None,
        };
        Store::open(StoreOptions::new(url), &MovableClock::default()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The primary is restarted once, and everything goes on. Then its standby stops following, a code is spent and a grant
/// revoked, and the standby takes the primary's place, at its very address, under a node that runs; then the first comes
/// back there.
#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_that_was_behind_revives_nothing_and_who_has_seen_it_refuses_the_primary_of_before()
 {
    let Some(programs) = programs() else { return };
    let folder = tempfile::tempdir().unwrap();
    if is_root() {
        std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut primary = Server::at(folder.path().join("primary"), free_port());
    run(command(&programs.join("initdb"))
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
        .args(["--locale=C", "--no-instructions", "--pgdata"])
        .arg(&primary.data)
        .current_dir(folder.path()));
    primary.start(&programs);
    let node = primary.open().await.unwrap();
    let fixture = Fixture::new(&node).await;
    let before = Issued::by(&fixture).await;
    let issued = Issued::by(&fixture).await;

    primary.stop();
    primary.start(&programs);
    all_lives(&node, &fixture, &before).await;
    assert_eq!(node.epoch().number, 1);

    let mut standby = Server::at(folder.path().join("standby"), free_port());
    run(command(&programs.join("pg_basebackup"))
        .args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
        ])
        .args(["-p", &primary.port.to_string(), "-D"])
        .arg(&standby.data)
        .current_dir(folder.path()));
    standby.start(&programs);
    let refused = standby.open().await.unwrap_err().to_string();
    assert!(refused.contains("is a standby"), "{refused}");
    standby.stop();

    spend_and_revoke(&node, &issued).await;
    primary.stop();
    std::fs::rename(&primary.data, folder.path().join("lost")).unwrap();
    standby.port = primary.port;
    standby.start(&programs);
    run(command(&programs.join("pg_ctl"))
        .args(["promote", "-w", "-D"])
        .arg(&standby.data)
        .current_dir(folder.path()));
    standby
        .says("SELECT pg_is_in_recovery()::text", "false")
        .await;

    // The node that ran all the time, and one that starts only now.
    all_is_dead(&node, &fixture, &issued).await;
    let other = standby.open().await.unwrap();
    let now = standby
        .ask("SELECT floor(extract(epoch FROM clock_timestamp()))::bigint::text")
        .await;
    for node in [&node, &other] {
        assert_eq!(node.epoch().number, 2);
        // By the database's clock, whatever the nodes believe, and after what a fast one may have issued.
        let ahead = node.epoch().began_at.unix_seconds() - now.parse::<i64>().unwrap();
        assert!((-60..=4).contains(&ahead), "{ahead} s ahead of PostgreSQL");
    }
    all_is_dead(&other, &fixture, &issued).await;
    let later = Issued::by(&Fixture {
        store: other.clone(),
        ..fixture.clone()
    })
    .await;
    let rotated = other
        .rotate_refresh_token(rotate(&later.refresh, at(20)))
        .await;
    assert_eq!(rotated.unwrap(), Rotated::Fresh);

    // The primary of before comes back at that address. Who has seen the new epoch does nothing there.
    standby.stop();
    let mut former = Server::at(folder.path().join("lost"), primary.port);
    former.start(&programs);
    let (one, two) = tokio::join!(
        node.redeem_code(redeem(&later.code, at(20))),
        other.redeem_code(redeem(&later.code, at(20)))
    );
    for refused in [one, two] {
        let refused = refused.expect_err("nothing is done there");
        let is_refusal = matches!(refused, StoreError::Busy | StoreError::Unavailable(_));
        assert!(is_refusal, "{refused:?}");
    }
    former.stop();
    standby.start(&programs);
    let started = Instant::now();
    loop {
        match other.redeem_code(redeem(&later.code, at(20))).await {
            Ok(redeemed) => break assert_eq!(redeemed, Redeemed::Fresh),
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
    }
    other.close().await;
    node.close().await;
}
