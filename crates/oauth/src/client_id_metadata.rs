//! Clients whose id is the address of a document that describes them.
//!
//! Nothing is fetched before the cheap checks, nothing is written by a request that nobody signed in for, and a host
//! that is away costs nobody their sign-in: see `docs/decisions/0006-client-id-metadata.md`.
//!
//! Spec: draft-ietf-oauth-client-id-metadata-document-00 and -02.

mod document;
mod freshness;
mod key_set;
mod kinds;
mod logo;
mod pin;
mod shelf;
pub(crate) mod url;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Digest, Random, Timestamp};
use domain::{
    AuditEvent, AuditEventKind, Client, ClientDocument, ClientId, ClientKeys, ClientRegistration,
    DocumentKind,
};
use egress::{AddressPolicy, FetchError, Fetcher, FetcherSettings, Get, Names};
use store::{Store, StoreError};
use wire::oauth::{ClientRegistrationResponse, JwkSet};

use crate::Error;
use crate::loopback::is_loopback;
use crate::metric::{self, Fetched};
use document::{Document, Refused};
use kinds::{Clients, Keys, Logos};
use shelf::{Failure, Held, Kind, Shelf};
use url::DocumentUrl;

pub use logo::Logo;

/// How long after a key set came it may be fetched again for a key that is not in it.
const KEYS_COOL_DOWN: Duration = Duration::from_secs(60);

/// How long a page waits for a logo. The fetch goes on behind it, for the next page.
const LOGO_PATIENCE: Duration = Duration::from_millis(1500);

/// When a client asks again for a document that did not come: the first pause after a failure.
const DOCUMENT_RETRY: Duration = Duration::from_secs(10);

/// A failed fetch is told up to this much later than it was known, so that how long it took says little.
const JITTER_MS: u64 = 150;

/// Where logos are served, followed by a digest.
pub const LOGO_PATH: &str = "/client-logos/";

/// The documents of other hosts: client metadata documents, key sets and logos. Clones share everything.
#[derive(Clone)]
pub struct ClientDocuments(Arc<Inner>);

struct Inner {
    fetcher: Fetcher,
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    public_url: String,
    clients: Shelf<Clients>,
    keys: Shelf<Keys>,
    logos: Shelf<Logos>,
}

/// What the fetcher is told at start.
pub(crate) struct OutgoingSettings {
    pub public_url: String,
    pub ca_file: Option<PathBuf>,
    pub names: Option<Names>,
}

/// How old a document may be when its host does not give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// As old as an outage may last: something new begins here.
    Bounded,
    /// Of any age: something goes on that a person approved when the document was good.
    Any,
}

/// Why there is no document.
#[derive(Debug, Clone)]
enum Missing {
    /// It is not acceptable, in words that may be told.
    Unacceptable(String),
    /// It did not come, or what came does not mean to be one. Strangers are told no more, and the log is told why.
    Away(String),
    /// We fetch enough at the moment.
    Busy,
    /// Our own database.
    Store(StoreError),
}

