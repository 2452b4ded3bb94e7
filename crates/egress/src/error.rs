use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why an outgoing request failed, in words that name what to look at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL cannot be asked at all.
    #[error("the URL {url} cannot be requested: {reason}")]
    Url {
        /// The URL without its query, which may hold a secret.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The address policy says no.
    #[error("{host} leads to {address}, {class}, which is not connected to")]
    AddressRefused {
        /// The host as it stood in the URL.
        host: String,
        /// The address that was refused.
        address: IpAddr,
        /// What kind of address that is.
        class: &'static str,
    },
    /// The port policy says no.
    #[error("{host} is asked at port {port}, which is not connected to; only {wanted} is")]
    PortRefused {
        /// The host as it stood in the URL.
        host: String,
        /// The port that was refused.
        port: u16,
        /// The port that would do.
        wanted: u16,
    },
    /// The name has no address.
    #[error("the name {host} cannot be resolved: {reason}")]
    Resolve {
        /// The host as it stood in the URL.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nobody answers there.
    #[error("cannot connect to {host}: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// What the operating system said.
        reason: String,
    },
    /// No TLS connection came about.
    #[error("no TLS connection with {host}: {reason}")]
    Tls {
        /// Host and port.
        host: String,
        /// What TLS said.
        reason: String,
    },
    /// Something took too long.
    #[error("{what} took longer than {} ms", .after.as_millis())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The body of the answer is larger than the caller wants.
    #[error("the answer is larger than {bytes_max} bytes")]
    BodyTooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The conversation broke off or was no HTTP.
    #[error("the HTTP exchange failed: {0}")]
    Exchange(String),
    /// The file with extra certificates cannot be used.
    #[error("ca_file {}: {reason}", .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// Whether the other side was never reached, so that a repeat does no harm.
    pub fn is_before_sending(&self) -> bool {
        match self {
            Self::Exchange(_) | Self::BodyTooLarge { .. } => false,
            Self::Timeout { what, .. } => *what == CONNECTING,
            _ => true,
        }
    }

    /// Finds the connector's own words inside what the HTTP client made of them.
    pub(crate) fn from_client(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut words = String::new();
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(ours) = error.downcast_ref::<Self>() {
                return ours.clone();
            }
            if !words.is_empty() {
                words.push_str(": ");
            }
            words.push_str(&error.to_string());
            cause = error.source();
        }
        Self::Exchange(words)
    }
}

pub(crate) const CONNECTING: &str = "connecting";
