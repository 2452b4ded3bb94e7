use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;

/// Connects to `http` and `https` addresses that the operator named, speaking HTTP/1.1.
pub type Connector = HttpsConnector<HttpConnector>;

/// The certificates that this machine trusts cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be prepared: {0}")]
pub struct ConnectorError(String);

/// A connector that trusts what the machine trusts and gives up after `connect_timeout`.
///
/// # Errors
/// When the machine's trusted certificates cannot be read.
pub fn https_connector(connect_timeout: Duration) -> Result<Connector, ConnectorError> {
    let failed = |error: &dyn std::fmt::Display| ConnectorError(error.to_string());
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(connect_timeout));
    http.set_nodelay(true);
    http.enforce_http(false);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_platform_verifier()
        .map_err(|error| failed(&error))?
        .with_no_client_auth();
    Ok(hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http))
}
