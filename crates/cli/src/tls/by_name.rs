use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;

/// Chooses the certificate by the name that the client asks for.
#[derive(Debug)]
pub(super) struct ByName(pub Vec<Arc<Pair>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| {
            let name = ServerName::try_from(name).ok()?;
            self.0.iter().find(|pair| is_for(pair, &name))
        });
        named
            .or_else(|| self.0.first())
            .map(|pair| Arc::clone(&pair.certified_key))
    }
}

/// By the alternative names alone, wildcards included, as clients do it.
fn is_for(pair: &Pair, name: &ServerName<'_>) -> bool {
    pair.certified_key
        .end_entity_cert()
        .and_then(ParsedCertificate::try_from)
        .and_then(|certificate| verify_server_name(&certificate, name))
        .is_ok()
}
