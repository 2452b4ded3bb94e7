//! The same libraries through a day of naps, on a machine whose clock moves: their own refresh is what is tried here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::cell::{Cell, Registration};
use crate::driver::{Driver, Running, Said};

/// In minutes: within a token's hour, just over its end, over lunch, over night, and so on. A day in all.
const NAPS: [u64; 11] = [10, 49, 2, 55, 180, 540, 58, 1, 3, 302, 240];
/// After this one the server is restarted as well.
const NIGHT: u64 = 540;
const LIMIT: Duration = Duration::from_secs(150);
/// How long the gateway takes, in real time, to hear from the authority after its clock jumped.
const AWAKE: Duration = Duration::from_millis(750);

/// The library that stands between a program and the clock; Debian's package is libfaketime.
fn library() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("PORTCULLIS_FAKETIME").map(PathBuf::from);
    let debian = format!(
        "/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
        std::env::consts::ARCH
    );
    named
        .or_else(|| Some(PathBuf::from(debian)).filter(|path| path.exists()))
        .context("libfaketime is not installed")
}

/// The clock of server and client, moved by writing how far it is ahead.
struct Machine {
    file: PathBuf,
    ahead: u64,
    environment: Vec<(&'static str, String)>,
}

impl Machine {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("ahead");
        let text = |path: &Path| path.display().to_string();
        let machine = Self {
            environment: vec![
                ("LD_PRELOAD", text(&library()?)),
                ("FAKETIME_TIMESTAMP_FILE", text(&file)),
                ("FAKETIME_NO_CACHE", "1".into()),
                // As on a machine that was suspended: timers do not move with the clock.
                ("DONT_FAKE_MONOTONIC", "1".into()),
            ],
            file,
            ahead: 0,
        };
        machine.set()?;
        Ok(machine)
    }

    fn sleep(&mut self, minutes: u64) -> anyhow::Result<()> {
        self.ahead += minutes * 60;
        self.set()
    }

    fn set(&self) -> anyhow::Result<()> {
        // Whole at once: it is read all the time.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("+{}", self.ahead))?;
        Ok(std::fs::rename(new, &self.file)?)
    }
}

/// One client through one day.
pub async fn live(driver: Driver) -> anyhow::Result<()> {
    tokio::time::timeout(LIMIT, nap_and_wake(driver))
        .await
        .with_context(|| format!("{} took longer than {LIMIT:?}", driver.name))?
}

async fn nap_and_wake(driver: Driver) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut machine = Machine::new(folder.path())?;
    let mut cell = Cell::begin_in(
        driver.name,
        Registration::Dynamic,
        &[driver.redirect],
        machine.environment.clone(),
    )
    .await?;
    let naps = NAPS.map(|minutes| minutes.to_string()).join(" ");
    let environment = [&machine.environment[..], &[("NAPS", naps)]].concat();
    let mut running = Running::start(driver, &cell, &environment).await?;
    let result = loop {
        match running.next().await? {
            Said::Wish(want) => {
                let minutes = want.strip_prefix("sleep ").context(want.clone())?;
                let minutes: u64 = minutes.parse()?;
                machine.sleep(minutes)?;
                if minutes == NIGHT {
                    cell = cell.restart().await?;
                }
                tokio::time::sleep(AWAKE).await;
                running.done().await?;
            }
            Said::Result(result) => break result,
        }
    };
    let slept = result.steps.iter().filter(|step| step.starts_with("slept"));
    ensure!(slept.count() == NAPS.len(), "{:?}", result.steps);
    let refreshed = result.steps.last().context("a last step")?;
    ensure!(
        refreshed != "refreshed 0",
        "no token ended, so the clock did not move"
    );
    println!(
        "figure: {} {}, a simulated day with {} naps and a restart: {refreshed} times, asked its person once",
        driver.name,
        driver.version,
        NAPS.len()
    );
    Ok(())
}
