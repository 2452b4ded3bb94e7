use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use authz::{Decision, decide_scopes};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use tower_layer::Layer;
use tower_service::Service;
use wire::oauth::{Scope, ScopeSet};

use crate::answer::{BoxBody, BoxError};
use crate::authorize::{cause_of, reason_of, strip_credentials};
use crate::challenge::insufficient_scope;
use crate::door::Door;
use crate::layer::{asked_origin, boxed, check_page, refused};
use crate::{Refusal, VerifiedCaller, allow_reading, preflight};

/// Lets only callers through whose token has a scope: for plain HTTP routes beside the MCP server.
/// [`Protection::require_scope`](crate::Protection::require_scope) makes one.
#[derive(Debug, Clone)]
pub struct RequireScopeLayer {
    door: Door,
    scope: Arc<ScopeSet>,
}

impl RequireScopeLayer {
    pub(crate) fn new(door: Door, scope: Scope) -> Self {
        Self {
            door,
            scope: Arc::new([scope].into_iter().collect()),
        }
    }
}

impl<S> Layer<S> for RequireScopeLayer {
    type Service = RequireScope<S>;

    fn layer(&self, inner: S) -> RequireScope<S> {
        RequireScope {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service behind a [`RequireScopeLayer`]. It finds the [`VerifiedCaller`](crate::VerifiedCaller) among a request's
/// extensions, and no credential among its headers.
#[derive(Debug, Clone)]
pub struct RequireScope<S> {
    layer: RequireScopeLayer,
    inner: S,
}

impl<S, B, Answer> Service<Request<B>> for RequireScope<S>
where
    S: Service<Request<B>, Response = Response<Answer>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
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
        let layer = self.layer.clone();
        // The one that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let has_origin = parts.headers.contains_key(header::ORIGIN);
            let mut response = match layer.admit(&parts).await {
                Ok(Admitted::Preflight(answer)) => answer.map(boxed),
                Ok(Admitted::Caller(caller)) => {
                    strip_credentials(&mut parts.headers);
                    parts.extensions.insert(caller);
                    let request = Request::from_parts(parts, body);
                    let response = inner.call(request).await?;
                    response.map(|body| body.map_err(Into::into).boxed_unsync())
                }
                Err(refusal) => refused(refusal),
            };
            allow_reading(has_origin, response.headers_mut());
            Ok(response)
        })
    }
}

enum Admitted {
    Preflight(Response<Full<Bytes>>),
    Caller(Arc<VerifiedCaller>),
}

impl RequireScopeLayer {
    /// The steps of a request, in order.
    async fn admit(&self, request: &Parts) -> Result<Admitted, Refusal> {
        let server = &*self.door.server;
        let random = &*server.random;
        let origin = asked_origin(server, request)?;
        check_page(server, request)?;
        if let Some(answer) = preflight(request) {
            return Ok(Admitted::Preflight(answer));
        }
        let asked = server.canonical_address(origin);
        let now = server.now();
        let authenticated = self.door.authenticate(&request.headers, &asked, now);
        let (caller, in_force) = authenticated.await?;
        let policy = &in_force.server().policy;
        let decision = decide_scopes(policy, caller.caller(), &self.scope);
        match &decision {
            Decision::Allowed { .. } => Ok(Admitted::Caller(caller)),
            _ if !policy.enforced() => {
                tracing::info!("would have been refused: {}", reason_of(&decision));
                Ok(Admitted::Caller(caller))
            }
            Decision::NeedsScope { required, rule } => {
                // Clients of plain routes ask for exactly what they are told, so they are told what they have as well.
                let scope = required.union(&caller.caller().scopes);
                Err(insufficient_scope(random, &asked, scope, rule))
            }
            Decision::Denied { .. } => Err(Refusal::oauth_because(
                random,
                cause_of(&decision),
                StatusCode::FORBIDDEN,
                "access_denied",
                "This is not permitted, whatever scope is asked for",
                reason_of(&decision),
            )),
        }
    }
}
