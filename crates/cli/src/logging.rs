mod client_address;
mod lines;
mod panics;
mod rate_cap;

use std::sync::Arc;

use anyhow::Context as _;
use base::SystemClock;
use tracing::{Level, Metadata};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::usage;
use crate::terminal::{LogStream, Terminal};
use crate::traces::{self, TraceLayer};

pub use client_address::answering;
pub use lines::Format;
#[cfg(test)]
pub(crate) use lines::layer;
pub use panics::log_panics;
use rate_cap::RateCap;

/// Where refusals of the authority are logged.
const REFUSALS: &str = "portcullis_server::respond=info";

/// Sends the log to stderr. `filter` is what `--log` said; without it `RUST_LOG` counts, without that `default`; without
/// any, warnings, and where nobody looks on, in a file or a journal, refusals as well: whoever was refused has a reference
/// that leads there. On a terminal the line of the handshake has it.
///
/// # Errors
/// When the filter cannot be read.
pub fn install(
    filter: Option<&str>,
    default: Option<&str>,
    format: Format,
    traces: Option<TraceLayer>,
) -> anyhow::Result<()> {
    let filter = read_filter(filter, default)?;
    // Spans of traces are made when there is somebody to send them to, whatever is logged.
    let spans = match traces {
        Some(_) => format!("{}=info", traces::TARGET),
        None => format!("{}=off", traces::TARGET),
    };
    let filter = filter.add_directive(spans.parse().context("a directive of ours")?);
    let colour = Terminal::stderr().paint.colour;
    let lines = lines::layer(format, colour, || LogStream)
        .with_filter(filter_fn(|metadata| metadata.target() != traces::TARGET));
    tracing_subscriber::registry()
        .with(traces)
        .with(filter)
        .with(filter_fn(keeps_secrets))
        .with(RateCap::reporting(Arc::new(SystemClock)))
        .with(lines)
        .try_init()
        .context("the log cannot be set up")
}

/// Whether [`install`] could read the filter.
///
/// # Errors
/// When it could not.
pub fn check(filter: Option<&str>, default: Option<&str>) -> anyhow::Result<()> {
    read_filter(filter, default).map(drop)
}

fn read_filter(filter: Option<&str>, default: Option<&str>) -> anyhow::Result<EnvFilter> {
    let (filter, source) = match (filter, std::env::var("RUST_LOG")) {
        (Some(filter), _) => (filter.to_owned(), "--log"),
        (None, Ok(filter)) if !filter.is_empty() => (filter, "RUST_LOG"),
        (None, _) => match default {
            Some(default) => (default.to_owned(), "log.filter"),
            None => (default_filter(Terminal::stderr().interactive), "--log"),
        },
    };
    EnvFilter::try_new(&filter).map_err(|error| {
        usage(format!(
            "{source} {filter:?}: {error}; write a level such as info, or crate=level"
        ))
    })
}

fn default_filter(interactive: bool) -> String {
    if interactive {
        "warn".to_owned()
    } else {
        format!("warn,{REFUSALS}")
    }
}

/// Libraries that see whole messages write them into their finest levels, tokens and arguments included.
fn keeps_secrets(metadata: &Metadata<'_>) -> bool {
    const TALKATIVE: &[&str] = &[
        "h2",
        "hyper",
        "hyper_util",
        "rmcp",
        "rustls",
        "sqlx",
        "tower",
        "axum",
    ];
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !TALKATIVE.contains(&root)
}
