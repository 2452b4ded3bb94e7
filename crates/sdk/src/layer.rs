use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::{Answering, BoxBody, BoxError};
use crate::door::Door;
use crate::read_call::method_not_allowed;
use crate::resource_metadata::{AskedAddress, WELL_KNOWN_PATH, resource_metadata};
use crate::{
    Permitted, ProtectedServer, Refusal, RefusalCause, allow_reading, foreign_origin, preflight,
    wrong_host,
};

/// Protects a tower service that is an MCP server: everything that reaches it was authenticated and judged, and its lists show
/// each caller what that caller may call.
///
/// The service finds the [`VerifiedCaller`](crate::VerifiedCaller) of each call among its extensions. What it answers in JSON and in
/// event streams is judged message by message: an answer goes out to the request that waits for it, and lists are filtered by the
/// decision that guards the calls, whatever was asked. The ids of sessions and events are bound to their caller. What is neither
/// JSON nor events goes out as it is. Streams end with the token. To say on a listening stream that a list changed
/// when the [`view`](crate::InForce::view) of its caller is another one is up to the service; the gateway does it for a server
/// that knows nothing of callers.
#[derive(Debug, Clone)]
pub struct ProtectLayer {
    door: Door,
}

impl ProtectLayer {
    /// Protects as `server` says.
    pub fn new(server: Arc<ProtectedServer>) -> Self {
        Self {
            door: Door::of(server),
        }
    }

    pub(crate) fn with(door: Door) -> Self {
        Self { door }
    }
}

impl<S> Layer<S> for ProtectLayer {
    type Service = Protect<S>;

    fn layer(&self, inner: S) -> Protect<S> {
        Protect {
            door: self.door.clone(),
            inner,
        }
    }
}

/// A protected service. The inner one finds the [`VerifiedCaller`](crate::VerifiedCaller) among a request's extensions.
#[derive(Debug, Clone)]
pub struct Protect<S> {
    door: Door,
    inner: S,
}

impl<S, B, Answer> Service<Request<B>> for Protect<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<Answer>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
    Answer: Body<Data = Bytes> + Send + 'static,
    Answer::Error: Into<BoxError>,
{
    type Response = Response<BoxBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let door = self.door.clone();
        // The one that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let has_origin = request.headers().contains_key(header::ORIGIN);
            let mut response = match admit(&door, request).await {
                Ok((permitted, asked)) => {
                    let answering = Answering::of(&permitted, asked);
                    let mut request = permitted.into_request();
                    let call = Arc::clone(answering.call());
                    request.extensions_mut().insert(call);
                    let response = inner.call(request).await?;
                    let answered = answering.answer(response, &door).await;
                    answered.unwrap_or_else(refused)
                }
                Err(Unadmitted::Answered(response)) => response.map(boxed),
                Err(Unadmitted::Refused(refusal)) => refused(refusal),
            };
            allow_reading(has_origin, response.headers_mut());
            Ok(response)
        })
    }
}

/// The answer of a refusal; its reason goes to the log.
pub(crate) fn refused(refusal: Refusal) -> Response<BoxBody> {
    tracing::info!(
        correlation_id = %refusal.correlation_id(),
        status = refusal.status().as_u16(),
        "refused: {}",
        refusal.reason()
    );
    refusal.into_response().map(boxed)
}

pub(crate) enum Unadmitted {
    Answered(Response<Full<Bytes>>),
    Refused(Refusal),
}

impl From<Refusal> for Unadmitted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The steps of a call, in order.
async fn admit<B>(door: &Door, request: Request<B>) -> Result<(Permitted, AskedAddress), Unadmitted>
where
    B: Body<Data = Bytes> + Unpin,
{
    let server = &*door.server;
    let (parts, body) = request.into_parts();
    let origin = asked_origin(server, &parts)?;
    if let Some(answer) = well_known(server, origin, &parts) {
        return Err(Unadmitted::Answered(answer?));
    }
    let Some(asked) = server.asked(origin, parts.uri.path()) else {
        return Err(not_found(server).into());
    };
    check_page(server, &parts)?;
    if let Some(answer) = preflight(&parts) {
        return Err(Unadmitted::Answered(answer));
    }
    if parts.method == Method::TRACE || parts.method == Method::CONNECT {
        return Err(method_not_allowed(server).into());
    }
    let now = server.now();
    let (caller, in_force) = door.authenticate(&parts.headers, &asked, now).await?;
    let call = server.read_call(parts, body).await?;
    let permitted = server.authorize(caller, in_force, &asked, call)?;
    Ok((permitted, asked))
}

/// The declared origin that a request asks for.
pub(crate) fn asked_origin<'s>(
    server: &'s ProtectedServer,
    request: &Parts,
) -> Result<&'s Arc<str>, Refusal> {
    let addresses = &*server.addresses;
    let asked = addresses.declared_origin(request);
    asked.map_err(|refusal| wrong_host(&*server.random, addresses, &refusal))
}

/// Whether the page that sends it, if a page does, may do so.
pub(crate) fn check_page(server: &ProtectedServer, request: &Parts) -> Result<(), Refusal> {
    let checked = server.addresses.check_origin(&request.headers);
    checked.map_err(|origin| foreign_origin(&*server.random, &origin))
}

/// The answer to a request for the well-known document, if it is one.
pub(crate) fn well_known(
    server: &ProtectedServer,
    origin: &Arc<str>,
    request: &Parts,
) -> Option<Result<Response<Full<Bytes>>, Refusal>> {
    let suffix = request.uri.path().strip_prefix(WELL_KNOWN_PATH)?;
    let asked = server.asked_metadata(origin, suffix)?;
    Some(match preflight(request) {
        Some(answer) => Ok(answer),
        None => server.metadata_response(&request.method, &asked),
    })
}

impl ProtectedServer {
    /// The answer to a request for the protected resource metadata, for pages of any origin.
    ///
    /// # Errors
    /// 405 unless it is a GET or HEAD; 503 when nothing is known of the server.
    pub fn metadata_response(
        &self,
        method: &Method,
        asked: &AskedAddress,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        if method != Method::GET && method != Method::HEAD {
            return Err(self
                .rejected(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "Metadata is only read: GET or HEAD",
                )
                .with_header(
                    header::ALLOW,
                    HeaderValue::from_static("GET, HEAD, OPTIONS"),
                ));
        }
        let in_force = self.in_force(self.now())?;
        let document = resource_metadata(in_force.server(), asked);
        let json = serde_json::to_vec(&document)
            .expect("metadata is strings and lists, which always become JSON");
        let mut response = Response::new(Full::new(Bytes::from(json)));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("max-age=60"),
        );
        // The document answers for the address that was asked.
        headers.insert(header::VARY, HeaderValue::from_static("Host"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
        Ok(response)
    }

    /// 405, for TRACE and CONNECT, which nobody gets to try.
    pub fn method_not_allowed(&self) -> Refusal {
        method_not_allowed(self)
    }
}

pub(crate) fn not_found(server: &ProtectedServer) -> Refusal {
    Refusal::oauth(
        &*server.random,
        RefusalCause::NotFound,
        StatusCode::NOT_FOUND,
        "not_found",
        "Nothing is at this address",
    )
}

pub(crate) fn boxed(body: Full<Bytes>) -> BoxBody {
    body.map_err(|never| match never {}).boxed_unsync()
}
