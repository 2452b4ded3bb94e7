//! What whoever operates a node asks it: `/metrics`, `/healthz`, `/readyz`. It belongs on a listener of its own, never on
//! the public one.

mod health;
mod metrics;
mod probe;
mod process;
mod snapshot;

use std::net::SocketAddr;
use std::sync::Arc;

use ::metrics::gauge;
use base::Clock;
use bytes::Bytes;
use gateway::Feeds;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusHandle;
use oauth::Authority;
use tokio_util::sync::CancellationToken;

use crate::accept::Handler;
use crate::arriving::Arriving;
use crate::tls::Certificates;

use health::Health;
pub use metrics::{DESCRIBED, audit_log_sealed, install, upkeep};
use snapshot::Observed;

/// The text format of Prometheus.
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Answers `/metrics`, `/healthz` and `/readyz` of one stack. Clones share everything.
#[derive(Clone)]
pub struct Operations(Arc<Inner>);

struct Inner {
    recorder: PrometheusHandle,
    observed: Observed,
    health: Health,
}

impl Operations {
    /// The operations of a node with these parts; `closing` is cancelled when its end has begun, `certificates` are those it shows.
    pub fn new(
        authority: Option<Authority>,
        feeds: Option<Feeds>,
        clock: Arc<dyn Clock>,
        closing: CancellationToken,
        certificates: Option<Arc<Certificates>>,
    ) -> Self {
        Self(Arc::new(Inner {
            recorder: install(),
            health: Health::new(
                authority.clone(),
                feeds.clone(),
                Arc::clone(&clock),
                closing,
            ),
            observed: Observed::new(authority, feeds, clock, certificates),
        }))
    }

    /// Answers one request. Its body is not read.
    pub async fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let is_head = request.method() == Method::HEAD;
        if !is_head && request.method() != Method::GET {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let mut response = match request.uri().path() {
            "/metrics" => self.metrics().await,
            "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(request.uri().query()).await,
            _ => plain(
                StatusCode::NOT_FOUND,
                "here are /metrics, /healthz and /readyz\n",
            ),
        };
        if is_head {
            *response.body_mut() = Full::default();
        }
        response
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        // Whoever asks here alone is told as well; questions within a second share one look.
        self.look().await;
        self.0.observed.record();
        with_type(StatusCode::OK, METRICS_TYPE, self.0.recorder.render())
    }

    async fn look(&self) -> health::Readiness {
        let readiness = self.0.health.readiness().await;
        gauge!(metrics::READY).set(f64::from(u8::from(readiness.is_ready())));
        readiness
    }

    /// A balancer excludes what all nodes share: when the store is away, no other node is better.
    async fn readiness(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let words = query.unwrap_or_default().split('&');
        let excluded: Vec<&str> = words
            .filter_map(|word| word.strip_prefix("exclude="))
            .collect();
        let Some(readiness) = self.look().await.excluding(&excluded) else {
            return plain(
                StatusCode::BAD_REQUEST,
                "exclude is one of store, policy_feed and signing_keys\n",
            );
        };
        let status = if readiness.is_ready() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let json = serde_json::to_string(&readiness).expect("readiness is strings and booleans");
        with_type(status, HeaderValue::from_static("application/json"), json)
    }
}

impl Handler for Operations {
    type Body = Full<Bytes>;

    async fn answer(&self, request: Request<Arriving>, _: SocketAddr) -> Response<Full<Bytes>> {
        self.respond(&request).await
    }
}

fn plain(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    with_type(status, kind, words)
}

fn with_type(
    status: StatusCode,
    kind: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
