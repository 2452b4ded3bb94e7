use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use base::{CorrelationId, Random};
use gateway::{BoxBody, Gateway};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes};
use tower::{Service, ServiceExt as _};
use tracing::Instrument as _;

use crate::accept::Handler;
use crate::arriving::Arriving;

/// The authority and the gateway on one listener, told apart by path.
#[derive(Clone)]
pub struct Join<A> {
    gateway: Gateway,
    authority: A,
    random: Arc<dyn Random>,
}

impl<A> Join<A> {
    /// The gateway answers what it owns, the authority everything else. `random` makes the ids of requests.
    pub fn new(gateway: Gateway, authority: A, random: Arc<dyn Random>) -> Self {
        Self {
            gateway,
            authority,
            random,
        }
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
        with_id(&*self.random, async {
            match self.gateway.owns(request.uri().path()) {
                true => self.gateway.handle(request).await,
                false => ask(&self.authority, request).await,
            }
        })
        .await
    }
}

/// The authority alone.
#[derive(Clone)]
pub struct Alone<A> {
    authority: A,
    random: Arc<dyn Random>,
}

impl<A> Alone<A> {
    /// `random` makes the ids of requests.
    pub fn new(authority: A, random: Arc<dyn Random>) -> Self {
        Self { authority, random }
    }
}

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
        with_id(&*self.random, ask(&self.authority, request)).await
    }
}

/// Gives the request an id, on each of its log lines and in what refuses it.
async fn with_id<T>(random: &dyn Random, answering: impl Future<Output = T>) -> T {
    let id = CorrelationId::new(random);
    // Of the highest level, so that no filter takes the id from a line that it lets through.
    let span = tracing::error_span!("request", request.id = %id);
    id.during(answering).instrument(span).await
}

async fn ask<A, B>(authority: &A, request: Request<Arriving>) -> Response<BoxBody>
where
    A: Service<Request<Arriving>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match authority.clone().oneshot(request).await {
        Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
        Err(never) => match never {},
    }
}
