//! What a data directory holds is exchanged for something else whole, or not at all, whenever the process that does it is
//! killed.
//!
//! The new files are made aside, in a folder that nobody looks at. Renaming that folder is the one step that decides: a
//! directory with the folder `.exchange-…` holds the new files, and whoever opens it next puts them in place first.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

const DECIDED: &str = ".exchange-";

/// What may stand beside a database file. Of these only the log holds anything.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-witness"];

/// Decides for the files in `aside`, a folder in `directory`, each under the name that it is to have. `name` tells this
/// exchange from others; what was there is kept in `replaced-NAME`.
///
/// # Errors
/// When the disk refuses; then nothing is decided.
pub fn decide(directory: &Path, aside: &Path, name: &str) -> anyhow::Result<()> {
    let decided = directory.join(format!("{DECIDED}{name}"));
    let decide = || {
        for file in fs::read_dir(aside)? {
            let path = file?.path();
            let file = File::open(&path)?;
            base::give_to_owner_of_folder(&path, &file)?;
            file.sync_all()?;
        }
        File::open(aside)?.sync_all()?;
        fs::rename(aside, &decided)
    };
    decide().with_context(|| format!("{} cannot be put in place", aside.display()))?;
    // Decided or not, when this fails: whoever looks next finds out.
    let synced = File::open(directory).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("{} cannot be synced", directory.display()))
}

/// The folder of an exchange that was decided and is not done.
pub fn find(directory: &Path) -> std::io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(DECIDED) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Puts the files of `decided` in their places, and gives where those are that were there. Each step may have been done
/// before.
///
/// # Errors
/// Names what cannot be put in place; it can be tried again.
pub fn finish(directory: &Path, decided: &Path) -> anyhow::Result<PathBuf> {
    let name = decided
        .file_name()
        .and_then(|name| name.to_str()?.strip_prefix(DECIDED))
        .with_context(|| format!("{} has another name than it was given", decided.display()))?;
    let kept = directory.join(format!("replaced-{name}"));
    let mut names = Vec::new();
    for entry in fs::read_dir(decided)? {
        names.push(entry?.file_name());
    }
    for name in names {
        let target = directory.join(&name);
        put(&decided.join(&name), &target, &kept)
            .with_context(|| format!("{} cannot be put in place", target.display()))?;
    }
    let end = || {
        File::open(directory)?.sync_all()?;
        fs::remove_dir(decided)?;
        File::open(directory)?.sync_all()
    };
    end().with_context(|| format!("{} cannot be removed", decided.display()))?;
    Ok(kept)
}

/// Puts `new` where `target` is, and keeps what was there.
fn put(new: &Path, target: &Path, kept: &Path) -> std::io::Result<()> {
    keep(target, kept)?;
    if let Ok(folder) = File::open(kept) {
        base::give_to_owner_of_folder(kept, &folder)?;
    }
    // Of a program that was killed: it holds what was committed last.
    keep(&beside(target, BESIDE[0]), kept)?;
    for suffix in BESIDE {
        match fs::remove_file(beside(target, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(new, target)
}

fn keep(file: &Path, kept: &Path) -> std::io::Result<()> {
    let (Some(name), true) = (file.file_name(), file.exists()) else {
        return Ok(());
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(kept)?;
    match fs::hard_link(file, kept.join(name)) {
        // Of the attempt before, which ended here.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A directory with an old database and its log, and a new one aside.
    fn made() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let aside = folder.path().join("aside");
        fs::create_dir(&aside).unwrap();
        for (name, text) in [("a.db", "old"), ("a.db-wal", "log"), ("a.db-witness", "w")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::write(aside.join("a.db"), "new").unwrap();
        fs::write(aside.join("b.db"), "new too").unwrap();
        (folder, aside)
    }

    fn text(path: PathBuf) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn what_was_decided_is_finished_from_wherever_it_stopped_and_keeps_what_was_there() {
        // How many of the steps were done before: none, links, removals, one file, all.
        for done in 0..5 {
            let (folder, aside) = made();
            let at = |name: &str| folder.path().join(name);
            assert_eq!(find(folder.path()).unwrap(), None);
            decide(folder.path(), &aside, "7").unwrap();
            assert_eq!(text(at("a.db")), "old", "nothing is in place yet");
            let decided = find(folder.path()).unwrap().unwrap();
            let kept = at("replaced-7");
            if done > 0 {
                keep(&at("a.db"), &kept).unwrap();
                keep(&at("a.db-wal"), &kept).unwrap();
            }
            if done > 1 {
                fs::remove_file(at("a.db-wal")).unwrap();
            }
            if done > 2 {
                fs::rename(decided.join("a.db"), at("a.db")).unwrap();
            }
            if done > 3 {
                fs::rename(decided.join("b.db"), at("b.db")).unwrap();
            }
            assert_eq!(finish(folder.path(), &decided).unwrap(), kept);
            assert_eq!(find(folder.path()).unwrap(), None);
            assert_eq!(
                (text(at("a.db")), text(at("b.db"))),
                ("new".into(), "new too".into())
            );
            assert!(!at("a.db-wal").exists() && !at("a.db-witness").exists() || done > 2);
            assert_eq!(text(kept.join("a.db")), "old", "after {done}");
            assert_eq!(text(kept.join("a.db-wal")), "log", "after {done}");
        }
    }
}
