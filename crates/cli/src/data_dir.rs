//! The data directory: one of them is one authority.

mod aside;
mod exchange;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::public_url::PublicUrl;

pub use aside::{Aside, lock as lock_file};

/// The newest layout of the directory that this program reads.
const FORMAT: u32 = 1;

/// A directory that exists and is ours alone.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    path: PathBuf,
}

/// What was fixed at the first start, because issuer, audience and registrations hang on it. `authority.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityFile {
    /// The directory's layout.
    format: u32,
    /// Tells two authorities of one machine apart, for example in cookie names.
    pub authority_id: String,
    /// The origin that clients see.
    pub public_url: String,
    /// The port on this machine.
    pub port: u16,
}

/// The one running `up` of a directory, as others read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// What it serves.
    pub url: String,
}

/// Held while `up` runs; let go by the operating system however the process ends.
#[derive(Debug)]
pub struct DataDirectoryLock {
    file: File,
}

impl AuthorityFile {
    /// A first one.
    pub fn new(authority_id: String, public_url: &PublicUrl, port: u16) -> Self {
        Self {
            format: FORMAT,
            authority_id,
            public_url: public_url.as_str().into(),
            port,
        }
    }

    /// Writes it into a folder, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_in(&self, folder: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).expect("plain fields serialise");
        write_private(
            &folder.join("authority.json"),
            format!("{text}\n").as_bytes(),
        )
    }
}

