use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use base::{Random, Secret, base64url, base64url_decode};
use bytes::Bytes;
use domain::{KeyAlgorithm, KeyId, KeyPurpose, SigningKeyRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::oauth::{Jwk, JwkSet};

use crate::master_key::Subkeys;
use crate::seal;

/// The signing keys of an authority, parsed and ready: what signs now, and everything that still verifies.
pub(crate) struct SigningKeys {
    /// Signs access tokens.
    pub access: Signer,
    /// Public keys of access tokens.
    pub access_jwks: JwkSet,
    /// The same as a document.
    pub access_jwks_json: Bytes,
    /// Signs `Portcullis-Identity`; the gateway holds it.
    pub identity: IdentityKey,
    /// Public keys of `Portcullis-Identity`, as a document.
    pub identity_jwks_json: Bytes,
}

/// The key that signs `Portcullis-Identity`, as the gateway takes it.
#[derive(Debug, Clone)]
pub struct IdentityKey {
    /// The `kid`.
    pub key_id: String,
    /// The PKCS#8 document.
    pub pkcs8: Secret<Vec<u8>>,
}

/// Why the stored signing keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// Sealed under another master key, or changed.
    #[error(
        "signing key {0} does not open with this master key: the data directory's keys/master.key is not the one this \
         database was made with"
    )]
    Sealed(KeyId),
    /// Opened, but no P-256 key.
    #[error("signing key {0} is not a P-256 private key")]
    Malformed(KeyId),
    /// None that signs.
    #[error("there is no active signing key for {0}")]
    Missing(&'static str),
}

impl SigningKeys {
    /// Opens `records`. Of several active keys of one purpose, the oldest signs, so that nodes that made keys at the
    /// same moment agree.
    pub fn open(
        subkeys: &Subkeys,
        records: &[SigningKeyRecord],
    ) -> Result<Arc<Self>, SigningKeyError> {
        let active = |purpose: KeyPurpose| {
            records
                .iter()
                .filter(|record| record.purpose == purpose && record.retired_at.is_none())
                .min_by_key(|record| (record.created_at, record.id.clone()))
                .ok_or(SigningKeyError::Missing(purpose.as_str()))
        };
        let access_record = active(KeyPurpose::AccessToken)?;
        let identity_record = active(KeyPurpose::Identity)?;
        let access = Signer::new(
            &access_record.id,
            "at+jwt",
            &unseal(subkeys, access_record)?,
        )?;
        let access_jwks = public_keys(records, KeyPurpose::AccessToken)?;
        let identity_jwks = public_keys(records, KeyPurpose::Identity)?;
        Ok(Arc::new(Self {
            access,
            access_jwks_json: document(&access_jwks),
            access_jwks,
            identity: IdentityKey {
                key_id: identity_record.id.as_str().to_owned(),
                pkcs8: unseal(subkeys, identity_record)?,
            },
            identity_jwks_json: document(&identity_jwks),
        }))
    }

    /// The claims of an access token that one of our keys signed. Nothing else is checked: not its time, not its
    /// audience. Only for revoking it.
    pub fn read_own<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: OwnHeader = serde_json::from_slice(&base64url_decode(header)?).ok()?;
        if header.alg != KeyAlgorithm::Es256.as_str() || header.typ != "at+jwt" {
            return None;
        }
        let key = self
            .access_jwks
            .keys
            .iter()
            .find(|key| key.kid.as_deref() == Some(&header.kid))?;
        let mut point = vec![4];
        point.extend(base64url_decode(key.x.as_deref()?)?);
        point.extend(base64url_decode(key.y.as_deref()?)?);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &base64url_decode(signature)?)
            .ok()?;
        serde_json::from_slice(&base64url_decode(payload)?).ok()
    }
}

#[derive(serde::Deserialize)]
struct OwnHeader {
    typ: String,
    alg: String,
    kid: String,
}

fn unseal(
    subkeys: &Subkeys,
    record: &SigningKeyRecord,
) -> Result<Secret<Vec<u8>>, SigningKeyError> {
    seal::open(
        &subkeys.seal_signing_key,
        &binding(&record.id, record.purpose),
        &record.sealed_private_key,
    )
    .map(Secret::new)
    .ok_or_else(|| SigningKeyError::Sealed(record.id.clone()))
}

/// A sealed key opens only in its own row and for its own purpose.
fn binding(id: &KeyId, purpose: KeyPurpose) -> Vec<u8> {
    format!("{} {}", purpose.as_str(), id.as_str()).into_bytes()
}

fn public_keys(
    records: &[SigningKeyRecord],
    purpose: KeyPurpose,
) -> Result<JwkSet, SigningKeyError> {
    let keys = records
        .iter()
        .filter(|record| record.purpose == purpose)
        .map(|record| {
            serde_json::from_str(&record.public_jwk)
                .map_err(|_| SigningKeyError::Malformed(record.id.clone()))
        })
        .collect::<Result<_, _>>()?;
    Ok(JwkSet { keys })
}

