use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How to start a child and how much of it to bear.
#[derive(Clone)]
pub struct StdioSettings {
    /// The program, looked up in `PATH` when it has no slash.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables added to the clean environment.
    pub env: Vec<(String, String)>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Who hears what it writes to its standard error; the log when nobody does.
    pub stderr: Option<StderrSink>,
    /// Counts, sizes and times.
    pub limits: StdioLimits,
}

/// What one MCP server's children may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StdioLimits {
    /// Children at one time.
    pub children_max: usize,
    /// Children of one principal at one time.
    pub children_per_principal_max: usize,
    /// How long a legacy session may be unused.
    pub session_idle: Duration,
    /// How long a modern child may be unused.
    pub modern_idle: Duration,
    /// After how much disuse a session makes room for a new one of the same principal, so that a client that forgets
    /// its sessions does not lock itself out.
    pub evict_after: Duration,
    /// The longest line that is read from its standard output.
    pub line_bytes_max: usize,
    /// The longest line of its standard error that is shown; the rest of it is cut off.
    pub stderr_line_bytes_max: usize,
    /// Requests that one child may have unanswered.
    pub pending_max: usize,
    /// How long it may be silent before an answer becomes an event stream that is kept alive.
    pub quiet: Duration,
    /// How long it may take to answer `server/discover` before it counts as a legacy server.
    pub probe_timeout: Duration,
    /// How long each question of the first inventory may take; the first one includes what `npx` downloads.
    pub discover_timeout: Duration,
    /// How long it gets to end by itself, first after its standard input was closed, then after SIGTERM.
    pub stop_patience: Duration,
}

impl Default for StdioLimits {
    fn default() -> Self {
        Self {
            children_max: 16,
            children_per_principal_max: 4,
            session_idle: Duration::from_secs(30 * 60),
            modern_idle: Duration::from_secs(5 * 60),
            evict_after: Duration::from_secs(60),
            line_bytes_max: 16 * 1024 * 1024,
            stderr_line_bytes_max: 4 * 1024,
            pending_max: 256,
            quiet: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(5),
            discover_timeout: Duration::from_secs(120),
            stop_patience: Duration::from_secs(2),
        }
    }
}

impl StdioSettings {
    /// A child without variables of its own, with the usual limits, whose standard error goes to the log.
    pub fn new(command: impl Into<String>, args: Vec<String>, directory: PathBuf) -> Self {
        Self {
            command: command.into(),
            args,
            env: Vec::new(),
            directory,
            stderr: None,
            limits: StdioLimits::default(),
        }
    }
}

/// Who hears its standard error is no part of what a child is: a new listener alone is no reason to start it anew.
impl PartialEq for StdioSettings {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            command,
            args,
            env,
            directory,
            stderr: _,
            limits,
        } = self;
        *command == other.command
            && *args == other.args
            && *env == other.env
            && *directory == other.directory
            && *limits == other.limits
    }
}

impl Eq for StdioSettings {}

impl fmt::Debug for StdioSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of variables are often keys.
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("StdioSettings")
            .field("command", &self.command)
            .field("args", &self.args.len())
            .field("env", &names)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// Takes the lines of a child's standard error: bounded, without control characters, without a line end.
#[derive(Clone)]
pub struct StderrSink(Arc<dyn Fn(&str) + Send + Sync>);

impl StderrSink {
    /// A sink that calls `take` for each line. It runs on the reading task, so it must not wait.
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub(super) fn take(&self, line: &str) {
        (self.0)(line);
    }
}

impl fmt::Debug for StderrSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StderrSink")
    }
}
