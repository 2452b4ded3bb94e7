use base::Timestamp;

use crate::KeyId;

/// A signing key as it is kept: the private part sealed under a key from outside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// When it was made. It is in the JWK Set from then on.
    pub created_at: Timestamp,
    /// When it begins to sign: later than it is published, so that everybody has read it by then. The newest of the
    /// keys whose moment has come is the one that signs.
    pub signs_from: Timestamp,
    /// The longest life of any token it has signed, in seconds. It only ever grows.
    pub token_seconds_max: u64,
    /// When it was withdrawn: out of the JWK Set, and whatever it signed refused from then on.
    pub withdrawn_at: Option<Timestamp>,
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
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for verifiers that know nothing newer.
    Rs256,
}

impl KeyAlgorithm {
    /// The JOSE name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// Reads [`KeyAlgorithm::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Es256, Self::EdDsa, Self::Rs256]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
    }
}
