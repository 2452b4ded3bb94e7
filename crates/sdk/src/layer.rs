use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tower_layer::Layer;
use tower_service::Service;
use wire::mcp::Era;
use wire::mcp::headers::MCP_SESSION_ID;

use crate::read_call::method_not_allowed;
use crate::resource_metadata::{AskedAddress, WELL_KNOWN_PATH, resource_metadata};
use crate::{
    Permitted, ProtectedServer, Refusal, RefusalCause, allow_reading, foreign_origin, preflight,
    wrong_host,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// Protects a tower service that is an MCP server: everything that reaches it was authenticated and judged.
///
/// What the service answers goes out as it is, but for the session id. It has the [`VerifiedCaller`](crate::VerifiedCaller)
/// of each call and is itself to list only what that caller may call, to say on a listening stream that a list changed when the
/// [`view`](crate::InForce::view) of its caller is another one, and to end it when the token ends.
/// The gateway does both for a server that knows nothing of callers.
#[derive(Debug, Clone)]
pub struct ProtectLayer {
    server: Arc<ProtectedServer>,
}

impl ProtectLayer {
    /// Protects as `server` says.
    pub fn new(server: Arc<ProtectedServer>) -> Self {
        Self { server }
    }
}

impl<S> Layer<S> for ProtectLayer {
    type Service = Protect<S>;

    fn layer(&self, inner: S) -> Protect<S> {
        Protect {
            server: Arc::clone(&self.server),
            inner,
        }
    }
}

/// A protected service. The inner one finds the [`VerifiedCaller`](crate::VerifiedCaller) among a request's extensions.
#[derive(Debug, Clone)]
pub struct Protect<S> {
    server: Arc<ProtectedServer>,
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
        let server = Arc::clone(&self.server);
        // The one that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let has_origin = request.headers().contains_key(header::ORIGIN);
            let mut response = match admit(&server, request).await {
                Ok(permitted) => {
                    let era = permitted.era();
                    let caller = Arc::clone(permitted.caller());
                    let in_force = Arc::clone(permitted.in_force());
                    let mut response = inner.call(permitted.into_request()).await?;
                    let own = response.headers_mut().remove(&MCP_SESSION_ID);
                    let outward = own
                        .as_ref()
                        .filter(|_| era == Era::Legacy)
                        .and_then(|own| own.to_str().ok())
                        .and_then(|own| in_force.outward_session(caller.principal(), own))
                        .and_then(|outward| HeaderValue::try_from(outward).ok());
                    if let Some(outward) = outward {
                        response.headers_mut().insert(&MCP_SESSION_ID, outward);
                    }
                    response.map(|body| body.map_err(Into::into).boxed_unsync())
                }
                Err(Unadmitted::Answered(response)) => response.map(boxed),
                Err(Unadmitted::Refused(refusal)) => {
                    tracing::info!(
                        correlation_id = %refusal.correlation_id(),
                        status = refusal.status().as_u16(),
                        "refused: {}",
                        refusal.reason()
                    );
                    refusal.into_response().map(boxed)
                }
            };
            allow_reading(has_origin, response.headers_mut());
            Ok(response)
        })
    }
}

enum Unadmitted {
    Answered(Response<Full<Bytes>>),
    Refused(Refusal),
}

impl From<Refusal> for Unadmitted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The steps of a call, in order.
async fn admit<B>(server: &ProtectedServer, request: Request<B>) -> Result<Permitted, Unadmitted>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (parts, body) = request.into_parts();
    let random = &*server.random;
    let origin = server
        .addresses
        .declared_origin(&parts)
        .map_err(|refusal| wrong_host(random, &server.addresses, &refusal))?;
    let path = parts.uri.path();
    if let Some(asked) = path
        .strip_prefix(WELL_KNOWN_PATH)
        .and_then(|suffix| server.asked_metadata(origin, suffix))
    {
        return Err(Unadmitted::Answered(metadata(server, &parts, &asked)?));
    }
    let Some(asked) = server.asked(origin, path) else {
        return Err(not_found(server).into());
    };
    server
        .addresses
        .check_origin(&parts.headers)
        .map_err(|origin| foreign_origin(random, &origin))?;
    if let Some(answer) = preflight(&parts) {
        return Err(Unadmitted::Answered(answer));
    }
    if parts.method == Method::TRACE || parts.method == Method::CONNECT {
        return Err(method_not_allowed(server).into());
    }
    let now = server.now();
    let in_force = server.in_force(now)?;
    let caller = server
        .authenticate(&parts.headers, &asked, &in_force, now)
        .await?;
    let call = server.read_call(parts, body).await?;
    Ok(server.authorize(caller, in_force, &asked, call)?)
}

fn metadata(
    server: &ProtectedServer,
    request: &http::request::Parts,
    asked: &AskedAddress,
) -> Result<Response<Full<Bytes>>, Refusal> {
    if let Some(answer) = preflight(request) {
        return Ok(answer);
    }
    server.metadata_response(&request.method, asked)
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

fn not_found(server: &ProtectedServer) -> Refusal {
    Refusal::oauth(
        &*server.random,
        RefusalCause::NotFound,
        StatusCode::NOT_FOUND,
        "not_found",
        "Nothing is at this address",
    )
}

fn boxed(body: Full<Bytes>) -> BoxBody {
    body.map_err(|never| match never {}).boxed_unsync()
}
