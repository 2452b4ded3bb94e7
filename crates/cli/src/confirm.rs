use std::io::{IsTerminal as _, Write as _};

use crate::failure::usage;

/// Asks on the terminal.
///
/// # Errors
/// When nobody is there, or they did not say yes.
pub fn agreed(question: &str) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(usage(
            "nobody is there to be asked; say --yes when it is to be done",
        ));
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush())?;
    let mut answer = String::new();
    stdin.read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(usage("nothing was changed")),
    }
}
