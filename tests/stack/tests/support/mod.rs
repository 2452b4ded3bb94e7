//! What the tests of durability share: counts, shims, starts.

#![allow(dead_code, reason = "each test file uses its share")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

pub mod ledger;

use std::path::{Path, PathBuf};
use std::process::Command;

use stack_tests::Up;

pub const EMAIL: &str = "ada@example.com";
pub const PASSWORD: &str = "correct horse battery staple";

pub fn root() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .unwrap()
}

/// A count from the environment, or the small one of every day.
pub fn count(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(usual, |text| text.parse().unwrap())
}

/// The seed of this run; printed with every result, so that a run can be repeated.
pub fn seed() -> u64 {
    count("PORTCULLIS_SEED", 20_261_120)
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The same binary with `synchronous=NORMAL`: what must fail.
pub fn weakened_binary() -> PathBuf {
    PathBuf::from(
        std::env::var_os("PORTCULLIS_WEAKENED_BIN")
            .expect("cargo xtask test builds it and names it"),
    )
}

/// Compiles a shim of `tests/stack/shim` to a shared library.
pub fn build_shim(name: &str) -> PathBuf {
    let folder = target().join("shim");
    std::fs::create_dir_all(&folder).unwrap();
    let library = folder.join(format!("{name}-{}.so", std::process::id()));
    // Aside first: another test of this process may be starting a program with it, which would go on without it.
    let aside = tempfile::NamedTempFile::new_in(&folder).unwrap();
    let status = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(aside.path())
        .arg(root().join("tests/stack/shim").join(format!("{name}.c")))
        .args(["-ldl", "-lpthread"])
        .status()
        .unwrap();
    assert!(status.success(), "cc {name}.c");
    aside.persist(&library).unwrap();
    library
}

/// First start on `directory`, with one person who may sign in.
pub async fn first_start(binary: &Path, directory: &Path) -> Up {
    let server = start_of(binary, directory, &[]).await;
    server.add_user(EMAIL, PASSWORD).await.unwrap();
    server
}

/// A start that must succeed.
pub async fn start_of(binary: &Path, directory: &Path, environment: &[(&str, String)]) -> Up {
    try_start_of(binary, directory, environment)
        .await
        .expect("portcullis up serves")
}

/// An error when it ended before it served.
pub async fn try_start_of(
    binary: &Path,
    directory: &Path,
    environment: &[(&str, String)],
) -> anyhow::Result<Up> {
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Up::start_binary(binary, &directory.join("data"), &[], &environment).await
}

/// SIGTERM, and it must end in good order.
pub async fn stop(server: Up) {
    let (status, _) = server.terminate().await.unwrap();
    assert!(status.success(), "SIGTERM ended it with {status}");
}
