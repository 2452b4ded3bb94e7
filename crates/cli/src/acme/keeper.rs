//! Looks after the certificates: shows those in the store, and gets new ones when it is this node's turn.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Random, Timestamp, random_token};
use instant_acme::CertificateIdentifier;
use oauth::CertificateSealer;
use store::{AcmeCertificate, AcmeOrder, Store, StoreError};

use super::failure::Failure;
use super::transport::Transport;
use super::{Challenges, Settings, metric, renewal};
use crate::config::domain_of;
use crate::tls::Certificates;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The chore that one node does at a time.
const LEASE: &str = "acme";
/// How long another node waits for one that has ended without a word.
pub(super) const LEASE_LIFE: Duration = Duration::from_secs(60);
const LEASE_HELD_EVERY: Duration = Duration::from_secs(15);
/// From an order to its certificate.
const ORDER_MAX: Duration = Duration::from_secs(5 * 60);
/// How often an ACME server is asked when it wants a certificate renewed; it says itself, within these.
const ASK_SOONEST: Duration = Duration::from_secs(3600);
const ASK_LATEST: Duration = Duration::from_secs(24 * 3600);

/// See [`super::Acme`].
pub(super) struct Keeper {
    pub(super) settings: Settings,
    pub(super) store: Store,
    pub(super) sealer: CertificateSealer,
    pub(super) transport: Transport,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    certificates: Arc<Certificates>,
    challenges: Challenges,
    holder: String,
    started_at: Timestamp,
}

/// What was last read.
#[derive(Default)]
struct Seen {
    counter: Option<i64>,
    domains: Vec<String>,
    certificates: Vec<AcmeCertificate>,
    /// That the store cannot be read was told.
    is_told: bool,
}

/// What is to be done for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Order,
    Ask,
}

