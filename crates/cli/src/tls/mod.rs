//! TLS of a listener, with certificates from files or an ACME server that are replaced without a restart.

mod by_name;
mod establish;
mod pair;
#[cfg(test)]
mod tests;
mod watched;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use base::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;

use crate::acme::Challenges;
use by_name::ByName;
pub(crate) use pair::Pair;
use watched::Watched;

/// How often the files are looked at when nothing else is said.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Where one certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the server's own certificate first, then the intermediate ones.
    pub certificate: PathBuf,
    /// PEM: its private key in PKCS#8, PKCS#1 or SEC1, without a passphrase.
    pub key: PathBuf,
}

/// The certificates of a listener. Each handshake is made with those in use when it begins; a connection lives on with
/// what it began with.
pub struct Certificates {
    in_use: ArcSwap<InUse>,
    known: Mutex<Known>,
    challenges: OnceLock<Challenges>,
}

/// What there is to choose from: files first.
#[derive(Default)]
struct Known {
    watched: Vec<Watched>,
    issued: Vec<Arc<Pair>>,
}

struct InUse {
    config: Arc<ServerConfig>,
    not_after: Option<Timestamp>,
}

impl Certificates {
    /// Reads the files. Of several certificates, the first that is for the name the client asks for is shown; the
    /// first of all when none is, or the client names nothing (SNI, RFC 6066 section 3). Without any, each handshake ends
    /// with an alert, until there is one.
    ///
    /// # Errors
    /// Names the file and what is wrong with it: it is missing, too large (more than 1 MiB), no PEM, without a
    /// certificate or a key, or the key belongs to another certificate.
    pub fn load(files: &[CertificateFiles]) -> anyhow::Result<Self> {
        let watched = files.iter().map(Watched::load);
        let known = Known {
            watched: watched.collect::<anyhow::Result<Vec<_>>>()?,
            issued: Vec::new(),
        };
        Ok(Self {
            in_use: ArcSwap::from_pointee(in_use(&known)?),
            known: Mutex::new(known),
            challenges: OnceLock::new(),
        })
    }

    /// Answers the challenges of an ACME server from now on.
    pub(crate) fn answer_challenges(&self, challenges: Challenges) {
        // Once for all: a second time would be the same store.
        let _ = self.challenges.set(challenges);
    }

    /// Shows these certificates beside those from files, instead of the earlier ones.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn show_issued(&self, issued: Vec<Arc<Pair>>) -> anyhow::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.issued = issued;
        self.in_use.store(Arc::new(in_use(&known)?));
        Ok(())
    }

    /// Looks at the files every `period` until it is dropped, and replaces what has changed.
    ///
    /// The bytes are compared, not the time of the last change: Kubernetes swaps a symbolic link above the files. Files
    /// that do not fit together, perhaps because they are just being written, change nothing and are told once.
    pub async fn watch(self: Arc<Self>, period: Duration) {
        loop {
            tokio::time::sleep(period).await;
            self.look_aside(false).await;
        }
    }

    /// Looks at the files now, as a signal may ask for, and tells again what is wrong with them.
    pub async fn reload_now(self: &Arc<Self>) {
        self.look_aside(true).await;
    }

    /// When the first of the servers' own certificates ends.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.in_use.load().not_after
    }

    /// Disks can be slow, so that the files are read on a thread of their own.
    async fn look_aside(self: &Arc<Self>, tells_again: bool) {
        let this = Arc::clone(self);
        let looking = tokio::task::spawn_blocking(move || this.look(tells_again));
        for refusal in looking.await.unwrap_or_default() {
            tracing::warn!(
                error = %crate::failure::message(&refusal),
                "the certificate in use stays; the files have changed and cannot be used"
            );
        }
    }

    /// Takes what has changed; why not, where that is new or `tells_again`.
    fn look(&self, tells_again: bool) -> Vec<anyhow::Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refusals = Vec::new();
        let mut is_changed = false;
        for pair in &mut known.watched {
            match pair.look(tells_again) {
                Ok(changed) => is_changed |= changed,
                Err(refusal) => refusals.push(refusal),
            }
        }
        if is_changed {
            match in_use(&known) {
                Ok(in_use) => self.in_use.store(Arc::new(in_use)),
                Err(error) => refusals.push(error),
            }
        }
        refusals
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Certificates")
            .finish_non_exhaustive()
    }
}

/// Made anew at each change, so that no session of an earlier certificate is resumed.
fn in_use(known: &Known) -> anyhow::Result<InUse> {
    let files = known.watched.iter().map(Watched::in_use);
    let pairs: Vec<_> = files.chain(known.issued.iter().cloned()).collect();
    let not_after = pairs.iter().map(|pair| pair.not_after).min();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS")?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName(pairs)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(InUse {
        config: Arc::new(config),
        not_after,
    })
}
