use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

const ANSWER_BYTES_MAX: usize = 64 * 1024;
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Sends what the exporter, which has a thread of its own without a runtime, hands over. Clones share everything.
#[derive(Clone)]
pub struct Sender(Arc<Inner>);

struct Inner {
    client: egress::Client,
    headers: Vec<(HeaderName, HeaderValue)>,
    runtime: OnceLock<Handle>,
    /// Without a path, for people.
    endpoint: String,
    /// That nothing arrives was told.
    is_told: AtomicBool,
}

impl Sender {
    pub fn new(endpoint: &str, headers: Vec<(HeaderName, HeaderValue)>) -> anyhow::Result<Self> {
        let client = egress::Client::new(egress::Settings {
            head_timeout: ANSWER_MAX,
            total_timeout: ANSWER_MAX,
            idle_connections_max: 1,
            ..egress::Settings::operator_chosen()
        });
        let url: url::Url = endpoint.parse()?;
        Ok(Self(Arc::new(Inner {
            client: client.context("outgoing connections")?,
            headers,
            runtime: OnceLock::new(),
            endpoint: url.origin().ascii_serialization(),
            is_told: AtomicBool::new(false),
        })))
    }

    pub fn begin(&self) {
        let _ = self.0.runtime.set(Handle::current());
    }
}

impl Inner {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, egress::Error> {
        let mut request = request.map(Full::new);
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        self.client.fetch(request, ANSWER_BYTES_MAX).await
    }

    /// Says it once when the collector no longer takes anything, and once when it does again.
    fn tell(&self, problem: Option<&str>) {
        let was_told = self.is_told.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(reason) if !was_told => tracing::warn!(
                traces.endpoint = self.endpoint,
                reason,
                "traces cannot be sent and are dropped meanwhile; check traces.endpoint and traces.headers_file"
            ),
            None if was_told => {
                tracing::info!(traces.endpoint = self.endpoint, "traces are sent again");
            }
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = self.0.runtime.get().ok_or("nothing is sent yet")?;
        let inner = Arc::clone(&self.0);
        let sending = runtime.spawn(async move {
            let answer = inner.send(request).await;
            match &answer {
                Ok(answer) if answer.status().is_success() => inner.tell(None),
                Ok(answer) => inner.tell(Some(words(answer.status()))),
                Err(error) => inner.tell(Some(&error.to_string())),
            }
            answer
        });
        Ok(sending.await??)
    }
}

/// The status alone: a collector may repeat what it was sent.
fn words(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "it wants other credentials",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => "it takes no traces at that path",
        StatusCode::TOO_MANY_REQUESTS => "it is sent too much",
        _ => "it refuses them",
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sender")
    }
}
