use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::sealed_file::MAGIC;
use crate::data_dir::lock_file;

const MARK: &str = ".unfinished-";

/// A backup while it is written, beside the place that it gets; gone afterwards. What a killed backup left there is removed
/// by the next one to the same folder.
pub struct Unfinished {
    path: PathBuf,
    _lock: File,
}

impl Unfinished {
    /// Makes the file that will be `file`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(file: &Path) -> anyhow::Result<(Self, File)> {
        let mut name = file.as_os_str().to_owned();
        name.push(format!("{MARK}{}", std::process::id()));
        let path = PathBuf::from(name);
        sweep(&path);
        for _ in 0..8 {
            let made = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .with_context(|| format!("{} cannot be made", path.display()))?;
            if let Some(lock) = lock_file(&path) {
                return Ok((Self { path, _lock: lock }, made));
            }
        }
        bail!("{} is taken away again and again", path.display())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what killed backups left in the folder of `path`: by its name, by how it begins, and because nobody has it
/// locked.
fn sweep(path: &Path) {
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ends_so = name.to_str().is_some_and(|name| {
            let id = name.rsplit_once(MARK).map(|(_, id)| id);
            id.is_some_and(|id| id.parse::<u32>().is_ok())
        });
        if ends_so
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Some(mut file) = lock_file(&entry.path())
            && begins_as_a_backup(&mut file)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Also one that did not come far.
fn begins_as_a_backup(file: &mut File) -> bool {
    let mut head = Vec::new();
    let read = file.take(MAGIC.len() as u64).read_to_end(&mut head);
    read.is_ok() && MAGIC.starts_with(&head)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_next_backup_removes_what_a_killed_one_left_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (alive, _made) = Unfinished::make(&at("a.backup")).unwrap();
        let begun = [MAGIC, b"salt"].concat();
        for (name, bytes) in [
            ("b.backup.unfinished-1", &begun[..]),
            ("c.backup.unfinished-2", b""),
            ("letter.unfinished-3", b"Dear Ada"),
            ("d.backup", &begun),
            ("e.unfinished-x", &begun),
        ] {
            fs::write(at(name), bytes).unwrap();
        }
        sweep(&at("next"));
        for gone in ["b.backup.unfinished-1", "c.backup.unfinished-2"] {
            assert!(!at(gone).exists(), "{gone}");
        }
        for stays in ["letter.unfinished-3", "d.backup", "e.unfinished-x"] {
            assert!(at(stays).exists(), "{stays}");
        }
        assert!(alive.path().exists());
    }
}
