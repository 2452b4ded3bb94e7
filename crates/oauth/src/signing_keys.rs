use std::sync::Arc;

use authz::VerifyingKeys;
use base::{Random, Secret, Timestamp, base64url_decode};
use bytes::Bytes;
use domain::{KeyId, KeyPurpose, SigningKeyRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::oauth::{Jwk, JwkSet};

use crate::master_key::KeySealer;
use crate::signer::{NewKey, Signer};

/// The signing keys of an authority, parsed and ready: what signs now or soon, and everything that verifies.
pub(crate) struct SigningKeys {
    records: Vec<SigningKeyRecord>,
    access: InTurn<Signer>,
    /// Public keys of access tokens.
    pub access_jwks: JwkSet,
    /// The same as a document.
    pub access_jwks_json: Bytes,
    access_verifying: VerifyingKeys,
    identity: InTurn<IdentityKey>,
    /// Public keys of `Portcullis-Identity`.
    pub identity_jwks: JwkSet,
    /// The same as a document.
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
        "signing key {0} does not open with this master key: it is not the one that this database was made with. Start \
         with that one again (--master-key-file, PORTCULLIS_MASTER_KEY, or keys/master.key in the data directory)"
    )]
    Sealed(KeyId),
    /// Opened, but no such key.
    #[error("signing key {0} is not a private key for {1}")]
    Malformed(KeyId, &'static str),
    /// None that signs.
    #[error("there is no active signing key for {0}")]
    Missing(&'static str),
}

/// Keys with the moments from which each signs. Every node that has read the same rows changes from one to the next
/// by its own clock, without a word.
struct InTurn<T>(Vec<(Timestamp, T)>);

impl<T> InTurn<T> {
    /// Takes the one that signs now and those that will.
    fn open(
        records: &[SigningKeyRecord],
        purpose: KeyPurpose,
        now: Timestamp,
        open: impl Fn(&SigningKeyRecord) -> Result<T, SigningKeyError>,
    ) -> Result<Self, SigningKeyError> {
        let good: Vec<_> = in_turn(records, purpose).collect();
        let current = good
            .iter()
            .rposition(|record| record.signs_from <= now)
            .unwrap_or(0);
        let keys = good
            .into_iter()
            .skip(current)
            .map(|record| Ok((record.signs_from, open(record)?)))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(SigningKeyError::Missing(purpose.as_str()));
        }
        Ok(Self(keys))
    }

    fn at(&self, now: Timestamp) -> &T {
        let turn = self.0.iter().rev().find(|(from, _)| *from <= now);
        // A clock that was set back finds none whose moment has come: the first is the nearest.
        &turn.unwrap_or(&self.0[0]).1
    }
}

/// The keys of `purpose` that were not withdrawn, in the order in which they sign.
pub(crate) fn in_turn(
    records: &[SigningKeyRecord],
    purpose: KeyPurpose,
) -> impl Iterator<Item = &SigningKeyRecord> {
    let mut good: Vec<_> = records
        .iter()
        .filter(move |record| record.purpose == purpose && record.withdrawn_at.is_none())
        .collect();
    good.sort_by_key(|record| (record.signs_from, &record.id));
    good.into_iter()
}

impl SigningKeys {
    /// Those of access tokens, ready to verify.
    pub fn access_verifying(&self) -> &VerifyingKeys {
        &self.access_verifying
    }

