//! Commands with a time limit, whose output goes to a file and is shown when they fail.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::project;

/// Lines of a failed command that are shown.
const LINES_SHOWN: usize = 120;

/// What a command printed, and how it ended.
pub struct Outcome {
    /// How it ended; none when it was ended for taking too long.
    pub status: Option<ExitStatus>,
    /// Standard output and standard error.
    pub output: String,
    /// Where `output` was kept.
    pub log: PathBuf,
}

impl Outcome {
    /// Whether it ended by itself with 0.
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// An error that shows the end of the output, unless it succeeded.
    pub fn check(self, what: &str) -> anyhow::Result<Self> {
        if self.succeeded() {
            return Ok(self);
        }
        let lines: Vec<&str> = self.output.lines().collect();
        for line in &lines[lines.len().saturating_sub(LINES_SHOWN)..] {
            println!("    | {line}");
        }
        match self.status {
            Some(status) => bail!("{what}: {status}; all of it is in {}", self.log.display()),
            None => bail!(
                "{what}: ended for taking too long; see {}",
                self.log.display()
            ),
        }
    }
}

/// Runs `command` in the project's folder for at most `limit`; `name` names its log.
pub fn run(name: &str, command: &mut Command, limit: Duration) -> anyhow::Result<Outcome> {
    std::fs::create_dir_all(project::logs())?;
    let log = project::logs().join(format!("{name}.log"));
    let out = File::create(&log)?;
    let program = command.get_program().to_string_lossy().into_owned();
    if command.get_current_dir().is_none() {
        command.current_dir(project::root());
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let status = wait(&mut child, limit)?;
    let output = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    Ok(Outcome {
        status,
        output,
        log,
    })
}

/// Waits for at most `limit`, then ends the child.
pub fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let until = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that runs beside the checks and is ended with this value.
pub struct Background {
    child: Child,
    name: String,
    /// The first line it printed on standard output.
    pub first_line: String,
    /// Where its standard error goes.
    pub log: PathBuf,
}

impl Background {
    /// Starts `command` and waits for its first line; its standard error goes to the log of `name`.
    pub fn start(name: &str, command: &mut Command, limit: Duration) -> anyhow::Result<Self> {
        std::fs::create_dir_all(project::logs())?;
        let log = project::logs().join(format!("{name}.log"));
        let mut child = command
            .current_dir(project::root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let (send, receive) = mpsc::channel();
        // Reads to the end, so that a process which prints more never meets a full or closed pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                let _ = send.send(line);
            }
        });
        let mut started = Self {
            child,
            name: name.to_owned(),
            first_line: String::new(),
            log: log.clone(),
        };
        match receive.recv_timeout(limit) {
            Ok(line) => started.first_line = line,
            Err(_) => {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("{name} did not start: {}", said.trim());
            }
        }
        Ok(started)
    }

    /// Asks it to stop, as a terminal's Ctrl-C would, and says how it ended.
    pub fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal("INT");
        wait(&mut self.child, Duration::from_secs(30))?
            .with_context(|| format!("{} did not stop when asked", self.name))
    }

    fn signal(&self, signal: &str) {
        let _ = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.child.id().to_string())
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("INT");
            let _ = wait(&mut self.child, Duration::from_secs(10));
        }
    }
}

/// Whether a program of that name is on the path.
pub fn exists(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}
