use std::path::PathBuf;
use std::time::Duration;

use crate::{AddressPolicy, Names, Ports};

/// Where a client may connect to, whom it trusts and how long it waits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which addresses may be connected to.
    pub addresses: AddressPolicy,
    /// Which ports may be connected to.
    pub ports: Ports,
    /// What turns names into addresses.
    pub names: Names,
    /// Refuse `http` URLs.
    pub https_only: bool,
    /// A PEM file with certificates that are trusted in addition to the machine's own.
    pub ca_file: Option<PathBuf>,
    /// How long resolving, connecting and the TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long until the head of an answer.
    pub head_timeout: Duration,
    /// How long a [`crate::Client::fetch`] may take from start to the last byte of the body.
    pub total_timeout: Duration,
    /// How long an unused connection is kept. Below the 5 s after which many servers close one, so that a request is
    /// rarely sent into a connection that is just ending.
    pub idle_timeout: Duration,
    /// How many unused connections are kept for one host; with 0 each request has a connection of its own.
    pub idle_connections_max: usize,
    /// The largest head of an answer that is read.
    pub head_bytes_max: usize,
}

impl Default for Settings {
    /// For addresses that a stranger may have chosen: public ones only, `https` only, short waits.
    fn default() -> Self {
        Self {
            addresses: AddressPolicy::Public,
            ports: Ports::Web,
            names: Names::default(),
            https_only: true,
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(4),
            idle_connections_max: 64,
            head_bytes_max: 64 * 1024,
        }
    }
}

impl Settings {
    /// For addresses that the operator wrote down, such as an upstream: any address, `http` too, and as long for the
    /// head of an answer as a slow tool may need.
    pub fn operator_chosen() -> Self {
        Self {
            addresses: AddressPolicy::Any,
            ports: Ports::Any,
            https_only: false,
            head_timeout: Duration::from_secs(5 * 60),
            idle_connections_max: 1024,
            head_bytes_max: 400 * 1024,
            ..Self::default()
        }
    }
}