    /// Opens `records`, or gives `before` back when they are the same.
    pub fn open(
        sealer: &KeySealer,
        records: Vec<SigningKeyRecord>,
        now: Timestamp,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, SigningKeyError> {
        if let Some(before) = before.filter(|before| before.records == records) {
            return Ok(Arc::clone(before));
        }
        let access = InTurn::open(&records, KeyPurpose::AccessToken, now, |record| {
            let pkcs8 = sealer.open(record)?;
            Signer::new(record.id.as_str(), record.algorithm, "at+jwt", &pkcs8).ok_or_else(|| {
                SigningKeyError::Malformed(record.id.clone(), record.algorithm.as_str())
            })
        })?;
        let identity = InTurn::open(&records, KeyPurpose::Identity, now, |record| {
            Ok(IdentityKey {
                key_id: record.id.as_str().to_owned(),
                pkcs8: sealer.open(record)?,
            })
        })?;
        let access_jwks = public_keys(&records, KeyPurpose::AccessToken)?;
        let identity_jwks = public_keys(&records, KeyPurpose::Identity)?;
        Ok(Arc::new(Self {
            access,
            access_jwks_json: document(&access_jwks),
            access_verifying: VerifyingKeys::from_jwks(&access_jwks),
            access_jwks,
            identity,
            identity_jwks_json: document(&identity_jwks),
            identity_jwks,
            records,
        }))
    }

    /// Since when the key of `purpose` signs that signs now.
    pub fn signs_since(&self, purpose: KeyPurpose, now: Timestamp) -> Option<Timestamp> {
        in_turn(&self.records, purpose)
            .map(|record| record.signs_from)
            .filter(|from| *from <= now)
            .last()
    }

    /// Signs an access token with the key whose turn it is.
    pub fn sign_access_token(&self, claims: &impl Serialize, now: Timestamp) -> String {
        self.access.at(now).sign(claims)
    }

    /// The key that signs `Portcullis-Identity` now.
    pub fn identity_key(&self, now: Timestamp) -> &IdentityKey {
        self.identity.at(now)
    }

    /// The claims of an access token that one of our keys signed. Nothing else is checked: not its time, not its
    /// audience. Only for revoking it.
    pub fn read_own<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: OwnHeader = serde_json::from_slice(&base64url_decode(header)?).ok()?;
        let signature = base64url_decode(signature)?;
        let is_own = header.typ == "at+jwt"
            && self.access_verifying.verifies(
                &header.kid,
                &header.alg,
                signed.as_bytes(),
                &signature,
            );
        if !is_own {
            return None;
        }
        serde_json::from_slice(&base64url_decode(payload)?).ok()
    }
}

#[derive(serde::Deserialize)]
struct OwnHeader {
    typ: String,
    alg: String,
    kid: String,
}

