use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use base::{Random, base64url, base64url_decode};

/// Seals `plain` with AES-256-GCM under a random nonce. `bound_to` is authenticated and not contained: the same text
/// opens nowhere else.
pub(crate) fn seal(
    key: &LessSafeKey,
    random: &dyn Random,
    bound_to: &[u8],
    plain: &[u8],
) -> String {
    let mut nonce = [0u8; NONCE_LEN];
    random.fill(&mut nonce);
    let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + 16);
    sealed.extend_from_slice(plain);
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(bound_to),
        &mut sealed,
    )
    .expect("sealing fails only above 64 GiB");
    sealed.splice(0..0, nonce);
    base64url(&sealed)
}

/// Opens what [`seal`] made under the same key and binding; `None` for anything else.
pub(crate) fn open(key: &LessSafeKey, bound_to: &[u8], text: &str) -> Option<Vec<u8>> {
    let mut sealed = base64url_decode(text)?;
    let nonce = Nonce::try_assume_unique_for_key(sealed.get(..NONCE_LEN)?).ok()?;
    let plain = key
        .open_in_place(nonce, Aad::from(bound_to), sealed.get_mut(NONCE_LEN..)?)
        .ok()?;
    Some(plain.to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use aws_lc_rs::aead::{AES_256_GCM, UnboundKey};
    use base::OsRandom;
    use testkit::SeededRandom;

    use super::*;

    /// The birthday bound of 96 bits is at 2^48 seals; each purpose has a key of its own.
    #[test]
    fn a_hundred_thousand_seals_of_one_text_have_each_a_nonce_of_their_own() {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).unwrap());
        let nonce = |random: &dyn Random| {
            let sealed = base64url_decode(&seal(&key, random, b"", b"a request")).unwrap();
            sealed[..NONCE_LEN].to_vec()
        };
        let seen: HashSet<_> = (0..100_000).map(|_| nonce(&OsRandom)).collect();
        assert_eq!(seen.len(), 100_000);
        for byte in 0..NONCE_LEN {
            let values: HashSet<_> = seen.iter().map(|nonce| nonce[byte]).collect();
            assert_eq!(values.len(), 256, "byte {byte} of the nonce");
        }
        // A source that repeats itself is noticed.
        let repeating = || nonce(&SeededRandom::new(1));
        assert_eq!(repeating(), repeating());
    }

    #[test]
    fn what_was_sealed_opens_once_untouched_and_never_with_a_changed_byte_key_or_binding() {
        let key = |byte| LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[byte; 32]).unwrap());
        let text = seal(&key(1), &OsRandom, b"todo", b"a request");
        assert_eq!(open(&key(1), b"todo", &text).unwrap(), b"a request");
        assert!(open(&key(2), b"todo", &text).is_none());
        assert!(open(&key(1), b"other", &text).is_none());
        assert!(open(&key(1), b"todo", "").is_none());
        let bytes = base64url_decode(&text).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert!(open(&key(1), b"todo", &base64url(&changed)).is_none());
        }
    }
}
