use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::{CorrelationId, Random};
use gateway::{BoxBody, Gateway};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes};
use tower::{Service, ServiceExt as _};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::accept::Handler;
use crate::arriving::Arriving;
use crate::forwarded::TrustedProxies;
use crate::logging::answering;
use crate::stack::caught::caught;
use crate::traces;

/// What every request gets at the door: an id, on each of its log lines and in what refuses it; and the address of its
/// client, also when it comes through a trusted proxy, for the log and for what the authority counts.
#[derive(Clone)]
pub struct Entrance {
    proxies: Arc<TrustedProxies>,
    random: Arc<dyn Random>,
    traces: bool,
}

impl Entrance {
    /// `random` begins the ids.
    pub fn new(proxies: TrustedProxies, random: Arc<dyn Random>) -> Self {
        Self {
            proxies: Arc::new(proxies),
            random,
            traces: false,
        }
    }

    /// With a span for each request, when `traces` are sent somewhere.
    pub fn traced(self, traces: bool) -> Self {
        Self { traces, ..self }
    }

    /// Gives a request what every one gets, and has it answered: `route` is told the address of its client.
    pub async fn admit<F>(
        &self,
        mut request: Request<Arriving>,
        peer: SocketAddr,
        route: impl FnOnce(Request<Arriving>, IpAddr) -> F,
    ) -> Response<BoxBody>
    where
        F: Future<Output = Response<BoxBody>>,
    {
        let id = CorrelationId::new(&*self.random);
        let client = self.proxies.client_address(peer.ip(), request.headers());
        let span = self.span(id, &request, peer);
        if self.traces {
            let parent = gateway::TraceParent(traces::trace_parent);
            request.extensions_mut().insert(parent);
        }
        let routed = caught(id, route(request, client)).instrument(span.clone());
        let answer = id.during(answering(client, routed)).await;
        let status = answer.status();
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        answer
    }

    /// Whether connections from `peer` are other people's.
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.trusts(peer)
    }

    /// The span of a request; it goes on with the trace of a proxy that is trusted.
    fn span(&self, id: CorrelationId, request: &Request<Arriving>, peer: SocketAddr) -> Span {
        if !self.traces {
            return Span::none();
        }
        let method = method(request.method());
        let span = tracing::info_span!(
            target: "portcullis_trace",
            "request",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.route = Empty,
            http.response.status_code = Empty,
            mcp.method.name = Empty,
            portcullis.server = Empty,
            portcullis.request.id = %id,
        );
        if self.proxies.trusts(peer.ip().to_canonical()) {
            traces::continue_trace(&span, request.headers());
        }
        span
    }
}

/// Methods that are known; others would be words of a stranger.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        _ => "_OTHER",
    }
}

/// The authority and the gateway on one listener, told apart by host and path; or the authority alone.
#[derive(Clone)]
pub struct Join<A> {
    gateway: Option<Gateway>,
    authority: A,
    entrance: Entrance,
}

impl<A> Join<A> {
    /// The gateway answers what it claims, the authority everything else.
    pub fn new(gateway: Gateway, authority: A, entrance: Entrance) -> Self {
        Self {
            gateway: Some(gateway),
            authority,
            entrance,
        }
    }

