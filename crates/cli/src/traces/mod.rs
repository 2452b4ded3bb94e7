//! Traces of requests, sent to a collector that speaks OpenTelemetry's protocol (OTLP) over HTTP.
//!
//! What is traced are spans with the target [`TARGET`] alone, whose names and attributes stand in our own source and follow
//! OpenTelemetry's conventions: no header, query, argument, address of a person or token is among them.

mod parent;
mod sender;

use std::time::Duration;

use anyhow::Context as _;
use base::{OsRandom, Random as _};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider as _};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, Sampler, SdkTracerProvider,
};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};
use url::Url;

use crate::config;
use crate::header_file;
pub use parent::{continue_trace, trace_parent};
use sender::Sender;

/// What every span of ours has.
pub const TARGET: &str = "portcullis_trace";

/// Spans that wait; more are dropped, so that a collector that hangs costs memory of this much and no time.
const SPANS_WAITING_MAX: usize = 2048;
const SPANS_AT_ONCE_MAX: usize = 512;
const SENT_EVERY: Duration = Duration::from_secs(2);
/// How long the last spans may take at the end.
const LAST_MAX: Duration = Duration::from_secs(3);

/// Where spans go, from [`Traces::begin`] on.
pub struct Traces {
    provider: SdkTracerProvider,
    sender: Sender,
}

/// What puts spans there.
pub type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

impl Traces {
    /// What the configuration says, if it names a collector.
    ///
    /// # Errors
    /// When the file with headers, or the address, cannot be used.
    pub fn new(config: &config::Traces) -> anyhow::Result<Option<(Self, TraceLayer)>> {
        let Some((endpoint, sender)) = collector(config)? else {
            return Ok(None);
        };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(sender.clone())
            .with_endpoint(endpoint.as_str())
            .build()
            .context("traces.endpoint")?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(SPANS_WAITING_MAX)
            .with_max_export_batch_size(SPANS_AT_ONCE_MAX)
            .with_scheduled_delay(SENT_EVERY)
            .build();
        let resource = Resource::builder_empty()
            .with_service_name(config.service_name.0.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(
                BatchSpanProcessor::builder(exporter)
                    .with_batch_config(batches)
                    .build(),
            )
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                config.sample.ratio(),
            ))))
            .with_id_generator(Ids)
            .with_resource(resource)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("portcullis"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && metadata.target() == TARGET
            }));
        Ok(Some((Self { provider, sender }, Box::new(layer))))
    }

    /// Whether [`Traces::new`] could be made of this.
    ///
    /// # Errors
    /// When it could not.
    pub fn check(config: &config::Traces) -> anyhow::Result<()> {
        collector(config).map(drop)
    }

    /// Sends from now on, on the runtime that this is called in.
    pub fn begin(&self) {
        self.sender.begin();
    }

    /// Sends what waits, and ends.
    pub async fn finish(self) {
        let ending =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(LAST_MAX));
        let _ = tokio::time::timeout(LAST_MAX, ending).await;
    }
}

/// Where to, and what takes it there.
fn collector(config: &config::Traces) -> anyhow::Result<Option<(Url, Sender)>> {
    let Some(endpoint) = &config.endpoint else {
        return Ok(None);
    };
    let mut endpoint = endpoint.0.clone();
    if endpoint.path() == "/" {
        endpoint.set_path("/v1/traces");
    }
    let headers = match &config.headers_file {
        Some(file) => header_file::read_for("traces.headers_file", file)?,
        None => Vec::new(),
    };
    let sender = Sender::new(endpoint.as_str(), headers).context("traces.endpoint")?;
    Ok(Some((endpoint, sender)))
}

/// Ids from the house's own randomness.
#[derive(Debug)]
struct Ids;

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        let mut bytes = [0; 16];
        OsRandom.fill(&mut bytes);
        TraceId::from_bytes(bytes)
    }

    fn new_span_id(&self) -> SpanId {
        let mut bytes = [0; 8];
        OsRandom.fill(&mut bytes);
        SpanId::from_bytes(bytes)
    }
}
