//! `portcullis connect`: adds a protected MCP server to a client's own configuration.

mod diff;
mod json_edit;
mod toml_edit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::json;
use url::Url;

use crate::args::{ConnectArguments, ConnectTarget};
use crate::terminal::Terminal;

const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How a client learns of a server.
enum Way {
    /// A file of its own, edited in place.
    File {
        path: PathBuf,
        edit: fn(text: &str, name: &str, url: &Url) -> anyhow::Result<String>,
    },
    /// Its own program; its file belongs to that program while it runs.
    Program {
        program: &'static str,
        arguments: Vec<String>,
    },
}

/// Where configuration files are. A value, so that tests need not change their own environment.
#[derive(Debug, Clone)]
pub struct Homes {
    /// The home directory.
    pub home: PathBuf,
    /// Where VS Code keeps its user settings.
    pub vscode_user: PathBuf,
    /// `$CODEX_HOME`, or `~/.codex`.
    pub codex: PathBuf,
}

impl Homes {
    /// From the environment.
    ///
    /// # Errors
    /// When there is no home directory.
    pub fn from_environment() -> anyhow::Result<Self> {
        let set = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let home = set("HOME")
            .ok_or_else(|| anyhow!("HOME is not set, so no client's configuration can be found"))?;
        let settings = match std::env::consts::OS {
            "macos" => home.join("Library/Application Support"),
            _ => set("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
        };
        Ok(Self {
            vscode_user: settings.join("Code/User"),
            codex: set("CODEX_HOME").unwrap_or_else(|| home.join(".codex")),
            home,
        })
    }
}

/// Runs `portcullis connect`.
///
/// # Errors
/// When the client's file cannot be understood or written; it is then as it was.
pub fn run(
    arguments: &ConnectArguments,
    url: &Url,
    homes: &Homes,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let name = match &arguments.name {
        Some(name) => name.to_string(),
        None => entry_name(url),
    };
    match way(arguments.client, &name, url, homes) {
        Way::File { path, edit } => {
            edit_file(
                &path,
                |text| edit(text, &name, url),
                arguments.dry_run,
                terminal,
            )?;
        }
        Way::Program {
            program,
            arguments: words,
        } => run_program(program, &words, arguments.dry_run, terminal)?,
    }
    if !arguments.dry_run {
        terminal.line(next_step(arguments.client, &name));
    }
    Ok(())
}

/// The last part of an MCP URL's path that is more than `mcp`, else `portcullis`.
pub fn entry_name(url: &Url) -> String {
    url.path_segments()
        .into_iter()
        .flatten()
        .rev()
        .find(|segment| domain::ServerSlug::parse(segment).is_ok() && *segment != "mcp")
        .unwrap_or("portcullis")
        .to_owned()
}

fn way(client: ConnectTarget, name: &str, url: &Url, homes: &Homes) -> Way {
    match client {
        ConnectTarget::ClaudeCode => Way::Program {
            program: "claude",
            arguments: [
                "mcp",
                "add",
                "--scope",
                "user",
                "--transport",
                "http",
                name,
                url.as_str(),
            ]
            .map(str::to_owned)
            .into(),
        },
        ConnectTarget::VsCode => Way::File {
            path: homes.vscode_user.join("mcp.json"),
            edit: |text, name, url| {
                let entry = json!({ "type": "http", "url": url.as_str() });
                json_edit::set_member(text, &["servers", name], &pretty(&entry))
            },
        },
        ConnectTarget::Cursor => Way::File {
            path: homes.home.join(".cursor/mcp.json"),
            edit: |text, name, url| {
                let entry = json!({ "url": url.as_str() });
                json_edit::set_member(text, &["mcpServers", name], &pretty(&entry))
            },
        },
        ConnectTarget::Codex => Way::File {
            path: homes.codex.join("config.toml"),
            edit: |text, name, url| toml_edit::set_server_url(text, name, url.as_str()),
        },
    }
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).expect("a value serialises")
}

fn next_step(client: ConnectTarget, name: &str) -> String {
    match client {
        ConnectTarget::ClaudeCode => {
            format!("Next: in Claude Code type /mcp, choose {name}, and authenticate.")
        }
        ConnectTarget::VsCode => {
            format!(
                "Next: in VS Code run \"MCP: List Servers\", choose {name}, and start it; it opens the browser."
            )
        }
        ConnectTarget::Cursor => {
            format!("Next: in Cursor open Settings, MCP, and choose Connect beside {name}.")
        }
        ConnectTarget::Codex => format!("Next: codex mcp login {name}"),
    }
}

fn edit_file(
    path: &Path,
    edit: impl FnOnce(&str) -> anyhow::Result<String>,
    dry_run: bool,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let shown = path.display();
    // Settings are often links into a repository of dotfiles: the link stays, its target changes.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = match fs::metadata(&real) {
        Ok(metadata) => {
            ensure!(
                metadata.len() <= FILE_BYTES_MAX,
                "{shown} is larger than {FILE_BYTES_MAX} bytes"
            );
            Some(fs::read_to_string(&real).with_context(|| format!("{shown} cannot be read"))?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{shown} cannot be read")),
    };
    let new = edit(old.as_deref().unwrap_or_default())
        .with_context(|| format!("{shown} was left as it is: it is not understood"))?;
    if old.as_deref() == Some(new.as_str()) {
        terminal.line(format!("{shown} has it already."));
        return Ok(());
    }
    terminal.line(format!(
        "{shown}{}",
        if old.is_none() { " (new)" } else { "" }
    ));
    terminal.diff(&diff::diff(old.as_deref().unwrap_or_default(), &new));
    if dry_run {
        terminal.line("Nothing was changed (--dry-run).");
        return Ok(());
    }
    if let Some(old) = &old {
        let backup = PathBuf::from(format!("{}.before-portcullis", real.display()));
        fs::write(&backup, old)
            .with_context(|| format!("the backup {} cannot be written", backup.display()))?;
        fs::set_permissions(&backup, fs::metadata(&real)?.permissions())?;
        terminal.line(format!("The old one is kept as {}.", backup.display()));
    }
    replace(&real, &new, old.is_some()).with_context(|| format!("{shown} cannot be written"))
}

/// Written aside and renamed, so that the client never reads half a file; the rights stay what they were.
fn replace(path: &Path, text: &str, existed: bool) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let aside = PathBuf::from(format!(
        "{}.portcullis-{}",
        path.display(),
        std::process::id()
    ));
    fs::write(&aside, text)?;
    if existed {
        fs::set_permissions(&aside, fs::metadata(path)?.permissions())?;
    }
    fs::rename(&aside, path)
}

fn run_program(
    program: &str,
    arguments: &[String],
    dry_run: bool,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let line = format!("{program} {}", arguments.join(" "));
    if dry_run {
        terminal.line(format!(
            "Would run: {line}\nNothing was changed (--dry-run)."
        ));
        return Ok(());
    }
    match Command::new(program).args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`{line}` failed ({status}); its own message is above"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("the program {program} is not on the PATH; where it is installed, run\n  {line}")
        }
        Err(error) => Err(error).with_context(|| format!("`{line}` cannot be run")),
    }
}
