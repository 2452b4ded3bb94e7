use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use egress::{Client, Names, Settings};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use url::{Url, form_urlencoded};
use wire::mcp::{Json, Limits, Object, parse_strict};
use wire::oauth::JwkSet;

use super::discovery::{Discovered, issuer_address, metadata_addresses};
use super::{Answering, IssuerSource};

/// The largest metadata and JWKS that are read.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// The largest introspection answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How many tokens are asked about at once.
const ASKING_MAX: usize = 64;
/// How soon after metadata was not found it is looked for again.
const DISCOVER_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How to reach another authorization server.
#[derive(Debug, Clone)]
pub struct HttpIssuerSettings {
    /// Its issuer identifier; its metadata must name the same, byte for byte.
    pub issuer: String,
    /// Where its keys are, when its metadata does not say so.
    pub jwks_uri: Option<String>,
    /// Where it is asked about tokens, when its metadata does not say so.
    pub introspection_endpoint: Option<String>,
    /// What this resource server authenticates with there.
    pub client: Option<IssuerClient>,
    /// A PEM file with certificates that are trusted in addition to the machine's own.
    pub ca_file: Option<PathBuf>,
    /// What turns names into addresses; the system by default.
    pub names: Names,
}

/// A client of another issuer, with the secret that it sends as `client_secret_basic` (RFC 6749 section 2.3.1).
#[derive(Debug, Clone)]
pub struct IssuerClient {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: Secret<String>,
}

/// Knows another authorization server over HTTP, by what its metadata says.
#[derive(Debug)]
pub struct HttpIssuer {
    settings: HttpIssuerSettings,
    url: Url,
    /// For what the operator named, and for the issuer's own origin, wherever that is.
    named: Client,
    /// For what only its metadata names: no address inside the operator's network.
    public: Client,
    discovered: ArcSwapOption<Discovered>,
    last_discovery: Mutex<Option<(Instant, String)>>,
    asking: Semaphore,
}

impl HttpIssuer {
    /// One under `settings`; nothing is asked yet.
    ///
    /// # Errors
    /// In words, when an address is none or the file with certificates cannot be used.
    pub fn new(settings: HttpIssuerSettings) -> Result<Self, String> {
        let url = issuer_address(&settings.issuer)?;
        let said = [&settings.jwks_uri, &settings.introspection_endpoint];
        for address in said.into_iter().flatten() {
            issuer_address(address)?;
        }
        let client = |like: Settings| {
            Client::new(Settings {
                ca_file: settings.ca_file.clone(),
                names: settings.names.clone(),
                head_timeout: ANSWER_TIME_MAX,
                total_timeout: ANSWER_TIME_MAX,
                ..like
            })
            .map_err(|error| error.to_string())
        };
        Ok(Self {
            named: client(Settings::operator_chosen())?,
            public: client(Settings::default())?,
            discovered: ArcSwapOption::empty(),
            last_discovery: Mutex::default(),
            asking: Semaphore::new(ASKING_MAX),
            settings,
            url,
        })
    }

