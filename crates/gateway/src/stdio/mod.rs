//! A child process that speaks MCP on its standard streams, presented as an upstream.

use http::Response;

use crate::upstream::UpstreamRequest;
use crate::{BoxBody, BoxError};

/// How to start the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StdioSettings {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// `NAME=value` pairs added to a clean environment.
    pub env: Vec<(String, String)>,
    /// Its working directory.
    pub directory: std::path::PathBuf,
}

/// The bridge to its children. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StdioBridge {}

impl StdioBridge {
    /// A bridge without children yet.
    pub fn new(_settings: StdioSettings) -> Self {
        Self {}
    }

    /// Answers one call with JSON or SSE.
    ///
    /// # Errors
    /// In words when the child cannot be started or is gone; the gateway turns them into a 502.
    pub async fn handle(&self, _request: UpstreamRequest) -> Result<Response<BoxBody>, BoxError> {
        Err("the stdio bridge is not built".into())
    }
}
