use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use egress::{Body, Client, Names, Settings};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use wire::gateway::{AliasNonce, POLICY_UNREADABLE};

/// The largest answer that is read whole.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// How much of a refusal is repeated.
const WORDS_MAX: usize = 300;

/// How to reach an authority.
#[derive(Debug, Clone)]
pub struct AuthoritySettings {
    /// Its `public_url`: an origin without a slash at the end. Its issuers begin so.
    pub url: String,
    /// Another origin at which it answers, for a way that does not lead through the public entrance; the `Host` that it
    /// hears is that of `url` all the same.
    pub connect_to: Option<String>,
    /// A PEM file with certificates that are trusted in addition to the machine's own.
    pub ca_file: Option<PathBuf>,
    /// What turns names into addresses; the system by default.
    pub names: Names,
}

/// The credential of one MCP server, as `portcullis servers credential` prints it.
#[derive(Debug, Clone)]
pub struct ServerCredential {
    id: String,
    secret: Secret<String>,
}

impl ServerCredential {
    /// Reads `ID:SECRET`.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.trim().split_once(':')?;
        let is_plain = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            !part.is_empty() && part.len() <= 128 && part.bytes().all(plain)
        };
        (is_plain(id) && is_plain(secret)).then(|| Self {
            id: id.to_owned(),
            secret: Secret::new(secret.to_owned()),
        })
    }

    /// The part that is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn header(&self) -> HeaderValue {
        let pair = Secret::new(format!("{}:{}", self.id, self.secret.expose()));
        let value = format!("Basic {}", STANDARD.encode(pair.expose()));
        let mut value = HeaderValue::try_from(value).expect("base64 is printable ASCII");
        value.set_sensitive(true);
        value
    }
}

/// Why the authority gave no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// It cannot be reached.
    #[error("the authority cannot be asked: {0}")]
    Unreachable(#[from] egress::Error),
    /// It does not take the credential.
    #[error(
        "the authority does not take the credential {id} for the MCP server {slug}; make one with `portcullis servers \
         credential {slug}` at the authority and give it here"
    )]
    Credential {
        /// The part of it that is no secret.
        id: String,
        /// The MCP server.
        slug: String,
    },
    /// It knows no such MCP server, or is no authority.
    #[error("there is no MCP server {slug} at the authority {url}")]
    UnknownServer {
        /// The MCP server.
        slug: String,
        /// The authority.
        url: String,
    },
    /// The node that was asked cannot read what is in force.
    #[error(
        "the authority {url} cannot read the policy of the MCP server {slug}, as when a later release wrote it; bring all its \
         nodes to that release"
    )]
    UnreadablePolicy {
        /// The MCP server.
        slug: String,
        /// The authority.
        url: String,
    },
    /// It answers something else.
    #[error("the authority answers {status}: {words}")]
    Refused {
        /// With this status.
        status: u16,
        /// In its words.
        words: String,
    },
    /// What it answers is not what was asked for.
    #[error("the answer of the authority cannot be read")]
    Unreadable,
}

/// Asks an authority over HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuthorityClient {
    http: Client,
    url: String,
    connect_to: String,
    host: HeaderValue,
}

impl AuthorityClient {
    /// A client under `settings`; nothing is asked yet.
    ///
    /// # Errors
    /// When the file with certificates cannot be used or the URL is none.
    pub fn new(settings: &AuthoritySettings) -> Result<Self, egress::Error> {
        let http = Client::new(Settings {
            ca_file: settings.ca_file.clone(),
            names: settings.names.clone(),
            head_timeout: ANSWER_TIME_MAX,
            total_timeout: ANSWER_TIME_MAX,
            ..Settings::operator_chosen()
        })?;
        let no_origin = || egress::Error::Url {
            url: settings.url.clone(),
            reason: "it is no origin",
        };
        let (_, host) = settings.url.split_once("://").ok_or_else(no_origin)?;
        let host = HeaderValue::try_from(host).map_err(|_| no_origin())?;
        let connect_to = settings.connect_to.as_ref().unwrap_or(&settings.url);
        Ok(Self {
            http,
            url: settings.url.clone(),
            connect_to: connect_to.clone(),
            host,
        })
    }

    /// Asks about `slug` and about nothing else.
    pub fn server(&self, slug: &str, credential: &ServerCredential) -> OwnServer {
        OwnServer {
            client: self.clone(),
            slug: slug.to_owned(),
            credential_id: credential.id.clone(),
            authorization: credential.header(),
        }
    }
}

/// One MCP server's own way to its authority. Cheap to clone.
#[derive(Clone)]
pub struct OwnServer {
    client: AuthorityClient,
    slug: String,
    credential_id: String,
    authorization: HeaderValue,
}

impl OwnServer {
    /// The slug.
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// The issuer of its tokens.
    pub fn issuer(&self) -> String {
        format!("{}/servers/{}", self.client.url, self.slug)
    }

