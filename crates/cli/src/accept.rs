//! The accept loop: HTTP/1.1 and HTTP/2 on each socket, in the clear or over TLS, with a cap, timeouts and a graceful
//! end.
//!
//! `axum::serve` sets no time limit for the head of a request, which is why this is here.

use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arriving::{Arriving, arriving};
use crate::idle::Requests;
use crate::per_address::{PerAddress, Place};
use crate::tls::Certificates;
use crate::unread::Unread;

/// How long a peer may leave an answer unread when no more of it fits into the buffers on the way.
const UNREAD_MAX: Duration = Duration::from_secs(60);

/// How many requests one HTTP/2 connection may have open at once.
pub const STREAMS_MAX: u32 = 256;

/// How long a peer that was told that its idle connection ends may take to close it.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// What bounds connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections at once; more wait in the operating system's queue.
    pub connections_max: usize,
    /// Open connections from one address at once, or from one IPv6 network of 64 bits; more are closed.
    pub connections_per_address_max: usize,
    /// From the connection, with its TLS handshake, to the end of the first request's head; then for the head of each
    /// request, and how long an idle connection is kept.
    pub head_timeout: Duration,
    /// How long answers that have begun may go on after the end was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            connections_per_address_max: 1024,
            head_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(5),
        }
    }
}

/// Where connections come from.
#[derive(Debug)]
pub struct Socket {
    /// Listens.
    pub listener: TcpListener,
    /// What its connections are secured with. None speaks plain HTTP, for a loopback address or behind a proxy.
    pub tls: Option<Arc<Certificates>>,
}

impl From<TcpListener> for Socket {
    /// Plain HTTP.
    fn from(listener: TcpListener) -> Self {
        Self {
            listener,
            tls: None,
        }
    }
}

/// Answers requests, each with the address it came from.
pub trait Handler: Send + Sync + 'static {
    /// The body of the answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;
    /// Answers.
    fn answer(
        &self,
        request: Request<Arriving>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Whether connections from `peer` are other people's, so that they are not counted as one address's.
    fn is_proxy(&self, peer: IpAddr) -> bool {
        let _ = peer;
        false
    }
}

/// Serves every socket until `stop`, then lets answers that have begun finish.
///
/// On a TLS socket, plain HTTP is answered with a short 400 that names the scheme, anything else that is no handshake
/// with an alert. The certificate is the one in use when the handshake begins.
pub async fn serve<H: Handler>(
    sockets: Vec<Socket>,
    handler: H,
    stop: CancellationToken,
    limits: Limits,
) {
    let handler = Arc::new(handler);
    let shared = Arc::new(Shared {
        permits: Arc::new(Semaphore::new(limits.connections_max)),
        builder: builder(&limits),
        per_address: PerAddress::new(limits.connections_per_address_max),
        connections: TaskTracker::new(),
        stop: stop.clone(),
        limits,
    });
    let loops = TaskTracker::new();
    for socket in sockets {
        let (shared, handler, stop) = (Arc::clone(&shared), Arc::clone(&handler), stop.clone());
        loops.spawn(async move {
            // Dropping the socket at the end refuses new connections at once.
            stop.run_until_cancelled(accept(socket, handler, shared))
                .await;
        });
    }
    loops.close();
    loops.wait().await;

    let Some(shared) = Arc::into_inner(shared) else {
        return;
    };
    shared.connections.close();
    let open = shared.connections.len();
    if tokio::time::timeout(shared.limits.drain, shared.connections.wait())
        .await
        .is_err()
    {
        tracing::info!(
            connections = open,
            "closed connections whose answers did not end in time"
        );
    }
}

struct Shared {
    permits: Arc<Semaphore>,
    builder: auto::Builder<TokioExecutor>,
    per_address: Arc<PerAddress>,
    connections: TaskTracker,
    stop: CancellationToken,
    limits: Limits,
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(64 * 1024)
        .max_headers(100);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(64 * 1024);
    builder
}

