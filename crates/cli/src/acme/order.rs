//! From an order to a certificate, in steps that another node can go on from.

use std::time::Duration;

use base::Secret;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use store::{AcmeCertificate, AcmeOrder};

use super::failure::Failure;
use super::keeper::Keeper;
use super::renewal;
use crate::config::Challenge;
use crate::tls::Pair;

/// For how long a challenge may be answered.
const CHALLENGE_LIFE: Duration = Duration::from_secs(3600);

impl Keeper {
    /// Gets a certificate for `domain`; `replaced` is the one it has.
    pub(super) async fn obtain(
        &self,
        domain: &str,
        replaced: Option<&AcmeCertificate>,
    ) -> Result<(), Failure> {
        let account = self.account().await?;
        let (account, mut order, key) = match self.begin(&account, domain, replaced).await {
            Err(failure) if failure.has_no_account => {
                let account = self.new_account().await?;
                let (order, key) = self.begin(&account, domain, None).await?;
                (account, order, key)
            }
            begun => {
                let (order, key) = begun?;
                (account, order, key)
            }
        };
        drop(account);
        if order.state().status == OrderStatus::Pending {
            self.prove(domain, &mut order).await?;
        }
        if order.state().status == OrderStatus::Ready {
            let csr = csr(domain, &key)?;
            let finalized = order.finalize_csr(&csr).await;
            finalized.map_err(|error| self.failure(&error))?;
        }
        let chain = order.poll_certificate(&patience()).await;
        let chain = chain.map_err(|error| self.failure(&error))?;
        self.keep(domain, chain, &key).await
    }

    /// The order that goes on, with the key of its certificate, or a new one. Both are written down before anything else, so
    /// that whoever comes after us goes on with them.
    async fn begin(
        &self,
        account: &Account,
        domain: &str,
        replaced: Option<&AcmeCertificate>,
    ) -> Result<(Order, KeyPair), Failure> {
        let known = self
            .store
            .find_acme_order(domain)
            .await?
            .unwrap_or_default();
        if known.directory == self.settings.directory.as_str()
            && let (Some(url), Some(sealed)) = (&known.order_url, &known.sealed_private_key)
            && let Some(key) = self.open_key(domain, sealed)
        {
            match account.order(url.clone()).await {
                Ok(mut order) => {
                    if order.state().status != OrderStatus::Invalid {
                        tracing::info!(
                            tls.domain = domain,
                            "an order goes on that was begun before"
                        );
                        return Ok((order, key));
                    }
                }
                Err(error) => {
                    tracing::debug!(tls.domain = domain, %error, "an order that was begun before is gone");
                }
            }
        }
        let identifiers = [Identifier::Dns(domain.to_owned())];
        let order = self.new_order(account, &identifiers, replaced).await?;
        let key = KeyPair::generate().map_err(|error| key_failure(&error))?;
        let pem = Secret::new(key.serialize_pem().into_bytes());
        let progress = AcmeOrder {
            directory: self.settings.directory.as_str().to_owned(),
            order_url: Some(order.url().to_owned()),
            sealed_private_key: Some(self.sealer.seal(&*self.random, &bound_to(domain), &pem)),
            ..known
        };
        self.store.put_acme_order(domain, progress).await?;
        Ok((order, key))
    }

    /// Says which certificate it replaces, where the ACME server takes that (RFC 9773 section 5).
    async fn new_order(
        &self,
        account: &Account,
        identifiers: &[Identifier],
        replaced: Option<&AcmeCertificate>,
    ) -> Result<Order, Failure> {
        let pair = replaced.and_then(|certificate| self.pair(certificate).ok());
        let certificate = pair
            .as_ref()
            .and_then(|pair| pair.certified_key.cert.first());
        if let Some(id) = certificate.and_then(|der| CertificateIdentifier::try_from(der).ok()) {
            match account
                .new_order(&NewOrder::new(identifiers).replaces(id))
                .await
            {
                Ok(order) => return Ok(order),
                Err(instant_acme::Error::Api(problem))
                    if Failure::of_problem(&problem, self.settings.challenge).is_limited =>
                {
                    return Err(Failure::of_problem(&problem, self.settings.challenge));
                }
                Err(error) => {
                    tracing::debug!(%error, "the ACME server does not take what the order replaces");
                }
            }
        }
        let ordered = account.new_order(&NewOrder::new(identifiers)).await;
        ordered.map_err(|error| self.failure(&error))
    }

