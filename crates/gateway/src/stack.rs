use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base::{Clock, Random, Timestamp};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use sdk::{
    Addresses, AskedAddress, Era, Permitted, PolicyFeed, ProtectedServer, ProtectedServerSettings,
    Refusal, RefusalKind, RpcRefusal, allow_reading, foreign_origin, preflight,
};
use tokio::sync::{mpsc, watch};
use tower_service::Service;
use wire::mcp::{Message, method, rpc};

use crate::answer::{Vetted, headers_for_caller, mark_json, mark_stream, protect, vet};
use crate::body::{BoxBody, full};
use crate::filter_list::{FilteredStream, ListFilter};
use crate::identity::IdentitySigner;
use crate::record::{CallRecorded, Recorder, Recording};
use crate::route::{Route, Routes, Server};
use crate::settings::{Limits, Settings, SettingsError};
use crate::stream_life::{Inner as LivingInner, Kind, Life, LivingBody};
use crate::upstream::Forwarder;
use crate::upstream_error::UpstreamError;

/// The gateway: answers `/mcp/{slug}` and the protected resource metadata. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    routes: Routes,
    identity: IdentitySigner,
    recorder: Arc<Recorder>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    closing: watch::Sender<bool>,
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
                Ok(Server {
                    slug: server.slug.as_str().into(),
                    protected: ProtectedServer::new(
                        ProtectedServerSettings {
                            slug: server.slug.clone(),
                            path: format!("/mcp/{}", server.slug),
                            request_body_bytes_max: settings.limits.request_body_bytes_max,
                        },
                        Arc::clone(&addresses),
                        feed.clone(),
                        Arc::clone(&clock),
                        Arc::clone(&random),
                    ),
                    forwarder: Forwarder::new(&server.slug, &server.upstream, &settings.limits)?,
                })
            })
            .collect::<Result<_, SettingsError>>()?;
        Ok(Self {
            inner: Arc::new(Inner {
                identity: IdentitySigner::new(&settings.identity_key, addresses.canonical())?,
                routes: Routes::new(addresses, servers),
                recorder: Arc::new(Recorder::new(records)),
                limits: settings.limits,
                clock,
                random,
                closing: watch::Sender::new(false),
            }),
        })
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
            Err(refusal) => refused(refusal),
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

