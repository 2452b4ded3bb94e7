use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use sdk::Era;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child as Process, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use wire::mcp::message::{Message, Notification, Outcome, Request, RequestId};
use wire::mcp::{Limits, Object, read_server_message};

use super::exchange::Exchange;
use super::lines::{Lines, printable};
use super::outlet::{Outgoing, outlet};
use super::spawn::{ProcessGroup, spawn};
use super::{StdioLimits, StdioSettings};

/// Lines that may wait for the child to read them.
const INPUT_LINES_MAX: usize = 64;
/// How long a caller waits for the child to read.
const INPUT_PATIENCE: Duration = Duration::from_secs(30);
/// How long what a dead child wrote last is read.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(500);

/// A running child. It ends when it is told to, when nobody has used it for a while, or by itself.
#[derive(Debug)]
pub(super) struct Child {
    exchange: Mutex<Exchange>,
    input: mpsc::Sender<Vec<u8>>,
    last_used: Mutex<Instant>,
    /// It is to end.
    stop: CancellationToken,
    /// It closed its standard output.
    silent: CancellationToken,
    /// It is gone; `epitaph` says how.
    ended: CancellationToken,
    epitaph: OnceLock<String>,
    limits: StdioLimits,
}

impl Child {
    /// Starts one.
    ///
    /// # Errors
    /// In words that name the command.
    pub(super) fn start(
        settings: &StdioSettings,
        era: Era,
        idle: Duration,
    ) -> Result<Arc<Self>, String> {
        let (mut process, group) = spawn(settings)?;
        let (input, lines) = mpsc::channel(INPUT_LINES_MAX);
        let child = Arc::new(Self {
            exchange: Mutex::new(Exchange::new(era, settings.limits.pending_max)),
            input,
            last_used: Mutex::new(Instant::now()),
            stop: CancellationToken::new(),
            silent: CancellationToken::new(),
            ended: CancellationToken::new(),
            epitaph: OnceLock::new(),
            limits: settings.limits.clone(),
        });
        if let Some(stdin) = process.stdin.take() {
            tokio::spawn(write(stdin, lines, child.stop.clone()));
        }
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(relay(stderr, settings.clone()));
        }
        let stdout = process.stdout.take();
        let reading = tokio::spawn(read(stdout, Arc::clone(&child), settings.clone()));
        tokio::spawn(supervise(Arc::clone(&child), process, group, reading, idle));
        Ok(child)
    }

    /// What goes on with its callers.
    pub(super) fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.exchange
            .lock()
            .expect("nothing panics while holding the exchange")
    }

    /// Writes one message to it.
    ///
    /// # Errors
    /// In words when it is gone or does not read.
    pub(super) async fn send(&self, message: Vec<u8>) -> Result<(), String> {
        self.touch();
        match timeout(INPUT_PATIENCE, self.input.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.epitaph()),
            Err(_) => Err(format!(
                "the MCP server process has not read its standard input for {} s",
                INPUT_PATIENCE.as_secs()
            )),
        }
    }

    /// Writes one message to it if that needs no waiting.
    pub(super) fn send_at_once(&self, message: Vec<u8>) {
        if self.input.try_send(message).is_err() {
            tracing::debug!(
                "a message to a stdio child was dropped, for it does not read or is gone"
            );
        }
    }

    /// Asks it something of our own.
    ///
    /// # Errors
    /// In words when it does not answer in time or is gone.
    pub(super) async fn ask(
        &self,
        method: &str,
        params: Object,
        patience: Duration,
    ) -> Result<Outcome, String> {
        let (outlet, mut inlet) = outlet(false);
        let request = Request {
            id: RequestId::Integer(0),
            method: method.to_owned(),
            params: Some(params),
        };
        let (_, bytes) = self
            .exchange()
            .admit(request, outlet)
            .map_err(|_| "too many requests are unanswered".to_owned())?;
        let answering = async {
            self.send(bytes).await?;
            match inlet.next().await {
                Some(Outgoing::Answer { text, .. }) => {
                    match read_server_message(text.as_bytes(), &self.json_limits()) {
                        Ok(Message::Response(response)) => Ok(response.outcome),
                        _ => Err(format!("the answer to {method} cannot be read")),
                    }
                }
                Some(Outgoing::Failed(reason)) => Err(reason),
                _ => Err(self.epitaph()),
            }
        };
        timeout(patience, answering).await.unwrap_or_else(|_| {
            Err(format!(
                "the MCP server process has not answered {method} within {} s",
                patience.as_secs()
            ))
        })
    }

    /// Tells it something of our own.
    ///
    /// # Errors
    /// In words when it is gone or does not read.
    pub(super) async fn tell(&self, method: &str) -> Result<(), String> {
        let notification = Message::Notification(Notification {
            method: method.to_owned(),
            params: None,
        });
        self.send(notification.to_bytes()).await
    }

    /// Notes that it is in use.
    pub(super) fn touch(&self) {
        *self.last_used() = Instant::now();
    }

    /// For how long nobody has used it.
    pub(super) fn idle_for(&self) -> Duration {
        if self.exchange().has_company() {
            self.touch();
        }
        self.last_used().elapsed()
    }

    /// Tells it to end: its standard input is closed, then come SIGTERM and SIGKILL.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether it takes requests.
    pub(super) fn is_up(&self) -> bool {
        !self.stop.is_cancelled() && !self.ended.is_cancelled()
    }

    /// Whether its process is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until its process is gone.
    pub(super) async fn gone(&self) {
        self.ended.cancelled().await;
    }

    /// How it ended, in words.
    pub(super) fn epitaph(&self) -> String {
        let words = self.epitaph.get().map(String::as_str);
        words
            .unwrap_or("the MCP server process is ending")
            .to_owned()
    }

    pub(super) fn limits(&self) -> &StdioLimits {
        &self.limits
    }

    fn json_limits(&self) -> Limits {
        Limits {
            bytes_max: self.limits.line_bytes_max,
            ..Limits::default()
        }
    }

    fn last_used(&self) -> MutexGuard<'_, Instant> {
        self.last_used
            .lock()
            .expect("nothing panics while holding a time")
    }

    fn end(&self, words: String) {
        let words = self.epitaph.get_or_init(|| words);
        self.stop.cancel();
        self.exchange().fail_all(words);
        self.ended.cancel();
    }
}

