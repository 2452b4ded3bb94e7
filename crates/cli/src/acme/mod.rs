//! Certificates from an ACME server (RFC 8555): ordered, proven and renewed by one node at a time, shown by all.
//!
//! What it takes is in the store, so that any node answers the challenge that another ordered, goes on where another ended,
//! and shows a new certificate within seconds. A failure changes nothing about what is shown.

mod account;
pub(crate) mod challenges;
mod failure;
mod http01;
mod keeper;
pub mod metric;
mod order;
mod renewal;
#[cfg(test)]
mod tests;
mod transport;

use std::path::PathBuf;
use std::sync::Arc;

use base::{Clock, Random, Secret};
use oauth::CertificateSealer;
use store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::accept::{self, Socket};
use crate::config::{AcmePlace, Challenge};
use crate::tls::Certificates;

pub(crate) use challenges::Challenges;
use http01::Http01;
use keeper::Keeper;

/// What certificates are ordered with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The ACME server's directory.
    pub directory: Url,
    /// Whom it may write to.
    pub contact: Vec<String>,
    /// The names; without any, those of `public_url` and of the MCP servers' own URLs.
    pub domains: Vec<String>,
    /// The authority's origin.
    pub public_url: String,
    /// How a name is proven.
    pub challenge: Challenge,
    /// More roots to trust.
    pub ca_file: Option<PathBuf>,
    /// An account from elsewhere: its key identifier and its MAC key.
    pub external_account: Option<(String, Secret<Vec<u8>>)>,
}

impl Settings {
    /// What the configuration says.
    pub fn new(place: &AcmePlace, public_url: &str) -> Self {
        Self {
            directory: place.directory.clone(),
            contact: place.contact.clone(),
            domains: place.domains.clone(),
            public_url: public_url.to_owned(),
            challenge: place.challenge,
            ca_file: place.ca_file.clone(),
            external_account: place.external_account.clone(),
        }
    }
}

/// What orders and shows certificates.
pub struct Surroundings {
    /// Where everything about them is kept.
    pub store: Store,
    /// What shows them.
    pub certificates: Arc<Certificates>,
    /// Where plain HTTP is answered, with the limits of a listener.
    pub http: (Vec<Socket>, accept::Limits),
    /// What seals their private keys.
    pub sealer: CertificateSealer,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// Ordering, renewing and answering. It ends when it is dropped; an order that was under way is finished later, by this node
/// or another.
#[must_use = "dropping it ends it"]
pub struct Acme {
    _tasks: JoinSet<()>,
}

impl Acme {
    /// Begins at once with the names that have no certificate.
    ///
    /// # Errors
    /// When the file with more roots cannot be used.
    pub fn start(settings: Settings, around: Surroundings) -> anyhow::Result<Self> {
        let challenges = Challenges::new(around.store.clone(), Arc::clone(&around.clock));
        around.certificates.answer_challenges(challenges.clone());
        let mut tasks = JoinSet::new();
        let (sockets, limits) = around.http;
        if !sockets.is_empty() {
            let answers = Http01::new(challenges.clone(), &settings.public_url);
            // Whoever is answered here is answered in one piece, so that nothing is lost at the end.
            tasks.spawn(accept::serve(
                sockets,
                answers,
                CancellationToken::new(),
                limits,
            ));
        }
        let keeper = Keeper::new(
            settings,
            around.store,
            around.sealer,
            around.certificates,
            challenges,
            around.clock,
            around.random,
        )?;
        tasks.spawn(keeper.run());
        Ok(Self { _tasks: tasks })
    }
}
