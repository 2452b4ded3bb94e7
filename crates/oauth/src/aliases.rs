use std::time::Duration;

use aws_lc_rs::hmac;
use base::{Digest, Timestamp, base64url, random_token};
use bytes::Bytes;
use domain::{ALIAS_PROOF_LIFE, AuditEvent, AuditEventKind, ServerAlias, ServerSlug};
use egress::{AddressPolicy, Client, Ports, Settings};
use http::{Request, StatusCode, header};
use store::{AliasTry, AliasVerdict, StoreError};
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::loopback::is_loopback;
use crate::{Authority, ServerContext};

/// Where a host that leads here answers for a nonce.
pub const PROOF_PATH: &str = "/.well-known/portcullis-alias/";

/// How often a proven alias is proven again.
const PROVEN_AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// How often one is tried whose last try failed.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// A try is over by then, also when its node is gone.
const NONCE_LIFE: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// 256 bits in base64url.
const NONCE_BYTES: usize = 43;
const ANSWER_BYTES_MAX: usize = 256;

/// The answer for `nonce` at `host`, when an alias there is being proven by it.
///
/// It is made from the nonce under a key of ours, so that nobody who only sees the nonce can give it: neither a host
/// that sends back what it is asked, nor one whose owner has read this.
///
/// # Errors
/// When the store fails.
pub async fn answer(
    authority: &Authority,
    host: &str,
    nonce: &str,
) -> Result<Option<String>, StoreError> {
    let found = find_answer(authority, host, nonce).await?;
    Ok(found.map(|(_, answer)| answer))
}

/// As [`answer`], for the gateway of `server`: for nobody else's aliases.
///
/// # Errors
/// When the store fails.
pub async fn answer_of(
    authority: &Authority,
    server: &ServerContext,
    host: &str,
    nonce: &str,
) -> Result<Option<String>, StoreError> {
    let Some((url, answer)) = find_answer(authority, host, nonce).await? else {
        return Ok(None);
    };
    let mut own = server.server.other_addresses.aliases.iter();
    Ok(own.any(|alias| alias.url == url).then_some(answer))
}

/// The URL of the alias that is being proven by `nonce` at `host`, and the answer.
async fn find_answer(
    authority: &Authority,
    host: &str,
    nonce: &str,
) -> Result<Option<(String, String)>, StoreError> {
    if !is_nonce(nonce) {
        return Ok(None);
    }
    let digest = Digest::of(nonce);
    let found = authority
        .store()
        .find_alias_by_nonce(&digest, authority.now());
    let Some(url) = found.await? else {
        return Ok(None);
    };
    let answer = is_host_of(&url, host).then(|| made_answer(authority, &url, nonce));
    Ok(answer.map(|answer| (url, answer)))
}

/// Whether the text has the shape of a nonce of ours.
pub fn is_nonce(text: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() == NONCE_BYTES && text.bytes().all(is_base64url)
}

fn made_answer(authority: &Authority, url: &str, nonce: &str) -> String {
    let text = format!("{url}\n{nonce}");
    base64url(hmac::sign(
        &authority.subkeys().alias_proof,
        text.as_bytes(),
    ))
}

