use base::Timestamp;

use crate::KeyId;

/// A signing key as it is kept: the private part sealed under a key from outside the database.
#[derive(Debug, Clone)]
pub struct SigningKeyRecord {
    /// The `kid`.
    pub id: KeyId,
    /// What it signs.
    pub purpose: KeyPurpose,
    /// How.
    pub algorithm: KeyAlgorithm,
    /// The PKCS#8 document, sealed, in base64url.
    pub sealed_private_key: String,
    /// The public JWK, as JSON.
    pub public_jwk: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stopped signing; it verifies until the last token under it has ended.
    pub retired_at: Option<Timestamp>,
}

/// What a key signs. Keys never serve two purposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPurpose {
    /// Access tokens, for clients.
    AccessToken,
    /// `Portcullis-Identity`, for upstreams.
    Identity,
}

impl KeyPurpose {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access-token",
            Self::Identity => "identity",
        }
    }

    /// Reads [`KeyPurpose::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::AccessToken, Self::Identity]
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
    }
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 with SHA-256; the default.
    Es256,
}

impl KeyAlgorithm {
    /// The JOSE name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
        }
    }

    /// Reads [`KeyAlgorithm::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Es256]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
    }
}