fn document(keys: &JwkSet) -> Bytes {
    serde_json::to_vec(keys)
        .expect("a key set has only strings")
        .into()
}

/// Makes a new ES256 key, its private part sealed.
pub(crate) fn generate(
    subkeys: &Subkeys,
    random: &dyn Random,
    purpose: KeyPurpose,
    now: base::Timestamp,
) -> SigningKeyRecord {
    let id = KeyId::random(random);
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
        .expect("a P-256 key can always be made");
    let document = pair
        .to_pkcs8v1()
        .expect("a key just made can be written down");
    let point = pair.public_key().as_ref();
    let jwk = Jwk {
        kty: "EC".into(),
        kid: Some(id.as_str().to_owned()),
        key_use: Some("sig".into()),
        alg: Some(KeyAlgorithm::Es256.as_str().into()),
        crv: Some("P-256".into()),
        // An uncompressed point: 0x04, x, y.
        x: Some(base64url(&point[1..33])),
        y: Some(base64url(&point[33..65])),
        n: None,
        e: None,
    };
    SigningKeyRecord {
        sealed_private_key: seal::seal(
            &subkeys.seal_signing_key,
            random,
            &binding(&id, purpose),
            document.as_ref(),
        ),
        id,
        purpose,
        algorithm: KeyAlgorithm::Es256,
        public_jwk: serde_json::to_string(&jwk).expect("a key has only strings"),
        created_at: now,
        retired_at: None,
    }
}

/// A parsed private key with its JWT header already encoded: signing is all that is left to do.
pub(crate) struct Signer {
    header: String,
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new(id: &KeyId, token_type: &str, pkcs8: &Secret<Vec<u8>>) -> Result<Self, SigningKeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.expose())
            .map_err(|_| SigningKeyError::Malformed(id.clone()))?;
        let header = format!(
            r#"{{"typ":"{token_type}","alg":"ES256","kid":"{}"}}"#,
            id.as_str()
        );
        Ok(Self {
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
        let signature = self
            .pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .expect("a parsed P-256 key signs anything");
        token.push('.');
        token.push_str(&base64url(signature.as_ref()));
        token
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base::{OsRandom, Timestamp};
    use serde_json::{Value, json};

    use super::*;
    use crate::MasterKey;

    fn records(subkeys: &Subkeys) -> Vec<SigningKeyRecord> {
        [KeyPurpose::AccessToken, KeyPurpose::Identity]
            .map(|purpose| generate(subkeys, &OsRandom, purpose, Timestamp::from_unix_seconds(1)))
            .to_vec()
    }

    #[test]
    fn a_signed_token_is_read_back_and_a_changed_one_is_not() {
        let subkeys = Subkeys::derive(&MasterKey::from_bytes([1; 32]));
        let keys = SigningKeys::open(&subkeys, &records(&subkeys)).unwrap();
        let token = keys.access.sign(&json!({"sub": "usr_1"}));
        assert_eq!(
            keys.read_own::<Value>(&token).unwrap(),
            json!({"sub": "usr_1"})
        );
        assert!(keys.read_own::<Value>(&format!("{token}A")).is_none());
        let other = SigningKeys::open(&subkeys, &records(&subkeys)).unwrap();
        assert!(other.read_own::<Value>(&token).is_none());
    }

    #[test]
    fn sealed_keys_open_with_their_own_master_key_and_row_only() {
        let subkeys = Subkeys::derive(&MasterKey::from_bytes([1; 32]));
        let mut records = records(&subkeys);
        assert!(SigningKeys::open(&subkeys, &records).is_ok());
        let wrong = Subkeys::derive(&MasterKey::from_bytes([2; 32]));
        assert!(matches!(
            SigningKeys::open(&wrong, &records),
            Err(SigningKeyError::Sealed(_))
        ));
        let swapped = records[1].sealed_private_key.clone();
        records[0].sealed_private_key = swapped;
        assert!(matches!(
            SigningKeys::open(&subkeys, &records),
            Err(SigningKeyError::Sealed(_))
        ));
    }

    #[test]
    fn of_two_active_keys_the_older_signs_and_both_verify() {
        let subkeys = Subkeys::derive(&MasterKey::from_bytes([1; 32]));
        let mut records = records(&subkeys);
        let older = generate(
            &subkeys,
            &OsRandom,
            KeyPurpose::AccessToken,
            Timestamp::from_unix_seconds(0),
        );
        records.push(older);
        let keys = SigningKeys::open(&subkeys, &records).unwrap();
        assert_eq!(keys.access_jwks.keys.len(), 2);
        let token = keys.access.sign(&json!({}));
        let header = base64url_decode(token.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header["kid"], records[2].id.as_str());
        assert_eq!(header["typ"], "at+jwt");
    }
}
