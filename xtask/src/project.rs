//! Where things are.

use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// What a step writes for a person to read, one file per command.
pub fn logs() -> PathBuf {
    target().join("xtask")
}

/// Where tools are installed that are not the project's own.
pub fn tools() -> PathBuf {
    root().join(".tools")
}

/// The pinned Node.js.
pub fn node() -> PathBuf {
    root().join("tests/node_modules/.bin/node")
}

/// The Python of the clients' virtual environment.
pub fn python() -> PathBuf {
    tools().join("python/bin/python")
}
