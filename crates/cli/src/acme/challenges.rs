//! What an ACME server asks to believe that a name is ours, answered by any node.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base::{Clock, Digest};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use store::Store;
use tokio::sync::Semaphore;

/// The protocol that such a handshake asks for, alone (RFC 8737 section 4).
const PROTOCOL: &[u8] = b"acme-tls/1";
/// A token is base64url of at least 128 bits (RFC 8555 section 8.3); more than this no ACME server writes.
const TOKEN_CHARACTERS_MAX: usize = 256;
/// How many strangers at once may make us look into the store.
const LOOKUPS_MAX: usize = 8;

/// Whether an ACME server asks, and not a client.
pub(crate) fn is_asked(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut protocols| protocols.any(|protocol| protocol == PROTOCOL))
}

/// The challenges in the store. Clones share everything.
#[derive(Clone)]
pub(crate) struct Challenges(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Nothing else is looked up.
    domains: ArcSwap<Vec<String>>,
    lookups: Semaphore,
}

impl Challenges {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            store,
            clock,
            domains: ArcSwap::default(),
            lookups: Semaphore::new(LOOKUPS_MAX),
        }))
    }

    /// From now on these names, in small letters, are ours.
    pub(super) fn set_domains(&self, domains: Vec<String>) {
        self.0.domains.store(Arc::new(domains));
    }

    /// Whether a name is ours.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        self.0
            .domains
            .load()
            .iter()
            .any(|domain| domain.eq_ignore_ascii_case(name))
    }

    /// The body that proves `host` to an ACME server (RFC 8555 section 8.3); `None` when nothing of ours was asked.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn key_authorization(
        &self,
        host: &str,
        token: &str,
    ) -> anyhow::Result<Option<String>> {
        let is_token = (1..=TOKEN_CHARACTERS_MAX).contains(&token.len())
            && token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !is_token || !self.is_ours(host) {
            return Ok(None);
        }
        let _turn = self.0.lookups.acquire().await?;
        let (domain, now) = (host.to_ascii_lowercase(), self.0.clock.now());
        Ok(self
            .0
            .store
            .find_acme_challenge(&domain, token, now)
            .await?)
    }

    /// TLS with the certificate that proves `name` (RFC 8737 section 3). It is made anew each time: what counts is the digest in
    /// it, not its key.
    ///
    /// # Errors
    /// When nothing of ours was asked, or the store cannot be read.
    pub(crate) async fn tls_config(&self, name: Option<&str>) -> io::Result<Arc<ServerConfig>> {
        let name = name
            .filter(|name| self.is_ours(name))
            .ok_or_else(|| io::Error::other("a challenge was asked for a name that is not ours"))?
            .to_ascii_lowercase();
        let turn = self.0.lookups.acquire().await;
        let _turn = turn.map_err(io::Error::other)?;
        let found = self
            .0
            .store
            .newest_acme_challenge(&name, self.0.clock.now());
        let key_authorization = found.await.map_err(io::Error::other)?.ok_or_else(|| {
            io::Error::other("a challenge was asked for a name that none was ordered for")
        })?;
        proof(name, &Digest::of(key_authorization)).map_err(io::Error::other)
    }
}

fn proof(name: String, digest: &Digest) -> anyhow::Result<Arc<ServerConfig>> {
    let mut params = CertificateParams::new(vec![name])?;
    params.distinguished_name = DistinguishedName::new();
    params
        .custom_extensions
        .push(CustomExtension::new_acme_identifier(digest.as_bytes()));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let provider = aws_lc_rs::default_provider();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = provider.key_provider.load_private_key(key.into())?;
    // Nobody must parse it here: it has a critical extension that only an ACME server understands.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}
