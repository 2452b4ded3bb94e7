use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

/// How much of a body that nobody wants is read, and for how long.
const REST_BYTES_MAX: usize = 64 * 1024;
const REST_TIME_MAX: Duration = Duration::from_millis(500);

/// A request's body; what is dropped unread can still be had from [`Rest`].
///
/// A refusal is made of the head alone. Many clients send the body a moment after it, and hyper closes a connection
/// whose request it has not seen to its end, after an answer that promised to keep it: the client's next request, most
/// often the search for our metadata, would then go into a closed connection.
#[derive(Debug)]
pub struct Arriving {
    body: Option<Incoming>,
    rest: Arc<Mutex<Option<Incoming>>>,
}

/// What was not read of a request.
#[derive(Debug)]
pub struct Rest {
    body: Arc<Mutex<Option<Incoming>>>,
    waits_to_be_asked: bool,
}

/// The request with a body that can be given back.
pub fn arriving(request: Request<Incoming>) -> (Request<Arriving>, Rest) {
    let left = Arc::default();
    let rest = Rest {
        body: Arc::clone(&left),
        // Only a stream of HTTP/1 holds up the requests after it, and whoever asked for a 100 sends nothing before.
        waits_to_be_asked: request.version() > Version::HTTP_11
            || request.headers().contains_key(header::EXPECT),
    };
    let request = request.map(|body| Arriving {
        body: Some(body),
        rest: left,
    });
    (request, rest)
}

impl Rest {
    /// Reads what is left, within bounds, and says in the answer's `headers` when there was more.
    pub async fn read(self, headers: &mut HeaderMap) {
        if self.waits_to_be_asked {
            return;
        }
        let left = self
            .body
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut body) = left else { return };
        let reading = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > REST_BYTES_MAX {
                    return false;
                }
            }
            true
        };
        if !tokio::time::timeout(REST_TIME_MAX, reading)
            .await
            .unwrap_or(false)
        {
            headers.insert(
                header::CONNECTION,
                header::HeaderValue::from_static("close"),
            );
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.body.as_mut() {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !body.is_end_stream()
        {
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
