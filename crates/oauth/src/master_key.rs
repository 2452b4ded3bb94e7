use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::{aead, hkdf, hmac};
use base::{Random, Secret, base64url, base64url_decode};
use domain::{KeyId, KeyPurpose, SigningKeyRecord};

use crate::seal;
use crate::signing_keys::SigningKeyError;

/// The one secret that is kept outside the database. Every other key is derived from it by label.
pub struct MasterKey(Secret<[u8; 32]>);

/// Why the master key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or written.
    #[error("the master key file {path} cannot be used: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file holds something else.
    #[error(
        "the master key file {0} does not hold 32 bytes in base64url; restore it from your backup, since without it \
         the signing keys in the database cannot be opened"
    )]
    Malformed(PathBuf),
    /// A text that should be one is none.
    #[error(
        "{0} is not 32 bytes in base64url, such as `openssl rand -base64 32 | tr '+/' '-_' | tr -d =` prints"
    )]
    MalformedText(&'static str),
}

impl MasterKey {
    /// From 32 bytes that the caller keeps safe.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// From 32 bytes in base64url. `name` is where they come from, for the error.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn from_text(text: &Secret<String>, name: &'static str) -> Result<Self, MasterKeyError> {
        Self::parse(text.expose()).ok_or(MasterKeyError::MalformedText(name))
    }

    /// Reads the key file at `path`, and never makes one.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self, MasterKeyError> {
        let text = fs::read_to_string(path).map_err(|cause| MasterKeyError::File {
            path: path.into(),
            cause,
        })?;
        let key = Self::parse(&text).ok_or_else(|| MasterKeyError::Malformed(path.into()))?;
        if is_open_to_all(path) {
            tracing::warn!(path = %path.display(), "everybody on this machine can read the master key; chmod 600 it");
        }
        Ok(key)
    }

    /// Reads the key file at `path`, or makes it (mode 0600, synced to disk before it is used).
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds something else. A malformed file is never replaced: with a
    /// new key the old database could not be opened any more.
    pub fn load_or_create(path: &Path, random: &dyn Random) -> Result<Self, MasterKeyError> {
        match Self::load(path) {
            Err(MasterKeyError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0u8; 32];
                random.fill(&mut bytes);
                match write_durably(path, &bytes) {
                    Ok(()) => Ok(Self::from_bytes(bytes)),
                    // Another process made one meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
                    Err(cause) => Err(MasterKeyError::File {
                        path: path.into(),
                        cause,
                    }),
                }
            }
            read => read,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = base64url_decode(text.trim())?.try_into().ok()?;
        Some(Self::from_bytes(bytes))
    }

    /// 32 bytes for one use. The label is part of the derivation, so no two uses share a key.
    pub(crate) fn derive(&self, label: &str) -> [u8; 32] {
        let extracted =
            hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis v1").extract(self.0.expose());
        let mut out = [0u8; 32];
        extracted
            .expand(&[label.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut out))
            .expect("32 bytes is within what HKDF-SHA256 can expand to");
        out
    }
}

/// A half-written key file would lock the owner out of their own database, so: temporary file, sync, link, sync.
fn write_durably(path: &Path, bytes: &[u8; 32]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if !folder.exists() {
        fs::create_dir_all(folder)?;
        base::give_to_owner_of_folder(folder, &fs::File::open(folder)?)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&temporary)?;
    base::give_to_owner_of_folder(path, &file)?;
    file.write_all(base64url(bytes).as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    // A link, unlike a rename, refuses to replace a key that another process made meanwhile.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked?;
    fs::File::open(folder)?.sync_all()
}

/// Whether others than owner and group may read it; a group may be how it is mounted.
fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// The derived keys, each for one use.
pub(crate) struct Subkeys {
    pub seal_request: aead::LessSafeKey,
    pub key_sealer: KeySealer,
    pub refresh_successor: hmac::Key,
    pub authorization_code: hmac::Key,
    pub csrf: hmac::Key,
    pub known_device: hmac::Key,
    pub alias_proof: hmac::Key,
    session_mac: hmac::Key,
    argument_digest: hmac::Key,
}

impl Subkeys {
    pub fn derive(master: &MasterKey) -> Self {
        let mac = |label| hmac::Key::new(hmac::HMAC_SHA256, &master.derive(label));
        Self {
            seal_request: sealing_key(master, "seal-request"),
            key_sealer: KeySealer::new(master),
            refresh_successor: mac("refresh-successor"),
            authorization_code: mac("authorization-code"),
            csrf: mac("csrf"),
            known_device: mac("known-device"),
            alias_proof: mac("alias-proof"),
            session_mac: mac("session-mac"),
            argument_digest: mac("argument-digest"),
        }
    }

    /// The key for MCP session ids of the server `slug`.
    pub fn session_mac_of(&self, slug: &str) -> Secret<Vec<u8>> {
        of_server(&self.session_mac, slug)
    }

    /// The key for digests of arguments of calls to the server `slug`.
    pub fn argument_digest_of(&self, slug: &str) -> Secret<Vec<u8>> {
        of_server(&self.argument_digest, slug)
    }
}

/// Each server has its own: a gateway of one must not know that of another.
fn of_server(key: &hmac::Key, slug: &str) -> Secret<Vec<u8>> {
    Secret::new(hmac::sign(key, slug.as_bytes()).as_ref().to_vec())
}

fn sealing_key(master: &MasterKey, label: &str) -> aead::LessSafeKey {
    aead::LessSafeKey::new(
        aead::UnboundKey::new(&aead::AES_256_GCM, &master.derive(label))
            .expect("AES-256 takes 32 bytes"),
    )
}

/// Seals the private parts of signing keys, each to its own row and purpose.
pub struct KeySealer(aead::LessSafeKey);

impl KeySealer {
    /// The one that belongs to `master`.
    pub fn new(master: &MasterKey) -> Self {
        Self(sealing_key(master, "seal-signing-key"))
    }

    pub(crate) fn seal(
        &self,
        random: &dyn Random,
        id: &KeyId,
        purpose: KeyPurpose,
        pkcs8: &Secret<Vec<u8>>,
    ) -> String {
        seal::seal(&self.0, random, &binding(id, purpose), pkcs8.expose())
    }

    /// Whether the keys that are there were sealed with this one.
    ///
    /// # Errors
    /// Names the first that was not.
    pub fn check(&self, records: &[SigningKeyRecord]) -> Result<(), SigningKeyError> {
        records
            .iter()
            .try_for_each(|record| self.open(record).map(drop))
    }

    pub(crate) fn open(
        &self,
        record: &SigningKeyRecord,
    ) -> Result<Secret<Vec<u8>>, SigningKeyError> {
        let bound_to = binding(&record.id, record.purpose);
        seal::open(&self.0, &bound_to, &record.sealed_private_key)
            .map(Secret::new)
            .ok_or_else(|| SigningKeyError::Sealed(record.id.clone()))
    }
}

impl std::fmt::Debug for KeySealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeySealer")
    }
}