impl DataDirectory {
    /// The directory that was named, or the default: `$XDG_DATA_HOME/portcullis`, else `~/.local/share/portcullis`.
    ///
    /// # Errors
    /// When none was named and there is no home directory.
    pub fn locate(named: Option<&Path>) -> anyhow::Result<PathBuf> {
        if let Some(path) = named {
            return std::path::absolute(path)
                .with_context(|| format!("--data-dir {}", path.display()));
        }
        // A relative XDG path is to be ignored (XDG Base Directory Specification).
        let set = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        set("XDG_DATA_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local/share")))
            .map(|base| base.join("portcullis"))
            .ok_or_else(|| {
                anyhow!("neither XDG_DATA_HOME nor HOME is set, so there is no default data directory; name one with --data-dir")
            })
    }

    /// Opens the directory, making it when it is missing.
    ///
    /// # Errors
    /// When it cannot be made or is not a directory.
    pub fn open_or_create(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = Self::locate(named)?;
        // Parents get the usual rights, the directory itself only ours.
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("--data-dir: {} cannot be made", parent.display()))?;
        }
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let metadata = fs::metadata(&path).with_context(|| {
                    format!("--data-dir: {} cannot be looked at", path.display())
                })?;
                if !metadata.is_dir() {
                    bail!("--data-dir: {} is a file, not a directory", path.display());
                }
                if metadata.permissions().mode() & 0o077 != 0 {
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).with_context(|| {
                        format!(
                            "--data-dir: {} can be read by others and its rights cannot be changed; chmod 700 it",
                            path.display()
                        )
                    })?;
                }
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("--data-dir: {} cannot be made", path.display()));
            }
        }
        let directory = Self { path };
        directory.tidy()?;
        Ok(directory)
    }

    /// Opens a directory in which an authority was started before.
    ///
    /// # Errors
    /// When there is none.
    pub fn open_existing(named: Option<&Path>) -> anyhow::Result<(Self, AuthorityFile)> {
        let path = Self::locate(named)?;
        let directory = Self { path };
        directory.tidy()?;
        let authority = directory.read_authority()?.ok_or_else(|| {
            anyhow!(
                "no authority has been started in {} yet; run `portcullis up` first, or name its directory with --data-dir",
                directory.path.display()
            )
        })?;
        Ok((directory, authority))
    }

    /// Ends what a process that was killed had begun here.
    fn tidy(&self) -> anyhow::Result<()> {
        if exchange::find(&self.path).is_ok_and(|found| found.is_some()) {
            let _lock = self.lock()?;
            self.finish_exchange()?;
        }
        if aside::sweep(&self.path) {
            tracing::warn!(
                directory = %self.path.display(),
                "a restore was interrupted before it changed anything: what was here before it stands"
            );
        }
        Ok(())
    }

    fn finish_exchange(&self) -> anyhow::Result<()> {
        // Another process may have done it while this one waited for the lock.
        if let Some(decided) = exchange::find(&self.path)? {
            let kept = exchange::finish(&self.path, &decided)?;
            tracing::warn!(
                kept = %kept.display(),
                "a restore was interrupted after the backup was whole here: it is finished, and the backup stands"
            );
        }
        Ok(())
    }

    /// Puts the files in `aside` in the places of those that have the same names here; `name` tells this exchange from
    /// others, and is part of the name of the folder in which the old files are kept. Only while holding the lock.
    ///
    /// # Errors
    /// When nothing was changed, or the next one to open this directory will finish it; the message says which.
    pub fn exchange(&self, aside: &Aside, name: &str) -> anyhow::Result<()> {
        let decided = exchange::decide(&self.path, aside.path(), name);
        match (exchange::find(&self.path)?, decided) {
            (None, Err(error)) => Err(error.context("nothing was changed")),
            (None, Ok(())) => Err(anyhow!("what was to be put in place is gone")),
            (Some(folder), decided) => decided
                .and_then(|()| exchange::finish(&self.path, &folder).map(drop))
                .context(
                    "the next start or command that finds the disk well puts the backup in place",
                ),
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What the first start fixed; nothing before it.
    ///
    /// # Errors
    /// When the file is damaged or was written by a newer version.
    pub fn read_authority(&self) -> anyhow::Result<Option<AuthorityFile>> {
        #[derive(Deserialize)]
        struct FormatOnly {
            format: u32,
        }
        let path = self.file("authority.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        let damaged = |reason: String| {
            anyhow!(
                "{} is damaged ({reason}); restore it from a backup: the addresses of this authority stand in it",
                path.display()
            )
        };
        let FormatOnly { format } =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if format > FORMAT {
            bail!(
                "{} has format {format}, this program knows up to {FORMAT}: the directory was used by a newer portcullis. \
                 Run that one, or start another authority with --data-dir",
                path.display()
            );
        }
        let authority: AuthorityFile =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        PublicUrl::parse(&authority.public_url)
            .map_err(|reason| damaged(format!("public_url: {reason}")))?;
        Ok(Some(authority))
    }

    /// Writes `authority.json`, so that a crash leaves either none or a whole one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_authority(&self, authority: &AuthorityFile) -> anyhow::Result<()> {
        authority.write_in(&self.path)
    }

    /// Takes the directory for this process.
    ///
    /// # Errors
    /// When another `up` has it: says which, and how to run beside it.
    pub fn lock(&self) -> anyhow::Result<DataDirectoryLock> {
        let path = self.file("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .and_then(|file| base::give_to_owner_of_folder(&path, &file).map(|()| file))
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(DataDirectoryLock { file }),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                Err(anyhow!(in_use(
                    &self.path,
                    serde_json::from_str(&text).ok().as_ref()
                )))
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", path.display()))
            }
        }
    }

    /// Who has the directory now, when anybody has.
    pub fn holder(&self) -> Option<Holder> {
        let file = File::open(self.file("lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                (&file).read_to_string(&mut text).ok()?;
                serde_json::from_str(&text).ok()
            }
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

fn in_use(path: &Path, holder: Option<&Holder>) -> String {
    let who = match holder {
        Some(holder) => format!(
            "another portcullis (process {}) serves it at {}",
            holder.pid, holder.url
        ),
        None => "another portcullis is starting in it, or a command works on it alone".into(),
    };
    format!(
        "the data directory {} is in use: {who}\n  use that one, or stop it first; a second authority beside it needs a directory of its \
         own: --data-dir {}-2, or data_dir in its configuration",
        path.display(),
        path.display()
    )
}

impl DataDirectoryLock {
    /// Tells others who has it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn announce(&mut self, url: &str) -> anyhow::Result<()> {
        let holder = Holder {
            pid: std::process::id(),
            url: url.into(),
        };
        let text = serde_json::to_string(&holder).expect("plain fields serialise");
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())
        };
        write().context("the lock file of the data directory cannot be written")
    }
}

