use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest;
use base::{Random, base64url};
use oauth::MasterKey;
use serde::{Deserialize, Serialize};

use super::sealed_file::{SealedReader, SealedWriter};

/// The longest manifest that is read, in bytes.
const MANIFEST_BYTES_MAX: u32 = 1 << 20;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The program that wrote it.
    pub portcullis: String,
    /// When, in Unix milliseconds.
    pub created_at: i64,
    /// Of the authority's tables.
    pub schema_version: i64,
    /// Whose it is.
    pub authority_id: String,
    /// Its origin.
    pub public_url: String,
    /// The port of `up`.
    pub port: Option<u16>,
    /// The databases, each as an SQLite file.
    pub parts: Vec<Part>,
}

/// One database of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `authority`, `activity` or `todo`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256, in base64url.
    pub digest: String,
    /// How many rows each table has.
    pub rows: BTreeMap<String, i64>,
}

impl Part {
    /// Describes a file.
    pub async fn of(name: &str, file: &Path) -> anyhow::Result<Self> {
        let inspected = store::inspect_copy(file).await?;
        ensure!(
            inspected.problems.is_empty(),
            "the copy of {name} is damaged: {}",
            inspected.problems.join("; ")
        );
        let mut hash = digest::Context::new(&digest::SHA256);
        let read = || format!("{} cannot be read", file.display());
        let mut from = File::open(file).with_context(read)?;
        let mut to = (std::io::sink(), file);
        let bytes = pump(&mut from, &mut to, &mut hash, u64::MAX).with_context(read)?;
        Ok(Self {
            name: name.to_owned(),
            bytes,
            digest: base64url(hash.finish()),
            rows: inspected.rows,
        })
    }
}

/// Where the part lies in a folder.
pub fn part_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.db"))
}

/// Writes the manifest and the parts, which lie in `folder`, sealed to `file`.
pub fn write(
    file: File,
    manifest: &Manifest,
    folder: &Path,
    master: &MasterKey,
    random: &dyn Random,
) -> anyhow::Result<()> {
    let mut sealed = SealedWriter::begin(file, master, random)?;
    let text = serde_json::to_vec(manifest)?;
    sealed.write_all(&u32::try_from(text.len())?.to_be_bytes())?;
    sealed.write_all(&text)?;
    for part in &manifest.parts {
        std::io::copy(&mut File::open(part_file(folder, &part.name))?, &mut sealed)?;
    }
    sealed.finish()?;
    Ok(())
}

/// Opens a backup into `folder`, and holds everything in it against its manifest.
///
/// # Errors
/// When it is damaged, or was sealed under another master key.
pub async fn open(path: &Path, folder: &Path, master: &MasterKey) -> anyhow::Result<Manifest> {
    let mut sealed = SealedReader::open(path, master)?;
    let mut bytes = [0u8; 4];
    sealed.read_exact(&mut bytes)?;
    let bytes = u32::from_be_bytes(bytes);
    ensure!(
        bytes <= MANIFEST_BYTES_MAX,
        "the backup's manifest is too large"
    );
    let mut text = vec![0u8; bytes as usize];
    sealed.read_exact(&mut text)?;
    let manifest: Manifest = serde_json::from_slice(&text).context("the backup's manifest")?;
    for part in &manifest.parts {
        if !["authority", "activity", "todo"].contains(&part.name.as_str()) {
            bail!(
                "the backup holds {:?}, which this program does not know",
                part.name
            );
        }
        let file = part_file(folder, &part.name);
        let unwritten = || format!("{} cannot be written", file.display());
        let out = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .with_context(unwritten)?;
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut to = (out, &*file);
        let written = pump(&mut sealed, &mut to, &mut hash, part.bytes)?;
        to.0.sync_all().with_context(unwritten)?;
        ensure!(
            written == part.bytes && base64url(hash.finish()) == part.digest,
            "the backup's {} is not what its manifest says",
            part.name
        );
        let found = Part::of(&part.name, &file).await?;
        ensure!(
            found.rows == part.rows,
            "the backup's {} has other rows than its manifest says",
            part.name
        );
    }
    sealed.finish()?;
    Ok(manifest)
}

/// Passes on at most `limit` bytes to a file, or what stands for one, of this path.
fn pump(
    from: &mut impl Read,
    (to, path): &mut (impl Write, &Path),
    hash: &mut digest::Context,
    limit: u64,
) -> anyhow::Result<u64> {
    let mut buffer = vec![0u8; 1 << 16];
    let mut done = 0;
    while done < limit {
        let wanted = usize::try_from(limit - done)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let bytes = from.read(&mut buffer[..wanted])?;
        if bytes == 0 {
            break;
        }
        hash.update(&buffer[..bytes]);
        to.write_all(&buffer[..bytes])
            .with_context(|| format!("{} cannot be written", path.display()))?;
        done += bytes as u64;
    }
    Ok(done)
}
