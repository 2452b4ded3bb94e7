use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use authz::VerifyingKeys;
use bytes::Bytes;
use egress::{Client, Settings};
use http::{Request, StatusCode, header};
use http_body_util::Full;
use tokio::sync::{Notify, watch};
use url::Url;
use wire::oauth::JwkSet;

/// The largest key set that is read, in bytes.
const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// How long reading one may take.
const READ_TIME_MAX: Duration = Duration::from_secs(5);
/// How often they are read.
const READ_EVERY: Duration = Duration::from_secs(15 * 60);
/// How soon after a failure they are tried again: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// For a key that is not known they are read this often and no more: anybody may name one.
const UNKNOWN_EVERY: Duration = Duration::from_secs(10);

/// Where the public keys of an issuer come from, for a server that no authority sends them to.
#[derive(Debug, Clone)]
pub struct IssuerKeys(pub(crate) KeySource);

#[derive(Debug, Clone)]
pub(crate) enum KeySource {
    At(String),
    These(JwkSet),
}

impl IssuerKeys {
    /// The JWK Set at this address, the issuer's `jwks_uri`: read at start, every 15 minutes, and when a token names a key that
    /// is not known. Known keys stay while it cannot be read.
    pub fn at(jwks_uri: impl Into<String>) -> Self {
        Self(KeySource::At(jwks_uri.into()))
    }

    /// These, which never change.
    pub fn these(keys: JwkSet) -> Self {
        Self(KeySource::These(keys))
    }
}

/// Keys are trusted because of where they come from, so that has to be `https`, or this machine.
pub(crate) fn is_trustworthy(jwks_uri: &str) -> bool {
    let is_loopback = |host: &str| ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    Url::parse(jwks_uri).is_ok_and(|url| match url.scheme() {
        "https" => url.has_host(),
        "http" => url.host_str().is_some_and(is_loopback),
        _ => false,
    })
}

/// Reads an issuer's keys again and again.
#[derive(Debug)]
pub(crate) struct KeyRefresh {
    state: watch::Sender<State>,
    wanted: Notify,
    wanted_at: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// How often they were read.
    read: u64,
    /// How often that was tried.
    tried: u64,
    is_under_way: bool,
}

impl KeyRefresh {
    pub(crate) fn new() -> Self {
        Self {
            state: watch::Sender::default(),
            wanted: Notify::new(),
            wanted_at: Mutex::new(None),
        }
    }

    /// How often they were read until now.
    pub(crate) fn reads(&self) -> u64 {
        self.state.borrow().read
    }

    /// Whether they were read after the first `reads` times. Waits for a try that is under way, or that may begin now.
    pub(crate) async fn read_since(&self, reads: u64) -> bool {
        let mut state = self.state.subscribe();
        let now = *state.borrow();
        if now.read > reads {
            return true;
        }
        if !now.is_under_way && !self.want() {
            return false;
        }
        let ended = state.wait_for(|state| state.tried > now.tried);
        matches!(tokio::time::timeout(READ_TIME_MAX, ended).await, Ok(Ok(state)) if state.read > reads)
    }

    /// Has them read now, unless that was wanted just before.
    fn want(&self) -> bool {
        let mut wanted_at = self
            .wanted_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if wanted_at.is_some_and(|at| at.elapsed() < UNKNOWN_EVERY) {
            return false;
        }
        *wanted_at = Some(Instant::now());
        self.state.send_modify(|state| state.is_under_way = true);
        self.wanted.notify_one();
        true
    }

    /// Reads the keys at `jwks_uri` for as long as it is polled, and gives each usable set to `publish`.
    pub(crate) async fn run(&self, http: &Client, jwks_uri: &str, publish: impl Fn(JwkSet)) {
        let mut pause = PAUSE_MIN;
        loop {
            self.state.send_modify(|state| state.is_under_way = true);
            let read = read(http, jwks_uri).await;
            let is_read = read.is_ok();
            let wait = match read {
                Ok(keys) => {
                    publish(keys);
                    pause = PAUSE_MIN;
                    READ_EVERY
                }
                Err(reason) => {
                    tracing::warn!(
                        jwks_uri,
                        reason,
                        "the issuer's keys cannot be read; those that are known go on working, and it is tried again"
                    );
                    let wait = pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                    wait
                }
            };
            self.state.send_modify(|state| {
                state.is_under_way = false;
                state.tried += 1;
                state.read += u64::from(is_read);
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.wanted.notified() => {}
            }
        }
    }
}

/// An outgoing client that reads key sets.
pub(crate) fn key_client(ca_file: Option<std::path::PathBuf>) -> Result<Client, egress::Error> {
    Client::new(Settings {
        ca_file,
        connect_timeout: READ_TIME_MAX,
        head_timeout: READ_TIME_MAX,
        total_timeout: READ_TIME_MAX,
        ..Settings::operator_chosen()
    })
}

async fn read(http: &Client, jwks_uri: &str) -> Result<JwkSet, String> {
    let request = Request::get(jwks_uri)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Full::<Bytes>::default())
        .map_err(|error| error.to_string())?;
    let answer = http.fetch(request, KEY_SET_BYTES_MAX).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!(
            "the answer has status {}",
            answer.status().as_u16()
        ));
    }
    let keys: JwkSet =
        serde_json::from_slice(answer.body()).map_err(|_| "the answer is no JWK Set".to_owned())?;
    // An empty set takes no good keys away: it is a mistake more often than it is meant.
    match VerifyingKeys::from_jwks(&keys).is_empty() {
        true => Err("the JWK Set has no key that can verify a token here".to_owned()),
        false => Ok(keys),
    }
}
