use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base::{Secret, base64url};
use domain::KeyAlgorithm;
use serde::Serialize;
use wire::oauth::Jwk;

/// NIST SP 800-57 part 1 gives 2048 bits no longer than 2030.
const RSA_KEY_SIZE: KeySize = KeySize::Rsa3072;

/// A new private key and its public half.
pub(crate) struct NewKey {
    /// What it signs with.
    pub algorithm: KeyAlgorithm,
    /// The PKCS#8 document.
    pub pkcs8: Secret<Vec<u8>>,
    /// The public half, without a `kid`.
    pub jwk: Jwk,
}

/// Makes a key. One for RS256 takes up to a second of this thread.
pub(crate) fn generate(algorithm: KeyAlgorithm) -> NewKey {
    let jwk = |kty: &str, crv: Option<&str>| Jwk {
        kty: kty.into(),
        kid: None,
        key_use: Some("sig".into()),
        alg: Some(algorithm.as_str().into()),
        crv: crv.map(Into::into),
        x: None,
        y: None,
        n: None,
        e: None,
    };
    let (document, jwk) = match algorithm {
        KeyAlgorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .expect("a P-256 key can always be made");
            let document = pair
                .to_pkcs8v1()
                .expect("a key just made can be written down");
            // An uncompressed point: 0x04, x, y.
            let point = pair.public_key().as_ref();
            let jwk = Jwk {
                x: Some(base64url(&point[1..33])),
                y: Some(base64url(&point[33..65])),
                ..jwk("EC", Some("P-256"))
            };
            (document.as_ref().to_vec(), jwk)
        }
        KeyAlgorithm::EdDsa => {
            let pair = Ed25519KeyPair::generate().expect("an Ed25519 key can always be made");
            let document = pair
                .to_pkcs8v1()
                .expect("a key just made can be written down");
            let jwk = Jwk {
                x: Some(base64url(pair.public_key())),
                ..jwk("OKP", Some("Ed25519"))
            };
            (document.as_ref().to_vec(), jwk)
        }
        KeyAlgorithm::Rs256 => {
            let pair = RsaKeyPair::generate(RSA_KEY_SIZE).expect("an RSA key can always be made");
            let document = pair.as_der().expect("a key just made can be written down");
            let public = pair.public_key();
            let jwk = Jwk {
                n: Some(base64url(
                    public.modulus().big_endian_without_leading_zero(),
                )),
                e: Some(base64url(
                    public.exponent().big_endian_without_leading_zero(),
                )),
                ..jwk("RSA", None)
            };
            (document.as_ref().to_vec(), jwk)
        }
    };
    NewKey {
        algorithm,
        pkcs8: Secret::new(document),
        jwk,
    }
}

/// A parsed private key with its JWT header already encoded: signing is all that is left to do.
pub(crate) struct Signer {
    header: String,
    pair: KeyPair,
}

enum KeyPair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl Signer {
    /// `None` when `pkcs8` holds no key for this algorithm.
    pub fn new(
        key_id: &str,
        algorithm: KeyAlgorithm,
        token_type: &str,
        pkcs8: &Secret<Vec<u8>>,
    ) -> Option<Self> {
        let document = pkcs8.expose();
        let pair = match algorithm {
            KeyAlgorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document)
                    .ok()
                    .map(KeyPair::Es256)
            }
            KeyAlgorithm::EdDsa => Ed25519KeyPair::from_pkcs8(document)
                .ok()
                .map(KeyPair::EdDsa),
            KeyAlgorithm::Rs256 => RsaKeyPair::from_pkcs8(document).ok().map(KeyPair::Rs256),
        }?;
        let header = format!(
            r#"{{"typ":"{token_type}","alg":"{}","kid":"{key_id}"}}"#,
            algorithm.as_str()
        );
        Some(Self {
            header: base64url(header),
            pair,
        })
    }

    /// A signed JWT with these claims (RFC 7515 section 3.1, compact).
    pub fn sign(&self, claims: &impl Serialize) -> String {
        let payload = serde_json::to_vec(claims).expect("claims have only plain values");
        let mut token = String::with_capacity(self.header.len() + payload.len() * 4 / 3 + 92);
        token.push_str(&self.header);
        token.push('.');
        token.push_str(&base64url(payload));
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        token.push_str(&signature);
        token
    }
}

impl KeyPair {
    /// In base64url.
    fn sign(&self, text: &[u8]) -> String {
        match self {
            Self::Es256(pair) => base64url(
                pair.sign(&SystemRandom::new(), text)
                    .expect("a parsed P-256 key signs anything"),
            ),
            Self::EdDsa(pair) => base64url(pair.sign(text)),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    text,
                    &mut signature,
                )
                .expect("a parsed RSA key signs anything into as many bytes as it has");
                base64url(signature)
            }
        }
    }
}
