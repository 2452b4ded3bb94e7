use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use sdk::Era;
use tokio::time::sleep;
use wire::mcp::message::{Message, RequestId};
use wire::mcp::{Json, rpc};

use super::child::Child;
use super::outlet::{Inlet, Outgoing};
use crate::{BoxBody, BoxError};

/// How often a stream without messages says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Frames that are there already go out together, up to about this size.
const COALESCE_BYTES_MAX: usize = 64 * 1024;

/// What the client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepts {
    pub(super) json: bool,
    pub(super) streams: bool,
}

impl Accepts {
    /// From `Accept`; a request without it reads JSON.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut accepts = Self {
            json: !headers.contains_key(header::ACCEPT),
            streams: false,
        };
        let values = headers.get_all(header::ACCEPT).iter();
        for range in values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
        {
            let essence = range.split(';').next().unwrap_or_default().trim();
            accepts.json |= ["application/json", "application/*", "*/*"]
                .iter()
                .any(|known| essence.eq_ignore_ascii_case(known));
            accepts.streams |= ["text/event-stream", "text/*", "*/*"]
                .iter()
                .any(|known| essence.eq_ignore_ascii_case(known));
        }
        accepts
    }
}

/// One request that waits for its answer. Dropping it unanswered means that the client hung up.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) child: Arc<Child>,
    pub(super) era: Era,
    /// Our id for it.
    pub(super) id: i64,
    /// The client's id for it.
    pub(super) original: RequestId,
    pub(super) inlet: Inlet,
    pub(super) answered: bool,
}

/// An HTTP answer on its way.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: Response<BoxBody>,
    /// It is whole, and a JSON-RPC error.
    pub(super) is_error: bool,
}

impl Waiting {
    /// Waits for the first thing that the child says about the request, and makes it an HTTP answer: JSON when that is
    /// the answer itself, else an event stream.
    ///
    /// # Errors
    /// In words when there will be no answer.
    pub(super) async fn answer(mut self, accepts: Accepts) -> Result<Answered, BoxError> {
        let quiet = self.child.limits().quiet;
        let first = tokio::select! {
            first = self.inlet.next() => first,
            // A long silence makes proxies and clients give up; a stream can be kept alive.
            () = sleep(quiet), if accepts.streams => Some(Outgoing::Message(String::new())),
        };
        match first {
            Some(Outgoing::Answer { text, is_error }) if accepts.json || !accepts.streams => {
                self.answered = true;
                Ok(Answered {
                    response: json(StatusCode::OK, text.into()),
                    is_error,
                })
            }
            Some(Outgoing::Failed(reason)) => {
                self.answered = true;
                Err(reason.into())
            }
            Some(first) => Ok(Answered {
                response: event_stream(Stream::Request(self), Some(first)),
                is_error: false,
            }),
            None => Err(self.child.epitaph().into()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.child.touch();
        if self.answered {
            return;
        }
        let cancelled = self.child.exchange().abandon(self.id);
        if let Some(cancelled) = cancelled
            && self.era == Era::Modern
        {
            self.child.send_at_once(cancelled);
        }
    }
}

/// The stream of what belongs to no request, until the client or the child goes away.
pub(super) fn listening(inlet: Inlet) -> Response<BoxBody> {
    event_stream(
        Stream::Listener(inlet),
        Some(Outgoing::Message(String::new())),
    )
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response<BoxBody> {
    let body = Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<BoxBody> {
    let mut response = json(status, Bytes::new());
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// A JSON-RPC error under an HTTP status.
pub(super) fn refusal(
    status: StatusCode,
    id: Option<&RequestId>,
    code: i64,
    words: &str,
) -> Response<BoxBody> {
    json(status, rpc::error(id, code, words, None).to_bytes().into())
}

/// 503 with words, and when to come back.
pub(super) fn busy(words: &str) -> Response<BoxBody> {
    let body = Json::object([
        ("error", Json::from("temporarily_unavailable")),
        ("error_description", Json::from(words)),
    ]);
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, body.to_bytes().into());
    let seconds = HeaderValue::from_static("30");
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

/// Where an event stream comes from.
enum Stream {
    Request(Waiting),
    Listener(Inlet),
}

impl Stream {
    fn inlet(&mut self) -> &mut Inlet {
        match self {
            Self::Request(waiting) => &mut waiting.inlet,
            Self::Listener(inlet) => inlet,
        }
    }

    /// Writes one thing; `false` when it is the last.
    fn write(&mut self, outgoing: Outgoing, out: &mut String) -> bool {
        match outgoing {
            // The head of the answer reaches the client with the first bytes of its body.
            Outgoing::Message(text) if text.is_empty() => out.push_str(": waiting\n\n"),
            Outgoing::Message(text) => write_event(&text, out),
            Outgoing::Answer { text, .. } => {
                write_event(&text, out);
                self.end();
                return false;
            }
            Outgoing::Failed(reason) => {
                if let Self::Request(waiting) = self {
                    let error: Message =
                        rpc::error(Some(&waiting.original), rpc::INTERNAL_ERROR, &reason, None);
                    write_event(&String::from_utf8_lossy(&error.to_bytes()), out);
                }
                self.end();
                return false;
            }
        }
        true
    }

    fn end(&mut self) {
        if let Self::Request(waiting) = self {
            waiting.answered = true;
        }
    }

    /// The next piece of the body; `false` beside it when it is the last.
    async fn next_piece(&mut self, first: Option<Outgoing>) -> Option<(String, bool)> {
        let mut out = String::new();
        let first = match first {
            Some(first) => first,
            None => tokio::select! {
                next = self.inlet().next() => next?,
                () = sleep(KEEP_ALIVE) => Outgoing::Message(String::new()),
            },
        };
        let mut goes_on = self.write(first, &mut out);
        while goes_on && out.len() < COALESCE_BYTES_MAX {
            let Some(next) = self.inlet().next_at_once() else {
                break;
            };
            goes_on = self.write(next, &mut out);
        }
        Some((out, goes_on))
    }
}

fn write_event(text: &str, out: &mut String) {
    // A message is written without line breaks, so that it always is one line of data.
    out.push_str("event: message\ndata: ");
    out.push_str(text);
    out.push_str("\n\n");
}

fn event_stream(stream: Stream, first: Option<Outgoing>) -> Response<BoxBody> {
    let pieces = stream::unfold((Some(stream), first), |(stream, first)| async move {
        let mut stream = stream?;
        let (piece, goes_on) = stream.next_piece(first).await?;
        let frame = Ok::<_, BoxError>(Frame::data(Bytes::from(piece)));
        Some((frame, (goes_on.then_some(stream), None)))
    });
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn accept_says_what_the_client_reads() {
        for (accept, json, streams) in [
            (None, true, false),
            (Some("application/json, text/event-stream"), true, true),
            (Some("Application/JSON;q=0.9"), true, false),
            (Some("text/event-stream"), false, true),
            (Some("*/*"), true, true),
            (Some("text/html"), false, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(
                Accepts::of(&headers),
                Accepts { json, streams },
                "{accept:?}"
            );
        }
    }
}
