//! The `portcullis` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis_cli::providers::install();
    portcullis_cli::main(std::env::args_os())
}
