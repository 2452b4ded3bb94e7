//! Where the master key comes from.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use base::{Random, Secret};
use oauth::MasterKey;
use store::Store;

use crate::data_dir::DataDirectory;
use crate::failure::usage;

/// Holds the key itself, for machines whose secrets come in the environment.
const VARIABLE: &str = "PORTCULLIS_MASTER_KEY";
const FLAG: &str = "--master-key-file";
const FILE: &str = "keys/master.key";

/// Where the master key is.
#[derive(Clone)]
pub enum MasterKeySource {
    /// `keys/master.key` in the data directory, made at the first start.
    DataDirectory,
    /// A file that somebody else made and keeps, and the setting that names it.
    File(PathBuf, &'static str),
    /// The text itself, and the setting that says it.
    Text(Secret<String>, &'static str),
}

impl MasterKeySource {
    /// What the command line and the environment say.
    ///
    /// # Errors
    /// When both name one.
    pub fn from_environment(file: Option<PathBuf>) -> anyhow::Result<Self> {
        let text = match std::env::var(VARIABLE) {
            Ok(text) => Some(Secret::new(text)),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => {
                bail!(usage(format!("{VARIABLE} is no text")))
            }
        };
        match (file, text) {
            (Some(_), Some(_)) => Err(usage(format!(
                "--master-key-file and {VARIABLE} are both given; leave one out"
            ))),
            (Some(file), None) => Ok(Self::File(file, FLAG)),
            (None, Some(text)) => Ok(Self::Text(text, VARIABLE)),
            (None, None) => Ok(Self::DataDirectory),
        }
    }

    /// Reads it where somebody said it; `None` where it lies in the data directory.
    ///
    /// # Errors
    /// Names the setting that said it.
    pub fn given(&self) -> anyhow::Result<Option<MasterKey>> {
        match self {
            Self::Text(text, setting) => Ok(Some(MasterKey::from_text(text, setting)?)),
            Self::File(path, setting) => MasterKey::load(path).context(*setting).map(Some),
            Self::DataDirectory => Ok(None),
        }
    }

    /// Reads it; none is made.
    ///
    /// # Errors
    /// Names the file or the setting.
    pub fn existing(&self, directory: &DataDirectory) -> anyhow::Result<MasterKey> {
        match self.given()? {
            Some(key) => Ok(key),
            None => MasterKey::load(&directory.file(FILE)).with_context(|| {
                format!(
                    "a backup opens with the master key it was made with; put it there, or name it with \
                     --master-key-file or {VARIABLE}"
                )
            }),
        }
    }

    /// Reads it. One is made only for a database that has no signing key yet: a new key would not open the old ones.
    ///
    /// # Errors
    /// Names the file or the setting.
    pub async fn read(
        &self,
        directory: &DataDirectory,
        store: &Store,
        random: &dyn Random,
    ) -> anyhow::Result<MasterKey> {
        match self.given()? {
            Some(key) => Ok(key),
            None => {
                let path = directory.file(FILE);
                let is_first = store.list_signing_keys().await?.is_empty();
                if !is_first && !path.exists() {
                    bail!(
                        "the master key file {} is missing, and the signing keys in the database are sealed with it; \
                         restore it from your backup, or name the key with --master-key-file or {VARIABLE}",
                        path.display()
                    );
                }
                Ok(MasterKey::load_or_create(&path, random)?)
            }
        }
    }
}