fn public_keys(
    records: &[SigningKeyRecord],
    purpose: KeyPurpose,
) -> Result<JwkSet, SigningKeyError> {
    // In the order of their turns, so that a new one stands behind those that were there.
    let keys = in_turn(records, purpose)
        .map(|record| {
            serde_json::from_str(&record.public_jwk).map_err(|_| {
                SigningKeyError::Malformed(record.id.clone(), record.algorithm.as_str())
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(JwkSet { keys })
}

fn document(keys: &JwkSet) -> Bytes {
    serde_json::to_vec(keys)
        .expect("a key set has only strings")
        .into()
}

/// The row of a new key, its private part sealed.
pub(crate) fn seal_new(
    sealer: &KeySealer,
    random: &dyn Random,
    purpose: KeyPurpose,
    new: NewKey,
    now: Timestamp,
    signs_from: Timestamp,
) -> SigningKeyRecord {
    let id = KeyId::random(random);
    let jwk = Jwk {
        kid: Some(id.as_str().to_owned()),
        ..new.jwk
    };
    SigningKeyRecord {
        sealed_private_key: sealer.seal(random, &id, purpose, &new.pkcs8),
        id,
        purpose,
        algorithm: new.algorithm,
        public_jwk: serde_json::to_string(&jwk).expect("a key has only strings"),
        created_at: now,
        signs_from,
        token_seconds_max: 0,
        withdrawn_at: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base::OsRandom;
    use domain::KeyAlgorithm;
    use serde_json::{Value, json};

    use super::*;
    use crate::{MasterKey, signer};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn sealer(byte: u8) -> KeySealer {
        KeySealer::new(&MasterKey::from_bytes([byte; 32]))
    }

    fn key(purpose: KeyPurpose, algorithm: KeyAlgorithm, signs_from: i64) -> SigningKeyRecord {
        let (new, now, from) = (signer::generate(algorithm), at(0), at(signs_from));
        seal_new(&sealer(1), &OsRandom, purpose, new, now, from)
    }

    fn pair(algorithm: KeyAlgorithm) -> Vec<SigningKeyRecord> {
        vec![
            key(KeyPurpose::AccessToken, algorithm, 1),
            key(KeyPurpose::Identity, KeyAlgorithm::Es256, 1),
        ]
    }

    fn open(records: &[SigningKeyRecord], now: i64) -> Arc<SigningKeys> {
        SigningKeys::open(&sealer(1), records.to_vec(), at(now), None).unwrap()
    }

    fn kid(token: &str) -> String {
        let header = base64url_decode(token.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header["typ"], "at+jwt");
        header["kid"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_token_signed_by_each_algorithm_is_read_back_and_a_changed_or_foreign_one_is_not() {
        for algorithm in [
            KeyAlgorithm::Es256,
            KeyAlgorithm::EdDsa,
            KeyAlgorithm::Rs256,
        ] {
            let keys = open(&pair(algorithm), 1);
            let token = keys.sign_access_token(&json!({"sub": "usr_1"}), at(1));
            let read = keys.read_own::<Value>(&token).unwrap();
            assert_eq!(read, json!({"sub": "usr_1"}), "{algorithm:?}");
            assert!(keys.read_own::<Value>(&format!("{token}A")).is_none());
            let other = open(&pair(algorithm), 1);
            assert!(other.read_own::<Value>(&token).is_none());
        }
    }

    #[test]
    fn sealed_keys_open_with_their_own_master_key_and_row_only() {
        let mut records = pair(KeyAlgorithm::Es256);
        let opened =
            |byte, records: &Vec<_>| SigningKeys::open(&sealer(byte), records.clone(), at(1), None);
        assert!(opened(1, &records).is_ok());
        assert!(matches!(
            opened(2, &records),
            Err(SigningKeyError::Sealed(_))
        ));
        let swapped = records[1].sealed_private_key.clone();
        records[0].sealed_private_key = swapped;
        assert!(matches!(
            opened(1, &records),
            Err(SigningKeyError::Sealed(_))
        ));
    }

    #[test]
    fn a_key_is_published_at_once_and_signs_when_its_moment_comes() {
        let mut records = pair(KeyAlgorithm::Es256);
        records.push(key(KeyPurpose::AccessToken, KeyAlgorithm::EdDsa, 600));
        let keys = open(&records, 1);
        assert_eq!(keys.access_jwks.keys.len(), 2);
        let signer = |now| kid(&keys.sign_access_token(&json!({}), at(now)));
        assert_eq!(signer(599), records[0].id.as_str());
        assert_eq!(signer(600), records[2].id.as_str());
        // What was signed before the change goes on verifying after it.
        let old = keys.sign_access_token(&json!({}), at(599));
        assert!(open(&records, 700).read_own::<Value>(&old).is_some());
    }

    #[test]
    fn nodes_that_made_keys_at_the_same_moment_agree_on_one() {
        let mut records = pair(KeyAlgorithm::Es256);
        records.push(key(KeyPurpose::AccessToken, KeyAlgorithm::Es256, 1));
        let one = open(&records, 1);
        records.reverse();
        let other = open(&records, 1);
        let signer = |keys: &SigningKeys| kid(&keys.sign_access_token(&json!({}), at(1)));
        assert_eq!(signer(&one), signer(&other));
        assert_eq!(one.access_jwks, other.access_jwks);
    }

    #[test]
    fn a_withdrawn_key_neither_signs_nor_verifies_nor_is_published_and_its_twin_does() {
        let mut records = pair(KeyAlgorithm::Es256);
        records.push(key(KeyPurpose::AccessToken, KeyAlgorithm::Es256, 2));
        let before = open(&records, 1);
        let token = before.sign_access_token(&json!({}), at(1));
        let twin = before.sign_access_token(&json!({}), at(2));
        records[0].withdrawn_at = Some(at(2));
        let after = open(&records, 2);
        assert!(after.read_own::<Value>(&token).is_none());
        assert!(after.read_own::<Value>(&twin).is_some());
        assert_eq!(after.access_jwks.keys.len(), 1);
        records[2].withdrawn_at = Some(at(2));
        let none = SigningKeys::open(&sealer(1), records, at(2), None);
        assert!(matches!(none, Err(SigningKeyError::Missing(_))));
    }
}