async fn accept<H: Handler>(socket: Socket, handler: Arc<H>, shared: Arc<Shared>) {
    loop {
        let permit = Arc::clone(&shared.permits)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        match socket.listener.accept().await {
            Ok((stream, peer)) => {
                let place = match handler.is_proxy(peer.ip()) {
                    true => None,
                    false => match shared.per_address.enter(peer.ip()) {
                        Some(place) => Some(place),
                        None => continue,
                    },
                };
                let tls = socket.tls.clone();
                let connection = connection(stream, peer, tls, Arc::clone(&handler), &shared);
                shared.connections.spawn(async move {
                    connection.await;
                    drop::<(_, Option<Place>)>((permit, place));
                });
            }
            Err(error) => {
                // Out of file descriptors, or the peer was gone before we looked. Neither ends the loop; the pause
                // keeps it from spinning.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn connection<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Certificates>>,
    handler: Arc<H>,
    shared: &Shared,
) -> impl Future<Output = ()> + Send + use<H> {
    // Answers are small and streams must not wait for company.
    let _ = stream.set_nodelay(true);
    let began = Instant::now();
    let requests = Requests::none_since(began);
    let begun = Arc::clone(&requests);
    let service = service_fn(move |request: Request<Incoming>| {
        let open = begun.begin();
        let handler = Arc::clone(&handler);
        // hyper sets the room for it aside with each connection, also with one that never asks anything.
        Box::pin(async move {
            let (request, rest) = arriving(request);
            let mut answer = handler.answer(request, peer).await;
            rest.read(answer.headers_mut()).await;
            Ok::<_, Infallible>(answer.map(|body| open.answering(body)))
        })
    });
    let builder = shared.builder.clone();
    let stop = shared.stop.clone();
    let head_timeout = shared.limits.head_timeout;
    // Below TLS, whose own buffer would hide that nothing is read.
    let stream = Unread::new(stream, UNREAD_MAX);
    async move {
        let stream = match tls {
            None => Either::Left(stream),
            // An unfinished handshake holds up no end: nothing was asked yet.
            Some(tls) => match stop
                .run_until_cancelled(secured(stream, peer, &tls, began + head_timeout))
                .await
                .flatten()
            {
                Some(stream) => Either::Right(stream),
                None => return,
            },
        };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let (mut stopping, mut patience) = (false, head_timeout);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "a connection ended early");
                    }
                    return;
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                // Also while the version is being told from the first bytes, when no timer of hyper's runs yet.
                () = requests.none_for(patience) => {
                    if !requests.asked() || patience > head_timeout {
                        tracing::debug!(%peer, "a connection sent no request in time");
                        return;
                    }
                    // A request that is on its way meets the goodbye of HTTP/2 and is answered or known to be unread.
                    connection.as_mut().graceful_shutdown();
                    patience = head_timeout + GOODBYE_MAX;
                }
            }
        }
    }
}