/// Writes until the child stops reading or is to end; dropping the pipe is how a child hears that it may go.
async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>, stop: CancellationToken) {
    loop {
        let mut line = tokio::select! {
            () = stop.cancelled() => return,
            line = lines.recv() => match line {
                Some(line) => line,
                None => return,
            },
        };
        line.push(b'\n');
        let written = tokio::select! {
            () = stop.cancelled() => return,
            written = stdin.write_all(&line) => written,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn read(stdout: Option<ChildStdout>, child: Arc<Child>, settings: StdioSettings) {
    let limits = child.json_limits();
    if let Some(stdout) = stdout {
        let mut lines = Lines::new(stdout, limits.bytes_max);
        while let Ok(Some(line)) = lines.next().await {
            if line.truncated {
                let reason = format!(
                    "the MCP server process answered with more than {} bytes",
                    limits.bytes_max
                );
                tracing::warn!(reason, "an answer of a stdio child was thrown away");
                child.exchange().fail_pending(&reason);
                continue;
            }
            if line.bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match read_server_message(&line.bytes, &limits) {
                Ok(message) => {
                    let back = child.exchange().receive(message);
                    if let Some(back) = back {
                        child.send_at_once(back);
                    }
                }
                // Programs that print to the wrong stream are common; their line is for people.
                Err(error) => {
                    tracing::debug!(%error, "a stdio child wrote a line that is no MCP message");
                    let shown = line.bytes.len().min(settings.limits.stderr_line_bytes_max);
                    show(
                        &settings,
                        &format!("(stdout) {}", printable(&line.bytes[..shown])),
                    );
                }
            }
        }
    }
    child.silent.cancel();
}

async fn relay(stderr: ChildStderr, settings: StdioSettings) {
    let mut lines = Lines::new(stderr, settings.limits.stderr_line_bytes_max);
    while let Ok(Some(line)) = lines.next().await {
        let mut text = printable(&line.bytes);
        if line.truncated {
            text.push_str(" [...]");
        }
        show(&settings, &text);
    }
}

fn show(settings: &StdioSettings, line: &str) {
    match &settings.stderr {
        Some(sink) => sink.take(line),
        None => tracing::info!(command = settings.command, line, "stdio child"),
    }
}

async fn supervise(
    child: Arc<Child>,
    mut process: Process,
    group: ProcessGroup,
    mut reading: JoinHandle<()>,
    idle: Duration,
) {
    let patience = child.limits.stop_patience;
    let words = loop {
        let until_idle = idle.saturating_sub(child.idle_for());
        tokio::select! {
            status = process.wait() => break match status {
                Ok(status) => format!("the MCP server process ended ({status})"),
                Err(error) => format!("the MCP server process was lost: {error}"),
            },
            () = child.silent.cancelled() => {
                child.stop();
                break match timeout(patience, process.wait()).await {
                    Ok(Ok(status)) => format!("the MCP server process ended ({status})"),
                    _ => {
                        end(&mut process, &group, patience).await;
                        "the MCP server process closed its standard output".to_owned()
                    }
                };
            }
            () = child.stop.cancelled() => {
                end(&mut process, &group, patience).await;
                break "the MCP server process was ended".to_owned();
            }
            () = sleep(until_idle.max(Duration::from_millis(10))) => {
                if child.idle_for() >= idle {
                    tracing::debug!("a stdio child has not been used for a while and ends");
                    child.stop();
                }
            }
        }
    };
    child.stop();
    // A launcher such as npx may have died before the server that it started.
    group.kill();
    if timeout(LAST_WORDS_PATIENCE, &mut reading).await.is_err() {
        reading.abort();
    }
    tracing::debug!(words, "a stdio child is gone");
    child.end(words);
}

/// Ends the process, politely first. Its standard input is closed already.
async fn end(process: &mut Process, group: &ProcessGroup, patience: Duration) {
    if timeout(patience, process.wait()).await.is_ok() {
        return;
    }
    group.terminate();
    if timeout(patience, process.wait()).await.is_ok() {
        return;
    }
    group.kill();
    let _ = process.wait().await;
}
