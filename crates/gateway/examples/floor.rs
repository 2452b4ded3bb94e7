//! The floor that a gateway call is measured against: a hyper proxy that looks a token up by its SHA-256, and nothing
//! else. `floor UPSTREAM_URL PORT [TOKEN]`; without a token it lets everybody through.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, RwLock};

use base::Digest;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let upstream: Uri = args.next().unwrap().parse().unwrap();
    let port: u16 = args.next().unwrap().parse().unwrap();
    let tokens: Option<HashMap<Digest, ()>> = args
        .next()
        .map(|token| HashMap::from([(Digest::of(format!("Bearer {token}")), ())]));
    let tokens = Arc::new(RwLock::new(tokens));
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    println!("http://127.0.0.1:{port}/mcp");
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (client, upstream, tokens) = (client.clone(), upstream.clone(), Arc::clone(&tokens));
        tokio::spawn(async move {
            let service = service_fn(move |mut request: Request<Incoming>| {
                let known = tokens.read().unwrap().as_ref().is_none_or(|tokens| {
                    request
                        .headers()
                        .get(header::AUTHORIZATION)
                        .is_some_and(|token| tokens.contains_key(&Digest::of(token)))
                });
                *request.uri_mut() = upstream.clone();
                request.headers_mut().remove(header::AUTHORIZATION);
                request.headers_mut().remove(header::HOST);
                let sending = known.then(|| client.request(request));
                async move {
                    let response = match sending {
                        None => status(StatusCode::UNAUTHORIZED),
                        Some(sending) => match sending.await {
                            Ok(response) => response.map(Either::Left),
                            Err(_) => status(StatusCode::BAD_GATEWAY),
                        },
                    };
                    Ok::<_, Infallible>(response)
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Body = Either<
    Incoming,
    http_body_util::combinators::MapErr<Empty<Bytes>, fn(Infallible) -> hyper::Error>,
>;

fn status(status: StatusCode) -> Response<Body> {
    let never: fn(Infallible) -> hyper::Error = |never| match never {};
    let mut response = Response::new(Either::Right(Empty::new().map_err(never)));
    *response.status_mut() = status;
    response
}
