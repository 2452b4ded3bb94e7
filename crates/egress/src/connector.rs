use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{DefaultServerNameResolver, HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;

use crate::error::CONNECTING;
use crate::lookup::Chosen;
use crate::{AddressPolicy, Error, Names, Ports, Settings, tls};

/// An open connection, with TLS for `https`.
pub type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Opens connections to the addresses that the policy permits. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    tcp: GuardedTcp,
    https_only: bool,
    connect_timeout: Duration,
    tls: Arc<Tls>,
}

/// Reading the machine's certificates takes milliseconds that a start without `https` need not spend.
struct Tls {
    extra_roots: Vec<CertificateDer<'static>>,
    config: OnceLock<Result<Arc<rustls::ClientConfig>, String>>,
}

impl Connector {
    /// A connector under `settings`.
    ///
    /// # Errors
    /// When the file with extra certificates cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let extra_roots = match &settings.ca_file {
            Some(path) => tls::read_ca_file(path)?,
            None => Vec::new(),
        };
        Ok(Self {
            tcp: GuardedTcp {
                policy: settings.addresses,
                ports: settings.ports,
                names: settings.names.clone(),
            },
            https_only: settings.https_only,
            connect_timeout: settings.connect_timeout,
            tls: Arc::new(Tls {
                extra_roots,
                config: OnceLock::new(),
            }),
        })
    }

    async fn connect(self, uri: Uri) -> Result<Connection, Error> {
        let secure = check_uri(&uri, self.https_only)?;
        let limit = self.connect_timeout;
        let connecting = async {
            if !secure {
                let mut tcp = self.tcp.clone();
                return tcp.call(uri).await.map(MaybeHttpsStream::Http);
            }
            let host = host_and_port(&uri);
            let tls_error = |reason: String| Error::Tls {
                host: host.clone(),
                reason,
            };
            let config = self.tls.config().map_err(tls_error)?;
            let names = Arc::new(DefaultServerNameResolver::default());
            let mut https = HttpsConnector::new(self.tcp.clone(), config, true, names);
            let connected = https.call(uri).await;
            connected.map_err(|error| match Error::from_client(&*error) {
                Error::Exchange(reason) => tls_error(reason),
                ours => ours,
            })
        };
        timeout(limit, connecting)
            .await
            .unwrap_or(Err(Error::Timeout {
                what: CONNECTING,
                after: limit,
            }))
    }
}

impl Tls {
    fn config(&self) -> Result<Arc<rustls::ClientConfig>, String> {
        self.config
            .get_or_init(|| tls::http_config(self.extra_roots.clone()).map(Arc::new))
            .clone()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connector")
            .field("addresses", &self.tcp.policy)
            .field("https_only", &self.https_only)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = Error;
    type Future = Connecting<Connection>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// Whether the URI wants TLS; an error when it wants something that is not spoken here.
fn check_uri(uri: &Uri, https_only: bool) -> Result<bool, Error> {
    let refused = |reason| {
        Err(Error::Url {
            url: format!(
                "{}://{}{}",
                uri.scheme_str().unwrap_or_default(),
                host_and_port(uri),
                uri.path()
            ),
            reason,
        })
    };
    if uri
        .authority()
        .is_some_and(|part| part.as_str().contains('@'))
    {
        return refused("user information in a URL is not used");
    }
    match uri.scheme_str() {
        Some("https") => Ok(true),
        Some("http") if !https_only => Ok(false),
        Some("http") => refused("only https is allowed here"),
        _ => refused("only http and https are spoken"),
    }
}

/// Plain TCP to a checked address.
#[derive(Debug, Clone)]
struct GuardedTcp {
    policy: AddressPolicy,
    ports: Ports,
    names: Names,
}

impl Service<Uri> for GuardedTcp {
    type Response = TokioIo<TcpStream>;
    type Error = Error;
    type Future = Connecting<TokioIo<TcpStream>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = resolve(&uri, &guard).await?;
            check_addresses(&uri, &guard, &addresses)?;
            let stream = connect_to_first(&host_and_port(&uri), &addresses).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

async fn resolve(uri: &Uri, guard: &GuardedTcp) -> Result<Vec<SocketAddr>, Error> {
    let chosen = match guard.policy {
        AddressPolicy::Any => Chosen::ByOperator,
        _ => Chosen::ByStranger,
    };
    let host = uri.host().unwrap_or_default();
    let literal = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    guard.names.addresses_of(literal, port(uri), chosen).await
}

/// All addresses must pass: a name that mixes good and bad ones is set up to slip past somebody.
fn check_addresses(uri: &Uri, guard: &GuardedTcp, all: &[SocketAddr]) -> Result<(), Error> {
    let host = || uri.host().unwrap_or_default().to_owned();
    for socket in all {
        guard
            .policy
            .permits(socket.ip())
            .map_err(|class| Error::AddressRefused {
                host: host(),
                address: socket.ip(),
                class,
            })?;
        let wanted = default_port(uri);
        if !guard.ports.permits(socket.ip(), port(uri), wanted) {
            return Err(Error::PortRefused {
                host: host(),
                port: port(uri),
                wanted,
            });
        }
    }
    Ok(())
}

/// Opens a connection to the first of `addresses` that takes one; none but the last may use up the time of the others.
/// `host` stands in the error.
///
/// # Errors
/// When none does. How long the last one may take is the caller's to say.
pub async fn connect_to_first(host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut last_reason = String::new();
    for (index, address) in addresses.iter().enumerate() {
        let attempt = TcpStream::connect(address);
        let outcome = if index + 1 < addresses.len() {
            timeout_at(Instant::now() + PATIENCE, attempt).await
        } else {
            Ok(attempt.await)
        };
        match outcome {
            // Whatever stands between us and the network: the socket says where it ended.
            Ok(Ok(stream)) if stream.peer_addr().is_ok_and(|peer| peer == *address) => {
                // A message fits a packet; waiting for more only adds delay.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Ok(_)) => last_reason = "the connection went elsewhere".to_owned(),
            Ok(Err(error)) => last_reason = error.to_string(),
            Err(_) => last_reason = "no answer".to_owned(),
        }
    }
    Err(Error::Connect {
        host: host.to_owned(),
        reason: last_reason,
    })
}

fn default_port(uri: &Uri) -> u16 {
    if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    }
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or_else(|| default_port(uri))
}

fn host_and_port(uri: &Uri) -> String {
    format!("{}:{}", uri.host().unwrap_or_default(), port(uri))
}