    /// Has the name proven, and waits until the ACME server believes it.
    async fn prove(&self, domain: &str, order: &mut Order) -> Result<(), Failure> {
        let kind = match self.settings.challenge {
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Challenge::Http01 => ChallengeType::Http01,
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.failure(&error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let mut challenge = authorization.challenge(kind.clone()).ok_or_else(|| {
                Failure::new(
                    format!(
                        "the ACME server offers no {}",
                        self.settings.challenge.as_str()
                    ),
                    "choose the other tls.acme.challenge",
                )
            })?;
            let proof = challenge.key_authorization();
            let until = self.clock.now().after(CHALLENGE_LIFE);
            self.store
                .put_acme_challenge(domain, &challenge.token, proof.as_str(), until)
                .await?;
            let set = challenge.set_ready().await;
            set.map_err(|error| self.failure(&error))?;
        }
        let proven = order.poll_ready(&patience()).await;
        if proven
            .as_ref()
            .is_ok_and(|status| *status == OrderStatus::Ready)
        {
            return Ok(());
        }
        // The challenge says more than the order does.
        if let Some(failure) = self.refused(order).await {
            return Err(failure);
        }
        match proven {
            Ok(_) => Err(Failure::new(
                "the ACME server does not believe that the name is ours, and does not say why",
                "ask its name from outside",
            )),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// Why a name was not believed to be ours.
    async fn refused(&self, order: &mut Order) -> Option<Failure> {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let state = authorization.refresh().await.ok()?;
            let problem = state.challenges.iter().find_map(|one| one.error.as_ref());
            if let Some(problem) = problem {
                return Some(Failure::of_problem(problem, self.settings.challenge));
            }
        }
        None
    }

    /// Keeps the certificate, when it is one for `domain`.
    async fn keep(&self, domain: &str, chain: String, key: &KeyPair) -> Result<(), Failure> {
        let unusable = |reason: String| {
            let mut failure = Failure::new(
                format!("the ACME server issued a certificate that cannot be used: {reason}"),
                "another is ordered; tell whoever runs the ACME server",
            );
            failure.ends_order = true;
            failure
        };
        let pem = Secret::new(key.serialize_pem().into_bytes());
        let pair = Pair::from_pem(chain.as_bytes(), &pem).map_err(unusable)?;
        if !pair
            .names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(domain))
        {
            return Err(unusable("it is for other names".to_owned()));
        }
        let now = self.clock.now();
        let certificate = AcmeCertificate {
            domain: domain.to_owned(),
            directory: self.settings.directory.as_str().to_owned(),
            chain,
            sealed_private_key: self.sealer.seal(&*self.random, &bound_to(domain), &pem),
            issued_at: now,
            renew_at: renewal::at_two_thirds(pair.not_before, pair.not_after, now),
            // At once: the ACME server may want something else.
            ask_at: now,
        };
        self.store.put_acme_certificate(certificate).await?;
        Ok(())
    }

    /// The certificate of the store with its key.
    pub(super) fn pair(&self, certificate: &AcmeCertificate) -> Result<Pair, String> {
        let bound_to = bound_to(&certificate.domain);
        let key = self
            .sealer
            .open(&bound_to, &certificate.sealed_private_key)
            .ok_or("its private key was sealed with another master key")?;
        Pair::from_pem(certificate.chain.as_bytes(), &key)
    }

    fn open_key(&self, domain: &str, sealed: &str) -> Option<KeyPair> {
        let pem = self.sealer.open(&bound_to(domain), sealed)?;
        KeyPair::from_pem(std::str::from_utf8(pem.expose()).ok()?).ok()
    }

    fn failure(&self, error: &instant_acme::Error) -> Failure {
        Failure::of(error, self.settings.challenge)
    }
}

/// A private key opens for its own name alone.
fn bound_to(domain: &str) -> String {
    format!("acme certificate {domain}")
}

/// What the ACME server signs: the name and the public key, nothing else.
fn csr(domain: &str, key: &KeyPair) -> Result<Vec<u8>, Failure> {
    let made = CertificateParams::new(vec![domain.to_owned()]).and_then(|mut params| {
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(key)
    });
    let made = made.map_err(|error| key_failure(&error))?;
    Ok(made.der().to_vec())
}

fn key_failure(error: &rcgen::Error) -> Failure {
    Failure::new(
        format!("no key or request could be made: {error}"),
        "tell us: this is a bug",
    )
}

fn patience() -> RetryPolicy {
    RetryPolicy::new()
        .initial_delay(Duration::from_millis(250))
        .backoff(1.5)
        .timeout(Duration::from_secs(90))
}
