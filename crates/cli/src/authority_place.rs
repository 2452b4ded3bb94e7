//! Where one authority keeps everything: a data directory alone, or the database that a configuration names.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use base::{Clock, Random, SystemClock, random_token};
use store::{
    ActivityLog, ActivityOptions, ActivityQueue, DatabaseUrl, Store, StoreError, StoreOptions,
};

use crate::config::{DatabasePlace, Valid};
use crate::data_dir::{AuthorityFile, DataDirectory, DataDirectoryLock};
use crate::failure::usage;
use crate::public_url::PublicUrl;

/// What ends in this is the schema of the activity log.
const ACTIVITY_SUFFIX: &str = "_activity";

/// The place of one authority.
pub struct AuthorityPlace {
    directory: DataDirectory,
    database: DatabasePlace,
    lock: Option<DataDirectoryLock>,
}

impl AuthorityPlace {
    /// The place that a configuration names. Its directory is made when it is missing.
    ///
    /// # Errors
    /// When the directory cannot be.
    pub fn of_config(config: &Valid) -> anyhow::Result<Self> {
        Ok(Self {
            directory: DataDirectory::open_or_create(config.data_dir.as_deref())?,
            database: config.database.clone(),
            lock: None,
        })
    }

    /// A data directory in which an authority was started before.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_directory(named: Option<PathBuf>) -> anyhow::Result<Self> {
        let (directory, _) = DataDirectory::open_existing(named.as_deref())?;
        Ok(Self {
            directory,
            database: DatabasePlace::Sqlite,
            lock: None,
        })
    }

    /// The place of `up`: everything in one directory, which its own start locks.
    pub fn of_up(directory: &DataDirectory) -> Self {
        Self {
            directory: directory.clone(),
            database: DatabasePlace::Sqlite,
            lock: None,
        }
    }

    /// The directory.
    pub fn directory(&self) -> &DataDirectory {
        &self.directory
    }

    /// Whether only one process may serve it, and says so by its lock.
    pub fn is_one_node(&self) -> bool {
        matches!(self.database, DatabasePlace::Sqlite)
    }

    /// Takes the directory for this process, when what is in it cannot be shared.
    ///
    /// # Errors
    /// When another process has it.
    pub fn lock(&mut self) -> anyhow::Result<()> {
        if self.is_one_node() {
            self.lock = Some(self.directory.lock()?);
        }
        Ok(())
    }

    /// Tells other processes who serves it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn announce(&mut self, url: &str) -> anyhow::Result<()> {
        match &mut self.lock {
            Some(lock) => lock.announce(url),
            None => Ok(()),
        }
    }

    /// Opens the authority's database.
    ///
    /// # Errors
    /// In words, when it cannot be reached, is damaged or newer.
    pub async fn open_store(&self) -> anyhow::Result<Store> {
        self.open_store_within(Duration::ZERO).await
    }

    /// Opens the authority's database, and waits so long for a PostgreSQL that does not listen yet.
    ///
    /// # Errors
    /// In words, when it cannot be reached, is damaged or newer.
    pub async fn open_store_within(&self, wait: Duration) -> anyhow::Result<Store> {
        let url = self.database("portcullis.db", "");
        let named = match &url {
            DatabaseUrl::Sqlite(path) => format!("the database {}", path.display()),
            DatabaseUrl::Postgres { schema, .. } => {
                format!(
                    "database.url, schema {}",
                    schema.as_deref().unwrap_or_default()
                )
            }
        };
        let mut options = StoreOptions::new(url);
        options.wait = wait;
        #[cfg(feature = "weaken-durability")]
        {
            options.synchronous = store::Synchronous::Normal;
        }
        Store::open(options, &SystemClock)
            .await
            .map_err(|error| naming(error, named))
    }

    /// Opens the activity log.
    ///
    /// # Errors
    /// Names it.
    pub async fn open_activity(
        &self,
        queue: ActivityQueue,
        clock: &dyn Clock,
    ) -> anyhow::Result<ActivityLog> {
        let url = self.database("activity.db", ACTIVITY_SUFFIX);
        let named = match &url {
            DatabaseUrl::Sqlite(path) => format!("the activity log {}", path.display()),
            DatabaseUrl::Postgres { schema, .. } => format!(
                "the activity log in schema {}",
                schema.as_deref().unwrap_or_default()
            ),
        };
        ActivityLog::open_with(ActivityOptions { url }, queue, clock)
            .await
            .map_err(|error| naming(error, named))
    }

    /// The file of this name, or the schema whose name ends so.
    fn database(&self, file: &str, suffix: &str) -> DatabaseUrl {
        match &self.database {
            DatabasePlace::Sqlite => DatabaseUrl::Sqlite(self.directory.file(file)),
            DatabasePlace::Postgres { url, schema } => DatabaseUrl::Postgres {
                url: url.clone(),
                schema: Some(format!("{schema}{suffix}")),
            },
        }
    }

    /// What was fixed at the first start, by whichever node came first: gives the authority's id.
    ///
    /// # Errors
    /// When the configuration names another origin than the first start did.
    pub async fn settle_identity(
        &self,
        store: &Store,
        config: &Valid,
        port: u16,
        random: &dyn Random,
    ) -> anyhow::Result<String> {
        let fresh = || random_token(random, "aut_");
        let (id, public_url) = match self.database {
            DatabasePlace::Sqlite => match self.read_authority(store).await? {
                Some(file) => (file.authority_id, file.public_url),
                None => {
                    let id = fresh();
                    let file = AuthorityFile::new(id.clone(), &config.public_url, port);
                    self.directory.write_authority(&file)?;
                    (id, file.public_url)
                }
            },
            DatabasePlace::Postgres { .. } => {
                let asked = config.public_url.as_str();
                let public_url = store.find_or_put_setting("public_url", asked).await?;
                let id = store.find_or_put_setting("authority_id", &fresh()).await?;
                (id, public_url)
            }
        };
        check_origin(&config.public_url, &public_url)?;
        Ok(id)
    }

    /// The authority's id, and its port where that was fixed too.
    ///
    /// # Errors
    /// When there was no first start.
    pub async fn identity(&self, store: &Store) -> anyhow::Result<(String, Option<u16>)> {
        let fixed = match self.database {
            DatabasePlace::Sqlite => {
                (self.directory.read_authority()?).map(|file| (file.authority_id, Some(file.port)))
            }
            DatabasePlace::Postgres { .. } => {
                let id = store.find_setting("authority_id").await?;
                id.map(|id| (id, None))
            }
        };
        fixed.context("no authority has been started here yet")
    }

    /// What the data directory says of the authority, and the database where it was moved: the file follows it, also
    /// after a move that was cut off in between.
    ///
    /// # Errors
    /// When one of them cannot be read or the file not be written.
    pub async fn read_authority(&self, store: &Store) -> anyhow::Result<Option<AuthorityFile>> {
        let Some(mut file) = self.directory.read_authority()? else {
            return Ok(None);
        };
        if let Some(moved_to) = store.find_setting("public_url").await?
            && moved_to != file.public_url
        {
            file.public_url = moved_to;
            self.directory.write_authority(&file)?;
        }
        Ok(Some(file))
    }

    /// The origin that was fixed at the first start, or by the last move.
    ///
    /// # Errors
    /// When there was none.
    pub async fn public_url(&self, store: &Store) -> anyhow::Result<String> {
        let fixed = match self.database {
            DatabasePlace::Sqlite => self
                .read_authority(store)
                .await?
                .map(|file| file.public_url),
            DatabasePlace::Postgres { .. } => store.find_setting("public_url").await?,
        };
        fixed.context("no authority has been started here yet; run `portcullis serve` with this --config first")
    }
}

/// Says what was opened, where the error does not.
fn naming(error: StoreError, named: String) -> anyhow::Error {
    let names_it = (named.rsplit(' ').next()).is_some_and(|name| error.to_string().contains(name));
    match names_it {
        true => error.into(),
        false => anyhow::Error::from(error).context(named),
    }
}

fn check_origin(asked: &PublicUrl, fixed: &str) -> anyhow::Result<()> {
    if asked.as_str() == fixed {
        return Ok(());
    }
    Err(usage(format!(
        "public_url {asked}: this authority is at {fixed}, and its clients' tokens name it\n  \
         say {fixed}; move it with `portcullis move --public-url {asked}`; or use another database and data directory for \
         another authority"
    )))
}
