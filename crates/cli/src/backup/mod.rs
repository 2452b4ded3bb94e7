//! `portcullis backup`: everything that one authority keeps, in one sealed file.

mod contents;
mod restore;
mod sealed_file;
mod stopping;
mod unfinished;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base::{Clock as _, OsRandom, SystemClock};
use oauth::KeySealer;

use crate::authority_place::AuthorityPlace;
use crate::data_dir::Aside;
use crate::master_key::MasterKeySource;
use crate::terminal::Terminal;
use contents::{Manifest, Part, part_file};
use stopping::{Undo, unless_stopped};
use unfinished::Unfinished;

pub use restore::{RestoreOptions, restore};

/// Backs up beside a running authority. `to` is the file, or a folder in which the file is named by the time.
///
/// # Errors
/// When something cannot be read or written, what was written does not verify, or a signal came; then there is no such file.
pub async fn backup(
    place: AuthorityPlace,
    master_key: MasterKeySource,
    to: PathBuf,
    out: Terminal,
) -> anyhow::Result<()> {
    let undo = Undo::default();
    let work = {
        let undo = undo.clone();
        async move { write(&place, &master_key, &to, &undo, &out).await }
    };
    unless_stopped(&undo, "backup", work).await
}

async fn write(
    place: &AuthorityPlace,
    master_key: &MasterKeySource,
    to: &Path,
    undo: &Undo,
    out: &Terminal,
) -> anyhow::Result<()> {
    let store = place.open_store().await?;
    let public_url = place.public_url(&store).await?;
    let master = master_key
        .read(place.directory(), &store, &OsRandom)
        .await?;
    KeySealer::new(&master).check(&store.list_signing_keys().await?)?;
    let now = SystemClock.now();
    let aside = aside(place, "backup", undo)?;
    let part = |name: &str| part_file(aside.path(), name);
    store.copy_to(&part("authority"), now).await?;
    let activity = place
        .open_activity(store::ActivityQueue::default(), &SystemClock)
        .await?;
    activity.copy_to(&part("activity"), now).await?;
    activity.close().await;
    let mut names = vec!["authority", "activity"];
    let todo = place.directory().file("todo.db");
    if place.is_one_node() && todo.exists() {
        store::vacuum_into(&todo, &part("todo")).await?;
        names.push("todo");
    }
    let identity = place.identity(&store).await?;
    store.close().await;
    let mut parts = Vec::with_capacity(names.len());
    for name in names {
        parts.push(Part::of(name, &part(name)).await?);
    }
    let manifest = Manifest {
        portcullis: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: now.unix_ms(),
        schema_version: store::inspect_copy(&part("authority")).await?.version,
        authority_id: identity.0,
        public_url,
        port: identity.1,
        parts,
    };
    let file = match to.is_dir() {
        true => to.join(format!("portcullis-{}.backup", time_in_a_name(now))),
        false => to.to_owned(),
    };
    let (unfinished, made) = Unfinished::make(&file)?;
    undo.remember(unfinished.path());
    contents::write(made, &manifest, aside.path(), &master, &OsRandom)
        .with_context(|| format!("{} cannot be written", unfinished.path().display()))?;
    let again = self::aside(place, "verify", undo)?;
    let read = contents::open(unfinished.path(), again.path(), &master).await?;
    ensure!(read == manifest, "the backup reads back as something else");
    let in_place = || {
        format!(
            "{} cannot be put in place; name a folder, or a file that does not exist",
            file.display()
        )
    };
    // Never over what is there: it may be the only other backup.
    undo.decide(|| fs::hard_link(unfinished.path(), &file).with_context(in_place))?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let synced = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    if let Err(error) = synced {
        // Its name may not be on the disk, so it is no backup.
        let _ = fs::remove_file(&file);
        return Err(error).with_context(in_place);
    }
    out.line(format!("{}  {}", file.display(), summary(&manifest)));
    Ok(())
}

/// Opens a backup and holds everything in it against what it says of itself.
///
/// # Errors
/// When it is damaged, or was sealed under another master key.
pub async fn verify(
    place: AuthorityPlace,
    master_key: MasterKeySource,
    file: PathBuf,
    out: Terminal,
) -> anyhow::Result<()> {
    let undo = Undo::default();
    let work = {
        let undo = undo.clone();
        async move {
            let master = master_key.existing(place.directory())?;
            let aside = aside(&place, "verify", &undo)?;
            let manifest = contents::open(&file, aside.path(), &master).await?;
            out.line(format!("{}  {}", file.display(), summary(&manifest)));
            Ok(())
        }
    };
    unless_stopped(&undo, "backup verify", work).await
}

/// A folder in the data directory for what is not sealed, which a stop takes away.
fn aside(place: &AuthorityPlace, kind: &str, undo: &Undo) -> anyhow::Result<Aside> {
    let aside = Aside::make(place.directory().path(), kind)?;
    undo.remember(aside.path());
    Ok(aside)
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
