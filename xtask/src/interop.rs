//! Clients that others wrote, each with every way of getting a client id: `tests/stack/tests/interop`.

use std::path::Path;

use crate::cargo;
use crate::steps::Count;
use crate::tools;

/// Installs and runs them all.
pub fn run(binary: &Path) -> anyhow::Result<Count> {
    tools::javascript()?;
    tools::python()?;
    tools::faketime()?;
    let environment = [(
        "PORTCULLIS_BIN".to_owned(),
        binary.to_string_lossy().into_owned(),
    )];
    let (count, _) = cargo::test(
        "interop",
        &[
            "--workspace",
            "--test",
            "interop",
            "--no-fail-fast",
            "--",
            "--include-ignored",
            "--nocapture",
            "--test-threads=2",
        ],
        &environment,
    )?;
    Ok(count)
}
