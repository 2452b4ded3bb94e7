use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use authz::{Inventory, ListKind, Policy, fingerprint, is_comparable};
use base::{Clock, Random};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body::Body;
use sdk::{Addresses, Refusal, Suspended, allow_reading, wrong_host};
use tokio::sync::{Notify, mpsc, watch};
use tower_service::Service;

use crate::body::BoxBody;
use crate::crowd::Crowd;
use crate::definitions::Changes;
use crate::feeds::Feeds;
use crate::identity::IdentitySigner;
use crate::metric::{MethodLabel, Reason, ServerMetric};
use crate::record::{CallRecorded, Outcome};
use crate::recorder::Recorder;
use crate::route::{Route, is_metadata_path, not_found};
use crate::server::ServerMaker;
use crate::servers::Servers;
use crate::settings::{IdentityKey, ServerSettings, Settings, SettingsError};
use crate::stack::{Inner, refused};
use crate::tool_metric::ToolMetrics;

/// Where the authority answers its own nonces, also at hosts of MCP servers alone.
const ALIAS_PROOF_PREFIX: &str = "/.well-known/portcullis-alias/";

/// The gateway: answers for MCP servers and their protected resource metadata. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

/// A request that is the gateway's to answer, and what it is for.
#[derive(Debug)]
pub struct Claim(Route);

