use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

use gateway::{BoxBody, Gateway};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes};
use tower::{Service, ServiceExt as _};

use crate::accept::Handler;
use crate::arriving::Arriving;

/// The authority and the gateway on one listener, told apart by path.
#[derive(Clone)]
pub struct Join<A> {
    gateway: Gateway,
    authority: A,
}

impl<A> Join<A> {
    /// The gateway answers what it owns, the authority everything else.
    pub fn new(gateway: Gateway, authority: A) -> Self {
        Self { gateway, authority }
    }
}

impl<A, B> Handler for Join<A>
where
    A: Service<Request<Arriving>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    A::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Body = BoxBody;

    async fn answer(&self, mut request: Request<Arriving>, peer: SocketAddr) -> Response<BoxBody> {
        request.extensions_mut().insert(server::Peer(peer));
        if self.gateway.owns(request.uri().path()) {
            return self.gateway.handle(request).await;
        }
        match self.authority.clone().oneshot(request).await {
            Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(never) => match never {},
        }
    }
}

/// The authority alone.
#[derive(Clone)]
pub struct Alone<A>(pub A);

impl<A, B> Handler for Alone<A>
where
    A: Service<Request<Arriving>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    A::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Body = BoxBody;

    async fn answer(&self, mut request: Request<Arriving>, peer: SocketAddr) -> Response<BoxBody> {
        request.extensions_mut().insert(server::Peer(peer));
        match self.0.clone().oneshot(request).await {
            Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(never) => match never {},
        }
    }
}
