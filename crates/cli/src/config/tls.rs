use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Certificates, when no proxy in front speaks https.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Pairs of files. The name that a client asks for chooses among them; the first serves everybody else. They are looked at
    /// every ten seconds and at SIGHUP, and replaced without ending a connection.
    pub certificates: Vec<Certificate>,
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
