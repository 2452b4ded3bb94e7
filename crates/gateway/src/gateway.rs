use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use base::{Clock, Random};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use sdk::{Addresses, PolicyFeed, ProtectedServer, ProtectedServerSettings, allow_reading};
use tokio::sync::{mpsc, watch};
use tower_service::Service;

use crate::body::BoxBody;
use crate::crowd::Crowd;
use crate::identity::IdentitySigner;
use crate::metric::{MethodLabel, Reason, ServerMetric};
use crate::record::{CallRecorded, Outcome, Recorder};
use crate::route::{Route, Routes, Server};
use crate::settings::{IdentityKey, Settings, SettingsError};
use crate::stack::{Inner, refused};
use crate::upstream::Forwarder;

/// The gateway: answers `/mcp/{slug}` and the protected resource metadata. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
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
        let addresses = Arc::new(Addresses::new(
            &settings.public_url,
            &settings.alias_origins,
            &settings.allowed_origins,
        )?);
        let servers = settings
            .servers
            .iter()
            .map(|server| {
                let mut protected = ProtectedServer::new(
                    ProtectedServerSettings {
                        slug: server.slug.clone(),
                        path: format!("/mcp/{}", server.slug),
                        request_body_bytes_max: settings.limits.request_body_bytes_max,
                    },
                    Arc::clone(&addresses),
                    feed.clone(),
                    Arc::clone(&clock),
                    Arc::clone(&random),
                );
                if let Some(source) = &settings.opaque_tokens {
                    protected = protected.with_opaque_tokens(Arc::clone(source));
                }
                let slug: Arc<str> = server.slug.as_str().into();
                Ok(Server {
                    metric: Arc::new(ServerMetric::new(&slug)),
                    slug,
                    protected,
                    forwarder: Forwarder::new(&server.slug, &server.upstream, &settings.limits)?,
                })
            })
            .collect::<Result<_, SettingsError>>()?;
        Ok(Self {
            inner: Arc::new(Inner {
                identity: ArcSwap::from_pointee(IdentitySigner::new(
                    &settings.identity_key,
                    addresses.canonical(),
                )?),
                routes: Routes::new(addresses, servers),
                recorder: Arc::new(Recorder::new(records)),
                nowhere: ServerMetric::new(&"".into()),
                crowd: Crowd::new(settings.limits.open_calls_max),
                limits: settings.limits,
                clock,
                random,
                closing: watch::Sender::new(false),
            }),
        })
    }

    /// Signs `Portcullis-Identity` with `key` from the next call on. Nothing happens when it does already.
    ///
    /// # Errors
    /// When the key cannot be used; the one before it then goes on.
    pub fn set_identity_key(&self, key: &IdentityKey) -> Result<(), SettingsError> {
        if self.inner.identity.load().key_id() != key.kid {
            let issuer = self.inner.routes.addresses().canonical();
            let signer = IdentitySigner::new(key, issuer)?;
            self.inner.identity.store(Arc::new(signer));
        }
        Ok(())
    }

    /// Whether `path` is the gateway's to answer. Everything else on the listener belongs to the authority.
    pub fn owns(&self, path: &str) -> bool {
        path == "/mcp"
            || path.starts_with("/mcp/")
            || path
                .strip_prefix(sdk::WELL_KNOWN_PATH)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Ends every stream, so that a server that is being stopped can drain.
    pub fn close_streams(&self) {
        self.inner.closing.send_replace(true);
    }

    /// Ends every stream and the children of stdio servers, and waits until those are gone.
    pub async fn shutdown(&self) {
        self.close_streams();
        for server in self.inner.routes.servers() {
            server.forwarder.shutdown().await;
        }
    }

    /// How many records found no room in their channel.
    pub fn records_dropped(&self) -> u64 {
        self.inner.recorder.dropped()
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<BoxBody>
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let had_origin = request.headers().contains_key(header::ORIGIN);
        let (parts, body) = request.into_parts();
        let mut response = match self.inner.routes.find(&parts, &*self.inner.random) {
            Ok(Route::Call(server, asked)) => self.inner.call(server, asked, parts, body).await,
            Ok(Route::Metadata(server, asked)) => self.inner.metadata(&server, &asked, &parts),
            Err(refusal) => {
                let method = MethodLabel::of_http(&parts.method);
                let reason = Reason::Refused(refusal.cause());
                let outcome = Outcome::from(refusal.kind());
                self.inner.nowhere.count(method, outcome, reason);
                refused(refusal)
            }
        };
        allow_reading(had_origin, response.headers_mut());
        response
    }
}

impl<B> Service<Request<B>> for Gateway
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.handle(request).await) })
    }
}
