//! One request and its answer, both whole, so that a break can change whatever it likes.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

const CHUNK: usize = 64 * 1024;

/// What was asked.
#[derive(Debug)]
pub(super) struct Ask {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Ask {
    /// A header field as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first parameter of the query with this name.
    pub fn query(&self, name: &str) -> Option<&str> {
        first(&self.query, name)
    }

    /// The body as a form.
    pub fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body)
            .into_owned()
            .collect()
    }
}

/// The first of `pairs` with this name.
pub(super) fn first<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    pairs
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub content: Content,
    /// This long after the request.
    pub wait: Duration,
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Content {
    /// These bytes.
    Whole(Vec<u8>),
    /// Bytes without end, as fast as they are read.
    Endless,
    /// This many bytes, which the head announces.
    Large(u64),
    /// Not even a head.
    Never,
}

impl Answer {
    /// Without a body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Whole(Vec::new()),
            wait: Duration::ZERO,
        }
    }

    /// Text of a media type.
    pub fn text(status: u16, media_type: &str, text: impl Into<String>) -> Self {
        let mut answer = Self::empty(status);
        answer.set("content-type", media_type);
        answer.content = Content::Whole(text.into().into_bytes());
        answer
    }

    /// JSON.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::text(status, "application/json", value.to_string())
    }

    /// A page.
    pub fn html(status: u16, body: &str) -> Self {
        let page = format!("<!doctype html><html><title>Notes</title><body>{body}</body></html>");
        Self::text(status, "text/html; charset=utf-8", page)
    }

    /// A redirect.
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::empty(status).with("location", to)
    }

    /// The same with one header field more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// Has this header field once.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Has no header field of this name.
    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| known != name);
    }

    /// Changes the JSON in the body, where there is any.
    pub fn change_json(&mut self, change: impl FnOnce(&mut Value)) {
        if let Content::Whole(bytes) = &mut self.content
            && let Ok(mut value) = serde_json::from_slice(bytes)
        {
            change(&mut value);
            *bytes = value.to_string().into_bytes();
        }
    }

    /// Sent.
    pub async fn into_response(self, sent: Arc<AtomicU64>) -> Response<Body> {
        tokio::time::sleep(self.wait).await;
        let mut head = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            head = head.header(name, value);
        }
        let body = match self.content {
            Content::Whole(bytes) => Full::from(bytes).boxed_unsync(),
            Content::Endless => flood(u64::MAX, sent),
            Content::Large(bytes) => {
                head = head.header("content-length", bytes);
                flood(bytes, sent)
            }
            Content::Never => std::future::pending().await,
        };
        head.body(body).expect("breaks write header fields")
    }
}

/// Spaces, which a lenient reader of JSON would wait through.
fn flood(bytes: u64, sent: Arc<AtomicU64>) -> Body {
    let chunk = Bytes::from(vec![b' '; CHUNK]);
    let frames = stream::unfold(bytes, move |left| {
        let (chunk, sent) = (chunk.clone(), Arc::clone(&sent));
        async move {
            let size = left.min(CHUNK as u64);
            let part = chunk.slice(..usize::try_from(size).expect("a chunk's size"));
            sent.fetch_add(size, Ordering::Relaxed);
            (size > 0).then(|| (Ok::<_, Infallible>(Frame::data(part)), left - size))
        }
    });
    StreamBody::new(frames).boxed_unsync()
}
