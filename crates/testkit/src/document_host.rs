//! A web host with a certificate of a throw-away authority: client metadata documents, key sets and logos for the
//! program under test to fetch, and every way of answering such a fetch badly.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A running host; it stops when the value is dropped. A path without a reply is a 404.
#[derive(Debug)]
pub struct DocumentHost {
    address: SocketAddr,
    name: String,
    ca_pem: String,
    state: Arc<State>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    replies: Mutex<HashMap<String, Reply>>,
    requests: Mutex<Vec<(String, HeaderMap)>>,
    connections: AtomicUsize,
    bytes_sent: AtomicUsize,
}

/// How a path is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Whole and at once.
    Answer {
        /// The status.
        status: u16,
        /// Header fields by name.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Bytes,
    },
    /// A good head, then one space after the other, for ever.
    Drip {
        /// The pause between two.
        every: Duration,
    },
    /// A good head without a length, then a body of this many bytes, as fast as it is read.
    Large {
        /// How many.
        bytes: usize,
    },
    /// Nothing at all; the connection stays open.
    Hang,
    /// The same as another reply, this much later.
    After(Duration, Box<Reply>),
}

impl Reply {
    /// 200 with this body of `application/json`.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::typed("application/json", value.to_string())
    }

    /// 200 with this body of this type.
    pub fn typed(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::Answer {
            status: 200,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
        }
    }

    /// This status, without a body.
    pub fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A redirect to `location`.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).with("location", location)
    }

    /// With one more header field; only a whole answer has any.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

impl DocumentHost {
    /// Starts on a free loopback port as `localhost`, `127.0.0.1` and `[::1]`.
    pub async fn start() -> Self {
        Self::start_as(&["localhost"]).await
    }

    /// Starts on a free loopback port with a certificate for these names, and for loopback as well. The first one
    /// stands in [`DocumentHost::url`].
    pub async fn start_as(names: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let (ca_pem, acceptor) = certificates(names);
        let state = Arc::new(State::default());
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, acceptor, Arc::clone(&state), stop.clone()));
        Self {
            address,
            name: (*names.first().expect("at least one name")).to_owned(),
            ca_pem,
            state,
            stop,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of `path`, with the port.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.name, self.address.port())
    }

    /// The certificate that vouches for this host, for a `ca_file`.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Writes [`DocumentHost::ca_pem`] into `directory` and says where.
    pub fn write_ca(&self, directory: &Path) -> PathBuf {
        let path = directory.join(format!("ca-{}.pem", self.address.port()));
        std::fs::write(&path, &self.ca_pem).expect("the directory can be written");
        path
    }

    /// Answers `path` so from now on.
    pub fn set(&self, path: &str, reply: Reply) {
        lock(&self.state.replies).insert(path.to_owned(), reply);
    }

    /// Answers `path` with this JSON from now on.
    pub fn set_json(&self, path: &str, value: &serde_json::Value) {
        self.set(path, Reply::json(value));
    }

    /// How often `path` was asked for.
    pub fn count(&self, path: &str) -> usize {
        let requests = lock(&self.state.requests);
        requests.iter().filter(|(asked, _)| asked == path).count()
    }

    /// What was asked for, oldest first: path with query, and header fields.
    pub fn requests(&self) -> Vec<(String, HeaderMap)> {
        lock(&self.state.requests).clone()
    }

    /// How many TCP connections came in.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// How many bytes of dripping and large bodies were taken off our hands.
    pub fn bytes_sent(&self) -> usize {
        self.state.bytes_sent.load(Ordering::Relaxed)
    }
}

impl Drop for DocumentHost {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fresh authority in PEM, and a TLS end with a certificate of it for `names` and loopback.
fn certificates(names: &[&str]) -> (String, TlsAcceptor) {
    let mut names = names.to_vec();
    for loopback in ["localhost", "127.0.0.1", "::1"] {
        if !names.contains(&loopback) {
            names.push(loopback);
        }
    }
    certificate_for(&names)
}

/// The same for `names` alone.
pub(crate) fn certificate_for(names: &[&str]) -> (String, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key can be made");
    let ca = CertifiedIssuer::self_signed(params, key).expect("a certificate can be made");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = CertificateParams::new(names)
        .and_then(|params| params.signed_by(&key, &ca))
        .expect("a certificate can be signed");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("key and certificate belong together");
    (ca.pem(), TlsAcceptor::from(Arc::new(config)))
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    state: Arc<State>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        state.connections.fetch_add(1, Ordering::Relaxed);
        let serving = serve(stream, acceptor.clone(), Arc::clone(&state));
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = serving => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Body>, Infallible> {
    let asked = request
        .uri()
        .path_and_query()
        .map_or_else(String::new, |path| path.as_str().to_owned());
    lock(&state.requests).push((asked.clone(), request.headers().clone()));
    let mut reply = lock(&state.replies)
        .get(&asked)
        .cloned()
        .unwrap_or_else(|| Reply::status(404));
    while let Reply::After(pause, then) = reply {
        tokio::time::sleep(pause).await;
        reply = *then;
    }
    let head = Response::builder().header(header::CONTENT_TYPE, "application/json");
    let response = match reply {
        Reply::Answer {
            status,
            headers,
            body,
        } => {
            let mut head = Response::builder().status(status);
            for (name, value) in headers {
                head = head.header(name, value);
            }
            head.body(Full::new(body).boxed_unsync())
        }
        Reply::Drip { every } => {
            let drops = stream::unfold(state, move |state| async move {
                tokio::time::sleep(every).await;
                state.bytes_sent.fetch_add(1, Ordering::Relaxed);
                Some((Ok(Frame::data(Bytes::from_static(b" "))), state))
            });
            head.body(StreamBody::new(drops).boxed_unsync())
        }
        Reply::Large { bytes } => {
            const CHUNK: &[u8] = &[b' '; 64 * 1024];
            let chunks = stream::unfold((state, bytes), |(state, left)| async move {
                let size = left.min(CHUNK.len());
                if size == 0 {
                    return None;
                }
                state.bytes_sent.fetch_add(size, Ordering::Relaxed);
                let chunk = Bytes::from_static(CHUNK).slice(..size);
                Some((Ok(Frame::data(chunk)), (state, left - size)))
            });
            head.body(StreamBody::new(chunks).boxed_unsync())
        }
        Reply::Hang => std::future::pending().await,
        Reply::After(..) => unreachable!("waited for above"),
    };
    Ok(response.unwrap_or_else(|_| {
        let mut response = Response::new(Full::default().boxed_unsync());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    }))
}
