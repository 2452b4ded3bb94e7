use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{HttpsUrl, ListenAddress};

/// Certificates, when no proxy in front speaks https.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Pairs of files. The name that a client asks for chooses among them; the first serves everybody else. They are looked at
    /// every ten seconds and at SIGHUP, and replaced without ending a connection.
    pub certificates: Vec<Certificate>,
    /// Certificates that are ordered from an ACME server (RFC 8555), such as Let's Encrypt, and renewed in time.
    pub acme: Option<Acme>,
}

impl Tls {
    /// Whether there are certificates, now or soon.
    pub fn speaks_https(&self) -> bool {
        !self.certificates.is_empty() || self.acme.is_some()
    }
}

/// Certificates that are ordered from an ACME server (RFC 8555), such as Let's Encrypt, and renewed in time.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Acme {
    /// Where the ACME server says what it offers. Let's Encrypt has another for trials, whose limits are wide and whose certificates
    /// no client trusts: `https://acme-staging-v02.api.letsencrypt.org/directory`.
    pub directory: HttpsUrl,
    /// Whether you agree to the terms of that ACME server; nothing is ordered before.
    pub terms_agreed: bool,
    /// Whom the ACME server may write to, such as `mailto:ops@example.com`.
    pub contact: Vec<String>,
    /// The names to order for, each a certificate of its own, so that one that cannot be proven holds up no other. Without it: the host of
    /// `public_url` and the hosts of the MCP servers' own URLs.
    pub domains: Vec<String>,
    /// How a name is proven.
    pub challenge: Challenge,
    /// Addresses with ports for `http-01`: the ACME server asks port 80 of each name. All else there is sent on to https.
    pub http_listen: Vec<ListenAddress>,
    /// A PEM file with certificates to trust beside the machine's own, for an ACME server within a company.
    pub ca_file: Option<PathBuf>,
    /// An account that you have at the ACME server already, where it wants one (external account binding).
    pub external_account: Option<ExternalAccount>,
}

/// How a name is proven to be ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Challenge {
    /// By a TLS handshake at port 443 of the name (RFC 8737). Whatever stands in front must pass TCP on as it is.
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a document at port 80 of the name (RFC 8555 section 8.3).
    #[serde(rename = "http-01")]
    Http01,
}

impl Challenge {
    /// Its word in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// An account that you have at the ACME server already (RFC 8555 section 7.3.4).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// Its key identifier.
    pub key_id: String,
    /// A file with its MAC key in base64url, as the ACME server gave it.
    pub hmac_key_file: PathBuf,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The certificate, followed by those between it and its root.
    pub certificate_file: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key_file: PathBuf,
}
