use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// One keep-alive connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// `host:port`, sent as `Host`.
    pub authority: String,
    scheme: &'static str,
}

impl Connection {
    /// Opens a connection to `authority` (`localhost:4180`).
    pub async fn open(authority: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(authority)
            .await
            .with_context(|| format!("connecting to {authority}"))?;
        stream.set_nodelay(true)?;
        Self::over(stream, authority, "http").await
    }

    /// Opens a connection to `address` from another address of this machine (on Linux all of 127.0.0.0/8 is).
    pub async fn open_from(from: IpAddr, address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = socket
            .connect(address)
            .await
            .with_context(|| format!("connecting to {address} from {from}"))?;
        stream.set_nodelay(true)?;
        Self::over(stream, &address.to_string(), "http").await
    }

    /// Opens a connection to `https://{name}` at `address`; `root` is the certificate that is believed, as PEM.
    pub async fn open_tls(address: SocketAddr, name: &str, root: &str) -> anyhow::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let name_asked = ServerName::try_from(name.to_owned())?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name_asked, stream)
            .await?;
        Self::over(stream, name, "https").await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        authority: &str,
        scheme: &'static str,
    ) -> anyhow::Result<Self> {
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            authority: authority.to_owned(),
            scheme,
        })
    }

    /// Sends one request and reads the whole answer.
    pub async fn send(
        &mut self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Response<Bytes>> {
        let request: Request<_> = request
            .header(http::header::HOST, &self.authority)
            .body(Full::new(body.into()))?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// Posts a form.
    pub async fn post_form(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        cookie: &str,
    ) -> anyhow::Result<Response<Bytes>> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut request = Request::post(path)
            .header(
                http::header::CONTENT_TYPE,
                "application/x-www-form-urlencoded",
            )
            .header(
                http::header::ORIGIN,
                format!("{}://{}", self.scheme, self.authority),
            )
            .header("sec-fetch-site", "same-origin");
        if !cookie.is_empty() {
            request = request.header(http::header::COOKIE, cookie);
        }
        self.send(request, body).await
    }
}
