use std::ffi::OsString;
use std::io;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child as Process, Command};

use super::StdioSettings;

/// What a program needs to find others and to know where it is at home. Everything else that stands in our own
/// environment may be a secret, and stays here.
const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "TERM", "TMPDIR", "SHELL"];

/// Starts the child in a process group of its own, so that it ends with everything it started, and so that Ctrl-C in
/// our terminal does not end it before we have drained.
///
/// # Errors
/// In words that name the command and what to check.
pub(super) fn spawn(settings: &StdioSettings) -> Result<(Process, ProcessGroup), String> {
    let process = Command::new(&settings.command)
        .args(&settings.args)
        .env_clear()
        .envs(clean_environment(std::env::vars_os()))
        .envs(settings.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&settings.directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| in_words(settings, &error))?;
    let group = ProcessGroup::of(&process);
    Ok((process, group))
}

fn clean_environment(
    ours: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    ours.filter(|(name, _)| {
        name.to_str()
            .is_some_and(|name| INHERITED.contains(&name) || name.starts_with("LC_"))
    })
}

fn in_words(settings: &StdioSettings, error: &io::Error) -> String {
    let command = &settings.command;
    match error.kind() {
        _ if !settings.directory.is_dir() => format!(
            "the working directory {} of the MCP server does not exist",
            settings.directory.display()
        ),
        io::ErrorKind::NotFound => format!(
            "the command {command:?} of the MCP server was not found; is it installed and in PATH?"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("the command {command:?} of the MCP server may not be executed")
        }
        _ => format!("the command {command:?} of the MCP server cannot be started: {error}"),
    }
}

/// The child and everything it started. Whoever is left is killed when this is dropped.
#[derive(Debug)]
pub(super) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(process: &Process) -> Self {
        let id = process.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Asks the group to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the group.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It fails when the group is gone already, which is what was wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_keeps_what_a_program_needs_and_nothing_that_may_be_a_secret() {
        let ours = [
            "PATH",
            "HOME",
            "LC_ALL",
            "LANG",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "LCX",
            "path",
            "PORTCULLIS_DATA_DIR",
            "NODE_OPTIONS",
            "LD_PRELOAD",
        ];
        let ours = ours.map(|name| (OsString::from(name), OsString::from("1")));
        let kept: Vec<_> = clean_environment(ours.into_iter())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(kept, ["PATH", "HOME", "LC_ALL", "LANG"]);
    }
}