impl Keeper {
    pub(super) fn new(
        settings: Settings,
        store: Store,
        sealer: CertificateSealer,
        certificates: Arc<Certificates>,
        challenges: Challenges,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, egress::Error> {
        Ok(Self {
            transport: Transport::new(settings.ca_file.as_deref())?,
            holder: random_token(&*random, "node_"),
            started_at: clock.now(),
            settings,
            store,
            sealer,
            certificates,
            challenges,
            clock,
            random,
        })
    }

    /// Goes on until it is dropped.
    pub(super) async fn run(self) {
        let mut seen = Seen::default();
        loop {
            match self.turn(&mut seen).await {
                Ok(()) => seen.is_told = false,
                Err(error) => {
                    if !std::mem::replace(&mut seen.is_told, true) {
                        tracing::warn!(%error, "certificates cannot be looked after; those in use stay");
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn turn(&self, seen: &mut Seen) -> Result<(), StoreError> {
        let counter = self.store.change_counter().await?;
        if seen.counter != Some(counter) {
            self.read(seen).await?;
            seen.counter = Some(counter);
        }
        let mut due = Vec::new();
        for domain in &seen.domains {
            let now = self.clock.now();
            let certificate = seen.certificate(domain);
            if let Some(what) = self.due(certificate, now)
                && (what == Due::Ask || self.may_order(domain, now).await?)
            {
                due.push((domain.clone(), what));
            }
        }
        if due.is_empty() || !self.hold().await? {
            return Ok(());
        }
        for (domain, what) in due {
            // Another node may have been quicker.
            let certificates = self.store.list_acme_certificates().await?;
            let certificate = certificates.iter().find(|one| one.domain == domain);
            let now = self.clock.now();
            match self.due(certificate, now) {
                Some(Due::Order) if what == Due::Order && self.may_order(&domain, now).await? => {
                    let is_ours = self.order(&domain, certificate).await?;
                    if !is_ours {
                        return Ok(());
                    }
                }
                Some(Due::Ask) => {
                    if let Some(certificate) = certificate {
                        self.ask(certificate).await?;
                    }
                }
                _ => {}
            }
        }
        self.store.give_lease_back(LEASE, &self.holder).await
    }

    fn due(&self, certificate: Option<&AcmeCertificate>, now: Timestamp) -> Option<Due> {
        let Some(certificate) = certificate else {
            return Some(Due::Order);
        };
        if self.is_to_be_replaced(certificate)
            || certificate.renew_at <= now
            || self.pair(certificate).is_err()
        {
            return Some(Due::Order);
        }
        renewal::has_come(certificate.ask_at, ASK_LATEST, now).then_some(Due::Ask)
    }

    /// A certificate of another ACME server is from before the setting was changed. One that came while we run is from a
    /// node with another setting, and replacing each other's would have no end.
    fn is_to_be_replaced(&self, certificate: &AcmeCertificate) -> bool {
        self.is_of_another(certificate) && certificate.issued_at < self.started_at
    }

    fn is_of_another(&self, certificate: &AcmeCertificate) -> bool {
        certificate.directory != self.settings.directory.as_str()
    }

    async fn may_order(&self, domain: &str, now: Timestamp) -> Result<bool, StoreError> {
        let order = self.store.find_acme_order(domain).await?;
        Ok(order.is_none_or(|order| {
            // What another ACME server refused says nothing about this one.
            renewal::has_come(order.next_try_at, renewal::PAUSE_MAX, now)
                || order.directory != self.settings.directory.as_str()
        }))
    }

    async fn hold(&self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        self.store
            .take_lease(LEASE, &self.holder, now, now.after(LEASE_LIFE))
            .await
    }

    /// Comes back when the chore is another's.
    async fn go_on_holding(&self) {
        loop {
            tokio::time::sleep(LEASE_HELD_EVERY).await;
            if let Ok(false) = self.hold().await {
                return;
            }
        }
    }

    /// Orders; false when the chore became another's meanwhile.
    async fn order(
        &self,
        domain: &str,
        replaced: Option<&AcmeCertificate>,
    ) -> Result<bool, StoreError> {
        let obtaining = tokio::time::timeout(ORDER_MAX, self.obtain(domain, replaced));
        let obtained = tokio::select! {
            obtained = obtaining => obtained,
            () = self.go_on_holding() => return Ok(false),
        };
        let failure = match obtained {
            Ok(Ok(())) => {
                metric::ordered(true);
                return Ok(true);
            }
            Ok(Err(failure)) => failure,
            Err(_) => Failure::new(
                "the ACME server did not come to an end in time",
                "it is tried again; see its status page",
            ),
        };
        metric::ordered(false);
        let known = self.store.find_acme_order(domain).await?;
        let known = known.unwrap_or_default();
        let is_same = known.directory == self.settings.directory.as_str();
        let failures = if is_same { known.failures + 1 } else { 1 };
        let pause = match failure.is_limited {
            true => renewal::pause_when_limited(failures, &*self.random),
            false => renewal::pause(failures, &*self.random),
        };
        // Its order may be usable still, and is looked at again.
        let mut order = AcmeOrder {
            directory: self.settings.directory.as_str().to_owned(),
            failures,
            next_try_at: self.clock.now().after(pause),
            ..known
        };
        if failure.ends_order {
            order.order_url = None;
            order.sealed_private_key = None;
        }
        self.store.put_acme_order(domain, order).await?;
        tracing::error!(
            tls.domain = domain,
            acme.directory = %self.settings.directory,
            reason = failure.reason,
            fix = failure.fix,
            acme.failures = failures,
            acme.next_try_seconds = pause.as_secs(),
            "no certificate was issued; what is in use stays"
        );
        Ok(true)
    }

    /// Asks when the ACME server wants the certificate renewed (RFC 9773); many do not say.
    async fn ask(&self, certificate: &AcmeCertificate) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (renew_at, again) = match self.suggested(certificate).await {
            Ok((renew_at, again)) => (renew_at, again.clamp(ASK_SOONEST, ASK_LATEST)),
            Err(reason) => {
                tracing::debug!(
                    tls.domain = certificate.domain,
                    reason,
                    "the ACME server does not say when to renew; it is at two thirds of the certificate's life"
                );
                (certificate.renew_at, ASK_LATEST)
            }
        };
        self.store
            .put_acme_renewal(&certificate.domain, renew_at, now.after(again))
            .await
    }

    async fn suggested(
        &self,
        certificate: &AcmeCertificate,
    ) -> Result<(Timestamp, Duration), String> {
        let pair = self.pair(certificate)?;
        let der = pair.certified_key.cert.first().ok_or("it is empty")?;
        let id = CertificateIdentifier::try_from(der)?;
        let account = self.account().await.map_err(|failure| failure.reason)?;
        let asked = account.renewal_info(&id).await;
        let (info, again) = asked.map_err(|error| error.to_string())?;
        let window = info.suggested_window;
        let [start, end] = [window.start, window.end]
            .map(|time| Timestamp::from_unix_seconds(time.unix_timestamp()));
        // The moment that was drawn stays while it lies in the window, so that asking again does not move it about.
        let renew_at = match (start..=end).contains(&certificate.renew_at) {
            true => certificate.renew_at,
            false => renewal::within(start, end, certificate.issued_at, &*self.random),
        };
        Ok((renew_at, again))
    }

    /// Reads which names are ours and what there is for them, and shows it.
    async fn read(&self, seen: &mut Seen) -> Result<(), StoreError> {
        seen.domains = self.domains().await?;
        self.challenges.set_domains(seen.domains.clone());
        let before = std::mem::take(&mut seen.certificates);
        seen.certificates = self.store.list_acme_certificates().await?;
        let mut shown = Vec::new();
        for domain in &seen.domains {
            let Some(certificate) = seen.certificates.iter().find(|one| one.domain == *domain)
            else {
                continue;
            };
            let is_new = !before
                .iter()
                .any(|one| one.domain == certificate.domain && one.chain == certificate.chain);
            match self.pair(certificate) {
                Ok(pair) => {
                    if is_new
                        && self.is_of_another(certificate)
                        && !self.is_to_be_replaced(certificate)
                    {
                        tracing::error!(
                            tls.domain = domain,
                            acme.directory = certificate.directory,
                            "a node with another tls.acme.directory got this certificate; give all nodes the same setting"
                        );
                    }
                    if is_new {
                        tracing::info!(
                            certificate.names = pair.names.join(" "),
                            certificate.not_after = pair.not_after_text(),
                            "a certificate is in use from now on"
                        );
                    }
                    shown.push(Arc::new(pair));
                }
                Err(reason) => tracing::error!(
                    tls.domain = domain,
                    reason,
                    "a certificate in the database cannot be used; another is ordered"
                ),
            }
        }
        let same = before.len() == seen.certificates.len()
            && before
                .iter()
                .all(|one| seen.certificates.iter().any(|now| now.chain == one.chain));
        // TLS is set up anew only for what changed: sessions of before are not resumed then.
        if (!same || seen.counter.is_none())
            && let Err(error) = self.certificates.show_issued(shown)
        {
            tracing::error!(%error, "certificates cannot be shown");
        }
        Ok(())
    }

    /// The names to order for: those that were said, or where people go.
    async fn domains(&self) -> Result<Vec<String>, StoreError> {
        let mut domains: BTreeSet<String> = self.settings.domains.iter().cloned().collect();
        let mut first = None;
        if domains.is_empty() {
            first = domain_of(&self.settings.public_url);
            let servers = self.store.list_servers_apart().await?.all();
            let now = self.clock.now();
            // Other addresses too, proven or not: the proof itself comes over https.
            let urls = servers.iter().flat_map(|server| {
                let others = server.other_addresses.aliases.iter();
                let others = others.filter(|alias| !alias.has_ended(now));
                std::iter::once(server.resource.as_str())
                    .chain(others.map(|alias| alias.url.as_str()))
            });
            domains.extend(
                urls.filter(|url| url.starts_with("https:"))
                    .filter_map(domain_of),
            );
        }
        // Whoever asks for no name is shown the first.
        let mut ordered: Vec<String> = first.iter().cloned().collect();
        ordered.extend(
            domains
                .into_iter()
                .filter(|domain| Some(domain) != first.as_ref()),
        );
        Ok(ordered)
    }
}

impl Seen {
    fn certificate(&self, domain: &str) -> Option<&AcmeCertificate> {
        self.certificates.iter().find(|one| one.domain == domain)
    }
}