    /// The authority answers everything.
    pub fn alone(authority: A, entrance: Entrance) -> Self {
        Self {
            gateway: None,
            authority,
            entrance,
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

    async fn answer(&self, request: Request<Arriving>, peer: SocketAddr) -> Response<BoxBody> {
        let route = |request, client| self.route(request, client);
        self.entrance.admit(request, peer, route).await
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.entrance.is_proxy(peer)
    }
}

impl<A, B> Join<A>
where
    A: Service<Request<Arriving>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    async fn route(&self, mut request: Request<Arriving>, client: IpAddr) -> Response<BoxBody> {
        if let Some(gateway) = &self.gateway
            && let Some(claim) = gateway.claim(request.uri(), request.headers())
        {
            // By far the largest part of a request's future, which every one would carry.
            return Box::pin(gateway.answer(claim, request)).await;
        }
        request.extensions_mut().insert(server::Peer(client));
        ask(&self.authority, request).await
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use super::*;

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use base::{OsRandom, Secret, SystemClock};
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;

    use crate::accept::{Limits, serve};
    use crate::forwarded::AddressHeader;

    fn gateway() -> Gateway {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let (_, feed) = sdk::policy_feed(Arc::new(SystemClock));
        let settings = gateway::Settings {
            public_url: "http://localhost:4180".into(),
            alias_origins: Vec::new(),
            former_origins: Vec::new(),
            allowed_origins: Vec::new(),
            reserved_paths: Vec::new(),
            servers: Vec::new(),
            identity_key: gateway::IdentityKey {
                kid: "key".into(),
                pkcs8: Secret::new(pkcs8.unwrap().as_ref().to_vec()),
            },
            opaque_tokens: None,
            other_issuers: HashMap::new(),
            limits: gateway::Limits::default(),
        };
        let (records, _) = tokio::sync::mpsc::channel(1);
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        Gateway::new(settings, feed, records, clock, random).unwrap()
    }

    /// The address that the authority is told for a request over loopback.
    async fn told(proxies: TrustedProxies) -> String {
        crate::providers::install();
        let authority = tower::service_fn(async |request: Request<Arriving>| {
            let server::Peer(client) = request.extensions().get().unwrap();
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(client.to_string()))))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let join = Join::new(
            gateway(),
            authority,
            Entrance::new(proxies, Arc::new(OsRandom)),
        );
        let (stop, limits) = (CancellationToken::new(), Limits::default());
        tokio::spawn(serve(vec![listener.into()], join, stop, limits));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\
            X-Forwarded-For: 198.51.100.7\r\nForwarded: for=192.0.2.2\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.rsplit("\r\n").next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn the_authority_is_told_the_client_of_a_trusted_proxy_and_else_the_peer() {
        let trusted = |network: &str| {
            TrustedProxies::new(vec![network.parse().unwrap()], AddressHeader::XForwardedFor)
        };
        assert_eq!(told(trusted("127.0.0.1/32")).await, "198.51.100.7");
        assert_eq!(told(trusted("127.0.0.2/32")).await, "127.0.0.1");
        assert_eq!(told(TrustedProxies::default()).await, "127.0.0.1");
    }

    #[tokio::test]
    async fn a_request_that_panics_is_answered_500_and_its_connection_and_neighbours_go_on() {
        crate::providers::install();
        // What a request had locked when it panicked is not locked for ever.
        let counted = Arc::new(std::sync::Mutex::new(0));
        let authority = tower::service_fn(move |request: Request<Arriving>| {
            let counted = Arc::clone(&counted);
            async move {
                let mut counted = counted
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                *counted += 1;
                assert_ne!(request.uri().path(), "/panic", "a secret of a stranger");
                let body = Full::new(Bytes::from(counted.to_string()));
                Ok::<_, Infallible>(Response::new(body))
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let entrance = Entrance::new(TrustedProxies::default(), Arc::new(OsRandom));
        let (stop, limits) = (CancellationToken::new(), Limits::default());
        let join = Join::alone(authority, entrance);
        tokio::spawn(serve(vec![listener.into()], join, stop, limits));

        // A hundred in a row, all on one connection and every second one bad.
        let mut stream = TcpStream::connect(address).await.unwrap();
        for turn in 1..=50 {
            let broken = ask_on(&mut stream, "/panic").await;
            assert!(
                broken.starts_with("HTTP/1.1 500 Internal Server Error\r\n"),
                "{broken}"
            );
            assert!(
                broken.contains("\r\nportcullis-correlation-id: "),
                "{broken}"
            );
            assert!(broken.contains(r#"{"error":"server_error","#), "{broken}");
            assert!(!broken.contains("secret"), "{broken}");
            let good = ask_on(&mut stream, "/").await;
            assert!(good.starts_with("HTTP/1.1 200 OK\r\n"), "{good}");
            assert!(good.ends_with(&format!("\r\n\r\n{}", turn * 2)), "{good}");
        }
    }

    /// One request on a connection that stays open, and its whole answer.
    async fn ask_on(stream: &mut TcpStream, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        loop {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).await.unwrap();
            assert!(read > 0, "the connection ended");
            answer.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Some(length) = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                && body.len() == length.parse::<usize>().unwrap()
            {
                return text.into_owned();
            }
        }
    }
}
