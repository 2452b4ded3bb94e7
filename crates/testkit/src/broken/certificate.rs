//! Certificates that clients trust, and those that they do not.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::breaks::Certificate;

/// The authority to trust, if it is to be, and a TLS end with a certificate of it.
pub(super) fn of(kind: Certificate) -> (Option<String>, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key can be made");
    let ca = CertifiedIssuer::self_signed(params, key).expect("a certificate can be made");
    let names = match kind {
        Certificate::OtherName => vec!["elsewhere.example".to_owned()],
        _ => vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
    };
    let mut params = CertificateParams::new(names).expect("these are names");
    if kind == Certificate::Expired {
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2025, 1, 1);
    }
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = params
        .signed_by(&key, &ca)
        .expect("a certificate can be signed");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("key and certificate belong together");
    let ca_pem = (kind != Certificate::Untrusted).then(|| ca.pem());
    (ca_pem, TlsAcceptor::from(Arc::new(config)))
}