/// Seals the private keys of certificates and of the account at an ACME server, each to what it is for.
pub struct CertificateSealer(aead::LessSafeKey);

impl CertificateSealer {
    /// The one that belongs to `master`.
    pub fn new(master: &MasterKey) -> Self {
        Self(sealing_key(master, "seal-certificate-key"))
    }

    /// Seals `secret`, which opens under the same `bound_to` alone.
    pub fn seal(&self, random: &dyn Random, bound_to: &str, secret: &Secret<Vec<u8>>) -> String {
        seal::seal(&self.0, random, bound_to.as_bytes(), secret.expose())
    }

    /// Opens what was sealed under the same master key; `None` for anything else.
    pub fn open(&self, bound_to: &str, sealed: &str) -> Option<Secret<Vec<u8>>> {
        seal::open(&self.0, bound_to.as_bytes(), sealed).map(Secret::new)
    }
}

impl std::fmt::Debug for CertificateSealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CertificateSealer")
    }
}

/// A sealed key opens only in its own row and for its own purpose.
fn binding(id: &KeyId, purpose: KeyPurpose) -> Vec<u8> {
    format!("{} {}", purpose.as_str(), id.as_str()).into_bytes()
}

/// HMAC-SHA256 over parts, each preceded by its length so that no two lists of parts read the same.
pub(crate) fn mac_of_parts(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0u8; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base::OsRandom;

    use super::*;

    #[test]
    fn the_key_file_is_made_once_and_read_the_same_and_a_broken_one_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys").join("master.key");
        let made = MasterKey::load_or_create(&path, &OsRandom).unwrap();
        let read = MasterKey::load_or_create(&path, &OsRandom).unwrap();
        assert_eq!(made.derive("csrf"), read.derive("csrf"));
        assert_ne!(read.derive("csrf"), read.derive("session-mac"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        fs::write(&path, "short").unwrap();
        assert!(matches!(
            MasterKey::load_or_create(&path, &OsRandom),
            Err(MasterKeyError::Malformed(_))
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
    }

    #[test]
    fn a_key_file_that_was_half_written_aside_does_not_count_and_is_not_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let aside = path.with_extension(format!("{}.tmp", std::process::id()));
        // What a process of our own number left when it was killed in the middle.
        fs::write(&aside, "AAAA").unwrap();
        assert!(matches!(
            MasterKey::load(&path),
            Err(MasterKeyError::File { .. })
        ));
        let made = MasterKey::load_or_create(&path, &OsRandom).unwrap();
        let read = MasterKey::load(&path).unwrap();
        assert_eq!(made.derive("csrf"), read.derive("csrf"));
        assert!(!aside.exists());
        // Somebody who comes second takes the key of the first, and replaces nothing.
        assert!(write_durably(&path, &[9; 32]).is_err());
        let again = MasterKey::load_or_create(&path, &OsRandom).unwrap();
        assert_eq!(made.derive("csrf"), again.derive("csrf"));
    }

    #[test]
    fn a_text_is_a_key_when_it_is_thirty_two_bytes_and_is_never_told_otherwise() {
        let read = |text: &str| MasterKey::from_text(&Secret::new(text.to_owned()), "KEY");
        let good = base64url([5; 32]);
        assert!(read(&good).is_ok());
        assert!(read(&format!("{good}\n")).is_ok());
        for bad in ["", "secret", &base64url([5; 31]), &base64url([5; 33])] {
            let refusal = read(bad).err().unwrap().to_string();
            assert!(refusal.starts_with("KEY is not 32 bytes"), "{refusal}");
            assert!(bad.is_empty() || !refusal.contains(bad), "{refusal}");
        }
    }

    #[test]
    fn parts_are_told_apart_by_their_lengths() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        assert_ne!(
            mac_of_parts(&key, &[b"ab", b"c"]),
            mac_of_parts(&key, &[b"a", b"bc"])
        );
    }
}
