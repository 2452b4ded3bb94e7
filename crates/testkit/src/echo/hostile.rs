use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Body, status};

/// One way in which an upstream can misbehave.
#[derive(Debug, Clone)]
pub enum Hostility {
    /// Takes the request and never answers.
    Hang,
    /// Answers with bytes that are not HTTP.
    Garbage,
    /// Closes the connection instead of answering.
    Disconnect,
    /// A 307 to this address.
    Redirect(String),
    /// A 401 that points at a foreign authorization server.
    Unauthorized,
    /// Any other status, without a body.
    Status(u16),
    /// A 200 with an HTML page.
    WrongContentType,
    /// A 200 that says JSON and is not.
    InvalidJson,
    /// A 200 with this many bytes of JSON.
    HugeBody(usize),
    /// A 200 whose body arrives one byte at a time, with this pause between two, without end.
    SlowDrip(Duration),
    /// A correct JSON-RPC answer under headers that must not reach a client: cookies, CORS, `Server`.
    NosyHeaders,
}

pub(super) async fn respond(hostility: &Hostility) -> Result<Response<Body>, std::io::Error> {
    let response = match hostility {
        Hostility::Hang => std::future::pending().await,
        Hostility::Garbage | Hostility::Disconnect => {
            return Err(std::io::Error::other("told to hang up"));
        }
        Hostility::Redirect(to) => {
            let mut response = status(StatusCode::TEMPORARY_REDIRECT);
            let to = HeaderValue::from_str(to).expect("the test gave a header value");
            response.headers_mut().insert(header::LOCATION, to);
            response
        }
        Hostility::Unauthorized => {
            let mut response = status(StatusCode::UNAUTHORIZED);
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(
                    "Bearer resource_metadata=\"https://foreign.example/.well-known/oauth-protected-resource\"",
                ),
            );
            response
        }
        Hostility::Status(code) => {
            status(StatusCode::from_u16(*code).expect("the test gave a status"))
        }
        Hostility::WrongContentType => {
            typed("text/html", "<!doctype html><script>alert(1)</script>")
        }
        Hostility::InvalidJson => typed("application/json", "{\"jsonrpc\":\"2.0\",\"id\":1,"),
        Hostility::HugeBody(bytes) => huge(*bytes),
        Hostility::SlowDrip(pause) => slow_drip(*pause),
        Hostility::NosyHeaders => nosy_headers(),
    };
    Ok(response)
}

/// Reads a little, so that the client believes in a conversation, and answers nonsense.
pub(super) async fn speak_garbage(mut stream: TcpStream) {
    let mut buffer = [0u8; 1024];
    let _ = stream.read(&mut buffer).await;
    let _ = stream.write_all(b"\x00\x01SSH-2.0-not-http\r\n\r\n").await;
}

fn typed(content_type: &'static str, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::from(body)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn huge(bytes: usize) -> Response<Body> {
    const CHUNK: usize = 64 * 1024;
    let chunk = Bytes::from(vec![b' '; CHUNK]);
    let frames = stream::unfold(bytes, move |left| {
        let chunk = chunk.clone();
        async move {
            if left == 0 {
                return None;
            }
            let size = left.min(CHUNK);
            Some((
                Ok::<_, Infallible>(Frame::data(chunk.slice(..size))),
                left - size,
            ))
        }
    });
    let mut response = typed("application/json", "");
    *response.body_mut() = Either::Right(StreamBody::new(frames).boxed_unsync());
    response
}

fn slow_drip(pause: Duration) -> Response<Body> {
    let frames = stream::unfold((), move |()| async move {
        tokio::time::sleep(pause).await;
        Some((
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b" "))),
            (),
        ))
    });
    let mut response = typed("application/json", "");
    *response.body_mut() = Either::Right(StreamBody::new(frames).boxed_unsync());
    response
}

fn nosy_headers() -> Response<Body> {
    let mut response = typed(
        "application/json",
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    );
    for (name, value) in [
        ("set-cookie", "upstream=1; Path=/"),
        ("server", "echo/1.0"),
        ("access-control-allow-origin", "https://evil.example"),
        ("access-control-allow-credentials", "true"),
        ("www-authenticate", "Basic realm=\"upstream\""),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
