use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use base::{Clock as _, OsRandom, SystemClock};
use domain::KeyPurpose;
use oauth::keys::{self, Rotation};
use oauth::{KeySealer, MasterKey};
use store::{ActivityLog, ActivityOptions, DatabaseUrl, Store, StoreOptions};

use super::contents::{self, Manifest};
use super::{Aside, summary};
use crate::authority_place::AuthorityPlace;
use crate::data_dir::{AuthorityFile, DataDirectory};
use crate::failure::usage;
use crate::master_key::MasterKeySource;
use crate::public_url::PublicUrl;
use crate::terminal::Terminal;

/// That of `up`, for a backup of several nodes, which have none in common.
const PORT: u16 = 4180;

const REASON: &str = "a backup was restored";

/// How to restore.
#[derive(Debug, Clone, Copy)]
pub struct RestoreOptions {
    /// Also where something is already.
    pub replace: bool,
    /// Sign with new keys at once, and withdraw those of the backup.
    pub rotate_keys: bool,
}

/// Puts a backup in an authority's place, and begins a new epoch in it.
///
/// # Errors
/// When the authority runs, something is there already, or the backup cannot be opened; then nothing was changed.
pub async fn restore(
    mut place: AuthorityPlace,
    master_key: &MasterKeySource,
    file: &Path,
    options: RestoreOptions,
    out: &Terminal,
) -> anyhow::Result<()> {
    place.lock()?;
    let master = master_key.existing(place.directory())?;
    let aside = Aside::make(place.directory(), "restore")?;
    let manifest = contents::open(file, &aside.0, &master).await?;
    ensure!(
        manifest.schema_version <= store::schema_version(),
        "the backup has schema version {}, and this Portcullis knows versions up to {}: use the newer Portcullis that \
         wrote it",
        manifest.schema_version,
        store::schema_version()
    );
    match place.is_one_node() {
        true => into_files(&place, &aside, &manifest, &master, options).await?,
        false => into_postgres(&place, &aside, &manifest, &master, options).await?,
    }
    out.line(format!(
        "restored {}; a new epoch began: everybody signs in again, and service tokens are to be made anew",
        summary(&manifest)
    ));
    Ok(())
}

async fn into_files(
    place: &AuthorityPlace,
    aside: &Aside,
    manifest: &Manifest,
    master: &MasterKey,
    options: RestoreOptions,
) -> anyhow::Result<()> {
    let directory = place.directory();
    let database = directory.file("portcullis.db");
    if !options.replace && (database.exists() || directory.read_authority()?.is_some()) {
        bail!(usage(format!(
            "{} is not empty; add --replace to put the backup in its place (what is there is kept beside it)",
            directory.path().display()
        )));
    }
    let store = open(&aside.part("authority")).await?;
    let now = SystemClock.now();
    store.begin_epoch(REASON, now).await?;
    settle_keys(&store, master, options).await?;
    store.close().await;

    // Whole in one file, without a log of writes beside it.
    if database.exists()
        && let Ok(store) = place.open_store().await
    {
        store.close().await;
    }
    let kept = directory.file(&format!("replaced-{}", now.unix_ms()));
    let public_url = PublicUrl::parse(&manifest.public_url)
        .map_err(|reason| anyhow::anyhow!("the backup's public_url: {reason}"))?;
    let port = manifest.port.unwrap_or(PORT);
    let authority = AuthorityFile::new(manifest.authority_id.clone(), &public_url, port);
    directory.write_authority(&authority)?;
    // The authority last: until then the old one stands.
    for (part, name) in [
        ("activity", "activity.db"),
        ("todo", "todo.db"),
        ("authority", "portcullis.db"),
    ] {
        let new = aside.part(part);
        if new.exists() {
            exchange(directory, &new, name, &kept)?;
        }
    }
    Ok(())
}

/// Puts `new` where `name` is, and keeps what was there.
fn exchange(directory: &DataDirectory, new: &Path, name: &str, kept: &Path) -> anyhow::Result<()> {
    let target = directory.file(name);
    let failed = || format!("{} cannot be put in place", target.display());
    let log = beside(&target, "-wal");
    if target.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(kept)
            .with_context(failed)?;
        fs::hard_link(&target, kept.join(name)).with_context(failed)?;
        // Of a program that was killed: it holds what was committed last.
        if log.exists() {
            fs::hard_link(&log, kept.join(format!("{name}-wal"))).with_context(failed)?;
        }
    }
    for suffix in ["-wal", "-shm", "-witness"] {
        match fs::remove_file(beside(&target, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(failed);
            }
            _ => {}
        }
    }
    File::open(new)
        .and_then(|file| file.sync_all())
        .with_context(failed)?;
    fs::rename(new, &target).with_context(failed)?;
    File::open(directory.path())
        .and_then(|folder| folder.sync_all())
        .with_context(failed)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

async fn into_postgres(
    place: &AuthorityPlace,
    aside: &Aside,
    manifest: &Manifest,
    master: &MasterKey,
    options: RestoreOptions,
) -> anyhow::Result<()> {
    // An older backup is brought to this version first.
    open(&aside.part("authority")).await?.close().await;
    let url = DatabaseUrl::Sqlite(aside.part("activity"));
    ActivityLog::open(ActivityOptions { url }, &SystemClock)
        .await?
        .close()
        .await;
    let store = place.open_store().await?;
    let now = SystemClock.now();
    let put = async {
        store
            .replace_from(&aside.part("authority"), options.replace, REASON, now)
            .await?;
        store
            .put_setting("authority_id", &manifest.authority_id)
            .await?;
        store
            .put_setting("public_url", &manifest.public_url)
            .await?;
        settle_keys(&store, master, options).await
    };
    let ended = put.await;
    store.close().await;
    ended?;
    let activity = place.open_activity(&SystemClock).await?;
    let ended = activity.replace_from(&aside.part("activity"), now).await;
    activity.close().await;
    Ok(ended?)
}

async fn open(path: &Path) -> anyhow::Result<Store> {
    let url = DatabaseUrl::Sqlite(path.to_owned());
    Ok(Store::open(StoreOptions::new(url), &SystemClock).await?)
}

async fn settle_keys(
    store: &Store,
    master: &MasterKey,
    options: RestoreOptions,
) -> anyhow::Result<()> {
    let sealer = KeySealer::new(master);
    sealer.check(&store.list_signing_keys().await?)?;
    if options.rotate_keys {
        for purpose in [KeyPurpose::AccessToken, KeyPurpose::Identity] {
            let now = SystemClock.now();
            keys::rotate(store, &sealer, &OsRandom, now, purpose, Rotation::Emergency).await?;
        }
    }
    Ok(())
}
