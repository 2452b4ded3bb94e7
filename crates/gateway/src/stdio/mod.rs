//! A child process that speaks MCP on its standard streams, presented as a Streamable HTTP upstream.
//!
//! In the legacy era each session has a child of its own; in the modern era each subject and client have one. The
//! bridge decides nothing about rights: what reaches it was permitted.

mod answer;
mod bridge;
mod child;
mod discover;
mod exchange;
mod lines;
mod modern;
mod outlet;
mod sessions;
mod settings;
mod spawn;

pub use bridge::StdioBridge;
pub use discover::{StdioFound, discover};
pub use settings::{StderrSink, StdioLimits, StdioSettings};

#[cfg(test)]
mod test_child;
#[cfg(test)]
mod tests;