async fn secured(
    stream: Unread<TcpStream>,
    peer: SocketAddr,
    tls: &Certificates,
    deadline: Instant,
) -> Option<TlsStream<Unread<TcpStream>>> {
    match tokio::time::timeout_at(deadline, tls.establish(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake did not end in time"),
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    mod http_2;

    use super::*;
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[derive(Clone)]
    struct Slow(Duration);

    impl Handler for Slow {
        type Body = Full<Bytes>;
        async fn answer(&self, _: Request<Arriving>, peer: SocketAddr) -> Response<Full<Bytes>> {
            assert!(peer.ip().is_loopback());
            tokio::time::sleep(self.0).await;
            Response::new(Full::new(Bytes::from_static(b"answered")))
        }
    }

    struct Running {
        address: SocketAddr,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    async fn start(slow: u64, limits: Limits) -> Running {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let handler = Slow(Duration::from_millis(slow));
        let task = tokio::spawn(serve(vec![socket.into()], handler, stop.clone(), limits));
        Running {
            address,
            stop,
            task,
        }
    }

    fn quick() -> Limits {
        Limits {
            connections_max: 2,
            connections_per_address_max: 2,
            head_timeout: Duration::from_millis(300),
            drain: Duration::from_secs(5),
        }
    }

    async fn sent(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn read_all(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes))
            .await
            .expect("the connection is closed");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn an_unfinished_head_is_cut_off_and_a_whole_one_answered() {
        let running = start(0, quick()).await;
        for unfinished in [
            &b""[..],
            b"P",
            b"PRI * HTTP/2.0\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n",
        ] {
            let text = read_all(sent(running.address, unfinished).await).await;
            assert!(!text.contains("answered"), "{text}");
        }
        assert!(
            read_all(sent(running.address, REQUEST).await)
                .await
                .ends_with("answered")
        );
    }

    #[tokio::test]
    async fn a_head_of_a_hundred_lines_and_64_kib_is_read_and_a_larger_one_is_431() {
        let running = start(0, quick()).await;
        let with = |lines: usize, bytes: usize| {
            let mut head = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_vec();
            for line in 2..lines {
                head.extend(format!("x-{line}: {}\r\n", "y".repeat(bytes)).into_bytes());
            }
            head.extend(b"\r\n");
            head
        };
        for (lines, bytes, is_read) in [
            (100, 1, true),
            (101, 1, false),
            (10, 7_000, true),
            (10, 9_000, false),
        ] {
            let text = read_all(sent(running.address, &with(lines, bytes)).await).await;
            assert_eq!(
                text.ends_with("answered"),
                is_read,
                "{lines} {bytes}: {text}"
            );
            // What is left unread of a head may take the answer with it.
            if lines > 100 {
                assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_nobody_wanted_does_not_cost_the_connection() {
        let running = start(0, quick()).await;
        let mut stream = sent(
            running.address,
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n",
        )
        .await;
        // The refusal is ready before the body is there.
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(b"late").await.unwrap();
        let mut first = vec![0; 512];
        let count = stream.read(&mut first).await.unwrap();
        let first = String::from_utf8_lossy(&first[..count]).into_owned();
        assert!(first.ends_with("answered"), "{first}");
        assert!(!first.contains("close"), "{first}");
        stream.write_all(REQUEST).await.unwrap();
        assert!(read_all(stream).await.ends_with("answered"));
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_answered_and_costs_the_connection() {
        let running = start(0, quick()).await;
        let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n";
        let text = read_all(sent(running.address, head).await).await;
        assert!(text.contains("connection: close"), "{text}");
        assert!(text.ends_with("answered"), "{text}");
        let asks =
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        let text = read_all(sent(running.address, asks).await).await;
        assert!(
            text.ends_with("answered") && !text.contains("100"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn an_answer_slower_than_the_head_timeout_arrives() {
        let running = start(700, quick()).await;
        assert!(
            read_all(sent(running.address, REQUEST).await)
                .await
                .ends_with("answered")
        );
    }

    #[tokio::test]
    async fn connections_over_the_cap_wait_and_are_then_served() {
        let running = start(0, quick()).await;
        let idle = [
            sent(running.address, b"").await,
            sent(running.address, b"").await,
        ];
        assert!(
            read_all(sent(running.address, REQUEST).await)
                .await
                .ends_with("answered")
        );
        drop(idle);
    }

    #[tokio::test]
    async fn connections_over_the_cap_of_an_address_are_closed_and_those_of_another_are_served() {
        let limits = Limits {
            connections_max: 8,
            head_timeout: Duration::from_secs(5),
            ..quick()
        };
        let running = start(0, limits).await;
        let idle = [
            sent(running.address, b"").await,
            sent(running.address, b"").await,
        ];
        let text = read_all(sent(running.address, REQUEST).await).await;
        assert!(!text.contains("answered"), "{text}");
        let other = tokio::net::TcpSocket::new_v4().unwrap();
        other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = other.connect(running.address).await.unwrap();
        other.write_all(REQUEST).await.unwrap();
        assert!(read_all(other).await.ends_with("answered"));
        drop(idle);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let text = read_all(sent(running.address, REQUEST).await).await;
        assert!(text.ends_with("answered"), "{text}");
    }

    /// Whose peer answers each ping, as every client does.
    #[tokio::test]
    async fn an_idle_connection_of_http_2_is_closed_and_a_busy_one_is_not() {
        for slow in [0, 1500] {
            let running = start(slow, quick()).await;
            let stream = TcpStream::connect(running.address).await.unwrap();
            let io = TokioIo::new(stream);
            let (mut ask, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                    .await
                    .unwrap();
            let connection = tokio::spawn(connection);
            let request = Request::get("http://x/")
                .body(Full::new(Bytes::new()))
                .unwrap();
            let begun = Instant::now();
            let answer = ask.send_request(request).await.unwrap();
            assert!(answer.status().is_success());
            assert!(begun.elapsed() >= Duration::from_millis(slow));
            let ended = tokio::time::timeout(Duration::from_secs(4), connection).await;
            assert!(ended.is_ok(), "it stays open though nothing is asked");
            drop(ask);
        }
    }

    #[tokio::test]
    async fn the_end_lets_an_answer_finish_and_refuses_new_connections() {
        let running = start(500, quick()).await;
        let open = sent(running.address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        running.stop.cancel();
        assert!(read_all(open).await.ends_with("answered"));
        running.task.await.unwrap();
        assert!(TcpStream::connect(running.address).await.is_err());
    }

    #[tokio::test]
    async fn an_answer_that_never_ends_does_not_hold_up_the_end_for_ever() {
        let limits = Limits {
            drain: Duration::from_millis(200),
            ..quick()
        };
        let running = start(60_000, limits).await;
        let _open = sent(running.address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        running.stop.cancel();
        tokio::time::timeout(Duration::from_secs(2), running.task)
            .await
            .unwrap()
            .unwrap();
    }
}
