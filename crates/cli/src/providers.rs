//! The cryptography providers of this process.

use std::sync::Once;

/// Installs the process-wide cryptography providers of rustls and jsonwebtoken.
///
/// Both crates can be compiled with several providers and then panic at the first use unless one was chosen. The
/// choice is made here, first thing in `main` and in every test that starts a [`crate::Stack`].
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Each answers with an error when another part of the process was quicker; both are then installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    });
}
