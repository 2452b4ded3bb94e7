use anyhow::{Context as _, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{Random, Secret, base64url};
use gateway::IdentityKey;
use wire::oauth::Jwk;

/// The key with which a gateway apart from its authority signs `Portcullis-Identity`. It lives in memory and as long as the
/// process.
pub struct OwnIdentityKey {
    pub private: IdentityKey,
    pub public: Jwk,
}

impl OwnIdentityKey {
    /// A new one.
    ///
    /// # Errors
    /// When the machine makes none.
    pub fn new(random: &dyn Random) -> anyhow::Result<Self> {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .ok()
                .context("none can be made")?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
            .ok()
            .context("the new one cannot be read")?;
        let point = pair.public_key().as_ref();
        ensure!(point.len() == 65, "it is no point of P-256");
        let mut id = [0u8; 16];
        random.fill(&mut id);
        let kid = format!("{}{}", wire::gateway::IDENTITY_KEY_ID, base64url(id));
        Ok(Self {
            private: IdentityKey {
                kid: kid.clone(),
                pkcs8: Secret::new(pkcs8.as_ref().to_vec()),
            },
            public: Jwk {
                kty: "EC".to_owned(),
                kid: Some(kid),
                key_use: Some("sig".to_owned()),
                alg: Some("ES256".to_owned()),
                crv: Some("P-256".to_owned()),
                x: Some(base64url(&point[1..33])),
                y: Some(base64url(&point[33..])),
                n: None,
                e: None,
            },
        })
    }
}
