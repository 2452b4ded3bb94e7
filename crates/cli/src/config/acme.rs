use std::net::SocketAddr;
use std::path::PathBuf;

use base::{Secret, base64url_decode};
use url::{Host, Url};

use super::Config;
use super::tls::{Acme, Challenge};
use super::valid::{Checks, read_secret};
use crate::public_url::PublicUrl;

/// As many as one `list_acme_certificates` reads, and far more than a rate limit lets through.
const DOMAINS_MAX: usize = 1000;

/// Where certificates are ordered, and how: `[tls.acme]` that fits together.
#[derive(Debug, Clone)]
pub struct AcmePlace {
    /// The ACME server's directory.
    pub directory: Url,
    /// Whom it may write to.
    pub contact: Vec<String>,
    /// The names; without any, those of the public URL and of the MCP servers.
    pub domains: Vec<String>,
    /// How a name is proven.
    pub challenge: Challenge,
    /// Where plain HTTP is answered.
    pub http_listen: Vec<SocketAddr>,
    /// More roots to trust.
    pub ca_file: Option<PathBuf>,
    /// An account from elsewhere: its key identifier and its MAC key.
    pub external_account: Option<(String, Secret<Vec<u8>>)>,
}

impl Checks<'_> {
    pub(super) fn acme(
        &mut self,
        config: &Config,
        public_url: &PublicUrl,
        public: &[SocketAddr],
    ) -> Option<AcmePlace> {
        let acme = config.tls.acme.as_ref()?;
        if !acme.terms_agreed {
            self.problem(
                "tls.acme.terms_agreed",
                format!(
                    "is not true; read the terms of the ACME server at {} and say terms_agreed = true",
                    acme.directory
                ),
            );
        }
        for contact in &acme.contact {
            if !contact.starts_with("mailto:") || !contact.contains('@') {
                self.problem(
                    "tls.acme.contact",
                    format!("{contact:?} is no address of mail; write mailto:ops@example.com"),
                );
            }
        }
        let domains = self.acme_domains(acme, public_url);
        let http_listen = self.acme_listeners(acme, config, public);
        Some(AcmePlace {
            directory: acme.directory.0.clone(),
            contact: acme.contact.clone(),
            domains,
            challenge: acme.challenge,
            http_listen,
            ca_file: acme.ca_file.clone(),
            external_account: self.external_account(acme),
        })
    }

    fn acme_domains(&mut self, acme: &Acme, public_url: &PublicUrl) -> Vec<String> {
        let mut domains = Vec::with_capacity(acme.domains.len());
        for name in &acme.domains {
            match Host::parse(name) {
                Ok(Host::Domain(domain)) if is_name(&domain) => {
                    if !domains.contains(&domain) {
                        domains.push(domain);
                    }
                }
                _ => self.problem(
                    "tls.acme.domains",
                    format!("{name:?} is no name of a host; write mcp.example.com, without a wildcard or a port"),
                ),
            }
        }
        if domains.len() > DOMAINS_MAX {
            self.problem(
                "tls.acme.domains",
                format!("has more than {DOMAINS_MAX} names"),
            );
        }
        if acme.domains.is_empty() && domain_of(public_url.as_str()).is_none() {
            self.problem(
                "tls.acme.domains",
                format!("is empty, and the host of public_url {public_url} is an address; name at least one host"),
            );
        }
        domains
    }

    fn acme_listeners(
        &mut self,
        acme: &Acme,
        config: &Config,
        public: &[SocketAddr],
    ) -> Vec<SocketAddr> {
        let listen: Vec<SocketAddr> = acme.http_listen.iter().map(|one| one.0).collect();
        let others = || {
            let named = config.admin.listen.iter().chain(&config.operations.listen);
            public.iter().copied().chain(named.map(|one| one.0))
        };
        for address in listen.iter().filter(|address| address.port() != 0) {
            if others().any(|other| other == *address) {
                self.problem(
                    "tls.acme.http_listen",
                    format!("{address} is for something else too; choose another port"),
                );
            }
        }
        match acme.challenge {
            Challenge::Http01 if listen.is_empty() => self.problem(
                "tls.acme.http_listen",
                "is empty, and http-01 needs it; write http_listen = [\"[::]:80\"]",
            ),
            Challenge::Http01 if listen.iter().all(|address| address.port() != 80) => {
                self.warnings.push(
                    "tls.acme.http_listen has no port 80, which is the one that the ACME server asks: something must pass it on"
                        .to_owned(),
                );
            }
            Challenge::TlsAlpn01 if public.iter().all(|address| address.port() != 443) => {
                self.warnings.push(
                    "listen.addresses has no port 443, which is the one that the ACME server connects to for tls-alpn-01: something must \
                     pass its TCP on"
                        .to_owned(),
                );
            }
            _ => {}
        }
        listen
    }

    fn external_account(&mut self, acme: &Acme) -> Option<(String, Secret<Vec<u8>>)> {
        let account = acme.external_account.as_ref()?;
        let path = "tls.acme.external_account.hmac_key_file";
        match read_secret(&account.hmac_key_file) {
            Ok(text) => match base64url_decode(text.expose().trim_end_matches('=')) {
                Some(key) => return Some((account.key_id.clone(), Secret::new(key))),
                None => self.problem(
                    path,
                    format!("{} holds no base64url", account.hmac_key_file.display()),
                ),
            },
            Err(problem) => self.problem(path, problem),
        }
        None
    }
}

/// The host of a URL, when it is a name that a certificate can be ordered for.
pub fn domain_of(url: &str) -> Option<String> {
    match Url::parse(url).ok()?.host()? {
        Host::Domain(domain) if is_name(domain) => Some(domain.to_owned()),
        _ => None,
    }
}

fn is_name(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    domain.len() <= 253 && domain.split('.').all(is_label)
}
