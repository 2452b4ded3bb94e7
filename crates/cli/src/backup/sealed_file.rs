//! The file of a backup: a head, then sealed chunks, each with its length before it. What is sealed is the manifest with
//! its length, then the parts in its order.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use base::Random;
use oauth::{BACKUP_TAG_BYTES, BackupKey, MasterKey};

use crate::failure::usage;

/// How each backup begins.
pub const MAGIC: &[u8] = b"portcullis-backup 1\n";
const CHUNK_BYTES: usize = 1 << 20;

/// Seals what is written to it.
pub struct SealedWriter {
    file: BufWriter<File>,
    key: BackupKey,
    index: u64,
    chunk: Vec<u8>,
}

impl SealedWriter {
    /// Begins a file.
    pub fn begin(file: File, master: &MasterKey, random: &dyn Random) -> std::io::Result<Self> {
        let mut salt = [0u8; 32];
        random.fill(&mut salt);
        let key = BackupKey::new(master, &salt);
        let mut file = BufWriter::new(file);
        file.write_all(MAGIC)?;
        file.write_all(&salt)?;
        file.write_all(&key.check())?;
        Ok(Self {
            file,
            key,
            index: 0,
            chunk: Vec::with_capacity(CHUNK_BYTES + BACKUP_TAG_BYTES),
        })
    }

    /// Seals the last chunk and waits for the disk.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.write_chunk(true)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }

    fn write_chunk(&mut self, is_last: bool) -> std::io::Result<()> {
        self.key.seal(self.index, is_last, &mut self.chunk);
        self.index += 1;
        let bytes = u32::try_from(self.chunk.len()).expect("a chunk is about 1 MiB");
        self.file.write_all(&bytes.to_be_bytes())?;
        self.file.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl Write for SealedWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.chunk.len() == CHUNK_BYTES {
            self.write_chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Opens what was sealed, and says so when anything is not as it was.
pub struct SealedReader {
    file: BufReader<File>,
    left: u64,
    key: BackupKey,
    index: u64,
    chunk: Vec<u8>,
    read: usize,
    ended: bool,
}

impl SealedReader {
    /// Reads the head.
    ///
    /// # Errors
    /// When it is no backup, or the master key is another.
    pub fn open(path: &Path, master: &MasterKey) -> anyhow::Result<Self> {
        let named = || format!("the backup {}", path.display());
        let file = File::open(path).with_context(named)?;
        let bytes = file.metadata().with_context(named)?.len();
        let mut file = BufReader::new(file);
        let mut head = [0u8; MAGIC.len() + 32 + 16];
        if file.read_exact(&mut head).is_err() || !head.starts_with(MAGIC) {
            bail!("{} is no backup of Portcullis", path.display());
        }
        let (salt, check) = head[MAGIC.len()..].split_at(32);
        let salt: [u8; 32] = salt.try_into().expect("it was split there");
        let key = BackupKey::new(master, &salt);
        ensure!(
            key.check() == check,
            usage(format!(
                "{} was sealed under another master key; name the key it was made with by --master-key-file or \
                 PORTCULLIS_MASTER_KEY",
                path.display()
            ))
        );
        Ok(Self {
            file,
            left: bytes - head.len() as u64,
            key,
            index: 0,
            chunk: Vec::new(),
            read: 0,
            ended: false,
        })
    }

    /// Makes sure that nothing is left, and that the file was not cut short.
    pub fn finish(mut self) -> anyhow::Result<()> {
        ensure!(
            self.read(&mut [0]).context("the backup")? == 0,
            "the backup has more in it than it says"
        );
        Ok(())
    }

    fn next_chunk(&mut self) -> std::io::Result<()> {
        let damaged = || {
            std::io::Error::other(
                "the backup is damaged or was cut short: a part of it is not as it was sealed",
            )
        };
        let mut bytes = [0u8; 4];
        self.file.read_exact(&mut bytes).map_err(|_| damaged())?;
        let bytes = u32::from_be_bytes(bytes);
        self.left = self
            .left
            .checked_sub(4 + u64::from(bytes))
            .ok_or_else(damaged)?;
        if bytes as usize > CHUNK_BYTES + BACKUP_TAG_BYTES {
            return Err(damaged());
        }
        let mut chunk = vec![0u8; bytes as usize];
        self.file.read_exact(&mut chunk).map_err(|_| damaged())?;
        self.ended = self.left == 0;
        self.chunk = self
            .key
            .open(self.index, self.ended, chunk)
            .ok_or_else(damaged)?;
        self.index += 1;
        self.read = 0;
        Ok(())
    }
}

impl Read for SealedReader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.read == self.chunk.len() {
            if self.ended {
                return Ok(0);
            }
            self.next_chunk()?;
        }
        let bytes = into.len().min(self.chunk.len() - self.read);
        into[..bytes].copy_from_slice(&self.chunk[self.read..self.read + bytes]);
        self.read += bytes;
        Ok(bytes)
    }
}