impl Inner {
    /// The whole life of a call.
    async fn call<B>(
        &self,
        server: Arc<Server>,
        asked: AskedAddress,
        request: Parts,
        body: B,
    ) -> Response<BoxBody>
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let now = self.clock.now();
        let mut recording = Recording::begin(&self.recorder, &server.slug, now, &request);
        if let Err(origin) = self.routes.addresses().check_origin(&request.headers) {
            return recorded(foreign_origin(&*self.random, &origin), recording);
        }
        if let Some(answer) = preflight(&request) {
            recording.forget();
            return answer.map(|_| full(Bytes::new()));
        }
        let permitted = match self
            .admit(&server, &asked, request, body, now, &mut recording)
            .await
        {
            Ok(permitted) => permitted,
            Err(refusal) => return recorded(refusal, recording),
        };
        recording.permitted(&permitted);
        match self.forward(&server, &permitted, now).await {
            Ok(vetted) => match self.answer(vetted, &server, &permitted, recording).await {
                Ok(response) => response,
                Err((error, recording)) => {
                    recorded(self.upstream_failed(&error, &permitted), recording)
                }
            },
            Err(error) => recorded(self.upstream_failed(&error, &permitted), recording),
        }
    }

    /// From a request to a call that may happen: authenticate, read, authorize.
    async fn admit<B>(
        &self,
        server: &Server,
        asked: &AskedAddress,
        request: Parts,
        body: B,
        now: Timestamp,
        recording: &mut Recording,
    ) -> Result<Permitted, Refusal>
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let protected = &server.protected;
        if request.method == Method::TRACE || request.method == Method::CONNECT {
            return Err(protected.method_not_allowed());
        }
        let in_force = protected.in_force(now)?;
        let caller = protected.authenticate(&request.headers, asked, &in_force, now)?;
        recording.caller(&caller);
        let call = protected.read_call(request, body).await?;
        if let Some(message) = call.message() {
            recording.message(message);
        }
        protected.authorize(caller, in_force, asked, call)
    }

    /// To the upstream and back, as far as the head of its answer.
    async fn forward(
        &self,
        server: &Server,
        permitted: &Permitted,
        now: Timestamp,
    ) -> Result<Vetted, UpstreamError> {
        let identity =
            self.identity
                .header_for(permitted.caller(), &server.slug, now, &*self.random)?;
        vet(
            server.forwarder.forward(permitted, identity).await?,
            permitted,
        )
    }

    /// Makes our answer of the upstream's: its allow-listed headers, its lists filtered, its streams mortal.
    async fn answer(
        &self,
        vetted: Vetted,
        server: &Arc<Server>,
        permitted: &Permitted,
        mut recording: Recording,
    ) -> Result<Response<BoxBody>, (UpstreamError, Recording)> {
        let filter = ListFilter::for_answer_to(permitted, self.limits.list_bytes_max);
        let (upstream, is_stream) = match vetted {
            Vetted::Json(upstream) => (upstream, false),
            Vetted::Stream(upstream) => (upstream, true),
            Vetted::Empty(upstream) => {
                recording.answered(upstream.status());
                let mut response = Response::new(full(Bytes::new()));
                *response.headers_mut() = headers_for_caller(upstream.headers(), permitted);
                *response.status_mut() = upstream.status();
                return Ok(response);
            }
            Vetted::Bare(upstream) => {
                let (head, _) = upstream.into_parts();
                return Ok(self.bare_answer(&head, permitted, &mut recording));
            }
        };
        let (head, body) = upstream.into_parts();
        let mut headers = headers_for_caller(&head.headers, permitted);
        let body = if is_stream {
            if filter.is_some() {
                // What is left of it is this caller's alone.
                headers.remove(header::CACHE_CONTROL);
            }
            mark_stream(&mut headers);
            recording.answered(head.status);
            let inner = match filter {
                None => LivingInner::Plain(body.coalesce()),
                Some(filter) => LivingInner::Filtered(Box::new(FilteredStream::new(
                    body.coalesce(),
                    filter,
                    recording,
                ))),
            };
            let kind = Kind::Events(self.limits.keep_alive_after);
            LivingBody::new(inner, self.life(server, permitted), kind).boxed_unsync()
        } else if let Some(filter) = filter {
            headers.remove(header::CACHE_CONTROL);
            mark_json(&mut headers);
            let filtering =
                tokio::time::timeout(self.limits.head_timeout, filter.filter_json(body));
            let filtered = match filtering.await {
                Ok(filtered) => filtered,
                Err(_) => Err(UpstreamError::head_timeout(self.limits.head_timeout)),
            };
            match filtered {
                Ok((bytes, count)) => {
                    if let Some(count) = count {
                        recording.listed(count);
                    }
                    recording.answered(head.status);
                    full(bytes)
                }
                Err(_) if head.status.is_client_error() => {
                    return Ok(self.bare_answer(&head, permitted, &mut recording));
                }
                Err(error) => return Err((error, recording)),
            }
        } else {
            mark_json(&mut headers);
            recording.answered(head.status);
            LivingBody::new(
                LivingInner::Plain(body),
                self.life(server, permitted),
                Kind::Json,
            )
            .boxed_unsync()
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn life(&self, server: &Arc<Server>, permitted: &Permitted) -> Life {
        let caller = Arc::clone(permitted.caller());
        let expiry = caller.expires_at();
        let ends_at = if is_listening(permitted) {
            expiry
        } else {
            expiry.after(self.limits.finish_after_expiry)
        };
        Life {
            caller,
            server: Arc::clone(server),
            ends_at,
            closing: self.closing.subscribe(),
        }
    }

    fn metadata(
        &self,
        server: &Server,
        asked: &AskedAddress,
        request: &Parts,
    ) -> Response<BoxBody> {
        if let Some(answer) = preflight(request) {
            return answer.map(|_| full(Bytes::new()));
        }
        let now = self.clock.now();
        let mut recording = Recording::begin(&self.recorder, &server.slug, now, request);
        match server.protected.metadata_response(&request.method, asked) {
            Ok(response) => {
                recording.metadata(response.status());
                response.map(|body| body.map_err(|never| match never {}).boxed_unsync())
            }
            Err(refusal) => recorded(refusal, recording),
        }
    }

    /// 502 or 504, in words: as a JSON-RPC error when a request waits for an answer.
    fn upstream_failed(&self, error: &UpstreamError, permitted: &Permitted) -> Refusal {
        self.refusal_for(
            permitted,
            RefusalKind::UpstreamFailed,
            error.status,
            "bad_gateway",
            &error.words,
        )
    }

    /// The status of an upstream whose body is not shown: clients go by the status.
    fn bare_answer(
        &self,
        head: &http::response::Parts,
        permitted: &Permitted,
        recording: &mut Recording,
    ) -> Response<BoxBody> {
        recording.answered(head.status);
        let mut response = self
            .bare(head.status, permitted)
            .into_response()
            .map(|body| body.map_err(|never| match never {}).boxed_unsync());
        response
            .headers_mut()
            .extend(headers_for_caller(&head.headers, permitted));
        response
    }

    /// An upstream's status whose body was no JSON.
    fn bare(&self, status: StatusCode, permitted: &Permitted) -> Refusal {
        let words = match status.canonical_reason() {
            Some(reason) => format!("The MCP server answered {} {reason}", status.as_u16()),
            None => format!("The MCP server answered {}", status.as_u16()),
        };
        self.refusal_for(
            permitted,
            RefusalKind::UpstreamFailed,
            status,
            "upstream_refused",
            &words,
        )
    }

    fn refusal_for(
        &self,
        permitted: &Permitted,
        kind: RefusalKind,
        status: StatusCode,
        error: &str,
        words: &str,
    ) -> Refusal {
        match permitted.message() {
            Some(Message::Request(request)) => Refusal::rpc(
                &*self.random,
                RpcRefusal {
                    kind,
                    status,
                    id: Some(&request.id),
                    code: rpc::INTERNAL_ERROR,
                    message: words,
                    data: None,
                    reason: words.to_owned(),
                },
            ),
            _ => Refusal::oauth(&*self.random, kind, status, error, words),
        }
    }
}

/// Whether the answer is a stream that only listens: it has nothing to finish.
fn is_listening(permitted: &Permitted) -> bool {
    match permitted.message() {
        None => true,
        Some(message) => {
            permitted.era() == Era::Modern && message.method() == Some(method::SUBSCRIPTIONS_LISTEN)
        }
    }
}

fn recorded(refusal: Refusal, mut recording: Recording) -> Response<BoxBody> {
    recording.refused(&refusal);
    refused(refusal)
}

/// The answer of a refusal; its reason goes to the log, once.
fn refused(refusal: Refusal) -> Response<BoxBody> {
    let status = refusal.status().as_u16();
    let correlation_id = refusal.correlation_id();
    let reason = refusal.reason();
    match refusal.kind() {
        RefusalKind::UpstreamFailed | RefusalKind::Unavailable => {
            tracing::warn!(correlation_id, status, "not answered: {reason}");
        }
        _ => tracing::info!(correlation_id, status, "refused: {reason}"),
    }
    let mut response = refusal
        .into_response()
        .map(|body| body.map_err(|never| match never {}).boxed_unsync());
    protect(response.headers_mut());
    response
}
