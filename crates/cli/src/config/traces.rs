use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Share, WebUrl};

/// Traces of requests, for a collector that speaks OpenTelemetry's protocol (OTLP) over HTTP.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Traces {
    /// Where the collector takes traces. Without it nothing is traced. Without a path, `/v1/traces` is meant.
    pub endpoint: Option<WebUrl>,
    /// A file of `Name: value` lines that are sent along, such as a key of the collector.
    pub headers_file: Option<PathBuf>,
    /// How many of the requests are traced whose caller does not say.
    pub sample: Share,
    /// What this service is called there.
    pub service_name: ServiceName,
}

/// What the service is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct ServiceName(pub String);

impl Default for ServiceName {
    fn default() -> Self {
        Self("portcullis".to_owned())
    }
}
