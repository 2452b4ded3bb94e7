use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::Ask;

/// A request and what came of it, secrets included: it is for checks, not for people. [`super::Evidence`] is.
pub struct Exchange {
    /// Which request of the examination it was, from 1.
    pub number: u32,
    /// What was sent.
    pub ask: Ask,
    /// What came back.
    pub answer: Result<Answer, Failure>,
    /// How long it took, to the last byte that was read.
    pub took: Duration,
}

/// An answer, as far as it was read.
#[derive(Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The beginning of its body.
    pub body: Bytes,
    /// How the body ended.
    pub ended: Ended,
}

/// How the body of an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All of it was read.
    Complete,
    /// What was waited for was read; there may be more.
    Enough,
    /// There is more than is read.
    TooLarge,
    /// It did not end in time.
    TooSlow,
    /// The connection broke off.
    Broken,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The URL cannot be asked.
    Url(String),
    /// The name has no address.
    Name(String),
    /// Nobody listens there.
    Connect(String),
    /// No TLS connection came about.
    Tls(String),
    /// Nothing came in time.
    Timeout(String),
    /// The conversation broke off or was no HTTP.
    Exchange(String),
    /// The doctor may send or read no more.
    LimitReached(String),
}

impl Failure {
    /// In words.
    pub fn words(&self) -> &str {
        match self {
            Self::Url(words)
            | Self::Name(words)
            | Self::Connect(words)
            | Self::Tls(words)
            | Self::Timeout(words)
            | Self::Exchange(words)
            | Self::LimitReached(words) => words,
        }
    }
}

impl Exchange {
    /// The status, when there is an answer.
    pub fn status(&self) -> Option<u16> {
        self.answer
            .as_ref()
            .ok()
            .map(|answer| answer.status.as_u16())
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        self.answer
            .as_ref()
            .is_ok_and(|answer| answer.status.is_success())
    }

    /// Whether the status is a redirect with a place to go to.
    pub fn redirects_to(&self) -> Option<&str> {
        match self.status() {
            Some(301 | 302 | 303 | 307 | 308) => self.header("location"),
            _ => None,
        }
    }

    /// The first header of this name, when it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.as_ref().ok()?.headers.get(name)?.to_str().ok()
    }

    /// All headers of this name, as text.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let Ok(answer) = &self.answer else {
            return Vec::new();
        };
        answer
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        match &self.answer {
            Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
            Err(_) => String::new(),
        }
    }

    /// The body as JSON, when all of it was read and it is.
    pub fn json(&self) -> Option<Value> {
        let answer = self.answer.as_ref().ok()?;
        if answer.ended != Ended::Complete {
            return None;
        }
        serde_json::from_slice(&answer.body).ok()
    }

    /// The media type without its parameters, in lower case.
    pub fn media_type(&self) -> Option<String> {
        let value = self.header(header::CONTENT_TYPE.as_str())?;
        let media_type = value.split(';').next().unwrap_or_default();
        Some(media_type.trim().to_ascii_lowercase())
    }

    /// Whether the answer is a page for people.
    pub fn is_html(&self) -> bool {
        self.media_type().is_some_and(|kind| kind.contains("html"))
            || self
                .text()
                .trim_start()
                .get(..9)
                .is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"))
    }

    /// The outcome in a few words: `401`, `200 text/html`, `no answer: ...`.
    pub fn outcome(&self) -> String {
        match &self.answer {
            Ok(answer) => match self.media_type() {
                Some(kind) => format!("{} {kind}", answer.status.as_u16()),
                None => answer.status.as_u16().to_string(),
            },
            Err(failure) => format!("no answer: {}", failure.words()),
        }
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "Exchange({} {} -> {})",
            self.number,
            self.ask.purpose,
            self.status().unwrap_or(0)
        )
    }
}
