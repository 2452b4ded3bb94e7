mod budget;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::{AddressPolicy, Client, Error, Names, Ports, Settings};
use budget::{Budget, Slot};

/// Gets documents from addresses that strangers chose, so that a bad one costs bounded time and memory, and nobody but
/// whoever asked for it. Clones share everything.
///
/// `https` only, no redirects, no content encoding, one flight per URL, and no more flights than the budget has.
#[derive(Debug, Clone)]
pub struct Fetcher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    total_timeout: Duration,
    budget: Arc<Budget>,
    flights: Mutex<HashMap<Key, Flight>>,
}

type Flight = watch::Receiver<Option<Result<Fetched, FetchError>>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    url: String,
    accept: &'static str,
    body_bytes_max: usize,
}

/// Where a fetcher may go, and how much of it.
#[derive(Debug, Clone)]
pub struct FetcherSettings {
    /// Which addresses may be connected to.
    pub addresses: AddressPolicy,
    /// What turns names into addresses.
    pub names: Names,
    /// A PEM file with certificates that are trusted in addition to the machine's own.
    pub ca_file: Option<PathBuf>,
    /// How long a fetch may take, from the look-up of the name to the last byte.
    pub total_timeout: Duration,
    /// How many fetches may run at once.
    pub running_max: usize,
    /// How many of them may be of one host.
    pub running_per_host_max: usize,
    /// How many fetches may begin in a minute.
    pub starts_per_minute: u32,
    /// How many of them may be of one host.
    pub starts_per_host_per_minute: u32,
}

impl Default for FetcherSettings {
    fn default() -> Self {
        Self {
            addresses: AddressPolicy::Public,
            names: Names::default(),
            ca_file: None,
            total_timeout: Duration::from_secs(5),
            running_max: 64,
            running_per_host_max: 8,
            starts_per_minute: 600,
            starts_per_host_per_minute: 30,
        }
    }
}

/// What is fetched.
#[derive(Debug, Clone, Copy)]
pub struct Get<'a> {
    /// An `https` address.
    pub url: &'a str,
    /// The `Accept` header.
    pub accept: &'static str,
    /// The longest body that is read.
    pub body_bytes_max: usize,
    /// Whether the address was good before. A quarter of the budget is kept for those, so that a crowd of new
    /// addresses cannot stop the fetches that matter.
    pub known: bool,
}

/// A document that came with status 200.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its bytes.
    pub body: Bytes,
    /// The header fields it came with.
    pub headers: HeaderMap,
}

