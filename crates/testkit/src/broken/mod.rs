//! A protected MCP server with its authorization server that is well in every respect, and the same with one flaw: what
//! `portcullis doctor` is held against.
//!
//! [`start`] takes the id of a flaw; [`flaws`] are those that can be had. It is one listener on loopback and one
//! table of breaks (`breaks/`), each a small change of rules or of answers.

mod authority;
mod breaks;
mod certificate;
mod documents;
mod exchange;
mod mcp;
mod rules;
mod site;
mod strict_json;
mod token;

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::Connection;
use breaks::{Break, Certificate, Place};
use exchange::{Ask, Body};
use rules::Rules;
use site::{Memory, Site};
use token::Key;

/// A running server; it stops when the value is dropped.
pub struct BrokenServer {
    site: Arc<Site>,
    url: String,
    ca_pem: Option<String>,
    stop: CancellationToken,
}

/// The ids of the flaws that a server can have here.
pub fn flaws() -> Vec<&'static str> {
    breaks::all().map(|broken| broken.id).collect()
}

/// Starts a server without a flaw.
pub async fn start_well() -> BrokenServer {
    start_with(None).await
}

/// Starts a server with exactly this flaw.
///
/// # Panics
/// When there is no such flaw in [`flaws`].
pub async fn start(flaw: &str) -> BrokenServer {
    let broken = breaks::all().find(|broken| broken.id == flaw);
    start_with(Some(
        broken.unwrap_or_else(|| panic!("no server has the flaw {flaw}")),
    ))
    .await
}

async fn start_with(broken: Option<&'static Break>) -> BrokenServer {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    let port = listener
        .local_addr()
        .expect("a bound listener has an address")
        .port();
    let place = broken.map_or(Place::Plain, |broken| broken.place);
    let mut rules = Rules::default();
    if let Some(broken) = broken {
        (broken.rules)(&mut rules);
    }
    let scheme = if matches!(place, Place::Tls(_)) {
        "https"
    } else {
        "http"
    };
    let origin = format!("{scheme}://127.0.0.1:{port}");
    let url = match place {
        Place::NoName => "https://notes.invalid/mcp".to_owned(),
        Place::TypedAsTls => format!("https://127.0.0.1:{port}/mcp"),
        Place::Typed(path) => format!("{origin}{path}"),
        _ => format!("{origin}/mcp"),
    };
    let hosts = ["127.0.0.1", "localhost", "[::1]"];
    let site = Arc::new(Site {
        origin,
        hosts: hosts.iter().map(|host| format!("{host}:{port}")).collect(),
        key: Key::new(),
        rules,
        broken,
        memory: Mutex::new(Memory::default()),
        flooded: Arc::default(),
    });
    let stop = CancellationToken::new();
    let (ca_pem, acceptor) = match place {
        Place::Tls(certificate) => {
            let (ca_pem, acceptor) = certificate::of(certificate);
            (ca_pem, Some(acceptor))
        }
        _ => (None, None),
    };
    if matches!(place, Place::Closed | Place::NoName) {
        drop(listener);
    } else {
        tokio::spawn(accept(listener, acceptor, Arc::clone(&site), stop.clone()));
    }
    BrokenServer {
        site,
        url,
        ca_pem,
        stop,
    }
}

impl BrokenServer {
    /// The MCP URL as people type it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate to trust, where it takes one.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// A token with all scopes, as the authorization server issues it to `cli_test`.
    pub fn access_token(&self) -> String {
        self.sign(&self.claims())
    }

    /// A token that may only read.
    pub fn narrow_token(&self) -> String {
        let mut claims = self.claims();
        claims["scope"] = json!("notes:read");
        self.sign(&claims)
    }

    /// The claims of [`BrokenServer::access_token`].
    pub fn claims(&self) -> Value {
        self.site
            .claims("cli_test", "notes:read notes:write", "family-of-tests")
    }

    /// A token with these claims, signed with the server's own key.
    pub fn sign(&self, claims: &Value) -> String {
        self.site.key.sign(claims)
    }

    /// The server's own key, as PKCS#8 in PEM.
    pub fn signing_key_pem(&self) -> String {
        self.site.key.pkcs8_pem()
    }

    /// How many bytes of endless and huge bodies were taken off its hands.
    pub fn bytes_flooded(&self) -> u64 {
        self.site.flooded.load(Ordering::Relaxed)
    }

    /// Opens an authorization URL of this server as a person who says yes; the address that the client is called back at.
    ///
    /// # Errors
    /// When there is no page to say yes on, with what is there instead.
    pub async fn approve(&self, authorize: &str) -> anyhow::Result<String> {
        approve(authorize).await
    }
}

/// Opens an authorization URL of a [`BrokenServer`] without TLS as a person who says yes; the address that the client is
/// called back at.
///
/// # Errors
/// When there is no page to say yes on, with what is there instead.
pub async fn approve(authorize: &str) -> anyhow::Result<String> {
    let url = Url::parse(authorize)?;
    let authority = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
    let mut connection = Connection::open(&authority).await?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let page = connection.send(Request::get(path), Bytes::new()).await?;
    let location = |answer: &Response<Bytes>| {
        let value = answer
            .headers()
            .get(http::header::LOCATION)?
            .to_str()
            .ok()?;
        Some(value.to_owned())
    };
    if let Some(back) = location(&page) {
        return Ok(back);
    }
    let text = String::from_utf8_lossy(page.body()).into_owned();
    anyhow::ensure!(page.status() == 200, "{}: {text}", page.status());
    let fields: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let answer = connection.post_form("/as/approve", &fields, "").await?;
    location(&answer).with_context(|| format!("{}: no way back", answer.status()))
}

impl Drop for BrokenServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    site: Arc<Site>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let (site, stop, acceptor) = (Arc::clone(&site), stop.clone(), acceptor.clone());
        tokio::spawn(async move {
            let takes_plain = site
                .broken
                .is_some_and(|broken| broken.place == Place::Tls(Certificate::GoodBesidePlain));
            let serving = async {
                match acceptor {
                    None => serve(TokioIo::new(stream), site).await,
                    // A proxy in front answers both.
                    Some(_) if takes_plain && speaks_plain(&stream).await => {
                        serve(TokioIo::new(stream), site).await
                    }
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(TokioIo::new(stream), site).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = serving => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

/// Whether the other side begins otherwise than with a TLS record.
async fn speaks_plain(stream: &TcpStream) -> bool {
    const HANDSHAKE: u8 = 0x16;
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && first[0] != HANDSHAKE
}

async fn serve(stream: impl hyper::rt::Read + hyper::rt::Write + Unpin, site: Arc<Site>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&site)));
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

async fn answer(request: Request<Incoming>, site: Arc<Site>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let query = parts.uri.query().unwrap_or_default();
    let ask = Ask {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        headers: parts.headers,
        body,
    };
    Ok(site
        .answer(&ask)
        .into_response(Arc::clone(&site.flooded))
        .await)
}
