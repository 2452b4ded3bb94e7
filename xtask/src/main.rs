//! Developer tasks. `cargo xtask test` is exactly what CI runs.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

mod bench;
mod browser;
mod cargo;
mod clone_time;
mod command;
mod conformance;
mod deploy;
mod dist;
mod evidence;
mod fuzz;
mod interop;
mod mutants;
mod person;
mod postgres;
mod project;
mod prove;
mod stack;
mod steps;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Developer tasks", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything CI checks, in debug builds and with small fixed counts
    Test {
        /// Only these steps; may be repeated
        #[arg(long, value_enum, value_name = "STEP")]
        only: Vec<test::Step>,
    },
    /// The same checks with full counts on release builds; writes docs/evidence
    Prove {
        /// Only these; may be repeated
        #[arg(long, value_enum, value_name = "NAME")]
        only: Vec<prove::Proof>,
        /// Where the random choices start [default: the time]
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Every figure beside its floor, measured in the same run on release builds
    Bench {
        /// Passed on to the measuring program
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Random input against every promise of tests/fuzz, steered by coverage
    Fuzz {
        /// Only this target
        target: Option<String>,
        /// How long each target runs
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Small faults put into the functions that check, each of which a test must notice
    Mutants {
        /// Only this group of files
        group: Option<String>,
    },
    /// The time from clone to the first authorized call, release build included
    Time,
    /// The release: a static program for Linux in an archive, which is then used as a newcomer would
    Dist,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test { only } => test::run(&only),
        Task::Prove { only, seed } => prove::run(&only, seed),
        Task::Bench { arguments } => bench::run(&arguments).map(|()| true),
        Task::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Task::Mutants { group } => mutants::run(group.as_deref()),
        Task::Time => clone_time::run().map(|()| true),
        Task::Dist => dist::run().map(|_| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