impl Gateway {
    /// A gateway over `settings` that judges by `feeds` and reports each call to `records` without ever waiting for it.
    ///
    /// # Errors
    /// When an origin, the identity key, a resource or an upstream URL cannot be used.
    pub fn new(
        settings: Settings,
        feeds: impl Into<Feeds>,
        records: mpsc::Sender<CallRecorded>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, SettingsError> {
        let addresses = Arc::new(Addresses::new(
            &settings.public_url,
            &settings.alias_origins,
            &settings.allowed_origins,
        )?);
        let former = settings.former_origins.iter();
        let former: Vec<Addresses> = former
            .map(|origin| Addresses::new(origin, &[], &[]))
            .collect::<Result<_, _>>()?;
        let changes = Arc::new(Changes::default());
        let maker = ServerMaker {
            addresses: Arc::clone(&addresses),
            allowed_origins: settings.allowed_origins,
            feeds: feeds.into(),
            opaque_tokens: settings.opaque_tokens,
            other_issuers: settings.other_issuers,
            changes: Arc::clone(&changes),
            tool_metrics: ToolMetrics::default(),
            limits: settings.limits.clone(),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                identity: ArcSwap::from_pointee(IdentitySigner::new(
                    &settings.identity_key,
                    addresses.canonical(),
                )?),
                servers: Servers::new(maker, former, settings.reserved_paths, settings.servers)?,
                changes,
                addresses,
                recorder: Arc::new(Recorder::new(records, settings.limits.records_waiting_max)),
                nowhere: ServerMetric::new(&"".into(), ToolMetrics::default().of(&"".into())),
                crowd: Crowd::new(settings.limits.open_calls_max),
                limits: settings.limits,
                clock,
                random,
                closing: watch::Sender::new(false),
            }),
        })
    }

    /// Replaces the MCP servers behind this gateway, for the next request. A server whose settings are as they were goes
    /// on with its connections, children and sessions. Of one that changed or left, calls that have begun may finish,
    /// streams that only listen end, and then its children do, in the background of the Tokio runtime that this is called
    /// in.
    ///
    /// # Errors
    /// When one of them cannot be used, which the error names, or two are at one address. Everything then stays as it
    /// was.
    pub fn set_servers(&self, servers: Vec<ServerSettings>) -> Result<(), SettingsError> {
        self.inner.servers.set(servers)
    }

    /// Signs `Portcullis-Identity` with `key` from the next call on. Nothing happens when it does already.
    ///
    /// # Errors
    /// When the key cannot be used; the one before it then goes on.
    pub fn set_identity_key(&self, key: &IdentityKey) -> Result<(), SettingsError> {
        if self.inner.identity.load().key_id() != key.kid {
            let issuer = self.inner.addresses.canonical();
            let signer = IdentitySigner::new(key, issuer)?;
            self.inner.identity.store(Arc::new(signer));
        }
        Ok(())
    }

    /// Claims the request with this head, if it is the gateway's to answer: an MCP server is at its host and path, or
    /// protected resource metadata is or would be there, or the host is that of MCP servers alone. Everything else is
    /// the authority's.
    pub fn claim(&self, uri: &Uri, headers: &HeaderMap) -> Option<Claim> {
        // At whatever host: the authority proves by them that a host leads here.
        if uri.path().starts_with(ALIAS_PROOF_PREFIX) {
            return None;
        }
        match self.inner.servers.routes().find(uri, headers) {
            Route::Nothing {
                may_be_authority: true,
            } => None,
            // Nobody's host is refused by both; here in the words for somebody who looks for an MCP server.
            Route::Elsewhere(_) if !looks_like_ours(uri.path()) => None,
            route => Some(Claim(route)),
        }
    }

    /// Whether an MCP server, or the metadata of one, is at the address of the request with this head.
    pub fn knows(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let route = self.inner.servers.routes().find(uri, headers);
        matches!(route, Route::Call(..) | Route::Metadata(..))
    }

    /// Whether this MCP server has its address here.
    pub fn serves(&self, slug: &str) -> bool {
        self.inner.servers.routes().server(slug).is_some()
    }

    /// Denies what of `found`, the inventory of this MCP server, is not as it was accepted: the authority could not be told, and
    /// cannot say how grave it is.
    pub fn suspend_changed(&self, slug: &str, found: &Inventory) {
        let routes = self.inner.servers.routes();
        let Some(server) = routes.server(slug) else {
            return;
        };
        let in_force = server.protected.last_in_force();
        let suspended = in_force.map(|in_force| changed(&in_force.server().policy, found));
        server.protected.suspend(suspended.unwrap_or_default());
    }

    /// The authority was told what this MCP server offers: what was denied by [`Gateway::suspend_changed`] is as the authority has it
    /// once its policy is in force as of this revision, and not before.
    pub fn unsuspend_from(&self, slug: &str, revision: i64) {
        if let Some(server) = self.inner.servers.routes().server(slug) {
            server.protected.unsuspend_from(revision);
        }
    }

    /// Is notified when the upstream of this MCP server should be looked at again: it said that a list changed, or listed
    /// something otherwise than it was accepted. One notice is kept for whoever comes later.
    pub fn upstream_changes(&self, slug: &str) -> Arc<Notify> {
        self.inner.changes.of(slug)
    }

    /// Ends every stream, so that a server that is being stopped can drain.
    pub fn close_streams(&self) {
        self.inner.closing.send_replace(true);
    }

    /// Ends every stream and the children of stdio servers, and waits until those are gone.
    pub async fn shutdown(&self) {
        self.close_streams();
        self.inner.servers.shutdown().await;
    }

    /// How many records found no room in their channel.
    pub fn records_dropped(&self) -> u64 {
        self.inner.recorder.dropped()
    }

    /// Answers one request that is for nobody else.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<BoxBody>
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let routes = self.inner.servers.routes();
        let claim = Claim(routes.find(request.uri(), request.headers()));
        drop(routes);
        self.answer(claim, request).await
    }

    /// Answers the request that was claimed.
    pub async fn answer<B>(&self, claim: Claim, request: Request<B>) -> Response<BoxBody>
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let had_origin = request.headers().contains_key(header::ORIGIN);
        let (parts, body) = request.into_parts();
        let random = &*self.inner.random;
        let mut response = match claim.0 {
            Route::Call(server, asked, addresses) => {
                self.inner
                    .call(server, asked, &addresses, parts, body)
                    .await
            }
            Route::Metadata(server, asked) => self.inner.metadata(&server, &asked, &parts),
            Route::Nothing { .. } => self.nowhere(&parts.method, not_found(random)),
            Route::Elsewhere(refusal) => {
                let refusal = wrong_host(random, &self.inner.addresses, &refusal);
                self.nowhere(&parts.method, refusal)
            }
        };
        allow_reading(had_origin, response.headers_mut());
        response
    }

    /// Refuses what is for no MCP server.
    fn nowhere(&self, method: &Method, refusal: Refusal) -> Response<BoxBody> {
        let reason = Reason::Refused(refusal.cause());
        let outcome = Outcome::from(refusal.kind());
        let method = MethodLabel::of_http(method);
        self.inner.nowhere.count(method, outcome, reason);
        refused(refusal)
    }
}

/// Whether an MCP server could be at `path` of the authority's own host.
fn looks_like_ours(path: &str) -> bool {
    path == "/mcp" || path.starts_with("/mcp/") || is_metadata_path(path)
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

/// What is listed otherwise than `policy` has it.
fn changed(policy: &Policy, found: &Inventory) -> Vec<Suspended> {
    let all = ListKind::DEFINED
        .into_iter()
        .flat_map(|kind| found.of_kind(kind));
    all.filter(|listed| !listed.is_silent())
        .filter_map(|listed| {
            let entry = policy.entries(listed.kind()).get(listed.identity())?;
            let accepted = entry.fingerprint.as_ref()?;
            let is_changed = is_comparable(accepted) && *accepted != fingerprint(listed);
            is_changed.then(|| Suspended {
                kind: listed.kind(),
                identity: listed.identity().to_owned(),
                fingerprint: accepted.clone(),
            })
        })
        .collect()
}
