use std::net::SocketAddr;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use url::Url;

use super::challenges::Challenges;
use crate::accept::Handler;
use crate::arriving::Arriving;

/// Where an ACME server looks (RFC 8555 section 8.3).
const FOLDER: &str = "/.well-known/acme-challenge/";
/// The longest address that is sent on.
const LOCATION_BYTES_MAX: usize = 8 * 1024;

/// Answers plain HTTP: challenges, and for all else the same address by https.
pub(super) struct Http01 {
    challenges: Challenges,
    /// The host and the port of the authority, where the port is not 443.
    with_port: Option<(String, u16)>,
}

impl Http01 {
    pub(super) fn new(challenges: Challenges, public_url: &str) -> Self {
        let url = Url::parse(public_url).ok();
        let with_port = url.and_then(|url| Some((url.host_str()?.to_owned(), url.port()?)));
        Self {
            challenges,
            with_port,
        }
    }

    /// Only to names of ours: whoever writes the `Host` must not choose where others are sent.
    fn https(&self, host: &str, request: &Request<Arriving>) -> Option<HeaderValue> {
        if !self.challenges.is_ours(host) {
            return None;
        }
        let port = match &self.with_port {
            Some((name, port)) if name.eq_ignore_ascii_case(host) => format!(":{port}"),
            _ => String::new(),
        };
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let location = format!("https://{}{port}{path}", host.to_ascii_lowercase());
        let fits = path.starts_with('/') && location.len() <= LOCATION_BYTES_MAX;
        HeaderValue::from_str(&location).ok().filter(|_| fits)
    }
}

impl Handler for Http01 {
    type Body = Full<Bytes>;

    async fn answer(&self, request: Request<Arriving>, _: SocketAddr) -> Response<Full<Bytes>> {
        let Some(host) = host(&request) else {
            return text(StatusCode::BAD_REQUEST, "The request names no host.\n");
        };
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if let Some(token) = request
            .uri()
            .path()
            .strip_prefix(FOLDER)
            .filter(|_| is_read)
        {
            return match self.challenges.key_authorization(&host, token).await {
                Ok(Some(proof)) => text(StatusCode::OK, proof),
                Ok(None) => text(StatusCode::NOT_FOUND, "There is no such challenge.\n"),
                Err(error) => {
                    tracing::warn!(%error, "a challenge of the ACME server could not be answered");
                    text(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "The challenge cannot be looked up now.\n",
                    )
                }
            };
        }
        match self.https(&host, &request) {
            Some(location) => {
                let mut answer = text(StatusCode::PERMANENT_REDIRECT, "Use https.\n");
                answer.headers_mut().insert(header::LOCATION, location);
                answer
            }
            None => text(
                StatusCode::MISDIRECTED_REQUEST,
                "This host is not served here.\n",
            ),
        }
    }
}

/// The host that was asked, without its port.
fn host(request: &Request<Arriving>) -> Option<String> {
    let named = request.headers().get(header::HOST);
    let named = named.and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let authority = request.uri().authority().cloned().or(named)?;
    Some(authority.host().to_owned())
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}
