//! Measures Portcullis beside the floor of the same work, in one run, on the same cores.
//!
//! `bench run` starts each server as its own process pinned to one core and the load on the other, and prints a table.
//! The other subcommands are the processes it starts. `cargo xtask bench` builds and calls it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints figures"
)]

mod echo;
mod floor_oauth;
mod floor_proxy;
mod governed;
mod load;
mod process;
mod report;
mod run;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every measurement against the given binary and prints the table.
    Run(run::Options),
    /// The floor of the authorization server: axum, one signature, two writes in a grouped commit, nothing else.
    FloorOauth {
        /// Where its database is made.
        #[arg(long)]
        directory: PathBuf,
    },
    /// The floor of the gateway: a hyper proxy that looks up an already verified token by its digest.
    FloorProxy {
        /// The upstream's address.
        #[arg(long)]
        upstream: SocketAddr,
    },
    /// The upstream of the gateway measurements: a small echo MCP server.
    Echo {
        /// How many tools it lists.
        #[arg(long, default_value_t = 1)]
        tools: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Run(options) => single_threaded()?.block_on(run::run(options)),
        Command::FloorOauth { directory } => {
            multi_threaded()?.block_on(floor_oauth::serve(&directory))
        }
        Command::FloorProxy { upstream } => {
            multi_threaded()?.block_on(floor_proxy::serve(upstream))
        }
        Command::Echo { tools } => single_threaded()?.block_on(echo::serve(tools)),
    }
}

/// The same runtime as the binary that is measured.
fn multi_threaded() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

fn single_threaded() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
