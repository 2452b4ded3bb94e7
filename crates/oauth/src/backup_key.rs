use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base::base64url;

use crate::MasterKey;

/// How many bytes the tag of a sealed chunk adds.
pub const BACKUP_TAG_BYTES: usize = 16;

/// What seals one backup: a key of its own, from the master key and the salt in the backup's head. So the nonces may
/// simply count.
pub struct BackupKey {
    key: LessSafeKey,
    check: [u8; 16],
}

impl BackupKey {
    /// The key of the backup with this salt.
    pub fn new(master: &MasterKey, salt: &[u8; 32]) -> Self {
        let salt = base64url(salt);
        let key = master.derive(&format!("backup {salt}"));
        let mut check = [0u8; 16];
        check.copy_from_slice(&master.derive(&format!("backup-check {salt}"))[..16]);
        Self {
            key: LessSafeKey::new(
                UnboundKey::new(&AES_256_GCM, &key).expect("AES-256 takes 32 bytes"),
            ),
            check,
        }
    }

    /// Stands in the head, so that a wrong master key is told from a damaged file.
    pub fn check(&self) -> [u8; 16] {
        self.check
    }

    /// Seals the chunk at `index`; the last one says so, so that a file that was cut short is noticed.
    pub fn seal(&self, index: u64, is_last: bool, chunk: &mut Vec<u8>) {
        self.key
            .seal_in_place_append_tag(nonce(index), Aad::from([u8::from(is_last)]), chunk)
            .expect("sealing fails only above 64 GiB");
    }

    /// Opens the chunk at `index`; nothing when it is not that chunk, untouched.
    pub fn open(&self, index: u64, is_last: bool, mut chunk: Vec<u8>) -> Option<Vec<u8>> {
        let opened = self
            .key
            .open_in_place(nonce(index), Aad::from([u8::from(is_last)]), &mut chunk)
            .ok()?
            .len();
        chunk.truncate(opened);
        Some(chunk)
    }
}

fn nonce(index: u64) -> Nonce {
    let mut nonce = [0u8; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_chunk_opens_in_its_place_of_its_backup_under_its_master_key_and_nowhere_else() {
        let key = |master, salt| BackupKey::new(&MasterKey::from_bytes([master; 32]), &[salt; 32]);
        let mut sealed = b"rows".to_vec();
        key(1, 1).seal(7, false, &mut sealed);
        assert_eq!(sealed.len(), 4 + BACKUP_TAG_BYTES);
        assert_eq!(key(1, 1).open(7, false, sealed.clone()).unwrap(), b"rows");
        assert!(key(1, 1).open(8, false, sealed.clone()).is_none());
        assert!(key(1, 1).open(7, true, sealed.clone()).is_none());
        assert!(key(1, 2).open(7, false, sealed.clone()).is_none());
        assert!(key(2, 1).open(7, false, sealed.clone()).is_none());
        assert_ne!(key(1, 1).check(), key(2, 1).check());
        assert_ne!(key(1, 1).check(), key(1, 2).check());
    }
}
