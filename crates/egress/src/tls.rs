use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;

use crate::Error;

const CA_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads the extra certificates. At start, so that a wrong path is known before it is needed.
pub(crate) fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |reason: String| Error::CaFile {
        path: PathBuf::from(path),
        reason,
    };
    let length = std::fs::metadata(path)
        .map_err(|error| failed(error.to_string()))?
        .len();
    if length > CA_FILE_BYTES_MAX {
        return Err(failed(format!(
            "{length} bytes are more than the {CA_FILE_BYTES_MAX} that are read"
        )));
    }
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(format!("not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(failed("no certificate in it".into()));
    }
    Ok(certificates)
}

/// TLS 1.2 and 1.3 with what the machine trusts and, beside it, what stands in `ca_file`; for protocols other than HTTP.
///
/// # Errors
/// When the file cannot be used.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let extra_roots = match ca_file {
        Some(path) => read_ca_file(path)?,
        None => Vec::new(),
    };
    config(extra_roots).map_err(|reason| Error::CaFile {
        path: ca_file.unwrap_or(Path::new("of this machine")).to_owned(),
        reason,
    })
}

/// The same, HTTP/1.1 only: long event streams gain nothing from sharing one connection.
pub(crate) fn http_config(
    extra_roots: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, String> {
    let mut config = config(extra_roots)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn config(extra_roots: Vec<CertificateDer<'static>>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        verifier(extra_roots, Arc::clone(&provider)).map_err(|error| error.to_string())?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn verifier(
    extra_roots: Vec<CertificateDer<'static>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Verifier, rustls::Error> {
    if extra_roots.is_empty() {
        return Verifier::new(provider);
    }
    Verifier::new_with_extra_roots(extra_roots, provider)
}