impl ClientDocuments {
    pub(crate) fn new(
        settings: OutgoingSettings,
        store: Store,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, egress::Error> {
        // An authority that is itself on loopback, for development, may ask this machine; still by https.
        let addresses = if is_loopback(&settings.public_url) {
            AddressPolicy::PublicAndLoopback
        } else {
            AddressPolicy::Public
        };
        let fetcher = Fetcher::new(FetcherSettings {
            addresses,
            ca_file: settings.ca_file,
            names: settings.names.unwrap_or_default(),
            ..FetcherSettings::default()
        })?;
        Ok(Self(Arc::new(Inner {
            fetcher,
            store,
            clock,
            random,
            public_url: settings.public_url,
            clients: Shelf::default(),
            keys: Shelf::default(),
            logos: Shelf::default(),
        })))
    }

    /// What the client at `url` says about itself, and since when.
    pub(crate) async fn document(
        &self,
        url: &DocumentUrl,
        age: Age,
    ) -> Result<(Arc<Document>, Timestamp), Error> {
        let held = match self.get::<Clients>(url.as_str(), age, false).await {
            Ok(held) => return Ok((held.value, held.changed_at)),
            Err(missing) => missing,
        };
        if !matches!(held, Missing::Store(_))
            && let Some(pinned) = pin::pinned(url)
        {
            tracing::warn!(client.id = %url, "the pinned document is used, since its host does not give it");
            return Ok((Arc::new(pinned), Timestamp::default()));
        }
        Err(match held {
            Missing::Unacceptable(words) => Error::invalid_client(format!(
                "the client metadata document is not acceptable: {words}"
            )),
            // It passes, or nobody can tell that it does not: a client that registered anew would come back with the
            // same id. One answer for whatever is behind the address, or people could ask us what there is.
            Missing::Away(reason) => Error::temporarily_unavailable(
                DOCUMENT_RETRY,
                format!("no client metadata document at {url}: {reason}"),
            )
            .saying("the client metadata document could not be read now; try again in a moment"),
            Missing::Busy => Error::temporarily_unavailable(
                Duration::from_secs(10),
                "the budget for fetching client metadata documents is spent",
            ),
            Missing::Store(error) => error.into(),
        })
    }

    /// The public keys at a client's `jwks_uri`. One that is asked for and not there makes us look again, at most once
    /// a minute.
    ///
    /// # Errors
    /// `temporarily_unavailable` while there are none: the client can do nothing about it by registering again.
    pub async fn keys(&self, jwks_uri: &str, key_id: Option<&str>) -> Result<JwkSet, Error> {
        let unavailable = |missing: Missing| match missing {
            Missing::Store(error) => error.into(),
            missing => Error::temporarily_unavailable(
                Duration::from_secs(10),
                format!("no keys at {jwks_uri}: {missing:?}"),
            ),
        };
        let held = self.get::<Keys>(jwks_uri, Age::Bounded, false).await;
        let held = held.map_err(unavailable)?;
        let is_there = key_id.is_none_or(|wanted| {
            let mut keys = held.value.keys.iter();
            keys.any(|key| key.kid.as_deref() == Some(wanted))
        });
        // What was fetched at a time to come is of a clock that was set back since.
        let cools = held.fetched_at..held.fetched_at.after(KEYS_COOL_DOWN);
        if is_there || cools.contains(&self.now()) {
            return Ok((*held.value).clone());
        }
        let again = self.get::<Keys>(jwks_uri, Age::Bounded, true).await;
        Ok((*again.unwrap_or(held).value).clone())
    }

    /// Where our own copy of the client's logo is, when it has one that can be shown. Waits a moment for it at most.
    pub async fn logo_path(&self, client: &Client) -> Option<String> {
        if client.registration != ClientRegistration::MetadataDocument {
            return None;
        }
        let uri = client.metadata.logo_uri.clone()?;
        let documents = self.clone();
        let fetching = async move { documents.get::<Logos>(&uri, Age::Bounded, false).await };
        let held = tokio::time::timeout(LOGO_PATIENCE, fetching).await;
        let digest = held.ok()?.ok()?.value.digest.to_text();
        Some(format!("{LOGO_PATH}{digest}"))
    }

    /// The logo of this digest.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn logo(&self, digest: &str) -> Result<Option<Logo>, StoreError> {
        let Some(digest) = Digest::from_text(digest) else {
            return Ok(None);
        };
        if let Some(held) = self.0.logos.find_by(|logo| logo.digest == digest) {
            return Ok(Some((*held.value).clone()));
        }
        let store = &self.0.store;
        let kept = store
            .find_client_document_by_digest(DocumentKind::Logo, digest)
            .await?;
        Ok(kept.and_then(|kept| Logos::from_text(&kept.url, &kept.body)))
    }