impl Drop for DataDirectoryLock {
    fn drop(&mut self) {
        // The next reader must not take an old line for a live process.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

/// Replaces a file that only we may read: written aside, synced, renamed.
///
/// # Errors
/// Names the file.
pub fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        base::give_to_owner_of_folder(path, &file)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        match path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    write().with_context(|| {
        let _ = fs::remove_file(&aside);
        format!("{} cannot be written", path.display())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn opened() -> (tempfile::TempDir, DataDirectory) {
        let outer = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open_or_create(Some(&outer.path().join("a/b"))).unwrap();
        (outer, directory)
    }

    #[test]
    fn a_new_directory_is_ours_alone_and_one_open_to_others_is_closed() {
        let (outer, directory) = opened();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.path()), 0o700);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let again = DataDirectory::open_or_create(Some(&outer.path().join("a/b"))).unwrap();
        assert_eq!(mode(again.path()), 0o700);
    }

    #[test]
    fn a_file_in_its_place_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("file");
        fs::write(&path, "").unwrap();
        let error = DataDirectory::open_or_create(Some(&path)).unwrap_err();
        assert!(error.to_string().contains("is a file"), "{error}");
    }

    #[test]
    fn the_authority_file_is_read_back_and_a_newer_or_damaged_one_is_refused_in_words() {
        let (_outer, directory) = opened();
        assert_eq!(directory.read_authority().unwrap(), None);
        let authority = AuthorityFile::new("aut_x".into(), &PublicUrl::localhost(4180), 4180);
        directory.write_authority(&authority).unwrap();
        assert_eq!(directory.read_authority().unwrap(), Some(authority));
        for (text, reason) in [
            (
                "{\"format\": 2, \"something\": 1}",
                "used by a newer portcullis",
            ),
            ("{", "is damaged"),
            (
                "{\"format\":1,\"authority_id\":\"a\",\"public_url\":\"http://example.com\",\"port\":1}",
                "public_url",
            ),
            (
                "{\"format\":1,\"authority_id\":\"a\",\"public_url\":\"http://localhost\",\"port\":1,\"x\":1}",
                "unknown field",
            ),
        ] {
            fs::write(directory.file("authority.json"), text).unwrap();
            let error = directory.read_authority().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_second_lock_is_told_the_url_and_data_dir_and_gets_it_after_the_first_is_gone() {
        let (_outer, directory) = opened();
        let mut lock = directory.lock().unwrap();
        lock.announce("http://localhost:4180").unwrap();
        let error = directory.lock().unwrap_err().to_string();
        assert!(
            error.contains("http://localhost:4180") && error.contains("--data-dir"),
            "{error}"
        );
        assert_eq!(
            directory.holder().map(|holder| holder.pid),
            Some(std::process::id())
        );
        drop(lock);
        assert_eq!(directory.holder(), None);
        directory.lock().unwrap();
    }

    #[test]
    fn maintenance_needs_an_authority_and_finds_one() {
        let (_outer, directory) = opened();
        let error = DataDirectory::open_existing(Some(directory.path())).unwrap_err();
        assert!(error.to_string().contains("portcullis up"), "{error}");
        let authority = AuthorityFile::new("aut_x".into(), &PublicUrl::localhost(4180), 4180);
        directory.write_authority(&authority).unwrap();
        assert_eq!(
            DataDirectory::open_existing(Some(directory.path()))
                .unwrap()
                .1,
            authority
        );
    }
}
