use std::sync::Arc;

use base::{Clock, Random};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use sdk::PolicyFeed;
use tokio::sync::mpsc;

use crate::{BoxBody, BoxError, CallRecorded, Settings, SettingsError};

/// The gateway: answers `/mcp/{slug}` and the protected resource metadata. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    #[allow(dead_code)]
    settings: Settings,
    #[allow(dead_code)]
    feed: PolicyFeed,
    #[allow(dead_code)]
    records: mpsc::Sender<CallRecorded>,
    #[allow(dead_code)]
    clock: Arc<dyn Clock>,
    #[allow(dead_code)]
    random: Arc<dyn Random>,
}

impl Gateway {
    /// A gateway over `settings` that judges by `feed` and reports each call to `records` without ever waiting for it.
    ///
    /// # Errors
    /// When an origin, the identity key or an upstream URL cannot be used.
    pub fn new(
        settings: Settings,
        feed: PolicyFeed,
        records: mpsc::Sender<CallRecorded>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, SettingsError> {
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                feed,
                records,
                clock,
                random,
            }),
        })
    }

    /// Whether `path` is the gateway's to answer. Everything else on the listener belongs to the authority.
    pub fn owns(&self, path: &str) -> bool {
        const METADATA: &str = "/.well-known/oauth-protected-resource";
        path == "/mcp"
            || path.starts_with("/mcp/")
            || path
                .strip_prefix(METADATA)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<BoxBody>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let _ = (&self.inner, request);
        let mut response = Response::new(
            Full::new(Bytes::from_static(b"{}"))
                .map_err(|never| match never {})
                .boxed_unsync(),
        );
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        response
    }
}
