use serde::Serialize;

use super::{Ended, Exchange, redact};

/// A request and its answer as they may be shown to anybody: secrets are taken out and bodies are cut.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    /// Which request of the examination it was.
    pub number: u32,
    /// What it was sent for.
    pub purpose: String,
    /// `GET https://...`
    pub request: String,
    /// The request's headers.
    pub request_headers: Vec<(String, String)>,
    /// The request's body, its beginning.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_body: String,
    /// The status, when there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The answer's headers.
    pub headers: Vec<(String, String)>,
    /// The answer's body, its beginning.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// How it failed or ended early, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// How long it took.
    pub took_ms: u64,
}

/// How much of a body is kept, in characters.
const BODY_KEPT: usize = 2_000;

/// How many headers are kept, and how much of one.
const HEADERS_KEPT: usize = 40;
const HEADER_KEPT: usize = 400;

impl Evidence {
    /// Takes out what became known to be a secret after it was sent.
    pub(crate) fn redact(&mut self, clean: &impl Fn(&mut String)) {
        for words in [&mut self.request, &mut self.request_body, &mut self.body] {
            clean(words);
        }
        self.failed.iter_mut().for_each(clean);
        let headers = self.request_headers.iter_mut().chain(&mut self.headers);
        headers.for_each(|(_, value)| clean(value));
    }

    /// What of `exchange` may be shown; `known` are secrets that it must not hold.
    pub(crate) fn of(exchange: &Exchange, known: &[String]) -> Self {
        let ask = &exchange.ask;
        let media_type = |headers: &http::HeaderMap| {
            let value = headers.get(http::header::CONTENT_TYPE)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let mut evidence = Self {
            number: exchange.number,
            purpose: ask.purpose.clone(),
            request: format!(
                "{} {}",
                ask.method,
                cut(&redact::url(&ask.url, known), 2_000)
            ),
            request_headers: kept(redact::headers(&ask.headers, known)),
            request_body: cut(
                &redact::body(&ask.body, media_type(&ask.headers).as_deref(), known),
                BODY_KEPT,
            ),
            status: exchange.status(),
            headers: Vec::new(),
            body: String::new(),
            failed: None,
            took_ms: u64::try_from(exchange.took.as_millis()).unwrap_or(u64::MAX),
        };
        match &exchange.answer {
            Ok(answer) => {
                evidence.headers = kept(redact::headers(&answer.headers, known));
                let body =
                    redact::body(&answer.body, media_type(&answer.headers).as_deref(), known);
                evidence.body = cut(&body, BODY_KEPT);
                evidence.failed = match answer.ended {
                    Ended::Complete | Ended::Enough => None,
                    Ended::TooLarge => Some("the body is longer than what is read".to_owned()),
                    Ended::TooSlow => Some("the body did not end in time".to_owned()),
                    Ended::Broken => Some("the connection broke off".to_owned()),
                };
            }
            Err(failure) => evidence.failed = Some(redact::text(failure.words(), known)),
        }
        evidence
    }
}

impl From<&Exchange> for Evidence {
    fn from(exchange: &Exchange) -> Self {
        Self::of(exchange, &[])
    }
}

impl From<&std::sync::Arc<Exchange>> for Evidence {
    fn from(exchange: &std::sync::Arc<Exchange>) -> Self {
        Self::of(exchange, &[])
    }
}

fn kept(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers
        .into_iter()
        .take(HEADERS_KEPT)
        .map(|(name, value)| (cut(&name, 100), cut(&value, HEADER_KEPT)))
        .collect()
}

/// At most `characters_max` characters of `text`, with a mark when there is more.
fn cut(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((at, _)) => format!("{}… ({} bytes more)", &text[..at], text.len() - at),
        None => text.to_owned(),
    }
}
