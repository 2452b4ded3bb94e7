use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use base::{Clock, Random, Timestamp};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use sdk::{Addresses, AskedAddress, Permitted, Refusal, RefusalKind, foreign_origin, preflight};
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::answer::{Vetted, protect, vet};
use crate::body::{BoxBody, full};
use crate::crowd::Crowd;
use crate::definitions::Changes;
use crate::identity::IdentitySigner;
use crate::metric::ServerMetric;
use crate::mirrored;
use crate::record::Recording;
use crate::recorder::Recorder;
use crate::server::Server;
use crate::servers::Servers;
use crate::settings::Limits;
use crate::trace::{self, TraceParent};
use crate::upstream_error::UpstreamError;

/// What calls go through.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) servers: Servers,
    pub(crate) changes: Arc<Changes>,
    /// Those of the authority.
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) identity: ArcSwap<IdentitySigner>,
    pub(crate) recorder: Arc<Recorder>,
    /// Counts what is for no MCP server.
    pub(crate) nowhere: ServerMetric,
    pub(crate) crowd: Crowd,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) closing: watch::Sender<bool>,
}

impl Inner {
    /// The whole life of a call.
    pub(crate) async fn call<B>(
        &self,
        server: Arc<Server>,
        asked: AskedAddress,
        addresses: &Addresses,
        request: Parts,
        body: B,
    ) -> Response<BoxBody>
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let now = self.clock.now();
        trace::of_server(&server.slug);
        let trace_parent = request.extensions.get::<TraceParent>().copied();
        let mut recording = Recording::begin(&self.recorder, &server, now, &request);
        if let Err(origin) = addresses.check_origin(&request.headers) {
            return recorded(foreign_origin(&*self.random, &origin), recording);
        }
        if let Some(answer) = preflight(&request) {
            recording.forget();
            return answer.map(|_| full(Bytes::new()));
        }
        let admitted = self
            .admit(&server, &asked, request, body, now, &mut recording)
            .instrument(trace::judge())
            .await;
        trace::of_message(recording.method());
        let permitted = match admitted {
            Ok(permitted) => permitted,
            Err(refusal) => return recorded(refusal, recording),
        };
        recording.permitted(&permitted);
        if let Err(error) = mirrored::check(&permitted, &server.definitions) {
            let refusal = self.header_refused(&error, &permitted);
            server.protected.not_made(permitted);
            return recorded(refusal, recording);
        }
        let Some(place) = self
            .crowd
            .enter(permitted.caller().principal(), server.metric.open())
        else {
            let refusal = self.too_many(&permitted);
            server.protected.not_made(permitted);
            return recorded(refusal, recording);
        };
        // Only what goes on keeps room for its record: whoever is refused may ask as often as they like.
        if recording.keep_place().is_err() {
            let refusal = self.unrecorded(&permitted);
            server.protected.not_made(permitted);
            return recorded(refusal, recording);
        }
        recording.forwarded(&permitted);
        let forwarding = self.forward(&server, &permitted, now, trace_parent);
        match forwarding.instrument(trace::upstream()).await {
            Ok(vetted) => match self
                .answer(vetted, &server, &permitted, place, recording)
                .await
            {
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
        let caller = protected
            .authenticate(&request.headers, asked, &in_force, now)
            .await?;
        recording.caller(&caller, &in_force);
        let call = protected.read_call(request, body).await?;
        if let Some(message) = call.message() {
            recording.message(message, &in_force);
        }
        protected.authorize(caller, in_force, asked, call)
    }

    /// To the upstream and back, as far as the head of its answer.
    async fn forward(
        &self,
        server: &Server,
        permitted: &Permitted,
        now: Timestamp,
        trace_parent: Option<TraceParent>,
    ) -> Result<Vetted, UpstreamError> {
        let identity = self.identity.load().header_for(
            permitted.caller(),
            &server.slug,
            now,
            &*self.random,
        )?;
        let began = Instant::now();
        let answer = server
            .forwarder
            .forward(permitted, identity, trace_parent)
            .await?;
        server.metric.upstream_answered_after(began.elapsed());
        vet(answer, permitted)
    }

    /// The protected resource metadata.
    pub(crate) fn metadata(
        &self,
        server: &Server,
        asked: &AskedAddress,
        request: &Parts,
    ) -> Response<BoxBody> {
        if let Some(answer) = preflight(request) {
            return answer.map(|_| full(Bytes::new()));
        }
        let now = self.clock.now();
        let mut recording = Recording::begin(&self.recorder, server, now, request);
        match server.protected.metadata_response(&request.method, asked) {
            Ok(response) => {
                recording.metadata(response.status());
                response.map(|body| body.map_err(|never| match never {}).boxed_unsync())
            }
            Err(refusal) => recorded(refusal, recording),
        }
    }
}

fn recorded(refusal: Refusal, mut recording: Recording) -> Response<BoxBody> {
    recording.refused(&refusal);
    refused(refusal)
}

/// The answer of a refusal; its reason goes to the log, once.
pub(crate) fn refused(refusal: Refusal) -> Response<BoxBody> {
    let status = refusal.status().as_u16();
    let correlation_id = refusal.correlation_id();
    let reason = refusal.reason();
    match refusal.kind() {
        RefusalKind::UpstreamFailed | RefusalKind::Unavailable => {
            tracing::warn!(%correlation_id, status, "not answered: {reason}");
        }
        _ => tracing::info!(%correlation_id, status, "refused: {reason}"),
    }
    let mut response = refusal
        .into_response()
        .map(|body| body.map_err(|never| match never {}).boxed_unsync());
    protect(response.headers_mut());
    response
}
