use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// What such a folder is for, by how its name begins.
const KINDS: [&str; 3] = ["backup", "verify", "restore"];

/// A folder of ours in a data directory for what is made or looked at there and is not sealed. It is gone afterwards, and
/// one whose process was killed is removed by whoever opens the directory next.
///
/// The folder is locked as long as its process lives, however that ends. A process id would not do: those of containers
/// that share a volume are different people's.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    _lock: Option<File>,
}

impl Aside {
    /// Makes one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn make(directory: &Path, kind: &str) -> anyhow::Result<Self> {
        let path = directory.join(format!(".{kind}-{}", std::process::id()));
        for _ in 0..8 {
            let _ = fs::remove_dir_all(&path);
            let made = fs::DirBuilder::new().mode(0o700).create(&path);
            made.with_context(|| format!("{} cannot be made", path.display()))?;
            if let Some(lock) = lock(&path) {
                base::give_to_owner_of_folder(&path, &lock)
                    .with_context(|| format!("{} cannot be given away", path.display()))?;
                return Ok(Self {
                    path,
                    _lock: Some(lock),
                });
            }
        }
        bail!("{} is taken away again and again", path.display())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Locks what is at `path` for as long as the answer lives; nothing when somebody else has it or took it away meanwhile.
pub fn lock(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    file.try_lock().ok()?;
    let (ours, there) = (file.metadata().ok()?, fs::metadata(path).ok()?);
    (ours.ino() == there.ino()).then_some(file)
}

/// Removes what killed processes left in `directory`; whether one of them was restoring.
pub fn sweep(directory: &Path) -> bool {
    let mut was_restoring = false;
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let kind = name.to_str().and_then(|name| {
            let (kind, id) = name.strip_prefix('.')?.rsplit_once('-')?;
            id.parse::<u32>().ok()?;
            KINDS.into_iter().find(|known| *known == kind)
        });
        let Some(kind) = kind else { continue };
        let Some(_lock) = lock(&entry.path()) else {
            continue;
        };
        if fs::remove_dir_all(entry.path()).is_ok() && kind == "restore" {
            was_restoring = true;
        }
    }
    was_restoring
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_removed_and_what_a_living_one_has_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let alive = Aside::make(folder.path(), "backup").unwrap();
        for dead in [
            ".backup-1",
            ".verify-2",
            ".restore-3",
            ".backup-x",
            "backup-4",
        ] {
            fs::create_dir(at(dead)).unwrap();
            fs::write(at(dead).join("authority.db"), "not sealed").unwrap();
        }
        assert!(sweep(folder.path()), "one was restoring");
        assert!(alive.path().exists());
        assert!(
            at(".backup-x").exists() && at("backup-4").exists(),
            "not ours"
        );
        for dead in [".backup-1", ".verify-2", ".restore-3"] {
            assert!(!at(dead).exists(), "{dead}");
        }
        assert!(!sweep(folder.path()));
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }
}