/// Why there is no document, in words for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No answer came about.
    #[error(transparent)]
    Outgoing(#[from] Error),
    /// The answer has another status than 200.
    #[error("the answer has status {}", .0.as_u16())]
    Status(StatusCode),
    /// The body is compressed, which was not asked for.
    #[error("the answer has a Content-Encoding")]
    ContentEncoding,
    /// The budget is spent; nothing was sent.
    #[error("too many outgoing requests at the moment: {0}")]
    Busy(&'static str),
}

impl Fetcher {
    /// A fetcher under `settings`.
    ///
    /// # Errors
    /// When the file with extra certificates cannot be used.
    pub fn new(settings: FetcherSettings) -> Result<Self, Error> {
        let client = Client::new(Settings {
            addresses: settings.addresses,
            ports: Ports::Web,
            names: settings.names.clone(),
            https_only: true,
            ca_file: settings.ca_file.clone(),
            connect_timeout: settings.total_timeout,
            head_timeout: settings.total_timeout,
            total_timeout: settings.total_timeout,
            // A connection that a stranger's host may keep open would be a way to hold on to us.
            idle_connections_max: 0,
            ..Settings::default()
        })?;
        Ok(Self(Arc::new(Inner {
            client,
            total_timeout: settings.total_timeout,
            budget: Arc::new(Budget::new(&settings)),
            flights: Mutex::default(),
        })))
    }

    /// Fetches a document. Whoever asks for one that is on its way waits for that one.
    ///
    /// # Errors
    /// When it may not be asked for, or did not come as it should.
    pub async fn get(&self, get: Get<'_>) -> Result<Fetched, FetchError> {
        let mut flight = self.flight(get)?;
        let landed = flight.wait_for(Option::is_some).await;
        let landed = landed.ok().and_then(|result| (*result).clone());
        landed.unwrap_or_else(|| {
            let broken = Error::Exchange("the fetch ended without a result".to_owned());
            Err(broken.into())
        })
    }

    /// The flight of this address; it begins now unless it is under way.
    fn flight(&self, get: Get<'_>) -> Result<Flight, FetchError> {
        let (uri, host) = check_url(get.url)?;
        let key = Key {
            url: get.url.to_owned(),
            accept: get.accept,
            body_bytes_max: get.body_bytes_max,
        };
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&key) {
            return Ok(flight.clone());
        }
        let slot = Budget::start(&self.0.budget, &host, get.known, Instant::now())?;
        let (landing, flight) = watch::channel(None);
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        // A task of its own: the first who asked may go away while others wait.
        let fetcher = self.clone();
        let under_way = UnderWay {
            fetcher: self.clone(),
            key,
            _slot: slot,
        };
        tokio::spawn(async move {
            let result = fetcher.fetch(uri, &under_way.key).await;
            // First off the list, then told: who asks afterwards asks anew.
            drop(under_way);
            landing.send_replace(Some(result));
        });
        Ok(flight)
    }

    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Flight>> {
        self.0
            .flights
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, uri: Uri, key: &Key) -> Result<Fetched, FetchError> {
        let limit = self.0.total_timeout;
        timeout(limit, self.ask(uri, key))
            .await
            .unwrap_or(Err(FetchError::Outgoing(Error::Timeout {
                what: "the whole answer",
                after: limit,
            })))
    }

    async fn ask(&self, uri: Uri, key: &Key) -> Result<Fetched, FetchError> {
        let request = Request::get(uri)
            .header(header::ACCEPT, key.accept)
            .header(header::ACCEPT_ENCODING, "identity")
            .header(
                header::USER_AGENT,
                concat!("Portcullis/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::<Bytes>::default())
            .map_err(|error| Error::Exchange(error.to_string()))?;
        let (head, body) = self.0.client.send(request).await?.into_parts();
        if head.status != StatusCode::OK {
            return Err(FetchError::Status(head.status));
        }
        let encoded = head
            .headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        if encoded {
            return Err(FetchError::ContentEncoding);
        }
        let too_large = Error::BodyTooLarge {
            bytes_max: key.body_bytes_max,
        };
        let announced = hyper::body::Body::size_hint(&body).lower();
        if usize::try_from(announced).map_or(true, |length| length > key.body_bytes_max) {
            return Err(too_large.into());
        }
        let body = Limited::new(body, key.body_bytes_max).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                too_large
            } else {
                Error::from_client(&*error)
            }
        })?;
        Ok(Fetched {
            // A copy, so that a slice of a large read buffer does not stay in memory for a small document.
            body: Bytes::copy_from_slice(&body.to_bytes()),
            headers: head.headers,
        })
    }
}

/// Takes a flight off the list when it is over, however it ended.
struct UnderWay {
    fetcher: Fetcher,
    key: Key,
    _slot: Slot,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.fetcher.flights().remove(&self.key);
    }
}

/// Two readers must see the same host: the one that judged the address, and the one that connects.
fn check_url(text: &str) -> Result<(Uri, String), Error> {
    let refused = |reason| Error::Url {
        url: text.split(['?', '#']).next().unwrap_or_default().to_owned(),
        reason,
    };
    let url = Url::parse(text).map_err(|_| refused("it is no URL"))?;
    if url.scheme() != "https" {
        return Err(refused("only https is allowed here"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Url {
            url: format!("https://{}", url.host_str().unwrap_or_default()),
            reason: "user information in a URL is not used",
        });
    }
    let uri: Uri = text.parse().map_err(|_| refused("it is no URI"))?;
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() || uri.host() != Some(host) || uri.port_u16().unwrap_or(443) == 0 {
        return Err(refused("its host is spelled in an unusual way"));
    }
    Ok((uri, host.to_owned()))
}
