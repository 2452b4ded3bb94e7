use std::sync::Arc;
use std::time::Duration;

use gateway::BoxBody;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use oauth::aliases::{PROOF_PATH, is_nonce};
use sdk::OwnServer;
use tokio::sync::Semaphore;

/// How many nonces are asked about at once. Anybody can name one, and each is a question to the authority.
const AT_ONCE_MAX: usize = 16;
/// The authority that proves an alias waits no longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Answers what an authority elsewhere asks through its aliases, which lead to this gateway: by asking it.
#[derive(Clone)]
pub struct AliasRelay {
    servers: Arc<[OwnServer]>,
    at_once: Arc<Semaphore>,
}

impl AliasRelay {
    /// A relay to the authority of `servers`.
    pub fn new(servers: Arc<[OwnServer]>) -> Self {
        Self {
            servers,
            at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)),
        }
    }

    /// The answer, when the request asks for one and the authority has it.
    pub async fn answer<B>(&self, request: &Request<B>) -> Option<Response<BoxBody>> {
        let nonce = request.uri().path().strip_prefix(PROOF_PATH)?;
        if request.method() != Method::GET || !is_nonce(nonce) {
            return None;
        }
        let host = match request.uri().authority() {
            Some(authority) => authority.as_str(),
            None => request.headers().get(header::HOST)?.to_str().ok()?,
        };
        let asking = async {
            let _place = self.at_once.acquire().await.ok()?;
            for server in &*self.servers {
                match server.answer_alias_nonce(host, nonce).await {
                    Ok(Some(answer)) => return Some(answer),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::info!(mcp.server = server.slug(), %error, "an alias could not be answered for");
                    }
                }
            }
            None
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, asking).await.ok()??;
        let body = Full::new(Bytes::from(answer)).map_err(|never| match never {});
        let mut response = Response::new(body.boxed_unsync());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        Some(response)
    }
}
