//! `portcullis backup`: everything that one authority keeps, in one sealed file.

mod contents;
mod restore;
mod sealed_file;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base::{Clock as _, OsRandom, SystemClock};
use oauth::KeySealer;

use crate::authority_place::AuthorityPlace;
use crate::data_dir::DataDirectory;
use crate::master_key::MasterKeySource;
use crate::terminal::Terminal;
use contents::{Manifest, Part, part_file};

pub use restore::{RestoreOptions, restore};

/// Backs up beside a running authority. `to` is the file, or a folder in which the file is named by the time.
///
/// # Errors
/// When something cannot be read or written, or what was written does not verify; then there is no such file.
pub async fn backup(
    place: &AuthorityPlace,
    master_key: &MasterKeySource,
    to: &Path,
    out: &Terminal,
) -> anyhow::Result<()> {
    let store = place.open_store().await?;
    let public_url = place.public_url(&store).await?;
    let master = master_key
        .read(place.directory(), &store, &OsRandom)
        .await?;
    KeySealer::new(&master).check(&store.list_signing_keys().await?)?;
    let now = SystemClock.now();
    let aside = Aside::make(place.directory(), "backup")?;
    store.copy_to(&aside.part("authority"), now).await?;
    let activity = place.open_activity(&SystemClock).await?;
    activity.copy_to(&aside.part("activity"), now).await?;
    activity.close().await;
    let mut names = vec!["authority", "activity"];
    let todo = place.directory().file("todo.db");
    if place.is_one_node() && todo.exists() {
        store::vacuum_into(&todo, &aside.part("todo")).await?;
        names.push("todo");
    }
    let identity = place.identity(&store).await?;
    store.close().await;
    let mut parts = Vec::with_capacity(names.len());
    for name in names {
        parts.push(Part::of(name, &aside.part(name)).await?);
    }
    let manifest = Manifest {
        portcullis: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: now.unix_ms(),
        schema_version: store::inspect_copy(&aside.part("authority")).await?.version,
        authority_id: identity.0,
        public_url,
        port: identity.1,
        parts,
    };
    let file = match to.is_dir() {
        true => to.join(format!("portcullis-{}.backup", time_in_a_name(now))),
        false => to.to_owned(),
    };
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".unfinished-{}", std::process::id()));
    let unfinished = Unfinished(PathBuf::from(name));
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished.0)
        .with_context(|| format!("{} cannot be made", unfinished.0.display()))?;
    contents::write(made, &manifest, &aside.0, &master, &OsRandom)
        .with_context(|| format!("{} cannot be written", unfinished.0.display()))?;
    let again = Aside::make(place.directory(), "verify")?;
    let read = contents::open(&unfinished.0, &again.0, &master).await?;
    ensure!(read == manifest, "the backup reads back as something else");
    // Never over what is there: it may be the only other backup.
    fs::hard_link(&unfinished.0, &file).with_context(|| {
        format!(
            "{} cannot be put in place; name a folder, or a file that does not exist",
            file.display()
        )
    })?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    out.line(format!("{}  {}", file.display(), summary(&manifest)));
    Ok(())
}

/// Opens a backup and holds everything in it against what it says of itself.
///
/// # Errors
/// When it is damaged, or was sealed under another master key.
pub async fn verify(
    place: &AuthorityPlace,
    master_key: &MasterKeySource,
    file: &Path,
    out: &Terminal,
) -> anyhow::Result<()> {
    let master = master_key.existing(place.directory())?;
    let aside = Aside::make(place.directory(), "verify")?;
    let manifest = contents::open(file, &aside.0, &master).await?;
    out.line(format!("{}  {}", file.display(), summary(&manifest)));
    Ok(())
}

fn summary(manifest: &Manifest) -> String {
    let rows: i64 = manifest
        .parts
        .iter()
        .flat_map(|part| part.rows.values())
        .sum();
    let names: Vec<&str> = manifest
        .parts
        .iter()
        .map(|part| part.name.as_str())
        .collect();
    format!(
        "{} of {}, {rows} rows in {}, verified",
        manifest.authority_id,
        manifest.public_url,
        names.join(", ")
    )
}

fn time_in_a_name(at: base::Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_ms())
        .map(|at| at.strftime("%Y%m%dT%H%M%SZ").to_string())
        .unwrap_or_default()
}

/// A folder of ours in the data directory for what is not sealed, gone afterwards.
struct Aside(PathBuf);

impl Aside {
    fn make(directory: &DataDirectory, what: &str) -> anyhow::Result<Self> {
        let path = directory.file(&format!(".{what}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    fn part(&self, name: &str) -> PathBuf {
        part_file(&self.0, name)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file that is gone unless it was renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
