use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use base::{Digest, Secret, Timestamp};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::CertificateFiles;

const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How many names of a certificate are told.
const NAMES_MAX: usize = 20;

/// A certificate with its chain and its key, which belong together.
#[derive(Debug)]
pub(crate) struct Pair {
    pub certified_key: Arc<CertifiedKey>,
    /// Some of its alternative names, for people.
    pub names: Vec<String>,
    /// When the server's own certificate begins.
    pub not_before: Timestamp,
    /// When the server's own certificate ends.
    pub not_after: Timestamp,
}

impl Pair {
    /// From PEM that an ACME server and we made.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn from_pem(chain_pem: &[u8], key_pem: &Secret<Vec<u8>>) -> Result<Self, String> {
        let chain = chain(chain_pem)?;
        let (names, not_before, not_after) = names_and_validity(&chain)?;
        let certified_key = CertifiedKey::new(chain, signing_key(key_pem.expose())?);
        match certified_key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Self {
                certified_key: Arc::new(certified_key),
                names,
                not_before,
                not_after,
            }),
            Err(error) => Err(format!("it cannot be used with its key: {error}")),
        }
    }

    /// RFC 3339.
    pub(crate) fn not_after_text(&self) -> String {
        jiff::Timestamp::from_millisecond(self.not_after.unix_ms())
            .map_or_else(|_| "beyond all time".to_owned(), |time| time.to_string())
    }
}

/// What the files hold, or why they cannot be read.
pub(super) struct Contents {
    certificate: Result<Vec<u8>, String>,
    key: Result<Secret<Vec<u8>>, String>,
    is_exposed: bool,
}

impl Contents {
    pub(super) fn read(files: &CertificateFiles) -> Self {
        let (key, is_exposed) = match read(&files.key) {
            Ok((bytes, is_exposed)) => (Ok(Secret::new(bytes)), is_exposed),
            Err(reason) => (Err(reason), false),
        };
        Self {
            certificate: read(&files.certificate).map(|(bytes, _)| bytes),
            key,
            is_exposed,
        }
    }

    /// What tells these contents from others.
    pub(super) fn digests(&self) -> [Result<Digest, String>; 2] {
        [
            self.certificate.as_ref().map(Digest::of),
            self.key.as_ref().map(|key| Digest::of(key.expose())),
        ]
        .map(|digest| digest.map_err(Clone::clone))
    }

    /// Whether every user of the machine can read the key.
    pub(super) fn is_exposed(&self) -> bool {
        self.is_exposed
    }

    /// # Errors
    /// Names the file, of `files`, and what is wrong.
    pub(super) fn pair(&self, files: &CertificateFiles) -> anyhow::Result<Pair> {
        let in_certificate =
            |reason: String| anyhow!("certificate file {}: {reason}", files.certificate.display());
        let in_key = |reason: String| anyhow!("key file {}: {reason}", files.key.display());

        let certificate = self
            .certificate
            .as_ref()
            .map_err(|r| in_certificate(r.clone()))?;
        let key = self.key.as_ref().map_err(|r| in_key(r.clone()))?;
        let chain = chain(certificate).map_err(in_certificate)?;
        let (names, not_before, not_after) = names_and_validity(&chain).map_err(in_certificate)?;
        let key = signing_key(key.expose()).map_err(in_key)?;
        let certified_key = CertifiedKey::new(chain, key);
        match certified_key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(in_key(format!(
                    "the key does not belong to the first certificate in {}, which must be the server's own",
                    files.certificate.display()
                )));
            }
            Err(error) => return Err(in_certificate(format!("it cannot be used: {error}"))),
        }
        Ok(Pair {
            certified_key: Arc::new(certified_key),
            names,
            not_before,
            not_after,
        })
    }
}

/// The bytes of a file, and whether others than its owner and its group can read it.
fn read(path: &Path) -> Result<(Vec<u8>, bool), String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
    // Before it is opened: opening a pipe would wait for its other end.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "it is larger than the {FILE_BYTES_MAX} bytes that are read"
        ));
    }
    Ok((bytes, metadata.mode() & 0o004 != 0))
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fault(&error).to_owned())?;
    if chain.is_empty() {
        return Err("there is no certificate in it; PEM with BEGIN CERTIFICATE is expected".into());
    }
    Ok(chain)
}

/// The names of the first certificate, when it begins and when it ends. All are looked at, so that a broken chain is found here rather
/// than by each client.
fn names_and_validity(
    chain: &[CertificateDer<'_>],
) -> Result<(Vec<String>, Timestamp, Timestamp), String> {
    let mut first = None;
    for (index, der) in chain.iter().enumerate() {
        let (_, certificate) = x509_parser::parse_x509_certificate(der)
            .map_err(|_| format!("certificate {} in it is malformed", index + 1))?;
        first.get_or_insert_with(|| {
            let validity = certificate.validity();
            let [not_before, not_after] = [validity.not_before, validity.not_after]
                .map(|time| Timestamp::from_unix_seconds(time.timestamp()));
            (names(&certificate), not_before, not_after)
        });
    }
    first.ok_or_else(|| "there is no certificate in it".to_owned())
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .take(NAMES_MAX)
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from));
    address.ok().map(|address| address.to_string())
}

fn signing_key(pem: &[u8]) -> Result<Arc<dyn SigningKey>, String> {
    let reason = match PrivateKeyDer::from_pem_slice(pem) {
        Ok(der) => {
            let provider = aws_lc_rs::default_provider().key_provider;
            return provider
                .load_private_key(der)
                .map_err(|error| format!("the key cannot be used: {error}"));
        }
        Err(_) if pem.windows(9).any(|word| word == b"ENCRYPTED") => {
            "the key is encrypted; write it without a passphrase"
        }
        Err(pem::Error::NoItemsFound) => {
            "there is no private key in it; PEM with PKCS#8, PKCS#1 or SEC1 is expected"
        }
        Err(error) => fault(&error),
    };
    Err(reason.to_owned())
}

/// What is wrong with PEM. The library's own words repeat the line, and a key that lost its line breaks is one line.
fn fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::IllegalSectionStart { .. } | pem::Error::MissingSectionEnd { .. } => {
            "a BEGIN line has no END line; was the file cut off, or were its line breaks lost?"
        }
        pem::Error::Base64Decode(_) => "what stands between BEGIN and END is no base64",
        _ => "it is malformed PEM",
    }
}
