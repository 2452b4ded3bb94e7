//! The floor of the gateway: a plain hyper proxy that looks up an already verified token by its digest.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use base::Digest;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// Serves on a free loopback port and prints `host:port`. Every token it meets counts as verified once.
pub async fn serve(upstream: SocketAddr) -> anyhow::Result<()> {
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build_http();
    let verified: Arc<RwLock<HashMap<Digest, ()>>> = Arc::default();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, verified) = (client.clone(), verified.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (client, verified) = (client.clone(), verified.clone());
            async move { proxy(request, upstream, client, &verified).await }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn proxy(
    mut request: Request<Incoming>,
    upstream: SocketAddr,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Incoming>,
    verified: &RwLock<HashMap<Digest, ()>>,
) -> anyhow::Result<Response<Either<Incoming, Full<Bytes>>>> {
    let Some(token) = request.headers_mut().remove(header::AUTHORIZATION) else {
        let refusal = Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .body(Either::Right(Full::default()))?;
        return Ok(refusal);
    };
    let digest = Digest::of(token.as_bytes());
    let known = verified
        .read()
        .is_ok_and(|known| known.contains_key(&digest));
    if !known && let Ok(mut known) = verified.write() {
        known.insert(digest, ());
    }
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    *request.uri_mut() = Uri::try_from(format!("http://{upstream}{path}"))?;
    request.headers_mut().remove(header::HOST);
    Ok(client.request(request).await?.map(Either::Left))
}
