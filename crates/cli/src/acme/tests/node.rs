//! What a node has of all this: a listener with certificates, a store, and whatever looks after them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{OsRandom, SystemClock};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use oauth::MasterKey;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use store::{DatabaseUrl, StoreOptions};
use testkit::MovableClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::*;
use super::pebble::Pebble;
use crate::accept::Handler;
use crate::arriving::Arriving;

pub const NAME: &str = "mcp.example.com";

pub fn now() -> MovableClock {
    MovableClock::at(SystemClock.now())
}

pub async fn sqlite(pebble: &Pebble) -> Store {
    let file = pebble.folder.path().join("authority.sqlite");
    let options = StoreOptions::new(DatabaseUrl::Sqlite(file));
    Store::open(options, &SystemClock).await.unwrap()
}

pub fn settings(pebble: &Pebble, challenge: Challenge) -> Settings {
    Settings {
        directory: pebble.directory.clone(),
        contact: vec!["mailto:ops@example.com".to_owned()],
        domains: Vec::new(),
        public_url: format!("https://{NAME}"),
        challenge,
        ca_file: Some(pebble.ca_file()),
        external_account: None,
    }
}

struct Hello;

impl Handler for Hello {
    type Body = Full<Bytes>;
    async fn answer(&self, _: Request<Arriving>, _: SocketAddr) -> Response<Full<Bytes>> {
        Response::new(Full::new(Bytes::from_static(b"hello")))
    }
}

pub struct Node {
    pub address: SocketAddr,
    pub certificates: Arc<Certificates>,
    serving: JoinHandle<()>,
}

impl Node {
    /// Listens at `port`, without any certificate.
    pub async fn listen(port: u16) -> Self {
        let certificates = Arc::new(Certificates::load(&[]).unwrap());
        let listener = listener(port).await;
        let address = listener.local_addr().unwrap();
        let socket = Socket {
            listener,
            tls: Some(Arc::clone(&certificates)),
        };
        let stop = CancellationToken::new();
        let serving = accept::serve(vec![socket], Hello, stop, accept::Limits::default());
        Self {
            address,
            certificates,
            serving: tokio::spawn(serving),
        }
    }

    /// Answers challenges, and orders nothing.
    pub fn answer(&self, store: &Store, clock: &MovableClock) {
        let challenges = Challenges::new(store.clone(), Arc::new(clock.clone()));
        challenges.set_domains(vec![NAME.to_owned()]);
        self.certificates.answer_challenges(challenges);
    }

    /// Looks after its certificates until what comes back is dropped.
    pub async fn look_after(
        &self,
        settings: Settings,
        store: &Store,
        clock: &MovableClock,
        http_port: Option<u16>,
    ) -> Acme {
        let sockets = match http_port {
            Some(port) => vec![listener(port).await.into()],
            None => Vec::new(),
        };
        let around = Surroundings {
            store: store.clone(),
            certificates: Arc::clone(&self.certificates),
            http: (sockets, accept::Limits::default()),
            sealer: CertificateSealer::new(&MasterKey::from_bytes([7; 32])),
            clock: Arc::new(clock.clone()),
            random: Arc::new(OsRandom),
        };
        Acme::start(settings, around).unwrap()
    }

    /// A connection whose certificate is verified.
    pub async fn connect(
        &self,
        roots: &RootCertStore,
        name: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// The certificate, once there is one that verifies.
    pub async fn shown(&self, roots: &RootCertStore, name: &str) -> CertificateDer<'static> {
        self.shown_instead_of(None, roots, name).await
    }

    pub async fn shown_instead_of(
        &self,
        earlier: Option<&CertificateDer<'_>>,
        roots: &RootCertStore,
        name: &str,
    ) -> CertificateDer<'static> {
        for _ in 0..600 {
            if let Ok(stream) = self.connect(roots, name).await {
                let chain = stream.get_ref().1.peer_certificates().unwrap();
                if Some(&chain[0]) != earlier {
                    return chain[0].clone().into_owned();
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} never had a certificate that verifies");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn listener(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port)).await.unwrap()
}

/// One request on a connection that stays open.
pub async fn ask(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await?;
    let mut answer = vec![0; 1024];
    let count = stream.read(&mut answer).await?;
    match answer[..count].ends_with(b"hello") {
        true => Ok(()),
        false => Err(io::Error::other("no whole answer")),
    }
}

/// The head and the body of what plain HTTP at `port` says to `GET path`.
pub async fn plain(port: u16, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
