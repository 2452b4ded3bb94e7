use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use base::{Clock as _, OsRandom, SystemClock};
use domain::KeyPurpose;
use oauth::keys::{self, Rotation};
use oauth::{KeySealer, MasterKey};
use store::{
    ActivityLog, ActivityOptions, ActivityQueue, DatabaseUrl, DeletedUser, Store, StoreOptions,
};

use super::contents::{self, Manifest, part_file};
use super::stopping::{Undo, unless_stopped};
use super::summary;
use crate::authority_place::AuthorityPlace;
use crate::data_dir::{Aside, AuthorityFile};
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

/// Puts a backup in an authority's place, and begins a new epoch in it. Whenever it is killed, the old authority stands
/// whole or the backup does.
///
/// # Errors
/// When the authority runs, something is there already, the backup cannot be opened, or a signal came; then nothing was
/// changed.
pub async fn restore(
    mut place: AuthorityPlace,
    master_key: MasterKeySource,
    file: PathBuf,
    options: RestoreOptions,
    out: Terminal,
) -> anyhow::Result<()> {
    place.lock()?;
    let undo = Undo::default();
    let work = {
        let undo = undo.clone();
        async move { put(&place, &master_key, &file, options, &undo, &out).await }
    };
    unless_stopped(&undo, "restore", work).await
}

async fn put(
    place: &AuthorityPlace,
    master_key: &MasterKeySource,
    file: &Path,
    options: RestoreOptions,
    undo: &Undo,
    out: &Terminal,
) -> anyhow::Result<()> {
    let master = master_key.existing(place.directory())?;
    let aside = super::aside(place, "restore", undo)?;
    let manifest = contents::open(file, aside.path(), &master).await?;
    ensure!(
        manifest.schema_version <= store::schema_version(),
        "the backup has schema version {}, and this Portcullis knows versions up to {}: use the newer Portcullis that \
         wrote it",
        manifest.schema_version,
        store::schema_version()
    );
    let restoring = Restoring {
        place,
        aside: &aside,
        manifest: &manifest,
        master: &master,
        options,
        undo,
    };
    let again = match place.is_one_node() {
        true => restoring.restore_files().await?,
        false => restoring.restore_to_postgres().await?,
    };
    out.line(format!(
        "restored {}; a new epoch began: everybody signs in again, and service tokens are to be made anew",
        summary(&manifest)
    ));
    match again {
        Some(0) => {}
        Some(people) => out.line(format!(
            "people who were deleted since the backup, and are deleted again: {people}"
        )),
        None => out.line(
            "the database that was here cannot be read: whoever was deleted since the backup is back, until \
             `portcullis people delete usr_…` is run again",
        ),
    }
    Ok(())
}

/// A backup that was opened.
struct Restoring<'a> {
    place: &'a AuthorityPlace,
    /// Its parts.
    aside: &'a Aside,
    manifest: &'a Manifest,
    master: &'a MasterKey,
    options: RestoreOptions,
    undo: &'a Undo,
}

impl Restoring<'_> {
    fn part(&self, name: &str) -> PathBuf {
        part_file(self.aside.path(), name)
    }

    /// Gives how many people were deleted again; none where that is not known.
    async fn restore_files(&self) -> anyhow::Result<Option<u64>> {
        let directory = self.place.directory();
        let database = directory.file("portcullis.db");
        if !self.options.replace && (database.exists() || directory.read_authority()?.is_some()) {
            bail!(usage(format!(
                "{} is not empty; add --replace to put the backup in its place (what is there is kept beside it)",
                directory.path().display()
            )));
        }
        let store = open(&self.part("authority")).await?;
        let now = SystemClock.now();
        store.begin_epoch(REASON, now).await?;
        self.settle_keys(&store).await?;
        // This closes it, too, whole in one file without a log of writes beside it.
        let again = match database.exists() {
            true => self.deleted_here().await,
            false => Some(Vec::new()),
        };
        let again = match again {
            Some(deleted) => Some(store.delete_again(deleted, now).await?),
            None => None,
        };
        store.close().await;

        let public_url = PublicUrl::parse(&self.manifest.public_url)
            .map_err(|reason| anyhow::anyhow!("the backup's public_url: {reason}"))?;
        let port = self.manifest.port.unwrap_or(PORT);
        AuthorityFile::new(self.manifest.authority_id.clone(), &public_url, port)
            .write_in(self.aside.path())?;
        self.keep_only_databases()?;
        let name = now.unix_ms().to_string();
        (self.undo).decide(|| directory.exchange(self.aside, &name))?;
        Ok(again)
    }

    /// Who was deleted in the database that is replaced; none when it cannot be read.
    async fn deleted_here(&self) -> Option<Vec<DeletedUser>> {
        let store = self.place.open_store().await.ok()?;
        let deleted = store.list_deleted_users().await;
        store.close().await;
        deleted.ok()
    }

    /// Gives the parts the names that they have in a data directory, and removes what else was made beside them.
    fn keep_only_databases(&self) -> anyhow::Result<()> {
        let folder = self.aside.path();
        let failed = || format!("{} cannot be prepared", folder.display());
        for (part, name) in [
            ("activity", "activity.db"),
            ("todo", "todo.db"),
            ("authority", "portcullis.db"),
        ] {
            let (from, to) = (self.part(part), folder.join(name));
            if from != to && from.exists() {
                fs::rename(from, to).with_context(failed)?;
            }
        }
        for entry in fs::read_dir(folder).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !name.ends_with(".db") && name != "authority.json" {
                fs::remove_file(entry.path()).with_context(failed)?;
            }
        }
        Ok(())
    }

    async fn restore_to_postgres(&self) -> anyhow::Result<Option<u64>> {
        // Everything that is to be different is so before: then one transaction puts it in place. An older backup is
        // brought to this version first.
        let copy = open(&self.part("authority")).await?;
        let manifest = self.manifest;
        copy.put_setting("authority_id", &manifest.authority_id)
            .await?;
        copy.put_setting("public_url", &manifest.public_url).await?;
        self.settle_keys(&copy).await?;
        copy.close().await;
        let url = DatabaseUrl::Sqlite(self.part("activity"));
        ActivityLog::open(ActivityOptions { url }, &SystemClock)
            .await?
            .close()
            .await;
        let store = self.place.open_store().await?;
        let now = SystemClock.now();
        self.undo.decide(|| Ok(()))?;
        let ended = store
            .replace_from(&self.part("authority"), self.options.replace, REASON, now)
            .await;
        store.close().await;
        let again = ended?;
        let activity = self
            .place
            .open_activity(ActivityQueue::default(), &SystemClock)
            .await?;
        let ended = activity.replace_from(&self.part("activity"), now).await;
        activity.close().await;
        ended.context("the authority is restored, and its activity log is not; restore again")?;
        Ok(Some(again))
    }

    async fn settle_keys(&self, store: &Store) -> anyhow::Result<()> {
        let sealer = KeySealer::new(self.master);
        sealer.check(&store.list_signing_keys().await?)?;
        if self.options.rotate_keys {
            for purpose in [KeyPurpose::AccessToken, KeyPurpose::Identity] {
                let now = SystemClock.now();
                keys::rotate(store, &sealer, &OsRandom, now, purpose, Rotation::Emergency).await?;
            }
        }
        Ok(())
    }
}

async fn open(path: &Path) -> anyhow::Result<Store> {
    let url = DatabaseUrl::Sqlite(path.to_owned());
    Ok(Store::open(StoreOptions::new(url), &SystemClock).await?)
}
