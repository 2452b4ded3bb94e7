//! A listener with certificates of its own, and clients that look at what they are shown.
#![allow(clippy::unwrap_used)]

mod files;
mod handshakes;
mod reload;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::accept::{Handler, Limits, Socket, serve};
use crate::arriving::Arriving;

/// A folder of certificates.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self, stem: &str) -> CertificateFiles {
        CertificateFiles {
            certificate: self.path(&format!("{stem}.crt")),
            key: self.path(&format!("{stem}.key")),
        }
    }

    /// A new certificate for `names`, written.
    fn write(&self, stem: &str, names: &[&str]) -> (CertificateFiles, CertificateDer<'static>) {
        let made = Made::new(names);
        let files = self.files(stem);
        made.write(&files);
        (files, made.der)
    }
}

/// A new certificate that signs itself.
struct Made {
    der: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Made {
    fn new(names: &[&str]) -> Self {
        Self::of(names, KeyPair::generate().unwrap())
    }

    fn of(names: &[&str], key: KeyPair) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(2041, 2, 3);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key,
        }
    }

    fn write(&self, files: &CertificateFiles) {
        write(&files.certificate, &self.pem);
        write(&files.key, &self.key.serialize_pem());
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// Takes any certificate, so that a test can say which it was.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = aws_lc_rs::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn client_of(versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

fn client() -> ClientConfig {
    client_of(rustls::ALL_VERSIONS, &["http/1.1"])
}

type Connected = TlsStream<TcpStream>;

async fn connect_with(
    address: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> io::Result<Connected> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn connect(address: SocketAddr, name: &str) -> Connected {
    connect_with(address, name, client()).await.unwrap()
}

/// The server's own certificate, as the client saw it.
fn shown(stream: &Connected) -> CertificateDer<'static> {
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

async fn ask(stream: &mut Connected) -> String {
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; 1024];
    let count = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

/// Answers with the version of HTTP.
struct Version;

impl Handler for Version {
    type Body = Full<Bytes>;
    async fn answer(&self, request: Request<Arriving>, peer: SocketAddr) -> Response<Full<Bytes>> {
        assert!(peer.ip().is_loopback());
        Response::new(Full::new(format!("{:?}", request.version()).into()))
    }
}

struct Running {
    address: SocketAddr,
    certificates: Arc<Certificates>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start_with(files: &[CertificateFiles], limits: Limits) -> Running {
    let certificates = Arc::new(Certificates::load(files).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let socket = Socket {
        listener,
        tls: Some(Arc::clone(&certificates)),
    };
    let task = tokio::spawn(serve(vec![socket], Version, stop.clone(), limits));
    Running {
        address,
        certificates,
        stop,
        task,
    }
}

async fn start(files: &[CertificateFiles]) -> Running {
    start_with(files, Limits::default()).await
}
