//! How a command fails: one message that says what, why and what to change, and an exit code.

use std::fmt;
use std::process::ExitCode;

/// The command line cannot be what was meant: exit code 2, as for what clap refuses itself.
#[derive(Debug)]
struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error of the command line, found after it was parsed.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// The exit code of `error`.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Usage>() {
        Some(_) => ExitCode::from(2),
        None => ExitCode::from(1),
    }
}

/// The message: each cause on the way once, without repeating one that its parent has quoted.
pub fn message(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !cause.is_empty() && !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("disk full")
            .context("writing a failed: disk full")
            .context("up");
        assert_eq!(message(&error), "up: writing a failed: disk full");
    }
}