    async fn fetch_keys(&self) -> Result<JwkSet, String> {
        let said = self.settings.jwks_uri.clone();
        let address = match &said {
            Some(said) => said.clone(),
            // Anew each time: its keys may have moved.
            None => {
                let found = self.discover().await?;
                let words = "its metadata names no jwks_uri; say where its keys are";
                found.jwks_uri.clone().ok_or(words)?
            }
        };
        let request = Request::get(&address);
        let answer = self
            .send(
                &address,
                said.is_some(),
                request,
                Bytes::new(),
                DOCUMENT_BYTES_MAX,
            )
            .await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{address} answers {}", answer.status()));
        }
        let document = object(answer.body()).ok_or(format!("{address} has no JSON object"))?;
        let keys = document.get("keys").and_then(Json::as_array);
        let keys = keys.ok_or(format!("{address} has no JWKS"))?;
        // One that cannot be read leaves the others.
        let keys = keys.iter().filter_map(|key| key.deserialize().ok());
        Ok(JwkSet {
            keys: keys.collect(),
        })
    }

    async fn ask_about(&self, token: &str) -> Result<Object, String> {
        let client = self.settings.client.as_ref();
        let client = client.ok_or("no client is set that may ask it about tokens")?;
        let _place = self
            .asking
            .try_acquire()
            .map_err(|_| "as many tokens as may be are being asked about")?;
        let said = self.settings.introspection_endpoint.clone();
        let address = match &said {
            Some(said) => said.clone(),
            None => {
                let found = match self.discovered.load_full() {
                    Some(found) => found,
                    None => self.discover().await?,
                };
                let words = "its metadata names no introspection_endpoint; say where it is";
                found.introspection_endpoint.clone().ok_or(words)?
            }
        };
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "access_token")
            .finish();
        let request = Request::post(&address)
            .header(header::AUTHORIZATION, client.basic()?)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self
            .send(
                &address,
                said.is_some(),
                request,
                form.into(),
                ANSWER_BYTES_MAX,
            )
            .await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(format!(
                    "{address} does not let the client {:?} ask about tokens; look at introspection.client_id and its secret",
                    client.id
                ));
            }
            status => return Err(format!("{address} answers {status}")),
        }
        let kind = answer.headers().get(header::CONTENT_TYPE);
        let is_json = kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| {
                kind.split(';').next().unwrap_or_default().trim() == "application/json"
            });
        let answer = object(answer.body()).filter(|_| is_json);
        answer.ok_or(format!("{address} does not answer with a JSON object"))
    }

    /// Looks for its metadata. After a failure the same is said for a moment, so that nobody is hammered.
    async fn discover(&self) -> Result<Arc<Discovered>, String> {
        let mut last = self.last_discovery.lock().await;
        if let Some((at, reason)) = &*last
            && at.elapsed() < DISCOVER_AGAIN_AFTER
        {
            return Err(reason.clone());
        }
        let found = self.look_for_metadata().await;
        match found {
            Ok(found) => {
                *last = None;
                let found = Arc::new(found);
                self.discovered.store(Some(Arc::clone(&found)));
                Ok(found)
            }
            Err(reason) => {
                *last = Some((Instant::now(), reason.clone()));
                Err(reason)
            }
        }
    }

    async fn look_for_metadata(&self) -> Result<Discovered, String> {
        for address in metadata_addresses(&self.settings.issuer) {
            let request = Request::get(&address);
            let answer = self
                .send(&address, true, request, Bytes::new(), DOCUMENT_BYTES_MAX)
                .await?;
            // A page for people is no document, and the next address may have one.
            if answer.status() == StatusCode::OK
                && let Some(document) = object(answer.body())
            {
                return Discovered::of(&document, &self.settings.issuer);
            }
            if answer.status().is_server_error() {
                return Err(format!("{address} answers {}", answer.status()));
            }
        }
        Err("it has no metadata at any of its well-known addresses".to_owned())
    }

    async fn send(
        &self,
        address: &str,
        is_said: bool,
        request: http::request::Builder,
        body: Bytes,
        body_bytes_max: usize,
    ) -> Result<Response<Bytes>, String> {
        let url = issuer_address(address)?;
        let is_own = is_said || url.origin() == self.url.origin();
        let client = if is_own { &self.named } else { &self.public };
        let request = request
            .header(header::ACCEPT, "application/json")
            .header(
                header::USER_AGENT,
                concat!("Portcullis/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::new(body))
            .map_err(|error| format!("{address} cannot be asked: {error}"))?;
        let answer = client.fetch(request, body_bytes_max).await;
        answer.map_err(|error| error.to_string())
    }
}

impl IssuerSource for HttpIssuer {
    fn keys(&self) -> Answering<'_, JwkSet> {
        Box::pin(self.fetch_keys())
    }

    fn introspect<'a>(&'a self, token: &'a str) -> Answering<'a, Object> {
        Box::pin(self.ask_about(token))
    }
}

impl IssuerClient {
    /// Both parts are encoded as in a form first, so that a colon in one is not the colon between them.
    fn basic(&self) -> Result<HeaderValue, String> {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let (id, secret): (String, String) = (encoded(&self.id), encoded(self.secret.expose()));
        let pair = Secret::new(format!("{id}:{secret}"));
        let value = format!("Basic {}", STANDARD.encode(pair.expose()));
        let mut value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn object(bytes: &[u8]) -> Option<Object> {
    match parse_strict(bytes, &Limits::default()) {
        Ok(Json::Object(object)) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