    /// Writes down what is held of a client, for the time after a restart and for when its host is away. Called when a
    /// person approves the client: a request of nobody writes nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep(&self, client: &Client) -> Result<(), StoreError> {
        if client.registration != ClientRegistration::MetadataDocument {
            return Ok(());
        }
        let url = client.id.as_str();
        if let Some(held) = self.0.clients.find(url).filter(|held| !held.is_stored) {
            let events = self.what_is_new(client, &held).await?;
            self.store_held(url, &self.0.clients, held, events).await?;
        }
        if let Some(ClientKeys::Remote(uri)) = &client.authentication.keys
            && let Some(held) = self.0.keys.find(uri).filter(|held| !held.is_stored)
        {
            self.store_held(uri, &self.0.keys, held, Vec::new()).await?;
        }
        if let Some(uri) = &client.metadata.logo_uri
            && let Some(held) = self.0.logos.find(uri).filter(|held| !held.is_stored)
        {
            self.store_held(uri, &self.0.logos, held, Vec::new())
                .await?;
        }
        Ok(())
    }

    /// As [`ClientDocuments::keep`], for a client that somebody approved before: what was fetched anew since then is
    /// written over what was kept. A failure is only logged, since nothing hangs on it now.
    pub(crate) async fn keep_up(&self, client: &Client) {
        if client.registration != ClientRegistration::MetadataDocument || !self.is_ahead(client) {
            return;
        }
        let url = client.id.as_str();
        let keeping = async {
            let store = &self.0.store;
            match store
                .find_client_document(DocumentKind::Client, url)
                .await?
            {
                Some(_) => self.keep(client).await,
                None => Ok(()),
            }
        };
        if let Err(error) = keeping.await {
            tracing::warn!(client.id = url, %error, "a client's document is not kept");
        }
    }

    /// Whether memory has something younger than the database.
    fn is_ahead(&self, client: &Client) -> bool {
        let is_ahead = |stored: Option<bool>| stored == Some(false);
        let url = client.id.as_str();
        is_ahead(self.0.clients.find(url).map(|held| held.is_stored))
            || matches!(&client.authentication.keys, Some(ClientKeys::Remote(uri))
                if is_ahead(self.0.keys.find(uri).map(|held| held.is_stored)))
    }

    async fn store_held<K: Kind>(
        &self,
        url: &str,
        shelf: &Shelf<K>,
        held: Held<K>,
        events: Vec<AuditEvent>,
    ) -> Result<(), StoreError> {
        let document = ClientDocument {
            kind: K::KIND,
            url: url.to_owned(),
            body: held.text.to_string(),
            fetched_at: held.fetched_at,
            fresh_until: held.fresh_until,
            changed_at: held.changed_at,
        };
        self.0.store.put_client_document(document, events).await?;
        shelf.note_stored(url, held.fetched_at);
        Ok(())
    }

    /// What the audit log is told when this document is kept.
    async fn what_is_new(
        &self,
        client: &Client,
        held: &Held<Clients>,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let event = |kind, detail: String| AuditEvent {
            at: self.now(),
            kind,
            server: None,
            user: None,
            client: Some(client.id.clone()),
            grant: None,
            detail,
        };
        let url = client.id.as_str();
        let kept = self
            .0
            .store
            .find_client_document(DocumentKind::Client, url)
            .await?;
        let before = kept.and_then(|kept| Clients::from_text(url, &kept.body));
        let mut events = Vec::new();
        let changed = before
            .as_ref()
            .map_or_else(Vec::new, |before| held.value.what_changed(before));
        if !changed.is_empty() {
            let detail = changed.join(" ");
            events.push(event(AuditEventKind::ClientDocumentChanged, detail));
        }
        let differs = pinned_differences(url, &held.value);
        if !differs.is_empty() && (before.is_none() || !changed.is_empty()) {
            let detail = differs.join(" ");
            events.push(event(AuditEventKind::ClientDocumentDiffersFromPin, detail));
        }
        Ok(events)
    }

    /// A document from memory, the database or its host, in this order; `anew` asks the host first.
    async fn get<K: Kind>(&self, url: &str, age: Age, anew: bool) -> Result<Held<K>, Missing>
    where
        Inner: HasShelf<K>,
    {
        if url::is_of(url, &self.0.public_url) {
            let words = "it is an address of this server itself".to_owned();
            return Err(Missing::Unacceptable(words));
        }
        let shelf = self.0.shelf();
        let now = self.now();
        let held = match shelf.find(url) {
            Some(held) => Some(held),
            None => self.load::<K>(url, shelf).await?,
        };
        if let Some(held) = &held
            && !anew
            && now >= held.fetched_at
            && now < held.fresh_until
        {
            return Ok(held.clone());
        }
        if let Some(failure) = shelf.failure(url, now) {
            return last_good(held, age, &failure, now);
        }
        let get = Get {
            url,
            accept: K::ACCEPT,
            body_bytes_max: K::BYTES_MAX,
            known: held.is_some() || is_pinned(url),
        };
        let fetched = self.fetch::<K>(get).await;
        metric::fetched(
            K::KIND,
            match &fetched {
                Ok(_) => Fetched::Good,
                Err(Failed::Busy) => Fetched::Busy,
                Err(Failed::Host(_, true)) => Fetched::Denied,
                Err(Failed::Host(_, false)) => Fetched::Failed,
            },
        );
        match fetched {
            Ok((value, text, headers)) => {
                shelf.note_success(url);
                let changed_at = self.changed_at::<K>(url, &value, held.as_ref(), now);
                let fresh = Held {
                    value: Arc::new(value),
                    text: text.into(),
                    fetched_at: now,
                    fresh_until: K::BOUNDS.fresh_until(&headers, now),
                    changed_at,
                    is_stored: false,
                };
                shelf.put(url, fresh.clone());
                Ok(fresh)
            }
            Err(Failed::Busy) => {
                let busy = Failure {
                    until: now,
                    count: 0,
                    is_denial: false,
                    reason: String::new(),
                    may_be_told: false,
                };
                last_good(held, age, &busy, now).map_err(|_| Missing::Busy)
            }
            Err(Failed::Host(refused, is_denial)) => {
                let failure = Failure {
                    until: now,
                    count: 1,
                    is_denial,
                    reason: refused.words,
                    may_be_told: refused.may_be_told,
                };
                shelf.note_failure(url, &failure, now);
                let result = last_good(held, age, &failure, now);
                if result.is_err() {
                    self.wait_a_little().await;
                }
                result
            }
        }
    }

    async fn load<K: Kind>(&self, url: &str, shelf: &Shelf<K>) -> Result<Option<Held<K>>, Missing> {
        let kept = self.0.store.find_client_document(K::KIND, url).await;
        let Some(kept) = kept.map_err(Missing::Store)? else {
            return Ok(None);
        };
        // What an earlier release accepted counts only while this one does.
        let Some(value) = K::from_text(url, &kept.body) else {
            return Ok(None);
        };
        let held = Held {
            value: Arc::new(value),
            text: kept.body.into(),
            fetched_at: kept.fetched_at,
            fresh_until: kept.fresh_until,
            changed_at: kept.changed_at,
            is_stored: true,
        };
        shelf.put(url, held.clone());
        Ok(Some(held))
    }

    async fn fetch<K: Kind>(
        &self,
        get: Get<'_>,
    ) -> Result<(K::Value, String, http::HeaderMap), Failed> {
        let not_acceptable = |refused: Refused| {
            tracing::info!(
                url = get.url,
                reason = refused.words,
                "a document of a client is not acceptable"
            );
            // A page that asks whether we are a robot has some other type, and is no answer.
            let is_denial = refused.may_be_told;
            Failed::Host(refused, is_denial)
        };
        let fetched = self.0.fetcher.get(get).await.map_err(|error| {
            tracing::info!(url = get.url, reason = %error, "a document of a client did not come");
            let is_denial = match &error {
                FetchError::Busy(_) => return Failed::Busy,
                FetchError::Status(status) => matches!(status.as_u16(), 404 | 410),
                FetchError::Outgoing(_) | FetchError::ContentEncoding => false,
            };
            Failed::Host(Refused::secret(error.to_string()), is_denial)
        })?;
        let value = K::read(get.url, &fetched.headers, &fetched.body).map_err(not_acceptable)?;
        let text = K::to_text(&fetched.body)
            .ok_or_else(|| not_acceptable(Refused::secret("it is no text")))?;
        Ok((value, text, fetched.headers))
    }

    /// Since when the document says what it says now.
    fn changed_at<K: Kind>(
        &self,
        url: &str,
        value: &K::Value,
        before: Option<&Held<K>>,
        now: Timestamp,
    ) -> Timestamp
    where
        Inner: HasShelf<K>,
    {
        self.0.note_pin(url, value);
        match before {
            Some(before) if K::is_same(&before.value, value) => before.changed_at,
            Some(_) => {
                tracing::warn!(url, "a document of a client says something else now");
                now
            }
            // People may have approved the pinned one while its host was away.
            None if self.0.is_as_pinned(url, value) => Timestamp::default(),
            None => now,
        }
    }

    async fn wait_a_little(&self) {
        let mut byte = [0];
        self.0.random.fill(&mut byte);
        let pause = JITTER_MS * u64::from(byte[0]) / u64::from(u8::MAX);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

/// Why a fetch brought nothing.
enum Failed {
    Busy,
    /// Why, and whether the host itself said that there is no good document.
    Host(Refused, bool),
}

/// What was good before, when it is not too old for this failure.
fn last_good<K: Kind>(
    held: Option<Held<K>>,
    age: Age,
    failure: &Failure,
    now: Timestamp,
) -> Result<Held<K>, Missing> {
    let limit = if failure.is_denial {
        K::BOUNDS.last_good_when_denied
    } else {
        K::BOUNDS.last_good
    };
    match held {
        Some(held) if age == Age::Any || now.is_near(held.fetched_at, limit) => Ok(held),
        _ if failure.may_be_told => Err(Missing::Unacceptable(failure.reason.clone())),
        _ => Err(Missing::Away(failure.reason.clone())),
    }
}

/// Which shelf a kind stands on, and what pins say about it.
trait HasShelf<K: Kind> {
    fn shelf(&self) -> &Shelf<K>;

    fn note_pin(&self, _url: &str, _value: &K::Value) {}

    fn is_as_pinned(&self, _url: &str, _value: &K::Value) -> bool {
        false
    }
}

impl HasShelf<Clients> for Inner {
    fn shelf(&self) -> &Shelf<Clients> {
        &self.clients
    }

    fn note_pin(&self, url: &str, value: &Document) {
        let differences = pinned_differences(url, value);
        if !differences.is_empty() {
            tracing::warn!(
                client.id = url,
                differences = differences.join(" "),
                "a client's document differs from the copy that this program was shipped with"
            );
        }
    }

    fn is_as_pinned(&self, url: &str, value: &Document) -> bool {
        is_pinned(url) && pinned_differences(url, value).is_empty()
    }
}

impl HasShelf<Keys> for Inner {
    fn shelf(&self) -> &Shelf<Keys> {
        &self.keys
    }
}

impl HasShelf<Logos> for Inner {
    fn shelf(&self) -> &Shelf<Logos> {
        &self.logos
    }
}

fn is_pinned(url: &str) -> bool {
    known_clients::pinned_document(url).is_some()
}

/// What the document says otherwise than the pinned copy; empty when there is none.
fn pinned_differences(url: &str, document: &Document) -> Vec<&'static str> {
    let pinned = DocumentUrl::parse(url)
        .ok()
        .and_then(|url| pin::pinned(&url));
    pinned.map_or_else(Vec::new, |pinned| document.what_changed(&pinned))
}

/// What a kept document says otherwise than the copy that the program was shipped with: names of members, empty when
/// it says the same or there is no copy.
pub fn differences_from_pin(kept: &ClientDocument) -> Vec<&'static str> {
    Clients::from_text(&kept.url, &kept.body).map_or_else(Vec::new, |document| {
        pinned_differences(&kept.url, &document)
    })
}

/// The host that a client id proves, in punycode; nothing for an id that is no address of a document.
pub fn host(id: &ClientId) -> Option<String> {
    DocumentUrl::parse(id.as_str())
        .ok()
        .map(|url| url.host().to_owned())
}

pub(crate) fn read(url: &str, body: &[u8]) -> Result<ClientRegistrationResponse, String> {
    let url = DocumentUrl::parse(url)?;
    let document = document::read(&url, body).map_err(|refused| refused.words)?;
    Ok(document.metadata)
}

pub(crate) fn read_keys(body: &[u8]) -> Result<JwkSet, String> {
    key_set::read(body)
}