    /// Sends a request below the issuer's address, with a body of a type when there is one.
    pub(crate) async fn send(
        &self,
        method: Method,
        name: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Response<Body>, AuthorityError> {
        let uri = format!("{}/servers/{}/{name}", self.client.connect_to, self.slug);
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, &self.client.host)
            .header(header::AUTHORIZATION, &self.authorization)
            .header(
                header::USER_AGENT,
                concat!("Portcullis/", env!("CARGO_PKG_VERSION")),
            );
        let body = match body {
            Some((kind, bytes)) => {
                request = request.header(header::CONTENT_TYPE, kind);
                Full::new(bytes)
            }
            None => Full::default(),
        };
        let request = request
            .body(body)
            .map_err(|error| egress::Error::Exchange(error.to_string()))?;
        let answer = self.client.http.send(request).await?;
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    /// Sends JSON and reads the JSON that comes back.
    ///
    /// # Errors
    /// When the authority is not reached, or does not answer 200 with JSON.
    pub async fn post_json(&self, name: &str, body: Bytes) -> Result<Value, AuthorityError> {
        self.post(name, "application/json", body).await
    }

    /// What the authority answers for a nonce that it sent to `host` itself, to see where that leads; nothing when it
    /// sent none.
    ///
    /// # Errors
    /// As [`OwnServer::post_json`].
    pub async fn answer_alias_nonce(
        &self,
        host: &str,
        nonce: &str,
    ) -> Result<Option<String>, AuthorityError> {
        let asked = AliasNonce {
            host: host.to_owned(),
            nonce: nonce.to_owned(),
        };
        let body = serde_json::to_vec(&asked).map_err(|_| AuthorityError::Unreadable)?;
        let body = Some(("application/json", Bytes::from(body)));
        let answer = self.send(Method::POST, "alias-proof", body).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::OK => {}
            _ => return Err(self.refused(answer).await),
        }
        let bytes = whole(answer.into_body()).await;
        let said: Value = serde_json::from_slice(&bytes.ok_or(AuthorityError::Unreadable)?)
            .map_err(|_| AuthorityError::Unreadable)?;
        let answer = said["answer"].as_str().map(str::to_owned);
        answer.map(Some).ok_or(AuthorityError::Unreadable)
    }

    /// As [`OwnServer::post_json`], of any type.
    pub(crate) async fn post(
        &self,
        name: &str,
        kind: &'static str,
        body: Bytes,
    ) -> Result<Value, AuthorityError> {
        let answer = self.send(Method::POST, name, Some((kind, body))).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(answer).await);
        }
        let bytes = whole(answer.into_body()).await;
        let bytes = bytes.ok_or(AuthorityError::Unreadable)?;
        serde_json::from_slice(&bytes).map_err(|_| AuthorityError::Unreadable)
    }

    /// What an answer means that is not the good one.
    pub(crate) async fn refused(&self, answer: Response<Body>) -> AuthorityError {
        let status = answer.status();
        let bytes = whole(answer.into_body()).await.unwrap_or_default();
        let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match (status, said["error"].as_str()) {
            (StatusCode::UNAUTHORIZED, _) => AuthorityError::Credential {
                id: self.credential_id.clone(),
                slug: self.slug.clone(),
            },
            // A proxy that finds nobody behind it has other words.
            (StatusCode::NOT_FOUND, Some("not_found")) => AuthorityError::UnknownServer {
                slug: self.slug.clone(),
                url: self.client.url.clone(),
            },
            (StatusCode::SERVICE_UNAVAILABLE, Some(POLICY_UNREADABLE)) => {
                AuthorityError::UnreadablePolicy {
                    slug: self.slug.clone(),
                    url: self.client.url.clone(),
                }
            }
            _ => {
                let words = said["error_description"].as_str();
                let words = words.unwrap_or("in words that are no OAuth error");
                AuthorityError::Refused {
                    status: status.as_u16(),
                    words: words.chars().take(WORDS_MAX).collect(),
                }
            }
        }
    }
}

async fn whole(mut body: Body) -> Option<Bytes> {
    let reading = async {
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.ok()?.into_data() {
                if read.len() + data.len() > ANSWER_BYTES_MAX {
                    return None;
                }
                read.extend_from_slice(&data);
            }
        }
        Some(read.freeze())
    };
    tokio::time::timeout(ANSWER_TIME_MAX, reading).await.ok()?
}

impl fmt::Debug for OwnServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OwnServer")
            .field("authority", &self.client.url)
            .field("slug", &self.slug)
            .field("credential", &self.credential_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_credential_is_read_as_it_is_printed_and_never_shown() {
        let credential = ServerCredential::parse("prs_a-b:pcq_s_t\n").unwrap();
        assert_eq!(credential.id(), "prs_a-b");
        assert!(!format!("{credential:?}").contains("pcq_s_t"));
        assert_eq!(credential.header(), "Basic cHJzX2EtYjpwY3Ffc190");
        assert!(!format!("{:?}", credential.header()).contains("cHJz"));
        for bad in [
            "",
            "prs_a",
            ":s",
            "prs_a:",
            "prs_a:s:t",
            "prs a:s",
            "prs_a:ä",
        ] {
            assert!(ServerCredential::parse(bad).is_none(), "{bad}");
        }
    }
}