/// Whether `host`, as a request names it, is the host and port of `url`.
fn is_host_of(url: &str, host: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let (Some(name), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    host.eq_ignore_ascii_case(&format!("{name}:{port}"))
        || (url.port().is_none() && host.eq_ignore_ascii_case(name))
}

/// Fetches nonces through aliases. Not to the addresses that documents of clients may not be at either.
pub struct AliasProver {
    authority: Authority,
    client: Client,
}

/// What a fetch through an alias showed.
enum Shown {
    /// It leads here.
    Ours,
    /// It leads to somebody else: what came back is not ours.
    Foreign(String),
    /// Nothing is known; it may be a bad hour.
    Nothing(String),
}

impl AliasProver {
    /// A prover of `authority`'s aliases.
    ///
    /// # Errors
    /// When the file with extra certificates cannot be used.
    pub fn new(authority: Authority) -> Result<Self, egress::Error> {
        let settings = authority.settings();
        let is_local = is_loopback(&settings.public_url);
        let client = Client::new(Settings {
            addresses: if is_local {
                AddressPolicy::PublicAndLoopback
            } else {
                AddressPolicy::Public
            },
            ports: Ports::Web,
            names: settings.names.clone().unwrap_or_default(),
            https_only: !is_local,
            ca_file: settings.ca_file.clone(),
            connect_timeout: ANSWER_WITHIN,
            head_timeout: ANSWER_WITHIN,
            total_timeout: ANSWER_WITHIN,
            // Each proof is one of the way that a new client would take.
            idle_connections_max: 0,
            ..Settings::default()
        })?;
        Ok(Self { authority, client })
    }

    /// Tries those that are due, one after another, unless another node does.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn prove_due(&self) -> Result<(), StoreError> {
        let now = self.authority.now();
        for context in self.authority.servers().values() {
            for alias in &context.server.other_addresses.aliases {
                if alias.next_check_at <= now && !alias.has_ended(now) {
                    self.prove(&context.server.slug, alias, now).await?;
                }
            }
        }
        Ok(())
    }

    async fn prove(
        &self,
        slug: &ServerSlug,
        alias: &ServerAlias,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let store = self.authority.store();
        let nonce = random_token(self.authority.random(), "");
        let nonce_digest = Digest::of(&nonce);
        // While it is proven a bad hour costs it nothing, so one that is not is the one to be quick about.
        let pause = if alias.proven_at.is_some() && alias.failure.is_none() {
            PROVEN_AGAIN_AFTER
        } else {
            TRIED_AGAIN_AFTER
        };
        let attempt = AliasTry {
            url: alias.url.clone(),
            due_at: alias.next_check_at,
            next_check_at: now.after(pause),
            nonce_digest,
            nonce_expires_at: now.after(NONCE_LIFE),
        };
        if !store.begin_alias_try(attempt).await? {
            return Ok(());
        }
        let shown = self.fetch(&alias.url, &nonce).await;
        let now = self.authority.now();
        let was_live = alias.is_live(now);
        let (proven_at, failure) = match shown {
            Shown::Ours => (Some(now), None),
            Shown::Foreign(why) => (None, Some(why)),
            Shown::Nothing(why) => {
                let kept = alias
                    .proven_at
                    .filter(|at| now < at.after(ALIAS_PROOF_LIFE));
                (kept, Some(why))
            }
        };
        let kind = match (was_live, proven_at.is_some()) {
            (false, true) => Some(AuditEventKind::AliasProven),
            (_, false) if alias.proven_at.is_some() => Some(AuditEventKind::AliasLost),
            _ => None,
        };
        if let Some(why) = &failure {
            tracing::warn!(server = %slug, alias = alias.url, reason = why, "an alias was not proven");
        }
        let verdict = AliasVerdict {
            url: alias.url.clone(),
            nonce_digest,
            proven_at,
            failure,
            event: kind.map(|kind| AuditEvent {
                at: now,
                kind,
                server: Some(slug.clone()),
                user: None,
                client: None,
                grant: None,
                detail: alias.url.clone(),
            }),
        };
        store.end_alias_try(verdict).await?;
        Ok(())
    }

    async fn fetch(&self, url: &str, nonce: &str) -> Shown {
        let origin = match Url::parse(url) {
            Ok(url) => url.origin().ascii_serialization(),
            Err(error) => return Shown::Nothing(error.to_string()),
        };
        // Our own origin is the word on which everything hangs, and may be on a network that is not asked from here.
        if origin == self.authority.public_url() {
            return Shown::Ours;
        }
        // So was that of before a move, which the operator said is kept.
        let now = self.authority.now();
        let mut former = self.authority.former_origins().iter();
        if former.any(|former| former.is_kept(now) && former.origin == origin) {
            return Shown::Ours;
        }
        if origin.starts_with("http:") && !is_loopback(&origin) {
            return Shown::Nothing("http is only for this machine; use https".to_owned());
        }
        let request = Request::get(format!("{origin}{PROOF_PATH}{nonce}"))
            .header(header::ACCEPT, "text/plain")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(
                header::USER_AGENT,
                concat!("Portcullis/", env!("CARGO_PKG_VERSION")),
            )
            .body(Bytes::new().into());
        let request = match request {
            Ok(request) => request,
            Err(error) => return Shown::Nothing(error.to_string()),
        };
        let answer = match self.client.fetch(request, ANSWER_BYTES_MAX).await {
            Ok(answer) => answer,
            Err(egress::Error::BodyTooLarge { .. }) => {
                return Shown::Foreign(format!("{origin} answers with something else"));
            }
            Err(error) => return Shown::Nothing(error.to_string()),
        };
        let expected = made_answer(&self.authority, url, nonce);
        match answer.status() {
            StatusCode::OK if bool::from(answer.body()[..].ct_eq(expected.as_bytes())) => {
                Shown::Ours
            }
            StatusCode::OK => Shown::Foreign(format!("{origin} answers with something else")),
            status if status.is_redirection() => Shown::Foreign(format!(
                "{origin} redirects, which is not followed (status {})",
                status.as_u16()
            )),
            status => Shown::Nothing(format!(
                "{origin} does not lead here (status {})",
                status.as_u16()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_that_of_an_address_with_its_port_and_no_neighbour() {
        for (url, host, is_it) in [
            ("https://a.example/mcp", "A.example", true),
            ("https://a.example/mcp", "a.example:443", true),
            ("https://a.example/mcp", "a.example:80", false),
            ("https://a.example/mcp", "b.a.example", false),
            ("http://127.0.0.1:9/mcp", "127.0.0.1:9", true),
            ("http://127.0.0.1:9/mcp", "127.0.0.1", false),
            ("nonsense", "nonsense", false),
        ] {
            assert_eq!(is_host_of(url, host), is_it, "{url} {host}");
        }
    }
}
