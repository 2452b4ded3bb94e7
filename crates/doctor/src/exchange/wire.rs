use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::{Answer, Ask, Ended, Evidence, Exchange, Failure};
use crate::{Limits, Plan};

/// What the doctor calls itself, so that an operator finds it in a log.
const USER_AGENT: &str = concat!("portcullis-doctor/", env!("CARGO_PKG_VERSION"));

/// Sends requests, one answer each: it follows no redirect, keeps no cookie, and whatever the other side does ends in
/// time and in memory.
pub struct Wire {
    client: egress::Client,
    limits: Limits,
    deadline: Instant,
    requests: AtomicU32,
    bytes: AtomicUsize,
    kept: Mutex<Vec<Evidence>>,
    secrets: Mutex<Vec<String>>,
}

impl Wire {
    /// A wire under the limits of `plan`, until `deadline`.
    ///
    /// # Errors
    /// When the file with extra certificates cannot be used.
    pub(crate) fn new(plan: &Plan, deadline: Instant) -> Result<Self, egress::Error> {
        let client = egress::Client::new(egress::Settings {
            ca_file: plan.ca_file.clone(),
            names: plan.names.clone(),
            connect_timeout: plan.limits.connect,
            head_timeout: plan.limits.answer,
            total_timeout: plan.limits.answer,
            head_bytes_max: 64 * 1024,
            ..egress::Settings::operator_chosen()
        })?;
        Ok(Self {
            client,
            limits: plan.limits.clone(),
            deadline,
            requests: AtomicU32::new(0),
            bytes: AtomicUsize::new(0),
            kept: Mutex::default(),
            secrets: Mutex::default(),
        })
    }

    /// Sends one request. What it did, also that it failed, is in the exchange.
    pub async fn send(&self, ask: Ask) -> Arc<Exchange> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let started = Instant::now();
        let answer = self.answer(&ask, number, started).await;
        let exchange = Exchange {
            number,
            ask,
            answer,
            took: started.elapsed(),
        };
        if number <= self.limits.requests_max {
            let evidence = self.evidence(&exchange);
            lock(&self.kept).push(evidence);
        }
        Arc::new(exchange)
    }

    /// Remembers a secret, so that it stands in nothing that is kept from now on.
    pub fn keep_secret(&self, secret: &str) {
        let mut secrets = lock(&self.secrets);
        if !secret.is_empty() && !secrets.iter().any(|known| known == secret) {
            secrets.push(secret.to_owned());
        }
    }

    /// Words of others without the secrets that are known by now.
    pub fn redacted(&self, words: &str) -> String {
        let secrets = lock(&self.secrets).clone();
        super::redact::text(words, &secrets)
    }

    /// What of `exchange` may be shown.
    pub fn evidence(&self, exchange: &Exchange) -> Evidence {
        let secrets = lock(&self.secrets).clone();
        Evidence::of(exchange, &secrets)
    }

    /// How many requests were sent.
    pub fn requests(&self) -> u32 {
        self.requests
            .load(Ordering::Relaxed)
            .min(self.limits.requests_max)
    }

    /// How long the examination may still take.
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Every request and answer so far, without secrets.
    pub(crate) fn log(&self) -> Vec<Evidence> {
        lock(&self.kept).clone()
    }

    async fn answer(&self, ask: &Ask, number: u32, started: Instant) -> Result<Answer, Failure> {
        if number > self.limits.requests_max {
            return Err(Failure::LimitReached(format!(
                "the {} requests of one examination are used up",
                self.limits.requests_max
            )));
        }
        let patience = ask.patience.unwrap_or(self.limits.answer);
        let until = (started + patience.min(self.limits.answer)).min(self.deadline);
        let sent = timeout_at(until, async {
            match self.client.send(request(ask)?).await {
                // A server that closes a connection after an answer (uvicorn after an error, for one) may do so just when it is
                // used again. What is true of the server is true of a second try.
                Err(egress::Error::Exchange(_)) if !spends(ask) => {
                    self.client.send(request(ask)?).await.map_err(failure)
                }
                sent => sent.map_err(failure),
            }
        });
        let (head, body) = match sent.await {
            Ok(sent) => sent?.into_parts(),
            Err(_) => {
                let waited = started.elapsed().as_millis();
                return Err(Failure::Timeout(format!("no answer after {waited} ms")));
            }
        };
        let streams = head
            .headers
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let enough = ask.until.filter(|_| streams);
        let (body, ended) = self.read(body, enough, until).await;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
            ended,
        })
    }

    async fn read(
        &self,
        mut body: Incoming,
        enough: Option<&'static str>,
        until: Instant,
    ) -> (Bytes, Ended) {
        let mut kept = BytesMut::new();
        loop {
            let frame = match timeout_at(until, body.frame()).await {
                Err(_) => return (kept.freeze(), Ended::TooSlow),
                Ok(None) => return (kept.freeze(), Ended::Complete),
                Ok(Some(Err(_))) => return (kept.freeze(), Ended::Broken),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let room = self.limits.answer_bytes_max - kept.len();
            let read_before = self.bytes.fetch_add(data.len(), Ordering::Relaxed);
            kept.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room || read_before + data.len() > self.limits.all_bytes_max {
                return (kept.freeze(), Ended::TooLarge);
            }
            if enough.is_some_and(|text| String::from_utf8_lossy(&kept).contains(text)) {
                return (kept.freeze(), Ended::Enough);
            }
        }
    }
}

/// Whether the request may use up what it carries: forms go to the token and revocation endpoints.
fn spends(ask: &Ask) -> bool {
    ask.headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| {
            kind.as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        })
}

fn request(ask: &Ask) -> Result<Request<Full<Bytes>>, Failure> {
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(ask.url.as_str())
        .body(Full::new(ask.body.clone()))
        .map_err(|error| Failure::Url(format!("{} cannot be asked: {error}", ask.url)))?;
    *request.headers_mut() = ask.headers.clone();
    request
        .headers_mut()
        .entry(http::header::USER_AGENT)
        .or_insert(http::HeaderValue::from_static(USER_AGENT));
    // The empty name is that of a client which sends none.
    if request.headers()[http::header::USER_AGENT].is_empty() {
        request.headers_mut().remove(http::header::USER_AGENT);
    }
    Ok(request)
}

fn failure(error: egress::Error) -> Failure {
    let words = error.to_string();
    match error {
        egress::Error::Url { .. }
        | egress::Error::AddressRefused { .. }
        | egress::Error::PortRefused { .. }
        | egress::Error::CaFile { .. } => Failure::Url(words),
        egress::Error::Resolve { .. } => Failure::Name(words),
        egress::Error::Connect { .. } => Failure::Connect(words),
        egress::Error::Tls { .. } => Failure::Tls(words),
        egress::Error::Timeout {
            what: "connecting", ..
        } => Failure::Connect(words),
        egress::Error::Timeout { .. } => Failure::Timeout(words),
        egress::Error::BodyTooLarge { .. } | egress::Error::Exchange(_) => Failure::Exchange(words),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Wire")
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}
