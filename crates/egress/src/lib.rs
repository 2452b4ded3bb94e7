//! Outgoing HTTP, with the address policy in the connector.
//!
//! The one place from which the house opens connections to addresses that somebody else may have chosen. The check
//! stands where the socket is opened: it sees literals and every resolved address, after spellings such as
//! `::ffff:127.0.0.1` or `0x7f.1` have become what they mean, and the connection goes to an address that was checked.
//! Redirects are never followed and proxies of the environment are ignored, since both would lead around the check.

mod address;
mod client;
mod connector;
mod error;
mod fetcher;
mod lookup;
mod names;
mod ports;
mod settings;
mod tls;

pub use address::{AddressClass, AddressPolicy, classify};
pub use client::{Body, BoxError, Client};
pub use connector::{Connection, Connector, connect_to_first};
pub use error::Error;
pub use fetcher::{FetchError, Fetched, Fetcher, FetcherSettings, Get};
pub use names::Names;
pub use ports::Ports;
pub use settings::Settings;
pub use tls::client_config;

/// What went wrong when a connector was made.
pub type ConnectorError = Error;

/// A connector for `http` and `https` addresses that the operator named, wherever they point; it trusts what the
/// machine trusts and gives up after `connect_timeout`. For callers that keep a connection pool of their own.
///
/// # Errors
/// Never at present; reading the machine's certificates waits for the first `https` connection.
pub fn https_connector(connect_timeout: std::time::Duration) -> Result<Connector, ConnectorError> {
    Connector::new(&Settings {
        connect_timeout,
        ..Settings::operator_chosen()
    })
}
