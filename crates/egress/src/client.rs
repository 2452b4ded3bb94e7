use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::{Connector, Error, Settings};

/// Any error of a request body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request body, whatever it was before.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// An HTTP/1.1 client that keeps connections, follows no redirect and knows no proxy. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: legacy::Client<Connector, Body>,
    settings: Settings,
}

impl Client {
    /// A client under `settings`.
    ///
    /// # Errors
    /// When the file with extra certificates cannot be used.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let http = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_timeout)
            .pool_max_idle_per_host(settings.idle_connections_max)
            .http1_max_buf_size(settings.head_bytes_max.max(8 * 1024))
            .build(Connector::new(&settings)?);
        Ok(Self { http, settings })
    }

    /// Sends `request` and waits for the head of the answer; its body is the caller's to stream, without a time limit.
    ///
    /// # Errors
    /// When the address may not be asked, nobody answers, or the head takes too long.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Incoming>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        check_target(request.uri())?;
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let limit = self.settings.head_timeout;
        match timeout(limit, self.http.request(request)).await {
            Ok(answer) => answer.map_err(|error| Error::from_client(&error)),
            Err(_) => Err(Error::Timeout {
                what: "the head of the answer",
                after: limit,
            }),
        }
    }

    /// Sends `request` and reads the whole answer, at most `body_bytes_max` of body, within the total time.
    ///
    /// # Errors
    /// As [`Client::send`], and when the body is too large or does not end in time.
    pub async fn fetch(
        &self,
        request: Request<Full<Bytes>>,
        body_bytes_max: usize,
    ) -> Result<Response<Bytes>, Error> {
        let limit = self.settings.total_timeout;
        let fetching = async {
            let (head, body) = self.send(request).await?.into_parts();
            let announced = head
                .headers
                .get(header::CONTENT_LENGTH)
                .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
            if announced.is_some_and(|length| length > body_bytes_max) {
                return Err(Error::BodyTooLarge {
                    bytes_max: body_bytes_max,
                });
            }
            let body = Limited::new(body, body_bytes_max).collect().await;
            let body = body.map_err(|error| body_error(&*error, body_bytes_max))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        timeout(limit, fetching)
            .await
            .unwrap_or(Err(Error::Timeout {
                what: "the whole answer",
                after: limit,
            }))
    }
}

fn body_error(error: &(dyn std::error::Error + Send + Sync + 'static), bytes_max: usize) -> Error {
    if error.is::<LengthLimitError>() {
        return Error::BodyTooLarge { bytes_max };
    }
    Error::from_client(error)
}

/// What the connection pool would refuse in words that help nobody.
fn check_target(uri: &Uri) -> Result<(), Error> {
    if uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty()) {
        return Ok(());
    }
    Err(Error::Url {
        url: uri.path().to_owned(),
        reason: "it names no scheme and host",
    })
}
